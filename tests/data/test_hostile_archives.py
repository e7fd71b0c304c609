"""Whatever an archive or list holds, reading it ends in one DataError that names the file, in bounded memory."""

import gzip
import importlib.util
import random
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from contrec.data import DataError, archives
from contrec.data.archives import LINE_BYTES, MEMBER_BYTES, Record, read_json_lines, read_member

_spec = importlib.util.spec_from_file_location("hostile_archives", Path(__file__).with_name("hostile_archives.py"))
hostile_archives = sys.modules["hostile_archives"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile_archives)
HOSTILE = hostile_archives.HOSTILE


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda h: h.what)
def test_one_message_that_names_file_line_and_cure(hostile, tmp_path):
    said = hostile_archives.message(hostile, tmp_path)
    assert said.startswith(hostile.file), said
    assert said.endswith("fetch it again") and "\n" not in said and len(said) < 250, said
    if hostile.line is not None:
        assert said.startswith(f"{hostile.file}, line {hostile.line}: "), said
    assert not {"Acme", "A thing"} & set(said.split()), "a message holds no data"


@pytest.mark.parametrize("what", ["file: not gzip", "list: a header alone", "sequences: empty", "zip: empty"])
def test_damaged_anywhere_is_read_or_told(what, tmp_path):
    """Bytes changed, cut or put in at random places of good files: never another exception."""
    hostile = next(h for h in HOSTILE if h.what == what)
    path = tmp_path / hostile.file
    if path.suffix == ".zip":
        hostile_archives.make_zip(**hostile_archives.LASTFM)(path)
    lines = {
        "reviews.json.gz": gzip.compress(hostile_archives.GOOD * 9),
        "user_list.txt": b"org_id remap_id\nA 0\nB 1\n",
    }
    good = lines.get(path.name) or (path.read_bytes() if path.exists() else b"0 1 2\n1 3 0\n")
    draw = random.Random(7)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            at, change = draw.randrange(len(data) + 1), draw.choice(("set", "cut", "put"))
            data[at : at + (change != "put") * draw.choice((1, 1, 9))] = draw.randbytes(change != "cut")
        path.write_bytes(data)
        try:
            hostile.read(path)
        except DataError as error:
            assert str(error).startswith(str(path))


def test_a_line_of_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.json.gz"
    block = gzip.compress(b" " * 2**24)
    path.write_bytes(gzip.compress(b'{"a": "') + block * 64)  # one megabyte: a line of a gigabyte
    tracemalloc.start()
    with pytest.raises(DataError, match="line 1: is longer than 1,048,576 bytes"):
        list(read_json_lines(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * LINE_BYTES


def test_a_member_that_holds_more_than_it_declares_is_told(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", bytes(10**6))
    small = (10).to_bytes(4, "little")
    data = path.read_bytes().replace((10**6).to_bytes(4, "little"), small)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"bomb.zip \(member\): cannot be read \(Bad CRC-32"):
        read_member(path, "member")


def test_a_table_of_megabytes_of_ids_is_told(tmp_path):
    """One id of a megabyte would make an array of as much for every item."""
    path = tmp_path / "reviews.json.gz"
    path.write_bytes(hostile_archives.lines(hostile_archives.REVIEW | {"asin": "i" * 1_000_000}))
    with pytest.raises(DataError, match="line 1: asin must be an id .* got text of 1000000 characters"):
        hostile_archives.reviews(path)


def test_limits_are_far_above_the_real_files():
    assert LINE_BYTES > 100 * 9_000 and MEMBER_BYTES > 2 * 24_594_131  # origin: the longest line, ML-1M's ratings.dat


def test_a_disk_that_fails_in_the_middle_is_one_message(tmp_path, monkeypatch):
    class Failing:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def readline(self, _size, _lines=[b'{"a": 1}\n']):
            if not _lines:
                raise OSError(5, "Input/output error")
            return _lines.pop()

    monkeypatch.setattr(archives.gzip, "open", lambda *_: Failing())
    with pytest.raises(DataError, match=r"a\.json\.gz cannot be read \(Input/output error\); make it readable"):
        list(read_json_lines(tmp_path / "a.json.gz"))


def test_good_files_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf{\"a\": true}\r\n\n{'a': ['x', None]}")  # a byte-order mark, no last line end
    assert [(r.line, r.fields) for r in read_json_lines(path)] == [(1, {"a": True}), (3, {"a": ["x", None]})]
    path = tmp_path / "a.zip"
    hostile_archives.make_zip(member="text")(path)
    assert read_member(path, "member") == "text"


def test_the_table_prints(capsys, monkeypatch):
    monkeypatch.setattr(hostile_archives, "HOSTILE", HOSTILE[:2])
    hostile_archives.main()
    assert capsys.readouterr().out.count("is no JSON object") == 2


def test_values_at_the_edges_of_what_a_record_may_hold():
    def record(value):
        return Record(Path("f.json"), 7, {"x": value})

    assert record("a" * 100).identifier("x") == "a" * 100
    for value, got in (
        ("a" * 101, "text of 101 characters"),
        ("", "text of 0 characters"),
        (3, "3"),
        (None, "nothing"),
    ):
        with pytest.raises(DataError, match=f"f.json, line 7: x must be an id .*, got {got};"):
            record(value).identifier("x")
    assert record(5).number("x", 1, 5) == 5 and record(1).number("x", 1, 5) == 1
    for value, got in ((6, "6"), (10**18, "a value of type int"), (10**18 - 1, str(10**18 - 1)), (0.5, "0.5")):
        with pytest.raises(DataError, match=f"x must be a whole number from 1 to 5, got {got};"):
            record(value).number("x", 1, 5, whole=True)
    assert [record(v).flag("x") for v in (0, 1, True, False, None)] == [False, True, True, False, False]
