"""The claims ledger: every claim in numbers of both papers, recomputed where it can be, and what the tables say of it.

Nothing here knows a finding: each part searches the printed cells of ``data/published``.
"""

from __future__ import annotations

import textwrap

import pandas as pd

from contrec.papers.claims import bounds, coincidences, numbers, statements
from contrec.papers.claims.reading import by_place, findings, holding, page
from contrec.papers.claims.rows import COLUMNS, STATUSES, entry
from contrec.papers.published import contradictions

__all__ = ["MEANING", "as_text", "by_place", "findings", "holding", "ledger", "page", "summary"]

PARTS = (
    *(numbers.recomputed, numbers.searched_gains, statements.stated, statements.marks, statements.labels),
    *(statements.searched_lists, coincidences.coincidences, coincidences.disagreements, coincidences.shared_settings),
    *(bounds.significant, bounds.one_target, bounds.whole_hits, bounds.core),
    numbers.undetermined,
)
# Rows of contradictions.csv (paper, table, cell) that code cannot find, and why.
READER_ONLY = {
    ("deftrec", "Sect. 2.4.2", "c"): "a sentence, a formula and a line of pseudo-code have to be understood to differ",
}
MEANING = {
    "contradicted": "other printed numbers or words rule it out, rounding included; a comparison is of every cell",
    "one reading": "ruled out if it is read as the ledger says; read otherwise it stays open",
    "misprint": "a mark, a name or a row's number that the rest of its table corrects",
    "equal elsewhere": "the same digits under another model or dataset, more of them than chance gives",
    "repeated": "the same digits in another table, of the same model and dataset",
    "differs": "the papers print different numbers of the same thing",
    "rounding": "only some unrounded values that print as the cells do give it",
    "open": "what is printed does not decide it",
    "agrees": "it follows from what is printed, or no printed number is against it",
}


def ledger() -> pd.DataFrame:
    """All claims, the gravest first, computed from the printed cells.

    Returns:
        One row per claim, however many ways lead to its verdict: paper ("contrec" | "deftrec" | "both"), where (table,
        section), claim (in words), printed (digits or words), found (recomputed or found, in words), low and high
        (bounds of the recomputed number over all unrounded values that print as the cells do; of p-values see
        :func:`bounds.significance`; NaN where there is none), status (one of ``STATUSES``, explained in ``MEANING``),
        reading (how the claim is read for it, where it may be read otherwise, else "") and kind (what was done).
    """
    rows = [row for part in PARTS for row in part()]
    written = contradictions().set_index(["paper", "table", "cell"])["finding"]
    for (paper, table, cell), reason in READER_ONLY.items():
        found = f"{written[paper, table, cell]} (only a reader can find this: {reason})"
        rows.append(entry(paper, table, cell, "words", found, "contradicted", "read by a person"))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = frame["status"].map(STATUSES.index)
    return frame.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def summary(frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """How many claims of each kind have which status: a row per kind and "all", a column per status and "all"."""
    frame = ledger() if frame is None else frame
    counts = pd.crosstab(frame["kind"], frame["status"]).reindex(columns=list(STATUSES), fill_value=0)
    counts = counts.loc[list(dict.fromkeys(frame["kind"]))]
    counts.loc["all"] = counts.sum()
    counts["all"] = counts.sum(axis=1)
    return counts.rename_axis(columns=None).reset_index()


def as_text(frame: pd.DataFrame, width: int = 150, everything: bool = False) -> str:
    """The ledger as a page, grouped by status.

    Args:
        frame: a ledger.
        width: characters a line, at least 100.
        everything: also list the claims that agree; otherwise these are counted only.

    Raises:
        ValueError: if ``width`` is below 100.
    """
    if width < 100:
        raise ValueError(f"width must be at least 100, got {width}")
    columns = {"paper": 7, "where": 15, "claim": (width - 22) // 4, "printed": 14}
    columns["found"] = width - sum(columns.values()) - 2 * len(columns)
    parts = []
    for status, rows in frame.groupby("status", sort=False):
        parts.append(f"\n{status.upper()}: {len(rows)} ({MEANING[status]})")
        if status == "agrees" and not everything:
            parts += [f"  {kind}: {count}" for kind, count in rows["kind"].value_counts(sort=False).items()]
            continue
        parts.append("  ".join(name.ljust(size) for name, size in columns.items()).rstrip())
        read_so = rows["reading"].where(rows["reading"] == "", "; reading: " + rows["reading"])
        for row in rows.assign(found=rows["found"] + read_so)[list(columns)].itertuples(index=False, name=None):
            cells = [textwrap.wrap(text, size) or [""] for text, size in zip(row, columns.values(), strict=True)]
            for i in range(max(map(len, cells))):
                line = [(c[i] if i < len(c) else "").ljust(w) for c, w in zip(cells, columns.values(), strict=True)]
                parts.append("  ".join(line).rstrip())
    return "\n".join(parts).lstrip("\n")
