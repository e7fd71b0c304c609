from __future__ import annotations

import math

import pytest
import torch

from contrec.diffusion import (
    NoiseSchedule,
    ddim_step,
    ddpm_step,
    dpm_solver_pp_step,
    epsilon_to_x0,
    noise_streams,
    respace,
    row_seeds,
    sample,
)
from contrec.diffusion.samplers import draws

ALL = [("ddpm", 200), ("ddim", 100), ("dpm++", 30)]  # DDIM narrows the clusters with fewer steps


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def theirs(name, kind, steps, **settings):
    """A diffusers scheduler on our alpha_bar (in float64) and our times; it counts from 0, so index t - 1."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    schedule = NoiseSchedule(kind, 1000)
    scheduler = getattr(diffusers, name)(
        1000, trained_betas=schedule.betas.numpy(), prediction_type="sample", **settings
    )
    scheduler.alphas_cumprod = schedule.alpha_bar
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == [t - 1 for t in respace(1000, steps)]
    return schedule, scheduler


def predictor(schedule, *, shift=0.3):
    """Some smooth x0 prediction that depends on y and t."""
    return lambda y, t: torch.tanh(y) + shift * math.cos(int(t) / 200)


@pytest.mark.parametrize("kind", ["linear", "cosine", "exp"])
@pytest.mark.parametrize("steps", [1000, 100, 5])
def test_ddpm_steps_agree_with_diffusers(kind, steps, monkeypatch):
    schedule, scheduler = theirs("DDPMScheduler", kind, steps, clip_sample=False, timestep_spacing="trailing")
    noise, predict = normal(steps, 6, 4), predictor(None)
    module = __import__(type(scheduler).__module__, fromlist=["randn_tensor"])
    ours = sample(predict, noise, schedule, "ddpm", steps, trajectory=True)
    y = noise[0]
    noise = torch.cat([noise, 0 * noise[:1]])  # theirs multiplies noise by 1e-10 at the last step
    for i, t in enumerate(respace(1000, steps)):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, i=i, **__: noise[i + 1])
        y = scheduler.step(predict(y, torch.tensor([t])), t - 1, y).prev_sample
        torch.testing.assert_close(ours[i + 1], y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["linear", "cosine", "exp"])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_ddim_steps_agree_with_diffusers(kind, eta):
    steps = 20
    schedule, scheduler = theirs("DDIMScheduler", kind, steps, clip_sample=False, timestep_spacing="trailing")
    noise, predict = normal(steps, 6, 4), predictor(None)
    ours = sample(predict, noise, schedule, "ddim", steps, eta=eta, trajectory=True)
    y = noise[0]
    for i, t in enumerate(respace(1000, steps)):
        fresh = noise[i + 1] if eta and i + 1 < steps else torch.zeros_like(y)
        y = scheduler.step(predict(y, torch.tensor([t])), t - 1, y, eta=eta, variance_noise=fresh).prev_sample
        torch.testing.assert_close(ours[i + 1], y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["linear", "exp"])
@pytest.mark.parametrize("steps", [5, 20, 50])
def test_dpm_solver_agrees_with_diffusers(kind, steps):
    schedule, scheduler = theirs("DPMSolverMultistepScheduler", kind, steps, timestep_spacing="trailing")
    noise, predict = normal(1, 6, 4), predictor(None)
    ours = sample(predict, noise, schedule, "dpm++", steps, trajectory=True)
    y = noise[0]
    for i, t in enumerate(respace(1000, steps)):
        y = scheduler.step(predict(y, torch.tensor([t])), t - 1, y).prev_sample
        torch.testing.assert_close(ours[i + 1], y, rtol=1e-4, atol=1e-4)  # their sigmas are float32


def test_ddim_with_eta_one_is_ddpm():
    schedule, (y, x0, noise) = NoiseSchedule("cosine", 100), normal(3, 5, 4)
    torch.testing.assert_close(
        ddim_step(y, x0, 60, 40, schedule, noise, 1.0), ddpm_step(y, x0, 60, 40, schedule, noise)
    )


@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 7), ("ddim", 7), ("dpm++", 7)])
def test_last_step_adds_no_noise_and_nothing_is_clipped(sampler, steps):
    schedule, target = NoiseSchedule("linear", 50), 40 * normal(3, 4, seed=5)
    y = sample(lambda y, t: target, normal(steps, 3, 4), schedule, sampler, steps)
    assert torch.equal(y, target)  # values near 40: image-style clipping to [-1, 1] would cut them


# --- planted truth: for a Gaussian mixture the best denoiser is known, so sampling must return the mixture untrained
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[3.0, 0.0], [-2.0, 2.0], [-1.0, -3.0]], dtype=torch.float64)
VARIANCE = 0.25


def mixture_x0(schedule):
    """E[y_0 | y_t] of the mixture in closed form."""

    def predict(y, t):
        a = schedule.at(int(t))
        total = a * VARIANCE + 1 - a
        residual = y[:, None] - math.sqrt(a) * MEANS
        share = (WEIGHTS.log() - residual.square().sum(-1) / (2 * total)).softmax(1)
        each = MEANS + math.sqrt(a) * VARIANCE / total * residual
        return (share[..., None] * each).sum(1)

    return predict


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize(("sampler", "steps"), ALL)
def test_the_closed_form_denoiser_returns_the_mixture(kind, sampler, steps):
    n, schedule = 4000, NoiseSchedule(kind, 1000)
    y = sample(mixture_x0(schedule), normal(draws(sampler, steps), n, 2, seed=3), schedule, sampler, steps)
    nearest = torch.cdist(y, MEANS).argmin(1)
    for k in range(3):
        part = y[nearest == k]
        # standard errors: weight .008, mean .018, variance .01
        assert len(part) / n == pytest.approx(WEIGHTS[k].item(), abs=0.025)
        torch.testing.assert_close(part.mean(0), MEANS[k], atol=0.06, rtol=0)
        assert part.var(0).mean().item() == pytest.approx(VARIANCE, rel=0.12)


def test_epsilon_form_of_the_closed_form_denoiser_is_the_same_sampler():
    schedule = NoiseSchedule("linear", 1000)
    exact, noise = mixture_x0(schedule), normal(1, 50, 2)

    def through_epsilon(y, t):
        a = schedule.at(int(t))
        epsilon = (y - math.sqrt(a) * exact(y, t)) / math.sqrt(1 - a)
        return epsilon_to_x0(y, t, epsilon, schedule.alpha_bar)

    torch.testing.assert_close(sample(through_epsilon, noise, schedule), sample(exact, noise, schedule))


def test_noise_belongs_to_the_row_id_not_to_the_batch():
    ids = torch.tensor([7, 3, 900, 12])
    whole = noise_streams(row_seeds(5, ids), 3, 8)
    assert whole.shape == (4, 4, 8)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(noise_streams(row_seeds(5, ids[order]), 3, 8), whole[:, order])
    for i in range(4):
        assert torch.equal(noise_streams(row_seeds(5, ids[i : i + 1]), 3, 8), whole[:, i : i + 1])
    assert not torch.equal(noise_streams(row_seeds(6, ids), 3, 8), whole)


def test_streams_are_standard_normal_and_unrelated():
    noise = noise_streams(row_seeds(0, torch.arange(2000)), 1, 16)
    assert noise.mean().abs() < 0.02 and abs(noise.var() - 1) < 0.03
    # neighbouring users, and neighbouring draws of one user: s.e. of a correlation of 32,000 pairs is .006
    assert (noise[0, 1:] * noise[0, :-1]).mean().abs() < 0.025
    assert (noise[0] * noise[1]).mean().abs() < 0.025


def test_row_seeds_golden_and_distinct():
    from contrec.diffusion.samplers import _mix

    # origin: first output of the public splitmix64 generator from state 0
    assert _mix(torch.tensor(0)).item() & (2**64 - 1) == 0xE220A8397B1DCDAF
    seeds = torch.cat([row_seeds(seed, torch.arange(5000)) for seed in range(4)])
    assert len(seeds.unique()) == 20_000 and int(seeds.min()) >= 0


def test_bad_input_is_named():
    schedule, y = NoiseSchedule("linear", 50), normal(2, 3)
    with pytest.raises(ValueError, match="sampler must be one of"):
        sample(predictor(None), y[None], schedule, "euler", 5)
    with pytest.raises(ValueError, match="n >= 5"):
        sample(predictor(None), normal(4, 2, 3), schedule, "ddpm", 5)
    with pytest.raises(ValueError, match="steps must go down"):
        ddim_step(y, y, 5, 5, schedule)
    with pytest.raises(ValueError, match="noise is needed"):
        ddpm_step(y, y, 5, 4, schedule, None)
    with pytest.raises(ValueError, match="noise is needed"):
        ddim_step(y, y, 5, 4, schedule, eta=0.5)
    assert dpm_solver_pp_step(y, 2 * y, 5, 0, schedule).equal(2 * y)


def test_a_walk_may_start_on_the_way():
    schedule, seen = NoiseSchedule("linear", 1000), []

    def predict_x0(y, t):
        seen.append(int(t))
        return torch.ones_like(y)

    y = sample(predict_x0, torch.zeros(1, 3, 2), schedule, "ddim", 4, start=200)
    assert seen == [200, 150, 100, 50] and torch.equal(y, torch.ones(3, 2))
    with pytest.raises(ValueError, match="steps"):
        sample(predict_x0, torch.zeros(1, 3, 2), schedule, "ddim", 20, start=10)


def test_unless_told_otherwise_sampling_is_20_steps_of_ddim_without_noise():
    schedule, noise = NoiseSchedule(), normal(1, 3, 2)
    expected = sample(predictor(None), noise, schedule, "ddim", 20, eta=0.0)
    assert expected.shape == (3, 2) and torch.equal(sample(predictor(None), noise, schedule), expected)
