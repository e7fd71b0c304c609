"""The planted catalogue: a small invented shop whose truth is known, so that the best possible ranking is known too.

It demonstrates what the method is for; it says nothing about real shops. Three things were planted for that:

- *A taste has a name.* Items are drawn from a Gaussian mixture with one component for each category, tight enough that
  what a user likes can be said by a category. A user has two tastes (points of the same space); one is active at a
  time, it drifts a little with every step and now and then the other takes over. Users differ, so their texts must.
- *Interactions are few.* There are more items than interactions can tell about, and many arrive when the shop has long
  been open: a good part of what users take next stands in no train row, or in two at most.
- *Texts are there from the first day.* A title names the category, the brand is one of two that share it: each makes
  what lies on its side of the centre. The other words of a title say nothing.

The next item is drawn from softmax(sharpness * taste . item + popularity) over the items that have arrived and that the
user has not had. The twin, ``shuffled``, is the same world with its texts dealt to other items: whatever is gained by
reading them must be gone there. ``tests/data/test_planted.py`` measures all this.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from contrec.checks import DataError, positive

from .interactions import Cases, Catalogue, Interactions

WORLDS = ("planted", "planted_shuffled")  # demonstrations: the world and its twin
DIM, SPREAD, SHARPNESS, POPULARITY = 8, 0.1, 14.0, 0.3
N_TASTES, SWITCH, DRIFT = 2, 0.1, 0.03
SHORTEST, LONGEST = 5, 7
START, SECONDS = 1_600_000_000, 180 * 86_400
FEWEST = 16  # categories of a small catalogue; one of usual size has as many as KINDS
ARRIVING = 0.6  # share of the items that arrive during the half year; the others are there from the start

KINDS = (
    "teapots lanterns kites notebooks lamps scarves puzzles clocks mugs baskets candles blankets whistles mirrors "
    "vases compasses pillows ladders drums umbrellas trays bells hammocks globes ribbons stools kettles marbles "
    "banners hats brushes saddles flutes curtains anchors spoons wreaths tents gloves barrels dominoes sundials "
    "cradles bottles easels magnets rugs paddles"
).split()
FIRST = "quiet amber northern little velvet bright hollow woven winter golden curious striped gentle coastal".split()
SECOND = "river meadow harbour orchard thunder pebble cedar lantern sparrow willow copper island ember saffron".split()
N_BRANDS = 12
STEMS = "vel tar mor nim bra sol ket dun lio fer pav osk".split()
ENDINGS = "mora nik etta adin ova umbra".split()


@dataclass(frozen=True)
class PlantedTruth:
    """What generated the data.

    Attributes:
        items: item vectors, float64, shape (m, 8).
        component: mixture component (= category) of each item, int64, shape (m,).
        means, variance, weights: the mixture: component means (C, 8), one variance for all dimensions, weights (C,).
        popularity: logit that each item has for everybody, shape (m,).
        arrival: when each item came into the shop, seconds since 1970, int64, shape (m,).
        tastes: active taste when each row was drawn, shape (n, 8).
        user, time, item: the rows, sorted by (user, time), int64, shape (n,).
    """

    items: np.ndarray
    component: np.ndarray
    means: np.ndarray
    variance: float
    weights: np.ndarray
    popularity: np.ndarray
    arrival: np.ndarray
    tastes: np.ndarray
    user: np.ndarray
    time: np.ndarray
    item: np.ndarray

    def oracle_scores(self, cases: Cases) -> np.ndarray:
        """True log-probability of each next item, shape (len(cases), m); -inf for items had, or not there yet.

        Sorting by it is the best ranking that exists: it knows the taste, which no model sees.

        Raises:
            ValueError: for a case that is not one of the planted data's own.
        """
        span = int(self.time.max()) + 1
        key = self.user * span + self.time
        wanted = np.asarray(cases.user) * span + np.asarray(cases.time)
        rows = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        if not np.array_equal(key[rows], wanted):
            raise ValueError("oracle_scores knows only cases of its own planted data: same sizes and same seed")
        logits = SHARPNESS * self.tastes[rows] @ self.items.T + self.popularity
        logits[self.arrival > self.time[rows][:, None]] = -np.inf
        first = np.searchsorted(self.user, self.user[rows])
        for i, row in enumerate(rows):
            logits[i, self.item[first[i] : row]] = -np.inf
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def planted(
    n_users: int = 400, n_items: int = 600, seed: int = 0, shuffled: bool = False
) -> tuple[Interactions, Catalogue, PlantedTruth]:
    """Generate the planted data.

    Args:
        n_users: number of users, each with 5 to 7 interactions.
        n_items: number of items, at least 64 (16 categories, some of which hold 5 items or more).
        seed: of everything; a user's draws have a stream of their own and do not depend on ``n_users``.
        shuffled: the twin: title, brand and category of each item are those of another one.

    Returns:
        Interactions, catalogue and the truth behind them.

    Raises:
        ValueError: if a size is not a whole number of at least 1.
        DataError: if there are fewer than 64 items.
    """
    positive("n_users", n_users)
    positive("n_items", n_items)
    if n_items < 4 * FEWEST:
        raise DataError(f"n_items must be at least {4 * FEWEST}, got {n_items}; users take up to {LONGEST} items")
    rng = np.random.default_rng([seed, 0])
    n_kinds = min(max(n_items // 12, FEWEST), len(KINDS))
    means = rng.standard_normal((n_kinds, DIM))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    weights = rng.dirichlet(np.full(n_kinds, 8.0))
    component = rng.choice(n_kinds, size=n_items, p=weights)
    items = means[component] + SPREAD * rng.standard_normal((n_items, DIM))
    popularity = POPULARITY * rng.standard_normal(n_items)
    arrival = START + rng.integers(0, SECONDS, n_items)
    arrival[: round((1 - ARRIVING) * n_items)] = START
    catalogue = _catalogue(component, rng)
    if shuffled:
        deal = np.random.default_rng([seed, 2]).permutation(n_items)
        texts = {k: tuple(getattr(catalogue, k)[i] for i in deal) for k in ("titles", "brands", "categories")}
        catalogue = replace(catalogue, **texts)
    shop = means, weights, items, popularity, arrival
    users = [_history(np.random.default_rng([seed, 1, u]), *shop) for u in range(n_users)]
    item, time, tastes = (np.concatenate([u[i] for u in users]) for i in range(3))
    user = np.repeat(np.arange(n_users), [len(u[0]) for u in users])
    texts = ", texts shuffled" if shuffled else ""
    interactions = Interactions(
        user=user,
        item=item,
        timestamp=time,
        user_ids=np.array([f"u{u}" for u in range(n_users)]),
        item_ids=catalogue.item_ids,
        name=f"planted ({n_users} users, {n_items} items, seed {seed}{texts})",
    )
    truth = PlantedTruth(items, component, means, SPREAD**2, weights, popularity, arrival, tastes, user, time, item)
    return interactions, catalogue, truth


def load(
    n_users: int = 400, n_items: int = 600, seed: int = 0, shuffled: bool = False
) -> tuple[Interactions, Catalogue]:
    """What :func:`planted` generates, without the truth behind it."""
    return planted(n_users, n_items, seed, shuffled)[:2]


def truth(n_users: int = 400, n_items: int = 600, seed: int = 0) -> PlantedTruth:
    """The truth behind ``load("planted", n_users=..., n_items=..., seed=...)``, which is also its twin's."""
    return planted(n_users, n_items, seed)[2]


@cache
def digest(world: str = "planted") -> str:
    """SHA-256 of a world of usual size, so that what was made from an earlier one is not taken for its own."""
    made, catalogue, _ = planted(shuffled=world == "planted_shuffled")
    columns = (made.user, made.item, made.timestamp, catalogue.titles, catalogue.brands, catalogue.categories)
    return hashlib.sha256(repr([list(map(str, column)) for column in columns]).encode()).hexdigest()


def _history(rng, means, weights, items, popularity, arrival):
    """One user's items, times and active tastes."""
    length = int(rng.integers(SHORTEST, LONGEST + 1))
    chosen = rng.choice(len(means), size=N_TASTES, replace=False, p=weights)
    tastes = means[chosen] + 0.5 * SPREAD * rng.standard_normal((N_TASTES, DIM))
    # some live through the whole half year, some for days only, so that the time-point split meets new users too
    time = START + np.sort(rng.choice(SECONDS, size=length, replace=False)) // int(rng.integers(1, 16))
    time = time + int(rng.integers(0, START + SECONDS - time[-1]))
    time = np.maximum.accumulate(time - np.arange(length)) + np.arange(length)  # strictly increasing
    free = np.ones(len(items), dtype=bool)
    active, taken, states = 0, [], []
    for now in time:
        if rng.random() < SWITCH:
            active = int(rng.integers(N_TASTES))
        tastes = tastes + DRIFT * rng.standard_normal(tastes.shape)
        logits = SHARPNESS * items @ tastes[active] + popularity
        can = free & (arrival <= now)
        draw = int(np.argmax(np.where(can, logits + rng.gumbel(size=len(items)), -np.inf)))
        free[draw] = False
        taken.append(draw)
        states.append(tastes[active])
    return np.array(taken), time, np.array(states)


def _catalogue(component: np.ndarray, rng) -> Catalogue:
    """Titles from word lists; a brand makes several categories, and one of all brands makes everything."""
    brands = [stem.capitalize() + end for stem in STEMS for end in ENDINGS]
    brands = rng.permutation(brands)[: N_BRANDS + 1].tolist()
    brand = component % N_BRANDS
    brand[rng.random(len(component)) < 0.1] = N_BRANDS
    words, taken, titles = rng.integers(0, len(FIRST), size=(len(component), 2)), set(), []
    for k, (a, b) in zip(component, words):
        title = f"{FIRST[a]} {SECOND[b]} {KINDS[k]}"
        while title in taken:
            title = f"{title} no. {len(taken)}"
        taken.add(title)
        titles.append(title.capitalize())
    return Catalogue(
        item_ids=np.array([f"p{i}" for i in range(len(component))]),
        titles=tuple(titles),
        brands=tuple(brands[b] for b in brand),
        categories=tuple((KINDS[k],) for k in component),
    )
