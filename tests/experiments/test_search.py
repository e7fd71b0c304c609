"""The search: what it draws, how it goes on, what it hands over."""

import json

import numpy as np
import pandas as pd
import pytest

from contrec import baselines
from contrec.experiments.baselines import search
from contrec.files import Damaged, DiskFull
from contrec.study import evaluating, fitting, settings

SPACE = {"puresvd": {"dim": (2, 16)}, "ease": {"ridge": (5.0, 2000.0)}}


@pytest.fixture
def world(planted_split, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(fitting, "_split", lambda *_: planted_split)
    for module in (search, settings):
        monkeypatch.setattr(module, "WHERE", {"dataset": "planted", "source": "planted", "preset": "tiny"})
        monkeypatch.setattr(module, "SPACES", SPACE)
    settings.recorded.cache_clear()
    yield monkeypatch
    settings.recorded.cache_clear()


def test_a_stopped_search_goes_on_to_the_same_trials(world, tmp_path):
    whole = search.search(["ease"], trials=12)
    assert list(whole.trial) == list(range(12)) and whole[search.METRIC].between(0, 1).all()
    world.setenv("CONTREC_ARTIFACTS", str(tmp_path / "again"))
    search.search(["ease"], trials=9)
    real = search.evaluate

    def stop(*_):
        raise KeyboardInterrupt

    world.setattr(search, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):  # it leaves a trial that never ended
        search.search(["ease"], trials=12)
    world.setattr(search, "evaluate", real)
    again = search.search(["ease"], trials=12)
    assert list(again.settings) == list(whole.settings) and list(again[search.METRIC]) == list(whole[search.METRIC])


def test_nothing_is_tried_twice_and_models_keep_apart(world):
    first = search.search(trials=2)
    assert list(first.model) == ["puresvd"] * 2 + ["ease"] * 2
    world.setattr(search, "_trial", None)  # would fail if it were called
    assert search.search(trials=2).equals(first)
    world.setitem(search.SPACES, "ease", {"ridge": (6.0, 7.0)})  # another space is another search
    assert len(search.trials_table(["ease"])) == 0


def test_test_cases_are_not_looked_at(world):
    seen = []
    real = search.evaluate
    world.setattr(search, "evaluate", lambda model, cases: seen.append(cases) or real(model, cases))
    search.search(["puresvd"], trials=1)
    (cases,) = seen
    assert cases is fitting.load_split(search.config()).validation


def test_a_changed_journal_is_told(world):
    search.search(["ease"], trials=2)
    path = search.journal("ease")
    whole = path.read_text()
    value = str(search.trials_table(["ease"])[search.METRIC][1])
    for text in (whole.replace(value, "0.9"), whole.replace('"seconds"', '"sekonds"'), whole[:50], "[]\n" + whole, ""):
        path.write_text(text)
        if text:
            with pytest.raises(Damaged, match=rf"{path} is damaged .*; remove it: its trials are made anew"):
                search.search(["ease"], trials=2)
    assert len(search.search(["ease"], trials=2)) == 2  # an empty one is none


def test_a_full_disk_stops_a_search_with_one_message(world, monkeypatch):
    monkeypatch.setattr(search, "evaluate", lambda *_: 1 / 0)
    monkeypatch.setattr(search, "_trial", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskFull, match="no room in .*search: more is needed"):
        search.search(["ease"], trials=2)


def test_the_best_recorded_trial_is_chosen(world, tmp_path):
    world.setattr(search.paths, "reproduced", lambda: tmp_path)
    rows = [("ease", 0, {"ridge": 9.0}, 0.1), ("ease", 1, {"ridge": 77.0}, 0.3)]
    rows.append(("sasrec", 0, {"loss": "softmax", "dim": 32}, 0.2))
    frame = pd.DataFrame([(m, t, json.dumps(s), v, 1.0) for m, t, s, v in rows])
    frame.columns = ["model", "trial", "settings", search.METRIC, "seconds"]
    (tmp_path / "search").mkdir()
    frame.to_csv(tmp_path / "search" / "planted_planted.csv", index=False)
    assert settings.chosen("ease", "beauty") == ({"ridge": 77.0}, "search on LastFM, trial 1 of 2")
    assert settings.chosen("popularity", "beauty") == ({}, "defaults")
    own, _ = settings.chosen("sasrec/bce", "beauty")
    assert own == {"dim": 32}  # the loss is what the name says
    assert baselines.make("sasrec/bce", **own).loss == "bce"
    world.setitem(settings.ELSEWHERE, ("sasrec", "ml1m"), ({"dim": 128}, "named somewhere"))
    assert settings.chosen("sasrec", "ml1m") == ({"loss": "softmax", "dim": 128}, "named somewhere")  # the rest is kept
    assert "ridge 77" in settings.chosen_table(["ease"], "beauty").settings[0]


def test_recorded_trials_are_those_that_were_made(world, tmp_path):
    world.setattr(search.paths, "reproduced", lambda: tmp_path)
    made = search.search(trials=2)
    assert not len(pd.read_csv(search.record().with_suffix(".csv")))  # twenty are wanted
    written = pd.read_csv(search.record(2).with_suffix(".csv"))
    assert list(written.settings) == list(made.settings)
    assert np.allclose(written[search.METRIC], made[search.METRIC], atol=1e-6)
    best = made[made.model == "ease"].sort_values(search.METRIC).iloc[-1]
    assert settings.chosen("ease", "beauty")[0] == json.loads(best.settings)


@pytest.mark.parametrize("model", list(search.SPACES))
def test_every_space_fits_its_model(model):
    low = {k: v[0] for k, v in search.SPACES[model].items()}
    high = {k: v[-1] for k, v in search.SPACES[model].items()}
    assert type(baselines.make(model, **low)) is type(baselines.make(model, **high))


def test_unknown_models_are_told(world):
    with pytest.raises(ValueError, match="model must be one of 'puresvd', 'ease', got 'bert'"):
        search.search(["bert"])
    assert set(evaluating.VERSIONS) <= set(baselines.REGISTRY)


def test_a_record_never_loses_what_is_recorded(world, tmp_path):
    world.setattr(search.paths, "reproduced", lambda: tmp_path)
    search.search(trials=2)
    path = search.record(2).with_suffix(".csv")
    before = path.read_bytes()
    search.search(["ease"], trials=3)
    with pytest.raises(ValueError, match="holds 2 recorded results that are not among those to be written .*puresvd"):
        search.record(3)
    assert path.read_bytes() == before
