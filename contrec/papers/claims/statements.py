"""What the papers say in words about their tables, held against the cells; and marks, labels and lists.

``data/published/statements.csv`` gives each statement a form that code can check: paper, where, claim (its words,
shortened), kind, table, left, right.

| kind | claim |
| --- | --- |
| each above | every model of ``left`` is above every model of ``right`` in every cell (row of dataset and metric) |
| mostly above | the same in more than half of the comparisons |
| best above | the best of ``left`` is not below the best of ``right`` in every cell |
| count | ``left`` different values in the table's column ``right``, or of the group in "column:regular expression" |
| named | the names in ``left`` are those of the table's column ``right`` |
| definition | how a variant is made; two variants must not be made in the same words |

``marks.csv`` holds what the texts at hand show as bold or underlined; a row without a cell says what they do not show.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import combinations

import pandas as pd

from contrec import paths
from contrec.papers.claims.rows import RATES, entry, label, names
from contrec.papers.published import published

SAME_WORDS = 8  # so many consecutive words in two definitions are no accident


def stated() -> list[dict]:
    """Ledger rows of ``statements.csv``."""
    frame, rows = _read("statements"), []
    for claim in frame.itertuples():
        if claim.kind == "definition":
            continue
        table = published(claim.table)
        if claim.kind == "count":
            value = len(_values(table, claim.right))
            verdict, printed, found = value == int(claim.left), claim.left, f"{value} in {_title(table)}"
        elif claim.kind == "named":
            said, there = set(claim.left.split()), _values(table, claim.right)
            words = [("not in the table", sorted(said - there)), ("in the table, not named", sorted(there - said))]
            found = "; ".join(f"{text}: {names(who)}" for text, who in words if who) or f"as in {_title(table)}"
            verdict, printed = said == there, f"{len(said)} names"
        else:
            verdict, found = _compared(table, claim.kind, claim.left.split(), claim.right.split())
            printed = claim.kind
        status = "agrees" if verdict else "contradicted"
        where = f"{claim.where}, on {_title(table)}"
        rows.append(entry(claim.paper, where, claim.claim, printed, found, status, f"words: {claim.kind}"))
    return rows + _same_words(frame[frame["kind"] == "definition"])


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(paths.published() / f"{name}.csv", dtype=str, keep_default_na=False)


def _title(table: pd.DataFrame) -> str:
    return table["table"].iloc[0]


def _values(table: pd.DataFrame, column: str) -> set[str]:
    """Different values of a column; with "column:regular expression" of its first group, where it matches."""
    column, _, pattern = column.partition(":")
    values = table[column].str.extract(pattern, expand=False).dropna() if pattern else table[column]
    return set(values) - {""}


def _compared(table: pd.DataFrame, kind: str, left: list[str], right: list[str]) -> tuple[bool, str]:
    """Whether the comparison holds, and the comparisons that fail."""
    plain = table[~table["metric"].str.contains("improvement")]
    cells = plain.pivot(index=["dataset", "metric"], columns="model", values="value")
    if kind == "best above":
        best, other = cells[left].max(axis=1), cells[right]
        low = cells[other.max(axis=1) > best]
        failing = [f"{_cell(key)}: {label(row.idxmax())} {row.max():.4f}" for key, row in low[right].iterrows()]
        return not failing, f"fails in {len(failing)} of {len(cells)} cells" + _tail(failing)
    failing, n_failing = [], 0
    for a in left:
        for b in right:
            low = cells.index[~(cells[a] > cells[b])]
            n_failing += len(low)
            failing += [(len(low), a, b, [_cell(key) for key in low])] if len(low) else []
    n = len(left) * len(right) * len(cells)
    failing.sort(key=lambda f: -f[0])
    words = [f"{label(a)} not above {label(b)} in {count} of {len(cells)} ({', '.join(at[:4])}{', ...' * (count > 4)})"
             for count, a, b, at in failing]  # fmt: skip
    holds = n_failing < n / 2 if kind == "mostly above" else not n_failing
    return holds, f"fails in {n_failing} of {n} comparisons" + _tail(words)


def _cell(key: tuple[str, str]) -> str:
    return f"{label(key[0])} {key[1]}" if RATES.fullmatch(key[1]) else label(key[0])


def _tail(parts: list[str], shown: int = 4) -> str:
    more = f"; and {len(parts) - shown} more" if len(parts) > shown else ""
    return (": " + "; ".join(parts[:shown]) + more) if parts else ""


def _same_words(definitions: pd.DataFrame) -> list[dict]:
    """Pairs of definitions that share ``SAME_WORDS`` consecutive words."""
    rows = []
    for a, b in combinations(definitions.itertuples(), 2):
        x, y = a.claim.lower().split(), b.claim.lower().split()
        run = SequenceMatcher(None, x, y, autojunk=False).find_longest_match()
        if a.table == b.table and run.size >= SAME_WORDS:
            found = f"{run.size} consecutive words are the same: {' '.join(x[run.a : run.a + run.size])}"
            claim = f"{label(a.left)} and {label(b.left)} are different variants"
            rows.append(entry(a.paper, f"{a.where}, on {_title(published(a.table))}", claim, "two definitions", found,
                              "contradicted", "words: definition"))  # fmt: skip
    return rows


def marks() -> list[dict]:
    """Bold must mark the best model of its table's row or column, underlining the second best."""
    rows = []
    for (paper, table), marked in _read("marks").groupby(["paper", "table"], sort=False):
        frame = published(f"{paper}_{table.lower().replace(' ', '')}")
        rates = frame[frame["metric"].str.fullmatch(RATES.pattern)]
        marked = marked.merge(rates, on=["paper", "table", "row", "column"], how="left")
        for line in marked[marked["value"].isna()].itertuples():
            text = "the texts at hand carry no marks there"
            rows.append(entry(paper, table, "marks of the best and the second best", line.mark, text, "open", "marks"))
        for (dataset, metric), cells in marked.dropna(subset="value").groupby(["dataset", "metric"], sort=False):
            group = rates[(rates["dataset"] == dataset) & (rates["metric"] == metric)]
            order = group.sort_values("value", ascending=False, kind="stable")[["model", "digits"]]
            values = order["digits"].tolist()
            place = {"bold": values[0], "underlined": next((v for v in values if v != values[0]), values[0])}
            wrong = [cell for cell in cells.itertuples() if cell.digits != place[cell.mark]]
            printed = "; ".join(f"{label(c.model)} {c.digits} {c.mark}" for c in cells.itertuples())
            found = ", ".join(f"{label(model)} {digits}" for model, digits in order.head(3).itertuples(index=False))
            claim = f"{label(dataset)} {metric}: bold is best, underlined is second best"
            status = "misprint" if wrong else "agrees"
            rows.append(entry(paper, table, claim, printed, f"in order: {found}", status, "marks"))
    return rows


def labels() -> list[dict]:
    """Printed names that are another model's, misspelt metrics, and row numbers that stand twice."""
    rows, frame = [], published()
    frame = frame[frame["table"].str.startswith("Table")]
    known = {model.split("/")[0] for model in frame["model"]} - {""}
    for (paper, table), cells in frame.groupby(["paper", "table"], sort=False):
        for side in ("row", "column"):
            plain = cells[side].str.lower().str.replace(r"[^a-z0-9]", "", regex=True)
            wrong = cells[plain.isin(known) & (plain != cells["model"].str.split("/").str[0])]
            for text, part in wrong.groupby(side):
                found = (
                    f"by the text and the sums its {len(part)} cells are those of {names(dict.fromkeys(part.model))}"
                )
                rows.append(entry(paper, table, f"{side} {text}", text, found, "misprint", "labels"))
            spelt = cells[side].str.extract(r"\b([A-Z]+@)\d", expand=False)
            odd = set(spelt.dropna()) - {"HR@", "NDCG@", "NG@"}  # NG: its caption says what it abbreviates
            rows += [entry(paper, table, f"{side} labels", f"{x}K", "NDCG@K is meant", "misprint", "labels")
                     for x in sorted(odd)]  # fmt: skip
        numbers = cells["row"].drop_duplicates().str.extract(r"^(\d+) [a-z_]+$", expand=False).dropna()
        for number in numbers[numbers.duplicated()].unique():
            text = f"{(numbers == number).sum()} rows have it"
            rows.append(entry(paper, table, "numbers of the rows", number, text, "misprint", "labels"))
    return rows


def searched_lists() -> list[dict]:
    """Lists of searched values that a paper states in more than one section: are they the same?"""
    frame, rows = published("settings"), []
    frame = frame.assign(stem=frame["row"].str.extract(r"^(.*), choice [\d.]+$", expand=False)).dropna(subset="stem")
    for (paper, stem), cells in frame.groupby(["paper", "stem"], sort=False):
        lists = {section: list(part["value"]) for section, part in cells.groupby("table", sort=False)}
        if len(lists) == 1:
            continue
        shown = ["{" + ", ".join(f"{v:g}" for v in values) + "}" for values in lists.values()]
        status = "agrees" if len({frozenset(v) for v in lists.values()}) == 1 else "contradicted"
        rows.append(entry(paper, "; ".join(lists), stem, shown[0], "; ".join(shown[1:]), status, "lists"))
    return rows
