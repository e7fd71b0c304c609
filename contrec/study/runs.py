"""Evaluations of one config's runs and of the floors, each kept under its fingerprint, and their tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from contrec import baselines, data, paths
from contrec.controls import variants
from contrec.evaluation import Evaluation, evaluate
from contrec.study import provenance
from contrec.study.config import Config
from contrec.study.fitting import data_key, fitted, load_split, run_name, store
from contrec.study.store import load_tensors, save_tensors

FLOORS = ("popularity", "itemknn", "itemknn/recency", "transitions", "ease", "lightgcn")
SAMPLES = {"tiny": 8, "laptop": 32, "gpu": 32}  # of the row "mean of n samples", by preset
COLUMNS = [
    "dataset", "source", "split", "model", "recipe", "preset", "seed", "metric", "value", "low", "high", "n_users",
    "run", "revision",
]  # fmt: skip


def _keep(folder: Path, evaluations: dict[str, Evaluation]) -> None:
    """Metrics with intervals as CSV, and the ranks they can be recomputed from."""
    tensors, about = {}, {}
    for name, e in evaluations.items():
        tensors |= {f"{name}:ranks": e.ranks, f"{name}:ties": e.ties, f"{name}:user": e.user}
        about[name] = {"exclude_seen": e.exclude_seen, "coverage": e.coverage, "counts": e.counts}
    save_tensors(folder / "ranks.safetensors", tensors, about)
    frame = pd.concat([e.to_frame().assign(model=name) for name, e in evaluations.items()])
    frame.to_csv(folder / "results.csv", index=False)


def kept_evaluations(folder: Path) -> dict[str, Evaluation]:
    """The evaluations that an artifact of stage "evaluation" or "baselines" holds, by model name."""
    tensors, about = load_tensors(folder / "ranks.safetensors")
    arrays = {name: t.numpy() for name, t in tensors.items()}
    return {
        n: Evaluation(*(arrays[f"{n}:{part}"] for part in ("ranks", "ties", "user")), **a) for n, a in about.items()
    }


def evaluated(config: Config, seed: int, progress: bool = False, processes: int = 1) -> Path:
    """Folder with the run's test metrics: its own estimate, other estimates and controls; as :func:`fitted`."""

    def make(folder: Path) -> None:
        recommender, split = fitted(config, seed, progress), load_split(config)
        models = variants(recommender, split, split.test, seed=seed, n_samples=SAMPLES[config.preset])
        _keep(folder, {name: evaluate(model, split.test, train=split.train) for name, model in models.items()})

    fitted(config, seed, progress, processes)
    return store().get_or_make("evaluation", {"recommender": run_name(config, seed)}, make)


def floor(config: Config, name: str, seed: int = 0, progress: bool = False) -> Path:
    """Folder with a baseline's test metrics on the config's split."""

    def make(folder: Path) -> None:
        split = load_split(config)
        model = baselines.make(name).fit(split, seed=seed, progress=progress)
        _keep(folder, {name: evaluate(model, split.test, train=split.train)})

    return store().get_or_make("baselines", {"data": data_key(config), "model": name, "seed": seed}, make)


def results(config: Config, *, progress: bool = False, processes: int = 1) -> pd.DataFrame:
    """Floors, then the run and its controls, for every seed of the config: one row per model, seed and metric.

    Deterministic floors and the random-backbone control, which is a training of its own, are run for the first seed.
    Columns as in ``data/reproduced``. What is in the store is not run again; ``processes`` as in :func:`fitted`.
    """
    frames, run = [], {"recipe": config.recipe, "preset": config.preset}
    for name in FLOORS:
        for seed in config.seeds if name == "lightgcn" else config.seeds[:1]:
            frames.append(_rows(config, floor(config, name, seed, progress), seed, recipe="", preset=""))
    for seed in config.seeds:
        frames.append(_rows(config, evaluated(config, seed, progress, processes), seed, **run))
    if config.recommender.language.backbone == "tiny":
        seed = config.seeds[0]
        frames.append(_rows(*random_backbone(config, seed, progress, processes), seed, **run))
    return pd.concat(frames, ignore_index=True)[COLUMNS]


def random_backbone(config: Config, seed: int, progress: bool = False, processes: int = 1) -> tuple[Config, Path]:
    """The control with a random, frozen backbone: everything else is trained as in the run, and as :func:`fitted`."""
    frozen = config.with_settings(language__train="none", language__quantize=False)
    if config.recommender.language.backbone != "tiny":
        raise ValueError(
            "the random-backbone control is for backbone 'tiny'; a pretrained one has no random counterpart here"
        )

    def make(folder: Path) -> None:
        recommender, split = fitted(frozen, seed, progress), load_split(frozen)
        _keep(folder, {"contrec/random-backbone": evaluate(recommender, split.test, train=split.train)})

    fitted(frozen, seed, progress, processes)
    return frozen, store().get_or_make(
        "evaluation", {"recommender": run_name(frozen, seed), "control": "random-backbone"}, make
    )


def _rows(config: Config, folder: Path, seed: int, recipe: str, preset: str) -> pd.DataFrame:
    run = run_of(folder)
    about = paths.artifacts() / "recommender" / run / "run.json"  # a run knows the revision that trained it
    made = json.loads(about.read_text(encoding="utf-8"))["revision"] if about.exists() else provenance.revision()
    return pd.read_csv(folder / "results.csv").assign(
        dataset=config.dataset, source=config.source, split=config.split, recipe=recipe, preset=preset, seed=seed,
        run=run, revision=None if made["commit"] is None else made["commit"][:12],
    )  # fmt: skip


def run_of(folder: Path) -> str:
    """Name of the run that an evaluation belongs to; a baseline's is its own folder's."""
    return json.loads((folder / "key.json").read_text(encoding="utf-8"))["key"].get("recommender", folder.name)


def train_runs(
    dataset: str, source: str | None, split: str, preset: str, recipes: list[str], seeds: list[int],
    models: list[str] = ("contrec",), progress: bool = False, path: str | None = None, write: bool = False,
    processes: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Train and evaluate every combination that is not in the store yet; going on where an earlier call stopped.

    Args:
        path: file of dataset "table".
        write: also write each combination to ``data/reproduced`` (:func:`record`).
        processes: of every training, as in :func:`fitted`.
    """
    frames = []
    for model in models:
        for recipe in recipes:
            config = Config.from_parameters(
                model, recipe, preset, dataset=dataset, source=source, split=split, seeds=seeds, path=path
            )
            frames.append(results(config, progress=progress, processes=processes))
            if write:
                record(config)
    return pd.concat(frames).drop_duplicates(subset=[c for c in COLUMNS if c != "revision"])


def record(config: Config, seconds: float | None = None) -> Path:
    """Write a config's results, the ranks behind them and their provenance to ``data/reproduced``.

    What is in the store is not run again; what is missing is run.

    Returns:
        The CSV; beside it lie ``<stem>.ranks.parquet`` (model, seed, user, rank, ties) and ``<stem>.json``.
    """
    frame, split = results(config), load_split(config)
    stem = "_".join((config.dataset, config.source, config.split, config.preset, config.recipe))
    path, ranks = (paths.reproduced() / f"{stem}{ending}" for ending in (".csv", ".ranks.parquet"))
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.round({"value": 6, "low": 6, "high": 6}).to_csv(path, index=False)
    _ranks(config).to_parquet(ranks, index=False)
    entry = provenance.record(
        asdict(config), dataset=f"{config.dataset} {config.source}",
        inputs=data.inputs(config.dataset, config.source, config.path), seeds=config.seeds, seconds=seconds,
        rows={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)}, outputs=[ranks],
    )  # fmt: skip
    provenance.write_beside(path, entry)
    return path


def _ranks(config: Config) -> pd.DataFrame:
    """Rank of every test case's target, by model and seed, for all that :func:`results` lists."""
    folders = [(floor(config, name, config.seeds[0]), config.seeds[0]) for name in FLOORS]
    folders += [(floor(config, "lightgcn", seed), seed) for seed in config.seeds[1:]]
    folders += [(evaluated(config, seed), seed) for seed in config.seeds]
    if config.recommender.language.backbone == "tiny":
        folders.append((random_backbone(config, config.seeds[0])[1], config.seeds[0]))
    frames = [
        pd.DataFrame({"model": name, "seed": seed, "user": e.user, "rank": e.ranks, "ties": e.ties})
        for folder, seed in folders
        for name, e in kept_evaluations(folder).items()
    ]
    return pd.concat(frames, ignore_index=True)
