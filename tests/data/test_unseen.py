"""Users held out altogether: who they are, and that nothing of them reaches anything that is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrec import data, embeddings
from contrec.data.core import build
from contrec.data.facets import make_catalogue
from contrec.data.interactions import Interactions
from contrec.data.training_cases import known_sequences
from contrec.data.unseen import least_history, numbers_in
from contrec.language import PromptBuilder
from contrec.language.backbone import train_text_tokenizer

CASES = ("items", "start", "stop", "user", "target", "time")


def of_lengths(lengths) -> Interactions:
    user = np.repeat(np.arange(len(lengths)), lengths)
    row = np.arange(len(user))
    return build(user, row % 7, row, np.arange(len(lengths)), np.arange(7), name="toy")


@pytest.fixture(scope="module")
def tagged():
    """40 planted users with tags on their rows, as on LastFM, and the catalogue."""
    made, catalogue = data.load("planted", n_users=40, n_items=64)
    tags = tuple((f"tag {item % 5}", f"of {user % 3}") for user, item in zip(made.user, made.item, strict=True))
    return replace(made, tags=tags), catalogue


@pytest.fixture(scope="module")
def made(tagged):
    return data.split(*tagged, "unseen_users", share=0.2)


def never_existed(interactions, users) -> Interactions:
    """The same data without these users, numbered anew: written out row by row."""
    kept = [r for r in range(len(interactions)) if interactions.user[r] not in users]
    others = [u for u in range(interactions.n_users) if u not in users]
    return Interactions(
        user=np.array([others.index(interactions.user[r]) for r in kept]), item=interactions.item[kept],
        timestamp=interactions.timestamp[kept], user_ids=interactions.user_ids[others], item_ids=interactions.item_ids,
        tags=tuple(interactions.tags[r] for r in kept),
    )  # fmt: skip


def scramble(interactions, users, rng):
    """Other items, times and tags for these users, as many as before."""
    rows = np.isin(interactions.user, users)
    item = np.where(rows, rng.integers(interactions.n_items, size=len(rows)), interactions.item)
    time = np.where(rows, interactions.timestamp + 10**6, interactions.timestamp)
    tags = tuple(("leak", "leak too") if r else t for r, t in zip(rows, interactions.tags, strict=True))
    return replace(interactions, item=item, timestamp=time, tags=tags)


def assert_same_training(a, b):
    for name in ("user", "item", "timestamp", "user_ids"):
        assert getattr(a.train, name).tobytes() == getattr(b.train, name).tobytes(), name
    assert a.train.tags == b.train.tags and repr(a.catalogue) == repr(b.catalogue)
    for part in ("train_cases", "validation"):
        for name in CASES:
            assert getattr(getattr(a, part), name).tobytes() == getattr(getattr(b, part), name).tobytes(), (part, name)


def test_training_is_what_it_is_when_they_never_existed(tagged, made):
    interactions, catalogue = tagged
    users = least_history(interactions, 0.2)
    without = data.split(never_existed(interactions, users), catalogue)
    assert_same_training(made, without)
    for name in CASES:
        assert getattr(made.seen_users, name).tobytes() == getattr(without.test, name).tobytes()
    assert made.train.n_users == 32 and not set(interactions.user_ids[users]) & set(made.train.user_ids)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_their_rows_reach_nothing(tagged, made, seed):
    interactions, catalogue = tagged
    users = least_history(interactions, 0.2)
    altered = scramble(interactions, users, np.random.default_rng(seed))
    assert_same_training(made, data.split(altered, catalogue, "unseen_users", share=0.2))


def test_their_rows_reach_no_embedding_and_no_prompt(tagged, made):
    """And leave-one-out, which trains on these users, is seen to change: the guard can fail."""
    interactions, catalogue = tagged
    altered = scramble(interactions, least_history(interactions, 0.2), np.random.default_rng(0))
    again = data.split(altered, catalogue, "unseen_users", share=0.2)
    fit = {"relation": {"dim": 8}, "lightgcn": {"dim": 8, "epochs": 2}}

    def vectors(kind, split):
        base = embeddings.make(kind, split, **fit[kind])
        return base.items.numpy().tobytes() + base.users(split.seen_users or split.test).numpy().tobytes()

    def prompts(split):
        tokenizer = train_text_tokenizer([*split.catalogue.titles, *split.catalogue.answers], 600)
        builder = PromptBuilder(tokenizer, split.catalogue, "Planted", 2, 5, 512, 50)
        cases = split.seen_users or split.test
        return tokenizer.get_vocab(), builder.build(cases, np.zeros(len(cases), int)).ids.values.tolist()

    for kind in fit:
        assert vectors(kind, made) == vectors(kind, again), kind
        loo = [vectors(kind, data.split(own, catalogue)) for own in (interactions, altered)]
        assert loo[0] != loo[1], kind
    assert prompts(made) == prompts(again)
    assert "leak" not in again.catalogue.answers and "leak" in data.split(altered, catalogue).catalogue.answers


def test_they_are_asked_about_their_last_item_with_all_before_it(tagged, made):
    interactions, _ = tagged
    users = least_history(interactions, 0.2)
    assert len(made.test) == len(users) == 8 and (made.test.user == -1).all()
    for i, user in enumerate(users):
        own = interactions.item[interactions.user == user].tolist()
        assert [*made.test.history(i).tolist(), made.test.target[i]] == own
    assert len(made.test.items) == np.isin(interactions.user, users).sum()  # no other user's row comes along
    counts = made.counts
    assert (counts["unseen_users"], counts["test_rows"], counts["test_users_with_train_rows"]) == (8, 8, 0)
    assert counts["cold_targets"] == (~np.isin(made.test.target, made.train.item)).sum()
    assert made.protocol == "unseen_users"


def test_all_that_is_known_of_users_in_training_is_theirs_alone(tagged, made):
    interactions, _ = tagged
    known = known_sequences(made)
    assert len(known) == 32
    for i, name in enumerate(made.train.user_ids):
        user = interactions.user_ids.tolist().index(name)
        assert known.history(i).tolist() == interactions.item[interactions.user == user].tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=60), st.floats(0.01, 0.9), st.integers(0, 5))
def test_nobody_in_training_has_less(lengths, share, seed):
    lengths = np.array([*lengths, 3, 4, 5])
    tested = np.flatnonzero(lengths >= 3)
    count = int(np.ceil(round(share * len(tested), 9)))
    if count == len(tested):
        return
    users = least_history(of_lengths(lengths), share, seed)
    assert len(users) == count and (np.diff(users) > 0).all() and set(users) <= set(tested)
    assert lengths[users].max() <= lengths[np.setdiff1d(tested, users)].min()


def splitmix(x: int) -> int:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) in Python's whole numbers."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


@pytest.mark.parametrize("seed", [0, 7])
def test_ties_are_broken_by_the_documented_rule(seed):
    lengths = [4, 6, 4, 4, 2, 4, 3, 4, 6, 4]  # 9 tested; a third of them: user 6, and two of the six with 4 rows
    tied = sorted((u for u in range(10) if lengths[u] == 4), key=lambda u: splitmix(splitmix(seed) ^ u))
    assert least_history(of_lengths(lengths), 1 / 3, seed).tolist() == sorted([6, *tied[:2]])
    # shares that binary numbers only come near: 7 of 100, not 8
    assert len(least_history(of_lengths([3] * 100), 0.07)) == 7 and len(least_history(of_lengths([3] * 100))) == 5


def test_the_rule_depends_on_its_seed():
    found = {tuple(least_history(of_lengths([3] * 30), 0.1, seed)) for seed in range(10)}
    assert len(found) > 5


def test_shares_out_of_range_are_refused(tagged):
    for share in (0, 1):
        with pytest.raises(ValueError, match="share must leave users on both sides, got"):
            data.split(*tagged, "unseen_users", share=share)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 5"):
        data.split(*tagged, "unseen_users", share=5)
    with pytest.raises(ValueError, match="2 of 2 users with at least 3 rows"):
        least_history(of_lengths([3, 2, 4]), 0.9)


def test_they_are_found_among_all_users(tagged, made):
    users = least_history(tagged[0], 0.2)
    full = data.split(*tagged)
    assert numbers_in(full, made).tolist() == users.tolist()
    other = scramble(tagged[0], users[:1], np.random.default_rng(0))
    with pytest.raises(ValueError, match="ask different things of the unseen users"):
        numbers_in(data.split(other, tagged[1]), made)


def test_items_that_only_they_took_stay_in_the_catalogue():
    user, item = np.repeat([0, 1, 2], [4, 4, 3]), np.array([0, 1, 2, 0, 1, 2, 0, 1, 3, 4, 3])
    toy = build(user, item, np.arange(11), np.arange(3), np.arange(5), name="toy")
    made = data.split(toy, make_catalogue(toy.item_ids), "unseen_users", share=0.3, min_facet_items=1)
    assert made.n_items == 5 and made.counts["cold_targets"] == 1
    assert made.counts["repeated_targets"] == 1  # user 2 took item 3 twice
