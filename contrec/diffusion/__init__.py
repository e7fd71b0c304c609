"""Conditional diffusion over continuous preference vectors (Sect. 3.4, ContRec): tensors in, tensors out."""

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
