"""What all figures share: the theme around them, the check of their data, the line under their title."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterable

import matplotlib
import pandas as pd

from contrec.plots.theme import THEME, plain, style

LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
BOOTSTRAP = "95 % bootstrap over users"
INTERVAL = "95 % over users and, where several, trainings"


def themed(draw):
    """Draw under the theme, whatever the notebook has set."""

    @functools.wraps(draw)
    def wrapped(*args, **kwargs):
        with matplotlib.rc_context(THEME):
            return draw(*args, **kwargs)

    return wrapped


def need(frame: pd.DataFrame, *columns: str) -> None:
    missing = [name for name in columns if name not in frame]
    if missing or not len(frame):
        raise ValueError(
            f"the data frame needs rows and the columns {', '.join(columns)}; missing: {missing or 'rows'}"
        )


def dashes(names: Iterable[str]) -> dict[str, int]:
    """A place in ``LINES`` for each name, so that names with one marker differ in their line: 0 where none does."""
    markers: list[str] = []
    found = {}
    for name, (_, _, marker) in style(names).items():
        found[name] = markers.count(marker) % len(LINES)
        markers.append(marker)
    return found


def whole_numbers(axis) -> None:
    """Ticks at whole numbers: epochs, steps, items and tokens have no halves."""
    axis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=6, integer=True))


def add_subtitle(figure, text: str) -> None:
    """Dataset, preset and seeds, above the axes."""
    if text:
        lines = "\n".join(textwrap.wrap(plain(text, 120), 62))  # what a column holds at this size
        figure.suptitle(lines, x=0.01, ha="left", fontsize=6.5, color="#404040")


def marker_fill(kind: str, colour: str) -> dict:
    """Published is hollow, reproduced filled, this run half filled."""
    if kind == "this run":
        return {"fillstyle": "left", "mfc": colour, "markerfacecoloralt": "white", "mec": colour}
    return {"mfc": "white" if kind == "published" else colour, "mec": colour}
