"""Artifacts under fingerprints: made once, written atomically, found again by what they were made from."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contrec.artifacts.fingerprint import fingerprint, plain
from contrec.artifacts.stages import stage_version
from contrec.files import Damaged, replacing, room, seal, sealed

KEY = "key.json"  # what an artifact was made from, and its seal
CHECKPOINTS = "checkpoints"  # subfolder for work that is not finished; no part of the artifact


def save_tensors(path: Path, tensors: dict, meta: dict | None = None) -> None:
    """Write named tensors (or numpy arrays) with ``meta`` (any JSON) as one safetensors file, atomically."""
    import torch
    from safetensors.torch import save_file

    seen: set[int] = set()
    out = {}
    for name, value in tensors.items():
        value = torch.as_tensor(value).detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        out[name] = value.clone() if storage in seen else value  # safetensors refuses names that share memory
        seen.add(storage)
    with replacing(path) as temporary:
        save_file(out, temporary, metadata={"meta": json.dumps(meta or {}, allow_nan=False)})


def load_tensors(path: Path, device: str = "cpu") -> tuple[dict, dict]:
    """Read what :func:`save_tensors` wrote: the tensors by name, and ``meta``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return tensors, json.loads((file.metadata() or {}).get("meta", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); delete its folder and run the same command again") from error


class Store:
    """Artifacts below ``root``: one folder ``<stage>/<fingerprint>/`` each, complete or absent.

    Args:
        root: folder of all artifacts, usually :func:`contrec.paths.artifacts`.
    """

    def __init__(self, root: Path):
        self.root = Path(root)

    def path(self, stage: str, key: dict) -> Path:
        """Where the artifact of ``stage`` made from ``key`` lies, whether or not it is there yet."""
        return self.root / stage / fingerprint(_named(stage, key))

    def has(self, stage: str, key: dict) -> bool:
        """Whether that artifact is there (and so complete, unless it was damaged)."""
        return os.path.lexists(self.path(stage, key))

    def get_or_make(self, stage: str, key: dict, make: Callable[[Path], None], *, resume: bool = False) -> Path:
        """The folder of an artifact; if it is not there, ``make(folder)`` fills a temporary one that is then renamed.

        A second process that wants the same artifact waits for the first. Whatever a killed process left behind is
        removed before ``make`` is called; with ``resume=True`` it is handed to ``make`` instead, so that training goes
        on from its last checkpoint. So every step of such a ``make`` must bear being done again.

        Args:
            stage: one of :data:`contrec.artifacts.stages.STAGES`.
            key: everything the result depends on: settings, seeds, fingerprints of what comes before, SHA-256 of files.
            make: writes the artifact into the folder it is given; when it raises, no artifact appears. What it needs
                for going on, and nobody later, belongs into the subfolder :data:`CHECKPOINTS`.
            resume: whether unfinished work is kept for the next call.

        Returns:
            The complete folder, with ``key.json`` inside.

        Raises:
            Damaged: if the artifact is there and is not as it was made.
            DiskFull: if there is no room for it.
        """
        final = self.path(stage, key)
        if self.has(stage, key):
            made_from(final)
            return final
        unfinished = final.with_name(f".{final.name}.unfinished")
        with room(self.root):
            final.parent.mkdir(parents=True, exist_ok=True)
            with locked(final.with_name(f".{final.name}.lock")):
                if not self.has(stage, key):
                    self._make(unfinished, _named(stage, key), make, resume)
                    os.replace(unfinished, final)
        return final

    def _make(self, unfinished: Path, named: dict, make: Callable[[Path], None], resume: bool) -> None:
        if unfinished.exists() and not resume:
            shutil.rmtree(unfinished)
        unfinished.mkdir(exist_ok=True)
        if not (unfinished / KEY).exists():  # else a process was killed when this was all but done
            try:
                make(unfinished)
            except BaseException:
                if not resume or not any(unfinished.iterdir()):
                    shutil.rmtree(unfinished, ignore_errors=True)
                raise
            seal(unfinished / KEY, named, without=CHECKPOINTS)
        shutil.rmtree(unfinished / CHECKPOINTS, ignore_errors=True)


def made_from(folder: Path, only: Callable[[str], bool] = lambda name: True) -> dict:
    """The key that an artifact was made from, once all of the folder is as it was made.

    Args:
        only: as for :func:`contrec.files.sealed`.

    Raises:
        Damaged: naming the file that is missing, was changed or does not belong there, and the cure.
    """
    folder = Path(folder)
    named = sealed(folder / KEY, only)
    try:
        place = (named.get("stage"), fingerprint({name: named.get(name) for name in ("stage", "version", "key")}))
    except ValueError:
        place = None
    if place != (folder.parent.name, folder.name):
        raise Damaged(f"{folder} is not what its {KEY} says (copied, renamed or changed); remove it: it is made anew")
    return named["key"]


def is_there(folder: Path) -> bool:
    """Whether an artifact is there: its key, and the sizes of its files.

    Raises:
        Damaged: if a part of it is missing or has another size.
    """
    if not os.path.lexists(folder):
        return False
    made_from(folder, only=lambda name: False)
    return True


def read_about(folder: Path, name: str = "about.json") -> dict:
    """A JSON file of an artifact, read when its content and the sizes of all others are as they were made.

    Raises:
        Damaged: as :func:`made_from`.
    """
    made_from(folder, only=name.__eq__)
    try:
        return json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # of a version that did not seal
        raise Damaged(f"{Path(folder) / name} cannot be read; remove {folder}: it is made anew") from None


def artifacts_of(root: Path, stage: str) -> list[Path]:
    """Folders of a stage's artifacts, by name, damaged ones too."""
    return sorted(f for f in (Path(root) / stage).glob("*") if not f.name.startswith("."))


def _named(stage: str, key: dict) -> dict:
    return {"stage": stage, "version": stage_version(stage), "key": plain(key)}


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock, which the system gives back even when the process is killed.

    Args:
        wait: for whoever holds it; else the block is told False, at once.
    """
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
