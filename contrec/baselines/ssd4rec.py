"""SSD4Rec: a bidirectional Mamba-2 block over the history (Qu et al., 2024)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrec.baselines.sequences import SequenceModel, last_position
from contrec.checks import in_range, positive
from contrec.data.interactions import Cases
from contrec.data.training_cases import training_cases

CONV = 4  # width of the convolution, as published


class SSD4Rec(SequenceModel):
    """Mamba-2 forward and, with the same weights, on the reversed history; the state at the newest item is read.

    A state sees later items through the reversed pass, so that only the target after the newest item is trained. At the
    newest item the reversed pass has read nothing else: what it adds there comes from a second layer on.

    Args:
        layers: 1 (Amazon) or 2 (ML-1M, KuaiRand) as published.
        state, head_dim, expand: N, P and the inner width over d of Mamba-2; 64, 16 and 2 as published.
        backward_weight: of the reversed pass, .1 as published.
        mask_ratio: share of items whose vector becomes a learned one in training, .1 or .2 as published.
        cases_per_user: most prefixes of each user that an epoch trains on, drawn from ``split.train_cases``. All of
            a user's are published; on LastFM they were no better (validation NDCG@10 .018, .020 with the last 10).
        dim, length, dropout: 256, 50 (200 on ML-1M) and .4 (.2 on ML-1M and KuaiRand) as published.
        loss: "softmax" as published.
        negatives, **loop: see :class:`~contrec.baselines.sequences.SequenceModel`.

    Raises:
        ValueError: if a setting is out of range, or heads of ``head_dim`` do not fill ``expand * dim``.
    """

    LOOP = {"epochs": 40, "batch_size": 256, "lr": 1e-3}
    positions = staticmethod(last_position)

    def __init__(
        self, dim: int = 64, layers: int = 1, state: int = 32, head_dim: int = 16, expand: int = 2,
        backward_weight: float = 0.1, mask_ratio: float = 0.2, cases_per_user: int = 10, dropout: float = 0.4,
        length: int = 50, loss: str = "softmax", negatives: int = 256, **loop,
    ):  # fmt: skip
        super().__init__(dim, length, dropout, loss, negatives, **loop)
        sizes = {"layers": layers, "state": state, "head_dim": head_dim, "expand": expand}
        for name, value in {**sizes, "cases_per_user": cases_per_user}.items():
            positive(name, value)
        in_range("backward_weight", backward_weight, 0, math.inf)
        in_range("mask_ratio", mask_ratio, 0, 1)
        if expand * dim % head_dim:
            raise ValueError(f"head_dim must divide expand * dim = {expand * dim}, got {head_dim}")
        self.sizes, self.cases_per_user = sizes, cases_per_user
        self.backward_weight, self.mask_ratio = backward_weight, mask_ratio

    def encoder(self) -> nn.Module:
        return Bidirectional(
            self.dim, **self.sizes, backward_weight=self.backward_weight, mask_ratio=self.mask_ratio,
            dropout=self.dropout,
        )  # fmt: skip

    def training_cases(self, rng: np.random.Generator) -> Cases:
        return training_cases(self._split, "prefix", self.cases_per_user, rng)


class Bidirectional(nn.Module):
    """Encoder of :class:`~contrec.baselines.sequences.NextItem`: masked items, then ``layers`` of :class:`Layer`."""

    def __init__(
        self, dim: int, layers: int, state: int, head_dim: int, expand: int, backward_weight: float,
        mask_ratio: float, dropout: float,
    ):  # fmt: skip
        super().__init__()
        self.mask, self.mask_ratio = nn.Parameter(torch.randn(dim) * dim**-0.5), mask_ratio
        self.enter = nn.Sequential(nn.LayerNorm(dim), nn.Dropout(dropout))
        self.layers = nn.ModuleList(
            Layer(dim, Mamba2(dim, state, head_dim, expand), backward_weight, dropout) for _ in range(layers)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, L, d), lengths (B,) -> (B, L, d)."""
        if self.training:
            masked = torch.rand(x.shape[:2], device=x.device) < self.mask_ratio
            x = torch.where(masked[:, :, None], self.mask, x)
        x, back = self.enter(x), reversal(lengths, x.shape[1])
        for layer in self.layers:
            x = layer(x, back)
        return x


def reversal(lengths: Tensor, length: int) -> Tensor:
    """Places that turn each row's first ``lengths`` items around, padding left where it is: int64 (B, length)."""
    place = torch.arange(length, device=lengths.device)
    return torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)


class Layer(nn.Module):
    """LayerNorm(x + forward + w backward), then LayerNorm(x + FFN(x)) with a GELU layer four times as wide."""

    def __init__(self, dim: int, mixer: nn.Module, backward_weight: float, dropout: float):
        super().__init__()
        self.mixer, self.backward_weight, self.dropout = mixer, backward_weight, nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim), nn.Dropout(dropout)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))

    def forward(self, x: Tensor, back: Tensor) -> Tensor:
        """x (B, L, d), back (B, L) of :func:`reversal` -> (B, L, d)."""
        back = back[:, :, None].expand_as(x)
        backward = self.mixer(x.gather(1, back)).gather(1, back)  # a reversal undoes itself
        x = self.norms[0](x + self.dropout(self.mixer(x) + self.backward_weight * backward))
        return self.norms[1](x + self.feed_forward(x))


class Mamba2(nn.Module):
    r"""The Mamba-2 mixer in its quadratic form (Dao and Gu, ICML 2024, state space duality), one group, causal.

    Y_i = sum_{j <= i} (C_i . B_j) exp(s_i - s_j) dt_j X_j + D X_i,  s_i = sum_{j <= i} dt_j A a head

    Time and memory grow with L^2. On one core, forward and backward take a third of the time of transformers' linear
    form (in chunks of 64) at 50 items and 1.4 times its time at 200.
    Parameters have the names and shapes of transformers' ``Mamba2Mixer`` with ``n_groups=1``.

    Args:
        dim, state, head_dim, expand: d, N, P and the inner width over d; H = expand d / P heads.
    """

    def __init__(self, dim: int, state: int, head_dim: int, expand: int):
        super().__init__()
        inner = expand * dim
        heads, mixed = inner // head_dim, inner + 2 * state
        self.split, self.parts = (inner, mixed, heads), (inner, state, state)
        self.in_proj = nn.Linear(dim, inner + mixed + heads, bias=False)
        self.conv1d = nn.Conv1d(mixed, mixed, CONV, groups=mixed, padding=CONV - 1)
        step = torch.exp(torch.empty(heads).uniform_(math.log(1e-3), math.log(0.1)))
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus of it is the step
        self.A_log = nn.Parameter(torch.arange(1, heads + 1).float().log())
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner, eps=1e-5)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """(B, L, d) -> (B, L, d)."""
        length = u.shape[1]
        gate, mixed, dt = self.in_proj(u).split(self.split, dim=2)
        mixed = F.silu(self.conv1d(mixed.transpose(1, 2))[:, :, :length]).transpose(1, 2)
        x, b, c = mixed.split(self.parts, dim=2)
        x = x.unflatten(2, (len(self.D), -1)).transpose(1, 2)  # (B, H, L, P)
        dt = F.softplus(dt + self.dt_bias).transpose(1, 2)  # (B, H, L)
        s = torch.cumsum(-self.A_log.exp()[:, None] * dt, dim=2)
        ahead = torch.ones(length, length, dtype=torch.bool, device=u.device).triu(1)
        # before exp: what lies ahead would overflow, and its gradient with it
        decay = (s[:, :, :, None] - s[:, :, None]).masked_fill(ahead, -torch.inf).exp()
        y = (decay * (c @ b.mT)[:, None]) @ (dt[..., None] * x) + self.D[:, None, None] * x
        return self.out_proj(self.norm(y.transpose(1, 2).flatten(2) * F.silu(gate)))
