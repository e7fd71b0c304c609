"""Where things lie: found from the project's root, never from the working directory of a notebook."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """The project's root: the folder that holds ``contrec/`` and ``pyproject.toml``.

    It is found from the package itself (an editable install), else from the working directory upwards.

    Raises:
        FileNotFoundError: if neither way finds it.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[1], here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "contrec" / "paths.py").is_file():
            return folder
    raise FileNotFoundError(
        f"no contrec project at or above {here}: start in the project's folder, or install it with pip install -e ."
    )


def absolute(path: str | Path) -> Path:
    """``path`` from the folder that is worked in: a relative one starts there, "~" is the home folder.

    That folder is where a command was typed, and in JupyterLab where the notebook lies. A process that is started
    elsewhere (a notebook's kernel behind ``contrec run``) is given absolute paths. Links keep their names.
    """
    return Path(os.path.abspath(os.path.expanduser(path)))


def data_raw() -> Path:
    """Downloaded archives (git-ignored)."""
    return root() / "data" / "raw"


def mirror() -> Path | None:
    """A folder with copies of the official archives, from the environment variable CONTREC_MIRROR, or None.

    Raises:
        FileNotFoundError: if the variable is set but names no folder.
    """
    folder = _from_environment("CONTREC_MIRROR")
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"CONTREC_MIRROR names no folder: {folder}; correct it, or unset it to download")
    return folder


def published() -> Path:
    """Every printed table of the papers, as CSV."""
    return root() / "data" / "published"


def reproduced() -> Path:
    """Recorded full runs, as CSV with a provenance record beside each file."""
    return root() / "data" / "reproduced"


def figures() -> Path:
    """Committed figures with a provenance record beside each."""
    return root() / "figures"


def notebooks() -> Path:
    """The numbered notebooks."""
    return root() / "notebooks"


def artifacts() -> Path:
    """Everything a study makes, under fingerprints (git-ignored); CONTREC_ARTIFACTS puts it elsewhere.

    Raises:
        NotADirectoryError: if the variable names a file.
    """
    folder = _from_environment("CONTREC_ARTIFACTS") or root() / "artifacts"
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"artifacts go into a folder, and {folder} is a file; correct CONTREC_ARTIFACTS")
    return folder


def environment() -> dict[str, str]:
    """The variables above that are set, with absolute folders: for a process that is started in another folder."""
    found = {name: _from_environment(name) for name in ("CONTREC_ARTIFACTS", "CONTREC_MIRROR")}
    return {name: str(folder) for name, folder in found.items() if folder is not None}


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return absolute(value) if value else None
