"""LastFM (HetRec 2011): the tag assignments of 1,091 listeners, in the papers' selection."""

from __future__ import annotations

import csv
import io

import numpy as np

from .core import build, dense_ids, one_pass
from .download import locate, read_member
from .facets import make_catalogue
from .interactions import Catalogue, DataError, Interactions

ARCHIVE = "hetrec2011-lastfm-2k.zip"
FILES = (ARCHIVE,)


def _table(path, member: str, encoding: str):
    import pandas as pd

    text = read_member(path, member, encoding)
    return pd.read_csv(io.StringIO(text), sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)


def read_pairs(path):
    """Distinct (user, artist) pairs in file order, each with its first timestamp (s) and all its tag names.

    Returns:
        DataFrame with columns userID, artistID, timestamp, tags.
    """
    rows = _table(path, "user_taggedartists-timestamps.dat", "utf-8")
    if list(rows.columns) != ["userID", "artistID", "tagID", "timestamp"]:
        raise DataError(f"{path}: user_taggedartists-timestamps.dat has columns {list(rows.columns)}; fetch it again")
    tags = _table(path, "tags.dat", "latin-1")
    names = dict(zip(tags["tagID"].tolist(), tags["tagValue"].astype(str).tolist()))
    of_pair: dict[tuple[int, int], list[str]] = {}
    for user, artist, tag in zip(rows["userID"].tolist(), rows["artistID"].tolist(), rows["tagID"].tolist()):
        of_pair.setdefault((user, artist), []).append(names[tag])
    pairs = rows.drop_duplicates(["userID", "artistID"]).reset_index(drop=True)  # keeps the first row of each
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
    artists = _table(path, "artists.dat", "utf-8")
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
    titles = dict(zip(artists["id"].astype(str), artists["name"].astype(str)))
    return interactions, make_catalogue(interactions.item_ids, titles)
