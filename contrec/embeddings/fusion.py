"""The papers' input: collaborative vectors next to text vectors (Sect. 4.1.4, ContRec)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from contrec.checks import positive
from contrec.data.interactions import Cases, Split
from contrec.embeddings.base import Embeddings, make


class FusedEmbeddings(Embeddings):
    """[propagated LightGCN | principal components of the text, at most as wide], every dimension of unit variance.

    A user is the same concatenation of the halves' user vectors. Those differ in length for reasons of arithmetic (a
    mean of many items is short), so each half is given the length that it has in an average item.
    """

    kind = "fused"

    def __init__(self, lightgcn: Embeddings, text: Embeddings, projection: Tensor, settings: dict):
        self.parts, self.projection, self.settings = {"lightgcn": lightgcn, "text": text}, projection, settings
        self.items = torch.cat([lightgcn.items, text.items @ projection], dim=1)

    @classmethod
    def fit(
        cls,
        split: Split,
        *,
        seed: int = 0,
        progress: bool = False,
        lightgcn: dict | None = None,
        text: dict | None = None,
        text_dim: int | None = None,
    ) -> FusedEmbeddings:
        """Fit both halves.

        Args:
            split: as for the halves.
            seed, progress: of the halves.
            lightgcn, text: settings of the halves.
            text_dim: width of the text half, at most LightGCN's; None for the smaller of LightGCN's and the text's.

        Raises:
            ValueError: if ``text_dim`` is larger than either width, or a setting of a half is out of range.
        """
        graph = make("lightgcn", split, seed=seed, progress=progress, **(lightgcn or {}))
        words = make("text", split, seed=seed, progress=progress, **(text or {}))
        widest = min(graph.dim, words.dim)
        text_dim = widest if text_dim is None else text_dim
        positive("text_dim", text_dim)
        if text_dim > widest:
            widths = f"LightGCN {graph.dim}, text {words.dim}"
            raise ValueError(f"text_dim must be at most {widest} ({widths}), got {text_dim}")
        return cls(graph, words, principal_axes(words.items, split.train.item, text_dim), {"text_dim": text_dim})

    def chosen(self) -> dict:
        return {name: part.chosen() for name, part in self.parts.items()}

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        """Float32, shape (B, d_lightgcn + text_dim)."""
        return torch.cat([self._half(name, cases, held_out) for name in ("lightgcn", "text")], dim=1)

    def _half(self, name: str, cases: Cases, held_out: bool) -> Tensor:
        users = self.parts[name].users(cases, held_out)
        items = self.parts[name].items
        if name == "text":
            users, items = users @ self.projection, items @ self.projection
        return normalize(users, dim=1) * items.norm(dim=1).mean()

    def tensors(self) -> dict[str, Tensor]:
        of_parts = {f"{name}.{n}": t for name, part in self.parts.items() for n, t in part.tensors().items()}
        return {**of_parts, "projection": self.projection}

    def state(self) -> tuple[dict[str, Tensor], dict]:
        tensors, settings = super().state()
        return tensors, {**settings, **{name: part.state()[1] for name, part in self.parts.items()}}

    @classmethod
    def _restore(cls, tensors, settings):
        settings = dict(settings)
        parts = []
        for name in ("lightgcn", "text"):
            own = {n.removeprefix(name + "."): t for n, t in tensors.items() if n.startswith(name + ".")}
            parts.append(Embeddings.from_state(own, settings.pop(name)))
        return cls(*parts, tensors["projection"], settings)


def principal_axes(vectors: Tensor, train_items, dim: int) -> Tensor:
    """Linear map (d, dim) to the leading principal components of the train items, each scaled to variance 1.

    Args:
        vectors: item vectors of mean 0 over the distinct train items, shape (m, d); so the same map serves their means,
            which user vectors are.
        train_items: item of each train row.
        dim: how many, at most d. Components without variance map to 0.
    """
    known = vectors[torch.from_numpy(np.unique(train_items))].double()
    _, values, axes = torch.linalg.svd(known, full_matrices=False)
    values, axes = values[:dim], axes[:dim]
    sign = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    deviation = values / len(known) ** 0.5
    scale = torch.where(deviation > 1e-6 * deviation.max(), 1 / deviation.clamp_min(1e-30), 0.0)
    projection = torch.zeros(vectors.shape[1], dim, dtype=torch.float64)
    projection[:, : len(axes)] = (axes * sign).T * scale
    return projection.float()
