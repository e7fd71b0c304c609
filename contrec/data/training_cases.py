"""Which cases an epoch trains on, and how they are put into batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contrec.data.interactions import Cases, Split


def training_cases(split: Split, kind: str, per_user: int, rng: np.random.Generator) -> Cases:
    """At most ``per_user`` training cases of each user for one epoch.

    "prefix" draws from ``split.train_cases``. "set" hides one item of the user's train rows and shows 30-100 % of the
    others in time order: for data whose order says little (LastFM's months).
    """
    if kind == "prefix":
        cases = split.train_cases
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
