"""Evaluations of one config's runs and of the floors, each kept under its fingerprint, and their tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import baselines, paths
from contrec.artifacts import provenance
from contrec.artifacts.stages import stage_version
from contrec.artifacts.store import CHECKPOINTS, load_tensors, made_from, read_about, save_tensors
from contrec.checks import positive
from contrec.controls import variants
from contrec.data.unseen import numbers_in
from contrec.evaluation import Evaluation, evaluate
from contrec.files import Damaged, write_json
from contrec.study.config import Config
from contrec.study.fitting import before_refit, data_key, fitted, load_split, run_name, store
from contrec.study.processes import is_main, make_together
from contrec.study.recording import entry_of, write_results
from contrec.study.settings import FLOORS, RECIPES, TAGGED, chosen, trained

# Stages that a baseline's result depends on, besides "baselines" and the data
_GRAPH, _SEQUENCE = ("learned", "graph_baselines"), ("learned", "sequence_baselines")
VERSIONS = {
    "lightgcn": ("embeddings", "lightgcn"),
    **dict.fromkeys(("itemknn/text", "transitions/text"), ("embeddings",)),
    **dict.fromkeys(("mf", "gtn", "ltgnn"), _GRAPH),
    **dict.fromkeys(("gru4rec", "sasrec", "esasrec", "bsarec", "ssd4rec"), _SEQUENCE),
    "sasrec/text": (*_SEQUENCE, "embeddings"), "dreamrec": (*_SEQUENCE, "dreamrec", "diffusion"),
    "contrec/plain-head": ("learned", "embeddings", "plain_head"),
}  # fmt: skip
REPEATS = 0.05  # share of test targets that were seen, from which on rankings with seen items kept are made too
# What metrics of unseen users are compared with, as endings of a model's name: see :func:`_beside_unseen`
SEEN, INSIDE = "/seen-users", "/in-training"
SAMPLES = {"tiny": 8, "laptop": 32, "gpu": 32}  # of the row "mean of n samples", by preset
COLUMNS = [
    "dataset", "source", "split", "model", "recipe", "preset", "seed", "metric", "value", "low", "high", "n_users",
    "run", "revision",
]  # fmt: skip


def keep(folder: Path, evaluations: dict[str, Evaluation], full: Path | None = None) -> None:
    """Metrics with intervals as CSV, and the ranks behind them; rows "in-training" belong to the run in ``full``."""
    tensors, about = {}, {}
    for name, e in evaluations.items():
        tensors |= {f"{name}:ranks": e.ranks, f"{name}:ties": e.ties, f"{name}:user": e.user}
        about[name] = {"exclude_seen": e.exclude_seen, "coverage": e.coverage, "counts": e.counts}
    save_tensors(folder / "ranks.safetensors", tensors, about)
    frame = pd.concat([e.to_frame().assign(model=name) for name, e in evaluations.items()])
    if full is not None:
        frame["run"] = np.where(frame.model.str.endswith(INSIDE), run_of(full), None)
    frame.to_csv(folder / "results.csv", index=False)


def kept_evaluations(folder: Path) -> dict[str, Evaluation]:
    """The evaluations that an artifact of stage "evaluation", "baselines" or "sweep" holds, by model name."""
    made_from(folder)
    tensors, about = load_tensors(folder / "ranks.safetensors")
    arrays = {name: t.numpy() for name, t in tensors.items()}
    return {
        n: Evaluation(*(arrays[f"{n}:{part}"] for part in ("ranks", "ties", "user")), **a) for n, a in about.items()
    }


def whole(config: Config) -> Config:
    """The same study with everybody in training, those of split "unseen_users" too."""
    return replace(config, split="leave_one_out")


def _beside_unseen(config: Config, model, kept: dict[str, Evaluation], full: Path) -> dict[str, Evaluation]:
    """What the unseen users' metrics are compared with; users are numbered alike, so that they can be paired.

    Args:
        model: fitted without them.
        kept: its evaluations on unseen users by name.
        full: folder with the evaluations of the run that had everybody in training.

    Returns:
        "<name>/seen-users": the same model on the users in its training, whose histories are longer.
        "<name>/in-training": the unseen users themselves, as the full run ranked for them.
    """
    split = load_split(config)
    users = numbers_in(load_split(whole(config)), split)
    found = {
        name + SEEN: evaluate(model, split.seen_users, exclude_seen=e.exclude_seen, train=split.train)
        for name, e in kept.items()
    }
    for name, e in kept_evaluations(full).items():
        rows = np.isin(e.user, users)
        own = {"ranks": e.ranks[rows], "ties": e.ties[rows], "user": -1 - np.arange(len(users))}
        found[name + INSIDE] = replace(e, **own, coverage=None, counts={"cases": len(users), "users": len(users)})
    return found


def evaluated(config: Config, seed: int, progress: bool = False, processes: int = 1) -> Path:
    """Folder with the run's test metrics: its own estimate, other estimates and controls; as :func:`fitted`.

    Under "unseen_users" also what :func:`_beside_unseen` says, for which the full run is made.
    """

    def make(folder: Path) -> None:
        recommender, split = fitted(config, seed, progress), load_split(config)
        n_samples, name = SAMPLES[config.preset], config.model
        models = variants(recommender, split, split.test, seed=seed, n_samples=n_samples, name=name)
        kept = {name: evaluate(model, split.test, train=split.train) for name, model in models.items()}
        if full:
            kept |= _beside_unseen(config, recommender, {name: kept[name]}, full)
        keep(folder, kept, full)

    full = evaluated(whole(config), seed, progress, processes) if config.split == "unseen_users" else None
    fitted(config, seed, progress, processes)
    return store().get_or_make("evaluation", {"recommender": run_name(config, seed)}, make)


def alone(config: Config, seed: int, progress: bool = False, processes: int = 1) -> Path:
    """Folder with the test metrics of the run's own estimate alone, which is cheap; as :func:`fitted`."""

    def make(folder: Path) -> None:
        recommender, split = fitted(config, seed, progress), load_split(config)
        keep(folder, {config.model: evaluate(recommender, split.test, train=split.train)})

    fitted(config, seed, progress, processes)
    return store().get_or_make("evaluation", alone_key(config, seed), make)


def alone_key(config: Config, seed: int) -> dict:
    """What :func:`alone` is kept under: the whole evaluation where there is one."""
    whole = {"recommender": run_name(config, seed)}
    return whole if store().has("evaluation", whole) else {**whole, "control": "none"}


def versions_of(name: str) -> dict[str, int]:
    """Versions of the stages that a baseline, or a recipe that is searched as they are, is made of."""
    if name in RECIPES:
        return {stage: stage_version(stage) for stage in ("embeddings", "tokenizers", "diffusion", "recommender")}
    stages = ("baselines", *VERSIONS.get(name, VERSIONS.get(name.partition("/")[0], ())))
    return {stage: stage_version(stage) for stage in stages}


def baseline_key(config: Config, name: str, seed: int = 0) -> dict:
    """What a baseline's result is made from."""
    settings, _ = chosen(name, config)
    own = {"model": name, "seed": seed, "settings": settings, "versions": versions_of(name), **baselines.text_of(name)}
    return {"data": data_key(config), **own}


def floor(config: Config, name: str, seed: int = 0, progress: bool = False, processes: int = 1) -> Path:
    """Folder with a baseline's test metrics on the config's split, with the settings that the search chose.

    Where many test targets were seen before (Software), "<name>/seen-kept" ranks with the history's items among the
    candidates. A stopped training goes on from its last checkpoint. Under "unseen_users" also what
    :func:`_beside_unseen` says.

    Args:
        processes: of the training, where there is one; as in :func:`contrec.study.fitting.fitted`.
    """
    positive("processes", processes)
    full = floor(whole(config), name, seed, progress, processes) if config.split == "unseen_users" else None
    key = baseline_key(config, name, seed)
    arguments = {"config": asdict(config), "name": name, "seed": seed, "progress": progress}
    arguments["epochs"] = None
    if config.refit and trained(name):
        arguments["epochs"] = _epochs(floor(before_refit(config), name, seed, progress, processes))
    arguments["full"] = None if full is None else str(full)
    if processes > 1 and isinstance(baselines.make(name), baselines.Learned) and not store().has("baselines", key):
        make_together("baselines", key, "contrec.study.evaluating:fit_baseline", arguments, processes)
    return store().get_or_make("baselines", key, partial(fit_baseline, **arguments), resume=True)


def _epochs(folder: Path) -> int | None:
    """How many epochs validation has chosen for a baseline; None where it knows no epochs."""
    about = read_about(folder)
    if "chosen epochs" not in about:
        raise Damaged(f"{folder} was made before refits were and does not say its epochs; remove it: it is made anew")
    return about["chosen epochs"]


def fit_baseline(
    folder: Path, config: dict, name: str, seed: int, progress: bool, epochs: int | None, full: str | None
) -> None:
    """Fit and evaluate a baseline and write the artifact; of several processes all train and the main one writes.

    Args:
        epochs: of a refit.
        full: folder with the evaluations of the run that had everybody in training, under "unseen_users".
    """
    config, start = Config.from_dict(config), time.perf_counter()
    split, (settings, source) = load_split(config), chosen(name, config)
    model = baselines.make(name, **settings)
    resumes = isinstance(model, baselines.Learned)
    main = not resumes or is_main()
    more = {"folder": folder / CHECKPOINTS} if resumes else {}
    more |= {"epochs": epochs} if epochs is not None else {}
    model.fit(split, seed=seed, progress=progress and main, **more)
    if not main:
        return
    about = {"settings": settings, "source": source, "seconds": time.perf_counter() - start}
    about |= {"epochs": len(getattr(model, "history", [])), "chosen epochs": getattr(model, "epochs", None)}
    about["device"] = provenance.device_name(getattr(model, "device", "cpu"))
    kept = {name: evaluate(model, split.test, train=split.train)}
    if split.counts["repeated_targets"] > REPEATS * len(split.test):
        kept[f"{name}/seen-kept"] = evaluate(model, split.test, exclude_seen=False, train=split.train)
    if full:
        kept |= _beside_unseen(config, model, kept, Path(full))
    keep(folder, kept, full and Path(full))
    about |= {"seconds, with test": time.perf_counter() - start, "revision": provenance.revision()}
    write_json(folder / "about.json", about)


def results(config: Config, *, progress: bool = False, processes: int = 1) -> pd.DataFrame:
    """Floors, then the run and its controls, for every seed of the config: one row per model, seed and metric.

    Floors without training and the random-backbone control, which is a training of its own, are run for the first seed.
    Columns as in ``data/reproduced``. What is in the store is not run again; ``processes`` as in :func:`fitted`.
    """
    frames = []
    for of, folder, seed in _made(config, progress, processes):
        run = {"recipe": config.recipe, "preset": config.preset} if "recommender" in made_from(folder) else {}
        frames.append(rows_of(of, folder, seed, **{"recipe": "", "preset": ""} | run))
    return pd.concat(frames, ignore_index=True)


def floors(config: Config) -> tuple[str, ...]:
    """The floors that stand beside a run: whatever its inputs read, one of them reads."""
    return *FLOORS, *TAGGED.get(config.dataset, ())


def _made(config: Config, progress: bool = False, processes: int = 1) -> Iterator[tuple[Config, Path, int]]:
    """Config, folder and seed of every evaluation that :func:`results` lists, made where it is missing."""
    for name in floors(config):
        for seed in config.seeds if trained(name) else config.seeds[:1]:
            yield config, floor(config, name, seed, progress, processes), seed
    for seed in config.seeds:
        yield config, evaluated(config, seed, progress, processes), seed
    if config.recommender.language.backbone == "tiny":
        yield *random_backbone(config, config.seeds[0], progress, processes), config.seeds[0]


def random_backbone(config: Config, seed: int, progress: bool = False, processes: int = 1) -> tuple[Config, Path]:
    """The control with a random, frozen backbone: everything else is trained as in the run, and as :func:`fitted`."""
    frozen = config.with_settings(language__train="none", language__quantize=False)
    if config.recommender.language.backbone != "tiny":
        raise ValueError(
            "the random-backbone control is for backbone 'tiny'; a pretrained one has no random counterpart here"
        )

    def make(folder: Path) -> None:
        recommender, split = fitted(frozen, seed, progress), load_split(frozen)
        keep(folder, {f"{config.model}/random-backbone": evaluate(recommender, split.test, train=split.train)})

    fitted(frozen, seed, progress, processes)
    return frozen, store().get_or_make(
        "evaluation", {"recommender": run_name(frozen, seed), "control": "random-backbone"}, make
    )


def rows_of(config: Config, folder: Path, seed: int, recipe: str, preset: str) -> pd.DataFrame:
    """The metrics that an artifact of stage "evaluation" or "baselines" holds, in :data:`COLUMNS`."""
    key, run = made_from(folder), run_of(folder)
    # runs and baselines know the revision that made them
    made = (run_about(run) if "recommender" in key else read_about(folder))["revision"]
    frame = pd.read_csv(folder / "results.csv")
    return frame.assign(
        dataset=config.dataset, source=config.source, split=config.protocol, recipe=recipe, preset=preset, seed=seed,
        run=frame["run"].fillna(run) if "run" in frame else run,
        revision=None if made["commit"] is None else made["commit"][:12],
    )[COLUMNS]  # fmt: skip


def run_of(folder: Path) -> str:
    """Name of the run that an evaluation belongs to; a baseline's is its own folder's."""
    return made_from(folder).get("recommender", folder.name)


def run_about(run: str) -> dict:
    """What is kept about a run by its name: config, seed, seconds, label, revision."""
    return read_about(paths.artifacts() / "recommender" / run, "run.json")


def train_runs(
    configs: Iterable[Config], *, progress: bool = False, write: bool = False, processes: int = 1
) -> pd.DataFrame:
    """Train and evaluate every config that is not in the store yet; going on where an earlier call stopped.

    Args:
        write: also write each config's results to ``data/reproduced`` (:func:`record`).
        processes: of every training, as in :func:`fitted`.

    Raises:
        Damaged: if something in the store is not as it was made; the other configs' results are there then.
    """
    frames, damaged = [], {}
    for config in configs:
        try:
            frames.append(results(config, progress=progress, processes=processes))
            if write:
                record(config)
        except Damaged as error:  # the others do not need it
            damaged[str(error)] = None
    if damaged:
        raise Damaged("; ".join(damaged))
    return pd.concat(frames).drop_duplicates(subset=[c for c in COLUMNS if c != "revision"])


def record(config: Config, seconds: float | None = None) -> Path:
    """Write a config's results, the ranks behind them and their provenance to ``data/reproduced``.

    What is in the store is not run again; what is missing is run.

    Returns:
        The CSV; beside it lie ``<stem>.ranks.parquet`` (model, seed, user, rank, ties) and ``<stem>.json``.
    """
    stem = "_".join((config.dataset, config.source, config.protocol, config.preset, config.name))
    path = paths.reproduced() / f"{stem}.csv"
    write_results(path, results(config), kept_of(config), entry_of(config, seconds=seconds))
    return path


def kept_of(config: Config) -> list[tuple[tuple[str, int], Evaluation]]:
    """The evaluations of all that :func:`results` lists, by model and seed."""
    return [((name, seed), e) for _, folder, seed in _made(config) for name, e in kept_evaluations(folder).items()]
