"""One function per kind of figure; each returns the figure and the data frame behind it."""

from contrec.plots.changes import differences, sweep
from contrec.plots.cost import cost_by_part, cost_curves, trade_off
from contrec.plots.grid import heat_map
from contrec.plots.histories import history_lengths
from contrec.plots.paths import denoising_path, tokens
from contrec.plots.plane import arrows, clouds, walks
from contrec.plots.ranking import ranking_intervals, unseen_users
from contrec.plots.reconstruction import reconstruction
from contrec.plots.theme import save
from contrec.plots.training import channel_variance, loss_curves

__all__ = [
    "arrows", "channel_variance", "clouds", "cost_by_part", "cost_curves", "denoising_path", "differences",
    "heat_map", "history_lengths", "loss_curves", "ranking_intervals", "reconstruction", "save", "sweep", "tokens",
    "trade_off", "unseen_users", "walks",
]  # fmt: skip
