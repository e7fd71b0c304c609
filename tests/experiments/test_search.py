"""The search: what it draws, how it goes on, what it hands over."""

import json

import numpy as np
import pandas as pd
import pytest

from contrec import baselines
from contrec.experiments.baselines import search
from contrec.files import Damaged, DiskFull
from contrec.study import evaluating, fitting, settings
from contrec.study.config import Config

PLACE = ("planted", "planted", "leave_one_out")
LAPTOP = Config.from_parameters(preset="laptop")
SPACE = {"puresvd": {"dim": (2, 16)}, "ease": {"ridge": (5.0, 2000.0)}}


@pytest.fixture
def world(planted_split, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(fitting, "_split", lambda *_: planted_split)
    for module in (search, settings):
        monkeypatch.setattr(module, "SPACES", SPACE)
    settings.recorded.cache_clear()
    yield monkeypatch
    settings.recorded.cache_clear()


def test_a_stopped_search_goes_on_to_the_same_trials(world, tmp_path):
    whole = search.search([PLACE], ["ease"], trials=12)
    assert list(whole.trial) == list(range(12)) and whole[search.METRIC].between(0, 1).all()
    world.setenv("CONTREC_ARTIFACTS", str(tmp_path / "again"))
    search.search([PLACE], ["ease"], trials=9)
    real = search.evaluate

    def stop(*_):
        raise KeyboardInterrupt

    world.setattr(search, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):  # it leaves a trial that never ended
        search.search([PLACE], ["ease"], trials=12)
    world.setattr(search, "evaluate", real)
    again = search.search([PLACE], ["ease"], trials=12)
    assert list(again.settings) == list(whole.settings) and list(again[search.METRIC]) == list(whole[search.METRIC])


def test_nothing_is_tried_twice_and_models_keep_apart(world):
    first = search.search([PLACE], trials=2)
    assert list(first.model) == ["puresvd"] * 2 + ["ease"] * 2
    world.setattr(search, "_trial", None)  # would fail if it were called
    assert search.search([PLACE], trials=2).equals(first)
    world.setitem(search.SPACES, "ease", {"ridge": (6.0, 7.0)})  # another space is another search
    assert len(search.trials_table([PLACE], ["ease"])) == 0


def test_test_cases_are_not_looked_at(world):
    seen = []
    real = search.evaluate
    world.setattr(search, "evaluate", lambda model, cases: seen.append(cases) or real(model, cases))
    search.search([PLACE], ["puresvd"], trials=1)
    (cases,) = seen
    assert cases is fitting.load_split(search.config_of(PLACE)).validation


def test_a_changed_journal_is_told(world):
    search.search([PLACE], ["ease"], trials=2)
    path = search.journal("ease", PLACE)
    whole = path.read_text()
    value = str(search.trials_table([PLACE], ["ease"])[search.METRIC][1])
    for text in (whole.replace(value, "0.9"), whole.replace('"seconds"', '"sekonds"'), whole[:50], "[]\n" + whole, ""):
        path.write_text(text)
        if text:
            with pytest.raises(Damaged, match=rf"{path} is damaged .*; remove it: its trials are made anew"):
                search.search([PLACE], ["ease"], trials=2)
    assert len(search.search([PLACE], ["ease"], trials=2)) == 2  # an empty one is none


def test_a_full_disk_stops_a_search_with_one_message(world, monkeypatch):
    monkeypatch.setattr(search, "evaluate", lambda *_: 1 / 0)
    monkeypatch.setattr(search, "_trial", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskFull, match="no room in .*search: more is needed"):
        search.search([PLACE], ["ease"], trials=2)


def write_trials(place, rows):
    frame = pd.DataFrame([(m, t, json.dumps(s), v, 1.0) for m, t, s, v in rows])
    frame.columns = ["model", "trial", "settings", search.METRIC, "seconds"]
    path = settings.search_file(place)
    path.parent.mkdir(exist_ok=True)
    frame.to_csv(path, index=False)
    settings.recorded.cache_clear()


def test_the_best_recorded_trial_is_chosen_on_the_data_s_own_users_else_on_lastfm_s(world, tmp_path):
    world.setattr(settings.paths, "reproduced", lambda: tmp_path)
    on_first = [("ease", 0, {"ridge": 9.0}, 0.1), ("ease", 1, {"ridge": 77.0}, 0.3)]
    write_trials(settings.FIRST, [*on_first, ("sasrec", 0, {"loss": "softmax", "dim": 32}, 0.2)])
    assert settings.chosen("ease", LAPTOP) == ({"ridge": 77.0}, "LastFM's validation users, trial 1 of 2")
    assert settings.chosen("popularity", LAPTOP) == ({}, "defaults")
    own, _ = settings.chosen("sasrec/bce", LAPTOP)
    assert own == {"dim": 32}  # the loss is what the name says
    assert baselines.make("sasrec/bce", **own).loss == "bce"
    assert "ridge 77" in settings.chosen_table(["ease"], LAPTOP).settings[0]
    write_trials(PLACE, [("ease", 0, {"ridge": 5.0}, 0.05)])
    assert settings.chosen("ease", LAPTOP) == ({"ridge": 5.0}, "its own validation users, trial 0 of 1")
    unseen = Config.from_parameters(preset="laptop", split="unseen_users")  # they choose as the others do
    assert settings.chosen("ease", unseen)[0] == {"ridge": 5.0}


def test_where_a_training_takes_minutes_trials_are_few_and_short_and_the_choice_is_trained_in_full(world):
    world.setitem(settings.SIZES, "planted", 3)
    assert settings.trials_wanted("sasrec", "planted") == settings.FEW < settings.trials_wanted("ease", "planted")
    space = {"sasrec": {"dim": [8], "lr": (1e-3, 1e-2)}}
    world.setattr(search, "SPACES", space)
    world.setattr(settings, "SPACES", space)
    world.setattr(search, "SHORT", {"epochs": 2, "patience": 1})
    seen = []
    real = search.evaluate
    world.setattr(search, "evaluate", lambda model, cases: seen.append(model.loop) or real(model, cases))
    (trial,) = search.search([PLACE], ["sasrec"], trials=1).itertuples()
    assert (seen[0].epochs, seen[0].patience) == (2, 1) and "epochs" not in json.loads(trial.settings)
    assert settings.LONG.items() <= settings.chosen("sasrec", LAPTOP)[0].items()


def test_what_was_known_is_tried_first(world, tmp_path):
    world.setattr(settings.paths, "reproduced", lambda: tmp_path)
    write_trials(settings.FIRST, [("ease", 0, {"ridge": 77.0}, 0.3), ("puresvd", 0, {"dim": 99}, 0.3)])
    world.setitem(search.KNOWN, ("ease", "planted"), {"ridge": 33.0})
    made = search.search([PLACE], trials=2)
    tried = made.groupby("model").settings.apply(list)
    assert [json.loads(s) for s in tried["ease"]] == [{"ridge": 33.0}, {"ridge": 77.0}]
    assert '{"dim": 99}' not in tried["puresvd"]  # outside its space


def test_recorded_trials_are_those_that_were_made(world, tmp_path):
    world.setattr(search.paths, "reproduced", lambda: tmp_path)
    made = search.search([PLACE], trials=2)
    assert not len(pd.read_csv(search.record(PLACE).with_suffix(".csv")))  # twenty are wanted
    written = pd.read_csv(search.record(PLACE, 2).with_suffix(".csv"))
    assert list(written.settings) == list(made.settings)
    assert np.allclose(written[search.METRIC], made[search.METRIC], atol=1e-6)
    best = made[made.model == "ease"].sort_values(search.METRIC).iloc[-1]
    assert settings.chosen("ease", LAPTOP)[0] == json.loads(best.settings)


@pytest.mark.parametrize("model", [name for name in search.SPACES if name not in settings.RECIPES])
def test_every_space_fits_its_model(model):
    low = {k: v[0] for k, v in search.SPACES[model].items()}
    high = {k: v[-1] for k, v in search.SPACES[model].items()}
    assert type(baselines.make(model, **low)) is type(baselines.make(model, **high))


def test_unknown_models_are_told(world):
    with pytest.raises(ValueError, match="model must be one of 'puresvd', 'ease', got 'bert'"):
        search.search([PLACE], ["bert"])
    assert set(evaluating.VERSIONS) <= set(baselines.REGISTRY)


def test_a_record_keeps_what_is_recorded_of_other_models_and_loses_no_trial(world, tmp_path):
    world.setattr(search.paths, "reproduced", lambda: tmp_path)
    search.search([PLACE], trials=2)
    path = search.record(PLACE, 2).with_suffix(".csv")
    search.search([PLACE], ["ease"], trials=3)
    assert pd.read_csv(search.record(PLACE, 3).with_suffix(".csv")).groupby("model").size().to_dict() == {
        "puresvd": 2, "ease": 3,
    }  # fmt: skip
    before = path.read_bytes()
    search.journal("ease", PLACE).unlink()
    search.search([PLACE], ["ease"], trials=2)
    with pytest.raises(ValueError, match="holds 1 recorded results that are not among those to be written .*ease"):
        search.record(PLACE, 2)
    assert path.read_bytes() == before
