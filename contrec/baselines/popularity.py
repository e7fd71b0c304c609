"""Popularity: everybody gets what was taken most, ever or lately."""

from __future__ import annotations

import numpy as np

from contrec.baselines.base import Baseline
from contrec.data.cases import offsets
from contrec.data.interactions import Cases, Interactions, Split, require_split


class Popularity(Baseline):
    """Score of an item = number of its rows in the newest share of the train rows (who buys twice counts twice).

    Args:
        share: in (0, 1]; 1 counts all rows. Where a source has an order and no times, a row is the newer the fewer rows
            its user has after it.

    Raises:
        ValueError: if ``share`` is out of range.
    """

    def __init__(self, share: float = 1.0):
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share}")
        self.share = share

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Popularity:
        """Count rows per item in ``split.train``; ``embeddings``, ``seed`` and ``progress`` are not needed."""
        require_split(split)
        train = split.train
        age = _age(train)
        newest = train.item if self.share == 1 else train.item[age <= np.quantile(age, self.share)]
        self.counts = np.bincount(newest, minlength=split.n_items).astype(np.float32)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """The same counts in every row: float32, shape (B, m), a read-only view."""
        return np.broadcast_to(self.counts, (len(cases), len(self.counts)))


def _age(train: Interactions) -> np.ndarray:
    """How old each row is: seconds before the newest, or rows that its user has after it; shape (n,)."""
    if train.has_time:
        return train.timestamp.max(initial=0) - train.timestamp
    return offsets(train)[1:][train.user] - 1 - np.arange(len(train))
