"""A person's own CSV, with the faults that real ones have, from the file to recommendations."""

from __future__ import annotations

import csv
import sys
import warnings

import numpy as np
import pytest

from contrec import cli, data
from contrec.data.interactions import Cases
from contrec.language.prompts import Z_START
from contrec.recommender import Recommender
from contrec.study import config as settings
from contrec.study import evaluating, finished, fitting, lists
from contrec.study.config import Config

ODD_TITLE = f"A {Z_START} {{items}} {{category}} kite"


def rows() -> list[list]:
    """40 users of three tastes with six items each out of 24; u40 has one; items t0, t1 are poorly known."""
    rng = np.random.default_rng(0)
    table = []
    for user in range(40):
        taste = user % 3
        for place, item in enumerate(rng.permutation(8)[:6]):
            name = f"t{8 * taste + item}"
            known = {"t0": [ODD_TITLE, "", "toys"], "t1": ["", "", ""]}
            about = known.get(name, [f"Thing {name}", ("Acme", "Bolt", "Cork")[taste], ("toys", "home", "food")[taste]])
            table.append([f"u{user}", name, 1_600_000_000 + 1000 * user + place, *about])
    return [*table, ["u40", "t5", 1_600_100_000, "", "", ""]]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "mine.csv"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["user", "item", "timestamp", "title", "brand", "category"], *rows()])
    return path


@pytest.fixture(scope="module")
def split(file):
    return data.split(*data.load("table", path=file))


@pytest.fixture(scope="module")
def recommender(split, tiny_config):
    return Recommender(tiny_config(), device="cpu").fit(split, seed=0)


def test_every_fault_has_its_stated_place(split):
    catalogue = split.catalogue
    number = {item: n for n, item in enumerate(catalogue.item_ids.tolist())}
    assert catalogue.titles[number["t0"]] == ODD_TITLE  # characters, not marks
    assert catalogue.titles[number["t1"]] == "item t1" and catalogue.facets[number["t1"]] == ()
    assert split.counts["users_under_3_rows"] == 1 and len(split.test) == 40
    assert {"toys", "home", "food"} <= set(catalogue.answers)


@pytest.mark.parametrize("user", ["u0", "u40"])  # u40 has a single interaction
def test_every_user_gets_unseen_items_of_the_catalogue(recommender, user):
    found = recommender.recommend(user, k=5)
    seen = {row[1] for row in rows() if row[0] == user}
    assert found["rank"].tolist() == [1, 2, 3, 4, 5] and not seen & set(found["item"])
    assert np.isfinite(found["score"]).all() and found["text"].str.contains("products").all()


def test_a_mark_in_a_title_opens_no_slot(recommender):
    number = recommender.catalogue.item_ids.tolist().index("t0")
    prompt = recommender.prompts.build(Cases.from_histories([[number]]), np.zeros(1, int))
    of_item_and_user = 2 * (recommender.prompts.n_tokens + 1)  # each: one mark and the places to fill
    assert np.sum(prompt.ids[0] == recommender.prompts.slot[0]) == of_item_and_user


def test_a_history_of_the_odd_items_alone_works(recommender):
    found = recommender.recommend(history=["t1", "t0"], k=22)  # all that is left of 24
    assert set(found["item"]) == set(recommender.catalogue.item_ids) - {"t0", "t1"}
    with pytest.warns(UserWarning, match="k is 23, but the user has 22 of 24 items left"):
        assert len(recommender.recommend(history=["t1", "t0"], k=23)) == 22


def test_the_command_line_trains_and_asks_it(file, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    small = {
        "embeddings": {"dim": 16}, "tokenizer.epochs": 2, "language.hidden": 32, "language.heads": 2,
        "language.layers": 1, "language.vocabulary": 900, "language.max_input": 512, "diffusion.width": 32,
        "diffusion.n_blocks": 1, "training.epochs": 1, "training.cases_per_user": 1,
    }  # fmt: skip
    monkeypatch.setitem(settings.PRESETS, "tiny", small)
    monkeypatch.setattr(evaluating, "FLOORS", ("popularity",))
    assert cli.main(["study", "--datasets", "table", "--path", str(file)]) == 0
    listed = finished.list_runs()
    assert set(listed.dataset) == {"mine.csv"} and set(listed.label) > {"floor"}
    run = fitting.run_name(Config.from_parameters(dataset="table", path=file), 0)
    assert run in set(listed.run)
    capsys.readouterr()
    assert cli.main(["recommend", run, "--user", "u40", "-k", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    out = tmp_path / "all.csv"
    with pytest.warns(UserWarning, match="k is 19, but 40 of 41 users have 18 of 24 items left at the least"):
        assert cli.main(["recommend", run, "--all", "--out", str(out), "-k", "19"]) == 0
    assert len(out.read_text().splitlines()) == 1 + 40 * 18 + 19
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *about: print(warnings.formatwarning(*about), end="", file=sys.stderr)
        assert cli.main(["recommend", run, "--user", "u0", "-k", "19"]) == 0
    assert capsys.readouterr().err.startswith("contrec: note: k is 19, but the user has 18 of 24 items left")
    out.unlink()
    assert cli.main(["recommend", run, "--all", "--out", str(out), "-k", "2"]) == 0
    strangers(run, file, tmp_path, capsys)
    assert len(out.read_text().splitlines()) == 1 + 2 * 41 and [f.name for f in tmp_path.glob("*all*")] == ["all.csv"]


def strangers(run, file, folder, capsys):
    """Somebody else's file, with other names of columns: who is in it, what the run does not know, odd ids."""
    new = folder / "new.csv"
    lines = ["who,movieId,when", "=a,t1,1", "=a,t2,2", "-b,t9,3", "-b,none,4", "c,none,5"]
    new.write_text("\n".join(lines))
    named = ["--path", str(new), "--user-column", "who", "--timestamp-column", "when"]
    capsys.readouterr()
    assert cli.main(["recommend", run, *named, "--user=-b", "-k", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "left out: 2 rows of items that the run does not know, and 1 users who have no others"
    assert len(printed) == 4 and "t9" not in printed[2].split()
    own = lists.recommend(run, history=["t9"], k=2)
    found, _ = lists.recommend_strangers(run, new, {"user": "who", "timestamp": "when"}, ["-b"], 2)
    assert found.item.tolist() == own.item.tolist()
    out = folder / "strangers.csv"
    assert cli.main(["recommend", run, *named, "--all", "--out", str(out), "-k", "1"]) == 0
    assert [line.split(",")[0] for line in out.read_text().splitlines()] == ["user", "'-b", "'=a"]
    assert cli.main(["recommend", run, *named, "--user", "c"]) == 2
    assert "user 'c' has no row of" in capsys.readouterr().err


def test_a_table_needs_a_path_and_nothing_else_takes_one(file):
    for ask in (data.load, data.inputs):
        with pytest.raises(data.DataError, match="dataset 'table' is a file of your own: name it with path="):
            ask("table")
        with pytest.raises(data.DataError, match="dataset 'planted' has no path, got .*mine.csv"):
            ask("planted", path=file)
    with pytest.raises(data.DataError, match="no.csv does not exist"):
        data.inputs("table", path=file.with_name("no.csv"))
    assert list(data.inputs("table", path=file)) == ["mine.csv"]


def test_a_catalogue_must_know_the_items(file):
    interactions, catalogue = data.load("table", path=file)
    empty = data.Catalogue(np.empty(0, str), (), (), ())
    with pytest.raises(data.DataError, match="mine.csv: the catalogue holds 0 items and the interactions know 24"):
        data.split(interactions, empty)
    data.split(interactions, catalogue)
