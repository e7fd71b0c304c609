"""DreamRec: the next item's vector drawn by guided diffusion, without negatives (Yang et al., NeurIPS 2023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrec.baselines.learned import Learned
from contrec.baselines.sasrec import CausalTransformer
from contrec.baselines.sequences import SequenceBatch, last_position, padded
from contrec.checks import in_range, one_of, positive
from contrec.data.cases import cases_inside
from contrec.data.interactions import Cases, Split, history_seed
from contrec.data.training_cases import bucketed
from contrec.diffusion.ddpm import NoiseSchedule, q_sample
from contrec.diffusion.denoiser import frequencies
from contrec.diffusion.guidance import NullCondition, check_strength, guide
from contrec.diffusion.samplers import SAMPLERS, Step, draws, noise_streams, row_seeds, sample


class DreamRec(Learned):
    """Items are scored by one vector, drawn from noise under the history's state as condition.

    Trained on the next item after every prefix of two or more train items. The item table is condition and target at
    once, so that its mean squared error falls when vectors shrink: published so, and nothing here hinders it. On LastFM
    the root mean square of the table falls from 1 to .3 in ten epochs and most where items are popular, so that the
    inner product ranks near chance (validation NDCG@10 .004) and the cosine does not (.010).

    Args:
        dim, length, dropout: 64, 10 and .1 as published.
        timesteps, schedule: T and the kind of :class:`~contrec.diffusion.ddpm.NoiseSchedule`; 200 to 2,000 by data set
            and "exp" | "linear" | "cosine" as published.
        p_uncond: share of conditions dropped in training, .1 as published; the null condition is learned.
        guidance_strength: omega of :func:`~contrec.diffusion.guidance.guide`, 2 to 4 as published.
        sampler, sampler_steps: of :func:`~contrec.diffusion.samplers.sample`; "ddpm" and T as published. None takes T.
        score_by: "inner" as published | "cosine".
        **loop: of the training loop; published are AdamW at 5e-5 to 1e-2, batches of 256 and up to 1,000 epochs.

    Raises:
        ValueError: if a setting is out of range.
    """

    LOOP = {"epochs": 30, "batch_size": 256, "lr": 5e-3, "patience": 15}

    def __init__(
        self, dim: int = 64, length: int = 10, dropout: float = 0.1, timesteps: int = 500, schedule: str = "linear",
        p_uncond: float = 0.1, guidance_strength: float = 2.0, sampler: str | Step = "ddpm",
        sampler_steps: int | None = None, score_by: str = "cosine", **loop,
    ):  # fmt: skip
        super().__init__(**loop)
        steps = timesteps if sampler_steps is None else sampler_steps
        for name, value in (("dim", dim), ("length", length), ("sampler_steps", steps)):
            positive(name, value)
        self.schedule = NoiseSchedule(schedule, timesteps)
        in_range("dropout", dropout, 0, 1)
        in_range("p_uncond", p_uncond, 0, 1)
        check_strength(guidance_strength, p_uncond)
        in_range("sampler_steps", steps, 1, timesteps)
        if not callable(sampler):
            one_of("sampler", sampler, SAMPLERS)
        one_of("score_by", score_by, ("inner", "cosine"))
        self.dim, self.length, self.dropout, self.p_uncond = dim, length, dropout, p_uncond
        self.guidance_strength, self.sampler, self.steps, self.score_by = guidance_strength, sampler, steps, score_by

    def build(self, split: Split) -> DrawnNextItem:
        self._cases = cases_inside(split.train, "prefixes", max(1, len(split.train)))
        self.noise_seed = torch.initial_seed()  # the run's: torch's stream has just been seeded with it
        return DrawnNextItem(split.n_items, self.dim, self.length, self.dropout, self.schedule, self.p_uncond)

    def batches(self, rng: np.random.Generator) -> list[SequenceBatch]:
        rows = bucketed(np.minimum(self._cases.lengths, self.length), self.loop.batch_size, rng)
        return [last_position(self._cases.select(part), self.length) for part in rows]

    @torch.no_grad()
    def vectors(self, cases: Cases) -> Tensor:
        """One draw a case, (B, d), of noise that belongs to the run's seed and the visible history."""
        self.module.eval()
        items, lengths = (torch.from_numpy(x).to(self.device) for x in padded(cases, self.length))
        seeds = row_seeds(self.noise_seed, [history_seed(cases.history(i)) for i in range(len(cases))])
        noise = noise_streams(seeds, draws(self.sampler, self.steps) - 1, self.dim, self.device)
        c = self.module.condition(items, lengths)
        predict = self.module.guided(c, self.guidance_strength)
        return sample(predict, noise, self.schedule, self.sampler, self.steps)

    def score(self, cases: Cases) -> Tensor:
        """Float32, shape (B, m); an empty history is drawn without condition."""
        vectors, items = self.vectors(cases), self.module.table.weight.detach()
        if self.score_by == "cosine":
            vectors, items = F.normalize(vectors, dim=1), F.normalize(items, dim=1)
        return vectors @ items.T


class DrawnNextItem(nn.Module):
    """Item table, the history's state as condition, and a denoiser of one linear layer that predicts x0.

    Args:
        n_items, dim, length, dropout, schedule, p_uncond: see :class:`DreamRec`.
    """

    def __init__(self, n_items: int, dim: int, length: int, dropout: float, schedule: NoiseSchedule, p_uncond: float):
        super().__init__()
        self.schedule, self.p_uncond = schedule, p_uncond
        self.table = nn.Embedding(n_items, dim)  # from N(0, 1)
        self.history = CausalTransformer(dim, 1, 1, dropout, length)
        self.null = NullCondition("learned", 1, dim)
        self.time = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.denoiser = nn.Linear(3 * dim, dim)
        self.register_buffer("frequencies", frequencies(dim, schedule.timesteps), persistent=False)

    def condition(self, items: Tensor, lengths: Tensor) -> Tensor:
        """The state at the newest item, the null condition where there is none: (B, L), (B,) -> (B, d)."""
        vectors = self.table(items) * self.table.embedding_dim**-0.5  # the encoder takes vectors of about length 1
        return torch.where(lengths[:, None] > 0, self.history.newest(vectors, lengths), self.null.vector)

    def denoise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The clean vector behind x_t (B, d) at step t, (B,) or (1,), under condition c (B, d): (B, d)."""
        angle = t[:, None] * self.frequencies
        time = self.time(torch.cat([angle.sin(), angle.cos()], dim=1)[:, : x_t.shape[1]])
        return self.denoiser(torch.cat([x_t, c, time.expand_as(x_t)], dim=1))

    def guided(self, c: Tensor, guidance_strength: float):
        """``predict_x0`` of :func:`~contrec.diffusion.samplers.sample`, for conditions c (B, d)."""
        null = self.null.vector.expand_as(c)
        return lambda x, t: guide(self.denoise(x, t, c), self.denoise(x, t, null), guidance_strength)

    def forward(self, batch: SequenceBatch) -> dict[str, Tensor]:
        items, lengths, targets = (x.to(self.table.weight.device) for x in (batch.items, batch.lengths, batch.targets))
        x0 = self.table(targets[torch.arange(len(targets)), lengths - 1])
        stream = torch.default_generator  # seeded by the training loop
        c, _ = self.null.drop(self.condition(items, lengths)[:, None], self.p_uncond, stream)
        t = torch.randint(1, self.schedule.timesteps + 1, (len(x0),), generator=stream).to(x0.device)
        eps = torch.randn(x0.shape, generator=stream).to(x0)
        x_t = q_sample(x0, t, eps, self.schedule.alpha_bar)
        return {"total": batch.weight * F.mse_loss(self.denoise(x_t, t, c[:, 0]), x0)}
