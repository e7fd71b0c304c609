"""Which cases an epoch trains on, and how they are put into batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contrec.data.cases import cases_inside
from contrec.data.interactions import Cases, Interactions, Split

WINDOWS = {"windows": 10, "windows20": 20}  # how many a user gives at most: ContRec's released code, DeftRec's


def training_cases(split: Split, kind: str, per_user: int, rng: np.random.Generator) -> Cases:
    """At most ``per_user`` training cases of each user for one epoch.

    "prefix" draws from ``split.train_cases``. "set" hides one item of the user's train rows and shows 30-100 % of the
    others in time order: for data whose order says little (LastFM's months). :data:`WINDOWS` draw from the cases that
    the released codes make.
    """
    if kind != "set":
        cases = split.train_cases if kind == "prefix" else cases_inside(split.train, "released", WINDOWS[kind])
        order = rng.permutation(len(cases))
        order = order[np.argsort(cases.user[order], kind="stable")]
        first = np.r_[0, np.flatnonzero(np.diff(cases.user[order])) + 1]
        turn = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)]))
        return cases.select(np.sort(order[turn < per_user]))
    user, histories, targets = [], [], []
    bounds = np.searchsorted(split.train.user, np.arange(split.n_users + 1))
    for u in range(split.n_users):
        items = split.train.item[bounds[u] : bounds[u + 1]]
        for _ in range(per_user if len(items) >= 3 else 0):
            hidden = rng.integers(len(items))
            rest = items[items != items[hidden]]
            keep = np.sort(rng.permutation(len(rest))[: max(1, round(rng.uniform(0.3, 1.0) * len(rest)))])
            if len(rest):
                user.append(u)
                histories.append(rest[keep])
                targets.append(items[hidden])
    return replace(Cases.from_histories(histories, user=user), target=np.array(targets))


def shuffled(cases: Cases, newest: int, seeds: np.ndarray) -> Cases:
    """The cases with at most their ``newest`` items, in an order that each case's seed, (B,), decides (DeftRec)."""
    lengths = np.minimum(cases.lengths, newest)
    stop = np.cumsum(lengths)
    items = cases.items[np.repeat(cases.stop - stop, lengths) + np.arange(stop[-1] if len(stop) else 0)]
    for begin, end, seed in zip(stop - lengths, stop, seeds, strict=True):
        items[begin:end] = np.random.default_rng(seed).permutation(items[begin:end])
    return replace(cases, items=items, start=stop - lengths, stop=stop)


class NotTaken:
    """Draws items that users have no train row of; what they have is sorted once."""

    def __init__(self, train: Interactions):
        self.n_items = train.n_items
        self._taken = np.unique(train.user * train.n_items + train.item)
        self._full = np.bincount(self._taken // train.n_items, minlength=train.n_users) >= train.n_items

    def draw(self, users: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Uniform items, int64, (B, n), for dense user numbers (B,); for one who took everything, any items."""
        drawn = rng.integers(self.n_items, size=(len(users), n))
        while True:
            keys = users[:, None] * self.n_items + drawn
            place = np.searchsorted(self._taken, keys).clip(max=len(self._taken) - 1)
            wrong = (self._taken[place] == keys) & ~self._full[users, None]
            if not wrong.any():
                return drawn
            drawn[wrong] = rng.integers(self.n_items, size=wrong.sum())


def bucketed(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random batches whose rows have similar lengths: sorted inside blocks of 16 batches."""
    order = rng.permutation(len(lengths))
    blocks = np.split(order, range(16 * batch_size, len(order), 16 * batch_size))
    order = np.concatenate([block[np.argsort(lengths[block], kind="stable")] for block in blocks])
    batches = np.split(order, range(batch_size, len(order), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]


def known_sequences(split: Split) -> Cases:
    """One case per user of ``split.train`` with everything known of them (train, validation, test), oldest first."""
    test = split.test if split.seen_users is None else split.seen_users
    sequences = [[] for _ in range(split.n_users)]
    for u, i in zip(split.train.user, split.train.item, strict=True):
        sequences[u].append(int(i))
    for cases in (split.validation, test):
        for row in range(len(cases)):
            case = cases[row]
            if len(case.history) + 1 > len(sequences[case.user]):
                sequences[case.user] = [*case.history.tolist(), case.target]
    return Cases.from_histories(sequences, user=np.arange(split.n_users))
