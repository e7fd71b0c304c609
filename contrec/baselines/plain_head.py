"""The plain head: ContRec without its language model and its diffusion, trained and searched like any baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from contrec.baselines.learned import Learned
from contrec.checks import in_range, one_of, positive
from contrec.data.interactions import Cases, Split
from contrec.data.splits import require_training
from contrec.data.training_cases import bucketed, training_cases
from contrec.embeddings.relation import RelationEmbeddings
from contrec.training import SharedBatch

PER_USER = 10  # cases of an epoch: what "prefix" cases there are at most


@dataclass(frozen=True)
class UserBatch(SharedBatch):
    """User tokens (B, d) and the items to be told from them, int64 (B,)."""

    users: Tensor
    target: Tensor

    def terms(self) -> int:
        return len(self.target)


class PlainHead(Learned):
    """query = user token + what a small network adds to it; score = cosine with the item vectors.

    The residual head that ContRec's `tuned` recipe puts behind its language model, alone: the same base vectors, the
    same targets, cross-entropy over the catalogue, and no condition. What ContRec earns is what it has above this.

    Args:
        dim, popularity, decay: of :class:`contrec.embeddings.relation.RelationEmbeddings`, the base vectors; without
            effect where ``fit`` is given embeddings.
        width: of the hidden layer.
        dropout: in [0, 1].
        negatives: uniform items of the softmax, shared by a batch, each for m / negatives others; None: all items.
        cases: "prefix" | "set", see :func:`contrec.data.training_cases.training_cases`.
        **loop: of the training loop.

    Raises:
        ValueError: if a setting is out of range.
    """

    LOOP = {"epochs": 30, "batch_size": 256, "lr": 1e-3, "weight_decay": 0.01, "patience": 5}

    def __init__(
        self, dim: int = 64, popularity: float | None = None, decay: float | None = None, width: int = 256,
        dropout: float = 0.3, negatives: int | None = 2048, cases: str = "prefix", **loop,
    ):  # fmt: skip
        super().__init__(**loop)
        for name, value in {"dim": dim, "width": width, **({"negatives": negatives} if negatives else {})}.items():
            positive(name, value)
        in_range("dropout", dropout, 0, 1)
        one_of("cases", cases, ("prefix", "set"))
        self.base = {"dim": dim, "popularity": popularity, "decay": decay}
        self.width, self.dropout, self.negatives, self.cases = width, dropout, negatives, cases

    def fit(
        self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False, epochs: int | None = None,
        folder: Path | None = None,
    ) -> PlainHead:  # fmt: skip
        """As :meth:`Learned.fit`.

        Args:
            embeddings: base vectors, such as those of the recipe beside it; None: "relation" with the settings above.
        """
        require_training(split, epochs)
        self.embeddings = embeddings or RelationEmbeddings.fit(split, seed=seed, progress=progress, **self.base)
        return super().fit(split, seed=seed, progress=progress, epochs=epochs, folder=folder)

    def build(self, split: Split) -> Head:
        self._split = split
        return Head(self.embeddings.items, self.width, self.dropout, self.negatives)

    def batches(self, rng: np.random.Generator) -> list[UserBatch]:
        cases = training_cases(self._split, self.cases, PER_USER, rng)
        users, target = self.embeddings.users(cases, held_out=True), torch.from_numpy(cases.target)
        rows = bucketed(np.zeros(len(cases)), self.loop.batch_size, rng)
        return [UserBatch(users[part], target[part]) for part in rows]

    @torch.no_grad()
    def score(self, cases: Cases) -> Tensor:
        """Cosines, float32, shape (B, m), from the visible histories."""
        return self.module.query(self.embeddings.users(cases).to(self.device)) @ self.module.items.T


class Head(nn.Module):
    """The residual network and its loss, with the item vectors as they are.

    Args:
        items: (m, d).
        width, dropout, negatives: see :class:`PlainHead`.
    """

    def __init__(self, items: Tensor, width: int, dropout: float, negatives: int | None):
        super().__init__()
        m, dim = items.shape
        self.register_buffer("items", normalize(items, dim=1), persistent=False)
        self.learned = nn.Sequential(
            nn.Linear(dim, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, dim)
        )  # starts as nothing: the first scores are those of the user token
        nn.init.zeros_(self.learned[-1].weight)
        nn.init.zeros_(self.learned[-1].bias)
        self.log_scale = nn.Parameter(torch.tensor(math.log(15.0)))
        self.negatives = None if negatives is None or negatives >= m else negatives

    def query(self, users: Tensor) -> Tensor:
        """Unit vectors, (B, d)."""
        return normalize(users + self.learned(users), dim=1)

    def forward(self, batch: UserBatch) -> dict[str, Tensor]:
        device = self.items.device
        query, target = self.query(batch.users.to(device)), batch.target.to(device)
        scale, m = self.log_scale.exp(), len(self.items)
        if self.negatives is None:
            loss = cross_entropy(scale * query @ self.items.T, target)
        else:
            drawn = torch.randint(m, (self.negatives,), device=device)
            others = scale * query @ self.items[drawn].T + math.log(m / self.negatives)
            others = others.masked_fill(drawn == target[:, None], -torch.inf)
            own = scale * (query * self.items[target]).sum(1)
            loss = (torch.logsumexp(torch.cat([own[:, None], others], dim=1), dim=1) - own).mean()
        return {"total": batch.weight * loss}
