"""One user: tokens, and the way from noise to a preference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from contrec.plots.common import add_subtitle, themed
from contrec.plots.theme import BLACK, METHODS, VERMILLION, new, plain


@themed
def tokens(values, titles: Sequence[str], *, subtitle: str = ""):
    """The continuous tokens of a few items: a row of channels for each of the K tokens (Eq. (10), ContRec).

    Args:
        values: tokens, shape (n, K, D).
        titles: n item titles.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with title, token (1..K), channel (1..D), value).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3 or len(values) != len(titles):
        raise ValueError(f"tokens need values of shape (n, K, D) and n titles, got {values.shape} and {len(titles)}")
    n, k, d = values.shape
    figure, ax = new(height=0.5 + 0.11 * n * k)
    limit = np.abs(values).max() or 1.0
    image = ax.imshow(values.reshape(n * k, d), cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    ax.set(xlabel="channel", xticks=[0, d - 1], xticklabels=[1, d])
    ax.set_yticks(np.arange(n) * k + (k - 1) / 2, [plain(title, 24) for title in titles])
    for border in range(1, n):
        ax.axhline(border * k - 0.5, color="white", lw=1.5)
    figure.colorbar(image, ax=ax, label="value", pad=0.02)
    add_subtitle(figure, subtitle)
    index = pd.MultiIndex.from_product(
        [range(n), range(1, k + 1), range(1, d + 1)], names=["title", "token", "channel"]
    )
    frame = pd.Series(values.ravel(), index, name="value").reset_index()
    return figure, frame.assign(title=[titles[i] for i in frame["title"]])


@themed
def denoising_path(
    trajectory,
    items,
    target: int,
    history: Sequence[int],
    labels: Sequence[str],
    *,
    preference=None,
    top_k: int = 10,
    subtitle: str = "",
):
    """The way from noise to a preference (Eq. (8), ContRec) among the items, on the items' first two principal axes.

    Args:
        trajectory: sampled vectors, shape (S, d), from noise (first) to the preference (last).
        items: item vectors q, shape (m, d).
        target: index of the item to be found.
        history: indices of the items seen before.
        labels: title of each item, length m.
        preference: what the list is ranked by, shape (d,), where that is not the end of the path (an estimate other
            than one sample). Only its direction counts: it is drawn at the items' mean length.
        top_k: how many nearest items (by cosine, as Eq. (22) without text; history left out) are ringed, and numbered
            in the right panel, which enlarges the box of the left one.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with role ("path", "preference" if one was given, "history", "target", "top"), step or rank,
        item, title, x, y). Two axes lose most of the distances: what looks near may be far.
    """
    trajectory, items = (np.asarray(a, dtype=np.float64) for a in (trajectory, items))
    if trajectory.ndim != 2 or items.ndim != 2 or trajectory.shape[1] != items.shape[1] or len(labels) != len(items):
        got = f"{trajectory.shape}, {items.shape}, {len(labels)}"
        raise ValueError(f"trajectory (S, d), items (m, d) and m labels must fit, got {got}")
    history = list(dict.fromkeys(int(i) for i in history))
    centre = items.mean(0)
    axes_ = np.linalg.svd(items - centre, full_matrices=False)[2][:2]
    axes_ *= np.sign(axes_[np.arange(2), np.abs(axes_).argmax(1)])[:, None]  # the sign of an axis is arbitrary: fix it
    path, points = (trajectory - centre) @ axes_.T, (items - centre) @ axes_.T
    length = np.maximum(np.linalg.norm(items, axis=1), 1e-12)
    answer = trajectory[-1] if preference is None else np.asarray(preference, dtype=np.float64)
    cosine = items @ answer / length
    answer = answer if preference is None else answer * length.mean() / max(np.linalg.norm(answer), 1e-12)
    answer = ((answer - centre) @ axes_.T)[None]
    cosine[history] = -np.inf
    top = np.argsort(-cosine, kind="stable")[: min(top_k, len(items) - len(history))]
    figure, panels = new(1, 2, height=2.5)
    for ax, zoom in zip(panels, (False, True), strict=True):
        ax.scatter(*points.T, s=3, color="#C8C8C8", lw=0, zorder=1, rasterized=len(items) > 5000, label="item")
        ax.plot(*path.T, color=VERMILLION, lw=0.9, zorder=3)
        _mark(ax, path[:1], "P", VERMILLION, "noise", hollow=True)
        _mark(ax, points[history], "s", METHODS["deftrec"][1], "history", size=3)
        _mark(ax, points[top], "o", BLACK, f"top {len(top)}", hollow=True, size=6.5 if zoom else 4.5)
        _mark(ax, points[[target]], "*", METHODS["sasrec"][1], f"target: {plain(labels[target], 24)}", size=7)
        if preference is not None:
            _mark(ax, path[-1:], "d", VERMILLION, "one sample")
        _mark(ax, answer, "X", VERMILLION, "preference")
        ax.set(xlabel="first principal axis", ylabel="" if zoom else "second principal axis")
    near = np.vstack([points[top], points[[target]], answer])
    _zoom(*panels, near.min(0), near.max(0))
    for rank, item in enumerate(top, start=1):
        panels[1].annotate(str(rank), points[item], xytext=(3, 3), textcoords="offset points", fontsize=6, zorder=6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    add_subtitle(figure, subtitle)
    rows = [("path", step, -1, "", *xy) for step, xy in enumerate(path)]
    rows += [("preference", 0, -1, "", *xy) for xy in answer if preference is not None]
    for role, ids in (("history", history), ("target", [target]), ("top", top)):
        rows += [(role, place, int(i), str(labels[i]), *points[i]) for place, i in enumerate(ids, start=1)]
    return figure, pd.DataFrame(rows, columns=["role", "step", "item", "title", "x", "y"])


def _mark(ax, points, marker: str, colour: str, label: str, hollow: bool = False, size: float = 4.5) -> None:
    face = "none" if hollow else colour
    ax.plot(*points.T, ls="", marker=marker, ms=size, mec=colour, mfc=face, label=label, zorder=5)


def _zoom(whole, part, low, high) -> None:
    """Narrow the axes ``part`` to the box low..high with a margin, and draw that box in the axes ``whole``."""
    margin = 0.15 * (high - low) + 1e-9
    (x0, y0), (x1, y1) = low - margin, high + margin
    part.set(xlim=(x0, x1), ylim=(y0, y1))
    whole.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="#404040", lw=0.6, zorder=2)
