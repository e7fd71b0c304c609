"""Classifier-free guidance: what stands for "no condition", when training uses it, and how two answers combine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from contrec.checks import in_range, one_of
from contrec.diffusion.samplers import noise_streams, row_seeds

KINDS = ("random", "learned")
_STREAM = 0x6E756C6C  # keeps the dummy condition's stream apart from the noise of the same user


class NullCondition(nn.Module):
    """The dummy condition Phi of Eq. (21).

    Args:
        kind: "random": a normal vector drawn anew each time (Sect. 3.5.2); "learned": one trained vector (ContRec's
            released code).
        n_condition, dim: shape (M, D) of a condition.
    """

    def __init__(self, kind: str, n_condition: int, dim: int):
        super().__init__()
        one_of("null_condition", kind, KINDS)
        self.shape = (n_condition, dim)
        self.vector = nn.Parameter(torch.randn(*self.shape)) if kind == "learned" else None

    def draw(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Dummy conditions for training, shape of ``c`` (B, M, D)."""
        if self.vector is not None:
            return self.vector.expand_as(c)
        return torch.randn(c.shape, generator=generator, device=generator.device).to(c)

    def streams(self, seeds: Tensor, device) -> Tensor:
        """Dummy conditions for sampling, one stream a row as in noise_streams: shape (B, M, D)."""
        if self.vector is not None:
            return self.vector.expand(len(seeds), -1, -1)
        m, dim = self.shape
        return noise_streams(row_seeds(_STREAM, seeds), 0, m * dim, device)[0].view(-1, m, dim)

    def drop(self, c: Tensor, p_uncond: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Replace each row's condition by a dummy with probability ``p_uncond``.

        Returns:
            Conditions, shape (B, M, D), and which rows were replaced, bool, shape (B,).
        """
        dropped = (torch.rand(len(c), generator=generator, device=generator.device) < p_uncond).to(c.device)
        return torch.where(dropped[:, None, None], self.draw(c, generator), c), dropped


def check_strength(guidance_strength: float, p_uncond: float) -> None:
    """Refuse to guide away from a dummy condition that training never used.

    Raises:
        ValueError: if ``guidance_strength`` is negative, or positive where no condition was dropped in training.
    """
    in_range("guidance_strength", guidance_strength, 0, math.inf)
    if guidance_strength > 0 and not p_uncond:
        raise ValueError(
            f"guidance_strength={guidance_strength:g} needs p_uncond above 0: with none of the conditions dropped in "
            "training, the null condition that Eq. (21) guides away from was never trained; set guidance_strength=0"
        )


def guide(conditional: Tensor, unconditional: Tensor, guidance_strength: float) -> Tensor:
    """(1 + omega) conditional - omega unconditional (Eq. (21), ContRec); other codes call 1 + omega the scale.

    The two weights add up to 1, so combining predicted noise and combining predicted x0 are the same thing.
    """
    return (1 + guidance_strength) * conditional - guidance_strength * unconditional
