"""What items say about each other: who took what, and item-item matrices R (m, m) in closed form made of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix, identity, vstack

from contrec.checks import in_range
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


def keep_largest(similarity: csr_matrix, k: int) -> csr_matrix:
    """Keep the k largest entries of each row, of equal ones those with the smaller column."""
    row = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    order = np.lexsort((similarity.indices, -similarity.data, row))
    place = np.arange(len(order)) - similarity.indptr[row]  # rows stay together, so places count within each
    kept = order[place < k]
    return csr_matrix((similarity.data[kept], (row[kept], similarity.indices[kept])), shape=similarity.shape)


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


def ease_relation(train: Interactions, ridge: float = 200.0, tag_weight: float = 1.0) -> np.ndarray:
    """EASE on the users' rows and, where train rows carry tags, on the tags' rows below them.

    A tag's row counts the train rows of each item that give it, as log(1 + count): side information as more rows of the
    matrix, the collective form of EASE (Steck, WWW 2019; Jeunen, Van Balen and Goethals, RecSys 2020).

    Args:
        train: train rows only.
        ridge: lambda, greater than 0.
        tag_weight: factor of the tags' rows, at least 0; 0 leaves them out.

    Returns:
        Float32, shape (m, m), zero diagonal.

    Raises:
        ValueError: if a setting is out of range.
    """
    in_range("tag_weight", tag_weight, 0, np.inf)
    if not ridge > 0:
        raise ValueError(f"ridge must be greater than 0, got {ridge}")
    rows = interaction_matrix(train)
    if tag_weight and train.tags is not None:
        rows = vstack([rows, np.float32(tag_weight) * tag_matrix(train)], format="csr")
    return ease_weights(rows, ridge)


def tag_matrix(train: Interactions) -> csr_matrix:
    """log(1 + train rows of the item with the tag), for tags of at least 2 items: float32, CSR, shape (tags, m)."""
    counts = Counter((tag, item) for item, tags in zip(train.item.tolist(), train.tags) for tag in set(tags))
    items_of = Counter(tag for tag, _ in counts)
    number = {tag: i for i, tag in enumerate(sorted(tag for tag, n in items_of.items() if n >= 2))}
    kept = [(number[tag], item, count) for (tag, item), count in counts.items() if tag in number]
    row, column, count = np.array(kept, dtype=np.int64).reshape(-1, 3).T
    return csr_matrix((np.log1p(count).astype(np.float32), (row, column)), shape=(len(number), train.n_items))


def neighbour_relation(
    train: Interactions, shrink: float = 10.0, following: float = 16.0, following_shrink: float = 20.0, own: float = 4.0
) -> csr_matrix:
    """Shrunk cosine neighbours, first-order transitions and the item itself: no m x m inverse, and aware of order.

    The item's own entry does not rank (seen items are no candidates) but keeps a truncated SVD from dropping the items
    that few users relate to others: on Beauty, at 256 dimensions, it raises validation NDCG@10 by a third.

    Args:
        train: train rows only, each user's in order.
        shrink: of the cosine, see :class:`contrec.baselines.itemknn.ItemKNN`.
        following: weight of the transitions n(i -> j) / (n_i + following_shrink), at least 0; 16 and own = 4 were
            chosen on Beauty validation (following .2 .. 64, own 0 .. 12 tried).
        following_shrink: at least 0.
        own: weight of the identity, at least 0.

    Returns:
        Float32, CSR, shape (m, m).

    Raises:
        ValueError: if a setting is out of range.
    """
    settings = {"shrink": shrink, "following": following, "following_shrink": following_shrink, "own": own}
    for name, value in settings.items():
        in_range(name, value, 0, np.inf)
    similarity = shrunk_cosine(interaction_matrix(train), shrink)
    self_relation = identity(train.n_items, dtype=np.float32, format="csr")
    return (similarity + following * transition_matrix(train, following_shrink) + own * self_relation).tocsr()
