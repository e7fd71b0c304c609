import numpy as np
import pytest

from contrec.evaluation import Evaluation, bootstrap, paired_bootstrap, rate_interval, unpaired_bootstrap


def evaluation(hits, user=None, exclude_seen=True):
    user = np.arange(len(hits)) if user is None else np.asarray(user)
    rank = np.where(hits, 1.0, np.inf)
    return Evaluation(rank, np.ones(len(rank), int), user, exclude_seen, None, {"users": len(np.unique(user))})


def test_a_clear_difference_is_found_in_points():
    rng = np.random.default_rng(0)
    easy = rng.random(2000)
    result = paired_bootstrap(evaluation(easy < 0.30), evaluation(easy < 0.20), "HR@10", n_boot=2000)
    low, high = result["low"], result["high"]
    assert result["difference"] == pytest.approx(10, abs=1.5) and 0 < low < result["difference"] < high
    assert result["p"] == pytest.approx(2 / 2001) and result["n_users"] == 2000
    # paired: only the 10 % that differ add spread, so the s.d. is sqrt(.1 * .9 / n), not that of two samples
    assert high - low == pytest.approx(100 * 2 * 1.96 * np.sqrt(0.09 / 2000), rel=0.15)


def test_equal_models_do_not_differ():
    a = evaluation(np.arange(100) % 3 == 0)
    assert paired_bootstrap(a, a, "NDCG@10", n_boot=200)["p"] == 1.0


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    p = [
        paired_bootstrap(evaluation(rng.random(300) < 0.2), evaluation(rng.random(300) < 0.2), "HR@10", n_boot=300)["p"]
        for _ in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.10  # nominal .05, s.d. .015 over 200 trials


def test_swapping_the_models_changes_the_sign_only():
    rng = np.random.default_rng(2)
    a, b = (evaluation(rng.random(500) < p) for p in (0.3, 0.2))
    x, y = paired_bootstrap(a, b, "HR@10", n_boot=500), paired_bootstrap(b, a, "HR@10", n_boot=500)
    assert x["difference"] == -y["difference"] and x["p"] == y["p"]
    assert (x["low"], x["high"]) == pytest.approx((-y["high"], -y["low"]))


def test_cases_in_another_order_are_matched_by_user():
    hits = np.arange(50) % 2 == 0
    order = np.random.default_rng(3).permutation(50)
    result = paired_bootstrap(evaluation(hits), evaluation(hits[order], order), "HR@10", n_boot=100)
    assert result["difference"] == 0 and (result["low"], result["high"]) == (0, 0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (evaluation([True, False], [0, 2]), "same users"),
        (evaluation([True, False, True], [0, 1, 1]), "same users"),
        (evaluation([True, False], exclude_seen=False), "exclude_seen"),
    ],
)
def test_what_cannot_be_compared_is_told(other, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(evaluation([True, False]), other, "HR@10")


def test_groups_of_different_people_are_drawn_apart():
    rng = np.random.default_rng(3)
    a, b = evaluation(rng.random(400) < 0.30), evaluation(rng.random(4000) < 0.20)
    found = unpaired_bootstrap(a, b, "HR@10", n_boot=2000)
    low, high = found["low"], found["high"]
    assert found["difference"] == pytest.approx(100 * (a.metrics()["HR@10"] - b.metrics()["HR@10"]))
    # two samples: the variances add up, sqrt(.3 * .7 / 400 + .2 * .8 / 4000)
    assert high - low == pytest.approx(100 * 2 * 1.96 * np.sqrt(0.21 / 400 + 0.16 / 4000), rel=0.1)
    assert low < found["difference"] < high and found["n_users"] == (400, 4000)
    back = unpaired_bootstrap([b, b], a, "HR@10")  # two equal seeds say no more than one
    assert back["difference"] == pytest.approx(-found["difference"])
    assert (back["low"], back["high"]) == pytest.approx((-high, -low), abs=0.75)  # Monte Carlo, in steps of .25 points


def test_draws_that_are_kept_are_those_that_are_not(monkeypatch):
    values = np.random.default_rng(1).normal(size=(40, 3))
    kept = bootstrap.bootstrap_means(values, 50, seed=4)
    np.testing.assert_array_equal(bootstrap.bootstrap_means(values, 50, seed=4), kept)  # a second time
    monkeypatch.setattr(bootstrap, "KEPT", 0)
    np.testing.assert_array_equal(bootstrap.bootstrap_means(values, 50, seed=4), kept)
    assert not np.array_equal(bootstrap.bootstrap_means(values, 50, seed=5), kept)


def drawn(values, n_boot, seed):
    """Means of users drawn with replacement, written out."""
    rng = np.random.default_rng(seed)
    return np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(n_boot)])


def gains(e):
    """NDCG@10 in points where every user has one case without ties."""
    return 100 * np.where(e.ranks <= 10, 1 / np.log2(1 + e.ranks), 0)


@pytest.fixture
def close():
    """Two models that hardly differ, so that the draws fall on both sides of zero."""
    rng = np.random.default_rng(4)
    users = {"users": 60}
    ranks = rng.integers(1, 13, (2, 60)).astype(float)
    return [Evaluation(rank, np.ones(60, int), np.arange(60), True, None, users) for rank in ranks]


def test_a_comparison_is_the_plain_bootstrap_written_out(close):
    for a, b in (close, close[::-1]):
        found = paired_bootstrap(a, b, "NDCG@10", n_boot=300, seed=7)
        difference = gains(a) - gains(b)
        draws = drawn(difference, 300, 7)
        tail = min((draws < 0).sum(), (draws > 0).sum())
        assert 3 < tail < 147 and (np.abs(draws) < 1).sum() > 3  # else p would say little of how it is made
        assert found["difference"] == pytest.approx(difference.mean())
        assert (found["low"], found["high"]) == pytest.approx(np.percentile(draws, (2.5, 97.5)))
        assert found["p"] == pytest.approx(2 * (tail + 1) / 301)


def test_two_groups_have_streams_of_their_own(close):
    for seed in (0, 3):
        found = unpaired_bootstrap(*close, "NDCG@10", n_boot=300, seed=seed)
        one, other = (drawn(gains(e), 300, s) for e, s in zip(close, (seed, seed + 1)))
        assert (found["low"], found["high"]) == pytest.approx(np.percentile(one - other, (2.5, 97.5)))


def test_unless_told_otherwise_draws_are_as_many_as_said(close):
    assert paired_bootstrap(*close, "NDCG@10") == paired_bootstrap(*close, "NDCG@10", n_boot=10_000, seed=0)
    assert unpaired_bootstrap(*close, "NDCG@10") == unpaired_bootstrap(*close, "NDCG@10", n_boot=10_000, seed=0)
    values = gains(close[0])[:, None]
    means = bootstrap.bootstrap_means(values)
    np.testing.assert_allclose(means[:, 0], drawn(values[:, 0], 1000, 0))
    np.testing.assert_array_equal(means, bootstrap.bootstrap_means(values, 1000, 0))


def test_what_differs_between_two_sets_of_users_is_told_in_numbers():
    with pytest.raises(ValueError, match="got 2 and 4 users"):
        paired_bootstrap(evaluation([True, False]), evaluation([True] * 4), "HR@10")


def test_a_rate_is_the_mean_over_seeds(close):
    found = rate_interval(close, "NDCG@10")
    values = (gains(close[0]) + gains(close[1])) / 200
    assert found["value"] == pytest.approx(values.mean()) and found["n_users"] == 60
    alone = rate_interval(close[:1], "NDCG@10")
    expected = np.percentile(drawn(gains(close[0]) / 100, 1000, 0), [2.5, 97.5])
    assert [alone["low"], alone["high"]] == pytest.approx(expected)
