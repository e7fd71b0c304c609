"""Files that strangers made, read in bounded memory: lines, members of zip archives, records; one message each."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contrec.checks import DataError

LINE_BYTES = 2**20  # of the real files the longest line has 9 kB
MEMBER_BYTES = 2**26  # of the real archives the largest member has 25 MB
ID_CHARS = 100
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, OverflowError)


def damaged(path, problem: str, line: int | None = None) -> DataError:
    """What to raise for a file that is not what it should be: where, what is wrong, and the cure."""
    where = f"{path}, line {line}" if line else f"{path}"
    return DataError(f"{where}: {problem}; delete the file and fetch it again")


def unreadable(path, error: Exception, line: int | None = None) -> DataError:
    """What to raise where reading ``path`` has failed with ``error``."""
    if isinstance(error, OSError) and error.strerror:  # of the system: the file itself may be whole
        return DataError(f"{path} cannot be read ({error.strerror}); make it readable, or fetch it again")
    return damaged(path, f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})", line)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file, decompressed if its name ends in .gz; line ends stay as they are.

    Raises:
        DataError: naming file and line, if the file cannot be read to its end, a line is longer than ``LINE_BYTES``
            (one megabyte of gzip can hold a line of four gigabytes), or is not UTF-8.
    """
    number = 1
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            while line := stream.readline(LINE_BYTES + 1):
                if len(line) > LINE_BYTES:
                    raise damaged(path, f"is longer than {LINE_BYTES:,} bytes", number)
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                number += 1
    except UnicodeDecodeError as error:
        raise damaged(path, f"is not UTF-8 (byte {error.start}: {error.reason})", number) from error
    except _UNREADABLE as error:
        raise unreadable(path, error, number) from error


def read_member(path: Path, member: str, encoding: str = "utf-8") -> str:
    """Text of one member of a zip archive; nothing is extracted.

    Raises:
        DataError: if the archive is damaged or encrypted, lacks the member, or holds bytes of another encoding, or if
            the member is larger than ``MEMBER_BYTES``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(member).file_size
            if size > MEMBER_BYTES:
                raise damaged(path, f"{member} has {size:,} bytes, more than {MEMBER_BYTES:,}")
            return archive.read(member).decode(encoding)
    except KeyError as error:
        raise damaged(path, f"has no member {member}") from error
    except UnicodeDecodeError as error:
        raise damaged(path, f"{member} is not {encoding} (byte {error.start}: {error.reason})") from error
    except _UNREADABLE as error:
        raise unreadable(f"{path} ({member})", error) from error


def read_rows(path: Path, separator: str, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table with a header, each with the number of its last line; cells may be quoted and hold line breaks.

    Args:
        separator: one character.
        columns: names that the header must have.

    Raises:
        DataError: naming file and line, as for :func:`read_lines`, and if a column is missing, a row has not as many
            cells as the header, or a quotation mark stands wrong.
    """
    rows = csv.reader((line for _, line in read_lines(path)), delimiter=separator, strict=True)
    try:
        header = next(rows, [])
        missing = [name for name in columns if name not in header]
        if missing:
            raise damaged(path, f"has no column {', '.join(missing)} in its first line", 1)
        for row in filter(None, rows):
            if len(row) != len(header):
                raise damaged(path, f"has {len(row)} cells, the header {len(header)}", rows.line_num)
            yield rows.line_num, dict(zip(header, row))
    except csv.Error as error:
        raise damaged(path, f"is no row of a table ({error})", rows.line_num) from error


@dataclass(frozen=True)
class Record:
    """Fields of one line of a file, read with the type that they should have; errors name file, line and field."""

    path: Path
    line: int
    fields: dict

    def error(self, name: str, wanted: str) -> DataError:
        value = self.fields.get(name)
        got = "nothing" if value is None else f"a value of type {type(value).__name__}"
        if isinstance(value, str):
            got = f"text of {len(value)} characters"
        elif isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
            got = repr(value)
        return damaged(self.path, f"{name} must be {wanted}, got {got}", self.line)

    def text(self, name: str) -> str:
        """A text, "" where there is none."""
        value = self.fields.get(name)
        if not isinstance(value, str | None):
            raise self.error(name, "text")
        return value or ""

    def identifier(self, name: str) -> str:
        """A text that can be an id: printable, not empty, at most ``ID_CHARS`` characters."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= ID_CHARS or not value.isprintable():
            raise self.error(name, f"an id (printable text of at most {ID_CHARS} characters)")
        return value

    def number(self, name: str, low: float, high: float, *, whole: bool = False) -> float:
        """A number in [low, high]; "12" and True are none."""
        value = self.fields.get(name)
        good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not good or (whole and value != int(value)):
            raise self.error(name, f"a {'whole ' * whole}number from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """True or false (or 1 or 0), false where there is none."""
        value = self.fields.get(name)
        if value is not None and (not isinstance(value, int) or value not in (0, 1)):
            raise self.error(name, "true or false")
        return bool(value)

    def texts(self, name: str) -> list[str]:
        """A list of texts, empty where there is none."""
        values = self.fields.get(name) or []
        if not _texts(values):
            raise self.error(name, "a list of texts")
        return [v or "" for v in values]

    def paths(self, name: str) -> list[list[str]]:
        """A list of lists of texts, empty where there is none."""
        values = self.fields.get(name) or []
        if not isinstance(values, list | tuple) or not all(map(_texts, values)):
            raise self.error(name, "a list of lists of texts")
        return [[v or "" for v in path] for path in values]


def _texts(values) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(v, str | None) for v in values)


def read_json_lines(path: Path) -> Iterator[Record]:
    """Records of a file with one JSON object a line, gzip-compressed if its name ends in .gz; blank lines are skipped.

    The official 2014 metadata are Python literals instead of JSON; those are read as literals, never evaluated.

    Raises:
        DataError: naming file and line, if a line is neither, if the file ends early or holds no record.
    """
    empty = True
    for number, line in read_lines(path):
        if line.strip():
            empty = False
            yield Record(path, number, _parse(path, number, line))
    if empty:
        raise damaged(path, "is empty")


def _parse(path: Path, number: int, line: str) -> dict:
    reason = ""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "a number is too long, or lists are nested too deeply")
        record = _literal(line)
    if not isinstance(record, dict):
        raise damaged(path, f"is no JSON object ({reason or type(record).__name__})", number)
    return record


def _literal(line: str):
    """The value of a Python literal, None if the line is none."""
    import ast

    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last two: nested too deeply
        return None
