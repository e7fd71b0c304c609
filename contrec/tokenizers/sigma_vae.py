"""The sigma-VAE tokenizer: an embedding in, K continuous tokens out, and back (Sect. 3.2, Eqs. 9-12, ContRec)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from contrec.checks import in_range, one_of, positive
from contrec.tokenizers.base import ContinuousTokenizer, masked, mlp


@dataclass(frozen=True)
class TokenizerConfig:
    """Settings of the tokenizer and its training (phase 1)."""

    n_tokens: int = 3  # K, searched in 1..5 (Sect. 4.1.4, ContRec); three in the printed prompt (Appendix B.1)
    token_dim: int = 32  # D, the width of one token; our choice: K * D stays below the input width
    width: int = 256  # of the MLPs' two hidden layers; our choice: the wider layer of the released code
    mask_ratio: float = 0.2  # rho, searched in 0..1 (Sect. 4.1.4); 0.2 is the best printed one (Sect. 3.5.1, DeftRec)
    kl_weight: float = 1e-3  # beta of Eq. (12); the value is not printed: our choice
    gamma_from: str = "mu"  # Gamma is the std of "mu" or of the "input" over the first batch (Sect. 3.2 allows both)
    sigma_zero: bool = False  # Eq. (10); True: no noise at all, to show the collapse that sigma prevents
    lr: float = 1e-3  # our choice; Sect. 4.1.4 prints 1e-4 for 200 epochs of a larger set
    weight_decay: float = 1e-3  # Sect. 4.1.4
    epochs: int = 60  # our choice: 200 in Sect. 4.1.4, at a smaller learning rate
    batch_size: int = 512  # our choice: the paper prints none for phase 1

    def __post_init__(self):
        for name in ("n_tokens", "token_dim", "width", "epochs", "batch_size"):
            positive(name, getattr(self, name))
        in_range("mask_ratio", self.mask_ratio, 0, 1)
        in_range("kl_weight", self.kl_weight, 0, 1e3)
        in_range("lr", self.lr, 0, 1)
        in_range("weight_decay", self.weight_decay, 0, 1e6)
        one_of("gamma_from", self.gamma_from, ("mu", "input"))


class SigmaVAE(ContinuousTokenizer):
    """K masked encoders, one scalar noise level per token, one decoder over all tokens.

    Args:
        dim: width d of the embeddings.
        config: structure and loss settings.

    Attributes:
        sigma_scale: Gamma, the standard deviation of sigma_k; 0 until the first training batch has set it.
    """

    def __init__(self, dim: int, config: TokenizerConfig):
        super().__init__(dim, config)
        k, width = config.n_tokens, config.width
        self.encoders = nn.ModuleList(mlp(dim, width, width, config.token_dim) for _ in range(k))
        self.decoder = mlp(k * config.token_dim, width, width, dim)
        self.register_buffer("sigma_scale", torch.zeros(()))

    def means(self, x: Tensor) -> Tensor:
        """mu_k of each sub-encoder (Eq. 9 without the mask): x (B, d) -> (B, K, D)."""
        return torch.stack([encoder(x) for encoder in self.encoders], dim=1)

    def add_noise(self, mu: Tensor, generator: torch.Generator | None) -> Tensor:
        """z_k = mu_k + sigma_k * eps with a fresh scalar sigma_k ~ N(0, Gamma) for each token (Eq. 10)."""
        sigma = self.sigma_scale * torch.randn(mu.shape[:2] + (1,), generator=generator, device=mu.device)
        return mu + sigma * torch.randn(mu.shape, generator=generator, device=mu.device)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens of embeddings, never masked: x (B, d) -> (B, K, D).

        Without a generator these are the means mu_k; with one, mu_k + sigma_k eps (Eq. 10).
        """
        mu = self.means(x)
        return mu if generator is None else self.add_noise(mu, generator)

    def decode(self, z: Tensor) -> Tensor:
        """x_hat of concatenated tokens (Eq. 11): z (B, K, D) -> (B, d)."""
        return self.decoder(z.flatten(1))

    def loss(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Both terms of Eq. (12) for a training batch x (B, d); the first call sets Gamma.

        Every encoder sees its own mask: elements are set to 0 with probability rho (Eq. 9). Both terms are means over
        dimensions (the paper's squared norms divided by d and D), so ``kl_weight`` does not depend on the widths.

        Returns:
            "reconstruction", "prior" (mean of mu squared) and "total" = reconstruction + kl_weight * prior.
        """
        rho = self.config.mask_ratio
        views = [masked(x, rho, generator) for _ in self.encoders]
        mu = torch.stack([encoder(v) for encoder, v in zip(self.encoders, views, strict=True)], dim=1)
        if self.training and not self.sigma_scale and not self.config.sigma_zero:
            self.sigma_scale.copy_((mu if self.config.gamma_from == "mu" else x).detach().std())
        reconstruction = (self.decode(self.add_noise(mu, generator)) - x).square().mean()
        prior = mu.square().mean()
        return {
            "reconstruction": reconstruction,
            "prior": prior,
            "total": reconstruction + self.config.kl_weight * prior,
        }

    @torch.no_grad()
    def rate_bits(self, x: Tensor) -> float:
        """Bits that one embedding's tokens carry through the noise: sum of 1/2 log2(1 + var(mu) / E sigma^2).

        Infinite without noise. E sigma_k^2 is Gamma^2.
        """
        if not self.sigma_scale:
            return math.inf
        return float(0.5 * torch.log2(1 + self.channel_variance(x) / self.sigma_scale.square()).sum())
