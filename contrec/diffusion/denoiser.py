"""The denoising network: conditions encoded once a user, fused with the noisy vector and the time at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrec.checks import in_range, one_of, positive
from contrec.diffusion.ddpm import NoiseSchedule

HEADS = ("plain", "direct")


@dataclass(frozen=True)
class Condition:
    """A condition as the denoiser uses it at every step: what does not depend on t is computed once.

    Attributes:
        fused: the condition's share of the feed-forward layer, shape (B, width).
        query: where the direct head points, length sqrt(dim), shape (B, dim); None with the plain head.
    """

    fused: Tensor
    query: Tensor | None

    def repeat(self, n: int) -> Condition:
        """Each row ``n`` times in a row: shape (B * n, ...)."""
        return self._map(lambda x: x.repeat_interleave(n, dim=0))

    def join(self, other: Condition) -> Condition:
        """The rows of both, one below the other."""
        query = None if self.query is None else torch.cat([self.query, other.query])
        return Condition(torch.cat([self.fused, other.fused]), query)

    def _map(self, f) -> Condition:
        return Condition(f(self.fused), None if self.query is None else f(self.query))


class Denoiser(nn.Module):
    r"""F_theta(y_t, c, t): a Transformer layer over the condition, a feed-forward layer to fuse, two projections.

    Sect. 3.4, ContRec ("a Transformer encoder layer to encode the conditioning information, a feed-forward layer to
    fuse features, and two projection layers for dimensionality mapping"); the residual blocks are our choice.

    head "plain" is that network. head "direct" predicts x0 only and starts from a pointer that sees no noise:

        query = sqrt(dim) normalised(user + f(c, user))
        x0 = query + w(t) (g1 y_t + g2 query + MLP(y_t, c, t)),     w(t) = min(1, sqrt(alpha_bar) / (1 - alpha_bar))

    with f, g1, g2 and the MLP's last layer at zero to begin with, so that training starts from the user token. At t = T
    nothing is left of the signal and w is set to exactly 0.

    Args:
        dim: length of a preference vector.
        schedule: for T and w(t).
        n_condition: M, condition vectors a user.
        condition_dim: their length, mapped to ``dim`` where it differs; None: ``dim``.
        width: of the hidden state h.
        n_blocks: residual blocks after the feed-forward layer, 0 or more.
        dropout: 0..1.
        head: "plain" | "direct".
    """

    def __init__(
        self,
        dim: int,
        schedule: NoiseSchedule,
        *,
        n_condition: int = 4,
        condition_dim: int | None = None,
        width: int = 256,
        n_blocks: int = 2,
        dropout: float = 0.1,
        head: str = "plain",
    ):
        super().__init__()
        for name, value in (("dim", dim), ("n_condition", n_condition), ("width", width)):
            positive(name, value)
        in_range("dropout", dropout, 0, 1)
        one_of("head", head, HEADS)
        self.dim, self.n_condition, self.width, self.timesteps = dim, n_condition, width, schedule.timesteps
        self.condition_dim = condition_dim or dim
        self.condition_in = nn.Identity() if self.condition_dim == dim else nn.Linear(self.condition_dim, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(n_condition, dim))
        self.encoder = nn.TransformerEncoderLayer(
            dim, math.gcd(dim, 4), 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(dim)
        # one linear layer on the concatenation [y_t, c, e_t], kept as three so that c's share is computed once a user
        self.project_in = nn.Linear(dim, width)
        self.fuse_condition = nn.Linear(dim, width, bias=False)
        self.fuse_time = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width, bias=False))
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(n_blocks))
        self.project_out = nn.Linear(width, dim)
        self.register_buffer("frequencies", frequencies(width, schedule.timesteps), persistent=False)
        self.direct = Direct(dim, width, schedule) if head == "direct" else None
        if self.direct is not None:
            nn.init.zeros_(self.project_out.weight)
            nn.init.zeros_(self.project_out.bias)

    def encode(self, c: Tensor, user: Tensor | None = None) -> Condition:
        """What the steps need of a condition, computed once a user.

        Args:
            c: condition vectors, shape (B, M, condition_dim).
            user: user tokens, shape (B, dim), used by the direct head only; None, or a row of zeros, means unknown.

        Raises:
            ValueError: if a shape does not fit.
        """
        if c.dim() != 3 or c.shape[1:] != (self.n_condition, self.condition_dim):
            raise ValueError(f"c must have shape (B, {self.n_condition}, {self.condition_dim}), got {tuple(c.shape)}")
        if user is not None and user.shape != (len(c), self.dim):
            raise ValueError(f"user must have shape ({len(c)}, {self.dim}), got {tuple(user.shape)}")
        vector = self.norm(self.encoder(self.condition_in(c) + self.positions).mean(1))
        query = None if self.direct is None else self.direct.query(vector, user)
        return Condition(self.fuse_condition(vector), query)

    def forward(self, y_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Predict epsilon or x0 (what it is trained for) at step t.

        Args:
            y_t: noisy vectors, shape (B, dim).
            t: steps in 1..T, int64, shape (B,), or (1,) for one step that all rows share.
            condition: from :meth:`encode`, of B rows.

        Returns:
            prediction, shape (B, dim); h, the hidden state of the feed-forward layer that Eq. (19) acts on, (B, width).
        """
        angle = t[:, None].to(self.frequencies.dtype) * self.frequencies
        time = self.fuse_time(torch.cat([angle.sin(), angle.cos()], dim=1)[:, : self.width])
        h = F.gelu(self.project_in(y_t) + condition.fused + time)
        x = h
        for block in self.blocks:
            x = block(x)
        out = self.project_out(x)
        if self.direct is not None:
            out = self.direct(y_t, t, condition.query, out)
        return out, h


class _Block(nn.Sequential):
    """x + MLP(LayerNorm(x))."""

    def __init__(self, width: int, dropout: float):
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Direct(nn.Module):
    """The pointer inside a denoiser with head "direct" (see :class:`Denoiser`)."""

    def __init__(self, dim: int, width: int, schedule: NoiseSchedule):
        super().__init__()
        # a zero vector has no direction to start from, so that an unknown user gets a trained one
        self.unknown_user = nn.Parameter(torch.randn(dim))
        self.learned = nn.Sequential(nn.Linear(2 * dim, width), nn.GELU(), nn.Linear(width, dim))
        nn.init.zeros_(self.learned[-1].weight)
        nn.init.zeros_(self.learned[-1].bias)
        self.gains = nn.Parameter(torch.zeros(2))
        a = schedule.alpha_bar
        weight = (a.sqrt() / (1 - a)).clamp(max=1)
        weight[-1] = 0
        self.register_buffer("weight", weight.float(), persistent=False)

    def query(self, vector: Tensor, user: Tensor | None) -> Tensor:
        unknown = self.unknown_user.expand_as(vector)
        if user is None:
            user = unknown
        else:
            user = torch.where(user.square().sum(1, keepdim=True) > 0, user, unknown)
        user = _to_length(user)
        return _to_length(user + self.learned(torch.cat([vector, user], dim=1)))

    def forward(self, y_t: Tensor, t: Tensor, query: Tensor, out: Tensor) -> Tensor:
        w = self.weight[t - 1].unsqueeze(1)
        return query + w * (self.gains[0] * y_t + self.gains[1] * query + out)


def _to_length(x: Tensor) -> Tensor:
    """Rows scaled to length sqrt(dim), the length of unit-variance vectors."""
    return math.sqrt(x.shape[1]) * F.normalize(x, dim=1, eps=1e-6)


def frequencies(width: int, timesteps: int) -> Tensor:
    """Sinusoid frequencies with wavelengths from 2 pi to 2 pi 10^4 steps, scaled to T = 1,000."""
    half = (width + 1) // 2
    return 1000 / timesteps * torch.exp(-math.log(10_000) * torch.arange(half) / half)
