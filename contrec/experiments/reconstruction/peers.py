"""How well do tokens keep an embedding? Every tokenizer at equal rate, width, optimiser and budget (ContRec, Fig. 1).

A rate is what is stored or sent of one embedding, in bits (``rate_bits`` of each tokenizer). A noisy channel is decoded
from its noisy tokens, since its rate counts no others. The diffusion peer sends the embedding itself, noised to a step
t: d/2 log2(1 + SNR_t) bits, the capacity of that channel. It is decoded by one prediction of x0, or by sampling back.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrec.checks import finite
from contrec.data.interactions import Cases, Catalogue
from contrec.diffusion import Diffusion, DiffusionConfig, q_sample, samplers
from contrec.evaluation import evaluate
from contrec.tokenizers import (
    Autoencoder,
    AutoencoderConfig,
    GaussianVAE,
    QuantizedVAE,
    QuantizerConfig,
    SigmaVAE,
    TokenizerConfig,
    VAEConfig,
    train_tokenizer,
)

FAMILIES = ("vq", "rq", "mq", "autoencoder", "vae", "sigma_vae", "diffusion")
HELD_OUT = 0.1  # share of the items that no peer is trained on
LATENT_BITS = 4  # the autoencoder's uniform quantizer


@dataclass(frozen=True)
class Budget:
    """What every peer gets alike."""

    width: int = 256  # of both hidden layers of encoders and decoders, and of the denoiser
    steps: int = 1000  # of the optimiser (AdamW, cosine rate)
    batch_size: int = 256
    lr: float = 1e-3
    weight_decay: float = 1e-4

    def epochs(self, n: int) -> int:
        """Whole passes over ``n`` items that come nearest to ``steps``."""
        return max(1, round(self.steps / math.ceil(n / self.batch_size)))

    def training(self, n: int) -> dict:
        """The settings that all configs share, for ``n`` items."""
        shared = {"width": self.width, "lr": self.lr, "weight_decay": self.weight_decay}
        return {**shared, "epochs": self.epochs(n), "batch_size": self.batch_size}


@dataclass(frozen=True)
class Peer:
    """One model of the comparison: a family, the settings that set its rate, and the bits they are laid out for."""

    family: str
    settings: dict = field(default_factory=dict)
    rate: int | None = None  # exact for quantizers and autoencoder, about right for the others; None: all of them


def grid(rates=(16, 32, 64, 128, 256), bits_per_code: int = 8) -> list[Peer]:
    """The grid: quantizers hit the rates exactly, continuous channels are turned until they span them.

    Quantizers: K = rate / bits_per_code codes. Autoencoder: latents of ``LATENT_BITS`` bits. VAE: one latent of a
    quarter of the largest rate, under KL weights from 1.5 down to 0.01. sigma-VAE: K = 3 tokens (one where rates are
    small) of as many dimensions as carry the rate at 5 bits each, which is about what they do.
    """
    found, k = [], 3 if min(rates) >= 15 else 1
    for rate, beta in zip(rates, np.geomspace(1.5, 0.01, len(rates)), strict=True):
        code = {"n_codes": max(1, rate // bits_per_code), "n_entries": 2**bits_per_code}
        # residual levels share one latent, which must not be what limits them: on LastFM, 64 bits of 32, 64 and 128
        # dimensions leave .393, .379 and .366; 256 bits .315, .230 and .209 (LightGCN) and .648, .587, .583 (fused)
        wide = {"code_dim": max(64, 4 * code["n_codes"])}
        found += [Peer("vq", code, rate), Peer("rq", code | wide, rate), Peer("mq", code, rate)]
        found.append(Peer("autoencoder", {"latent": max(1, rate // LATENT_BITS), "bits": LATENT_BITS}, rate))
        found.append(Peer("vae", {"latent": max(rates) // 4, "kl_weight": round(float(beta), 4)}, rate))
        found.append(Peer("sigma_vae", {"n_tokens": k, "token_dim": max(1, round(rate / (5 * k)))}, rate))
    return [*found, Peer("diffusion")]


def broken(rate: int = 64) -> dict[str, Peer]:
    """The sigma-VAE with one of its parts taken away, for the collapse diagnostic."""
    shape = next(p.settings for p in grid((rate,)) if p.family == "sigma_vae")
    return {
        "as published": Peer("sigma_vae", shape, rate),
        "without noise": Peer("sigma_vae", {**shape, "sigma_mode": "none"}),
        "without mask": Peer("sigma_vae", {**shape, "mask_ratio": 0.0}),
        "strong prior": Peer("sigma_vae", {**shape, "kl_weight": 1.0}),
    }


def build(peer: Peer, dim: int, n: int, budget: Budget):
    """The untrained tokenizer of a peer, for ``n`` embeddings of ``dim`` dimensions."""
    shared = budget.training(n)
    if peer.family in ("vq", "rq", "mq"):
        return QuantizedVAE(dim, QuantizerConfig(kind=peer.family, **peer.settings, **shared))
    kinds = {
        "autoencoder": (Autoencoder, AutoencoderConfig),
        "vae": (GaussianVAE, VAEConfig),
        "sigma_vae": (SigmaVAE, TokenizerConfig),
    }
    model, config = kinds[peer.family]
    return model(dim, config(**peer.settings, **shared))


@dataclass
class Result:
    """What a peer's run leaves.

    Attributes:
        rows: one dict for each point of its rate curve: decoder, rate_bits, mse and cosine on held-out items,
            mse_train, overlap and HR@10 over the whole catalogue, and for quantizers used, perplexity, collisions.
        steps: training loss (reconstruction MSE; of the diffusion that of x0) at each step, float32.
        variances: variance of each latent channel over the items, float32, empty for quantizers and diffusion.
    """

    rows: list[dict]
    steps: np.ndarray
    variances: np.ndarray


def run(peer: Peer, x: Tensor, cases: Cases, facets: np.ndarray, rates, seed: int, budget: Budget = Budget()) -> Result:
    """Train one peer on nine tenths of the items and measure it.

    Args:
        x: embeddings of all items, unit variance per dimension, (m, d).
        cases: test cases for the fixed ranker.
        facets: one facet number per item, for the conditional diffusion, int64, (m,).
        rates: bits at which the diffusion is read off.
    """
    start = time.perf_counter()
    held_out = np.random.default_rng(0).permutation(len(x)) < HELD_OUT * len(x)
    train, test = torch.from_numpy(np.flatnonzero(~held_out)), torch.from_numpy(np.flatnonzero(held_out))
    judge = Judge(x, train, test, cases)
    if peer.family == "diffusion":
        result = _run_diffusion(x, train, facets, rates, seed, budget, judge)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build(peer, x.shape[1], len(train), budget)
        history = train_tokenizer(model, x[train], seed=seed, record_steps=True)
        noise = torch.Generator().manual_seed(seed)
        row = {"decoder": peer.family, "rate_bits": model.rate_bits(x)}
        row |= judge(model.reconstruct(x, noise))
        if peer.family in ("vq", "rq", "mq"):
            row |= model.usage(x)
        variances = np.empty(0, np.float32)
        if hasattr(model, "channel_variance"):
            variances = model.channel_variance(x).flatten().numpy()
        steps = np.array([loss for epoch in history for loss in epoch["steps"]], np.float32)
        result = Result([row], steps, variances)
    for row in result.rows:
        row["seconds"] = time.perf_counter() - start
    return result


class Judge:
    """What reconstructions are worth: distortion, neighbours, and a fixed ranker on them."""

    def __init__(self, x: Tensor, train: Tensor, test: Tensor, cases: Cases, n_probe: int = 1000):
        self.x, self.train, self.test, self.cases = x, train, test, cases
        self.probe = torch.from_numpy(np.random.default_rng(1).permutation(len(x))[:n_probe])
        self.neighbours = self._neighbours(x)

    def __call__(self, y: Tensor) -> dict:
        """mse and cosine (held-out items), mse_train, overlap (share of the ten nearest kept), HR@10 with interval."""
        error = (y - self.x).square().mean(1)
        same = (self.neighbours[:, :, None] == self._neighbours(y)[:, None]).any(2).float().mean()
        found = evaluate(MeanHistory(y), self.cases)
        low, high = found.intervals()["HR@10"]
        return {
            "mse": float(error[self.test].mean()), "mse_train": float(error[self.train].mean()),
            "cosine": float(F.cosine_similarity(y, self.x)[self.test].mean()), "overlap": float(same),
            "HR@10": found.metrics()["HR@10"], "HR@10 low": low, "HR@10 high": high,
        }  # fmt: skip

    def _neighbours(self, y: Tensor) -> Tensor:
        unit = F.normalize(y, dim=1)
        cosine = unit[self.probe] @ unit.T
        cosine[torch.arange(len(self.probe)), self.probe] = -1
        return cosine.topk(10, dim=1).indices


class MeanHistory:
    """The fixed ranker: cosine to the mean of the history's item vectors."""

    def __init__(self, items: Tensor):
        self.items = F.normalize(items, dim=1)

    def score(self, cases: Cases) -> Tensor:
        matrix = cases.history_matrix(len(self.items))
        return torch.from_numpy(matrix @ self.items.numpy()) @ self.items.T


# -- the diffusion peer ------------------------------------------------------------------------------------------------


def channel_bits(t: int, dim: int, schedule) -> float:
    """Bits through the noise of step t: d/2 log2(1 + alpha_bar_t / (1 - alpha_bar_t))."""
    return -0.5 * dim * math.log2(1 - schedule.at(t))


def step_of(rate: float, dim: int, schedule) -> int:
    """The step whose channel carries nearest to ``rate`` bits."""
    return min(range(1, schedule.timesteps + 1), key=lambda t: abs(channel_bits(t, dim, schedule) - rate))


def facet_numbers(catalogue: Catalogue) -> np.ndarray:
    """The facet that each item's gold answer names, as its number in the answer set; one more for "none"."""
    number = {facet: n for n, facet in enumerate(catalogue.answers)}
    return np.array([number.get(catalogue.gold_answer(i), len(number)) for i in range(len(catalogue))])


def _run_diffusion(x, train, facets, rates, seed, budget: Budget, judge: Judge) -> Result:
    dim, stream = x.shape[1], torch.Generator().manual_seed(seed)
    config = DiffusionConfig(
        prediction_type="sample", width=budget.width, dropout=0.0, p_uncond=0.5, null_condition="learned"
    )
    codes = torch.from_numpy(np.unique(facets, return_inverse=True)[1])
    known_bits = math.log2(int(codes.max()) + 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Diffusion(dim, config, n_condition=1)
        table = torch.randn(int(codes.max()) + 1, 1, dim)  # a fixed vector for each facet
    optimizer = torch.optim.AdamW(model.parameters(), lr=budget.lr, weight_decay=budget.weight_decay)
    epochs = budget.epochs(len(train))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    steps = []
    model.train()
    for _ in range(epochs):
        for rows in train[torch.randperm(len(train), generator=stream)].split(budget.batch_size):
            losses = model.losses(x[rows], table[codes[rows]], generator=stream)
            optimizer.zero_grad(set_to_none=True)
            losses["diffusion"].backward()
            optimizer.step()
            where = f"diffusion peer, step {len(steps) + 1}"
            steps.append(finite("the loss 'diffusion'", float(losses["diffusion"].detach()), where))
        schedule.step()
    model.eval()
    found, null = [], model.null.streams(torch.zeros(len(x), dtype=torch.int64), x.device)
    for rate in rates:
        t = step_of(rate, dim, model.schedule)
        noisy = q_sample(x, torch.full((len(x),), t), torch.randn(x.shape, generator=stream), model.alpha_bar)
        for name, condition, extra in (("", null, 0.0), ("-facet", table[codes], known_bits)):
            bits = channel_bits(t, dim, model.schedule) + extra
            for kind, y in _decoded(model, noisy, t, condition).items():
                found.append({"decoder": f"diffusion/{kind}{name}", "rate_bits": bits, "step": t, **judge(y)})
    return Result(found, np.array(steps, np.float32), np.empty(0, np.float32))


@torch.no_grad()
def _decoded(model: Diffusion, noisy: Tensor, t: int, condition: Tensor) -> dict[str, Tensor]:
    """Both decodings of embeddings noised to step t: one prediction of x0, and DDIM of at most 20 steps back."""
    encoded = model.denoiser.encode(condition)

    def predict_x0(y: Tensor, step: Tensor) -> Tensor:
        return model.denoiser(y, step, encoded)[0]

    one = predict_x0(noisy, torch.full((1,), t))
    sampled = samplers.sample(predict_x0, noisy[None], model.schedule, "ddim", min(20, t), start=t)
    return {"one-step": one, "sampled": sampled}
