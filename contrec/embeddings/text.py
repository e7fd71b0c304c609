"""Text vectors: a sentence encoder on each item's title, brand and categories, or TF-IDF and SVD without one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from contrec.checks import one_of, positive
from contrec.data.interactions import Cases, Catalogue, Split
from contrec.embeddings.base import Embeddings
from contrec.embeddings.relation import singular_vectors

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # 384 dimensions; Sect. 4.1.4 says "sentence vectors" only
FALLBACK = "tf-idf + svd"


class TextEmbeddings(Embeddings):
    """Item vectors of mean 0 and variance 1 per dimension; a user is the mean over the history, zeros without one.

    Attributes:
        source: name of the encoder, or "tf-idf + svd" where it could not be used; ``settings["reason"]`` then says why.
    """

    kind = "text"

    def __init__(self, items: Tensor, settings: dict):
        self.items, self.settings = items, settings

    @property
    def source(self) -> str:
        return self.settings["source"]

    @classmethod
    def fit(
        cls,
        split: Split,
        *,
        seed: int = 0,
        progress: bool = False,
        encoder: str | None = ENCODER,
        download: bool = False,
        fallback: str = "tfidf",
        tfidf_dim: int = 64,
        batch_size: int = 128,
    ) -> TextEmbeddings:
        """Encode ``split.catalogue``, whose categories know train rows only.

        Args:
            split: its train items set the scale.
            seed: of the SVD's start vector.
            progress: show a bar over the batches of the encoder.
            encoder: a sentence-transformers model by hub name or local folder; None for TF-IDF at once.
            download: fetch the encoder from the hub if it is not on this machine; False never uses the network.
            fallback: "tfidf": where the encoder cannot be used, for whatever reason, take TF-IDF + SVD, say so in
                ``source`` and, of an encoder that is not the default, in a warning. "error": raise.
            tfidf_dim: width of the fallback.
            batch_size: items per call of the encoder.

        Raises:
            ValueError: if a setting is out of range.
            OSError: if the encoder cannot be used and ``fallback`` is "error".
        """
        one_of("fallback", fallback, ("tfidf", "error"))
        for name, value in (("tfidf_dim", tfidf_dim), ("batch_size", batch_size)):
            positive(name, value)
        encoder, texts = None if encoder is None else str(encoder), item_texts(split.catalogue)
        vectors, source, why = None, FALLBACK, {}
        if encoder is not None:
            try:
                vectors, source = encode(texts, encoder, batch_size, progress, download), encoder
            # absent package or model, no network, a damaged folder, weights of something else: each reader of a model
            # folder has errors of its own
            except Exception as error:
                why_not = f"{type(error).__name__}: {' '.join(str(error).split())}"
                told = f"the sentence encoder {encoder!r} cannot be used ({why_not})"
                if fallback == "error":
                    cure = "set download to True, give a local folder as encoder, or set fallback to 'tfidf'"
                    raise OSError(f"{told}; {cure}") from error
                if encoder != ENCODER:
                    warnings.warn(f"{told}; item texts become {FALLBACK} vectors instead", stacklevel=2)
                    why = {"reason": told}
        if vectors is None:
            vectors = tfidf_vectors(texts, tfidf_dim, seed)
        settings = {
            "encoder": encoder,
            "fallback": fallback,
            "tfidf_dim": tfidf_dim,
            "source": source,
            "seed": seed,
            **why,
        }
        return cls(torch.from_numpy(standardised(vectors, split.train.item)), settings)

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        """Float32, shape (B, d); the same for ``held_out``: no user's rows reach a text vector."""
        history = cases.history_matrix(len(self.items))
        length = np.maximum(np.diff(history.indptr), 1).astype(np.float32)
        return torch.from_numpy((history @ self.items.numpy()) / length[:, None])

    def tensors(self) -> dict[str, Tensor]:
        return {"items": self.items}

    @classmethod
    def _restore(cls, tensors, settings):
        return cls(tensors["items"], settings)


def standardised(vectors: np.ndarray, train_items: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 per dimension over the distinct train items; a dimension without variance becomes 0.

    Sentence vectors share a large common part, which says nothing about an item and would fill every cosine.
    """
    known = vectors[np.unique(train_items)]
    deviation = known.std(0)
    varies = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    scaled = (vectors - known.mean(0)) / np.where(varies, deviation, 1)
    return np.where(varies, scaled, 0).astype(np.float32)


def item_texts(catalogue: Catalogue) -> list[str]:
    """Title, brand and categories of each item as "title. brand. category, category", without what is missing."""
    parts = zip(catalogue.titles, catalogue.brands, map(", ".join, catalogue.categories))
    return [". ".join(p for p in three if p) for three in parts]


def encode(
    texts: list[str], encoder: str, batch_size: int = 128, progress: bool = False, download: bool = False
) -> np.ndarray:
    """Sentence vectors on the CPU, float32, shape (len(texts), d).

    Raises:
        OSError: if the encoder is not to be had.
        ValueError: if it is no sentence encoder, or what it gives are no finite vectors, one for each text.
        Exception: whatever a reader of model folders raises about a damaged one.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError
    from sentence_transformers import SentenceTransformer

    if not download and not Path(encoder).is_dir():  # by its folder: a name makes some readers ask the hub nevertheless
        try:
            encoder = snapshot_download(encoder, local_files_only=True)
        except HFValidationError as error:
            raise OSError(f"no such folder, and no name of the hub: {encoder}") from error
    modules, config = (Path(encoder) / name for name in ("modules.json", "config.json"))
    if not modules.is_file() and config.is_file() and "ForCausalLM" in config.read_text(errors="replace"):
        raise ValueError("it is a causal language model and no sentence encoder, which has a file modules.json")
    model = SentenceTransformer(encoder, device="cpu", local_files_only=not download)
    vectors = np.asarray(model.encode(texts, batch_size=batch_size, show_progress_bar=progress), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise ValueError(f"its vectors are not finite, or not one for each text: shape {vectors.shape}")
    different = len(np.unique(vectors.round(5), axis=0))
    if 2 * different < len(set(texts)):  # a model without its vocabulary reads every word as unknown
        raise ValueError(f"it gives {len(set(texts))} different texts only {different} different vectors")
    return vectors


def tfidf_vectors(texts: list[str], dim: int, seed: int = 0) -> np.ndarray:
    """TF-IDF of words and word pairs, reduced to ``dim`` by a truncated SVD: float32, shape (len(texts), dim).

    Dimensions beyond the rank of the texts are zero.
    """
    matrix = tfidf_matrix(texts)
    return (matrix @ singular_vectors(matrix, dim, seed)).astype(np.float32)


def tfidf_matrix(texts: list[str]) -> csr_matrix:
    """TF-IDF of words and word pairs, float64, CSR, a row of length 1 a text (of length 0 for a text without words)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b").fit_transform(texts)
