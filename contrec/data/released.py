"""The authors' split files: the exact sequences behind the published numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import numpy as np

from . import amazon, lastfm
from .archives import Record, damaged, read_lines, read_rows
from .download import find, locate
from .facets import clean_text, make_catalogue
from .interactions import Catalogue, Interactions

FOLDERS = {
    "lastfm": "lastfm",
    "ml1m": "ml1m",
    "beauty": "beauty_deftrec",
    "beauty_positive": "beauty",
    "games": "game",
    "software": "software",
}


# what an item list must have; Beauty's category and brand are used where they are
COLUMNS = {name: ("title",) for name in FOLDERS} | {
    name: ("title", "category") for name in ("ml1m", "games", "software")
}
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_SEQUENCE = re.compile(r"\s*\d{1,9}(?:\s+\d{1,9})+\s*", re.ASCII)


def files(name: str) -> tuple[str, ...]:
    """The files read for ``name``, as keys of :data:`contrec.data.sources.SOURCES`."""
    return tuple(f"processed/{FOLDERS[name]}/{file}" for file in ("test.txt", "user_list.txt", "item_list.txt"))


def read_sequences(path: Path, n_users: int, n_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User numbers, lengths and concatenated items of a file with lines ``user item item ...``, oldest first.

    Raises:
        DataError: naming file and line, if a line is something else, a number is not below ``n_users`` or ``n_items``,
            or a user has two lines.
    """
    users, lengths, items = {}, [], []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        if not _SEQUENCE.fullmatch(line):
            raise damaged(path, "expected 'user item item ...', whole numbers from 0", number)
        user, *sequence = map(int, line.split())
        if user >= n_users or max(sequence) >= n_items:
            what = f"user {user}" if user >= n_users else f"item {max(sequence)}"
            raise damaged(path, f"names {what}, but {n_users} users and {n_items} items are listed", number)
        if user in users:
            raise damaged(path, f"is the second line of user {user}", number)
        users[user] = number
        lengths.append(len(sequence))
        items.extend(sequence)
    if not users:
        raise damaged(path, "is empty")
    return np.array(list(users)), np.array(lengths), np.array(items, dtype=np.int64)


def read_list(path: Path, columns: Iterable[str] = ()):
    """A user or item list as a DataFrame of text, in the order of ``remap_id``; some titles hold line breaks.

    Raises:
        DataError: naming file and line, if there is no column org_id, remap_id or one of ``columns``, an original id is
            none or stands twice, or ``remap_id`` does not number the rows 0..n-1.
    """
    import pandas as pd

    rows, lines = {}, {}
    for line, row in read_rows(path, " ", ("org_id", "remap_id", *columns)):
        number = row.pop("remap_id")
        identifier = Record(path, line, row).identifier("org_id")
        if not _NUMBER.fullmatch(number):
            raise damaged(path, "remap_id must be a whole number", line)
        if int(number) in rows or identifier in lines:
            raise damaged(path, "org_id or remap_id stands in an earlier row too", line)
        rows[int(number)], lines[identifier] = row, line
    if not rows:
        raise damaged(path, "lists nothing")
    if max(rows) >= len(rows):
        raise damaged(path, f"remap_id must number the rows 0..{len(rows) - 1} without gaps, got {max(rows)}")
    return pd.DataFrame([rows[n] for n in range(len(rows))])


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
    user_table, item_table = read_list(user_list), read_list(item_list, COLUMNS[name])
    users, lengths, item = read_sequences(sequences, len(user_table), len(item_table))
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
        split = [path_and_brand(c) for c in columns["category"]]
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
    return make_catalogue(item_ids, titles, dict(zip(item_ids, columns.get("brand", ()))), leaves)


def path_and_brand(text: str) -> tuple[list[str], str]:
    """Games' "Video Games, PC, Games, Ubisoft" into path and brand, between which mark-up and advertising may stand."""
    *path, brand = text.split(", ") if text else [""]
    path = takewhile(lambda part: not part.startswith("<"), path)
    return [part for part in map(clean_text, path) if part], amazon.clean_brand(brand)
