"""The sigma-VAE: a plain autoencoder in its corner, noise and masks where the paper puts them, hand-made numbers."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from contrec.tokenizers import SigmaVAE, TokenizerConfig, train_tokenizer

DIM = 6


def make(seed: int = 0, dim: int = DIM, **settings) -> SigmaVAE:
    torch.manual_seed(seed)
    return SigmaVAE(dim, TokenizerConfig(**{"token_dim": 5, "width": 16, **settings}))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.randn(12, DIM, generator=generator(1))


def test_one_token_without_mask_and_noise_is_a_plain_autoencoder(x):
    vae = make(n_tokens=1, mask_ratio=0.0, sigma_mode="none", kl_weight=0.0)
    plain = copy.deepcopy(nn.Sequential(vae.encoders[0], vae.decoder))
    torch.testing.assert_close(vae.decode(vae.encode(x)), plain(x))
    vae.loss(x, generator())["total"].backward()
    nn.functional.mse_loss(plain(x), x).backward()
    own = [p.grad for part in (vae.encoders[0], vae.decoder) for p in part.parameters()]
    for mine, reference in zip(own, plain.parameters(), strict=True):
        torch.testing.assert_close(mine, reference.grad)
    assert all(g.abs().sum() > 0 for g in own)


@pytest.mark.parametrize("asked", ["loss", "encode"])  # phase 1; a tokenizer that is trained with the language model
@pytest.mark.parametrize("source", ["mu", "input"])
def test_gamma_comes_from_the_first_training_batch_alone(x, source, asked):
    vae = make(mask_ratio=0.0, gamma_from=source)
    ask = getattr(vae, asked)
    vae.eval()
    ask(x, generator())
    assert vae.sigma_scale == 0  # evaluation is no training batch
    vae.train()
    vae.encode(x)
    assert vae.sigma_scale == 0  # nothing random is asked for
    expected = (vae.means(x) if source == "mu" else x).std()
    ask(x, generator())
    torch.testing.assert_close(vae.sigma_scale, expected)
    ask(7 * x + 1, generator())
    torch.testing.assert_close(vae.sigma_scale, expected)


def test_gamma_is_kept_with_the_weights(x):
    vae, other = make(), make(seed=1)
    vae.loss(x, generator())
    other.load_state_dict(vae.state_dict())
    assert other.sigma_scale == vae.sigma_scale > 0


def test_masks_act_in_the_loss_and_nowhere_else(x):
    vae = make(mask_ratio=1.0, sigma_mode="none")
    vae.train()
    torch.testing.assert_close(vae.encode(x), vae.means(x))
    assert vae.encode(x).std(dim=0).min() > 1e-3  # rows differ: their input was seen
    blind = vae.means(torch.zeros(1, DIM)).square().mean()
    torch.testing.assert_close(vae.loss(x, generator())["prior"], blind)


def test_every_encoder_has_its_own_mask_with_the_stated_ratio():
    vae, seen = make(dim=200, n_tokens=3, mask_ratio=0.4), []
    for encoder in vae.encoders:
        encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] == 0))
    vae.loss(torch.ones(50, 200), generator())
    assert [float(m.float().mean()) for m in seen] == pytest.approx([0.4] * 3, abs=0.02)  # s.d. of a share is .005
    overlap = float((seen[0] & seen[1]).float().mean())
    assert overlap == pytest.approx(0.16, abs=0.02)  # independent masks; one shared mask would give 0.4


def test_each_token_and_call_has_its_own_sigma():
    vae = make(n_tokens=4, token_dim=400)
    vae.sigma_scale.fill_(0.5)
    x, stream = torch.randn(200, DIM, generator=generator(2)), generator()
    with torch.no_grad():
        first, second = (vae.encode(x, stream) - vae.encode(x) for _ in range(2))
    sigma = first.square().mean(-1).sqrt()  # |sigma_k| of each token, known to 4 %
    assert float(sigma.square().mean()) == pytest.approx(0.25, rel=0.2)  # E sigma^2 = Gamma^2; 800 tokens
    assert float(sigma.std(dim=1).mean()) > 0.15  # within a row: 0 if the row's tokens shared one sigma
    assert float(sigma.std(dim=0).mean()) > 0.15  # between rows
    assert not torch.allclose(sigma, second.square().mean(-1).sqrt(), rtol=0.3)


def test_the_generator_alone_decides_the_noise(x):
    vae = make()
    vae.sigma_scale.fill_(1.0)
    torch.manual_seed(5)
    once = vae.encode(x, generator(9))
    torch.manual_seed(6)
    assert torch.equal(once, vae.encode(x, generator(9)))
    assert not torch.equal(once, vae.encode(x, generator(10)))
    assert torch.equal(vae.encode(x), vae.means(x))


def test_permuting_rows_permutes_tokens(x):
    vae, order = make(), torch.randperm(12, generator=generator(3))
    assert vae.encode(x).shape == (12, 3, 5)
    torch.testing.assert_close(vae.encode(x[order]), vae.encode(x)[order])
    torch.testing.assert_close(vae.decode(vae.encode(x)[order]), vae.decode(vae.encode(x))[order])


def test_loss_terms_by_hand():
    # identity encoder, decoder that answers 0: both terms are mean(x^2) = (1 + 4 + 9 + 16) / 4 = 7.5
    vae = make(dim=2, n_tokens=1, token_dim=2, mask_ratio=0.0, sigma_mode="none", kl_weight=0.5)
    vae.encoders = nn.ModuleList([nn.Identity()])
    vae.decoder = nn.Linear(2, 2)
    nn.init.zeros_(vae.decoder.weight), nn.init.zeros_(vae.decoder.bias)
    losses = vae.loss(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), generator())
    assert {k: float(v.detach()) for k, v in losses.items()} == {"reconstruction": 7.5, "prior": 7.5, "total": 11.25}


def test_rate_of_a_gaussian_with_known_answer():
    # 4 channels of variance .75 through noise of E sigma^2 = .25: 4 * 1/2 * log2(1 + 3) = 4 bits
    vae = make(dim=4, n_tokens=1, token_dim=4)
    vae.encoders = nn.ModuleList([nn.Identity()])
    x = torch.randn(500, 4, generator=generator(4))
    x = (x - x.mean(0)) / x.std(0, unbiased=False) * math.sqrt(0.75)
    assert vae.rate_bits(x) == math.inf  # no noise yet
    vae.sigma_scale.fill_(0.5)
    assert vae.rate_bits(x) == pytest.approx(4.0, rel=1e-5)
    assert vae.rate_bits(torch.zeros(3, 4)) == 0


def low_rank(n: int = 256, dim: int = 12, rank: int = 3):
    basis = torch.linalg.qr(torch.randn(dim, rank, generator=generator(5)))[0]
    return torch.randn(n, rank, generator=generator(6)) @ basis.T * 2  # rank dimensions carry all variance


def test_training_reconstructs_planted_low_rank_data():
    x = low_rank()
    vae = make(dim=12, token_dim=8, width=32, mask_ratio=0.0, kl_weight=1e-3, epochs=60, batch_size=64, lr=5e-3)
    history = train_tokenizer(vae, x, seed=0)
    error = float((vae.decode(vae.encode(x)) - x).square().mean())
    assert error < 0.25 * float(x.var())
    assert [row["epoch"] for row in history] == list(range(1, 61))
    assert history[-1]["reconstruction"] < 0.6 * history[0]["reconstruction"]
    assert not vae.training


def test_without_sigma_the_prior_shrinks_the_tokens():
    # nothing but noise gives mu a reason to be large: the decoder can scale small tokens up (the collapse of Sect. 3.2)
    x, left = low_rank(), {}
    for sigma_mode in ("sampled", "none"):
        vae = make(
            dim=12, token_dim=8, width=32, mask_ratio=0.0, kl_weight=0.3, epochs=40, batch_size=64, lr=5e-3,
            sigma_mode=sigma_mode,
        )  # fmt: skip
        train_tokenizer(vae, x, seed=0)
        left[sigma_mode] = float(vae.channel_variance(x).sum())
        assert bool(vae.sigma_scale == 0) is (sigma_mode == "none")
    assert left["none"] < 0.5 * left["sampled"]


def test_training_repeats_itself():
    x, weights = low_rank(64), []
    for noise in (1, 2):
        vae = make(dim=12, epochs=2)
        torch.manual_seed(noise)  # the global stream has no say
        train_tokenizer(vae, x, seed=4)
        weights.append(vae.state_dict())
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("n_tokens", 0), ("token_dim", 1.5), ("width", 0), ("mask_ratio", 1.2), ("mask_ratio", -0.1), ("kl_weight", -1),
     ("gamma_from", "sigma"), ("epochs", 0), ("batch_size", True), ("lr", -1e-3), ("weight_decay", -1)],
)  # fmt: skip
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} must .*{value}"):
        TokenizerConfig(**{setting: value})


def test_a_fixed_sigma_is_one_constant_for_all(x):
    vae = make(sigma_mode="fixed")
    noise = vae.encode(x) - vae.means(x)
    torch.testing.assert_close(noise, vae.constant.expand_as(noise))
    assert torch.equal(vae.encode(x), vae.encode(x, generator(5)))
    assert torch.equal(vae.constant, make(sigma_mode="fixed", seed=3).constant)
    assert torch.equal(vae.add_noise(vae.encode(x), generator()), vae.encode(x))  # in training, too, it is added once
    vae.train().loss(x, generator())
    assert not vae.sigma_scale


def test_a_fixed_sigma_is_in_what_the_decoder_reads(x):
    vae = make(sigma_mode="fixed", mask_ratio=0.0)
    expected = (vae.decode(vae.means(x) + vae.constant) - x).square().mean()
    torch.testing.assert_close(vae.loss(x, generator())["reconstruction"], expected)


def test_the_decoder_may_read_the_mean_of_the_tokens(x):
    vae = make(pool="mean", n_tokens=3)
    assert vae.decoder[0].in_features == 5
    z = vae.encode(x)
    assert torch.allclose(vae.decode(z), vae.decode(z.flip(1)), atol=1e-6)
    other = make(n_tokens=3)
    assert not torch.allclose(other.decode(z), other.decode(z.flip(1)), atol=1e-3)


def test_a_shared_mask_hides_the_same_elements_everywhere(x):
    vae, seen = make(mask_ratio=0.5, mask_shared=True, n_tokens=2), []
    vae.encoders = nn.ModuleList([nn.Linear(DIM, 5), nn.Linear(DIM, 5)])
    for encoder in vae.encoders:
        encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] == 0))
    vae.loss(torch.ones_like(x), generator(2))
    assert len(seen) == 2 and all(torch.equal(hidden, seen[0][:1].expand_as(hidden)) for hidden in seen)
    assert 0 < seen[0].float().mean() < 1
