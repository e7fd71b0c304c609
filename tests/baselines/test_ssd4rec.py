import numpy as np
import pytest
import torch

from contrec.baselines import make
from contrec.baselines.ssd4rec import Bidirectional, Mamba2, SSD4Rec, reversal
from contrec.data.cases import cases_inside
from contrec.data.interactions import Cases, Catalogue, Interactions, Split
from contrec.evaluation import evaluate

N_ITEMS = 30
SMALL = {"dim": 16, "state": 8, "head_dim": 8, "epochs": 25, "batch_size": 64, "lr": 1e-2, "dropout": 0.1}


@pytest.fixture(scope="module")
def split():
    """Sequences of two kinds, alike in their newest item but not in what follows: after j comes j + 1 or j - 1."""
    rng = np.random.default_rng(0)
    step = np.where(np.arange(150) % 2, 1, -1)
    sequences = (rng.integers(N_ITEMS, size=150)[:, None] + step[:, None] * np.arange(9)) % N_ITEMS
    names = np.arange(150).astype(str), np.arange(N_ITEMS).astype(str)
    train = Interactions(np.repeat(np.arange(150), 7), sequences[:, :7].ravel(), np.tile(np.arange(7), 150), *names)
    start, users = 9 * np.arange(150), np.arange(150)
    validation, test = (Cases(sequences.ravel(), start, start + k, users, sequences[:, k], users) for k in (7, 8))
    catalogue = Catalogue(names[1], tuple(names[1]), ("",) * N_ITEMS, ((),) * N_ITEMS)
    return Split(train, cases_inside(train), validation, test, catalogue, "leave_one_out", {})


@pytest.fixture(scope="module")
def fitted(split):
    return SSD4Rec(**SMALL).fit(split)


@pytest.mark.parametrize("length", [1, 3, 21])
def test_mixer_is_transformers(length):
    config = pytest.importorskip("transformers").Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    torch.manual_seed(0)
    ours = Mamba2(dim=16, state=12, head_dim=8, expand=2)
    shape = {"hidden_size": 16, "state_size": 12, "head_dim": 8, "num_heads": 4, "expand": 2, "n_groups": 1}
    theirs = Mamba2Mixer(config(**shape, num_hidden_layers=1, chunk_size=8), 0).eval()  # 21: more than two chunks
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # so that none is at a value that hides its part
    theirs.load_state_dict(ours.state_dict())
    u, weight = torch.randn(2, 3, length, 16)
    results = []
    for mixer in (ours, theirs):
        x = u.clone().requires_grad_()
        y = mixer(x)
        (y * weight).sum().backward()
        results.append([y.detach(), x.grad, *(mixer.get_parameter(name).grad for name, _ in ours.named_parameters())])
    for mine, reference in zip(*results, strict=True):
        assert mine.numpy() == pytest.approx(reference.numpy(), rel=1e-5, abs=1e-5 * float(reference.abs().max()))


def test_mixer_is_causal_and_survives_strong_decay():
    mixer = Mamba2(16, 8, 8, 2)
    with torch.no_grad():
        mixer.dt_bias.fill_(50.0)  # exp of what lies ahead would be infinite
    x = torch.randn(2, 40, 16, requires_grad=True)
    mixer(x)[:, :20].sum().backward()
    assert x.grad.isfinite().all() and (x.grad[:, 20:] == 0).all() and (x.grad[:, :20] != 0).any()
    assert all(p.grad.isfinite().all() for p in mixer.parameters())


def test_reversal_turns_the_real_part_only():
    assert reversal(torch.tensor([3, 1, 0]), 4).tolist() == [[2, 1, 0, 3], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("layers", [1, 2])
def test_states_see_both_ways_inside_the_real_part(layers):
    torch.manual_seed(0)
    encoder = Bidirectional(
        16, layers, state=8, head_dim=8, expand=2, backward_weight=0.1, mask_ratio=0.2, dropout=0.2
    ).eval()
    x = torch.randn(1, 7, 16, requires_grad=True)
    alone = encoder(x[:, :4], torch.tensor([4]))
    padded = encoder(x, torch.tensor([4]))  # three vectors of anything as padding
    assert padded[:, :4].detach().numpy() == pytest.approx(alone.detach().numpy(), abs=1e-6)

    def reach(place):
        """Which vectors the state at ``place`` depends on."""
        (gradient,) = torch.autograd.grad(padded[0, place].square().sum(), x, retain_graph=True)
        return (gradient[0].abs().sum(1) > 1e-9).tolist()

    assert reach(0) == reach(3) == [True] * 4 + [False] * 3


def test_backward_pass_adds_nothing_at_weight_zero():
    torch.manual_seed(0)
    settings = {"dim": 16, "layers": 1, "state": 8, "head_dim": 8, "expand": 2, "mask_ratio": 0.0, "dropout": 0.0}
    one_way, both = (Bidirectional(**settings, backward_weight=w) for w in (0.0, 0.1))
    both.load_state_dict(one_way.state_dict())
    x, lengths = torch.randn(2, 5, 16), torch.tensor([5, 3])
    later = x.clone()
    later[:, 4] *= -1
    assert torch.equal(one_way(x, lengths)[:, :4], one_way(later, lengths)[:, :4])
    assert not torch.allclose(both(x, lengths)[0, :4], both(later, lengths)[0, :4])
    assert sum(p.numel() for p in both.layers[0].mixer.parameters()) == sum(
        p.numel() for p in Mamba2(16, 8, 8, 2).parameters()
    )  # one block for both directions


def test_masked_items_share_one_vector_in_training_only():
    encoder = Bidirectional(8, 1, state=4, head_dim=8, expand=2, backward_weight=0.1, mask_ratio=1.0, dropout=0.0)
    x, lengths = torch.randn(2, 2, 3, 8), torch.tensor([3, 3])
    assert torch.equal(encoder(x[0], lengths), encoder(x[1], lengths))
    encoder.eval()
    assert not torch.allclose(encoder(x[0], lengths), encoder(x[1], lengths))


def test_a_rule_of_two_items_is_learned(split, fitted):
    def quality(model):  # with seen items, as the other neighbour of the newest item is one
        return evaluate(model, split.test, exclude_seen=False).metrics()["NDCG@10"]

    assert quality(fitted) > 0.88  # by the newest item alone two candidates are left, which gives about .8
    assert quality(make("popularity").fit(split)) < 0.4


def test_only_the_own_target_is_trained(split):
    model = SSD4Rec(**{**SMALL, "cases_per_user": 2})
    model.build(split)
    batches = model.batches(np.random.default_rng(0))
    assert sum(len(batch.items) for batch in batches) == 2 * split.n_users
    for batch in batches:
        place = torch.nonzero(batch.targets >= 0)
        assert torch.equal(place[:, 0], torch.arange(len(batch.items))) and torch.equal(place[:, 1], batch.lengths - 1)


def test_scores_depend_on_neither_batch_nor_padding(split, fitted):
    whole = fitted.score(split.test)
    assert fitted.score(split.test.select([5])).numpy() == pytest.approx(whole[5:6].numpy(), abs=1e-5)
    long = Cases.from_histories([split.test.history(5), np.arange(25)])
    assert fitted.score(long)[:1].numpy() == pytest.approx(whole[5:6].numpy(), abs=1e-5)
    assert (fitted.score(Cases.from_histories([[]])) == 0).all()


@pytest.mark.parametrize(
    "settings, message",
    [({"head_dim": 24}, "head_dim must divide"), ({"mask_ratio": 1.5}, "mask_ratio"), ({"layers": 0}, "layers")],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        SSD4Rec(**settings)
