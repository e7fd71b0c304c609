from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contrec.data import DataError, cases, inputs, load, split, table
from contrec.data.table import contents, files
from contrec.data.table.delimited import open_text

ROWS = """user,item,timestamp,rating,title,brand,category
ann,x,30,5,Blue kite,Acme,toys|outdoor
ann,y,10,4,,,
bob,x,20,3,Blue kite (old),Acme,toys
ann,z,20,1,"Lamp, small",,home
"""


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_sequences_and_catalogue(tmp_path):
    interactions, catalogue = load("table", path=write(tmp_path, ROWS))
    assert interactions.user_ids.tolist() == ["ann", "bob"]
    assert interactions.item_ids[interactions.item].tolist() == ["y", "z", "x", "x"]
    assert interactions.rating.tolist() == [4, 1, 5, 3]
    assert catalogue.titles == ("item y", "Lamp, small", "Blue kite")  # the first text in the file counts
    assert catalogue.brands == ("", "", "Acme")
    assert catalogue.categories == ((), ("home",), ("toys", "outdoor"))
    assert split(interactions, catalogue).counts["users_under_3_rows"] == 1


def test_column_names_dates_and_separator(tmp_path):
    text = "who\twhat\twhen\n1\t7\t2024-05-02\n1\t8\t2024-05-01T12:00:00Z\n"
    path = write(tmp_path, text, "table.tsv")
    interactions, catalogue = load("table", path=path, user="who", item="what", timestamp="when")
    assert interactions.timestamp.tolist() == [1714564800, 1714608000]
    assert catalogue.titles == ("item 8", "item 7")
    assert interactions.rating is None


def test_whole_ids_sort_as_numbers_but_leading_zeros_are_kept(tmp_path):
    def header(ids):
        return "user,item,timestamp\n" + "".join(f"{i},a,1\n" for i in ids)

    ids = lambda text: load("table", path=write(tmp_path, text))[0].user_ids.tolist()  # noqa: E731
    assert ids(header(["10", "9"])) == ["9", "10"]
    assert ids(header(["10", "007"])) == ["007", "10"]
    assert ids(header(["10", "NA"])) == ["10", "NA"]


def test_parquet_gives_the_same(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    import pandas as pd

    path = write(tmp_path, ROWS)
    pd.read_csv(path).to_parquet(tmp_path / "table.parquet")
    a, b = (load("table", path=p) for p in (path, tmp_path / "table.parquet"))
    assert a[1].titles == b[1].titles and a[1].categories == b[1].categories
    for name in ("user", "item", "timestamp", "user_ids", "item_ids", "rating"):
        np.testing.assert_array_equal(getattr(a[0], name), getattr(b[0], name))


def test_core_filter(tmp_path):
    rows = [f"{u},{i},{u + i}" for u in range(5) for i in range(5)] + ["9,9,1"]
    path = write(tmp_path, "user,item,timestamp\n" + "\n".join(rows))
    assert len(load("table", path=path)[0]) == 26
    assert len(load("table", path=path, core=5)[0]) == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("timestamp", "when"), r"no column 'timestamp' \(columns: user, item, when.*rename.*timestamp=\.\.\."),
        (("bob,x,20", "bob,x,"), "line 4: timestamp is missing"),
        (("bob,x,20", "bob,x,soon"), "line 4: timestamp 'soon' is not a time.*use seconds"),
        (("bob,x,20", "bob,x,-5"), "line 4: timestamp .* is negative"),
        (("bob,x,20", "bob,x,inf"), "line 4: timestamp 'inf' is not a time"),
        (("bob,x,20", "bob,x,0X20"), "line 4: timestamp '0X20' is not a time"),
        (("bob,x,20", "nan,x,20"), "line 4: user is missing"),
        (("bob,x,20", "-1,x,20"), "line 4: user is negative"),
        (("bob,x,20", "bob,,20"), "line 4: item is missing"),
        (("20,3,Blue", "20,good,Blue"), "line 4: rating is not a number.*rating=''"),
        ((ROWS.partition("\n")[2], ""), "has a header but no rows"),
    ],
)
def test_bad_tables_name_file_row_and_cure(tmp_path, change, message):
    with pytest.raises(DataError, match=r"table\.csv.*" + message):
        load("table", path=write(tmp_path, ROWS.replace(*change)))


def test_times_are_sorted_in_full_and_shown_in_seconds(tmp_path):
    rows = "".join(
        f"ann,{item},2024-05-01T00:00:00.{part}\n" for item, part in zip("abcd", ("9", "25", "250000001", "1"))
    )
    interactions, _ = load("table", path=write(tmp_path, "user,item,timestamp\n" + rows))
    assert interactions.item_ids.tolist() == ["d", "b", "c", "a"]
    assert interactions.timestamp.tolist() == [1714521600] * 4
    assert interactions.nanosecond.tolist() == [100_000_000, 250_000_000, 250_000_001, 900_000_000]
    assert not cases.tied_rows(interactions).any()
    train, validation, test = cases.time_point(interactions, (0.5, 0.75))
    assert (train.tolist(), validation.tolist(), test.tolist()) == ([0, 1], [2], [3])
    assert cases.take(interactions, test).nanosecond.tolist() == [900_000_000]


def test_whole_seconds_carry_no_nanoseconds(tmp_path):
    rows = "".join(f"ann,{item},2024-05-01T00:00:00.000\n" for item in "abc")
    interactions, _ = load("table", path=write(tmp_path, "user,item,timestamp\n" + rows))
    assert interactions.nanosecond is None and cases.tied_rows(interactions).all()


def test_a_cut_of_time_between_users_is_in_full_order(tmp_path):
    rows = "".join(f"u{n % 3},i{n},1600000000.{99 - n}\n" for n in range(12))  # one second: the last row is the first
    interactions, _ = load("table", path=write(tmp_path, "user,item,timestamp\n" + rows))
    train, _, test = cases.time_point(interactions, (0.5, 0.75))
    items = lambda rows: {interactions.item_ids[i] for i in interactions.item[rows]}  # noqa: E731
    assert items(train) == {f"i{n}" for n in range(6, 12)} and items(test) == {"i0", "i1", "i2"}


def test_the_summary_says_what_was_read_of_which_column(tmp_path):
    ratings = "userId,movieId,rating,timestamp\n1,10,4,100\n1,11,3,200\n1,10,5,300\n2,12,4,400\n"
    movies = "movieId,title,genres\n10,Heat (1995),Action|Crime\n11,Up,\n10,again,Drama\n99,Alien,Horror\n"
    path, items = write(tmp_path, ratings, "ratings.csv"), write(tmp_path, movies, "movies.csv")
    told = table.summary(path, items=items).value
    assert list(told.index[:8]) == ["file", "rows", "users", "items", "time", "unit of time", "repeats", "dropped"]
    assert told["file"] == "ratings.csv (text, separated by comma)" and told["rows"] == "4"
    assert told["users"] == "2" and told["items"] == "3" and told["repeats"].startswith("1 row")
    assert told["time"] == "1970-01-01T00:01:40 to 1970-01-01T00:06:40, UTC" and told["unit of time"] == "seconds"
    assert told["item"] == "column 'movieId'" and told["event"] == "none"
    assert told["title"] == "column 'title' of movies.csv: 2 of 3 items"
    assert told["category"] == "column 'genres' of movies.csv: 1 of 3 items" and told["brand"] == "none"
    assert told["notes"].startswith("all times lie in 1970: a counter, years or days?")
    assert told["items file"].startswith("movies.csv: 2 of 3 items found by 'movieId'; 1 repeated")


def test_the_summary_says_what_was_dropped_and_cut_off(tmp_path):
    log = "visitorid,itemid,timestamp,event\n" + "".join(
        f" u{n % 2} ,i{n % 3},{1600000000000 + n},{('view', 'buy')[n % 2]}\n" for n in range(8)
    )
    path = write(tmp_path, log, "log.csv")
    told = table.summary(path, events="view").value
    assert told["unit of time"] == "milliseconds, with fractions of a second" and told["dropped"] == "4 other events"
    assert told["notes"] == "visitorid: blanks around 2 ids were cut off; events: view 4, buy 4 (kept: view)"
    assert "view 4, buy 4 (all kept; events=... keeps some)" in table.summary(path).value["notes"]
    assert table.summary(path, core=3).value["dropped"] == "2 outside the 3-core"
    with pytest.raises(ValueError, match="no setting 'colour'; settings are user, item"):
        table.summary(path, colour="red")


def test_both_files_are_inputs(tmp_path):
    path, items = write(tmp_path, ROWS), write(tmp_path, "item,title\nx,Kite\n", "items.csv")
    before = inputs("table", path=path, items=items)
    assert list(before) == ["table.csv", "items.csv"] and before["table.csv"] == inputs("table", path=path)["table.csv"]
    write(tmp_path, "item,title\nx,Kites\n", "items.csv")
    after = inputs("table", path=path, items=items)
    assert after["items.csv"] != before["items.csv"] and after["table.csv"] == before["table.csv"]
    (tmp_path / "other").mkdir()
    same_name = write(tmp_path / "other", "item,title\nx,Kite\n")
    assert list(inputs("table", path=path, items=same_name)) == ["table.csv", "items: table.csv"]
    with pytest.raises(DataError, match="no.csv does not exist"):
        inputs("table", path=path, items=tmp_path / "no.csv")
    for ask in (load, inputs):
        with pytest.raises(DataError, match="dataset 'planted' has no items"):
            ask("planted", items=items)


def test_lines_are_those_of_an_editor(tmp_path):
    import io

    text = '\nuser,item,timestamp,"a\nb"\nann,x,1,"one\r\ntwo"\n\n  \nbob,y,2,""\r\ncid,z,3,"a ""b"",\n\n"\ndan,w,4,e'
    table_ = files.open_table(write(tmp_path, text))
    lines = io.StringIO(text, newline=None).read().split("\n")
    for row, user in enumerate(("ann", "bob", "cid", "dan")):
        assert lines[int(table_.where(row).removeprefix("line ")) - 1].startswith(user)
    assert table_.columns(["user"])["user"].to_pylist() == ["ann", "bob", "cid", "dan"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*[st.text(st.sampled_from('a1 ",;\n\r\t|\u00e9'), max_size=6)] * 3), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_a_csv_writer_wrote_is_read_back(rows, separator, end, all_quoted):
    import csv
    import io

    out = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting).writerows([("x", "y", "z"), *rows])
    assume(all_quoted or end == "\r\n" or not any("\r" in cell for row in rows for cell in row))  # not quoted by csv
    try:
        opened = open_text(Path("t.csv"), out.getvalue().encode())
        columns = opened.columns(["x", "y", "z"])
    except DataError as error:  # never in silence: a cell of lines that are rows is indeed ambiguous
        assert "look like rows" in str(error)
        return
    got = list(zip(*(columns[name].to_pylist() for name in "xyz")))
    assert got == [tuple(row) for row in rows]


@pytest.mark.parametrize("text", ["1600000000.25", "1600000000250", "1600000000250.0", "2020-09-13T12:26:40.25Z"])
def test_a_fraction_of_a_second_is_read_in_every_form(tmp_path, text):
    path = write(tmp_path, f"user,item,timestamp\nann,x,{text}\nann,y,{text}\n")
    found = load("table", path=path)[0]
    assert found.timestamp.tolist() == [1_600_000_000] * 2 and found.nanosecond.tolist() == [250_000_000] * 2


def test_seconds_end_with_the_century(tmp_path):
    rows = "user,item,timestamp\nann,w,1600000000\nann,x,1600000001\nann,y,"
    assert load("table", path=write(tmp_path, rows + "4102444799\n"))[0].timestamp.max() == 4_102_444_799
    with pytest.raises(DataError, match="4102444800' would be milliseconds"):
        load("table", path=write(tmp_path, rows + "4102444800\n"))


def test_a_year_after_1970_is_the_last_that_looks_like_a_counter(tmp_path):
    rows = "user,item,timestamp\nann,w,1\nann,x,"
    told = [table.summary(write(tmp_path, f"{rows}{t}\n")).value for t in (365 * 86_400 - 1, 365 * 86_400)]
    assert ["notes" in facts for facts in told] == [True, False]


def test_a_column_called_name_of_the_items_is_their_title_alone(tmp_path):
    path = write(tmp_path, "user,item,timestamp\nann,x,1600000000\nann,y,1600000001\n")
    items = write(tmp_path, "item,name,category\nx,Blue kite,toys\ny,Lamp,\n", "items.csv")
    catalogue = load("table", path=path, items=items)[1]
    assert catalogue.titles == ("Blue kite", "Lamp") and catalogue.brands == ("", "")
    assert catalogue.categories == (("toys",), ())


def test_the_commonest_six_events_are_shown(tmp_path):
    def told(n):
        rows = "".join(f"ann,i{k},160000000{k},{event}\n" for k, event in enumerate("aabbcdefg"[: n + 2]))
        return table.summary(write(tmp_path, "user,item,timestamp,event\n" + rows)).value["notes"]

    assert told(6) == "events: a 2, b 2, c 1, d 1, e 1, f 1 (all kept; events=... keeps some)"
    assert told(7) == "events: a 2, b 2, c 1, d 1, e 1, f 1, ... (all kept; events=... keeps some)"


def test_letters_of_several_bytes_at_the_edge_of_a_part(tmp_path, monkeypatch):
    good, path = "a\u00f1\u20ac\U0001f600\n" * 9, Path("t.csv")
    for size in (1, 2, 3, 5):
        monkeypatch.setattr(contents, "CHUNK", size)
        contents._check_utf8(path, good.encode())
        with pytest.raises(DataError, match="t.csv, line 10: is not UTF-8 .byte 0xf1"):
            contents._check_utf8(path, good.encode() + b"\xf1a")


@pytest.mark.parametrize(("kind", "bits"), [("float16", 11), ("float32", 24), ("float64", 53)])
def test_ids_of_a_float_are_read_as_long_as_it_tells_them_apart(tmp_path, kind, bits):
    import pandas as pd
    from pyarrow import feather

    def of(largest):
        path = tmp_path / "table.feather"
        item = np.array([1, 2, largest], dtype=kind)
        feather.write_feather(pd.DataFrame({"user": ["a"] * 3, "item": item, "timestamp": [1, 2, 3]}), path)
        return load("table", path=path)[0].item_ids.tolist()

    assert of(2**bits - 1) == ["1", "2", str(2**bits - 1)]
    with pytest.raises(DataError, match=f"is too large for a {kind[5:]}-bit float"):
        of(2**bits)


def test_numbers_may_be_texts_of_an_item(tmp_path):
    import pandas as pd

    path = tmp_path / "table.parquet"
    pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "timestamp": [1, 2], "brand": [7, 80]}).to_parquet(path)
    assert load("table", path=path)[1].brands == ("7", "80")
