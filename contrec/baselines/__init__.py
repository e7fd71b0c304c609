"""Baselines behind the one protocol; ``make(name)`` builds one, unfitted, with its default settings."""

from __future__ import annotations

from functools import partial

from contrec.baselines.ease import EASE
from contrec.baselines.itemknn import ItemKNN
from contrec.baselines.lightgcn import LightGCN
from contrec.baselines.popularity import Popularity
from contrec.baselines.repeat_history import RepeatHistory
from contrec.baselines.transitions import Transitions
from contrec.checks import one_of

REGISTRY = {
    "popularity": Popularity,
    "itemknn": ItemKNN,
    "itemknn/recency": partial(ItemKNN, decay=0.7),  # chosen on LastFM validation: .7, .8, .9, .95, 1 tried
    "transitions": Transitions,
    "ease": EASE,
    "lightgcn": LightGCN,
    "repeat_history": RepeatHistory,
}


def make(name: str, **settings):
    """Unfitted baseline ``name``, with its defaults unless ``settings`` say otherwise.

    Raises:
        ValueError: if no baseline has that name.
    """
    one_of("baseline", name, REGISTRY)
    return REGISTRY[name](**settings)


__all__ = ["EASE", "REGISTRY", "ItemKNN", "LightGCN", "Popularity", "RepeatHistory", "Transitions", "make"]
