"""The diffusion head trained anew on the kept conditions of a fitted recommender; no other part of it is touched.

It answers what a setting of the head alone does at a fraction of a training's price. It is not the same as training
everything with that setting: the conditions were learned with another head, and are read here without token noise.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from contrec import training
from contrec.asking import Understanding
from contrec.controls import Variant
from contrec.data.interactions import Cases, Split
from contrec.data.training_cases import training_cases
from contrec.diffusion import Diffusion
from contrec.evaluation import evaluate
from contrec.network import RecommenderConfig
from contrec.recommender import Recommender, negative_items

# Our choice: how the head of :func:`contrec.controls.direct_head` is trained, with early stopping
LOOP = training.LoopConfig(epochs=30, batch_size=128, lr=1e-3, patience=5)


@dataclass
class Conditions:
    """What a head is trained on: the training cases and validation cases of a split, understood once.

    Attributes:
        split: where they come from.
        cases, known: training cases of one draw, twice as many as an epoch has, and their understanding.
        valid: understanding of the validation cases.
    """

    split: Split
    cases: Cases
    known: Understanding
    valid: Understanding

    @classmethod
    def of(cls, recommender: Recommender, split: Split, seed: int = 0) -> Conditions:
        """The conditions that a fitted recommender gives its training and validation cases."""
        own = recommender.config.training
        cases = training_cases(split, own.cases, 2 * own.cases_per_user, np.random.default_rng([seed, 0]))
        known = recommender.understand(cases, held_out=True)
        return cls(split, cases, known, recommender.understand(split.validation))


def changed(recommender: Recommender, config: RecommenderConfig, head: Diffusion | None = None) -> Recommender:
    """The same fitted parts under other settings of what is asked of them, and with another head if one is given.

    Args:
        config: may differ in the diffusion's sampling, in ``estimate`` and in ``text_bonus``; with ``head`` in all of
            the diffusion's settings.
    """
    other = copy.copy(recommender)
    other.config = config
    if head is not None:
        other.network = copy.copy(recommender.network)
        other.network._modules = {**recommender.network._modules, "diffusion": head}  # or the copy would share them
    return other


def preferences(recommender: Recommender, known: Understanding) -> Tensor:
    """The preferences (B, d) by the estimate and the sampling settings of the recommender's config."""
    own = recommender.config.diffusion
    sampling = {"n_samples": own.n_samples, "sampler": own.sampler, "steps": own.sampler_steps}
    return recommender.preference(known, **sampling, guidance_strength=own.guidance_strength)


def variant(recommender: Recommender, cases: Cases, known: Understanding) -> Variant:
    """The recommender on understood cases, behind the protocol's ``score``."""
    rows = {cases.history(i).tobytes(): i for i in range(len(cases))}
    return Variant(recommender, rows, preferences(recommender, known), known.facet)


def retrained(
    recommender: Recommender, kept: Conditions, config: RecommenderConfig, *, seed: int = 0, folder: Path | None = None
) -> Recommender:
    """The recommender with a head trained from fresh weights under ``config``; the given one stays as it is.

    Args:
        kept: the recommender's conditions.
        config: its settings, changed in the diffusion's part or in the weights of the diffusion's losses.
        seed: of weights, noise and order.
        folder: checkpoints of every epoch, as for :func:`contrec.training.fit`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dim, (_, m, condition_dim) = recommender.embeddings.items.shape[1], kept.known.condition.shape
        head = Diffusion(dim, config.diffusion, m, condition_dim).to(recommender.device)
    other = changed(recommender, config, head)
    negatives = negative_items(other.config, kept.split.train)
    module, n = _Head(head, other, kept), len(kept.cases)

    def batches(epoch: int) -> list[tuple]:
        rng = np.random.default_rng([seed, epoch])
        order = np.array_split(rng.permutation(n), range(LOOP.batch_size, n, LOOP.batch_size))
        return [
            (
                torch.from_numpy(rows),
                None if negatives is None else negatives(kept.cases.user[rows], rng).to(other.device),
                (seed * 1_000_003 + epoch, number),
            )
            for number, rows in enumerate(order)
        ]

    def validate() -> float:
        cases = kept.split.validation
        return evaluate(variant(other, cases, kept.valid), cases).metrics()["NDCG@10"]

    other.history = {"head": training.fit(module, batches, validate, LOOP, seed=seed, folder=folder, name="head only")}
    return other


class _Head(nn.Module):
    """The head's share of Eq. (20), ContRec, and Eq. (15), DeftRec, on kept conditions."""

    def __init__(self, head: Diffusion, recommender: Recommender, kept: Conditions):
        super().__init__()
        self.head, self.config = head, recommender.config
        self.known, self.items = kept.known, recommender.embeddings.items.to(recommender.device)
        self.target = torch.from_numpy(kept.cases.target).to(recommender.device)

    def forward(self, batch: tuple) -> dict[str, Tensor]:
        rows, negatives, (epoch, number) = batch
        generator = torch.Generator(device=self.items.device).manual_seed((epoch * 100_003 + number) % training.SEEDS)
        target, weight = self.target[rows], self.config.training
        losses = self.head.losses(
            self.items[target], self.known.condition[rows], items=self.items, target=target, generator=generator,
            user=self.known.users[rows] if self.config.residual else None,
            negative=None if negatives is None else self.items[negatives].mean(1).expand(len(rows), -1),
        )  # fmt: skip
        total = weight.diffusion_weight * (losses["diffusion"] + weight.dispersion_weight * losses["dispersion"])
        if negatives is not None:
            total = total + weight.negative_weight * losses["negative"]
        return losses | {"total": total}
