import numpy as np
import pytest
import torch

from contrec.data.interactions import Cases, Interactions
from contrec.evaluation import Evaluation, evaluate

N_ITEMS = 60


class Fixed:
    """Scores that depend on the user alone."""

    def __init__(self, table):
        self.table = table

    def score(self, cases):
        return self.table[cases.user]


class Lists:
    """The same as lists, best first."""

    def __init__(self, table):
        self.table = table

    def topk(self, cases, k):
        scores = self.table[cases.user]
        ids = np.argsort(-scores, axis=1)[:, :k]
        return ids, np.take_along_axis(scores, ids, 1)


def make_cases(histories, targets, users):
    cases = Cases.from_histories(histories, users)
    return Cases(cases.items, cases.start, cases.stop, cases.user, np.asarray(targets), cases.time)


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(40, N_ITEMS)).astype(np.float32)
    users = np.concatenate([np.arange(40), rng.integers(0, 40, 25)])
    histories = [rng.choice(N_ITEMS, rng.integers(1, 40), replace=False) for _ in users]
    targets = rng.integers(0, N_ITEMS, len(users))
    return table, make_cases(histories, targets, users)


def test_batches_and_order_do_not_matter(world):
    table, cases = world
    whole = evaluate(Fixed(table), cases)
    parts = evaluate(Fixed(table), cases, batch_size=7)
    assert np.array_equal(whole.ranks, parts.ranks) and whole.counts == parts.counts
    assert whole.coverage == parts.coverage
    order = np.random.default_rng(1).permutation(len(cases))
    shuffled = evaluate(Fixed(table), cases.select(order))
    assert np.array_equal(shuffled.ranks, whole.ranks[order])
    assert shuffled.metrics() == pytest.approx(whole.metrics())
    assert 0 < whole.metrics()["HR@10"] < whole.metrics()["HR@20"] < 1


def test_the_model_gets_batches_only(world):
    sizes = []

    class Watched(Fixed):
        def score(self, cases):
            sizes.append(len(cases))
            return super().score(cases)

    evaluate(Watched(world[0]), world[1], batch_size=16)
    assert max(sizes) == 16 and sum(sizes) == len(world[1])


def test_the_whole_history_is_excluded_not_only_its_end():
    table = -np.arange(N_ITEMS, dtype=np.float32)[None]  # item 0 is best, then 1, ...
    cases = make_cases([np.arange(30)], [30], [0])  # the ten oldest lie beyond the 20 most recent
    assert evaluate(Fixed(table), cases).ranks.tolist() == [1.0]
    assert evaluate(Fixed(table), cases, exclude_seen=False).ranks.tolist() == [31.0]
    assert evaluate(Lists(table), cases).ranks.tolist() == [1.0]


def test_scores_and_lists_agree(world):
    table, cases = world
    for exclude_seen in (True, False):
        scored = evaluate(Fixed(table), cases, exclude_seen=exclude_seen)
        listed = evaluate(Lists(table), cases, exclude_seen=exclude_seen)
        assert listed.metrics() == pytest.approx(scored.metrics())
    assert listed.coverage is None  # a generator does not say how large its catalogue is


def test_targets_outside_a_list_are_misses():
    table = -np.arange(N_ITEMS, dtype=np.float32)[None]
    result = evaluate(Lists(table), make_cases([[0]], [N_ITEMS - 1], [0]))
    assert np.isinf(result.ranks).all() and result.counts["unranked_targets"] == 1
    assert set(result.metrics().values()) == {0.0}


def test_a_seen_target_is_a_counted_miss_and_kept_it_can_be_hit():
    table = np.eye(1, N_ITEMS, 5, dtype=np.float32)  # item 5 first
    cases = make_cases([[5, 6]], [5], [0])
    removed, kept = (evaluate(Fixed(table), cases, exclude_seen=x) for x in (True, False))
    assert removed.metrics()["HR@20"] == 0 and kept.metrics()["HR@10"] == 1
    assert removed.counts["seen_targets"] == kept.counts["seen_targets"] == 1


def test_targets_without_a_train_row_are_counted_and_stay():
    table = -np.arange(N_ITEMS, dtype=np.float32)[None]
    names = (np.array(["u"]), np.arange(N_ITEMS).astype(str))
    train = Interactions(np.zeros(2, int), np.array([3, 4]), np.arange(2), *names)
    result = evaluate(Fixed(table), make_cases([[3], [3], [3]], [4, 0, 1], [0, 0, 0]), train=train)
    assert result.counts["cold_targets"] == 2 and len(result.ranks) == 3


def test_cases_of_a_user_are_averaged_first():
    table = -np.arange(N_ITEMS, dtype=np.float32)[None].repeat(2, 0)
    # user 0: hit, miss, miss -> 1/3; user 1: hit -> 1; over users 2/3 (over cases it would be 1/2)
    cases = make_cases([[59]] * 4, [0, 50, 50, 0], [0, 0, 0, 1])
    result = evaluate(Fixed(table), cases)
    assert result.metrics()["HR@10"] == pytest.approx(2 / 3)
    assert result.counts["users"] == 2 and result.per_user("HR@10") == pytest.approx([1 / 3, 1])
    assert result.counts["tied_targets"] == 0


def test_strangers_are_one_user_each():
    class Same:
        def score(self, cases):
            return -np.arange(N_ITEMS, dtype=np.float32)[None].repeat(len(cases), 0)

    result = evaluate(Same(), make_cases([[59], [59], [59]], [0, 50, 0], [-1, -1, -1]))
    assert result.counts["users"] == 3 and result.metrics()["HR@10"] == pytest.approx(2 / 3)
    assert result.user.tolist() == [-1, -2, -3]


def test_no_seen_item_stands_in_a_list():
    table = -np.arange(N_ITEMS, dtype=np.float32)[None].repeat(2, 0)
    table[:, 50:] = -50  # ten items tie at the end
    # the only ten items left are 50..59 for user 0 and 0..9 for user 1; with seen items kept both lists were 0..9
    result = evaluate(Fixed(table), make_cases([np.arange(50), np.arange(10, 60)], [59, 0], [0, 1]))
    assert result.coverage == pytest.approx(20 / N_ITEMS)
    assert result.ranks.tolist() == [5.5, 1] and result.ties.tolist() == [10, 1]
    assert result.counts["tied_targets"] == 1


def test_intervals_hold_the_value_and_narrow_with_users():
    rng = np.random.default_rng(0)

    def result(n):
        rank = np.where(rng.random(n) < 0.3, 1.0, np.inf)
        return Evaluation(rank, np.ones(n, int), np.arange(n), True, None, {"users": n})

    small, large = result(100), result(10_000)
    for e in (small, large):
        low, high = e.intervals()["HR@10"]
        assert low < e.metrics()["HR@10"] < high
    low, high = large.intervals()["HR@10"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 10_000), rel=0.15)  # origin: binomial s.d.
    assert large.intervals(seed=0) == large.intervals(seed=0) != large.intervals(seed=1)
    frame = small.to_frame()
    assert frame.columns.tolist() == ["metric", "value", "low", "high", "n_users"]
    assert frame["metric"].tolist() == ["HR@10", "HR@20", "NDCG@10", "NDCG@20"]


def test_tensors_of_half_precision_are_read(world):
    table, cases = world

    class Half(Fixed):
        def score(self, cases):
            return torch.from_numpy(self.table[cases.user]).to(torch.bfloat16)

    rounded = torch.from_numpy(table).to(torch.bfloat16).float().numpy()
    assert np.array_equal(evaluate(Half(table), cases).ranks, evaluate(Fixed(rounded), cases).ranks)


def test_what_cannot_be_evaluated_is_told(world):
    table, cases = world
    with pytest.raises(ValueError, match="at least one case"):
        evaluate(Fixed(table), cases.select(slice(0, 0)))
    with pytest.raises(ValueError, match="needs targets"):
        evaluate(Fixed(table), Cases.from_histories([[1, 2]], [0]))
    with pytest.raises(ValueError, match="score must return shape"):
        evaluate(Fixed(table[:, 0]), cases)
    with pytest.raises(ValueError, match="batch_size"):
        evaluate(Fixed(table), cases, batch_size=0)


def test_what_is_not_ranked_stands_in_no_list():
    table = -np.arange(12, dtype=np.float32)[None].repeat(2, 0)
    table[1, 3:] = -np.inf
    result = evaluate(Fixed(table), make_cases([[0, *range(3, 11)], [0]], [1, 1], [0, 1]))
    # left for user 0 are items 1, 2, 11; for user 1 items 1, 2
    assert result.coverage == 3 / 12 and result.ranks.tolist() == [1, 1]


def test_lists_are_asked_for_longer_by_the_longest_history():
    asked = []

    class Watched(Lists):
        def topk(self, cases, k):
            asked.append(k)
            return super().topk(cases, k)

    table = -np.arange(N_ITEMS, dtype=np.float32)[None]
    cases = make_cases([[1, 2, 3], [4]], [20, 59], [0, 0])
    assert evaluate(Watched(table), cases).ranks.tolist() == [18, np.inf]  # place 21 but for the three that were seen
    assert evaluate(Watched(table), cases, exclude_seen=False).ranks.tolist() == [np.inf, np.inf]
    assert asked == [23, 20]


def test_lists_that_do_not_fit_are_told(world):
    class Wrong(Lists):
        def topk(self, cases, k):
            return self.table, self.table

    table, cases = world
    for shape in ([len(cases)], [len(cases), 2, 2], [3, 20], [len(cases) + 1, 20]):
        with pytest.raises(ValueError, match="topk must return ids of shape"):
            evaluate(Wrong(np.zeros(shape, int)), cases)


def test_cases_without_a_target_are_counted_in_the_message():
    with pytest.raises(ValueError, match="got 2 cases without one"):
        evaluate(Fixed(np.zeros((1, 9))), make_cases([[1], [2], [3]], [-1, 0, -1], [0, 0, 0]))


def test_the_bar_is_shown_only_if_asked_for(world, capsys):
    evaluate(Fixed(world[0]), world[1])
    assert capsys.readouterr().err == ""
    evaluate(Fixed(world[0]), world[1], progress=True)
    assert "evaluate: 100%" in capsys.readouterr().err


def test_an_interval_holds_95_percent_of_the_draws(world):
    result = evaluate(Fixed(world[0]), world[1])
    per_user, rng = result.per_user("NDCG@20"), np.random.default_rng(2)
    draws = [per_user[rng.integers(len(per_user), size=len(per_user))].mean() for _ in range(400)]
    assert result.intervals(400, seed=2)["NDCG@20"] == pytest.approx(np.percentile(draws, (2.5, 97.5)))
    assert result.intervals() == result.intervals(1000, seed=0)
    frame = result.to_frame()
    assert list(zip(frame["low"], frame["high"])) == list(result.intervals().values())
    assert (frame["value"] == list(result.metrics().values())).all() and (frame["n_users"] == 40).all()
