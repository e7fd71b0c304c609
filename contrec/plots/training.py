"""How a model trained: loss curves, and what the channels of its tokens hold."""

from __future__ import annotations

import pandas as pd

from contrec.plots.common import LINES, add_subtitle, dashes, need, themed, whole_numbers
from contrec.plots.theme import new, rank_order, style


@themed
def loss_curves(history: pd.DataFrame, *, ylabel: str = "loss", subtitle: str = ""):
    """Loss against epoch (the kind of Fig. 1, ContRec): one line per model, a band of one s.d. over seeds.

    Args:
        history: columns model, epoch, loss; optional seed, and part ("train", "validation": another line style).
        ylabel: name and unit of the loss.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with model, part, epoch, mean, sd, n). The axis is logarithmic where losses span a factor of 30.
    """
    need(history, "model", "epoch", "loss")
    frame = history.assign(part=history["part"] if "part" in history else "")
    order = {name: i for i, name in enumerate(rank_order(frame["model"]))}
    frame = frame.groupby(["model", "part", "epoch"])["loss"].agg(mean="mean", sd="std", n="count").reset_index()
    frame = frame.sort_values(["model", "part", "epoch"], key=lambda c: c.map(order) if c.name == "model" else c)
    looks, parts = style(order), list(dict.fromkeys(frame["part"]))
    own = dashes(order)
    figure, ax = new()
    for (name, part), line in frame.groupby(["model", "part"], sort=False):
        label, colour, marker = looks[name]
        every = max(1, len(line) // 8)
        dash = LINES[(parts.index(part) + len(parts) * own[name]) % len(LINES)]
        label = f"{label}, {part}" if part else label
        ax.plot(line["epoch"], line["mean"], color=colour, marker=marker, ls=dash, markevery=every, label=label)
        if (line["n"] > 1).any():
            low, high = line["mean"] - line["sd"], line["mean"] + line["sd"]
            ax.fill_between(line["epoch"], low, high, color=colour, alpha=0.2, lw=0)
    if frame["mean"].min() > 0 and frame["mean"].max() / frame["mean"].min() > 30:
        ax.set_yscale("log")
    n = int(frame["n"].max())
    ax.set(xlabel="epoch", ylabel=ylabel)
    whole_numbers(ax.xaxis)
    title = f"mean ± s.d., {n} seeds" if n > 1 else None
    ax.legend(ncols=1 + (len(looks) * len(parts) > 4), title=title, title_fontsize=6.5)
    add_subtitle(figure, subtitle)
    return figure, frame.reset_index(drop=True)


@themed
def channel_variance(variances: pd.DataFrame, *, floor: float = 1e-6, subtitle: str = ""):
    """Variance of each latent channel over the items, largest first: collapsed ones fall off (Sect. 3.2, ContRec).

    Args:
        variances: columns model, encoder (1..K), channel, variance (of the token's channel over items, not negative).
        floor: smaller variances are drawn here, since the axis is logarithmic.
        subtitle: dataset, preset, seeds.

    Returns:
        (figure, frame with a column rank, 1 for the largest variance of its model and encoder).
    """
    need(variances, "model", "encoder", "channel", "variance")
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
    whole_numbers(ax.xaxis)
    figure.legend(loc="outside lower center", ncols=2)
    add_subtitle(figure, subtitle)
    return figure, frame.reset_index(drop=True)
