"""What a row of the claims ledger is, and how the finders name things."""

from __future__ import annotations

import math
import re

COLUMNS = ["paper", "where", "claim", "printed", "found", "low", "high", "status", "reading", "kind"]
STATUSES = (  # gravest first
    "contradicted", "one reading", "misprint", "equal elsewhere", "repeated", "differs", "rounding", "open", "agrees",
)  # fmt: skip
PAPERS = {"contrec": "ContRec", "deftrec": "DeftRec"}
LABELS = {
    "lastfm": "LastFM", "ml1m": "ML1M", "beauty": "Beauty", "games": "Games", "software": "Software", "mf": "MF",
    "lightgcn": "LightGCN", "gtn": "GTN", "ltgnn": "LTGNN", "gru4rec": "GRU4Rec", "sasrec": "SASRec",
    "ssd4rec": "SSD4Rec", "dreamrec": "DreamRec", "p5": "P5", "pod": "POD", "collm": "CoLLM", "llara": "LLaRA",
    "tiger": "TIGER", "tokenrec": "TokenRec", **PAPERS,
}  # fmt: skip
RATES = re.compile(r"(HR|NDCG)@\d+")


def entry(
    paper: str, where: str, claim: str, printed: str, found: str, status: str, kind: str,
    low: float = math.nan, high: float = math.nan, reading: str = "",
) -> dict:  # fmt: skip
    """One row of the ledger; see :func:`contrec.papers.claims.ledger` for its columns."""
    values = (paper, where, claim, printed, found, low, high, status, reading, kind)
    return dict(zip(COLUMNS, values, strict=True))


def label(name: str) -> str:
    """A model's or dataset's name as the papers write it: "deftrec/k1" -> "DeftRec/k1"."""
    base, slash, variant = name.partition("/")
    return LABELS.get(base, base) + slash + variant


def names(items) -> str:
    """Names in one line: ["p5", "pod"] -> "P5, POD"."""
    return ", ".join(label(name) for name in items)
