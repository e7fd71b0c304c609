"""The stages of a study, their sources, and the version that each artifact's fingerprint carries.

``stage_versions.json`` records for every stage a version and the SHA-256 of its source. A test fails when the source
has changed since. Then, from the project's folder:

    python -m contrec.artifacts.stages bump STAGE ...    results may differ: earlier artifacts are made anew
    python -m contrec.artifacts.stages keep STAGE ...    results cannot differ (comments, messages): artifacts stay
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_name("stage_versions.json")

_FLOORS = (
    "popularity",
    "itemknn",
    "text",
    "transitions",
    "ease",
    "puresvd",
    "ials",
    "lightgcn",
    "repeat_history",
    "oracle",
)
_RECOMMENDER = ("network", "retriever", "training", "recommender", "asking", "keeping")
_SEQUENCES = ("sequences", "sasrec", "esasrec", "bsarec", "gru4rec", "ssd4rec")
# Stage -> its modules and folders. A stage also depends on those before it, through the fingerprints in its key.
STAGES: dict[str, tuple[str, ...]] = {
    "data": ("data",),
    "embeddings": ("embeddings", "relations.py"),
    "lightgcn": ("embeddings/lightgcn.py",),  # in the keys of what is made of its vectors: all others stay
    "tokenizers": ("tokenizers",),
    "diffusion": ("diffusion",),
    "reconstruction": ("experiments/reconstruction/peers.py",),
    "recommender": ("language", *(f"{name}.py" for name in _RECOMMENDER)),
    "baselines": ("relations.py", *(f"baselines/{name}.py" for name in _FLOORS)),
    "learned": ("baselines/learned.py",),  # and the loop in training.py, a change of which may need a bump here too
    "graph_baselines": tuple(f"baselines/{name}.py" for name in ("graph", "mf", "gtn", "ltgnn")),
    "sequence_baselines": tuple(f"baselines/{name}.py" for name in _SEQUENCES),
    "dreamrec": ("baselines/dreamrec.py",),
    "plain_head": ("baselines/plain_head.py",),
    "evaluation": ("evaluation", "controls.py"),
    "sweep": ("experiments/sweep/head_only.py",),
}
# Modules whose source changes no artifact: they say what is run (and so stand in the key), or show results.
OUTSIDE = (
    *("__init__.py", "baselines/__init__.py", "baselines/base.py", "__main__.py", "checks.py", "files.py", "given.py"),
    *("memory.py", "paths.py", "shown.py"),
    *("papers", "artifacts", "study", "experiments", "report", "bench", "plots", "cli"),
)


def source_hash(stage: str, package: Path = PACKAGE) -> str:
    """SHA-256 over the names and texts of the stage's Python files, line ends unified."""
    digest = hashlib.sha256()
    for part in STAGES[stage]:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []:
            text = file.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{file.relative_to(package).as_posix()}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


@cache
def _recorded() -> dict:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def stage_version(stage: str) -> int:
    """The recorded version of a stage.

    Raises:
        ValueError: if there is no such stage.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}")
    return _recorded()[stage]["version"]


def changed(record: dict | None = None, package: Path = PACKAGE) -> list[str]:
    """Stages whose source differs from the recorded one."""
    record = _recorded() if record is None else record
    return [s for s in STAGES if record.get(s, {}).get("sha256") != source_hash(s, package)]


def update(record: dict, stages, bump: bool, package: Path = PACKAGE) -> dict:
    """A new record with the present source of ``stages``; ``bump`` says whether their versions go up by one."""
    new = dict(record)
    for stage in stages:
        version = record.get(stage, {"version": 0})["version"]
        new[stage] = {"version": version + 1 if bump or not version else version, "sha256": source_hash(stage, package)}
    return {stage: new[stage] for stage in STAGES if stage in new}


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in ("bump", "keep") or not set(arguments[1:]) <= set(STAGES):
        print(f"usage: python -m contrec.artifacts.stages bump|keep STAGE ... of {' '.join(STAGES)}", file=sys.stderr)
        return 2
    from contrec.files import write_json

    write_json(RECORD, update(_recorded() if RECORD.exists() else {}, arguments[1:], bump=arguments[0] == "bump"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
