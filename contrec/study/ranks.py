"""Recorded results in ``data/reproduced``: a CSV and the ranks behind it, ``*.ranks.parquet``, written and read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contrec.evaluation import Evaluation
from contrec.study import stale

NAMES = ("model", "seed")


def write_results(
    path: Path, frame: pd.DataFrame, kept: Iterable[tuple[tuple, Evaluation]], names: Sequence[str] = NAMES
) -> Path:
    """Write rows to ``path`` and the ranks behind them beside it, over what was recorded there before.

    Args:
        path: of the CSV.
        frame: with columns value, low and high, which are rounded to six digits.
        kept, names: as in :func:`write_ranks`.

    Returns:
        The path of the ranks.

    Raises:
        ValueError: if something is recorded there that is not among ``kept``; nothing is written then.
    """
    ranks, kept = path.with_suffix(".ranks.parquet"), list(kept)
    new = {tuple(map(str, key)) for key, _ in kept}
    lost = [key for key in (read_ranks(ranks, names) if ranks.exists() else ()) if tuple(map(str, key)) not in new]
    if lost:
        first = ", ".join(f"{name} {value}" for name, value in zip(names, lost[0], strict=True))
        raise ValueError(
            f"{path} holds {len(lost)} recorded results that are not among those to be written ({first}, ...): "
            "ask for all of them in one command, or remove the file to record less"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.round({"value": 6, "low": 6, "high": 6}).to_csv(path, index=False)
    write_ranks(ranks, kept, names)
    return ranks


def write_ranks(path: Path, kept: Iterable[tuple[tuple, Evaluation]], names: Sequence[str] = NAMES) -> None:
    """Keep the rank of every case's target.

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
    """The evaluations that :func:`write_ranks` has kept, by the values of ``names``, in the order of the file."""
    found, marks = {}, stale.marks(path)
    for key, own in pd.read_parquet(path).groupby(list(names), sort=False):
        counts = {"cases": len(own), "users": own.user.nunique()}
        counts |= {"stale": True} if stale.rows(marks, own.head(1)).any() else {}
        arrays = own["rank"].to_numpy(np.float64), own.ties.to_numpy(), own.user.to_numpy()
        found[key] = Evaluation(*arrays, "/seen-kept" not in str(key[0]), None, counts)
    return found
