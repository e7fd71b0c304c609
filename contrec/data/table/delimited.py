"""Text with one row a line: its separator, header and quotes, checked so that no cell ever moves to another column."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from contrec.checks import DataError

SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}
_TYPED = re.compile(r"[^:]+:(token|float|token_seq|float_seq)")  # RecBole's headers
_DATA = re.compile(
    r"[+-]?\d[\d.,:eETZ/ +-]*||.*(\d{6}|[\"{}\[\]]).*"
)  # a number, a date, nothing, or what names never hold
_TAB_FIRST = {".tsv", ".tab", ".inter", ".item", ".user"}


def is_data(name: str) -> bool:
    """Whether a column's name looks like a cell of a row."""
    return len(name) > 60 or bool(_DATA.fullmatch(name))


@dataclass
class Delimited:
    """A text file with a header.

    Attributes:
        path: for messages.
        data: the text, UTF-8.
        separator: one of ``SEPARATORS``.
        names: of the columns, without blanks around them.
        types: "token_seq" and the like for each column of a RecBole file, else "".
        begin: where the line after the header begins, in bytes.
        first_line: number of that line.
        quoting: whether quotation marks have a meaning (RecBole's files have none).
    """

    path: Path
    data: bytes
    separator: str
    names: list[str]
    types: list[str]
    begin: int
    first_line: int
    quoting: bool

    @cached_property
    def records(self) -> Records:
        """Where each row lies (checked)."""
        return scan(self.path, self.data, self.begin, self.first_line, self.separator, len(self.names), self.quoting)

    @property
    def headless(self) -> bool:
        """Whether the header looks like a row of data: by its cells, or because a column holds one of them again."""
        if any(map(is_data, self.names)):
            return True
        lines = self.data[self.begin : self.begin + 100_000].decode(errors="ignore").splitlines()
        rows = [[cell.strip(' "') for cell in line.split(self.separator)] for line in lines]
        return any(name == cell for row in rows for name, cell in zip(self.names, row))

    def where(self, row: int) -> str:
        """Place of a row in the file, as an editor counts."""
        return f"line {self.records.line[row]}"

    def columns(self, wanted: list[str]):
        """The named columns as text (pyarrow.Table).

        Raises:
            DataError: if a row has not as many fields as the header, or a quotation mark stands wrong.
        """
        quotes = self.quoting and self.data.find(b'"', self.begin) >= 0
        if not quotes:
            try:
                return self._parse(self.data, wanted)  # whose own check of the fields is enough
            except ValueError:
                pass  # the scan says which line is wrong; what passes it are lines of blanks and very long ones
        if not self.records.blanks:
            return self._parse(self.data, wanted, self.records)
        rows = zip(self.records.start.tolist(), self.records.stop.tolist())
        text = b"\n".join(self.data[start:stop] for start, stop in rows)
        return self._parse(self.data[: self.begin] + text, wanted, self.records)

    def _parse(self, data: bytes, wanted: list[str], records: Records | None = None):
        import pyarrow as pa
        from pyarrow import csv as arrow

        keys = [str(n) for n in range(len(self.names))]  # names may stand twice
        used = [keys[self.names.index(name)] for name in wanted]
        if not re.compile(rb"[^ \r\n]").search(data, self.begin):
            return pa.table({name: pa.array([], pa.string()) for name in wanted})
        longest = 0 if records is None else int((records.stop - records.start).max())
        table = arrow.read_csv(
            pa.BufferReader(pa.py_buffer(data).slice(self.begin)),
            read_options=arrow.ReadOptions(column_names=keys, block_size=min(max(2**22, 2 * longest), 2**30)),
            parse_options=arrow.ParseOptions(
                delimiter=self.separator,
                quote_char='"' if self.quoting else False,
                newlines_in_values=records is not None and records.broken,
            ),
            convert_options=arrow.ConvertOptions(
                include_columns=list(dict.fromkeys(used)), column_types={key: pa.string() for key in used}
            ),
        )
        return pa.table([table[key] for key in used], names=wanted)


def open_text(path: Path, data: bytes) -> Delimited:
    """Find separator and header of a text.

    Raises:
        DataError: if its first line is no header of several columns.
    """
    begin, line, forced = 0, 1, None
    while True:
        end, after = _end_of_line(data, begin)
        header = data[begin:end].decode()
        lines = 1
        while header.count('"') % 2 and after < len(data):  # a name with a line break
            end, after = _end_of_line(data, after)
            header, lines = data[begin:end].decode(), lines + 1
        if found := re.fullmatch(r'"?sep=(.)"?', header):  # Excel's hint
            forced = found[1]
        elif header.strip() or after >= len(data):
            break
        begin, line = after, line + lines
    if not header.strip():
        raise DataError(f"{path} holds blank lines only; write a line with the column names and one interaction a row")
    bare = re.sub(r'"[^"]*"', "", header)
    order = ["\t", ",", ";", "|"] if path.suffix.lower() in _TAB_FIRST else list(SEPARATORS)
    separator = forced or max(order, key=bare.count)
    if separator not in bare or separator not in SEPARATORS:
        seems = "'::'" if "::" in bare else "blanks" if " " in bare.strip() else ""
        seems = f", fields seem to be separated by {seems}" if seems else ""
        raise DataError(
            f"{path}, line {line}: the header holds a single column{seems}; "
            "write the column names into the first line and separate fields with ',' (';', tab and '|' are read too)"
        )
    typed = all(_TYPED.fullmatch(cell.strip()) for cell in header.split(separator))
    try:
        cells = header.split(separator) if typed else next(csv.reader([header], delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: the header cannot be read ({error}); save the file as CSV") from error
    if all(len(cell.strip()) > 1 and cell.strip()[0] == cell.strip()[-1] == "'" for cell in cells):
        raise DataError(f"{path}, line {line}: cells seem to be quoted with '; quote them with \" instead")
    names, types = zip(*((c.strip().rpartition(":")[::2] if typed else (c.strip(), "")) for c in cells))
    return Delimited(path, data, separator, list(names), list(types), after, line + lines, not typed)


def _end_of_line(data: bytes, start: int) -> tuple[int, int]:
    """Where a line's text ends and the next line begins; lines end with LF, CR or both."""
    newline = data.find(b"\n", start)
    newline = len(data) if newline < 0 else newline
    single = data.find(b"\r", start, newline)
    if single < 0:
        return newline, min(newline + 1, len(data))
    return single, single + (2 if single + 1 == newline and newline < len(data) else 1)


@dataclass
class Records:
    """Rows of a text: ``start`` and ``stop`` in bytes, ``line`` in which each begins, int64, shape (n,).

    ``broken``: whether a quoted field holds a line break; ``blanks``: whether lines of blanks lie between.
    """

    start: np.ndarray
    stop: np.ndarray
    line: np.ndarray
    broken: bool
    blanks: bool


def scan(path, data: bytes, begin: int, first_line: int, separator: str, n_fields: int, quoting: bool) -> Records:
    """Find all rows of ``data[begin:]`` that are not blank.

    Raises:
        DataError: naming the line, if a row has not ``n_fields`` fields or a quotation mark stands wrong.
    """
    text = np.frombuffer(data, np.uint8)[begin:]
    ends = np.flatnonzero(text == 10)
    single = np.flatnonzero(text == 13)
    if len(single):
        single = single[np.append(text, 0)[single + 1] != 10]
        ends = np.sort(np.concatenate([ends, single]))
    line_at = lambda place: first_line + int(np.searchsorted(ends, place))  # noqa: E731
    marks = np.flatnonzero(text == 34) if quoting else np.empty(0, np.int64)
    quotes = _pairs(path, text, marks, ord(separator), line_at)
    outside = lambda places: np.searchsorted(quotes, places) % 2 == 0  # noqa: E731
    separators = np.flatnonzero(text == ord(separator))
    stops = ends
    if len(quotes):
        _swallowed(path, text, quotes, separators, ends, n_fields, separator, line_at)
        separators, stops = separators[outside(separators)], ends[outside(ends)]
    broken = len(stops) < len(ends)
    start = np.append(0, stops + 1)
    stop = np.append(stops, len(text))
    if start[-1] == len(text):
        start, stop = start[:-1], stop[:-1]
    fields = 1 + np.searchsorted(separators, stop) - np.searchsorted(separators, start)
    line = first_line + np.searchsorted(ends, start)
    blank = fields == 1
    for row in np.flatnonzero(blank):
        blank[row] = not data[begin + start[row] : begin + stop[row]].strip()
    wrong = np.flatnonzero((fields != n_fields) & ~blank)
    if len(wrong):
        row = wrong[0]
        last = line_at(stop[row])
        spans = f" (quotes join it with the lines to {last})" if last > line[row] else ""
        more = f" (and {len(wrong) - 1} more lines)" if len(wrong) > 1 else ""
        raise DataError(
            f"{path}, line {line[row]} has {fields[row]} fields{spans}, the header {n_fields}{more}; "
            f"correct it: cells that contain {separator!r} must be quoted"
        )
    blanks = bool((blank & (stop > start)).any())
    return Records(begin + start[~blank], begin + stop[~blank], line[~blank], broken, blanks)


def _pairs(path, text: np.ndarray, marks: np.ndarray, separator: int, line_at) -> np.ndarray:
    """Places of the quotation marks that open and close fields, in turn; others are characters of their fields."""
    padded = np.concatenate([[10], text, [10]]) if len(marks) else text
    border = np.zeros(256, bool)
    border[[separator, 10, 13, 34]] = True
    if len(marks) % 2 == 0 and border[padded[marks[::2]]].all() and border[padded[marks[1::2] + 2]].all():
        return marks
    pairs, n = [], 0
    places = marks.tolist()
    while n < len(places):
        mark = places[n]
        before = int(padded[mark])
        if before not in (separator, 10, 13):
            if before == 32 and _blanks_before(padded, mark, separator):
                problem = "a blank stands before a quotation mark; remove the blanks around cells"
                raise DataError(f"{path}, line {line_at(mark)}: {problem}")
            n += 1  # inside a cell without quotes: 12" stays what it is
            continue
        end = n + 1
        while end + 1 < len(places) and places[end + 1] == places[end] + 1:
            end += 2
        if end >= len(places):
            problem = "a quotation mark opens a cell and none closes it; remove it, or double it"
            raise DataError(f"{path}, line {line_at(mark)}: {problem}")
        if int(padded[places[end] + 2]) not in (separator, 10, 13):
            opened, closed = line_at(mark), line_at(places[end])
            since = f" (it opens in line {opened})" if closed != opened else ""
            raise DataError(
                f"{path}, line {closed}: text stands behind the quotation mark that closes a cell{since}; "
                "double the marks that belong to the text"
            )
        pairs += [mark, places[end]]
        n = end + 1
    return np.array(pairs, np.int64)


def _blanks_before(padded: np.ndarray, mark: int, separator: int) -> bool:
    while padded[mark] == 32:
        mark -= 1
    return int(padded[mark]) in (separator, 10, 13)


def _swallowed(path, text, quotes, separators, ends, n_fields, separator, line_at) -> None:
    """Raise where two stray quotation marks have made one cell of whole rows.

    Such a cell spans lines, each of which has all the fields of a row, with the same columns holding numbers.
    """
    opened, closed = quotes[::2], quotes[1::2]
    first, last = np.searchsorted(ends, opened), np.searchsorted(ends, closed)
    long = np.flatnonzero(last > first)
    edges = np.concatenate([[-1], ends, [len(text)]])
    count = lambda lines: np.searchsorted(separators, edges[lines + 1]) - np.searchsorted(separators, edges[lines])  # noqa: E731
    for n in long[count(first[long]) == n_fields - 1].tolist():
        lines = np.arange(first[n], last[n] + 1)
        if not (count(lines) == n_fields - 1).all():
            continue
        cells = [text[edges[i] + 1 : edges[i + 1]].tobytes().split(separator.encode()) for i in lines[:100].tolist()]
        if any(all(re.fullmatch(rb"[\d.:TZ+ -]*\d[\d.:TZ+ -]*", row[c]) for row in cells) for c in range(n_fields)):
            problem = f"a quotation mark opens here and closes in line {line_at(closed[n])}"
            raise DataError(
                f"{path}, line {line_at(opened[n])}: {problem}, and the lines between look like rows; "
                "remove both marks, or double them"
            )
