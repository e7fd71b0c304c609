"""Cases of an epoch: drawn from train rows, the target hidden, every one in exactly one batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from contrec.data.interactions import Cases
from contrec.data.training_cases import NotTaken, bucketed, known_sequences, shuffled, training_cases


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
    own = seen_by(planted_split)
    places = {len(own[user]) - len(history) for user, history, _ in one}
    assert places == {1, 2, 3}  # not always the last prefixes


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


def test_released_windows_end_with_the_same_item(planted_split):
    drawn = training_cases(planted_split, "windows", 10, rng())
    short = [u for u in range(planted_split.n_users) if 3 <= (planted_split.train.user == u).sum() <= 20]
    targets = {u: set(drawn.target[drawn.user == u].tolist()) for u in short}
    assert short and all(len(found) == 1 for found in targets.values())


def test_deftrecs_released_code_moves_its_window_further_back(planted_split):
    """Origin: RELEASED.md, row 3: min(n - 20, 10) windows in ContRec's code, min(n - 20, 20) in DeftRec's."""
    train = replace(planted_split.train, user=np.zeros(45, np.int64), item=np.arange(45), timestamp=np.arange(45))
    long = replace(planted_split, train=train)
    targets = {kind: sorted(training_cases(long, kind, 99, rng()).target.tolist()) for kind in ("windows", "windows20")}
    assert targets == {"windows": list(range(35, 45)), "windows20": list(range(25, 45))}


def test_shuffled_keeps_the_newest_items_and_depends_on_the_seed_alone():
    cases = Cases.from_histories([list(range(9)), [3, 4], [], [7]])
    seeds = np.array([5, 6, 7, 8])
    made = shuffled(cases, 4, seeds)
    assert [sorted(made.history(i).tolist()) for i in range(4)] == [[5, 6, 7, 8], [3, 4], [], [7]]
    assert made.history(0).tolist() != [5, 6, 7, 8] or shuffled(cases, 4, seeds + 1).history(0).tolist() != [5, 6, 7, 8]
    part = shuffled(cases.select(np.array([0])), 4, seeds[:1])
    assert part.history(0).tolist() == made.history(0).tolist()
    assert cases.history(0).tolist() == list(range(9))  # the original is left alone


def test_negatives_were_never_taken(planted_split):
    train = planted_split.train
    users = np.repeat(np.arange(planted_split.n_users), 3)
    drawn = NotTaken(train).draw(users, 10, rng())
    assert drawn.shape == (len(users), 10) and 0 <= drawn.min() and drawn.max() < planted_split.n_items
    taken = set(zip(train.user.tolist(), train.item.tolist()))
    assert not taken & set(zip(np.repeat(users, 10).tolist(), drawn.ravel().tolist()))
    assert len(np.unique(drawn)) > 0.9 * planted_split.n_items
    greedy = replace(train, user=np.zeros(train.n_items, int), item=np.arange(train.n_items),
                     timestamp=np.zeros(train.n_items, int), rating=None)  # fmt: skip
    assert NotTaken(greedy).draw(np.array([0]), 5, rng()).shape == (1, 5)  # took everything: any items
