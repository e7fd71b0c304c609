"""Every printed number that other printed numbers determine, computed again."""

from __future__ import annotations

import pandas as pd

from contrec.papers.published import half_unit, published

# A statistic of printed cells: (lowest, central, highest) value that the unrounded cells allow.
Bounds = tuple[float, float, float]


def derived() -> pd.DataFrame:
    """Recompute densities, lengths, sums, improvements, shares and averages of both papers from their own cells.

    Returns:
        One row per derived number: paper, table, row, column, printed, recomputed, low, high, status. ``low`` and
        ``high`` bound the result over all unrounded values that print as the cells do. ``status`` is "adds up"
        (``recomputed`` rounds to the printed digits), "rounding" (only some unrounded values within the bounds do) or
        "does not add up" (none do).
    """
    rows = _densities_and_lengths() + _improvements() + _times() + _averages() + _parameters()
    frame = pd.DataFrame(rows, columns=["paper", "table", "row", "column", "digits", "bounds"])
    half = frame["digits"].map(half_unit)
    frame["printed"] = frame["digits"].astype(float)
    for place, name in enumerate(("low", "recomputed", "high")):
        frame[name] = frame["bounds"].str[place]
    slack = half * (1 + 1e-6)
    possible = (frame["low"] - slack <= frame["printed"]) & (frame["printed"] <= frame["high"] + slack)
    exact = (frame["recomputed"] - frame["printed"]).abs() <= slack
    frame["status"] = exact.map({True: "adds up", False: "rounding"}).where(possible, "does not add up")
    return frame[["paper", "table", "row", "column", "printed", "recomputed", "low", "high", "status"]]


def _bounds(digits: str) -> Bounds:
    return float(digits) - half_unit(digits), float(digits), float(digits) + half_unit(digits)


def ratio(a: Bounds, b: Bounds, scale: float = 100.0, shift: float = 0.0) -> Bounds:
    """scale * (a / b - shift), for positive a and b."""
    return tuple(scale * (x / y - shift) for x, y in zip(a, reversed(b), strict=True))


def _sum(*terms: Bounds) -> Bounds:
    return tuple(map(sum, zip(*terms, strict=True)))


def mean(*terms: Bounds) -> Bounds:
    return tuple(x / len(terms) for x in _sum(*terms))


def bounds_of(table: str, *keys: str) -> dict:
    """The bounds of a table's printed numbers, by the values of the CSV columns ``keys``."""
    frame = published(table)
    frame = frame.loc[frame["digits"] != "", [*keys, "digits"]]
    return {tuple(key): _bounds(digits) for *key, digits in frame.itertuples(index=False, name=None)}


def _densities_and_lengths() -> list:
    rows = []
    for paper in ("contrec", "deftrec"):
        frame = published(f"{paper}_table1")
        cell = bounds_of(f"{paper}_table1", "dataset", "metric")
        for line in frame[frame["metric"].isin(["length", "density (%)"])].itertuples():
            users, items, n = (cell[line.dataset, quantity] for quantity in ("users", "items", "interactions"))
            area = tuple(u * i for u, i in zip(users, items, strict=True))
            again = ratio(n, users, 1) if line.metric == "length" else ratio(n, area)
            rows.append((paper, "Table 1", line.row, line.column, line.digits, again))
    return rows


def _improvements() -> list:
    """The improvement columns: ContRec's Table 2 over the starred TIGER, DeftRec's Table 4 over the starred LlaRA."""
    rows = []
    for paper, table, other in (("contrec", "contrec_table2", "tiger"), ("deftrec", "deftrec_table4", "llara")):
        cell = bounds_of(table, "row", "model", "metric")
        for line in published(table).query("metric.str.contains('improvement')").itertuples():
            metric = "inference time (s/batch)" if paper == "deftrec" else line.metric.split()[0]
            own, theirs = cell[line.row, paper, metric], cell[line.row, other, metric]
            again = ratio(own, theirs, shift=1) if paper == "contrec" else ratio(theirs, own, shift=1)
            rows.append((paper, line.table, line.row, line.column, line.digits, again))
    return rows


def _times() -> list:
    """ContRec's Table 4: the whole is LLM plus diffusion (DeftRec's text names a remainder, hence no sum there)."""
    cell = bounds_of("contrec_table4", "row", "model")
    whole = published("contrec_table4").query("model == 'contrec'")
    return [
        (*line[:4], line[4], _sum(cell[line[2], "contrec/llm"], cell[line[2], "contrec/diffusion"]))
        for line in whole[["paper", "table", "row", "column", "digits"]].itertuples(index=False, name=None)
    ]


def _averages() -> list:
    """The percentages in the running text, each a mean over the datasets of a table."""
    contrec = bounds_of("contrec_table2", "dataset", "metric", "model")
    deftrec = bounds_of("deftrec_table2", "dataset", "metric", "model")
    unseen = bounds_of("deftrec_table3", "dataset", "metric", "model")
    times = {paper: bounds_of(f"{paper}_table4", "dataset", "model", "metric") for paper in ("contrec", "deftrec")}
    second = "inference time (s/batch)"
    four, three = ("beauty", "games", "lastfm", "ml1m"), ("software", "beauty", "lastfm")

    def gain(cells, own, other, metric, datasets):
        return mean(*(ratio(cells[d, metric, own], cells[d, metric, other], shift=1) for d in datasets))

    def share(paper, part, datasets):
        cells = times[paper]
        return mean(*(ratio(cells[d, f"{paper}/{part}", second], cells[d, paper, second]) for d in datasets))

    again = {"LLM share of inference time": share("contrec", "llm", four)}
    for metric in ("HR@10", "NDCG@10"):
        again[f"over TIGER, {metric}"] = gain(contrec, "contrec", "tiger", metric, four)
        again[f"over the strongest baseline (TokenRec and LLaRA), {metric}"] = _strongest(contrec, metric, four)
        again[f"over P5, {metric}"] = gain(deftrec, "deftrec", "p5", metric, three)
        again[f"over TokenRec, {metric}"] = gain(deftrec, "deftrec", "tokenrec", metric, three)
        again[f"unseen users, {metric} over P5 and POD"] = gain(unseen, "deftrec", "p5", metric, ["software"])
    own_shares = {"LLM share of inference time": "llm", "diffusion share of inference time": "diffusion"}
    imp = [times["deftrec"][d, "deftrec", "inference time improvement over llara (%)"] for d in three]
    rows = []
    for line in published("claims").itertuples():
        if line.paper == "deftrec" and line.row in own_shares:
            result = share("deftrec", own_shares[line.row], three)
        else:
            result = mean(*imp) if line.row == "inference over LlaRA" else again[line.row]
        rows.append((line.paper, line.table, line.row, line.column, line.digits, result))
    return rows


def _strongest(cells: dict, metric: str, datasets) -> Bounds:
    """Mean gain of ContRec over the better of TokenRec and LLaRA on each dataset."""
    best = {d: max(cells[d, metric, "tokenrec"], cells[d, metric, "llara"]) for d in datasets}
    return mean(*(ratio(cells[d, metric, "contrec"], best[d], shift=1) for d in datasets))


def _parameters() -> list:
    """Total size in MB (4 bytes a parameter) against the sum of the parameter table."""
    rows = []
    for paper, table in (("contrec", "contrec_table6"), ("deftrec", "deftrec_table7")):
        total = _sum(*bounds_of(table, "row", "column").values())
        line = published("settings").query("paper == @paper and row == 'total model parameter size'").iloc[0]
        rows.append((paper, line["table"], line["row"], line["column"], line["digits"], tuple(4 * x for x in total)))
    return rows
