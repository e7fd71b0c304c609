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


def data_raw() -> Path:
    """Downloaded archives (git-ignored)."""
    return root() / "data" / "raw"


def mirror() -> Path | None:
    """A folder with copies of the official archives, from the environment variable CONTREC_MIRROR, or None.

    Raises:
        FileNotFoundError: if the variable is set but names no folder.
    """
    value = os.environ.get("CONTREC_MIRROR")
    if not value:
        return None
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"CONTREC_MIRROR names no folder: {value}; correct it, or unset it to download instead")
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
    """Everything a study makes, under fingerprints (git-ignored); CONTREC_ARTIFACTS puts it elsewhere."""
    value = os.environ.get("CONTREC_ARTIFACTS")
    return Path(value).expanduser().resolve() if value else root() / "artifacts"
