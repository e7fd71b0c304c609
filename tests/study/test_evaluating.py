"""Runs on the planted catalogue, as small as can be: made once, found again, compared and asked."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from contrec import baselines
from contrec.artifacts import provenance
from contrec.artifacts.store import Store
from contrec.controls import mean_history
from contrec.data.training_cases import known_sequences
from contrec.files import Damaged
from contrec.recommender import Recommender
from contrec.study import config as tables
from contrec.study import evaluating, finished, fitting, lists, show
from contrec.study.config import Config

SMALL = {
    "inputs": "relation", "embeddings": {"dim": 16}, "tokenizer.token_dim": 8, "tokenizer.width": 32,
    "tokenizer.epochs": 2, "language.hidden": 32, "language.heads": 2, "language.layers": 1,
    "language.vocabulary": 900, "language.history_cap": 3, "language.max_input": 512, "diffusion.width": 32,
    "diffusion.timesteps": 50, "diffusion.sampler": "ddim", "diffusion.sampler_steps": 3, "training.epochs": 1,
    "training.cases_per_user": 1, "training.batch_size": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(planted_split, tmp_path_factory):
    """Artifacts in a folder of their own, the tiny preset made smaller, two floors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTREC_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        patch.setitem(tables.PRESETS, "tiny", SMALL)
        patch.setattr(fitting, "_split", lambda *_: planted_split)
        patch.setattr(evaluating, "FLOORS", ("popularity", "transitions"))
        yield patch


@pytest.fixture(scope="module")
def table(world):
    return train(seeds=[0])


def train(seeds, recipes=("paper",)):
    return evaluating.train_runs([Config.from_parameters("contrec", recipe, seeds=seeds) for recipe in recipes])


@pytest.fixture
def one(world):
    return Config.from_parameters(recipe="paper")


def test_before_anything_was_run(monkeypatch, tmp_path):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "none"))
    assert len(finished.list_runs()) == 0
    with pytest.raises(ValueError, match="run 'abc' names 0 evaluated runs; known are none yet"):
        finished.compare("abc", "abc")
    with pytest.raises(ValueError, match="run 'abc' names 0 runs; known are none yet"):
        lists.recommend("abc", all=True)


def test_the_table_holds_floors_the_run_and_its_controls(table, planted_split):
    assert list(table.columns) == evaluating.COLUMNS
    models = list(dict.fromkeys(table.model))
    assert models[:3] == ["popularity", "transitions", "contrec"] and models[-1] == "contrec/random-backbone"
    assert {"contrec/direct-head", "contrec/user-token", "contrec/permuted-condition"} < set(models)
    assert set(table.metric) == {"HR@10", "HR@20", "NDCG@10", "NDCG@20"}
    assert table.value.between(0, 1).all() and (table.low <= table.value).all() and (table.value <= table.high).all()
    assert set(table.n_users) == {planted_split.n_users}
    assert set(table[table.recipe == ""].model) == {"popularity", "transitions"}
    assert not table.duplicated(["model", "seed", "metric"]).any()


def test_nothing_is_run_twice(table, world, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("run again")

    monkeypatch.setattr(Recommender, "fit", refuse)
    monkeypatch.setattr(evaluating, "evaluate", refuse)
    monkeypatch.setattr(evaluating.baselines, "make", refuse)
    monkeypatch.setattr(fitting.embeddings, "make", refuse)
    pd.testing.assert_frame_equal(train([0]), table)


def test_another_seed_is_another_run_that_keeps_the_floors(table, one):
    assert (
        fitting.run_name(one, 0) != fitting.run_name(one, 1) != fitting.run_name(one.with_settings(mask_ratio=0.4), 1)
    )
    assert fitting.run_name(one, 0) == fitting.run_name(Config.from_parameters(recipe="paper", seeds=[4]), 0)


@pytest.mark.parametrize("stage", ["data", "embeddings", "tokenizers", "recommender"])
def test_a_new_version_of_an_earlier_stage_makes_later_ones_anew(one, monkeypatch, stage):
    def names():
        key = {"recommender": fitting.run_name(one, 0)}
        return fitting.run_name(one, 0), fitting.store().path("evaluation", key).name

    before, versions = names(), fitting.stage_version
    newer = lambda s: versions(s) + (s == stage)  # noqa: E731
    monkeypatch.setattr(fitting, "stage_version", newer)
    monkeypatch.setattr("contrec.artifacts.store.stage_version", newer)
    after = names()
    assert after[0] != before[0] and after[1] != before[1]


def test_every_place_names_a_run_alike(table, one):
    run = fitting.run_name(one, 0)
    assert set(table[table.model == "contrec"].run) == {run}
    listed = finished.list_runs().set_index("run")
    assert listed.loc[run, "label"] == "ContRec paper (tiny backbone)" and listed.loc[run, "model"] == "contrec"
    own = table[table.model == "contrec"].set_index("metric").value
    for metric, value in own.items():
        assert listed.loc[run, metric] == pytest.approx(value)
    floors = listed[listed.label == "floor"]
    assert sorted(floors.model) == ["popularity", "transitions"] and set(floors.dataset) == {"planted"}
    assert set(floors.index) == set(table[table.recipe == ""].run)
    trained = listed.drop(floors.index)
    assert sorted(trained.model) == ["contrec", "contrec/random-backbone"]
    assert set(trained.index) == set(table[table.recipe == "paper"].run)
    assert trained.minutes.between(0, 5).all()


def test_runs_are_compared_on_their_ranks(table, one):
    run = fitting.run_name(one, 0)
    value = table.set_index(["model", "metric"]).value
    same = finished.compare(run, run[:8])
    assert (same.difference == 0).all() and same.metric.tolist() == ["HR@10", "HR@20", "NDCG@10", "NDCG@20"]
    floor = table[table.model == "popularity"].run.iloc[0]
    for other, model in ((f"{run}:contrec/user-token", "contrec/user-token"), (floor, "popularity")):
        found = finished.compare(run, other).set_index("metric")
        for metric in found.index:  # percentage points
            expected = 100 * (value["contrec", metric] - value[model, metric])
            assert found.difference[metric] == pytest.approx(expected, abs=1e-6)
            assert found.low[metric] <= found.difference[metric] <= found.high[metric]


def test_kept_ranks_give_the_kept_metrics(table, one):
    kept = evaluating.kept_evaluations(evaluating.evaluated(one, 0))
    value = table.set_index(["model", "metric"]).value
    for model, evaluation in kept.items():
        for metric, number in evaluation.metrics().items():
            assert number == pytest.approx(value[model, metric])


def test_a_part_is_not_made_from_other_data_than_the_run(table, one, monkeypatch):
    run = fitting.run_name(one, 0)
    monkeypatch.setattr(fitting, "data_key", lambda config: {"files": {"changed": "since"}})
    with pytest.raises(ValueError, match="was made from other data than are here now"):
        lists.recommend(f"{run}:contrec/mean-history", all=True)


def test_unknown_runs_and_models_are_told(table, one):
    run = fitting.run_name(one, 0)
    with pytest.raises(ValueError, match=f"run 'zz' names 0 evaluated runs; known are .*{run} .contrec.(,|$)"):
        finished.compare("zz", run)
    with pytest.raises(ValueError, match="holds no model 'contrec/magic'; it holds contrec, "):
        finished.compare(run, f"{run}:contrec/magic")
    with pytest.raises(ValueError, match=f"run 'zz' names 0 runs; known are .*{run}"):
        lists.recommend("zz", all=True)
    with pytest.raises(ValueError, match="run '' names 0 runs"):
        lists.recommend("", all=True)
    with pytest.raises(ValueError, match="part must be one of 'contrec', .*got 'contrec/magic'"):
        lists.recommend(f"{run}:contrec/magic", all=True)
    floor = table[table.model == "popularity"].run.iloc[0]
    with pytest.raises(ValueError, match="holds no model 'ease'; it holds popularity"):
        lists.recommend(f"{floor}:ease", all=True)
    for run_ in (run, floor):
        with pytest.raises(ValueError, match="unknown user 'nobody': give one of the .* users of the data, such as"):
            lists.recommend(run_, users=["nobody"])
        with pytest.raises(ValueError, match="unknown items in the history 'nothing': item ids are those of"):
            lists.recommend(run_, history=["nothing"])


def test_names_of_many_runs_are_not_all_told(table, one):
    known = [f"{n:012x}" for n in range(30)]
    assert lists.not_one("zz", 0, "runs", known).endswith(f"{known[9]} and 20 more, which `contrec runs` lists")
    assert known[10] not in lists.not_one("zz", 0, "runs", known)


def test_a_finished_run_recommends(table, one, planted_split):
    run = fitting.run_name(one, 0)
    every = lists.recommend(run, all=True, k=2)
    users = planted_split.train.user_ids
    assert len(every) == 2 * len(users) and every.user.tolist() == np.repeat(users, 2).tolist()
    some = lists.recommend(run, users=[users[5]], k=2)
    assert some.item.tolist() == every[every.user == users[5]].item.tolist()
    assert {"rank", "item", "title", "score", "cosine", "bonus", "text"} <= set(some.columns)
    items = planted_split.catalogue.item_ids
    stranger = lists.recommend(run, history=[items[0], items[1]], k=3)
    assert len(stranger) == 3 and not set(stranger.item) & {items[0], items[1]}


def test_a_floor_recommends_by_its_own_scores(table, planted_split):
    run, split = table[table.model == "transitions"].run.iloc[0], planted_split
    every = lists.recommend(run, all=True, k=3)
    own = every[(every.user == "u4") & (every["rank"] < 3)].reset_index(drop=True)
    assert lists.recommend(run, users=["u4"], k=2).equals(own)
    model, known = baselines.make("transitions").fit(split), known_sequences(split)
    scores = np.asarray(model.score(known))
    for u in (0, 4, 11):
        left = [i for i in np.argsort(-scores[u], kind="stable") if i not in known.history(u)]
        own = every[every.user == split.train.user_ids[u]]
        assert own["item"].tolist() == split.catalogue.item_ids[left[:3]].tolist()
        assert own.score.tolist() == pytest.approx(scores[u][left[:3]].tolist())
        stranger = lists.recommend(run, history=split.catalogue.item_ids[known.history(u)], k=3)
        assert stranger["item"].tolist() == own["item"].tolist()
    with pytest.warns(UserWarning, match="k is 64, but only .* items are left to somebody: lists end there"):
        assert len(lists.recommend(run, users=["u4"], k=64)) < 64


def test_a_part_of_a_run_recommends(table, one, planted_split):
    run = fitting.run_name(one, 0)
    recommender = fitting.fitted(one, 0)
    mean = mean_history(recommender, recommender.sequences)
    scores = recommender.scores_of(mean, None).cpu().numpy()
    every, told = lists.recommend(f"{run}:contrec/mean-history", all=True, k=1, note=(notes := []).append), notes
    assert told == ["contrec/mean-history: made for all 80 users at once, and then kept"]
    scores[recommender.sequences.history_matrix(64).toarray() > 0] = -np.inf
    assert every["item"].tolist() == planted_split.catalogue.item_ids[scores.argmax(1)].tolist()
    with pytest.raises(ValueError, match="contrec/mean-history is a part that is asked for the run's own users"):
        lists.recommend(f"{run}:contrec/mean-history", history=planted_split.catalogue.item_ids[:2])
    assert lists.recommend(f"{run}:contrec", users=["u1"], k=1).equals(lists.recommend(run, users=["u1"], k=1))


def test_kept_lists_are_read_without_the_model(table, one, monkeypatch):
    run = fitting.run_name(one, 0)
    place, about = lists.keep_lists(run)
    asked = lists.recommend(run, users=["u3", "u1"], k=4)
    monkeypatch.setattr(lists, "load", lambda *_: pytest.fail("loaded"))
    assert lists.recommend(run, users=["u3", "u1"], k=4).equals(asked) and len(asked) == 8
    assert about["length"] == lists.LENGTH
    file = place / "lists.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match="lists.parquet"):
        lists.recommend(run, users=["u3"])
    file.write_bytes(whole)


def test_a_baseline_that_learns_is_fitted_once_more_and_no_oftener(world, one, monkeypatch):
    settings, _ = evaluating.chosen("mf", one)
    monkeypatch.setattr(evaluating, "chosen", lambda *_: (settings | {"epochs": 2}, "a test"))
    run = evaluating.floor(one, "mf").name
    first = lists.load(*lists.find(run))
    epochs = []
    monkeypatch.setattr(baselines.MF, "batches", lambda *_: epochs.append(1) or [])
    again = lists.load(*lists.find(run))
    assert not epochs
    assert again.rank(again.sequences, 5).equals(first.rank(first.sequences, 5))


def test_data_that_changed_are_told(table, monkeypatch):
    run = table[table.model == "popularity"].run.iloc[0]
    monkeypatch.setattr(fitting, "data_key", lambda config: {})
    with pytest.raises(ValueError, match=f"{run} was made from other data than are here now: run the study again"):
        lists.load(*lists.find(run))


def test_an_interrupted_training_goes_on(world, one, monkeypatch):
    config = one.with_settings(training__epochs=2, tokenizer__epochs=1)
    batches, epochs = Recommender._batches, []

    def dying(self, epoch):
        epochs.append(epoch)
        if epochs == [1, 2]:
            raise KeyboardInterrupt
        return batches(self, epoch)

    monkeypatch.setattr(Recommender, "_batches", dying)
    with pytest.raises(KeyboardInterrupt):
        fitting.fitted(config, 0)
    assert not Store(fitting.store().root).has("recommender", fitting.recommender_key(config, 0))
    with pytest.raises(ValueError, match="is not finished: the `contrec study` command that began it goes on"):
        lists.recommend(fitting.run_name(config, 0), all=True)
    fitting.fitted(config, 0)
    assert epochs == [1, 2, 2]  # epoch 1 was not trained again


def test_a_pretrained_backbone_has_no_random_counterpart(one):
    config = one.with_settings(language__backbone="somewhere/llama")
    with pytest.raises(ValueError, match="random-backbone control is for backbone 'tiny'"):
        evaluating.random_backbone(config, 0)


def test_a_run_with_a_pretrained_backbone_has_its_table_all_the_same(table, one, monkeypatch):
    folder = evaluating.evaluated(one, 0)
    monkeypatch.setattr(evaluating, "evaluated", lambda *_: folder)
    found = evaluating.results(one.with_settings(language__backbone="somewhere/llama"))
    assert "contrec/direct-head" in set(found.model) and "contrec/random-backbone" not in set(found.model)


def test_recorded_results_carry_ranks_and_provenance(table, one, monkeypatch, tmp_path):
    monkeypatch.setattr(evaluating.paths, "reproduced", lambda: tmp_path / "reproduced")
    path = evaluating.record(one)
    entry = json.loads(path.with_suffix(".json").read_text())
    ranks = pd.read_parquet(path.with_suffix(".ranks.parquet"))
    assert provenance.problems(path) == [] and len(entry["outputs"]) == 2
    kept = pd.read_csv(path)
    assert list(kept.columns) == evaluating.COLUMNS and set(kept.model) == set(ranks.model)
    own = ranks[(ranks.model == "contrec") & (ranks.seed == one.seeds[0])]
    value = kept[(kept.model == "contrec") & (kept.metric == "HR@10")].value.iloc[0]
    assert (own["rank"] <= 10).mean() == pytest.approx(value, abs=0.02)  # ties count in part


@pytest.mark.parametrize("name", ["/etc", "**", "[a", "../x", "~"])
def test_what_is_no_name_of_a_run_is_none(monkeypatch, tmp_path, name):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    (tmp_path / "recommender").mkdir()
    with pytest.raises(ValueError, match="names 0 runs; known are none yet"):
        lists.recommend(name, all=True)


def test_a_damaged_artifact_does_not_stop_the_other_combinations(table, world, monkeypatch):
    made = []

    def results(config, **_):
        made.append((config.model, config.recipe))
        if config.recipe == "paper":
            raise Damaged("a file of the paper's")
        return table

    monkeypatch.setattr(evaluating, "results", results)
    with pytest.raises(Damaged, match="^a file of the paper's$"):
        evaluating.train_runs(
            Config.from_parameters(model, recipe) for model in ("contrec", "deftrec") for recipe in ("paper", "tuned")
        )
    assert len(made) == 4


def test_runs_on_other_data_are_not_compared(table, one, monkeypatch):
    name = fitting.run_name(one, one.seeds[0])
    asked = iter(["lastfm, raw, leave_one_out", "lastfm, released, leave_one_out"])
    assert finished._data_of(evaluating.evaluated(one, one.seeds[0])) == "planted, planted, leave_one_out"
    monkeypatch.setattr(finished, "_data_of", lambda folder: next(asked))
    with pytest.raises(ValueError, match="needs the same test cases, got lastfm, raw"):
        finished.compare(name, name)


def test_a_first_look_says_what_the_whole_evaluation_says(table, one):
    kept = show.quick_check(one, fitting.fitted(one, 0))
    whole = dict(evaluating.kept_of(one))
    assert [name for name, _ in kept] == ["popularity", "itemknn", "user token alone", "contrec"]
    for name, full in (
        ("popularity", "popularity"),
        ("user token alone", "contrec/user-token"),
        ("contrec", "contrec"),
    ):
        np.testing.assert_array_equal(kept[name, 0].ranks, whole[full, 0].ranks)
