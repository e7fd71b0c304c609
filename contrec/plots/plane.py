"""Two dimensions, where a formula can be seen: clouds of points, where a denoiser points, and ways from noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from contrec.plots.common import themed
from contrec.plots.theme import BLACK, BLUE, COLUMN, VERMILLION, new, plain


@themed
def clouds(panels: Mapping[str, object], centres=None, *, limit: float = 4.0):
    """Clouds of points side by side on equal axes.

    Args:
        panels: title -> points, shape (n, 2).
        centres: points marked by a star in every panel, shape (k, 2).
        limit: both axes run from -limit to limit.

    Returns:
        (figure, frame with panel, x, y).
    """
    figure, axes = _panels(panels, limit, centres)
    for ax, points in zip(axes, map(_plane, panels.values()), strict=True):
        ax.scatter(*points.T, s=2 if len(points) > 200 else 6, color=BLUE, alpha=0.5, lw=0, zorder=1)
    return figure, _frame(panels)


@themed
def arrows(panels: Mapping[str, tuple], centres=None, *, limit: float = 4.0):
    """Where a denoiser points: an arrow from each noisy point to the clean point that it expects there.

    Args:
        panels: title -> (noisy points, expected clean points), each of shape (n, 2).
        centres, limit: see :func:`clouds`.

    Returns:
        (figure, frame with panel, x, y, to_x, to_y).
    """
    figure, axes = _panels(panels, limit, centres)
    frames = []
    for ax, (title, pair) in zip(axes, panels.items(), strict=True):
        begin, end = map(_plane, pair)
        ax.quiver(
            *begin.T, *(end - begin).T, angles="xy", scale_units="xy", scale=1, color=BLUE, width=0.004, headwidth=5,
            zorder=1,
        )  # fmt: skip
        frame = pd.DataFrame(np.hstack([begin, end]), columns=["x", "y", "to_x", "to_y"])
        frames.append(frame.assign(panel=title)[["panel", *frame.columns]])
    return figure, pd.concat(frames, ignore_index=True)


@themed
def walks(panels: Mapping[str, object], centres=None, *, limit: float = 4.0):
    """Ways from noise to a sample: hollow where they begin, filled where they end.

    Args:
        panels: title -> trajectories, shape (steps + 1, n, 2), noise first.
        centres, limit: see :func:`clouds`.

    Returns:
        (figure, frame with panel, step, walk, x, y).
    """
    figure, axes = _panels(panels, limit, centres)
    frames = []
    for ax, (title, walk) in zip(axes, panels.items(), strict=True):
        walk = np.asarray(walk, dtype=np.float64)
        for way in walk.transpose(1, 0, 2):
            ax.plot(*way.T, color=BLUE, lw=0.6, zorder=1)
        ax.plot(*walk[0].T, ls="", marker="o", ms=3, mec=BLUE, mfc="white", zorder=2)
        ax.plot(*walk[-1].T, ls="", marker="o", ms=3, mec=BLUE, mfc=BLUE, zorder=3)
        steps, n, _ = walk.shape
        index = pd.MultiIndex.from_product([[title], range(steps), range(n)], names=["panel", "step", "walk"])
        frames.append(pd.DataFrame(walk.reshape(-1, 2), index, ["x", "y"]).reset_index())
    return figure, pd.concat(frames, ignore_index=True)


def _panels(panels: Mapping, limit: float, centres):
    columns = min(len(panels), 3 if len(panels) == 3 else 2)
    rows = -(-len(panels) // columns)
    figure, axes = new(rows, columns, height=rows * (COLUMN / columns + 0.15), sharex=True, sharey=True, squeeze=False)
    for ax, title in zip(axes.flat, panels, strict=False):
        ticks = [-limit, -limit / 2, 0, limit / 2, limit]
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=ticks, yticks=ticks, aspect="equal")
        ax.set_title(plain(title))
        if centres is not None:
            ax.plot(*_plane(centres).T, ls="", marker="*", ms=6, mec=BLACK, mfc=VERMILLION, mew=0.4, zorder=5)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return figure, axes.flat[: len(panels)]


def _plane(points) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points in the plane have shape (n, 2), got {points.shape}")
    return points


def _frame(panels: Mapping) -> pd.DataFrame:
    parts = [pd.DataFrame(_plane(p), columns=["x", "y"]).assign(panel=title) for title, p in panels.items()]
    return pd.concat(parts, ignore_index=True)[["panel", "x", "y"]]
