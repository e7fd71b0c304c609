"""What the two papers print: every number once, Table 1 recomputed, and the one place where a verdict is made."""

from __future__ import annotations

import math

import pandas as pd

from contrec import paths
from contrec.evaluation import side

COLUMNS = ["paper", "table", "row", "column", "dataset", "model", "metric", "value", "sd"]
# what stands in data/published besides the printed tables
NOT_PRINTED = ("not_available", "contradictions", "statements", "marks", "coverage", "equations", "released")


def published(table: str | None = None) -> pd.DataFrame:
    """The printed numbers of one table, or of all of them.

    Args:
        table: a file of ``data/published`` without its ending ("contrec_table2", "settings", ...), or None for all.

    Returns:
        One row per printed number or text, in the order of print: ``COLUMNS``, then ``text`` (what is printed where
        that is not a number, and remarks) and ``digits`` (the number as printed, so that "0.0240" keeps its zero).
        ``value`` and ``sd`` are float and NaN where nothing is printed; all other columns are str, "" where empty.

    Raises:
        ValueError: if there is no such table.
    """
    folder = paths.published()
    names = sorted(path.stem for path in folder.glob("*.csv") if path.stem not in NOT_PRINTED)
    if table is not None and table not in names:
        raise ValueError(f"table must be one of {', '.join(names)}, got {table!r}")
    frames = []
    for name in names if table is None else [table]:
        frame = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        frame["text"] = frame["text"] if "text" in frame else ""
        frame["digits"] = frame["value"]
        for column in ("value", "sd"):
            frame[column] = pd.to_numeric(frame[column].replace("", None)).astype(float)
        frames.append(frame[[*COLUMNS, "text", "digits"]])
    return pd.concat(frames, ignore_index=True)


def contradictions() -> pd.DataFrame:
    """What does not agree within and between the papers: paper, table, cell, finding (a sentence each, str)."""
    return pd.read_csv(paths.published() / "contradictions.csv", dtype=str, keep_default_na=False)


def not_available() -> pd.DataFrame:
    """What the papers hold and we do not have as numbers: paper, table, content, reason (str)."""
    return pd.read_csv(paths.published() / "not_available.csv", dtype=str, keep_default_na=False)


def half_unit(digits: str) -> float:
    """Half a unit of the last printed place: "0.0473" -> 0.00005; counts without a decimal point are exact (0.0)."""
    return 0.5 * 10.0 ** -len(digits.split(".")[1]) if "." in digits else 0.0


def are_counts(cells: pd.DataFrame, n_users: float) -> pd.Series:
    """Of printed rates (columns value, digits): whether a whole number of hits among so many users rounds to each."""
    near = (cells.value * n_users).round() / n_users
    return (near - cells.value).abs() <= cells.digits.map(half_unit) * (1 + 1e-6)


def table1(measured: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table 1 of both papers beside what its own numbers give, and beside the data if ``measured`` is passed.

    length = interactions / users; density = 100 interactions / (users x items), in percent. For the interactions,
    ``recomputed`` is what the printed density implies (users x items x density / 100).

    Args:
        measured: statistics of the data at hand, columns dataset, users, items, interactions, length, density (in
            percent). A row "beauty_positive" (ratings above 3, as in ContRec's released files) is named beside
            ContRec's Beauty.

    Returns:
        One row per printed cell: paper, dataset, quantity, printed, recomputed (NaN where nothing can be recomputed),
        with ``measured`` also measured (NaN where the dataset was not measured), and contradiction: what does not
        agree, in words, or "". Numbers agree when they are equal in the printed places.

    Raises:
        ValueError: if ``measured`` lacks a column or has a dataset twice.
    """
    if measured is not None:
        missing = {"dataset", "users", "items", "interactions", "length", "density"} - set(measured.columns)
        if missing:
            raise ValueError(f"measured must have the columns {', '.join(sorted(missing))} too")
        if measured["dataset"].duplicated().any():
            raise ValueError("measured must have one row per dataset: " + ", ".join(measured["dataset"]))
        measured = measured.set_index("dataset")
    rows = []
    for paper in ("contrec", "deftrec"):
        for dataset, cells in published(f"{paper}_table1").groupby("dataset", sort=False):
            digits = {m.removesuffix(" (%)"): text for m, text in zip(cells["metric"], cells["digits"], strict=True)}
            rows += _table1_rows(paper, dataset, digits, measured)
    return pd.DataFrame(rows)


def _table1_rows(paper: str, dataset: str, digits: dict, measured: pd.DataFrame | None) -> list[dict]:
    """The rows of one line of a printed Table 1."""
    value = {quantity: float(text) for quantity, text in digits.items()}
    users, items, n = value["users"], value["items"], value["interactions"]
    area = users * items / 100
    again = {"density": n / area, "length": n / users, "interactions": area * value["density"]}
    rows = []
    for quantity, text in digits.items():
        words, half = [], half_unit(text) or 0.5
        if quantity in ("density", "length") and abs(again[quantity] - value[quantity]) > half * (1 + 1e-9):
            implied = value[quantity] * (area if quantity == "density" else users)
            by = f"({users:,.0f} x {items:,.0f})" if quantity == "density" else f"{users:,.0f}"
            shown = f"{again[quantity]:.{len(text.split('.')[1])}f}"
            words.append(
                f"printed {text}, but {n:,.0f} / {by} = {shown}; {text} implies about {implied:,.0f} interactions"
            )
        row = {"paper": paper, "dataset": dataset, "quantity": quantity, "printed": value[quantity]}
        row["recomputed"] = again.get(quantity, math.nan)
        if measured is not None:
            row["measured"] = float(measured.at[dataset, quantity]) if dataset in measured.index else math.nan
            if abs(row["measured"] - value[quantity]) > half * (1 + 1e-9):
                words.append(f"printed {text}, but the data have {_number(row['measured'])}")
                if (paper, dataset) == ("contrec", "beauty") and "beauty_positive" in measured.index:
                    other = _number(float(measured.at["beauty_positive", quantity]))
                    words.append(f"the part with ratings above 3 has {other}")
        rows.append({**row, "contradiction": "; ".join(words)})
    return rows


def _number(value: float) -> str:
    """A count with thousands separators, anything else with four significant digits."""
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def verdict(
    published: float | None, published_sd: float | None, reproduced: float | None, reproduced_sd: float | None
) -> str:
    """Does a reproduced value agree with the printed one?

    Args:
        published: printed value; None or NaN where the papers print none.
        published_sd: printed standard deviation; None or NaN where none is printed. Then only ``reproduced_sd`` counts.
        reproduced: our value; None or NaN if the run was not made.
        reproduced_sd: its standard deviation, of the same kind as the printed one (ContRec prints the spread over five
            inferences of one training); where the paper prints none, that of the interval over users and trainings.
            The two kinds are never mixed.

    Returns:
        "within" if the difference is at most two combined standard deviations (root of the sum of squares), else
        "above" or "below" (the reproduced value against the printed one); "not run" without a reproduced value; "not
        published" without a printed one.

    Raises:
        ValueError: if both values exist but no standard deviation does, or if one is negative.
    """
    absent = [x is None or math.isnan(x) for x in (published, published_sd, reproduced, reproduced_sd)]
    if absent[2]:
        return "not run"
    if absent[0]:
        return "not published"
    if absent[1] and absent[3]:
        raise ValueError("a verdict needs a standard deviation: pass that of the interval over users as reproduced_sd")
    spread = [0.0 if gone else float(sd) for sd, gone in ((published_sd, absent[1]), (reproduced_sd, absent[3]))]
    if min(spread) < 0:
        raise ValueError(f"a standard deviation must not be negative, got {min(spread)}")
    difference, reach = reproduced - published, 2 * math.hypot(*spread) + 1e-12
    return {1: "above", -1: "below", 0: "within"}[side(difference - reach, difference + reach)]
