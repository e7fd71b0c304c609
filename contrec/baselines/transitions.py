"""First-order transitions: what train users took right after the newest item, with a little of its neighbours."""

from __future__ import annotations

import numpy as np

from contrec.baselines.itemknn import ItemKNN
from contrec.checks import in_range
from contrec.data.interactions import Cases, Split, require_split
from contrec.relations import recent_matrix, transition_matrix


class Transitions:
    r"""score_j = n(i -> j) / (n_i + shrink) + knn_weight * ItemKNN_j, i the newest item of the history.

    Args:
        shrink: at least 0; damps rows that rest on few transitions. 20 and decay .9 were chosen on LastFM and Beauty
            validation (0 .. 100, and .7, .9, 1 or none, tried).
        knn_weight: weight of the neighbours' score with recency, at least 0; it orders what was never seen to follow.
        decay: of the neighbours' score, see :class:`~contrec.baselines.itemknn.ItemKNN`.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(self, shrink: float = 20.0, knn_weight: float = 0.1, decay: float | None = 0.9):
        in_range("shrink", shrink, 0, np.inf)
        in_range("knn_weight", knn_weight, 0, np.inf)
        self.shrink, self.knn_weight = shrink, knn_weight
        self.knn = ItemKNN(decay=decay)

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Transitions:
        """Count pairs in ``split.train``; ``embeddings``, ``seed`` and ``progress`` are not needed."""
        require_split(split)
        self.knn.fit(split)
        self.following = transition_matrix(split.train, self.shrink)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m)."""
        newest = recent_matrix(cases, self.following.shape[0], last=1)
        return (newest @ self.following).toarray() + np.float32(self.knn_weight) * self.knn.score(cases)
