"""The grid of baselines: dataset x split x model x seed, filled cheapest first, resumed where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import data, paths
from contrec.artifacts import provenance
from contrec.artifacts.store import read_about
from contrec.checks import one_of
from contrec.data.planted import WORLDS
from contrec.evaluation import Evaluation, paired_bootstrap
from contrec.experiments.baselines import search
from contrec.files import Damaged
from contrec.study import evaluating, parallel
from contrec.study.config import Config
from contrec.study.fitting import load_split, store
from contrec.study.recording import write_results

SEEDS = (0, 1, 2)
# Models in the order of the tables; what "repeat_history" is for are catalogues where people buy again
MODELS = (
    "popularity", "repeat_history", "itemknn", "itemknn/recency", "transitions", "ease", "puresvd", "mf", "lightgcn",
    "gtn", "ltgnn", "gru4rec", "sasrec", "sasrec/bce", "ssd4rec", "dreamrec", "dreamrec/inner", "oracle",
)  # fmt: skip
DETERMINISTIC = (
    "popularity",
    "repeat_history",
    "itemknn",
    "itemknn/recency",
    "transitions",
    "ease",
    "puresvd",
    "oracle",
)
FLOORS = tuple(m for m in MODELS if m in evaluating.FLOORS)
# (dataset, source, split) -> models and seeds that the study's tables want
_SOME = (*FLOORS, "gru4rec", "sasrec", "dreamrec")
_CHEAP = tuple(m for m in FLOORS if m != "lightgcn")  # half an hour of one core and more on these
_ALL = tuple(m for m in MODELS if m not in ("repeat_history", "oracle"))
WANTED: dict[tuple[str, str, str], tuple[tuple[str, ...], tuple[int, ...]]] = {
    ("lastfm", "released", "leave_one_out"): (_ALL, SEEDS),
    ("software", "released", "leave_one_out"): (("repeat_history", *_ALL), SEEDS),
    ("software", "released", "unseen_users"): (("repeat_history", *FLOORS, "mf"), SEEDS),
    ("beauty", "released", "unseen_users"): (_CHEAP, (0,)),
    ("games", "released", "unseen_users"): (_CHEAP, (0,)),
    ("lastfm", "raw", "time_point"): (_ALL, SEEDS),
    ("beauty_positive", "released", "leave_one_out"): (_SOME, (0,)),
    ("beauty", "released", "leave_one_out"): (_SOME, (0,)),
    ("games", "released", "leave_one_out"): (_SOME, (0,)),
    ("ml1m", "released", "leave_one_out"): (_SOME, (0,)),
    ("ml1m_all", "raw", "leave_one_out"): (("popularity", "sasrec"), (0,)),  # what others report SASRec on
}
# Seconds of one run on LastFM (52,670 rows), one thread; a first guess, replaced by what finished cells have taken
GUESS = {
    "popularity": 1, "repeat_history": 1, "itemknn": 2, "itemknn/recency": 2, "transitions": 2, "ease": 5, "puresvd": 3,
    "mf": 40, "lightgcn": 60, "gtn": 90, "ltgnn": 90, "gru4rec": 90, "sasrec": 90, "sasrec/bce": 60, "ssd4rec": 240,
    "dreamrec": 60, "dreamrec/inner": 60, "oracle": 1,
}  # fmt: skip
SIZES = {
    "planted": 0.1, "planted_shuffled": 0.1,
    "lastfm": 1, "software": 0.1, "beauty_positive": 3.5, "beauty": 5.5, "games": 6, "ml1m": 14,
    "ml1m_all": 17,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run of one baseline."""

    dataset: str
    source: str
    split: str
    model: str
    seed: int
    preset: str = "laptop"  # "tiny": cut short

    @property
    def config(self) -> Config:
        return _config(self.dataset, self.source, self.split, self.preset)

    @property
    def done(self) -> bool:
        return store().has("baselines", evaluating.baseline_key(self.config, self.model, self.seed))

    @property
    def folder(self) -> Path:
        return store().path("baselines", evaluating.baseline_key(self.config, self.model, self.seed))


@cache
def _config(dataset: str, source: str, split: str, preset: str = "laptop") -> Config:
    return Config.from_parameters(preset=preset, dataset=dataset, source=source, split=split)


def cells_of(config: Config, models: Sequence[str] | None = None) -> list[Cell]:
    """The cells of one dataset and split, for the seeds of ``config``; None: all models that the dataset is fit for."""
    if models is None:
        known = config.dataset in WORLDS and config.split != "unseen_users"  # strangers have no known taste
        left_out = set() if known else {"oracle"}
        left_out |= {"repeat_history"} if config.dataset != "software" else set()
        models = [m for m in MODELS if m not in left_out]
    return [
        Cell(config.dataset, config.source, config.split, model, seed, config.preset)
        for model in models
        for seed in (config.seeds[:1] if model in DETERMINISTIC else config.seeds)
    ]


def cells(datasets=None, models=None, seeds=None, splits=None) -> list[Cell]:
    """The wanted cells, of all or of the named datasets, models, seeds and splits.

    Raises:
        ValueError: for a name that nothing wanted has, or if nothing wanted has all of them.
    """
    found = []
    for (dataset, source, split), (names, own_seeds) in WANTED.items():
        for model in names:
            for seed in own_seeds[:1] if model in DETERMINISTIC else own_seeds:
                found.append(Cell(dataset, source, split, model, seed))
    asked = {"dataset": datasets, "model": models, "seed": seeds, "split": splits}
    for what, names in asked.items():
        for name in names or ():
            one_of(what, name, tuple(dict.fromkeys(getattr(cell, what) for cell in found)))
    kept = [c for c in found if all(v is None or getattr(c, k) in v for k, v in asked.items())]
    if not kept:
        raise ValueError(
            f"no wanted cell has {', '.join(f'{k} in {list(v)}' for k, v in asked.items() if v is not None)}; "
            f"wanted are datasets {', '.join(dict.fromkeys(c.dataset for c in found))}, models {', '.join(MODELS)}"
        )
    return kept


def estimates(wanted: Sequence[Cell]) -> dict[Cell, float]:
    """Seconds that each cell is expected to take on one thread.

    A model costs in proportion to the size of its data. The factor is the median of its finished cells, else that
    of the first guess.
    """
    factors: dict[str, list[float]] = {}
    for cell in cells():
        if cell.done:
            try:
                took = read_about(cell.folder)["seconds, with test"]
            except Damaged:
                continue  # what it took is a guess the less
            factors.setdefault(cell.model, []).append(took / SIZES[cell.dataset])
    return {c: float(np.median(factors.get(c.model, [GUESS[c.model]]))) * SIZES[c.dataset] for c in wanted}


def fill(wanted: Sequence[Cell], *, workers: int = 1, progress: bool = False, say=None) -> None:
    """Run the cells that are not in the store, cheapest first.

    Args:
        workers: processes of one thread each; several calls, and several machines on one file system, share the work,
            since a cell that another process makes is waited for.
        progress: a bar in estimated seconds, which tells how much is left.
        say: gets a line about each finished cell.
    """
    from tqdm.auto import tqdm

    seconds = estimates(wanted)
    todo = sorted((c for c in wanted if not c.done), key=lambda c: (seconds[c], MODELS.index(c.model)))
    for key in dict.fromkeys((c.dataset, c.source, c.split) for c in todo):
        load_split(_config(*key))  # fetched and checked by one process
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    bar = tqdm(total=sum(seconds[c] for c in todo), desc="grid", disable=not progress, bar_format=form)
    for (cell,) in parallel.finished(make, [(c,) for c in todo], workers):
        bar.update(seconds[cell])
        bar.set_postfix_str(f"{cell.model} on {cell.dataset}")
        if say:
            metrics = evaluating.kept_evaluations(cell.folder)[cell.model].metrics()
            say(f"{cell.dataset} {cell.split} {cell.model} seed {cell.seed}: HR@10 {metrics['HR@10']:.4f}")
    bar.close()


def make(cell: Cell) -> None:
    """Run one cell, or find it in the store."""
    evaluating.floor(cell.config, cell.model, cell.seed)


def overview(wanted: Sequence[Cell]) -> pd.DataFrame:
    """How many seeds of each model are done: a row per model, a column per dataset and split; "not run" for none."""
    rows: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(c.model for c in wanted):
        for column in dict.fromkeys(f"{c.dataset} {c.split}" for c in wanted):
            own = [c for c in wanted if c.model == name and f"{c.dataset} {c.split}" == column]
            count = sum(c.done for c in own)
            text = f"{count} of {len(own)}" if count else "not run"
            rows.setdefault(column, {})[name] = text if own else "-"
    return pd.DataFrame(rows).rename_axis("model").reset_index()


def results(wanted: Sequence[Cell]) -> pd.DataFrame:
    """Metrics of the finished cells, in the columns of ``data/reproduced``.

    Raises:
        ValueError: if none is finished; it names the command that fills them.
    """
    frames = [evaluating.rows_of(c.config, c.folder, c.seed, recipe="", preset="") for c in wanted if c.done]
    if not frames:
        names = ",".join(dict.fromkeys(c.dataset for c in wanted))
        raise ValueError(f"none of these cells has been run yet: contrec study --grid --datasets {names} runs them")
    return pd.concat(frames, ignore_index=True)


def evaluations(wanted: Sequence[Cell]) -> dict[tuple[str, int], Evaluation]:
    """Kept ranks of the finished cells of one dataset and split, by model and seed."""
    return {(name, c.seed): e for c in wanted if c.done for name, e in evaluating.kept_evaluations(c.folder).items()}


def paired(
    kept: dict[tuple[str, int], Evaluation], against: str | None = None, metrics=("HR@10", "NDCG@10")
) -> pd.DataFrame:
    """Every model against one, on the same users; a model's seeds are averaged user by user first.

    Args:
        kept: from :func:`evaluations`.
        against: None takes the best model by the first metric, the oracle and rankings with seen items kept aside.

    Returns:
        model, against, metric, difference in percentage points (model minus ``against``), low, high and p by paired
        bootstrap.
    """
    by_model: dict[str, list[Evaluation]] = {}
    for (name, _), evaluation in kept.items():
        by_model.setdefault(name, []).append(evaluation)
    if against is None:
        mean = {name: np.mean([e.metrics()[metrics[0]] for e in own]) for name, own in by_model.items()}
        against = max((name for name in mean if name != "oracle" and "/seen-kept" not in name), key=mean.get)
    rows = []
    for name, own in by_model.items():
        if name != against and own[0].exclude_seen == by_model[against][0].exclude_seen:
            for metric in metrics:
                found = paired_bootstrap(own, by_model[against], metric)
                low, high = found["interval"]
                row = {"model": name, "against": against, "metric": metric, "difference": found["difference"]}
                rows.append({**row, "low": low, "high": high, "p": found["p"]})
    return pd.DataFrame(rows)


def spread(results_: pd.DataFrame, metric: str = "HR@10") -> pd.DataFrame:
    """Two deviations that must not be mixed: over users (sampling), and over training seeds where there are several."""
    own = results_[results_.metric == metric]
    sampling = ((own.high - own.low) / 3.92).groupby(own.model, sort=False).mean()
    training = own.groupby("model", sort=False)["value"].agg(["mean", "std", "count"])
    frame = training.assign(sampling=sampling).reset_index()
    return frame.rename(columns={"mean": metric, "std": "s.d. of training", "count": "n", "sampling": "s.d. of users"})


def record(wanted: Sequence[Cell]) -> list[Path]:
    """Write the finished cells to ``data/reproduced``: one CSV per dataset, source and split, ranks and provenance."""
    written = []
    for key in dict.fromkeys((c.dataset, c.source, c.split) for c in wanted):
        own = [c for c in wanted if (c.dataset, c.source, c.split) == key and c.done]
        if not own:
            continue
        config, split = _config(*key), load_split(_config(*key))
        path = paths.reproduced() / f"{'_'.join((*key, 'baselines'))}.csv"
        made = [read_about(c.folder) for c in own]
        settings = {c.model: search.chosen(c.model, c.dataset)[0] for c in own}
        entry = provenance.record(
            {"study": asdict(config), "settings": settings}, dataset=f"{config.dataset} {config.source}",
            inputs=data.inputs(config.dataset, config.source), seeds=sorted({c.seed for c in own}),
            seconds=sum(a["seconds, with test"] for a in made),
            device=" and ".join(sorted({a["device"] for a in made})),
            rows={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        )  # fmt: skip
        written.append(write_results(path, results(own), evaluations(own).items(), entry))
    return written
