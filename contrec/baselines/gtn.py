"""GTN: graph trend filtering, which penalises differences along edges by their l1 norm (Fan et al., SIGIR 2022)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional as F

from contrec.baselines.graph import GraphModel
from contrec.checks import in_range, positive

STEP = 0.5  # beta; at most 1 / |D|^2 for the iteration to converge, and the normalised Laplacian D'D is at most 2


class GTN(GraphModel):
    r"""A few steps towards argmin_F 1/2 |F - X|^2 + smoothness |D F|_1, X the table, D the normalised incidence.

    A difference that a squared penalty (LightGCN's kind) would spread over all edges may stay whole on few of them.

    Args:
        smoothness: lambda, at least 0; 4 as published, 2 to 4 searched there. It bounds a dual variable that few steps
            barely raise: on LastFM no entry reaches 4 (lambda = 1e9 gives the same run), and the model is then a
            linear low pass, ((I + A) / 2)^K X, A the symmetric normalised graph. Bounds that bind ranked worse there
            (NDCG@10 on validation .047 at 4, .043 at .2, .045 at .05, .041 at .02).
        steps: K; 3 as published, towards an optimum that they do not reach.
        dropout: of the last step's vectors, in [0, 1]; .1 as published, where that of earlier steps is lost, since with
            a primal step of 1 each starts anew from X.
        dim, l2: 256 and 1e-4 as published.
        users, **loop: see :class:`~contrec.baselines.graph.GraphModel`.

    Raises:
        ValueError: if a setting is out of range.
    """

    LOOP = {"epochs": 100, "batch_size": 4096, "lr": 1e-2}

    def __init__(
        self, dim: int = 64, smoothness: float = 4.0, steps: int = 3, dropout: float = 0.1, l2: float = 1e-4,
        users: str = "learned", **loop,
    ):  # fmt: skip
        super().__init__(dim, l2, users, **loop)
        in_range("smoothness", smoothness, 0, np.inf)
        positive("steps", steps)
        in_range("dropout", dropout, 0, 1)
        self.smoothness, self.steps, self.dropout = smoothness, steps, dropout

    def propagation(self, matrix) -> nn.Module:
        return TrendFilter(incidence(matrix), self.smoothness, self.steps, self.dropout)


class TrendFilter(nn.Module):
    """Z <- clamp(Z + beta D F, +-smoothness), F <- X - D' Z, from Z = 0 and F = X: proximal, primal and dual.

    Args:
        incidence: D, scipy CSR, shape (E, N), squared norm at most 2.
        smoothness, steps, dropout: of :class:`GTN`.
    """

    def __init__(self, incidence: csr_matrix, smoothness: float, steps: int, dropout: float = 0.0):
        from contrec.embeddings.lightgcn import sparse_tensor

        super().__init__()
        self.register_buffer("incidence", sparse_tensor(incidence), persistent=False)
        self.register_buffer("transposed", sparse_tensor(incidence.T.tocsr()), persistent=False)
        self.smoothness, self.steps, self.dropout = smoothness, steps, dropout

    def forward(self, x: Tensor) -> Tensor:
        """x (N, d) -> (N, d)."""
        f, z = x, x.new_zeros(len(self.incidence), x.shape[1])
        for _ in range(self.steps):
            z = _AddProduct.apply(z, self.incidence, self.transposed, f, STEP).clamp(-self.smoothness, self.smoothness)
            f = _AddProduct.apply(x, self.transposed, self.incidence, z, -1.0)
        return F.dropout(f, self.dropout, self.training)


class _AddProduct(torch.autograd.Function):
    """y + factor operator x, for a sparse operator whose transpose is known."""

    @staticmethod
    def forward(ctx, y, operator, transposed, x, factor):
        ctx.transposed, ctx.factor = transposed, factor
        return torch.addmm(y, operator, x, alpha=factor)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None, ctx.factor * (ctx.transposed @ gradient), None


def incidence(matrix: csr_matrix) -> csr_matrix:
    """D: one row per edge of the train matrix, 1 / sqrt(d_u) at the user's node, -1 / sqrt(d_i) at the item's.

    Args:
        matrix: 0/1 user-item CSR matrix, shape (n, m), E entries.

    Returns:
        Float32 CSR, shape (E, n + m).
    """
    user, item = matrix.nonzero()
    ends = np.stack([user, item + matrix.shape[0]], axis=1)
    degree = np.bincount(ends.ravel(), minlength=sum(matrix.shape))
    value = np.array([1, -1]) / np.sqrt(degree[ends])
    begin = 2 * np.arange(len(ends) + 1)
    return csr_matrix((value.astype(np.float32).ravel(), ends.ravel(), begin), (len(ends), len(degree)))
