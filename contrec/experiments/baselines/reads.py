"""What each model reads: one source at a time is shuffled, and whose scores change has read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from contrec import baselines, data
from contrec.checks import DataError, one_of
from contrec.data.interactions import Catalogue, Interactions, Split
from contrec.data.planted import planted
from contrec.recommender import Recommender
from contrec.study.config import Config
from contrec.study.settings import RECIPES, TINY

SOURCES = ("order", "times", "ratings", "tags", "texts")
_HELD_OUT = 2  # newest rows of each user: validation and test
# What searches try and defaults leave out: settings with which a floor reads most
_MOST = {"popularity": {"share": 0.3}, "ease": {"decay": 0.7}, "ease/tags": {"decay": 0.7}}


def shop(n_users: int = 60, n_items: int = 64) -> tuple[Interactions, Catalogue]:
    """A planted catalogue whose rows have everything that a model could read: times, a rating, two tags."""
    interactions, catalogue, _ = planted(n_users, n_items)
    rng = np.random.default_rng(0)
    kinds = [catalogue.categories[item][0] for item in interactions.item]
    tags = tuple((kind, f"shelf {number}") for kind, number in zip(kinds, rng.integers(5, size=len(kinds))))
    rating = rng.integers(1, 6, len(interactions)).astype(np.float32)
    return replace(interactions, rating=rating, tags=tags, name="a shop that tells everything"), catalogue


def shuffled(
    interactions: Interactions, catalogue: Catalogue, source: str, seed: int = 0
) -> tuple[Interactions, Catalogue]:
    """The same data with one source made meaningless and all others as they were.

    - "order": each user's rows but the newest two, which are held out, in another order; tags and ratings go with them.
    - "times": other times in which each user's rows have the same order.
    - "ratings", "tags": dealt to other rows.
    - "texts": titles, brands and categories dealt to other items.

    Args:
        interactions: with what is to be shuffled.
        source: one of :data:`SOURCES`.

    Raises:
        ValueError: for an unknown source.
        DataError: if the rows have no such source.
    """
    one_of("source", source, SOURCES)
    rng, n = np.random.default_rng([seed, SOURCES.index(source)]), len(interactions)
    missing = {"times": not interactions.has_time, "ratings": interactions.rating is None}
    if {**missing, "tags": interactions.tags is None}.get(source):
        raise DataError(f"{interactions.name} has no {source} that could be shuffled")
    if source == "texts":
        deal = rng.permutation(len(catalogue))
        dealt = {k: tuple(getattr(catalogue, k)[i] for i in deal) for k in ("titles", "brands", "categories")}
        return interactions, replace(catalogue, **dealt)
    if source == "times":
        span = interactions.timestamp.min(), interactions.timestamp.max() + 1
        drawn = rng.integers(*span, n)
        return replace(interactions, timestamp=drawn[np.lexsort((drawn, interactions.user))]), catalogue
    if source == "order":
        newest = np.append(np.flatnonzero(np.diff(interactions.user)), n - 1)[interactions.user]
        kept = np.arange(n) > newest - _HELD_OUT
        draw = np.where(kept, 1.0, rng.random(n)) + np.where(kept, np.arange(n), 0)
        return _dealt(interactions, ("item", "tags", "rating"), np.lexsort((draw, interactions.user))), catalogue
    return _dealt(interactions, ("tags" if source == "tags" else "rating",), rng.permutation(n)), catalogue


def _dealt(interactions: Interactions, columns: Iterable[str], rows: np.ndarray) -> Interactions:
    """Some columns in another order of rows."""
    values = {name: getattr(interactions, name) for name in columns}
    values = {name: v for name, v in values.items() if v is not None}
    own = {name: tuple(v[r] for r in rows) if isinstance(v, tuple) else v[rows] for name, v in values.items()}
    return replace(interactions, **own)


def scores_of(model: str, split: Split) -> np.ndarray:
    """Scores of the test cases by a baseline, or by a recipe ("contrec/tuned"), trained just enough to read.

    Returns:
        Float32, shape (B, m).
    """
    if model in RECIPES or model.endswith("/paper"):
        name, _, recipe = model.partition("/")
        config = Config.from_parameters(preset="tiny", model=name, recipe=recipe)
        config = config.with_settings(training__epochs=1, tokenizer__epochs=1).recommender
        if config.inputs == "relation":  # as on LastFM, which has tags; the planted world's are of another relation
            config = replace(config, embeddings={"dim": 32})
        fitted = Recommender(config).fit(split, seed=0)
    else:
        made = baselines.make(model)
        trains = isinstance(made, baselines.Learned) or model == "lightgcn"
        settings = TINY.get(model, TINY.get(model.partition("/")[0], {})) | _MOST.get(model, {})
        settings = settings | ({"epochs": 1} if trains else {})
        fitted = baselines.make(model, **settings).fit(split, seed=0)
    return np.asarray(fitted.score(split.test), np.float32)


def table(models: Iterable[str], score: Callable[[str, Split], np.ndarray] = scores_of) -> pd.DataFrame:
    """Who reads what.

    Args:
        models: names of baselines and recipes.
        score: of a model on a split; the same twice on the same split.

    Returns:
        A row per model, a column per source of :data:`SOURCES`; True where scores changed when it was shuffled.
    """
    told = shop()
    splits = {None: data.split(*told)} | {source: data.split(*shuffled(*told, source)) for source in SOURCES}
    rows = {}
    for model in models:
        own = score(model, splits[None])
        rows[model] = [not np.array_equal(own, score(model, splits[source])) for source in SOURCES]
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(SOURCES)).rename_axis("model")
