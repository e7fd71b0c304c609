"""What is said about items: clean text, category values, and the closed set of answers the language model may give."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.entities import html5

from .interactions import Catalogue, Interactions

TITLE_CHARS, VALUE_CHARS = 200, 60
# white space, control characters, halves of surrogate pairs, signs that turn the direction of writing, U+FFFD
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff\ufffd]+")
_ENTITY = re.compile(r"&(?:#\d{1,20};?|#[xX][\da-fA-F]{1,20};?|[A-Za-z]\w*;)")
_MARKUP = re.compile(r"<[^<>]*>")


def clean_text(value, limit: int = TITLE_CHARS, *, drop_markup: bool = False) -> str:
    """One line of plain text: whitespace and control characters become single spaces, at most ``limit`` characters.

    Titles come from web pages and strangers. HTML entities are read until none is left: real files hold ``&amp;reg;``,
    escaped twice. What they stand for is text: ``<z_start>`` and ``&lt;b&gt;`` become or stay plain characters, and
    the tokenizer must treat them as such. None and NaN become "". Cleaning a clean text changes nothing.

    Args:
        value: text, or anything that ``str`` makes one.
        limit: largest number of characters of the result.
        drop_markup: leave out ``<...>`` as it stands in ``value``, before entities are read.
    """
    if value is None or value != value:
        return ""
    text = _MARKUP.sub(" ", str(value)) if drop_markup else str(value)
    text, before = _BLANK.sub(" ", text).strip()[: 16 * limit], ""  # an entity has a dozen characters
    while text != before:
        text, before = _ENTITY.sub(_character, text), text
    return _BLANK.sub(" ", text).strip()[:limit].rstrip()


def _character(entity: re.Match) -> str:
    """What an entity stands for; a name needs its semicolon, so that "Q&notes" and "?a=1&copy=2" stay as they are."""
    text = entity[0]
    return unescape(text) if text[1] == "#" else html5.get(text[1:], text)


def make_catalogue(item_ids, titles=None, brands=None, categories=None) -> Catalogue:
    """A catalogue from mappings by original id; what is missing there is "item <id>", no brand, no category.

    Args:
        item_ids: original ids in index order, str, shape (m,).
        titles, brands: dict id -> text.
        categories: dict id -> sequence of texts.
    """
    titles, brands, categories = titles or {}, brands or {}, categories or {}
    return Catalogue(
        item_ids=item_ids,
        titles=tuple(clean_text(titles.get(i)) or f"item {i}" for i in item_ids.tolist()),
        brands=tuple(clean_text(brands.get(i), VALUE_CHARS) for i in item_ids.tolist()),
        categories=tuple(_distinct(categories.get(i, ())) for i in item_ids.tolist()),
    )


def _distinct(values) -> tuple[str, ...]:
    cleaned = (clean_text(v, VALUE_CHARS) for v in values)
    return tuple(dict.fromkeys(v for v in cleaned if v))


def top_tags(train: Interactions, n: int = 3) -> tuple[tuple[str, ...], ...]:
    """The ``n`` tags that most train rows give an item, ties by name; an item without a train row has none.

    On LastFM the interactions are the tag assignments, so tags of held-out rows would tell who took what.
    """
    counts: list[Counter] = [Counter() for _ in range(train.n_items)]
    for item, tags in zip(train.item.tolist(), train.tags):
        counts[item].update(tags)
    return tuple(tuple(t for t, _ in sorted(c.items(), key=lambda p: (-p[1], p[0]))[:n]) for c in counts)


def with_facets(catalogue: Catalogue, train: Interactions, min_items: int = 5) -> Catalogue:
    """The catalogue with ``facets`` and ``answers`` set, from item data and train rows only.

    A value (category or brand) that at least ``min_items`` items hold is an answer. The facets of an item are its
    answers, rarest category first (ties by name), brand last.

    Args:
        catalogue: items, with categories as loaded.
        train: train rows; if they carry tags, categories are the top 3 tags of each item.
        min_items: smallest number of items, so that an answer never names one product.
    """
    if train.tags is not None:
        catalogue = replace(catalogue, categories=tuple(_distinct(t) for t in top_tags(train)))
    pairs = list(zip(catalogue.categories, catalogue.brands))
    count = Counter(value for categories, brand in pairs for value in {*categories, brand} if value)
    answers = frozenset(value for value, n in count.items() if n >= min_items)
    facets = []
    for categories, brand in pairs:
        named = sorted((c for c in categories if c in answers), key=lambda c: (count[c], c))
        facets.append((*named, brand) if brand in answers and brand not in named else tuple(named))
    return replace(catalogue, facets=tuple(facets), answers=tuple(sorted(answers)))
