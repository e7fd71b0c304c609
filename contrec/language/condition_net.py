"""From the states of the preference text to the diffusion's condition: f_c of Sect. 3.4, ContRec, and its peers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrec.checks import one_of

KINDS = ("attention", "mean", "length_mlp", "length_mlp_wide")


class ConditionNet(nn.Module):
    """M learned queries attend to the states that emit the answer; the paper leaves the form of f_c open.

    Args:
        hidden: width H of the states.
        dim: width d of the condition vectors.
        n_vectors: M; with one vector the pooling starts as the plain mean.

    Attributes:
        shape: (M, width) of a condition.
    """

    def __init__(self, hidden: int, dim: int, n_vectors: int = 4):
        super().__init__()
        self.shape = (n_vectors, dim)
        self.norm = nn.LayerNorm(hidden)
        self.queries = nn.Linear(hidden, n_vectors, bias=False)
        nn.init.normal_(self.queries.weight, std=1.0 / hidden) if n_vectors > 1 else nn.init.zeros_(self.queries.weight)
        self.project = nn.Linear(hidden, dim)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states (B, L, H) with boolean mask (B, L), at least one true in each row -> c (B, M, d)."""
        states = self.norm(states.float())
        weights = self.queries(states).masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)  # (B, L, M)
        return self.project(torch.einsum("blm,blh->bmh", weights, states))


class MeanCondition(nn.Module):
    """c = sigmoid(mean of the states): one vector of the backbone's width, no parameters (Sect. 2.4.2, DeftRec)."""

    def __init__(self, hidden: int):
        super().__init__()
        self.shape = (1, hidden)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """As of :class:`ConditionNet`, with M = 1 and d = H."""
        weights = mask / mask.sum(1, keepdim=True)
        return torch.einsum("bl,blh->bh", weights, states.float()).sigmoid()[:, None]


class LengthMLP(nn.Module):
    """A multilayer perceptron along the answer's positions, as both released codes have it; all values at least 0.

    [ReLU, dropout, linear H-d, ReLU where ``dim`` is given;] then along the length: residual(ReLU, dropout, linear
    L-L), ReLU, dropout, linear L-M, ReLU. Longer answers are cut, shorter ones filled up with zeros.

    Args:
        hidden: width H of the states.
        dim: width d of the condition vectors (ContRec), or None: H (DeftRec).
        n_vectors: M; 4 in ContRec, 1 in DeftRec.
        length: L, positions that are mixed; 64 in ContRec, 32 in DeftRec.
    """

    def __init__(self, hidden: int, dim: int | None, n_vectors: int, length: int, dropout: float = 0.2):
        super().__init__()
        self.shape, self.length = (n_vectors, dim or hidden), length
        block = lambda a, b: (nn.ReLU(), nn.Dropout(dropout), nn.Linear(a, b))  # noqa: E731
        self.narrow = nn.Identity() if dim is None else nn.Sequential(*block(hidden, dim), nn.ReLU())
        self.mix = nn.Sequential(*block(length, length))
        self.out = nn.Sequential(*block(length, n_vectors), nn.ReLU())

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """As of :class:`ConditionNet`."""
        states = (states.float() * mask[..., None])[:, : self.length]
        x = self.narrow(nn.functional.pad(states, (0, 0, 0, self.length - states.shape[1]))).transpose(1, 2)
        return self.out(x + self.mix(x)).transpose(1, 2)


def make_condition_net(kind: str, hidden: int, dim: int, n_vectors: int, length: int) -> nn.Module:
    """The net of a kind: "attention", "mean", "length_mlp" (ContRec's released code), "length_mlp_wide" (DeftRec's)."""
    one_of("condition_net", kind, KINDS)
    if kind == "attention":
        return ConditionNet(hidden, dim, n_vectors)
    if kind == "mean":
        return MeanCondition(hidden)
    return LengthMLP(hidden, dim if kind == "length_mlp" else None, n_vectors, length)
