"""What an answer costs, by part and by size, and what more samples buy."""

from __future__ import annotations

import matplotlib
import pandas as pd

from contrec.plots.common import BOOTSTRAP, LINES, add_subtitle, dashes, marker_fill, need, themed
from contrec.plots.theme import BLACK, GREY, METHODS, VERMILLION, new, plain, style


@themed
def cost_by_part(costs: pd.DataFrame, *, printed: str = "another machine", subtitle: str = ""):
    """Seconds of one batch by part (the kind of Table 4, ContRec): a row per part, a marker per layout, log axis.

    Args:
        costs: columns layout ("published", or as
            :func:`contrec.experiments.efficiency.inference.split_by_part` names them), part, seconds. "total" is added
            where a layout lacks it.
        printed: on what the published seconds were measured, for the legend.
        subtitle: dataset, preset, machine.

    Returns:
        (figure, frame with layout, part, seconds, totals included).
    """
    need(costs, "layout", "part", "seconds")
    totals = costs.groupby("layout", sort=False)["seconds"].sum().reset_index().assign(part="total")
    totals = totals[~totals["layout"].isin(costs.loc[costs["part"] == "total", "layout"])]
    frame = pd.concat([costs[["layout", "part", "seconds"]], totals], ignore_index=True)
    parts = sorted(dict.fromkeys(frame["part"]), key=lambda part: part == "total")
    looks = style(dict.fromkeys(frame["layout"]))
    figure, ax = new(height=0.6 + 0.25 * len(parts) + 0.14 * len(looks))
    for place, (name, (label, colour, marker)) in enumerate(looks.items()):
        line = frame[frame["layout"] == name]
        y = [parts.index(part) + 0.16 * (place - (len(looks) - 1) / 2) for part in line["part"]]
        fill = marker_fill("published" if name == "published" else "reproduced", colour)
        label = f"published ({printed})" if name == "published" else f"this run: {label}"
        ax.plot(line["seconds"], y, ls="", marker=marker, label=label, **fill)
    ax.set_xscale("log")
    ax.set(xlabel="seconds per batch", ylim=(len(parts) - 0.5, -0.5))
    ax.set_yticks(range(len(parts)), [{"llm": "LLM"}.get(part, part) for part in parts])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    figure.legend(loc="outside lower center")
    add_subtitle(figure, subtitle)
    return figure, frame


@themed
def cost_curves(costs: pd.DataFrame, x: str, *, xlabel: str, subtitle: str = ""):
    """Seconds and peak memory against one quantity, side by side, on log axes.

    Args:
        costs: columns layout, ``x``, seconds, MiB.
        x: column of the quantity, positive.
        xlabel: its name and unit.
        subtitle: what is computed, machine.

    Returns:
        (figure, frame with layout, ``x``, seconds, MiB).
    """
    need(costs, "layout", x, "seconds", "MiB")
    frame = costs[["layout", x, "seconds", "MiB"]].sort_values(["layout", x]).reset_index(drop=True)
    figure, axes = new(1, 2, height=2.0)
    own = dashes(dict.fromkeys(frame["layout"]))
    for name, (label, colour, marker) in style(own).items():
        line = frame[frame["layout"] == name]
        for ax, column in zip(axes, ("seconds", "MiB"), strict=True):
            ax.plot(line[x], line[column], color=colour, marker=marker, ls=LINES[own[name]], label=label)
    for ax, column in zip(axes, ("seconds", "peak memory (MiB)"), strict=True):
        ax.set(xlabel=xlabel, ylabel=column, xscale="log", yscale="log")
        if frame[x].max() < 1000:  # powers of ten say little there
            ax.set_xticks(sorted(set(frame[x])), [f"{value:g}" for value in sorted(set(frame[x]))])
            ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        else:
            ax.xaxis.set_major_locator(matplotlib.ticker.LogLocator(numticks=9))
        _plain_log(ax.yaxis)
        ax.grid(color="#E5E5E5", lw=0.5)
    if frame["layout"].nunique() > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    add_subtitle(figure, subtitle)
    return figure, frame


@themed
def trade_off(
    costs: pd.DataFrame, *, metric: str = "HR@10", interval: str = BOOTSTRAP, label: str = "n", subtitle: str = ""
):
    """A rate against the seconds that it costs: a line per way of spending them, each point numbered.

    Args:
        costs: columns kind, ``label`` (the number at each point), seconds, ``metric``, low, high.
        metric: column and name of the rate.
        interval: what the bars are.
        label: column of the numbers; a kind with one point is not numbered.
        subtitle: dataset, preset, machine.

    Returns:
        (figure, frame with kind, ``label``, seconds, ``metric``, low, high).
    """
    need(costs, "kind", label, "seconds", metric, "low", "high")
    frame = costs[["kind", label, "seconds", metric, "low", "high"]].reset_index(drop=True)
    figure, ax = new(height=2.6)
    looks = zip((VERMILLION, METHODS["deftrec"][1], GREY, BLACK), "oD^*", strict=True)
    for (name, line), (colour, marker) in zip(frame.groupby("kind", sort=False), looks, strict=False):
        size = 7 if marker == "*" else None
        ax.plot(line["seconds"], line[metric], color=colour, marker=marker, ms=size, label=plain(name, 60))
        ax.vlines(line["seconds"], line["low"], line["high"], color=colour, lw=0.8, alpha=0.6)
        for point in line.itertuples() if len(line) > 1 else ():
            text = str(getattr(point, label))
            at = (point.seconds, line.loc[point.Index, metric])
            ax.annotate(text, at, xytext=(3, 3), textcoords="offset points", fontsize=6, color=colour)
    ax.set_xscale("log")
    _plain_log(ax.xaxis)
    ax.set(xlabel="seconds of diffusion per batch", ylabel=metric)
    ax.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=1, title=f"bars: {interval}", title_fontsize=6.5)
    add_subtitle(figure, subtitle)
    return figure, frame


def _plain_log(axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times a power of ten, written as plain numbers."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5), numticks=7))
    axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
