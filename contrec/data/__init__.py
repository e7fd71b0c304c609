"""Raw archive -> Interactions + Catalogue -> Split."""

from __future__ import annotations

from ..checks import one_of
from .interactions import Case, Cases, Catalogue, DataError, Interactions, Split
from .planted import WORLDS, digest
from .splits import split

__all__ = [
    "Case",
    "Cases",
    "Catalogue",
    "DataError",
    "Interactions",
    "SOURCES_OF",
    "Split",
    "inputs",
    "load",
    "missing",
    "split",
]

SOURCES_OF = {
    "planted": ("planted",),
    "planted_shuffled": ("planted",),
    "lastfm": ("raw", "released"),
    "ml1m": ("raw", "released"),
    "ml1m_all": ("raw",),
    "beauty": ("raw", "released"),
    "beauty_positive": ("raw", "released"),
    "games": ("raw", "released"),
    "software": ("raw", "released", "sample"),
    "table": ("raw",),
}


def load(name: str, source: str | None = None, **settings) -> tuple[Interactions, Catalogue]:
    """Interactions and catalogue of a data set.

    Args:
        name: "planted" | "planted_shuffled" (its twin) | "lastfm" | "ml1m" (ratings of at least 3, as the authors) |
            "ml1m_all" (all ratings, as most others) | "beauty" | "beauty_positive" | "games" | "software" | "table".
        source: "raw": the official archive. "released": the authors' split files, in their order and without times.
            "sample": a 25 % sample of Software. None: the first that ``SOURCES_OF`` names.
        settings: of the loader: ``seed`` (order of rows with equal times), ``download`` (False: never fetch),
            ``progress``; for "planted" ``n_users``, ``n_items``, ``seed``; for "table" those of
            :func:`contrec.data.table.load`.

    Raises:
        ValueError: for an unknown name or source.
        DataError: if the data are missing, damaged or make no sense.
    """
    one_of("name", name, tuple(SOURCES_OF))
    source = _source(name, source)
    _check_path(name, settings.get("path"), settings.get("items"))
    if name != "table":
        settings.pop("path", None)
        settings.pop("items", None)
    if name in (*WORLDS, "table"):
        from . import planted, table

        for key in ("download", "progress"):  # nothing is fetched; accepted so that every loader is called alike
            settings.pop(key, None)
        if name == "table":
            return table.load(**settings)
        return planted.planted(**settings, shuffled=name == "planted_shuffled")[:2]
    if source == "released":
        from . import released

        return released.load(name, **settings)
    from . import amazon, lastfm, movielens

    if source == "sample":
        return amazon.load_software_sample(**settings)
    if name.startswith("beauty"):
        return amazon.load_beauty(name == "beauty_positive", **settings)
    if name == "ml1m_all":
        return movielens.load(min_rating=1, **settings)
    raw = {"lastfm": lastfm.load, "ml1m": movielens.load, "games": amazon.load_games, "software": amazon.load_software}
    return raw[name](**settings)


def inputs(name: str, source: str | None = None, path=None, items=None) -> dict[str, str]:
    """SHA-256 of each file that ``load(name, source)`` reads and that is here, for provenance and fingerprints.

    A planted world, which has no file, is told by its own digest.

    Args:
        name, source: as in :func:`load`.
        path, items: the files of "table": interactions, and texts of items.
    """
    from . import amazon, download, lastfm, table

    one_of("name", name, tuple(SOURCES_OF))
    source = _source(name, source)
    _check_path(name, path, items)
    if name in WORLDS:
        return {name: digest(name)}
    if name == "table":
        from pathlib import Path

        hashes = {}
        for file in (path, items):
            if file is not None:
                table.check_file(file)
                name = Path(file).name
                hashes[f"items: {name}" if name in hashes else name] = download.sha256(file)
        return hashes
    extra = ()
    if source == "released":  # side information that the loader adds from a raw archive when it is here
        extra = {"lastfm": lastfm.FILES, "beauty": amazon.FILES["beauty"][1:]}.get(name.removesuffix("_positive"), ())
    return download.inputs((*_files(name, source), *extra))


def missing(name: str, source: str | None = None, *, progress: bool = False) -> list[str]:
    """Find or fetch every official file that ``load(name, source)`` needs; what cannot be had, one message each."""
    from . import download

    found = []
    for file in _files(name, _source(name, source)):
        try:
            download.locate(file, progress=progress)
        except DataError as error:
            found.append(f"{name}: {error}")
    return found


def _files(name: str, source: str) -> tuple[str, ...]:
    """The official files that a loader cannot do without, as keys of ``SOURCES``."""
    from . import amazon, lastfm, movielens, released

    if name in (*WORLDS, "table"):
        return ()
    if source == "released":
        return tuple(released.files(name))
    if source == "sample":
        return (amazon.SAMPLE,)
    files = {
        "lastfm": lastfm.FILES,
        "ml1m": movielens.FILES,
        "ml1m_all": movielens.FILES,
        "beauty_positive": amazon.FILES["beauty"],
    }
    return tuple(files[name] if name in files else amazon.FILES[name])


def _check_path(name: str, path, items=None) -> None:
    if name == "table" and path is None:
        raise DataError("dataset 'table' is a file of your own: name it with path='my.csv' (.csv or .parquet)")
    for label, value in (("path", path), ("items", items)):
        if name != "table" and value is not None:
            raise DataError(
                f"dataset {name!r} has no {label}, got {str(value)!r}; a file of your own is dataset 'table'"
            )


def _source(name: str, source: str | None) -> str:
    if source is None or (name in (*WORLDS, "table") and source == "raw"):
        return SOURCES_OF[name][0]
    one_of(f"source of {name}", source, SOURCES_OF[name])
    return source
