"""Users that training never meets: the least experienced ones are taken out before anything is split."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from contrec.checks import DataError, in_range

from .cases import offsets, take
from .core import splitmix64
from .interactions import Interactions, Split

SHARE = 0.05  # of the users held out altogether by "unseen_users": both papers
TIE_RULE = "rows of the user, splitmix64(splitmix64(seed) ^ user index)"


def least_history(interactions: Interactions, share: float = SHARE, seed: int = 0) -> np.ndarray:
    """The users with the least history, among those whom leave-one-out tests (3 rows or more).

    Args:
        interactions: all rows.
        share: of the tested users, 0 < share < 1; both papers say 5 % (Appendix C.2, ContRec; Sect. 3.3.1, DeftRec) and
            not which of the users of equal length.
        seed: of the rule for ties, :data:`TIE_RULE`: integer arithmetic, the same on every machine.

    Returns:
        ceil(share x tested users) user indices, increasing, int64.

    Raises:
        ValueError: if the share is out of range, or would leave nobody to train on.
        DataError: if fewer than 2 users can be tested, which leaves nobody whatever the share is.
    """
    in_range("share", share, 0, 1)
    rows = np.diff(offsets(interactions))
    tested = np.flatnonzero(rows >= 3)
    if len(tested) < 2:
        raise DataError(
            f"{interactions.name}: {len(tested)} of {len(rows)} users have 3 interactions or more, and unseen_users "
            "needs 2 of them, one to hold out and one to train on: add data, lower the filters, or use leave_one_out"
        )
    count = math.ceil(round(share * len(tested), 9))  # .07 x 100 is 7.000000000000001 in binary
    if not 0 < count < len(tested):
        raise ValueError(
            f"share must leave users on both sides, got {share}: {count} of {len(tested)} users with at least 3 rows"
        )
    order = np.lexsort((splitmix64(splitmix64(np.array([seed])) ^ tested.astype(np.uint64)), rows[tested]))
    return np.sort(tested[order[:count]])


def without_users(interactions: Interactions, users: np.ndarray) -> Interactions:
    """The interactions of all other users, numbered anew in their order, as if ``users`` had never existed.

    Items keep their numbers: which things a shop offers is no secret of its customers.
    """
    others = np.setdiff1d(np.arange(interactions.n_users), users)
    kept = take(interactions, np.flatnonzero(~np.isin(interactions.user, users)))
    return replace(kept, user=np.searchsorted(others, kept.user), user_ids=interactions.user_ids[others])


def numbers_in(full: Split, part: Split) -> np.ndarray:
    """Where the unseen users of ``part`` stand among the users of ``full``, the whole data's split: int64, increasing.

    Raises:
        ValueError: if ``full`` does not ask the same of them: both must come from the same data, by leave-one-out.
    """
    users = np.flatnonzero(~np.isin(full.train.user_ids, part.train.user_ids))
    same = full.test.select(np.isin(full.test.user, users))
    equal = np.array_equal(same.target, part.test.target) and np.array_equal(same.lengths, part.test.lengths)
    if not equal or any(not np.array_equal(same.history(i), part.test.history(i)) for i in range(len(same))):
        raise ValueError("the two splits ask different things of the unseen users; make both from the same data")
    return users
