"""LastFM (HetRec 2011): the tag assignments of 1,091 listeners, in the papers' selection."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from .archives import damaged, read_member
from .core import build, dense_ids, one_pass
from .download import locate
from .facets import make_catalogue
from .interactions import Catalogue, Interactions

ARCHIVE = "hetrec2011-lastfm-2k.zip"
FILES = (ARCHIVE,)
COLUMNS = ("userID", "artistID", "tagID", "timestamp")


def _table(path: Path, member: str, encoding: str, columns: dict[str, type]):
    """The first columns of a tab-separated member of the archive, each ``int`` or ``str``, as a DataFrame."""
    import pandas as pd

    text = io.StringIO(read_member(path, member, encoding))
    texts = {name: str for name, kind in columns.items() if kind is str}
    options = {"quoting": csv.QUOTE_NONE, "keep_default_na": False, "skip_blank_lines": False, "low_memory": False}
    try:
        table = pd.read_csv(text, sep="\t", dtype=texts, **options)
    except ValueError as error:  # a line with too many cells, which the message names
        raise damaged(path, f"{member} is no table ({' '.join(str(error).split())})") from error
    if list(table.columns)[: len(columns)] != list(columns) or not isinstance(table.index, pd.RangeIndex):
        raise damaged(path, f"{member} must begin with the columns {', '.join(columns)}")
    bad = table.isna().any(axis=1)
    whole = [name for name in columns if name not in texts]
    for name in whole:
        values = table[name] if table[name].dtype.kind in "if" else table[name].astype(str)
        numbers = pd.to_numeric(values, errors="coerce")
        bad |= ~(numbers.abs() < 2**53) | (numbers % 1 != 0)
        table[name] = numbers.where(~bad, 0).astype(np.int64)
    if bad.any():
        problem = f"{member} has too few cells, or no whole number as {', '.join(whole)}"
        raise damaged(path, problem, int(bad.to_numpy().argmax()) + 2)
    return table[list(columns)]


def read_pairs(path: Path):
    """Distinct (user, artist) pairs in file order, each with its first timestamp (s) and all its tag names.

    Returns:
        DataFrame with columns userID, artistID, timestamp, tags.

    Raises:
        DataError: if the archive is damaged.
    """
    rows = _table(path, "user_taggedartists-timestamps.dat", "utf-8", dict.fromkeys(COLUMNS, int))
    tags = _table(path, "tags.dat", "latin-1", {"tagID": int, "tagValue": str})
    names = dict(zip(tags["tagID"].tolist(), tags["tagValue"].tolist()))  # the catalogue cleans them
    of_pair: dict[tuple[int, int], list[str]] = {}
    for number, (user, artist, tag) in enumerate(zip(*(rows[c].tolist() for c in COLUMNS[:3])), start=2):
        if tag not in names:
            raise damaged(path, f"user_taggedartists-timestamps.dat names tag {tag}, which tags.dat lacks", number)
        of_pair.setdefault((user, artist), []).append(names[tag])
    pairs = rows.drop_duplicates(["userID", "artistID"]).reset_index(drop=True)  # the first row of each
    pairs["timestamp"] //= 1000
    pairs["tags"] = [tuple(dict.fromkeys(t)) for t in of_pair.values()]  # same order: first appearance
    return pairs.drop(columns="tagID")


def load(*, seed: int = 0, download: bool = True, progress: bool = False) -> tuple[Interactions, Catalogue]:
    """LastFM as both papers use it: 1,091 users, 3,685 artists, 52,670 pairs.

    The first row in file order of each (user, artist); artists named in artists.dat; artists with at least 5 users,
    then users with at least 5 artists, once each. Categories come from tags and are therefore set by the split.

    Args:
        seed: of the rule that orders a user's rows of equal time (36 % of the targets tie).
        download, progress: see :func:`contrec.data.download.locate`.

    Raises:
        DataError: if the archive is missing or damaged.
    """
    path = locate(ARCHIVE, download=download, progress=progress)
    artists = _table(path, "artists.dat", "utf-8", {"id": int, "name": str})
    pairs = read_pairs(path)
    pairs = pairs[pairs["artistID"].isin(artists["id"])].reset_index(drop=True)
    user, user_ids = dense_ids(pairs["userID"].to_numpy())
    item, item_ids = dense_ids(pairs["artistID"].to_numpy())
    interactions = build(
        user,
        item,
        pairs["timestamp"].to_numpy(np.int64),
        user_ids,
        item_ids,
        keep=one_pass(user, item),
        tags=pairs["tags"].tolist(),
        seed=seed,
        name="lastfm (raw)",
    )
    titles = dict(zip(artists["id"].astype(str), artists["name"]))
    return interactions, make_catalogue(interactions.item_ids, titles)
