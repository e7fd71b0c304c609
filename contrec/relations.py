"""What items say about each other: who took what, and the item-item matrices in closed form made of it."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from contrec.data.interactions import Cases, Interactions
from contrec.memory import require_memory


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


def shrunk_cosine(matrix: csr_matrix, shrink: float) -> csr_matrix:
    """Item-item similarities of a 0/1 user-item matrix, float32, CSR, shape (m, m), symmetric, zero diagonal.

    Raises:
        DataError: if the pairs of items that users took together may take more memory than there is.
    """
    m = matrix.shape[1]  # 48 bytes a pair: the product, its coordinates and the result, while all are there
    require_memory(f"ItemKNN for {m:,} items", 48 * pairs(matrix), "use 'popularity', 'puresvd' or 'lightgcn'")
    count = np.asarray(matrix.sum(0), np.float32).ravel()
    similarity = (matrix.T @ matrix).tocoo()
    apart = similarity.row != similarity.col
    row, column = similarity.row[apart], similarity.col[apart]
    value = similarity.data[apart] / (np.sqrt(count[row] * count[column]) + np.float32(shrink))
    return csr_matrix((value, (row, column)), shape=similarity.shape)


def transition_matrix(train: Interactions, shrink: float) -> csr_matrix:
    """Shares of what came next, n(i -> j) / (n_i + shrink), float32, CSR, shape (m, m); i followed by i counts too."""
    same_user = train.user[1:] == train.user[:-1]
    before, after = train.item[:-1][same_user], train.item[1:][same_user]
    count = np.bincount(before, minlength=train.n_items).astype(np.float32)
    value = 1 / (count[before] + np.float32(shrink))
    return csr_matrix((value, (before, after)), shape=(train.n_items, train.n_items))


def ease_weights(matrix, ridge: float) -> np.ndarray:
    """EASE's B (:class:`contrec.baselines.ease.EASE`) for a 0/1 user-item CSR matrix, float32, shape (m, m).

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
