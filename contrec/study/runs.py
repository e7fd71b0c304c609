"""Runs: data, embeddings, training and evaluation of one config, each kept under its fingerprint, and their tables."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import baselines, data, embeddings, paths
from contrec.controls import variants
from contrec.evaluation import Evaluation, evaluate, paired_bootstrap
from contrec.recommender import Recommender
from contrec.study import provenance
from contrec.study.config import Config
from contrec.study.stages import stage_version
from contrec.study.store import Store, load_tensors, save_tensors, write_json

FLOORS = ("popularity", "itemknn", "itemknn/recency", "transitions", "ease", "lightgcn")
SAMPLES = {"tiny": 8, "laptop": 32, "gpu": 32}  # of the row "mean of n samples", by preset
COLUMNS = [
    "dataset", "source", "split", "model", "recipe", "preset", "seed", "metric", "value", "low", "high", "n_users",
    "run", "revision",
]  # fmt: skip


def store() -> Store:
    """The store of this project."""
    return Store(paths.artifacts())


# -- the stages of one run ---------------------------------------------------------------------------------------------


def data_key(config: Config) -> dict:
    """What the split is made from: names, the SHA-256 of every file read, and the version of the code."""
    files = data.inputs(config.dataset, config.source, config.path)
    names = {"dataset": config.dataset, "source": config.source, "split": config.split}
    return {**names, "files": files, "version": stage_version("data")}


@cache
def _split(dataset: str, source: str, protocol: str, path: str | None):
    settings = {"path": path} if path else {}
    interactions, catalogue = data.load(dataset, source, **settings)
    return data.split(interactions, catalogue, protocol)


def load_split(config: Config) -> data.Split:
    """The split of a config, made once per process."""
    return _split(config.dataset, config.source, config.split, config.path)


def embeddings_key(config: Config, seed: int) -> dict:
    """What base embeddings are made from."""
    inner = config.recommender
    return {"data": data_key(config), "kind": inner.inputs, "settings": inner.embeddings, "seed": seed}


def base_embeddings(config: Config, seed: int, progress: bool = False) -> embeddings.Embeddings:
    """The base embeddings of a config, from the store or made and kept there."""
    inner = config.recommender

    def make(folder: Path) -> None:
        made = embeddings.make(inner.inputs, load_split(config), seed=seed, progress=progress, **inner.embeddings)
        tensors, settings = made.state()
        save_tensors(folder / "embeddings.safetensors", tensors, settings)

    folder = store().get_or_make("embeddings", embeddings_key(config, seed), make)
    return embeddings.Embeddings.from_state(*load_tensors(folder / "embeddings.safetensors"))


def recommender_key(config: Config, seed: int) -> dict:
    """What a fitted recommender is made from: settings, and the fingerprints or versions of the stages before it."""
    before = {
        "embeddings": store().path("embeddings", embeddings_key(config, seed)).name,
        "tokenizers": stage_version("tokenizers"),
    }
    own = {"config": asdict(config.recommender), "seed": seed, "model": config.model}
    return {"data": data_key(config), **before, **own}


def run_name(config: Config, seed: int) -> str:
    """The run's name: the fingerprint of its recommender."""
    return store().path("recommender", recommender_key(config, seed)).name


def fitted(config: Config, seed: int, progress: bool = False) -> Recommender:
    """The trained recommender: from the store, or trained (going on from the last checkpoint) and kept there."""

    def make(folder: Path) -> None:
        start = time.perf_counter()
        recommender = Recommender(config.recommender)
        recommender.fit(
            load_split(config), embeddings=base_embeddings(config, seed, progress), seed=seed, progress=progress,
            folder=folder / "checkpoints",
        )  # fmt: skip
        recommender.save(folder / "model")
        shutil.rmtree(folder / "checkpoints")  # needed no more
        about = {"config": asdict(config), "seed": seed, "seconds": time.perf_counter() - start}
        write_json(folder / "run.json", {**about, "label": config.label, "revision": provenance.revision()})

    folder = store().get_or_make("recommender", recommender_key(config, seed), make, resume=True)
    return Recommender.load(folder / "model")


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


def evaluated(config: Config, seed: int, progress: bool = False) -> Path:
    """Folder with the run's test metrics: its own estimate, other estimates and controls."""

    def make(folder: Path) -> None:
        recommender, split = fitted(config, seed, progress), load_split(config)
        models = variants(recommender, split, split.test, seed=seed, n_samples=SAMPLES[config.preset])
        _keep(folder, {name: evaluate(model, split.test, train=split.train) for name, model in models.items()})

    fitted(config, seed, progress)
    return store().get_or_make("evaluation", {"recommender": run_name(config, seed)}, make)


def floor(config: Config, name: str, seed: int = 0, progress: bool = False) -> Path:
    """Folder with a baseline's test metrics on the config's split."""

    def make(folder: Path) -> None:
        split = load_split(config)
        model = baselines.make(name).fit(split, seed=seed, progress=progress)
        _keep(folder, {name: evaluate(model, split.test, train=split.train)})

    return store().get_or_make("baselines", {"data": data_key(config), "model": name, "seed": seed}, make)


# -- tables ------------------------------------------------------------------------------------------------------------


def results(config: Config, *, progress: bool = False) -> pd.DataFrame:
    """Floors, then the run and its controls, for every seed of the config: one row per model, seed and metric.

    Deterministic floors and the random-backbone control, which is a training of its own, are run for the first seed.
    Columns as in ``data/reproduced``. What is in the store is not run again.
    """
    frames, run = [], {"recipe": config.recipe, "preset": config.preset}
    for name in FLOORS:
        for seed in config.seeds if name == "lightgcn" else config.seeds[:1]:
            frames.append(_rows(config, floor(config, name, seed, progress), seed, recipe="", preset=""))
    for seed in config.seeds:
        frames.append(_rows(config, evaluated(config, seed, progress), seed, **run))
    if config.recommender.language.backbone == "tiny":
        seed = config.seeds[0]
        frames.append(_rows(*random_backbone(config, seed, progress), seed, **run))
    return pd.concat(frames, ignore_index=True)[COLUMNS]


def random_backbone(config: Config, seed: int, progress: bool = False) -> tuple[Config, Path]:
    """The control with a random, frozen backbone: everything else is trained as in the run."""
    frozen = config.with_settings(language__train="none", language__quantize=False)
    if config.recommender.language.backbone != "tiny":
        raise ValueError(
            "the random-backbone control is for backbone 'tiny'; a pretrained one has no random counterpart here"
        )

    def make(folder: Path) -> None:
        recommender, split = fitted(frozen, seed, progress), load_split(frozen)
        _keep(folder, {"contrec/random-backbone": evaluate(recommender, split.test, train=split.train)})

    fitted(frozen, seed, progress)
    return frozen, store().get_or_make(
        "evaluation", {"recommender": run_name(frozen, seed), "control": "random-backbone"}, make
    )


def _rows(config: Config, folder: Path, seed: int, recipe: str, preset: str) -> pd.DataFrame:
    run = _run_of(folder)
    about = paths.artifacts() / "recommender" / run / "run.json"  # a run knows the revision that trained it
    made = json.loads(about.read_text(encoding="utf-8"))["revision"] if about.exists() else provenance.revision()
    return pd.read_csv(folder / "results.csv").assign(
        dataset=config.dataset, source=config.source, split=config.split, recipe=recipe, preset=preset, seed=seed,
        run=run, revision=None if made["commit"] is None else made["commit"][:12],
    )  # fmt: skip


def _run_of(folder: Path) -> str:
    """Name of the run that an evaluation belongs to; a baseline's is its own folder's."""
    return json.loads((folder / "key.json").read_text(encoding="utf-8"))["key"].get("recommender", folder.name)


def train_runs(
    dataset: str, source: str | None, split: str, preset: str, recipes: list[str], seeds: list[int],
    models: list[str] = ("contrec",), progress: bool = False, path: str | None = None, write: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Train and evaluate every combination that is not in the store yet; going on where an earlier call stopped.

    Args:
        path: file of dataset "table".
        write: also write each combination to ``data/reproduced`` (:func:`record`).
    """
    frames = []
    for model in models:
        for recipe in recipes:
            config = Config.from_parameters(
                model, recipe, preset, dataset=dataset, source=source, split=split, seeds=seeds, path=path
            )
            frames.append(results(config, progress=progress))
            if write:
                record(config)
    return pd.concat(frames).drop_duplicates(subset=[c for c in COLUMNS if c != "revision"])


def list_runs() -> pd.DataFrame:
    """Finished runs, then floors: name, what they are, and their test metrics."""
    rows = []
    for about in sorted((paths.artifacts() / "recommender").glob("[0-9a-f]*/run.json")):
        run = json.loads(about.read_text(encoding="utf-8"))
        config = run["config"]
        row = {
            "run": about.parent.name,
            "label": run["label"],
            "dataset": Path(config["path"]).name if config.get("path") else config["dataset"],
            **{name: config[name] for name in ("source", "split", "preset")},
            "seed": run["seed"],
            "minutes": run["seconds"] / 60,
        }
        rows += [row | _own(folder) for folder in _evaluations(about.parent.name)] or [row]
    for about in sorted((paths.artifacts() / "baselines").glob("[0-9a-f]*/key.json")):
        key = json.loads(about.read_text(encoding="utf-8"))["key"]
        names = {name: key["data"][name] for name in ("dataset", "source", "split")}
        if names["dataset"] == "table":
            names["dataset"] = ", ".join(key["data"]["files"])
        rows.append({"run": about.parent.name, "label": "floor", **names, "seed": key["seed"], **_own(about.parent)})
    return pd.DataFrame(rows)


def _own(folder: Path) -> dict:
    """Name and test metrics of the model that an evaluation is about; its controls come after it."""
    frame = pd.read_csv(folder / "results.csv")
    own = frame[frame.model == frame.model.iloc[0]]
    return {"model": own.model.iloc[0], **own.set_index("metric").value.to_dict()}


def _find(run: str, stage: str) -> Path:
    """The artifact folder of a run, by its name or the beginning of it."""
    found = [f for f in (paths.artifacts() / stage).glob(f"{run}*") if f.is_dir()] if run else []
    if len(found) != 1:
        known = [f.name for f in sorted((paths.artifacts() / stage).glob("[0-9a-f]*")) if f.is_dir()]
        raise ValueError(_not_one(run, len(found), "runs", known))
    return found[0]


def _not_one(run: str, count: int, what: str, known: list[str], shown: int = 10) -> str:
    """What to do about a name that does not name one run."""
    if run and not count and any((paths.artifacts() / "recommender").glob(f".{run}*.unfinished")):
        return f"run {run!r} is not finished: the `contrec study` command that began it goes on where it stopped"
    more = f" and {len(known) - shown} more, which `contrec runs` lists" if len(known) > shown else ""
    return f"run {run!r} names {count} {what}; known are {', '.join(known[:shown]) or 'none yet'}{more}"


def _evaluations(run: str) -> list[Path]:
    """Folders of kept evaluations, of runs (ContRec or a baseline) whose name begins with ``run``."""
    keys = [f for stage in ("evaluation", "baselines") for f in (paths.artifacts() / stage).glob("[0-9a-f]*/key.json")]
    return sorted(f.parent for f in keys if _run_of(f.parent).startswith(run))


def compare(run_a: str, run_b: str, metrics=("HR@10", "HR@20", "NDCG@10", "NDCG@20")) -> pd.DataFrame:
    """Paired bootstrap of two runs on their kept ranks; differences in percentage points, first minus second.

    A run is named by its fingerprint, or by "<fingerprint>:<model>" for a control kept with it. Runs on other data, or
    on the same data from another source, are refused: their targets differ even where their users agree.
    """
    evaluations, cases = [], []
    for run in (run_a, run_b):
        name, _, model = run.partition(":")
        folders = _evaluations(name) if name else []
        if len(folders) != 1:
            known = sorted(_evaluations(""), key=lambda f: f.parent.name != "evaluation")  # floors last
            known = [f"{_run_of(f)} ({_own(f)['model']})" for f in known]
            raise ValueError(_not_one(name, len(folders), "evaluated runs", known))
        kept = kept_evaluations(folders[0])
        model = model or next(iter(kept))
        if model not in kept:
            raise ValueError(f"run {name!r} holds no model {model!r}; it holds {', '.join(kept)}")
        evaluations.append(kept[model])
        cases.append(_data_of(folders[0]))
    if cases[0] != cases[1]:
        raise ValueError(f"a paired comparison needs the same test cases, got {' and '.join(cases)}")
    return pd.DataFrame([_flat(paired_bootstrap(*evaluations, m)) for m in metrics])


def _data_of(folder: Path) -> str:
    """Dataset, source and split that an evaluation belongs to."""
    key = json.loads((folder / "key.json").read_text(encoding="utf-8"))["key"]
    if "recommender" in key:
        about = paths.artifacts() / "recommender" / key["recommender"] / "run.json"
        names = json.loads(about.read_text(encoding="utf-8"))["config"]
    else:
        names = key["data"]
    return ", ".join(names[name] for name in ("dataset", "source", "split"))


def _flat(outcome: dict) -> dict:
    low, high = outcome.pop("interval")
    return {"metric": outcome["metric"], "difference": outcome["difference"], "low": low, "high": high, **outcome}


def recommend(run: str, users=None, history=None, all: bool = False, k: int = 10) -> pd.DataFrame:  # noqa: A002
    """Ranked items with the preference text, from a finished run: for users, a history of item ids, or every user."""
    recommender = Recommender.load(_find(run, "recommender") / "model")
    if history is not None:
        return recommender.recommend(history=history, k=k).drop(columns="case")
    if all:
        users = list(recommender.user_ids)
    cases = recommender.cases_of(users)
    unseen = len(recommender.catalogue) - np.diff(cases.history_matrix(len(recommender.catalogue)).indptr)
    if k > unseen.min():
        few = int(unseen.argmin())
        raise ValueError(
            f"k must be at most the number of items that a user has not seen: {unseen[few]} for user "
            f"{str(users[few])!r}, of {len(recommender.catalogue)} in the catalogue, got {k}"
        )
    frame = recommender.recommend_cases(cases, k)
    frame.insert(0, "user", np.asarray(users, dtype=str)[frame.pop("case")])
    return frame


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


__all__ = [
    "COLUMNS", "FLOORS", "base_embeddings", "compare", "data_key", "evaluated", "fitted", "floor", "kept_evaluations",
    "list_runs", "load_split", "random_backbone", "recommend", "record", "results", "run_name", "store", "train_runs",
]  # fmt: skip
