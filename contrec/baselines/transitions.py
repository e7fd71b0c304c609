"""First-order transitions: what train users took right after the newest item, with a little of its neighbours."""

from __future__ import annotations

import numpy as np

from contrec.baselines.base import Baseline
from contrec.baselines.itemknn import ItemKNN
from contrec.checks import in_range
from contrec.data.interactions import Cases, Split, require_split
from contrec.relations import recent_matrix, transition_matrix


class Transitions(Baseline):
    r"""score_j = f_ij + knn_weight * ItemKNN_j, f_ij = n(i -> j) / (n_i + shrink), i the newest item of the history.

    With a ``text_weight`` the neighbours read text (:class:`~contrec.baselines.itemknn.ItemKNN`), and the row of i is
    drawn towards those of the items whose texts are nearest, the more the fewer transitions it rests on, as to a
    Dirichlet prior of that mean:

    f_ij + shrink / (n_i + shrink) * sum_l t_il f_lj / sum_l t_il, t the cosine of the items' texts

    Args:
        shrink: at least 0; damps rows that rest on few transitions. 20 and decay .9 were chosen on LastFM and Beauty
            validation (0 .. 100, and .7, .9, 1 or none, tried).
        knn_weight: weight of the neighbours' score with recency, at least 0; it orders what was never seen to follow.
        decay: of the neighbours' score, see :class:`~contrec.baselines.itemknn.ItemKNN`.
        text_weight: of the neighbours' score; 0 reads no text, and no row is lent.
        text_neighbours: how many of each item's nearest by text count, and lend their rows.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self, shrink: float = 20.0, knn_weight: float = 0.1, decay: float | None = 0.9, text_weight: float = 0.0,
        text_neighbours: int = 100,
    ):  # fmt: skip
        in_range("shrink", shrink, 0, np.inf)
        in_range("knn_weight", knn_weight, 0, np.inf)
        self.shrink, self.knn_weight = shrink, knn_weight
        self.knn = ItemKNN(decay=decay, text_weight=text_weight, text_neighbours=text_neighbours)

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Transitions:
        """Count pairs in ``split.train``; with a ``text_weight`` read ``split.catalogue``.

        ``embeddings``, ``seed`` and ``progress`` are not needed.
        """
        require_split(split)
        self.knn.fit(split)
        self.following = transition_matrix(split.train, self.shrink)
        if self.knn.text is not None:
            rows, text = self.following, self.knn.text
            lacking = 1 - rows.sum(1)  # shrink / (n_i + shrink)
            self.following = rows + text.multiply(lacking / np.maximum(text.sum(1), 1e-30)).tocsr() @ rows
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m)."""
        newest = recent_matrix(cases, self.following.shape[0], last=1)
        return (newest @ self.following).toarray() + np.float32(self.knn_weight) * self.knn.score(cases)
