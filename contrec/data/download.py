"""How official files get here: found, checked, or fetched."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.request
from pathlib import Path

from contrec import files
from contrec.checks import DataError

from .. import paths
from .archives import unreadable
from .sources import SOURCES, Source


def sha256(path: str | Path) -> str:
    """:func:`contrec.files.sha256`; a file that cannot be read is a DataError."""
    try:
        return files.sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error


def home(file: str) -> Path:
    """Where ``file`` lies once fetched: data/raw/, or data/processed/ for the authors' split files."""
    return paths.data_raw().parent / file if file.startswith("processed/") else paths.data_raw() / file


def find(file: str) -> Path | None:
    """The file in data/raw (or data/processed), else in the folder that CONTREC_MIRROR names, else None.

    Raises:
        DataError: if CONTREC_MIRROR names no folder, or one of the folders cannot be looked into.
    """
    try:
        mirror = paths.mirror()
        for path in (home(file), *((mirror / file,) if mirror else ())):
            if path.is_file():
                return path
    except FileNotFoundError as error:  # of paths.mirror, which names the cure
        raise DataError(str(error)) from error
    except (OSError, RuntimeError) as error:
        cure = "make the folder readable, or correct CONTREC_MIRROR"
        raise DataError(f"{file} cannot be looked for ({error}); {cure}") from error
    return None


def locate(file: str, *, download: bool = True, progress: bool = False) -> Path:
    """Path of a checked copy of an official file, fetched if need be.

    Args:
        file: a key of ``SOURCES``.
        download: fetch a file that is not here (False: raise instead).
        progress: show a progress bar.

    Raises:
        DataError: if the file is not here and cannot be fetched, or its SHA-256 is wrong.
    """
    source, path = SOURCES[file], find(file)
    if path is None:
        if not download or source.url is None:
            raise DataError(f"{file} is not in {home(file).parent} nor in CONTREC_MIRROR; {_cure(file, source)}")
        return fetch(file, source, home(file), progress=progress)
    _check(file, source, path)
    return path


def fetch(file: str, source: Source, target: Path, *, progress: bool = False) -> Path:
    """Download to a temporary file beside ``target``, check, then move into place in one step.

    Raises:
        DataError: if the address cannot be read to its end, or the SHA-256 is wrong; ``target`` is then untouched.
    """
    from tqdm.auto import tqdm

    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        part = Path(name)
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(source.url, timeout=60) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with tqdm(total=total or None, unit="B", unit_scale=True, desc=target.name, disable=not progress) as bar:
                while chunk := response.read(1 << 20):
                    out.write(chunk)
                    bar.update(len(chunk))
            if total and out.tell() != total:
                raise OSError(f"{out.tell()} of {total} bytes arrived")
        _check(file, source, part)
        part.chmod(0o644)
        os.replace(part, target)
    except DataError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a length that is no number
        raise DataError(f"{file} could not be fetched ({error}); {_cure(file, source)}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return target


def _cure(file: str, source: Source) -> str:
    where = f"put it into {home(file).parent}, or name a folder that holds it in CONTREC_MIRROR"
    return f"download {source.url} by hand and {where}" if source.url else where


def _check(file: str, source: Source, path: Path) -> None:
    if not source.pinned:
        return
    got = sha256(path)
    if got not in source.sha256:
        expected = " or ".join(source.sha256)
        raise DataError(
            f"{file} at {path} is damaged or another version: SHA-256 expected {expected}, got {got}; "
            f"delete it, then {_cure(file, source)}"
        )


def inputs(files) -> dict[str, str]:
    """SHA-256 of the files of ``files`` that are here, for provenance."""
    return {file: sha256(path) for file in files if (path := find(file)) is not None}
