from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contrec.data import DataError, load, split
from contrec.data.cases import cases_inside, offsets, time_point
from contrec.data.core import build
from contrec.data.facets import make_catalogue


def toy(users, times, items=None):
    users, times = np.asarray(users, np.int64), np.asarray(times, np.int64)
    items = np.arange(len(users)) if items is None else np.asarray(items, np.int64)
    made = build(users, items, times, np.arange(users.max() + 1), np.arange(items.max() + 1), name="toy")
    return made, make_catalogue(made.item_ids)


@st.composite
def tables(draw):
    n = draw(st.integers(20, 80))
    column = lambda high: st.lists(st.integers(0, high), min_size=n, max_size=n)  # noqa: E731
    users, times, items = draw(column(6)), draw(column(12)), draw(column(15))
    return toy(users + [0, 0, 0], times + [1, 2, 3], items + [0, 1, 2])


def split_or_skip(*args):
    """A drawn table may leave nothing to test, which is an error tested elsewhere."""
    try:
        return split(*args)
    except DataError:
        assume(False)


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from(["leave_one_out", "time_point"]))
def test_properties_of_every_split(table, protocol):
    interactions, catalogue = table
    made = split_or_skip(interactions, catalogue, protocol)
    counts, begin = made.counts, offsets(interactions)
    assert counts["train_rows"] + counts["validation_rows"] + counts["test_rows"] == len(interactions)
    assert len(made.test) + counts["empty_histories"] == counts["test_rows"]
    assert len(made.validation) + counts["empty_histories_validation"] == counts["validation_rows"]
    for cases in (made.validation, made.test):
        for case in map(cases.__getitem__, range(len(cases))):
            n = len(case.history)
            rows = slice(begin[case.user], begin[case.user] + n + 1)
            # everything before the target, and nothing else
            assert n >= 1
            assert [*case.history, case.target] == interactions.item[rows].tolist()
            assert case.time == interactions.timestamp[rows][-1]
    ends = {u: 0 for u in range(interactions.n_users)}
    for part in (made.train, made.validation, made.test):  # train, then validation, then test in each sequence
        lengths = offsets(part)[1:] - offsets(part)[:-1] if part is made.train else None
        for user in range(interactions.n_users):
            if lengths is not None:
                ends[user] = int(lengths[user])
            elif (mine := part.select(part.user == user)) and len(mine):
                assert mine.lengths.min() >= ends[user]
                ends[user] = int(mine.lengths.max()) + 1
    if protocol == "time_point" and len(made.test):
        assert made.test.time.min() >= made.train.timestamp.max()
    for i in range(len(made.train_cases)):
        case = made.train_cases[i]
        own = made.train.item[made.train.user == case.user]
        assert len(case.history) >= 2
        assert [*case.history, case.target] == own[: len(case.history) + 1].tolist()


@settings(max_examples=30, deadline=None)
@given(tables(), st.sampled_from(["leave_one_out", "time_point"]), st.randoms(use_true_random=False))
def test_held_out_rows_reach_nothing_that_is_trained(table, protocol, random):
    interactions, catalogue = table
    tagged = replace(interactions, tags=tuple((f"tag{i % 4}",) for i in interactions.item))
    made = split_or_skip(tagged, catalogue, protocol)
    held_out = np.ones(len(interactions), dtype=bool)
    held_out[np.isin(interactions.row, made.train.row)] = False
    item, tags = interactions.item.copy(), list(tagged.tags)
    for row in np.flatnonzero(held_out):  # other items, other tags
        item[row] = random.randrange(interactions.n_items)
        tags[row] = ("leak",) * 3
    altered = split_or_skip(replace(tagged, item=item, tags=tuple(tags)), catalogue, protocol)
    assert repr(altered.catalogue) == repr(made.catalogue)
    assert altered.train.tags == made.train.tags
    for name in ("user", "item", "timestamp"):
        assert getattr(altered.train, name).tobytes() == getattr(made.train, name).tobytes()
    for name in ("items", "start", "stop", "user", "target", "time"):
        assert getattr(altered.train_cases, name).tobytes() == getattr(made.train_cases, name).tobytes()


def test_held_out_tags_are_seen_to_matter():
    """The guard above can fail: with all rows instead of train rows the leaked tag is an answer."""
    from contrec.data.facets import with_facets

    interactions, catalogue = toy([0] * 6 + [1] * 6, list(range(6)) * 2, list(range(6)) * 2)
    held_out = np.isin(np.arange(12), [4, 5, 10, 11])
    tags = tuple(("leak",) if h else ("rock",) for h in held_out)
    tagged = replace(interactions, tags=tags)
    assert "leak" in with_facets(catalogue, tagged, min_items=2).answers
    assert split(tagged, catalogue, min_facet_items=2).catalogue.answers == ("rock",)


def test_leave_one_out_by_hand():
    interactions, catalogue = toy([0, 0, 0, 0, 1, 1, 2, 2, 2], [1, 2, 3, 4, 1, 2, 5, 6, 7])
    made = split(interactions, catalogue)
    assert made.train.item.tolist() == [0, 1, 4, 5, 6]  # user 1 has two rows: both train
    assert [made.test[i].target for i in range(2)] == [3, 8]
    assert [made.test[i].history.tolist() for i in range(2)] == [[0, 1, 2], [6, 7]]
    assert made.validation[0].history.tolist() == [0, 1]
    assert made.counts["users_under_3_rows"] == 1
    assert made.counts["cold_targets"] == 2
    assert made.counts["repeated_targets"] == 0


def test_counts_of_repeats_and_ties():
    interactions, catalogue = toy([0, 0, 0, 1, 1, 1], [1, 2, 3, 1, 2, 2], [0, 1, 0, 2, 3, 4])
    counts = split(interactions, catalogue).counts
    assert counts["repeated_targets"] == 1
    assert counts["tied_targets"] == 0.5


def test_time_point_shares_rows_at_the_cut_in_file_order():
    # ten rows at one time: the first nine of the file are train, then int(9.5) = 9: no validation row, one test row
    interactions, catalogue = toy([1, 0] * 5, [7] * 10)
    train, validation, test = time_point(interactions)
    assert (len(train), len(validation), len(test)) == (9, 0, 1)
    assert interactions.user[test].tolist() == [0]  # the file's last row is user 0's
    assert test[0] == offsets(interactions)[1] - 1  # and the last of this user's sequence, so no history looks ahead


def test_time_point_leaves_out_and_counts_empty_histories():
    interactions, catalogue = toy([0] * 18 + [1, 1], range(20))
    made = split(interactions, catalogue, "time_point")
    assert made.counts["empty_histories_validation"] == 1
    assert len(made.validation) == 0
    assert [made.test[0].user, made.test[0].history.tolist()] == [1, [18]]  # the validation row is history by then


def test_time_point_needs_times():
    interactions, catalogue = load("planted", n_users=20)
    with pytest.raises(DataError, match="needs timestamps.*leave_one_out"):
        split(replace(interactions, has_time=False), catalogue, "time_point")


def test_unknown_words_are_refused():
    interactions, catalogue = load("planted", n_users=20)
    with pytest.raises(ValueError, match="protocol must be one of.*'random'"):
        split(interactions, catalogue, "random")
    with pytest.raises(ValueError, match="train_cases"):
        split(interactions, catalogue, train_cases="all")
    with pytest.raises(DataError, match="at least 3 interactions"):
        split(*toy([0, 0, 1], [1, 2, 3]))


def test_training_prefixes_are_the_last_ten():
    interactions, _ = toy([0] * 15 + [1] * 3 + [2] * 2, range(20))
    cases = cases_inside(interactions)
    assert cases.target.tolist() == [*range(5, 15), 17]
    assert cases.history(0).tolist() == [0, 1, 2, 3, 4]


def test_released_training_cases_by_hand():
    interactions, _ = toy([0] * 24 + [1] * 5 + [2] * 2, range(31))
    cases = cases_inside(interactions, "released")
    # 24 rows: min(24 - 20, 10) = 4 windows of 20 moving back; 5 rows: suffixes of 5, 4 and 3 with one target
    assert cases.target.tolist() == [23, 22, 21, 20, 28, 28, 28]
    assert cases.lengths.tolist() == [19] * 4 + [4, 3, 2]
    assert cases.history(0).tolist() == list(range(4, 23))
    assert cases.history(6).tolist() == [26, 27]
    assert len(cases_inside(toy([0] * 60, range(60))[0], "released", 20)) == 20


def test_every_count_by_hand():
    rows = [  # user, time, item; cuts behind the sixth and the eighth row
        (0, 1, 0), (0, 2, 1), (0, 3, 2), (1, 4, 0), (1, 5, 3), (1, 6, 1),
        (0, 7, 4), (2, 8, 0),
        (1, 9, 5), (0, 10, 0), (3, 11, 6), (3, 11, 7),
    ]  # fmt: skip
    interactions, catalogue = toy(*zip(*rows))
    assert split(interactions, catalogue, "time_point", quantiles=(0.5, 0.67)).counts == {
        "n_users": 4, "n_items": 8, "n_interactions": 12,
        "train_rows": 6, "validation_rows": 2, "test_rows": 4,
        "test_users": 3, "test_users_with_train_rows": 2, "test_rows_of_train_users": 2,
        "users_under_3_rows": 2, "empty_histories": 1, "empty_histories_validation": 1,
        "cold_targets": 2,  # 5 and one of user 3's, whose first row has no history and is no case
        "repeated_targets": 1, "tied_targets": 0.5, "train_end": 6,
    }  # fmt: skip
    untimed = split(replace(interactions, has_time=False), catalogue).counts
    assert untimed["tied_targets"] is None and untimed["train_end"] is None
    assert (untimed["train_rows"], untimed["validation_rows"], untimed["test_rows"]) == (8, 2, 2)
