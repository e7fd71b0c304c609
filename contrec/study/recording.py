"""Recorded results in ``data/reproduced``: a CSV and the ranks behind it, ``*.ranks.parquet``, written and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from contrec.artifacts import provenance, stale
from contrec.artifacts.provenance import read_table
from contrec.data import DataError
from contrec.evaluation import Evaluation
from contrec.study.config import Config
from contrec.study.fitting import load_split

NAMES = ("model", "seed")


def entry_of(config: Config, more: Mapping | None = None, **fields) -> dict:
    """The provenance record of a result of a config: settings, data, seeds, and the sizes of the split.

    Args:
        more: settings that the config does not hold; it stands under "study" beside them.
        fields: of :func:`contrec.artifacts.provenance.record`, over what is said here.
    """
    split = load_split(config)
    known = {
        "dataset": f"{config.dataset} {config.source}",
        "inputs": config.inputs(),
        "seeds": config.seeds,
        "rows": {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
    }
    about = asdict(config) if more is None else {"study": asdict(config), **more}
    return provenance.record(about, **known | fields)


def write_results(
    path: Path, frame: pd.DataFrame, kept: Iterable[tuple[tuple, Evaluation]], entry: dict, names: Sequence[str] = NAMES
) -> Path:
    """Write rows to ``path``, and the ranks behind them and their provenance beside it, over what was recorded there.

    Args:
        path: of the CSV.
        frame: with columns ``names``, metric, value, low and high; the last three are rounded to six digits.
        kept, names: as in :func:`write_ranks`.
        entry: from :func:`entry_of`.

    Returns:
        The path of the provenance record.

    Raises:
        ValueError: if something is recorded there that is not among ``kept``; nothing is written then.
        DataError: if the rows are not those that the ranks give.
    """
    ranks, kept = path.with_suffix(".ranks.parquet"), list(kept)
    _check_rows(path, frame, kept, names)
    _refuse_less(path, (key for key, _ in kept), names)
    rounded = frame.round({"value": 6, "low": 6, "high": 6})
    writing = {path: lambda part: rounded.to_csv(part, index=False), ranks: lambda part: write_ranks(part, kept, names)}
    return provenance.write(writing, entry)


def write_rows(path: Path, frame: pd.DataFrame, entry: dict, names: Sequence[str], **settings) -> Path:
    """Write rows that have no ranks behind them, and their provenance, over what was recorded there.

    Args:
        path: of the CSV.
        names: columns that say what a row is about.
        settings: of ``DataFrame.to_csv``.

    Returns:
        The path of the provenance record.

    Raises:
        ValueError: if something is recorded there that is not among the rows; nothing is written then.
    """
    _refuse_less(path, frame[list(names)].itertuples(index=False, name=None), names)
    return provenance.write({path: lambda part: frame.to_csv(part, index=False, **settings)}, entry)


def _refuse_less(path: Path, keys: Iterable[tuple], names: Sequence[str]) -> None:
    """Raise ValueError if something is recorded that is not among ``keys``."""
    new = {tuple(map(_text, key)) for key in keys}
    lost = [key for key in _keys(path, names) if tuple(map(_text, key)) not in new]
    if lost:
        first = ", ".join(f"{name} {value}" for name, value in zip(names, lost[0], strict=True))
        raise ValueError(
            f"{path} holds {len(lost)} recorded results that are not among those to be written ({first}, ...): "
            "ask for all of them in one command, or remove the file to record less"
        )


def _keys(path: Path, names: Sequence[str]) -> list[tuple]:
    """What is recorded, from the ranks, or from the rows where those cannot be read: both are about to be replaced."""
    for file, read in ((path.with_suffix(".ranks.parquet"), pd.read_parquet), (path, pd.read_csv)):
        with suppress(OSError, ValueError, LookupError):
            return list(read(file)[list(names)].drop_duplicates().itertuples(index=False, name=None))
    return []


def _check_rows(path: Path, frame: pd.DataFrame, kept: list[tuple[tuple, Evaluation]], names: Sequence[str]) -> None:
    """Raise DataError unless the rows are the metrics of the kept ranks, each once."""
    keys = zip(*(frame[name] for name in (*names, "metric")), strict=True)
    found = dict(zip((tuple(map(_text, key)) for key in keys), frame.value, strict=True))
    wanted = {tuple(map(_text, (*key, metric))): x for key, e in kept for metric, x in e.metrics().items()}
    differ = [key for key in wanted if not np.isclose(found.get(key, np.nan), wanted[key], rtol=0, atol=1e-6)]
    differ += found.keys() - wanted.keys()
    whole = frame[["value", "low", "high"]].notna().all(axis=None)
    if differ or len(frame) != len(wanted) or not whole:
        which = " ".join(differ[0]) if differ else "some are there twice or without a value"
        raise DataError(
            f"nothing is written to {path}: of {len(wanted)} rows that the kept ranks give, {len(differ)} differ from "
            f"the {len(frame)} to be written ({which}); remove the artifact they come from: it is made anew"
        )


def _text(value) -> str:
    """A name or number as text, ``1``, ``1.0`` and "1" alike."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)


def write_ranks(path: Path, kept: Iterable[tuple[tuple, Evaluation]], names: Sequence[str] = NAMES) -> None:
    """Write the rank of every case's target to a file that :func:`write_results` puts in its place.

    Args:
        path: of the parquet file; its columns are ``names``, user, rank (float32) and ties.
        kept: evaluations, each with the values of ``names``.
    """
    frames = [
        pd.DataFrame({"user": e.user, "rank": e.ranks.astype(np.float32), "ties": e.ties}).assign(
            **dict(zip(names, key, strict=True))
        )
        for key, e in kept
    ]
    pd.concat(frames, ignore_index=True)[[*names, "user", "rank", "ties"]].to_parquet(path, index=False)


def read_ranks(path: Path, names: Sequence[str] = NAMES) -> dict[tuple, Evaluation]:
    """The evaluations that :func:`write_ranks` has kept, by the values of ``names``, in the order of the file.

    Raises:
        Damaged: if the file is not what was written.
    """
    frame, found, marks = read_table(path), {}, stale.marks(path)
    missing = [column for column in (*names, "user", "rank", "ties") if column not in frame]
    if missing:
        raise provenance.damaged(path, f"has no column {missing[0]!r}")
    for key, own in frame.groupby(list(names), sort=False):
        counts = {"cases": len(own), "users": own.user.nunique()}
        counts |= {"stale": True} if stale.rows(marks, own.head(1)).any() else {}
        arrays = own["rank"].to_numpy(np.float64), own.ties.to_numpy(), own.user.to_numpy()
        found[key] = Evaluation(*arrays, "/seen-kept" not in str(key[0]), None, counts)
    return found
