"""The three tables everything else is made from: interactions, the catalogue, and cases to predict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from contrec.checks import of_kind
from contrec.shown import Shown


@dataclass(frozen=True, repr=False)
class Interactions(Shown):
    """User-item interactions as parallel columns, sorted by (user, time, tie rule).

    Attributes:
        user: dense user index, int64, shape (n,), non-decreasing, 0..n_users-1.
        item: dense item index, int64, shape (n,), 0..n_items-1.
        timestamp: seconds since 1970, int64, shape (n,); where a source has none, the position in the user's sequence.
        user_ids: original user id of each dense index, str, shape (n_users,).
        item_ids: original item id of each dense index, str, shape (n_items,).
        rating: rating of each row, float32, shape (n,), or None where the source has none.
        tags: tuple of strings for each row (LastFM's tag assignments), or None.
        has_time: False where the source gives an order but no times (``time_point`` is then refused).
        name: dataset and source, for messages and provenance.
        row: position of each row in its source file, int64, shape (n,), or None (orders ties at a cut of time).
        nanosecond: what follows ``timestamp`` in the order of time, int64, shape (n,), or None for whole seconds.
    """

    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    rating: np.ndarray | None = None
    tags: tuple[tuple[str, ...], ...] | None = None
    has_time: bool = True
    name: str = "unnamed"
    row: np.ndarray | None = None
    nanosecond: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def about(self) -> dict:
        return {"name": self.name, "users": self.n_users, "items": self.n_items, "rows": len(self)}

    def more(self) -> dict:
        has = {"times": self.has_time, "ratings": self.rating is not None, "tags": self.tags is not None}
        return {name: "yes" if value else "no" for name, value in has.items()}

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)


@dataclass(frozen=True, repr=False)
class Catalogue(Shown):
    """What is known about each item besides who took it.

    ``facets`` and ``answers`` are set by the split (:func:`contrec.data.facets.with_facets`), because on some datasets
    they come from interactions and may use train rows only.

    Attributes:
        item_ids: original ids, shape (m,).
        titles: one string per item; a missing title is "item <id>".
        brands: brand per item, "" where missing.
        categories: category values per item (genres, leaves of the category path, top tags), possibly empty.
        facets: per item the values of the closed answer set that hold for it, rarest category first, brand last.
        answers: the closed answer set: every facet value with at least 5 items, sorted.
    """

    item_ids: np.ndarray
    titles: tuple[str, ...]
    brands: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    facets: tuple[tuple[str, ...], ...] = field(default=())
    answers: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.item_ids)

    def about(self) -> dict:
        brands, categories = set(self.brands) - {""}, {value for values in self.categories for value in values}
        return {"items": len(self), "brands": len(brands), "categories": len(categories), "answers": len(self.answers)}

    def more(self) -> dict:
        values = zip(self.item_ids[:FIRST], self.titles, self.brands, self.categories, strict=False)
        return {f"item {item}": " | ".join(filter(None, (title, brand, *own))) for item, title, brand, own in values}

    def gold_answer(self, item: int) -> str | None:
        """The facet that the gold answer names: the item's rarest category, else its brand, else None."""
        return self.facets[item][0] if self.facets[item] else None


FIRST = 5  # items that a catalogue shows


class Case(NamedTuple):
    """One thing to predict: what ``user`` takes at ``time`` after ``history`` (oldest first)."""

    user: int
    history: np.ndarray
    target: int
    time: int


@dataclass(frozen=True, repr=False)
class Cases(Shown):
    """Many cases over one shared array of item sequences (a history is a slice of it, never a copy).

    Attributes:
        items: concatenated sequences, int64.
        start, stop: ``items[start[i]:stop[i]]`` is the history of case i, oldest first, int64, shape (n,).
        user: dense user index, -1 for somebody outside the data, int64, shape (n,).
        target: item to predict, -1 where unknown, int64, shape (n,).
        time: timestamp of the target, int64, shape (n,).
    """

    items: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    user: np.ndarray
    target: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def about(self) -> dict:
        return {"cases": len(self), "users": len(np.unique(self.user[self.user >= 0])), **self._lengths()}

    def more(self) -> dict:
        return {"strangers": int((self.user < 0).sum()), "with a target": int((self.target >= 0).sum())}

    def _lengths(self) -> dict:
        if not len(self):
            return {}
        return {"mean_history": float(self.lengths.mean()), "longest_history": int(self.lengths.max())}

    def __getitem__(self, i: int) -> Case:
        return Case(int(self.user[i]), self.history(i), int(self.target[i]), int(self.time[i]))

    def history(self, i: int) -> np.ndarray:
        return self.items[self.start[i] : self.stop[i]]

    @property
    def lengths(self) -> np.ndarray:
        return self.stop - self.start

    def select(self, rows) -> Cases:
        """The cases at ``rows`` (indices, slice or boolean mask), sharing the item array."""
        return replace(self, **{k: getattr(self, k)[rows] for k in ("start", "stop", "user", "target", "time")})

    @classmethod
    def from_histories(cls, histories, user=None) -> Cases:
        """Cases without a target, from a list of item index sequences (for recommending)."""
        lengths = np.array([len(h) for h in histories], dtype=np.int64)
        stop = np.cumsum(lengths)
        n = len(lengths)
        unknown = np.full(n, -1, dtype=np.int64)
        items = np.concatenate([np.asarray(h, dtype=np.int64) for h in histories]) if n else unknown
        return cls(
            items, stop - lengths, stop, unknown if user is None else np.asarray(user, np.int64), unknown, unknown
        )

    def history_matrix(self, n_items: int):
        """Visible histories as a sparse 0/1 matrix, CSR, shape (len(self), n_items); repeats count once."""
        from scipy.sparse import csr_matrix

        lengths = self.lengths
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        columns = self.items[np.repeat(self.start, lengths) + offsets]
        matrix = csr_matrix((np.ones(len(columns), np.float32), columns, indptr), shape=(len(self), n_items))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix


def history_seed(history: np.ndarray) -> int:
    """A seed that depends on the history alone (FNV-1a over its items, 31 bits)."""
    value = 2166136261
    for item in history.tolist():
        value = ((value ^ item) * 16777619) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


@dataclass(frozen=True, repr=False)
class Split(Shown):
    """Train, validation and test of one dataset under one protocol.

    Attributes:
        train: the only rows that any model's parameters may see.
        train_cases: last 10 prefixes of each user with at least 2 history items, all inside ``train``.
        validation, test: held-out cases; a history is everything before its target (with validation rows, for test).
        catalogue: items with facets computed from train rows only.
        protocol: "leave_one_out" | "time_point" | "unseen_users".
        counts: what was left out and why (cold targets, empty histories, share of tied timestamps, ...).
        seen_users: under "unseen_users", where ``test`` is about users outside training: the test cases of the users in
            it; None elsewhere.
    """

    train: Interactions
    train_cases: Cases
    validation: Cases
    test: Cases
    catalogue: Catalogue
    protocol: str
    counts: dict
    seen_users: Cases | None = None

    def about(self) -> dict:
        parts = {part: len(getattr(self, part)) for part in ("train", "train_cases", "validation", "test")}
        return {
            "name": self.train.name, "protocol": self.protocol, "users": self.n_users, "items": self.n_items, **parts
        }  # fmt: skip

    def more(self) -> dict:
        return {name.replace("_", " "): value for name, value in self.counts.items()}

    @property
    def n_items(self) -> int:
        return self.train.n_items

    @property
    def n_users(self) -> int:
        return self.train.n_users


def require_split(split) -> None:
    """TypeError unless ``split`` is a :class:`Split`: what ``fit`` is given by mistake is told with the way to one."""
    of_kind(
        "split", split, Split,
        "make one with contrec.data.split(*contrec.data.load('planted')), or of a table of your own with "
        "contrec.data.split(*contrec.data.load('table', path='my.csv'))",
    )  # fmt: skip
