from __future__ import annotations

import math

import pytest
import torch

from contrec.diffusion import dispersive_loss


def states(n, width, seed=0, spread=1.0):
    return spread * torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_equals_eq_25_written_out():
    h = states(7, 5).double()
    pairs = [math.exp(-(h[i] - h[b]).square().sum().item() / 5 / 0.5) for i in range(7) for b in range(7)]
    assert dispersive_loss(h, 0.5).item() == pytest.approx(math.log(sum(pairs) / 49), rel=1e-5)


@pytest.mark.parametrize("width", [4, 512])
def test_minimising_spreads_points(width):
    h = states(32, width, spread=0.3).requires_grad_()
    before = torch.pdist(h).mean().item()
    optimizer = torch.optim.SGD([h], lr=width)
    for _ in range(50):
        optimizer.zero_grad()
        dispersive_loss(h).backward()
        optimizer.step()
    assert torch.pdist(h.detach()).mean().item() > 1.2 * before


def test_gradient_lives_at_width_512():
    # undivided, D is about 1,024 and exp(-D / 0.5) is 0 in float32: only the diagonal would be left, without gradient
    h = states(24, 512).requires_grad_()
    dispersive_loss(h).backward()
    assert h.grad.norm(dim=1).min() > 1e-4


def test_bounds_and_invariances():
    h = states(16, 8)
    loss = dispersive_loss(h).item()
    assert -math.log(16) < loss < 0
    assert dispersive_loss(h[:1].expand(16, -1)).item() == pytest.approx(0, abs=1e-6)
    assert dispersive_loss(1e4 * h).item() == pytest.approx(-math.log(16), abs=1e-5)
    assert dispersive_loss(h.flip(0) + 3).item() == pytest.approx(loss, abs=1e-5)


def test_temperature_is_checked():
    with pytest.raises(ValueError, match="temperature must be positive"):
        dispersive_loss(states(2, 2), 0.0)
