import numpy as np
import pytest

from contrec.data import DataError, load, split
from contrec.data.planted import planted, truth


def hit_rate(scores, cases, k=10):
    scores = np.array(scores, dtype=float)
    for i in range(len(cases)):
        scores[i, cases.history(i)] = -np.inf
    target = scores[np.arange(len(cases)), cases.target][:, None]
    rank = (scores > target).sum(1) + ((scores == target).sum(1) - 1) / 2
    return (rank < k).mean()


@pytest.fixture(scope="module", params=[0, 1])
def world(request):
    interactions, catalogue = load("planted", seed=request.param)
    return split(interactions, catalogue), truth(seed=request.param)


def test_popularity_is_beaten_by_ease_and_ease_by_the_oracle(world):
    made, true = world
    seen = np.zeros((made.n_users, made.n_items))
    seen[made.train.user, made.train.item] = 1
    gram = seen.T @ seen
    inverse = np.linalg.inv(gram + 20 * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    history = made.test.history_matrix(made.n_items).toarray()
    popularity = hit_rate(np.tile(np.diag(gram), (len(history), 1)), made.test)
    ease = hit_rate(history @ weights, made.test)
    oracle = hit_rate(true.oracle_scores(made.test), made.test)
    # origin: seeds 0..2 gave popularity .09-.13, EASE .24-.31, oracle .64-.70 (400 cases: standard error about .02)
    assert popularity + 0.08 < ease < oracle - 0.2
    assert popularity < 0.2 and oracle > 0.55


def test_oracle_is_a_calibrated_distribution(world):
    made, true = world
    scores = true.oracle_scores(made.test)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1)
    for i in range(len(made.test)):
        assert np.isneginf(scores[i, made.test.history(i)]).all()
    # the mean log-probability of the targets must be the mean negative entropy, up to sampling noise
    every = true.oracle_scores(made.train_cases)
    own = every[np.arange(len(every)), made.train_cases.target]
    p = np.exp(every)
    entropy = -np.sum(p * np.where(p > 0, every, 0), axis=1)
    noise = np.std(own + entropy) / np.sqrt(len(own))
    assert abs(np.mean(own + entropy)) < 4 * noise


def test_oracle_refuses_other_data(world):
    with pytest.raises(ValueError, match="same seed"):
        world[1].oracle_scores(split(*load("planted", seed=7)).test)


def test_items_follow_the_stated_mixture():
    _, catalogue, true = planted(n_users=1, n_items=4000)
    for c in range(len(true.weights)):
        own = true.items[true.component == c]
        assert len(own) / 4000 == pytest.approx(true.weights[c], abs=0.03)
        np.testing.assert_allclose(own.mean(0), true.means[c], atol=5 * np.sqrt(true.variance / len(own)))
        assert own.var(0).mean() == pytest.approx(true.variance, rel=0.15)
        assert len({catalogue.categories[i] for i in np.flatnonzero(true.component == c)}) == 1


def test_shape_of_the_data():
    interactions, catalogue, _ = planted(n_users=50)
    lengths = np.bincount(interactions.user)
    assert lengths.min() >= 8 and lengths.max() <= 30
    same_user = np.diff(interactions.user) == 0
    assert (np.diff(interactions.timestamp)[same_user] > 0).all()  # no ties
    pairs = np.stack([interactions.user, interactions.item])
    assert np.unique(pairs, axis=1).shape[1] == len(interactions)  # no repeats
    assert len(set(catalogue.titles)) == len(catalogue) == 300
    made = split(*load("planted"), "time_point")
    assert 0 < made.counts["test_users_with_train_rows"] < made.counts["test_users"]  # some users are new


def test_the_seed_decides_everything_and_users_are_independent_of_their_number():
    a, b, c = planted(60, seed=3), planted(60, seed=3), planted(60, seed=4)
    assert a[0].item.tobytes() == b[0].item.tobytes() and a[1].titles == b[1].titles
    assert a[0].item.tobytes() != c[0].item.tobytes()
    few = planted(20, seed=3)[0]
    np.testing.assert_array_equal(few.item, a[0].item[: len(few)])


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="n_users"):
        planted(n_users=0)
    with pytest.raises(DataError, match="n_items must be at least 64"):
        planted(n_items=10)


def test_golden_values_and_defaults():
    # origin: this generator as of its first recorded run; what was trained on it can be told only while it stays
    made, catalogue, true = planted(5, 64, seed=3)
    assert made.item[:12].tolist() == [56, 5, 44, 36, 1, 31, 50, 32, 27, 22, 2, 7]
    times = [7298128, 7322787, 7360362, 7363675, 7376048, 7475357]
    assert (made.timestamp[:6] - 1_600_000_000).tolist() == times
    assert catalogue.titles[:2] == ("Hollow lantern blankets", "Hollow copper vases")
    assert catalogue.brands[:4] == ("Branik", "Oskmora", "Ketmora", "Taretta")
    assert true.user.tolist() == made.user.tolist() and true.time.tolist() == made.timestamp.tolist()
    default, same = planted()[0], planted(400, 300, seed=0)[0]
    assert default.name == "planted (400 users, 300 items, seed 0)" and default.item.tobytes() == same.item.tobytes()
    assert truth().item.tobytes() == same.item.tobytes()
