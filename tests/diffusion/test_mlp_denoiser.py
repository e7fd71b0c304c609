"""DeftRec's denoiser: its size, its formula, and that it stands wherever the other one does."""

from __future__ import annotations

import pytest
import torch

from contrec.diffusion import Diffusion, DiffusionConfig, MLPDenoiser, NoiseSchedule


def test_it_has_as_many_parameters_as_the_released_one():
    # counted on the released module: d = 512, condition of 2,048; a frozen table of 1,000 x 512
    with torch.device("meta"):
        schedule = NoiseSchedule("linear", 1000)
        made = MLPDenoiser(512, schedule, condition_dim=2048, width=512, n_blocks=2, dropout=0.2)
    assert sum(p.numel() for p in made.parameters()) == 2_362_368
    assert made.time_table.shape == (1000, 512)


def test_time_table_has_the_released_spread():
    torch.manual_seed(0)
    made = MLPDenoiser(512, NoiseSchedule(), condition_dim=8, width=8, n_blocks=0, dropout=0.0)
    assert float(made.time_table.std()) == pytest.approx(0.036, abs=5e-4)  # RELEASED.md: std .036, row norm .82
    assert float(made.time_table.norm(dim=1).mean()) == pytest.approx(0.82, abs=0.01)


def test_formula():
    torch.manual_seed(0)
    made = MLPDenoiser(3, NoiseSchedule("linear", 10), condition_dim=5, width=4, n_blocks=1, dropout=0.0)
    y, c, t = torch.randn(2, 3), torch.randn(2, 1, 5), torch.tensor([1, 10])
    m, g = made.condition_in, made.blocks[0]
    u = y + m(c)[:, 0] + made.time_table[[0, 9]]
    out, h = made(y, t, made.encode(c))
    torch.testing.assert_close(h, u)
    torch.testing.assert_close(out, u + g(u))
    assert [type(layer).__name__ for layer in g] == ["ReLU", "Dropout", "Linear"] * 2


@pytest.mark.parametrize("head", ["plain", "direct"])
def test_samples_do_not_depend_on_the_batch(head):
    torch.manual_seed(0)
    config = DiffusionConfig(
        denoiser="mlp", head=head, prediction_type="sample", width=8, sampler_steps=4, guidance_strength=1.0
    )
    model, c, user = Diffusion(3, config, 2, 5), torch.randn(4, 2, 5), torch.randn(4, 3)
    user = user if head == "direct" else None
    whole = model.sample(c, user=user, seeds=torch.arange(4))
    part = model.sample(c[2:3], user=None if user is None else user[2:3], seeds=torch.tensor([2]))
    torch.testing.assert_close(part, whole[2:3])
    assert model.point(c, user=user).shape == (4, 3)
