"""One function per kind of figure; each returns the figure and the data frame behind it."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd

from .theme import (
    BLACK,
    BLUE,
    DATASETS,
    GREEN,
    GREY,
    METHODS,
    THEME,
    VERMILLION,
    group,
    new,
    plain,
    rank_order,
    save,
    style,
)

__all__ = [
    *("channel_variance", "cost_by_part", "cost_curves", "denoising_path", "history_lengths", "loss_curves"),
    "reconstruction",
    *("differences", "ranking_intervals", "sweep", "trade_off"),
    "save",
    "unseen_users",
]
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
BOOTSTRAP = "95 % bootstrap over users"
RATE_PANELS = {  # column: title, in the figure of the reconstruction
    "mse": "(b) held-out MSE", "cosine": "(b) held-out cosine", "overlap": "(c) neighbours kept",
    "HR@10": "(c) ranking", "used": "(d) codes",
}  # fmt: skip


def _themed(draw):
    """Draw under the theme, whatever the notebook has set."""

    @functools.wraps(draw)
    def wrapped(*args, **kwargs):
        with matplotlib.rc_context(THEME):
            return draw(*args, **kwargs)

    return wrapped


def _need(frame: pd.DataFrame, *columns: str) -> None:
    missing = [name for name in columns if name not in frame]
    if missing or not len(frame):
        raise ValueError(
            f"the data frame needs rows and the columns {', '.join(columns)}; missing: {missing or 'rows'}"
        )


def _subtitle(figure, text: str) -> None:
    """Dataset, preset and seeds, above the axes."""
    if text:
        lines = "\n".join(textwrap.wrap(plain(text, 120), 62))  # what a column holds at this size
        figure.suptitle(lines, x=0.01, ha="left", fontsize=6.5, color="#404040")


@_themed
def loss_curves(history: pd.DataFrame, *, ylabel: str = "loss", subtitle: str = ""):
    """Loss against epoch (the kind of Fig. 1, ContRec): one line per model, a band of one s.d. over seeds.

    Args:
        history: columns model, epoch, loss; optional seed, and part ("train", "validation": another line style).
        ylabel: name and unit of the loss.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with model, part, epoch, mean, sd, n). The axis is logarithmic where losses span a factor of 30.
    """
    _need(history, "model", "epoch", "loss")
    frame = history.assign(part=history["part"] if "part" in history else "")
    order = {name: i for i, name in enumerate(rank_order(frame["model"]))}
    frame = frame.groupby(["model", "part", "epoch"])["loss"].agg(mean="mean", sd="std", n="count").reset_index()
    frame = frame.sort_values(["model", "part", "epoch"], key=lambda c: c.map(order) if c.name == "model" else c)
    looks, parts = style(order), list(dict.fromkeys(frame["part"]))
    figure, ax = new()
    for (name, part), line in frame.groupby(["model", "part"], sort=False):
        label, colour, marker = looks[name]
        every = max(1, len(line) // 8)
        dash = LINES[parts.index(part) % len(LINES)]
        label = f"{label}, {part}" if part else label
        ax.plot(line["epoch"], line["mean"], color=colour, marker=marker, ls=dash, markevery=every, label=label)
        if (line["n"] > 1).any():
            low, high = line["mean"] - line["sd"], line["mean"] + line["sd"]
            ax.fill_between(line["epoch"], low, high, color=colour, alpha=0.2, lw=0)
    if frame["mean"].min() > 0 and frame["mean"].max() / frame["mean"].min() > 30:
        ax.set_yscale("log")
    n = int(frame["n"].max())
    ax.set(xlabel="epoch", ylabel=ylabel)
    title = f"mean ± s.d., {n} seeds" if n > 1 else None
    ax.legend(ncols=1 + (len(looks) * len(parts) > 4), title=title, title_fontsize=6.5)
    _subtitle(figure, subtitle)
    return figure, frame.reset_index(drop=True)


@_themed
def ranking_intervals(
    results: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("HR@10", "NDCG@10"),
    interval: str = BOOTSTRAP,
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
    _need(results, "model", "metric", "value")
    frame = results[results["metric"].isin(metrics)].reindex(
        columns=["model", "kind", "metric", "value", "low", "high"]
    )
    _need(frame, "model")
    frame["kind"] = frame["kind"].fillna("reproduced")
    names = rank_order(frame["model"])
    rows, looks = {name: i for i, name in enumerate(names)}, style(names)
    kinds = [kind for kind in ("reproduced", "this run", "published") if kind in set(frame["kind"])]
    figure, axes = new(1, len(metrics), height=0.75 + 0.145 * len(names), sharey=True, squeeze=False)
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
        axes[0, 0].plot([], [], ls="", marker="o", color=BLACK, label=text, **_fill(kind, BLACK))
    figure.legend(loc="outside lower center", ncols=1)
    _subtitle(figure, subtitle)
    order = pd.Series(rows)
    frame = frame.sort_values(["metric", "model", "kind"], key=lambda c: c.map(order) if c.name == "model" else c)
    return figure, frame.reset_index(drop=True)


def _fill(kind: str, colour: str) -> dict:
    """Published is hollow, reproduced filled, this run half filled."""
    if kind == "this run":
        return {"fillstyle": "left", "mfc": colour, "markerfacecoloralt": "white", "mec": colour}
    return {"mfc": "white" if kind == "published" else colour, "mec": colour}


def _dot(ax, line, y: float, look: tuple[str, str, str]) -> None:
    _, colour, marker = look
    if pd.notna(line.low) and pd.notna(line.high):
        ax.plot([line.low, line.high], [y, y], color=colour, lw=1.0, zorder=2)
    ax.plot([line.value], [y], ls="", marker=marker, color=colour, zorder=3, **_fill(line.kind, colour))


def _borders(names: list[str]) -> list[float]:
    """Heights of the lines between floors, methods and controls."""
    return [i + 0.5 for i in range(len(names) - 1) if group(names[i]) != group(names[i + 1])]


@_themed
def channel_variance(variances: pd.DataFrame, *, floor: float = 1e-6, subtitle: str = ""):
    """Variance of each latent channel over the items, largest first: collapsed ones fall off (Sect. 3.2, ContRec).

    Args:
        variances: columns model, encoder (1..K), channel, variance (of the token's channel over items, not negative).
        floor: smaller variances are drawn here, since the axis is logarithmic.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with a column rank, 1 for the largest variance of its model and encoder).
    """
    _need(variances, "model", "encoder", "channel", "variance")
    if (variances["variance"] < 0).any():
        raise ValueError(f"a variance must not be negative, got {variances['variance'].min()}")
    frame = variances.sort_values(["model", "encoder", "variance", "channel"], ascending=[True, True, False, True])
    frame["rank"] = frame.groupby(["model", "encoder"]).cumcount() + 1
    names, encoders = rank_order(frame["model"]), sorted(set(frame["encoder"]))
    looks = style(names)
    figure, ax = new()
    for name in names:
        label, colour, marker = looks[name]
        for encoder in encoders:
            line = frame[(frame["model"] == name) & (frame["encoder"] == encoder)]
            ax.plot(
                line["rank"], line["variance"].clip(lower=floor), color=colour, marker=marker,
                ls=LINES[encoders.index(encoder) % len(LINES)],
                markevery=(encoders.index(encoder), max(1, len(line) // 6)), label=f"{label}, encoder {encoder}",
            )  # fmt: skip
    below = f"\n(variances below {floor:g} drawn at {floor:g})" if (frame["variance"] < floor).any() else ""
    ax.set(xlabel="channel, by decreasing variance" + below, ylabel="variance over items", yscale="log")
    figure.legend(loc="outside lower center", ncols=2)
    _subtitle(figure, subtitle)
    return figure, frame.reset_index(drop=True)


@_themed
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
    _subtitle(figure, subtitle)
    index = pd.MultiIndex.from_product(
        [range(n), range(1, k + 1), range(1, d + 1)], names=["title", "token", "channel"]
    )
    frame = pd.Series(values.ravel(), index, name="value").reset_index()
    return figure, frame.assign(title=[titles[i] for i in frame["title"]])


@_themed
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
        _mark(ax, path[:1], "o", VERMILLION, "noise", hollow=True)
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
    _subtitle(figure, subtitle)
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


@_themed
def history_lengths(lengths: pd.DataFrame, *, cap: int | None = 20, subtitle: str = ""):
    """Share of cases whose history has at least so many items, per dataset.

    Args:
        lengths: columns dataset, length (one row per case).
        cap: longest history that a model sees (20 in Sect. 4.1.1, ContRec), drawn as a line; None for no line.
        subtitle: split and source.

    Returns:
        (figure, frame with dataset, length, share of cases with at least that length).
    """
    _need(lengths, "dataset", "length")
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
    if max(len(frame) for frame in frames) > 1 and lengths["length"].max() > 50 and lengths["length"].min() > 0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
    ax.legend()
    _subtitle(figure, subtitle)
    return figure, pd.concat(frames, ignore_index=True)


@_themed
def reconstruction(
    loss: pd.DataFrame, rates: pd.DataFrame, *, truth: pd.DataFrame | None = None, references: dict | None = None,
    subtitle: str = "",
):  # fmt: skip
    """The kind of Fig. 1, ContRec: (a) loss against step, (b) distortion against rate, (c) what it is worth, (d) codes.

    Args:
        loss: columns model, epoch (the step), seed, loss, as for :func:`loss_curves`.
        rates: columns decoder, seed, rate_bits, mse, cosine, overlap, HR@10, and used and collisions (NaN where there
            are no codes); an infinite rate is left out.
        truth: columns truth, rate_bits, mse: curves drawn into the panel of the MSE.
        references: value of the untouched embeddings by column ("HR@10").
        subtitle: dataset, inputs, preset, seeds.

    Returns:
        (figure, frame with decoder, rate_bits and mean and s.d. over seeds of each column). Lines join seeds' means.
    """
    _need(loss, "model", "epoch", "seed", "loss")
    _need(rates, "decoder", "seed", "rate_bits", *RATE_PANELS, "collisions")
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
    panels = dict(zip(RATE_PANELS, axes.flat[1:], strict=True))
    for column, ax in panels.items():
        _rate_lines(ax, frame, column, looks)
        if references and column in references:
            ax.axhline(references[column], color=BLACK, lw=0.7, ls="--", zorder=0)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
        ax.set(xlabel="rate (bits)", ylabel=column, title=RATE_PANELS[column])
    _rate_lines(panels["used"], frame, "collisions", looks, ls=":")
    panels["used"].set(ylim=(0, 1.05), ylabel="used; collisions dotted")
    for dash, (name, line) in zip(LINES[1:], [] if truth is None else truth.groupby("truth", sort=False), strict=False):
        panels["mse"].plot(line["rate_bits"], line["mse"], color=BLACK, ls=dash, lw=0.8, label=name)
    panels["mse"].set_yscale("log")
    legend = panels["mse"].get_legend_handles_labels()
    title = "bars and bands: s.d. over seeds"
    figure.legend(*legend, loc="outside lower center", ncols=3, title=title, title_fontsize=6.5)
    _subtitle(figure, subtitle)
    return figure, frame


def _rate_lines(ax, frame: pd.DataFrame, column: str, looks: dict, ls: str = "-") -> None:
    for name, line in frame.dropna(subset=[column]).groupby("decoder", sort=False):
        line, (label, colour, marker) = line.sort_values("rate_bits"), looks[name]
        bars = line[f"{column} s.d."].fillna(0)
        ax.errorbar(
            line["rate_bits"], line[column], bars, color=colour, marker=marker, label=label, elinewidth=0.8, ls=ls
        )


@_themed
def cost_by_part(costs: pd.DataFrame, *, subtitle: str = ""):
    """Seconds of one batch by part (the kind of Table 4, ContRec): a row per part, a marker per layout, log axis.

    Args:
        costs: columns layout ("published", or as :func:`contrec.bench.inference.split_by_part` names them), part,
            seconds. "total" is added where a layout lacks it.
        subtitle: dataset, preset, machine.

    Returns:
        (figure, frame with layout, part, seconds, totals included).
    """
    _need(costs, "layout", "part", "seconds")
    totals = costs.groupby("layout", sort=False)["seconds"].sum().reset_index().assign(part="total")
    totals = totals[~totals["layout"].isin(costs.loc[costs["part"] == "total", "layout"])]
    frame = pd.concat([costs[["layout", "part", "seconds"]], totals], ignore_index=True)
    parts = sorted(dict.fromkeys(frame["part"]), key=lambda part: part == "total")
    looks = style(dict.fromkeys(frame["layout"]))
    figure, ax = new(height=0.9 + 0.25 * len(parts))
    for place, (name, (label, colour, marker)) in enumerate(looks.items()):
        line = frame[frame["layout"] == name]
        y = [parts.index(part) + 0.16 * (place - (len(looks) - 1) / 2) for part in line["part"]]
        fill = _fill("published" if name == "published" else "reproduced", colour)
        ax.plot(line["seconds"], y, ls="", marker=marker, label=label, **fill)
    ax.set_xscale("log")
    ax.set(xlabel="seconds per batch", ylim=(len(parts) - 0.5, -0.5))
    ax.set_yticks(range(len(parts)), [{"llm": "LLM"}.get(part, part) for part in parts])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    figure.legend(loc="outside lower center", ncols=2)
    _subtitle(figure, subtitle)
    return figure, frame


@_themed
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
    _need(costs, "layout", x, "seconds", "MiB")
    frame = costs[["layout", x, "seconds", "MiB"]].sort_values(["layout", x]).reset_index(drop=True)
    figure, axes = new(1, 2, height=2.0)
    for name, (label, colour, marker) in style(dict.fromkeys(frame["layout"])).items():
        line = frame[frame["layout"] == name]
        for ax, column in zip(axes, ("seconds", "MiB"), strict=True):
            ax.plot(line[x], line[column], color=colour, marker=marker, label=label)
    for ax, column in zip(axes, ("seconds", "peak memory (MiB)"), strict=True):
        ax.set(xlabel=xlabel, ylabel=column, xscale="log", yscale="log")
        ax.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5), numticks=7))
        ax.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        ax.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        ax.grid(color="#E5E5E5", lw=0.5)
    if frame["layout"].nunique() > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _subtitle(figure, subtitle)
    return figure, frame


@_themed
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
    _need(costs, "kind", label, "seconds", metric, "low", "high")
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
    ax.set(xlabel="seconds of diffusion per batch", ylabel=metric)
    ax.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=1, title=f"bars: {interval}", title_fontsize=6.5)
    _subtitle(figure, subtitle)
    return figure, frame


@_themed
def unseen_users(groups: pd.DataFrame, *, metrics: Sequence[str] = ("HR@10", "NDCG@10"), subtitle: str = ""):
    """Rates of models on users outside training beside those on the same users in it (the kind of Table 5, ContRec).

    Args:
        groups: columns model, group, metric, value, low, high, n_users, as ``study.unseen_groups`` gives them; groups
            stand in their order of appearance.
        metrics: one panel each.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with model, group, metric, value, low, high, n_users).
    """
    _need(groups, "model", "group", "metric", "value", "low", "high", "n_users")
    frame = groups[groups["metric"].isin(metrics)].reset_index(drop=True)
    names, kinds = rank_order(frame["model"]), list(dict.fromkeys(frame["group"]))
    labels = {name: look[0] for name, look in style(names).items()}
    looks = dict(zip(kinds, ((VERMILLION, "o"), (METHODS["deftrec"][1], "D"), (GREY, "|")), strict=False))
    figure, axes = new(1, len(metrics), height=0.9 + 0.21 * len(names), sharey=True, squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        for kind, (colour, marker) in looks.items():
            line = frame[(frame["metric"] == metric) & (frame["group"] == kind)]
            y = [names.index(name) + 0.22 * (kinds.index(kind) - (len(kinds) - 1) / 2) for name in line["model"]]
            ax.hlines(y, line["low"], line["high"], color=colour, lw=1.0)
            n = ", ".join(str(n) for n in dict.fromkeys(line["n_users"]))
            ax.plot(line["value"], y, ls="", marker=marker, color=colour, label=f"{kind} (n = {n})")
        ax.set(xlabel=metric, ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), [labels[name] for name in names])
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    title = f"bars: {BOOTSTRAP}"
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1, title=title, title_fontsize=6.5
    )
    _subtitle(figure, subtitle)
    return figure, frame


@_themed
def differences(frame: pd.DataFrame, *, metrics: Sequence[str] = ("HR@10", "NDCG@10"), subtitle: str = ""):
    """Differences of changed models from the full one, as dots with intervals, by group; published ones hollow.

    Args:
        frame: columns group, label, metric, kind ("this run", "reproduced", "published"), difference (percentage
            points), low, high (NaN: a dot and no bar), as ``study.drawn`` gives them; groups and labels stand in their
            order of appearance.
        metrics: one panel each.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with group, label, metric, kind, difference, low, high).
    """
    _need(frame, "group", "label", "metric", "kind", "difference", "low", "high")
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
            ax.plot([line.difference], [y], ls="", marker=marker, ms=3.5, **_fill(line.kind, colour))
        ax.set(xlabel=f"{metric} (points)", ylim=(len(ticks) - 0.4, -0.6))
        ax.set_yticks(*zip(*ticks, strict=True))
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
        ax.grid(axis="x", color="#E5E5E5", lw=0.5)
    for n in heads:
        axes[0, 0].get_yticklabels()[n].set_fontweight("bold")
    for kind in kinds:
        colour, marker = (METHODS["deftrec"][1], "D") if kind == "published" else (VERMILLION, "o")
        bar = "no interval" if kind == "published" else f"bars: {BOOTSTRAP}, paired"
        axes[0, 0].plot([], [], ls="", marker=marker, label=f"{kind} ({bar})", **_fill(kind, colour))
    figure.legend(
        loc="outside lower center", ncols=1, title="changed minus full model, percentage points", title_fontsize=6.5
    )
    _subtitle(figure, subtitle)
    return figure, frame


# kind of a point: colour, marker, and what was trained for it
SWEPT = {
    "all": (BLUE, "o", "everything"),
    "head only": (GREEN, "s", "head only"),
    "one checkpoint": (VERMILLION, "D", "nothing"),
}


@_themed
def sweep(curves: pd.DataFrame, *, metric: str = "HR@10", subtitle: str = ""):
    """A rate against each of several settings, one panel a parameter (the kind of Figs. 3 and 4, DeftRec).

    Values stand at equal distances, since some grids are linear and others are not.

    Args:
        curves: columns parameter, title, kind (of ``SWEPT``: what was trained for a point), x, part ("test": dots
            with intervals; "validation": grey, which chooses), value, low, high, n_seeds, default, best, paper_low and
            paper_high (ends of the range that a paper calls best, NaN for none).
        metric: name of the rate.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with these columns).
    """
    columns = ["parameter", "title", "kind", "x", "part", "value", "low", "high", "n_seeds", "default", "best"]
    _need(curves, *columns, "paper_low", "paper_high")
    frame = curves[[*columns, "paper_low", "paper_high"]].reset_index(drop=True)
    names, width = list(dict.fromkeys(frame["parameter"])), 2
    rows = -(-len(names) // width)
    figure, axes = new(rows, width, height=0.9 + 1.15 * rows, squeeze=False, sharey=True)
    for ax, name in zip(axes.flat, names, strict=False):
        _swept(ax, frame[frame["parameter"] == name])
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel(metric)
    axes[0, 0].set_ylim(bottom=0)
    note = {"ls": "", "color": GREY}
    for kind in dict.fromkeys(frame["kind"]):
        colour, marker, trained = SWEPT[kind]
        axes[0, 0].plot([], [], ls="", marker=marker, color=colour, label=f"test; trained: {trained}")
    axes[0, 0].plot([], [], marker="_", label="validation", **note)
    axes[0, 0].plot([], [], ls="", marker="*", ms=7, color=BLACK, label="best by validation")
    axes[0, 0].plot([], [], marker="v", label="default", **note)
    if frame["paper_low"].notna().any():
        axes[0, 0].plot([], [], marker="s", ms=7, mfc="none", mec=BLACK, ls="", label="best in the paper's text")
    title = f"bars: {BOOTSTRAP}"
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, title=title, title_fontsize=6.5
    )
    _subtitle(figure, subtitle)
    return figure, frame


def _swept(ax, rows: pd.DataFrame) -> None:
    """One panel of :func:`sweep`."""
    values = sorted(set(rows["x"]))
    at = {x: place for place, x in enumerate(values)}
    for part, line in rows.groupby("part", sort=False):
        places = [at[x] for x in line["x"]]
        if part == "validation":
            ax.plot(places, line["value"], ls="", marker="_", ms=7, color=GREY, zorder=1)
            continue
        colour, marker, _ = SWEPT[line["kind"].iloc[0]]
        ax.vlines(places, line["low"], line["high"], color=colour, lw=1.0, zorder=2)
        for place, value, best in zip(places, line["value"], line["best"], strict=True):
            ax.plot(place, value, marker="*" if best else marker, ms=8 if best else 4, color=colour, zorder=3)
    top = ax.get_xaxis_transform()
    for x in set(rows.loc[rows["default"], "x"]):
        ax.plot(at[x], 1.0, marker="v", color=GREY, transform=top, clip_on=False)
    low, high = rows[["paper_low", "paper_high"]].iloc[0]
    if pd.notna(low):
        ends = np.interp([low, high], values, range(len(values))) + np.array([-0.35, 0.35])
        ax.axvspan(*ends, fill=False, ec=BLACK, lw=0.7, ls="--", zorder=0)
    ax.set_xticks(range(len(values)), [x if isinstance(x, str) else f"{x:g}" for x in values])
    ax.set(title=rows["title"].iloc[0], xlim=(-0.6, len(values) - 0.4))
    ax.grid(axis="y", color="#E5E5E5", lw=0.5)
