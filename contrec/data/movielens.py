"""MovieLens 1M in the selection of the authors' files: ratings of at least 3."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .archives import damaged, read_member
from .core import build, dense_ids, one_pass
from .download import locate
from .facets import make_catalogue
from .interactions import Catalogue, Interactions

ARCHIVE = "ml-1m.zip"
FILES = (ARCHIVE,)
N_RATINGS = 1_000_209
_RATING = re.compile(r"\d{1,9}::\d{1,9}::[1-5]::\d{1,10}", re.ASCII)


def load(
    *, min_rating: int = 3, seed: int = 0, download: bool = True, progress: bool = False
) -> tuple[Interactions, Catalogue]:
    """MovieLens 1M: 6,038 users, 3,307 movies, 835,789 ratings of at least 3.

    Movies with at least 5 such ratings, then users with at least 5, once each; genres are the categories.

    Args:
        min_rating: smallest rating that counts, 1..5 (the authors' files: 3).
        seed: of the rule that orders a user's rows of equal time.
        download, progress: see :func:`contrec.data.download.locate`.

    Raises:
        DataError: if the archive is missing, damaged or incomplete.
    """
    path = locate(ARCHIVE, download=download, progress=progress)
    columns = read_ratings(path)
    columns = columns[columns[:, 2] >= min_rating]
    user, user_ids = dense_ids(columns[:, 0])
    item, item_ids = dense_ids(columns[:, 1])
    interactions = build(
        user,
        item,
        columns[:, 3],
        user_ids,
        item_ids,
        keep=one_pass(user, item),
        rating=columns[:, 2],
        seed=seed,
        name="ml1m (raw)",
    )
    return interactions, make_catalogue(interactions.item_ids, *read_movies(path))


def _lines(path: Path, member: str) -> list[str]:
    return read_member(path, f"ml-1m/{member}", "latin-1").replace("\r\n", "\n").removesuffix("\n").split("\n")


def read_movies(path: Path) -> tuple[dict, None, dict]:
    """Title by MovieID, no brands, genres by MovieID."""
    titles, genres = {}, {}
    for number, line in enumerate(_lines(path, "movies.dat"), start=1):
        cells = line.split("::")
        if len(cells) != 3:
            raise damaged(path, "movies.dat is not MovieID::Title::Genres", number)
        titles[cells[0]], genres[cells[0]] = cells[1], cells[2].split("|")
    return titles, None, genres


def read_ratings(path: Path) -> np.ndarray:
    """UserID, MovieID, Rating (1..5) and Timestamp (s) of all rows, int64, shape (1000209, 4)."""
    lines = _lines(path, "ratings.dat")
    bad = next((n for n, line in enumerate(lines, start=1) if not _RATING.fullmatch(line)), None)
    if bad is not None:
        raise damaged(path, "ratings.dat is not UserID::MovieID::Rating::Timestamp with ratings 1 to 5", bad)
    if len(lines) != N_RATINGS:
        raise damaged(path, f"ratings.dat has {len(lines)} rows, expected {N_RATINGS}")
    return np.array(" ".join(lines).replace("::", " ").split(), dtype=np.int64).reshape(-1, 4)
