from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrec.diffusion import NoiseSchedule, epsilon_to_x0, q_sample, respace, x0_to_epsilon

KINDS = st.sampled_from(["linear", "cosine", "exp"])


@settings(max_examples=40, deadline=None)
@given(kind=KINDS, timesteps=st.integers(2, 1500))
def test_schedules_lose_signal_strictly(kind, timesteps):
    schedule = NoiseSchedule(kind, timesteps)
    a = schedule.alpha_bar
    assert len(schedule.betas) == len(a) == timesteps
    assert bool(((schedule.betas > 0) & (schedule.betas < 1)).all())
    assert 0 < a[-1] and a[0] < 1 and bool((a.diff() < 0).all())
    assert schedule.at(0) == 1 and schedule.at(timesteps) == a[-1]


@settings(max_examples=60, deadline=None)
@given(timesteps=st.integers(2, 1500), data=st.data())
def test_respacing_goes_from_noise_down_in_equal_strides(timesteps, data):
    steps = data.draw(st.integers(1, timesteps))
    times = respace(timesteps, steps)
    strides = -np.diff([*times, 0])
    assert len(times) == steps and times[0] == timesteps and times[-1] >= 1
    assert strides.min() >= 1 and strides.max() - strides.min() <= 1


def test_golden_schedule_values():
    # origin: ContRec's released schedule at T = 200, and DeftRec's abar at 0-based 99, 499, 999 of the linear one
    exp, linear = NoiseSchedule("exp", 200), NoiseSchedule("linear", 1000)
    assert exp.betas[0].item() == pytest.approx(0.000624, abs=5e-7)
    assert exp.betas[-1].item() == pytest.approx(0.048888, abs=5e-7)
    assert exp.at(1) == pytest.approx(0.999376, abs=5e-7) and exp.at(200) == pytest.approx(0.006253, abs=5e-7)
    assert linear.at(100) == pytest.approx(0.89702, abs=5e-6)
    assert linear.at(500) == pytest.approx(0.07859, abs=5e-6)
    assert linear.at(1000) == pytest.approx(4.04e-5, abs=5e-8)


def test_cosine_schedule_agrees_with_diffusers():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    theirs = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").betas.double()
    torch.testing.assert_close(NoiseSchedule("cosine", 1000).betas, theirs, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("t", [1, 300, 1000])
def test_q_sample_has_the_moments_of_eq_6(t):
    g = torch.Generator().manual_seed(0)
    y0, n = torch.tensor([[2.0, -3.0]]), 40_000
    a = NoiseSchedule().at(t)
    y = q_sample(y0.expand(n, 2), torch.full((n,), t), torch.randn(n, 2, generator=g), NoiseSchedule().alpha_bar)
    # a chain of single steps, Eq. (6), has mean sqrt(abar) y0 and variance 1 - abar; s.e. of the mean is 0.005
    torch.testing.assert_close(y.mean(0), a**0.5 * y0[0], atol=0.02, rtol=0)
    assert y.var(0).tolist() == pytest.approx([1 - a] * 2, rel=0.03)


def test_closed_form_equals_the_chain_of_single_steps():
    schedule, y, mean, var = NoiseSchedule("exp", 50), 1.7, 1.7, 0.0
    for beta in schedule.betas.tolist():
        mean, var = (1 - beta) ** 0.5 * mean, (1 - beta) * var + beta
    one = torch.ones(1, 1, dtype=torch.float64)
    t = torch.tensor([50])
    assert q_sample(y * one, t, 0 * one, schedule.alpha_bar).item() == pytest.approx(mean)
    assert q_sample(0 * one, t, one, schedule.alpha_bar).item() ** 2 == pytest.approx(var)


@pytest.mark.parametrize("kind", ["linear", "cosine", "exp"])
def test_predictions_convert_both_ways(kind):
    g = torch.Generator().manual_seed(1)
    a = NoiseSchedule(kind, 100).alpha_bar
    y0, eps = torch.randn(2, 50, 4, generator=g, dtype=torch.float64)
    t = torch.randint(1, 101, (50,), generator=g)
    y = q_sample(y0, t, eps, a)
    torch.testing.assert_close(epsilon_to_x0(y, t, eps, a), y0)
    torch.testing.assert_close(x0_to_epsilon(y, t, y0, a), eps)


def test_bad_input_is_named():
    a = NoiseSchedule().alpha_bar
    y = torch.zeros(2, 3)
    for t in (0, 1001):
        with pytest.raises(ValueError, match=r"t must lie in \[1, 1000\]"):
            q_sample(y, torch.tensor([1, t]), y, a)
    with pytest.raises(ValueError, match="one shape"):
        q_sample(y, torch.tensor([1, 1]), y[:, :2], a)
    with pytest.raises(ValueError, match="schedule must be one of"):
        NoiseSchedule("quadratic")
    with pytest.raises(ValueError, match="timesteps must be at least 2"):
        NoiseSchedule("linear", 1)
    with pytest.raises(ValueError, match="steps must lie in"):
        respace(100, 101)


def test_unless_told_otherwise_a_schedule_is_linear_with_1000_steps():
    assert (
        NoiseSchedule() == NoiseSchedule("linear", 1000) and len({NoiseSchedule(), NoiseSchedule("linear", 1000)}) == 1
    )
    assert NoiseSchedule().betas[[0, -1]].tolist() == pytest.approx([1e-4, 0.02])
