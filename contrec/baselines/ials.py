"""iALS: matrix factorisation of who took what by alternating least squares (Hu, Koren and Volinsky, ICDM 2008)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from contrec.baselines.base import Baseline
from contrec.checks import in_range, positive, seed_number
from contrec.data.interactions import Cases, Split, require_split
from contrec.relations import interaction_matrix


class IALS(Baseline):
    r"""Vectors w_u, h_i whose products are 1 where u took i and, with less weight, 0 everywhere (Rendle et al., 2022).

    sum_{u took i} (w_u h_i - 1)^2 + a sum_{u, i} (w_u h_i)^2
        + ridge (sum_u (n_u + a m)^nu |w_u|^2 + sum_i (n_i + a n)^nu |h_i|^2)

    with a = ``unobserved``, n users, m items, n_u and n_i train rows of a user and of an item. Confidences 1 + alpha of
    Hu et al. are a = 1 / alpha; frequency-scaled regularisation, nu = 1, is what "Revisiting the Performance of iALS"
    (RecSys 2022) adds. A case's user vector is solved for from its visible history, so that strangers have one as well.

    Args:
        dim: width d; time grows with d^3.
        unobserved: a, greater than 0; .1 and ridge .01 were chosen on LastFM validation by NDCG@10 at dim 64 (.01 .. 1
            and .0003 .. .03 tried).
        ridge: greater than 0.
        nu: 0 (as in 2008) to 1 (as in 2022).
        iterations: how often users, then items are solved for; 16 as recommended in 2022.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self, dim: int = 64, unobserved: float = 0.1, ridge: float = 0.01, nu: float = 1.0, iterations: int = 16
    ):
        for name, value in (("dim", dim), ("iterations", iterations)):
            positive(name, value)
        for name, value in (("unobserved", unobserved), ("ridge", ridge)):
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be greater than 0, got {value}")
        in_range("nu", nu, 0, 1)
        self.dim, self.iterations = dim, iterations
        self.settings = {"unobserved": unobserved, "ridge": ridge, "nu": nu}

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False) -> IALS:
        """Item vectors, float32, shape (m, d), from ``split.train``.

        Args:
            seed: of the start. The objective is not convex: on LastFM validation four starts end at NDCG@10 .047-.050.
            embeddings, progress: not needed.
        """
        require_split(split)
        taken = interaction_matrix(split.train)
        taken_by = taken.T.tocsr()
        start = np.random.default_rng(seed_number(seed)).normal(size=(split.n_items, self.dim))
        self.items = (0.1 * self.dim**-0.5 * start).astype(np.float32)
        for _ in range(self.iterations):
            users = least_squares(taken, self.items, **self.settings)
            self.items = least_squares(taken_by, users, **self.settings)
        return self

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m)."""
        return least_squares(cases.history_matrix(len(self.items)), self.items, **self.settings) @ self.items.T


def least_squares(taken: csr_matrix, vectors: np.ndarray, unobserved: float, ridge: float, nu: float) -> np.ndarray:
    r"""The best vector of each row, those of the columns given.

    w_u = (sum_{i in S_u} h_i h_i' + a H'H + ridge (|S_u| + a m)^nu I)^-1 sum_{i in S_u} h_i

    Args:
        taken: 0/1, CSR, shape (n, m).
        vectors: H, float32, shape (m, d).

    Returns:
        Float32, shape (n, d); zeros for an empty row.

    Raises:
        ValueError: if ``ridge`` is too small for float32.
    """
    (n, m), d = taken.shape, vectors.shape[1]
    everybody = np.float32(unobserved) * (vectors.T @ vectors)
    penalty = ridge * (np.diff(taken.indptr) + unobserved * m) ** nu
    right, diagonal = taken @ vectors, np.diag_indices(d)
    solved = np.empty((n, d), np.float32)
    for row in range(n):
        own = vectors[taken.indices[taken.indptr[row] : taken.indptr[row + 1]]]
        left = everybody + own.T @ own
        left[diagonal] += penalty[row]
        _, solved[row], singular = lapack.sposv(left.T, right[row], overwrite_a=1)  # symmetric: .T is no copy
        if singular:
            raise ValueError(f"a Gram matrix plus ridge {ridge} is not positive definite in float32; raise ridge")
    return solved
