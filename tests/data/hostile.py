"""Files that people bring, good and bad, and what reading each must give; run as a script it prints what each gives.

Every file is small and holds the word CANARY in cells that no message may show. An entry is what it is, how the file is
made, the keywords of ``data.load("table", ...)``, and what comes of it: a pattern of the message (``bad``), or the
counts and a look at what was read (``good``).
"""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

SECRET = "CANARY"
ROWS = [[f"u{u}", f"i{(u + k) % 5}", 1_600_000_000 + 10 * u + k, SECRET] for u in range(3) for k in range(4)]
HEADER = ["user", "item", "timestamp", "secret"]
COUNTS = (12, 3, 5)  # rows, users, items of ROWS
FRAME = pd.DataFrame(ROWS, columns=HEADER)


class Entry(NamedTuple):
    """What it is; function of a folder that makes the file (or file and keywords); keywords; pattern, counts, look."""

    name: str
    make: Callable
    keywords: dict
    message: str | None = None
    counts: tuple | None = None
    look: Callable | None = None
    seen: Any = None


ENTRIES: list[Entry] = []


def bad(name: str, make, message: str, **keywords) -> None:
    ENTRIES.append(Entry(name, make, keywords, message))


def good(name: str, make, counts=COUNTS, look=None, seen=None, **keywords) -> None:
    ENTRIES.append(Entry(name, make, keywords, None, counts, look, seen))


# how files are made


def file(content, name="table.csv", **others):
    """A file of bytes or text, and others beside it."""

    def make(folder: Path) -> Path:
        for other, text in {**others, name: content}.items():
            (folder / other.replace("_dot_", ".")).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder / name

    return make


def text(rows=ROWS, header=HEADER, separator=",", end="\n") -> str:
    lines = [header, *rows] if header else rows
    return end.join(separator.join(map(str, line)) for line in lines) + end


def cell(row: int, column: str, value) -> str:
    """ROWS as CSV with one cell changed; ``row`` is the line of an editor."""
    rows = [list(r) for r in ROWS]
    rows[row - 2][HEADER.index(column)] = value
    return text(rows)


def column(name: str, values) -> str:
    """ROWS as CSV with one column changed: a list, or a function of (number, value)."""
    rows = [list(r) for r in ROWS]
    place = HEADER.index(name)
    for n, row in enumerate(rows):
        row[place] = values(n, row[place]) if callable(values) else values[n]
    return text(rows)


def plus(name: str, values) -> str:
    """ROWS as CSV with one more column."""
    return text([[*row, values(n) if callable(values) else values] for n, row in enumerate(ROWS)], [*HEADER, name])


def parquet(name="table.parquet", **columns):
    """ROWS as Parquet with columns changed: lists, or pyarrow arrays."""

    def make(folder: Path) -> Path:
        table = {n: columns[n] if n in columns else FRAME[n].tolist() for n in dict.fromkeys([*HEADER, *columns])}
        pa.parquet.write_table(pa.table(table), folder / name)
        return folder / name

    return make


def json_lines(change=lambda n, row: row, name="table.jsonl", end="\n"):
    records = [change(n, dict(zip(HEADER, row))) for n, row in enumerate(ROWS)]
    return file(end.join(r if isinstance(r, str) else json.dumps(r) for r in records), name)


def zipped(*names: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in names:
            archive.writestr(name, text())
    return memory.getvalue()


def users(interactions, catalogue):
    return interactions.user_ids.tolist()


def times(interactions, catalogue):
    return interactions.timestamp[:2].tolist()


def sequence(interactions, catalogue):
    """Items of the first user, in order."""
    return [interactions.item_ids[i] for i in interactions.item[interactions.user == 0]]


def about(interactions, catalogue):
    return catalogue.titles[0], catalogue.brands[0], catalogue.categories[0]


PLAIN = text()
NUMBERS = list(range(12))

# the file itself
bad("no such file", lambda folder: folder / "table.csv", "table.csv does not exist; give the path")
bad("a folder", lambda folder: folder, "is a folder; give the path")
bad("a pipe", lambda folder: os.mkfifo(folder / "table.csv") or folder / "table.csv", "is no regular file")
bad("an empty file", file(""), "is empty; write a line with the column names")
bad("a byte order mark alone", file(b"\xef\xbb\xbf"), "blank lines only")
bad("blank lines alone", file("\n\n  \n"), "blank lines only")
bad("a header alone", file(text([])), "has a header but no rows")
bad("a header and blank lines", file(text([]) + "\n\n"), "has a header but no rows")
good("no line end at the end", file(PLAIN.rstrip()))
good("blank lines at the end", file(PLAIN + "\n\n"))
good("lines of blanks between", file(PLAIN.replace("u1,i1", "  \n\nu1,i1", 1)))

# what it is, whatever it is called
good("CSV called .CSV", file(PLAIN, "table.CSV"))
good("CSV called .txt", file(PLAIN, "table.txt"))
good("CSV without a suffix", file(PLAIN, "table"))
good("Parquet called .PARQUET", parquet("table.PARQUET"))
good("Parquet called .csv", parquet("table.csv"))
good("Parquet called .pq", parquet("table.pq"))
bad("CSV called .parquet", file(PLAIN, "table.parquet"), "does not begin as a parquet file does")
bad("half a Parquet file", lambda f: half(parquet()(f)), "is no whole Parquet file")
bad("Parquet with a byte changed", lambda f: spoiled(parquet()(f), -6), "is no whole Parquet file")
bad("the first bytes of Parquet alone", file(b"PAR1", "table.parquet"), "is no whole Parquet file")


def half(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def spoiled(path: Path, place: int) -> Path:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    return path


def feather(folder: Path, name="table.feather") -> Path:
    pa.feather.write_feather(pa.table(FRAME), folder / name)
    return folder / name


good("Feather", feather)
bad("half a Feather file", lambda f: half(feather(f)), "is no whole Feather file")
bad("a spreadsheet", file(zipped("xl/workbook.xml"), "table.xlsx"), "seems to be a spreadsheet.*save it there as CSV")
bad("a spreadsheet called .csv", file(zipped("xl/workbook.xml")), "seems to be a spreadsheet")
bad(
    "an OpenDocument sheet",
    file(zipped("mimetype").replace(b"user,item", b"application/vnd.oasis.opendocument.spreadsheet"), "t.ods"),
    "seems to be a",
)  # noqa: E501
bad(
    "an old Excel file",
    file(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "table.xls"),
    "an Excel file.*save it as CSV",
)
good("CSV called .xls", file(PLAIN, "table.xls"))
bad("a zip archive", file(zipped("table.csv"), "table.zip"), "a zip archive.*unpack it")
bad(
    "a tar archive",
    file(b"table.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(300), "t.tar"),
    "a tar archive.*unpack it",
)
bad("a pickle", file(pickle.dumps({"user": [SECRET]}), "table.pkl"), "a pickle.*can run code and are not read")
bad("a NumPy file", file(b"\x93NUMPY\x01\x00" + bytes(90), "t.npy"), "a NumPy array")
bad("an HDF5 file", file(b"\x89HDF\r\n\x1a\n" + bytes(90), "t.h5"), "an HDF5 file")
bad("an ORC file", file(b"ORC\x0a" + bytes(90), "t.orc"), "an ORC file")
bad("an Avro file", file(b"Obj\x01" + bytes(90), "t.avro"), "an Avro file")
bad("a PDF", file(b"%PDF-1.7\n" + bytes(90), "t.pdf"), "a PDF")
bad("a web page", file("<!DOCTYPE html><html>CANARY</html>"), "a web page or XML")
bad("XML", file("<?xml version='1.0'?><rows>CANARY</rows>", "t.xml"), "a web page or XML")
bad("random bytes", file(np.random.default_rng(0).bytes(3000)), "NUL byte|not UTF-8")
bad("NUL bytes in a cell", file(PLAIN.replace("u1", "u\x001", 1)), "line 6: holds a NUL byte")


def sqlite(folder: Path) -> Path:
    base = sqlite3.connect(folder / "table.db")
    FRAME.to_sql("rows", base, index=False)
    base.close()
    return folder / "table.db"


bad("an SQLite database", sqlite, "an SQLite database.*export the table as CSV")

# compressed
good("gzip", file(gzip.compress(PLAIN.encode()), "table.csv.gz"))
good("gzip called .csv", file(gzip.compress(PLAIN.encode())))
good("gzip twice", file(gzip.compress(gzip.compress(PLAIN.encode())), "table.csv.gz"))
good("gzip in two parts", file(gzip.compress(PLAIN[:100].encode()) + gzip.compress(PLAIN[100:].encode()), "table.gz"))
good("bzip2", file(bz2.compress(PLAIN.encode()), "table.csv.bz2"))
good("xz", file(lzma.compress(PLAIN.encode()), "table.csv.xz"))
good("zstd", file(pa.compress(PLAIN.encode(), "zstd", asbytes=True), "table.csv.zst"))
good("CSV called .gz", file(PLAIN, "table.csv.gz"))
good("Parquet in gzip", lambda f: packed(parquet()(f)))


def packed(path: Path) -> Path:
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


for suffix, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
    whole = pack((PLAIN * 9).encode())
    name = f"table.csv.{suffix}"
    bad(f"truncated {suffix}", file(whole[: len(whole) * 2 // 3], name), "ends early.*fetch it again")
    bad(f"{suffix} with bytes changed", file(whole[:40] + bytes(8) + whole[48:], name), "is damaged|ends early")
    bad(f"the first bytes of {suffix} alone", file(whole[:8], name), "ends early|is damaged")
whole = pa.compress((PLAIN * 9).encode(), "zstd", asbytes=True)
bad("truncated zstd", file(whole[: len(whole) // 2], "table.zst"), "ends early|is damaged")
bad("zstd with bytes changed", file(whole[:20] + bytes(8) + whole[28:], "table.zst"), "is damaged")
bad("gzip with an appendix", file(gzip.compress(PLAIN.encode()) + b"more", "table.gz"), "is damaged")
bad("a gigabyte-like line in a small gzip", file(gzip.compress(b"u" * 2**25), "t.gz"), "a line of more than 16 MiB")

# encodings and line ends
good("a byte order mark", file("\ufeff" + PLAIN))
for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
    good(f"{encoding}", file(PLAIN.encode(encoding)))
bad("half a character of UTF-16", file(PLAIN.encode("utf-16")[:-1]), "is no whole UTF-16 text")
bad(
    "Latin-1",
    file(PLAIN.replace("u1", "\u00e91", 1).encode("latin-1")),
    "line 6: is not UTF-8 .byte 0xe9; Latin-1.*save the",
)
good("UTF-8 ids", file(PLAIN.replace("u1", "\u00e9\u4e2d1")), look=users, seen=["u0", "u2", "\u00e9\u4e2d1"])
good("CR LF", file(text(end="\r\n")))
good("CR alone", file(text(end="\r")))
bad(
    "a bad time after CR LF",
    file(cell(7, "timestamp", "soon").replace("\n", "\r\n")),
    "line 7: timestamp 'soon' is not a time",
)
bad("a bad time after CR", file(cell(7, "timestamp", "soon").replace("\n", "\r")), "line 7: timestamp 'soon'")
bad("a bad time in UTF-16", file(cell(7, "timestamp", "soon").encode("utf-16")), "line 7: timestamp 'soon'")

# separators and header
for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
    good(f"{word} in a .csv", file(text(separator=separator)))
good("a .tsv with commas", file(PLAIN, "table.tsv"))
good("a .tsv", file(text(separator="\t"), "table.tsv"))
good("Excel's sep= line", file("sep=;\n" + text(separator=";")))
bad("a bad time behind Excel's sep= line", file("sep=,\n" + cell(3, "timestamp", "soon")), "line 4: timestamp 'soon'")
bad("two colons", file(text(separator="::")), "single column, fields seem to be separated by '::'")
bad("two colons without a header", file(text(header=None, separator="::"), "r.dat"), "separated by '::'")
bad("blanks", file(text(separator=" ")), "single column, fields seem to be separated by blanks")
bad("prose", file("This is no table.\nIt says CANARY.\n"), "single column")
bad("no header", file(text(header=None)), "no header line .its first line looks like data")
bad("no header, numbers only", file(text([[1, 2, 3, SECRET]] * 3, None)), "no header line")
bad(
    "no header, no numbers",
    file(text([["ann", "kite", "May 1st"], ["bob", "kite", "May 2nd"]], None)),
    "no header line",
)
bad("no header, semicolons", file(text(header=None, separator=";")), "no header line")
bad(
    "apostrophes around all cells",
    file("\n".join(",".join(f"'{c}'" for c in row) for row in [HEADER, *ROWS])),
    "line 1: cells seem to be quoted with '",
)
bad("a comment before the header", file("# made by CANARY\n" + PLAIN), "single column")
good("blank lines before the header", file("\n\n" + PLAIN))
bad(
    "a bad time behind blank lines",
    file("\n\n" + cell(3, "timestamp", "soon").replace("\nu0", "\n\nu0")),
    "line 7: timestamp",
)
good("blanks around the names", file(PLAIN.replace("user,item", " user , item")))
good("quoted names", file(PLAIN.replace("user,item", '"user","item"')))
good("names in capitals", file(PLAIN.replace("user,item,timestamp", "USER,Item,TimeStamp")))
good("an unnamed index column", file(text([[n, *r] for n, r in enumerate(ROWS)], ["", *HEADER])))
bad("two columns of one name", file(plus("user", "x")), "has 2 columns 'user'")
good("two columns of a name that is not used", file(plus("secret", "x")))
bad(
    "another name for the time",
    file(PLAIN.replace("timestamp", "when")),
    r"no column 'timestamp' .columns: user, item, when.*",
)
bad(
    "a header joined with the first row",
    file(PLAIN.replace("timestamp,secret\n", "when,secret")),
    "columns: user, item, when, secretu0, i0, ...",
)
bad("a name that is nearly right", file(PLAIN.replace("user", "user_nr")), "no column 'user'.*did you mean 'user_nr'")
bad(
    "a named column that is not there",
    file(PLAIN),
    "no column 'users'.*did you mean 'user'. Name it with user='user'",
    user="users",
)
bad("a name with other capitals", file(PLAIN), "no column 'USER'.*did you mean 'user'", user="USER")
bad(
    "four hundred columns",
    file(text([[*r[1:], *NUMBERS * 30] for r in ROWS], [f"c{n}" for n in range(363)])),
    "no column 'user'.*, \\.\\.\\.",
)
good("known names", file(text(header=["userId", "movieId", "timestamp", "x"])))
bad(
    "two columns that may be the user",
    file(text(header=["userId", "item", "timestamp", "customer"])),
    "'userId' and 'customer' may both hold the user; say which with user='userId'",
)  # noqa: E501
good("two such columns, one named", file(text(header=["userId", "item", "timestamp", "customer"])), user="userId")

# rows
bad(
    "a field too many in all rows",
    file(text([[*r, 1] for r in ROWS])),
    "line 2 has 5 fields, the header 4 .and 11 more",
)
bad("a field too many in one row", file(PLAIN.replace("u1,i1", "u1,x,i1", 1)), "line 6 has 5 fields, the header 4")
bad("a field too few in one row", file(PLAIN.replace("u1,i1", "u1", 1)), "line 6 has 3 fields, the header 4")
bad("a field too few, by tabs", file(text(separator="\t").replace("u1\ti1", "u1", 1), "t.tsv"), "line 6 has 3 fields")
bad("the last line cut", file(PLAIN[:-14]), "line 13 has 3 fields, the header 4")
bad(
    "other separators further down",
    file(PLAIN + text(header=None, separator=";")),
    "line 14 has 1 fields, the header 4",
)
bad("a second header further down", file(PLAIN + PLAIN), "line 14: timestamp 'timestamp' is not a time")
bad(
    "a field too many behind quotes with line breaks",
    file(PLAIN.replace("CANARY", '"CAN\nARY, too"') + "u9,i1,1600000000,a,b\n"),
    "line 26 has 5",
)  # noqa: E501
good("quotes with commas and line breaks", file(PLAIN.replace("CANARY", '"CAN\nARY, ""too"""')))
bad(
    "a bad time behind cells with line breaks",
    file(cell(5, "timestamp", "soon").replace("CANARY", '"CAN\n\nARY"')),
    "line 11: timestamp 'soon'",
)  # noqa: E501
good("all cells quoted", file("\n".join(",".join(f'"{c}"' for c in r) for r in [HEADER, *ROWS])))
good("inches in a cell", file(PLAIN.replace("CANARY", '12" CANARY')))
bad(
    "a quote that is never closed",
    file(PLAIN.replace("CANARY", '"CANARY', 1)),
    "line 2: a quotation mark opens a cell and none closes",
)
bad(
    "two stray quotes some rows apart",
    file(cell(4, "secret", '"CANARY')[:-7] + 'CANARY"\n'),
    "line 4: a quotation mark opens here and closes in line 13",
)  # noqa: E501
bad(
    "two stray quotes in rows that follow",
    file(cell(4, "secret", '"CANARY').replace("CANARY\nu1,i2", 'CANARY"\nu1,i2')),
    "line 4: .*closes in line 6|text stands behind",
)  # noqa: E501
bad(
    "text behind a closing quote",
    file(PLAIN.replace("CANARY", '"CANARY" x', 1)),
    "line 2: text stands behind the quotation mark",
)
bad(
    "a blank before a quote",
    file(PLAIN.replace(",CANARY", ', "CANARY"')),
    "line 2: a blank stands before a quotation mark",
)
good("prose with line breaks and commas", file(PLAIN.replace("CANARY", '"so, he said:\nthis, that, those"')))
good("a million characters in a cell", file(PLAIN.replace("CANARY", "CANARY" * 10**6, 1)))
good("a million quoted characters in a cell", file(PLAIN.replace("CANARY", '"' + "CANARY\n" * 10**6 + '"', 1)))

# ids
for value in ("", "  ", "nan", "NaN", "NULL", "null", "None", "<NA>", "\\N", '""'):
    bad(f"user {value!r}", file(cell(4, "user", value)), "line 4: user is missing")
good("user 'NA'", file(cell(4, "user", "NA")), (12, 4, 5), users, ["NA", "u0", "u1", "u2"])
bad("user -1", file(cell(4, "user", -1)), "line 4: user is negative")
bad("a missing item", file(cell(4, "item", "")), "line 4: item is missing")
good("whole numbers", file(column("user", lambda n, v: 9 + n % 3)), look=users, seen=["9", "10", "11"])
good("leading zeros", file(column("user", lambda n, v: f"{9 + n % 3:03d}")), look=users, seen=["009", "010", "011"])
good(
    "numbers beyond 64 bits",
    file(column("user", lambda n, v: 10**30 + n % 3)),
    look=users,
    seen=[str(10**30 + n) for n in range(3)],
)
good("12.0 throughout", file(column("user", lambda n, v: f"{n % 3}.0")), look=users, seen=["0", "1", "2"])
bad(
    "12 and 12.0",
    file(column("user", lambda n, v: f"{n % 3}" + ".0" * (n > 5))),
    "3 ids of column 'user' differ only as 12 and 12.0 do .line 2 and line 8",
)  # noqa: E501
bad(
    "ids that differ by a blank behind",
    file(column("user", lambda n, v: v + " " * (n % 2))),
    "3 ids of column 'user' differ only by blanks",
)
bad(
    "items that differ by a blank before",
    file(column("item", lambda n, v: " " * (n > 5) + v)),
    "ids of column 'item' differ only by blanks",
)
bad(
    "ids that differ by a no-break space",
    file(column("user", lambda n, v: v + "\u00a0" * (n % 2))),
    "3 ids of column 'user' differ only by",
)
good("blanks around all ids", file(column("user", lambda n, v: f" {v} ")), look=users, seen=["u0", "u1", "u2"])
bad(
    "one letter in two Unicode forms",
    file(column("user", lambda n, v: ["e\u0301", "\u00e9", "b"][n % 3])),
    "1 id of column 'user' differ only in the Unicode",
)  # noqa: E501
good("ids that differ by capitals", file(column("user", lambda n, v: "aAb"[n % 3])), look=users, seen=["A", "a", "b"])
bad(
    "numbers that a spreadsheet shortened",
    file(cell(4, "user", "1.23E+12")),
    "line 4: user is a number that was shortened",
)
good(
    "ids with commas, in quotes",
    file(column("user", lambda n, v: f'"{v},x"')),
    look=users,
    seen=["u0,x", "u1,x", "u2,x"],
)
good(
    "ids that are formulas", file(column("user", lambda n, v: f"={n % 3}+1")), look=users, seen=["=0+1", "=1+1", "=2+1"]
)

OWN = [n // 4 for n in NUMBERS]
for kind in ("int8", "int64", "uint8", "uint64"):
    good(f"{kind} ids", parquet(user=pa.array(OWN, kind)), look=users, seen=["0", "1", "2"])
good(
    "uint64 ids beyond int64",
    parquet(user=pa.array([2**63 + n for n in OWN], "uint64")),
    look=users,
    seen=[str(2**63 + n) for n in range(3)],
)
good("float ids that are whole", parquet(user=pa.array(OWN, "float64")), look=users, seen=["0", "1", "2"])
bad(
    "float ids with a fraction",
    parquet(user=pa.array([n / 2 for n in OWN], "float64")),
    "row 5.*: user is not a whole number",
)
bad(
    "float ids beyond 2**53",
    parquet(user=pa.array([2.0**60 + n for n in OWN])),
    "row 1.*user is too large for a 64-bit float",
)
bad("float32 ids beyond 2**24", parquet(user=pa.array([1e8] * 12, "float32")), "too large for a 32-bit float")
bad("NaN among float ids", parquet(user=pa.array([float("nan"), *OWN[1:]], "float64")), "row 1: user is missing")
bad("null among integer ids", parquet(user=pa.array([0, None, *OWN[2:]])), "row 2: user is missing")
bad("nothing but nulls", parquet(user=pa.nulls(12)), "row 1 .and 11 more.: user is missing")
bad("negative integer ids", parquet(user=pa.array([0, -1, *OWN[2:]])), "row 2: user is negative")
for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()):
    value = [f"u{n}" for n in OWN] if "string" in str(kind) else [f"u{n}".encode() for n in OWN]
    good(f"{kind} ids", parquet(user=pa.array(value, kind)), look=users, seen=["u0", "u1", "u2"])
good(
    "fixed-size binary ids",
    parquet(user=pa.array([b"u%d" % n for n in OWN], pa.binary(2))),
    look=users,
    seen=["u0", "u1", "u2"],
)
good(
    "categorical ids",
    parquet(user=pa.array([f"u{n}" for n in OWN]).dictionary_encode()),
    look=users,
    seen=["u0", "u1", "u2"],
)
good("categorical integer ids", parquet(user=pa.array(OWN).dictionary_encode()), look=users, seen=["0", "1", "2"])
good("decimal ids", parquet(user=pa.array([decimal.Decimal(n) for n in OWN])), look=users, seen=["0", "1", "2"])
bad(
    "binary ids that are no text",
    parquet(user=pa.array([b"\xff\xfe"] * 12)),
    "column 'user' holds binary, which is no text",
)
bad(
    "boolean ids",
    parquet(user=pa.array([True, False] * 6)),
    "column 'user' holds bool, which is no id; store it as text",
)
bad(
    "ids that are dates",
    parquet(user=pa.array([datetime.datetime(2024, 5, 1)] * 12)),
    "column 'user' holds timestamp.*no id",
)
bad("ids that are days", parquet(user=pa.array([datetime.date(2024, 5, 1)] * 12)), "column 'user' holds date32.*no id")
bad("ids that are lists", parquet(user=pa.array([["a"]] * 12)), "column 'user' holds list.*no id")
bad(
    "ids that are objects",
    parquet(user=pa.array([{"id": "a"}] * 12)),
    "no column 'user'.*did you mean 'user.id'. Name it with user=",
)
good(
    "ids in objects",
    parquet(user=pa.array([{"id": f"u{n}"} for n in OWN])),
    look=users,
    seen=["u0", "u1", "u2"],
    user="user.id",
)
good(
    "pandas' nullable and string types", lambda f: FRAME.convert_dtypes().to_parquet(f / "t.parquet") or f / "t.parquet"
)
good(
    "pandas' Arrow types",
    lambda f: FRAME.convert_dtypes(dtype_backend="pyarrow").to_parquet(f / "t.parquet") or f / "t.parquet",
)
good("the user as pandas' index", lambda f: FRAME.set_index("user").to_parquet(f / "t.parquet") or f / "t.parquet")

# times
DAY = "2020-09-13T12:26:"
good(
    "fractions of seconds",
    file(column("timestamp", lambda n, v: f"1600000000.{99 - n:02d}")),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)
good(
    "nanoseconds behind the point",
    file(column("timestamp", lambda n, v: f"1600000000.1234567{99 - n:02d}")),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)  # noqa: E501
good(
    "ISO dates with fractions",
    file(column("timestamp", lambda n, v: f"{DAY}00.{99 - n:02d}0Z")),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)
good(
    "ISO dates of nanoseconds",
    file(column("timestamp", lambda n, v: f"{DAY}00.1234567{99 - n:02d}")),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)  # noqa: E501
good(
    "ISO dates of different precision",
    file(column("timestamp", lambda n, v: [f"{DAY}01", f"{DAY}00.5", f"{DAY}00.25Z", "2020-09-13"][n % 4])),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)  # noqa: E501
good(
    "zones",
    file(column("timestamp", lambda n, v: f"2020-09-13T{12 + n % 4}:00:00+0{2 * (n % 4)}:00")),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)
good(
    "dates with a blank",
    file(column("timestamp", lambda n, v: f"2020-09-13 12:00:{n:02d}")),
    look=times,
    seen=[1599998400, 1599998401],
)
good("days", file(column("timestamp", lambda n, v: f"2020-09-{n + 1:02d}")), look=times, seen=[1598918400, 1599004800])
for unit, digits in (("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9)):
    good(
        f"{unit} throughout",
        file(column("timestamp", lambda n, v, d=digits: v * 10**d + 1)),
        look=times,
        seen=[1600000000, 1600000001],
    )
    bad(
        f"{unit} in one row",
        file(cell(5, "timestamp", 1600000003 * 10**digits)),
        f"line 5: timestamp '16000000030*' would be {unit} and most rows are seconds",
    )  # noqa: E501
good(
    "the order inside a second of milliseconds",
    file(column("timestamp", lambda n, v: 1600000000999 - n)),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)
bad(
    "seconds among milliseconds",
    file(column("timestamp", lambda n, v: v * (1000 if n else 1))),
    "line 2: timestamp '1600000000' would be seconds and most",
)
bad("dates among seconds", file(cell(5, "timestamp", "2020-09-13")), "line 5: timestamp '2020-09-13' is not a time")
bad(
    "seconds among dates",
    file(column("timestamp", lambda n, v: "2020-09-13" if n else v)),
    "line 2: timestamp '1600000000' is not a time",
)
bad("a missing time", file(cell(5, "timestamp", "")), "line 5: timestamp is missing")
bad("a time in words", file(cell(5, "timestamp", "last summer")), "line 5: timestamp 'last summer' is not a time")
bad(
    "9999-12-31",
    file(column("timestamp", lambda n, v: "2020-09-13" if n else "9999-12-31")),
    "line 2: timestamp '9999-12-31' (lies after 2100|is not a time)",
)
bad(
    "0001-01-01",
    file(column("timestamp", lambda n, v: "2020-09-13" if n else "0001-01-01")),
    "line 2: timestamp '0001-01-01' (lies before 1970|is not a)",
)
bad(
    "a date before 1970",
    file(column("timestamp", lambda n, v: "2020-09-13" if n else "1969-12-31")),
    "line 2: timestamp '1969-12-31' lies before 1970",
)
bad(
    "a date that does not exist",
    file(column("timestamp", lambda n, v: "2020-09-13" if n else "2023-02-30")),
    "line 2: timestamp '2023-02-30' is not a",
)
bad("negative seconds", file(cell(5, "timestamp", -5)), "line 5: timestamp .*is negative")
bad("negative fractions", file(cell(5, "timestamp", "-0.5")), "line 5: timestamp '-0.5' is negative")
bad("infinite seconds", file(cell(5, "timestamp", "inf")), "line 5: timestamp 'inf' is not a time")
bad(
    "seconds after 2100",
    file(column("timestamp", lambda n, v: 5 * 10**9 + n)),
    "line 2 .*timestamp .*5000000000.* is not a time between 1970 and 2100",
)
bad("twenty digits", file(cell(5, "timestamp", "9" * 20)), "line 5: timestamp '9+' is not a time|too large")
bad("nineteen digits", file(cell(5, "timestamp", "9" * 18)), "line 5: timestamp")
bad(
    "times that a spreadsheet shortened",
    file(column("timestamp", lambda n, v: "1.6E+09")),
    "line 2 .*timestamp '1.6E.09' is not a time",
)
bad(
    "a decimal comma",
    file(text([[r[0], r[1], f"{r[2]},5", SECRET] for r in ROWS], separator=";")),
    "line 2 .*timestamp '1600000000,5' is not a time",
)
bad(
    "days in American order",
    file(column("timestamp", lambda n, v: f"09/{n + 1:02d}/2020")),
    "line 2 .*timestamp '09/01/2020' is not a time.*2024-05-01",
)
bad(
    "dates like 20240501",
    file(column("timestamp", lambda n, v: 20240501 + n)),
    "dates such as 20240501 without a separator",
)
bad(
    "dates like 202405011230",
    file(column("timestamp", lambda n, v: 202405011230 + n)),
    "dates such as 20240501 without",
)
bad(
    "dates like 20240501123000",
    file(column("timestamp", lambda n, v: 20240501123000 + n)),
    "is not a time between|dates such as",
)
bad("hexadecimal times", file(column("timestamp", lambda n, v: hex(v))), "line 2 .*timestamp '0x5f.*' is not a time")
good("small counters", file(column("timestamp", lambda n, v: n)), look=times, seen=[0, 1])
good(
    "float seconds",
    parquet(timestamp=pa.array([1.6e9 + 0.5 - n / 64 for n in NUMBERS])),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)
bad(
    "float32 seconds",
    parquet(timestamp=pa.array([1.6e9] * 12, "float32")),
    "column 'timestamp' holds float, which is no time",
)
bad(
    "NaN among float seconds", parquet(timestamp=pa.array([float("nan"), *[1.6e9] * 11])), "row 1: timestamp is missing"
)
bad(
    "infinity among float seconds",
    parquet(timestamp=pa.array([float("inf"), *[1.6e9] * 11])),
    "row 1: timestamp is not finite",
)
for unit in ("s", "ms", "us", "ns"):
    good(
        f"timestamp[{unit}]",
        parquet(timestamp=pa.array([1600000000 + n for n in NUMBERS]).cast(pa.timestamp("s")).cast(pa.timestamp(unit))),
        look=times,
        seen=[1600000000, 1600000001],
    )  # noqa: E501
good(
    "timestamp with a zone",
    parquet(timestamp=pa.array(NUMBERS, pa.timestamp("ns", "Europe/Berlin"))),
    look=times,
    seen=[0, 0],
)
good("date32", parquet(timestamp=pa.array(NUMBERS, pa.int32()).cast(pa.date32())), look=times, seen=[0, 86400])
good(
    "decimal seconds",
    parquet(timestamp=pa.array([decimal.Decimal(f"1600000000.{99 - n}") for n in NUMBERS])),
    look=sequence,
    seen=["i3", "i2", "i1", "i0"],
)  # noqa: E501
bad(
    "timestamps after 2100",
    parquet(timestamp=pa.array([datetime.datetime(2200, 1, 1)] * 12, pa.timestamp("us"))),
    "row 1 .*timestamp 2200-01-01.*lies after 2100",
)  # noqa: E501
bad("uint64 far too large", parquet(timestamp=pa.array([2**64 - 1] * 12, "uint64")), "row 1 .*too large for a time")
bad("booleans as times", parquet(timestamp=pa.array([True] * 12)), "column 'timestamp' holds bool, which is no time")
bad(
    "times of the day",
    parquet(timestamp=pa.array([datetime.time(12)] * 12)),
    "column 'timestamp' holds time64.*no time",
)
bad(
    "durations", parquet(timestamp=pa.array([datetime.timedelta(1)] * 12)), "column 'timestamp' holds duration.*no time"
)

# ratings, texts, categories
good("ratings", file(plus("rating", 4.5)), look=lambda i, c: i.rating[0].item(), seen=4.5)
bad(
    "a rating in words",
    file(plus("rating", lambda n: "five" if n == 3 else 5)),
    "line 5: rating is not a number.*rating=''",
)
bad("a missing rating", file(plus("rating", lambda n: "" if n == 3 else 5)), "line 5: rating is not a number")
bad("an infinite rating", file(plus("rating", lambda n: "inf" if n == 3 else 5)), "line 5: rating is not a number")
good("a bad rating that is left out", file(plus("rating", "five")), look=lambda i, c: i.rating, seen=None, rating="")
good("HTML entities", file(plus("title", "Salt &amp; Pepper")), look=lambda i, c: c.titles[0], seen="Salt & Pepper")
good(
    "HTML entities in categories",
    file(plus("category", "Toys &amp; Games|&#39;A&#39;")),
    look=lambda i, c: c.categories[0],
    seen=("Toys & Games", "'A'"),
)  # noqa: E501
good("control characters in titles", file(plus("title", "a\x1b[31m b")), look=lambda i, c: c.titles[0], seen="a [31m b")
for shown, value in (
    ("Python's list", "\"['a', 'b']\""),
    ("JSON's list", '"[""a"", ""b""]"'),
    ("NumPy's list", "['a' 'b']"),
    ("bare list", '"[a, b]"'),
    ("bars", "a|b"),
):  # noqa: E501
    good(f"categories: {shown}", file(plus("category", value)), look=lambda i, c: c.categories[0], seen=("a", "b"))
good("categories: an empty list", file(plus("category", "[]")), look=lambda i, c: c.categories[0], seen=())
good(
    "categories: an apostrophe in a list",
    file(plus("category", '"[""Levi\'s"", \'b\']"')),
    look=lambda i, c: c.categories[0],
    seen=("Levi's", "b"),
)
bad(
    "categories: objects in a list",
    file(plus("category", "\"[{'id': 1, 'name': 'CANARY'}]\"")),
    "column 'category': categories are objects in a list",
)
good(
    "categories: lists in Parquet",
    parquet(category=[["a", None, "b"]] * 12),
    look=lambda i, c: c.categories[0],
    seen=("a", "b"),
)
good(
    "categories: lists in lists",
    parquet(category=[[["a", "b"], ["c"]]] * 12),
    look=lambda i, c: c.categories[0],
    seen=("a", "b", "c"),
)
for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string(), 2)):
    lists = pa.array([["a", "b"]] * 12, kind)
    good(f"categories: {kind}", parquet(category=lists), look=lambda i, c: c.categories[0], seen=("a", "b"))
bad("categories: a map", parquet(category=pa.array([[("a", 1)]] * 12, pa.map_(pa.string(), pa.int64()))), "holds map")
bad("UUIDs as ids", parquet(user=pa.array([bytes(16)] * 12, pa.binary(16)).cast(pa.uuid())), "column 'user' holds ext")
bad(
    "years beyond all calendars",
    parquet(timestamp=pa.array([2**60] * 12, pa.timestamp("us"))),
    "a date lies after 2100",
)
bad("years before all calendars", parquet(timestamp=pa.array([-(2**60)] * 12, pa.timestamp("us"))), "lies before 1970")
good("categories: numbers", parquet(category=pa.array([12.0] * 12)), look=lambda i, c: c.categories[0], seen=("12",))
bad(
    "categories: lists of objects",
    parquet(category=[[{"name": SECRET}]] * 12),
    "column 'category': categories are objects in a list",
)
bad("titles that are lists", parquet(title=[["a"]] * 12), "column 'title' holds list.*which is no text")
good("titles that are numbers", parquet(title=pa.array([1984.0] * 12)), look=lambda i, c: c.titles[0], seen="1984")
good("titles that are bytes", parquet(title=pa.array([b"Lamp"] * 12)), look=lambda i, c: c.titles[0], seen="Lamp")
bad("titles that are no UTF-8", parquet(title=pa.array([b"\xff"] * 12)), "column 'title' holds binary")
good(
    "a title of a review is not the item's",
    file(text([[*r, "so good", 1] for r in ROWS], [*HEADER, "title", "helpful_vote"])),
    look=lambda i, c: c.titles[0],
    seen="item i0",
)  # noqa: E501

# JSON
good("JSON lines", json_lines())
good("JSON lines called .csv", json_lines(name="table.csv"))
good("JSON lines with CR LF", json_lines(end="\r\n"))
good("a JSON list", file(json.dumps(FRAME.to_dict("records")), "table.json"))
good("a JSON list over many lines", file(json.dumps(FRAME.to_dict("records"), indent=1), "table.json"))
bad("a JSON object of columns", file(FRAME.to_json(), "table.json"), "no column 'user'")
bad(
    "one JSON object over many lines",
    file(json.dumps({"a": SECRET}, indent=1), "table.json"),
    "line 1: is no JSON object",
)
bad(
    "a broken JSON line",
    json_lines(lambda n, r: r if n != 4 else '{"user": "CANARY'),
    "line 5: is no JSON object from column",
)
bad("a JSON line that is a list", json_lines(lambda n, r: r if n != 4 else "[1]"), "line 5: is no JSON object")
bad(
    "a JSON list with a number in it",
    file(json.dumps([*FRAME.to_dict("records"), 1]), "table.json"),
    "row 13: is no JSON object",
)
bad("half a JSON list", file(json.dumps(FRAME.to_dict("records"))[:-80], "table.json"), "line 1: is no JSON")
bad("JSON without end", file("[" * 100_000, "table.json"), "is no JSON")
bad("a JSON line without a user", json_lines(lambda n, r: r if n != 4 else {"item": "a"}), "line 5: user is missing")
bad("a JSON line behind blank ones", json_lines(lambda n, r: r if n != 4 else "\n\n{}"), "line 7: user is missing")
good(
    "JSON ids that are numbers and texts",
    json_lines(lambda n, r: {**r, "user": [1, "1"][n % 2]}),
    (12, 1, 5),
    users,
    ["1"],
)
good(
    "JSON numbers beyond 64 bits",
    json_lines(lambda n, r: {**r, "user": 10**30 + n % 2}),
    (12, 2, 5),
    users,
    [str(10**30), str(10**30 + 1)],
)
bad(
    "JSON categories: an object in a list of texts",
    json_lines(lambda n, row: {**row, "category": ["a", {"x": 1}]}),
    "column 'category': categories are objects in a list",
)
bad(
    "JSON ids that are objects in some rows",
    json_lines(lambda n, r: {**r, "user": {"id": 1} if n == 4 else "a"}),
    "line 5: user is an object|user.id",
)
good(
    "JSON ids in objects",
    json_lines(lambda n, r: {**r, "user": {"id": r["user"]}}),
    look=users,
    seen=["u0", "u1", "u2"],
    user="user.id",
)
good(
    "JSON categories: lists and texts",
    json_lines(lambda n, r: {**r, "category": ["a", ["a"]][n % 2]}),
    look=lambda i, c: c.categories[0],
    seen=("a",),
)
bad(
    "JSON times that are lists",
    json_lines(lambda n, r: {**r, "timestamp": [1]}),
    "column 'timestamp' holds list.*no time",
)
good("JSON times as text", json_lines(lambda n, r: {**r, "timestamp": str(r["timestamp"])}))
good("half a surrogate pair", json_lines(lambda n, r: {**r, "user": "\ud800"}), (12, 1, 5), users, ["\\ud800"])

# a second file with items
MOVIES = "movieId,title,genres\n" + "".join(f'{n},"Film {n}, The (1995)",Adventure|Comedy\n' for n in range(9))
RATINGS = text(
    [[1 + n // 4, n % 5, 3.5, 1_600_000_000 + n] for n in NUMBERS], ["userId", "movieId", "rating", "timestamp"]
)


def with_items(ratings, items, name="ratings.csv", other="movies.csv"):
    def make(folder: Path):
        file(items, other)(folder)
        return file(ratings, name)(folder), {"items": folder / other}

    return make


FILM = ("Film 0, The (1995)", "", ("Adventure", "Comedy"))
good("MovieLens", with_items(RATINGS, MOVIES), look=about, seen=FILM)
good("items in a column of another name", with_items(RATINGS, MOVIES.replace("movieId", "id")), look=about, seen=FILM)
good(
    "items in a column that is named",
    with_items(RATINGS, MOVIES.replace("movieId", "nr")),
    look=about,
    seen=FILM,
    items_id="nr",
)
bad(
    "items that cannot be joined",
    with_items(RATINGS, MOVIES.replace("movieId", "nr")),
    "movies.csv has no column 'movieId' to join by",
)
bad(
    "items of another shop",
    with_items(RATINGS, MOVIES.replace("\n", "\nx")[:-1]),
    "none of the 5 items of .*ratings.csv stands in column 'movieId'",
)
bad("items without texts", with_items(RATINGS, "movieId,year\n1,1995\n"), "movies.csv has no title, brand or category")
bad(
    "a text column that neither file has",
    with_items(RATINGS, MOVIES),
    "movies.csv has no column 'store'",
    brand="store",
)
bad(
    "items: a row too long",
    with_items(RATINGS, MOVIES.replace("Comedy\n2", "Comedy,x\n2")),
    "movies.csv, line 3 has 4 fields, the header 3",
)
bad("items: a header alone", with_items(RATINGS, "movieId,title\n"), "movies.csv has a header but no rows")
bad("items: no such file", lambda f: (file(RATINGS)(f), {"items": f / "movies.csv"}), "movies.csv does not exist")
good("items: the first text of an item counts", with_items(RATINGS, MOVIES + "0,Other,Drama\n"), look=about, seen=FILM)
REVIEWS = [
    {
        "rating": 5.0,
        "title": f"{SECRET} loved it",
        "text": SECRET,
        "images": [],
        "asin": f"V{n}",
        "parent_asin": f"P{n % 5}",
        "user_id": f"U{n // 4}",
        "timestamp": 1_600_000_000_123 + n,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
    for n in NUMBERS
]  # noqa: E501
META = [
    {
        "main_category": "All Beauty",
        "title": f"Soap {n} &amp; more",
        "store": "Acme",
        "categories": ["Beauty", "Soap"],
        "details": {"Brand": "x"},
        "parent_asin": f"P{n}",
        "price": None,
    }
    for n in range(5)
]  # noqa: E501
dump = lambda records: "\n".join(map(json.dumps, records))  # noqa: E731
SOAP = ("Soap 0 & more", "Acme", ("Beauty", "Soap"))
good("Amazon 2023", with_items(dump(REVIEWS), dump(META), "reviews.jsonl", "meta.jsonl"), look=about, seen=SOAP)
good("Amazon 2023 without metadata", file(dump(REVIEWS), "reviews.jsonl"), look=about, seen=("item P0", "", ()))
good("Amazon 2023: milliseconds", file(dump(REVIEWS), "reviews.jsonl"), look=times, seen=[1600000000, 1600000000])
INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(
    f"{n // 4}\t{n % 5}\t4\t{9e8 + n:.1f}\n" for n in NUMBERS
)
ITEM = "item_id:token\tmovie_title:token_seq\tclass:token_seq\n" + "".join(
    f'{n}\t"Weird" Film\tAction Sci-Fi\n' for n in range(5)
)
good(
    "RecBole",
    with_items(INTER, ITEM, "ml.inter", "ml.item"),
    look=about,
    seen=('"Weird" Film', "", ("Action", "Sci-Fi")),
)
good("RecBole with its names", file(INTER, "ml.inter"), user="user_id", item="item_id")
LOG = text(
    [
        [f"2019-10-01 00:00:{n:02d} UTC", ["view", "view", "cart", "purchase"][n % 4], n // 6, 7 + n // 4, f"s{n}"]
        for n in NUMBERS
    ],
    ["event_time", "event_type", "product_id", "user_id", "user_session"],
)  # noqa: E501
good("a session log", file(LOG), (12, 3, 2))
good("a session log, purchases only", file(LOG), (3, 3, 2), events="purchase")
good("a session log, carts and purchases", file(LOG), (6, 3, 2), events="cart|purchase")
bad(
    "a session log, an event that is none",
    file(LOG),
    "no row has event 'buy' .events: view 6, cart 3, purchase 3",
    events="buy",
)
bad("events without such a column", file(PLAIN), "no column 'event'", events="buy")

# settings
bad("a core that leaves nobody", file(PLAIN), "no interaction is left after the filters", core=9)
bad("a core that is no number", file(PLAIN), "core must be a whole number of at least 0, got '5'", core="5")
bad("a negative core", file(PLAIN), "core must be a whole number", core=-1)
bad("a column that is a number", file(PLAIN), "user must be a text, got 3", user=3)
bad("one column for user and item", file(PLAIN), "user and item are both column 'item'", user="item")
bad("one column for user and time", file(PLAIN), "user and timestamp are both column 'user'", timestamp="user")
bad("no column for the user", file(PLAIN), "user must name a column of .*table.csv, got ''", user="")


def outcome(entry: Entry, folder: Path) -> tuple[str, Any]:
    """What comes of an entry: "" and (interactions, catalogue), or the message and None."""
    from contrec import data

    made = entry.make(folder)
    path, keywords = made if isinstance(made, tuple) else (made, {})
    try:
        return "", data.load("table", path=path, **{**entry.keywords, **keywords})
    except ValueError as error:  # nothing else may escape
        return str(error).replace(str(folder), "").lstrip("/"), None


def main() -> None:
    import tempfile

    for entry in ENTRIES:
        with tempfile.TemporaryDirectory() as folder:
            message, found = outcome(entry, Path(folder))
        if found is not None:
            message = f"read: {len(found[0])} rows, {found[0].n_users} users, {found[0].n_items} items"
        print(f"| {entry.name} | {message} |")
    print(f"{len(ENTRIES)} files")


if __name__ == "__main__":
    main()
