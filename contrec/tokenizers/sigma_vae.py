"""The sigma-VAE tokenizer: an embedding in, K continuous tokens out, and back (Sect. 3.2, Eqs. 9-12, ContRec)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from contrec.tokenizers.base import ContinuousTokenizer, masked, mlp
from contrec.tokenizers.config import TokenizerConfig

_FIXED_SIGMA, _FIXED_SEED = 0.1, 42  # sigma_mode "fixed": deviation of the one sigma, seed of all that is drawn


class SigmaVAE(ContinuousTokenizer):
    """K masked encoders, one scalar noise level per token, one decoder over all tokens.

    Args:
        dim: width d of the embeddings.
        config: structure and loss settings.

    Attributes:
        sigma_scale: Gamma, the standard deviation of sigma_k; 0 until the first training batch has set it.
        constant: what is added to every token, in training or not, (D,): 0 but with ``sigma_mode`` "fixed".
    """

    def __init__(self, dim: int, config: TokenizerConfig):
        super().__init__(dim, config)
        k, width = config.n_tokens, config.width
        self.encoders = nn.ModuleList(mlp(dim, width, width, config.token_dim) for _ in range(k))
        self.decoder = mlp((k if config.pool == "concat" else 1) * config.token_dim, width, width, dim)
        self.shift = nn.Parameter(torch.empty(dim).uniform_(-1 / dim, 1 / dim)) if config.shift else None
        self.register_buffer("sigma_scale", torch.zeros(()))
        stream = torch.Generator().manual_seed(_FIXED_SEED)
        sigma = _FIXED_SIGMA * torch.randn((), generator=stream) * (config.sigma_mode == "fixed")
        self.register_buffer("constant", sigma * torch.randn(config.token_dim, generator=stream), persistent=False)

    def means(self, x: Tensor) -> Tensor:
        """mu_k of each sub-encoder (Eq. 9 without the mask): x (B, d) -> (B, K, D)."""
        return self._encode([x] * len(self.encoders))

    def _encode(self, views: list[Tensor]) -> Tensor:
        if self.shift is not None:
            views = [view + self.shift for view in views]
        return torch.stack([encoder(view) for encoder, view in zip(self.encoders, views, strict=True)], dim=1)

    def add_noise(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """z_k + sigma_k * eps with a fresh scalar sigma_k ~ N(0, Gamma) for each token (Eq. 10); z (B, K, D).

        Gamma is 0 with ``sigma_mode`` "none"; with "fixed" all that is added is in the tokens of :meth:`encode`.
        """
        if self.config.sigma_mode == "fixed":
            return z
        sigma = self.sigma_scale * torch.randn(z.shape[:2] + (1,), generator=generator, device=z.device)
        return z + sigma * torch.randn(z.shape, generator=generator, device=z.device)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens of embeddings, never masked: x (B, d) -> (B, K, D).

        Without a generator these are the means mu_k; with one, mu_k + sigma_k eps (Eq. 10), where in training the first
        call sets Gamma. With ``sigma_mode`` "fixed", as in the released code, a constant vector is added to each token.
        """
        mu = self.means(x)
        if generator is None:
            return mu + self.constant
        self._set_scale(mu, x)
        return self.add_noise(mu + self.constant, generator)

    def _set_scale(self, mu: Tensor, x: Tensor) -> None:
        """Gamma from the first batch of training, means mu (B, K, D) of x (B, d)."""
        if self.training and not self.sigma_scale and self.config.sigma_mode == "sampled":
            self.sigma_scale.copy_((mu if self.config.gamma_from == "mu" else x).detach().std())

    def decode(self, z: Tensor) -> Tensor:
        """x_hat of concatenated tokens (Eq. 11), or of their mean (``pool``): z (B, K, D) -> (B, d)."""
        return self.decoder(z.flatten(1) if self.config.pool == "concat" else z.mean(1))

    def loss(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Both terms of Eq. (12) for a training batch x (B, d); the first call sets Gamma.

        Every encoder sees its own mask: elements are set to 0 with probability rho (Eq. 9). Both terms are means over
        dimensions (the paper's squared norms divided by d and D), so ``kl_weight`` does not depend on the widths.

        Returns:
            "reconstruction", "prior" (mean of mu squared) and "total" = reconstruction + kl_weight * prior.
        """
        config = self.config
        if config.mask_shared:
            views = [masked(x, config.mask_ratio, generator, shared=True)] * len(self.encoders)
        else:
            views = [masked(x, config.mask_ratio, generator) for _ in self.encoders]
        mu = self._encode(views)
        self._set_scale(mu, x)
        reconstruction = (self.decode(self.add_noise(mu + self.constant, generator)) - x).square().mean()
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
