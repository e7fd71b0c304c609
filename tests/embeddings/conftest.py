"""A small world with tastes, popularity and tags, as a leave-one-out split."""

from __future__ import annotations

import numpy as np
import pytest

from contrec.data.interactions import Cases, Catalogue, Interactions, Split

N_USERS, N_ITEMS, GROUPS = 60, 40, 4


def small_split(seed: int = 0, items=None, sequences=None) -> Split:
    """Users of one of four tastes take about nine items; ``items`` renumbers the catalogue (new index of each old)."""
    rng = np.random.default_rng(seed)
    items = np.arange(N_ITEMS) if items is None else items
    if sequences is None:
        sequences = [_sequence(user % GROUPS, rng) for user in range(N_USERS)]
    sequences = [items[np.asarray(s)] for s in sequences]
    lengths = np.array([len(s) for s in sequences])
    flat, stop = np.concatenate(sequences), np.cumsum(lengths)
    start, user = stop - lengths, np.arange(len(sequences))
    owner = np.repeat(user, lengths)
    place = np.arange(len(flat)) - start[owner]
    kept = np.flatnonzero(place < lengths[owner] - 2)
    old = np.argsort(items)  # what a new index was called before: tags and titles go with the item
    tags = tuple((f"taste {old[i] % GROUPS}",) for i in flat[kept])
    ids = np.array([f"i{o}" for o in old])
    train = Interactions(owner[kept], flat[kept], place[kept], user.astype(str), ids, tags=tags, has_time=False)
    validation = Cases(flat, start, stop - 2, user, flat[stop - 2], lengths - 2)
    test = Cases(flat, start, stop - 1, user, flat[stop - 1], lengths - 1)
    train_cases = Cases(flat, start, stop - 3, user, flat[stop - 3], lengths - 3)
    titles = tuple(f"{['red', 'green', 'blue', 'grey'][o % GROUPS]} thing number {o}" for o in old)
    categories = tuple((f"taste {o % GROUPS}",) for o in old)
    catalogue = Catalogue(ids, titles, ("",) * N_ITEMS, categories)
    return Split(train, train_cases, validation, test, catalogue, "leave_one_out", {})


def _sequence(taste: int, rng) -> np.ndarray:
    weight = np.where(np.arange(N_ITEMS) % GROUPS == taste, 8.0, 1.0) / (1 + np.arange(N_ITEMS) // GROUPS)
    return rng.choice(N_ITEMS, size=rng.integers(7, 12), replace=False, p=weight / weight.sum())


@pytest.fixture(scope="session")
def split() -> Split:
    return small_split()


@pytest.fixture(scope="session")
def make_split():
    return small_split
