"""Cases of an epoch: drawn from train rows, the target hidden, every one in exactly one batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from contrec.data.training_cases import bucketed, known_sequences, training_cases


def rng(seed=0):
    return np.random.default_rng(seed)


def seen_by(split):
    """Train items of each user, oldest first."""
    return [split.train.item[split.train.user == u].tolist() for u in range(split.n_users)]


def as_tuples(cases):
    return [(c.user, tuple(c.history.tolist()), c.target) for c in (cases[i] for i in range(len(cases)))]


@pytest.mark.parametrize("per_user", [1, 3, 99])
def test_prefixes_come_from_the_split_a_few_per_user(planted_split, per_user):
    known = as_tuples(planted_split.train_cases)
    drawn = as_tuples(training_cases(planted_split, "prefix", per_user, rng()))
    assert set(drawn) <= set(known) and len(set(drawn)) == len(drawn)
    there = Counter(user for user, *_ in known)
    assert Counter(user for user, *_ in drawn) == {user: min(n, per_user) for user, n in there.items()}


def test_prefixes_are_drawn_anew_and_repeatably(planted_split):
    one, same, other = (as_tuples(training_cases(planted_split, "prefix", 2, rng(s))) for s in (0, 0, 1))
    assert one == same != other
    places = [len(history) for _, history, _ in one]
    assert len(set(places)) > 5  # not always the last prefix


def test_sets_hide_one_train_item_and_show_a_part_in_time_order(planted_split):
    own = seen_by(planted_split)
    cases = as_tuples(training_cases(planted_split, "set", 3, rng()))
    assert Counter(user for user, *_ in cases) == {u: 3 for u in range(planted_split.n_users)}
    shares = []
    for user, history, target in cases:
        assert target in own[user] and target not in history
        place = [own[user].index(item) for item in history]
        assert place == sorted(place)
        shares.append(len(history) / (len(own[user]) - 1))
    assert min(shares) > 0.2 and max(shares) == 1 and 0.55 < np.mean(shares) < 0.75  # uniform in .3-1: mean .65


def test_batches_hold_each_row_once_and_similar_lengths():
    lengths = rng(1).integers(1, 100, size=203)
    batches = bucketed(lengths, 8, rng())
    assert sorted(np.concatenate(batches).tolist()) == list(range(203))
    assert Counter(map(len, batches)) == {8: 25, 3: 1}
    assert np.mean([np.ptp(lengths[b]) for b in batches]) < 20  # random batches of 8 span about 78
    assert not np.array_equal(batches[0], bucketed(lengths, 8, rng(5))[0])


def test_known_sequences_are_everything_in_order(planted_split):
    known = known_sequences(planted_split)
    for user, train in enumerate(seen_by(planted_split)):
        test = planted_split.test[int(np.flatnonzero(planted_split.test.user == user)[0])]
        assert known.history(user).tolist() == [*test.history.tolist(), test.target]
        assert known.history(user).tolist()[: len(train)] == train
