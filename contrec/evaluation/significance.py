"""How sure it is that one model is better than another: intervals and p values over users and trainings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contrec.evaluation.bootstrap import bootstrap_means, over_trainings, training_noise
from contrec.evaluation.kept import Evaluation


def side(low: float, high: float) -> int:
    """The rule by which every verdict is made: 1 where an interval of a difference lies above 0, -1 where it lies
    below, 0 where it holds 0 (or is not known)."""
    return int(low > 0) - int(high < 0)


def rate_interval(
    evaluations: Sequence[Evaluation], metric: str, n_boot: int = 1000, seed: int = 0
) -> dict[str, float | int]:
    """A metric on one group of users, training seeds averaged user by user.

    Args:
        evaluations: on the same users, one for each training seed.
        metric: "HR@k" or "NDCG@k".
        n_boot, seed: of the draws of users.

    Returns:
        ``value``; ``low`` and ``high``, its 95 % interval over users and trainings
        (:func:`contrec.evaluation.bootstrap.over_trainings`; of a single training, or of equal ones, the percentile
        interval over users), of a metric in [0, 1] no wider than that; ``n_users``.
    """
    values = np.stack([e.per_user(metric) for e in evaluations])
    draws = bootstrap_means(values.mean(0)[:, None], n_boot, seed)[:, 0]
    draws = over_trainings(draws, _of_users(values), [training_noise(values)])
    low, high = np.percentile(draws, [2.5, 97.5])
    if values.min() >= 0 and values.max() <= 1:
        low, high = np.clip([low, high], 0, 1)
    return {"value": values.mean(), "low": low, "high": high, "n_users": values.shape[1]}


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
            model, one for each training seed, are averaged user by user. Where both have equally many, the first is
            held against the first and so on, as befits models that share a seed; else their trainings are independent.
            One evaluation says nothing about the noise of training: the interval is then over users only.
        metric: "HR@k" or "NDCG@k".
        n_boot: number of draws of users.
        seed: of the draws.

    Returns:
        ``metric``; ``difference`` of the means a - b in percentage points; ``low`` and ``high``, its 95 % interval in
        points, over users and trainings as in :func:`rate_interval`; ``p``, two-sided: twice the smaller share of draws
        on either side of zero, at least 2 / (n_boot + 1) and at most 1; ``detectable``, the smallest difference in
        points that would have been found in 80 % of such samples, half the width of the interval and .84 standard
        errors (2.8 of them without noise of training), NaN where no user differs; ``n_users``.

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
    points_a, points_b = (100 * np.stack([e.per_user(metric) for e in own]) for own in (a, b))
    difference = points_a.mean(0) - points_b.mean(0)
    draws = bootstrap_means(difference[:, None], n_boot, seed)[:, 0]
    shared = len(a) == len(b)
    noise = [training_noise(points_a - points_b)] if shared else [training_noise(points_a), training_noise(points_b)]
    draws = over_trainings(draws, _of_users(difference[None]), noise)
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    p = float(min(1.0, 2 * (tail + 1) / (n_boot + 1)))
    found = _in_points(metric, difference.mean(), draws)
    return found | {"p": p, "detectable": _detectable(draws), "n_users": len(difference)}


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
            by user. Trainings are held against each other as in :func:`paired_bootstrap`.
        metric: "HR@k" or "NDCG@k".
        n_boot, seed: of the draws; the two groups have streams of their own.

    Returns:
        ``metric``; ``difference`` of the means a - b in percentage points; ``low`` and ``high``, its 95 % interval in
        points over users and trainings; ``n_users``, those of a and of b.
    """
    points = [100 * np.stack([e.per_user(metric) for e in _several(own)]) for own in (a, b)]
    draws = [bootstrap_means(p.mean(0)[:, None], n_boot, s)[:, 0] for p, s in zip(points, (seed, seed + 1))]
    shared = len(points[0]) == len(points[1])
    noise = [training_noise(points[0], -points[1])] if shared else [training_noise(p) for p in points]
    difference = points[0].mean() - points[1].mean()
    draws = over_trainings(draws[0] - draws[1], sum(map(_of_users, points)), noise)
    return _in_points(metric, difference, draws) | {"n_users": tuple(p.shape[1] for p in points)}


def _in_points(metric: str, difference: float, draws: np.ndarray) -> dict:
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"metric": metric, "difference": float(difference), "low": float(low), "high": float(high)}


def _detectable(draws: np.ndarray) -> float:
    """Draws of a difference are as wide about it as about 0: from 0 to the end of the interval, and 80 % beyond it."""
    low, below, above, high = np.percentile(draws, [2.5, 20, 80, 97.5])
    return float((high - low + above - below) / 2) or np.nan


def _of_users(values: np.ndarray) -> float:
    """Variance of the mean over users, of values (trainings, users) that are averaged over trainings."""
    return float(values.mean(0).var() / values.shape[1])


def _several(evaluations) -> list[Evaluation]:
    return [evaluations] if hasattr(evaluations, "per_user") else list(evaluations)
