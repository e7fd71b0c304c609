import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from contrec.baselines.plain_head import Head, PlainHead, UserBatch
from contrec.embeddings import make

SHORT = {"dim": 16, "width": 32, "epochs": 3, "batch_size": 64}


def test_the_first_scores_are_those_of_the_user_token(planted_split, small_embeddings):
    model = PlainHead(**SHORT)
    model.embeddings, model.device = small_embeddings, torch.device("cpu")
    model.module = model.build(planted_split)
    expected = normalize(small_embeddings.users(planted_split.test), dim=1) @ normalize(small_embeddings.items, dim=1).T
    assert torch.allclose(model.score(planted_split.test), expected, atol=1e-6)


def test_it_reads_the_vectors_that_it_is_given(planted_split, small_embeddings):
    given = PlainHead(**SHORT).fit(planted_split, embeddings=small_embeddings)
    own = PlainHead(**SHORT).fit(planted_split)
    assert given.embeddings is small_embeddings and own.embeddings.items.shape == (64, 16)
    noise = make("random", planted_split, dim=16)
    other = PlainHead(**SHORT).fit(planted_split, embeddings=noise)
    assert not np.allclose(np.asarray(given.score(planted_split.test)), np.asarray(other.score(planted_split.test)))


def test_training_moves_the_head_and_lowers_the_loss(planted_split, small_embeddings):
    model = PlainHead(**{**SHORT, "epochs": 10}, lr=3e-3, dropout=0.0).fit(planted_split, embeddings=small_embeddings)
    losses = [row["total"] for row in model.history]
    assert losses[-1] < 0.95 * losses[0] and model.module.learned[-1].weight.any()


def test_sampled_negatives_stand_for_the_catalogue():
    torch.manual_seed(0)
    items, users, target = torch.randn(500, 8), torch.randn(64, 8), torch.randint(500, (64,))
    whole, sampled = Head(items, 16, 0.0, None), Head(items, 16, 0.0, 100)
    whole.log_scale.data.zero_()  # at a high scale few items make the sum, and its estimate by a hundred is skewed
    sampled.load_state_dict(whole.state_dict())
    batch = UserBatch(users=users, target=target)
    scores = whole.log_scale.exp() * whole.query(users) @ whole.items.T
    exact = float(whole(batch)["total"].detach())
    assert exact == pytest.approx(float(cross_entropy(scores, target).detach()), abs=1e-5)
    drawn = [float(sampled(batch)["total"].detach()) for _ in range(50)]
    assert np.mean(drawn) == pytest.approx(exact, abs=0.02) and np.std(drawn) > 0
    assert Head(items, 16, 0.0, 500).negatives is None


@pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.5}, {"cases": "suffix"}, {"negatives": -1}])
def test_bad_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PlainHead(**wrong)
