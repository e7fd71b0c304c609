"""EASE: the linear item-item model with a zero diagonal, in closed form (Steck, WWW 2019)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from contrec.baselines.matrices import interaction_matrix, pairs
from contrec.data.interactions import Cases, Split
from contrec.memory import require_memory


class EASE:
    r"""Each item is a ridge regression on all others: P = (X'X + ridge I)^-1, B_ij = -P_ij / P_jj, B_jj = 0.

    The inverse is made in place in one float32 m x m array: 54 MB for LastFM's 3,685 items, 1.1 GB for 17,000. A second
    of time at 4,000 items, cubic in m.

    Args:
        ridge: lambda, greater than 0; 50 was chosen on LastFM validation by NDCG@10 (50 .. 2,000 tried;
            30 .. 70 lie within .002).

    Raises:
        ValueError: if ``ridge`` is not positive.
    """

    def __init__(self, ridge: float = 50.0):
        if not ridge > 0:
            raise ValueError(f"ridge must be greater than 0, got {ridge}")
        self.ridge = ridge

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> EASE:
        """Weights B, float32, shape (m, m), from ``split.train``; the other arguments are not needed."""
        self.weights = ease_weights(interaction_matrix(split.train), self.ridge)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Sum of the weights' rows over the visible history: float32, shape (B, m)."""
        return cases.history_matrix(len(self.weights)) @ self.weights


def ease_weights(matrix, ridge: float) -> np.ndarray:
    """B of :class:`EASE` for a 0/1 user-item CSR matrix, float32, shape (m, m).

    Raises:
        DataError: if that takes more memory than there is.
        ValueError: if ``ridge`` is too small for float32.
    """
    m = matrix.shape[1]
    instead = "use 'itemknn' or, as base vectors, relation='neighbours', which keep what is not zero"
    require_memory(f"EASE for {m:,} items", 4 * m**2 + 8 * pairs(matrix), instead)
    inverse = (matrix.T @ matrix).toarray(order="F").astype(np.float32, copy=False)
    inverse[np.diag_indices_from(inverse)] += np.float32(ridge)
    for step in (lapack.spotrf, lapack.spotri):  # Cholesky, then the inverse from it, both in the same memory
        overwrite = "overwrite_a" if step is lapack.spotrf else "overwrite_c"
        inverse, info = step(inverse, lower=1, **{overwrite: 1})
        if info:
            raise ValueError(f"the Gram matrix plus ridge {ridge} is not positive definite in float32; raise ridge")
    diagonal = inverse.diagonal().copy()
    for j in range(len(inverse)):  # the factorisation left the upper triangle as it was
        inverse[j, j:] = inverse[j:, j]
    weights = inverse.T  # the same values, symmetric as they are, in row order and without a copy
    weights /= -diagonal
    np.fill_diagonal(weights, 0.0)
    return weights
