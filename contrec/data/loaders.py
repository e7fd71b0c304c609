"""Which data sets there are: under a name and a source, what loads one and the files that it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contrec.checks import DataError, known_settings, of_kind, one_of, plain_name, settings_of
from contrec.files import text_hash

from . import amazon, download, lastfm, movielens, planted, released, table
from .interactions import Catalogue, Interactions

COMMON = ("path", "items", "download", "progress")  # any loader may be called with these, though it takes them not


@dataclass(frozen=True)
class Loader:
    """A way to a data set.

    Attributes:
        load: takes settings by keyword, gives interactions and their catalogue.
        files: all that it cannot do without: keys of :data:`contrec.data.sources.SOURCES`, or paths of one's own.
        beside: keys of files that it reads too where they are here.
    """

    load: Callable[..., tuple[Interactions, Catalogue]]
    files: tuple[str | Path, ...] = ()
    beside: tuple[str, ...] = ()


LOADERS: dict[str, dict[str, Loader]] = {}
SOURCES_OF: dict[str, tuple[str, ...]] = {}  # name -> its sources, the usual one first


def register(name: str, load: Callable, *, source: str = "raw", files=(), beside=()) -> None:
    """Make a data set known under a name; the same name again, with the same source, replaces it.

    Args:
        name: as in :func:`contrec.data.load`.
        load, files, beside: see :class:`Loader`. Hashes of the files, and of the text of ``load``, name what is made
            from the data.
        source: where several lead to one data set, which of them this is.

    Raises:
        ValueError: if that name and source come with the package.
        TypeError: if ``load`` cannot be called, or the name is none.
    """
    plain_name("data set", name)
    if (name, source) in _OURS or name in (*planted.WORLDS, "table") and _OURS:
        raise ValueError(f"data set {name!r} from {source!r} comes with contrec; register yours under another name")
    of_kind("load", load, Callable, "give a function that returns interactions and a catalogue")
    LOADERS.setdefault(name, {})[source] = Loader(load, tuple(files), tuple(beside))
    SOURCES_OF[name] = tuple(LOADERS[name])


_OURS: set[tuple[str, str]] = set()
register("planted", planted.load, source="planted")
register("planted_shuffled", partial(planted.load, shuffled=True), source="planted")
register("lastfm", lastfm.load, files=lastfm.FILES)
register("ml1m", movielens.load, files=movielens.FILES)
register("ml1m_all", partial(movielens.load, min_rating=1), files=movielens.FILES)
register("beauty", amazon.load_beauty, files=amazon.FILES["beauty"])
register("beauty_positive", partial(amazon.load_beauty, True), files=amazon.FILES["beauty"])
register("games", amazon.load_games, files=amazon.FILES["games"])
register("software", amazon.load_software, files=amazon.FILES["software"])
for _name in released.FOLDERS:  # with what their loader adds from a raw archive
    _beside = {"lastfm": lastfm.FILES, "beauty": amazon.FILES["beauty"][1:]}.get(_name.removesuffix("_positive"), ())
    _load = partial(released.load, _name)
    register(_name, _load, source="released", files=released.files(_name), beside=_beside)
register("software", amazon.load_software_sample, source="sample", files=(amazon.SAMPLE,))
register("table", table.load)
_OURS.update((name, source) for name, sources in SOURCES_OF.items() for source in sources)


def load(name: str, source: str | None = None, **settings) -> tuple[Interactions, Catalogue]:
    """Interactions and catalogue of a data set.

    Args:
        name: "planted" | "planted_shuffled" (its twin) | "lastfm" | "ml1m" (ratings of at least 3, as the authors) |
            "ml1m_all" (all ratings, as most others) | "beauty" | "beauty_positive" | "games" | "software" | "table", or
            one that was registered.
        source: "raw": the official archive. "released": the authors' split files, in their order and without times.
            "sample": a 25 % sample of Software. None: the first that ``SOURCES_OF`` names.
        settings: of the loader: ``seed`` (order of rows with equal times), ``download`` (False: never fetch),
            ``progress``; for "planted" ``n_users``, ``n_items``, ``seed``; for "table" those of
            :func:`contrec.data.table.load`.

    Raises:
        ValueError: for an unknown name, source or setting.
        DataError: if the data are missing, damaged or make no sense.
    """
    loader = _loader(name, source)
    takes = _checked_path(name, loader, settings.get("path"), settings.get("items"))
    given = {key: value for key, value in settings.items() if takes is None or key in takes or key not in COMMON}
    known_settings(f"data set {name!r}", given, takes)
    interactions, catalogue = loader.load(**given)
    cure = f"the loader of data set {name!r} must return interactions and a catalogue"
    of_kind("interactions", interactions, Interactions, cure)
    of_kind("catalogue", catalogue, Catalogue, cure)
    return interactions, catalogue


def inputs(name: str, source: str | None = None, path=None, items=None) -> dict[str, str]:
    """SHA-256 of each file that ``load(name, source)`` reads and that is here, for provenance and fingerprints.

    A planted world, which has no file, is told by its own digest.

    Args:
        name, source: as in :func:`load`.
        path, items: the files of "table": interactions, and texts of items.
    """
    loader = _loader(name, source)
    _checked_path(name, loader, path, items)
    if name in planted.WORLDS:
        return {name: planted.digest(name)}
    if name == "table":
        hashes = {}
        for file in (path, items):
            if file is not None:
                table.check_file(file)
                name = Path(file).name
                hashes[f"items: {name}" if name in hashes else name] = download.sha256(file)
        return hashes
    official = [file for file in (*loader.files, *loader.beside) if not isinstance(file, Path)]
    own = {file.name: download.sha256(file) for file in loader.files if isinstance(file, Path)}
    return download.inputs(official) | own | _text_of(name, loader)


def missing(name: str, source: str | None = None, *, progress: bool = False) -> list[str]:
    """Find or fetch every official file that ``load(name, source)`` needs; what cannot be had, one message each."""
    found = []
    for file in _loader(name, source).files:
        try:
            if isinstance(file, Path):
                download.sha256(file)
            else:
                download.locate(file, progress=progress)
        except DataError as error:
            found.append(f"{name}: {error}")
    return found


def _loader(name: str, source: str | None) -> Loader:
    one_of("name", name, tuple(SOURCES_OF))
    if source is None or (name in (*planted.WORLDS, "table") and source == "raw"):
        source = SOURCES_OF[name][0]
    one_of(f"source of {name}", source, SOURCES_OF[name])
    return LOADERS[name][source]


def _checked_path(name: str, loader: Loader, path, items) -> set[str] | None:
    """What the loader takes; DataError if that leaves out a file that was given, or a table has none."""
    if name == "table" and path is None:
        raise DataError("dataset 'table' is a file of your own: name it with path='my.csv' (.csv or .parquet)")
    takes = settings_of(loader.load)
    for label, value in (("path", path), ("items", items)):
        if value is not None and takes is not None and label not in takes:
            raise DataError(
                f"dataset {name!r} has no {label}, got {str(value)!r}; a file of your own is dataset 'table'"
            )
    return takes


def _text_of(name: str, loader: Loader) -> dict[str, str]:
    """The hash of a registered loader's own text: of those that come with the package, stages know the source."""
    if any(known == name and LOADERS[name].get(source) is loader for known, source in _OURS):
        return {}
    return {"load": text_hash(loader.load)}
