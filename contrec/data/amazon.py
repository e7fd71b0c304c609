"""Amazon reviews: Beauty (2014 release), Games and Software (2018 release)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .archives import Record, damaged, read_json_lines, read_rows
from .core import build, dense_ids
from .download import locate
from .facets import clean_text, make_catalogue
from .interactions import Catalogue, Interactions

FILES = {
    "beauty": ("reviews_Beauty_5.json.gz", "meta_Beauty.json.gz"),
    "games": ("Video_Games_5.json.gz", "meta_Video_Games.json.gz"),
    "software": ("Software_5.json.gz", "meta_Software.json.gz"),
}
SAMPLE = "Software_5_sample.csv"
N_BEAUTY = 198_502
YEAR_2100 = 4_102_444_800  # in seconds


def read_reviews(path: Path, records=None):
    """Columns of a review file: DataFrame with user, item, timestamp, rating (NaN where missing), positive, verified.

    ``positive`` is ``overall`` > 3 or, in files without ratings, their flag ``overall_gt3``. A row without either is
    not positive: in the assembled Beauty file those rows belong to users with at most 4 positive reviews, whom the
    filter of 5 removes anyway.

    Args:
        path: file with one JSON object a line.
        records: an iterable of :class:`Record` to use instead of the file's.

    Raises:
        DataError: naming file, line and field, if a field is missing or of a wrong type, or a time makes no sense.
    """
    import pandas as pd

    columns: dict[str, list] = {k: [] for k in ("user", "item", "timestamp", "rating", "positive", "verified")}
    for review in read_json_lines(path) if records is None else records:
        columns["user"].append(review.identifier("reviewerID"))
        columns["item"].append(review.identifier("asin"))
        columns["timestamp"].append(int(review.number("unixReviewTime", 1, YEAR_2100, whole=True)))
        rated = "overall" in review.fields
        columns["rating"].append(float(review.number("overall", 0, 5)) if rated else math.nan)
        columns["positive"].append(columns["rating"][-1] > 3 if rated else review.flag("overall_gt3"))
        columns["verified"].append(review.flag("verified"))
    return pd.DataFrame(columns)


def leaves(record: Record) -> tuple[str, ...]:
    """Last value of each category path: ``categories`` holds paths (2014), ``category`` is one path (2018)."""
    paths = record.paths("categories") or [record.texts("category")]
    cleaned = ([v for v in (clean_text(p, drop_markup=True) for p in path) if v] for path in paths)
    return tuple(path[-1] for path in cleaned if path)


def clean_brand(brand) -> str:
    """A brand without the page debris of the 2018 files ("by", mark-up, line breaks)."""
    return clean_text(brand, drop_markup=True).removeprefix("by ").strip()


def read_catalogue(path: Path, item_ids) -> Catalogue:
    """Title, brand and category leaves of the items in ``item_ids``; the first record of an item counts.

    Raises:
        DataError: naming file, line and field, if a record has no id, or a field of a wrong type.
    """
    wanted, titles, brands, categories = set(item_ids.tolist()), {}, {}, {}
    for record in read_json_lines(path):
        asin = record.identifier("asin")
        if asin in wanted and asin not in titles:
            titles[asin] = clean_text(record.text("title"))
            brands[asin] = clean_brand(record.text("brand"))
            categories[asin] = leaves(record)
    return make_catalogue(item_ids, titles, brands, categories)


def _interactions(reviews, *, min_user: int, seed: int, name: str) -> Interactions:
    user, user_ids = dense_ids(reviews["user"].to_numpy(object))
    item, item_ids = dense_ids(reviews["item"].to_numpy(object))
    rating = reviews["rating"].to_numpy(np.float32)
    keep = np.flatnonzero((np.bincount(user) >= min_user)[user]) if len(user) else None
    return build(
        user,
        item,
        reviews["timestamp"].to_numpy(np.int64),
        user_ids,
        item_ids,
        keep=keep,
        rating=None if np.isnan(rating).any() else rating,
        seed=seed,
        name=name,
    )


def load_beauty(positive: bool = False, *, seed: int = 0, download: bool = True, progress: bool = False):
    """Beauty 5-core of 2014.

    Args:
        positive: False: all 198,502 reviews of 22,363 users and 12,101 items (DeftRec). True: reviews with
            ``overall`` > 3 of users who have at least 5: 130,455 of 14,993 users and 12,069 items (ContRec).
        seed: of the rule that orders a user's rows of equal time (times are days).
        download, progress: see :func:`contrec.data.download.locate`.

    Raises:
        DataError: if a file is missing, damaged or incomplete.
    """
    paths = [locate(file, download=download, progress=progress) for file in FILES["beauty"]]
    reviews = read_reviews(paths[0])
    if len(reviews) != N_BEAUTY:
        raise damaged(paths[0], f"has {len(reviews)} reviews, expected {N_BEAUTY} (2014 release)")
    if positive:
        reviews = reviews[reviews["positive"]].reset_index(drop=True)
    name = f"beauty{'_positive' * positive} (raw)"
    interactions = _interactions(reviews, min_user=5, seed=seed, name=name)
    return interactions, read_catalogue(paths[1], interactions.item_ids)


def load_games(*, seed: int = 0, download: bool = True, progress: bool = False) -> tuple[Interactions, Catalogue]:
    """Games 5-core of 2018 by the authors' stated recipe: verified, ``overall`` > 3, no duplicate rows, users >= 5.

    Raises:
        DataError: if a file is missing or damaged.
    """
    paths = [locate(file, download=download, progress=progress) for file in FILES["games"]]
    reviews = read_reviews(paths[0])
    reviews = reviews[reviews["verified"] & reviews["positive"]].drop_duplicates().reset_index(drop=True)
    interactions = _interactions(reviews, min_user=5, seed=seed, name="games (raw)")
    return interactions, read_catalogue(paths[1], interactions.item_ids)


def load_software(*, seed: int = 0, download: bool = True, progress: bool = False) -> tuple[Interactions, Catalogue]:
    """Software 5-core of 2018 by the recipe inferred from DeftRec's files: ``overall`` >= 3, users with at least 5.

    Raises:
        DataError: if a file is missing or damaged.
    """
    paths = [locate(file, download=download, progress=progress) for file in FILES["software"]]
    reviews = read_reviews(paths[0])
    reviews = reviews[reviews["rating"] >= 3].reset_index(drop=True)
    interactions = _interactions(reviews, min_user=5, seed=seed, name="software (raw)")
    return interactions, read_catalogue(paths[1], interactions.item_ids)


def load_software_sample(*, seed: int = 0, download: bool = True, progress: bool = False):
    """A 25 % sample of the Software reviews, with times but without titles: ``overall`` >= 3, all users.

    Raises:
        DataError: if the file is missing or damaged.
    """
    path = locate(SAMPLE, download=download, progress=progress)
    reviews = read_reviews(path, sample_records(path))
    reviews = reviews[reviews["rating"] >= 3].reset_index(drop=True)
    interactions = _interactions(reviews, min_user=1, seed=seed, name="software (sample)")
    return interactions, make_catalogue(interactions.item_ids)


def sample_records(path: Path):
    """Lines of the sample with the types of a review."""
    types = {"overall": float, "unixReviewTime": int, "verified": {"True": True, "False": False}.__getitem__}
    for line, row in read_rows(path, ",", ("reviewerID", "asin", "overall", "verified", "unixReviewTime")):
        try:
            yield Record(path, line, row | {name: read(row[name]) for name, read in types.items()})
        except (ValueError, KeyError) as error:
            raise damaged(path, f"overall, verified or unixReviewTime is of a wrong type ({error})", line) from error
