"""Hit rate and NDCG at 10 and 20 from scores of the whole catalogue: sorting against one comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix

from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.evaluation import metrics

NUMPY = "reference layout, numpy's sort"


class World(NamedTuple):
    """Scores, float32, (B, m); the target of each user, int64, (B,); and seen items, sparse CSR, (B, m)."""

    scores: np.ndarray
    target: np.ndarray
    seen: csr_matrix


def world(n_users: int, n_items: int, n_seen: int = 40) -> World:
    """Random scores, always the same, with targets lifted so that some are hits; a few targets are seen: misses."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n_users, n_items), dtype=np.float32)
    target = rng.integers(0, n_items, n_users)
    scores[np.arange(n_users), target] += 2
    return World(scores, target, csr_matrix(rng.random(scores.shape, dtype=np.float32) < n_seen / n_items))


def per_user(w: World, sort: Callable[[np.ndarray], np.ndarray | torch.Tensor]) -> np.ndarray:
    """Per user: seen items removed, all items sorted, the target looked up in the list; shape (4, B) as ``METRICS``."""
    values = np.zeros((4, len(w.target)))
    for row, target in enumerate(w.target.tolist()):
        scores = w.scores[row].copy()
        scores[w.seen.indices[w.seen.indptr[row] : w.seen.indptr[row + 1]]] = -np.inf
        ranked = sort(scores)[:20].tolist()
        for place, top_k in enumerate((10, 20)):
            if target in ranked[:top_k]:
                values[place, row] = 1
                values[2 + place, row] = 1 / math.log2(2 + ranked.index(target))
    return values


def batched(w: World) -> np.ndarray:
    """All users at once: torch.topk of 20, and a comparison of the lists with the targets; shape (4, B)."""
    scores = torch.from_numpy(w.scores).clone()
    rows = np.repeat(np.arange(len(scores)), np.diff(w.seen.indptr))
    scores[rows, w.seen.indices] = -torch.inf
    hit = (scores.topk(20, dim=1).indices == torch.from_numpy(w.target)[:, None]).double()
    gain = hit / torch.arange(2, 22, dtype=torch.float64).log2()
    return torch.stack([x[:, :top_k].sum(1) for x in (hit, gain) for top_k in (10, 20)]).numpy()


def by_rank(w: World) -> np.ndarray:
    """The library's metrics from ranks, shape (4, B)."""
    rank, ties = metrics.target_ranks(w.scores, w.target, w.seen)
    return np.stack([metrics.metric_values(name, rank, ties) for name in metrics.METRICS])


def benchmark(device: str = "cpu", *, n_users: int = 1091, n_items: int = 3685) -> Benchmark:
    """Metrics of ``n_users`` users over ``n_items`` items, LastFM's by default, on the CPU whatever the device.

    The reference layout sorts a tensor of scores, as the released codes do. numpy's sort, which has vector instructions
    on recent processors and no fixed order of ties, is listed beside it.
    """
    w = world(n_users, n_items)

    def check(results) -> list[Check]:
        others = {name: values for name, values in results.items() if name != OURS}
        return [
            Check(f"largest difference of any user's HR or NDCG from {name}", abs(results[OURS] - values).max(), 1e-6)
            for name, values in others.items()
        ]

    return Benchmark(
        name="metrics",
        shape=f"HR and NDCG at 10 and 20 of {n_users:,} users over {n_items:,} items, some 40 seen ones a user removed",
        ways={
            REFERENCE: lambda: per_user(w, lambda scores: torch.from_numpy(scores).argsort(descending=True)),
            NUMPY: lambda: per_user(w, lambda scores: np.argsort(-scores)),
            FAIR: lambda: batched(w),
            OURS: lambda: by_rank(w),
        },
        check=check,
        bars=[Bar(REFERENCE, 20)],
        repeats=9,
    )
