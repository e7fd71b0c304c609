"""The sparse matrices that neighbourhood models are made of."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from contrec.data.interactions import Cases, Interactions


def interaction_matrix(train: Interactions) -> csr_matrix:
    """Who took what: 0/1, float32, CSR, shape (n_users, n_items); repeats count once."""
    ones = np.ones(len(train), np.float32)
    matrix = csr_matrix((ones, (train.user, train.item)), shape=(train.n_users, train.n_items))
    matrix.data[:] = 1.0  # the constructor has summed repeats
    return matrix


def pairs(matrix: csr_matrix) -> int:
    """At most how many pairs of items some row of a sparse matrix (n, m) has both of: entries of X'X."""
    rows = np.diff(matrix.indptr).astype(np.int64)
    return min(matrix.shape[1] ** 2, int((rows**2).sum()))


def recent_matrix(cases: Cases, n_items: int, last: int | None = None, decay: float = 1.0) -> csr_matrix:
    """Histories as weights, decay^0 for the newest item, decay^1 for the one before: float32, CSR, shape (B, n_items).

    Args:
        cases: of any user; only their histories are read.
        n_items: size of the catalogue.
        last: how many of the newest items count, None for all.
        decay: factor per step back in time, in (0, 1]. A repeated item adds its weights up.
    """
    lengths = cases.lengths if last is None else np.minimum(cases.lengths, last)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    steps_back = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    columns = cases.items[np.repeat(cases.stop, lengths) - 1 - steps_back]
    weights = np.float32(decay) ** steps_back.astype(np.float32)
    matrix = csr_matrix((weights, columns, indptr), shape=(len(cases), n_items))
    matrix.sum_duplicates()
    return matrix
