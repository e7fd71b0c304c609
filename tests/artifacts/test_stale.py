"""Recorded numbers of an earlier version: marked, shown as stale wherever they stand, unmarked when made anew."""

import pandas as pd
import pytest

from contrec import paths
from contrec.artifacts import provenance, stale
from contrec.report import evidence, sections
from contrec.study import recording, tables

MARKS = stale.marks()
MARKED = "lastfm_released_leave_one_out_laptop_tuned.csv"


def test_every_mark_is_about_something():
    assert list(MARKS.columns) == stale.COLUMNS and not MARKS.duplicated(["file", "column", "values"]).any()
    for mark in MARKS.to_dict("records"):
        assert mark["since"] and mark["reason"] and bool(mark["column"]) == bool(mark["values"]), mark
        if mark["file"].startswith("figures/"):
            assert (paths.root() / f"{mark['file']}.json").is_file() and not mark["column"], mark
            continue
        frame = pd.read_csv(paths.reproduced() / mark["file"])
        assert not mark["column"] or mark["column"] in frame, mark
        found = stale.rows(pd.DataFrame([mark]), frame)
        assert found.any() and (not mark["column"] or not found.all()), mark


def test_a_figure_is_stale_where_its_table_is():
    """Every figure that is drawn from stale rows is marked, and no other."""
    about = {f"figures/{f.path.name}": (f.entry["notebook"], f.entry["dataset"]["name"]) for f in evidence.figures()}
    rankings = ("03_training", "04_recommendation")  # what commands record, these two draw
    whole = {
        (notebook, r.entry["dataset"]["name"])
        for r in evidence.records()
        if r.note
        for notebook in ([r.entry["notebook"]] if r.entry.get("notebook") else rankings)
    }
    assert {name for name, key in about.items() if key in whole} == {
        name for name in MARKS.file if name.startswith("figures/")
    }


@pytest.fixture
def project(tmp_path, monkeypatch):
    """One recorded table with a stale model, and a stale figure."""
    for name in ("reproduced", "figures"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(paths, name, lambda name=name: tmp_path / name)
    printed = paths.published()
    monkeypatch.setattr(paths, "published", lambda: printed)
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    where = {"dataset": "lastfm", "source": "released", "split": "leave_one_out", "preset": "laptop", "metric": "HR@10"}
    rows = [
        {**where, "model": model, "recipe": "tuned" * (model[0] == "c"), "value": value, "low": value, "high": value}
        for model, value in (("ease", 0.1), ("contrec", 0.2), ("contrec/user-token", 0.3))
    ]
    frame = pd.DataFrame(rows).assign(seed=0, n_users=5, run="r", revision="v")
    frame.to_csv(tmp_path / "reproduced" / MARKED, index=False)
    for ending in ("svg", "png"):
        (tmp_path / "figures" / f"ranking.{ending}").write_text("<svg></svg>")
    marks = [
        (MARKED, "model", "contrec*", "data 2", "texts differ"),
        ("figures/ranking", "", "", "data 2", "texts differ"),
    ]
    pd.DataFrame(marks, columns=stale.COLUMNS).to_csv(tmp_path / "reproduced" / "stale.tsv", sep="\t", index=False)
    return tmp_path


def test_a_stale_row_is_shown_as_stale_in_every_table(project):
    head = tables.headline("lastfm").set_index("metric")
    assert head.loc["HR@10", "tuned (tiny backbone)"] == "0.2000 (n=1), stale"
    shown = tables.comparison("lastfm", "released", "leave_one_out").set_index("model").reproduced
    assert shown["contrec tuned"].endswith(", stale") and shown["contrec tuned/user-token"].endswith(", stale")
    assert shown["ease"] == "0.1000 [0.1000, 0.1000]"
    found = sections.ranked(("lastfm", "released", "leave_one_out")).set_index("model").label
    assert found["contrec tuned"] == "ContRec (tuned), stale" and found["ease"] == "EASE"


def test_the_report_says_what_is_stale_and_why(project):
    (record,), (figure,) = evidence.records(), evidence.figures()
    assert record.note == " (stale: model contrec*)" and figure.note == " (stale)"
    assert record.about({})["stale"] == figure.about({})["stale"] == "stale since data 2: texts differ"
    assert record.frame.stale.tolist() == [False, True, True]


def test_making_it_anew_takes_the_mark_away(project):
    entry = provenance.record({}, dataset="lastfm released")
    table, file = (project / "reproduced" / name for name in (MARKED, "stale.tsv"))
    rows = pd.read_csv(table)
    anew = {table: lambda part: rows.to_csv(part, index=False)}
    provenance.write(anew, entry)
    assert stale.marks().file.tolist() == ["figures/ranking"] and not stale.note(table)
    assert "stale" not in tables.headline("lastfm").to_string()
    provenance.write({project / "figures" / "ranking.svg": lambda part: part.write_text("drawn")}, entry)
    assert not file.exists() and stale.marks().empty
    provenance.write(anew, entry)  # where nothing is marked, nothing is written
    assert not file.exists()


def test_ranks_carry_the_mark_of_their_rows(project):
    path = project / "reproduced" / MARKED.replace(".csv", ".ranks.parquet")
    kept = pd.DataFrame({"model": ["ease", "contrec"], "seed": 0, "user": 1, "rank": 3.0, "ties": 1})
    kept.to_parquet(path, index=False)
    found = recording.read_ranks(path)
    assert [e.counts.get("stale", False) for e in found.values()] == [False, True]
