"""One look for every figure: size, type, one colour and marker per method, and files that are equal byte by byte."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import matplotlib

from contrec.files import replacing_all

COLUMN = 3.35  # width of a paper column in inches; every figure is drawn at print size

# Okabe and Ito's colours for colour-blind readers (yellow is left out: too light for marks on white), and a grey.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

THEME = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that text is drawn alike everywhere
    "font.size": 7.0,
    "axes.labelsize": 7.0,
    "axes.titlesize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "lines.markeredgewidth": 0.8,
    "figure.dpi": 200,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "contrec",
    "svg.fonttype": "path",
    "path.simplify": True,
}

MARKERS = "os^DvPX*hp<>d8H"
METHODS = {  # name: label, colour, marker; in the order of a ranking table
    "popularity": ("Popularity", GREY, "o"),
    "repeat_history": ("Repeat history", GREY, "s"),
    "itemknn": ("ItemKNN", GREY, "^"),
    "itemknn/recency": ("ItemKNN with recency", GREY, "D"),
    "itemknn/text": ("ItemKNN with text", GREY, "d"),
    "transitions": ("Transitions", GREY, "v"),
    "transitions/text": ("Transitions with text", GREY, "<"),
    "ease": ("EASE", GREY, "P"),
    "ease/tags": ("EASE with tags", GREY, "p"),
    "puresvd": ("PureSVD", GREY, "X"),
    "puresvd/64": ("PureSVD, 64 dimensions", GREY, ">"),
    "ials": ("iALS", SKY, "p"),
    "mf": ("MF", SKY, "o"),
    "lightgcn": ("LightGCN", SKY, "s"),
    "gtn": ("GTN", SKY, "^"),
    "ltgnn": ("LTGNN", SKY, "D"),
    "gru4rec": ("GRU4Rec", GREEN, "o"),
    "sasrec": ("SASRec", GREEN, "s"),
    "sasrec/bce": ("SASRec, BCE loss", GREEN, "v"),
    "sasrec/text": ("SASRec with text", GREEN, "<"),
    "esasrec": ("eSASRec", GREEN, "*"),
    "bsarec": ("BSARec", GREEN, "h"),
    "ssd4rec": ("SSD4Rec", GREEN, "^"),
    "dreamrec": ("DreamRec", GREEN, "D"),
    "dreamrec/inner": ("DreamRec, inner product", GREEN, "X"),
    "p5": ("P5", PURPLE, "o"),
    "pod": ("POD", PURPLE, "s"),
    "collm": ("CoLLM", PURPLE, "^"),
    "tiger": ("TIGER", PURPLE, "D"),
    "tokenrec": ("TokenRec", PURPLE, "v"),
    "llara": ("LLaRA", PURPLE, "P"),
    "deftrec": ("DeftRec", BLUE, "s"),
    "contrec": ("ContRec", VERMILLION, "o"),
    "contrec/point": ("ContRec: point estimate", VERMILLION, "^"),
    "contrec/one-sample": ("ContRec: one sample", VERMILLION, "D"),
    "contrec/mean-of-8": ("ContRec: mean of 8", VERMILLION, "h"),
    "contrec/mean-of-32": ("ContRec: mean of 32", VERMILLION, "v"),
    "contrec/no-text-bonus": ("ContRec: no text bonus", VERMILLION, "P"),
    "contrec/direct-head": ("ContRec: direct head", ORANGE, "s"),
    "contrec/user-token": ("User token alone", ORANGE, "^"),
    "contrec/mean-history": ("Mean of history", ORANGE, "D"),
    "contrec/permuted-condition": ("Permuted condition", ORANGE, "v"),
    "contrec/random-backbone": ("Random backbone", ORANGE, "P"),
    "contrec/plain-head": ("Plain head", ORANGE, "X"),
    "vq": ("VQ-VAE", SKY, "v"),
    "rq": ("RQ-VAE", GREEN, "P"),
    "mq": ("MQ-VAE", PURPLE, "X"),
    "vae": ("VAE", ORANGE, "o"),
    "sigma_vae": ("σ-VAE", VERMILLION, "s"),
    "autoencoder": ("Autoencoder", BLACK, "^"),
    "diffusion": ("Diffusion", BLUE, "D"),
    "diffusion/one-step": ("Diffusion: one step", BLUE, "<"),
    "diffusion/sampled": ("Diffusion: sampled", BLUE, ">"),
    "diffusion/one-step-facet": ("Diffusion: one step, facet", BLUE, "d"),
    "diffusion/sampled-facet": ("Diffusion: sampled, facet", BLUE, "h"),
    "masked_encoder": ("Masked encoder", BLUE, "p"),
    "oracle": ("Oracle", BLACK, "*"),
    "published": ("published", BLACK, "o"),
    "reference layout": ("Reference layout", BLACK, "s"),
}
_ESTIMATES = [name for name, (_, colour, _) in METHODS.items() if name.startswith("contrec/") and colour == VERMILLION]
_CONTROLS = [
    name for name in METHODS if name.startswith("contrec/") and name not in (*_ESTIMATES, "contrec/plain-head")
]
METHODS |= {  # DeftRec's estimates and controls have the same names, and looks of their own
    name.replace("contrec", "deftrec"): (METHODS[name][0].replace("ContRec", "DeftRec"), colour, marker)
    for names, colour, markers in ((_ESTIMATES, BLUE, "*H8PX"), (_CONTROLS, PURPLE, "*p<>d"))
    for name, marker in zip(names, markers, strict=True)
}
FLOORS = (
    *("popularity", "repeat_history", "itemknn", "itemknn/recency", "itemknn/text", "transitions", "transitions/text"),
    *("ease", "ease/tags", "puresvd", "puresvd/64", "lightgcn"),
)
DATASETS = {
    "planted": ("Planted", GREY, "o"),
    "planted_shuffled": ("Planted, texts shuffled", BLACK, "h"),
    "lastfm": ("LastFM", VERMILLION, "s"),
    "ml1m": ("ML1M", BLUE, "^"),
    "ml1m_all": ("ML1M, all ratings", BLUE, "v"),
    "beauty": ("Beauty", GREEN, "D"),
    "beauty_positive": ("Beauty, ratings > 3", SKY, "<"),
    "games": ("Games", PURPLE, "P"),
    "software": ("Software", ORANGE, "X"),
}


def style(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Label, colour and marker of each method; no two methods of a figure share both.

    Methods of ``METHODS`` look the same in every figure. Others get black, and a marker that follows from their name
    unless another method of this figure has it already.
    """
    names = list(dict.fromkeys(names))
    found = {name: METHODS[name] for name in names if name in METHODS}
    taken = {look[1:] for look in found.values()}
    for name in sorted(set(names) - set(found)):
        place = zlib.crc32(name.encode()) % len(MARKERS)
        pairs = [(colour, marker) for colour in (BLACK, ORANGE, GREY) for marker in MARKERS[place:] + MARKERS[:place]]
        look = next(pair for pair in pairs if pair not in taken)
        taken.add(look)
        found[name] = (plain(name.replace("/", ": ", 1).replace("-", " ").replace("_", " ")), *look)
    return {name: found[name] for name in names}


def group(name: str) -> int:
    """0 for a floor, 1 for a method, 2 for a control or variant (a name with a slash)."""
    return 0 if name in FLOORS else 2 if "/" in name else 1


def rank_order(names: Iterable[str]) -> list[str]:
    """Names in the order of a ranking table: floors, methods, then controls and variants."""
    known = [*FLOORS, *(name for name in METHODS if name not in FLOORS)]
    return sorted(set(names), key=lambda name: (group(name), known.index(name) if name in known else len(known), name))


def plain(text: str, limit: int = 40) -> str:
    """Text of unknown origin (an item's title) as it may stand in a figure: one line, no markup, at most ``limit``."""
    line = " ".join(str(text).split())
    return (line if len(line) <= limit else line[: limit - 1] + "…").replace("\\", "").replace("$", r"\$")


def new(rows: int = 1, columns: int = 1, height: float = 2.2, **settings):
    """A figure one column wide and its axes. It is closed in pyplot at once: a notebook then shows it once."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(COLUMN, height), **settings)
    plt.close(figure)
    return figure, axes


def save(figure, stem: str | Path, alt_text: str, fingerprint: str) -> list[Path]:
    """Write ``stem``.svg and ``stem``.png with the alternative text and the run's short fingerprint as metadata.

    Equal figures give equal bytes: fixed SVG ids, no dates, no version strings (for one version of matplotlib).

    Args:
        figure: a figure of :mod:`contrec.plots`.
        stem: path without an ending.
        alt_text: what the figure shows, in a sentence or two, for readers who cannot see it.
        fingerprint: short fingerprint of the config.

    Returns:
        The paths of the two files.

    Raises:
        ValueError: if ``alt_text`` or ``fingerprint`` is empty.
    """
    writing = writers(figure, stem, alt_text, fingerprint)
    with replacing_all(*writing) as parts:
        for write, part in zip(writing.values(), parts, strict=True):
            write(part)
    return list(writing)


def writers(figure, stem: str | Path, alt_text: str, fingerprint: str) -> dict[Path, Callable[[Path], None]]:
    """What writes each file of a figure, as :func:`save` does, by its path; it is given another path to write to."""
    for name, text in (("alt_text", alt_text), ("fingerprint", fingerprint)):
        if not text.strip():
            raise ValueError(f"{name} must not be empty: a figure is saved with both")
    about = {
        "svg": {"Title": alt_text, "Identifier": fingerprint, "Creator": "contrec", "Date": None},
        "png": {"Description": alt_text, "Fingerprint": fingerprint, "Software": None},
    }

    def write(ending: str, path: Path) -> None:
        with matplotlib.rc_context(THEME):
            figure.savefig(path, format=ending, metadata=about[ending])

    stem = Path(stem)
    return {stem.with_name(f"{stem.name}.{ending}"): partial(write, ending) for ending in about}
