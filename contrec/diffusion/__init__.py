"""Conditional diffusion over continuous preference vectors (Sect. 3.4, ContRec): tensors in, tensors out.

A sampler of one's own is a step, called as :func:`ddpm_step` is, wherever a sampler is named:

    import torch
    from contrec.diffusion import NoiseSchedule, ddim_step, sample

    def half_random(y_t, x0, t, t_prev, schedule, noise):
        # DDIM with half of DDPM's randomness; to t_prev = 0 there is no noise
        return ddim_step(y_t, x0, t, t_prev, schedule, noise, eta=0.5)

    schedule, noise = NoiseSchedule("linear", 100), torch.randn(10, 4, 8)
    vectors = sample(lambda y, t: 0.9 * y, noise, schedule, half_random, steps=10)

A denoiser of one's own is a class with ``encode`` and ``forward``, called as :class:`Denoiser` is:

    import torch
    from contrec.diffusion import Condition, Diffusion, DiffusionConfig

    class Mean(torch.nn.Module):
        # the mean of the condition vectors, the noisy vector and the step, through one hidden layer
        def __init__(self, dim, schedule, *, n_condition, condition_dim, width, n_blocks, dropout, head):
            super().__init__()
            self.of_condition, self.of_vector = torch.nn.Linear(condition_dim, width), torch.nn.Linear(dim, width)
            self.of_time, self.out = torch.nn.Embedding(schedule.timesteps, width), torch.nn.Linear(width, dim)

        def encode(self, c, user=None):  # what does not depend on the step, once a user
            return Condition(self.of_condition(c.mean(1)), None)

        def forward(self, y_t, t, condition):  # the prediction, and the state that Eq. (19) disperses
            h = torch.relu(self.of_vector(y_t) + self.of_time(t - 1) + condition.fused)
            return self.out(h), h

    head = Diffusion(8, DiffusionConfig(timesteps=50, sampler_steps=5), n_condition=2, denoiser=Mean)
    drawn = head.sample(torch.randn(3, 2, 8), seeds=torch.arange(3))

Both go to the whole model: ``contrec.Recommender(config, denoiser=Mean, sampler=half_random)``.
"""

from contrec.diffusion.contrastive import contrastive_loss
from contrec.diffusion.ddpm import NoiseSchedule, epsilon_to_x0, q_sample, respace, x0_to_epsilon
from contrec.diffusion.denoiser import Condition, Denoiser
from contrec.diffusion.dispersive import dispersive_loss
from contrec.diffusion.guidance import NullCondition, guide
from contrec.diffusion.mlp_denoiser import MLPDenoiser
from contrec.diffusion.model import Diffusion, DiffusionConfig
from contrec.diffusion.samplers import ddim_step, ddpm_step, dpm_solver_pp_step, noise_streams, row_seeds, sample

__all__ = [
    "Condition",
    "Denoiser",
    "Diffusion",
    "DiffusionConfig",
    "MLPDenoiser",
    "NoiseSchedule",
    "NullCondition",
    "contrastive_loss",
    "ddim_step",
    "ddpm_step",
    "dispersive_loss",
    "dpm_solver_pp_step",
    "epsilon_to_x0",
    "guide",
    "noise_streams",
    "q_sample",
    "respace",
    "row_seeds",
    "sample",
    "x0_to_epsilon",
]
