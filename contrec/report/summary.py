"""What was found, in few words: two sentences, five results, the claims; all computed from the records."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.evaluation import Evaluation, paired_bootstrap
from contrec.experiments.ablation import cells
from contrec.experiments.ablation import tables as ablation
from contrec.experiments.sweep import tables as sweep
from contrec.papers import claims
from contrec.papers.published import published
from contrec.plots import theme
from contrec.report.evidence import records
from contrec.report.sections import METRIC, label, ranked, verdicts
from contrec.study import tables
from contrec.study.config import MODELS, Config
from contrec.study.recording import read_ranks
from contrec.study.words import points

LASTFM = ("lastfm", "released", "leave_one_out")
RUN = "lastfm_released_leave_one_out_laptop_tuned"  # the run that the answer is about
# Controls that take the language model, the diffusion, or both from it, and what each leaves
WITHOUT = {
    "contrec/user-token": "its user token alone",
    "contrec/permuted-condition": "another user's text and condition",
    "contrec/direct-head": "a head without diffusion",
}

Kept = dict[tuple[str, int], Evaluation]


def answer() -> list[str]:
    """Two sentences that answer the study's question from the recorded run on LastFM; none where it is not recorded."""
    if not (paths.reproduced() / f"{RUN}.ranks.parquet").is_file():
        return []
    frame = ranked(LASTFM).set_index("model")
    own, others = frame.loc["contrec tuned"], frame[(frame.kind == "other") & frame.value.notna()]
    best = others.value.idxmax()
    lead = difference("contrec", best)
    says = "above" if lead["low"] > 0 else "below" if lead["high"] < 0 else "level with"
    first = (
        f"ContRec can recommend well: on LastFM, with a tiny backbone, it finds {rate(own.value)} of the held-out "
        f"items in its first ten (printed: {rate(own.published)}), {says} the best baseline here, {label(best)} with "
        f"{rate(others.value[best])} ({in_points(lead)})."
    )
    lost = {words: difference(control, "contrec") for control, words in WITHOUT.items()}
    rates = {words: mean_rate(control) for control, words in WITHOUT.items()}
    shown = ", ".join(f"{words} has {rate(rates[words])} ({in_points(lost[words])})" for words in lost)
    worse = [words for words, of in lost.items() if of["high"] < 0]
    if worse:
        return [first, f"What is lost where a part is taken away: {shown}; {', '.join(worse)} is worse beyond noise."]
    return [first, f"But neither its language model nor its diffusion carries it: {shown}."]


def of_run(ranking: pd.DataFrame, dataset: str) -> list[str]:
    """A sentence about a run: what ranks best in it, and where its trained model stands.

    Args:
        ranking: as :func:`contrec.study.tables.best_first`.
    """
    best, own = ranking.iloc[0], ranking[ranking.model.isin(MODELS)].iloc[0]
    name = label(f"{own.model} {own.recipe}")
    if best.model == own.model:
        return [f"In this run on {dataset}, {name} ranks best: {METRIC} {rate(best[METRIC])}."]
    others = f"{label(best.model)} ranks best, {METRIC} {rate(best[METRIC])}; {name} has {rate(own[METRIC])}"
    return [f"In this run on {dataset}, {others}."]


def in_points(of: dict) -> str:
    """A paired difference with its interval."""
    return points(of["difference"], of["low"], of["high"])


def rate(value: float) -> str:
    """A rate as papers print it: ".1143"."""
    return f"{value:.4f}".removeprefix("0")


@lru_cache(maxsize=1)
def _kept(states: tuple) -> Kept:
    return {key: e for path, *_ in states for key, e in read_ranks(path).items()}


def kept() -> Kept:
    """Evaluations of the run and of the baselines beside it, by model and seed."""
    files = [paths.reproduced() / f"{name}.ranks.parquet" for name in ("_".join(LASTFM) + "_baselines", RUN)]
    return _kept(tuple((f, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file()))


def of_model(model: str) -> list[Evaluation]:
    """Its evaluations, one a seed."""
    return [evaluation for (name, _), evaluation in kept().items() if name == model]


def mean_rate(model: str) -> float:
    """:data:`METRIC` of a model, seeds averaged."""
    rates = [evaluation.metrics()[METRIC] for evaluation in of_model(model)]
    return sum(rates) / len(rates)


def difference(model: str, against: str) -> dict:
    """Paired bootstrap over users, seeds averaged; in percentage points."""
    return paired_bootstrap(of_model(model), of_model(against), METRIC)


def results_table() -> pd.DataFrame:
    """Five rows about LastFM: what is printed, the best baseline, ContRec as tuned and as written, its user token."""
    frame = {metric: _values(metric) for metric in (METRIC, "NDCG@10")}
    found = ranked(LASTFM)
    best = found[(found.kind == "other") & found.value.notna()].iloc[0].model
    named = {
        best: f"{label(best)}, the best baseline here", "contrec tuned": "ContRec `tuned`",
        "contrec tuned/user-token": "its user token alone: no language model, no diffusion",
        "contrec paper": "ContRec `paper`, 8 epochs instead of 200",
    }  # fmt: skip
    printed = {m: f[f.kind == "published"].set_index("model").value["contrec"] for m, f in frame.items()}
    rows = [{"LastFM": "published ContRec, a billion weights", **{m: rate(v) for m, v in printed.items()}}]
    for model, name in named.items():
        rows.append({"LastFM": name, **{m: _interval(f, model) for m, f in frame.items()}})
    return pd.DataFrame(rows)


def _values(metric: str) -> pd.DataFrame:
    frame = tables.forest(*LASTFM)
    return frame[frame.metric == metric]


def _interval(frame: pd.DataFrame, model: str) -> str:
    row = frame[(frame.kind == "reproduced") & (frame.model == model)].iloc[0]
    return f"{rate(row.value)} [{rate(row.low)}, {rate(row.high)}]"


def claims_table() -> pd.DataFrame:
    """What the papers claim, what is printed for it, what is found here: cells of at most twelve words."""
    printed = published("contrec_table2").query("model == 'contrec' and metric == @METRIC").set_index("dataset").value
    means = _means("leave_one_out")
    own = {recipe: means["lastfm", f"contrec {recipe}"] for recipe in ("tuned", "paper")}
    of = {d: means[f"{d}_positive" if d == "beauty" else d].filter(regex="^(?!contrec|deftrec)") for d in printed.index}
    beaten = [theme.DATASETS[d][0] for d in printed.index if of[d].max() > printed[d]]
    compared = verdicts(records())
    better, old = pd.concat(frame.claim for _, frame in compared), any(record.note for record, _ in compared)
    parts = ablated("deftrec", "tuned", "software")
    parts = parts[parts["published difference"].ne("") & parts.verdict.str.contains("as printed")]
    parts_are_old = parts[METRIC].str.contains("stale").any()
    beyond = parts.arm[~parts.verdict.str.startswith("within noise")]
    part = pd.read_csv(paths.reproduced() / "efficiency" / "inference_lastfm_tuned.csv")
    seconds = part[part.layout == "contrec/point"].seconds.sum()
    cost = published("contrec_table4").query("model == 'contrec' and dataset == 'lastfm'").value.iloc[0]
    unseen, best = published("deftrec_table3"), _means("unseen_users")["beauty"]
    unseen = unseen.query("model == 'deftrec' and dataset == 'beauty' and metric == @METRIC").value.iloc[0]
    rows = {
        "ContRec on LastFM, HR@10": (
            rate(printed["lastfm"]), f"`tuned` {rate(own['tuned'])}, `paper` {rate(own['paper'])}"
        ),
        "Continuous tokenizers reconstruct better (Fig. 1)": (
            "curves", stale.shown(f"holds in {better.eq('holds').sum()} of {len(better)} settings", old)
        ),
        "ContRec is ahead of every baseline (Table 2)": (
            f"{len(printed)} of {len(printed)} datasets", f"a baseline passes the printed value on {', '.join(beaten)}"
        ),
        "Every part of DeftRec helps (Table 5, Software)": (
            f"all {len(parts)}",
            stale.shown(f"beyond noise in {len(beyond)} of {len(parts)}: {', '.join(beyond)}", parts_are_old),
        ),
        "DeftRec's ρ and γ₁ have an optimum (Figs. 3, 4)": ("curves", optima()),
        "Seconds a batch on LastFM (Table 4)": (
            f"{cost:.3g}, A800, a billion weights", f"{seconds:.2g}, one CPU thread, tiny backbone"
        ),
        "DeftRec serves unseen users (Table 3, Beauty)": (
            rate(unseen), f"{label(best.idxmax())} {rate(best.max())}; DeftRec not run"
        ),
        "Their numbers agree with each other": (
            "",
            "{contradicted} of {all} contradicted, {one reading} under one reading, {misprint} misprints; "
            "{agrees} agree".format(**counts()),
        ),
    }  # fmt: skip
    where = ["03_training", "02_reconstruction", "04_recommendation", "05_ablation", "06_hyperparameters"]
    where += ["07_efficiency", "08_unseen_users", "11_claims"]
    return pd.DataFrame(
        [{"claim": c, "printed": p, "here": h, "notebook": f"`{n}`"} for (c, (p, h)), n in zip(rows.items(), where)]
    )


def _means(split: str) -> pd.Series:
    """:data:`METRIC` by dataset and model ("contrec tuned"), parts of models left out, seeds averaged."""
    frame = tables.reproduced()
    frame = frame[(frame.metric == METRIC) & (frame.split == split) & ~frame.model.str.contains("/(?:seen|in-)")]
    names = (frame.model + " " + frame.recipe.fillna("")).str.strip()
    return frame.groupby(["dataset", names]).value.mean()


def ablated(model: str, recipe: str, dataset: str) -> pd.DataFrame:
    """The recorded ablation of a model on released files: each arm against the whole, in points."""
    full = Config.from_parameters(model, recipe, "laptop", dataset=dataset, source="released", seeds=[0, 1, 2])
    return ablation.ablation_table(ablation.compared(full, cells.recorded(full)), METRIC)


def optima() -> str:
    """Whether a choice of rho or gamma_1 by validation is more than noise, over DeftRec's recorded sweeps."""
    found = []
    for config in sweep.recorded_sweeps().values():
        if config.model == "deftrec":
            frame = sweep.sweep_table(config, *sweep.recorded_sweep(config))
            found += frame[frame.parameter.isin(["rho", "gamma_1"])]["against noise"].tolist()
    inside = f"{sum(says.startswith('inside') for says in found)} of {len(found)} inside noise"
    return stale.shown(inside, any("stale" in says for says in found))


def counts() -> dict[str, int]:
    """How many claims in numbers both papers make ("all"), and how many have each status."""
    status = claims.ledger().status.value_counts()
    return {"all": int(status.sum()), **status.to_dict()}


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a table of Markdown; numbers with four digits, nothing for what is not there."""

    def cell(value) -> str:
        if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
            return ""
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        return " ".join(shown.replace("|", "\\|").split())

    head = [*map(cell, frame.columns)]
    lines = [head, ["---"] * len(head), *([*map(cell, row)] for row in frame.itertuples(index=False))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
