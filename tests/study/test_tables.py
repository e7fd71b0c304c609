"""Recorded rows as the tables of notebooks and report read them."""

import pandas as pd

from contrec import paths
from contrec.study import tables
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
