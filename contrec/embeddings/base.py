"""What every source of base vectors gives: one vector per item, and a user vector made from what the user shows."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.nn.functional import normalize

from contrec.checks import DataError, known_settings, one_of, seed_number, settings_of
from contrec.data.interactions import Cases, Split, require_split

PROVIDERS = {  # kind -> module and class, imported when asked for
    "lightgcn": ("contrec.embeddings.lightgcn", "LightGCNEmbeddings"),
    "text": ("contrec.embeddings.text", "TextEmbeddings"),
    "fused": ("contrec.embeddings.fusion", "FusedEmbeddings"),
    "relation": ("contrec.embeddings.relation", "RelationEmbeddings"),
    "random": ("contrec.embeddings.random", "RandomEmbeddings"),
}


class Embeddings:
    """Base vectors q (the papers' x): ``items`` and, from visible histories only, ``users``.

    No user has a vector of their own. A vector learned for a user on train edges has already seen the training target,
    which at test it has not; one made from the history leaves the target out and serves strangers as well.

    Attributes:
        kind: "lightgcn" | "text" | "fused" | "relation" | "random".
        items: float32, shape (m, d).
        settings: what it was made with, JSON-able.
    """

    kind: ClassVar[str]
    items: Tensor
    settings: dict

    @property
    def dim(self) -> int:
        """Width d."""
        return self.items.shape[1]

    @classmethod
    def fit(cls, split: Split, *, seed: int = 0, progress: bool = False, **settings) -> Embeddings:
        """Vectors from ``split.train`` and ``split.catalogue``."""
        raise NotImplementedError

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        """User vectors, float32, shape (B, d), each from the visible history of its case alone.

        Args:
            cases: of anybody; targets are not read.
            held_out: True for cases of train users: what the rows of the case's own user have taught the model is left
                out where the kind can do so ("relation"); otherwise the same as False.
        """
        raise NotImplementedError

    def chosen(self) -> dict:
        """Settings of ``fit`` by which a refit repeats what validation cases have chosen; {} where they chose none."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that ``users`` and ``items`` need besides the settings."""
        raise NotImplementedError

    @classmethod
    def _restore(cls, tensors: dict[str, Tensor], settings: dict) -> Embeddings:
        raise NotImplementedError

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Tensors (for safetensors) and JSON-able settings that :meth:`from_state` takes back exactly."""
        return {name: t.contiguous() for name, t in self.tensors().items()}, {"kind": self.kind, **self.settings}

    @staticmethod
    def from_state(tensors: dict[str, Tensor], settings: dict) -> Embeddings:
        """What :meth:`state` was taken from.

        Raises:
            ValueError: if ``settings`` name no known kind.
        """
        settings = dict(settings)
        return provider(settings.pop("kind", None))._restore(tensors, settings)


def check_vectors(name: str, vectors: Tensor, ids: np.ndarray) -> None:
    """DataError unless there is one finite vector for each id."""
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise DataError(
            f"base vectors of {len(ids)} {name} must have shape ({len(ids)}, d), got {tuple(vectors.shape)}"
        )
    wrong = ~vectors.isfinite().all(1).cpu().numpy()
    if wrong.any():
        raise DataError(
            f"base vectors of {wrong.sum()} of {len(ids)} {name} hold NaN or infinite values, the first is "
            f"{ids[wrong][0]}: give finite embeddings, or leave them out to have them fitted"
        )


def provider(kind: str) -> type[Embeddings]:
    """The class of a kind.

    Raises:
        ValueError: for an unknown kind.
    """
    one_of("kind", kind, tuple(PROVIDERS))
    module, name = PROVIDERS[kind]
    return getattr(import_module(module), name)


def make(kind: str, split: Split, *, seed: int = 0, progress: bool = False, **settings) -> Embeddings:
    """Base vectors of a split.

    Args:
        kind: "lightgcn" (collaborative) | "text" | "fused" (both, the papers' choice) | "relation" (an item-item model
            as vectors whose cosine carries popularity) | "random" (nothing learned, for the ablation).
        split: only ``split.train`` and ``split.catalogue`` reach parameters; LightGCN also stops early on validation.
        seed, progress: of the fit.
        settings: of the provider's ``fit``.

    Raises:
        TypeError: if ``split`` is no split.
        ValueError: for an unknown kind or setting, or one out of range.
    """
    require_split(split)
    known_settings(f"embeddings {kind!r}", settings, settings_of(provider(kind).fit, "split", "seed", "progress"))
    return provider(kind).fit(split, seed=seed_number(seed), progress=progress, **settings)


class Ranker:
    """The ranking that the vectors alone give, behind the protocol's ``score``: for choices made while fitting.

    Args:
        embeddings: fitted.
        cosine: True for the cosine, False for the inner product.
        held_out: of :meth:`Embeddings.users`.
    """

    def __init__(self, embeddings: Embeddings, cosine: bool = True, held_out: bool = False):
        self.embeddings, self.cosine, self.held_out = embeddings, cosine, held_out

    def score(self, cases: Cases) -> np.ndarray:
        """Float32, shape (B, m)."""
        users, items = self.embeddings.users(cases, self.held_out), self.embeddings.items
        if self.cosine:
            users, items = normalize(users, dim=1), normalize(items, dim=1)
        return (users @ items.T).numpy()

    def quality(self, cases: Cases, at_most: int = 2000, seed: int = 0) -> float:
        """NDCG@10 over at most so many cases, the same ones for a seed; 0 without cases."""
        from contrec.evaluation import evaluate

        if len(cases) == 0:
            return 0.0
        rows = np.sort(np.random.default_rng(seed).permutation(len(cases))[:at_most])
        return evaluate(self, cases.select(rows)).metrics()["NDCG@10"]
