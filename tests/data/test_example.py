"""The example table of those who try their own data: readable, planted, and spoiled in ways that are told."""

from __future__ import annotations

import numpy as np
import pytest

from contrec import data
from contrec.data import example
from contrec.study import show
from contrec.study.config import Config


@pytest.fixture
def file(tmp_path):
    return example.write_example(tmp_path / "new")


def test_it_holds_the_planted_interactions(file):
    assert file.name == "planted_shop.csv" and example.problem(file) == ""
    read, catalogue = data.load("table", path=file)
    planted, known = data.load("planted", n_users=150, n_items=80)
    number = {name: n for n, name in enumerate(read.user_ids.tolist())}
    for user in (0, 7, 149):
        own = read.item_ids[read.item[read.user == number[planted.user_ids[user]]]]
        assert own.tolist() == planted.item_ids[planted.item[planted.user == user]].tolist()
    assert len(read) == len(planted) and np.array_equal(np.sort(read.timestamp), np.sort(planted.timestamp))
    titles = dict(zip(known.item_ids.tolist(), known.titles, strict=True))
    assert all(titles[i] == t for i, t in zip(catalogue.item_ids.tolist(), catalogue.titles, strict=True))
    assert data.split(read, catalogue).catalogue.answers


def test_equal_calls_write_equal_bytes(file, tmp_path):
    assert example.write_example(tmp_path / "again").read_bytes() == file.read_bytes()
    assert list(example.first_rows(file, 3).columns)[:3] == ["user", "item", "timestamp"]


def test_every_mistake_is_told_with_its_row_and_no_folder(file):
    found = example.mistakes(file).set_index("mistake").message
    assert list(found.index) == list(example.MISTAKES)
    assert found["a time that is none"].startswith("planted_shop.csv, line 7: timestamp 'last summer' is not a time")
    assert found["a missing user"].startswith("planted_shop.csv, line 12: user is missing; ")
    assert found["a rating in words"].startswith("planted_shop.csv, line 3: rating is not a number; ")
    assert found["a column of another name"].startswith("planted_shop.csv has no column 'timestamp'")
    assert not found.str.contains("/").any() and example.problem(file) == ""  # the good file is left as it was


def test_a_missing_file_is_a_problem_too(tmp_path):
    assert example.problem(tmp_path / "none.csv").startswith("none.csv does not exist")
    file = example.write_example(tmp_path)
    assert example.problem(file, items=tmp_path / "films.csv").startswith("films.csv does not exist")


def test_statistics_are_those_of_the_file(file):
    found = show.measured_statistics(Config.from_parameters(dataset="table", path=file)).iloc[0]
    taken = len(np.unique(data.load("planted", n_users=150, n_items=80)[0].item))
    assert found.users == 150 and found["items"] == taken
    assert found.interactions == len(file.read_text().splitlines()) - 1


def test_an_exported_recommender_takes_the_place_of_an_earlier_one(fitted, tmp_path, monkeypatch):
    from contrec.recommender import Recommender

    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    for _ in range(2):
        folder = show.export(fitted, "mine")
    items = list(fitted.catalogue.item_ids[:2])
    again = Recommender.load(folder).recommend(history=items, k=3)
    assert again.equals(fitted.recommend(history=items, k=3)) and folder.parent.parent == tmp_path
