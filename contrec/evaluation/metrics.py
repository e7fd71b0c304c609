"""Ranks by one comparison, and hit rate and NDCG from ranks, exact under ties."""

from __future__ import annotations

import re

import numpy as np

from contrec.checks import positive

METRICS = ("HR@10", "HR@20", "NDCG@10", "NDCG@20")


def target_ranks(scores, target, seen=None) -> tuple[np.ndarray, np.ndarray]:
    """Rank of each target among the candidates of its row, without sorting.

    rank = 1 + #(score > target's score) + (ties - 1) / 2, where ties = #(score == target's score), the target included.
    The target takes the places rank - (ties - 1) / 2 .. rank + (ties - 1) / 2 with equal chance. A score of minus
    infinity means "not ranked": such a target is a miss, as is a target that was itself seen.

    Args:
        scores: float array, shape (B, m); read only, never changed.
        target: item index of each row, int64, shape (B,), each in 0..m-1.
        seen: sparse CSR matrix, shape (B, m), of items that are no candidates (as if their score were minus infinity),
            each stored once (:meth:`contrec.data.interactions.Cases.history_matrix`); None keeps all items.

    Returns:
        Ranks, float64, shape (B,), from 1, infinity for a miss; and ties, int64, shape (B,), 1 where the place is sure.

    Raises:
        ValueError: if shapes do not fit, a target lies outside 0..m-1, or a score is not a number.
    """
    scores = np.asarray(scores)
    target = np.asarray(target)
    if scores.ndim != 2 or len(scores) != len(target):
        raise ValueError(f"scores must have shape (B, m) with B = {len(target)} targets, got {scores.shape}")
    if len(target) == 0:
        return np.empty(0), np.empty(0, np.int64)
    n_rows, n_items = scores.shape
    if target.min() < 0 or target.max() >= n_items:
        raise ValueError(f"targets must lie in [0, {n_items - 1}], got {target.min()}..{target.max()}")
    if np.isnan(scores.min()):  # min hands a NaN on, so one cheap pass finds any; comparisons would ignore it
        raise ValueError("scores must be numbers, got NaN; look for a division by zero or a diverged loss (lower lr)")
    every = np.arange(n_rows)
    own = scores[every, target]
    greater = (scores > own[:, None]).sum(1, dtype=np.int32).astype(np.int64)
    ties = (scores == own[:, None]).sum(1, dtype=np.int32).astype(np.int64)
    miss = np.isneginf(own)
    if seen is not None:
        if seen.shape != scores.shape:
            raise ValueError(f"seen must have the shape of scores {scores.shape}, got {seen.shape}")
        row = np.repeat(every, np.diff(seen.indptr))
        # taking seen items off the counts leaves the model's array untouched: it may be a view of its parameters
        value = scores[row, seen.indices]
        greater -= np.bincount(row[value > own[row]], minlength=n_rows)
        ties -= np.bincount(row[value == own[row]], minlength=n_rows)
        miss[row[seen.indices == target[row]]] = True
    rank = np.where(miss, np.inf, 1 + greater + (ties - 1) / 2)
    return rank, np.where(miss, 1, ties)


def hit_rate(rank, ties, top_k: int) -> np.ndarray:
    """Chance that the target stands among the first ``top_k``, over a random order of tied items.

    Args:
        rank, ties: as :func:`target_ranks` returns them, shape (n,).
        top_k: length of the list, at least 1.

    Returns:
        Fractions in [0, 1], float64, shape (n,); 0 or 1 without ties.
    """
    first, _ = _places(rank, ties, top_k)
    return np.clip(top_k - first + 1, 0, ties) / ties


def ndcg(rank, ties, top_k: int) -> np.ndarray:
    """NDCG of one relevant item, 1 / log2(1 + place) within ``top_k`` and 0 beyond, its mean over orders of tied items.

    Args and Returns as :func:`hit_rate`.
    """
    first, last = _places(rank, ties, top_k)
    gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, top_k + 2)))])
    upto = np.minimum(last, top_k).astype(np.int64)
    before = np.minimum(first - 1, top_k).astype(np.int64)
    return (gain[upto] - gain[before]) / ties


def metric_values(name: str, rank, ties) -> np.ndarray:
    """Values per case of the metric called ``name``: "HR@k" or "NDCG@k" with any k of at least 1.

    Raises:
        ValueError: for any other name.
    """
    match = re.fullmatch(r"(HR|NDCG)@([1-9]\d*)", name)
    if not match:
        raise ValueError(f"metric must be 'HR@k' or 'NDCG@k' with k of at least 1, got {name!r}")
    return (hit_rate if match[1] == "HR" else ndcg)(rank, ties, int(match[2]))


def _places(rank, ties, top_k):
    positive("top_k", top_k)
    rank, ties = np.asarray(rank, np.float64), np.asarray(ties)
    return rank - (ties - 1) / 2, rank + (ties - 1) / 2
