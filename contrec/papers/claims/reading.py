"""What a reader asks of the ledger: where its claims stand, some of them by their words, a page, what was found."""

from __future__ import annotations

import pandas as pd

from contrec.checks import one_of
from contrec.papers.claims.rows import PAPERS, STATUSES

SHOWN = ["paper", "where", "claim", "printed", "found", "status"]
WHOSE = (*PAPERS, "both")


def by_place(frame: pd.DataFrame) -> pd.DataFrame:
    """How many claims stand where with which outcome, for ``plots.heat_map``.

    Returns:
        A row per paper and table that a claim is about ("ContRec Table 2"), "ContRec, text" for what is about none and
        "both papers"; a column per outcome, gravest first; NaN where there is none.
    """
    table = frame["where"].str.extract(r"(Table \d)(?!.*Table \d)", expand=False)
    place = frame["paper"].map(PAPERS) + (" " + table).fillna(", text")
    counts = pd.crosstab(place.fillna("both papers"), frame["status"])
    counts = counts.loc[sorted(counts.index, key=lambda name: (name == "both papers", name.replace(",", "~")))]
    return counts[[status for status in STATUSES if status in counts]].where(lambda n: n > 0)


def holding(frame: pd.DataFrame, words: str, paper: str | None = None) -> pd.DataFrame:
    """The claims whose place, words or numbers hold all of ``words``, in any order and case.

    Args:
        paper: "contrec" | "deftrec" | "both"; None: of any.

    Raises:
        ValueError: for another paper, or words that no claim holds.
    """
    if paper is not None:
        one_of("paper", paper, WHOSE)
    text = frame[["where", "claim", "printed", "found", "kind"]].agg(" ".join, axis=1).str.casefold()
    keep = pd.Series(True, frame.index) if paper is None else frame["paper"] == paper
    for word in words.casefold().split():
        keep &= text.str.contains(word, regex=False)
    if not keep.any():
        raise ValueError(
            f"no claim{f' of {paper}' if paper else ''} holds all of {words!r}: try fewer words, or 'table'"
        )
    return frame[keep]


def page(frame: pd.DataFrame, caption: str = ""):
    """Claims as a styled table that wraps its texts."""
    columns = SHOWN + ["reading"] * frame["reading"].any()
    shown = frame[columns].style.hide(axis="index").format(escape="html")
    return shown.set_properties(**{"text-align": "left", "white-space": "normal"}).set_caption(caption)


def findings(frame: pd.DataFrame) -> list[str]:
    """The ledger in three sentences of its numbers."""
    count = frame["status"].value_counts().reindex(list(STATUSES), fill_value=0)
    own = frame[frame["paper"].isin(PAPERS)]
    share = {name: own.loc[own["paper"] == paper, "status"].eq("contradicted") for paper, name in PAPERS.items()}
    grave = frame.loc[frame["status"] == "contradicted", "kind"].value_counts()
    determined = frame[frame["kind"] == "recomputed"]["status"]
    kinds = ", ".join(f"{kind} ({n})" for kind, n in grave.head(3).items())
    wrong = ", ".join(f"{name}: {rows.sum()} of {len(rows)}" for name, rows in share.items())
    return [
        f"Of {len(frame)} claims, {count['agrees']} agree with what else is printed, {count['rounding']} only by "
        f"favourable rounding, {count['contradicted']} are contradicted ({wrong}), {count['one reading']} under one "
        f"reading, {count['misprint']} are misprints, {count['open']} stay open.",
        f"Of {len(determined)} numbers that other numbers determine, {determined.eq('contradicted').sum()} do not "
        f"follow; most of what is contradicted is of the kinds {kinds}.",
        f"In {count['equal elsewhere']} places the same digits stand under another model or dataset, and in "
        f"{count['differs']} the two papers print different numbers of the same thing.",
    ]
