"""Tables that people read: rankings with floors and controls, and published | reproduced | this run with a verdict."""

from __future__ import annotations

import json
from functools import lru_cache
from inspect import signature
from pathlib import Path

import pandas as pd

from contrec import baselines, paths
from contrec.artifacts import stale
from contrec.baselines.sequences import SequenceModel
from contrec.evaluation import Evaluation, paired_bootstrap, rate_interval
from contrec.papers.published import published, verdict
from contrec.study import words
from contrec.study.config import Config
from contrec.study.evaluating import COLUMNS, INSIDE, SEEN
from contrec.study.recording import read_ranks, read_table
from contrec.study.settings import BASELINES, chosen, model_order

METRICS = ("HR@10", "HR@20", "NDCG@10", "NDCG@20")
# Dataset -> the papers that print a Table 2 row for its files, and their name for it. ContRec's released Beauty files
# hold ratings above 3, DeftRec's all reviews.
PRINTED = {
    "lastfm": ("contrec", "deftrec"), "beauty_positive": ("contrec",), "beauty": ("deftrec",), "ml1m": ("contrec",),
    "games": ("contrec",), "software": ("deftrec",),
}  # fmt: skip
# Protocol -> the tables of the papers that stand beside it. The authors trained on the validation items as well: what a
# refit reaches is what a printed number is to be compared with
_TABLE2 = {"contrec": "contrec_table2", "deftrec": "deftrec_table2"}
TABLES = {
    "leave_one_out": _TABLE2,
    "leave_one_out_refit": _TABLE2,
    "unseen_users": {"contrec": "contrec_table5", "deftrec": "deftrec_table3"},
}


def ranking(kept: words.Kept) -> pd.DataFrame:
    """One row per model and metric, seeds averaged: model, metric, value, low, high, n_seeds.

    low and high are the 95 % interval over users and trainings (:func:`contrec.evaluation.rate_interval`), of one
    training over users only; models stand in the order of ``kept``, evaluations by model and seed.
    """
    columns, frames = ["model", "metric", "value", "low", "high", "n_seeds"], []
    for name in dict.fromkeys(name for name, _ in kept):
        own = words.of_model(kept, name)
        if len(own) == 1:  # all metrics with the same draws
            frame = own[0].to_frame()
        else:
            frame = pd.DataFrame([{"metric": metric, **rate_interval(own, metric)} for metric in own[0].metrics()])
        frames.append(frame.assign(model=name, n_seeds=len(own))[columns])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def ranking_table(kept: words.Kept, config: Config | None = None, digits: int = 4) -> pd.DataFrame:
    """The ranking as a page shows it: a row per model, "value [low, high]" per metric, and the number of seeds.

    Args:
        kept: evaluations by model and seed.
        config: of the run; names then say the loss that it trains each model with.
        digits: of rates.
    """
    frame = ranking(kept)
    text = lambda r: f"{r.value:.{digits}f} [{r.low:.{digits}f}, {r.high:.{digits}f}]"  # noqa: E731
    frame["shown"] = [text(row) for row in frame.itertuples()]
    table = frame.pivot(index="model", columns="metric", values="shown").loc[list(dict.fromkeys(frame.model))]
    table = table[[m for m in METRICS if m in table]]
    n = frame.drop_duplicates("model").set_index("model").n_seeds
    table["seeds"] = [words.trainings(name, n[name]) for name in table.index]
    if config is not None:
        told = lambda name: loss_of(name, chosen(name, config)[0])  # noqa: E731
        table.index = [named(name, told(name) if name in baselines.REGISTRY else "") for name in table.index]
    return table.rename_axis(index="model", columns=None)


def loss_of(model: str, settings: dict) -> str:
    """The loss that a baseline is trained with under its settings, in words; "" of one that has none."""
    maker = baselines.REGISTRY[model]
    kind = getattr(maker, "func", maker)
    used = {name: p.default for name, p in signature(kind).parameters.items()} | getattr(maker, "keywords", {})
    used |= settings
    whole = isinstance(kind, type) and issubclass(kind, SequenceModel)
    says = {
        "softmax": "softmax over all items" if whole else "sampled softmax", "bpr": "BPR",
        "bce": "binary cross-entropy", "sampled": f"sampled softmax, {used.get('negatives')} negatives",
    }  # fmt: skip
    return says.get(used.get("loss"), "")


def named(model: str, loss: str) -> str:
    """A model as tables name it: with the loss that it was trained with, where that is known."""
    return f"{model} ({loss})" if loss else model


def best_first(results: pd.DataFrame) -> pd.DataFrame:
    """Every model of ``results`` by HR@10, then NDCG@10, highest first; seeds averaged.

    Returns:
        model, recipe ("" of what has none), HR@10, NDCG@10, seeds (their number), seed and run (of the first).
    """
    rows = _own(results.assign(recipe=results.recipe.fillna("")))
    metrics = list(METRICS[::2])
    wide = rows.pivot_table(index=["model", "recipe"], columns="metric", values="value", sort=False)[metrics]
    of = rows.groupby(["model", "recipe"], sort=False)
    wide["seeds"], wide["seed"], wide["run"] = of.seed.nunique(), of.seed.first(), of.run.first()
    return wide.sort_values(metrics, ascending=False, kind="stable").reset_index().rename_axis(columns=None)


def paired(kept: words.Kept, against: str | None = None, metrics=("HR@10", "NDCG@10")) -> pd.DataFrame:
    """Every model against one, on the same users; a model's seeds are averaged user by user first.

    Args:
        kept: evaluations by model and seed.
        against: None takes the best model by the first metric, the oracle and rankings with seen items kept aside.

    Returns:
        model, against, metric, difference in percentage points (model minus ``against``), low, high, p and detectable
        (:func:`contrec.evaluation.paired_bootstrap`), verdict (of ``words.verdict``), over: what the interval is over.
    """
    names = list(dict.fromkeys(name for name, _ in kept))
    if against is None:
        can = [name for name in names if name != "oracle" and "/seen-kept" not in name]
        against = words.best(kept, can, metrics[0])
    rows, other = [], words.of_model(kept, against)
    for name in names:
        own = words.of_model(kept, name)
        if name != against and own[0].exclude_seen == other[0].exclude_seen:
            over = words.interval_over((name, len(own)), (against, len(other)))
            for metric in metrics:
                found = paired_bootstrap(own, other, metric)
                row = {"model": name, "against": against, "metric": metric}
                row |= {column: found[column] for column in ("difference", "low", "high", "p", "detectable")}
                rows.append(row | {"verdict": words.verdict(found["low"], found["high"]), "over": over})
    return pd.DataFrame(rows)


def reproduced() -> pd.DataFrame:
    """All rows of ``data/reproduced/*.csv`` but those of ablations and sweeps; empty where nothing was recorded yet.

    The column ``stale`` says which rows are to be recorded again (:mod:`contrec.artifacts.stale`), ``file`` where a row
    stands. low and high are of each training alone, over users; :func:`recorded_rates` has those of several.

    The floors of a ContRec run are left out where the grid of baselines has recorded the same dataset and split: there
    they have the settings of the search.
    """
    beside = sorted(p for p in paths.reproduced().glob("*") if p.suffix in (".csv", ".json", ".tsv"))
    return _reproduced(tuple((p, p.stat().st_mtime_ns, p.stat().st_size) for p in beside)).copy()


@lru_cache(maxsize=1)
def _reproduced(beside: tuple) -> pd.DataFrame:
    """The same for files with their times and sizes: a report asks for it dozens of times."""
    files = sorted({p.with_suffix(".csv") for p, *_ in beside if p.suffix != ".tsv"})  # of a record alone, too
    files = [p for p in files if not p.stem.endswith(("_ablation", "_sweep"))]
    if not files:
        return pd.DataFrame(columns=[*COLUMNS, "stale", "file"])
    frames = [read_table(p).assign(grid=p.stem.endswith("_baselines"), file=p.stem) for p in files]
    rows = pd.concat(frames, ignore_index=True)
    rows["stale"] = rows["stale"].eq(True) if "stale" in rows else False
    where = pd.MultiIndex.from_frame(rows[["dataset", "source", "split"]])
    floor = rows.recipe.isna() & ~rows.grid
    again = floor & where.isin(where[rows.grid])
    again |= floor & rows.duplicated(["dataset", "source", "split", "model", "seed", "metric"])  # of several recipes
    return rows[~again].drop(columns="grid").reset_index(drop=True)


def headline(
    dataset: str, this_run: pd.DataFrame | None = None, *, run_dataset: str | None = None, model: str = "contrec"
) -> pd.DataFrame:
    """ContRec or DeftRec on one dataset: published | reproduced (mean over seeds) | difference | verdict | this run.

    Args:
        dataset: as the paper names it in lower case ("lastfm").
        this_run: results of the open notebook, or None.
        run_dataset: dataset of ``this_run``; a planted number never stands in the reproduced column.
    """
    printed = published(f"{model}_table2")
    printed = printed[(printed.model == model) & (printed.dataset == dataset.removesuffix("_positive"))]
    printed = printed.set_index("metric")
    own = reproduced().query("model == @model and dataset == @dataset and split == 'leave_one_out'")
    found, rows = {}, []
    for recipe, recorded in own.groupby("recipe"):
        rates = recorded_rates(dataset, recorded.source.iloc[0], "leave_one_out")
        found[recipe] = rates[rates.model == f"{model} {recipe}"]
    for metric in METRICS:
        row = {"dataset": dataset, "metric": metric}
        value, sd = (printed[c].get(metric) for c in ("value", "sd")) if len(printed) else (None, None)
        row["published"] = "-" if value is None else f"{value:.4f}" + ("" if sd != sd else f" ± {sd:.4f}")
        for recipe in ("paper", "released", "tuned"):
            mine = next(found[recipe].query("metric == @metric").itertuples(), None) if recipe in found else None
            said = f"{mine.value:.4f} (n={mine.n_seeds})" if mine else "not run"
            row[f"{recipe} (tiny backbone)"] = stale.shown(said, bool(mine and mine.stale))
            row[f"{recipe}: verdict"] = verdict(value, None, *_deviation(mine))
        shown = None if this_run is None else this_run[(this_run.model == model) & (this_run.metric == metric)]
        if shown is not None and len(shown):
            row["this run"] = f"{shown.value.mean():.4f} ({run_dataset or dataset})"
        rows.append(row)
    return pd.DataFrame(rows)


def comparison(
    dataset: str, source: str, split: str, metric: str = "HR@10", this_run: pd.DataFrame | None = None,
    run_dataset: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Every model on one dataset and split: published | reproduced (n seeds) | verdict | this run.

    Args:
        dataset, source, split: whose recorded rows are read; sources and splits are never mixed. Published numbers
            stand beside the splits in ``TABLES`` only.
        metric: one of ``METRICS``.
        this_run: results of the open notebook, or None.
        run_dataset: dataset of ``this_run``, named in its column.

    Returns:
        model with its loss, one "published" column per paper, reproduced (mean over seeds, 95 % over users and
        trainings), n (seeds; of one training the interval is over users only, and it says so), verdict (against the
        first paper that prints the model), this run. "not run" where nothing was recorded.
    """
    table = _compared(dataset, source, split, metric, this_run, run_dataset)
    if not len(table):
        return table
    return table.assign(model=[named(*both) for both in zip(table.model, table.loss)]).drop(columns="loss")


def _compared(dataset, source, split, metric="HR@10", this_run=None, run_dataset=None) -> pd.DataFrame:
    """:func:`comparison` with plain names, and the loss in a column of its own."""
    own = recorded_rates(dataset, source, split).query("metric == @metric")
    printed = {paper: _printed(TABLES[split][paper], dataset, metric) for paper in _papers(dataset, split)}
    papers = [paper for paper in printed if printed[paper]]
    shown = own.iloc[:0] if this_run is None else _own(this_run[this_run.metric == metric])
    for values in map(printed.get, papers):  # a printed ContRec stands beside each recipe of ours
        values.update({m: values[m.split()[0]] for m in set(own.model) if "/" not in m and m.split()[0] in values})
    recipes = {m.split()[0] for m in own.model if " " in m}
    names = [*own.model, *shown.model, *(m for p in papers for m in printed[p] if m not in recipes)]
    rows = []
    for model in sorted(dict.fromkeys(names), key=model_order):
        row = {"model": model, **{f"published, {p}": _number(printed[p].get(model), "-") for p in papers}}
        mine = next(own[own.model == model].itertuples(), None)
        row["reproduced"], row["n"], row["loss"] = "not run", "", ""
        if mine:
            rate = f"{mine.value:.4f} [{mine.low:.4f}, {mine.high:.4f}]"
            row["reproduced"], row["loss"] = stale.shown(rate, mine.stale), mine.loss
            row["n"] = words.trainings(model, mine.n_seeds)
        if papers:
            first = next((float(printed[p][model]) for p in papers if model in printed[p]), None)
            row["verdict"] = verdict(first, None, *_deviation(mine))
        if this_run is not None:
            value = shown[shown.model == model].value
            row[f"this run ({run_dataset or dataset})"] = _number(value.mean() if len(value) else None, "not run")
        rows.append(row)
    return pd.DataFrame(rows)


def baselines_in_words(dataset: str, source: str, split: str, metric: str = "HR@10") -> str:
    """How many of a dataset's printed baselines reach more, or less, here than is printed: one sentence."""
    own, table = recorded_rates(dataset, source, split), _compared(dataset, source, split, metric)
    own = own[(own.metric == metric) & own.model.isin(BASELINES)]
    if "verdict" not in table or not len(own):
        return f"Baselines recorded on {dataset}, {split}: {'not run' if not len(own) else 'none is printed'}."
    counts = table[table.model.isin(BASELINES)].verdict.value_counts()
    above, below, within, left = (counts.get(word, 0) for word in ("above", "below", "within", "not run"))
    best, (first, *_) = own.loc[own.value.idxmax()], _papers(dataset, split)
    printed = _printed(TABLES[split][first], dataset, metric).get(first)
    says = (
        f"Recorded on {dataset}: of the printed baselines {above} reach more here than is printed, {below} less, "
        f"{within} are level with it, {left} were not run; "
        f"the highest, {best.model}, has {metric} {best.value:.4f}"
    )
    if not printed:
        return f"{says}."
    return f"{says}, {words.against(best.low - printed, best.high - printed)} the {printed:.4f} printed for {first}."


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.4f}"


def _deviation(mine) -> tuple[float | None, float | None]:
    """Value and standard deviation of a row of :func:`recorded_rates`, as ``published.verdict`` wants them."""
    return (float(mine.value), float(mine.high - mine.low) / 3.92) if mine else (None, None)


def recorded_rates(dataset: str, source: str, split: str) -> pd.DataFrame:
    """Recorded rates of one dataset, source and split, seeds averaged; of ContRec's variants its two plainest.

    Returns:
        model ("contrec tuned"), metric, value, low and high (95 % over users and, of several seeds, trainings: from the
        ranks beside the rows), n_seeds, loss (of :func:`loss_of` under the recorded settings), stale.
    """
    own = reproduced().query("dataset == @dataset and source == @source and split == @split")
    shown = [_with_recipe(*names) for names in zip(own.model, own.recipe.fillna(""), strict=True)]
    own = _own(own.assign(recorded=own.model, model=pd.Series(shown, index=own.index, dtype=str)))
    own = own[~own.model.str.match(r"(contrec|deftrec) \w+/(?!user-token|direct-head)")]
    means = {name: (name, "mean") for name in ("value", "low", "high")}
    grouped = own.groupby(["model", "metric"], sort=False)
    found = grouped.agg(**means, n_seeds=("seed", "nunique"), stale=("stale", "any")).reset_index()
    runs, losses = {}, {}
    for model, rows in own.drop_duplicates(["model", "seed"]).sort_values("seed").groupby("model"):
        losses[model] = _recorded_loss(rows.iloc[0])
        if len(rows) > 1:
            runs[model] = tuple((_state(r.file), r.recorded, r.seed) for r in rows.itertuples())
    ends = [_interval(runs[r.model], r.metric) if r.model in runs else (r.low, r.high) for r in found.itertuples()]
    found[["low", "high"]] = pd.DataFrame(ends, columns=["low", "high"], index=found.index)
    order = {name: n for n, name in enumerate(dict.fromkeys(own.model))}
    found = found.assign(loss=found.model.map(losses).astype(object)).sort_values(
        "model", key=lambda names: names.map(order), kind="stable"
    )
    return found.reset_index(drop=True)


def _recorded_loss(row: pd.Series) -> str:
    """The loss that a recorded row was trained with; "" where its settings are not recorded."""
    path, name = paths.reproduced() / f"{row.get('file')}.json", row.recorded.removesuffix("/seen-kept")
    if name not in baselines.REGISTRY or not path.is_file():
        return ""
    settings = _settings(path, path.stat().st_mtime_ns).get(name)
    return "" if settings is None else loss_of(name, settings)


@lru_cache(maxsize=64)
def _settings(path: Path, time: int) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))["config"].get("settings", {})


def _state(file: str) -> tuple[Path, int, int]:
    """The ranks of a recorded file, and what changes when they do."""
    path = paths.reproduced() / f"{file}.ranks.parquet"
    return path, path.stat().st_mtime_ns, path.stat().st_size


@lru_cache(maxsize=8)
def _evaluations(state: tuple) -> dict[tuple, Evaluation]:
    return read_ranks(state[0])


@lru_cache(maxsize=4096)
def _interval(of: tuple, metric: str) -> tuple[float, float]:
    """Ends of the interval of recorded evaluations, each named by file, model and seed."""
    found = rate_interval([_evaluations(state)[model, seed] for state, model, seed in of], metric)
    return found["low"], found["high"]


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the rows that unseen users' metrics are compared with."""
    return rows[~rows.model.str.endswith((SEEN, INSIDE))]


def _papers(dataset: str, split: str) -> tuple[str, ...]:
    """The papers that may print the dataset under a split."""
    return PRINTED.get(dataset, ()) if split in TABLES else ()


def _with_recipe(model: str, recipe: str) -> str:
    """ContRec's rows say their recipe: "contrec tuned", "contrec tuned/user-token"."""
    name, slash, variant = model.partition("/")
    return f"{name} {recipe}{slash}{variant}" if recipe else model


def _printed(name: str, dataset: str, metric: str) -> dict[str, float]:
    table = published(name)
    own = table[(table.dataset == dataset.removesuffix("_positive")) & (table.metric == metric)]
    return dict(zip(own.model, own.value, strict=True))


def forest(dataset: str, source: str, split: str, this_run: words.Kept | None = None) -> pd.DataFrame:
    """Published, reproduced and this run's rates of all models, for ``plots.ranking_intervals``.

    Args:
        dataset, source, split: as in :func:`comparison`.
        this_run: evaluations of the open notebook by model and seed, or None.

    Returns:
        model, metric, value, low, high, kind. The printed value is that of the first paper that prints the model.
    """
    own = recorded_rates(dataset, source, split)
    frames = [own.assign(kind="reproduced")] if len(own) else []
    if this_run:
        frames.append(_own(ranking(this_run)).assign(kind="this run"))
    for metric in METRICS if split in TABLES else ():
        printed: dict[str, float] = {}
        for paper in _papers(dataset, split):
            printed = _printed(TABLES[split][paper], dataset, metric) | printed
        values = pd.DataFrame({"model": list(printed), "metric": metric, "value": list(printed.values())})
        frames.append(values.assign(kind="published"))
    return pd.concat(frames, ignore_index=True)


def seen_kept(dataset: str, source: str) -> pd.DataFrame:
    """HR@10 and NDCG@10 of recorded baselines with seen items removed and kept, a row per model; seeds averaged."""
    own = recorded_rates(dataset, source, "leave_one_out").query("metric in ('HR@10', 'NDCG@10')")
    kept = own.model.str.endswith("/seen-kept")
    own = own.assign(model=own.model.str.removesuffix("/seen-kept"), seen=kept.map({True: "kept", False: "removed"}))
    own = own[own.model.isin(set(own.model[kept]))]
    if not len(own):
        return pd.DataFrame({"model": [f"{dataset}: not run"]})
    return own.pivot_table(index="model", columns=["metric", "seen"], values="value", sort=False).round(4)
