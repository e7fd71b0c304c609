"""What is kept of one evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from contrec.evaluation.bootstrap import bootstrap_means
from contrec.evaluation.metrics import METRICS, metric_values
from contrec.shown import Shown

if TYPE_CHECKING:
    import pandas as pd


Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ranks and ties (n,) -> values (n,)


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """What is kept of one evaluation: enough to recompute every metric, interval and comparison.

    Attributes:
        ranks: rank of each case's target, float64, shape (n,), ties averaged, infinity for a miss.
        ties: number of candidates that share the target's score, itself included, int64, shape (n,).
        user: dense user index, int64, shape (n,); strangers (-1) become -1, -2, ..., one user each.
        exclude_seen: whether items of the history were candidates (False) or not (True).
        coverage: share of the catalogue that stands in at least one top-10 list, or None where m is unknown.
        counts: ``cases``, ``users``, ``seen_targets`` (misses when seen items are removed), ``tied_targets``,
            ``unranked_targets`` (all misses by infinite rank), ``cold_targets`` if train rows were given.
        own_metrics: metrics besides HR and NDCG, by name, as :func:`contrec.evaluation.evaluate` takes them.
    """

    ranks: np.ndarray
    ties: np.ndarray
    user: np.ndarray
    exclude_seen: bool
    coverage: float | None
    counts: dict
    own_metrics: dict[str, Metric] = field(default_factory=dict)

    def about(self) -> dict:
        return {"users": self.counts.get("users", len(np.unique(self.user))), **self.metrics()}

    def more(self) -> dict:
        values, between = self.metrics(), self.intervals()
        told = {k: f"{values[k]:.4g} (95 %: {low:.4g} to {high:.4g})" for k, (low, high) in between.items()}
        return told | {"coverage": self.coverage} | {k.replace("_", " "): v for k, v in self.counts.items()}

    def per_user(self, metric: str) -> np.ndarray:
        """Metric averaged over each user's cases, float64, shape (n_users,), users ascending."""
        _, row, n_cases = np.unique(self.user, return_inverse=True, return_counts=True)
        if metric in self.own_metrics:
            values = np.asarray(self.own_metrics[metric](self.ranks, self.ties), np.float64)
            if values.shape != self.ranks.shape or np.isnan(values).any():
                raise ValueError(
                    f"metric {metric!r} must give one number for each of {len(self.ranks)} cases, 0 for a miss (rank "
                    f"infinity), got shape {values.shape}" + ", NaN among them" * bool(np.isnan(values).any())
                )
        else:
            values = metric_values(metric, self.ranks, self.ties)
        return np.bincount(row, values) / n_cases

    def metrics(self) -> dict[str, float]:
        """HR and NDCG at 10 and 20, fractions in [0, 1], and own metrics: cases averaged per user, then users."""
        return {name: float(self.per_user(name).mean()) for name in self._names()}

    def intervals(self, n_boot: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % percentile intervals (low, high) of :meth:`metrics` by drawing users with replacement."""
        draws = bootstrap_means(np.stack([self.per_user(name) for name in self._names()], 1), n_boot, seed)
        low, high = np.percentile(draws, [2.5, 97.5], axis=0)
        return {name: (float(x), float(y)) for name, x, y in zip(self._names(), low, high)}

    def _names(self) -> tuple[str, ...]:
        return (*METRICS, *self.own_metrics)

    def to_frame(self, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
        """One row per metric: metric, value, low, high (95 % bootstrap over users), n_users."""
        import pandas as pd

        interval = self.intervals(n_boot, seed)
        rows = [(k, v, *interval[k], self.counts["users"]) for k, v in self.metrics().items()]
        return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n_users"])
