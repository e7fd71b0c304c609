"""Intervals over users and trainings: on simulated samples whose truth is known they hold it as often as they say."""

import numpy as np
import pytest
from scipy import stats

from contrec.evaluation import Evaluation, bootstrap_means, paired_bootstrap, rate_interval, side, unpaired_bootstrap

USERS, SAMPLES = 80, 400


def evaluation(values) -> Evaluation:
    """Of users whose metric "x" is ``values``."""
    values, n = np.asarray(values, float), len(values)
    own = {"x": lambda ranks, ties: ranks}
    return Evaluation(values, np.ones(n, int), np.arange(n), True, None, {"users": n}, own)


def evaluations(rows) -> list[Evaluation]:
    return [evaluation(row) for row in rows]


def sample(rng, trainings, of_trainings, of_users, together=1.0):
    """Values (trainings, users) about 0; the variance of their mean is, in units of 1 / users, ``of_users`` and
    (``of_trainings`` + ``together``) / trainings."""
    noise = rng.normal(size=(trainings, 1)) * (of_trainings / USERS) ** 0.5
    users = rng.normal(size=USERS) * of_users**0.5
    return noise + users + rng.normal(size=(trainings, USERS)) * together**0.5


def holds(found) -> bool:
    return found["low"] <= 0 <= found["high"]


@pytest.mark.parametrize("trainings", [3, 10])
@pytest.mark.parametrize("components", [(0, 0.2), (0, 10), (1, 1), (3, 0.3), (3, 3), (10, 0.1), (10, 3), (30, 30)])
def test_the_truth_is_in_95_of_100_intervals(trainings, components):
    """Nominal .95, s.d. .011 over 400 samples. Measured over 20,000 samples of normal means: .927 to .980 with 3
    trainings, .947 to .976 with 10; here .930 to .973 and .932 to .958."""
    rng = np.random.default_rng(trainings)
    held = [holds(rate_interval(evaluations(sample(rng, trainings, *components)), "x", 400)) for _ in range(SAMPLES)]
    assert 0.90 <= np.mean(held) <= 0.99


def test_users_alone_would_miss_it():
    """What the t term is for: trainings that differ more than users, of whom three are far from enough (.59 here)."""
    rng = np.random.default_rng(0)
    held = [holds(rate_interval([evaluation(sample(rng, 3, 10, 1).mean(0))], "x", 400)) for _ in range(SAMPLES)]
    assert np.mean(held) < 0.75


@pytest.mark.parametrize("n", [(3, 3), (3, 1), (10, 3)])
def test_a_difference_holds_its_truth_too(n):
    """Two models on the same users, each with trainings of its own; the one that does not vary has none."""
    rng = np.random.default_rng(7)

    def one():
        users = rng.normal(size=USERS)
        return [evaluations(users + sample(rng, k, 5 * (k > 1), 1)) for k in n]

    held = [holds(paired_bootstrap(*one(), "x", 400)) for _ in range(SAMPLES)]
    assert 0.90 <= np.mean(held) <= 0.99  # measured .938, .948, .950


def test_one_training_or_equal_ones_give_the_bootstrap_over_users():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, USERS))
    for copies in (1, 3):
        x, y = evaluations([a] * copies), evaluations([b] * copies)
        found = rate_interval(x, "x", 400)
        expected = np.percentile(bootstrap_means(a[:, None], 400, 0), [2.5, 97.5])
        assert [found["low"], found["high"]] == pytest.approx(expected)
        found = paired_bootstrap(x, y, "x", 400)
        expected = np.percentile(bootstrap_means(100 * (a - b)[:, None], 400, 0), [2.5, 97.5])
        assert [found["low"], found["high"]] == pytest.approx(expected)
    noisy = evaluations(a + rng.normal(size=(3, USERS)) + rng.normal(size=(3, 1)))
    alone = rate_interval([evaluation(np.mean([e.ranks for e in noisy], 0))], "x")
    found = rate_interval(noisy, "x")
    assert found["value"] == pytest.approx(alone["value"])
    assert found["low"] < alone["low"] < alone["high"] < found["high"]


def test_what_users_and_trainings_hold_together_counts_once():
    """Ten trainings that serve other users each, and nothing else: 1.16 times the width of known variances, by t with 9
    degrees of freedom and by the floor; counted twice it would be 1.45 times."""
    rng = np.random.default_rng(8)
    found = [rate_interval(evaluations(sample(rng, 10, 0, 0)), "x", 400) for _ in range(100)]
    width = np.mean([f["high"] - f["low"] for f in found])
    assert width / (2 * 1.96 * (10 * USERS) ** -0.5) == pytest.approx(1.16, abs=0.1)


@pytest.mark.parametrize("more", [0, 1])
def test_trainings_that_agree_by_chance_make_nothing_surer(more):
    """Three trainings with 20, 20 and 20 or 21 hits, each of other users."""
    rows = np.zeros((3, USERS))
    rows[0, :20] = rows[1, 20:40] = rows[2, 40 : 60 + more] = 1
    alone = rate_interval([evaluation(rows.mean(0))], "x")
    found = rate_interval(evaluations(rows), "x")
    assert found["low"] <= alone["low"] + 1e-9 and alone["high"] - 1e-9 <= found["high"]


def test_trainings_that_move_all_users_alike_are_a_t_test():
    """Of differences of -.52, -.15 and .37 points, a mean of -.10: 4.303 standard errors on either side, 2 degrees."""
    moved = np.array([-0.52, -0.15, 0.37]) / 100
    base = np.random.default_rng(2).normal(size=USERS)
    found = paired_bootstrap(evaluations(base + moved[:, None]), evaluations([base] * 3), "x")
    interval = stats.ttest_1samp(100 * moved, 0).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx(interval, abs=0.01)  # 10,000 places of a t: .002
    assert found["high"] - found["low"] == pytest.approx(2 * 1.11, abs=0.02)
    assert found["p"] == pytest.approx(stats.ttest_1samp(100 * moved, 0).pvalue, abs=2e-3)


def test_models_with_equally_many_trainings_are_held_against_each_other_in_their_order():
    """What a seed does to both models is no noise of their difference."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(3, 1)) + np.zeros(USERS)
    a, b = noise + rng.normal(size=USERS), noise + rng.normal(size=USERS)
    width = lambda x, y: np.ptp([paired_bootstrap(evaluations(x), evaluations(y), "x")[k] for k in ("low", "high")])  # noqa: E731
    assert width(a, b) == pytest.approx(width(a[:1], b[:1]))  # users alone
    assert width(a, b[[1, 2, 0]]) > 3 * width(a, b) and width(a, b[:1]) > 3 * width(a, b)


def test_groups_of_different_people_share_their_trainings():
    rng = np.random.default_rng(4)
    noise, a, b = rng.normal(size=(3, 1)), rng.normal(size=USERS), rng.normal(size=2 * USERS)
    width = lambda x, y: np.ptp([unpaired_bootstrap(evaluations(x), evaluations(y), "x")[k] for k in ("low", "high")])  # noqa: E731
    assert width(noise + a, noise + b) == pytest.approx(width([a], [b]))
    assert width(noise + a, [b]) > 3 * width([a], [b]) < width(noise + a, noise[[1, 2, 0]] + b) / 3


def test_swapping_models_of_several_trainings_changes_the_sign_only():
    rng = np.random.default_rng(5)
    a, b = (evaluations(sample(rng, n, 3, 1)) for n in (3, 5))
    x, y = paired_bootstrap(a, b, "x"), paired_bootstrap(b, a, "x")
    assert (x["difference"], x["low"], x["high"]) == pytest.approx((-y["difference"], -y["high"], -y["low"]))
    assert x["p"] == y["p"] and x["detectable"] == pytest.approx(y["detectable"])


def test_a_rate_stays_a_rate():
    """Hits of 0, 1 and 5 of 80 users in three trainings: a t interval alone would end below 0."""
    rows = [np.where(np.arange(USERS) < n, 1.0, 99.0) for n in (0, 1, 5)]
    plain = [Evaluation(r, np.ones(USERS, int), np.arange(USERS), True, None, {}) for r in rows]
    found = rate_interval(plain, "HR@10")
    assert found["low"] == 0 < found["value"] < found["high"] < 1
    points = [2.0 * (r == 1) for r in rows]
    assert rate_interval(evaluations(points), "x")["low"] < 0  # of another metric nothing is known


def test_the_detectable_difference_is_found_four_times_in_five():
    """2.8 standard errors, and as often as that the interval leaves 0 out; s.d. .02 over 400 samples."""
    rng = np.random.default_rng(6)
    base = rng.normal(size=USERS)
    one = lambda shift: [evaluation(base + rng.normal(size=USERS) + shift), evaluation(base)]  # noqa: E731
    detectable = np.mean([paired_bootstrap(*one(0), "x", 400)["detectable"] for _ in range(50)])
    assert detectable == pytest.approx(100 * 2.80 * USERS**-0.5, rel=0.03)
    found = [paired_bootstrap(*one(detectable / 100), "x", 400) for _ in range(SAMPLES)]
    assert np.mean([side(f["low"], f["high"]) == 1 for f in found]) == pytest.approx(0.80, abs=0.06)
    same = evaluation(base)
    assert np.isnan(paired_bootstrap(same, same, "x")["detectable"])


def test_the_rule_of_all_verdicts():
    assert [side(*ends) for ends in ((0.1, 2), (-2, -0.1), (-1, 1), (0, 1), (-1, 0), (np.nan, np.nan))] == [
        1, -1, 0, 0, 0, 0,
    ]  # fmt: skip
