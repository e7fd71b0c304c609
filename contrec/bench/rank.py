"""Hybrid ranking: the 20 best of the whole catalogue by Eq. (22) of ContRec, and its memory as the catalogue grows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrec import retriever
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check, stopwatch, watched
from contrec.study.parallel import one_thread

TOP_K, TEXT_BONUS, CHUNK = 20, 0.05, 16384
MATMUL = "matmul alone"


class World(NamedTuple):
    """Random vectors, one facet an item, and what each user named and has seen.

    ``y`` (B, d) and ``items`` (m, d), float32; ``facet`` (B,), int64, -1 for none; ``seen`` as CSR (indptr, item ids).
    """

    y: Tensor
    items: Tensor
    facet: np.ndarray
    facet_items: retriever.FacetIndex
    seen: tuple[np.ndarray, np.ndarray]


def world(n_users: int, n_items: int, dim: int, device: str = "cpu", n_facets: int = 50, n_seen: int = 50) -> World:
    """The inputs of the ranking, always the same; the item matrix is filled in place, so that it may be large."""
    generator = torch.Generator(device).manual_seed(0)
    y = torch.randn(n_users, dim, generator=generator, device=device)
    items = torch.empty(n_items, dim, device=device).normal_(generator=generator)
    rng = np.random.default_rng(0)
    facet_of = rng.integers(0, n_facets, n_items, dtype=np.uint8)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(facet_of, minlength=n_facets))])
    index = retriever.FacetIndex(indptr, np.argsort(facet_of, kind="stable"))
    seen = np.arange(n_users + 1) * n_seen, rng.integers(0, n_items, n_users * n_seen)
    facet = np.where(rng.random(n_users) < 1 / 8, -1, rng.integers(0, n_facets, n_users))
    return World(y, items, facet, index, seen)


def reference_layout(w: World) -> Tensor:
    """Per user: cosine with every item, the named facet's items raised one by one, all items sorted; ids (B, 20)."""
    indptr, ids = w.facet_items.indptr, w.facet_items.items
    best = []
    for row, facet in enumerate(w.facet):
        scores = F.cosine_similarity(w.y[row : row + 1], w.items)
        if facet >= 0:
            for item in ids[indptr[facet] : indptr[facet + 1]].tolist():
                scores[item] *= 1 + TEXT_BONUS
        scores[w.seen[1][w.seen[0][row] : w.seen[0][row + 1]]] = -torch.inf
        best.append(scores.argsort(descending=True)[:TOP_K])
    return torch.stack(best)


def whole_matrix(w: World, dtype: torch.dtype) -> Tensor:
    """Scores of all users and items at once in ``dtype``, facets as a Boolean mask; shape (B, m), seen at -infinity."""
    match = w.facet_items.match(w.facet, len(w.items)).to(w.y.device)
    scores = retriever.hybrid_scores(w.y.to(dtype), w.items.to(dtype), match, TEXT_BONUS)
    rows = np.repeat(np.arange(len(w.y)), np.diff(w.seen[0]))
    scores[rows, w.seen[1]] = -torch.inf
    return scores


def matmul_alone(w: World) -> float:
    """What no exact ranking goes without: the cosines, by chunks of items, of which only the largest is kept."""
    y = F.normalize(w.y, dim=1)
    return max(float((y @ F.normalize(part, dim=1).T).max()) for part in w.items.split(CHUNK))


def hybrid(w: World) -> Tensor:
    """The library's ranking; ids (B, 20)."""
    known = {"facet": w.facet, "facet_items": w.facet_items, "seen": w.seen}
    return retriever.hybrid_topk(w.y, w.items, TOP_K, text_bonus=TEXT_BONUS, chunk=CHUNK, **known).ids


def benchmark(device: str = "cpu", *, n_users: int = 64, n_items: int = 200_000, dim: int = 64) -> Benchmark:
    """Top-20 of ``n_items`` for ``n_users`` users with 50 facets and 50 seen items each."""
    w = world(n_users, n_items, dim, device)

    def check(results) -> list[Check]:
        # float64 by brute force; scores that agree to 12 decimals are ties and go to the smaller id
        truth = whole_matrix(w, torch.float64).mul(1e12).round().argsort(dim=1, descending=True, stable=True)[:, :TOP_K]
        differ = int((results[OURS] != truth).any(dim=1).sum())
        share = {name: (results[name] == truth).double().mean().item() for name in (REFERENCE, FAIR)}
        return [
            Check("users whose 20 ids differ from float64 brute force", differ, 0),
            *(Check(f"share of places that {name} fills alike", s, 0.99, at_least=True) for name, s in share.items()),
        ]

    return Benchmark(
        name="rank",
        shape=f"top {TOP_K} of {n_items:,} items for {n_users} users, d = {dim}, 50 facets, 50 seen items a user",
        ways={
            REFERENCE: lambda: reference_layout(w),
            FAIR: lambda: whole_matrix(w, torch.float32).topk(TOP_K, dim=1).indices,
            MATMUL: lambda: matmul_alone(w),
            OURS: lambda: hybrid(w),
        },
        check=check,
        bars=[Bar(MATMUL, 3.5, at_most=True), Bar(REFERENCE, 30)],
    )


def peak_memory(n_items: int, n_users: int = 256, dim: int = 64) -> dict[str, float]:
    """What the ranking costs at one size of catalogue, on one CPU thread; 10^7 items of 64 dimensions take 2.4 GiB.

    Returns:
        ``n_items``; "item matrix MiB"; "MiB": peak memory of the ranking over its inputs; "all scores MiB": what (B, m)
        float32 scores would take; "seconds" of CPU.
    """
    w = world(n_users, n_items, dim)
    with one_thread(), watched() as peak:
        clock = stopwatch()
        hybrid(w)
        seconds = clock()
    sizes = {"item matrix MiB": n_items * dim / 2**18, "MiB": peak.mib, "all scores MiB": n_users * n_items / 2**18}
    return {"n_items": n_items, **sizes, "seconds": seconds}
