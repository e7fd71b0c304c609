"""The released codes: every difference has a setting or a reason, and recipe "released" is made of these settings."""

from __future__ import annotations

import pytest

from contrec.papers.released_code import as_settings, defects, differences
from contrec.study.config import MODELS, Config


def value_of(config, setting):
    stage, _, name = setting.rpartition(".")
    place = getattr(config.recommender, stage) if stage else config.recommender
    return place.get(name) if isinstance(place, dict) else getattr(place, name)


@pytest.mark.parametrize("model", MODELS)
def test_recipe_released_says_what_the_table_says(model):
    released, paper = (Config.from_parameters(model, recipe, "laptop") for recipe in ("released", "paper"))
    for row in differences().itertuples():
        text = getattr(row, model)
        if not row.setting or not text:
            continue
        ((name, value),) = as_settings(row.setting, text).items()
        value = value[row.setting.rpartition(".")[2]] if name == "embeddings" else value
        assert value_of(released, row.setting) == value, row.what
        if row.kind == "D":
            assert value_of(paper, row.setting) != value, row.what


def test_every_difference_has_a_setting_or_a_reason():
    table = differences()
    assert not table[(table.setting == "") == (table.reason == "")].row.tolist()
    assert set(table.kind) == {"S", "D", "0"} and table.what.is_unique


@pytest.mark.parametrize("model", MODELS)
def test_every_defect_alone_is_a_config_that_differs(model):
    paper = Config.from_parameters(model, "paper", "tiny")
    found = defects(model)
    assert len(found) >= 8
    changed = [paper.with_settings(**settings) for settings in found.values()]
    assert all(config.recommender != paper.recommender for config in changed)
    assert len({str(config.recommender) for config in changed}) == len(found)
