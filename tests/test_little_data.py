"""Little data, and data without facets: what can be fitted is fitted, the rest is told before anything is trained."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from contrec import baselines, data, embeddings, training
from contrec.checks import DataError
from contrec.controls import variants
from contrec.data import core
from contrec.data.facets import make_catalogue
from contrec.data.splits import PROTOCOLS
from contrec.experiments.sweep import head_only
from contrec.experiments.sweep.head_only import Conditions, retrained
from contrec.language.prompts import WITHOUT_FACET
from contrec.recommender import NO_FACET, Recommender

LEARNED = [name for name in baselines.REGISTRY if name != "oracle" and hasattr(baselines.make(name), "loop")]


def table(users: int, rows: int, items: int):
    """Users who take ``rows`` items in turn, each beginning one further than the one before; no facets."""
    user = np.repeat(np.arange(users), rows)
    item = (np.concatenate([np.arange(rows) + u for u in range(users)])) % items
    ids = [np.array([f"{kind}{n:02}" for n in range(size)]) for kind, size in (("u", users), ("i", items))]
    interactions = core.build(user, item, np.arange(len(user)) * 10, *ids, name="tiny")
    return interactions, make_catalogue(interactions.item_ids)


def outcome(model, split):
    """ "fitted", with finite losses and scores, or the message."""
    try:
        model.fit(split)
    except DataError as error:
        return str(error)
    assert all(np.isfinite(row["total"]) for row in model.history)
    assert np.isfinite(np.asarray(model.score(split.test))).all()
    return "fitted"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(1, 6, 5), (2, 5, 1), (2, 5, 2), (3, 3, 3), (5, 4, 5), (5, 6, 5)])
def test_every_learned_baseline_is_fitted_or_says_what_is_missing(shape, protocol):
    try:
        split = data.split(*table(*shape), protocol)
    except DataError as error:  # one user cannot be both unseen and trained on
        assert protocol == "unseen_users" and shape[0] == 1 and "1 of 1 users have 3 interactions" in str(error)
        return
    told = {outcome(baselines.make(name, epochs=1), split) for name in LEARNED}
    assert len(told) == 1
    if protocol != "time_point":
        assert (told == {"fitted"}) == (shape[1] >= 5 and shape[2] > 1)
    assert told == {"fitted"} or f"tiny: too little to train on under {protocol}: " in told.pop()


@pytest.mark.parametrize(
    "shape, protocol, words",
    [
        ((5, 4, 5), "leave_one_out", "the longest train history has 2 rows .* needs 3 rows, .*: 5 in all"),
        ((5, 4, 5), "unseen_users", "no user has a training case"),
        ((5, 5, 1), "leave_one_out", "the catalogue has 1 item"),
        ((1, 6, 5), "time_point", "no validation case, which chooses the epoch .* in the validation's span of time"),
    ],
)
def test_both_entries_tell_the_same_before_anything_is_made(shape, protocol, words, tiny_config, monkeypatch):
    split = data.split(*table(*shape), protocol)
    monkeypatch.setattr(Recommender, "_backbone", lambda *_: pytest.fail("a model was made"))
    for model in (baselines.make("sasrec"), Recommender(tiny_config(), device="cpu")):
        with pytest.raises(DataError, match=f"tiny: too little to train on under {protocol}: .*{words}"):
            model.fit(split)


def test_a_user_who_takes_one_thing_only_is_no_training_case():
    split = data.split(*table(2, 5, 5))
    same = replace(split, train=replace(split.train, item=np.zeros_like(split.train.item)))
    with pytest.raises(DataError, match="of 2 different items"):
        baselines.make("mf").fit(same)


@pytest.mark.parametrize("kind", ["lightgcn", "relation", "random"])
@pytest.mark.parametrize("shape", [(1, 3, 1), (1, 3, 3), (2, 4, 2), (3, 5, 5)])
def test_base_vectors_of_little_data_are_finite(kind, shape):
    split = data.split(*table(*shape))
    made = embeddings.make(kind, split, dim=8, **({"epochs": 1} if kind == "lightgcn" else {}))
    assert made.items.isfinite().all() and made.users(split.test).isfinite().all()


@pytest.mark.parametrize("users, rows", [(1, 5), (3, 2)])
def test_unseen_users_needs_two_who_can_be_tested(users, rows):
    with pytest.raises(
        DataError, match=f"tiny: {users if rows > 2 else 0} of {users} users have 3 interactions or more"
    ):
        data.split(*table(users, rows, 4), "unseen_users")


# -- without facets ----------------------------------------------------------------------------------------------------


CHANGES = [{"condition_from": "generated"}, {"condition_from": "gold"}, {"language.answer_has_title": True}]


@pytest.mark.parametrize("changes", CHANGES)
def test_without_facets_it_is_fitted_says_so_and_the_bonus_has_no_effect(changes, planted_split, tiny_config, tmp_path):
    catalogue = replace(planted_split.catalogue, facets=((),) * planted_split.n_items, answers=())
    split = replace(planted_split, catalogue=catalogue)
    vectors = embeddings.make("random", split, dim=16)
    config = tiny_config({**changes, "training.epochs": 1, "tokenizer.epochs": 1, "training.validation_users": 8})
    with pytest.warns(UserWarning, match=NO_FACET):
        made = Recommender(config, device="cpu").fit(split, embeddings=vectors, seed=0)
    assert made.history["phase2"][0]["llm"] > 0  # the template is learned
    cases = split.test.select(slice(5))
    found = made.recommend_cases(cases, 4)
    assert (found.bonus == 0).all() and all(text.startswith(WITHOUT_FACET) for text in found.text)
    assert (made.understand(cases).facet == -1).all()
    assert torch.equal(made.scores_of(made.preference(made.understand(cases)), None), made.score(cases))
    made.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model", device="cpu").recommend_cases(cases, 4)
    assert again.equals(found)
    if changes is CHANGES[0]:
        few = replace(split, validation=split.validation.select(slice(8)), test=split.test.select(slice(8)))
        for name, model in variants(made, few, few.test, n_samples=2).items():
            assert torch.isfinite(model.score(few.test)).all(), name


# -- what is not finite ------------------------------------------------------------------------------------------------


def test_vectors_that_are_not_finite_are_told_before_anything_is_trained(planted_split, tiny_config, monkeypatch):
    vectors = embeddings.make("random", planted_split, dim=16)
    vectors.items[[3, 7], 2] = torch.tensor([float("nan"), float("inf")])
    monkeypatch.setattr("contrec.recommender.train_tokenizer", lambda *a, **k: pytest.fail("trained"))
    third = planted_split.catalogue.item_ids[3]
    with pytest.raises(DataError, match=f"base vectors of 2 of 64 items hold NaN or infinite .* the first is {third}"):
        Recommender(tiny_config(), device="cpu").fit(planted_split, embeddings=vectors)
    vectors.items = vectors.items[:5]
    with pytest.raises(DataError, match=r"base vectors of 64 items must have shape \(64, d\), got \(5, 16\)"):
        Recommender(tiny_config(), device="cpu").fit(planted_split, embeddings=vectors)


@pytest.mark.parametrize("name", ["mf", "sasrec"])
def test_a_loss_that_is_nan_ends_a_baseline(name, planted_split, tmp_path):
    model = baselines.make(name, epochs=2)
    object.__setattr__(model.loop, "lr", 1e30)  # what a config refuses; a rate just too high takes longer
    with pytest.raises(ValueError, match=r"epoch \d(, step 1|, validation)?: .* (is|got) (nan|inf|NaN).*lower lr"):
        model.fit(planted_split, folder=tmp_path / "kept")
    whole = {"last", "history.json", "seal.json", "weights.safetensors", "moments.safetensors", "best-1.safetensors"}
    assert {f.name for f in (tmp_path / "kept").rglob("*")} <= whole  # nothing, or what the epoch before left


@pytest.mark.parametrize("when", [1, 2])
def test_the_step_of_a_loss_that_is_nan_is_told_and_the_checkpoint_before_stays(when, tmp_path):
    class Breaking(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, batch):
            return {"part": self.weight * batch, "total": self.weight.square()}

    def batches(epoch):
        return [1.0, float("nan") if epoch == when else 1.0, 1.0]

    with pytest.raises(ValueError, match=f"^phase 2, epoch {when}, step 2: the loss 'part' is nan"):
        training.fit(Breaking(), batches, lambda: 0.5, training.LoopConfig(epochs=3), seed=0, folder=tmp_path / "kept")
    assert (tmp_path / "kept").exists() == (when == 2)
    if when == 2:  # the epoch before, whole: the same call goes on from it
        assert len(json.loads((tmp_path / "kept" / "last" / "history.json").read_text())) == 1
        assert not list((tmp_path / "kept").glob("*.new"))


def test_a_weight_that_is_not_finite_ends_a_training():
    class Weights(torch.nn.Module):  # the gradient of the root is infinite at 0, its value is not
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, batch):
            return {"total": self.weight.sqrt()}

    with pytest.raises(ValueError, match="^phase 2, epoch 1: an entry of weight is nan"):
        training.fit(Weights(), lambda epoch: [0], lambda: 0.5, training.LoopConfig(epochs=1), seed=0)


def test_a_tokenizer_stops_at_the_step(planted_split, tiny_config):
    from contrec.tokenizers import make_tokenizer, train_tokenizer

    x = torch.randn(40, 8)
    x[3] = float("nan")
    with pytest.raises(ValueError, match="^phase 1, epoch 1, step 1: the loss '.*' is nan"):
        train_tokenizer(make_tokenizer(8, tiny_config().tokenizer), x, seed=0, label="phase 1")


# -- seeds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2**63 - 1, np.int64(200_000_000)])
def test_any_seed_trains_every_phase(seed, planted_split, tiny_config, monkeypatch):
    """From 1.8e8 on the seed of a step's noise was larger than what a generator takes: an error after phase 1."""
    quick = {"training.epochs": 1, "tokenizer.epochs": 1, "training.validation_users": 8}
    config = tiny_config({**quick, "inputs": "lightgcn", "embeddings": {"dim": 8, "epochs": 1}})
    made = Recommender(config, device="cpu").fit(planted_split, seed=seed)
    assert made.seed == seed and type(made.seed) is int and np.isfinite(made.history["phase2"][0]["total"])
    for name in ("mf", "dreamrec"):
        model = baselines.make(name, epochs=1, dim=8).fit(planted_split, seed=seed)
        assert np.isfinite(np.asarray(model.score(planted_split.test.select([0])))).all()
    monkeypatch.setattr(head_only, "LOOP", replace(head_only.LOOP, epochs=1))
    kept = Conditions.of(made, planted_split)
    assert len(retrained(made, kept, made.config, seed=int(seed)).history["head"]) == 1


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, True, None])
def test_what_is_no_seed_is_told_at_both_entries(seed, planted_split, tiny_config):
    for model in (baselines.make("mf"), Recommender(tiny_config(), device="cpu")):
        with pytest.raises(ValueError, match="a seed must be a whole number"):
            model.fit(planted_split, seed=seed)
    with pytest.raises(ValueError, match="a seed must be a whole number"):
        embeddings.make("random", planted_split, seed=seed)
