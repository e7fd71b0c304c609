"""The grid of baselines on the planted catalogue: what is wanted, made, found again, recorded, compared."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from contrec import baselines, paths
from contrec.artifacts import stale
from contrec.experiments.baselines import cells
from contrec.experiments.baselines.cells import BaselineCell
from contrec.study import evaluating, fitting, jobs, settings, tables

PLANTED = ("planted", "planted", "leave_one_out")


def searched(**of_sasrec):
    """What a search has recorded, on whatever data: one trial of SASRec."""
    trial = {"model": "sasrec", "trial": 0, "settings": json.dumps(of_sasrec), settings.METRIC: 0.1}
    return lambda place: pd.DataFrame([trial])


@pytest.fixture
def world(planted_split, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(fitting, "_split", lambda *_: planted_split)
    monkeypatch.setattr(cells.paths, "reproduced", lambda: tmp_path / "reproduced")
    monkeypatch.setattr(settings, "recorded", searched(dim=8, epochs=2))
    monkeypatch.setattr(cells, "WANTED", {PLANTED: (("popularity", "ease", "sasrec"), (0, 1))})
    monkeypatch.setattr(cells, "REFITTED", {})
    return monkeypatch


def test_wanted_cells_have_models_and_seeds_once():
    wanted = cells.select()
    assert len(set(wanted)) == len(wanted)
    assert {c.model for c in wanted} | {"oracle"} == set(settings.BASELINES) == set(baselines.REGISTRY)
    assert {c.seed for c in wanted if c.model == "ease"} == {0}
    lastfm = [c for c in wanted if c.dataset == "lastfm" and c.protocol == "leave_one_out" and c.model == "sasrec"]
    assert [c.seed for c in lastfm] == [0, 1, 2]
    assert set(cells.GUESS) == set(settings.BASELINES) and {c.dataset for c in wanted} <= set(settings.SIZES)
    with pytest.raises(ValueError, match="dataset must be one of 'lastfm', .*got 'netflix'"):
        cells.select(datasets=["netflix"])
    with pytest.raises(ValueError, match="model must be one of .*; did you mean 'ease'"):
        cells.select(models=["popularity", "eas"])  # one good name hides no bad one
    with pytest.raises(ValueError, match="no wanted cell has dataset in .*, model in"):
        cells.select(datasets=["lastfm"], models=["repeat_history"])


def test_cells_are_made_cheapest_first_and_once(world):
    wanted, said = cells.select(), []
    assert [c.model for c in wanted] == ["popularity", "ease", "sasrec", "sasrec"]
    before = jobs.overview(wanted)
    assert list(before["planted leave_one_out"]) == ["not run"] * 3
    with pytest.raises(ValueError, match="contrec fill baselines --datasets planted runs them"):
        cells.results(wanted)
    cells.fill(wanted[:2], say=said.append)
    assert jobs.overview(wanted).set_index("what")["planted leave_one_out"]["ease"] == "1 of 1"
    cells.fill(wanted, say=said.append)
    assert [line.split()[2] for line in said] == ["popularity", "ease", "sasrec", "sasrec"]
    world.setattr(evaluating, "floor", None)  # would fail if it were called
    cells.fill(wanted)
    frame = cells.results(wanted)
    assert list(frame.columns) == evaluating.COLUMNS and len(frame) == 16 and frame.value.between(0, 1).all()
    assert frame[frame.model == "sasrec"].seed.unique().tolist() == [0, 1]


def test_settings_are_part_of_a_cell(world):
    cell = BaselineCell(*PLANTED, "sasrec", 0)
    name = cell.folder
    world.setattr(settings, "recorded", searched(dim=16, epochs=2))
    assert cell.folder != name
    cell.make()
    about = json.loads((cell.folder / "about.json").read_text())
    assert about["settings"] == {"dim": 16, "epochs": 2} and about["source"].endswith("trial 0 of 1")
    assert about["epochs"] == 2 and not (cell.folder / "checkpoints").exists()


def test_what_is_left_is_estimated_from_what_was_run(world):
    wanted = cells.select()
    assert cells.estimates(wanted)[2] == pytest.approx(cells.GUESS["sasrec"] * settings.SIZES["planted"])
    cells.fill(wanted[:3])
    took = json.loads((wanted[2].folder / "about.json").read_text())["seconds, with test"]
    assert cells.estimates(wanted)[3] == pytest.approx(took)


def test_records_hold_what_intervals_and_comparisons_need(world, tmp_path):
    wanted = cells.select()
    cells.fill(wanted)
    (path,) = cells.record(wanted)
    csv = path.with_suffix(".csv")
    assert csv.name == "planted_planted_leave_one_out_baselines.csv"
    frame, ranks = pd.read_csv(csv), pd.read_parquet(csv.with_suffix(".ranks.parquet"))
    own = ranks[(ranks.model == "sasrec") & (ranks.seed == 1)]
    value = frame[(frame.model == "sasrec") & (frame.seed == 1) & (frame.metric == "HR@10")].value.item()
    assert (own["rank"] <= 10).mean() == pytest.approx(value, abs=1e-6) or own.ties.max() > 1
    record = json.loads(path.read_text())
    assert record["config"]["settings"]["sasrec"] == {"dim": 8, "epochs": 2} and record["rows"]["test"] == 80


def test_paired_differences_average_a_models_seeds(world):
    wanted = cells.select()
    cells.fill(wanted)
    kept = cells.evaluations(wanted)
    table = tables.paired(kept, "ease", metrics=("HR@10",)).set_index("model")
    mean = np.mean([kept["sasrec", s].metrics()["HR@10"] for s in (0, 1)])
    assert table.difference["sasrec"] == pytest.approx(100 * (mean - kept["ease", 0].metrics()["HR@10"]))
    best = max((c.model for c in wanted), key=lambda m: kept[m, 0].metrics()["HR@10"])
    assert set(tables.paired(kept).against) == {best}
    assert table.low["sasrec"] <= table.difference["sasrec"] <= table.high["sasrec"] and "ease" not in table.index


def test_seen_items_are_kept_too_where_targets_repeat(world, planted_split):
    from dataclasses import replace

    cell = BaselineCell(*PLANTED, "popularity", 0)
    again = replace(planted_split, counts={**planted_split.counts, "repeated_targets": 40})
    world.setattr(fitting, "_split", lambda *_: again)
    cell.make()
    kept = evaluating.kept_evaluations(cell.folder)
    assert list(kept) == ["popularity", "popularity/seen-kept"]
    assert kept["popularity"].exclude_seen and not kept["popularity/seen-kept"].exclude_seen


KILLED = """
from contrec.experiments.baselines import cells
from contrec.study import settings
from tests.experiments.test_grid import searched
settings.recorded = searched(dim=16, epochs=40, patience=40)
cells.BaselineCell("planted", "planted", "leave_one_out", "sasrec", 0).make()
"""


def test_a_killed_cell_goes_on_from_its_checkpoint_to_the_same_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "recorded", searched(dim=16, epochs=40, patience=40))
    cell, ranks = BaselineCell(*PLANTED, "sasrec", 0), {}
    for name in ("killed", "whole"):
        monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / name))
        if name == "killed":
            process = subprocess.Popen([sys.executable, "-c", KILLED])
            history = f".{cell.folder.name}.unfinished/checkpoints/last/history.json"
            while not (path := cell.folder.parent / history).exists() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert 0 < len(json.loads(path.read_text())) < 40 and not cell.done
        cell.make()
        ranks[name] = evaluating.kept_evaluations(cell.folder)["sasrec"].ranks
    assert np.array_equal(ranks["killed"], ranks["whole"])


def test_what_is_recorded_anew_is_unmarked_and_the_rest_stays_stale(world, tmp_path):
    wanted = cells.select()
    cells.fill(wanted)
    (path,) = cells.record(wanted)
    name = path.with_suffix(".csv").name
    stale.mark(pd.DataFrame([(name, "model", "ea* sasrec", "data 9", "why")], columns=stale.COLUMNS))
    cells.record([c for c in wanted if c.model != "ease"])
    (mark,) = stale.marks(path.with_suffix(".csv")).to_dict("records")
    assert (mark["values"], mark["since"], mark["reason"]) == ("ease", "data 9", "why")
    assert set(pd.read_csv(path.with_suffix(".csv")).model) == {"popularity", "ease", "sasrec"}
    cells.record([c for c in wanted if c.model == "ease"])
    assert not len(stale.marks(path.with_suffix(".csv")))


def test_all_groups_of_a_model_are_recorded_anew_with_it():
    path = paths.reproduced() / "software_released_unseen_users_baselines.csv"
    whole = pd.read_csv(path)
    rows, ranks, settings_of = cells._beside(path, {"lightgcn", "itemknn"})
    left = {m for m in whole.model.unique() if m.split("/")[0] != "lightgcn"}
    left -= {"itemknn" + group for group in ("", "/seen-kept", "/seen-users", "/seen-kept/in-training")}
    left -= {"itemknn" + group for group in ("/in-training", "/seen-kept/seen-users")}
    assert set(rows.model) == left == {model for model, _ in ranks} and "itemknn/recency/in-training" in left
    assert "lightgcn" not in settings_of and "itemknn/recency" in settings_of
