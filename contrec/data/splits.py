"""Who is asked about what: leave-one-out, time-point and unseen-user splits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contrec.checks import DataError, of_kind, one_of, positive

from .cases import SHORTEST, cases_at, cases_inside, leave_one_out, offsets, take, target_counts, time_point
from .facets import with_facets
from .interactions import Catalogue, Interactions, Split, require_split
from .unseen import SHARE, least_history, without_users

PROTOCOLS = ("leave_one_out", "time_point", "unseen_users")


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
    refit: bool = False,
) -> Split:
    """Split interactions; parameters may see ``split.train`` only, a history is everything before its target.

    Args:
        interactions, catalogue: from :func:`contrec.data.load`.
        protocol: "leave_one_out" | "time_point" | "unseen_users" (:func:`unseen_users`).
        train_cases, max_cases: see :func:`contrec.data.cases.cases_inside`.
        quantiles: ends of train and validation, for "time_point".
        min_facet_items: see :func:`contrec.data.facets.with_facets`.
        share: of the users that "unseen_users" holds out, 0 < share < 1.
        refit: the validation rows are train rows as well, and no validation case is left: for models that are trained
            again, for as many epochs as a validation has chosen before.

    Raises:
        TypeError: if interactions or catalogue are something else.
        ValueError: for an unknown protocol or a share out of range.
        DataError: if nothing is left to train on or to test, times are missing, or the catalogue is another one's.
    """
    one_of("protocol", protocol, PROTOCOLS)
    cure = "give what contrec.data.load returns: contrec.data.split(*contrec.data.load('planted'))"
    of_kind("interactions", interactions, Interactions, cure)
    of_kind("catalogue", catalogue, Catalogue, cure)
    if not np.array_equal(catalogue.item_ids, interactions.item_ids):
        raise DataError(
            f"{interactions.name}: the catalogue holds {len(catalogue)} items and the interactions know "
            f"{interactions.n_items}, which must be the same in the same order; "
            "make it with contrec.data.facets.make_catalogue(interactions.item_ids, ...)"
        )
    if protocol == "unseen_users":
        settings = {"train_cases": train_cases, "max_cases": max_cases, "min_facet_items": min_facet_items}
        settings["refit"] = refit
        return unseen_users(interactions, catalogue, share, **settings)
    if protocol == "leave_one_out":
        parts = leave_one_out(interactions)
    else:
        parts = time_point(interactions, quantiles)
    if refit:
        parts = np.sort(np.concatenate(parts[:2])), parts[1][:0], parts[2]
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
        train_cases=cases_inside(train, train_cases, max_cases),
        validation=validation,
        test=test,
        catalogue=with_facets(catalogue, train, min_facet_items),
        protocol=protocol,
        counts=counts,
    )


def unseen_users(
    interactions: Interactions, catalogue: Catalogue, share: float = SHARE, *, seed: int = 0, **settings
) -> Split:
    """Leave-one-out on all users but the ones with the least history, who are then asked about as strangers.

    Train rows, training and validation cases, facets and answers are byte for byte those of a data set in which these
    users never existed. Only the list of items is the whole one: an item that none but them took is there, cold.

    Args:
        interactions, catalogue: from :func:`contrec.data.load`.
        share, seed: see :func:`least_history`.
        settings: of :func:`contrec.data.split`, for the users that stay.

    Returns:
        A split whose ``test`` asks about the last item of each unseen user, given everything before it; their ``user``
        is -1, as for anybody outside the data, and they stand in the order of the full data. ``seen_users`` asks the
        same about the users in training. In ``counts``, what is said of test cases is said of unseen users.
    """
    users = least_history(interactions, share, seed)
    rest = split(without_users(interactions, users), catalogue, "leave_one_out", **settings)
    own = take(interactions, np.flatnonzero(np.isin(interactions.user, users)))
    rows = leave_one_out(own)[2]
    test = replace(cases_at(own, rows), user=np.full(len(rows), -1))
    counts = {
        **rest.counts, "unseen_users": len(users), "test_rows": len(rows), "test_users": len(users),
        "test_users_with_train_rows": 0, "test_rows_of_train_users": 0, **target_counts(own, rest.train, rows, test),
    }  # fmt: skip
    return replace(rest, test=test, seen_users=rest.test, protocol="unseen_users", counts=counts)


def require_training(split: Split, epochs: int | None = None) -> None:
    """The check of every model that learns by gradient, before anything is trained: is there enough to learn from?

    Args:
        epochs: how long is trained; None: as long as validation cases choose.

    Raises:
        TypeError: if it is no split.
        ValueError: if ``epochs`` is no positive whole number.
        DataError: without two items, a training case or something that chooses the epoch.
    """
    require_split(split)
    if epochs is not None:
        positive("epochs", epochs)
    train, rows = split.train, np.bincount(split.train.user, minlength=split.n_users)
    items = np.bincount(np.unique(train.user * split.n_items + train.item) // split.n_items, minlength=len(rows))
    by_time = split.protocol == "time_point"
    if split.n_items < 2:
        problem, cure = f"the catalogue has {split.n_items} item", "a ranking needs 2"
    elif not len(split.train_cases) or not np.any((rows >= SHORTEST) & (items >= 2)):
        problem = f"no user has a training case: the longest train history has {rows.max(initial=0)} rows"
        place = "before the cut in time" if by_time else f"and 2 more that are held out: {SHORTEST + 2} in all"
        cure = f"one user at least needs {SHORTEST} rows, of 2 different items, {place}"
    elif not len(split.validation) and epochs is None:
        problem = "there is no validation case, which chooses the epoch"
        rows = "a row in the validation's span of time and one before it" if by_time else "3 rows, 2 of them held out"
        cure = f"one user at least needs {rows}; to refit, say for how many epochs: fit(split, epochs=...)"
    else:
        return
    raise DataError(
        f"{train.name}: too little to train on under {split.protocol}: {problem} ({split.n_users} users, {len(train)} "
        f"train rows); {cure}. Add data or lower the filters"
    )


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
