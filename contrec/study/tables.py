"""Tables that people read: rankings with floors and controls, and published | reproduced | this run with a verdict."""

from __future__ import annotations

import pandas as pd

from contrec import paths
from contrec.study.published import published, verdict

METRICS = ("HR@10", "HR@20", "NDCG@10", "NDCG@20")


def ranking(results: pd.DataFrame) -> pd.DataFrame:
    """One row per model and metric, seeds averaged: model, metric, value, low, high, n_seeds.

    low and high are the mean 95 % bootstrap interval over users; models stand in the order of ``results``.
    """
    order = list(dict.fromkeys(results.model))
    grouped = results.groupby(["model", "metric"], sort=False)
    means = {name: (name, "mean") for name in ("value", "low", "high")}
    frame = grouped.agg(**means, n_seeds=("seed", "nunique")).reset_index()
    return frame.sort_values("model", key=lambda names: names.map(order.index), kind="stable").reset_index(drop=True)


def ranking_table(results: pd.DataFrame, digits: int = 4) -> pd.DataFrame:
    """The ranking as a page shows it: a row per model, "value [low, high]" per metric, and the number of seeds."""
    frame = ranking(results)
    text = lambda r: f"{r.value:.{digits}f} [{r.low:.{digits}f}, {r.high:.{digits}f}]"  # noqa: E731
    frame["shown"] = [text(row) for row in frame.itertuples()]
    table = frame.pivot(index="model", columns="metric", values="shown").loc[list(dict.fromkeys(frame.model))]
    table = table[[m for m in METRICS if m in table]]
    table["seeds"] = frame.drop_duplicates("model").set_index("model").n_seeds
    return table.rename_axis(columns=None)


def reproduced() -> pd.DataFrame:
    """All rows of ``data/reproduced/*.csv``; empty where nothing was recorded yet."""
    frames = [pd.read_csv(path) for path in sorted(paths.reproduced().glob("*.csv"))]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["model", "metric", "value"])


def headline(dataset: str, this_run: pd.DataFrame | None = None, *, run_dataset: str | None = None) -> pd.DataFrame:
    """ContRec on one dataset: published | reproduced (mean over seeds) | difference | verdict | this run.

    Args:
        dataset: as the paper names it in lower case ("lastfm").
        this_run: results of the open notebook, or None.
        run_dataset: dataset of ``this_run``; a planted number never stands in the reproduced column.
    """
    printed = published("contrec_table2")
    printed = printed[(printed.model == "contrec") & (printed.dataset == dataset)].set_index("metric")
    recorded = reproduced()
    rows = []
    for metric in METRICS:
        row = {"dataset": dataset, "metric": metric}
        value, sd = (printed[c].get(metric) for c in ("value", "sd")) if len(printed) else (None, None)
        row["published"] = "-" if value is None else f"{value:.4f} ± {sd:.4f}"
        for recipe in ("paper", "tuned"):
            own = recorded[(recorded.model == "contrec") & (recorded.metric == metric)] if len(recorded) else recorded
            if len(own):
                own = own[(own.dataset == dataset) & (own.split == "leave_one_out") & (own.recipe == recipe)]
                own = own[own.source == own.source.iloc[0]] if len(own) else own
            mean = own.value.mean() if len(own) else None
            spread = ((own.high - own.low) / 3.92).mean() if len(own) else None
            row[f"{recipe} (tiny backbone)"] = f"{mean:.4f} (n={own.seed.nunique()})" if len(own) else "not run"
            row[f"{recipe}: verdict"] = verdict(value, None, mean, spread)
        shown = None if this_run is None else this_run[(this_run.model == "contrec") & (this_run.metric == metric)]
        if shown is not None and len(shown):
            row["this run"] = f"{shown.value.mean():.4f} ({run_dataset or dataset})"
        rows.append(row)
    return pd.DataFrame(rows)
