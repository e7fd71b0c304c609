"""The dispersive loss: contrast without positive pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dispersive_loss(h: Tensor, temperature: float = 0.5) -> Tensor:
    r"""Push the hidden states of a batch apart (Eq. (19) and Eq. (25), ContRec).

    L = log E_{i,b} exp(-D(h_i, h_b) / tau), pairs with i = b included as the text below Eq. (25) says.

    D is the squared distance divided by the width of h: undivided, exp(-D / tau) underflows at the usual widths and
    the gradient is exactly zero.

    Args:
        h: hidden states of the denoiser's feed-forward layer, shape (B, width).
        temperature: tau > 0, 0.5 in Sect. 4.1.4.

    Returns:
        Scalar in [-log B, 0]: 0 when all states coincide, -log B when they are far apart.

    Raises:
        ValueError: if the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    # from differences by the Gram matrix: (B, B) memory, and no square root whose gradient is infinite at 0
    h = h.float() - h.float().mean(0, keepdim=True)
    square = h.square().sum(1)
    distance = (square[:, None] + square[None, :] - 2 * h @ h.T).clamp(min=0) / h.shape[1]
    same = torch.eye(len(h), dtype=torch.bool, device=h.device)
    distance = distance.masked_fill(same, 0)  # rounding would leave a state at some distance from itself
    return torch.logsumexp(-distance.flatten() / temperature, dim=0) - 2 * math.log(len(h))
