"""Ranks behind recorded results: what ``*.ranks.parquet`` in ``data/reproduced`` holds, written and read back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contrec.evaluation import Evaluation

NAMES = ("model", "seed")


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
    found = {}
    for key, own in pd.read_parquet(path).groupby(list(names), sort=False):
        counts = {"cases": len(own), "users": own.user.nunique()}
        arrays = own["rank"].to_numpy(np.float64), own.ties.to_numpy(), own.user.to_numpy()
        found[key] = Evaluation(*arrays, "/seen-kept" not in str(key[0]), None, counts)
    return found
