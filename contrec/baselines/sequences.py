"""What next-item models share: padded histories, batches of similar length, the losses, one table in and out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrec.baselines.learned import Learned
from contrec.checks import in_range, one_of, positive
from contrec.data.cases import cases_at, offsets
from contrec.data.interactions import Cases, Interactions, Split
from contrec.data.training_cases import bucketed
from contrec.training import SharedBatch

LOSSES = ("softmax", "sampled", "bce")


@dataclass(frozen=True)
class SequenceBatch(SharedBatch):
    """Histories, oldest first, padded on the right: items (B, L), lengths (B,), targets (B, L), -1 where none is."""

    items: Tensor
    lengths: Tensor
    targets: Tensor

    def terms(self) -> int:
        return int((self.targets >= 0).sum())


def padded(cases: Cases, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The newest ``length`` items of each history: items, int64 (B, L), padded by 0 on the right, and lengths (B,)."""
    lengths = np.minimum(cases.lengths, length)
    place = np.arange(max(1, lengths.max(initial=0)))
    real = place < lengths[:, None]
    rows = (cases.stop - lengths)[:, None] + place
    items = np.where(real, cases.items[np.where(real, rows, 0)], 0) if len(cases.items) else np.zeros(real.shape, int)
    return items.astype(np.int64), lengths


def every_position(cases: Cases, length: int) -> SequenceBatch:
    """Each item is to be told from those before it: all positions of a sequence train at once."""
    items, lengths = padded(cases, length)
    targets = np.roll(items, -1, axis=1)
    targets[np.arange(items.shape[1]) >= lengths[:, None]] = -1
    targets[np.arange(len(items)), lengths - 1] = cases.target
    return SequenceBatch(*map(torch.from_numpy, (items, lengths, targets)))


def last_position(cases: Cases, length: int) -> SequenceBatch:
    """Only the case's own target is to be told, from all of its history."""
    items, lengths = padded(cases, length)
    targets = np.full_like(items, -1)
    targets[np.arange(len(items)), lengths - 1] = cases.target
    return SequenceBatch(*map(torch.from_numpy, (items, lengths, targets)))


def windows(train: Interactions, length: int) -> Cases:
    """Pieces of users' train rows in which every row but a user's first is told once, by at most ``length`` before it.

    Counted from the newest row backwards; a piece is one case, whose target is its newest row. Published models read
    the newest piece only, which on LastFM leaves 45 % of the rows out.
    """
    begin = offsets(train)
    told = np.maximum(np.diff(begin) - 1, 0)
    count = -(-told // length)
    user = np.repeat(np.arange(train.n_users), count)
    back = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    rows = begin[1:][user] - 1 - back * length
    cases = cases_at(train, rows)
    return replace(cases, start=np.maximum(cases.start, rows - length))


def next_item_loss(states: Tensor, target: Tensor, items: Tensor, kind: str, negatives: int) -> Tensor:
    """How badly ``states`` tell their targets by inner product with the items; scalar, in nats.

    Args:
        states: (N, d).
        target: item numbers, int64, (N,).
        items: (m, d).
        kind: "softmax": cross-entropy over all items. "sampled": over the target and ``negatives`` uniform items that
            all rows share, each of which stands for m / negatives items. "bce": binary cross-entropy of the target and
            of one uniform item, as SASRec was published. An own target that is drawn is no negative.
    """
    if kind == "softmax":
        return F.cross_entropy(states @ items.T, target)
    own = (states * items[target]).sum(1)
    if kind == "bce":
        drawn = torch.randint(len(items), target.shape, device=target.device)
        other = F.softplus((states * items[drawn]).sum(1))
        return (F.softplus(-own) + other.masked_fill(drawn == target, 0)).mean()
    drawn = torch.randint(len(items), (negatives,), device=target.device)
    others = states @ items[drawn].T + math.log(len(items) / negatives)
    others = others.masked_fill(drawn == target[:, None], -torch.inf)
    return (torch.logsumexp(torch.cat([own[:, None], others], dim=1), dim=1) - own).mean()


class NextItem(nn.Module):
    """An encoder between an item table and itself: what comes after a state is read off by inner products.

    Args:
        n_items, dim: m and d.
        encoder: (vectors (B, L, d), lengths (B,)) -> states (B, L, d). Items stand at the left, what lies beyond a
            length is padding and must not reach a state before it.
        loss, negatives: of :func:`next_item_loss`.
    """

    def __init__(self, n_items: int, dim: int, encoder: nn.Module, loss: str, negatives: int):
        super().__init__()
        self.table = nn.Embedding(n_items, dim)
        nn.init.normal_(self.table.weight, std=dim**-0.5)
        self.encoder, self.loss, self.negatives = encoder, loss, negatives

    def states(self, items: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, d)."""
        return self.encoder(self.table(items), lengths)

    def forward(self, batch: SequenceBatch) -> dict[str, Tensor]:
        device = self.table.weight.device
        items, lengths, targets = (x.to(device) for x in (batch.items, batch.lengths, batch.targets))
        real = targets >= 0
        states = self.states(items, lengths)[real]  # losses and logits at real positions only
        loss = next_item_loss(states, targets[real], self.table.weight, self.loss, self.negatives)
        return {"total": batch.weight * loss}


class SequenceModel(Learned):
    """Next-item models: train on sequences of train rows, score by the state after the history's newest item.

    Args:
        dim: d of items and states.
        length: the newest items that are read.
        dropout: in [0, 1].
        loss: "softmax" | "sampled" | "bce", see :func:`next_item_loss`; "bce" is as published.
        negatives: of "sampled".
        **loop: of the training loop.

    Raises:
        ValueError: if a setting is out of range.
    """

    positions = staticmethod(every_position)

    def __init__(self, dim: int, length: int, dropout: float, loss: str, negatives: int, **loop):
        super().__init__(**loop)
        one_of("loss", loss, LOSSES)
        in_range("dropout", dropout, 0, 1)
        for name, value in (("dim", dim), ("length", length), ("negatives", negatives)):
            positive(name, value)
        self.dim, self.length, self.dropout, self.loss, self.negatives = dim, length, dropout, loss, negatives

    def encoder(self) -> nn.Module:
        """The encoder of :class:`NextItem`."""
        raise NotImplementedError

    def training_cases(self, rng: np.random.Generator) -> Cases:
        """The cases of one epoch."""
        return self._pieces

    def build(self, split: Split) -> NextItem:
        self._split, self._pieces = split, windows(split.train, self.length)
        return NextItem(split.n_items, self.dim, self.encoder(), self.loss, self.negatives)

    def batches(self, rng: np.random.Generator) -> list[SequenceBatch]:
        cases = self.training_cases(rng)
        rows = bucketed(np.minimum(cases.lengths, self.length), self.loop.batch_size, rng)
        return [self.positions(cases.select(part), self.length) for part in rows]

    @torch.no_grad()
    def score(self, cases: Cases) -> Tensor:
        """Float32, shape (B, m); all alike for an empty history."""
        self.module.eval()
        items, lengths = (torch.from_numpy(x).to(self.device) for x in padded(cases, self.length))
        states = self.module.states(items, lengths)[torch.arange(len(items)), (lengths - 1).clamp_min(0)]
        return (states * (lengths > 0)[:, None]) @ self.module.table.weight.T
