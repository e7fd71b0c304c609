"""Tables that people read: rankings with floors and controls, and published | reproduced | this run with a verdict."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.evaluation import Evaluation, paired_bootstrap
from contrec.papers.published import published, verdict
from contrec.study.evaluating import COLUMNS, INSIDE, SEEN
from contrec.study.recording import read_table
from contrec.study.settings import BASELINES, model_order

METRICS = ("HR@10", "HR@20", "NDCG@10", "NDCG@20")
# Dataset -> the papers that print a Table 2 row for its files, and their name for it. ContRec's released Beauty files
# hold ratings above 3, DeftRec's all reviews.
PRINTED = {
    "lastfm": ("contrec", "deftrec"), "beauty_positive": ("contrec",), "beauty": ("deftrec",), "ml1m": ("contrec",),
    "games": ("contrec",), "software": ("deftrec",),
}  # fmt: skip
# Split -> the tables of the papers that stand beside it
TABLES = {
    "leave_one_out": {"contrec": "contrec_table2", "deftrec": "deftrec_table2"},
    "unseen_users": {"contrec": "contrec_table5", "deftrec": "deftrec_table3"},
}


def ranking(results: pd.DataFrame) -> pd.DataFrame:
    """One row per model and metric, seeds averaged: model, metric, value, low, high, n_seeds.

    low and high are the mean 95 % bootstrap interval over users; models stand in the order of ``results``.
    """
    order = list(dict.fromkeys(results.model))
    grouped = results.groupby(["model", "metric"], sort=False)
    means = {name: (name, "mean") for name in ("value", "low", "high")}
    frame = grouped.agg(**means, n_seeds=("seed", "nunique")).reset_index()
    return frame.sort_values("model", key=lambda names: names.map(order.index), kind="stable").reset_index(drop=True)


def rates(kept: dict[tuple[str, int], Evaluation]) -> pd.DataFrame:
    """Metrics of evaluations by model and seed, with 95 % bootstrap intervals, as :func:`ranking` wants them."""
    return pd.concat([e.to_frame().assign(model=m, seed=s) for (m, s), e in kept.items()], ignore_index=True)


def ranking_table(results: pd.DataFrame, digits: int = 4) -> pd.DataFrame:
    """The ranking as a page shows it: a row per model, "value [low, high]" per metric, and the number of seeds."""
    frame = ranking(results)
    text = lambda r: f"{r.value:.{digits}f} [{r.low:.{digits}f}, {r.high:.{digits}f}]"  # noqa: E731
    frame["shown"] = [text(row) for row in frame.itertuples()]
    table = frame.pivot(index="model", columns="metric", values="shown").loc[list(dict.fromkeys(frame.model))]
    table = table[[m for m in METRICS if m in table]]
    table["seeds"] = frame.drop_duplicates("model").set_index("model").n_seeds
    return table.rename_axis(columns=None)


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


def paired(
    kept: dict[tuple[str, int], Evaluation], against: str | None = None, metrics=("HR@10", "NDCG@10")
) -> pd.DataFrame:
    """Every model against one, on the same users; a model's seeds are averaged user by user first.

    Args:
        kept: evaluations by model and seed.
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
                row = {"model": name, "against": against, "metric": metric}
                rows.append(row | {column: found[column] for column in ("difference", "low", "high", "p")})
    return pd.DataFrame(rows)


def spread(results_: pd.DataFrame, metric: str = "HR@10") -> pd.DataFrame:
    """Two deviations that must not be mixed: over users (sampling), and over training seeds where there are several."""
    own = results_[results_.metric == metric]
    sampling = ((own.high - own.low) / 3.92).groupby(own.model, sort=False).mean()
    training = own.groupby("model", sort=False)["value"].agg(["mean", "std", "count"])
    frame = training.assign(sampling=sampling).reset_index()
    return frame.rename(columns={"mean": metric, "std": "s.d. of training", "count": "n", "sampling": "s.d. of users"})


def reproduced() -> pd.DataFrame:
    """All rows of ``data/reproduced/*.csv`` but those of ablations and sweeps; empty where nothing was recorded yet.

    The column ``stale`` says which rows are to be recorded again (:mod:`contrec.artifacts.stale`).

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
        return pd.DataFrame(columns=[*COLUMNS, "stale"])
    frames = [read_table(path).assign(grid=path.stem.endswith("_baselines")) for path in files]
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
    recorded = reproduced()
    rows = []
    for metric in METRICS:
        row = {"dataset": dataset, "metric": metric}
        value, sd = (printed[c].get(metric) for c in ("value", "sd")) if len(printed) else (None, None)
        row["published"] = "-" if value is None else f"{value:.4f}" + ("" if sd != sd else f" ± {sd:.4f}")
        for recipe in ("paper", "released", "tuned"):
            own = recorded[(recorded.model == model) & (recorded.metric == metric)] if len(recorded) else recorded
            if len(own):
                own = own[(own.dataset == dataset) & (own.split == "leave_one_out") & (own.recipe == recipe)]
                own = own[own.source == own.source.iloc[0]] if len(own) else own
            mean = own.value.mean() if len(own) else None
            spread = ((own.high - own.low) / 3.92).mean() if len(own) else None
            said = stale.shown(f"{mean:.4f} (n={own.seed.nunique()})", own.stale.any()) if len(own) else "not run"
            row[f"{recipe} (tiny backbone)"] = said
            row[f"{recipe}: verdict"] = verdict(value, None, mean, spread)
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
        model, one "published" column per paper, reproduced (mean over seeds, 95 % bootstrap over users), n, verdict
        (against the first paper that prints the model), this run. "not run" where nothing was recorded.
    """
    own = _recorded(dataset, source, split).query("metric == @metric")
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
        mine = own[own.model == model]
        row["reproduced"] = _number(mine.value.mean() if len(mine) else None, "not run")
        if len(mine):
            interval = f" [{mine.low.mean():.4f}, {mine.high.mean():.4f}]"
            row["reproduced"] = stale.shown(row["reproduced"] + interval, mine.stale.any())
        row["n"] = str(mine.seed.nunique()) if len(mine) else ""
        if papers:
            first = next((float(printed[p][model]) for p in papers if model in printed[p]), None)
            spread = float(((mine.high - mine.low) / 3.92).mean()) if len(mine) else None
            row["verdict"] = verdict(first, None, float(mine.value.mean()) if len(mine) else None, spread)
        if this_run is not None:
            value = shown[shown.model == model].value
            row[f"this run ({run_dataset or dataset})"] = _number(value.mean() if len(value) else None, "not run")
        rows.append(row)
    return pd.DataFrame(rows)


def baselines_in_words(dataset: str, source: str, split: str, metric: str = "HR@10") -> str:
    """How many of a dataset's printed baselines reach more, or less, here than is printed: one sentence."""
    own, table = ranking(_recorded(dataset, source, split)), comparison(dataset, source, split, metric)
    own = own[(own.metric == metric) & own.model.isin(BASELINES)]
    if "verdict" not in table or not len(own):
        return f"Baselines recorded on {dataset}, {split}: {'not run' if not len(own) else 'none is printed'}."
    counts = table[table.model.isin(BASELINES)].verdict.value_counts()
    above, below, within, left = (counts.get(word, 0) for word in ("above", "below", "within", "not run"))
    best, (first, *_) = own.loc[own.value.idxmax()], _papers(dataset, split)
    printed = _printed(TABLES[split][first], dataset, metric).get(first)
    return (
        f"Recorded on {dataset}: of the printed baselines {above} reach more here than is printed, {below} less, "
        f"{within} lie within noise of it, {left} were not run; "
        f"the best, {best.model}, reaches {metric} {best.value:.4f}"
        + (f" where {printed:.4f} is printed for {first} itself." if printed else ".")
    )


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.4f}"


def _recorded(dataset: str, source: str, split: str) -> pd.DataFrame:
    """Recorded rows of one dataset, source and split; of ContRec's variants its two plainest."""
    own = reproduced().query("dataset == @dataset and source == @source and split == @split")
    names = [_with_recipe(*names) for names in zip(own.model, own.recipe.fillna(""), strict=True)]
    own = _own(own.assign(model=pd.Series(names, index=own.index, dtype=str)))
    return own[~own.model.str.match(r"(contrec|deftrec) \w+/(?!user-token|direct-head)")]


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


def forest(dataset: str, source: str, split: str, this_run: pd.DataFrame | None = None) -> pd.DataFrame:
    """Published, reproduced and this run's rates of all models, for ``plots.ranking_intervals``.

    The printed value is that of the first paper that prints the model.
    """
    own = _recorded(dataset, source, split)
    old = set(own.model[own.stale.astype(bool)])
    frames = [ranking(own).assign(kind="reproduced", stale=lambda f: f.model.isin(old))] if len(own) else []
    if this_run is not None and len(this_run):
        frames.append(ranking(_own(this_run)).assign(kind="this run"))
    for metric in METRICS if split in TABLES else ():
        printed: dict[str, float] = {}
        for paper in _papers(dataset, split):
            printed = _printed(TABLES[split][paper], dataset, metric) | printed
        values = pd.DataFrame({"model": list(printed), "metric": metric, "value": list(printed.values())})
        frames.append(values.assign(kind="published"))
    return pd.concat(frames, ignore_index=True)


def seen_kept(dataset: str, source: str) -> pd.DataFrame:
    """HR@10 and NDCG@10 of recorded baselines with seen items removed and kept, a row per model; seeds averaged."""
    own = _recorded(dataset, source, "leave_one_out").query("metric in ('HR@10', 'NDCG@10')")
    kept = own.model.str.endswith("/seen-kept")
    own = own.assign(model=own.model.str.removesuffix("/seen-kept"), seen=kept.map({True: "kept", False: "removed"}))
    own = own[own.model.isin(set(own.model[kept]))]
    if not len(own):
        return pd.DataFrame({"model": [f"{dataset}: not run"]})
    return own.pivot_table(index="model", columns=["metric", "seen"], values="value", sort=False).round(4)
