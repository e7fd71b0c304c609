"""Archives and lists that are not what they should be: what each is, and how it is made and read.

``python tests/data/hostile_archives.py`` prints what each gets as a table. Each must get one DataError that names the
file, says what is wrong and how to cure it (``test_hostile_archives.py``).
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contrec.data import DataError, amazon, lastfm, movielens, released
from contrec.data.archives import LINE_BYTES, MEMBER_BYTES


class Hostile(NamedTuple):
    """``file`` with ``content``, read by ``read``; the message names ``line`` (None: the file as a whole)."""

    what: str
    file: str
    content: bytes | Callable[[Path], None]
    read: Callable[[Path], object]
    line: int | None = None


REVIEW = {"reviewerID": "A", "asin": "i1", "unixReviewTime": 1_300_000_000, "overall": 5.0, "verified": True}
ITEM = {"asin": "i1", "title": "A thing", "brand": "by Acme", "categories": [["Games", "PC"]]}
DEEP = 100_000


def reviews(path: Path):
    return amazon.read_reviews(path)


def items(path: Path):
    return amazon.read_catalogue(path, np.array(["i1", "i2"]))


def people(path: Path):
    return released.read_list(path)


def titles(path: Path):
    return released.read_list(path, ("title", "category"))


def sequences(path: Path):
    return released.read_sequences(path, 3, 4)


def lines(*records) -> bytes:
    """Compressed lines: records as JSON, text as it is."""
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records)
    return gzip.compress(text.encode("utf-8", "surrogatepass"), 1)


def review(what: str, **fields) -> Hostile:
    """A second review in which these fields are other ones; None leaves a field out."""
    bad = {k: v for k, v in (REVIEW | fields).items() if v is not None}
    return Hostile(f"review: {what}", "reviews.json.gz", lines(REVIEW, bad), reviews, 2)


def item(what: str, **fields) -> Hostile:
    bad = {k: v for k, v in (ITEM | {"asin": "i2"} | fields).items() if v is not None}
    return Hostile(f"metadata: {what}", "meta.json.gz", lines(ITEM, bad), items, 2)


def second(what: str, line: str | bytes) -> Hostile:
    """A second line that is no record."""
    first = json.dumps(REVIEW).encode() + b"\n"
    content = gzip.compress(first + (line if isinstance(line, bytes) else line.encode()), 1)
    return Hostile(f"line: {what}", "reviews.json.gz", content, reviews, 2)


def table(what: str, text: str | bytes, line: int | None, read=people) -> Hostile:
    content = text if isinstance(text, bytes) else text.encode()
    return Hostile(f"list: {what}", "item_list.txt" if read is titles else "user_list.txt", content, read, line)


def sequence(what: str, text: str | bytes, line: int | None = 2) -> Hostile:
    content = text if isinstance(text, bytes) else text.encode()
    return Hostile(f"sequences: {what}", "test.txt", content, sequences, line)


def sample(what: str, text: str, line: int) -> Hostile:
    read = lambda path: amazon.read_reviews(path, amazon.sample_records(path))  # noqa: E731
    return Hostile(f"sample: {what}", "sample.csv", text.encode(), read, line)


def _folder(path: Path) -> None:
    path.mkdir()


def make_zip(**members) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.items():
                archive.writestr(name, text)

    return make


LASTFM = {
    "user_taggedartists-timestamps.dat": "userID\tartistID\ttagID\ttimestamp\r\n1\t2\t3\t1000\r\n",
    "tags.dat": "tagID\ttagValue\r\n3\trock\r\n",
}


def tagged(what: str, line: int | None, **changed) -> Hostile:
    """LastFM's archive with one member changed; None takes it out."""
    names = {"times": "user_taggedartists-timestamps.dat", "tags_dat": "tags.dat"}
    members = LASTFM | {names[name]: text for name, text in changed.items()}
    made = make_zip(**{name: text for name, text in members.items() if text is not None})
    return Hostile(f"zip: {what}", "lastfm.zip", made, lastfm.read_pairs, line)


def _patched(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A good archive of LastFM, its bytes changed."""

    def make(path: Path) -> None:
        make_zip(**LASTFM)(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def broken(what: str, change: Callable[[bytes], bytes]) -> Hostile:
    return Hostile(f"zip: {what}", "lastfm.zip", _patched(change), lastfm.read_pairs)


def _everywhere(field: int, value: bytes) -> Callable[[bytes], bytes]:
    """Write ``value`` at an offset of every entry of the central directory (and of the local headers, 2 before)."""

    def change(data: bytes) -> bytes:
        out = bytearray(data)
        for mark, offset in ((b"PK\x01\x02", field), (b"PK\x03\x04", field - 2)):
            at = data.find(mark)
            while at >= 0:
                out[at + offset : at + offset + len(value)] = value
                at = data.find(mark, at + 1)
        return bytes(out)

    return change


def _sizes(data: bytes) -> bytes:
    """A directory that declares every member to have ``MEMBER_BYTES`` + 1 bytes."""
    out, at = bytearray(data), data.find(b"PK\x01\x02")
    while at >= 0:
        out[at + 24 : at + 28] = (MEMBER_BYTES + 1).to_bytes(4, "little")
        at = data.find(b"PK\x01\x02", at + 1)
    return bytes(out)


def rated(what: str, ratings: str) -> Hostile:
    return Hostile(f"MovieLens: {what}", "ml.zip", make_zip(**{"ml-1m/ratings.dat": ratings}), movielens.read_ratings)


def filmed(what: str, movies: str) -> Hostile:
    return Hostile(f"movies: {what}", "ml.zip", make_zip(**{"ml-1m/movies.dat": movies}), movielens.read_movies, 1)


GOOD = json.dumps(REVIEW).encode() + b"\n"
HEAD = "org_id remap_id\n"
SAMPLE_HEAD = "row,reviewerID,asin,overall,verified,unixReviewTime\n"
WIDE = "org_id remap_id title category\n"

HOSTILE = [
    # lines that are no record
    second("a list", '["reviewerID", "asin"]'),
    second("a number", "12"),
    second("a text", '"A"'),
    second("null", "null"),
    second("NaN", "NaN"),
    second("cut in the middle", '{"reviewerID": "A", "asi'),
    second("two records", '{"asin": "a"} {"asin": "b"}'),
    second("a page", "<html><body>moved</body></html>"),
    second("comma-separated", "A,i1,5.0,1300000000"),
    second("code", "{'asin': __import__('os').getcwd()}"),
    second("a literal with a list as key", "{['a']: 1}"),
    second("a set", "{'a', 'b'}"),
    second("bytes", "b'abc'"),
    second("an unknown escape", '{"asin": "\\q", "x": tru}'),
    second("a NUL", '{"asin": "a\0"}'),
    second("NULs alone", "\0" * 100),
    second("lists, nested too deeply", "[" * DEEP),
    second("closed lists, nested too deeply", "[" * DEEP + "]" * DEEP),
    second("objects, nested too deeply", '{"a":' * DEEP),
    second("a literal, nested too deeply", "{'a': " * 5000 + "1" + "}" * 5000),
    second("signs, nested too deeply", "-" * DEEP + "1"),
    second("a sum, nested too deeply", "1" + "+1" * DEEP),
    second("a number of 5,000 digits", '{"overall": ' + "9" * 5000 + "}"),
    second("Latin-1", '{"reviewerID": "Andr\xe9"}'.encode("latin-1")),
    second("UTF-16", '{"asin": "a"}'.encode("utf-16")),
    second("one line of 20 MB", b'{"reviewerID": "' + b"A" * 20_000_000),
    second("half a line too long", b" " * (LINE_BYTES + 1)),
    Hostile("first line in UTF-16", "reviews.json.gz", gzip.compress('{"a": 1}'.encode("utf-16")), reviews, 1),
    # files that are no file of lines
    Hostile("file: empty", "reviews.json.gz", b"", reviews),
    Hostile("file: an empty gzip", "reviews.json.gz", gzip.compress(b""), reviews),
    Hostile("file: blank lines alone", "reviews.json.gz", gzip.compress(b"\n \n\n"), reviews),
    Hostile("file: not gzip", "reviews.json.gz", GOOD * 3, reviews),
    Hostile("file: a zip", "reviews.json.gz", b"PK\x03\x04" + bytes(100), reviews),
    Hostile("file: gzip, cut", "reviews.json.gz", gzip.compress(GOOD * 5000, 1)[:-200], reviews),
    Hostile("file: gzip, cut in its header", "reviews.json.gz", gzip.compress(GOOD)[:7], reviews),
    Hostile("file: gzip, a wrong checksum", "reviews.json.gz", gzip.compress(GOOD)[:-8] + bytes(8), reviews),
    Hostile("file: gzip, bytes changed", "reviews.json.gz", gzip.compress(GOOD)[:12] + b"\xff" * 20, reviews),
    Hostile("file: gzip, followed by rubbish", "reviews.json.gz", gzip.compress(GOOD) + b"rubbish", reviews),
    Hostile("file: a folder", "reviews.json.gz", _folder, reviews),
    Hostile("file: not there", "reviews.json.gz", lambda _: None, reviews),
    Hostile("file: metadata, a folder", "meta.json.gz", _folder, items),
    # reviews with wrong fields
    review("no user", reviewerID=None),
    review("a list as user", reviewerID=["A"]),
    review("a number as user", reviewerID=12),
    review("an empty user", reviewerID=""),
    review("a user with a line break", reviewerID="A\nB"),
    review("a user of 5,000 characters", reviewerID="A" * 5000),
    review("a user of half a surrogate pair", reviewerID="\ud800"),
    review("no item", asin=None),
    review("an object as item", asin={"id": "i1"}),
    review("no time", unixReviewTime=None),
    review("a text as time", unixReviewTime="2011-03-13"),
    review("digits as time", unixReviewTime="1300000000"),
    review("a list as time", unixReviewTime=[1]),
    review("a negative time", unixReviewTime=-1),
    review("time zero", unixReviewTime=0),
    review("milliseconds", unixReviewTime=1_300_000_000_000),
    review("half a second", unixReviewTime=1_300_000_000.5),
    review("NaN as time", unixReviewTime=float("nan")),
    review("infinity as time", unixReviewTime=float("inf")),
    review("a time of 60 digits", unixReviewTime=10**60),
    review("true as time", unixReviewTime=True),
    review("a text as rating", overall="five"),
    review("a list as rating", overall=[5]),
    review("NaN as rating", overall=float("nan")),
    review("a rating of 50", overall=50),
    review("a text as verified", verified="false"),
    review("a list as verified", verified=[]),
    review("a text as overall_gt3", overall=None, overall_gt3="1"),
    second("a number of a million bits", "{'reviewerID': 'A', 'asin': 'i', 'unixReviewTime': 0x" + "f" * 250_000 + "}"),
    # the sample of Software
    sample("no header", "0,A,07,4.0,False,20\n", 1),
    sample("a word as rating", SAMPLE_HEAD + "0,A,07,four,False,20\n", 2),
    sample("a word as time", SAMPLE_HEAD + "0,A,07,4.0,False,now\n", 2),
    sample("a word as verified", SAMPLE_HEAD + "0,A,07,4.0,maybe,20\n", 2),
    sample("no user", SAMPLE_HEAD + "0,,07,4.0,False,20\n", 2),
    sample("a cell too few", SAMPLE_HEAD + "0,A,07,4.0,False\n", 2),
    sample("NaN as rating", SAMPLE_HEAD + "0,A,07,nan,False,20\n", 2),
    # metadata with wrong fields
    item("no id", asin=None),
    item("a list as id", asin=["i2"]),
    item("a number as id", asin=2),
    item("a list as title", title=["A", "thing"]),
    item("an object as title", title={"en": "A thing"}),
    item("a number as title", title=7),
    item("a list as brand", brand=["Acme"]),
    item("true as brand", brand=True),
    item("a text as categories", categories="Games"),
    item("a list of texts as categories", categories=["Games", "PC"]),
    item("numbers as categories", categories=[[1, 2]]),
    item("an object as categories", categories={"a": "b"}),
    item("a text as category", categories=None, category="Games"),
    item("lists as category", categories=None, category=[["Games"]]),
    item("a number as category", categories=None, category=3),
    # user and item lists
    table("empty", "", None),
    table("a header alone", HEAD, None),
    table("no header", "U0 0\nU1 1\n", 1),
    table("no remap_id", "org_id number\nU0 0\n", 1),
    table("commas", "org_id,remap_id\nU0,0\n", 1),
    table("no title", HEAD + "a 0\n", 1, titles),
    table("no category", "org_id remap_id title\na 0 A\n", 1, titles),
    table("a cell too many", HEAD + "U0 0\nU1 1 x\n", 3),
    table("a cell too few", HEAD + "U0 0\nU1\n", 3),
    table("remap_id a text", HEAD + "U0 0\nU1 one\n", 3),
    table("remap_id a fraction", HEAD + "U0 0\nU1 1.0\n", 3),
    table("remap_id negative", HEAD + "U0 0\nU1 -1\n", 3),
    table("remap_id of other digits", HEAD + "U0 0\nU1 \u0661\n", 3),
    table("remap_id with an underscore", HEAD + "U0 0\nU1 1_0\n", 3),
    table("remap_id twice", HEAD + "U0 0\nU1 0\n", 3),
    table("remap_id with a gap", HEAD + "U0 0\nU1 2\n", None),
    table("remap_id of 30 digits", HEAD + "U0 0\nU1 " + "1" * 30 + "\n", 3),
    table("org_id twice", HEAD + "U0 0\nU0 1\n", 3),
    table("org_id empty", HEAD + 'U0 0\n"" 1\n', 3),
    table("org_id of 9,000 characters", HEAD + "U0 0\n" + "U" * 9000 + " 1\n", 3),
    table("a quotation mark left open", WIDE + 'a 0 "A" x\nb 1 "B x\nc 2 "C" x\n', 4, titles),
    table("a quotation mark that closes early", WIDE + 'a 0 "A"b x\n', 2, titles),
    table("a title of 200,000 characters", WIDE + "a 0 " + "A" * 200_000 + " x\n", 2, titles),
    table("a line of 2 MB", HEAD + "U" * 2_000_000 + " 0\n", 2),
    table("Latin-1", WIDE.encode() + "a 0 Andr\xe9 x\n".encode("latin-1"), 2, titles),
    table("a NUL", HEAD + "U\0 0\n", 2),
    table("NULs alone", b"\0" * 100, 1),
    Hostile("list: a folder", "user_list.txt", _folder, people),
    # sequences
    sequence("empty", "", None),
    sequence("a word", "0 1 2\n1 x\n"),
    sequence("a user alone", "0 1 2\n1\n"),
    sequence("a negative item", "0 1 2\n1 -1\n"),
    sequence("a negative user", "0 1 2\n-1 1\n"),
    sequence("an item that is not listed", "0 1 2\n1 4\n"),
    sequence("a user that is not listed", "0 1 2\n3 1\n"),
    sequence("an item of 30 digits", "0 1 2\n1 " + "9" * 30 + "\n"),
    sequence("a fraction", "0 1 2\n1 1.5\n"),
    sequence("NaN", "0 1 2\n1 nan\n"),
    sequence("an underscore", "0 1 2\n1 1_0\n"),
    sequence("other digits", "0 1 2\n1 \u0661\n"),
    sequence("commas", "0 1 2\n1,2,3\n"),
    sequence("a user twice", "0 1 2\n0 1\n"),
    sequence("Latin-1", b"0 1 2\n1 \xe9\n"),
    sequence("NULs", b"0 1 2\n\0\0\n"),
    sequence("a line of 2 MB", "0 1 2\n1" + " 1" * 1_000_000),
    Hostile("sequences: a folder", "test.txt", _folder, sequences),
    # zip archives
    tagged("no tags.dat", None, tags_dat=None),
    tagged("no rows, no header", None, times=""),
    tagged("another header", None, times="user\titem\ttag\ttime\r\n1\t2\t3\t4\r\n"),
    tagged("a word as user", 2, times="userID\tartistID\ttagID\ttimestamp\nx\t2\t3\t1000\n"),
    tagged("a fraction as tag", 2, times="userID\tartistID\ttagID\ttimestamp\n1\t2\t3.5\t1000\n"),
    tagged("true as time", 2, times="userID\tartistID\ttagID\ttimestamp\n1\t2\t3\tTrue\n"),
    tagged("NaN as time", 2, times="userID\tartistID\ttagID\ttimestamp\n1\t2\t3\tnan\n"),
    tagged("a time of 30 digits", 2, times="userID\tartistID\ttagID\ttimestamp\n1\t2\t3\t" + "9" * 30 + "\n"),
    tagged("a cell too few", 3, times=LASTFM["user_taggedartists-timestamps.dat"] + "1\t2\t3\r\n"),
    tagged("a cell too many", None, times=LASTFM["user_taggedartists-timestamps.dat"] + "1\t2\t3\t4\t5\r\n"),
    tagged("a cell too many everywhere", None, times="userID\tartistID\ttagID\ttimestamp\n0\t1\t2\t3\t4\n"),
    tagged("a blank line", 2, times="userID\tartistID\ttagID\ttimestamp\n\n1\t2\t3\t4\n"),
    tagged("a tag without a name", 2, tags_dat="tagID\ttagValue\n4\tpop\n"),
    tagged("Latin-1 where UTF-8 should be", None, times=LASTFM["user_taggedartists-timestamps.dat"].encode() + b"\xe9"),
    broken("cut", lambda data: data[:100]),
    broken("bytes changed", lambda data: data[:70] + b"\xff" * 20 + data[90:]),
    broken("encrypted", _everywhere(8, b"\x01\x00")),
    broken("an unknown compression", _everywhere(10, b"\x63\x00")),
    broken("bzip2 that is none", _everywhere(10, b"\x0c\x00")),
    broken("LZMA that is none", _everywhere(10, b"\x0e\x00")),
    broken("a member that declares 64 MB", _sizes),
    Hostile("zip: a page", "lastfm.zip", b"<html>moved</html>", lastfm.read_pairs),
    Hostile("zip: empty", "lastfm.zip", b"", lastfm.read_pairs),
    Hostile("zip: a folder", "lastfm.zip", _folder, lastfm.read_pairs),
    Hostile("zip: not there", "lastfm.zip", lambda _: None, lastfm.read_pairs),
    rated("a word as rating", "1::2::five::4\n"),
    rated("a rating of 6", "1::2::6::4\n"),
    rated("a negative user", "-1::2::5::4\n"),
    rated("commas", "1,2,5,4\n"),
    rated("too few rows", "1::2::5::4\n1::3::5::4\n"),
    rated("nothing", ""),
    filmed("a cell too few", "1::Toy Story\n"),
    filmed("a cell too many", "1::Toy Story::1995::Comedy\n"),
    filmed("tabs", "1\tToy Story\tComedy\n"),
    filmed("a blank line", "\n1::Toy Story::Comedy\n"),
]  # fmt: skip


def message(hostile: Hostile, folder: Path) -> str:
    """What reading it says, or that it was read, or which other error it raised."""
    path = folder / hostile.file
    if callable(hostile.content):
        hostile.content(path)
    else:
        path.write_bytes(hostile.content)
    try:
        hostile.read(path)
    except DataError as error:
        return str(error).replace(f"{folder}/", "")
    except Exception as error:  # what must not happen is shown
        return f"TRACEBACK {type(error).__name__}: {error}"
    return "READ"


def main() -> None:
    width = max(len(h.what) for h in HOSTILE)
    for hostile in HOSTILE:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{hostile.what:{width}} | {message(hostile, Path(folder))}")
    print(f"{len(HOSTILE)} inputs", file=sys.stderr)


if __name__ == "__main__":
    main()
