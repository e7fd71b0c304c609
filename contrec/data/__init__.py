"""Raw archive -> Interactions + Catalogue -> Split.

A data set of one's own is one file and one registration; whatever takes the name of a data set then takes this one:

    import numpy as np
    from contrec import data
    from contrec.data.facets import make_catalogue

    def load(seed=0):
        # forty listeners, each of whom takes eight of twelve songs
        rng = np.random.default_rng(seed)
        songs = np.array([f"s{i}" for i in range(12)])
        styles = {song: [("slow", "fast")[i % 2]] for i, song in enumerate(songs.tolist())}
        user, item = np.repeat(np.arange(40), 8), np.concatenate([rng.permutation(12)[:8] for _ in range(40)])
        users, time = np.array([f"u{i}" for i in range(40)]), np.tile(np.arange(8), 40)
        return data.Interactions(user, item, time, users, songs, name="songs"), make_catalogue(songs, categories=styles)

    data.register("songs", load)
    split = data.split(*data.load("songs", seed=1))
"""

from __future__ import annotations

from contrec.checks import DataError

from .interactions import Case, Cases, Catalogue, Interactions, Split
from .loaders import SOURCES_OF, inputs, load, missing, register
from .splits import split

__all__ = [
    "Case",
    "Cases",
    "Catalogue",
    "DataError",
    "Interactions",
    "SOURCES_OF",
    "Split",
    "inputs",
    "load",
    "missing",
    "register",
    "split",
]
