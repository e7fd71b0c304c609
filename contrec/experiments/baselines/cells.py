"""The grid of baselines: dataset x split x model x seed, filled cheapest first, resumed where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.artifacts.store import read_about
from contrec.checks import one_of
from contrec.data.planted import WORLDS
from contrec.evaluation import Evaluation
from contrec.files import Damaged
from contrec.study import evaluating, jobs
from contrec.study.config import Config
from contrec.study.fitting import load_split, store
from contrec.study.recording import entry_of, read_ranks, read_table, write_results
from contrec.study.settings import BASELINES, DETERMINISTIC, FLOORS, SIZES, TAGGED, model_order

SEEDS = (0, 1, 2)
# (dataset, source, split) -> models and seeds that the study's tables want
_CLOSED = tuple(m for m in DETERMINISTIC if m not in ("repeat_history", "oracle", "ease/tags"))
_SOME = (
    *_CLOSED, "ials", "lightgcn", "gru4rec", "sasrec", "sasrec/text", "esasrec", "bsarec", "dreamrec",
    "contrec/plain-head",
)  # fmt: skip
_CHEAP = tuple(m for m in FLOORS if m != "lightgcn")  # half an hour of one core and more on these
_ALL = tuple(m for m in BASELINES if m not in ("repeat_history", "oracle", "ease/tags"))  # tags: LastFM alone has them
WANTED: dict[tuple[str, str, str], tuple[tuple[str, ...], tuple[int, ...]]] = {
    ("lastfm", "released", "leave_one_out"): ((*_ALL, "ease/tags"), SEEDS),
    ("software", "released", "leave_one_out"): (("repeat_history", *_ALL), SEEDS),
    ("software", "released", "unseen_users"): (("repeat_history", *FLOORS, "mf"), SEEDS),
    ("beauty", "released", "unseen_users"): (_CHEAP, (0,)),
    ("games", "released", "unseen_users"): (_CHEAP, (0,)),
    ("lastfm", "raw", "time_point"): ((*_ALL, "ease/tags"), SEEDS),
    ("beauty_positive", "released", "leave_one_out"): (_SOME, (0,)),
    ("beauty", "released", "leave_one_out"): (_SOME, (0,)),
    ("games", "released", "leave_one_out"): (_SOME, (0,)),
    ("ml1m", "released", "leave_one_out"): (_SOME, (0,)),
    ("ml1m_all", "raw", "leave_one_out"): ((*_CLOSED, "sasrec", "esasrec"), (0,)),  # what others report SASRec on
}
# The same after training on train and validation rows
REFITTED: dict[tuple[str, str, str], tuple[tuple[str, ...], tuple[int, ...]]] = {
    place: wanted for place, wanted in WANTED.items() if place[2] == "leave_one_out"
}
UNKNOWN = 60  # of a model that stands in no table here
# Seconds of one run on LastFM (52,670 rows), one thread; a first guess, replaced by what finished cells have taken
GUESS = {
    "popularity": 1, "repeat_history": 1, "itemknn": 2, "itemknn/recency": 2, "transitions": 2, "ease": 5,
    "ease/tags": 5, "puresvd": 3, "mf": 40, "lightgcn": 60, "gtn": 90, "ltgnn": 90, "gru4rec": 90, "sasrec": 90,
    "sasrec/bce": 60, "ssd4rec": 240, "dreamrec": 60, "dreamrec/inner": 60,
    "itemknn/text": 4, "transitions/text": 5, "puresvd/64": 3, "ials": 60, "sasrec/text": 90, "esasrec": 90,
    "bsarec": 240, "contrec/plain-head": 60, "oracle": 1,
}  # fmt: skip


@dataclass(frozen=True)
class BaselineCell(jobs.InStore):
    """One run of one baseline."""

    dataset: str
    source: str
    split: str
    model: str
    seed: int
    refit: bool = False
    preset: str = "laptop"  # "tiny": cut short
    processes: int = 1  # of a training, on as many GPUs or cores; no part of the result's name

    @property
    def config(self) -> Config:
        return _config(self.dataset, self.source, self.split, self.refit, self.preset)

    @property
    def protocol(self) -> str:
        return self.config.protocol

    @property
    def folder(self) -> Path:
        return store().path("baselines", evaluating.baseline_key(self.config, self.model, self.seed))

    @property
    def place(self) -> tuple[str, str]:
        return self.model, f"{self.dataset} {self.protocol}"

    def make(self) -> None:
        evaluating.floor(self.config, self.model, self.seed, processes=self.processes)

    def told(self) -> str:
        rate = evaluating.kept_evaluations(self.folder)[self.model].metrics()["HR@10"]
        return f"{self.dataset} {self.protocol} {self.model} seed {self.seed}: HR@10 {rate:.4f}"


@cache
def _config(dataset: str, source: str, split: str, refit: bool = False, preset: str = "laptop") -> Config:
    return Config.from_parameters(preset=preset, dataset=dataset, source=source, split=split, refit=refit)


def _configs(wanted: Sequence[BaselineCell]) -> list[Config]:
    """The configs of cells, each once; of equal ones there is one object."""
    return list({id(cell.config): cell.config for cell in wanted}.values())


def of(config: Config, models: Sequence[str] | None = None) -> list[BaselineCell]:
    """The cells of one dataset and split, for the seeds of ``config``; None: all models that the dataset is fit for."""
    if models is None:
        known = config.dataset in WORLDS and config.split != "unseen_users"  # strangers have no known taste
        left_out = set() if known else {"oracle"}
        left_out |= {"repeat_history"} if config.dataset != "software" else set()
        left_out |= {m for dataset, names in TAGGED.items() if dataset != config.dataset for m in names}
        models = [m for m in BASELINES if m not in left_out]
    return [
        BaselineCell(config.dataset, config.source, config.split, model, seed, config.refit, config.preset)
        for model in models
        for seed in (config.seeds[:1] if model in DETERMINISTIC else config.seeds)
    ]


def select(datasets=None, models=None, seeds=None, splits=None) -> list[BaselineCell]:
    """The wanted cells, of all or of the named datasets, models, seeds and splits ("leave_one_out_refit": refitted).

    Raises:
        ValueError: for a name that nothing wanted has, or if nothing wanted has all of them.
    """
    found = [
        BaselineCell(*place, model, seed, refit)
        for wanted, refit in ((WANTED, False), (REFITTED, True))
        for place, (names, own_seeds) in wanted.items()
        for model in names
        for seed in (own_seeds[:1] if model in DETERMINISTIC else own_seeds)
    ]
    asked = {"dataset": datasets, "model": models, "seed": seeds, "protocol": splits}
    for what, names in asked.items():
        for name in names or ():
            one_of(what, name, tuple(dict.fromkeys(getattr(cell, what) for cell in found)))
    kept = [c for c in found if all(v is None or getattr(c, k) in v for k, v in asked.items())]
    if not kept:
        raise ValueError(
            f"no wanted cell has {', '.join(f'{k} in {list(v)}' for k, v in asked.items() if v is not None)}; "
            f"wanted are datasets {', '.join(dict.fromkeys(c.dataset for c in found))}, models {', '.join(BASELINES)}"
        )
    return kept


def guess(models: Sequence[str], dataset: str, seeds: Sequence[int]) -> float:
    """Seconds that models would take on a dataset, one thread, whatever has been run here."""
    size = SIZES.get(dataset, 1)
    return sum(GUESS.get(m, UNKNOWN) * size * (1 if m in DETERMINISTIC else len(seeds)) for m in models)


def estimates(wanted: Sequence[BaselineCell]) -> list[float]:
    """Seconds that each cell is expected to take on one thread.

    A model costs in proportion to the size of its data. The factor is the median of its finished cells, else that
    of the first guess.
    """
    factors: dict[str, list[float]] = {}
    for cell in select():
        with suppress(Damaged):  # what it took is a guess the less
            if cell.done:
                took = read_about(cell.folder)["seconds, with test"]
                factors.setdefault(cell.model, []).append(took / SIZES[cell.dataset])
    unit = {c.model: float(np.median(factors.get(c.model, [GUESS.get(c.model, UNKNOWN)]))) for c in wanted}
    return [unit[c.model] * SIZES.get(c.dataset, 1.0) for c in wanted]


def plan_of(wanted: Sequence[BaselineCell]) -> jobs.Plan:
    """The plan of cells for :mod:`contrec.study.jobs`, cheapest first, once their data are there."""
    order = sorted(zip(estimates(wanted), map(model_order, (c.model for c in wanted)), range(len(wanted))))
    for config in _configs(wanted):
        load_split(config)  # fetched and checked by one process
    return partial(list, [wanted[n] for *_, n in order])


def fill(wanted: Sequence[BaselineCell], *, workers: int = 1, progress: bool = False, say=None) -> None:
    """Run the cells that are not in the store; as :func:`contrec.study.jobs.fill`."""
    plan = plan_of(wanted)
    jobs.fill(plan, workers=workers, progress=progress, title="baselines", say=say, seconds=estimates)


def results(wanted: Sequence[BaselineCell]) -> pd.DataFrame:
    """Metrics of the finished cells, in the columns of ``data/reproduced``.

    Raises:
        ValueError: if none is finished; it names the command that fills them.
    """
    frames = [evaluating.rows_of(c.config, c.folder, c.seed, recipe="", preset="") for c in wanted if c.done]
    if not frames:
        names = ",".join(dict.fromkeys(c.dataset for c in wanted))
        raise ValueError(f"none of these cells has been run yet: contrec fill baselines --datasets {names} runs them")
    return pd.concat(frames, ignore_index=True)


def evaluations(wanted: Sequence[BaselineCell]) -> dict[tuple[str, int], Evaluation]:
    """Kept ranks of the finished cells of one dataset and split, by model and seed."""
    return {(name, c.seed): e for c in wanted if c.done for name, e in evaluating.kept_evaluations(c.folder).items()}


def record(wanted: Sequence[BaselineCell]) -> list[Path]:
    """Write the finished cells to ``data/reproduced``: one CSV per dataset, source and protocol, ranks and provenance.

    What is recorded of models that are not among them stays, with the revision that made it, and stale if it was so.
    """
    written = []
    for config in _configs(wanted):
        own = [c for c in wanted if c.config is config and c.done]
        if not own:
            continue
        path = paths.reproduced() / f"{'_'.join((config.dataset, config.source, config.protocol, 'baselines'))}.csv"
        made = [read_about(c.folder) for c in own]
        settings = {c.model: a["settings"] for c, a in zip(own, made, strict=True)}
        rows, kept = results(own), evaluations(own)
        marks = stale.marks(path).iloc[:0]
        if path.exists():
            before = _beside(path, {c.model for c in own})
            marks = stale.narrowed(path, before[0], "model")
            rows, kept = pd.concat([before[0], rows], ignore_index=True), before[1] | kept
            settings = before[2] | settings
        entry = entry_of(
            config, {"settings": settings}, seeds=sorted({seed for _, seed in kept}),
            seconds=sum(a["seconds, with test"] for a in made),
            device=" and ".join(sorted({a["device"] for a in made})),
        )  # fmt: skip
        written.append(write_results(path, rows, kept.items(), entry))
        stale.mark(marks)
    return written


def _beside(path: Path, models: set[str]) -> tuple[pd.DataFrame, dict, dict]:
    """Rows, evaluations and settings that are recorded of other models than ``models``."""
    rows, ranks = read_table(path), read_ranks(path.with_suffix(".ranks.parquet"))
    groups = rf"(/seen-kept)?({evaluating.SEEN}|{evaluating.INSIDE})?$"
    kept = rows[~rows.model.str.replace(groups, "", regex=True).isin(models)]
    names = set(zip(kept.model, kept.seed, strict=True))
    settings = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["config"].get("settings", {})
    settings = {model: own for model, own in settings.items() if model in set(kept.model)}
    return kept.drop(columns="stale", errors="ignore"), {k: e for k, e in ranks.items() if k in names}, settings
