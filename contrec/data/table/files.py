"""One file -> columns: separated text, JSON lines, Parquet or Feather, with the place of each row for messages."""

from __future__ import annotations

import io
import json
from pathlib import Path

from contrec.checks import DataError

from .columns import leaves
from .contents import read_bytes
from .delimited import SEPARATORS, Delimited, open_text

_OBJECT = "write one object a line"
FIRST = 1000  # JSON objects that are asked for their fields


def open_table(path: str | Path):
    """Open a table, whatever its name: its format is told by its content.

    Returns:
        An object with ``path``, ``names`` (of its columns), ``format`` (for people), ``columns(wanted)`` (a pyarrow
        Table) and ``where(row)`` (the place of a row, as in "line 7").

    Raises:
        DataError: if it is no table.
    """
    path = Path(path)
    kind, data = read_bytes(path)
    if kind != "text":
        return ArrowFile(path, data, kind)
    if data.lstrip()[:1] in (b"{", b"["):
        return JsonFile(path, data)
    return open_text(path, data)


class ArrowFile:
    """Parquet or Feather; fields of structs are columns named "struct.field"."""

    def __init__(self, path: Path, data: bytes, kind: str):
        import pyarrow as pa
        from pyarrow import feather, parquet

        self.path, self.format = path, kind.capitalize()
        source = pa.BufferReader(data)
        try:
            if kind == "parquet":
                self._file = parquet.ParquetFile(source, page_checksum_verification=True)
                schema = self._file.schema_arrow
            else:
                self._table = feather.read_table(source)
                schema = self._table.schema
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        self._top = schema.names
        self.names = _flat(schema.empty_table()).column_names

    def _damaged(self, error: Exception) -> DataError:
        reason = " ".join(str(error).split())[:80]
        return DataError(f"{self.path} is no whole {self.format} file ({reason}); fetch or write it again")

    def columns(self, wanted: list[str]):
        import pyarrow as pa

        top = [n for n in dict.fromkeys(self._top) if any(w == n or w.startswith(f"{n}.") for w in wanted)]
        try:
            table = self._file.read(top) if self.format == "Parquet" else self._table.select(top)
            table = _flat(table).select(wanted)
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise self._damaged(error) from error
        return table

    def where(self, row: int) -> str:
        return f"row {row + 1}"


def _flat(table):
    import pyarrow as pa

    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    return table


class JsonFile:
    """One JSON object a line, or a list of objects; fields of inner objects are columns named "outer.inner"."""

    def __init__(self, path: Path, data: bytes):
        self.path, self._data = path, data
        self._list = data.lstrip()[:1] == b"["
        self.format = "JSON list" if self._list else "JSON lines"
        self._lines: list[int] | None = None
        names = {}
        for n, record in enumerate(self._records()):
            if n == FIRST:
                break
            _names(record, names)
        self.names = list(names)

    def _records(self):
        if self._list:
            try:
                records = json.loads(self._data)
            except (ValueError, RecursionError) as error:
                line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
                raise DataError(f"{self.path}{line}: is no JSON; fetch or write the file again") from error
            for n, record in enumerate(records):
                if not isinstance(record, dict):
                    raise DataError(f"{self.path}, row {n + 1}: is no JSON object; write a list of objects")
                yield record
            return
        self._lines = []
        for number, line in enumerate(io.StringIO(self._data.decode(), newline=None), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                column = f" from column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
                raise DataError(f"{self.path}, line {number}: is no JSON object{column}; {_OBJECT}") from error
            if not isinstance(record, dict):
                raise DataError(f"{self.path}, line {number}: is no JSON object; {_OBJECT}")
            self._lines.append(number)
            yield record

    def columns(self, wanted: list[str]):
        import pyarrow as pa

        paths = [(name, name.split(".")) for name in wanted]
        values = {name: [] for name in wanted}
        for record in self._records():
            for name, parts in paths:
                values[name].append(record[name] if name in record else _inner(record, parts))
        return pa.table({name: self._array(name, column) for name, column in values.items()})

    def _array(self, name: str, values: list):
        """Values of one column; where their types differ, as text."""
        import pyarrow as pa

        try:
            return pa.array(values)
        except (pa.ArrowException, TypeError, OverflowError, ValueError):  # mixed types, numbers beyond 64 bits
            if any(isinstance(v, list) for v in values):
                lists = [v if isinstance(v, list) or v is None else [v] for v in values]
                try:
                    return pa.array([None if v is None else [_text(x) for x in leaves(v)] for v in lists])
                except DataError as error:
                    raise DataError(f"{self.path}: column {name!r}: {error}") from None
            for row, value in enumerate(values):
                if isinstance(value, dict):
                    raise DataError(
                        f"{self.path}, {self.where(row)}: {name} is an object; name a field in it, as in '{name}.id'"
                    ) from None
            return pa.array([None if v is None else _text(v) for v in values], pa.string())

    def where(self, row: int) -> str:
        return f"row {row + 1}" if self._list else f"line {self._lines[row]}"


def _names(record: dict, found: dict, before: str = "") -> None:
    for key, value in record.items():
        if isinstance(value, dict) and value:
            _names(value, found, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = True


def _inner(record, parts: list[str]):
    for part in parts:
        if not isinstance(record, dict):
            return None
        record = record.get(part)
    return record


def _text(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair has no UTF-8


def describe(table) -> str:
    """Format of an open table in a word or two."""
    return f"text, separated by {SEPARATORS[table.separator]}" if isinstance(table, Delimited) else table.format
