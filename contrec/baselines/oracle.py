"""The oracle of the planted catalogue: the ranking that nothing can beat, since it knows what users want."""

from __future__ import annotations

import numpy as np

from contrec.baselines.base import Baseline
from contrec.checks import DataError
from contrec.data import planted
from contrec.data.interactions import Cases, Split, require_split


class Oracle(Baseline):
    """Score = true probability of the next item, which only planted data have; see ``PlantedTruth.oracle_scores``."""

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> Oracle:
        """Nothing is learned.

        Raises:
            DataError: if the split is not of the planted catalogue at its usual size.
        """
        require_split(split)
        self.truth = planted.truth()
        if split.n_items != len(self.truth.items) or split.n_users != self.truth.user[-1] + 1:
            raise DataError("the oracle knows the planted catalogue at its usual size alone; leave it out elsewhere")
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float64, shape (B, m); minus infinity for items that the user has had."""
        return self.truth.oracle_scores(cases)
