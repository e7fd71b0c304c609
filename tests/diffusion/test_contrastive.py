"""The contrastive term: hand-made values, and that it draws targets and pushes negatives."""

from __future__ import annotations

import math

import pytest
import torch

from contrec.diffusion import Diffusion, DiffusionConfig, contrastive_loss


def test_by_hand():
    # m+ = (1, 4), m- = (3, 4): -log sigmoid(2) and log 2 for each target; for the batch m+ = 2.5, m- = 3.5
    positive, negative = torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.tensor([[3.0**0.5] * 2, [2.0, -2.0]])
    each = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert float(contrastive_loss(positive, negative)) == pytest.approx(each, rel=1e-6)
    assert float(contrastive_loss(positive, negative, "per_batch")) == pytest.approx(math.log(1 + math.exp(-1)))


def test_it_does_not_depend_on_the_width():
    x, y = torch.randn(2, 5, 3)
    torch.testing.assert_close(contrastive_loss(x, y), contrastive_loss(x.repeat(1, 4), y.repeat(1, 4)))


def test_near_zero_it_is_half_the_difference_of_the_errors():
    # what RELEASED.md says of the released form: log 2 - (m- - m+) / 2
    x, y = 0.01 * torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    expected = math.log(2) - float(y.square().mean() - x.square().mean()) / 2
    assert float(contrastive_loss(x, y, "per_batch")) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample"])
def test_training_with_it_denoises_targets_better_than_negatives(prediction_type):
    g = torch.Generator().manual_seed(0)
    target, negative = torch.randn(2, 64, 4, generator=g)
    config = DiffusionConfig(
        denoiser="mlp",
        prediction_type=prediction_type,
        width=64,
        dropout=0.0,
        p_uncond=0.0,
        guidance_strength=0.0,
        timesteps=50,
        sampler_steps=10,
    )
    left = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        model = Diffusion(4, config, 1, 8)
        optimizer, c = torch.optim.Adam(model.parameters(), 3e-3), torch.randn(64, 1, 8, generator=g.manual_seed(1))
        for _ in range(150):
            losses = model.losses(target, c, negative=negative, generator=g)
            optimizer.zero_grad()
            (losses["diffusion"] + weight * losses["negative"]).backward()
            optimizer.step()
        torch.manual_seed(1)
        left[weight] = float(
            model.losses(target, c, negative=negative, generator=g.manual_seed(2))["negative"].detach()
        )
    assert left[1.0] < left[0.0] - 0.02 and left[1.0] < math.log(2)


def test_errors_are_told():
    with pytest.raises(ValueError, match="form must .*other"):
        contrastive_loss(torch.zeros(2, 3), torch.zeros(2, 3), "other")
    with pytest.raises(ValueError, match="one shape"):
        contrastive_loss(torch.zeros(2, 3), torch.zeros(1, 3))
