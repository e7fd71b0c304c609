"""A small made table for those who want to try their own: planted interactions, and what happens to spoiled ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

from contrec.checks import DataError
from contrec.files import replacing

from . import table
from .planted import planted

NAME = "planted_shop.csv"  # its name says that nobody real is in it
MISTAKES = {  # what went wrong: column, row as a text editor counts (the header is row 1), what stands there
    "a time that is none": ("timestamp", 7, "last summer"),
    "a missing user": ("user", 12, ""),
    "a rating in words": ("rating", 3, "five stars"),
    "a column of another name": ("timestamp", 1, "when"),
}


def write_example(folder: str | Path, n_users: int = 150, n_items: int = 80, seed: int = 0) -> Path:
    """Write planted interactions as somebody's own CSV: one interaction a row, in the order of time.

    Args:
        folder: made if it is not there.
        n_users, n_items, seed: of :func:`contrec.data.planted.planted`.

    Returns:
        The file ``planted_shop.csv``, columns user, item, timestamp (ISO dates), rating (5 throughout), title, brand,
        category.
    """
    import pandas as pd

    made, catalogue, _ = planted(n_users, n_items, seed)
    take = lambda values: [values[i] for i in made.item]  # noqa: E731
    rows = pd.DataFrame(
        {
            "user": made.user_ids[made.user], "item": made.item_ids[made.item],
            "timestamp": pd.to_datetime(made.timestamp, unit="s").strftime("%Y-%m-%dT%H:%M:%S"), "rating": 5,
            "title": take(catalogue.titles), "brand": take(catalogue.brands),
            "category": ["|".join(values) for values in take(catalogue.categories)],
        }
    ).iloc[made.timestamp.argsort(kind="stable")]  # fmt: skip
    path = Path(folder) / NAME
    with replacing(path) as part:
        rows.to_csv(part, index=False)
    return path


def first_rows(path: str | Path, n: int = 5):
    """The first rows of a table as they stand in the file (DataFrame)."""
    return table.read(path).head(n)


def problem(path: str | Path, **columns) -> str:
    """What is wrong with a table, in one sentence that names its row and the cure; "" if it can be read.

    Args:
        path, columns: of :func:`contrec.data.table.load`.
    """
    try:
        table.load(path, **columns)
    except DataError as error:
        text = str(error)
        for file in filter(None, (path, columns.get("items"))):
            text = text.replace(str(file), Path(file).name)
        return text
    return ""


def mistakes(path: str | Path):
    """What is said of a good CSV when one of its cells is spoiled (DataFrame: mistake, message)."""
    import csv

    import pandas as pd

    with open(path, newline="", encoding="utf-8") as stream:
        good = list(csv.reader(stream))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / Path(path).name
        for mistake, (column, row, text) in MISTAKES.items():
            rows = [list(cells) for cells in good]
            rows[row - 1][good[0].index(column)] = text
            with open(bad, "w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(rows)
            found.append((mistake, problem(bad)))
    return pd.DataFrame(found, columns=["mistake", "message"])
