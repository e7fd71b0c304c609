"""What happens to files: deaths and full disks at every operation on a folder, and damage to what lies there."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

WRITING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree", "os.link", "os.symlink"}
KILLED, DONE, FULL, OTHER = 9, 0, 28, 1


def at_operation(number: int, folder: Path, action: str, work: Callable[[], object]) -> tuple[int, str]:
    """Do the work in a fork in which something happens at the n-th operation that changes files below the folder.

    Operations are those that Python tells its audit hooks; a library's own, as of safetensors, lie between them.

    Args:
        number: from 1; 0 for nothing to happen.
        action: "kill" ends the process without any clean-up, "full" raises what a full disk raises.

    Returns:
        KILLED, DONE (the work has fewer operations, or does not mind), FULL (DiskFull was raised) or OTHER; and the
        message, of DONE the number of operations.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with open(reading) as pipe:
            message = pipe.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message
    status, message, count = OTHER, "", 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if not (event in WRITING or (event == "open" and _writes(arguments))):
            return
        inside = event in ("os.remove", "os.rmdir") and arguments[-1] != -1  # within rmtree: names, not paths
        if not (inside or str(arguments[0]).startswith(str(folder))):
            return
        count += 1
        if count == number and action == "kill":
            os._exit(KILLED)
        if count == number:
            raise OSError(errno.ENOSPC, "No space left on device")

    try:
        from contrec.files import DiskFull

        sys.addaudithook(hook)
        try:
            work()
            status, message = DONE, str(count)
        except DiskFull as error:
            status, message = FULL, str(error)
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        number = -1
        os.write(writing, message.encode()[:60_000])
    finally:
        os._exit(status)


def _writes(arguments: tuple) -> bool:
    mode, flags = arguments[1], arguments[2]
    return any(c in mode for c in "wax+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def cut(path: Path, at: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut in the middle": cut,
    "last byte cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "emptied": lambda p: p.write_bytes(b""),
    "a bit flipped in the middle": flip,
    "a bit flipped near the end": lambda p: flip(p, 0.95),
    "removed": os.unlink,
    "renamed": lambda p: p.rename(p.with_name(f"old_{p.name}")),
    "a folder in its place": lambda p: (p.unlink(), p.mkdir()),
    "appended to": lambda p: p.write_bytes(p.read_bytes() + b"0,0\n"),
    "zeros": lambda p: p.write_bytes(bytes(p.stat().st_size)),
}


def half_copied(folder: Path) -> None:
    """As by a copy that was stopped: the later half of the files is not there."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for file in files[len(files) // 2 :]:
        file.unlink()


OF_FOLDERS: dict[str, Callable[[Path], object]] = {
    "half copied": half_copied,
    "emptied": lambda p: (shutil.rmtree(p), p.mkdir()),
    "a copy of it beside it": lambda p: shutil.copytree(p, p.with_name(f"{p.name}-copy")),
    "renamed": lambda p: p.rename(p.with_name("0" * 12)),
    "a file in its place": lambda p: (shutil.rmtree(p), p.write_text("")),
    "a folder of no meaning beside it": lambda p: p.with_name("backup").mkdir(),
}
