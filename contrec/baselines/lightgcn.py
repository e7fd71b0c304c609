"""LightGCN as a recommender: propagated item vectors, and users folded in from what they show."""

from __future__ import annotations

import numpy as np
import torch

from contrec.baselines.base import Baseline
from contrec.checks import known_settings, one_of, settings_of
from contrec.data.interactions import Cases, Split, require_split
from contrec.embeddings.lightgcn import LightGCNEmbeddings


class LightGCN(Baseline):
    """Inner product or cosine of a user's and the items' propagated vectors (He et al., SIGIR 2020).

    The user vector is made from the visible history by one propagation of its items' vectors: the vector learned for a
    user would know the training target's edge, and a stranger has none.

    Args:
        loss: "bpr" | "softmax" (cosine sampled softmax).
        score_by: "inner" | "cosine". None takes the one that the loss trains: inner for "bpr", cosine for "softmax".
        dim: width; 256 was chosen on LastFM validation (NDCG@10 .052 against .048 at 64).
        settings: others of :meth:`contrec.embeddings.lightgcn.LightGCNEmbeddings.fit`; vectors keep their trained
            lengths, since scaling each dimension to unit variance changes the ranking.

    Raises:
        ValueError: if a setting is none of those named.
    """

    def __init__(self, loss: str = "bpr", score_by: str | None = None, dim: int = 256, **settings):
        one_of("loss", loss, ("bpr", "softmax"))
        one_of("score_by", score_by, (None, "inner", "cosine"))
        known = settings_of(LightGCNEmbeddings.fit, "split", "seed", "progress", "standardise", "refit_epochs")
        known_settings("LightGCN", settings, known)
        self.loss, self.settings = loss, {"dim": dim, **settings}
        self.score_by = score_by or {"bpr": "inner", "softmax": "cosine"}[loss]

    def fit(
        self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False, epochs: int | None = None
    ) -> LightGCN:
        """Train on ``split.train``, stop by NDCG@10 on the validation cases; ``embeddings`` are not needed.

        Args:
            epochs: of a refit, as in :meth:`contrec.baselines.learned.Learned.fit`.
        """
        require_split(split)
        self.embeddings = LightGCNEmbeddings.fit(
            split, seed=seed, progress=progress, loss=self.loss, standardise=False, refit_epochs=epochs, **self.settings
        )
        self.epochs = self.embeddings.settings["chosen_epochs"]
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m)."""
        users, items = self.embeddings.users(cases), self.embeddings.items
        if self.score_by == "cosine":
            users, items = (torch.nn.functional.normalize(x, dim=1) for x in (users, items))
        return (users @ items.T).numpy()
