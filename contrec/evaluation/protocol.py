"""The one protocol of every model, and the one way to a metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from tqdm.auto import tqdm

from contrec.checks import of_kind, positive
from contrec.data.interactions import Cases, Interactions, Split
from contrec.evaluation.kept import Evaluation, Metric
from contrec.evaluation.metrics import target_ranks

DEPTH = 20  # the longest list that a metric of ours looks at
LIST_LENGTH = 10  # the list whose coverage is reported


class Model(Protocol):
    """A model that scores the whole catalogue. One that generates has ``topk`` instead of ``score``."""

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Model:
        """Learn from ``split.train`` and the cases made of it; the validation cases may only choose when to stop."""
        ...

    def score(self, cases: Cases) -> np.ndarray:
        """Scores from the visible histories alone, float array or tensor (B, m); minus infinity: not ranked."""
        ...


class Generator(Protocol):
    """A model that writes a ranked list."""

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Generator: ...

    def topk(self, cases: Cases, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Item ids, best first, int64 (B, <= k), -1 where a list ends early, and their scores, same shape."""
        ...


def evaluate(
    model: Model | Generator,
    cases: Cases,
    *,
    exclude_seen: bool = True,
    batch_size: int = 256,
    progress: bool = False,
    train: Interactions | None = None,
    metrics: dict[str, Metric] | None = None,
) -> Evaluation:
    """Rank every case's target in the whole catalogue, batch by batch; users x items is never held.

    Args:
        model: fitted, with ``score`` or else ``topk``. Lists from ``topk`` are asked for longer by the longest history,
            so that 20 places remain when seen items are taken out; a model may return shorter lists.
        cases: with targets and full histories.
        exclude_seen: take all items of the full history out of the candidates. A target that was seen is then a miss.
        batch_size: cases per call of the model; the result does not depend on it, but for the rounding of scores.
        progress: show a bar.
        train: rows the model was fitted on; if given, targets without a train row are counted. They always stay in the
            metrics.
        metrics: of one's own besides HR and NDCG, name -> function of ranks (n,), from 1 and infinity for a miss, and
            ties (n,), as :func:`contrec.evaluation.target_ranks` returns them, to values (n,), 0 for a miss.

    Raises:
        TypeError: if ``model`` is none, or ``cases`` are none.
        ValueError: if there are no cases, a target is unknown (-1), the model is not fitted or its answer does not fit.
    """
    positive("batch_size", batch_size)
    of_kind("cases", cases, Cases, "a split has its cases in split.validation and split.test")
    if isinstance(model, type) or not (hasattr(model, "score") or hasattr(model, "topk")):
        got = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise TypeError(f"evaluate needs a fitted model, with score or topk, got {got}")
    for name, metric in (metrics or {}).items():
        if not callable(metric):
            raise TypeError(f"metric {name!r} must be a function of ranks and ties, got a {type(metric).__name__}")
    if len(cases) == 0:
        raise ValueError("evaluate needs at least one case, got none; check the split's counts for what was left out")
    if (cases.target < 0).any():
        without = (cases.target < 0).sum()
        raise ValueError(f"evaluate needs targets, got {without} cases without one; to recommend, rank with the model")
    rank_batch = _by_score if hasattr(model, "score") else _by_list
    ranks, ties, seen_targets, listed, n_items = [], [], 0, set(), None
    for batch in _batches(cases, batch_size, progress):
        seen_targets += sum(target in history for target, history in _pairs(batch))
        try:
            rank, tie, lists, n_items = rank_batch(model, batch, exclude_seen)
        except AttributeError as error:
            if error.obj is not model:
                raise
            raise ValueError(f"{error}; is the model fitted? Call model.fit(split) first") from error
        ranks.append(rank)
        ties.append(tie)
        listed.update(np.unique(lists).tolist())
    user = np.where(cases.user >= 0, cases.user, -1 - np.arange(len(cases)))
    ranks, ties = np.concatenate(ranks), np.concatenate(ties)
    counts = {
        "cases": len(cases),
        "users": len(np.unique(user)),
        "seen_targets": int(seen_targets),
        "tied_targets": int((ties > 1).sum()),
        "unranked_targets": int(np.isinf(ranks).sum()),
    }
    if train is not None:
        counts["cold_targets"] = int((~np.isin(cases.target, train.item)).sum())
    listed.discard(-1)
    coverage = len(listed) / n_items if n_items else None
    return Evaluation(ranks, ties, user, exclude_seen, coverage, counts, dict(metrics or {}))


def _batches(cases: Cases, size: int, progress: bool) -> Iterator[Cases]:
    for start in tqdm(range(0, len(cases), size), desc="evaluate", disable=not progress):
        yield cases.select(slice(start, start + size))


def _pairs(cases: Cases):
    return ((cases.target[i], cases.history(i)) for i in range(len(cases)))


def _by_score(model, cases, exclude_seen):
    import torch

    scores = model.score(cases)
    if isinstance(scores, torch.Tensor):
        scores = scores.detach().cpu()
        scores = (scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores).numpy()
    scores = np.asarray(scores)
    if scores.dtype.kind != "f":  # counts rank as well, and have no infinity to take seen items out with
        scores = scores.astype(np.float64)
    if scores.ndim != 2 or len(scores) != len(cases):
        raise ValueError(f"score must return shape ({len(cases)}, n_items), got {tuple(scores.shape)}")
    n_items = scores.shape[1]
    seen = cases.history_matrix(n_items) if exclude_seen else None
    rank, ties = target_ranks(scores, cases.target, seen)
    if exclude_seen:
        scores = scores.copy()  # a model may hand out a view of its parameters
        scores[np.repeat(np.arange(len(cases)), np.diff(seen.indptr)), seen.indices] = -np.inf
    value, lists = torch.topk(torch.from_numpy(np.ascontiguousarray(scores)), min(LIST_LENGTH, n_items))
    return rank, ties, np.where(np.isneginf(value.numpy()), -1, lists.numpy()), n_items


def _by_list(model, cases, exclude_seen):
    longest = int(cases.lengths.max()) if exclude_seen else 0
    ids = np.asarray(model.topk(cases, DEPTH + longest)[0])
    if ids.ndim != 2 or len(ids) != len(cases):
        raise ValueError(f"topk must return ids of shape ({len(cases)}, <= k), got {ids.shape}")
    rank, lists = np.full(len(cases), np.inf), np.full((len(cases), LIST_LENGTH), -1)
    for i, (target, history) in enumerate(_pairs(cases)):
        kept = ids[i][ids[i] >= 0]
        kept = kept[~np.isin(kept, history)] if exclude_seen else kept
        lists[i, : len(kept[:LIST_LENGTH])] = kept[:LIST_LENGTH]
        place = np.flatnonzero(kept == target)
        if len(place):
            rank[i] = place[0] + 1
    return rank, np.ones(len(cases), np.int64), lists, None
