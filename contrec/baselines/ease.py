"""EASE: the linear item-item model with a zero diagonal, in closed form (Steck, WWW 2019)."""

from __future__ import annotations

import numpy as np

from contrec.baselines.base import Baseline
from contrec.checks import in_range
from contrec.data.interactions import Cases, Split, require_split
from contrec.relations import ease_relation, recent_matrix


class EASE(Baseline):
    r"""Each item is a ridge regression on all others: P = (X'X + ridge I)^-1, B_ij = -P_ij / P_jj, B_jj = 0.

    The inverse is made in place in one float32 m x m array: 54 MB for LastFM's 3,685 items, 1.1 GB for 17,000. A second
    of time at 4,000 items, cubic in m.

    Args:
        ridge: lambda, greater than 0; 50 was chosen on LastFM validation by NDCG@10 (50 .. 2,000 tried;
            30 .. 70 lie within .002).
        decay: None weighs the whole history alike; a factor in (0, 1] weighs the newest item 1, the one before
            ``decay``, and so on. It enters the score only: B knows no order.
        tag_weight: of the tags' rows below the users', see :func:`contrec.relations.ease_relation`; 0
            reads none. Without tags in the train rows it changes nothing.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(self, ridge: float = 50.0, decay: float | None = None, tag_weight: float = 0.0):
        if not ridge > 0:
            raise ValueError(f"ridge must be greater than 0, got {ridge}")
        if decay is not None and not 0 < decay <= 1:
            raise ValueError(f"decay must lie in (0, 1] or be None for no recency, got {decay}")
        in_range("tag_weight", tag_weight, 0, np.inf)
        self.ridge, self.decay, self.tag_weight = ridge, decay, tag_weight

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> EASE:
        """Weights B, float32, shape (m, m), from ``split.train``; the other arguments are not needed."""
        require_split(split)
        self.weights = ease_relation(split.train, self.ridge, self.tag_weight)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Weighted sum of B's rows over the visible history: float32, shape (B, m)."""
        n_items = len(self.weights)
        if self.decay is None:
            return cases.history_matrix(n_items) @ self.weights
        return recent_matrix(cases, n_items, decay=self.decay) @ self.weights
