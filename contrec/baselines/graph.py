"""What graph models share: one table of users and items, a propagation of it, BPR, and the users' vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from contrec.baselines.learned import Learned
from contrec.checks import in_range, one_of, positive
from contrec.data.interactions import Cases, Split
from contrec.relations import interaction_matrix
from contrec.training import SharedBatch


@dataclass(frozen=True)
class Triples(SharedBatch):
    """Train rows with one drawn item each: user, item, negative, int64, shape (B,)."""

    user: Tensor
    item: Tensor
    negative: Tensor

    def terms(self) -> int:
        return len(self.user)


class Nodes(nn.Module):
    """A table of all nodes, users first, and its propagation.

    Args:
        propagation: (n + m, d) -> (n + m, d).
        n_users, n_items, dim: n, m and d.
        l2: weight of the squared table rows of a batch.
    """

    def __init__(self, propagation: nn.Module, n_users: int, n_items: int, dim: int, l2: float):
        super().__init__()
        self.table = nn.Embedding(n_users + n_items, dim)
        nn.init.normal_(self.table.weight, std=0.1)
        self.propagation, self.n_users, self.l2 = propagation, n_users, l2
        self._propagated: Tensor | None = None

    def forward(self, batch: Triples) -> dict[str, Tensor]:
        from contrec.embeddings.lightgcn import bpr

        device = self.table.weight.device
        user, item, negative = (x.to(device) for x in (batch.user, batch.item, batch.negative))
        vectors = self.propagation(self.table.weight)
        users, items = vectors[: self.n_users], vectors[self.n_users :]
        layer_0 = self.table(torch.cat([user, item + self.n_users, negative + self.n_users]))
        penalty = layer_0.square().sum() / (2 * len(user))
        loss = bpr(users[user], items[item], items[negative]) + self.l2 * penalty
        return {"total": batch.weight * loss}

    def train(self, mode: bool = True) -> Nodes:
        """As for any module. Weights change between two calls only, so this is where propagated vectors are dropped."""
        self._propagated = None
        return super().train(mode)

    @torch.no_grad()
    def vectors(self) -> tuple[Tensor, Tensor]:
        """Propagated users (n, d) and items (m, d), without a gradient; computed once after each ``eval()``."""
        if self._propagated is None:
            self._propagated = self.propagation(self.table.weight).detach()
        return self._propagated[: self.n_users], self._propagated[self.n_users :]


class GraphModel(Learned):
    """Inner product of a user's and the items' propagated vectors, trained by BPR with one uniform negative.

    Args:
        dim: d.
        l2: weight of the squared table rows of a batch.
        users: "learned": the vector of the user's own node, as published, which knows the train rows, not what came
            after them, and would know the target of a train case. "history": :meth:`fold_in`, which knows the visible
            history only; strangers and users without train rows always have this one.
        **loop: of the training loop.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(self, dim: int, l2: float, users: str, **loop):
        super().__init__(**loop)
        positive("dim", dim)
        in_range("l2", l2, 0, np.inf)
        one_of("users", users, ("learned", "history"))
        self.dim, self.l2, self.users = dim, l2, users

    def propagation(self, matrix) -> nn.Module:
        """The propagation of :class:`Nodes` for the 0/1 train matrix, CSR, shape (n, m)."""
        raise NotImplementedError

    def build(self, split: Split) -> Nodes:
        matrix = interaction_matrix(split.train)
        self._rows = torch.from_numpy(np.stack(matrix.nonzero()).astype(np.int64))
        self._known = np.diff(matrix.indptr) > 0
        degrees = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self._degrees = torch.from_numpy(np.maximum(degrees, 1).astype(np.float32))
        return Nodes(self.propagation(matrix), *matrix.shape, self.dim, self.l2)

    def batches(self, rng: np.random.Generator) -> list[Triples]:
        parts = torch.from_numpy(rng.permutation(self._rows.shape[1])).split(self.loop.batch_size)
        drawn = [torch.from_numpy(rng.integers(len(self._degrees), size=len(part))) for part in parts]
        return [Triples(*self._rows[:, part], negative) for part, negative in zip(parts, drawn)]

    def fold_in(self, cases: Cases, items: Tensor) -> Tensor:
        """Users from their visible histories: float32, shape (B, d), for item vectors (m, d).

        One propagation step, see :meth:`contrec.embeddings.lightgcn.LightGCNEmbeddings.users`.
        """
        from contrec.embeddings.lightgcn import LightGCNEmbeddings

        return LightGCNEmbeddings(items.cpu(), self._degrees, {}).users(cases).to(items.device)

    @torch.no_grad()
    def score(self, cases: Cases) -> Tensor:
        """Float32, shape (B, m)."""
        users, items = self.module.vectors()
        vectors = self.fold_in(cases, items)
        if self.users == "learned":
            own = (cases.user >= 0) & self._known[cases.user]
            vectors[torch.from_numpy(own)] = users[torch.from_numpy(cases.user[own])]
        return vectors @ items.T
