"""The real files: counts, agreement with the authors' sequences, time-point splits. Skipped where they are not here."""

from functools import cache

import numpy as np
import pytest

from contrec.data import load, split
from contrec.data.download import find
from contrec.data.statistics import describe

NEEDED = {
    ("lastfm", "raw"): "hetrec2011-lastfm-2k.zip",
    ("ml1m", "raw"): "ml-1m.zip",
    ("beauty", "raw"): "reviews_Beauty_5.json.gz",
    ("beauty_positive", "raw"): "reviews_Beauty_5.json.gz",
    ("lastfm", "released"): "processed/lastfm/test.txt",
    ("ml1m", "released"): "processed/ml1m/test.txt",
    ("beauty", "released"): "processed/beauty_deftrec/test.txt",
    ("beauty_positive", "released"): "processed/beauty/test.txt",
    ("games", "released"): "processed/game/test.txt",
    ("software", "released"): "processed/software/test.txt",
}


@cache
def real(name, source="raw"):
    if find(NEEDED[name, source]) is None:
        pytest.skip(f"{NEEDED[name, source]} is neither in data/ nor in CONTREC_MIRROR")
    return load(name, source, download=False)


# origin: counted on the authors' files and on the official archives by an independent script
COUNTS = {
    "lastfm": (1091, 3685, 52670, 2, 0),
    "ml1m": (6038, 3307, 835789, 5, 0),
    "beauty": (22363, 12101, 198502, 5, 0),
    "beauty_positive": (14993, 12069, 130455, 1, 0),
    "games": (25372, 16414, 205301, 1, 121),
    "software": (1351, 778, 9322, 1, 692),
}


@pytest.mark.parametrize(("name", "source"), NEEDED)
def test_counts(name, source):
    row = describe(real(name, source)[0])
    assert tuple(row[k] for k in ("users", "items", "interactions", "min_item", "repeats")) == COUNTS[name]
    assert row["min_user"] == {"ml1m": 7}.get(name, 5)


@pytest.mark.parametrize("name", ["lastfm", "ml1m", "beauty", "beauty_positive"])
def test_raw_loaders_reproduce_the_authors_sequences_up_to_ties(name):
    raw, released = real(name)[0], real(name, "released")[0]
    number = {item: i for i, item in enumerate(raw.item_ids.tolist())}
    user = {u: i for i, u in enumerate(raw.user_ids.tolist())}
    item = np.array([number.get(i, -1) for i in released.item_ids.tolist()])[released.item]
    owner = np.array([user[u] for u in released.user_ids.tolist()])[released.user]
    ours = np.lexsort((raw.item, raw.user))
    theirs = np.lexsort((item, owner))
    np.testing.assert_array_equal(raw.user[ours], owner[theirs])
    np.testing.assert_array_equal(raw.item[ours], item[theirs])  # the same set for every user
    time = np.empty(len(raw), np.int64)
    time[theirs] = raw.timestamp[ours]
    same_user = np.diff(owner) == 0
    assert (np.diff(time)[same_user] >= 0).all()  # and the same order wherever times differ


# origin: 90th and 95th percentile splits of the same rows by an independent script
TIME_POINT = {
    "lastfm": (2634, 275, 71.8),
    "ml1m": (41790, 830, 98.2),
    "beauty": (9926, 3593, 72.8),
    "beauty_positive": (6523, 2340, 72.9),
}


@pytest.mark.parametrize("name", TIME_POINT)
def test_time_point(name):
    counts = split(*real(name), "time_point").counts
    rows, users, share = TIME_POINT[name]
    assert (counts["test_rows"], counts["test_users"]) == (rows, users)
    assert round(100 * counts["test_rows_of_train_users"] / rows, 1) == share


def test_repeated_and_cold_targets_of_the_released_files():
    # origin: counted in the released sequences: 245 of 1,351 Software targets stand in the user's own history
    assert split(*real("software", "released")).counts["repeated_targets"] == 245


def test_lastfm_answers_come_from_train_rows():
    interactions, catalogue = real("lastfm")
    made = split(interactions, catalogue)
    assert made.counts["tied_targets"] == pytest.approx(454 / 1091)
    assert sum(map(bool, made.catalogue.facets)) > 3600
    assert "rock" in made.catalogue.answers
    assert made.catalogue.categories != split(interactions, catalogue, "time_point").catalogue.categories


def test_titles_and_categories_of_raw_and_released_agree():
    for name in ("ml1m", "beauty_positive"):
        raw, released = real(name)[1], real(name, "released")[1]
        known = {i: (t, c) for i, t, c in zip(released.item_ids, released.titles, released.categories)}
        assert all(known[i] == (t, c) for i, t, c in zip(raw.item_ids, raw.titles, raw.categories))


def test_true_five_core_of_lastfm():
    from contrec.data import lastfm
    from contrec.data.core import dense_ids, k_core
    from contrec.data.download import locate

    real("lastfm")
    pairs = lastfm.read_pairs(locate(lastfm.ARCHIVE, download=False))
    user, item = (dense_ids(pairs[c].to_numpy())[0] for c in ("userID", "artistID"))
    keep = k_core(user, item)
    # origin: iterated 5-core of all 71,064 pairs by an independent script
    assert (len(np.unique(user[keep])), len(np.unique(item[keep])), len(keep)) == (1090, 3646, 52551)


def test_ml1m_at_another_threshold():
    real("ml1m")
    interactions = load("ml1m", min_rating=4, download=False)[0]
    # origin: counted by an independent script
    assert (interactions.n_users, interactions.n_items, len(interactions)) == (6034, 3125, 574376)
