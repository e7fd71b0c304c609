"""Unseen users in the study: three groups kept with every run, compared on the same users, recorded and read again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrec import data
from contrec.evaluation import Evaluation
from contrec.experiments import unseen
from contrec.papers.published import published
from contrec.study import config as tables
from contrec.study import evaluating, fitting, settings
from contrec.study.config import Config
from contrec.study.tables import comparison

SMALL = {
    "inputs": "relation", "embeddings": {"dim": 16}, "tokenizer.token_dim": 8, "tokenizer.width": 32,
    "tokenizer.epochs": 1, "language.hidden": 32, "language.heads": 2, "language.layers": 1,
    "language.vocabulary": 900, "language.history_cap": 3, "language.max_input": 512, "diffusion.width": 32,
    "diffusion.timesteps": 50, "diffusion.sampler": "ddim", "diffusion.sampler_steps": 3, "training.epochs": 1,
    "training.cases_per_user": 1, "training.batch_size": 32,
}  # fmt: skip
MODELS = ["popularity", "mf", "contrec"]


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    """80 planted users, 8 of them unseen; artifacts and records in folders of their own."""
    interactions, catalogue = data.load("planted", n_users=80, n_items=64)
    splits = {p: data.split(interactions, catalogue, p, share=0.1) for p in ("leave_one_out", "unseen_users")}
    records = tmp_path_factory.mktemp("reproduced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTREC_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        patch.setitem(tables.PRESETS, "tiny", SMALL)
        patch.setitem(settings.TINY, "mf", {"dim": 8, "epochs": 2, "batch_size": 512})
        patch.setattr(fitting, "_split", lambda dataset, source, protocol, *_: splits[protocol])
        patch.setattr(evaluating, "FLOORS", ("popularity", "transitions"))
        patch.setattr(evaluating.paths, "reproduced", lambda: records)
        yield Config.from_parameters(recipe="paper", split="unseen_users")


@pytest.fixture(scope="module")
def kept(cfg):
    return unseen.unseen_runs(cfg, MODELS)


def test_other_splits_have_the_keys_that_they_always_had():
    for split in ("leave_one_out", "time_point"):
        key = fitting.data_key(Config.from_parameters(split=split))
        assert key == {
            "dataset": "planted", "source": "planted", "split": split, "files": data.inputs("planted"),
            "version": fitting.stage_version("data"),
        }  # fmt: skip


def test_every_group_is_kept(cfg, kept):
    frame = unseen.unseen_groups(kept, ["HR@10"])
    sizes = frame.groupby("group", sort=False).n_users.agg(["min", "max"])
    assert sizes.loc["unseen"].tolist() == sizes.loc["same users, in training"].tolist() == [8, 8]
    assert sizes.loc["other users"].tolist() == [72, 72]
    assert set(frame.model) == {*MODELS, "contrec/direct-head", "contrec/user-token"}
    assert (frame.low <= frame.value).all() and (frame.value <= frame.high).all()
    table = unseen.unseen_table(kept)
    assert list(table.columns) == ["unseen (n = 8)", "same users, in training (n = 8)", "other users (n = 72)"]


def test_the_same_users_are_those_of_the_full_run(cfg, kept):
    full, part = fitting.load_split(evaluating.whole(cfg)), fitting.load_split(cfg)
    folder = evaluating.floor(evaluating.whole(cfg), "mf", 0)
    whole = evaluating.kept_evaluations(folder)["mf"]
    users = [full.train.user_ids.tolist().index(u) for u in full.train.user_ids if u not in part.train.user_ids]
    rank = dict(zip(whole.user.tolist(), whole.ranks.tolist(), strict=True))
    inside = kept["mf/in-training"][0]
    assert inside.ranks.tolist() == [rank[user] for user in users]
    assert inside.user.tolist() == kept["mf"][0].user.tolist() == [-1 - i for i in range(8)]
    rows = evaluating.rows_of(cfg, evaluating.floor(cfg, "mf", 0), 0, recipe="", preset="")
    of_run = rows.drop_duplicates("model").set_index("model").run
    assert of_run["mf/in-training"] == folder.name != of_run["mf"] == of_run["mf/seen-users"]


def test_the_gap_is_the_sum_of_its_parts(kept):
    gaps = unseen.unseen_gaps(kept, ["HR@10"])
    assert set(gaps.model) == set(MODELS)  # controls have no ranks of other users
    wide = gaps.pivot(index="model", columns="comparison", values="difference")
    parts = wide["unseen - in training"] + wide["in training - others"]
    assert np.allclose(parts, wide["unseen - others"]) and (gaps.low <= gaps.difference + 1e-9).all()
    assert gaps.p.notna().sum() == len(MODELS)
    assert set(gaps.model[gaps.detectable > 0]) == {"mf", "contrec"}  # popularity serves these users alike
    assert dict(zip(gaps.model, gaps.over)) == {"popularity": "users", "mf": "users only", "contrec": "users only"}
    value = unseen.unseen_groups(kept, ["HR@10"]).pivot(index="model", columns="group", values="value")
    expected = 100 * (value["unseen"] - value["same users, in training"])
    assert np.allclose(wide["unseen - in training"], expected[wide.index])


def test_nothing_is_run_twice(cfg, kept, monkeypatch):
    for place, name in ((evaluating, "evaluate"), (evaluating.baselines, "make"), (fitting.embeddings, "make")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("run again"))
    again = unseen.unseen_runs(cfg, MODELS)
    assert list(again) == list(kept) and again["mf"][0].ranks.tolist() == kept["mf"][0].ranks.tolist()


def test_what_is_recorded_is_read_again(cfg, kept):
    assert unseen.recorded_runs("planted", "planted", "tiny", "paper") == {}
    path = evaluating.record(cfg)
    assert path.name == "planted_planted_unseen_users_tiny_paper.csv"
    recorded = unseen.recorded_runs("planted", "planted", "tiny", "paper")
    for model in ("popularity", "contrec", "contrec/user-token"):
        for name in (model, f"{model}/in-training"):
            assert recorded[name][0].metrics() == pytest.approx(kept[name][0].metrics())
    both = [unseen.unseen_gaps({m: e for m, e in own.items() if m.startswith("contrec")}) for own in (kept, recorded)]
    pd.testing.assert_frame_equal(*both)


def test_printed_numbers_stand_beside_ours(cfg):
    rows = unseen.unseen_rows(cfg, MODELS)
    assert not rows.model.str.endswith(("/in-training", "/seen-users")).sum() == 0  # they are in the rows ...
    table = comparison("software", "released", "unseen_users", "HR@10", rows, "planted").set_index("model")
    assert set(table.index) >= {*MODELS, "deftrec", "tokenrec"}
    assert not table.index.str.endswith(("/in-training", "/seen-users")).any()  # ... and not in the comparison
    assert table.loc["deftrec", "published, deftrec"] == "0.1232"  # Table 3, DeftRec
    assert "published, contrec" not in table  # Table 5 has no Software
    hr = rows[(rows.model == "mf") & (rows.metric == "HR@10")].value.iloc[0]
    assert table.loc["mf", "this run (planted)"] == f"{hr:.4f}"
    games = comparison("games", "released", "unseen_users", "NDCG@10").set_index("model")
    assert games.loc["contrec", "published, contrec"] == "0.0450"  # Table 5, ContRec
    assert "published, contrec" not in comparison("lastfm", "released", "unseen_users", "HR@10")


def test_the_tables_of_both_papers_have_24_numbers_each():
    for table in ("contrec_table5", "deftrec_table3"):
        assert len(published(table)) == 24


def test_it_is_said_how_strangers_are_served(cfg):
    table = unseen.served(["popularity", "ease", "mf", "oracle", "contrec"], cfg).set_index("model")
    strangers = table["for unseen users it uses"]
    assert strangers["ease"] == strangers["contrec"] == "the visible history"
    assert strangers["mf"].startswith("cannot with it; folded in") and strangers["oracle"] == "cannot"


def test_lengths_of_both_groups(cfg):
    found = unseen.user_lengths(cfg)
    assert found.users.tolist() == [8, 72]
    assert found.loc["unseen", "longest"] <= found.loc["other users", "shortest"]


def test_seeds_are_averaged_user_by_user():
    def one(hits):
        ranks = np.where(hits, 1.0, np.inf)
        return Evaluation(ranks, np.ones(4, int), -1 - np.arange(4), True, None, {"users": 4})

    kept = {"mf": [one([1, 1, 0, 0]), one([1, 0, 0, 0])], "mf/in-training": [one([1, 0, 0, 0])]}
    frame = unseen.unseen_groups(kept, ["HR@10"]).set_index("group")
    assert frame.value["unseen"] == 0.375 and frame.value["same users, in training"] == 0.25


def test_printed_rates_are_held_against_whole_hits(monkeypatch):
    rows = {"dataset": "software", "metric": "HR@10", "model": ["a", "b", "c"]}
    made = pd.DataFrame({**rows, "value": [0.1176, 0.1232, 0.5], "digits": ["0.1176", "0.1232", "0.5000"]})
    monkeypatch.setattr(unseen, "published", lambda _: made)
    found = unseen.whole_hits("any", "software", 68)
    assert found.possible.tolist() == [True, False, True]  # 8 / 68 = .11765, 8.4 / 68, 34 / 68
    assert found.hits.round(1).tolist() == [8.0, 8.4, 34.0]
    assert unseen.whole_hits("any", "software", 10_000).possible.all()  # four digits are fractions of 10,000


def test_one_stranger_has_a_rank_in_and_out_of_training(cfg, kept):
    table = unseen.one_stranger(cfg, kept, MODELS, 2)
    assert table.index.tolist() == MODELS
    assert table.loc["mf", "rank as a stranger"] == kept["mf"][0].ranks[2]
    assert table.loc["mf", "rank in training"] == kept["mf/in-training"][0].ranks[2]
    with pytest.raises(ValueError, match=r"case must lie in \[0, 7\], got 8"):
        unseen.one_stranger(cfg, kept, MODELS, 8)


def test_absence_counts_the_models_that_it_moves():
    """By hand: of two models one loses the targets of all ten users that it finds in training."""
    ranks = {"found": np.full(10, 1.0), "lost": np.full(10, 50.0)}
    make = lambda which: [Evaluation(ranks[which], np.ones(10), np.arange(10), True, None, {})]  # noqa: E731
    kept = {"a": make("found"), "b": make("lost")}
    kept |= {f"{name}{ending}": make("found") for name in "ab" for ending in ("/in-training", "/seen-users")}
    said = unseen.absence(kept)
    assert said == (
        "Models absent from training minus themselves in training: ahead in 0 of 2, level in 1, behind in 1 "
        "(b -100.00 points [-100.00, -100.00])."
    )
    assert unseen.absence({}) == "Nothing was recorded."


def test_the_best_baseline_stands_beside_the_best_print(monkeypatch):
    rows = [("transitions", 0.07, 0.05, 0.08), ("ease", 0.06, 0.05, 0.07), ("contrec", 0.5, 0.4, 0.6)]
    frame = pd.DataFrame(rows, columns=["model", "value", "low", "high"])
    frame = frame.assign(metric="HR@10")
    monkeypatch.setattr(unseen, "recorded_rates", lambda *_: frame)
    said = unseen.best_against_print("beauty", "released")  # Table 3, DeftRec: .0406
    assert said == (
        "HR@10 of transitions, 0.0700 [0.0500, 0.0800], is ahead of the best that is printed, DeftRec's 0.0406."
    )
    assert "missing" in unseen.best_against_print("planted", "released")
    monkeypatch.setattr(unseen, "recorded_rates", lambda *_: frame.assign(low=0.01))
    assert "is level with the best" in unseen.best_against_print("beauty", "released")
