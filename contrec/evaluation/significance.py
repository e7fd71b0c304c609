"""How sure it is that one model is better than another: intervals and p values over users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contrec.evaluation.bootstrap import bootstrap_means
from contrec.evaluation.kept import Evaluation


def rate_interval(evaluations: Sequence[Evaluation], metric: str) -> dict:
    """A metric on one group of users, training seeds averaged user by user.

    Args:
        evaluations: on the same users, one for each seed.
        metric: "HR@k" or "NDCG@k".

    Returns:
        ``value``; ``low`` and ``high``, its 95 % percentile interval over users; ``n_users``.
    """
    values = np.mean([e.per_user(metric) for e in evaluations], axis=0)
    low, high = np.percentile(bootstrap_means(values[:, None]), [2.5, 97.5])
    return {"value": values.mean(), "low": low, "high": high, "n_users": len(values)}


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
