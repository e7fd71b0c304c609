import numpy as np
import pytest
from scipy.sparse import csr_matrix

from contrec.baselines import IALS
from contrec.baselines.ials import least_squares
from contrec.data.interactions import Cases
from contrec.relations import interaction_matrix
from tests.baselines.test_floors import make_split


@pytest.fixture(scope="module")
def taken():
    return csr_matrix((np.random.default_rng(0).random((30, 12)) < 0.3).astype(np.float32))


@pytest.mark.parametrize("alpha", [1.0, 10.0, 40.0])
def test_one_solve_is_the_dense_one_of_hu_koren_and_volinsky(alpha, taken):
    # Eq. (4) of 2008, as the library "implicit" solves it: x_u = (Y'Y + Y'(C - I)Y + lambda I)^-1 Y' C p
    vectors, penalty = np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32), 0.7
    expected = []
    for p in taken.toarray():
        c = np.diag(1 + alpha * p)
        left = vectors.T @ vectors + vectors.T @ (c - np.eye(12)) @ vectors + penalty * np.eye(5)
        expected.append(np.linalg.solve(left, vectors.T @ c @ p))
    found = least_squares(taken, vectors, unobserved=1 / alpha, ridge=penalty / alpha, nu=0.0)
    assert found * (1 + alpha) / alpha == pytest.approx(np.array(expected), abs=1e-5)


def objective(taken, users, items, unobserved, ridge, nu):
    """The loss of the docstring, term by term."""
    x, product = taken.toarray().astype(np.float64), users.astype(np.float64) @ items.T.astype(np.float64)
    n, m = x.shape
    size = ((x.sum(1) + unobserved * m) ** nu) @ (users**2).sum(1) + ((x.sum(0) + unobserved * n) ** nu) @ (
        items**2
    ).sum(1)
    return (x * (product - 1) ** 2).sum() + unobserved * (product**2).sum() + ridge * size


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0])
def test_a_solve_ends_at_the_least_of_the_objective(nu, taken):
    rng, own = np.random.default_rng(2), {"unobserved": 0.2, "ridge": 0.05, "nu": nu}
    items = rng.normal(size=(12, 4)).astype(np.float32)
    users = least_squares(taken, items, **own)
    least = objective(taken, users, items, **own)
    for _ in range(20):
        step = 1e-2 * rng.normal(size=users.shape)
        up, down = (objective(taken, users + sign * step, items, **own) for sign in (1, -1))
        assert min(up, down) > least and up - least == pytest.approx(down - least, rel=1e-2)  # no slope is left


def test_each_iteration_lowers_the_objective():
    rng = np.random.default_rng(3)
    split = make_split([rng.choice(30, rng.integers(3, 9), replace=False) for _ in range(40)], 30)
    taken, values = interaction_matrix(split.train), []
    for iterations in (1, 2, 4, 8):
        model = IALS(dim=6, iterations=iterations).fit(split)
        values.append(
            objective(taken, least_squares(taken, model.items, **model.settings), model.items, **model.settings)
        )
    assert values == sorted(values, reverse=True) and values[0] > 1.01 * values[-1]


def test_groups_that_share_no_item_are_kept_apart_and_a_stranger_finds_theirs():
    rng = np.random.default_rng(4)
    rows = [10 * (u % 3) + rng.choice(10, 6, replace=False) for u in range(90)]
    model = IALS(dim=3).fit(make_split(rows, 30))
    scores = model.score(Cases.from_histories([[0, 1, 2], [10, 11], []]))
    assert set(np.argsort(-scores[0])[:10]) == set(range(10)) and set(np.argsort(-scores[1])[:10]) == set(range(10, 20))
    assert not scores[2].any()


def test_the_seed_alone_decides_the_start():
    split = make_split([[0, 1, 2], [2, 3], [1, 3, 4]] * 4, 5)
    one, again, other = (IALS(dim=2).fit(split, seed=s).items for s in (1, 1, 2))
    assert np.array_equal(one, again) and not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim must be"),
        ({"unobserved": 0.0}, "unobserved must be greater than 0"),
        ({"ridge": -1.0}, "ridge must be greater than 0"),
        ({"nu": 2.0}, "nu must lie in"),
        ({"iterations": 0}, "iterations must be"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        IALS(**settings)


def test_a_ridge_too_small_for_float32_is_told(taken):
    twice = np.ones((12, 3), np.float32)
    with pytest.raises(ValueError, match="ridge 1e-20 is not positive definite in float32; raise ridge"):
        least_squares(taken, twice, unobserved=0.1, ridge=1e-20, nu=1.0)
