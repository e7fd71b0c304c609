"""What is held out stays out: test cases choose nothing, and no vector in training knows what it is asked about."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from contrec import baselines, training
from contrec.controls import direct_head
from contrec.embeddings.lightgcn import LightGCNEmbeddings, symmetric_operator
from contrec.evaluation import evaluate
from contrec.recommender import Recommender
from contrec.relations import interaction_matrix


class Watched:
    """Base embeddings that note for whom they were asked, and whether the user's own rows were left out."""

    def __init__(self, embeddings):
        self._embeddings, self.asked = embeddings, []

    def __getattr__(self, name):
        return getattr(self._embeddings, name)

    def users(self, cases, held_out=False):
        self.asked.append((cases, held_out))
        return self._embeddings.users(cases, held_out)


def asked_with(watched, split) -> dict[str, set[bool]]:
    """The values of ``held_out`` by the part of the split that the cases come from."""
    found = {"train": set(), "validation": set()}
    for cases, held_out in watched.asked:
        found["validation" if cases.items is split.validation.items else "train"].add(held_out)
    return found


def test_no_user_vector_in_training_knows_its_target(planted_split, small_embeddings, tiny_config):
    watched = Watched(small_embeddings)
    config = tiny_config({"training.epochs": 1, "tokenizer.epochs": 1, "training.validation_users": 8})
    Recommender(config, device="cpu").fit(planted_split, embeddings=watched, seed=0)
    assert watched.asked[0][0] is planted_split.train_cases  # the user tokenizer's
    assert asked_with(watched, planted_split) == {"train": {True}, "validation": {False}}


def test_neither_does_one_of_the_direct_heads(fitted, planted_split):
    recommender = copy.copy(fitted)
    recommender.embeddings = Watched(fitted.embeddings)
    direct_head(recommender, planted_split, epochs=1)
    assert asked_with(recommender.embeddings, planted_split) == {"train": {True}, "validation": {False}}


def test_the_recommenders_epoch_is_chosen_by_validation_cases(fitted, planted_split):
    recommender = copy.copy(fitted)
    recommender._split = replace(planted_split, test=planted_split.test.select([]))
    assert recommender._validate() == evaluate(fitted, planted_split.validation).metrics()["NDCG@10"]


@pytest.mark.parametrize("name", ["sasrec", "mf"])
def test_a_baselines_epoch_is_chosen_by_validation_cases(name, planted_split):
    model = baselines.make(name, epochs=1).fit(planted_split, seed=0)
    found = [evaluate(model, cases).metrics()["NDCG@10"] for cases in (planted_split.validation, planted_split.test)]
    assert model.history[0]["validation"] == pytest.approx(found[0]) != pytest.approx(found[1])


@pytest.fixture
def untrained(monkeypatch):
    """LightGCN keeps its first vectors; what would choose the epoch is kept beside them."""
    kept = SimpleNamespace()

    def fit(module, batches, validate, *_, **__):
        kept.network, kept.validate = module, validate
        return [{"epoch": 1, "best": True}]

    monkeypatch.setattr(training, "fit", fit)
    return kept


def test_lightgcns_items_are_the_mean_over_the_layers(untrained, planted_split):
    settings = {"dim": 4, "layers": 2, "standardise": False}
    made = LightGCNEmbeddings.fit(planted_split, seed=1, **settings)
    first = untrained.network.model.embedding.weight.detach().double()
    operator = symmetric_operator(interaction_matrix(planted_split.train)).to_dense().double()
    layers = [first, operator @ first, operator @ operator @ first]
    n = planted_split.train.n_users
    torch.testing.assert_close(made.items.double(), (sum(layers) / 3)[n:], atol=1e-6, rtol=1e-5)
    raw = LightGCNEmbeddings.fit(planted_split, seed=1, **settings, propagate=False)
    torch.testing.assert_close(raw.items.double(), first[n:])


def test_lightgcns_epoch_is_chosen_by_validation_cases(untrained, planted_split):
    found = []
    for split in (planted_split, replace(planted_split, test=planted_split.validation)):
        LightGCNEmbeddings.fit(split, seed=1, dim=4)
        found.append(untrained.validate())
    swapped = replace(planted_split, validation=planted_split.test)
    LightGCNEmbeddings.fit(swapped, seed=1, dim=4)
    assert found[0] == found[1] != untrained.validate()


def test_a_sweep_chooses_by_validation_users():
    from contrec.experiments.sweep.points import best

    points = [
        SimpleNamespace(x=x, done=True, metric=metrics.get)
        for x, metrics in ((0, {"validation": 0.3, "test": 0.1}), (1, {"validation": 0.2, "test": 0.9}))
    ]
    assert best(points).x == 0
    assert best([*points, SimpleNamespace(done=False)]) is None
