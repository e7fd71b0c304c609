"""The forward process: noise schedules, noising in closed form, and the two ways to say what was predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from contrec.checks import in_range, one_of, positive

KINDS = ("linear", "cosine", "exp")


@dataclass(frozen=True)
class NoiseSchedule:
    r"""Variances beta_t of the forward process and their products (Eq. (6), ContRec and DeftRec; no values printed).

    Kinds:
        linear: beta from 1e-4 to 0.02 in equal steps (Ho et al. 2020).
        cosine: alpha_bar follows cos^2 with offset s = 0.008, beta at most 0.999 (Nichol and Dhariwal 2021).
        exp: beta_t = 1 - exp(-0.1 / T - 4.95 s_t / T^2), s_t from 1 to 2T + 1 in equal steps (ContRec's released code).

    Attributes:
        kind: "linear" | "cosine" | "exp".
        timesteps: T, a whole number of at least 2.

    Raises:
        ValueError: for another kind, or fewer than 2 steps.
    """

    kind: str = "linear"
    timesteps: int = 1000

    def __post_init__(self):
        one_of("schedule", self.kind, KINDS)
        positive("timesteps", self.timesteps)
        if self.timesteps < 2:
            raise ValueError(f"timesteps must be at least 2, got {self.timesteps}")

    @cached_property
    def betas(self) -> Tensor:
        """Variances beta_1..beta_T, float64 on the CPU, shape (T,), each in (0, 1)."""
        T = self.timesteps
        if self.kind == "linear":
            return torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
        if self.kind == "exp":
            s = torch.linspace(1, 2 * T + 1, T, dtype=torch.float64)
            return 1 - torch.exp(-0.1 / T - 0.5 * 9.9 * s / T**2)
        u = torch.arange(T + 1, dtype=torch.float64) / T
        curve = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        # the curve reaches 0 at T, where beta would be 1 and alpha_bar 0: then x0 could not be told from epsilon
        return (1 - curve[1:] / curve[:-1]).clamp(max=0.999)

    @cached_property
    def alpha_bar(self) -> Tensor:
        """Cumulative products of 1 - beta, float64 on the CPU, shape (T,), strictly decreasing in (0, 1)."""
        return torch.cumprod(1 - self.betas, dim=0)

    def at(self, t: int) -> float:
        """alpha_bar at step ``t`` in 0..T; at 0, the clean end, it is 1."""
        in_range("t", t, 0, self.timesteps)
        return 1.0 if t == 0 else float(self.alpha_bar[t - 1])


def _roots(t: Tensor, alpha_bar: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t) as columns that broadcast over ``like``, shape (B, D)."""
    if t.numel() and (int(t.min()) < 1 or int(t.max()) > len(alpha_bar)):
        raise ValueError(f"t must lie in [1, {len(alpha_bar)}] (1-based), got {int(t.min())}..{int(t.max())}")
    a = alpha_bar.to(t.device)[t - 1].unsqueeze(-1)
    return a.sqrt().to(like), (1 - a).sqrt().to(like)


def q_sample(y0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""Noise a clean target to step t in closed form (text below Eq. (6), ContRec; Eqs. (7) and (8), DeftRec).

    y_t = sqrt(alpha_bar_t) y_0 + sqrt(1 - alpha_bar_t) eps

    Args:
        y0: clean item embeddings, float, shape (B, D), unscaled (no clipping anywhere).
        t: steps counted as in the paper, int64, shape (B,) or (1,), each in 1..T.
        eps: standard normal noise, shape (B, D).
        alpha_bar: cumulative products, shape (T,), strictly decreasing in (0, 1).

    Returns:
        Noisy embeddings, shape (B, D), dtype and device of ``y0``.

    Raises:
        ValueError: if a step lies outside 1..T, or if ``y0`` and ``eps`` differ in shape.
    """
    if y0.shape != eps.shape:
        raise ValueError(f"y0 and eps must have one shape, got {tuple(y0.shape)} and {tuple(eps.shape)}")
    signal, noise = _roots(t, alpha_bar, y0)
    return signal * y0 + noise * eps


def epsilon_to_x0(y_t: Tensor, t: Tensor, epsilon: Tensor, alpha_bar: Tensor) -> Tensor:
    """The clean target that ``epsilon`` implies at ``y_t`` (Eq. (17) to (16), ContRec); shapes as in q_sample."""
    signal, noise = _roots(t, alpha_bar, y_t)
    return (y_t - noise * epsilon) / signal


def x0_to_epsilon(y_t: Tensor, t: Tensor, x0: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise that a clean target ``x0`` implies at ``y_t`` (Eq. (16) to (17), ContRec); shapes as in q_sample."""
    signal, noise = _roots(t, alpha_bar, y_t)
    return (y_t - signal * x0) / noise


def respace(timesteps: int, steps: int) -> list[int]:
    """Sampling times in equal strides from T down, so that sampling starts at pure noise (Sect. 4.1.4: 1,000 to 100).

    Returns:
        ``steps`` whole numbers, strictly decreasing, the first T, the last at least 1; the step after it ends at 0.

    Raises:
        ValueError: unless 1 <= steps <= timesteps.
    """
    in_range("steps", steps, 1, timesteps)
    return [timesteps - (i * timesteps) // steps for i in range(steps)]
