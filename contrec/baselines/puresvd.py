"""PureSVD: the strongest directions of who took what (Cremonesi, Koren and Turrin, RecSys 2010)."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import svds

from contrec.baselines.base import Baseline
from contrec.checks import positive
from contrec.data.interactions import Cases, Split, require_split
from contrec.relations import interaction_matrix


class PureSVD(Baseline):
    """X ~ U S V', 0/1 with missing entries as 0; a history's scores are its row times V V'.

    Args:
        dim: how many singular vectors; 64 was chosen on LastFM validation by NDCG@10 (16 .. 256 tried).

    Raises:
        ValueError: if ``dim`` is no positive whole number.
    """

    def __init__(self, dim: int = 64):
        positive("dim", dim)
        self.dim = dim

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> PureSVD:
        """Item vectors V, float32, shape (m, dim), from ``split.train``; the other arguments are not needed.

        Raises:
            ValueError: if the train matrix has no more than ``dim`` users or items.
        """
        require_split(split)
        matrix = interaction_matrix(split.train)
        smaller = min(matrix.shape)
        if self.dim >= smaller:
            raise ValueError(f"dim must be less than the smaller of users and items, {smaller}, got {self.dim}")
        start = np.ones(smaller, np.float32)  # a fixed start, so that equal data give equal vectors
        self.items = np.ascontiguousarray(svds(matrix, self.dim, v0=start)[2].T)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m), from the visible histories."""
        return cases.history_matrix(len(self.items)) @ self.items @ self.items.T
