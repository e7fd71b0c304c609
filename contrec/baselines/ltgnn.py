"""LTGNN: propagation to the fixed point of personalised PageRank (Zhang et al., WWW 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from contrec.baselines.graph import GraphModel
from contrec.checks import in_range

REMAINDER = 1e-3  # share of the infinite sum that is left out


class LTGNN(GraphModel):
    """z = (1 - a) A z + a x, A the symmetric normalised graph of users and items, x the table.

    The published method takes one layer a step, starts from remembered embeddings in the forward and the backward pass,
    and samples 15 neighbours with a correction of their variance. All of that is there to reach large graphs; what it
    approximates is this fixed point and its gradient, which are computed here to a remainder of 1e-3 in every step.
    A history's fold-in is what a new node with these edges and x = 0 would be, up to the factor 1 - a.

    Args:
        restart: a in (0, 1]; .45 as published, 1 is matrix factorisation.
        dim, l2: 64 and 2e-4 as published.
        users, **loop: see :class:`~contrec.baselines.graph.GraphModel`.

    Raises:
        ValueError: if a setting is out of range.
    """

    LOOP = {"epochs": 100, "batch_size": 4096, "lr": 3e-3}  # LastFM validation: 1.5e-3, 3e-3, 1e-2 tried

    def __init__(self, dim: int = 64, restart: float = 0.45, l2: float = 2e-4, users: str = "learned", **loop):
        super().__init__(dim, l2, users, **loop)
        in_range("restart", restart, 0.01, 1)
        self.restart = restart

    def propagation(self, matrix) -> nn.Module:
        from contrec.embeddings.lightgcn import symmetric_operator

        return PageRank(symmetric_operator(matrix), self.restart)


class PageRank(nn.Module):
    """z = a sum_k (1 - a)^k A^k x, up to a remainder of ``REMAINDER``; the gradient to x is the same map.

    Args:
        operator: A, symmetric sparse CSR, eigenvalues in [-1, 1], shape (N, N).
        restart: a in (0, 1].
    """

    def __init__(self, operator: Tensor, restart: float):
        super().__init__()
        self.register_buffer("operator", operator, persistent=False)
        self.restart = restart
        self.steps = 0 if restart == 1 else math.ceil(math.log(REMAINDER) / math.log(1 - restart))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, d) -> (N, d)."""
        return _FixedPoint.apply(x, self.operator, self.restart, self.steps)


class _FixedPoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, operator, restart, steps):
        ctx.rest = operator, restart, steps
        return _fixed_point(x, *ctx.rest)

    @staticmethod
    def backward(ctx, gradient):
        return _fixed_point(gradient, *ctx.rest), None, None, None


def _fixed_point(x: Tensor, operator: Tensor, restart: float, steps: int) -> Tensor:
    z = x  # an isolated node ends at a x, a connected one forgets its start
    for _ in range(steps):
        z = torch.addmm(x, operator, z, beta=restart, alpha=1 - restart)
    return z
