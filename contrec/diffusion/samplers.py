"""The reverse process: one step of each sampler, the loop around them, and noise that belongs to a user."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from contrec.checks import one_of
from contrec.diffusion.ddpm import NoiseSchedule, respace

SAMPLERS = ("ddpm", "ddim", "dpm++")
Step = Callable[[Tensor, Tensor, int, int, NoiseSchedule, Tensor | None], Tensor]


def ddpm_step(y_t: Tensor, x0: Tensor, t: int, t_prev: int, schedule: NoiseSchedule, noise: Tensor | None) -> Tensor:
    r"""Draw y_{t_prev} from the posterior given y_t and the predicted x0 (Eq. (8), ContRec; Ho et al. 2020, Eq. (7)).

    Args:
        y_t: noisy vectors, shape (B, D).
        x0: predicted clean vectors, shape (B, D), never clipped.
        t, t_prev: T >= t > t_prev >= 0; steps may be skipped.
        schedule: where alpha_bar comes from.
        noise: standard normal, shape (B, D); unused at t_prev = 0, where the step adds none and returns x0.

    Raises:
        ValueError: if t_prev is not below t, or noise is missing where it is needed.
    """
    a, a_prev = _pair(schedule, t, t_prev)
    if t_prev == 0:
        return x0
    if noise is None:
        raise ValueError(f"noise is needed for the step from {t} to {t_prev}: only the step to 0 adds none")
    alpha = a / a_prev
    mean = math.sqrt(a_prev) * (1 - alpha) / (1 - a) * x0 + math.sqrt(alpha) * (1 - a_prev) / (1 - a) * y_t
    return mean + math.sqrt((1 - a_prev) / (1 - a) * (1 - alpha)) * noise


def ddim_step(
    y_t: Tensor, x0: Tensor, t: int, t_prev: int, schedule: NoiseSchedule, noise: Tensor | None = None, eta: float = 0.0
) -> Tensor:
    """One step of DDIM (Song et al. 2021, Eq. (12)): deterministic at eta = 0, as random as DDPM at eta = 1.

    Arguments and errors as in :func:`ddpm_step`; ``noise`` is needed only where eta > 0 and t_prev > 0.
    """
    a, a_prev = _pair(schedule, t, t_prev)
    if t_prev == 0:
        return x0
    sigma = eta * math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
    epsilon = (y_t - math.sqrt(a) * x0) / math.sqrt(1 - a)
    y = math.sqrt(a_prev) * x0 + math.sqrt(1 - a_prev - sigma**2) * epsilon
    if eta == 0:
        return y
    if noise is None:
        raise ValueError(f"noise is needed for the step from {t} to {t_prev} at eta = {eta}")
    return y + sigma * noise


def dpm_solver_pp_step(
    y_t: Tensor, x0: Tensor, t: int, t_prev: int, schedule: NoiseSchedule, before: tuple[Tensor, int] | None = None
) -> Tensor:
    """One step of DPM-Solver++ (2M) (Lu et al. 2022, Algorithm 2): deterministic, second order in the log-SNR.

    Arguments and errors as in :func:`ddpm_step`; ``before`` is (x0, t) of the step before this one. Without it, and at
    t_prev = 0 where the log-SNR is infinite, the step is of first order.
    """
    a, a_prev = _pair(schedule, t, t_prev)
    if t_prev == 0:
        return x0
    h = _log_snr(a_prev) - _log_snr(a)
    if before is not None:
        x0_before, t_before = before
        r = (_log_snr(a) - _log_snr(schedule.at(t_before))) / h
        x0 = x0 + (x0 - x0_before) / (2 * r)
    return math.sqrt((1 - a_prev) / (1 - a)) * y_t - math.sqrt(a_prev) * math.expm1(-h) * x0


def sample(
    predict_x0: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    schedule: NoiseSchedule,
    sampler: str | Step = "ddim",
    steps: int = 20,
    *,
    eta: float = 0.0,
    trajectory: bool = False,
    start: int | None = None,
) -> Tensor:
    """Walk from pure noise at T to a vector at 0 (Eq. (7), ContRec).

    Args:
        predict_x0: (y_t of shape (B, D), t of shape (1,), int64) -> predicted clean vectors (B, D).
        noise: standard normal, shape (n, B, D): the first is the start, the others are used one a step; n >= ``steps``
            for "ddpm", for "ddim" with eta > 0 and for a step of one's own, else n >= 1.
        schedule: where alpha_bar and T come from.
        sampler: "ddpm" | "ddim" | "dpm++", or a step of one's own, called as :func:`ddpm_step` is.
        steps: number of network calls, 1..T (see :func:`contrec.diffusion.ddpm.respace`).
        eta: randomness of "ddim", 0..1.
        trajectory: also return what stood at each step.
        start: step to walk from, where ``noise[0]`` is what stands there; None for pure noise at T.

    Returns:
        Vectors, shape (B, D), or with ``trajectory`` all of them, shape (steps + 1, B, D), pure noise first.

    Raises:
        ValueError: for an unknown sampler, steps outside 1..T, or too little noise.
    """
    if not callable(sampler):
        one_of("sampler", sampler, SAMPLERS)
    times = [*respace(schedule.timesteps if start is None else start, steps), 0]
    needed = draws(sampler, steps, eta)
    if noise.dim() != 3 or len(noise) < needed:
        raise ValueError(f"noise must have shape (n, B, D) with n >= {needed}, got {tuple(noise.shape)}")
    y, before, path = noise[0], None, [noise[0]]
    for i, (t, t_prev) in enumerate(zip(times[:-1], times[1:], strict=True)):
        x0 = predict_x0(y, torch.full((1,), t, dtype=torch.int64, device=y.device))
        fresh = noise[i + 1] if i + 1 < needed else None
        if callable(sampler):
            y = sampler(y, x0, t, t_prev, schedule, fresh)
        elif sampler == "ddpm":
            y = ddpm_step(y, x0, t, t_prev, schedule, fresh)
        elif sampler == "ddim":
            y = ddim_step(y, x0, t, t_prev, schedule, fresh, eta)
        else:
            y = dpm_solver_pp_step(y, x0, t, t_prev, schedule, before)
            before = (x0, t)
        if trajectory:
            path.append(y)
    return torch.stack(path) if trajectory else y


def draws(sampler: str | Step, steps: int, eta: float = 0.0) -> int:
    """How many normal vectors a user needs: the start, and one for every step but the last if the sampler is random."""
    return steps if callable(sampler) or sampler == "ddpm" or (sampler == "ddim" and eta > 0) else 1


def row_seeds(seed: int, rows) -> Tensor:
    """Seeds for streams that belong to (seed, row id), int64 >= 0, shape of ``rows`` (mixed by splitmix64).

    Args:
        seed: the run's seed, or a tensor of seeds that broadcasts against ``rows``.
        rows: ids of users, or of samples of one user: int64, never their place in a batch.
    """
    x = torch.as_tensor(rows, dtype=torch.int64).cpu() + _mix(torch.as_tensor(seed, dtype=torch.int64).cpu())
    return _mix(x) & (2**63 - 1)


def noise_streams(seeds: Tensor, n: int, dim: int, device=None) -> Tensor:
    """Standard normal noise, one stream a row, so that a row's noise depends on neither batch size nor order.

    Args:
        seeds: one seed a row, int64 >= 0, shape (B,), as from :func:`row_seeds`.
        n: draws after the first.
        dim: length of a vector.
        device: where the noise is wanted; it is drawn on the CPU, so that all devices see the same.

    Returns:
        Noise, float32, shape (n + 1, B, dim).
    """
    noise, row, generator = torch.empty(n + 1, len(seeds), dim), torch.empty(n + 1, dim), torch.Generator()
    for number, seed in enumerate(seeds.tolist()):
        noise[:, number] = row.normal_(generator=generator.manual_seed(seed))
    return noise.to(device)


def _pair(schedule: NoiseSchedule, t: int, t_prev: int) -> tuple[float, float]:
    if not 0 <= t_prev < t <= schedule.timesteps:
        raise ValueError(f"steps must go down inside [0, {schedule.timesteps}], got {t} to {t_prev}")
    return schedule.at(t), schedule.at(t_prev)


def _log_snr(a: float) -> float:
    """Half the log signal-to-noise ratio, the lambda of DPM-Solver."""
    return 0.5 * math.log(a / (1 - a))


def _mix(x: Tensor) -> Tensor:
    """splitmix64's finaliser in wrapping int64 arithmetic; consecutive ids get unrelated seeds."""
    x = x + _signed(0x9E3779B97F4A7C15)
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, n: int) -> Tensor:
    """Logical shift to the right: torch's is arithmetic and would carry the sign."""
    return (x >> n) & ((1 << (64 - n)) - 1)


def _signed(x: int) -> int:
    return x - (1 << 64)
