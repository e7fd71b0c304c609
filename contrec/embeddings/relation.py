"""An item-item model folded into vectors of equal length, whose cosine carries taste and popularity."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags, issparse
from torch import Tensor
from tqdm.auto import tqdm

from contrec.checks import in_range, known_settings, one_of, positive, settings_of
from contrec.data.cases import take
from contrec.data.interactions import Cases, Interactions, Split
from contrec.embeddings.base import Embeddings, Ranker
from contrec.memory import require_memory
from contrec.relations import ease_relation, interaction_matrix, neighbour_relation, recent_matrix

LARGEST_EASE = 6000  # items; above, the dense inverse takes minutes on a CPU
POPULARITY = (0.15, 0.3, 0.6, 1.0, 2.0)  # values of b that "neighbours" tries


class RelationEmbeddings(Embeddings):
    r"""Item vectors from a truncated SVD of an item-item relation R, user vectors from the history's rows of R.

    With V the leading right singular vectors of R, or of the train histories' rows X R (each normalised):

        item_j = [V_j / |V_j|,  sqrt(b) z_j,  sqrt(b) sqrt(1 - z_j^2)],   z_j = log|V_j| scaled to 0..1
        user   = [normalised sum_i w_i (R V)_i,  sqrt(b),  0],            i over the visible history

    The length of V_j is what an inner product knows about popularity, and a cosine would drop it; here it stands in two
    coordinates, so that every vector has the same length and the cosine is (taste + b z_j) / (1 + b). Both sides are
    scaled to length sqrt(d): a root mean square of 1 per coordinate, the scale of N(0, 1) noise. An item that no train
    row relates to anything has only the last coordinate, and a user without history only the first of the two.

    For train users R is also computed without them, fold by fold: what a user's own rows have taught R about the target
    would make training cases look easier than test cases are.
    """

    kind = "relation"

    def __init__(self, items: Tensor, queries: Tensor, fold_queries: Tensor, settings: dict):
        self.items, self.queries, self.fold_queries, self.settings = items, queries, fold_queries, settings

    @classmethod
    def fit(
        cls,
        split: Split,
        *,
        seed: int = 0,
        progress: bool = False,
        relation: str = "auto",
        factor: str | None = None,
        dim: int = 64,
        popularity: float | None = None,
        decay: float | None = None,
        folds: int = 5,
        **of_relation,
    ) -> RelationEmbeddings:
        """Vectors of a split.

        Defaults of "ease" were chosen on LastFM, on up to 10 hidden train items a user and on validation; those of
        "neighbours" on Beauty's validation.

        Args:
            split: only ``split.train`` and its cases are read.
            seed: of the SVD's start vector (results agree to rounding) and of the choice of cases for ``popularity``.
            progress: show a bar over the folds.
            relation: "ease" (with tags where train rows have them) | "neighbours" (cosine and transitions) | "auto":
                "ease" for up to 6,000 items with tags (LastFM), else "neighbours", which knows the order of a history.
            factor: what the SVD is taken of: "histories" (rows of X R) | "relation" (R). None: "histories" for "ease".
            dim: width d, at least 4.
            popularity: b, at least 0. None: for "ease" 4.8 / sqrt(d), as cosines narrow with the width (.6 at 64, .3 at
                256); for "neighbours" the best of .15, .3, .6, 1 and 2 by NDCG@10 of at most 2,000 held-out train
                cases, since data sets differ (at 256 dimensions ML-1M takes .15, Beauty 1).
            decay: weight of a history item per step back, in (0, 1]. None: 1 for "ease", .7 for "neighbours".
            folds: how often R is computed without a part of the users (user index modulo ``folds``), at least 2.
            of_relation: settings of :mod:`contrec.relations`.

        Raises:
            ValueError: if a setting is out of range.
            DataError: if dense matrices would take more memory than there is.
        """
        one_of("relation", relation, ("auto", "ease", "neighbours"))
        one_of("factor", factor, (None, "histories", "relation"))
        for name, value, low in (("dim", dim, 4), ("folds", folds, 2)):
            positive(name, value)
            in_range(name, value, low, np.inf)
        if popularity is not None:
            in_range("popularity", popularity, 0, np.inf)
        if relation == "auto":
            relation = "ease" if split.train.tags is not None and split.n_items <= LARGEST_EASE else "neighbours"
        factor = factor or {"ease": "histories", "neighbours": "relation"}[relation]
        decay = {"ease": 1.0, "neighbours": 0.7}[relation] if decay is None else float(decay)
        if not 0 < decay <= 1:
            raise ValueError(f"decay must lie in (0, 1], got {decay}")
        of = {"ease": ease_relation, "neighbours": neighbour_relation}[relation]
        known_settings(f"relation {relation!r}", of_relation, settings_of(of, "train"))

        if relation == "ease" and factor == "histories":  # dense rows, these normalised, and in float64 for the SVD
            shape = f"{split.n_users:,} users x {split.n_items:,} items"
            needed = 4 * split.n_items**2 + 16 * split.n_users * split.n_items
            require_memory(f"relation='ease' for {shape}", needed, "use relation='neighbours' or factor='relation'")
        full = of(split.train, **of_relation)
        rows = full if factor == "relation" else _normalised_rows(interaction_matrix(split.train) @ full)
        vectors = singular_vectors(rows, dim - 2, seed)
        fold = split.train.user % folds
        parts = tqdm(range(folds), desc="relations without a fold of users", disable=not progress)
        without = [of(without_rows(split.train, fold == f), **of_relation) @ vectors for f in parts]
        queries = [np.ascontiguousarray(q, np.float32) for q in (full @ vectors, np.stack(without))]
        queries = [torch.from_numpy(q) for q in queries]
        settings = {"relation": relation, "factor": factor, "dim": dim, "decay": decay, "folds": folds, **of_relation}
        if popularity is not None:
            tried = (float(popularity),)
        else:
            tried = {"ease": (4.8 / dim**0.5,), "neighbours": POPULARITY}[relation]
        candidates = [
            cls(torch.from_numpy(equal_length(vectors, b)), *queries, {"popularity": b, **settings}) for b in tried
        ]
        if len(candidates) == 1:
            return candidates[0]
        return max(candidates, key=lambda c: Ranker(c, held_out=True).quality(split.train_cases, seed=seed))

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        """Float32, shape (B, d); ``held_out`` takes the rows of R V from the fold without the case's user."""
        m, decay, b = len(self.items), self.settings["decay"], self.settings["popularity"]
        weights = cases.history_matrix(m) if decay == 1 else recent_matrix(cases, m, decay=decay)
        taste = weights @ self.queries.numpy()
        if held_out:
            fold = np.where(cases.user < 0, -1, cases.user % len(self.fold_queries))
            for f, queries in enumerate(self.fold_queries.numpy()):
                taste[fold == f] = weights[fold == f] @ queries
        taste = torch.nn.functional.normalize(torch.from_numpy(taste), dim=1)
        ends = torch.tensor([b**0.5, 0.0]).expand(len(cases), 2)
        return torch.cat([taste, ends], dim=1) * (self.dim / (1 + b)) ** 0.5

    def tensors(self) -> dict[str, Tensor]:
        return {"items": self.items, "queries": self.queries, "fold_queries": self.fold_queries}

    @classmethod
    def _restore(cls, tensors, settings):
        return cls(tensors["items"], tensors["queries"], tensors["fold_queries"], settings)


def without_rows(train: Interactions, rows: np.ndarray) -> Interactions:
    """``train`` less the marked rows, and their tags; users keep their numbers."""
    return take(train, np.flatnonzero(~rows))


def equal_length(vectors: np.ndarray, popularity: float) -> np.ndarray:
    """V (m, k) -> item vectors (m, k + 2) of length sqrt(k + 2), as :class:`RelationEmbeddings` writes them."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = length > 1e-7 * max(length.max(), 1e-30)
    log = np.log(length, where=known, out=np.zeros_like(length))
    low, high = (log[known].min(), log[known].max()) if known.any() else (0.0, 1.0)
    z = np.where(known, (log - low) / max(high - low, 1e-12), 0.0)
    direction = np.where(known, vectors / np.where(known, length, 1), 0.0)
    rest = np.sqrt(np.maximum(1 + popularity - known - popularity * z**2, 0.0))
    items = np.hstack([direction, np.sqrt(popularity) * z, rest])
    return (items * np.sqrt(items.shape[1] / (1 + popularity))).astype(np.float32)


def singular_vectors(matrix, k: int, seed: int = 0) -> np.ndarray:
    """Leading k right singular vectors, shape (m, k), the largest entry of each positive; zeros beyond the rank.

    Args:
        matrix: dense or sparse, shape (n, m).
        k: how many, at least 1.
        seed: of the start vector of the iteration; the result does not depend on it but for rounding.
    """
    n, m = matrix.shape
    if k >= min(n, m) - 1:
        _, values, right = np.linalg.svd(matrix.toarray() if issparse(matrix) else matrix, full_matrices=False)
    else:
        from scipy.sparse.linalg import svds

        start = np.random.default_rng(seed).normal(size=min(n, m))
        _, values, right = svds(matrix.astype(np.float64), k=k, v0=start)
        values, right = values[::-1], right[::-1]
    values, right = values[:k], right[:k]
    right[values <= 1e-6 * max(values[0], 1e-30)] = 0
    right = right * np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])[:, None]
    return np.vstack([right, np.zeros((k - len(right), m))]).T


def _normalised_rows(matrix):
    """Rows of length 1 (zero rows stay zero), dense or sparse."""
    if issparse(matrix):
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
        return (diags(1 / np.maximum(length, 1e-12)) @ matrix).tocsr()
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
