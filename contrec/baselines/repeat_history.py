"""Repeat the history: what a user took will be taken again, the newest first."""

from __future__ import annotations

import numpy as np

from contrec.baselines.base import Baseline
from contrec.data.interactions import Cases, Split, require_split


class RepeatHistory(Baseline):
    """History items, newest first, then either nothing or another model's ranking.

    A floor for catalogues where people buy again; meant for ``evaluate(..., exclude_seen=False)``, since with seen
    items removed nothing of the history is left.

    Args:
        then: unfitted model that ranks the items outside the history; None leaves them unranked (targets there are
            misses).
    """

    def __init__(self, then=None):
        self.then = then

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> RepeatHistory:
        """Learn the size of the catalogue, and fit ``then`` if there is one."""
        require_split(split)
        self.n_items = split.n_items
        if self.then is not None:
            self.then.fit(split, embeddings=embeddings, seed=seed, progress=progress)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m): 1, 2, ... along the history, above all others.."""
        if self.then is None:
            scores = np.full((len(cases), self.n_items), -np.inf, np.float32)
        else:
            scores = np.array(self.then.score(cases), np.float32)
            scores -= scores.max(1, keepdims=True)  # all at most 0, so that every history item stands above
        for row in range(len(cases)):
            history = cases.history(row)
            # numpy keeps the last of repeated assignments: the newest place of a repeated item
            scores[row, history] = 1 + np.arange(len(history))
        return scores
