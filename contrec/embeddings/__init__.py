"""Base vectors of items and users: LightGCN (collaborative), a sentence encoder (text), their fusion, and relations."""

from __future__ import annotations

from contrec.embeddings.base import PROVIDERS, Embeddings, check_vectors, make

__all__ = ["PROVIDERS", "Embeddings", "check_vectors", "make"]
