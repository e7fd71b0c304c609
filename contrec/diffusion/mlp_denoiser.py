"""DeftRec's denoising network: sums of the noisy vector, the condition and the time, and two residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrec.diffusion.ddpm import NoiseSchedule
from contrec.diffusion.denoiser import Condition, Direct


class MLPDenoiser(nn.Module):
    """u = y_t + m(c) + e_t, then u <- u + g(u) for every block ("a small MLP", Sect. 2.4.2, DeftRec; released code).

    m and g are ReLU, dropout, linear to ``width``, ReLU, dropout, linear to d; e_t is a row of a frozen random table
    (Xavier normal). Of several condition vectors the mean of m is taken.

    Args:
        dim: d, length of a preference vector.
        schedule: for T.
        condition_dim: length of a condition vector.
        width: inner width of m and g; 512 in the released code.
        n_blocks: 2 in the released code.
        dropout: .2 in the released code.
        head: "plain" | "direct", as of :class:`contrec.diffusion.denoiser.Denoiser`.
        n_condition: not needed, since a mean takes any number.
    """

    def __init__(
        self, dim: int, schedule: NoiseSchedule, *, condition_dim: int, width: int, n_blocks: int, dropout: float,
        head: str = "plain", n_condition: int | None = None,
    ):  # fmt: skip
        super().__init__()
        self.condition_in = _mlp(condition_dim, width, dim, dropout)
        self.blocks = nn.ModuleList(_mlp(dim, width, dim, dropout) for _ in range(n_blocks))
        table = nn.init.xavier_normal_(torch.empty(schedule.timesteps, dim))
        self.register_buffer("time_table", table)  # random, so it is kept
        self.direct = Direct(dim, width, schedule) if head == "direct" else None

    def encode(self, c: Tensor, user: Tensor | None = None) -> Condition:
        """What the steps need of a condition, c (B, M, condition_dim); user (B, d) with the direct head."""
        fused = self.condition_in(c).mean(1)
        return Condition(fused, None if self.direct is None else self.direct.query(fused, user))

    def forward(self, y_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Prediction, (B, d), and h = u before the blocks, (B, d); arguments as of Denoiser.forward."""
        h = u = y_t + condition.fused + self.time_table[t - 1]
        for block in self.blocks:
            u = u + block(u)
        return (u if self.direct is None else self.direct(y_t, t, condition.query, u)), h


def _mlp(inner: int, width: int, outer: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outer)
    )
