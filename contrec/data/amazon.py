"""Amazon reviews: Beauty (2014 release), Games and Software (2018 release)."""

from __future__ import annotations

import re

import numpy as np

from .core import build, dense_ids
from .download import locate, read_json_lines
from .facets import clean_text, make_catalogue
from .interactions import Catalogue, DataError, Interactions

FILES = {
    "beauty": ("reviews_Beauty_5.json.gz", "meta_Beauty.json.gz"),
    "games": ("Video_Games_5.json.gz", "meta_Video_Games.json.gz"),
    "software": ("Software_5.json.gz", "meta_Software.json.gz"),
}
SAMPLE = "Software_5_sample.csv"
N_BEAUTY = 198_502
_MARKUP = re.compile(r"<[^<>]*>")


def is_positive(review: dict) -> bool:
    """Whether ``overall`` > 3, from the rating or from the flag ``overall_gt3`` of files without ratings.

    A row without either counts as not positive: in the assembled Beauty file those rows belong to users with at most
    4 positive reviews, whom the filter of 5 removes anyway.
    """
    return review["overall"] > 3 if "overall" in review else review.get("overall_gt3", 0) == 1


def read_reviews(path, rows=None):
    """Columns of a review file: DataFrame with user, item, timestamp, rating (NaN where missing), positive, verified.

    Args:
        path: file with one JSON object a line.
        rows: an iterable of such objects to use instead of the file's.

    Raises:
        DataError: naming file and row, if a field is missing or a time is not a positive whole number.
    """
    import pandas as pd

    columns: dict[str, list] = {k: [] for k in ("user", "item", "timestamp", "rating", "positive", "verified")}
    for number, review in enumerate(read_json_lines(path) if rows is None else rows, start=1):
        try:
            time = int(review["unixReviewTime"])
            columns["user"].append(str(review["reviewerID"]))
            columns["item"].append(str(review["asin"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}, row {number}: needs reviewerID, asin and a whole unixReviewTime ({error!r}); fetch it again"
            ) from error
        if time <= 0:
            raise DataError(f"{path}, row {number}: unixReviewTime must be positive, got {time}; fetch the file again")
        columns["timestamp"].append(time)
        columns["rating"].append(float(review.get("overall", "nan")))
        columns["positive"].append(is_positive(review))
        columns["verified"].append(bool(review.get("verified", False)))
    return pd.DataFrame(columns)


def leaves(record: dict) -> tuple[str, ...]:
    """Last value of each category path: ``categories`` holds paths (2014), ``category`` is one path (2018)."""
    paths = record.get("categories") or [record.get("category") or []]
    cleaned = ([v for v in (clean_text(_MARKUP.sub(" ", str(p))) for p in path) if v] for path in paths)
    return tuple(path[-1] for path in cleaned if path)


def clean_brand(brand) -> str:
    """A brand without the page debris of the 2018 files ("by", mark-up, line breaks)."""
    return clean_text(_MARKUP.sub(" ", clean_text(brand, 1000))).removeprefix("by ").strip()


def read_catalogue(path, item_ids) -> Catalogue:
    """Title, brand and category leaves of the items in ``item_ids``; the first record of an item counts."""
    wanted, titles, brands, categories = set(item_ids.tolist()), {}, {}, {}
    for record in read_json_lines(path):
        asin = record.get("asin")
        if asin in wanted and asin not in titles:
            titles[asin] = record.get("title")
            brands[asin] = clean_brand(record.get("brand"))
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
        raise DataError(f"{paths[0]} has {len(reviews)} reviews, expected {N_BEAUTY} (2014 release); fetch it again")
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
    import pandas as pd

    path = locate(SAMPLE, download=download, progress=progress)
    rows = pd.read_csv(path, dtype={"reviewerID": str, "asin": str}).to_dict("records")
    reviews = read_reviews(path, rows)
    reviews = reviews[reviews["rating"] >= 3].reset_index(drop=True)
    interactions = _interactions(reviews, min_user=1, seed=seed, name="software (sample)")
    return interactions, make_catalogue(interactions.item_ids)
