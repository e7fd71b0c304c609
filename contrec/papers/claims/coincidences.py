"""Equal numbers where none are expected: lines of tables that stand twice, exchanged lines, and what should be equal.

A line is what one table prints of one model on one dataset (its metrics), or, in a table of times, of one dataset (its
parts). Two lines are compared entry by entry, digit for digit. How many equal entries chance gives is estimated from
the tables themselves: two entries within a tenth of each other are equal with probability 1 / (2 w + 1), w being a
tenth of the smaller one in units of its last place; entries further apart never are. Summed over all pairs of lines of
two tables this gives the expected number of pairs with at least k equal entries; the pairs found are reported where so
many of them would come up with probability below ``LEVEL``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations, combinations_with_replacement

import pandas as pd
from scipy.stats import poisson

from contrec.papers.claims.rows import PAPERS, RATES, entry, label, names
from contrec.papers.published import published

LEVEL = 0.01
NEAR = 0.1  # entries that differ by more than this share of the smaller one are no candidates for chance
ALIASES = {"deftrec/k2": "deftrec"}  # Sect. 3.1.4, DeftRec: the default is two sub-encoders
PEERS = (  # tables of the two papers that print the same quantity
    ("contrec_table1", "deftrec_table1"), ("contrec_table2", "deftrec_table2"), ("contrec_table4", "deftrec_table4"),
    ("contrec_table5", "deftrec_table3"),
)  # fmt: skip
TIME = "inference time (s/batch)"


def lines() -> dict[tuple, dict[tuple, dict[str, str]]]:
    """The lines of each table: (paper, table) -> (dataset, model) -> entry -> printed digits.

    In tables of times the model is "" and the entries are the parts, the paper's own model and its parts as "own".
    """
    cells = published()
    cells = cells[cells["table"].str.startswith("Table") & (cells["digits"] != "")]
    found: dict = defaultdict(lambda: defaultdict(dict))
    for cell in cells.itertuples():
        if RATES.fullmatch(cell.metric):
            found[cell.paper, cell.table][cell.dataset, cell.model][cell.metric] = cell.digits
        elif cell.metric == TIME:
            part = cell.model.replace(cell.paper, "own", 1)
            found[cell.paper, cell.table][cell.dataset, ""][part] = cell.digits
    return found


def chance(a: str, b: str) -> float:
    """Probability that two entries as near to each other as these are equal in all digits; 0 if they are not near."""
    x, y = float(a), float(b)
    if abs(x - y) > NEAR * min(x, y):
        return 0.0
    places = min(len(text.partition(".")[2]) for text in (a, b))
    return 1 / (2 * math.floor(NEAR * min(x, y) * 10**places) + 1)


def at_least(probabilities: list[float]) -> list[float]:
    """P(at least k events) of independent events for k = 0..n."""
    exactly = [1.0]
    for p in probabilities:
        exactly = [a * (1 - p) + b * p for a, b in zip([*exactly, 0.0], [0.0, *exactly], strict=True)]
    return [sum(exactly[k:]) for k in range(len(exactly))]


def equal_lines() -> pd.DataFrame:
    """Pairs of lines that share more equal entries than chance gives.

    Returns:
        One row per pair: paper_a, table_a, dataset_a, model_a, the same with _b, n_equal, n_shared (entries that both
        lines have), digits (the equal ones), expected (number of pairs with so many equal entries by chance, between
        these two tables) and probability (of as many such pairs as there are).
    """
    tables, found = lines(), []
    for a, b in combinations_with_replacement(sorted(tables), 2):
        pairs = _pairs(tables[a], tables[b], same=a == b)
        expected = defaultdict(float)
        for _, _, shared, _ in pairs:
            for k, p in enumerate(at_least([chance(x, y) for x, y in shared.values()])):
                expected[k] += p
        for k in range(max((len(equal) for *_, equal in pairs), default=0), 0, -1):
            hits = [pair for pair in pairs if len(pair[3]) == k]
            probability = float(poisson.sf(len(hits) - 1, expected[k]))
            if not hits or probability >= LEVEL:
                continue
            for x, y, shared, equal in hits:
                found.append((*a, *x, *b, *y, k, len(shared), " ".join(equal), expected[k], probability))
    sides = [f"{name}_{side}" for side in "ab" for name in ("paper", "table", "dataset", "model")]
    return pd.DataFrame(found, columns=[*sides, "n_equal", "n_shared", "digits", "expected", "probability"])


def _pairs(first: dict, second: dict, same: bool) -> list[tuple]:
    """(line, line, shared entries, equal digits) of every pair with at least two shared entries."""
    keys = combinations(first, 2) if same else ((x, y) for x in first for y in second)
    rows = []
    for x, y in keys:
        shared = {name: (digits, second[y][name]) for name, digits in first[x].items() if name in second[y]}
        if len(shared) > 1:
            rows.append((x, y, shared, [p for p, q in shared.values() if p == q]))
    return rows


def coincidences() -> list[dict]:
    """Ledger rows of :func:`equal_lines`: exchanged lines as one row, otherwise one row per pair of models.

    Of three lines that are equal in all entries two pairs are told: the third follows.
    """
    groups: dict = defaultdict(list)
    for pair in equal_lines().itertuples():
        moved = pair.dataset_a != pair.dataset_b and (pair.dataset_a, pair.dataset_b)
        groups[pair.paper_a, pair.table_a, pair.paper_b, pair.table_b, pair.model_a, pair.model_b, moved].append(pair)
    rows, done, alike = [], set(), []  # alike: sets of lines that are known to be equal
    for key, pairs in groups.items():
        *tables, a, b, moved = key
        back = (*tables, b, a, moved)
        if key in done:
            continue
        datasets = [pair.dataset_a for pair in pairs]
        exchanged = a != b and back in groups and datasets == [pair.dataset_a for pair in groups[back]]
        if exchanged:
            done.add(back)
            pairs = pairs + groups[back]
        elif all(pair.n_equal == pair.n_shared for pair in pairs):
            ends = {(*tables[:2], a, *datasets), (*tables[2:], b, *(pair.dataset_b for pair in pairs))}
            if any(ends <= known for known in alike):
                continue
            alike = [ends.union(*(k for k in alike if k & ends)), *(k for k in alike if not k & ends)]
        rows.append(_row(pairs, exchanged))
    return rows


def _row(pairs: list, exchanged: bool) -> dict:
    one = pairs[0]
    sides = [(one.paper_a, one.table_a), (one.paper_b, one.table_b)]
    where = "; ".join(dict.fromkeys(f"{PAPERS[paper]} {table}" for paper, table in sides))
    count = f"{sum(p.n_equal for p in pairs)} of {sum(p.n_shared for p in pairs)} entries are equal"
    found = f"{count}; so many in a pair of lines: {one.expected:.1g} pairs expected by chance, {len(pairs)} here"
    paper = one.paper_a if one.paper_a == one.paper_b else "both"
    if exchanged:
        claim = f"{names([one.model_a, one.model_b])} on {names(dict.fromkeys(p.dataset_a for p in pairs))}"
        found = f"the lines are exchanged between the papers: {found}"
    else:
        claim = " = ".join(dict.fromkeys(_side(pairs, side) for side in "ab"))
    aliases = [ALIASES.get(model, model) for model in (one.model_a, one.model_b)]
    same = one.dataset_a == one.dataset_b and aliases[0] == aliases[1]
    status = "repeated" if same else "equal elsewhere"
    if same and paper == "both" and one.table_a == one.table_b == "Table 2" and _splits():
        found += f"; the papers state different splits: {_splits()}"
    return entry(paper, where, claim, "; ".join(p.digits for p in pairs), found, status, "equal cells")


def _side(pairs: list, side: str) -> str:
    one = pairs[0]
    datasets = names(dict.fromkeys(getattr(pair, f"dataset_{side}") for pair in pairs))
    model = getattr(one, f"model_{side}")
    return f"{label(model)} on {datasets}" if model else f"times of {datasets}"


def _splits() -> str:
    """The stated splits, where they are not the same in both papers."""
    stated = published("settings").query("row == 'split'")["text"]
    return "; ".join(stated) if stated.nunique() > 1 else ""


def disagreements() -> list[dict]:
    """What both papers print of the same model, dataset and quantity (own models left out): equal or not.

    Lines that are exchanged between the papers are left to :func:`coincidences`.
    """
    pairs = equal_lines()
    moved = set(zip(pairs["table_a"], pairs["dataset_a"], pairs["model_a"], strict=True))
    rows = []
    for ours, theirs in PEERS:
        a, b = (published(table).query("digits != ''") for table in (ours, theirs))
        where = "; ".join(f"{PAPERS[side['paper'].iloc[0]]} {side['table'].iloc[0]}" for side in (a, b))
        both = a.merge(b, on=["dataset", "model", "metric"], suffixes=("_a", "_b"))
        both = both[~both["model"].str.split("/").str[0].isin(PAPERS)]
        for model, cells in both.groupby("model", sort=False):
            differ = cells[cells["digits_a"] != cells["digits_b"]]
            known = [(cell.table_a, cell.dataset, model) in moved for cell in differ.itertuples()]
            differ = differ[[not k for k in known]] if len(differ) else differ
            if not len(differ) and any(known):
                continue
            claim = f"{label(model)}: " if model else ""
            claim += f"{names(dict.fromkeys(cells['dataset']))}, {', '.join(dict.fromkeys(cells['metric']))}"
            if not len(differ):
                text = f"all {len(cells)} cells are equal"
                rows.append(entry("both", where, claim, f"{len(cells)} cells", text, "agrees", "printed twice"))
                continue
            ratio = (differ["value_a"] / differ["value_b"]).pipe(lambda r: r.where(r > 1, 1 / r))
            worst = differ.loc[ratio.idxmax()]
            text = f"{len(differ)} of {len(cells)} cells differ; most on {label(worst['dataset'])} {worst['metric']}: "
            text += f"{worst['digits_a']} and {worst['digits_b']}, by the factor {ratio.max():.3g}"
            rows.append(entry("both", where, claim, f"{len(cells)} cells", text, "differs", "printed twice"))
    return rows


def shared_settings() -> list[dict]:
    """Numbers of five or more significant digits that both papers state in their running text."""
    frame = published("settings")
    frame = frame[frame["digits"].str.replace(".", "").str.strip("0").str.len() >= 5]
    rows = []
    for digits, cells in frame.groupby("digits", sort=False):
        if cells["paper"].nunique() > 1:
            where = "; ".join(f"{PAPERS[cell.paper]} {cell.table}" for cell in cells.itertuples())
            text = f"both papers print it, to {len(digits.replace('.', ''))} digits"
            rows.append(entry("both", where, cells["row"].iloc[0], digits, text, "repeated", "printed twice"))
    return rows
