"""BSARec: self-attention beside a filter over the history's frequencies (Shin et al., AAAI 2024)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from contrec.baselines.sequences import SequenceModel, last_position
from contrec.checks import in_range, positive
from contrec.data.interactions import Cases
from contrec.data.training_cases import training_cases


class BSARec(SequenceModel):
    """Post-norm blocks whose first half is alpha * filter + (1 - alpha) * causal self-attention.

    The filter keeps a history's slow changes as they are and scales its fast ones by a learned weight. It is not
    causal: a state sees what came after it. So, as published, only the target after the newest item is trained, on
    prefixes of the train rows.

    Args:
        layers, heads: 2, and the best of 1, 2 and 4, as published.
        alpha: share of the filter, in [0, 1]; the best of .1, .3, .5, .7 and .9 as published (LastFM .9, Beauty .7).
        cutoff: c, how many of the ``length`` frequencies are slow; the best of 1, 3, 5, 7 and 9 (LastFM 3, Beauty 5).
        cases_per_user: most prefixes of each user that an epoch trains on, drawn from ``split.train_cases``; all as
            published.
        dim, length, dropout: 64, 50 and .5 as published.
        loss: "softmax" as published.
        negatives, **loop: see :class:`~contrec.baselines.sequences.SequenceModel`.

    Raises:
        ValueError: if a setting is out of range.
    """

    LOOP = {"epochs": 60, "batch_size": 256, "lr": 1e-3}
    positions = staticmethod(last_position)

    def __init__(
        self, dim: int = 64, layers: int = 2, heads: int = 1, alpha: float = 0.7, cutoff: int = 5,
        cases_per_user: int = 10, dropout: float = 0.5, length: int = 50, loss: str = "softmax", negatives: int = 256,
        **loop,
    ):  # fmt: skip
        super().__init__(dim, length, dropout, loss, negatives, **loop)
        sizes = {"layers": layers, "heads": heads, "cutoff": cutoff, "cases_per_user": cases_per_user}
        for name, value in sizes.items():
            positive(name, value)
        in_range("alpha", alpha, 0, 1)
        if dim % heads:
            raise ValueError(f"dim must be a multiple of heads, got dim {dim} and {heads} heads")
        self.layers, self.heads, self.alpha, self.cutoff = layers, heads, alpha, cutoff
        self.cases_per_user = cases_per_user

    def encoder(self) -> nn.Module:
        return Filtered(self.dim, self.layers, self.heads, self.alpha, self.cutoff, self.dropout, self.length)

    def training_cases(self, rng: np.random.Generator) -> Cases:
        return training_cases(self._split, "prefix", self.cases_per_user, rng)


class Filtered(nn.Module):
    """Encoder of :class:`~contrec.baselines.sequences.NextItem`, positions counted back from the newest item.

    Frequencies are those of the whole ``length``, in which a shorter history has zeros beside it: what else a batch
    holds changes nothing.
    """

    def __init__(self, dim: int, layers: int, heads: int, alpha: float, cutoff: int, dropout: float, length: int):
        super().__init__()
        self.position = nn.Parameter(torch.randn(length, dim) * dim**-0.5)
        self.enter = nn.Sequential(nn.LayerNorm(dim), nn.Dropout(dropout))
        self.blocks = nn.ModuleList(Block(dim, heads, alpha, dropout) for _ in range(layers))
        self.register_buffer("low_pass", low_pass(length, cutoff), persistent=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, L, d), lengths (B,) -> (B, L, d), zeros at padding."""
        size, place = x.shape[1], torch.arange(x.shape[1], device=x.device)
        real = (place < lengths[:, None])[:, :, None]
        x = self.enter(x + self.position[(lengths[:, None] - 1 - place).clamp_min(0)]) * real
        mask = nn.Transformer.generate_square_subsequent_mask(size, device=x.device)
        for block in self.blocks:
            x = block(x, self.low_pass[:size, :size], mask) * real
        return x


def low_pass(length: int, cutoff: int) -> Tensor:
    """The map of a sequence to its frequencies up to ``cutoff // 2``: (length, length), of the difference of places."""
    waves = torch.fft.rfft(torch.eye(length), dim=0)
    waves[cutoff // 2 + 1 :] = 0
    return torch.fft.irfft(waves, n=length, dim=0)


class Block(nn.Module):
    """norm(x + slow + beta^2 fast) mixed with norm(x + attention), then norm(x + FFN(x)) with GELU, 4 d wide."""

    def __init__(self, dim: int, heads: int, alpha: float, dropout: float):
        super().__init__()
        self.alpha, self.beta = alpha, nn.Parameter(torch.randn(dim))
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, low_pass: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, d), zeros at padding; low_pass and mask (L, L) -> (B, L, d)."""
        slow = low_pass @ x
        filtered = self.norms[0](x + self.dropout(slow + self.beta**2 * (x - slow)))
        told = self.attention(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]
        x = self.alpha * filtered + (1 - self.alpha) * self.norms[1](x + self.dropout(told))
        return self.norms[2](x + self.dropout(self.feed_forward(x)))
