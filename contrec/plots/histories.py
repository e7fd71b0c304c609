"""How long histories are."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd

from contrec.plots.common import add_subtitle, need, themed, whole_numbers
from contrec.plots.theme import DATASETS, GREY, new


@themed
def history_lengths(lengths: pd.DataFrame, *, cap: int | None = 20, subtitle: str = ""):
    """Share of cases whose history has at least so many items, per dataset.

    Args:
        lengths: columns dataset, length (one row per case).
        cap: longest history that a model sees (20 in Sect. 4.1.1, ContRec), drawn as a line; None for no line.
        subtitle: split and source.

    Returns:
        (figure, frame with dataset, length, share of cases with at least that length).
    """
    need(lengths, "dataset", "length")
    figure, ax = new(height=2.0)
    frames = []
    for name in [n for n in DATASETS if n in set(lengths["dataset"])]:
        values = np.sort(lengths.loc[lengths["dataset"] == name, "length"].to_numpy())
        at = np.unique(values)
        share = 1 - np.searchsorted(values, at, side="left") / len(values)
        label, colour, marker = DATASETS[name]
        ax.step(at, share, where="pre", color=colour, marker=marker, markevery=max(1, len(at) // 6), label=label)
        frames.append(pd.DataFrame({"dataset": name, "length": at, "share": share}))
    if not frames:
        raise ValueError(f"dataset must be among {', '.join(DATASETS)}, got {sorted(set(lengths['dataset']))}")
    if cap is not None:
        ax.axvline(cap, color=GREY, lw=0.7, ls="--", zorder=0)
        ax.annotate(f"cap {cap}", (cap, 1.0), xytext=(2, 0), textcoords="offset points", fontsize=6, color="#404040")
    ax.set(xlabel="history length (items)", ylabel="share of cases at least as long", ylim=(0, 1.05))
    whole_numbers(ax.xaxis)
    if max(len(frame) for frame in frames) > 1 and lengths["length"].max() > 50 and lengths["length"].min() > 0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
    ax.legend()
    add_subtitle(figure, subtitle)
    return figure, pd.concat(frames, ignore_index=True)
