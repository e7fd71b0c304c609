"""Bootstrap over users: intervals of a metric, and of the difference of two models on the same users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from contrec.checks import positive

if TYPE_CHECKING:
    from contrec.evaluation.protocol import Evaluation

KEPT = 2**24  # numbers of two bytes, at most so many for each of four sets of draws


def bootstrap_means(values, n_boot: int = 1000, seed: int = 0) -> np.ndarray:
    """Means over users drawn with replacement; every column sees the same draws.

    Args:
        values: one row per user, float, shape (n_users, c).
        n_boot: number of draws, at least 1.
        seed: of the draws.

    Returns:
        Float64, shape (n_boot, c).
    """
    positive("n_boot", n_boot)
    values = np.asarray(values, np.float64)
    n = len(values)
    # how often each user was drawn times the values, draw by draw
    draws = _kept_draws(n, n_boot, seed) if n * n_boot <= KEPT else _draws(n, n_boot, seed)
    return np.stack([times @ values for times in draws]) / n


def _draws(n: int, n_boot: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n users is drawn, (n,), draw by draw: the memory of one, whatever n_boot is."""
    rng = np.random.default_rng(seed)
    return (np.bincount(rng.integers(n, size=n), minlength=n).astype(np.uint16) for _ in range(n_boot))


@lru_cache(maxsize=4)
def _kept_draws(n: int, n_boot: int, seed: int) -> np.ndarray:
    """All of them, (n_boot, n): tables ask the same users about many differences, and drawing takes the most time."""
    return np.stack(list(_draws(n, n_boot, seed)))


def paired_bootstrap(
    a: Evaluation | Sequence[Evaluation],
    b: Evaluation | Sequence[Evaluation],
    metric: str,
    n_boot: int = 10_000,
    seed: int = 0,
) -> dict:
    """How much better ``a`` is than ``b`` on the same users, and how sure that is.

    Args:
        a, b: evaluations of two models on the same cases; rows may stand in another order. Several evaluations of one
            model, one for each training seed, are averaged user by user.
        metric: "HR@k" or "NDCG@k".
        n_boot: number of draws of users.
        seed: of the draws.

    Returns:
        ``metric``; ``difference`` of the means a - b in percentage points; ``low`` and ``high``, its 95 % percentile
        interval in points; ``p``, two-sided: twice the smaller share of draws on either side of zero, at least
        2 / (n_boot + 1) and at most 1; ``n_users``.

    Raises:
        ValueError: if users, their numbers of cases, or the treatment of seen items differ.
    """
    a, b = map(_several, (a, b))
    kinds = {e.exclude_seen for e in a + b}
    if len(kinds) > 1:
        raise ValueError(
            f"exclude_seen must be equal in all evaluations, got {a[0].exclude_seen} and {b[0].exclude_seen}"
        )
    first, *others = (np.unique(e.user, return_counts=True) for e in a + b)
    for other in others:
        if not all(np.array_equal(x, y) for x, y in zip(first, other)):
            raise ValueError(
                f"a paired comparison needs the same users with the same number of cases, got {len(first[0])} and "
                f"{len(other[0])} users; evaluate both models on one set of cases"
            )
    mean_a, mean_b = (np.mean([e.per_user(metric) for e in own], axis=0) for own in (a, b))
    difference = 100 * (mean_a - mean_b)
    draws = bootstrap_means(difference[:, None], n_boot, seed)[:, 0]
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "metric": metric,
        "difference": float(difference.mean()),
        "low": float(low),
        "high": float(high),
        "p": float(min(1.0, 2 * (tail + 1) / (n_boot + 1))),
        "n_users": len(difference),
    }


def unpaired_bootstrap(
    a: Evaluation | Sequence[Evaluation],
    b: Evaluation | Sequence[Evaluation],
    metric: str,
    n_boot: int = 10_000,
    seed: int = 0,
) -> dict:
    """How much better one group of users is served than another, each drawn for itself.

    Args:
        a, b: evaluations on two groups of users; several for one group, one for each training seed, are averaged user
            by user.
        metric: "HR@k" or "NDCG@k".
        n_boot, seed: of the draws; the two groups have streams of their own.

    Returns:
        ``metric``; ``difference`` of the means a - b in percentage points; ``low`` and ``high``, its 95 % percentile
        interval in points; ``n_users``, those of a and of b.
    """
    values = [100 * np.mean([e.per_user(metric) for e in _several(own)], axis=0) for own in (a, b)]
    draws = [bootstrap_means(v[:, None], n_boot, s)[:, 0] for v, s in zip(values, (seed, seed + 1))]
    low, high = np.percentile(draws[0] - draws[1], [2.5, 97.5])
    return {
        "metric": metric,
        "difference": float(values[0].mean() - values[1].mean()),
        "low": float(low),
        "high": float(high),
        "n_users": (len(values[0]), len(values[1])),
    }


def _several(evaluations) -> list[Evaluation]:
    return [evaluations] if hasattr(evaluations, "per_user") else list(evaluations)
