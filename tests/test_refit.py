"""The refit: train on train and validation rows, for the epochs that validation chose, and never look at more."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from contrec import baselines, data
from contrec.baselines import make
from contrec.checks import DataError
from contrec.data.interactions import Cases
from contrec.recommender import Recommender
from contrec.study import evaluating, finished, fitting, lists
from contrec.study.config import Config

SHORT = {"dim": 8, "epochs": 4, "batch_size": 64}
LEARNED = [n for n in baselines.REGISTRY if isinstance(make(n), baselines.Learned) and "/" not in n]


@pytest.fixture(scope="module")
def source():
    return data.load("planted", n_users=80, n_items=64)


@pytest.fixture(scope="module")
def both(source):
    return data.split(*source), data.split(*source, refit=True)


@pytest.mark.parametrize("protocol", ["leave_one_out", "time_point", "unseen_users"])
def test_validation_rows_move_into_training_and_the_test_stays(source, protocol):
    before, after = (data.split(*source, protocol, refit=refit) for refit in (False, True))
    assert len(before.validation) and not len(after.validation)
    pairs = [set(zip(s.train.user.tolist(), s.train.item.tolist())) for s in (before, after)]
    moved = set(zip(before.validation.user.tolist(), before.validation.target.tolist()))
    assert moved <= pairs[1] - pairs[0] and pairs[0] < pairs[1]
    assert len(after.test) >= len(before.test)
    same = np.isin(after.test.user, before.test.user) if protocol == "time_point" else slice(None)
    assert np.array_equal(after.test.target[same], before.test.target)
    held_out = set(zip(after.test.user.tolist(), after.test.target.tolist()))
    if protocol != "unseen_users":
        assert not held_out & pairs[1]  # planted users take nothing twice


def trained(model, split, **more):
    return model.fit(split, seed=1, **more)


def scores(model, split):
    return np.asarray(model.score(split.test))


@pytest.mark.parametrize("name", [*LEARNED, "lightgcn"])
def test_the_same_rows_and_the_chosen_epochs_give_the_same_model(name, both):
    chosen = trained(make(name, **SHORT), both[0])
    assert 1 <= chosen.epochs <= 4
    blind = replace(both[0], validation=Cases.from_histories([]))
    again = trained(make(name, **SHORT), blind, epochs=chosen.epochs)
    assert np.array_equal(scores(again, both[0]), scores(chosen, both[0])) and again.epochs == chosen.epochs


@pytest.mark.parametrize("name", ["sasrec", "mf", "lightgcn", "contrec/plain-head"])
def test_without_validation_the_epochs_must_be_said(name, both):
    with pytest.raises(DataError, match="epoch"):
        trained(make(name, **SHORT), both[1])
    assert trained(make(name, **SHORT), both[1], epochs=2).epochs == 2
    for wrong, message in ((0, "epochs must be"), (1.5, "epochs must be"), (5, "epochs must be at most 4")):
        with pytest.raises(ValueError, match=message):
            trained(make(name, **SHORT), both[1], epochs=wrong)


def test_a_recommender_is_refitted_to_the_same_weights(both, tiny_config):
    chosen = trained(Recommender(tiny_config(), device="cpu"), both[0])
    blind = replace(both[0], validation=Cases.from_histories([]))
    again = trained(Recommender(tiny_config(), device="cpu"), blind, epochs=chosen.epochs)
    assert np.allclose(scores(again, both[0]), scores(chosen, both[0]), atol=1e-6)


def test_a_study_repeats_the_epochs_of_the_run_before(source, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    splits = {refit: data.split(*source, refit=refit) for refit in (False, True)}
    monkeypatch.setattr(fitting, "_split", lambda dataset, source, protocol, refit, *_: splits[refit])
    plain = Config.from_parameters(preset="tiny")
    refit = replace(plain, refit=True)
    assert (plain.protocol, refit.protocol) == ("leave_one_out", "leave_one_out_refit")
    told = {}
    for name in ("mf", "lightgcn", "ease"):
        folder = evaluating.floor(refit, name)
        before = evaluating.floor(plain, name)
        told[name] = [json.loads((f / "about.json").read_text()) for f in (before, folder)]
        assert folder != before
    for name in ("mf", "lightgcn"):
        before, after = told[name]
        assert after["chosen epochs"] == before["chosen epochs"] >= 1 and after["settings"] == before["settings"]
    assert told["ease"][0]["chosen epochs"] is told["ease"][1]["chosen epochs"] is None


def test_a_refitted_run_answers_as_it_was_evaluated(source, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    splits = {refit: data.split(*source, refit=refit) for refit in (False, True)}
    monkeypatch.setattr(fitting, "_split", lambda dataset, source, protocol, refit, *_: splits[refit])
    refit = replace(Config.from_parameters(preset="tiny"), refit=True)
    for name in ("mf", "lightgcn", "ease"):
        folder = evaluating.floor(refit, name)
        (kept,) = (e for model, e in evaluating.kept_evaluations(folder).items() if model == name)
        asked = lists._fitted_again(folder, None)
        case = int(np.flatnonzero(kept.ranks == 1)[0])  # whose target ranks first is answered by it
        one = splits[True].test.select([case])
        assert asked.rank(one, 1).item.iloc[0] == asked.catalogue.item_ids[one.target[0]], name
    assert set(finished.list_runs().split) == {"leave_one_out", "leave_one_out_refit"}
