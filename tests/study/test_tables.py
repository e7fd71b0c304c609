"""Recorded rows as the tables of notebooks and report read them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from contrec import paths
from contrec.evaluation import Evaluation, paired_bootstrap, rate_interval
from contrec.study import show, tables, words
from contrec.study.config import Config
from contrec.study.evaluating import COLUMNS
from contrec.study.recording import write_ranks


def test_a_record_that_changed_is_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    assert tables.reproduced().empty
    frame = pd.DataFrame([dict.fromkeys(COLUMNS, "x")])
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = tables.reproduced()
    assert list(found.model) == ["x"]
    found["model"] = "changed by the caller"
    assert list(tables.reproduced().model) == ["x"]
    frame.assign(model="y").to_csv(tmp_path / "a.csv", index=False)
    assert list(tables.reproduced().model) == ["y"]


def test_against_floors_and_controls_are_counted_apart():
    rows = [("ease", -3.0, -5.0, -1.0), ("popularity", 9.0, 5.0, 12.0), ("contrec/user-token", 1.0, -1.0, 3.0)]
    frame = pd.DataFrame(rows, columns=["against", "difference", "low", "high"]).assign(metric="HR@10")
    floors, controls = show.against_floors(frame)
    assert floors.startswith(
        "HR@10, model minus the floors: ahead in 1 of 2, level in 0, behind in 1; ease -3.00 points [-5.00, -1.00], "
    )
    assert controls.startswith(
        "HR@10, model minus its own controls: ahead in 0 of 1, level in 1, behind in 0; user-token +1.00"
    )


def test_baselines_are_counted_by_their_verdict(monkeypatch):
    """Printed on LastFM, HR@10 (ContRec, Table 2): LightGCN .0312, SASRec and others; ContRec .0539."""
    own = {"lightgcn": 0.1, "ease": 0.2, "mf": 0.15, "sasrec": 0.0, "contrec": 0.9}
    rows = [dict.fromkeys(COLUMNS, "") | {"model": m, "metric": "HR@10", "value": v} for m, v in own.items()]
    where = {"dataset": "lastfm", "source": "released", "split": "leave_one_out", "seed": 0, "stale": False}
    frame = pd.DataFrame(rows).assign(**where, low=lambda f: f.value - 0.001, high=lambda f: f.value + 0.001)
    monkeypatch.setattr(tables, "reproduced", lambda: frame)
    says = tables.baselines_in_words("lastfm", "released", "leave_one_out")
    assert "of the printed baselines 2 reach more here than is printed, 1 less, 0 are level with it" in says
    assert says.endswith("the highest, ease, has HR@10 0.2000, ahead of the 0.0539 printed for contrec.")
    wide = frame.assign(low=0.0)
    monkeypatch.setattr(tables, "reproduced", lambda: wide)
    says = tables.baselines_in_words("lastfm", "released", "leave_one_out")
    assert says.endswith("HR@10 0.2000, level with the 0.0539 printed for contrec.")
    monkeypatch.setattr(tables, "reproduced", lambda: frame.assign(split="time_point"))
    assert "none is printed" in tables.baselines_in_words("lastfm", "released", "time_point")
    assert "not run" in tables.baselines_in_words("lastfm", "released", "leave_one_out")


def record(folder, stem, kept, settings=None, **names):
    """Rows of evaluations by model and seed, the ranks behind them, and the settings of their models, as recorded."""
    rows = [e.to_frame().assign(model=model, seed=seed) for (model, seed), e in kept.items()]
    where = {"dataset": "lastfm", "source": "released", "split": "leave_one_out", "recipe": None, **names}
    frame = pd.concat(rows).assign(**where).reindex(columns=COLUMNS)
    frame.to_csv(folder / f"{stem}.csv", index=False)
    write_ranks(folder / f"{stem}.ranks.parquet", kept.items())
    (folder / f"{stem}.json").write_text(json.dumps({"config": {"settings": settings or {}}}))


def evaluations(model, hits, n=40):
    """One a seed, each of which finds the targets of its first so many users."""
    ranks = [np.where(np.arange(n) < own, 1.0, 99.0) for own in hits]
    counts = {"cases": n, "users": n}
    return {
        (model, seed): Evaluation(r, np.ones(n, np.int64), np.arange(n), True, None, counts)
        for seed, r in enumerate(ranks)
    }


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    kept = {**evaluations("ease", [12]), **evaluations("sasrec", [8, 10, 12]), **evaluations("gru4rec", [9])}
    record(tmp_path, "lastfm_released_leave_one_out_baselines", kept, {"sasrec": {"loss": "sampled"}, "gru4rec": {}})
    own = {**evaluations("contrec", [14, 20, 17]), **evaluations("contrec/user-token", [16, 16, 16])}
    record(tmp_path, "lastfm_released_leave_one_out_laptop_tuned", own, recipe="tuned", preset="laptop")
    return {**kept, **own}


def test_recorded_rates_of_several_seeds_have_the_interval_of_their_ranks(recorded):
    """Not the mean of the ends of each seed's own."""
    found = tables.recorded_rates("lastfm", "released", "leave_one_out").set_index(["model", "metric"])
    for name, model in (("sasrec", "sasrec"), ("contrec tuned", "contrec"), ("ease", "ease")):
        for metric in ("HR@10", "NDCG@20"):
            expected = rate_interval(words.of_model(recorded, model), metric)
            row = found.loc[name, metric]
            assert [row.value, row.low, row.high] == pytest.approx([expected[k] for k in ("value", "low", "high")])
    token = found.loc["contrec tuned/user-token", "HR@10"]  # the same ranks three times
    alone = rate_interval(words.of_model(recorded, "contrec/user-token")[:1], "HR@10")
    assert [token.low, token.high] == pytest.approx([alone["low"], alone["high"]]) and token.n_seeds == 3
    here = tables.ranking({key: e for key, e in recorded.items() if key[0] == "sasrec"}).set_index("metric")
    assert here.loc["HR@10", "low"] == found.loc["sasrec", "HR@10"].low and here.n_seeds.tolist() == [3] * 4


def test_a_comparison_says_what_its_intervals_are_over_and_how_models_were_trained(recorded):
    table = tables.comparison("lastfm", "released", "leave_one_out").set_index("model")
    assert table.n["ease"] == "1" and table.n["sasrec (sampled softmax, 256 negatives)"] == "3"
    assert table.n["gru4rec (softmax over all items)"] == "1, users only"  # trained once: its noise is not known
    found = rate_interval(words.of_model(recorded, "contrec"), "HR@10")
    assert table.reproduced["contrec tuned"] == f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
    assert "p5" in table.index and "loss" not in table
    (row,) = (
        tables.forest("lastfm", "released", "leave_one_out")
        .query("model == 'contrec tuned' and metric == 'HR@10' and kind == 'reproduced'")
        .itertuples()
    )
    assert (row.low, row.high) == pytest.approx((found["low"], found["high"]))


@pytest.mark.parametrize(
    ("model", "settings", "loss"),
    [
        ("sasrec", {}, "softmax over all items"), ("sasrec", {"loss": "bce"}, "binary cross-entropy"),
        ("sasrec", {"loss": "sampled", "negatives": 9}, "sampled softmax, 9 negatives"),
        ("sasrec/bce", {}, "binary cross-entropy"), ("lightgcn", {}, "BPR"), ("ease", {"ridge": 5.0}, ""),
        ("lightgcn", {"loss": "softmax"}, "sampled softmax"),
    ],
)  # fmt: skip
def test_a_loss_is_that_of_the_settings(model, settings, loss):
    assert tables.loss_of(model, settings) == loss
    assert tables.named(model, loss) == (f"{model} ({loss})" if loss else model)


def test_a_ranking_of_a_run_names_the_losses_that_it_trains(recorded):
    kept = {key: e for key, e in recorded.items() if key[0] in ("ease", "sasrec", "contrec")}
    table = tables.ranking_table(kept, Config.from_parameters(dataset="planted"))
    assert list(table.index) == ["ease", "sasrec (softmax over all items)", "contrec"]
    assert list(table.seeds) == ["1", "3", "3"] and list(tables.ranking_table(kept).index) == [
        "ease",
        "sasrec",
        "contrec",
    ]
    assert tables.ranking({}).empty and tables.ranking_table({}).empty


def test_pairs_say_verdict_reach_and_what_their_intervals_are_over(recorded):
    table = tables.paired(recorded, "contrec", ["HR@10"]).set_index("model")
    assert table.over.to_dict() == {
        "ease": "users, 3 trainings", "sasrec": "users, 3 trainings", "gru4rec": "users only",
        "contrec/user-token": "users, 3 trainings",
    }  # fmt: skip
    assert table.verdict["contrec/user-token"] == "level" and table.verdict["gru4rec"] == "behind"
    own = (words.of_model(recorded, name) for name in ("gru4rec", "contrec"))
    assert table.detectable["gru4rec"] == paired_bootstrap(*own, "HR@10")["detectable"] > 0
    assert tables.paired(
        {key: e for key, e in recorded.items() if key[0] == "ease"} | {("popularity", 0): recorded["ease", 0]},
        "ease",
        ["HR@10"],
    ).over.tolist() == ["users"]


def test_newer_rows_are_counted(planted_split):
    split = planted_split
    by_hand = [(split.train.timestamp > time).mean() for time in split.test.time]
    assert show.newer_rows(split) == pytest.approx(np.mean(by_hand)) and 0 < np.mean(by_hand) < 1
    assert np.isnan(show.newer_rows(replace(split, train=replace(split.train, has_time=False))))
