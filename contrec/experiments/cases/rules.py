"""Which test cases are worth a look, found by rules that anybody can check, and what single cases can prove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from contrec import data, paths
from contrec.checks import one_of
from contrec.data.interactions import Split
from contrec.evaluation import Evaluation, evaluate
from contrec.evaluation.bootstrap import bootstrap_means, over_trainings, training_noise
from contrec.recommender import Recommender
from contrec.study import evaluating, words
from contrec.study.config import Config
from contrec.study.fitting import load_split
from contrec.study.recording import read_table

TOP = 10


@dataclass(frozen=True)
class Rule:
    """One way to choose a case.

    Attributes:
        says: which cases qualify, for readers.
        qualifies: from the frame of :func:`case_ranks` to a boolean column.
        first: of those, which one is taken, for readers; a remaining tie goes to the smallest case number.
        order: columns to sort by, first to last; "-" before a name: largest first.
    """

    says: str
    qualifies: Callable[[pd.DataFrame], pd.Series]
    first: str
    order: tuple[str, ...]


RULES: dict[str, Rule] = {
    "success": Rule(
        "ContRec has the target in its top 10, no floor has",
        lambda r: (r.contrec <= TOP) & (r.best_floor > TOP),
        "the best floor ranks it lowest, then ContRec highest",
        ("-best_floor", "contrec"),
    ),
    "failure": Rule(
        "every floor has the target in its top 10, ContRec has not",
        lambda r: (r.contrec > TOP) & (r.worst_floor <= TOP),
        "ContRec ranks it lowest, then the worst floor highest",
        ("-contrec", "worst_floor"),
    ),
    "text right, target missed": Rule(
        "the text names a facet of the target, ContRec does not have it in its top 10",
        lambda r: (r.text == "right") & (r.contrec > TOP),
        "ContRec ranks it lowest",
        ("-contrec",),
    ),
    "text wrong, target found": Rule(
        "the text names a facet that the target has not, ContRec has it in its top 10 all the same",
        lambda r: (r.text == "wrong") & (r.contrec <= TOP),
        "ContRec ranks it highest, then the best floor lowest",
        ("contrec", "-best_floor"),
    ),
    "median": Rule(
        "all cases",
        lambda r: r.contrec > 0,
        "ContRec's rank is nearest to its median rank, then highest",
        ("off_median", "contrec"),
    ),
}


def case_evaluations(config: Config, recommender: Recommender) -> dict[str, Evaluation]:
    """The recommender ("contrec") and the floors on the config's test cases, by name; floors come from the store."""
    split, seed = load_split(config), config.seeds[0]
    floors = {
        name: evaluating.kept_evaluations(evaluating.floor(config, name, seed))[name]
        for name in evaluating.floors(config)
    }
    return {"contrec": evaluate(recommender, split.test), **floors}


def case_ranks(recommender: Recommender, split: Split, evaluations: dict[str, Evaluation]) -> pd.DataFrame:
    """A row for each test case that can be ranked, for :data:`RULES`.

    Args:
        evaluations: "contrec" and at least one floor, all on ``split.test`` in its order.

    Returns:
        case (row of ``split.test``), user (original id), one column of target ranks per evaluation, best_floor and
        worst_floor (smallest and largest of the floors' ranks), off_median (distance of ContRec's rank from its
        median), named (the facet that the text names), text ("right" if the target has it, "wrong", or "no facet"
        where the target has none). Cases whose target stands in the history are left out: with seen items removed, no
        model can rank it.
    """
    if "contrec" not in evaluations or len(evaluations) < 2:
        raise ValueError(f"evaluations must hold 'contrec' and at least one floor, got {', '.join(evaluations)}")
    catalogue, test = split.catalogue, split.test
    named = [recommender.answers.values[a] for a in recommender.understand(test).answer]
    facets = [catalogue.facets[target] for target in test.target]
    verdict = ["right" if n in f else "wrong" if f else "no facet" for n, f in zip(named, facets, strict=True)]
    frame = pd.DataFrame(
        {"case": np.arange(len(test)), "user": split.train.user_ids[test.user]}
        | {name: e.ranks for name, e in evaluations.items()}
        | {"named": named, "text": verdict}
    )
    seen = [target in test.history(i) for i, target in enumerate(test.target)]
    return with_floors(frame[~np.array(seen)].reset_index(drop=True), [n for n in evaluations if n != "contrec"])


def with_floors(ranks: pd.DataFrame, floors: list[str]) -> pd.DataFrame:
    """``ranks`` with the columns best_floor, worst_floor and off_median of :func:`case_ranks`."""
    of_floors, own = ranks[floors], ranks.contrec
    return ranks.assign(
        best_floor=of_floors.min(axis=1), worst_floor=of_floors.max(axis=1), off_median=(own - own.median()).abs()
    )


def chosen_cases(ranks: pd.DataFrame) -> pd.DataFrame:
    """The case that each rule takes: a row per rule with its words, how many cases qualify, and the one that is taken.

    Columns: rule (index), qualifies, taken first, n, share, case (-1 where none qualifies), user ("" then), contrec,
    best floor and worst floor (ranks of the target; NaN then).
    """
    rows = []
    for name, rule in RULES.items():
        of = ranks[rule.qualifies(ranks)]
        keys = [(-1 if key.startswith("-") else 1) * of[key.removeprefix("-")] for key in rule.order]
        row = {"rule": name, "qualifies": rule.says, "taken first": rule.first, "n": len(of)}
        row |= {"share": len(of) / len(ranks), "case": -1, "user": ""}
        if len(of):
            one = of.iloc[np.lexsort([of.case, *keys[::-1]])[0]]
            row |= {"case": one.case, "user": one.user, "contrec": one.contrec}
            row |= {"best floor": one.best_floor, "worst floor": one.worst_floor}
        rows.append(row)
    columns = ["rule", "qualifies", "taken first", "n", "share", "case", "user", "contrec", "best floor", "worst floor"]
    return pd.DataFrame(rows, columns=columns).set_index("rule")


def found_alone(ranks: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """What a single success or failure is worth: for each model, the cases that it alone finds and it alone misses.

    Returns:
        A row per model: found (target in its top 10), found alone (in nobody else's), missed alone (in everybody
        else's); numbers of cases.
    """
    hit = ranks[models] <= TOP
    others = {m: hit.drop(columns=m) for m in models}
    rows = {
        m: {
            "found": hit[m].sum(),
            "found alone": (hit[m] & ~others[m].any(axis=1)).sum(),
            "missed alone": (~hit[m] & others[m].all(axis=1)).sum(),
        }
        for m in models
    }
    return pd.DataFrame(rows).T


def shift_table(
    split: Split, ranks: list[pd.DataFrame], models: list[str], n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Do sudden shifts make a model miss, as Appendix C.4 (ContRec) says of its own? HR@10 with and without a shift.

    A case is "kept" if the facet that its gold answer names (the target's rarest category, else its brand) is a facet
    of at least one item of the history, else it is a "shift"; targets without a facet are left out.

    Args:
        ranks: columns case and ``models`` as of :func:`case_ranks`, one frame a training seed, on the same cases; hits
            are averaged over seeds, case by case.
        n_boot, seed: of the bootstrap over cases.

    Returns:
        A row per model: HR@10 of kept and shift with their numbers of cases in the column names, gap (kept minus shift,
        percentage points), low and high (its 95 % interval over cases and trainings). Where a group is empty, the gap
        is NaN.
    """
    catalogue, test = split.catalogue, split.test
    cases = ranks[0].case.to_numpy()
    gold = [catalogue.gold_answer(int(test.target[case])) for case in cases]
    before = [{f for item in test.history(case) for f in catalogue.facets[item]} for case in cases]
    used = np.array([g is not None for g in gold])
    kept = np.array([g in b for g, b in zip(gold, before, strict=True)])[used]
    each = np.stack([frame[models] <= TOP for frame in ranks]).astype(float)[:, used]  # (seeds, cases, models)
    hit = each.mean(0)
    columns = f"kept (n = {kept.sum()})", f"shift (n = {(~kept).sum()})"
    groups = hit[kept], hit[~kept]
    means = [group.mean(0) if len(group) else np.full(len(models), np.nan) for group in groups]
    interval = np.full((2, len(models)), np.nan)
    if all(map(len, groups)):
        parts = np.column_stack([kept, hit * kept[:, None], hit * ~kept[:, None]]).astype(float)
        draws = bootstrap_means(parts, n_boot, seed)
        draws = draws[(draws[:, 0] > 0) & (draws[:, 0] < 1)]  # a draw may miss a small group
        share, of_kept, of_shift = np.split(draws, [1, 1 + len(models)], axis=1)
        gaps = of_kept / share - of_shift / (1 - share)
        noise = [training_noise(each[:, kept, n], -each[:, ~kept, n]) for n in range(len(models))]
        spread = [over_trainings(own, own.var(), [of]) for own, of in zip(gaps.T, noise, strict=True)]
        interval = np.percentile(spread, [2.5, 97.5], axis=1)
    frame = pd.DataFrame(dict(zip(columns, means, strict=True)), index=models)
    return frame.assign(
        gap=100 * (frame[columns[0]] - frame[columns[1]]), low=100 * interval[0], high=100 * interval[1]
    )


def findings(ranks: pd.DataFrame, models: list[str], shifts: dict[str, pd.DataFrame]) -> list[str]:
    """What cases can prove, in sentences of their numbers: who finds any alone, and who loses most by a shift.

    Args:
        ranks, models: as for :func:`found_alone`.
        shifts: of :func:`shift_table`, by the name of the run; of one without gaps (no data here) nothing is said.
    """
    alone = found_alone(ranks, models)["found alone"]
    floors = alone.drop("contrec")
    lines = [
        f"Of {len(ranks)} cases ContRec alone finds {alone['contrec']}; {(floors > 0).sum()} of {len(floors)} floors "
        f"find some that nobody else does, {floors.idxmax()} most ({floors.max()})."
    ]
    for name, table in shifts.items():
        if "gap" in table and table.gap.notna().any():
            own, others = table.loc["contrec"], table.drop(index="contrec")
            near = ((others.low <= own.gap) & (own.gap <= others.high)).sum()
            lines.append(
                f"{name}: a shift of facets costs ContRec {words.points(own.gap, own.low, own.high)}, the others "
                f"{others.gap.min():.1f} to {others.gap.max():.1f} ({others.gap.idxmax()}); {near} of {len(others)} "
                f"have ContRec's gap within their interval."
            )
    return lines


def recorded_ranks(
    dataset: str,
    source: str,
    recipe: str = "tuned",
    seed: int = 0,
    split: str = "leave_one_out",
    preset: str = "laptop",
) -> pd.DataFrame:
    """The ranks of a recorded run (``data/reproduced``), for :func:`found_alone` and :func:`shift_table`.

    Returns:
        case (row of the split's test cases), and one column of target ranks per model; of models that have one training
        seed only, that one.

    Raises:
        FileNotFoundError: if no such run was recorded.
        ValueError: if it was recorded without this seed.
    """
    path = paths.reproduced() / f"{dataset}_{source}_{split}_{preset}_{recipe}.ranks.parquet"
    if not path.exists():
        raise FileNotFoundError(f"no recorded ranks in {path.name}; `contrec study --record` writes them")
    frame = read_table(path)
    one_of("seed", seed, tuple(sorted(set(frame.seed.tolist()))))
    several = frame.groupby("model").seed.transform("nunique") > 1
    frame = frame[(frame.seed == seed) | ~several]
    wide = frame.assign(case=frame.groupby("model").cumcount()).pivot(index="case", columns="model", values="rank")
    return wide[list(dict.fromkeys(frame.model))].rename_axis(columns=None).reset_index()


def recorded_shift(
    dataset: str, source: str, models: list[str], recipe: str = "tuned", seeds=(0, 1, 2)
) -> pd.DataFrame:
    """:func:`shift_table` of a recorded run, leave-one-out; where the dataset's files are not here, a row says so."""
    try:
        split = data.split(*data.load(dataset, source, download=False))
    except data.DataError:
        return pd.DataFrame(index=[f"{dataset}: its files are not here"])
    return shift_table(split, [recorded_ranks(dataset, source, recipe, seed) for seed in seeds], models)
