"""What a change does: arms of an ablation, curves over a setting (the kind of Figs. 3 and 4, DeftRec)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd

from contrec.plots.common import INTERVAL, add_subtitle, marker_fill, need, themed
from contrec.plots.theme import BLACK, BLUE, GREEN, GREY, METHODS, VERMILLION, new, plain


@themed
def differences(frame: pd.DataFrame, *, metrics: Sequence[str] = ("HR@10", "NDCG@10"), subtitle: str = ""):
    """Differences of changed models from the full one, as dots with intervals, by group; published ones hollow.

    Args:
        frame: columns group, label, metric, kind ("this run", "reproduced", "published"), difference (percentage
            points), low, high (NaN: a dot and no bar), as ``experiments.ablation.tables.drawn`` gives them; groups and
            labels stand in their order of appearance.
        metrics: one panel each.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with group, label, metric, kind, difference, low, high).
    """
    need(frame, "group", "label", "metric", "kind", "difference", "low", "high")
    frame = frame[frame["metric"].isin(metrics)].reset_index(drop=True)
    places: dict[tuple[str, str], int] = {}
    ticks: list[tuple[int, str]] = []
    for name, own in frame.groupby("group", sort=False):
        ticks.append((len(ticks), name))  # a line for the group's name
        for label in dict.fromkeys(own["label"]):
            places[name, label] = len(ticks)
            ticks.append((len(ticks), plain(label, 26)))
    heads = [n for n, _ in ticks if n not in places.values()]
    kinds = [kind for kind in ("reproduced", "this run", "published") if kind in set(frame["kind"])]
    figure, axes = new(1, len(metrics), height=1.2 + 0.135 * len(ticks), sharey=True, squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        ax.axvline(0, color=GREY, lw=0.6, zorder=0)
        for line in frame[frame["metric"] == metric].itertuples():
            y = places[line.group, line.label] + 0.24 * (kinds.index(line.kind) - (len(kinds) - 1) / 2)
            colour = METHODS["deftrec"][1] if line.kind == "published" else VERMILLION
            marker = "D" if line.kind == "published" else "o"
            if pd.notna(line.low):
                ax.hlines(y, line.low, line.high, color=colour, lw=1.0)
            ax.plot([line.difference], [y], ls="", marker=marker, ms=3.5, **marker_fill(line.kind, colour))
        ax.set(xlabel=f"{metric} (points)", ylim=(len(ticks) - 0.4, -0.6))
        ax.set_yticks(*zip(*ticks, strict=True))
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
        ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    for n in heads:
        axes[0, 0].get_yticklabels()[n].set_fontweight("bold")
    for kind in kinds:
        colour, marker = (METHODS["deftrec"][1], "D") if kind == "published" else (VERMILLION, "o")
        bar = "no interval" if kind == "published" else f"bars: {INTERVAL}, paired"
        axes[0, 0].plot([], [], ls="", marker=marker, label=f"{kind} ({bar})", **marker_fill(kind, colour))
    figure.legend(
        loc="outside lower center", ncols=1, title="changed minus full model, percentage points", title_fontsize=6.5
    )
    add_subtitle(figure, subtitle)
    return figure, frame


# kind of a point: colour, marker, and what was trained for it
SWEPT = {
    "all": (BLUE, "o", "everything"),
    "head only": (GREEN, "s", "head only"),
    "one checkpoint": (VERMILLION, "D", "nothing"),
}


@themed
def sweep(curves: pd.DataFrame, *, metric: str = "HR@10", subtitle: str = ""):
    """What each value of several settings changes, one panel a parameter (the kind of Figs. 3 and 4, DeftRec).

    Differences from the default value, paired user by user, where the papers draw rates: a rate's own interval is far
    wider than what a setting moves, and hides whether it moves anything. A panel spans a point on either side at the
    least, lest noise looks like a slope. Values stand at equal distances, since some grids are linear and others not.

    Args:
        curves: columns parameter, title, kind (of ``SWEPT``: what was trained for a point), x, part ("test": dots
            with intervals; "validation": grey, which chooses), value (the rate), difference, diff_low, diff_high
            (percentage points), n_seeds, default, best, paper_low and paper_high (ends of the range that a paper calls
            best, NaN for none).
        metric: name of the rate.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with these columns).
    """
    columns = ["parameter", "title", "kind", "x", "part", "value", "difference", "diff_low", "diff_high", "n_seeds"]
    columns += ["default", "best", "paper_low", "paper_high"]
    need(curves, *columns)
    frame = curves[columns].reset_index(drop=True)
    names, width = list(dict.fromkeys(frame["parameter"])), 2
    rows = -(-len(names) // width)
    figure, axes = new(rows, width, height=0.9 + 1.2 * rows, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        _swept(ax, frame[frame["parameter"] == name])
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("points")
    note = {"ls": "", "color": GREY}
    for kind in dict.fromkeys(frame["kind"]):
        colour, marker, trained = SWEPT[kind]
        axes[0, 0].plot([], [], ls="", marker=marker, color=colour, label=f"test; trained: {trained}")
    axes[0, 0].plot([], [], marker="_", label="validation", **note)
    axes[0, 0].plot([], [], ls="", marker="*", ms=7, color=BLACK, label="best by validation")
    axes[0, 0].plot([], [], marker="v", label="default (its rate)", **note)
    if frame["paper_low"].notna().any():
        axes[0, 0].plot([], [], marker="s", ms=7, mfc="none", mec=BLACK, ls="", label="best in the paper's text")
    title = f"{metric} minus the default's, percentage points\nbars: {INTERVAL}, paired"
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, title=title, title_fontsize=6.5
    )
    add_subtitle(figure, subtitle)
    return figure, frame


def _swept(ax, rows: pd.DataFrame) -> None:
    """One panel of :func:`sweep`."""
    values = sorted(set(rows["x"]))
    at = {x: place for place, x in enumerate(values)}
    ax.axhline(0, color=GREY, lw=0.6, zorder=0)
    for part, line in rows.groupby("part", sort=False):
        places = [at[x] for x in line["x"]]
        if part == "validation":
            ax.plot(places, line["difference"], ls="", marker="_", ms=7, color=GREY, zorder=1)
            continue
        colour, marker, _ = SWEPT[line["kind"].iloc[0]]
        ax.vlines(places, line["diff_low"], line["diff_high"], color=colour, lw=1.0, zorder=2)
        for place, value, best in zip(places, line["difference"], line["best"], strict=True):
            ax.plot(place, value, marker="*" if best else marker, ms=7 if best else 3.5, color=colour, zorder=3)
    low, high = ax.get_ylim()
    low, high = min(low, -1.0), max(high, 1.0)
    ax.set_ylim(low, high + 0.25 * (high - low))  # room for the default's rate
    top = ax.get_xaxis_transform()
    for line in rows[rows["default"] & (rows["part"] == "test")].itertuples():
        ax.plot(at[line.x], 1.0, marker="v", color=GREY, transform=top, clip_on=False)
        side, way = ("right", -1) if line.x == values[-1] else ("left", 1)  # inside the panel
        ax.annotate(
            f"{line.value:.3f}".lstrip("0"), (at[line.x], 1.0), (4 * way, -1), xycoords=top, ha=side, va="top",
            textcoords="offset points", fontsize=6, color=GREY, bbox={"fc": "white", "ec": "none", "pad": 0.4},
        )  # fmt: skip
    low, high = rows[["paper_low", "paper_high"]].iloc[0]
    if pd.notna(low):
        ends = np.interp([low, high], values, range(len(values))) + np.array([-0.35, 0.35])
        ax.axvspan(*ends, fill=False, ec=BLACK, lw=0.7, ls="--", zorder=0)
    size = None if len(values) < 7 else 6
    ax.set_xticks(range(len(values)), [x if isinstance(x, str) else f"{x:g}" for x in values], fontsize=size)
    ax.set(title=rows["title"].iloc[0], xlim=(-0.6, len(values) - 0.4))
    ax.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    ax.grid(axis="y", color="#E5E5E5", lw=0.5)
