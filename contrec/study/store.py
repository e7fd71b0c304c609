"""Artifacts under fingerprints: made once, written atomically, found again by what they were made from."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contrec.files import replacing, write_json
from contrec.study.stages import stage_version


def canonical_json(obj) -> str:
    """The one JSON form of ``obj``: sorted keys, no spaces, dataclasses as objects, whole floats as integers.

    ``1`` and ``1.0`` are equal settings and are written alike; other floats are written by their shortest exact form,
    which is the same on every machine.

    Raises:
        TypeError: for anything that is not a setting (paths, arrays, sets, keys that are not strings, ...).
        ValueError: for NaN and infinity.
    """
    return json.dumps(_plain(obj), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(obj):
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {f.name: _plain(getattr(obj, f.name)) for f in dataclasses.fields(obj)}
    if type(obj).__module__ == "numpy" and getattr(obj, "shape", None) == ():
        obj = obj.item()
    if obj is None or isinstance(obj, (bool, str, int)):
        return obj
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise ValueError(f"a setting must be a finite number, got {obj}")
        return int(obj) if obj.is_integer() else obj
    if isinstance(obj, (list, tuple)):
        return [_plain(x) for x in obj]
    if isinstance(obj, dict):
        if not all(isinstance(k, str) for k in obj):
            raise TypeError(f"keys of a setting must be strings, got {[k for k in obj if not isinstance(k, str)]}")
        return {k: _plain(v) for k, v in obj.items()}
    raise TypeError(
        f"a {type(obj).__name__} has no fingerprint: use numbers, strings, lists, dicts or dataclasses "
        "(a file by its SHA-256, an array by the fingerprint of what made it)"
    )


def fingerprint(obj) -> str:
    """The first 12 hex digits of the SHA-256 of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(obj).encode()).hexdigest()[:12]


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
        return self.root / stage / fingerprint({"stage": stage, "version": stage_version(stage), "key": key})

    def has(self, stage: str, key: dict) -> bool:
        """Whether that artifact is there (and so complete)."""
        return self.path(stage, key).is_dir()

    def get_or_make(self, stage: str, key: dict, make: Callable[[Path], None], *, resume: bool = False) -> Path:
        """The folder of an artifact; if it is not there, ``make(folder)`` fills a temporary one that is then renamed.

        A second process that wants the same artifact waits for the first. Whatever a killed process left behind is
        removed before ``make`` is called; with ``resume=True`` it is handed to ``make`` instead, so that training goes
        on from its last checkpoint.

        Args:
            stage: one of :data:`contrec.study.stages.STAGES`.
            key: everything the result depends on: settings, seeds, fingerprints of what comes before, SHA-256 of files.
            make: writes the artifact into the folder it is given; when it raises, no artifact appears.
            resume: whether unfinished work is kept for the next call.

        Returns:
            The complete folder, with ``key.json`` inside.
        """
        final = self.path(stage, key)
        if final.is_dir():
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished = final.with_name(f".{final.name}.unfinished")
        with _locked(final.with_name(f".{final.name}.lock")):
            if final.is_dir():
                return final
            if unfinished.exists() and not resume:
                shutil.rmtree(unfinished)
            unfinished.mkdir(exist_ok=True)
            try:
                make(unfinished)
            except BaseException:
                if not resume or not any(unfinished.iterdir()):
                    shutil.rmtree(unfinished, ignore_errors=True)
                raise
            write_json(unfinished / "key.json", {"stage": stage, "version": stage_version(stage), "key": _plain(key)})
            os.replace(unfinished, final)
        return final


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which the system gives back even when the process is killed."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
