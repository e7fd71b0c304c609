"""The diffusion head: from a condition to a preference vector, its losses and its three kinds of answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrec.checks import in_range, one_of, positive
from contrec.diffusion import contrastive, guidance, samplers
from contrec.diffusion.contrastive import contrastive_loss
from contrec.diffusion.ddpm import NoiseSchedule, epsilon_to_x0, q_sample
from contrec.diffusion.denoiser import HEADS, Denoiser
from contrec.diffusion.dispersive import dispersive_loss
from contrec.diffusion.mlp_denoiser import MLPDenoiser
from contrec.diffusion.samplers import Step
from contrec.memory import rows_at_once
from contrec.training import evaluating

PREDICTION_TYPES = ("epsilon", "sample")
OBJECTIVES = ("mse", "cross_entropy")
DENOISERS = {"transformer": Denoiser, "mlp": MLPDenoiser}


@dataclass(frozen=True)
class DiffusionConfig:
    """Settings of the diffusion head; the defaults are the paper's where it prints them."""

    timesteps: int = 1000  # T, Sect. 4.1.4
    schedule: str = "linear"  # "linear" | "cosine" | "exp"; our choice: the paper names none
    prediction_type: str = "epsilon"  # "epsilon" (Eq. (17)) | "sample", that is x0 (Eq. (16), released code)
    denoiser: str = "transformer"  # "transformer" (Sect. 3.4, ContRec) | "mlp" (Sect. 2.4.2, DeftRec)
    head: str = "plain"  # "plain" (Sect. 3.4) | "direct": a noise-free pointer inside, with "sample" only; our choice
    width: int = 256  # of h; our choice: the paper prints none
    n_blocks: int = 2  # residual blocks; our choice
    dropout: float = 0.1  # our choice; the released code's value
    objective: str = "mse"  # "mse" (Eq. (16)/(17)) | "cross_entropy" over the catalogue on x0; our choice
    terminal_share: float = 0.5  # cross_entropy: share of a batch at t = T, y pure noise; 1 = no diffusion (also "mse")
    n_negatives: int | None = None  # cross_entropy only: None = whole catalogue, else uniform negatives
    noise_draws: int = 1  # steps and noises drawn for each condition of a batch; our choice: more cost little
    pairing: str = "own"  # a condition meets its "own" target (Eq. (17)) | "all" of the batch (both released codes)
    p_uncond: float = 0.1  # zeta, Sect. 4.1.4
    null_condition: str = "random"  # "random" (text below Eq. (21)) | "learned" (released code)
    guidance_strength: float = 2.0  # omega >= 0, searched in 0..10 (Sect. 4.1.4); our choice: the released code's value
    sampler: str = "ddpm"  # "ddpm" (Sect. 3.4) | "ddim" | "dpm++"
    sampler_steps: int = 100  # Sect. 4.1.4
    sampler_start: int | None = None  # step that pure noise is taken for: None = T | 100 (DeftRec's released code)
    dispersion_on: str = "hidden"  # state h of Eq. (19) | "prediction" (ContRec's released code, with temperature 1)
    dispersion_sign: int = 1  # of Eq. (19): states repel | -1 (ContRec's released code): they attract
    temperature: float = 0.5  # tau in Eq. (19), Sect. 4.1.4
    negatives: str = "per_target"  # Eq. (13), DeftRec: each target has its own | "per_batch" (released code)
    n_negative_items: int = 10  # averaged into q^- (Sect. 3.1.4, DeftRec)
    n_samples: int = 1  # vectors drawn for a user; the paper draws one

    def __post_init__(self):
        NoiseSchedule(self.schedule, self.timesteps)
        one_of("prediction_type", self.prediction_type, PREDICTION_TYPES)
        one_of("denoiser", self.denoiser, DENOISERS)
        one_of("head", self.head, HEADS)
        one_of("pairing", self.pairing, ("own", "all"))
        one_of("dispersion_on", self.dispersion_on, ("hidden", "prediction"))
        one_of("dispersion_sign", self.dispersion_sign, (1, -1))
        one_of("negatives", self.negatives, contrastive.FORMS)
        one_of("objective", self.objective, OBJECTIVES)
        one_of("null_condition", self.null_condition, guidance.KINDS)
        one_of("sampler", self.sampler, samplers.SAMPLERS)
        for name in ("width", "sampler_steps", "n_samples", "noise_draws", "n_negative_items"):
            positive(name, getattr(self, name))
        if self.n_negatives is not None:
            positive("n_negatives", self.n_negatives)
        in_range("n_blocks", self.n_blocks, 0, math.inf)
        start = self.timesteps if self.sampler_start is None else self.sampler_start
        in_range("sampler_start", start, 1, self.timesteps)
        in_range("sampler_steps", self.sampler_steps, 1, start)
        for name in ("dropout", "terminal_share", "p_uncond"):
            in_range(name, getattr(self, name), 0, 1)
        guidance.check_strength(self.guidance_strength, self.p_uncond)
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if self.head == "direct" and self.prediction_type != "sample":
            raise ValueError(f"head 'direct' needs prediction_type 'sample', got {self.prediction_type!r}")
        if self.terminal_share == 1 and self.prediction_type != "sample":
            raise ValueError("terminal_share=1 needs prediction_type 'sample': in pure noise there is no noise to tell")


class Diffusion(nn.Module):
    """A conditional denoising diffusion model over preference vectors (Sect. 3.4 and 3.5.2, ContRec).

    Args:
        dim: length d of preference vectors and item vectors.
        config: settings.
        n_condition: M, condition vectors a user.
        condition_dim: their length; None: ``dim``.
        denoiser: in the place of ``config.denoiser`` a class or function called as :class:`Denoiser` is, or a module.
        sampler: in the place of ``config.sampler`` a step, see :func:`contrec.diffusion.samplers.sample`.
    """

    def __init__(
        self, dim: int, config: DiffusionConfig, n_condition: int = 4, condition_dim: int | None = None, *,
        denoiser=None, sampler: str | Step | None = None,
    ):  # fmt: skip
        super().__init__()
        self.dim, self.config, self.sampler = dim, config, sampler or config.sampler
        self.schedule = NoiseSchedule(config.schedule, config.timesteps)
        shape = {name: getattr(config, name) for name in ("width", "n_blocks", "dropout", "head")}
        condition_dim = condition_dim or dim
        if not isinstance(denoiser, nn.Module):
            make = denoiser or DENOISERS[config.denoiser]
            denoiser = make(dim, self.schedule, n_condition=n_condition, condition_dim=condition_dim, **shape)
        self.denoiser = denoiser
        self.null = guidance.NullCondition(config.null_condition, n_condition, condition_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(15.0))) if config.objective == "cross_entropy" else None
        self.register_buffer("alpha_bar", self.schedule.alpha_bar.float(), persistent=False)

    def losses(
        self,
        y0: Tensor,
        c: Tensor,
        *,
        user: Tensor | None = None,
        items: Tensor | None = None,
        target: Tensor | None = None,
        negative: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The diffusion's terms of Eq. (20), ContRec, and Eq. (15), DeftRec, unweighted; the gradient reaches ``c``.

        Args:
            y0: target item vectors, float, shape (B, dim).
            c: condition vectors, shape (B, M, condition_dim).
            user: user tokens for the direct head, shape (B, dim), or None; dropped together with ``c``.
            items: the catalogue, shape (m, dim), for objective "cross_entropy".
            target: target item indices, int64, shape (B,), for objective "cross_entropy".
            negative: mean vectors of items that the user has not taken, shape (B, dim), for the contrastive term.
            generator: for steps, noise, dropped conditions and negatives; on any device.

        Returns:
            "diffusion": Eq. (16)/(17), ContRec, which are Eqs. (9) and (10), DeftRec, as a mean over batch and
                dimensions, or cross-entropy in nats; scalar.
            "dispersion": Eq. (19), scalar.
            "negative": Eq. (13), DeftRec, scalar, where ``negative`` is given.

        Raises:
            ValueError: if the objective needs items and target and they are missing, or a shape does not fit.
        """
        cfg, device, draws = self.config, y0.device, self.config.noise_draws
        y0, c = y0.repeat_interleave(draws, dim=0), c.repeat_interleave(draws, dim=0)
        user, target, negative = (
            None if x is None else x.repeat_interleave(draws, dim=0) for x in (user, target, negative)
        )
        n = len(y0)
        c, dropped = self.null.drop(c, cfg.p_uncond, generator)
        if user is not None:
            user = torch.where(dropped[:, None], 0, user)
        t = torch.randint(1, cfg.timesteps + 1, (n,), generator=generator, device=generator.device).to(device)
        eps = torch.randn(y0.shape, generator=generator, device=generator.device).to(y0)
        own = torch.arange(0, n, draws, device=device)  # draws of one condition are no two users: one of them disperses
        if cfg.pairing == "all":
            # step and condition of row a, target and noise of row b
            a, b = torch.arange(n, device=device).repeat_interleave(n), torch.arange(n, device=device).repeat(n)
            own, t, c, y0, eps = own * (n + 1), t[a], c[a], y0[b], eps[b]
            user, target = None if user is None else user[a], None if target is None else target[b]
            negative = None if negative is None else negative[b]
        y_t = q_sample(y0, t, eps, self.alpha_bar)
        if cfg.objective == "cross_entropy" or cfg.terminal_share == 1:
            # at t = T the answer must come from the condition alone, as it does when the sampler starts and in `point`
            last = torch.rand(len(t), generator=generator, device=generator.device).to(device) < cfg.terminal_share
            t = torch.where(last, cfg.timesteps, t)
            y_t = torch.where(last[:, None], eps, y_t)
        condition = self.denoiser.encode(c, user)
        prediction, h = self.denoiser(y_t, t, condition)
        error = prediction - (eps if cfg.prediction_type == "epsilon" else y0)
        if cfg.objective == "mse":
            loss = error.square().mean()
        else:
            loss = self._cross_entropy(self._to_x0(y_t, t, prediction), items, target, generator)
        state = h if cfg.dispersion_on == "hidden" else self._to_x0(y_t, t, prediction)
        losses = {"diffusion": loss, "dispersion": cfg.dispersion_sign * dispersive_loss(state[own], cfg.temperature)}
        if negative is not None:
            other = self.denoiser(q_sample(negative, t, eps, self.alpha_bar), t, condition)[0]
            other = other - (eps if cfg.prediction_type == "epsilon" else negative)
            losses["negative"] = contrastive_loss(error, other, cfg.negatives)
        return losses

    @torch.no_grad()
    def sample(
        self,
        c: Tensor,
        *,
        user: Tensor | None = None,
        seeds: Tensor,
        items: Tensor | None = None,
        n_samples: int | None = None,
        sampler: str | Step | None = None,
        steps: int | None = None,
        guidance_strength: float | None = None,
        trajectory: bool = False,
    ) -> Tensor:
        """Draw preference vectors from pure noise (Eq. (7), (8) and (21), ContRec), without dropout.

        Args:
            c: condition vectors, shape (B, M, condition_dim).
            user: user tokens for the direct head, shape (B, dim), or None.
            seeds: one seed a user, int64 >= 0, shape (B,), as from ``row_seeds(seed, user_ids)``: a user's vectors then
                depend neither on the batch (but for rounding, some 3e-7) nor on how many samples are drawn.
            items: the catalogue, shape (m, dim), for objective "cross_entropy": what was trained is a softmax over
                it, and the best guess of y_0 is the mean item under that softmax ("score interpolation", Dieleman et
                al., 2022).
            n_samples, sampler, steps, guidance_strength: the config's where None.
            trajectory: return the vectors at every step too.

        Returns:
            Vectors, shape (B, n_samples, dim); with ``trajectory`` (steps + 1, B, n_samples, dim), pure noise first.

        Raises:
            ValueError: if seeds do not fit the batch, a setting is out of its range, or it is to be guided and no
                condition was dropped in training.
        """
        cfg = self.config
        n = cfg.n_samples if n_samples is None else n_samples
        sampler, steps = sampler or self.sampler, cfg.sampler_steps if steps is None else steps
        omega = cfg.guidance_strength if guidance_strength is None else guidance_strength
        positive("n_samples", n)
        guidance.check_strength(omega, cfg.p_uncond)
        if seeds.shape != (len(c),):
            raise ValueError(f"seeds must hold one seed for each of {len(c)} users, got shape {tuple(seeds.shape)}")
        draws = samplers.draws(sampler, steps)
        # blocks of users, lest the noise of all steps and the network's states grow with their number
        users = rows_at_once(4 * n * (draws * self.dim + 16 * cfg.width))
        if len(c) > users:
            same = {"items": items, "n_samples": n, "sampler": sampler, "steps": steps, "trajectory": trajectory}
            blocks = zip(c.split(users), seeds.split(users), [None] * len(c) if user is None else user.split(users))
            drawn = [self.sample(a, seeds=s, user=u, guidance_strength=omega, **same) for a, s, u in blocks]
            return torch.cat(drawn, dim=-3)
        streams = samplers.row_seeds(seeds[:, None], torch.arange(n)).flatten()
        noise = samplers.noise_streams(streams, draws - 1, self.dim, c.device).to(c.dtype)
        with evaluating(self):
            condition = self.denoiser.encode(c, user).repeat(n)
            if omega > 0:
                # one call on twice the rows instead of two calls
                condition = condition.join(self.denoiser.encode(self.null.streams(streams, c.device).to(c.dtype)))

            def predict_x0(y: Tensor, t: Tensor) -> Tensor:
                if omega == 0:
                    prediction = self.denoiser(y, t, condition)[0]
                else:
                    prediction = guidance.guide(*self.denoiser(torch.cat([y, y]), t, condition)[0].chunk(2), omega)
                return self.best_guess(y, t, prediction, items)

            y = samplers.sample(
                predict_x0, noise, self.schedule, sampler, steps, trajectory=trajectory, start=cfg.sampler_start
            )
        return y.unflatten(-2, (len(c), n))

    @torch.no_grad()
    def point(self, c: Tensor, *, user: Tensor | None = None) -> Tensor:
        """The x0 predicted at t = T from y = 0, without guidance or dropout: one network call, no randomness.

        Args:
            c: condition vectors, shape (B, M, condition_dim).
            user: user tokens for the direct head, shape (B, dim), or None.

        Returns:
            Vectors, shape (B, dim); with the direct head, exactly where its pointer points.
        """
        y = torch.zeros(len(c), self.dim, dtype=c.dtype, device=c.device)
        t = torch.full((1,), self.config.timesteps, dtype=torch.int64, device=c.device)
        with evaluating(self):
            return self._to_x0(y, t, self.denoiser(y, t, self.denoiser.encode(c, user))[0])

    def best_guess(self, y_t: Tensor, t: Tensor, prediction: Tensor, items: Tensor | None = None) -> Tensor:
        """The y_0 that a sampler walks towards, (B, dim), by a prediction at step t; ``items`` as in :meth:`sample`."""
        x0 = self._to_x0(y_t, t, prediction)
        return self._mean_item(x0, items) if self.config.objective == "cross_entropy" else x0

    def _to_x0(self, y_t: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
        if self.config.prediction_type == "sample":
            return prediction
        return epsilon_to_x0(y_t, t, prediction, self.alpha_bar)

    def _mean_item(self, x0: Tensor, items: Tensor | None) -> Tensor:
        """The mean item under the softmax that the cross-entropy trains, in blocks of rows."""
        if items is None:
            raise ValueError("objective 'cross_entropy' needs items, shape (m, dim), to sample")
        directions, scale = F.normalize(items, dim=1).T, self.log_scale.exp()
        rows = rows_at_once(4 * len(items), at_most=2048)
        return torch.cat([(scale * F.normalize(x, dim=1) @ directions).softmax(1) @ items for x in x0.split(rows)])

    def _cross_entropy(self, x0: Tensor, items: Tensor | None, target: Tensor | None, generator) -> Tensor:
        """-log softmax of scale * cosine(x0, items) at the target, mean over the batch."""
        if items is None or target is None:
            raise ValueError("objective 'cross_entropy' needs items, shape (m, dim), and target, shape (B,)")
        query, n = self.log_scale.exp() * F.normalize(x0, dim=1), self.config.n_negatives
        if n is None or n >= len(items):
            return F.cross_entropy(query @ F.normalize(items, dim=1).T, target)
        drawn = torch.randint(len(items), (n,), generator=generator, device=generator.device).to(target.device)
        right = (query * F.normalize(items[target], dim=1)).sum(1, keepdim=True)
        # each draw stands for m / n items; a draw that hits the target is no negative
        wrong = query @ F.normalize(items[drawn], dim=1).T + math.log(len(items) / n)
        wrong = wrong.masked_fill(drawn == target[:, None], -math.inf)
        return (torch.logsumexp(torch.cat([right, wrong], dim=1), dim=1, keepdim=True) - right).mean()
