"""The Gaussian VAE and the plain autoencoder: one continuous token, with learned noise, or rounded to a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from contrec.checks import in_range, positive
from contrec.tokenizers.base import ContinuousTokenizer, mlp


@dataclass(frozen=True)
class _Continuous:
    latent: int = 32  # dimensions of the one token
    width: int = 256  # of the MLPs' two hidden layers, as in TokenizerConfig
    lr: float = 1e-3  # our choice, as in TokenizerConfig
    weight_decay: float = 1e-3
    epochs: int = 60
    batch_size: int = 512

    def __post_init__(self):
        for name in ("latent", "width", "epochs", "batch_size"):
            positive(name, getattr(self, name))
        in_range("lr", self.lr, 0, 1)
        in_range("weight_decay", self.weight_decay, 0, 1e6)


@dataclass(frozen=True)
class VAEConfig(_Continuous):
    """Structure, prior and training of the Gaussian VAE."""

    kl_weight: float = 0.1  # twice the squared error per dimension at which a channel is given up; our choice

    def __post_init__(self):
        super().__post_init__()
        in_range("kl_weight", self.kl_weight, 0, 1e3)


@dataclass(frozen=True)
class AutoencoderConfig(_Continuous):
    """Structure, rounding and training of the autoencoder."""

    bits: int | None = 4  # per latent dimension, outside training; None: not rounded, and of infinite rate

    def __post_init__(self):
        super().__post_init__()
        if self.bits is not None:
            positive("bits", self.bits)
            in_range("bits", self.bits, 1, 24)  # float32 holds no finer grid


class GaussianVAE(ContinuousTokenizer):
    r"""A VAE with a diagonal Gaussian posterior and the prior N(0, I) (Kingma and Welling, 2014).

    The loss is the negative ELBO of a Gaussian decoder with variance s^2 per dimension, times 2 s^2 / d:

        mean over dimensions of (x_hat - x)^2  +  kl_weight * KL / d,      kl_weight = 2 s^2

    So ``kl_weight`` depends on no width, and kl_weight / 2 is the distortion per dimension that it pays to reach: on
    Gaussian data a linear VAE attains the rate-distortion function at the water level s^2.

    Args:
        dim: width d of the embeddings.
        config: structure, prior and training.
    """

    def __init__(self, dim: int, config: VAEConfig):
        super().__init__(dim, config)
        self.encoder = mlp(dim, config.width, config.width, 2 * config.latent)
        self.decoder = mlp(config.latent, config.width, config.width, dim)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the token: x (B, d) -> twice (B, 1, latent)."""
        mean, log_variance = self.encoder(x).unsqueeze(1).chunk(2, dim=-1)
        return mean, log_variance

    def means(self, x: Tensor) -> Tensor:
        """Posterior means: x (B, d) -> (B, 1, latent)."""
        return self.posterior(x)[0]

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Posterior means of x (B, d), or with a generator one sample: (B, 1, latent)."""
        mean, log_variance = self.posterior(x)
        return mean if generator is None else sampled(mean, log_variance, generator)

    def decode(self, z: Tensor) -> Tensor:
        """x_hat of z (B, 1, latent): (B, d)."""
        return self.decoder(z.flatten(1))

    def loss(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The scaled negative ELBO of a batch x (B, d), with one sample per row.

        Returns:
            "reconstruction"; "kl", the mean over rows of KL / d in nats; "total" = reconstruction + kl_weight * kl.
        """
        mean, log_variance = self.posterior(x)
        reconstruction = (self.decode(sampled(mean, log_variance, generator)) - x).square().mean()
        kl = kl_to_standard(mean, log_variance).mean() / self.dim
        return {"reconstruction": reconstruction, "kl": kl, "total": reconstruction + self.config.kl_weight * kl}

    @torch.no_grad()
    def rate_bits(self, x: Tensor) -> float:
        """Mean KL between posterior and prior over the rows of x (n, d), in bits."""
        return float(kl_to_standard(*self.posterior(x)).mean()) / math.log(2)


class Autoencoder(ContinuousTokenizer):
    """An autoencoder; outside training each latent dimension is rounded to ``bits`` bits.

    The grid of a dimension is uniform, centred on its mean over the training rows, and reaches as many standard
    deviations to each side as give the training rows the smallest rounding error. What lies outside goes to the last
    cell. The released code calls this model a VAE.

    Args:
        dim: width d of the embeddings.
        config: structure, rounding and training.

    Attributes:
        low: lower ends of the grids, (latent,).
        step: widths of their cells, (latent,); 0 until training has ended.
    """

    def __init__(self, dim: int, config: AutoencoderConfig):
        super().__init__(dim, config)
        self.encoder = mlp(dim, config.width, config.width, config.latent)
        self.decoder = mlp(config.latent, config.width, config.width, dim)
        self.register_buffer("low", torch.zeros(config.latent))
        self.register_buffer("step", torch.zeros(config.latent))

    def means(self, x: Tensor) -> Tensor:
        """The latent before rounding: x (B, d) -> (B, 1, latent)."""
        return self.encoder(x).unsqueeze(1)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The rounded latent of x (B, d), (B, 1, latent): centres of cells; nothing is random.

        Raises:
            ValueError: if it is to be rounded, and :meth:`calibrate` has not been called (training does).
        """
        z = self.means(x)
        if self.config.bits is None:
            return z
        if not self.step.any():
            raise ValueError("the grid is not set: call train_tokenizer or calibrate first, or give bits=None")
        return rounded(z, self.low, self.step, 2**self.config.bits)

    def decode(self, z: Tensor) -> Tensor:
        """x_hat of z (B, 1, latent): (B, d)."""
        return self.decoder(z.flatten(1))

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The reconstruction error of a batch x (B, d), without rounding: "reconstruction" and "total", equal."""
        reconstruction = (self.decode(self.means(x)) - x).square().mean()
        return {"reconstruction": reconstruction, "total": reconstruction}

    def finish(self, x: Tensor) -> None:
        if self.config.bits is not None:
            self.calibrate(x)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the grid from x (n, d): of half-widths from 1 to 8 standard deviations the one with the least error."""
        z = self.means(x).flatten(1)
        mean, std = z.mean(0), z.std(0, unbiased=False).clamp(min=1e-12)  # a constant channel has a tiny grid, not none
        best = torch.full_like(mean, math.inf)
        for reach in torch.linspace(1, 8, 29).tolist():
            low, step = mean - reach * std, 2 * reach * std / 2**self.config.bits
            error = (rounded(z, low, step, 2**self.config.bits) - z).square().mean(0)
            better = error < best
            best = torch.where(better, error, best)
            self.low[better], self.step[better] = low[better], step[better]

    def rate_bits(self, x: Tensor | None = None) -> float:
        """bits * latent, whatever x is; infinite where nothing is rounded."""
        return math.inf if self.config.bits is None else float(self.config.bits * self.config.latent)


def sampled(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """mean + std * eps, differentiable in both (the reparameterisation), in any shape."""
    return mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator, device=mean.device)


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, summed over all but the first dimension: (B, ...) -> (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def rounded(z: Tensor, low: Tensor, step: Tensor, cells: int) -> Tensor:
    """Centres of the cells that hold z, of ``cells`` cells of width ``step`` from ``low`` on: (..., D) -> (..., D)."""
    return low + (((z - low) / step).floor().clamp(0, cells - 1) + 0.5) * step
