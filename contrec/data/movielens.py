"""MovieLens 1M in the selection of the authors' files: ratings of at least 3."""

from __future__ import annotations

import io

import numpy as np

from .core import build, dense_ids, one_pass
from .download import locate, read_member
from .facets import make_catalogue
from .interactions import Catalogue, DataError, Interactions

ARCHIVE = "ml-1m.zip"
FILES = (ARCHIVE,)
N_RATINGS = 1_000_209


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
    import pandas as pd

    path = locate(ARCHIVE, download=download, progress=progress)
    text = read_member(path, "ml-1m/ratings.dat", "latin-1")
    try:
        columns = np.array(text.replace("::", " ").split(), dtype=np.int64).reshape(-1, 4)
    except ValueError as error:
        raise DataError(f"{path}: ratings.dat is not UserID::MovieID::Rating::Timestamp ({error})") from error
    if len(columns) != N_RATINGS:
        raise DataError(f"{path}: ratings.dat has {len(columns)} rows, expected {N_RATINGS}; fetch {ARCHIVE} again")
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
    movies = pd.read_csv(
        io.StringIO(read_member(path, "ml-1m/movies.dat", "latin-1").replace("::", "\t")),
        sep="\t",
        header=None,
        names=["id", "title", "genres"],
        quoting=3,
        keep_default_na=False,
        dtype=str,
    )
    genres = {i: g.split("|") for i, g in zip(movies["id"], movies["genres"])}
    return interactions, make_catalogue(interactions.item_ids, dict(zip(movies["id"], movies["title"])), None, genres)
