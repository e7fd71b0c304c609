"""Drawing preference vectors with guidance: 100 steps of DDPM as published, 20 of DDIM as in recipe ``tuned``."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.diffusion import Diffusion, DiffusionConfig, guidance, samplers
from contrec.evaluation.metrics import hit_rate, ndcg, target_ranks

N_CONDITION, CLUSTERS, SEEDS = 4, 50, range(5)


def benchmark(
    device: str = "cpu", *, n_users: int = 24, n_judged: int = 96, n_items: int = 2000, dim: int = 512,
    width: int = 512, n_blocks: int = 3, training_steps: int = 150,
) -> Benchmark:  # fmt: skip
    """One vector for each of ``n_users`` from a denoiser of five million weights, guidance strength 2.

    The denoiser is trained for a moment on a small world (items in clusters; a condition is a noisy view of the
    target's cluster), so that samples mean something.

    Ways: two network calls a step, the condition encoded in each of them, DDPM of 100 steps; the same with the
    condition encoded once and one call a step (the library under recipe ``paper``); the library with DDIM of 20 steps.
    """
    torch.manual_seed(0)
    stream = torch.Generator().manual_seed(0)
    shape = DiffusionConfig(
        prediction_type="sample", width=width, n_blocks=n_blocks, dropout=0.0, guidance_strength=2.0
    )
    model = Diffusion(dim, shape, N_CONDITION)
    centres = torch.randn(CLUSTERS, dim, generator=stream)
    cluster = torch.randint(CLUSTERS, (n_items,), generator=stream)
    items = (centres[cluster] + 0.7 * torch.randn(n_items, dim, generator=stream)) / 1.49**0.5
    train(model, items, centres[cluster], training_steps, stream)
    model = model.to(device).eval()
    target = torch.randint(n_items, (n_judged,), generator=stream)
    c = views(centres[cluster][target], stream).to(device)
    weights = sum(p.numel() for p in model.denoiser.parameters())

    def library(c: Tensor, sampler: str, steps: int, seed: int = 0) -> Tensor:
        seeds = samplers.row_seeds(seed, torch.arange(len(c)))
        return model.sample(c, seeds=seeds, sampler=sampler, steps=steps)[:, 0]

    def reference() -> Tensor:
        return reference_layout(model, c[:n_users], samplers.row_seeds(0, torch.arange(n_users)))

    def check(results: dict) -> list[Check]:
        draws = {
            way: [library(c, *setting, seed).cpu() for seed in SEEDS]
            for way, setting in {"DDPM-100": ("ddpm", 100), "DDIM-20": ("ddim", 20)}.items()
        }
        same, other = overlaps(draws["DDPM-100"], draws["DDPM-100"], items), overlaps(*draws.values(), items)
        difference = (results[REFERENCE] - results[FAIR]).norm() / results[REFERENCE].norm()
        checks = [
            Check("condition encoded once against at every step, relative", float(difference), 1e-4),
            Check("top-20 overlap of DDIM-20 with DDPM-100, of other seeds", other, same - 0.06, at_least=True),
        ]
        for name, metric in (("HR@10", hit_rate), ("NDCG@10", ndcg)):
            values = {way: [quality(y, items, target, metric) for y in drawn] for way, drawn in draws.items()}
            gap = abs(np.mean(values["DDPM-100"]) - np.mean(values["DDIM-20"]))
            # 2.78: Student's t at 95 % and four degrees of freedom
            checks.append(Check(f"{name}, gap of mean to mean", gap, 2.78 * np.std(values["DDPM-100"], ddof=1)))
        return checks

    ways = {
        REFERENCE: reference,
        FAIR: lambda: library(c[:n_users], "ddpm", 100),
        OURS: lambda: library(c[:n_users], "ddim", 20),
    }
    shape = f"{n_users} users, d = {dim}, denoiser of {weights / 1e6:.1f} million weights, guidance strength 2, fp32"
    return Benchmark("sample", shape, ways, check, [Bar(REFERENCE, 12)], repeats=5)


@torch.no_grad()
def reference_layout(model: Diffusion, c: Tensor, seeds: Tensor, user: Tensor | None = None, items=None) -> Tensor:
    """One vector a row, (B, d): DDPM of 100 steps, guidance 2 by two calls, the condition encoded in each of them."""
    streams = samplers.row_seeds(seeds[:, None], torch.arange(1)).flatten()
    steps = min(100, model.schedule.timesteps)
    noise = samplers.noise_streams(streams, steps - 1, model.dim, c.device)
    null = model.null.streams(streams, c.device)

    def predict_x0(y: Tensor, t: Tensor) -> Tensor:
        conditional = model.denoiser(y, t, model.denoiser.encode(c, user))[0]
        unconditional = model.denoiser(y, t, model.denoiser.encode(null))[0]
        return model.best_guess(y, t, guidance.guide(conditional, unconditional, 2.0), items)

    return samplers.sample(predict_x0, noise, model.schedule, "ddpm", steps)


def views(centre: Tensor, stream: torch.Generator) -> Tensor:
    """Conditions (B, M, d): noisy views of the target's cluster."""
    return centre[:, None] + 2 * torch.randn(len(centre), N_CONDITION, centre.shape[1], generator=stream)


def train(model: Diffusion, items: Tensor, centre: Tensor, steps: int, stream: torch.Generator) -> None:
    """A short training on the CPU; ``centre`` is the cluster centre of each item."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        rows = torch.randint(len(items), (64,), generator=stream)
        losses = model.losses(items[rows], views(centre[rows], stream), generator=stream)
        optimizer.zero_grad()
        losses["diffusion"].backward()
        optimizer.step()


def overlaps(first: list[Tensor], second: list[Tensor], items: Tensor) -> float:
    """Mean share of common items among the best 20 by cosine, over pairs of different seeds."""
    best = [[cosines(y, items).topk(20).indices for y in drawn] for drawn in (first, second)]
    shares = [(best[0][a][:, :, None] == best[1][b][:, None]).any(2).float().mean() for a, b in combinations(SEEDS, 2)]
    return float(torch.stack(shares).mean())


def cosines(y: Tensor, items: Tensor) -> Tensor:
    return F.normalize(y, dim=1) @ F.normalize(items, dim=1).T


def quality(y: Tensor, items: Tensor, target: Tensor, metric) -> float:
    """HR@10 or NDCG@10 of the target among all items."""
    return float(metric(*target_ranks(cosines(y, items).numpy(), target.numpy()), 10).mean())
