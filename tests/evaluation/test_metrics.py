import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from contrec.evaluation import hit_rate, metric_values, ndcg, target_ranks


def brute_force(row, target, seen, top_k):
    """Mean HR and NDCG over every place that a tied target can take, by sorting."""
    candidates = [j for j in range(len(row)) if j not in seen]
    if target in seen:
        return 0.0, 0.0
    better = sum(row[j] > row[target] for j in candidates)
    tied = sum(row[j] == row[target] for j in candidates)
    places = range(better + 1, better + tied + 1)
    hits = [p <= top_k for p in places]
    gains = [1 / math.log2(1 + p) if p <= top_k else 0 for p in places]
    return np.mean(hits), np.mean(gains)


@pytest.fixture
def tied():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, (60, 50)).astype(np.float32)  # twelve values for fifty items: ties everywhere
    seen = [set(rng.choice(50, rng.integers(0, 15), replace=False).tolist()) for _ in range(60)]
    return scores, rng.integers(0, 50, 60), seen


def sparse(seen, n_items):
    row = np.repeat(np.arange(len(seen)), [len(s) for s in seen])
    column = np.array([j for s in seen for j in sorted(s)], np.int64)
    return csr_matrix((np.ones(len(row)), (row, column)), shape=(len(seen), n_items))


def test_hand_calculated_ranks():
    # origin: by hand. Row 0: 0.9 and 0.7 beat 0.5 (place 3). Row 1: three share the top, places 1..3, mean 2.
    scores = np.array([[0.9, 0.5, 0.7, 0.1], [2.0, 2.0, 1.0, 2.0]])
    rank, ties = target_ranks(scores, [1, 3])
    assert rank.tolist() == [3.0, 2.0] and ties.tolist() == [1, 3]
    assert hit_rate(rank, ties, 2) == pytest.approx([0, 2 / 3])
    assert ndcg(rank, ties, 2) == pytest.approx([0, (1 + 1 / math.log2(3)) / 3])
    assert ndcg(rank, ties, 10) == pytest.approx([0.5, (1 + 1 / math.log2(3) + 0.5) / 3])


def test_seen_items_are_no_candidates_and_seen_targets_are_misses():
    scores = np.array([[0.9, 0.5, 0.5, 0.1]] * 3)
    seen = sparse([{0, 2}, {1}, {3}], 4)  # row 0: both that beat or tie are gone; row 1: the target itself is gone
    rank, ties = target_ranks(scores, [1, 1, 1], seen)
    assert rank.tolist() == [1.0, math.inf, 2.5] and ties.tolist() == [1, 1, 2]
    assert hit_rate(rank, ties, 4).tolist() == [1, 0, 1]


def test_ties_equal_the_mean_over_all_orders(tied):
    scores, target, seen = tied
    rank, ties = target_ranks(scores, target, sparse(seen, 50))
    assert (ties > 1).any() and np.isinf(rank).any()
    for top_k in (1, 3, 10, 49):
        expected = [brute_force(s, t, z, top_k) for s, t, z in zip(scores, target, seen)]
        got = np.stack([hit_rate(rank, ties, top_k), ndcg(rank, ties, top_k)], 1)
        assert got == pytest.approx(np.array(expected), abs=1e-12)


def test_perfect_and_disjoint_lists():
    scores = np.random.default_rng(1).normal(size=(30, 40))
    best, worst = scores.argmax(1), scores.argmin(1)
    for name in ("HR@10", "NDCG@10", "HR@20", "NDCG@20"):
        assert (metric_values(name, *target_ranks(scores, best)) == 1).all()
        assert (metric_values(name, *target_ranks(scores, worst)) == 0).all()


def test_longer_lists_hold_more_and_ndcg_stays_below_the_hit_rate(tied):
    rank, ties = target_ranks(tied[0], tied[1])
    values = {n: metric_values(n, rank, ties) for n in ("HR@10", "HR@20", "NDCG@10", "NDCG@20")}
    assert (values["HR@10"] <= values["HR@20"]).all() and (values["NDCG@10"] <= values["NDCG@20"]).all()
    assert values["HR@10"].sum() < values["HR@20"].sum()  # strictly somewhere, else the check is empty
    assert (values["NDCG@10"] <= values["HR@10"]).all()


def test_permuted_item_ids_change_nothing(tied):
    scores, target, seen = tied
    order = np.random.default_rng(2).permutation(50)  # new id -> old id
    new = np.argsort(order)
    before = target_ranks(scores, target, sparse(seen, 50))
    after = target_ranks(scores[:, order], new[target], sparse([{int(new[j]) for j in s} for s in seen], 50))
    assert all(np.array_equal(x, y) for x, y in zip(before, after))


def test_minus_infinity_means_not_ranked():
    rank, ties = target_ranks(np.array([[1.0, -np.inf, -np.inf], [1.0, 0.0, -np.inf]]), [1, 1], sparse([{2}, {2}], 3))
    assert rank.tolist() == [math.inf, 2.0] and ties.tolist() == [1, 1]


def test_scores_stay_as_they_were(tied):
    scores = tied[0].copy()
    scores.setflags(write=False)
    target_ranks(scores, tied[1], sparse(tied[2], 50))


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        ([[1.0, np.nan]], [0], "NaN"),
        ([[1.0, 2.0]], [2], r"targets must lie in \[0, 1\], got 2..2"),
        ([[1.0, 2.0]] * 2, [0, -1], r"targets must lie in \[0, 1\], got -1..0"),
        ([[[1.0, 2.0]]], [0], r"scores must have shape .* got \(1, 1, 2\)"),
        ([[1.0, 2.0]], [0, 1], "scores must have shape"),
    ],
)
def test_bad_input_is_told(scores, target, message):
    with pytest.raises(ValueError, match=message):
        target_ranks(np.array(scores), target)


@pytest.mark.parametrize("name", ["HR", "MRR@10", "HR@0", "ndcg@10"])
def test_unknown_metric_is_told(name):
    with pytest.raises(ValueError, match="metric must be"):
        metric_values(name, [1.0], [1])


def test_one_comparison_gives_the_rank_of_a_full_sort():
    rng = np.random.default_rng(3)
    scores, target = rng.normal(size=(256, 4000)).astype(np.float32), rng.integers(0, 4000, 256)
    by_sorting = [np.flatnonzero(np.argsort(-row) == t)[0] + 1 for row, t in zip(scores, target)]
    assert np.array_equal(target_ranks(scores, target)[0], by_sorting)


def test_no_targets_have_no_ranks():
    rank, ties = target_ranks(np.empty((0, 5)), [])
    assert rank.shape == ties.shape == (0,) and rank.dtype == np.float64 and ties.dtype == np.int64
