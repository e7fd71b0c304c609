"""Where a number comes from: the record beside every committed figure and recorded run."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path

import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.artifacts.fingerprint import fingerprint, plain
from contrec.files import Damaged, readable_json, replacing_all, sha256

PACKAGES = (
    *("torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers", "safetensors"),
    *("sentence-transformers", "torch-geometric", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib"),
)
FIELDS = (
    *("config", "fingerprint", "dataset", "revision", "versions", "seeds", "device", "seconds", "rows", "notebook"),
    "outputs",
)
FIGURE_ENDINGS = (".svg", ".pdf", ".png")


def revision(folder: Path | None = None) -> dict:
    """``{"commit": hex or None, "clean": bool or None}``; None outside git.

    Clean means that nothing but results (``figures``, ``data/reproduced``) differs from the commit.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder or paths.root()), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        changes = git("status", "--porcelain", "--", ":/", ":(top,exclude)figures", ":(top,exclude)data/reproduced")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "clean": None}
    return {"commit": commit, "clean": not changes.strip()}


def versions() -> dict[str, str]:
    """Versions of Python and of those of :data:`PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def device_name(device=None) -> str:
    """The name of a GPU, or "cpu"; None: of the device that models are trained on here."""
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if device is None else str(device)
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def record(
    config,
    *,
    dataset: str,
    inputs: Mapping[str, str] | Iterable[Path] = (),
    seeds: Iterable[int] = (),
    device: str = "cpu",
    seconds: float | None = None,
    rows: dict[str, int] | None = None,
    notebook: str | None = None,
    outputs: Iterable[Path] = (),
) -> dict:
    """The provenance record of one result.

    Args:
        config: dataclass or dict of settings; its fingerprint is recorded too.
        dataset: name and source ("lastfm raw", "planted").
        inputs: files the result was made from, or their SHA-256 by name (:func:`contrec.data.inputs`).
        device: "cpu", a torch device (for a GPU its name is recorded), or names of devices.
        seconds: wall-clock duration, rounded to tenths.
        rows: row counts by name (interactions, users, cases, ...).
        outputs: files whose hashes are recorded; :func:`write` adds those of its own.

    Returns:
        A JSON-ready dict with :data:`FIELDS`. Files of the project appear by their path from its root, others by name.
    """
    if str(device).startswith("cuda"):
        device = f"{device} ({device_name(device)})"
    files = dict(inputs) if isinstance(inputs, Mapping) else {_name(p): sha256(p) for p in inputs}
    return {
        "config": plain(config),
        "fingerprint": fingerprint(config),
        "dataset": {"name": dataset, "files": files},
        "revision": revision(),
        "versions": versions(),
        "seeds": [int(s) for s in seeds],
        "device": str(device),
        "seconds": None if seconds is None else round(float(seconds), 1),
        "rows": {k: int(v) for k, v in (rows or {}).items()},
        "notebook": notebook,
        "outputs": {_name(p): sha256(p) for p in outputs},
    }


def write(files: Mapping[Path, Callable[[Path], object]], entry: dict) -> Path:
    """Write files that belong together and their record beside the first of them, ``<stem>.json``.

    All are written before any takes its place, and the record, with the hash of each, does so last: where a process was
    killed in between, :func:`recorded` tells it.

    Args:
        files: for each path what writes it; it is given another path to write to.
        entry: from :func:`record`.

    Returns:
        The path of the record.
    """
    first = next(iter(files))
    beside = first.with_suffix(".json")
    with replacing_all(*files, beside) as parts:
        outputs = dict(entry["outputs"])
        for (path, writing), part in zip(files.items(), parts, strict=False):
            writing(part)
            outputs[_name(path)] = sha256(part)
        parts[-1].write_text(readable_json({**entry, "outputs": outputs}), encoding="utf-8")
    stale.unmark(first)
    return beside


def recorded(path: Path) -> Path:
    """The path of a recorded file, once it is the one that the record beside it names; without a record, as it is.

    Raises:
        Damaged: if it is another one.
    """
    path = Path(path)
    beside = path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ranks") + ".json")
    if beside.is_file():
        try:
            digest = json.loads(beside.read_text(encoding="utf-8")).get("outputs", {}).get(_name(path))
        except (ValueError, AttributeError):
            raise damaged(beside, "is damaged") from None
        if digest is not None and not path.is_file():
            raise damaged(path, f"is missing, which {beside.name} records")
        if digest is not None and sha256(path) != digest:
            raise damaged(path, f"is not the file that {beside.name} records")
    return path


def damaged(path: Path, what: str) -> Damaged:
    """The error of a recorded file, with the cure."""
    cure = "record it again, or take it back from version control"
    return Damaged(f"{path} {what} (damaged, changed by hand, or written by a command that was killed): {cure}")


def problems(path: Path) -> list[str]:
    """What is wrong with the record of a committed figure or CSV; empty where all is well.

    Checked are: the record is there and has every field, it holds the present hash of ``path``, and files of the
    project that it names as inputs or outputs still have their recorded hashes.
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return [f"{path.name}: no record {beside.name} beside it; write one with contrec.artifacts.provenance.write"]
    try:
        entry = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"{beside.name}: is damaged ({error}); write it again"]
    missing = [f for f in FIELDS if f not in entry]
    if missing:
        return [f"{beside.name}: no {', '.join(missing)}"]
    found = []
    if entry["outputs"].get(_name(path)) != sha256(path):
        found.append(f"{path.name}: its hash is not the one in {beside.name}; record it again when you change it")
    for name, digest in {**entry["dataset"]["files"], **entry["outputs"]}.items():
        file = paths.root() / name
        if "/" in name and file != path.resolve() and file.is_file() and sha256(file) != digest:
            found.append(f"{beside.name}: {name} has changed since; make {path.name} anew")
    return found


def show(config, dataset: str | None = None) -> None:
    """Print one line: config, data and revision by their fingerprints, torch, device (for the top of a notebook)."""
    import torch

    git = revision()
    commit = "none" if git["commit"] is None else git["commit"][:7] + ("" if git["clean"] else "+changes")
    data = "" if dataset is None else f"data {dataset}  "
    print(f"config {fingerprint(config)}  {data}revision {commit}  torch {torch.__version__}  {device_name()}")


def _name(path: Path) -> str:
    path = Path(path).resolve()
    root = paths.root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def read_table(path: Path) -> pd.DataFrame:
    """A recorded CSV, or parquet file of ranks, once it is what its record says; stale rows of a CSV are marked.

    Raises:
        Damaged: if it is not, or cannot be read; the message names the file and the cure.
    """
    path = Path(path)
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    try:
        frame = read(recorded(path))
    except Damaged:
        raise
    except (ValueError, OSError) as error:  # pyarrow's own are either
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        raise damaged(path, f"cannot be read ({' '.join(str(error).split())[:100]})") from error
    return frame if path.suffix == ".parquet" else stale.marked(path, frame)
