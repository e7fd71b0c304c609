"""Which column holds what: by the names that its owner gives, else by names that many files use."""

from __future__ import annotations

import difflib
import re
from itertools import takewhile

from contrec.checks import DataError

from ..facets import clean_text
from .delimited import Delimited, is_data

ROLES = ("user", "item", "timestamp", "rating", "title", "brand", "category", "event")  # keywords that name columns
BESIDE = ("events", "items", "items_id")  # the other keywords: events that count, a file of items, its id column
NEEDED = ROLES[:3]
TEXTS = ("title", "brand", "category")
# Well-known names, small letters only and without "_", "-" and blanks; the first group with a name in the file counts.
KNOWN: dict[str, tuple[tuple[str, ...], ...]] = {
    "user": (
        ("user",),
        ("userid", "uid", "customerid", "customer", "visitorid", "reviewerid", "memberid"),
        ("sessionid", "session", "usersession"),
    ),
    "item": (
        ("item",),
        ("parentasin",),
        ("itemid", "iid", "movieid", "productid", "product", "movie", "asin", "artistid", "bookid", "isbn", "songid")
        + ("trackid", "gameid", "articleid", "newsid", "videoid", "businessid", "sku"),
    ),
    "timestamp": (("timestamp",), ("unixreviewtime",), ("time", "datetime", "date", "eventtime", "createdat", "ts")),
    "rating": (("rating",), ("overall", "stars", "score")),
    "title": (("title",), ("itemtitle", "movietitle", "producttitle", "productname", "itemname")),
    "brand": (("brand",), ("store", "manufacturer", "publisher")),
    "category": (("category",), ("categories", "genres", "genre"), ("maincategory", "categorycode", "class")),
    "event": (("event",), ("eventtype", "behavior", "behaviour", "behaviortype", "action", "actiontype")),
}
_OF_REVIEWS = {"helpfulvote", "verifiedpurchase", "reviewtext", "text", "helpful", "verified"}


def plain(name: str) -> str:
    """A column's name without capital letters, blanks, "_" and "-"."""
    return re.sub(r"[\s_-]", "", name.lower())


def choose(table, role: str, name: str | None = None, exclude=()) -> str | None:
    """Column of ``table`` for a role.

    Args:
        table: an open table.
        role: one of ``ROLES``.
        name: of the column; None: found by ``KNOWN``; "": no column.
        exclude: columns that have another role.

    Raises:
        DataError: if there is no such column, or several that might be meant.
    """
    if name == "":
        return None
    if name is None:
        names = {n: plain(n) for n in table.names if n not in exclude}
        for group in KNOWN[role]:
            found = [n for n, short in names.items() if short in group]
            if found:
                break
        else:
            return None
        exact = [n for n in found if n == role] or found
        if len(exact) > 1:
            shown = " and ".join(repr(clean_text(n, 30)) for n in exact[:3])
            raise DataError(f"{table.path}: {shown} may both hold the {role}; say which with {role}={exact[0][:30]!r}")
        name = exact[0]
    if name in table.names:
        if table.names.count(name) > 1:
            raise DataError(f"{table.path} has {table.names.count(name)} columns {name!r}; give each its own name")
        return name
    raise missing(table, role, name)


def missing(table, role: str, name: str | None = None) -> DataError:
    """What to say of a column that is not there: names of columns, never a row of data."""
    known = [n for n in table.names if any(plain(n) in group for r in NEEDED for group in KNOWN[r])]
    if not known and isinstance(table, Delimited) and table.headless:
        return DataError(
            f"{table.path} seems to have no header line (its first line looks like data); "
            "write one with the column names, such as user,item,timestamp"
        )
    wanted = name or role
    short = {plain(n): n for n in _names(table)}
    close = difflib.get_close_matches(plain(wanted), short, n=1) or [s for s in short if plain(wanted) in s]
    cure = f"rename the {role} column to {role!r}, or name it with {role}=..."
    if close:
        meant = repr(clean_text(short[close[0]], 40))
        cure = f"did you mean {meant}? Name it with {role}={meant}"
    return DataError(f"{table.path} has no column {wanted[:40]!r} ({listed(table)}); {cure}")


def listed(table) -> str:
    """The first names of columns, for messages."""
    names = _names(table)[:7]
    more = ["..."] if len(table.names) > len(names) else []
    return f"columns: {', '.join([*(clean_text(n, 20) for n in names), *more])}"


def _names(table) -> list[str]:
    """Names up to the first that looks like data: a header may have lost its line end."""
    return list(takewhile(lambda name: name == "" or not is_data(name), table.names))


def of_reviews(table) -> bool:
    """Whether the table holds reviews, whose titles are not those of items."""
    return bool(_OF_REVIEWS & {plain(n) for n in table.names})
