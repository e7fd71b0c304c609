"""The masked K-way encoder: tokens without a decoder, trained jointly with the language model (Sect. 2.3, DeftRec)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrec.tokenizers.base import ContinuousTokenizer, masked
from contrec.tokenizers.config import TokenizerConfig


class MaskedEncoder(ContinuousTokenizer):
    """K sub-encoders read one embedding of which elements are hidden (Eq. 2, DeftRec).

    Each is a residual block (ReLU, dropout, linear d-d) and an output block (ReLU, dropout, linear d-D, ReLU). The
    paper says "several residual blocks"; one, and a last ReLU, are the released code's. There is nothing to decode:
    what trains it is the loss of the language model that reads its tokens.

    Args:
        dim: width d of the embeddings.
        config: n_tokens K, token_dim D, mask_ratio, mask_shared, shift and dropout are read.
    """

    def __init__(self, dim: int, config: TokenizerConfig):
        super().__init__(dim, config)
        self.encoders = nn.ModuleList(_SubEncoder(dim, config) for _ in range(config.n_tokens))
        self.shift = nn.Parameter(torch.empty(dim).uniform_(-1 / dim, 1 / dim)) if config.shift else None

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens of embeddings: x (B, d) -> (B, K, D), each at least 0.

        With a generator elements are set to 0 with probability rho, as in training; without one nothing is random.
        """
        if generator is not None:
            x = masked(x, self.config.mask_ratio, generator, self.config.mask_shared)
        if self.shift is not None:
            x = x + self.shift
        return torch.stack([encoder(x) for encoder in self.encoders], dim=1)

    def means(self, x: Tensor) -> Tensor:
        """The tokens of :meth:`encode` without a mask: x (B, d) -> (B, K, D)."""
        return self.encode(x)


class _SubEncoder(nn.Module):
    def __init__(self, dim: int, config: TokenizerConfig):
        super().__init__()
        self.residual = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(dim, dim))
        self.out = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(dim, config.token_dim), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + self.residual(x))


class Projection(ContinuousTokenizer):
    """K linear maps: what stands for the tokenizer where it is left out ("w/o Encoder", Sect. 3.4, DeftRec).

    Args:
        dim: width d of the embeddings.
        config: n_tokens K and token_dim D are read.
    """

    def __init__(self, dim: int, config: TokenizerConfig):
        super().__init__(dim, config)
        self.project = nn.Linear(dim, config.n_tokens * config.token_dim)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens of embeddings: x (B, d) -> (B, K, D); never random."""
        return self.project(x).unflatten(1, (self.config.n_tokens, self.config.token_dim))

    def means(self, x: Tensor) -> Tensor:
        """As :meth:`encode`."""
        return self.encode(x)
