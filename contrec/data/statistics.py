"""How large, how dense and how tied the data sets are."""

from __future__ import annotations

import numpy as np

from contrec.checks import DataError

from .cases import tied_rows
from .interactions import Interactions


def describe(interactions: Interactions) -> dict:
    """Statistics of one data set.

    Returns:
        users and items with an interaction; listed items (those of the catalogue without one included); interactions;
        mean length; density in per cent of users x items; smallest number of rows of a user and of an item; rows that
        repeat an item of the same user; share of rows in per cent that tie in time with another row of their user
        (None without times); first and last timestamp (None without times).
    """
    per_user = np.bincount(interactions.user)
    per_item = np.bincount(interactions.item)
    per_user, per_item = per_user[per_user > 0], per_item[per_item > 0]
    n = len(interactions)
    pairs = len(np.unique(interactions.user * interactions.n_items + interactions.item))
    timed = interactions.has_time and n > 0
    return {
        "users": len(per_user),
        "items": len(per_item),
        "listed_items": interactions.n_items,
        "interactions": n,
        "length": n / max(len(per_user), 1),
        "density_percent": 100 * n / max(len(per_user) * len(per_item), 1),
        "min_user": int(per_user.min(initial=n)),
        "min_item": int(per_item.min(initial=n)),
        "repeats": n - pairs,
        "tied_percent": 100 * float(tied_rows(interactions).mean()) if timed else None,
        "first_time": int(interactions.timestamp.min()) if timed else None,
        "last_time": int(interactions.timestamp.max()) if timed else None,
    }


def statistics(datasets=None, *, download: bool = False):
    """Statistics of several data sets as a DataFrame, one row each.

    Args:
        datasets: (name, source) pairs; None for all that the package knows.
        download: fetch what is missing; otherwise such rows say so in the column ``note``.

    Returns:
        DataFrame with columns dataset, source, those of :func:`describe`, and note ("" where all is well).
    """
    import pandas as pd

    from . import SOURCES_OF, load

    if datasets is None:
        datasets = [(name, source) for name, sources in SOURCES_OF.items() for source in sources if name != "table"]
    rows = []
    for name, source in datasets:
        row = {"dataset": name, "source": source}
        try:
            rows.append({**row, **describe(load(name, source, download=download)[0]), "note": ""})
        except DataError as error:
            rows.append({**row, "note": str(error)})
    table = pd.DataFrame(rows)
    whole = ["users", "items", "listed_items", "interactions", "min_user", "min_item", "repeats"]
    present = [c for c in (*whole, "first_time", "last_time") if c in table]
    return table.astype({c: "Int64" for c in present})
