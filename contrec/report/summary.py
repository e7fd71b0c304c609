"""What was found, in few words: the answer, a few results, the claims; all computed from the records."""

from __future__ import annotations

import json
from functools import lru_cache

import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.evaluation import Evaluation, paired_bootstrap, rate_interval
from contrec.experiments.ablation import cells
from contrec.experiments.ablation import tables as ablation
from contrec.experiments.sweep import tables as sweep
from contrec.papers import claims
from contrec.papers.published import published
from contrec.plots import theme
from contrec.report.evidence import records
from contrec.report.sections import METRIC, label, ranked, verdicts
from contrec.study import tables, words
from contrec.study.config import MODELS, Config
from contrec.study.recording import read_ranks
from contrec.study.settings import BASELINES
from contrec.study.words import points

LASTFM = ("lastfm", "released", "leave_one_out")
RUN = "lastfm_released_leave_one_out_laptop_tuned"  # the run that the answer is about
PAPER = "lastfm_released_leave_one_out_laptop_paper"
BARS = "software_released_leave_one_out_baselines"
SOFTWARE = {  # runs in which a trained head adds to its user token
    "ContRec": "software_released_leave_one_out_laptop_tuned",
    "DeftRec": "software_released_leave_one_out_laptop_deftrec_tuned",
}
# Controls that take the language model, the diffusion, or both from it, and what each leaves
WITHOUT = {
    "contrec/user-token": "its user token alone",
    "contrec/permuted-condition": "another user's text and condition",
    "contrec/direct-head": "a head without diffusion",
}
DRAWS = "contrec/mean-of-32"


def opening() -> str:
    """One sentence that answers the study's question from the recorded run on LastFM; "" where it is not recorded."""
    if not _is_recorded():
        return ""
    named = {"ahead": "", "level": "level with", "behind": "behind"}
    verdicts = {name: words.verdict(of["low"], of["high"]) for name, of in _leads().items()}
    ahead = sum(word == "ahead" for word in verdicts.values())
    says = f"ahead of {ahead} of the {len(verdicts)} plain baselines run here"
    for word in ("level", "behind"):
        names = [label(name) for name, own in verdicts.items() if own == word]
        says += f", {named[word]} {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}" if names else ""
    return f"On LastFM it is {says}; {_carried(_lost())}."


def answer() -> list[str]:
    """Two paragraphs that answer the study's question from the recorded run on LastFM; none where there is none."""
    if not _is_recorded():
        return []
    frame, leads = ranked(LASTFM).set_index("model"), _leads()
    own, best = frame.loc["contrec tuned"], next(iter(leads))
    ahead = words.counted(pd.DataFrame(leads.values()))
    first = (
        f"On LastFM, with a tiny backbone, ContRec finds {rate(own.value)} of the held-out items in its first ten "
        f"(printed: {rate(own.published)}), {words.against(leads[best]['low'], leads[best]['high'])} the highest "
        f"baseline here, {label(best)} with {rate(frame.value[best])} ({in_points(leads[best])}); against all "
        f"baselines here: {ahead}."
    )
    lost = _lost()
    shown = ", ".join(
        f"{says} has {rate(mean_rate(control))} ({in_points(lost[says])})" for control, says in WITHOUT.items()
    )
    seen = ", ".join(f"{of['detectable']:.1f}" for of in lost.values())
    says = _carried(lost)
    return [
        " ".join(filter(None, (first, estimate()))),
        f"{says[0].upper()}{says[1:]}: {shown}. Detectable were {seen} points.",
    ]


def _lost() -> dict[str, dict]:
    """How far each control is from the run."""
    return {says: difference(control, "contrec") for control, says in WITHOUT.items()}


def _carried(lost: dict[str, dict]) -> str:
    """What is lost where a part is taken away, in a few words."""
    worse = [says for says, of in lost.items() if words.verdict(of["low"], of["high"]) == "behind"]
    return f"{', '.join(worse)} is behind it" if worse else "neither its language model nor its diffusion carries it"


def estimate() -> str:
    """What of the diffusion the run's number contains: a sentence, from its settings."""
    about = json.loads((paths.reproduced() / f"{RUN}.json").read_text(encoding="utf-8"))["config"]
    settings = about.get("study", about)["recommender"]
    if (settings["estimate"], settings["diffusion"]["head"]) != ("point", "direct"):
        return ""
    return (
        "This point estimate contains no diffusion at inference: with the direct head the noise has weight 0. The mean "
        f"of 32 draws has {rate(mean_rate(DRAWS))}."
    )


def _is_recorded() -> bool:
    return (paths.reproduced() / f"{RUN}.ranks.parquet").is_file()


def _leads() -> dict[str, dict]:
    """How far the run is before each baseline (:func:`difference`), that of the highest rate first."""
    frame = ranked(LASTFM)
    return {name: difference("contrec", name) for name in frame.model[(frame.kind == "other") & frame.value.notna()]}


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


@lru_cache(maxsize=4)
def _kept(states: tuple) -> words.Kept:
    return {key: e for path, *_ in states for key, e in read_ranks(path).items()}


def kept(*stems: str) -> words.Kept:
    """Evaluations of recorded runs, those of LastFM's and of the baselines beside it for none, by model and seed."""
    # a run has floors, too; those of the grid have the settings of the search
    files = [paths.reproduced() / f"{stem}.ranks.parquet" for stem in stems or (RUN, "_".join(LASTFM) + "_baselines")]
    return _kept(tuple((f, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file()))


def mean_rate(model: str) -> float:
    """:data:`METRIC` of a model, seeds averaged."""
    rates = [evaluation.metrics()[METRIC] for evaluation in words.of_model(kept(), model)]
    return sum(rates) / len(rates)


def difference(model: str, against: str) -> dict:
    """Paired bootstrap of the run's models, in percentage points."""
    return paired_bootstrap(words.of_model(kept(), model), words.of_model(kept(), against), METRIC)


def results_table() -> pd.DataFrame:
    """The study in a few rows: what is printed, the highest baseline, ContRec as tuned, drawn, without its parts and as
    written; and what a trained head adds to its user token on Software."""
    metrics, frame = (METRIC, "NDCG@10"), ranked(LASTFM)
    best = frame[(frame.kind == "other") & frame.value.notna()].iloc[0].model
    printed = published("contrec_table2").query("model == 'contrec' and dataset == 'lastfm'").set_index("metric").value
    rows = [{"LastFM": "published ContRec, a billion weights", **{m: rate(printed[m]) for m in metrics}}]
    for name, model, run in (
        (f"{label(best)}, the highest baseline here", best, ()),
        ("ContRec `tuned`, point estimate: no diffusion at inference", "contrec", ()),
        ("its mean of 32 draws: the diffusion", DRAWS, ()),
        ("its user token alone: no language model, no diffusion", "contrec/user-token", ()),
        ("ContRec `paper`, 8 epochs instead of 200", "contrec", (PAPER,)),
    ):
        own = words.of_model(kept(*run), model)
        rows.append({"LastFM": name, **{m: _interval(own, m) for m in metrics}})
    for name, run in SOFTWARE.items():
        found = kept(run)
        whole = next((m for m in MODELS if (m, 0) in found), None)
        if whole:
            sides = [words.of_model(found, model) for model in (whole, f"{whole}/user-token")]
            says = f"Software, {name} `tuned` minus its user token, points"
            rows.append({"LastFM": says, **{m: _gain(*sides, m) for m in metrics}})
    if (paths.reproduced() / f"{BARS}.ranks.parquet").is_file():
        best = _baselines("software").index[0]
        own, whole = (words.of_model(kept(*of), m) for of, m in (((BARS,), best), ((SOFTWARE["ContRec"],), "contrec")))
        says = f"Software, {label(best)}, the highest baseline here"
        rows.append({"LastFM": says, **{m: _interval(own, m) for m in metrics}})
        says = f"Software, ContRec `tuned` minus {label(best)}, points"
        rows.append({"LastFM": says, **{m: _gain(whole, own, m) for m in metrics}})
    return pd.DataFrame(rows).rename(columns={"LastFM": "LastFM, unless said"})


def _interval(own: list[Evaluation], metric: str) -> str:
    found = rate_interval(own, metric)
    return stale.shown(f"{rate(found['value'])} [{rate(found['low'])}, {rate(found['high'])}]", stale.among(own))


def _gain(whole: list[Evaluation], part: list[Evaluation], metric: str) -> str:
    found = paired_bootstrap(whole, part, metric)
    shown = "{difference:+.2f} [{low:+.2f}, {high:+.2f}]".format(**found)
    return stale.shown(shown, stale.among((*whole, *part)))


def claims_table() -> pd.DataFrame:
    """What the papers claim, what is printed for it, what is found here: cells of at most twelve words."""
    printed = published("contrec_table2").query("model == 'contrec' and metric == @METRIC").set_index("dataset").value
    own = _rates(*LASTFM).value
    own = {recipe: own[f"contrec {recipe}"] for recipe in ("tuned", "paper")}
    # the authors trained on the validation items as well
    of = {d: _baselines(f"{d}_positive" if d == "beauty" else d, "leave_one_out_refit") for d in printed.index}
    passed = [theme.DATASETS[d][0] for d in printed.index if _ahead(of[d], printed[d]).any()]
    compared = verdicts(records())
    better, old = pd.concat(frame.claim for _, frame in compared), any(record.note for record, _ in compared)
    parts = ablated("deftrec", "tuned", "software")
    parts = parts[parts["published difference"].ne("") & parts.verdict.str.contains("as printed")]
    parts_are_old = parts[METRIC].str.contains("stale").any()
    behind = parts.arm[parts.verdict.str.startswith("behind")]
    part = pd.read_csv(paths.reproduced() / "efficiency" / "inference_lastfm_tuned.csv")
    seconds = part[part.layout == "contrec/point"].seconds.sum()
    cost = published("contrec_table4").query("model == 'contrec' and dataset == 'lastfm'").value.iloc[0]
    unseen, best = published("deftrec_table3"), _baselines("beauty", "unseen_users").iloc[0]
    unseen = unseen.query("model == 'deftrec' and dataset == 'beauty' and metric == @METRIC").value.iloc[0]
    rows = {
        "ContRec on LastFM, HR@10": (
            rate(printed["lastfm"]), f"`tuned` {rate(own['tuned'])}, `paper` {rate(own['paper'])}"
        ),
        "Continuous tokenizers reconstruct better (Fig. 1)": (
            "curves", stale.shown(f"holds in {better.eq('holds').sum()} of {len(better)} settings", old)
        ),
        "ContRec is ahead of every baseline (Table 2)": (
            f"{len(printed)} of {len(printed)} datasets",
            f"refitted, a baseline is ahead of it on {', '.join(passed)}",
        ),
        "Every part of DeftRec helps (Table 5, Software)": (
            f"all {len(parts)}",
            stale.shown(f"{len(behind)} of {len(parts)} arms behind: {', '.join(behind)}", parts_are_old),
        ),
        "DeftRec's ρ and γ₁ have an optimum (Figs. 3, 4)": ("curves", optima()),
        "Seconds a batch on LastFM (Table 4)": (
            f"{cost:.3g}, A800, a billion weights", f"{seconds:.2g}, one CPU thread, tiny backbone"
        ),
        "DeftRec serves unseen users (Table 3, Beauty)": (
            rate(unseen),
            f"{label(best.name)} {rate(best.value)}, {words.against(best.low - unseen, best.high - unseen)} it; "
            "DeftRec not run",
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


def _rates(dataset: str, source: str, split: str) -> pd.DataFrame:
    """:data:`METRIC` with its interval by model ("contrec tuned"), highest first."""
    frame = tables.recorded_rates(dataset, source, split).query("metric == @METRIC")
    return frame.sort_values("value", ascending=False).set_index("model")


def _baselines(dataset: str, split: str = "leave_one_out") -> pd.DataFrame:
    """Those of the baselines with seen items removed, on released files."""
    rates = _rates(dataset, "released", split)
    return rates[rates.index.isin(BASELINES)]


def _ahead(rates: pd.DataFrame, printed: float) -> pd.Series:
    """Which rates are ahead of a printed one."""
    return pd.Series([words.verdict(r.low - printed, r.high - printed) == "ahead" for r in rates.itertuples()])


def ablated(model: str, recipe: str, dataset: str) -> pd.DataFrame:
    """The recorded ablation of a model on released files: each arm against the whole, in points."""
    full = Config.from_parameters(model, recipe, "laptop", dataset=dataset, source="released", seeds=[0, 1, 2])
    return ablation.ablation_table(ablation.compared(full, cells.recorded(full)), METRIC)


def optima() -> str:
    """Whether the best rho or gamma_1 by validation is ahead of the worst, over DeftRec's recorded sweeps."""
    found = []
    for config in sweep.recorded_sweeps().values():
        if config.model == "deftrec":
            frame = sweep.sweep_table(config, *sweep.recorded_sweep(config))
            found += frame[frame.parameter.isin(["rho", "gamma_1"])]["best against worst"].tolist()
    level = sum(says.startswith("level") for says in found)
    return stale.shown(f"best level with worst in {level} of {len(found)}", any("stale" in says for says in found))


def counts() -> dict[str, int]:
    """How many claims in numbers both papers make ("all"), and how many have each status."""
    status = claims.ledger().status.value_counts()
    return {"all": int(status.sum()), **status.to_dict()}


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a table of Markdown; numbers with four digits, nothing for what is not there."""

    def cell(value) -> str:
        if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
            return ""
        shown = f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # no -0
        return " ".join(shown.replace("|", "\\|").split())

    head = [*map(cell, frame.columns)]
    lines = [head, ["---"] * len(head), *([*map(cell, row)] for row in frame.itertuples(index=False))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
