"""Numbers that other printed numbers determine: recomputed, and, for gains in the text, searched for."""

from __future__ import annotations

import re

import pandas as pd

from contrec.papers.arithmetic import bounds_of, derived, mean, ratio
from contrec.papers.claims.rows import LABELS, entry, label, names
from contrec.papers.published import half_unit, published, table1

STATUS = {"adds up": "agrees", "rounding": "rounding", "does not add up": "contradicted"}
UNSEEN = {"contrec": "contrec_table5", "deftrec": "deftrec_table3"}
TIME = "inference time (s/batch)"
# rows of settings.csv that state a result, not a setting; nothing that is printed determines them
RESULTS = r"training time|best |results get worse"


def recomputed() -> list[dict]:
    """Ledger rows of :func:`contrec.papers.arithmetic.derived`; :func:`searched_gains` has the gains in the text."""
    gains = set(_text_gains()[["paper", "row"]].itertuples(index=False, name=None))
    words = {(c.paper, c.dataset, c.quantity): c.contradiction for c in table1().itertuples()}
    rows = []
    for cell in derived().itertuples():
        if cell.column == "text" and (cell.paper, cell.row) in gains:
            continue
        found = f"{cell.recomputed:.7g}"
        quantity = {"Length": "length", "Density (%)": "density"}.get(cell.column)
        found = words.get((cell.paper, cell.row.lower(), quantity)) or found
        claim = cell.row if cell.column == "text" else f"{cell.row}, {cell.column}"
        rows.append(entry(cell.paper, cell.table, claim, f"{cell.printed:.7g}", found, STATUS[cell.status],
                          "recomputed", cell.low, cell.high))  # fmt: skip
    return rows


def searched_gains() -> list[dict]:
    """Each gain in the running text ("by 5.67 % over ..."): which gains of the paper's tables print so?

    Searched are all baselines of the table that the text speaks of, every dataset alone and their mean, and, where
    several baselines are named, the better of these on each dataset. The claim agrees if all named baselines have the
    gain, or the better of them.
    """
    rows = []
    for claim in _text_gains().itertuples():
        rate = re.search(r"(HR|NDCG)@\d+", claim.row)
        metric = rate[0] if rate else TIME
        unseen = UNSEEN[claim.paper] if "unseen" in claim.row else f"{claim.paper}_table2"
        table = unseen if rate else f"{claim.paper}_table4"
        named = [model for model in LABELS if label(model).lower() in claim.row.lower() and model != claim.paper]
        gains = _gains(claim.paper, table, metric, named)
        averaged = claim.metric.startswith("mean")
        gains = {key: bounds for key, bounds in gains.items() if (key[1] == "mean") == averaged}
        half = half_unit(claim.digits)
        fits = {
            "exactly": [k for k, (_, x, _) in gains.items() if abs(x - claim.value) <= half * (1 + 1e-6)],
            "within rounding": [k for k, (low, _, high) in gains.items() if low - half <= claim.value <= high + half],
        }
        how = "exactly" if fits["exactly"] else "within rounding"
        fitting = fits[how]
        scopes = {scope for _, scope in fitting or gains}
        agrees = any(
            {(m, scope) for m in named} <= set(fitting) or ("the better", scope) in fitting for scope in scopes
        )
        status = "contradicted" if not agrees else "agrees" if how == "exactly" else "rounding"
        found = f"{how}: " + "; ".join(_key(*key) for key in fitting) if fitting else "no gain prints so"
        shown = [f"{_key(m, scope)} {bounds[1]:.2f}" for (m, scope), bounds in gains.items()
                 if m in (*named, "the better") and scope in scopes]  # fmt: skip
        found += "; named: " + ", ".join(shown)
        text = f"{claim.row}, {claim.metric}"
        rows.append(entry(claim.paper, claim.table, text, claim.digits, found, status, "searched gain"))
    return rows


def _text_gains() -> pd.DataFrame:
    """The gains that the running text states."""
    claims = published("claims")
    return claims[claims["metric"].str.contains("improvement")]


def _gains(paper: str, table: str, metric: str, named: list[str]) -> dict:
    """Bounds of 100 (own / baseline - 1), of times 100 (baseline / own - 1): by baseline, and dataset or "mean"."""
    cells = bounds_of(table, "dataset", "model", "metric")
    value = {(dataset, model): bounds for (dataset, model, m), bounds in cells.items() if m == metric}
    datasets = list(dict.fromkeys(dataset for dataset, _ in value))
    baselines = [model for model in dict.fromkeys(model for _, model in value) if not model.startswith(paper)]

    def gain(dataset, other):
        own = value[dataset, paper]
        return ratio(other, own, shift=1) if metric == TIME else ratio(own, other, shift=1)

    gains = {(m, d): gain(d, value[d, m]) for m in baselines for d in datasets}
    if len(named) > 1:
        best = min if metric == TIME else max
        gains |= {("the better", d): gain(d, best(value[d, m] for m in named)) for d in datasets}
    for model in dict.fromkeys(model for model, _ in gains):
        gains[model, "mean"] = mean(*(gains[model, d] for d in datasets))
    return gains


def _key(model: str, scope: str) -> str:
    who = "the better of those named" if model == "the better" else label(model)
    return f"over {who}, mean" if scope == "mean" else f"over {who} on {names([scope])}"


def undetermined() -> list[dict]:
    """Results in the running text that nothing else that is printed determines."""
    frame = published("settings")
    frame = frame[frame["row"].str.contains(RESULTS)]
    text = "nothing that is printed determines it"
    return [entry(c.paper, c.table, f"{c.row} ({c.metric})", c.digits, text, "open", "not printed twice")
            for c in frame.itertuples()]  # fmt: skip
