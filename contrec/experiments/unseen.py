"""Unseen users (Table 5, ContRec; Table 3, DeftRec), and what their metrics are compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import baselines, paths
from contrec.artifacts import stale
from contrec.checks import in_range
from contrec.evaluation import Evaluation, paired_bootstrap, rate_interval, unpaired_bootstrap
from contrec.papers.published import are_counts, published
from contrec.study import evaluating, words
from contrec.study.config import TITLES, Config
from contrec.study.evaluating import INSIDE, SEEN
from contrec.study.fitting import load_split
from contrec.study.recording import read_ranks
from contrec.study.settings import DETERMINISTIC, chosen
from contrec.study.tables import METRICS, TABLES, recorded_rates

GROUPS = {"unseen": "", "same users, in training": INSIDE, "other users": SEEN}  # group: ending of a model's name
VARIANTS = (
    r"(contrec|deftrec)/(?!user-token|direct-head)"  # of ContRec its two plainest are shown, as in tables.comparison
)
DRAWS = 2000  # of users, for each difference
Kept = Mapping[str, Sequence[Evaluation]]  # model name -> its evaluations, one for each seed


def unseen_models(config: Config) -> list[str]:
    """What the notebook compares: the floors, MF (whose users are learned), what fits the data, and ContRec."""
    repeats = ["repeat_history"] if config.dataset == "software" else []
    return [*evaluating.floors(config), *repeats, "mf", config.model]


def unseen_runs(config: Config, models: Sequence[str] | None = None, progress: bool = False) -> dict[str, list]:
    """Evaluations of all groups, by model name; what is missing is run, with and without the unseen users.

    Args:
        config: with split "unseen_users".
        models: baselines, and "contrec"; None: :func:`unseen_models`.
    """
    kept: dict[str, list[Evaluation]] = {}
    for _, _, folder in _folders(config, models, progress):
        for model, evaluation in evaluating.kept_evaluations(folder).items():
            kept.setdefault(model, []).append(evaluation)
    return kept


def unseen_rows(config: Config, models: Sequence[str] | None = None) -> pd.DataFrame:
    """The same as rows in the columns of ``data/reproduced``, for ``tables.comparison``."""
    frames = []
    for name, seed, folder in _folders(config, models):
        run = (
            {"recipe": config.recipe, "preset": config.preset} if name == config.model else {"recipe": "", "preset": ""}
        )
        frames.append(evaluating.rows_of(config, folder, seed, **run))
    rows = pd.concat(frames, ignore_index=True)
    return rows[~rows.model.str.match(VARIANTS)].reset_index(drop=True)


def _folders(config: Config, models: Sequence[str] | None, progress: bool = False) -> Iterator[tuple[str, int, Path]]:
    """Model, seed and the folder of its evaluations, made where it is missing."""
    for name in models or unseen_models(config):
        for seed in config.seeds[:1] if name in DETERMINISTIC else config.seeds:
            if name == config.model:
                yield name, seed, evaluating.evaluated(config, seed, progress)
            else:
                yield name, seed, evaluating.floor(config, name, seed, progress)


def recorded_runs(dataset: str, source: str, preset: str = "laptop", recipe: str = "tuned") -> dict[str, list]:
    """As :func:`unseen_runs`, from the ranks in ``data/reproduced``; empty where nothing was recorded."""
    kept: dict[str, list[Evaluation]] = {}
    for kind in ("baselines", f"{preset}_{recipe}"):  # the grid's floors have the settings of the search
        path = paths.reproduced() / f"{dataset}_{source}_unseen_users_{kind}.ranks.parquet"
        known = set(kept)
        for (model, _), evaluation in read_ranks(path).items() if path.exists() else ():
            if model not in known:
                kept.setdefault(model, []).append(evaluation)
    return kept


def unseen_groups(kept: Kept, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Rates of each group (for ``plots.unseen_users``), seeds averaged user by user.

    Returns:
        model, group (of :data:`GROUPS`: the users as strangers; the same users in the run that trained on them; all
        others, in the training of the first run), metric, value, low, high (95 % over users and trainings), n_users.
    """
    rows = []
    for model in _models(kept):
        for group, ending in GROUPS.items():
            for metric in metrics if model + ending in kept else ():
                rows.append((model, group, metric, *rate_interval(kept[model + ending], metric).values()))
    return pd.DataFrame(rows, columns=["model", "group", "metric", "value", "low", "high", "n_users"])


def unseen_table(kept: Kept, metric: str = "HR@10", digits: int = 4) -> pd.DataFrame:
    """The groups as a page shows them: a row per model, "value [low, high]" per group with the number of users."""
    if not kept:
        return pd.DataFrame(index=["not run"])
    frame = unseen_groups(kept, [metric])
    old = {name for name, own in kept.items() if stale.among(own)}
    shown = [
        stale.shown(f"{r.value:.{digits}f} [{r.low:.{digits}f}, {r.high:.{digits}f}]", r.model + GROUPS[r.group] in old)
        for r in frame.itertuples()
    ]
    frame = frame.assign(shown=shown, group=[f"{r.group} (n = {r.n_users})" for r in frame.itertuples()])
    table = frame.pivot(index="model", columns="group", values="shown")
    table = table.loc[list(dict.fromkeys(frame.model)), list(dict.fromkeys(frame.group))]
    return table.fillna("-").rename_axis(columns=None)


def unseen_gaps(kept: Kept, metrics: Sequence[str] = ("HR@10", "NDCG@10")) -> pd.DataFrame:
    """The gap between unseen and other users, and its two parts, in percentage points with 95 % intervals.

    unseen - others = (unseen - in training) + (in training - others). The first part is what being absent from
    training costs: the same users, the same histories, paired. The second compares other people, with longer histories.

    Returns:
        model (of stale ranks it says so), metric, comparison, difference, low, high, p and detectable (of the paired
        part; NaN elsewhere), verdict (of ``words.verdict``), over (what the interval is over).
    """
    rows = []
    for model in (m for m in _models(kept) if m + SEEN in kept):
        unseen, inside, others = (kept[model + ending] for ending in GROUPS.values())
        for metric in metrics:
            parts = {
                "unseen - in training": paired_bootstrap(unseen, inside, metric, DRAWS),
                "in training - others": unpaired_bootstrap(inside, others, metric, DRAWS),
                "unseen - others": unpaired_bootstrap(unseen, others, metric, DRAWS),
            }
            name = stale.shown(model, stale.among((*unseen, *inside, *others)))
            over = words.interval_over((model, len(unseen)), (model, len(inside)))
            for comparison, found in parts.items():
                row = {"model": name, "metric": metric, "comparison": comparison}
                row |= {c: found.get(c, np.nan) for c in ("difference", "low", "high", "p", "detectable")}
                rows.append(row | {"verdict": words.verdict(found["low"], found["high"]), "over": over})
    columns = ["model", "metric", "comparison", "difference", "low", "high", "p", "detectable", "verdict", "over"]
    return pd.DataFrame(rows, columns=columns)


def _models(kept: Kept) -> list[str]:
    """Models that were evaluated in and out of training."""
    return [name for name in kept if name + INSIDE in kept and not re.match(VARIANTS, name)]


def one_stranger(config: Config, kept: Kept, models: Sequence[str], case: int) -> pd.DataFrame:
    """Where the target of one unseen user lands, and what each model goes by (first seed).

    Args:
        kept: as :func:`unseen_runs` returns it.
        case: row of the split's test cases.

    Returns:
        A row per model: what it uses, rank as a stranger, rank in training (of the same user, in the run that trained
        on them); ranks of equal scores are averaged.

    Raises:
        ValueError: if there is no such case.
    """
    in_range("case", case, 0, len(load_split(config).test) - 1)
    rows = served(models, config).set_index("model")[["for unseen users it uses"]]
    for column, ending in (("rank as a stranger", GROUPS["unseen"]), ("rank in training", INSIDE)):
        rows[column] = [float(kept[name + ending][0].ranks[case]) for name in rows.index]
    return rows


def absence(kept: Kept, metric: str = "HR@10") -> str:
    """What being absent from training costs, in a sentence: how many models serve the same users worse, or better."""
    if not kept:
        return "Nothing was recorded."
    gaps = unseen_gaps(kept, [metric])
    own = gaps[gaps.comparison == "unseen - in training"]
    told = own[own.verdict != "level"]
    listed = "; ".join(f"{row.model} {words.points(row.difference, row.low, row.high)}" for row in told.itertuples())
    says = f"Models absent from training minus themselves in training: {words.counted(own)}"
    return f"{says}{listed and f' ({listed})'}."


def best_against_print(dataset: str, source: str, metric: str = "HR@10") -> str:
    """The best recorded baseline without a language model beside the best printed model, in a sentence."""
    rows = recorded_rates(dataset, source, "unseen_users").query("metric == @metric")
    rows = rows[~rows.model.str.contains("/|contrec|deftrec|oracle")]
    printed = pd.concat([published(table) for table in TABLES["unseen_users"].values()])
    printed = printed[(printed.dataset == dataset) & (printed.metric == metric)]
    if not len(rows) or not len(printed):
        return f"{metric}: printed or recorded numbers are missing."
    own, best = rows.loc[rows.value.idxmax()], printed.loc[printed.value.idxmax()]
    word = words.against(own.low - best.value, own.high - best.value)
    return (
        f"{metric} of {own.model}, {own.value:.4f} [{own.low:.4f}, {own.high:.4f}], is {word} the best that is "
        f"printed, {TITLES.get(best.model, best.model)}'s {best.digits}."
    )


def user_lengths(config: Config) -> pd.DataFrame:
    """Length of the visible test histories of both groups: users, smallest, quartiles, largest."""
    split = load_split(config)
    groups = {"unseen": split.test.lengths, "other users": split.seen_users.lengths}
    quantiles = {"shortest": 0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "longest": 1}
    rows = {
        name: {"users": len(own), **{q: float(np.quantile(own, at)) for q, at in quantiles.items()}}
        for name, own in groups.items()
    }
    return pd.DataFrame(rows).T.astype({"users": int})


def served(models: Sequence[str], config: Config) -> pd.DataFrame:
    """How each model serves somebody whom training never met: model, in training, unseen."""
    history, rows = "the visible history", []
    for name in models:
        inside = outside = history
        if name == "popularity":
            inside = outside = "nothing: the same list for everybody"
        elif name == "oracle":
            inside, outside = "the true taste", "cannot"
        elif name != config.model:
            model = baselines.make(name, **chosen(name, config)[0])
            if getattr(model, "users", None) == "learned":
                inside, outside = "a learned vector", "cannot with it; folded in from the visible history instead"
        rows.append((name, inside, outside))
    return pd.DataFrame(rows, columns=["model", "in training it uses", "for unseen users it uses"])


def whole_hits(table: str, dataset: str, n_users: int) -> pd.DataFrame:
    """Whether printed hit rates can be counts of hits among so many users, asked once each.

    Args:
        table: of ``data/published`` ("deftrec_table3").
        dataset: as in its column.
        n_users: how many were asked.

    Returns:
        model, HR@10 as printed, hits (printed x users), possible: whether a whole number of hits rounds to the printed
        digits.
    """
    printed = published(table)
    printed = printed[(printed.dataset == dataset) & (printed.metric == "HR@10")]
    columns = {"model": printed.model, "HR@10": printed.digits, "hits": printed.value * n_users}
    return pd.DataFrame({**columns, "possible": are_counts(printed, n_users)})
