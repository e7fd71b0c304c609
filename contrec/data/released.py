"""The authors' split files: the exact sequences behind the published numbers."""

from __future__ import annotations

from html import unescape
from itertools import takewhile

import numpy as np

from . import amazon, lastfm
from .download import find, locate
from .facets import clean_text, make_catalogue
from .interactions import Catalogue, DataError, Interactions

FOLDERS = {
    "lastfm": "lastfm",
    "ml1m": "ml1m",
    "beauty": "beauty_deftrec",
    "beauty_positive": "beauty",
    "games": "game",
    "software": "software",
}


def files(name: str) -> tuple[str, ...]:
    """The files read for ``name``, as keys of :data:`contrec.data.sources.SOURCES`."""
    return tuple(f"processed/{FOLDERS[name]}/{file}" for file in ("test.txt", "user_list.txt", "item_list.txt"))


def read_sequences(path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User numbers, lengths and concatenated items of a file with lines ``user item item ...``, oldest first.

    Raises:
        DataError: naming file and line.
    """
    users, lengths, items = [], [], []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                user, *sequence = map(int, line.split())
            except ValueError as error:
                raise DataError(f"{path}, line {number}: expected 'user item item ...' ({error})") from error
            users.append(user)
            lengths.append(len(sequence))
            items.extend(sequence)
    return np.array(users), np.array(lengths), np.array(items, dtype=np.int64)


def _list(path):
    """A user or item list: space-separated with quotes; some titles hold line breaks, so never read by lines."""
    import pandas as pd

    table = pd.read_csv(path, sep=" ", dtype=str, keep_default_na=False)
    numbers = table["remap_id"].astype(np.int64).to_numpy()
    if not np.array_equal(np.sort(numbers), np.arange(len(table))):
        raise DataError(f"{path}: remap_id must number the rows 0..{len(table) - 1} without gaps; fetch the file again")
    return table.iloc[np.argsort(numbers)].reset_index(drop=True)


def load(name: str, *, download: bool = True, progress: bool = False, seed: int = 0) -> tuple[Interactions, Catalogue]:
    """The authors' sequences, train and test together, in their order.

    Items keep the authors' numbers, listed ones without an interaction included; users are those with a line. The files
    hold no times: ``timestamp`` is the position in the sequence and ``has_time`` is False. Tags (LastFM) and category
    paths (Beauty) are not in these files; they are added by original id from the raw archive if it is here.

    Args:
        name: "lastfm" | "ml1m" | "beauty" | "beauty_positive" | "games" | "software".
        download, progress: see :func:`contrec.data.download.locate`.
        seed: unused, as nothing ties; every loader takes it.

    Raises:
        DataError: if a file is missing or damaged.
    """
    sequences, user_list, item_list = (locate(f, download=download, progress=progress) for f in files(name))
    users, lengths, item = read_sequences(sequences)
    user_table, item_table = _list(user_list), _list(item_list)
    if len(item) and item.max() >= len(item_table):
        raise DataError(f"{sequences} names item {item.max()}, but {item_list} lists {len(item_table)} items")
    user_ids = user_table["org_id"].to_numpy()[users].astype(str)
    item_ids = item_table["org_id"].to_numpy().astype(str)
    user = np.repeat(np.arange(len(users)), lengths)
    position = np.arange(len(item)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    interactions = Interactions(
        user=user,
        item=item,
        timestamp=position,
        user_ids=user_ids,
        item_ids=item_ids,
        tags=_lastfm_tags(user_ids[user], item_ids[item]) if name == "lastfm" else None,
        has_time=False,
        name=f"{name} (released)",
    )
    return interactions, _catalogue(name, item_ids, item_table)


def _lastfm_tags(user_ids, item_ids):
    """Tag names of each (user, artist) row from the raw archive, or None if it is not here."""
    if find(lastfm.ARCHIVE) is None:
        return None
    pairs = lastfm.read_pairs(locate(lastfm.ARCHIVE, download=False))
    tags = dict(zip(zip(pairs["userID"].astype(str), pairs["artistID"].astype(str)), pairs["tags"]))
    return tuple(tags.get(pair, ()) for pair in zip(user_ids.tolist(), item_ids.tolist()))


def _catalogue(name: str, item_ids: np.ndarray, table) -> Catalogue:
    # where the authors found nothing, the files say "nan" or repeat the id as title and category
    columns = {
        c: ["" if v in (i, "nan") else v for v, i in zip(table[c], item_ids)] for c in table.columns if c != "remap_id"
    }
    titles = dict(zip(item_ids, columns["title"]))
    if name == "lastfm":  # its category column repeats the title
        return make_catalogue(item_ids, titles)
    if name == "ml1m":
        return make_catalogue(item_ids, titles, None, {i: c.split("|") for i, c in zip(item_ids, columns["category"])})
    if name == "software":  # its category column is the brand
        return make_catalogue(item_ids, titles, dict(zip(item_ids, map(amazon.clean_brand, columns["category"]))))
    if name == "games":  # the category path with the brand appended last
        split = [_path_and_brand(c) for c in columns["category"]]
        leaves = {i: path[-1:] for i, (path, _) in zip(item_ids, split)}
        return make_catalogue(item_ids, titles, {i: b for i, (_, b) in zip(item_ids, split)}, leaves)
    meta = amazon.FILES["beauty"][1]
    if find(meta) is not None:
        known = amazon.read_catalogue(locate(meta, download=False), item_ids)
        categories, brands = dict(zip(item_ids, known.categories)), dict(zip(item_ids, known.brands))
        return make_catalogue(item_ids, titles, brands, categories)
    if "category" not in columns:
        return make_catalogue(item_ids, titles)
    # a leaf that itself holds ", " cannot be told from a path here: its last part stands for it
    leaves = {i: c.split(", ")[-1:] for i, c in zip(item_ids, columns["category"])}
    return make_catalogue(item_ids, titles, dict(zip(item_ids, columns["brand"])), leaves)


def _path_and_brand(text: str) -> tuple[list[str], str]:
    """Games' "Video Games, PC, Games, Ubisoft" into path and brand, between which mark-up and advertising may stand."""
    *path, brand = text.split(", ") if text else [""]
    path = takewhile(lambda part: not part.startswith("<"), path)
    return [part for part in map(clean_text, map(unescape, path)) if part], amazon.clean_brand(unescape(brand))
