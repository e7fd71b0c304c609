"""f_c of Sect. 3.4, ContRec: hidden states of the answer become the diffusion's condition."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConditionNet(nn.Module):
    """M learned queries attend to the states that emit the answer; the paper leaves the form of f_c open.

    Args:
        hidden: width H of the states.
        dim: width d of the condition vectors.
        n_vectors: M; with one vector the pooling starts as the plain mean.
    """

    def __init__(self, hidden: int, dim: int, n_vectors: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.queries = nn.Linear(hidden, n_vectors, bias=False)
        nn.init.normal_(self.queries.weight, std=1.0 / hidden) if n_vectors > 1 else nn.init.zeros_(self.queries.weight)
        self.project = nn.Linear(hidden, dim)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states (B, L, H) with boolean mask (B, L), at least one true in each row -> c (B, M, d)."""
        states = self.norm(states.float())
        weights = self.queries(states).masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)  # (B, L, M)
        return self.project(torch.einsum("blm,blh->bmh", weights, states))
