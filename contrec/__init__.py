"""contrec: continuous tokens, a language model and diffusion for recommendation, rebuilt from the papers."""

from __future__ import annotations

from importlib import import_module

_PLACES = {"Recommender": "contrec.recommender", "Config": "contrec.study.config"}
_MODULES = (
    *("baselines", "bench", "controls", "data", "diffusion", "embeddings", "evaluation", "language", "reconstruction"),
    *("study", "tokenizers"),
)

__all__ = [*_PLACES, *_MODULES]


def __getattr__(name: str):
    """Parts are imported when they are asked for, so that ``import contrec`` takes no time."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name in _MODULES:
        return import_module(f"contrec.{name}")
    raise AttributeError(f"module 'contrec' has no attribute {name!r}")
