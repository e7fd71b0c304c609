"""Random base vectors: what is left where nothing is learned about the items ("w/o CF", Sect. 3.4, DeftRec)."""

from __future__ import annotations

import torch
from torch import Tensor

from contrec.checks import positive
from contrec.data.interactions import Cases, Split
from contrec.embeddings.base import Embeddings


class RandomEmbeddings(Embeddings):
    """Item vectors from N(0, 1); a user is the mean of the history's vectors, scaled back to variance 1."""

    kind = "random"

    def __init__(self, items: Tensor, settings: dict):
        self.items, self.settings = items, settings

    @classmethod
    def fit(cls, split: Split, *, seed: int = 0, progress: bool = False, dim: int = 128) -> RandomEmbeddings:
        """Vectors of width ``dim``; nothing of the split but its number of items is read."""
        positive("dim", dim)
        items = torch.randn(split.n_items, dim, generator=torch.Generator().manual_seed(seed))
        return cls(items, {"dim": dim, "seed": seed})

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        history = cases.history_matrix(len(self.items))
        length = torch.from_numpy(history.getnnz(1)).clamp_min(1).float()
        return torch.from_numpy(history @ self.items.numpy()) / length.sqrt()[:, None]

    def tensors(self) -> dict[str, Tensor]:
        return {"items": self.items}

    @classmethod
    def _restore(cls, tensors, settings):
        return cls(tensors["items"], settings)
