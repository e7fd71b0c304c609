import numpy as np
import pytest

from contrec.data import DataError, load, split

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
        (("bob,x,20", "bob,x,"), "row 4: timestamp is missing"),
        (("bob,x,20", "bob,x,soon"), "row 4: timestamp is not a time; use seconds"),
        (("bob,x,20", "bob,x,-5"), "row 4: timestamp is negative"),
        (("bob,x,20", "bob,x,inf"), "row 4: timestamp is not finite"),
        (("bob,x,20", "nan,x,20"), "row 4: user is missing"),
        (("bob,x,20", "-1,x,20"), "row 4: user is negative"),
        (("bob,x,20", "bob,,20"), "row 4: item is missing"),
        (("20,3,Blue", "20,good,Blue"), "row 4: rating is not a number.*rating=None"),
        ((ROWS.partition("\n")[2], ""), "has a header but no rows"),
    ],
)
def test_bad_tables_name_file_row_and_cure(tmp_path, change, message):
    with pytest.raises(DataError, match=r"table\.csv.*" + message):
        load("table", path=write(tmp_path, ROWS.replace(*change)))


def test_unreadable_files(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load("table", path=tmp_path / "no.csv")
    with pytest.raises(DataError, match="is a folder; give the path of a .csv"):
        load("table", path=tmp_path)
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match="cannot be read as a table.*UTF-8"):
        load("table", path=path)
    path.write_text("")
    with pytest.raises(DataError, match="cannot be read as a table"):
        load("table", path=path)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read|pyarrow"):
        load("table", path=tmp_path / "bad.parquet")
