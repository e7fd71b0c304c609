"""Numbers in a grid, where a table's rows and columns are to be seen at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from contrec.plots.common import add_subtitle, themed
from contrec.plots.theme import BLACK, new, plain


@themed
def heat_map(
    table: pd.DataFrame, *, label: str, xlabel: str = "", darkest: str = "high", marked: Sequence = (),
    subtitle: str = "",
):  # fmt: skip
    """A table of whole numbers, each written in its cell and shaded by its rank among all; cells of NaN stay empty.

    Args:
        table: numbers of at least 0, names of rows and columns as its index and columns.
        label: what the numbers are, below the figure.
        xlabel: what the columns are.
        darkest: "high" or "low": the numbers that stand out.
        marked: rows whose names are bold.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with row, column, value, without the empty cells).

    Raises:
        ValueError: for a table without numbers, or ``darkest`` that is neither.
    """
    import seaborn as sns

    if darkest not in ("high", "low"):
        raise ValueError(f"darkest must be 'high' or 'low', got {darkest!r}")
    values = table.to_numpy(dtype=np.float64)
    if not np.isfinite(values).any():
        raise ValueError("a heat map needs a table with numbers, and there are none")
    shade = pd.DataFrame(values).stack().rank(method="dense", ascending=darkest == "high").unstack()
    shade = shade.reindex(index=range(len(table)), columns=range(table.shape[1]))
    figure, ax = new(height=1.0 + 0.16 * len(table))
    text = [["" if np.isnan(v) else f"{v:.0f}" for v in row] for row in values]
    sns.heatmap(
        shade, ax=ax, annot=np.array(text), fmt="", cmap="Blues", vmin=0, vmax=1.3 * np.nanmax(shade.to_numpy()),
        cbar=False, linewidths=0.5, linecolor="white", annot_kws={"fontsize": 6.5, "color": BLACK},
    )  # fmt: skip
    names = [plain(name, 16) for name in table.columns]
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 6 else {}
    ax.set_xticks(np.arange(table.shape[1]) + 0.5, names, **{"rotation": 0, **slanted})
    ax.set_yticks(np.arange(len(table)) + 0.5, [plain(name, 32) for name in table.index], rotation=0)
    for name, tick in zip(table.index, ax.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if name in marked else "normal")
    ax.tick_params(length=0)
    ax.set(xlabel="\n".join(part for part in (xlabel, label) if part), ylabel="")
    add_subtitle(figure, subtitle)
    rows = pd.DataFrame(values, index=table.index, columns=table.columns).stack().dropna()
    frame = rows.rename("value").rename_axis(["row", "column"]).reset_index()
    return figure, frame
