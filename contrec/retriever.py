"""Hybrid retrieval: rank the whole catalogue by the generated vector and by what the generated text names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrec.checks import in_range, positive

_MARGIN = 32  # candidates kept beyond k in float32; float64 decides among them


class TopK(NamedTuple):
    """A ranking, best first: item ids, int64, and their parts, dtype of the query; all of shape (B, k).

    ``score`` = ``cosine`` * (1 + ``bonus``); ``bonus`` is text_bonus where the item has the named facet, else 0.
    """

    ids: Tensor
    score: Tensor
    cosine: Tensor
    bonus: Tensor


@dataclass(frozen=True)
class FacetIndex:
    """Which items have an answer: ``items[indptr[a]:indptr[a + 1]]``, increasing ids, for answer index a.

    Attributes:
        indptr: int64, shape (n_answers + 1,).
        items: item ids, int64.
    """

    indptr: np.ndarray
    items: np.ndarray

    @classmethod
    def build(cls, facets, answers) -> FacetIndex:
        """From the facet values of each item (``Catalogue.facets``) and the closed answer set (``Catalogue.answers``).

        Values outside the answer set are left out.
        """
        number = {answer: a for a, answer in enumerate(answers)}
        lists = [[] for _ in answers]
        for item, values in enumerate(facets):
            for a in {number[v] for v in values if v in number}:
                lists[a].append(item)
        indptr = np.cumsum([0, *map(len, lists)])
        return cls(indptr, np.array([i for items in lists for i in items], dtype=np.int64))

    def match(self, facet: np.ndarray, n_items: int) -> Tensor:
        """Whether each item has each user's answer (-1: none), bool, shape (B, n_items)."""
        match = torch.zeros(len(facet), n_items, dtype=torch.bool)
        for row, a in enumerate(facet):
            if a >= 0:
                match[row, torch.from_numpy(self.items[self.indptr[a] : self.indptr[a + 1]])] = True
        return match


def hybrid_scores(y: Tensor, items: Tensor, match: Tensor | None = None, text_bonus: float = 0.05) -> Tensor:
    """cosine(y_i, q_j) * (1 + pi) for every user and item (Eq. (22), ContRec; Eq. (14), DeftRec), by brute force.

    As in the paper, a negative cosine becomes more negative by the factor. A vector of length 0 has cosine 0.

    Args:
        y: generated vectors, float, shape (B, d).
        items: item vectors, shape (m, d).
        match: whether the item has the facet that the user's text names, bool, shape (B, m); None = nothing named.
        text_bonus: pi where it matches, >= 0; 0.05 in Sect. 3.5.2, 0.1 in DeftRec.

    Returns:
        Scores, shape (B, m).
    """
    in_range("text_bonus", text_bonus, 0, math.inf)
    cosine = F.normalize(y, dim=1) @ F.normalize(items, dim=1).T
    return cosine if match is None else cosine * (1 + text_bonus * match)


@torch.no_grad()
def hybrid_topk(
    y: Tensor,
    items: Tensor,
    k: int,
    *,
    facet=None,
    facet_items: FacetIndex | None = None,
    seen=None,
    text_bonus: float = 0.05,
    chunk: int = 16384,
) -> TopK:
    """The k best items of each user by Eq. (22), exact, in memory of O(B x chunk) and one key a facet of an item.

    Scores are computed in float32 by chunks of items; the best k + 32 are computed again in float64, and a user whose
    k-th score is not clear of everything left out by more than rounding is ranked in float64 as a whole. Scores that
    agree to 12 decimals are ties and go to the smaller item id.

    Args:
        y: generated vectors, float, shape (B, d), finite.
        items: item vectors, shape (m, d), finite, on the same device.
        k: 1 or more.
        facet: answer index that each user's text names, -1 for none, int64, shape (B,); None = nobody named one.
        facet_items: items of each answer; needed with ``facet``.
        seen: items never to be returned, as CSR (indptr of shape (B + 1,), item ids); repeats are allowed.
        text_bonus: pi, >= 0 (see :func:`hybrid_scores`).
        chunk: items scored at once.

    Raises:
        ValueError: if fewer than k items are left for a user, values are not finite, or shapes and ids do not fit.
    """
    positive("k", k)
    positive("chunk", chunk)
    in_range("text_bonus", text_bonus, 0, math.inf)
    if y.dim() != 2 or items.dim() != 2 or y.shape[1] != items.shape[1]:
        raise ValueError(f"y and items must have shapes (B, d) and (m, d), got {tuple(y.shape)}, {tuple(items.shape)}")
    _finite("y", y)
    marks = _Marks(len(y), len(items), facet, facet_items, seen, y.device)
    left = len(items) - marks.n_seen
    if len(y) and int(left.min()) < k:
        row = int(left.argmin())
        raise ValueError(f"k must be at most the number of unseen items: row {row} has {int(left[row])}, got {k}")
    ids, rough = _candidates(y, items, min(k + _MARGIN, len(items)), marks, text_bonus, chunk)
    score, cosine, bonus = _rescore(y, items, ids, marks.has_facet(ids), text_bonus)
    score = score.masked_fill(rough == -math.inf, -math.inf)
    order = _best(score, ids, k)
    result = TopK(*(x.gather(1, order) for x in (ids, score, cosine, bonus)))
    if ids.shape[1] < len(items):
        unclear = (result.score[:, -1] - rough.min(1).values <= _slack(y.shape[1], text_bonus)).nonzero().flatten()
        for row in unclear.tolist():
            for whole, part in zip(result, _rank_one(y, items, k, row, marks, text_bonus, chunk), strict=True):
                whole[row] = part
    return TopK(result.ids, *(x.to(y.dtype) for x in result[1:]))


def _finite(name: str, x: Tensor) -> None:
    if not x.isfinite().all():
        raise ValueError(f"{name} must be finite: it holds a NaN or infinite value")


def _slack(dim: int, text_bonus: float) -> float:
    """How far a float32 score may lie from the true one: for any order of summation, and for shortened products."""
    shortened = 0.0 if torch.get_float32_matmul_precision() == "highest" else 2.0**-7
    return (1 + text_bonus) * ((dim + 8) * 2.0**-23 + shortened)


def _candidates(y, items, n: int, marks: _Marks, text_bonus: float, chunk: int) -> tuple[Tensor, Tensor]:
    """Ids and float32 scores of the n best items of each row, unordered, (B, n): none outside has a higher score."""
    y = F.normalize(y.float(), dim=1)
    values = torch.empty(len(y), 0, device=y.device)
    ids = torch.empty(len(y), 0, dtype=torch.int64, device=y.device)
    for start in range(0, len(items), chunk):
        part = items[start : start + chunk].float()
        length = part.norm(dim=1, keepdim=True)
        _finite("items", length)
        with torch.autocast(y.device.type, enabled=False):
            scores = y @ (part / length.clamp(min=1e-12)).T
        stop = start + scores.shape[1]
        rows, columns = marks.facet_entries(start, stop)
        scores[rows, columns] *= 1 + text_bonus
        rows, columns = marks.seen_entries(start, stop)
        scores[rows, columns] = -math.inf
        top = scores.topk(min(n, scores.shape[1]), dim=1, sorted=False)
        values, ids = torch.cat([values, top.values], dim=1), torch.cat([ids, top.indices + start], dim=1)
        if values.shape[1] > n:
            top = values.topk(n, dim=1, sorted=False)
            values, ids = top.values, ids.gather(1, top.indices)
    return ids, values


def _rescore(y, items, ids, match, text_bonus: float) -> tuple[Tensor, Tensor, Tensor]:
    """Score, cosine and bonus in float64 of chosen items, shapes of ``ids`` (B, n)."""
    q, y = items[ids].double(), y.double()[:, None]
    # one reduction along the last axis for every item: equal vectors get equal scores wherever they stand
    length = q.square().sum(-1).sqrt() * y.square().sum(-1).sqrt()
    cosine = (q * y).sum(-1) / length.clamp(min=1e-24)
    bonus = text_bonus * match.double()
    return cosine * (1 + bonus), cosine, bonus


def _best(score: Tensor, ids: Tensor, k: int) -> Tensor:
    """Places of the k best of each row, ties by item id."""
    by_id = ids.argsort(dim=1)
    rounded = score.gather(1, by_id).mul(1e12).round()
    return by_id.gather(1, rounded.argsort(dim=1, descending=True, stable=True)[:, :k])


def _rank_one(y, items, k: int, row: int, marks: _Marks, text_bonus: float, chunk: int) -> TopK:
    """The float64 ranking of one row over the whole catalogue."""
    parts = []
    for start in range(0, len(items), chunk):
        ids = torch.arange(start, min(start + chunk, len(items)), device=y.device)[None]
        score, cosine, bonus = _rescore(y[row : row + 1], items, ids, marks.has_facet(ids, row), text_bonus)
        rows, columns = marks.seen_entries(start, start + ids.shape[1])
        score[0, columns[rows == row]] = -math.inf
        parts.append((ids, score, cosine, bonus))
    ids, score, cosine, bonus = (torch.cat(x, dim=1) for x in zip(*parts, strict=True))
    order = _best(score, ids, k)
    return TopK(*(x.gather(1, order)[0] for x in (ids, score, cosine, bonus)))


class _Marks:
    """Which (user, item) pairs are seen, and which match the named facet, ready to be cut into ranges of items.

    Both are sorted keys ``row or answer * m + item``, so that the pairs inside a range of items are slices that
    ``searchsorted`` finds for all users at once.
    """

    def __init__(self, n_rows: int, m: int, facet, facet_items: FacetIndex | None, seen, device):
        self.m, self.device = m, device
        self.rows = torch.arange(n_rows, device=device)
        indptr, ids = (np.zeros(n_rows + 1, np.int64), []) if seen is None else seen
        self.seen = self._keys("seen", indptr, ids, n_rows)
        self.n_seen = torch.bincount(self.seen // m, minlength=n_rows) if m else self.rows * 0
        self.facet = self.facet_keys = None
        if facet is not None:
            if facet_items is None:
                raise ValueError("facet needs facet_items: the items of each answer")
            self.facet = torch.as_tensor(facet, dtype=torch.int64).to(device)
            n_answers = len(facet_items.indptr) - 1
            if self.facet.shape != (n_rows,):
                raise ValueError(f"facet must have shape ({n_rows},), got {tuple(self.facet.shape)}")
            if n_rows:
                in_range("facet", int(self.facet.min()), -1, n_answers - 1)
                in_range("facet", int(self.facet.max()), -1, n_answers - 1)
            self.facet_keys = self._keys("facet_items", facet_items.indptr, facet_items.items, n_answers)

    def _keys(self, name: str, indptr, ids, n_rows: int) -> Tensor:
        indptr = torch.as_tensor(indptr, dtype=torch.int64).to(self.device)
        ids = torch.as_tensor(ids, dtype=torch.int64).to(self.device)
        lengths = indptr.diff()
        if len(indptr) != n_rows + 1 or int(indptr[0]) != 0 or int(indptr[-1]) != len(ids) or (lengths < 0).any():
            raise ValueError(f"{name} must be CSR: indptr of length {n_rows + 1}, from 0 up to the number of ids")
        if len(ids):
            in_range(f"item id in {name}", int(ids.min()), 0, self.m - 1)
            in_range(f"item id in {name}", int(ids.max()), 0, self.m - 1)
        keys = torch.repeat_interleave(torch.arange(n_rows, device=self.device), lengths).mul_(self.m).add_(ids)
        return keys if (keys[1:] > keys[:-1]).all() else keys.unique()  # a FacetIndex is in order: no sort, no copy

    def seen_entries(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Rows, and columns counted from ``start``, of seen pairs with start <= item < stop."""
        return self._entries(self.seen, self.rows, self.rows, start, stop)

    def facet_entries(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """The same for pairs that match the named facet."""
        if self.facet is None:
            return self.rows[:0], self.rows[:0]
        named = (self.facet >= 0).nonzero().flatten()
        return self._entries(self.facet_keys, named, self.facet[named], start, stop)

    def _entries(self, keys: Tensor, rows: Tensor, groups: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
        low = torch.searchsorted(keys, groups * self.m + start)
        length = torch.searchsorted(keys, groups * self.m + stop) - low
        rows = rows.repeat_interleave(length)
        first = (low - (length.cumsum(0) - length)).repeat_interleave(length)
        columns = keys[first + torch.arange(len(first), device=self.device)] % self.m - start
        return rows, columns

    def has_facet(self, ids: Tensor, row: int | None = None) -> Tensor:
        """Whether each item matches, bool, shape of ``ids`` (B, n), or (1, n) for one ``row``."""
        if self.facet is None or len(self.facet_keys) == 0:
            return torch.zeros_like(ids, dtype=torch.bool)
        facet = self.facet[:, None] if row is None else self.facet[row]
        keys = facet * self.m + ids
        place = torch.searchsorted(self.facet_keys, keys).clamp(max=len(self.facet_keys) - 1)
        return self.facet_keys[place] == keys
