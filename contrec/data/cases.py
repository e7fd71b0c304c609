"""What splits are made of: rows taken out, a case for a row, cases inside train rows, the two cuts in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contrec.checks import DataError, in_range, one_of, positive

from .interactions import Cases, Interactions

WINDOW, SHORTEST = 20, 3  # of train_cases="released"


def take(interactions: Interactions, rows: np.ndarray) -> Interactions:
    """The interactions at ``rows`` (increasing row numbers), in the same spaces of users and items."""
    tags = interactions.tags
    columns = ("user", "item", "timestamp", "rating", "row", "nanosecond")
    values = {k: None if getattr(interactions, k) is None else getattr(interactions, k)[rows] for k in columns}
    return replace(interactions, **values, tags=None if tags is None else tuple(tags[r] for r in rows.tolist()))


def offsets(interactions: Interactions) -> np.ndarray:
    """Where each user's rows start, int64, shape (n_users + 1,): user u has rows ``offsets[u]:offsets[u + 1]``."""
    return np.concatenate([[0], np.cumsum(np.bincount(interactions.user, minlength=interactions.n_users))])


def cases_at(interactions: Interactions, rows: np.ndarray) -> Cases:
    """One case for each row: predict its item from all earlier rows of the same user."""
    user = interactions.user[rows]
    start = offsets(interactions)[user]
    return Cases(interactions.item, start, rows, user, interactions.item[rows], interactions.timestamp[rows])


def cases_inside(train: Interactions, kind: str = "prefixes", max_cases: int = 10) -> Cases:
    """Cases inside the train rows.

    Args:
        train: train rows.
        kind: "prefixes": the last ``max_cases`` rows of a user with at least 2 rows before each. "released": as the
            authors' code does; a user with more than 20 rows gives up to ``max_cases`` windows of 20 rows moving back,
            others their suffixes of at least 3 rows, longest first; the last row of each is the target.
        max_cases: most cases for one user (released code: 10 in ContRec, 20 in DeftRec).
    """
    one_of("train_cases", kind, ("prefixes", "released"))
    positive("max_cases", max_cases)
    begin = offsets(train)
    n = np.diff(begin)
    available = n - 2 if kind == "prefixes" else np.where(n > WINDOW, n - WINDOW, n - SHORTEST + 1)
    count = np.clip(available, 0, max_cases)
    user = np.repeat(np.arange(train.n_users), count)
    step = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    if kind == "prefixes":
        return cases_at(train, begin[user] + n[user] - count[user] + step)
    is_long = n[user] > WINDOW
    row = begin[user] + n[user] - 1 - np.where(is_long, step, 0)
    cases = cases_at(train, row)
    return replace(cases, start=np.where(is_long, row - WINDOW + 1, begin[user] + step))


def leave_one_out(interactions: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of train, validation and test: the last of each user is test, the one before validation.

    Users with fewer than 3 rows give train rows only.
    """
    begin = offsets(interactions)
    last = begin[1:][np.diff(begin) >= 3] - 1
    held_out = np.zeros(len(interactions), dtype=bool)
    held_out[last] = held_out[last - 1] = True
    return np.flatnonzero(~held_out), last - 1, last


def time_point(interactions: Interactions, quantiles=(0.9, 0.95)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of train, validation and test: the first 90 % of all rows in time, the next 5 %, the rest.

    Rows at the time of a cut are shared out in file order, which fixes how many of them each user has on either side;
    within a user the earlier ones of the sequence go to the earlier side, so that no history looks ahead.

    Raises:
        DataError: if the source has no times.
        ValueError: if the quantiles do not satisfy 0 < first < second < 1.
    """
    if not interactions.has_time:
        raise DataError(
            f"{interactions.name}: time_point needs timestamps and this source has only an order; "
            "use protocol='leave_one_out', or source='raw' where a raw archive exists"
        )
    low, high = quantiles
    in_range("quantiles[0]", low, 0, high)
    in_range("quantiles[1]", high, low, 1)
    n = len(interactions)
    file_row = np.arange(n) if interactions.row is None else interactions.row
    finer = () if interactions.nanosecond is None else (interactions.nanosecond,)
    order = np.lexsort((file_row, *finer, interactions.timestamp))
    part = np.empty(n, dtype=np.int64)
    part[order] = np.searchsorted([int(low * n), int(high * n)], np.arange(n), side="right")
    # rows are sorted by (user, time): sorting each user's parts moves only those that tie at a cut
    part = part[np.lexsort((part, interactions.user))]
    return tuple(np.flatnonzero(part == p) for p in range(3))


def tied_rows(interactions: Interactions) -> np.ndarray:
    """Whether another row of the same user has the same time, bool, shape (n,)."""
    user, time = interactions.user, interactions.timestamp
    same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    if (part := interactions.nanosecond) is not None:
        same &= part[1:] == part[:-1]
    return np.append(same, False) | np.insert(same, 0, False) if len(user) else np.zeros(0, bool)


def target_counts(interactions: Interactions, train: Interactions, rows: np.ndarray, test: Cases) -> dict:
    """What test targets are like: not in ``train``, taken before, tied in time with another row of their user.

    Args:
        interactions: the rows that the targets stand in, at ``rows``.
        train: train rows.
        test: the cases with a history.
    """
    seen_in_train = np.bincount(train.item, minlength=train.n_items) > 0
    repeated = sum(bool(np.any(c.history == c.target)) for c in (test[i] for i in range(len(test))))
    tied = tied_rows(interactions)[rows]
    return {
        "cold_targets": int(np.sum(~seen_in_train[test.target])),
        "repeated_targets": int(repeated),
        "tied_targets": float(tied.mean()) if interactions.has_time and len(tied) else None,
    }
