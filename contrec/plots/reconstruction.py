"""What tokenizers keep of an embedding, at equal rate (the kind of Fig. 1, ContRec)."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd

from contrec.plots.common import LINES, add_subtitle, need, themed, whole_numbers
from contrec.plots.theme import BLACK, new, style

RATE_PANELS = {  # column: title, in the figure of the reconstruction
    "mse": "(b) held-out MSE", "cosine": "(c) held-out cosine", "overlap": "(d) neighbours kept",
    "HR@10": "(e) ranking", "used": "(f) codes",
}  # fmt: skip


@themed
def reconstruction(
    loss: pd.DataFrame, rates: pd.DataFrame, *, truth: pd.DataFrame | None = None, references: dict | None = None,
    subtitle: str = "",
):  # fmt: skip
    """The kind of Fig. 1, ContRec: (a) loss against step, (b, c) distortion against rate, (d, e) its worth, (f) codes.

    Args:
        loss: columns model, epoch (the step), seed, loss, as for :func:`contrec.plots.loss_curves`.
        rates: columns decoder, seed, rate_bits, mse, cosine, overlap, HR@10, and used and collisions (NaN where there
            are no codes); an infinite rate is left out.
        truth: columns truth, rate_bits, mse: curves drawn into the panel of the MSE.
        references: value of the untouched embeddings by column ("HR@10").
        subtitle: dataset, inputs, preset, seeds.

    Returns:
        (figure, frame with decoder, rate_bits and mean and s.d. over seeds of each column). Lines join seeds' means.
    """
    need(loss, "model", "epoch", "seed", "loss")
    need(rates, "decoder", "seed", "rate_bits", *RATE_PANELS, "collisions")
    point = rates.groupby(["decoder", "seed"]).cumcount()  # the n-th setting of a decoder is the same for every seed
    grouped = rates.assign(point=point).groupby(["decoder", "point"], sort=False)
    frame = grouped[["rate_bits", *RATE_PANELS, "collisions"]].agg(["mean", "std"])
    frame.columns = [name if part == "mean" else f"{name} s.d." for name, part in frame.columns]
    frame = frame.reset_index().drop(columns="point").replace(np.inf, np.nan).dropna(subset=["rate_bits"])
    figure, axes = new(3, 2, height=6.2)
    looks = style([*dict.fromkeys(loss["model"]), *dict.fromkeys(frame["decoder"])])
    for name, line in loss.groupby("model", sort=False):
        band = line.groupby("epoch")["loss"].agg(["mean", "std"])
        _, colour, marker = looks[name]
        axes[0, 0].plot(band["mean"], color=colour, marker=marker, markevery=max(1, len(band) // 5))
        low, high = band["mean"] - band["std"], band["mean"] + band["std"]
        axes[0, 0].fill_between(band.index, low, high, color=colour, alpha=0.2, lw=0)
    axes[0, 0].set(xlabel="step", ylabel="training loss (MSE)", yscale="log", title="(a) training")
    whole_numbers(axes[0, 0].xaxis)
    panels = dict(zip(RATE_PANELS, axes.flat[1:], strict=True))
    for column, ax in panels.items():
        _rate_lines(ax, frame, column, looks)
        if references and column in references:
            ax.axhline(references[column], color=BLACK, lw=0.7, ls="--", zorder=0)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        ax.set(xlabel="rate (bits)", ylabel=column, title=RATE_PANELS[column])
    _rate_lines(panels["used"], frame, "collisions", looks, ls=":")
    panels["used"].set(ylim=(0, 1.05), ylabel="used; collisions dotted")
    for dash, (name, line) in zip(LINES[1:], [] if truth is None else truth.groupby("truth", sort=False), strict=False):
        panels["mse"].plot(line["rate_bits"], line["mse"], color=BLACK, ls=dash, lw=0.8, label=name)
    panels["mse"].set_yscale("log")
    legend = panels["mse"].get_legend_handles_labels()
    title = "bars and bands: s.d. over seeds"
    figure.legend(*legend, loc="outside lower center", ncols=3, title=title, title_fontsize=6.5)
    add_subtitle(figure, subtitle)
    return figure, frame


def _rate_lines(ax, frame: pd.DataFrame, column: str, looks: dict, ls: str = "-") -> None:
    for name, line in frame.dropna(subset=[column]).groupby("decoder", sort=False):
        line, (label, colour, marker) = line.sort_values("rate_bits"), looks[name]
        bars = line[f"{column} s.d."].fillna(0)
        ax.errorbar(
            line["rate_bits"], line[column], bars, color=colour, marker=marker, label=label, elinewidth=0.8, ls=ls
        )
