"""Recorded rows as the tables of notebooks and report read them."""

import pandas as pd

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
