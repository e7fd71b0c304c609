"""Matrix factorisation with the BPR loss (Koren et al., Computer 2009; Rendle et al., UAI 2009)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrec.baselines.graph import GraphModel
from contrec.data.interactions import Cases


class MF(GraphModel):
    """A user's and an item's own vector, without any propagation.

    Args:
        dim: 64 as published with LightGCN.
        l2: 1e-4 as published there; .03 was chosen on LastFM validation by NDCG@10 (.045 at 1e-4, .049 at .01, .051 at
            .03, .041 at .1): nothing else keeps a user's few rows from being learned by heart.
        users, **loop: see :class:`~contrec.baselines.graph.GraphModel`.
    """

    LOOP = {"epochs": 100, "batch_size": 4096, "lr": 1e-2, "patience": 20}

    def __init__(self, dim: int = 64, l2: float = 0.03, users: str = "learned", **loop):
        super().__init__(dim, l2, users, **loop)

    def propagation(self, matrix) -> nn.Module:
        return nn.Identity()

    def fold_in(self, cases: Cases, items: Tensor) -> Tensor:
        """sum_{i in N} (e_i - mean_j e_j), N the visible history: float32, shape (B, d).

        The step that BPR's gradient takes from the zero vector, each item against a uniform negative. Its length, the
        step size, does not change the ranking. Degrees do not belong here: nothing was divided by them in training.
        """
        history = torch.from_numpy(cases.history_matrix(len(items)) @ (items - items.mean(0)).cpu().numpy())
        return history.to(items.device)
