"""Files as they are kept: written whole or not at all, sealed with the hashes of their folder, hashed once."""

from __future__ import annotations

import errno
import glob
import hashlib
import inspect
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from contrec.checks import DataError


class Damaged(DataError):
    """What lies there is not what was written; the message names the file and the cure."""


class DiskFull(OSError):
    """A disk has no room; the message names the folder and how much is free."""


# -- hashes --------------------------------------------------------------------------------------------------------

_SETTLED = 2.0  # seconds without a change, after which a clock of any file system tells one change from the next
_hashes: dict[str, tuple[tuple, str]] = {}


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hex; computed again only where its size, its times or the file itself have changed."""
    about = os.stat(path)
    state = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    name = os.path.abspath(path)
    known, digest = _hashes.get(name, (None, ""))
    if known == state:
        return digest
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - max(about.st_mtime, about.st_ctime) > _SETTLED:
        _hashes[name] = state, digest
    return digest


def text_hash(code) -> str:
    """SHA-256 of the text of a function or a class; of what was typed into an interpreter, of its compiled form."""
    try:
        text = inspect.getsource(code)
    except (OSError, TypeError):
        text = repr(_compiled(code))
    return hashlib.sha256(text.encode()).hexdigest()


def _compiled(code) -> list:
    """Instructions, names and constants; of a class those of its functions, of an object those of its class."""
    if isinstance(code, partial):
        return [_compiled(code.func), repr(code.args), repr(code.keywords)]
    if isinstance(code, type):
        return [(name, _compiled(value)) for name, value in sorted(vars(code).items()) if hasattr(value, "__code__")]
    if (own := getattr(code, "__code__", None)) is None:
        return _compiled(type(code))
    return [own.co_code, own.co_names, [getattr(c, "co_code", c) for c in own.co_consts]]


# -- writing -------------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary sibling that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    The block makes a file or a folder there. What processes that were killed have left beside ``path`` is removed.

    Raises:
        DiskFull: if there is no room for it; what lay at ``path`` is still there then.
    """
    with replacing_all(path) as (part,):
        yield part


@contextmanager
def replacing_all(*paths: str | Path) -> Iterator[list[Path]]:
    """As :func:`replacing` for what belongs together: all of it is on the disk before the first takes its place.

    They take their places in the order given. So the last should be a record with the hashes of the others: a process
    that is killed between two of them leaves a mixture, and the record tells it.
    """
    paths = [Path(path) for path in paths]
    parts = [_beside(path, "tmp") for path in paths]
    with room(paths[0].parent):
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            _clean(path)
        try:
            yield parts
            for part in parts:
                for file in (part, *_files(part)) if part.is_dir() else (part,):
                    _sync(file)
            for part, path in zip(parts, paths, strict=True):
                _put(part, path)
        finally:
            for part in parts:
                _remove(part)


def write_json(path: str | Path, obj) -> None:
    """Write ``obj`` as readable JSON; a reader sees the old file or the whole new one, never a part.

    Raises:
        ValueError: for NaN and infinity, which are not JSON.
    """
    text = readable_json(obj)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def readable_json(obj) -> str:
    """``obj`` as indented JSON; ValueError for NaN and infinity."""
    return json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _beside(path: Path, ending: str, process: str = "") -> Path:
    return path.with_name(f".{path.name}.{process or f'{platform.node()}-{os.getpid()}'}.{ending}")


def _clean(path: Path) -> None:
    """Remove what dead processes of this machine left beside ``path``; a folder that one had put aside comes back."""
    for ending in ("tmp", "old"):
        pattern = _beside(Path(glob.escape(path.name)), ending, f"{glob.escape(platform.node())}-*").name
        for left in path.parent.glob(pattern):
            process = left.name.rpartition("-")[2].partition(".")[0]
            if process.isdecimal() and (int(process) == os.getpid() or not _alive(int(process))):
                if ending == "old" and not path.exists():
                    os.replace(left, path)
                _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _put(part: Path, path: Path) -> None:
    if path.exists() and part.is_dir() != path.is_dir():
        kind, other = ("file", "folder") if part.is_dir() else ("folder", "file")
        raise DataError(f"{path} is a {kind} where a {other} is to be written; move or remove it")
    if not path.is_dir():
        os.replace(part, path)
        return
    aside = _beside(path, "old")  # no folder takes the place of another in one step
    os.replace(path, aside)
    try:
        os.replace(part, path)
    except BaseException:
        os.replace(aside, path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# -- room ----------------------------------------------------------------------------------------------------------


def enough(folder: str | Path, needed: int) -> None:
    """Ask for room before something is begun.

    Args:
        folder: need not be there yet.
        needed: bytes that are going to be written, roughly.

    Raises:
        DiskFull: naming the folder, what is needed and what is free.
    """
    if needed > _free(folder):
        raise DiskFull(_no_room(folder, f"about {_size(needed)}"))


@contextmanager
def room(folder: str | Path) -> Iterator[None]:
    """Tell by one kind of error that the disk of ``folder`` has become full within the block.

    Raises:
        DiskFull: naming the folder and what is free.
    """
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:  # each library has its own for this
        if not _is_full(error, folder):
            raise
        raise DiskFull(_no_room(folder, "more")) from error


def _is_full(error: Exception, folder: str | Path) -> bool:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return True
    said = re.search(r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written", str(error))
    return bool(said) or (isinstance(error, OSError) and number is None and _free(folder) < 1 << 16)


def _no_room(folder: str | Path, needed: str) -> str:
    return (
        f"no room in {folder}: {needed} is needed, {_size(_free(folder))} is free there; make room and run the same "
        "command again, which goes on with what is finished"
    )


def _free(folder: str | Path) -> int:
    folder = Path(folder).absolute()
    return shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.exists())).free


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


# -- seals ---------------------------------------------------------------------------------------------------------


def seal(path: str | Path, about: dict, without: str = "") -> None:
    """Write ``about`` as JSON, as the last file of its folder, with size and SHA-256 of every other file, and its own.

    Hidden files are none of the folder's content.

    Args:
        without: a subfolder that is about to be removed.
    """
    path = Path(path)
    files = {
        file.relative_to(path.parent).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in _files(path.parent, without)
        if file != path
    }
    body = json.loads(json.dumps({**about, "files": files}))
    with replacing(path) as part:
        part.write_text(json.dumps({**body, "sha256": _digest(body)}, indent=2), encoding="utf-8")


def sealed(path: str | Path, only: Callable[[str], bool] = lambda name: True) -> dict:
    """What :func:`seal` was given, once the folder holds what it held then.

    A file that was written without a seal, by an earlier version, is read as it is.

    Args:
        only: whether the content of a file, by its path in the folder, is compared too, and not its size alone.

    Raises:
        Damaged: for a file that is missing, has changed, or does not belong there.
    """
    path = Path(path)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise _damaged(path, path.parent, "is missing") from None
    except (ValueError, IsADirectoryError):
        raise _damaged(path, path.parent, "is damaged") from None
    if not isinstance(body, dict):
        raise _damaged(path, path.parent, "is damaged")
    digest = body.pop("sha256", None)
    if digest is None and "files" not in body:
        return body
    if digest != _digest(body):
        raise _damaged(path, path.parent, "is damaged")
    files = body.pop("files")
    there = {file.relative_to(path.parent).as_posix(): file for file in _files(path.parent) if file != path}
    for name, about in files.items():
        if name not in there:
            raise _damaged(path.parent / name, path.parent, "is missing")
        whole = there[name].stat().st_size == about["bytes"]
        if not whole or (only(name) and sha256(there[name]) != about["sha256"]):
            raise _damaged(there[name], path.parent, "is damaged: it is not what was written")
    for name in there.keys() - files.keys():
        raise _damaged(there[name], path.parent, "does not belong there")
    return body


def _damaged(file: Path, folder: Path, what: str) -> Damaged:
    if not folder.exists():
        return Damaged(f"{folder} is missing: the command that made it makes it anew")
    return Damaged(f"{file} {what}; remove {folder}: it is made anew")


def _digest(body: dict) -> str:
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def _files(folder: Path, without: str = "") -> list[Path]:
    """Every file below a folder, hidden ones and those of a subfolder left out."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name != without and not name.startswith("."))
        found += [Path(place) / name for name in sorted(names) if not name.startswith(".")]
    return found
