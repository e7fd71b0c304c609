"""What every baseline that learns by gradient shares: seeds, the training loop, the validation cases, the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from contrec import training
from contrec.baselines.base import Baseline
from contrec.checks import known_settings, seed_number
from contrec.data.interactions import Cases, Split
from contrec.data.splits import require_training
from contrec.evaluation import evaluate
from contrec.training import LoopConfig


class Learned(Baseline):
    """A baseline trained by :func:`contrec.training.fit`: the best epoch by NDCG@10 on validation cases is kept.

    A subclass gives ``build`` (its module, whose forward pass turns a batch into {"total": loss}), ``batches`` (those
    of one epoch) and ``score``.

    Args:
        **loop: settings of :class:`contrec.training.LoopConfig`, over the class's ``LOOP``.

    Raises:
        ValueError: if the loop has no setting of a name, or a value is out of range.
    """

    LOOP: ClassVar[dict] = {}

    def __init__(self, **loop):
        known_settings(type(self).__name__, loop, [field.name for field in fields(LoopConfig)])
        self.loop = LoopConfig(**{**self.LOOP, **loop})

    def build(self, split: Split) -> nn.Module:
        """The untrained module; torch's global stream is seeded."""
        raise NotImplementedError

    def batches(self, rng: np.random.Generator) -> Sequence:
        """All batches of one epoch, the same number in each."""
        raise NotImplementedError

    def score(self, cases: Cases) -> torch.Tensor:
        """Float32, shape (B, m), from the visible histories; of a case alone and in a batch equal but for rounding."""
        raise NotImplementedError

    def fit(
        self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False, epochs: int | None = None,
        folder: Path | None = None,
    ) -> Learned:  # fmt: skip
        """Train on ``split.train``; ``epochs`` says afterwards for how long.

        Args:
            split: the validation cases only choose the epoch.
            embeddings: not needed.
            seed: of weights, batches, dropout and negatives.
            progress: bars with an estimate of what is left.
            epochs: of a refit, as validation has chosen before; None: validation chooses.
            folder: keeps checkpoints; a stopped run goes on from there to the same result.

        Raises:
            DataError: if there is too little to train on.
            ValueError: if the seed is none, or a loss becomes NaN.
        """
        require_training(split, epochs)
        seed = seed_number(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.module = self.build(split).to(self.device)
        rows = np.random.default_rng(0).permutation(len(split.validation))[: self.loop.validation_users]
        validation = split.validation.select(np.sort(rows))
        self.history = training.fit(
            self.module,
            lambda epoch: self.batches(np.random.default_rng([seed, epoch])),
            lambda: evaluate(self, validation).metrics()["NDCG@10"],
            self.loop,
            seed=seed,
            epochs=epochs,
            folder=folder,
            progress=progress,
            name=type(self).__name__,
        )
        self.epochs = training.chosen_epochs(self.history, self.loop)
        return self
