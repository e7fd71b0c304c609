"""Anyone's interactions from a file of one's own, and item texts from a second one; told is what was read.

Steps: the bytes (``contents``), rows and header (``delimited``, ``files``), which column is what (``headers``),
ids, times and texts (``columns``), and here the whole.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contrec.checks import DataError

from ..core import build, k_core
from ..facets import clean_text, make_catalogue
from ..interactions import Catalogue, Interactions
from . import columns
from .columns import Column
from .files import describe, open_table
from .headers import NEEDED, ROLES, TEXTS, choose, listed, missing, of_reviews

YEAR = 365 * 86_400  # seconds


def load(
    path: str | Path,
    *,
    user: str | None = None,
    item: str | None = None,
    timestamp: str | None = None,
    rating: str | None = None,
    title: str | None = None,
    brand: str | None = None,
    category: str | None = None,
    event: str | None = None,
    events: str | None = None,
    items: str | Path | None = None,
    items_id: str | None = None,
    core: int = 0,
    seed: int = 0,
) -> tuple[Interactions, Catalogue]:
    """Read a table with one interaction a row.

    Users with fewer than 3 interactions stay: the split gives them train rows only and counts them. An item without a
    title is called "item <id>"; without brand and category it has no facets. :func:`summary` tells what was read.

    Args:
        path: CSV (separated by comma, tab, semicolon or "|"), JSON lines, Parquet or Feather, perhaps compressed; its
            content tells which.
        user, item, timestamp, rating, title, brand, category, event: names of columns. None: found by
            ``headers.KNOWN`` ("user", "userId", "movieId", ...); "": none. The first three must be there.
            Ids are text, or whole numbers from 0. Times are seconds since 1970 (throughout milli-, micro- or
            nanoseconds are told by their size) or ISO dates (UTC where they name no zone), sorted in full. A category
            holds values separated by "|", or a list. What an item is called comes from the first row that says it.
        events: which values of the column ``event`` count as interactions, separated by "|" ("purchase|cart"); None:
            all, and repeats stay.
        items: a second file with one item a row, from which title, brand and category come; a title in a table of
            reviews is the review's, and is not taken.
        items_id: its id column; None: of the same name as ``item``, or found by its name.
        core: 0 keeps every row; k keeps the iterated k-core.
        seed: of the rule that orders a user's rows of equal time.

    Raises:
        DataError: naming file, line (as a text editor counts; for other formats the row) and cure.
        ValueError: for settings of a wrong type or range.
    """
    named = dict(user=user, item=item, timestamp=timestamp, rating=rating, title=title, brand=brand, category=category)
    found = _read(path, {**named, "event": event}, events, items, items_id, core, seed)
    return found.interactions, found.catalogue


def summary(path: str | Path, **keywords):
    """What was read of a table, and of which column: DataFrame with the index ``what`` and the column ``value`` (text).

    Args:
        path, keywords: as for :func:`load`.
    """
    import pandas as pd

    named = {role: keywords.pop(role, None) for role in ROLES}
    rest = {"events": None, "items": None, "items_id": None, "core": 0, "seed": 0}
    if unknown := set(keywords) - set(rest):
        raise ValueError(f"a table has no setting {sorted(unknown)[0]!r}; settings are {', '.join((*ROLES, *rest))}")
    facts = _read(path, named, **{**rest, **keywords}).facts
    return pd.DataFrame({"what": list(facts), "value": list(facts.values())}).set_index("what")


def read(path: str | Path):
    """The file as a DataFrame, as it stands in the file (of text every cell as text).

    Raises:
        DataError: if it is no table.
    """
    table = open_table(path)
    return table.columns(list(dict.fromkeys(table.names))).to_pandas()


@dataclass
class Found:
    """What a file gave: interactions, catalogue, and facts for people (dict name -> text)."""

    interactions: Interactions
    catalogue: Catalogue
    facts: dict[str, str]


def _read(path, named: dict, events, items, items_id, core, seed) -> Found:
    _check_settings({**named, "events": events, "items_id": items_id}, core, seed)
    table = open_table(path)
    chosen = {role: choose(table, role, named[role]) for role in (*NEEDED, "rating", "event")}
    for role in NEEDED:
        if named[role] == "":
            raise ValueError(f"{role} must name a column of {table.path}, got ''")
        if chosen[role] is None:
            raise missing(table, role)
        twice = [other for other in NEEDED if other != role and chosen[other] == chosen[role]]
        if twice:
            raise ValueError(
                f"{role} and {twice[0]} are both column {chosen[role]!r} of {table.path}; name two columns"
            )
    if events is not None and chosen["event"] is None:
        raise missing(table, "event")
    about = open_table(items) if items is not None else None
    source, notes = _text_columns(table, about, named, chosen)
    wanted = [*chosen.values(), *(name for place, name in source.values() if place is table)]
    values = _columns(table, wanted)
    if not len(values[chosen["user"]]):
        raise DataError(f"{table.path} has a header but no rows; write one interaction a row")
    with _told(table, chosen["user"]):
        users, user_ids, told = columns.ids(values[chosen["user"]])
    with _told(table, chosen["item"]):
        codes, item_ids, more = columns.ids(values[chosen["item"]])
    with _told(table, chosen["timestamp"]):
        seconds, nanoseconds, unit = columns.times(values[chosen["timestamp"]])
    ratings = None
    if chosen["rating"]:
        with _told(table, chosen["rating"]):
            ratings = columns.numbers(values[chosen["rating"]])
    notes += [*told, *more]
    keep, dropped = np.arange(len(users)), []
    if chosen["event"]:
        with _told(table, chosen["event"]):
            kept, text = _events(values[chosen["event"]], events)
        keep = keep[kept]
        dropped += [f"{len(users) - len(keep)} other events"] if events else []
        notes.append(f"events: {text}")
    if core:
        before = len(keep)
        keep = keep[k_core(users[keep], codes[keep], core)]
        dropped.append(f"{before - len(keep)} outside the {core}-core")
    interactions = build(
        users, codes, seconds, user_ids, item_ids,
        keep=keep if len(keep) < len(users) else None, rating=ratings, seed=seed, name=Path(path).name,
        nanosecond=nanoseconds if nanoseconds.any() else None,
    )  # fmt: skip
    names = np.asarray(item_ids).astype(str)
    texts, joined = _texts(source, table, values, codes, names, about, chosen["item"], items_id, interactions)
    catalogue = make_catalogue(interactions.item_ids, texts.get("title"), texts.get("brand"), texts.get("category"))
    facts = _facts(table, interactions, len(users), unit, dropped, chosen, source, texts)
    facts.update(joined)
    if seconds.max() < YEAR:
        notes.append("all times lie in 1970: a counter, years or days? the models use their order alone")
    if notes:
        facts["notes"] = "; ".join(notes)
    return Found(interactions, catalogue, {k: clean_text(v, 300) for k, v in facts.items()})


def _check_settings(texts: dict, core, seed) -> None:
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be a text, got {value!r}")
    for name, value in (("core", core), ("seed", seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} must be a whole number of at least 0, got {value!r}")


def _text_columns(table, about, named: dict, chosen: dict):
    """Where title, brand and category stand: dict role -> (open table, column); and notes."""
    source, notes = {}, []
    taken = [name for name in chosen.values() if name]
    for role in TEXTS:
        name = named[role]
        if about is not None and (not name or name in about.names or name not in table.names):
            found = choose(about, role, name)
            if role == "title" and found is None and name is None:
                found = next((n for n in about.names if n.lower() == "name"), None)
            if found:
                source[role] = (about, found)
                continue
        found = choose(table, role, name, exclude=taken)
        if found and role == "title" and name is None and of_reviews(table):
            notes.append(f"{found!r} is the title of a review and was not taken; item texts come with items=...")
        elif found:
            source[role] = (table, found)
    return source, notes


def _columns(table, wanted) -> dict[str, Column]:
    wanted = list(dict.fromkeys(name for name in wanted if name))
    try:
        read = table.columns(wanted)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{table.path} cannot be read as a table; save it as CSV (UTF-8) or as Parquet") from error
    found = {}
    for name in wanted:
        with _told(table, name):
            found[name] = Column(table, name, read[name])
    return found


@contextmanager
def _told(table, name: str):
    """Errors of conversions as one message that names file and column."""
    import pyarrow as pa

    try:
        yield
    except DataError as error:
        if str(table.path) in str(error):
            raise
        raise DataError(f"{table.path}: column {name!r}: {error}") from error
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{table.path}: column {name!r} cannot be read; store it as text") from error


def _events(column: Column, events: str | None) -> tuple[np.ndarray, str]:
    """Which rows count, and how often each kind of event happened."""
    kinds = column.values.cast("string").to_pandas().fillna("(none)").str.strip()
    counts = kinds.value_counts()
    shown = ", ".join(f"{clean_text(kind, 20)} {n}" for kind, n in counts.head(6).items())
    if len(counts) > 6:
        shown += ", ..."
    if events is None:
        return np.ones(len(kinds), bool), f"{shown} (all kept; events=... keeps some)"
    wanted = [kind.strip() for kind in events.split("|")]
    for kind in wanted:
        if kind not in counts.index:
            raise DataError(f"{column.table.path}: no row has event {kind[:30]!r} (events: {shown})")
    return kinds.isin(wanted).to_numpy(), f"{shown} (kept: {', '.join(wanted)})"


def _texts(source, table, values, codes, names, about, item, items_id, interactions):
    """Texts of items, dict role -> dict id -> text or list, and facts about the second file."""
    texts, facts = {}, {}
    own = {role: name for role, (place, name) in source.items() if place is table}
    for role, name in own.items():
        with _told(table, name):
            texts[role] = _of_items(role, table, values[name], codes, names)
    if about is None:
        return texts, facts
    key = items_id or (item if item in about.names else None)
    key = choose(about, "item", key)
    if key is None and "id" in [n.lower() for n in about.names]:
        key = next(n for n in about.names if n.lower() == "id")
    if key is None:
        raise DataError(
            f"{about.path} has no column {item!r} to join by ({listed(about)}); name its id column with items_id=..."
        )
    theirs = {role: name for role, (place, name) in source.items() if place is about}
    if not theirs:
        raise DataError(
            f"{about.path} has no title, brand or category ({listed(about)}); name them with title=..., category=..."
        )
    found = _columns(about, [key, *theirs.values()])
    if not len(found[key]):
        raise DataError(f"{about.path} has a header but no rows; write one item a row")
    with _told(about, key):
        rows, ids, _ = columns.ids(found[key])
    ids = np.asarray(ids).astype(str)
    shared = np.isin(interactions.item_ids, ids).sum()
    if not shared:
        raise DataError(
            f"none of the {interactions.n_items} items of {table.path} stands in column {key!r} of {about.path}; "
            "name the id column of the items with items_id=..."
        )
    for role, name in theirs.items():
        with _told(about, name):
            texts[role] = _of_items(role, about, found[name], rows, ids)
    again = len(rows) - len(ids)
    facts["items file"] = f"{about.path.name}: {shared} of {interactions.n_items} items found by {key!r}" + (
        f"; {again} repeated rows, of which the first text counts" if again else ""
    )
    return texts, facts


def _of_items(role: str, table, column: Column, codes: np.ndarray, names: np.ndarray) -> dict:
    if role == "category":
        types = getattr(table, "types", None)
        by = " " if types and types[table.names.index(column.name)].endswith("_seq") else "|"
        found = columns.first_values(column, codes, by)
    else:
        found = columns.first_texts(column, codes)
    return {names[number]: text for number, text in found.items()}


def _facts(table, interactions, n_rows, unit, dropped, chosen, source, texts) -> dict[str, str]:
    pairs = np.sort(interactions.user * interactions.n_items + interactions.item)
    repeats = np.count_nonzero(pairs[1:] == pairs[:-1])
    first, last = (np.datetime64(int(t), "s") for t in (interactions.timestamp.min(), interactions.timestamp.max()))
    finer = ", with fractions of a second" if interactions.nanosecond is not None else ""
    facts = {
        "file": f"{Path(table.path).name} ({describe(table)})",
        "rows": str(n_rows),
        "users": str(interactions.n_users),
        "items": str(interactions.n_items),
        "time": f"{first} to {last}, UTC",
        "unit of time": f"{unit}{finer}",
        "repeats": f"{repeats} rows repeat an item of their user (kept)",
        "dropped": "; ".join(dropped) or "0",
    }
    for role, column in chosen.items():
        facts[role] = f"column {column!r}" if column else "none"
    for role in TEXTS:
        if role in source:
            place, column = source[role]
            known = sum(i in texts[role] for i in interactions.item_ids.tolist())
            facts[role] = f"column {column!r} of {Path(place.path).name}: {known} of {interactions.n_items} items"
        else:
            facts[role] = "none"
    return facts
