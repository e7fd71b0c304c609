"""What the printed rates allow at most: significance from means and deviations, and NDCG against the hit rates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from contrec.papers.claims.rows import LABELS, PAPERS, RATES, entry, label
from contrec.papers.published import are_counts, half_unit, published

SPREADS = np.linspace(0, 3, 301)  # variance of a baseline's runs over that of ContRec's; Welch's p grows beyond 3


def welch(difference: float, sd: float, n: int, ratio=0.0, sides: int = 2):
    """p-value of Welch's t test of two means over n runs each.

    Args:
        difference: first mean minus second.
        sd: standard deviation of the first mean's runs, positive.
        n: runs of each, at least 2.
        ratio: variance of the second's runs over that of the first's, number or array; 0 tests against a fixed value.
        sides: 2, or 1 for "the first is larger".

    Returns:
        p in [0, 1], the shape of ``ratio``.
    """
    ratio = np.asarray(ratio, dtype=float)
    statistic = difference / (sd * np.sqrt((1 + ratio) / n))
    freedom = (n - 1) * (1 + ratio) ** 2 / (1 + ratio**2)
    return 2 * student.sf(np.abs(statistic), freedom) if sides == 2 else student.sf(statistic, freedom)


def significance() -> pd.DataFrame:
    """ContRec's Table 2 and its "statistically significant (p < 0.01)": ContRec's mean and s.d. against every baseline.

    The baselines stand there without a deviation.

    Returns:
        dataset, metric, model, difference, p (two-sided, the baseline taken as a fixed value), high (its largest value
        that rounding allows) and low: the smallest p of all readings, that is one-sided, the most favourable rounding,
        and the most favourable deviation of the baseline over as many runs.
    """
    table = published("contrec_table2")
    table = table[table["metric"].str.fullmatch(RATES.pattern)]
    n = int(published("settings").query("row == 'inference runs'")["value"].iloc[0])
    rows = []
    for (dataset, metric), cells in table.groupby(["dataset", "metric"], sort=False):
        own = cells[cells["model"] == "contrec"].iloc[0]
        half = half_unit(own["digits"])
        for line in cells[cells["model"] != "contrec"].itertuples():
            difference = own["value"] - line.value
            p = float(welch(difference, own["sd"], n, sides=2)) if difference > 0 else 1.0
            worst = difference - half - half_unit(line.digits)
            high = float(welch(worst, own["sd"] + half, n)) if worst > 0 else 1.0
            best = difference + half + half_unit(line.digits)
            low = float(welch(best, own["sd"] - half, n, SPREADS, sides=1).min())
            rows.append((dataset, metric, line.model, line.value, difference, p, low, high))
    return pd.DataFrame(rows, columns=["dataset", "metric", "model", "value", "difference", "p", "low", "high"])


def significant() -> list[dict]:
    """Ledger rows of "statistically significant (p < 0.01)", one per cell of ContRec: what two readings say of it.

    The paper does not name its test. What it prints beside the claim is the deviation over five inferences
    (:func:`significance`); another sample would be the test cases (:func:`nested_hits`). Ruled out by either reading, a
    claim is so under that reading alone: who takes each inference of each case for an observation, or tests against
    the starred baseline only, may be right.
    """
    level = float(published("settings").query("row == 'significance level'")["value"].iloc[0])
    by_case = nested_hits().set_index(["dataset", "metric"])
    rows = []
    for (dataset, metric), tests in significance().groupby(["dataset", "metric"], sort=False):
        best = tests.loc[tests["value"].idxmax()]
        cannot, open_ = (tests["low"] >= level).sum(), ((tests["low"] < level) & (tests["high"] >= level)).sum()
        found = f"over {label(best['model'])}, p = {best['p']:.2g} from the mean and s.d. over five inferences"
        found += f"; {cannot} of {len(tests)} baselines cannot reach {level:g} whatever their spread, {open_} might"
        samples = ["the inferences"] if cannot else []
        if (dataset, metric) in by_case.index:
            cases = by_case.loc[dataset, metric]
            found += f"; {cases['hits']:.1f} hits more among at most {cases['cases']:,.0f} cases: neither a sign test "
            found += f"over cases nor McNemar's can give less than p = {cases['low']:.2g}"
            samples += ["the test cases"] * bool(cases["low"] >= level)
        status = "one reading" if samples else "open" if open_ else "agrees"
        reading = f"p over {' or over '.join(samples)}, against every baseline" if samples else ""
        claim = f"{label(dataset)} {metric}: the improvements are significant"
        rows.append(entry("contrec", "Table 2", claim, f"p < {level:g}", found, status, "significance", best["low"],
                          best["high"], reading))  # fmt: skip
    return rows


def nested_hits() -> pd.DataFrame:
    """ContRec's hit rates against the best baseline as a paired test over test cases: the smallest p that they allow.

    Most favourable is that the better model hits whatever the other one hits, and k cases more. One-sided, a sign test
    then has p = 2^-k, McNemar's without correction (and, for many cases, a paired t test) the tail of a normal beyond
    sqrt(k); the smaller one is taken. There is a case per user, or, where the split is by time, one for each
    interaction after the 95th percentile; the larger number is taken.

    Returns:
        dataset, metric, cases (at most), hits (more than the best baseline's, as printed) and low (that p).
    """
    size = published("contrec_table1").pivot(index="dataset", columns="metric", values="value")
    rows = []
    for (dataset, metric), tests in significance().groupby(["dataset", "metric"], sort=False):
        if not metric.startswith("HR"):
            continue
        best = tests.loc[tests["value"].idxmax()]
        n = math.floor(max(size.at[dataset, "users"], 0.05 * size.at[dataset, "interactions"]))
        more = max(0, math.floor(n * (best["difference"] + 1e-4) + 1e-9))
        rows.append((dataset, metric, n, n * best["difference"], min(0.5**more, float(norm.sf(math.sqrt(more))))))
    return pd.DataFrame(rows, columns=["dataset", "metric", "cases", "hits", "low"])


def one_target() -> list[dict]:
    """NDCG@20 - NDCG@10 against HR@20 - HR@10 in both Tables 2, for test cases with one target each.

    A target at rank 11..20 adds between 1 / log2(21) and 1 / log2(12) to NDCG@20 and 1 to HR@20, so the ratio of the
    two differences lies in [0.228, 0.279] up to rounding, whatever the model, if one ranking gives all four numbers.
    DeftRec states leave-one-out, that is one target; ContRec states a split by time point, which may have more.
    """
    least, most = 1 / math.log2(21), 1 / math.log2(12)
    rows = []
    for paper in PAPERS:
        table = published(f"{paper}_table2")
        table = table[table["metric"].str.fullmatch(RATES.pattern)]
        cells = table.pivot(index=["dataset", "model"], columns="metric", values="value")
        half = 2 * table["digits"].map(half_unit).max()  # of a difference of two printed numbers
        hits, gain = cells["HR@20"] - cells["HR@10"], cells["NDCG@20"] - cells["NDCG@10"]
        wrong = (gain + half < (hits - half) * least - 1e-9) | (gain - half > (hits + half) * most + 1e-9)
        for dataset in table["dataset"].unique():
            ratio, bad = (gain / hits)[dataset], wrong[dataset]
            listed = [f"{label(m)} {ratio[m]:.2f}" for m in LABELS if bad.get(m, False)]
            found = f"{len(listed)} of {len(bad)} models cannot have these four numbers from one ranking"
            found += ": " + ", ".join(listed) if listed else ""
            status = ("open" if paper == "contrec" else "contradicted") if listed else "agrees"
            claim = f"{label(dataset)}: (NDCG@20 - NDCG@10) / (HR@20 - HR@10) with one target"
            reading = "one target a case, which a split by time point need not have" if status == "open" else ""
            rows.append(entry(paper, "Table 2", claim, "4 metrics", found, status, "one target", least, most, reading))
    return rows


def core() -> list[dict]:
    """ "5-core": at least five interactions per user and per item."""
    rows = []
    for paper in PAPERS:
        least = float(published("settings").query("paper == @paper and row == 'core'")["value"].iloc[0])
        size = published(f"{paper}_table1").pivot(index="dataset", columns="metric", values="value")
        for dataset, line in size.iterrows():
            mean = {part: line["interactions"] / line[part] for part in ("users", "items")}
            status = "agrees" if min(mean.values()) >= least else "contradicted"
            found = f"{mean['users']:.1f} per user and {mean['items']:.1f} per item on average"
            claim = f"{label(dataset)}: every user and item has at least {least:g} interactions"
            rows.append(entry(paper, "Table 1", claim, f"{least:g}-core", found, status, "core"))
    return rows


def whole_hits() -> list[dict]:
    """Hit rates of a single run with one case per user are whole numbers of users: are the printed ones?

    Only datasets where not every four digits are such a share (fewer than 10,000 users) can be asked, and among the
    models only those printed without a deviation (ContRec's are means over five inferences).
    """
    rows = []
    for paper in PAPERS:
        users = published(f"{paper}_table1").query("metric == 'users'").set_index("dataset")["value"]
        table = published(f"{paper}_table2")
        table = table[table["metric"].str.fullmatch(r"HR@\d+") & table["sd"].isna()]
        for dataset, cells in table.groupby("dataset", sort=False):
            n = users[dataset]
            half = cells["digits"].map(half_unit)
            if n * 2 * half.max() >= 1:
                continue
            possible = are_counts(cells, n)
            found = f"{possible.sum()} of {len(cells)} hit rates are a whole number of the {n:,.0f} users; by chance "
            found += f"{(n * 2 * half).sum():.1f} would be"
            status = "agrees" if possible.all() else "open" if paper == "contrec" else "one reading"
            reading = "one run" + ", and one case a user, which a split by time point need not have" * (
                status == "open"
            )
            claim = f"{label(dataset)}: hit rates of one run with one case per user"
            rows.append(entry(paper, "Table 2", claim, f"{len(cells)} cells", found, status, "whole hits",
                              reading=reading if status != "agrees" else ""))  # fmt: skip
    return rows
