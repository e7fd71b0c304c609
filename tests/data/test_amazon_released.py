"""Loaders on tiny made files, so that they are tested where the real ones are not at hand."""

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrec import paths
from contrec.data import DataError, amazon, download, load, movielens, split
from contrec.data.archives import Record
from contrec.data.cases import take
from contrec.data.sources import SOURCES, Source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "data_raw", lambda: tmp_path / "data" / "raw")
    monkeypatch.setattr(paths, "mirror", lambda: None)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    return tmp_path / "data"


def write_lines(path, rows):
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))


def review(user, item, time, overall=5.0, verified=True):
    return {"reviewerID": user, "asin": item, "unixReviewTime": time, "overall": overall, "verified": verified}


def test_games_keep_verified_positive_distinct_reviews_of_users_with_five(folder):
    rows = [review("B", f"g{i}", 100 - i) for i in range(5)]
    rows += [rows[0], review("B", "g9", 1, verified=False), review("B", "g8", 1, overall=3.0)]
    rows += [review("A", f"g{i}", i + 1) for i in range(4)]  # four reviews only
    write_lines(folder / "raw" / "Video_Games_5.json.gz", rows)
    meta = [
        {
            "asin": "g0",
            "title": "A\n &quot;game&quot;",
            "brand": "by\n    \n    Storm &amp;amp; Co<b>",
            "category": ["Video Games", "PC", "</span>"],
        },
        {"asin": "g0", "title": "a second record"},
        {"asin": "zz", "title": "not ours"},
    ]
    write_lines(folder / "raw" / "meta_Video_Games.json.gz", meta)
    interactions, catalogue = load("games", "raw")
    assert interactions.user_ids.tolist() == ["B"] and len(interactions) == 5
    assert interactions.item_ids.tolist() == ["g4", "g3", "g2", "g1", "g0"]  # by time
    assert (catalogue.titles[4], catalogue.brands[4]) == ('A "game"', "Storm & Co")
    assert catalogue.categories[4] == ("PC",)
    assert catalogue.titles[0] == "item g4"


def test_software_keeps_ratings_of_three_and_repeats(folder):
    rows = [review("A", "s0", t, overall=3.0, verified=False) for t in range(1, 6)]
    rows.append(review("A", "s1", 9, overall=2.0))
    write_lines(folder / "raw" / "Software_5.json.gz", rows)
    write_lines(folder / "raw" / "meta_Software.json.gz", [{"asin": "s1"}])
    interactions, _ = load("software", "raw")
    assert interactions.item_ids.tolist() == ["s0"] and len(interactions) == 5


@pytest.mark.parametrize(("name", "file"), [("games", "Video_Games_5.json.gz"), ("software", "Software_5.json.gz")])
def test_missing_raw_files_name_file_and_cure(folder, name, file):
    with pytest.raises(DataError, match=f"{file} is not in .*; download https://.*{file} by hand and put it into"):
        load(name, "raw", download=False)


def test_positive_reads_both_forms(tmp_path):
    path = tmp_path / "reviews.json.gz"
    first = review("A", "s", 1)
    flagged = {k: v for k, v in first.items() if k != "overall"}
    write_lines(path, [first | {"overall": 4.0}, first | {"overall": 3}, flagged | {"overall_gt3": 1}, flagged])
    assert amazon.read_reviews(path)["positive"].tolist() == [True, False, True, False]


def test_incomplete_beauty_is_refused(folder):
    for file in amazon.FILES["beauty"]:
        write_lines(folder / "raw" / file, [review("A", "s", 1)])
    with pytest.raises(DataError, match="has 1 reviews, expected 198502"):
        load("beauty")


def test_category_leaves_of_both_releases():
    def leaves(**fields):
        return amazon.leaves(Record(Path("f"), 1, fields))

    assert leaves(categories=[["Beauty", "Face"], ["Beauty", "Eyes &amp; Lips"]]) == ("Face", "Eyes & Lips")
    assert leaves(category=["Games", "PC", "</span>"]) == ("PC",)
    assert leaves(category=["Games", "&lt;b&gt;"]) == ("<b>",)  # mark-up is dropped before entities are read
    assert leaves() == leaves(categories=[[]]) == leaves(categories=None, category=None) == ()


@pytest.fixture
def released(folder, monkeypatch):
    """Made split files of Games: a user without a line, an item without an interaction, a title with a line break."""
    files = {
        "test.txt": "0 2 0 1\n2 1 1 3 0\n",
        "user_list.txt": "org_id remap_id\nU0 0\nU1 1\nU2 2\n",
        "item_list.txt": 'org_id remap_id title category\nb 1 "Two\nlines" "Video Games, PC, Kids &amp; Co, by\n  Acme"'
        '\na 0 a a\nc 2 "<z_start> x" ", Solo"\nd 3 nan "Video Games, </span>, Best Ever, for all ages, by\n  Acme"'
        '\ne 4 Never "Video Games"\n',
    }
    for file, text in files.items():
        key = f"processed/game/{file}"
        monkeypatch.setitem(SOURCES, key, Source(None, SOURCES[key].sha256, pinned=False, terms="made"))
        (folder / "processed" / "game").mkdir(parents=True, exist_ok=True)
        (folder / key).write_text(text)
    return folder


def test_released_files(released):
    interactions, catalogue = load("games", "released")
    assert interactions.user_ids.tolist() == ["U0", "U2"]  # users with a line only
    assert interactions.item.tolist() == [2, 0, 1, 1, 1, 3, 0]  # the authors' numbers, in their order
    assert interactions.timestamp.tolist() == [0, 1, 2, 0, 1, 2, 3] and not interactions.has_time
    assert catalogue.titles == ("item a", "Two lines", "<z_start> x", "item d", "Never")
    assert catalogue.categories == ((), ("Kids & Co",), (), ("Video Games",), ())
    assert catalogue.brands == ("", "Acme", "Solo", "Acme", "Video Games")
    made = split(interactions, catalogue)
    assert made.test.target.tolist() == [1, 0] and made.counts["cold_targets"] == 1
    with pytest.raises(DataError, match="only an order"):
        split(interactions, catalogue, "time_point")


def test_broken_released_files_name_the_line(released):
    (released / "processed" / "game" / "test.txt").write_text("0 1 2\n1 x\n")
    with pytest.raises(DataError, match=r"test\.txt, line 2: expected 'user item"):
        load("games", "released")
    (released / "processed" / "game" / "test.txt").write_text("0 1 9\n")
    with pytest.raises(DataError, match="line 1: names item 9, but 3 users and 5 items are listed"):
        load("games", "released")


def test_statistics_by_hand(released):
    from contrec.data.statistics import describe, statistics

    row = describe(load("games", "released")[0])
    assert (row["users"], row["items"], row["listed_items"], row["interactions"], row["repeats"]) == (2, 4, 5, 7, 1)
    assert row["length"] == 3.5 and row["density_percent"] == pytest.approx(87.5) and row["tied_percent"] is None
    table = statistics([("games", "released"), ("lastfm", "raw")])
    assert table["note"][0] == "" and "hetrec2011-lastfm-2k.zip is not in" in table["note"][1]
    assert table["users"].tolist() == [2, pd.NA]
    nothing = describe(take(load("games", "released")[0], np.arange(0)))
    assert [nothing[k] for k in ("users", "interactions", "length", "density_percent", "min_user")] == [0] * 5


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="name must be one of.*'netflix'"):
        load("netflix")
    with pytest.raises(ValueError, match="source of lastfm must be one of 'raw', 'released', got 'sample'"):
        load("lastfm", "sample")


def test_sample_is_read_from_its_columns(folder, monkeypatch):
    path = folder / "raw" / amazon.SAMPLE
    path.write_text("row,reviewerID,asin,overall,verified,unixReviewTime\n0,A,07,4.0,False,20\n3,A,08,1.0,True,10\n")
    with pytest.raises(DataError, match="damaged or another version"):
        load("software", "sample")
    monkeypatch.setitem(SOURCES, amazon.SAMPLE, Source(None, (download.sha256(path),)))
    interactions, catalogue = load("software", "sample")
    assert interactions.item_ids.tolist() == ["07"] and catalogue.titles == ("item 07",)
    np.testing.assert_array_equal(interactions.rating, [4])


def test_movies_are_named_by_their_number(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml-1m/movies.dat", "1::Toy Story (1995)::Animation|Comedy\n20::Up::Drama\n")
    titles, brands, genres = movielens.read_movies(tmp_path / "ml.zip")
    assert titles == {"1": "Toy Story (1995)", "20": "Up"} and brands is None
    assert genres == {"1": ["Animation", "Comedy"], "20": ["Drama"]}
