"""How models rank: dots with intervals, floors first, and unseen users beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import pandas as pd

from contrec.plots.common import INTERVAL, add_subtitle, marker_fill, need, themed
from contrec.plots.theme import BLACK, GREY, METHODS, VERMILLION, group, new, rank_order, style


@themed
def ranking_intervals(
    results: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("HR@10", "NDCG@10"),
    interval: str = INTERVAL,
    published_interval: str = "mean ± s.d., 5 inferences",
    subtitle: str = "",
):
    """Rates of many models as dots with intervals: floors on top, controls at the bottom, published values hollow.

    Args:
        results: columns model, metric, value; optional low and high (interval ends; none: a dot and no bar) and kind
            ("reproduced", the default; "published"; "this run": half filled). Rates are fractions in 0..1.
        metrics: one panel each.
        interval, published_interval: what the bars are, for the legend.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with model, kind, metric, value, low, high in the order of the figure).
    """
    need(results, "model", "metric", "value")
    frame = results[results["metric"].isin(metrics)].reindex(
        columns=["model", "kind", "metric", "value", "low", "high"]
    )
    need(frame, "model")
    frame["kind"] = frame["kind"].fillna("reproduced")
    names = rank_order(frame["model"])
    rows, looks = {name: i for i, name in enumerate(names)}, style(names)
    kinds = [kind for kind in ("reproduced", "this run", "published") if kind in set(frame["kind"])]
    figure, axes = new(1, len(metrics), height=1.05 + 0.145 * len(names), sharey=True, squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        part = frame[frame["metric"] == metric]
        floor = part.loc[(part["model"] == "popularity") & (part["kind"] != "published"), "value"]
        for value in floor[:1]:
            ax.axvline(value, color=GREY, lw=0.6, ls="--", zorder=0)
        for line in part.itertuples():
            _dot(ax, line, rows[line.model] + 0.13 * (kinds.index(line.kind) - (len(kinds) - 1) / 2), looks[line.model])
        for border in _borders(names):
            ax.axhline(border, color="#C0C0C0", lw=0.5, zorder=0)
        ax.set(xlabel=metric, ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), [looks[name][0] for name in names])
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    bars = frame.dropna(subset=["low", "high"]).groupby("kind").size()
    says = {"published": published_interval}
    for kind in kinds:
        text = f"{kind} (bars: {says.get(kind, interval)})" if kind in bars else f"{kind} (no interval)"
        axes[0, 0].plot([], [], ls="", marker="o", color=BLACK, label=text, **marker_fill(kind, BLACK))
    figure.legend(loc="outside lower center", ncols=1)
    add_subtitle(figure, subtitle)
    order = pd.Series(rows)
    frame = frame.sort_values(["metric", "model", "kind"], key=lambda c: c.map(order) if c.name == "model" else c)
    return figure, frame.reset_index(drop=True)


def _dot(ax, line, y: float, look: tuple[str, str, str]) -> None:
    _, colour, marker = look
    if pd.notna(line.low) and pd.notna(line.high):
        ax.plot([line.low, line.high], [y, y], color=colour, lw=1.0, zorder=2)
    ax.plot([line.value], [y], ls="", marker=marker, color=colour, zorder=3, **marker_fill(line.kind, colour))


def _borders(names: list[str]) -> list[float]:
    """Heights of the lines between floors, methods and controls."""
    return [i + 0.5 for i in range(len(names) - 1) if group(names[i]) != group(names[i + 1])]


@themed
def unseen_users(groups: pd.DataFrame, *, metrics: Sequence[str] = ("HR@10", "NDCG@10"), subtitle: str = ""):
    """Rates of models on users outside training beside those on the same users in it (the kind of Table 5, ContRec).

    Args:
        groups: columns model, group, metric, value, low, high, n_users, as ``experiments.unseen.unseen_groups`` gives
            them; groups stand in their order of appearance.
        metrics: one panel each.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with model, group, metric, value, low, high, n_users).
    """
    need(groups, "model", "group", "metric", "value", "low", "high", "n_users")
    frame = groups[groups["metric"].isin(metrics)].reset_index(drop=True)
    names, kinds = rank_order(frame["model"]), list(dict.fromkeys(frame["group"]))
    labels = {name: look[0] for name, look in style(names).items()}
    looks = dict(zip(kinds, ((VERMILLION, "o"), (METHODS["deftrec"][1], "D"), (GREY, "|")), strict=False))
    figure, axes = new(1, len(metrics), height=1.2 + 0.25 * len(names), sharey=True, squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        for kind, (colour, marker) in looks.items():
            line = frame[(frame["metric"] == metric) & (frame["group"] == kind)]
            y = [names.index(name) + 0.27 * (kinds.index(kind) - (len(kinds) - 1) / 2) for name in line["model"]]
            ax.hlines(y, line["low"], line["high"], color=colour, lw=1.0)
            n = ", ".join(str(n) for n in dict.fromkeys(line["n_users"]))
            ax.plot(line["value"], y, ls="", marker=marker, color=colour, label=f"{kind} (n = {n})")
        ax.set(xlabel=metric, ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), [labels[name] for name in names])
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    title = f"bars: {INTERVAL}"
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1, title=title, title_fontsize=6.5
    )
    add_subtitle(figure, subtitle)
    return figure, frame
