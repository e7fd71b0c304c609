"""Popularity: everybody gets what was taken most."""

from __future__ import annotations

import numpy as np

from contrec.baselines.base import Baseline
from contrec.data.interactions import Cases, Split, require_split


class Popularity(Baseline):
    """Score of an item = number of its train rows (who buys twice counts twice)."""

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Popularity:
        """Count rows per item in ``split.train``; ``embeddings``, ``seed`` and ``progress`` are not needed."""
        require_split(split)
        self.counts = np.bincount(split.train.item, minlength=split.n_items).astype(np.float32)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """The same counts in every row: float32, shape (B, m), a read-only view."""
        return np.broadcast_to(self.counts, (len(cases), len(self.counts)))
