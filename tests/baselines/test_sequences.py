"""Padding, positions, losses and the causal next-item models, on rules that can be known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contrec.baselines import ESASRec, GRU4Rec, Popularity, SASRec
from contrec.baselines.sasrec import CausalTransformer
from contrec.baselines.sequences import every_position, last_position, next_item_loss, padded, windows
from contrec.data import DataError
from contrec.data.interactions import Cases
from contrec.evaluation import evaluate
from tests.baselines.test_floors import make_split

SMALL = {"dim": 16, "epochs": 12, "batch_size": 32, "lr": 1e-2, "dropout": 0.0}


@pytest.fixture(scope="module")
def circle():
    """Each item is followed by the next one on a circle of 40: popularity knows nothing of it."""
    rng = np.random.default_rng(6)
    return make_split([(rng.integers(40) + np.arange(rng.integers(5, 12))) % 40 for _ in range(300)], 40, hold=2)


@pytest.fixture(scope="module", params=[SASRec, ESASRec, GRU4Rec])
def fitted(request, circle):
    return request.param(**SMALL).fit(circle, seed=1)


def cases(*histories, targets=None):
    made = Cases.from_histories([np.array(h) for h in histories])
    return (
        made if targets is None else Cases(made.items, made.start, made.stop, made.user, np.array(targets), made.time)
    )


def test_the_newest_items_are_kept_and_padding_is_on_the_right():
    items, lengths = padded(cases([1, 2, 3, 4], [5], []), 3)
    assert items.tolist() == [[2, 3, 4], [5, 0, 0], [0, 0, 0]] and lengths.tolist() == [3, 1, 0]


def test_targets_are_the_next_items_and_the_case_own():
    batch = every_position(cases([1, 2, 3], [5], targets=[7, 8]), 10)
    assert batch.targets.tolist() == [[2, 3, 7], [8, -1, -1]]
    assert last_position(cases([1, 2, 3], [5], targets=[7, 8]), 2).targets.tolist() == [[-1, 7], [8, -1]]


@pytest.mark.parametrize("length", [1, 3, 4, 50])
def test_windows_tell_every_row_but_the_first_once(circle, length):
    found = windows(circle.train, length)
    assert found.lengths.max() <= length and found.lengths.min() >= 1
    told = {u: [] for u in range(300)}
    for i in range(len(found)):
        told[found.user[i]] += [*found.history(i)[1:], found.target[i]] if length > 1 else [found.target[i]]
    for user in range(300):
        rows = circle.train.item[circle.train.user == user]
        assert sorted(told[user]) == sorted(rows[1:]) and len(set(rows)) == len(rows)
    if length == 50:
        assert np.array_equal(np.append(found.history(3), found.target[3]), circle.train.item[circle.train.user == 3])


def test_losses_by_hand():
    states, items, target = torch.randn(50, 8), torch.randn(20, 8), torch.arange(50) % 20
    logits = states @ items.T
    assert torch.allclose(next_item_loss(states, target, items, "softmax", 1), F.cross_entropy(logits, target))
    torch.manual_seed(0)
    drawn = torch.randint(20, (50,))
    torch.manual_seed(0)
    own, other = logits[torch.arange(50), target], logits[torch.arange(50), drawn]
    by_hand = F.binary_cross_entropy_with_logits(own, torch.ones(50))
    by_hand += (F.softplus(other) * (drawn != target)).mean()
    assert torch.allclose(next_item_loss(states, target, items, "bce", 1), by_hand)


def test_sampled_softmax_is_full_softmax_on_average():
    # Origin: 400 draws of 5,000 negatives spread by .0041; their mean is 4.0259, the full loss 4.0260
    torch.manual_seed(0)
    states, items, target = torch.randn(40, 8), 0.5 * torch.randn(20, 8), torch.arange(40) % 20
    full = next_item_loss(states, target, items, "softmax", 1)
    draws = torch.stack([next_item_loss(states, target, items, "sampled", 5000) for _ in range(20)])
    assert abs(draws.mean() - full) < 0.004  # four standard errors


def test_all_learn_what_popularity_cannot(fitted, circle):
    value = evaluate(fitted, circle.test).metrics()["NDCG@10"]
    assert value > 0.9 > 0.4 > evaluate(Popularity().fit(circle), circle.test).metrics()["NDCG@10"]


def test_neither_padding_nor_batch_changes_a_score(fitted, circle):
    together = fitted.score(circle.test)
    assert together.shape == (300, 40) and together.dtype == torch.float32
    for row in (0, 17):
        assert torch.allclose(fitted.score(circle.test.select([row]))[0], together[row], atol=1e-5)


def test_states_do_not_look_ahead(fitted):
    items = torch.tensor([[1, 2, 3, 4, 5, 6]])
    other = torch.tensor([[1, 2, 3, 30, 31, 32]])
    a, b = (fitted.module.states(x, torch.tensor([6])) for x in (items, other))
    assert torch.allclose(a[:, :3], b[:, :3], atol=1e-6) and not torch.allclose(a[:, 3], b[:, 3], atol=1e-3)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_newest_state_alone_is_the_newest_of_all(layers):
    torch.manual_seed(0)
    model, x, lengths = (
        CausalTransformer(16, layers, 2, 0.3, 6).eval(),
        torch.randn(5, 6, 16),
        torch.tensor([1, 2, 6, 4, 0]),
    )
    own = model(x, lengths)[torch.arange(5), (lengths - 1).clamp_min(0)]
    assert torch.allclose(model.newest(x, lengths), own, atol=1e-6)


def test_an_empty_history_ranks_nothing_first(fitted):
    assert torch.equal(fitted.score(cases([], [])), torch.zeros(2, 40))


def test_the_seed_alone_decides(circle):
    a, b, c = (SASRec(**SMALL | {"epochs": 2}).fit(circle, seed=s).score(circle.test) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.allclose(a, c, atol=1e-3)


def test_a_stopped_training_goes_on_to_the_same_weights(circle, tmp_path):
    settings = SMALL | {"epochs": 3, "dropout": 0.2, "loss": "bce"}
    whole = GRU4Rec(**settings).fit(circle, seed=1).score(circle.test)

    class Stopped(GRU4Rec):
        def score(self, cases):
            if len(list((tmp_path).glob("last"))) and not self.resumed:
                raise KeyboardInterrupt
            return super().score(cases)

    model = Stopped(**settings)
    model.resumed = False
    with pytest.raises(KeyboardInterrupt):
        model.fit(circle, seed=1, folder=tmp_path)
    again = GRU4Rec(**settings).fit(circle, seed=1, folder=tmp_path)
    assert len(again.history) == 3 and torch.equal(again.score(circle.test), whole)


def test_held_out_rows_reach_no_weight():
    rng = np.random.default_rng(5)
    rows = [rng.choice(30, 8, replace=False) for _ in range(60)]
    altered = [np.concatenate([s[:-1], (s[-1:] + 11) % 30]) for s in rows]  # validation stays: it may choose the epoch
    a, b = (make_split(s, 30, hold=2) for s in (rows, altered))
    probe = cases(*rng.integers(0, 30, (20, 6)))
    scores = [SASRec(**SMALL | {"epochs": 2}).fit(s, seed=0).score(probe) for s in (a, b)]
    assert torch.equal(*scores)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (SASRec, {"loss": "hinge"}, "loss must be one of 'softmax', 'sampled', 'bce'"),
        (SASRec, {"dim": 10, "heads": 4}, "dim must be a multiple of heads"),
        (SASRec, {"dropout": 1.5}, "dropout must lie in"),
        (SASRec, {"start": "image"}, "start must be one of 'random', 'text'"),
        (ESASRec, {"widen": 0}, "widen must be"),
        (GRU4Rec, {"hidden": 0}, "hidden must be"),
        (GRU4Rec, {"epochs": 0}, "epochs must be"),
        (GRU4Rec, {"length": 0}, "length must be"),
    ],
)
def test_wrong_settings_are_told(model, settings, message):
    with pytest.raises(ValueError, match=message):
        model(**settings)


def test_no_validation_cases_is_told(circle):
    empty = replace(circle, validation=circle.validation.select(slice(0)))
    with pytest.raises(DataError, match="there is no validation case, which chooses the epoch"):
        SASRec(**SMALL).fit(empty)


def test_permuted_item_ids_change_nothing_but_noise():
    # Origin: 4 seeds, with and without the permutation: NDCG@10 .977 to 1
    rng = np.random.default_rng(3)
    rows = [(rng.integers(40) + np.arange(8)) % 40 for _ in range(300)]
    names = rng.permutation(40)
    permuted = make_split([names[s] for s in rows], 40, hold=2)
    assert evaluate(SASRec(**SMALL).fit(permuted, seed=0), permuted.test).metrics()["NDCG@10"] > 0.9


def test_length_buckets_hold_every_sequence_once(circle):
    model = SASRec(**SMALL)
    with torch.random.fork_rng():
        model.build(circle)
    batches = model.batches(np.random.default_rng(0))
    assert sum(len(b.items) for b in batches) == 300 and len(batches) == 10
    assert sum(int((b.targets >= 0).sum()) for b in batches) == len(circle.train) - 300
    assert {len(model.batches(np.random.default_rng(s))) for s in range(5)} == {10}  # training.fit wants one number
