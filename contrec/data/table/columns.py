"""Columns of strangers' tables -> ids, times, numbers and texts: one conversion for every format and type."""

from __future__ import annotations

import re

import numpy as np

from contrec.checks import DataError

from ..core import dense_ids
from ..facets import clean_text

MISSING = ("", "nan", "NaN", "NULL", "null", "None", "<NA>", "\\N")  # "NA" may be an id or a brand
END = 4_102_444_800  # 2100-01-01 in seconds since 1970
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}  # in one second
EARLIEST = 157_766_400  # 1975: smaller numbers in a finer unit than seconds are not told from seconds after 2100
CURE = "use seconds since 1970, or dates such as 2024-05-01T12:00:00"
NEGATIVE = ("is negative", "number ids from 0, or use text ids; -1 often marks a missing id")
_ALIKE = (  # ids that look the same to people: what is left of one, how they differ, cure
    ("by blanks around them", "remove the blanks"),
    ("as 12 and 12.0 do", "write whole numbers without a point"),
    ("in the Unicode form of their letters", "write them in one form (NFC)"),
)


class Column:
    """A column with what messages say of it.

    Attributes:
        name: in the file.
        values: pyarrow.ChunkedArray of a plain type (no dictionary, extension or bytes); texts that mean "missing" are
            null.
    """

    def __init__(self, table, name: str, values):
        self.table, self.name = table, name
        self.values = self._plain(values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> np.ndarray:
        return self.values.is_null().to_numpy()

    @property
    def is_text(self) -> bool:
        import pyarrow as pa

        return pa.types.is_string(self.values.type)

    def fail(self, bad: np.ndarray, problem: str, cure: str) -> None:
        """Raise for the first row where ``bad`` is true."""
        if bad.any():
            row = int(np.argmax(bad))
            more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
            if "{value}" in problem:
                problem = problem.replace("{value}", self._shown(row))
            raise DataError(f"{self.table.path}, {self.table.where(row)}{more}: {self.name} {problem}; {cure}")

    def _shown(self, row: int) -> str:
        """A value for messages, at most 42 characters."""
        try:
            value = self.values[row].as_py()
        except (OverflowError, ValueError):  # a year beyond 9999
            return "a date"
        return repr(clean_text(value, 40)) if self.is_text else str(value)[:40]

    def refuse(self, wanted: str) -> DataError:
        kind = str(self.values.type)[:40]
        return DataError(
            f"{self.table.path}: column {self.name!r} holds {kind}, which is no {wanted}; store it as text"
        )

    def _plain(self, values):
        import pyarrow as pa
        import pyarrow.compute as pc

        self.values = values
        kind = values.type
        if isinstance(kind, pa.BaseExtensionType):
            raise self.refuse("plain type")
        if pa.types.is_dictionary(kind):
            return self._plain(values.cast(kind.value_type))
        if pa.types.is_null(kind):
            return values.cast(pa.string())
        types = pa.types
        binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
        if any(check(kind) for check in binary):
            try:
                values = values.cast(pa.binary()).cast(pa.string())
            except pa.ArrowException as error:
                raise self.refuse("text (its bytes are not UTF-8)") from error
        elif types.is_large_string(kind) or types.is_string_view(kind):
            values = values.cast(pa.string())
        if pa.types.is_string(values.type):
            empty = pc.is_in(pc.utf8_trim_whitespace(values), pa.array(MISSING))
            values = pc.if_else(empty, pa.scalar(None, pa.string()), values)
        return values


def _encoded(column: Column):
    """A column of texts as numbers of its distinct texts (pyarrow.DictionaryArray)."""
    return column.values.dictionary_encode().unify_dictionaries().combine_chunks()


def ids(column: Column) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Dense numbers of ids, the distinct ids in increasing order, and notes for people.

    Whole numbers from 0 become int64 (uint64 where they are larger), everything else text. Blanks around ids and the
    ".0" of whole numbers go, unless that would merge two ids.

    Raises:
        DataError: for missing, negative or fractional ids, types that are none, and ids that only look different.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    name, kind, types = column.name, column.values.type, pa.types
    column.fail(column.missing, "is missing", "drop such rows or fill in the id")
    if types.is_decimal(kind):
        column.values, kind = column.values.cast(pa.string()), pa.string()
    if types.is_floating(kind):
        numbers = column.values.to_numpy().astype(np.float64)
        column.fail(np.isnan(numbers), "is missing", "drop such rows or fill in the id")
        column.fail(numbers < 0, *NEGATIVE)
        column.fail(numbers % 1 != 0, "is not a whole number", "store ids as whole numbers or text")
        digits = {16: 11, 32: 24, 64: 53}[kind.bit_width]
        problem = f"is too large for a {kind.bit_width}-bit float, which has lost its last digits"
        column.fail(numbers >= 2**digits, problem, "store ids as whole numbers or text")
        column.values, kind = pa.chunked_array([pa.array(numbers.astype(np.int64))]), pa.int64()
    if types.is_integer(kind):
        numbers = column.values.to_numpy()
        column.fail(numbers < 0, *NEGATIVE)
        return *dense_ids(numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64)), []
    if not types.is_string(kind):
        raise column.refuse("id")
    encoded = _encoded(column)
    found, notes = _cleaned(column, encoded.dictionary)
    codes = encoded.indices.to_numpy()
    is_like = lambda pattern: pc.match_substring_regex(found, pattern).to_numpy(zero_copy_only=False)  # noqa: E731
    column.fail(is_like(r"^$")[codes], "is missing", "drop such rows or fill in the id")
    column.fail(is_like(r"^-\d+(\.\d+)?$")[codes], *NEGATIVE)
    short = is_like(r"^\d([.,]\d+)?[eE]\+\d+$")
    column.fail(short[codes], "is a number that was shortened (as in 1.2E+09)", "write all its digits")
    texts = found.to_numpy(zero_copy_only=False)
    whole = is_like(r"^(0|[1-9]\d{0,17})$").all()  # "007" stays text
    order, distinct = dense_ids(texts.astype(np.int64) if whole else texts)
    return order[codes], distinct, [f"{name}: {note}" for note in notes]


def _cleaned(column: Column, found):
    """Distinct ids without blanks and needless points, and what was cut off how often."""
    import pyarrow.compute as pc

    notes = []
    trimmed = pc.utf8_trim(found, " \t\r\n\v\f\u00a0\u200b\u2060\ufeff\u3000")
    pointless = pc.replace_substring_regex(trimmed, r"^(0|[1-9]\d*)\.0+$", r"\1")
    for (how, cure), now in zip(_ALIKE, (trimmed, pointless, pc.utf8_normalize(pointless, form="NFC"))):
        counts = pc.value_counts(now).field("counts")
        alike = pc.sum(pc.greater(counts, 1)).as_py() or 0
        if alike:
            double = now.dictionary_encode()
            twice = np.flatnonzero(counts.to_numpy() > 1)[0]
            pair = np.flatnonzero(double.indices.to_numpy() == twice)[:2]
            lines = [column.table.where(pc.index(column.values, found[int(n)]).as_py()) for n in pair]
            raise DataError(
                f"{column.table.path}: {alike} {'ids' if alike > 1 else 'id'} of column {column.name!r} differ only "
                f"{how} ({lines[0]} and {lines[1]}, for example); {cure}, so that each id is written in one way"
            )
    cut = pc.sum(pc.not_equal(trimmed, found)).as_py()
    if cut:
        notes.append(f"blanks around {cut} ids were cut off")
    whole = pc.all(pc.match_substring_regex(pointless, r"^(0|[1-9]\d*)$")).as_py()
    points = pc.sum(pc.not_equal(pointless, trimmed)).as_py()
    if whole and points:
        notes.append(f"{points} ids such as 12.0 are read as whole numbers")
        trimmed = pointless
    lower = len(trimmed) - len(pc.unique(pc.utf8_lower(trimmed)))
    if lower:
        notes.append(f"{lower} ids differ from another only by capital letters; they are kept apart")
    return trimmed, notes


def numbers(column: Column) -> np.ndarray:
    """Finite numbers, float64, shape (n,)."""
    import pandas as pd
    import pyarrow as pa

    kind = column.values.type
    if column.is_text:
        try:
            values = column.values.cast(pa.float64()).to_numpy()
        except pa.ArrowException:  # some are no numbers, or have blanks around them
            values = pd.to_numeric(column.values.to_pandas(), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.values.cast(pa.float64(), safe=False).to_numpy()
    elif pa.types.is_boolean(kind):
        values = column.values.cast(pa.int8()).cast(pa.float64()).to_numpy()
    else:
        raise column.refuse("number")
    cure = f"correct it, or give {column.name!r} no role (rating='')"
    column.fail(~np.isfinite(values), "is not a number", cure)
    return values


def times(column: Column) -> tuple[np.ndarray, np.ndarray, str]:
    """Times in full: whole seconds since 1970 and the nanoseconds after them, int64, shape (n,), and the unit read.

    Numbers are seconds, or throughout milli-, micro- or nanoseconds, told by their size; texts may also be ISO dates,
    UTC where they name no zone.

    Raises:
        DataError: naming row and value, for what is no time from 1970 to 2100, mixed units, and dates like 20240501.
    """
    import pyarrow as pa

    types = pa.types
    column.fail(column.missing, "is missing", "every row needs a time; drop rows without one")
    if types.is_decimal(column.values.type):
        column.values = column.values.cast(pa.string())
    kind = column.values.type
    if types.is_floating(kind):
        values = column.values.to_numpy().astype(np.float64)
        column.fail(np.isnan(values), "is missing", "every row needs a time; drop rows without one")
        column.fail(np.isinf(values), "is not finite", "use seconds since 1970")
        if kind.bit_width < 64:
            raise column.refuse("time (it keeps 24 bits: two minutes)")
        whole = np.floor(values)
        column.fail(np.abs(whole) >= 2**62, "{value} is too large for a time", "use seconds since 1970")
        return _counted(column, whole.astype(np.int64), np.rint((values - whole) * 1e9).astype(np.int64))
    if types.is_integer(kind):
        values = column.values.to_numpy()
        if values.dtype == np.uint64:
            column.fail(values >= 2**62, "{value} is too large for a time", "use seconds since 1970")
        return _counted(column, values.astype(np.int64))
    if types.is_timestamp(kind):
        return _dated(column, column.values.cast(pa.int64()).to_numpy(), kind.unit)
    if types.is_date(kind):
        days = column.values.cast(pa.timestamp("s"))
        return _dated(column, days.cast(pa.int64()).to_numpy(), "s")
    if types.is_string(kind):
        return _written(column)
    raise column.refuse("time")


def _written(column: Column) -> tuple[np.ndarray, np.ndarray, str]:
    """Times that are text: numbers with all their digits, or ISO dates."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(column.values)
    try:
        whole = texts.cast(pa.int64()).to_numpy()
    except pa.ArrowException:
        pass
    else:
        column.fail(pc.match_substring(texts, "x", ignore_case=True).to_numpy(), "{value} is not a time", CURE)
        return _counted(column, whole)
    number = pc.match_substring_regex(texts, r"^-?\d{1,18}(\.\d*)?$").to_numpy()
    if 2 * number.sum() >= len(number):
        column.fail(~number, "{value} is not a time", CURE)
        negative = pc.starts_with(texts, "-").to_numpy()
        column.fail(negative, "{value} is negative (before 1970)", "use seconds since 1970, or drop such rows")
        whole = pc.replace_substring_regex(texts, r"\..*$", "").cast(pa.int64()).to_numpy()
        fraction = pc.utf8_slice_codeunits(
            pc.utf8_rpad(pc.replace_substring_regex(texts, r"^\d*\.?", ""), 9, "0"), 0, 9
        )
        return _counted(column, whole, fraction.cast(pa.int64()).to_numpy())
    texts = pc.replace_substring_regex(texts, " ?(UTC|GMT)$", "Z")
    found = pd.to_datetime(texts.to_pandas(), errors="coerce", utc=True, format="ISO8601")
    column.fail(found.isna().to_numpy(), "{value} is not a time between 1970 and 2100", CURE)
    return _dated(column, found.astype("int64").to_numpy(), found.dtype.unit)


def _dated(column: Column, values: np.ndarray, unit: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Counts of ``unit`` since 1970 that come from dates."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    cure = "dates lie between 1970 and 2100; correct it, or drop such rows"
    column.fail(values < 0, "{value} lies before 1970", cure)
    column.fail(values >= END * per_second, "{value} lies after 2100", cure)
    seconds = values // per_second
    return seconds, (values - seconds * per_second) * (10**9 // per_second), "dates"


def _counted(column: Column, whole: np.ndarray, fraction: np.ndarray | None = None):
    """Numbers whose unit their size tells; ``fraction``: billionths of that unit."""
    column.fail(whole < 0, "{value} is negative (before 1970)", "use seconds since 1970, or drop such rows")
    use = "use seconds since 1970 throughout"
    per_second = np.array(list(UNITS.values()))
    unit = np.searchsorted(END * per_second, whole, side="right")
    column.fail(unit == len(UNITS), "{value} is too large for a time", use)
    common = int(np.argmax(np.bincount(unit, minlength=len(UNITS))))
    name = list(UNITS)[common]
    for other, label in enumerate(UNITS):
        if other != common:
            column.fail(unit == other, f"{{value}} would be {label} and most rows are {name} since 1970", use)
    early = (whole < EARLIEST * per_second[common]) & (common > 0)
    column.fail(early, "{value} is not a time between 1970 and 2100", use)
    if len(whole) and _calendar(whole):
        raise DataError(
            f"{column.table.path}: column {column.name!r} seems to hold dates such as 20240501 without a separator; "
            "write them as 2024-05-01"
        )
    per = int(per_second[common])
    seconds = whole // per
    nanoseconds = (whole - seconds * per) * (10**9 // per)
    if fraction is not None:
        nanoseconds += fraction // per
        seconds, nanoseconds = seconds + nanoseconds // 10**9, nanoseconds % 10**9
    return seconds, nanoseconds, name


def _calendar(whole: np.ndarray) -> bool:
    """Whether all numbers read as YYYYMMDD, perhaps with hours and minutes, from 1970 to 2100."""
    day = whole
    if (whole >= 10**11).all():
        if (whole % 100 > 59).any() or (whole // 100 % 100 > 23).any():
            return False
        day = whole // 10**4
    month, date = day // 100 % 100, day % 100
    within = lambda part, low, high: bool(((part >= low) & (part <= high)).all())  # noqa: E731
    return within(day, 19700101, 21001231) and within(month, 1, 12) and within(date, 1, 31)


def first_texts(column: Column, items: np.ndarray) -> dict[int, str]:
    """The first text of each item in a column: dict item number -> text."""
    import pyarrow as pa

    kind = column.values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        raise column.refuse("text")
    if pa.types.is_floating(kind):
        column.values = pa.chunked_array([pa.array([_number(v) for v in column.values.to_pylist()], pa.string())])
    elif not column.is_text:
        column.values = column.values.cast(pa.string())
    encoded = _encoded(column)
    texts = encoded.dictionary.to_pylist()
    says = np.array([bool(clean_text(text)) for text in texts], bool)
    codes = encoded.indices.fill_null(-1).to_numpy()
    rows = np.flatnonzero((codes >= 0) & np.append(says, False)[codes])
    return {item: texts[codes[row]] for item, row in _first(items, rows).items()}


def first_values(column: Column, items: np.ndarray, by: str = "|") -> dict[int, list[str]]:
    """The first categories of each item: a list, a list written as text, or values separated by ``by``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = pa.types
    is_list = lambda kind: types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)  # noqa: E731
    if not is_list(column.values.type):
        return {item: split_values(text, by) for item, text in first_texts(column, items).items()}
    filled = pc.fill_null(pc.list_value_length(column.values), 0).to_numpy() > 0
    first = _first(items, np.flatnonzero(filled))
    lists = column.values.take(pa.array(list(first.values()), pa.int64())).to_pylist()
    return {item: [_number(v) for v in leaves(values)] for item, values in zip(first, lists)}


def split_values(text: str, by: str = "|") -> list[str]:
    """Categories in a text: "a|b", "['a', 'b']" or '["a", "b"]' (a list that was written as text)."""
    inside = re.fullmatch(r"\s*\[(.*)\]\s*", text, re.DOTALL)
    if inside and "{" in text:
        raise DataError("categories are objects in a list; write their names, separated by '|'")
    if not inside:
        values = text.split(by)
    else:
        quoted = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", inside[1])
        values = [re.sub(r"\\(.)", r"\1", a or b) for a, b in quoted] if quoted else inside[1].split(",")
    values = [value.strip() for value in values]
    return [v for v in values if v not in MISSING and v != "(no genres listed)"]  # MovieLens says so


def leaves(values) -> list:
    """Values of lists in lists."""
    if any(isinstance(v, dict) for v in values):
        raise DataError("categories are objects in a list; write their names, separated by '|'")
    return [x for v in values for x in (leaves(v) if isinstance(v, list) else [v]) if x is not None]


def _number(value) -> str | None:
    """Text of a value; 12.0 is "12"."""
    if value is None or value != value:
        return None
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def _first(items: np.ndarray, rows: np.ndarray) -> dict[int, int]:
    """The first of ``rows`` for each item."""
    known, first = np.unique(items[rows], return_index=True)
    return dict(zip(known.tolist(), rows[first].tolist()))
