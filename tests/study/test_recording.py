"""Recorded results: rows are those that their ranks give, and what is read is what was recorded."""

import json

import numpy as np
import pandas as pd
import pytest

from contrec.artifacts import provenance, stale
from contrec.data import DataError
from contrec.evaluation import Evaluation
from contrec.files import Damaged
from contrec.study import recording, tables


def evaluation(shift=1.0) -> Evaluation:
    user = np.arange(20)
    return Evaluation(user + shift, np.ones(20, np.int64), user, True, None, {"cases": 20, "users": 20})


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(provenance, "revision", lambda: {"commit": None, "clean": None})
    kept = [((model, seed), evaluation(1.0 + seed)) for model in ("ease", "contrec") for seed in (0, 1)]
    frame = pd.concat([e.to_frame(10).assign(model=model, seed=seed) for (model, seed), e in kept], ignore_index=True)
    return frame, kept, provenance.record({}, dataset="none")


def test_rows_ranks_and_record_are_written_and_read(made, tmp_path):
    frame, kept, entry = made
    beside = recording.write_results(tmp_path / "x.csv", frame, kept, entry)
    assert beside == tmp_path / "x.json" and list(json.loads(beside.read_text())["outputs"]) == [
        "x.csv",
        "x.ranks.parquet",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.csv", "x.json", "x.ranks.parquet"]
    assert list(recording.read_ranks(tmp_path / "x.ranks.parquet")) == [key for key, _ in kept]
    assert len(recording.read_table(tmp_path / "x.csv")) == 16


def test_what_is_recorded_again_is_stale_no_longer(made, tmp_path, monkeypatch):
    frame, kept, entry = made
    monkeypatch.setattr(stale.paths, "reproduced", lambda: tmp_path)
    mark = pd.DataFrame([dict.fromkeys(stale.COLUMNS, "") | {"file": "x.csv"}])
    mark.to_csv(tmp_path / "stale.tsv", sep="\t", index=False)
    assert len(stale.marks(tmp_path / "x.csv")) == 1
    recording.write_results(tmp_path / "x.csv", frame, kept, entry)
    assert not len(stale.marks(tmp_path / "x.csv")) and not (tmp_path / "stale.tsv").exists()


SPOILED = {
    "41 of 64": lambda f: f.iloc[:10],
    "a row twice": lambda f: pd.concat([f, f.tail(1)]),
    "a row of nobody": lambda f: pd.concat([f, f.tail(1).assign(model="mf")]),
    "another value": lambda f: f.assign(value=f.value.where(f.index != 3, 0.123)),
    "no value": lambda f: f.assign(value=f.value.where(f.index != 3)),
    "no interval": lambda f: f.assign(high=f.high.where(f.index != 3)),
    "another seed": lambda f: f.assign(seed=f.seed.replace(1, 2)),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_rows_that_are_not_those_of_the_ranks_are_not_recorded(made, tmp_path, spoil):
    frame, kept, entry = made
    with pytest.raises(DataError, match=r"nothing is written to .*x.csv: of 16 rows .* it is made anew"):
        recording.write_results(tmp_path / "x.csv", spoil(frame), kept, entry)
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_the_same_however_they_are_written(made, tmp_path):
    frame, kept, entry = made
    kept = [(("x", str(seed)), e) for (model, seed), e in kept if model == "ease"]
    frame = frame[frame.model == "ease"].assign(model="x", seed=lambda f: f.seed.astype(float))
    recording.write_results(tmp_path / "x.csv", frame, kept, entry)


def test_what_is_recorded_is_not_lost(made, tmp_path):
    frame, kept, entry = made
    recording.write_results(tmp_path / "x.csv", frame, kept, entry)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="holds 2 recorded results that are not among those to be written .model ease"):
        recording.write_results(tmp_path / "x.csv", frame[frame.model == "contrec"], kept[2:], entry)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    (tmp_path / "x.ranks.parquet").write_bytes(b"PAR1")  # half-written by a version before: the rows know as much
    with pytest.raises(ValueError, match="holds 2 recorded results"):
        recording.write_results(tmp_path / "x.csv", frame[frame.model == "contrec"], kept[2:], entry)
    recording.write_results(tmp_path / "x.csv", frame, kept, entry)  # and writing all of it cures
    assert len(recording.read_ranks(tmp_path / "x.ranks.parquet")) == 4


@pytest.mark.parametrize("name", ["x.csv", "x.ranks.parquet"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"model,seed\n1", bytes(100)])
@pytest.mark.parametrize("with_record", [True, False])
def test_a_damaged_recorded_file_is_told(made, tmp_path, name, data, with_record):
    frame, kept, entry = made
    beside = recording.write_results(tmp_path / "x.csv", frame, kept, entry)
    (tmp_path / name).write_bytes(data)
    if not with_record:
        beside.unlink()
    if with_record or name.endswith("parquet"):
        with pytest.raises(
            Damaged, match=rf"{tmp_path / name} (is not the file|cannot be read).*: record it again, or"
        ):
            recording.read_table(tmp_path / name)


def test_a_missing_recorded_file_is_told(made, tmp_path, monkeypatch):
    frame, kept, entry = made
    recording.write_results(tmp_path / "x.csv", frame, kept, entry)
    (tmp_path / "x.csv").unlink()
    monkeypatch.setattr(tables.paths, "reproduced", lambda: tmp_path)
    with pytest.raises(Damaged, match="x.csv is missing, which x.json records .*record it again"):
        tables.reproduced()


def test_a_damaged_record_is_told(made, tmp_path):
    frame, kept, entry = made
    for text in ("", "[]", '{"outputs": 1}'):
        recording.write_results(tmp_path / "x.csv", frame, kept, entry).write_text(text)
        with pytest.raises(Damaged, match="x.json is damaged .*record it again"):
            recording.read_table(tmp_path / "x.csv")
    assert provenance.problems(tmp_path / "x.csv")
