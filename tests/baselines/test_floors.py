from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from contrec.baselines import EASE, ItemKNN, Popularity, RepeatHistory, Transitions, make
from contrec.data.cases import cases_inside
from contrec.data.interactions import Cases, Catalogue, Interactions, Split
from contrec.evaluation import evaluate
from contrec.relations import ease_weights, interaction_matrix, keep_largest, recent_matrix

FLOORS = (
    "popularity", "itemknn", "itemknn/recency", "itemknn/text", "transitions", "transitions/text", "ease",
    "ials", "repeat_history",
)  # fmt: skip


def make_split(sequences, n_items, hold=0):
    """A split whose train rows are ``sequences`` without their last ``hold`` items."""
    train = [s[: len(s) - hold] for s in sequences]
    user = np.repeat(np.arange(len(train)), [len(s) for s in train])
    item = np.array([j for s in train for j in s], np.int64)
    names = [np.arange(n).astype(str) for n in (len(train), n_items)]
    interactions = Interactions(user, item, np.arange(len(item)), *names)
    length = np.array([len(s) for s in sequences])
    items, stop = np.concatenate(sequences).astype(np.int64), np.cumsum(length)
    held_out = [Cases(items, stop - length, stop - k, np.arange(len(train)), items[stop - k], stop - k) for k in (2, 1)]
    catalogue = Catalogue(names[1], tuple(names[1]), ("",) * n_items, ((),) * n_items)
    return Split(interactions, cases_inside(interactions), *held_out, catalogue, "leave_one_out", {})


@pytest.fixture
def random_split():
    rng = np.random.default_rng(0)
    sequences = [rng.choice(30, rng.integers(5, 15), replace=False) for _ in range(80)]
    return make_split(sequences, 30, hold=2)


TOY = [[0, 1], [1, 0, 2], [0, 3], [1, 2]]


def toy_cases():
    return Cases.from_histories([[0], [1, 0], [3]])


def test_popularity_counts_rows():
    split = make_split([[0, 1, 1], [1, 2]], 4)
    assert Popularity().fit(split).score(toy_cases()).tolist() == [[1, 3, 1, 0]] * 3


def test_popularity_of_a_window_counts_its_newest_rows():
    split = make_split([[0, 0, 1], [2, 1, 3]], 4)  # times 0 .. 5 in this order
    counts = lambda split, share: Popularity(share).fit(split).counts.tolist()  # noqa: E731
    assert counts(split, 0.5) == [0, 1, 1, 1] and counts(split, 1 / 6) == [0, 0, 0, 1]
    # without times a row is the newer the fewer rows its user has after it: rows 1 and 3 are both of age 0
    unknown = replace(split, train=replace(split.train, has_time=False))
    assert counts(unknown, 0.3) == [0, 1, 0, 1]
    assert counts(unknown, 1.0) == counts(split, 1.0) == [2, 2, 1, 1]


def test_itemknn_by_hand():
    # origin: by hand. Users of item 0: 0, 1, 2; of 1: 0, 1, 3; of 2: 1, 3; of 3: 2
    # together: 0 and 1 twice, 0 and 2 once, 0 and 3 once, 1 and 2 twice
    model = ItemKNN(shrink=1.0).fit(make_split(TOY, 4))
    s01, s02, s03, s12 = 2 / (3 + 1), 1 / (6**0.5 + 1), 1 / (3**0.5 + 1), 2 / (6**0.5 + 1)
    assert model.similarity.toarray()[0] == pytest.approx([0, s01, s02, s03])
    assert model.score(toy_cases())[1] == pytest.approx([s01, s01, s02 + s12, s03])


def test_itemknn_recency_by_hand():
    model = ItemKNN(shrink=1.0, decay=0.5).fit(make_split(TOY, 4))
    s01, s02, s03, s12 = 2 / (3 + 1), 1 / (6**0.5 + 1), 1 / (3**0.5 + 1), 2 / (6**0.5 + 1)
    # history 1, 0: the newest item 0 weighs 1, item 1 weighs 0.5
    assert model.score(toy_cases())[1] == pytest.approx([0.5 * s01, s01, s02 + 0.5 * s12, s03])


def test_without_shrinkage_similarity_is_the_cosine(random_split):
    train = random_split.train
    x = np.zeros((80, 30))
    x[train.user, train.item] = 1
    norm = np.linalg.norm(x, axis=0)
    cosine = (x.T @ x) / np.outer(norm, norm)
    np.fill_diagonal(cosine, 0)
    assert ItemKNN(shrink=0).fit(random_split).similarity.toarray() == pytest.approx(cosine, abs=1e-6)


def test_neighbours_are_the_most_similar():
    similarity = csr_matrix(np.array([[0, 3, 1, 2], [5, 0, 5, 5], [0, 0, 0, 1], [0, 0, 0, 0]], np.float32))
    kept = keep_largest(similarity, 2).toarray()
    assert kept.tolist() == [[0, 3, 0, 2], [5, 0, 5, 0], [0, 0, 0, 1], [0, 0, 0, 0]]  # equal ones: the smaller column


def test_only_the_newest_items_count():
    cases = Cases.from_histories([np.arange(25), [7, 8, 7]])
    weights = recent_matrix(cases, 30, last=20, decay=0.7).toarray()
    assert weights[0, 24] == 1 and weights[0, 5] == pytest.approx(0.7**19) and (weights[0, :5] == 0).all()
    assert weights[1, 7] == pytest.approx(1 + 0.49) and weights[1, 8] == pytest.approx(0.7)


def test_transitions_by_hand():
    # origin: by hand. Pairs in TOY: 0->1, 1->0, 0->2, 0->3, 1->2, so 0 has three, 1 has two
    split = make_split(TOY, 4)
    model = Transitions(shrink=1.0, knn_weight=0.0).fit(split)
    scores = model.score(toy_cases())
    assert scores[0] == pytest.approx([0, 1 / 4, 1 / 4, 1 / 4])
    assert scores[1] == pytest.approx(scores[0])  # only the newest item, 0, counts
    assert scores[2].tolist() == [0, 0, 0, 0]
    with_neighbours = Transitions(shrink=1.0, knn_weight=0.1, decay=0.5).fit(split).score(toy_cases())
    assert with_neighbours == pytest.approx(scores + 0.1 * ItemKNN(decay=0.5).fit(split).score(toy_cases()))


def test_transitions_do_not_cross_users():
    model = Transitions(shrink=0.0, knn_weight=0.0).fit(make_split([[0, 1], [2, 3]], 4))
    assert model.following.toarray()[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("ridge", [1.0, 50.0])
def test_ease_is_a_ridge_regression_per_column(ridge):
    rng = np.random.default_rng(4)
    x = (rng.random((70, 25)) < 0.2).astype(np.float64)
    expected = np.zeros((25, 25))
    for j in range(25):  # each item from all others, solved on its own
        others = np.delete(np.arange(25), j)
        a = x[:, others]
        expected[others, j] = np.linalg.solve(a.T @ a + ridge * np.eye(24), a.T @ x[:, j])
    assert ease_weights(csr_matrix(x.astype(np.float32)), ridge) == pytest.approx(expected, abs=2e-6)


def test_ease_scores_are_sums_of_rows(random_split):
    model = EASE(10.0).fit(random_split)
    scores = model.score(Cases.from_histories([[3, 4], [5]]))
    assert scores[0] == pytest.approx(model.weights[3] + model.weights[4], abs=1e-6)
    assert scores[1] == pytest.approx(model.weights[5])


def test_ease_with_recency_weighs_the_newest_most(random_split):
    model = EASE(ridge=5.0, decay=0.5).fit(random_split)
    expected = model.weights[4] + 0.5 * model.weights[9] + 0.25 * model.weights[2]
    assert model.score(Cases.from_histories([[2, 9, 4]]))[0] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(model.weights, EASE(ridge=5.0).fit(random_split).weights)


def test_ease_reads_tags_as_more_rows(random_split):
    tags = tuple((f"tag {item % 3}", "once") if item == 7 else (f"tag {item % 3}",) for item in random_split.train.item)
    told = replace(random_split, train=replace(random_split.train, tags=tags))
    rows = interaction_matrix(told.train).toarray()
    count = np.bincount(told.train.item, minlength=30)
    of_tag = np.array([[np.log1p(count[j]) * (j % 3 == t) for j in range(30)] for t in range(3)])  # "once": one item
    gram = np.linalg.inv(rows.T @ rows + 4 * of_tag.T @ of_tag + 5 * np.eye(30))
    expected = -gram / np.diag(gram)
    np.fill_diagonal(expected, 0)
    assert EASE(ridge=5.0, tag_weight=2.0).fit(told).weights == pytest.approx(expected, abs=1e-4)
    plain = EASE(ridge=5.0).fit(random_split).weights
    assert np.array_equal(EASE(ridge=5.0).fit(told).weights, plain)
    assert np.array_equal(EASE(ridge=5.0, tag_weight=2.0).fit(random_split).weights, plain)


def test_history_is_repeated_newest_first():
    split = make_split([[0, 1, 2]], 6)
    scores = RepeatHistory().fit(split).score(Cases.from_histories([[4, 1, 4, 2]]))[0]
    assert np.argsort(-scores)[:3].tolist() == [2, 4, 1]  # 4 counts where it was newest
    assert np.isneginf(scores[[0, 3, 5]]).all()
    then = make("repeat_history", then=Popularity()).fit(make_split([[0, 3, 3]], 6))
    assert np.argsort(-then.score(Cases.from_histories([[5, 1]]))[0])[:4].tolist() == [1, 5, 3, 0]


@pytest.mark.parametrize("name", FLOORS)
def test_one_protocol(name, random_split):
    model = make(name)
    assert model.fit(random_split, embeddings=None, seed=1, progress=False) is model
    scores = model.score(random_split.test)
    assert scores.shape == (80, 30) and scores.dtype == np.float32
    # a stranger with the same history gets the same scores, alone or in a batch
    histories = [random_split.test.history(i) for i in range(80)]
    assert np.array_equal(model.score(Cases.from_histories(histories)), scores)
    assert np.allclose(model.score(Cases.from_histories(histories[7:8]))[0], scores[7], atol=1e-6)
    assert np.isfinite(evaluate(model, random_split.test, exclude_seen=False).metrics()["HR@10"])


@pytest.mark.parametrize("name", FLOORS)
def test_held_out_rows_reach_no_parameter(name):
    rng = np.random.default_rng(5)
    sequences = [rng.choice(30, 8, replace=False) for _ in range(60)]
    altered = [np.concatenate([s[:-2], (s[-2:] + 11) % 30]) for s in sequences]
    split, other = (make_split(s, 30, hold=2) for s in (sequences, altered))
    assert not np.array_equal(split.test.items, other.test.items)
    probe = Cases.from_histories(list(rng.integers(0, 30, (20, 6))))
    assert np.array_equal(make(name).fit(split).score(probe), make(name).fit(other).score(probe))


def test_planted_order_is_found_by_transitions_alone():
    # each item is followed by the next one on a circle: transitions know it, popularity cannot
    rng = np.random.default_rng(6)
    sequences = [(rng.integers(40) + np.arange(9)) % 40 for _ in range(200)]
    split = make_split(sequences, 40, hold=2)
    value = {n: evaluate(make(n).fit(split), split.test).metrics()["NDCG@10"] for n in ("transitions", "popularity")}
    assert value["transitions"] > 0.95 and value["popularity"] < 0.4


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("itemknn", {"shrink": -1.0}, "shrink must lie in"),
        ("itemknn", {"neighbours": 0}, "neighbours must be"),
        ("itemknn", {"decay": 1.5}, "decay must lie in"),
        ("itemknn", {"text_weight": 1.5}, "text_weight must lie in"),
        ("itemknn", {"text_neighbours": 0}, "text_neighbours must be"),
        ("transitions", {"knn_weight": -0.1}, "knn_weight"),
        ("ease", {"ridge": 0.0}, "ridge must be greater"),
        ("svd++", {}, "baseline must be one of"),
    ],
)
def test_wrong_settings_are_told(name, settings, message):
    with pytest.raises(ValueError, match=message):
        make(name, **settings)
