import numpy as np
import pytest
import torch

from contrec.baselines import make
from contrec.baselines.dreamrec import DreamRec
from contrec.data.cases import cases_inside
from contrec.data.interactions import Cases, Catalogue, Interactions, Split
from contrec.diffusion.samplers import ddpm_step
from contrec.evaluation import evaluate

N_ITEMS = 30
SMALL = {"dim": 16, "timesteps": 40, "schedule": "exp", "epochs": 15, "batch_size": 64, "lr": 1e-2}


@pytest.fixture(scope="module")
def split():
    """After item j comes item j + 1."""
    rng = np.random.default_rng(0)
    sequences = (rng.integers(N_ITEMS, size=100)[:, None] + np.arange(8)) % N_ITEMS
    names = np.arange(100).astype(str), np.arange(N_ITEMS).astype(str)
    train = Interactions(np.repeat(np.arange(100), 6), sequences[:, :6].ravel(), np.tile(np.arange(6), 100), *names)
    start, users = 8 * np.arange(100), np.arange(100)
    validation, test = (Cases(sequences.ravel(), start, start + k, users, sequences[:, k], users) for k in (6, 7))
    catalogue = Catalogue(names[1], tuple(names[1]), ("",) * N_ITEMS, ((),) * N_ITEMS)
    return Split(train, cases_inside(train), validation, test, catalogue, "leave_one_out", {})


@pytest.fixture(scope="module")
def fitted(split):
    return DreamRec(**SMALL).fit(split, seed=4)


def like(fitted, **settings):
    """Another sampler around the same weights."""
    other = DreamRec(**{**SMALL, **settings})
    other.module, other.device, other.noise_seed = fitted.module, fitted.device, fitted.noise_seed
    return other


def test_the_planted_rule_is_learned(split, fitted):
    assert evaluate(fitted, split.test).metrics()["NDCG@10"] > 0.6
    assert evaluate(make("popularity").fit(split), split.test).metrics()["NDCG@10"] < 0.4


def test_every_prefix_of_two_or_more_is_trained(split):
    model = DreamRec(**SMALL)
    model.build(split)
    lengths = torch.cat([batch.lengths for batch in model.batches(np.random.default_rng(0))])
    assert sorted(lengths.tolist()) == sorted(100 * [2, 3, 4, 5])


def test_a_draw_depends_on_seed_and_history_and_not_on_its_batch(split, fitted):
    whole = fitted.vectors(split.test)
    order = np.random.default_rng(1).permutation(len(split.test))
    assert fitted.vectors(split.test.select(order)).numpy() == pytest.approx(whole[order].numpy(), abs=1e-4)
    assert fitted.vectors(split.test.select([7])).numpy() == pytest.approx(whole[7:8].numpy(), abs=1e-4)
    strangers = Cases.from_histories([split.test.history(7), np.arange(9), []])  # longer ones pad it
    assert fitted.vectors(strangers)[:1].numpy() == pytest.approx(whole[7:8].numpy(), abs=1e-4)
    assert fitted.score(strangers).isfinite().all()
    other = like(fitted)
    other.noise_seed = 5
    assert not torch.allclose(other.vectors(split.test), whole, atol=1e-2)
    assert fitted.noise_seed == 4


def test_sampler_is_guided_ddpm_written_out(split, fitted, monkeypatch):
    steps, omega = 8, 1.5
    model, net = like(fitted, sampler_steps=steps, guidance_strength=omega), fitted.module
    noise = torch.randn(steps, 3, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("contrec.baselines.dreamrec.noise_streams", lambda *args: noise)
    cases = split.test.select([0, 1, 2])
    items = torch.tensor(np.stack([cases.history(i) for i in range(3)]))
    with torch.no_grad():
        c, x = net.condition(items, torch.full((3,), items.shape[1])), noise[0]
        for i, t in enumerate(range(40, 0, -5)):
            step = torch.tensor([t])
            with_c, without = net.denoise(x, step, c), net.denoise(x, step, net.null.vector.expand(3, -1))
            x0 = with_c + omega * (with_c - without)
            x = ddpm_step(x, x0, t, t - 5, model.schedule, noise[i + 1] if i + 1 < steps else None)
    assert model.vectors(cases).numpy() == pytest.approx(x.numpy(), abs=1e-5)
    inner = like(model, score_by="inner", sampler_steps=steps, guidance_strength=omega).score(cases).numpy()
    assert inner == pytest.approx((x @ net.table.weight.detach().T).numpy(), abs=1e-4)
    cosine = torch.nn.functional.cosine_similarity(x[:, None], net.table.weight.detach()[None], dim=2)
    assert model.score(cases).numpy() == pytest.approx(cosine.numpy(), abs=1e-5)


def test_guidance_zero_is_unguided(split, fitted):
    unguided = like(fitted, guidance_strength=0.0).vectors(split.test)
    assert not torch.allclose(unguided, fitted.vectors(split.test), atol=1e-2)
    null, fitted.module.null.vector.data = fitted.module.null.vector.data, torch.full((1, 16), 9.0)
    try:
        assert torch.equal(like(fitted, guidance_strength=0.0).vectors(split.test), unguided)
    finally:
        fitted.module.null.vector.data = null


def test_cosine_drops_lengths(split, fitted):
    vectors, items = fitted.vectors(split.test), fitted.module.table.weight.detach()
    expected = torch.cosine_similarity(vectors[:, None], items[None], dim=2)
    assert like(fitted, score_by="cosine").score(split.test).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_conditions_are_dropped_in_training(split):
    def gradients(p_uncond):
        torch.manual_seed(0)
        model = DreamRec(**SMALL, p_uncond=p_uncond, guidance_strength=0.0)
        net = model.build(split)
        net(model.batches(np.random.default_rng(0))[0])["total"].backward()
        return [0.0 if p.grad is None else float(p.grad.abs().sum()) for p in (net.null.vector, net.history.position)]

    null, history = zip(*map(gradients, (0.0, 0.5, 1.0)), strict=True)
    assert null[0] == 0 and null[1] > 0 and null[2] > 0
    assert history[0] > 0 and history[1] > 0 and history[2] == 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"schedule": "sqrt"}, "schedule"),
        ({"sampler_steps": 41}, "sampler_steps"),
        ({"p_uncond": -0.1}, "p_uncond"),
        ({"p_uncond": 0.0}, "guidance_strength=2 needs p_uncond above 0"),
        ({"sampler": "euler"}, "sampler"),
        ({"score_by": "length"}, "score_by"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        DreamRec(**{**SMALL, **settings})
