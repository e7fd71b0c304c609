"""From raw columns to sequences: dense ids, core filters, a sort that is the same on every machine."""

from __future__ import annotations

import numpy as np

from contrec.checks import DataError

from .interactions import Interactions

TIE_RULE = "user, timestamp, splitmix64(seed, user index, item index), file row"


def splitmix64(x: np.ndarray) -> np.ndarray:
    """One step of the SplitMix64 generator: a fixed scramble of 64-bit integers, uint64, any shape."""
    x = np.atleast_1d(np.asarray(x)).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def tie_hash(seed: int, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """The number that orders rows of one user at one time, uint64, shape of ``user``: integer arithmetic only."""
    return splitmix64(splitmix64(splitmix64(np.array([seed])) ^ user.astype(np.uint64)) ^ item.astype(np.uint64))


def dense_ids(values) -> tuple[np.ndarray, np.ndarray]:
    """Number ids 0..u-1 in increasing order of the id.

    Args:
        values: ids, integers or strings, shape (n,).

    Returns:
        codes, int64, shape (n,), and the distinct ids in increasing order, shape (u,).
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or not len(values):
        if values.dtype.kind == "O":
            import pandas as pd

            codes, ids = pd.factorize(values, sort=True)  # hashing objects once beats sorting all of them
            return codes.astype(np.int64), np.asarray(ids)
        ids, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64), ids
    low, high = int(values.min()), int(values.max())
    if high - low > 8 * len(values) + 1_000_000 or high >= 2**63:  # a look-up table would be mostly holes
        ids, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64), ids
    present = np.zeros(high - low + 1, dtype=bool)
    present[values - low] = True
    return (np.cumsum(present) - 1)[values - low], np.flatnonzero(present) + low


def k_core(user: np.ndarray, item: np.ndarray, k: int = 5) -> np.ndarray:
    """Rows of the true (iterated) k-core: every user and every item that is left has at least ``k`` rows.

    Args:
        user, item: dense indices, int64, shape (n,).
        k: smallest number of rows.

    Returns:
        Row numbers that stay, increasing, int64. The k-core is unique, whatever the order of peeling.
    """
    alive = np.ones(len(user), dtype=bool)
    user_rows, item_rows = np.bincount(user), np.bincount(item)
    while True:
        weak = (user_rows < k)[user]
        weak |= (item_rows < k)[item]
        weak &= alive
        gone = np.flatnonzero(weak)
        if not len(gone):
            return np.flatnonzero(alive)
        alive[gone] = False
        if 2 * np.count_nonzero(alive) < len(user):  # few are left: copying them pays
            rows = np.flatnonzero(alive)
            return rows[k_core(user[rows], item[rows], k)]
        user_rows -= np.bincount(user[gone], minlength=len(user_rows))
        item_rows -= np.bincount(item[gone], minlength=len(item_rows))


def one_pass(user: np.ndarray, item: np.ndarray, min_item: int = 5, min_user: int = 5) -> np.ndarray:
    """Rows left after dropping items with fewer than ``min_item`` rows, then users with fewer than ``min_user``.

    The papers' files are made this way, once and without iteration, so items may end below ``min_item``.
    """
    rows = np.flatnonzero((np.bincount(item) >= min_item)[item]) if len(item) else np.arange(0)
    return rows[(np.bincount(user[rows]) >= min_user)[user[rows]]] if len(rows) else rows


def sort_order(user: np.ndarray, timestamp: np.ndarray, item: np.ndarray, seed: int = 0) -> np.ndarray:
    """Order of rows by (user, timestamp, tie rule, row), int64, shape (n,).

    Users are dealt into blocks of some 65,000 rows that fit the processor's cache; in a block, user, time and row are
    packed into one 64-bit key and sorted. Rows of equal user and time are then ordered again by :func:`tie_hash`: the
    result is the same on every machine, whereas numpy's own order of equal keys depends on the processor.
    """
    if not len(user):
        return np.arange(0)
    time = timestamp - timestamp.min()
    time_bits = int(time.max()).bit_length()
    begin = np.cumsum(np.bincount(user)) - np.bincount(user)
    block = (begin >> 16).astype(np.uint16 if len(user) < 2**32 else np.uint32)[user]
    order = np.argsort(block, kind="stable")  # a radix sort on 16 bits
    edges = np.concatenate([[0], np.cumsum(np.bincount(block))])
    again = []
    for low, high in zip(edges[:-1], edges[1:]):
        if low == high:
            continue
        rows = order[low:high]
        row_bits = int(high - low).bit_length()
        owner = user[rows] - user[rows].min()
        if int(owner.max()).bit_length() + time_bits + row_bits <= 63:
            key = np.sort((((owner << time_bits) | time[rows]) << row_bits) | np.arange(high - low))
            order[low:high] = rows = rows[key & ((1 << row_bits) - 1)]
            key >>= row_bits
            same = key[1:] == key[:-1]
        else:  # centuries of seconds, or a user with millions of rows
            order[low:high] = rows = rows[np.lexsort((time[rows], owner))]
            same = (user[rows[1:]] == user[rows[:-1]]) & (time[rows[1:]] == time[rows[:-1]])
        again.append(low + np.flatnonzero(np.append(same, False) | np.insert(same, 0, False)))
    tied = np.concatenate(again)
    rows = order[tied]
    order[tied] = rows[np.lexsort((rows, tie_hash(seed, user[rows], item[rows]), time[rows], user[rows]))]
    return order


def first_appearance(item: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Renumber by first appearance: the new codes, shape of ``item``, and the old index (0..n-1) of each new one."""
    first = np.full(n, len(item), dtype=np.int64)
    first[item[::-1]] = np.arange(len(item) - 1, -1, -1)  # the last write wins: the earliest position
    old = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(item))]
    new = np.full(n, -1, dtype=np.int64)
    new[old] = np.arange(len(old))
    return new[item], old


def build(
    user, item, timestamp, user_ids, item_ids, *,
    keep=None, rating=None, tags=None, nanosecond=None, seed=0, name="unnamed",
):  # fmt: skip
    """Sequences from raw columns: keep, sort, renumber (users by increasing id, items by first appearance).

    Args:
        user, item: indices into ``user_ids`` and ``item_ids`` (:func:`dense_ids`), int64, shape (n,).
        timestamp: seconds, int64, shape (n,).
        user_ids, item_ids: original ids in increasing order.
        keep: row numbers that stay (increasing), or None for all.
        rating: float, shape (n,), or None.
        tags: tuple of tuples of strings, one for each row, or None.
        nanosecond: int64 of shape (n,), 0..10**9 - 1, what follows the seconds in the order of time; None for 0.
        seed: of the tie rule, ``TIE_RULE``; the indices hashed are those before any filter.
        name: for messages.

    Raises:
        DataError: if no row is left.
    """
    rows = np.arange(len(user)) if keep is None else keep
    if not len(rows):
        raise DataError(f"{name}: no interaction is left after the filters; check the file, or lower the thresholds")
    time = timestamp if nanosecond is None else timestamp * 10**9 + nanosecond
    rows = rows[sort_order(user[rows], time[rows], item[rows], seed)]
    sorted_user = user[rows]
    starts = np.insert(sorted_user[1:] != sorted_user[:-1], 0, True)
    items, old_item = first_appearance(item[rows], len(item_ids))
    return Interactions(
        user=np.cumsum(starts) - 1,
        item=items,
        timestamp=timestamp[rows],
        user_ids=np.asarray(user_ids)[sorted_user[starts]].astype(str),
        item_ids=np.asarray(item_ids)[old_item].astype(str),
        rating=None if rating is None else np.asarray(rating, dtype=np.float32)[rows],
        tags=None if tags is None else tuple(tags[r] for r in rows.tolist()),
        name=name,
        row=rows,
        nanosecond=None if nanosecond is None else nanosecond[rows],
    )
