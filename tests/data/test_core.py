import numpy as np
import pandas as pd
import pytest

from contrec.data import DataError
from contrec.data.core import build, dense_ids, first_appearance, k_core, one_pass, sort_order, splitmix64


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    n = 4000
    user = (300 * rng.random(n) ** 2).astype(np.int64)
    item = (200 * rng.random(n) ** 2).astype(np.int64)
    return user, item, rng.integers(0, 40, n)  # 40 distinct times: ties everywhere


def pandas_k_core(user, item, k):
    table = pd.DataFrame({"u": user, "i": item})
    while True:
        before = len(table)
        table = table[table.groupby("i")["u"].transform("size") >= k]
        table = table[table.groupby("u")["i"].transform("size") >= k]
        if len(table) == before:
            return table.index.to_numpy()


@pytest.mark.parametrize("k", [2, 5, 12, 500])
def test_k_core_agrees_with_pandas(rows, k):
    np.testing.assert_array_equal(k_core(*rows[:2], k), pandas_k_core(*rows[:2], k))


def test_one_pass_filters_items_first_and_does_not_iterate():
    # user 0 has items 0, 1; user 1 has items 0, 1, 2: item 2 goes first, then nobody falls below 2, and
    # with min_user=3 everybody goes although the items had enough rows
    user, item = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
    assert one_pass(user, item, min_item=2, min_user=2).tolist() == [0, 1, 2, 3]
    assert one_pass(user, item, min_item=2, min_user=3).tolist() == []
    # after dropping user 1 item 0 has one row left, and stays: one pass only
    user, item = np.array([0, 0, 1, 1, 2]), np.array([1, 2, 1, 2, 1])
    assert one_pass(user, item, min_item=2, min_user=2).tolist() == [0, 1, 2, 3]
    assert one_pass(np.array([0, 1, 1]), np.array([0, 0, 1]), min_item=1, min_user=2).tolist() == [1, 2]


def test_splitmix64_is_the_published_generator():
    # origin: first output of SplitMix64 with state 0 in Vigna's reference code
    assert int(splitmix64(np.array([0]))[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("dtype", [np.int64, object, "<U6"])
def test_dense_ids_number_by_increasing_id(dtype):
    values = np.array([70, 10, 70, 40]).astype(dtype)
    codes, ids = dense_ids(values)
    assert codes.tolist() == [2, 0, 2, 1]
    assert [int(i) for i in ids] == [10, 40, 70]


def test_dense_ids_of_a_wide_range_agree_with_a_narrow_one():
    values = np.array([5, -3, 5, 9])
    wide = np.where(values == 9, 10**15, values)
    assert dense_ids(wide)[0].tolist() == dense_ids(values)[0].tolist() == [1, 0, 1, 2]


def test_order_is_by_user_then_time_and_every_row_appears_once(rows):
    user, item, time = rows
    order = sort_order(user, time, item)
    assert sorted(order.tolist()) == list(range(len(user)))
    keys = list(zip(user[order], time[order]))
    assert keys == sorted(keys)


def test_order_does_not_depend_on_the_order_of_the_file(rows):
    user, item, time = rows
    rows = np.unique(np.stack([user, time, item], axis=1), axis=0)  # identical rows are interchangeable
    shuffled = np.random.default_rng(1).permutation(rows)
    sequences = [r[sort_order(r[:, 0], r[:, 1], r[:, 2])] for r in (rows, shuffled)]
    np.testing.assert_array_equal(*sequences)
    other_seed = rows[sort_order(rows[:, 0], rows[:, 1], rows[:, 2], seed=1)]
    assert not np.array_equal(sequences[0], other_seed)
    assert not np.array_equal(sequences[0], rows), "ties are shuffled, not sorted by item"


def test_tie_rule_never_changes():
    # origin: recorded with the first release; another value would change every data set's test targets
    order = sort_order(np.zeros(8, np.int64), np.zeros(8, np.int64), np.arange(8), seed=0)
    assert order.tolist() == [0, 1, 6, 3, 5, 4, 2, 7]


def test_wide_times_and_many_blocks_give_the_same_order():
    rng = np.random.default_rng(2)
    n = 200_000  # several blocks of 65,536 rows
    user, item, time = rng.integers(0, 500, n), rng.integers(0, 10_000, n), rng.integers(0, 3000, n)
    expected = sort_order(user, time, item)
    np.testing.assert_array_equal(sort_order(user, time * 2**45, item), expected)  # too wide to pack
    # each user on its own, so within one block
    alone = [np.flatnonzero(user == u) for u in range(500)]
    alone = np.concatenate([r[sort_order(user[r], time[r], item[r])] for r in alone])
    np.testing.assert_array_equal(expected, alone)


def test_first_appearance():
    new, old = first_appearance(np.array([4, 1, 4, 0]), 6)
    assert new.tolist() == [0, 1, 0, 2]
    assert old.tolist() == [4, 1, 0]


def test_build_agrees_with_pandas(rows):
    user, item, time = rows
    keep = k_core(user, item, 5)
    made = build(user, item, time, np.arange(300), np.arange(200), keep=keep, rating=np.arange(len(user)))
    table = pd.DataFrame({"u": user, "i": item, "t": time, "r": np.arange(len(user))}).iloc[keep]
    assert sorted(made.user_ids.astype(int)) == made.user_ids.astype(int).tolist() == sorted(table.u.unique())
    np.testing.assert_array_equal(made.item, pd.factorize(made.item_ids[made.item])[0])  # by first appearance
    columns = (made.user_ids[made.user], made.item_ids[made.item], made.timestamp, made.rating)
    back = pd.DataFrame(dict(zip("uitr", (c.astype(int) for c in columns))))
    key = ["u", "t", "r"]
    pd.testing.assert_frame_equal(
        back.sort_values(key).reset_index(drop=True), table.sort_values(key).reset_index(drop=True), check_dtype=False
    )
    np.testing.assert_array_equal(made.row, made.rating.astype(int))
    assert (np.diff(made.user) >= 0).all()


def test_nothing_left_is_an_error():
    one = np.zeros(1, np.int64)
    with pytest.raises(DataError, match="no interaction is left"):
        build(one, one, one, ["a"], ["b"], keep=k_core(one, one, 5))


def test_times_too_far_apart_for_one_key_are_sorted_as_well(rows):
    user, item, _ = rows
    time = np.random.default_rng(1).integers(0, 2**56, len(user))  # with users and rows 77 bits; no two are equal
    np.testing.assert_array_equal(sort_order(user, time, item, 3), np.lexsort((time, user)))
