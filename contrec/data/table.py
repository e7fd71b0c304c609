"""Anyone's interactions from one CSV or Parquet file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .core import build, dense_ids, k_core
from .facets import clean_text, make_catalogue
from .interactions import Catalogue, DataError, Interactions

ROLES = ("user", "item", "timestamp", "rating", "title", "brand", "category", "event")  # keywords that name columns
MISSING = ["", "nan", "NaN", "NULL", "null"]  # "NA" may be an id or a brand


def load(
    path: str | Path,
    *,
    user: str = "user",
    item: str = "item",
    timestamp: str = "timestamp",
    rating: str | None = "rating",
    title: str | None = "title",
    brand: str | None = "brand",
    category: str | None = "category",
    core: int = 0,
    seed: int = 0,
) -> tuple[Interactions, Catalogue]:
    """Read a table with one interaction a row.

    Users with fewer than 3 interactions stay: the split gives them train rows only and counts them. An item without a
    title is called "item <id>"; without brand and category it has no facets.

    Args:
        path: .csv (also .csv.gz, or .tsv) or .parquet.
        user, item: names of the id columns; ids are text, or whole numbers from 0.
        timestamp: name of the time column: seconds since 1970, or dates such as 2024-05-01T12:00:00 (UTC).
        rating, title, brand, category: names of columns that may be absent; a category holds values separated by "|".
            What an item is called comes from the first row that says it.
        core: 0 keeps every row; k keeps the iterated k-core.
        seed: of the rule that orders a user's rows of equal time.

    Raises:
        DataError: naming file, row (counted as in a text editor for CSV: the header is row 1) and cure.
    """
    path = Path(path)
    table = read(path)
    for role, column in (("user", user), ("item", item), ("timestamp", timestamp)):
        if column not in table.columns:
            raise DataError(
                f"{path} has no column {column!r} (columns: {', '.join(map(str, table.columns))}); "
                f"rename the {role} column to {role!r}, or name it with {role}=..."
            )
    if not len(table):
        raise DataError(f"{path} has a header but no rows; write one interaction a row")
    users, user_ids = dense_ids(_ids(path, table, user))
    items, item_ids = dense_ids(_ids(path, table, item))
    interactions = build(
        users,
        items,
        _times(path, table, timestamp),
        user_ids,
        item_ids,
        keep=k_core(users, items, core) if core else None,
        rating=_numbers(path, table, rating) if rating in table.columns else None,
        seed=seed,
        name=path.name,
    )
    names = np.asarray(item_ids).astype(str)
    texts = {c: _first_text(table, c, items, names) for c in (title, brand, category) if c in table.columns}
    values = {i: v.split("|") for i, v in texts.get(category, {}).items()}
    return interactions, make_catalogue(interactions.item_ids, texts.get(title), texts.get(brand), values)


def check_file(path: str | Path) -> None:
    """Raise DataError unless ``path`` is a file."""
    if not Path(path).is_file():
        problem = "is a folder" if Path(path).is_dir() else "does not exist"
        raise DataError(f"{path} {problem}; give the path of a .csv or .parquet file")


def read(path: str | Path):
    """The file as a DataFrame: of CSV every cell as text, NaN where it is empty.

    Raises:
        DataError: if it is no table.
    """
    import pandas as pd

    path = Path(path)
    check_file(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        separator = "\t" if ".tsv" in path.suffixes else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=MISSING)
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow (pip install pyarrow), or save it as CSV") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a table ({reason}); save it as UTF-8 CSV or as Parquet") from error


def _fail(path: Path, bad: np.ndarray, problem: str, cure: str) -> None:
    """Raise for the first row where ``bad`` is true."""
    if bad.any():
        row = int(np.argmax(bad)) + (1 if path.suffix == ".parquet" else 2)
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        raise DataError(f"{path}, row {row}{more}: {problem}; {cure}")


def _ids(path: Path, table, column: str) -> np.ndarray:
    import pandas as pd

    values = table[column]
    _fail(path, values.isna().to_numpy(), f"{column} is missing", "drop such rows or fill in the id")
    numbers = pd.to_numeric(values, errors="coerce") if values.dtype.kind not in "iuf" else values
    negative = (numbers < 0).to_numpy(bool)
    _fail(path, negative, f"{column} is negative", "number ids from 0, or use text ids; -1 often marks a missing id")
    if values.dtype.kind == "f":
        fraction = (values % 1 != 0).to_numpy(bool)
        _fail(path, fraction, f"{column} is not a whole number", "store ids as whole numbers or text")
        return values.to_numpy(np.int64)
    whole = values.dtype.kind in "iu" or values.str.fullmatch(r"0|[1-9]\d{0,17}").all()  # "007" stays text
    return values.to_numpy().astype(np.int64) if whole else values.to_numpy(object)


def _numbers(path: Path, table, column: str) -> np.ndarray:
    import pandas as pd

    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    _fail(path, ~np.isfinite(values), f"{column} is not a number", f"correct it, or pass {column}=None to ignore it")
    return values


def _times(path: Path, table, column: str) -> np.ndarray:
    import pandas as pd

    values = table[column]
    _fail(path, values.isna().to_numpy(), f"{column} is missing", "every row needs a time; drop rows without one")
    if values.dtype.kind not in "iufM":
        numbers = pd.to_numeric(values, errors="coerce")
        if numbers.isna().all():
            numbers = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
        _fail(path, numbers.isna().to_numpy(), f"{column} is not a time", "use seconds since 1970 or ISO dates")
        values = numbers
    if values.dtype.kind == "M" or hasattr(values.dtype, "tz"):
        values = (values - pd.Timestamp(0, tz=getattr(values.dt, "tz", None))) // pd.Timedelta(seconds=1)
    wild = ~np.isfinite(values.to_numpy(np.float64))
    _fail(path, wild, f"{column} is not finite", "use seconds since 1970")
    _fail(path, (values < 0).to_numpy(bool), f"{column} is negative", "use seconds since 1970, or drop such rows")
    _fail(path, (values >= 2**62).to_numpy(bool), f"{column} is too large", "use seconds since 1970")
    return np.floor(values.to_numpy()).astype(np.int64)


def _first_text(table, column: str, items: np.ndarray, names: np.ndarray) -> dict[str, str]:
    """The first non-missing text of each item in a column."""
    rows = np.flatnonzero(table[column].notna().to_numpy())
    rows = rows[[bool(clean_text(v)) for v in table[column].to_numpy()[rows]]]
    known, first = np.unique(items[rows], return_index=True)
    return dict(zip(names[known].tolist(), (str(v) for v in table[column].to_numpy()[rows[first]])))


def summary(path: str | Path, **keywords):
    """What was read of a table: DataFrame with the index ``what`` and the column ``value`` (text).

    Args:
        path, keywords: as for :func:`load`.
    """
    import pandas as pd

    interactions, catalogue = load(path, **keywords)
    facts = {"rows": len(interactions), "users": interactions.n_users, "items": interactions.n_items}
    return pd.DataFrame({"what": list(facts), "value": [str(v) for v in facts.values()]}).set_index("what")
