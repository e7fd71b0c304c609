"""What the ablation found: each arm against its full model on the same users, beside DeftRec's Table 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from contrec.artifacts import stale
from contrec.evaluation import Evaluation, paired_bootstrap, rate_interval
from contrec.experiments.ablation.arms import everything, why_left_out
from contrec.experiments.ablation.cells import recorded
from contrec.papers.published import published
from contrec.study import words
from contrec.study.config import Config

METRICS = ("HR@10", "NDCG@10")
DRAWS = 2000  # of users, for each difference
# Model -> whose recorded rows stand beside a run on the planted catalogue
SHOWN = {"contrec": ("lastfm", "released"), "deftrec": ("software", "released")}
Kept = Mapping[tuple[str, int], Evaluation]  # arm and seed -> its evaluation


def printed(model: str, dataset: str, metric: str) -> dict[str, float]:
    """Arm -> what DeftRec's Table 5 prints; empty for another model or dataset."""
    table = published("deftrec_table5")
    own = table[(table.dataset == dataset) & (table.metric == metric) & (table.paper == model)]
    return {model.partition("/")[2] or "full": value for model, value in zip(own.model, own.value, strict=True)}


def printed_differences() -> pd.DataFrame:
    """Table 5, DeftRec, as differences from its Full in points: a row per arm as printed, dataset and metric above."""
    table = published("deftrec_table5").pivot(index="row", columns=["dataset", "metric"], values="value")
    table = table.loc[published("deftrec_table5").row.unique()]
    return (100 * (table - table.loc["Full"])).drop("Full").rename_axis(index=None, columns=[None, None])


def compared(full: Config, kept: Kept, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Every arm against its full model on the same users, beside what is printed.

    Args:
        full: the full model.
        kept: of ``cells.evaluations`` or ``cells.recorded``; a model's seeds are averaged user by user. A difference is
            taken over the seeds that both have.

    Returns:
        A row per metric and arm: arm, group, label, metric; value, low, high (95 % over users and trainings), n
        (seeds); n_paired (those that the full model has, too), difference from the full model in percentage points,
        diff_low, diff_high, p, detectable (:func:`contrec.evaluation.paired_bootstrap`), p_holm (for so many arms),
        seed_sd (s.d. of the difference over training seeds, NaN for one); published, published_difference (points);
        verdict. NaN where nothing was run or printed.
    """
    rows = []
    for metric in metrics:
        in_print, own = printed(full.model, full.dataset, metric), []
        for arm in everything(full):
            why = why_left_out(full, arm)
            if why and arm.name not in in_print:
                continue
            row = {"arm": arm.name, "group": arm.group, "label": arm.label, "metric": metric}
            row |= _against_full(arm.name, kept, metric)
            row["published"] = in_print.get(arm.name, np.nan)
            row["published_difference"] = 100 * (row["published"] - in_print.get("full", np.nan))
            row["verdict"] = why or ("" if arm.name == "full" and row["n"] else _verdict(row))
            own.append(row)
        frame = pd.DataFrame(own)
        frame.insert(frame.columns.get_loc("p") + 1, "p_holm", holm(frame.p))
        rows.append(frame)
    return pd.concat(rows, ignore_index=True)


def _against_full(name: str, kept: Kept, metric: str) -> dict:
    own = {seed: e for (arm, seed), e in kept.items() if arm == name}
    whole = {seed: e for (arm, seed), e in kept.items() if arm == "full"}
    empty = ("value", "low", "high", "difference", "diff_low", "diff_high", "p", "detectable", "seed_sd")
    row = dict.fromkeys(empty[:3], np.nan) | {"n": len(own)} | dict.fromkeys(empty[3:], np.nan)
    if own:
        found = rate_interval([own[seed] for seed in sorted(own)], metric)
        row |= {column: found[column] for column in ("value", "low", "high")}
    row["stale"] = stale.among(own.values())
    both = sorted(own.keys() & whole.keys())
    row["n_paired"] = len(both)
    if both and name != "full":
        found = paired_bootstrap([own[s] for s in both], [whole[s] for s in both], metric, DRAWS)
        row |= {column: found[column] for column in ("difference", "p", "detectable")}
        row["diff_low"], row["diff_high"] = found["low"], found["high"]
        each = [100 * (own[s].metrics()[metric] - whole[s].metrics()[metric]) for s in both]
        row["seed_sd"] = float(np.std(each, ddof=1)) if len(both) > 1 else np.nan
    return row


def _verdict(row: dict) -> str:
    """Is the arm ahead of the full model or behind it (:func:`words.verdict`), and has that the printed sign?"""
    if np.isnan(row["difference"]):
        return "not run"
    word = words.verdict(row["diff_low"], row["diff_high"])
    if np.isnan(row["published_difference"]):
        return word
    same = np.sign(row["difference"]) == np.sign(row["published_difference"])
    return f"{word}, sign {'as' if same else 'not as'} printed"


def moved(frame: pd.DataFrame) -> pd.Series:
    """Which rows of :func:`compared` differ from the full model: those that are ahead of it or behind it."""
    return frame.verdict.str.startswith(("ahead", "behind"))


def in_words(frame: pd.DataFrame, where: str, metric: str = "HR@10") -> str:
    """How many arms of :func:`compared` differ from the full model, with which sign, and which most: a sentence."""
    own = frame[(frame.metric == metric) & frame.difference.notna()]
    if not len(own):
        return f"{where}: not run."
    clear = own[moved(own)]
    says = f"{where}: of {len(own)} arms {len(own) - len(clear)} are level with the full model"
    if len(clear):
        most = clear.loc[clear.difference.abs().idxmax()]
        shown = words.points(most.difference, most.diff_low, most.diff_high)
        says += f" and {len(clear)} are not, least of all '{most.label}' ({shown})"
    printed = own[own.published_difference.notna()]
    if len(printed):
        held = (moved(printed) & printed.verdict.str.endswith("sign as printed")).sum()
        says += f"; of the {len(printed)} that are printed, {held} differ with the printed sign"
    return f"{says}."


def holm(p: pd.Series) -> pd.Series:
    """p values corrected for their number (Holm, 1979); NaN stay NaN."""
    order = p.dropna().sort_values()
    factors = np.arange(len(order), 0, -1)
    return (order * factors).cummax().clip(upper=1.0).reindex(p.index)


def ablation_table(frame: pd.DataFrame, metric: str = "HR@10") -> pd.DataFrame:
    """The comparison as a page shows it: arms that were run or printed, by group; differences in percentage points.

    Detectable is the smallest difference that four samples in five would have shown.
    """
    own = frame[(frame.metric == metric) & ((frame.n > 0) | frame.published.notna())]
    in_print = own.published.notna().any()
    rows = []
    for r in own.itertuples():
        value = stale.shown(_number(r.value, r.low, r.high, "{:.4f}"), r.stale)
        row = {"group": r.group, "arm": r.label, metric: value}
        row["difference"] = _points(r.difference, r.diff_low, r.diff_high)
        row["detectable"] = _number(r.detectable, shown="{:.2f}")
        row |= {"p": _number(r.p, shown="{:.3f}"), "p, Holm": _number(r.p_holm, shown="{:.3f}")}
        row["seeds"] = words.trainings(r.arm, r.n_paired or r.n) if r.n else ""
        if in_print:
            row["published"] = _number(r.published)
            row["published difference"] = _points(r.published_difference or np.nan)
        rows.append({**row, "verdict": r.verdict})
    return pd.DataFrame(rows)


def _number(value: float, low: float = np.nan, high: float = np.nan, shown: str = "{:.4f}") -> str:
    if np.isnan(value):
        return ""
    return shown.format(value) + ("" if np.isnan(low) else f" [{shown.format(low)}, {shown.format(high)}]")


def _points(value: float, low: float = np.nan, high: float = np.nan) -> str:
    return _number(value, low, high, "{:+.2f}")


def drawn(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Differences of ``kind`` ("this run", "reproduced") and the published ones, for ``plots.differences``."""
    own = frame[frame.difference.notna()].assign(kind=kind, low=frame.diff_low, high=frame.diff_high)
    told = frame[frame.published_difference.notna() & (frame.arm != "full")]
    told = told.assign(kind="published", difference=told.published_difference, low=np.nan, high=np.nan)
    columns = ["group", "label", "metric", "kind", "difference", "low", "high"]
    both = pd.concat([own[columns], told[columns]])
    return both.sort_index(kind="stable").reset_index(drop=True)  # in the order of the arms


def recorded_studies(full: Config) -> list[Config]:
    """The studies whose recorded rows stand beside this one's, its own recipe first; for the planted catalogue those
    on the dataset in ``SHOWN``. Their seeds are the recorded ones.

    On preset laptop where this one is tiny. Where nothing is recorded, that of recipe paper, of which nothing was run.
    """
    dataset, source = SHOWN[full.model] if full.dataset == "planted" else (full.dataset, full.source)
    preset = "laptop" if full.preset == "tiny" else full.preset
    studies = {
        recipe: Config.from_parameters(
            full.model, recipe, preset, dataset=dataset, source=source, split=full.split, seeds=full.seeds
        )
        for recipe in dict.fromkeys((full.recipe, "paper", "tuned", "released"))
    }
    seeds = {recipe: tuple(sorted({seed for _, seed in recorded(study)})) for recipe, study in studies.items()}
    found = [replace(study, seeds=seeds[recipe]) for recipe, study in studies.items() if seeds[recipe]]
    return found or [studies["paper"]]


def headline(full: Config, kept: Kept, metric: str = "HR@10") -> pd.DataFrame:
    """Arms that were printed or run: published | reproduced | this run; differences from the full model in points.

    Reproduced is what each of :func:`recorded_studies` has in ``data/reproduced``, with a verdict; "not run" where it
    has nothing.
    """
    beside = recorded_studies(full)
    in_print = pd.Series(printed(full.model, beside[0].dataset, metric), dtype=float)
    away = (100 * (in_print - in_print.get("full", np.nan))).drop("full", errors="ignore")
    table = pd.DataFrame({"arm": {arm.name: arm.label for arm in everything(full)}})
    table["published"], table["published difference"] = in_print.map(_number), away.map(_points)
    wanted = set(in_print.index)
    for study in beside:
        own = compared(study, recorded(study), (metric,)).set_index("arm")
        values = [stale.shown(f"{r.value:.4f} (n={r.n})", r.stale) if r.n else "not run" for r in own.itertuples()]
        table[f"reproduced ({study.dataset}, {study.recipe})"] = pd.Series(values, own.index)
        apart = [_points(r.difference, r.diff_low, r.diff_high) for r in own.itertuples()]
        table[f"difference, {study.recipe}"] = pd.Series(apart, own.index)
        table[f"verdict, {study.recipe}"] = own.verdict
        wanted |= set(own.index[own.n > 0])
    here = compared(full, kept, (metric,)).set_index("arm").query("n > 0").value
    ours = f"this run ({full.dataset}, {full.recipe})"
    table[ours] = here.map(_number)
    table = table[table.index.isin(wanted | set(here.index))].reset_index(drop=True)
    return table.fillna({"published": "-", ours: "not run"}).fillna("")
