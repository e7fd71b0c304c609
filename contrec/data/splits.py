"""Who is asked about what: leave-one-out and time-point splits, and the cases used in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..checks import in_range, one_of, positive
from .facets import with_facets
from .interactions import Cases, Catalogue, DataError, Interactions, Split

PROTOCOLS = ("leave_one_out", "time_point", "unseen_users")
SHARE = 0.05  # of the users held out altogether by "unseen_users": both papers
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


def training_cases(train: Interactions, kind: str = "prefixes", max_cases: int = 10) -> Cases:
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


def split(
    interactions: Interactions,
    catalogue: Catalogue,
    protocol: str = "leave_one_out",
    *,
    train_cases: str = "prefixes",
    max_cases: int = 10,
    quantiles=(0.9, 0.95),
    min_facet_items: int = 5,
    share: float = SHARE,
) -> Split:
    """Split interactions; parameters may see ``split.train`` only, a history is everything before its target.

    Args:
        interactions, catalogue: from :func:`contrec.data.load`.
        protocol: "leave_one_out" | "time_point" | "unseen_users" (:func:`contrec.data.unseen.unseen_users`).
        train_cases, max_cases: see :func:`training_cases`.
        quantiles: ends of train and validation, for "time_point".
        min_facet_items: see :func:`contrec.data.facets.with_facets`.
        share: of the users that "unseen_users" holds out, 0 < share < 1.

    Raises:
        ValueError: for an unknown protocol or a share out of range.
        DataError: if nothing is left to train on or to test, times are missing, or the catalogue is another one's.
    """
    one_of("protocol", protocol, PROTOCOLS)
    if not np.array_equal(catalogue.item_ids, interactions.item_ids):
        raise DataError(
            f"{interactions.name}: the catalogue holds {len(catalogue)} items and the interactions know "
            f"{interactions.n_items}, which must be the same in the same order; "
            "make it with contrec.data.facets.make_catalogue(interactions.item_ids, ...)"
        )
    if protocol == "unseen_users":
        from .unseen import unseen_users

        settings = {"train_cases": train_cases, "max_cases": max_cases, "min_facet_items": min_facet_items}
        return unseen_users(interactions, catalogue, share, **settings)
    if protocol == "leave_one_out":
        parts = leave_one_out(interactions)
    else:
        parts = time_point(interactions, quantiles)
    train = take(interactions, parts[0])
    validation, test = (cases_at(interactions, rows) for rows in parts[1:])
    counts = _counts(interactions, train, parts, validation, test)
    validation, test = (cases.select(cases.lengths > 0) for cases in (validation, test))
    if not len(train) or not len(test):
        raise DataError(
            f"{interactions.name}: {len(train)} train rows and {len(test)} test cases under {protocol}; "
            "a user needs at least 3 interactions to be tested, so add data or lower the filters"
        )
    return Split(
        train=train,
        train_cases=training_cases(train, train_cases, max_cases),
        validation=validation,
        test=test,
        catalogue=with_facets(catalogue, train, min_facet_items),
        protocol=protocol,
        counts=counts,
    )


def require_training(split: Split) -> None:
    """The check of every model that learns by gradient, before anything is trained: is there enough to learn from?

    Raises:
        DataError: without two items, a training case or a validation case.
    """
    train, rows = split.train, np.bincount(split.train.user, minlength=split.n_users)
    items = np.bincount(np.unique(train.user * split.n_items + train.item) // split.n_items, minlength=len(rows))
    by_time = split.protocol == "time_point"
    if split.n_items < 2:
        problem, cure = f"the catalogue has {split.n_items} item", "a ranking needs 2"
    elif not len(split.train_cases) or not np.any((rows >= SHORTEST) & (items >= 2)):
        problem = f"no user has a training case: the longest train history has {rows.max(initial=0)} rows"
        place = "before the cut in time" if by_time else f"and 2 more that are held out: {SHORTEST + 2} in all"
        cure = f"one user at least needs {SHORTEST} rows, of 2 different items, {place}"
    elif not len(split.validation):
        problem = "there is no validation case, which chooses the epoch"
        rows = "a row in the validation's span of time and one before it" if by_time else "3 rows, 2 of them held out"
        cure = f"one user at least needs {rows}"
    else:
        return
    raise DataError(
        f"{train.name}: too little to train on under {split.protocol}: {problem} ({split.n_users} users, {len(train)} "
        f"train rows); {cure}. Add data or lower the filters"
    )


def tied_rows(interactions: Interactions) -> np.ndarray:
    """Whether another row of the same user has the same time, bool, shape (n,)."""
    user, time = interactions.user, interactions.timestamp
    same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    if (part := interactions.nanosecond) is not None:
        same &= part[1:] == part[:-1]
    return np.append(same, False) | np.insert(same, 0, False) if len(user) else np.zeros(0, bool)


def _counts(interactions, train, parts, validation, test) -> dict:
    """What a reader must know before believing a metric; shares are of the test targets."""
    begin = offsets(interactions)
    has_train = np.bincount(train.user, minlength=train.n_users) > 0
    test_users = np.unique(interactions.user[parts[2]])
    return {
        "n_users": interactions.n_users,
        "n_items": interactions.n_items,
        "n_interactions": len(interactions),
        "train_rows": len(parts[0]),
        "validation_rows": len(parts[1]),
        "test_rows": len(parts[2]),
        "test_users": len(test_users),
        "test_users_with_train_rows": int(has_train[test_users].sum()),
        "test_rows_of_train_users": int(has_train[interactions.user[parts[2]]].sum()),
        "users_under_3_rows": int(np.sum((np.diff(begin) > 0) & (np.diff(begin) < 3))),
        "empty_histories": int(np.sum(test.lengths == 0)),
        "empty_histories_validation": int(np.sum(validation.lengths == 0)),
        **target_counts(interactions, train, parts[2], test.select(test.lengths > 0)),
        "train_end": int(interactions.timestamp[parts[0]].max()) if len(parts[0]) and interactions.has_time else None,
    }


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
