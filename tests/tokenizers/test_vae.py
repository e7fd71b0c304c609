"""Gaussian VAE and autoencoder: closed forms, the PCA optimum, rates with known answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from contrec.tokenizers import (
    Autoencoder,
    AutoencoderConfig,
    GaussianVAE,
    SigmaVAE,
    TokenizerConfig,
    VAEConfig,
    train_tokenizer,
)
from contrec.tokenizers.vae import kl_to_standard, rounded


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_kl_is_torchs():
    mean, log_variance = torch.randn(7, 3, generator=stream()), torch.randn(7, 3, generator=stream(1))
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    reference = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard(mean, log_variance), reference)


def linear(model, dim: int, latent: int, heads: int):
    """The same model with one linear layer each way."""
    torch.manual_seed(0)
    model.encoder, model.decoder = nn.Linear(dim, heads * latent), nn.Linear(latent, dim)
    return model


def gaussian(n: int = 4000) -> torch.Tensor:
    """Variances 4, 2, 1, .25, .25 along rotated axes."""
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=stream(3)))[0]
    return torch.randn(n, 5, generator=stream(4)) * torch.tensor([4.0, 2, 1, 0.25, 0.25]).sqrt() @ rotation.T


def test_a_linear_vae_with_a_small_prior_reaches_the_pca_optimum():
    """Lucas et al., 2019: the linear VAE's optimum is probabilistic PCA; two of five axes leave (1 + .25 + .25) / 5."""
    x = gaussian()
    x = x - x.mean(0)
    config = VAEConfig(latent=2, kl_weight=1e-4, lr=0.01, weight_decay=0.0, epochs=60, batch_size=200)
    model = linear(GaussianVAE(5, config), 5, 2, heads=2)
    train_tokenizer(model, x, seed=0)
    optimum = float(torch.linalg.eigvalsh(x.T @ x / len(x))[:3].sum() / 5)
    reached = float((model.reconstruct(x) - x).square().mean())
    assert optimum <= reached < 1.01 * optimum  # measured: 1.0006 times


def test_the_prior_switches_weak_axes_off():
    """With beta = 2 s^2 an axis of variance below s^2 is not worth its bits (posterior collapse), the others keep
    1/2 log2(variance / s^2) bits each."""
    x = gaussian()
    s2 = 0.5
    config = VAEConfig(latent=5, kl_weight=2 * s2, lr=0.01, weight_decay=0.0, epochs=80, batch_size=200)
    model = linear(GaussianVAE(5, config), 5, 5, heads=2)
    train_tokenizer(model, x, seed=0)
    expected = sum(0.5 * math.log2(v / s2) for v in (4, 2, 1))
    assert model.rate_bits(x) == pytest.approx(expected, rel=0.08)  # measured: within 3 %


def test_samples_and_means():
    torch.manual_seed(0)
    model, x = GaussianVAE(4, VAEConfig(latent=3, width=8)), torch.randn(500, 4, generator=stream())
    mean, log_variance = model.posterior(x)
    assert torch.equal(model.encode(x), mean) and model.encode(x).shape == (500, 1, 3)
    z = (model.encode(x, stream(1)) - mean) / (0.5 * log_variance).exp()
    assert abs(float(z.mean())) < 0.1 and float(z.std()) == pytest.approx(1, abs=0.1)


def test_an_uniform_quantizer_errs_by_a_twelfth_of_a_squared_step():
    z = torch.rand(20_000, 2, generator=stream())
    for bits in (2, 4, 8):
        step = torch.full((2,), 1 / 2**bits)
        error = float((rounded(z, torch.zeros(2), step, 2**bits) - z).square().mean())
        assert error == pytest.approx(float(step[0]) ** 2 / 12, rel=0.03)
    outside = rounded(torch.tensor([[-5.0, 7.0]]), torch.zeros(2), torch.full((2,), 0.25), 4)
    assert outside.tolist() == [[0.125, 0.875]]


def test_an_autoencoder_is_the_sigma_vae_in_its_corner():
    torch.manual_seed(0)
    sigma = SigmaVAE(4, TokenizerConfig(n_tokens=1, token_dim=3, width=8, mask_ratio=0, sigma_mode="none", kl_weight=0))
    plain = Autoencoder(4, AutoencoderConfig(latent=3, width=8, bits=None))
    plain.encoder.load_state_dict(sigma.encoders[0].state_dict())
    plain.decoder.load_state_dict(sigma.decoder.state_dict())
    x = torch.randn(9, 4, generator=stream())
    torch.testing.assert_close(plain.encode(x), sigma.encode(x))
    for name in ("reconstruction", "total"):
        torch.testing.assert_close(plain.loss(x, stream())[name], sigma.loss(x, stream())[name])
    assert plain.rate_bits(x) == sigma.rate_bits(x) == math.inf


def test_rounding_costs_less_with_more_bits_and_is_kept_with_the_weights():
    x, errors = gaussian(400), []
    for bits in (1, 3, 8):
        torch.manual_seed(0)
        model = Autoencoder(5, AutoencoderConfig(latent=5, bits=bits, width=16, epochs=60, batch_size=50, lr=0.01))
        train_tokenizer(model, x, seed=0)
        errors.append(float((model.reconstruct(x) - x).square().mean()))
        assert model.rate_bits(x) == 5 * bits
        assert all(len(column.unique()) <= 2**bits for column in model.encode(x)[:, 0].T)
    assert errors[0] > 2 * errors[1] > 2 * errors[2]
    other = Autoencoder(5, model.config)
    with pytest.raises(ValueError, match="the grid is not set"):
        other.encode(x)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.encode(x), model.encode(x))


def test_the_grid_is_the_best_uniform_one_for_a_gaussian():
    """Max, 1960: 16 levels 0.3352 s.d. apart leave 0.01154 of the variance; few bits want a narrow grid."""
    model = Autoencoder(2, AutoencoderConfig(latent=2, bits=4))
    model.encoder = nn.Identity()
    z = torch.randn(100_000, 2, generator=stream()) * torch.tensor([1.0, 5.0]) + 3
    model.calibrate(z)
    assert (model.step / torch.tensor([1.0, 5.0])).tolist() == pytest.approx([0.3352] * 2, rel=0.06)
    error = (model.encode(z)[:, 0] - z).square().mean(0) / z.var(0)
    assert error.tolist() == pytest.approx([0.01154] * 2, rel=0.03)


def test_the_sigma_vaes_rate_is_that_of_a_gaussian_channel():
    """1/2 log2(1 + SNR) for each of six independent channels of SNR 3: one bit each."""
    model = SigmaVAE(6, TokenizerConfig(n_tokens=2, token_dim=3, width=8))
    model.sigma_scale.fill_(2.0)
    means = math.sqrt(3) * 2 * torch.randn(100_000, 2, 3, generator=stream())
    model.means = lambda x: means
    assert model.rate_bits(means) == pytest.approx(6, rel=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VAEConfig(latent=0), "latent must be a whole number of at least 1, got 0"),
        (lambda: VAEConfig(kl_weight=-1.0), r"kl_weight must lie in \[0, 1000"),
        (lambda: AutoencoderConfig(bits=25), r"bits must lie in \[1, 24\], got 25"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
