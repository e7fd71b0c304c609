"""Recorded rows as the tables of notebooks and report read them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from contrec import paths
from contrec.study import show, tables
from contrec.study.evaluating import COLUMNS


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
        "HR@10, model minus the floors: beyond noise above 1 of 2, below 1; ease -3.0 points [-5.0, -1.0], "
    )
    assert controls.startswith(
        "HR@10, model minus its own controls: beyond noise above 0 of 1, below 0; user-token +1.0"
    )


def test_baselines_are_counted_by_their_verdict(monkeypatch):
    """Printed on LastFM, HR@10 (ContRec, Table 2): LightGCN .0312, SASRec and others; ContRec .0539."""
    own = {"lightgcn": 0.1, "ease": 0.2, "mf": 0.15, "sasrec": 0.0, "contrec": 0.9}
    rows = [dict.fromkeys(COLUMNS, "") | {"model": m, "metric": "HR@10", "value": v} for m, v in own.items()]
    where = {"dataset": "lastfm", "source": "released", "split": "leave_one_out", "seed": 0, "stale": False}
    frame = pd.DataFrame(rows).assign(**where, low=lambda f: f.value - 0.001, high=lambda f: f.value + 0.001)
    monkeypatch.setattr(tables, "reproduced", lambda: frame)
    says = tables.baselines_in_words("lastfm", "released", "leave_one_out")
    assert "of the printed baselines 2 reach more here than is printed, 1 less, 0 lie within noise" in says
    assert says.endswith("the best, ease, reaches HR@10 0.2000 where 0.0539 is printed for contrec itself.")
    monkeypatch.setattr(tables, "reproduced", lambda: frame.assign(split="time_point"))
    assert "none is printed" in tables.baselines_in_words("lastfm", "released", "time_point")
    assert "not run" in tables.baselines_in_words("lastfm", "released", "leave_one_out")


def test_newer_rows_are_counted(planted_split):
    split = planted_split
    by_hand = [(split.train.timestamp > time).mean() for time in split.test.time]
    assert show.newer_rows(split) == pytest.approx(np.mean(by_hand)) and 0 < np.mean(by_hand) < 1
    assert np.isnan(show.newer_rows(replace(split, train=replace(split.train, has_time=False))))
