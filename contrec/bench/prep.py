"""From raw columns to sequences: the iterated 5-core, sorted by user and time, in pandas and in the library."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from contrec.bench.harness import OURS, REFERENCE, Bar, Benchmark, Check, watched
from contrec.data import core
from contrec.data.interactions import Interactions


class Sequences(NamedTuple):
    """Users numbered by increasing id and items by first appearance, int64, (n,), and the file row of each, (n,)."""

    user: np.ndarray
    item: np.ndarray
    row: np.ndarray


def raw_rows(n_rows: int) -> pd.DataFrame:
    """Columns user, item and timestamp (whole days, so that ties occur), int64, always the same, with long tails.

    Rows stand in the order of the tie rule: a stable sort by user and time then follows it at no cost.
    """
    rng = np.random.default_rng(0)
    user = (n_rows / 10 * rng.random(n_rows) ** 3).astype(np.int64)
    item = (n_rows / 33 * rng.random(n_rows) ** 3).astype(np.int64)
    timestamp = 86_400 * rng.integers(14_000, 18_000, n_rows)
    order = np.argsort(core.tie_hash(0, core.dense_ids(user)[0], core.dense_ids(item)[0]), kind="stable")
    return pd.DataFrame({"user": user[order], "item": item[order], "timestamp": timestamp[order]})


def in_pandas(table: pd.DataFrame, k: int = 5) -> Sequences:
    """As most codes do it: group sizes until nothing falls below ``k``, sort_values, factorize."""
    n_before = -1
    while len(table) != n_before:
        n_before = len(table)
        table = table[table.groupby("item")["user"].transform("size") >= k]
        table = table[table.groupby("user")["item"].transform("size") >= k]
    table = table.sort_values(["user", "timestamp"])  # stable with several keys
    return Sequences(pd.factorize(table["user"])[0], pd.factorize(table["item"])[0], table.index.to_numpy())


def in_contrec(user: np.ndarray, item: np.ndarray, timestamp: np.ndarray, k: int = 5) -> Interactions:
    """The library's way, as :func:`contrec.data.table.load` does it; columns of shape (n,)."""
    users, user_ids = core.dense_ids(user)
    items, item_ids = core.dense_ids(item)
    return core.build(users, items, timestamp, user_ids, item_ids, keep=core.k_core(users, items, k))


def benchmark(device: str = "cpu", *, n_rows: int = 10_000_000) -> Benchmark:
    """The 5-core and sequences of ``n_rows`` rows, on the CPU whatever the device.

    pandas is the reference layout and the fair baseline in one.
    """
    table = raw_rows(n_rows)
    columns = [table[name].to_numpy() for name in table]

    def check(results) -> list[Check]:
        with watched() as peak:
            in_contrec(*columns)
        pairs = [(getattr(results[OURS], name), column) for name, column in results[REFERENCE]._asdict().items()]
        differ = sum(not np.array_equal(ours, theirs) for ours, theirs in pairs)
        return [
            Check("columns (user, item, row) of the sequences that differ from pandas", differ, 0),
            Check("peak memory over the input, MiB", peak.mib, 1.2 * 1024),
        ]

    return Benchmark(
        name="prep",
        shape=f"{n_rows:,} rows, whole-number ids",
        ways={REFERENCE: lambda: in_pandas(table), OURS: lambda: in_contrec(*columns)},
        check=check,
        bars=[Bar(REFERENCE, 2)],
    )
