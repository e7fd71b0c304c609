"""Recorded numbers that an earlier version of the package gave: shown as stale until they are recorded again.

``data/reproduced/stale.tsv`` holds a mark per line: file (below ``data/reproduced``, or ``figures/<name>`` without its
ending), column and values (which rows: patterns separated by blanks; both empty: all), since (stage and version from
which on results differ) and reason. Writing a record anew takes its marks away (:func:`unmark`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from contrec import paths
from contrec.files import replacing

COLUMNS = ["file", "column", "values", "since", "reason"]


def _file() -> Path:
    return paths.reproduced() / "stale.tsv"


def marks(path: Path | None = None) -> pd.DataFrame:
    """The marks of a recorded table, of its ranks or of a figure, or all of them: ``COLUMNS``, str, "" where empty."""
    if not _file().is_file():
        return pd.DataFrame(columns=COLUMNS)
    found = pd.read_csv(_file(), sep="\t", dtype=str, keep_default_na=False)
    return found if path is None else found[found.file == _name(path)]


def _name(path: Path) -> str | None:
    """What marks call a file; None outside the two folders."""
    path = Path(path).absolute()
    if path.is_relative_to(paths.figures()):
        return f"figures/{path.stem}"
    if not path.is_relative_to(paths.reproduced()):
        return None
    return path.relative_to(paths.reproduced()).as_posix().replace(".ranks.parquet", ".csv")


def rows(marks: pd.DataFrame, frame: pd.DataFrame) -> pd.Series:
    """Which rows of a recorded table the marks are about, bool; a column that the table lacks tells none apart."""
    stale = pd.Series(False, index=frame.index)
    for mark in marks.to_dict("records"):
        patterns = mark["values"].split()
        values = frame.get(mark["column"], pd.Series(patterns[0] if patterns else "", index=frame.index)).astype(str)
        stale |= values.map(lambda value: not patterns or any(fnmatchcase(value, p) for p in patterns))
    return stale.astype(bool)


def marked(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """A recorded table with a column ``stale`` (bool), where a row of it is."""
    found = rows(marks(path), frame)
    return frame.assign(stale=found) if found.any() else frame


def note(path: Path) -> str:
    """What stands behind the name of a table or figure: " (stale)", which of its rows, or nothing."""
    found = marks(path)
    which = ", ".join(f"{m.column} {m.values}" if m.column else "" for m in found.itertuples(index=False))
    return f" (stale{': ' * bool(which)}{which})" if len(found) else ""


def reason(path: Path) -> str:
    """Why a table or figure is stale, and since when; "" if it is not."""
    return "; ".join(f"stale since {m.since}: {m.reason}" for m in marks(path).itertuples(index=False))


def among(evaluations) -> bool:
    """Whether one of them was read from stale ranks (:func:`contrec.study.recording.read_ranks`)."""
    return any(e.counts.get("stale") for e in evaluations)


def shown(text: str, stale: bool) -> str:
    """A number as a table shows it."""
    return f"{text}, stale" if stale else text


def narrowed(path: Path, frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The marks of a recorded table as they are for some of its rows, which the values of a column name."""
    found = []
    for mark in marks(path).to_dict("records"):
        names = frame[column][rows(pd.DataFrame([mark]), frame)].drop_duplicates()
        if len(names):
            found.append({**mark, "column": column, "values": " ".join(names)})
    return pd.DataFrame(found, columns=COLUMNS)


def mark(new: pd.DataFrame) -> None:
    """Add marks."""
    if len(new):
        with replacing(_file()) as temporary:
            pd.concat([marks(), new]).to_csv(temporary, sep="\t", index=False)


def unmark(path: Path) -> None:
    """Take the marks of a table or figure away: it has been made anew."""
    found = marks()
    kept = found[found.file != _name(path)]
    if len(kept) == len(found):
        return
    if not len(kept):
        _file().unlink()
        return
    with replacing(_file()) as temporary:
        kept.to_csv(temporary, sep="\t", index=False)
