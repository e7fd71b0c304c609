"""The questions of the study as sections of its report: what belongs to each, its recorded tables, what is not run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from contrec.artifacts import stale
from contrec.experiments.ablation import cells as ablation
from contrec.experiments.ablation import tables as ablation_tables
from contrec.experiments.ablation.arms import arms
from contrec.experiments.baselines import cells as grid
from contrec.experiments.efficiency import tables as efficiency
from contrec.experiments.reconstruction import runs
from contrec.experiments.reconstruction import tables as reconstruction
from contrec.experiments.sweep import tables as sweep_tables
from contrec.plots import theme
from contrec.plots.common import INTERVAL
from contrec.report.evidence import Record
from contrec.report.markup import details, folded, intervals, table, text
from contrec.report.notebooks import find_notebook, parameters_of
from contrec.study import settings, tables
from contrec.study.config import MODELS, PRESETS, REFIT, Config
from contrec.study.recording import read_ranks
from contrec.study.show import AGAINST

METRIC = "HR@10"  # of the charts and of paired differences
ROWS = 40  # at most so many of a recorded file that has no table of its own
RECORD = "contrec study --datasets {} --source released --preset {} --recipes {} --seeds 0,1,2 --no-notebooks --record"

Gap = tuple[str, str]  # what was not run, and the command that runs it ("" where there is none)


@dataclass(frozen=True)
class Section:
    """A question of the study.

    Attributes:
        notebook: that answers it.
        name: in the contents.
        question: asked here while there is no notebook to ask it.
        printed: tables of ``data/published`` that belong to it.
        records: patterns below ``data/reproduced``; a record that names the notebook belongs to it anyway.
        view: from its records to HTML; None: their rows.
        gaps: what the study wants recorded and is not; None: anything of this notebook at all.
    """

    notebook: str
    name: str
    question: str
    printed: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    view: Callable[[Sequence[Record]], str] | None = None
    gaps: Callable[[], list[Gap]] | None = None

    @property
    def anchor(self) -> str:
        return self.notebook.partition("_")[2].replace("_", "-")


def rows(own: Sequence[Record]) -> str:
    """Recorded files as they are: their first rows."""
    shown = [(r.frame.head(ROWS), len(r.frame), r.name) for r in own]
    return "".join(folded(f, f"{name}, {len(f)} of {n} rows") for f, n, name in shown)


def recording(notebook: str) -> str:
    """The command that runs a notebook on LastFM and records what it has to record."""
    wanted = {"dataset": "lastfm", "source": "released", "preset": "laptop", "save_figures": "True"}
    has = parameters_of(find_notebook(notebook))
    return " ".join([f"contrec run {notebook}", *(f"-p {k} {v}" for k, v in wanted.items() if k in has)])


def recorded_splits() -> list[tuple[str, str, str]]:
    """Dataset, source and split of all recorded rankings, those with ContRec first."""
    frame = tables.reproduced()
    keys = [tuple(key) for key in frame[["dataset", "source", "split"]].drop_duplicates().values]
    return sorted(keys, key=lambda key: key not in with_contrec())


def with_contrec() -> list[tuple[str, str, str]]:
    """Those for which a ContRec is recorded; unseen users have their own section."""
    frame = tables.reproduced()
    own = frame[(frame.model == "contrec") & (frame.split != "unseen_users")]
    return [tuple(key) for key in own[["dataset", "source", "split"]].drop_duplicates().values]


def label(model: str) -> str:
    """A model of a table as a reader knows it: "contrec tuned/user-token" is "User token alone (tuned)"."""
    base, slash, variant = model.partition("/")
    name, _, recipe = base.partition(" ")
    known = theme.METHODS.get(name + slash + variant)
    if not known:
        return model
    shown = known[0]
    if shown.startswith("ContRec: "):
        shown = shown.removeprefix("ContRec: ").capitalize()
    return shown + (f" ({recipe})" if recipe else "")


def ranked(key: tuple[str, str, str]) -> pd.DataFrame:
    """Model, label, kind, value, low, high, published by :data:`METRIC`: one row per model, highest first."""
    frame = tables.forest(*key)
    frame = frame[frame.metric == METRIC]
    printed = frame[frame.kind == "published"].set_index("model").value
    here = frame[frame.kind == "reproduced"].set_index("model")[["value", "low", "high"]]
    recipes = {m.split()[0] for m in here.index if " " in m}
    found = here.reindex([*here.index, *(m for m in printed.index if m not in here.index and m not in recipes)])
    whose = found.index.map(lambda m: m if "/" in m else m.split()[0])  # a printed ContRec stands beside each recipe
    found["published"] = printed.reindex(whose).values
    old = set(frame.model[(frame.kind == "reproduced") & frame.stale.eq(True)]) if "stale" in frame else ()
    found["label"] = [stale.shown(label(m), m in old) for m in found.index]
    found["kind"] = [_kind(m, run) for m, run in zip(found.index, found.value.notna(), strict=True)]
    return found.sort_values(["value", "published"], ascending=False).rename_axis("model").reset_index()


def _kind(model: str, run: bool) -> str:
    if not run:
        return "print"
    if model.removesuffix("/seen-kept") in settings.BASELINES:
        return "other"  # the plain head, too
    return ("control" if "/" in model else "own") if model.startswith(MODELS) else "other"


def chart(key: tuple[str, str, str]) -> str:
    """All models of one dataset and split as dots with intervals, printed values beside them.

    Rankings with seen items kept are another question, and have a table of their own.
    """
    frame = ranked(key)
    frame = frame[~frame.model.str.endswith("/seen-kept")]
    own, others = frame[frame.kind == "own"], frame[frame.kind == "other"]
    whose = [model for model in MODELS if own.model.str.startswith(model).any()]
    name = " and ".join(theme.METHODS[model][0] for model in whose)
    kinds = {"other": "Baselines, run here", "own": f"{name}, run here", "control": "Parts alone, run here"}
    groups = {
        title: frame[frame.kind == kind].to_dict("records")
        for kind, title in (kinds | {"print": "Only in print"}).items()
    }
    says = f"{', '.join(key)}: {METRIC}. Dots: run here, with {INTERVAL}. Rings: in print."
    printed = {model: own.published[own.model.str.startswith(model)].max() for model in whose}
    for model in whose if len(others) else ():
        if not pd.isna(printed[model]):
            ahead = int(((others.low - printed[model]) > 0).sum())
            says += f" {ahead} of the {len(others)} baselines that were run here are ahead of the printed "
            says += f"{theme.METHODS[model][0]}."
    return intervals({title: group for title, group in groups.items() if group}, text(says))


def _verdicts(own: Sequence[Record]) -> str:
    caption = "{}: best continuous against best quantized tokenizer, by held-out MSE at equal rate"
    return "".join(folded(frame, caption.format(r.path.stem + r.note)) for r, frame in verdicts(own))


def verdicts(records: Sequence[Record]) -> list[tuple[Record, pd.DataFrame]]:
    """Each recorded comparison of tokenizers with its verdicts at equal rate."""
    own, rates = [r for r in records if r.below("reconstruction/*")], runs.RATES[""]
    return [(r, reconstruction.verdicts(r.frame, r.entry.get("config", {}).get("rates", rates))) for r in own]


def _trained(own: Sequence[Record]) -> str:
    """ContRec on every dataset it is printed for, then against its controls on the same users."""
    printed = pd.concat([tables.headline(d) for d, papers in tables.PRINTED.items() if "contrec" in papers])
    shown = folded(printed.reset_index(drop=True), "ContRec: published, reproduced, verdict")
    for record in own:
        ranks = record.path.with_suffix(".ranks.parquet")
        if ranks.is_file():
            kept = read_ranks(ranks)
            model = next(m for m in MODELS if any(name == m for name, _ in kept))
            shown_too = {model, *(model + n if n[0] == "/" else n for n in AGAINST)}
            kept = {key: e for key, e in kept.items() if key[0] in shown_too}
            paired = tables.paired(kept, model, (METRIC,)).drop(columns=["against", "metric"]).round(4)
            shown += folded(paired, f"{record.path.stem}{record.note}: {METRIC} minus the model's, same users, points")
    return shown


def _untrained() -> list[Gap]:
    frame = tables.reproduced()
    own = frame[frame.model == "contrec"]
    printed = [d for d, papers in tables.PRINTED.items() if "contrec" in papers and d not in set(own.dataset)]
    gaps = [(f"ContRec on {d}", RECORD.format(d, "laptop", "paper,tuned")) for d in printed]
    presets = [p for p in PRESETS if p not in ("tiny", *own.preset)]
    return gaps + [(f"preset {p} on lastfm", RECORD.format("lastfm", p, "paper,tuned")) for p in presets]


def _compared(own: Sequence[Record]) -> str:
    """Every recorded dataset: published, reproduced, verdict; then the best trials of recorded searches."""
    shown = ""
    for key in recorded_splits():
        both = [table(tables.comparison(*key, metric), f"{', '.join(key)}: {metric}") for metric in (METRIC, "NDCG@10")]
        shown += "" if key in with_contrec() else f'<div class="wide">{chart(key)}</div>'
        shown += details(f"{', '.join(key)}: published, reproduced, verdict", "".join(both))
    for record in own:
        if "trial" in record.frame:
            best = record.frame.loc[record.frame.groupby("model", sort=False)[settings.METRIC].idxmax()]
            shown += details(
                f"Settings that the search chose: {record.name}",
                table(best.reset_index(drop=True), record.name),
            )
    return shown


def _unfilled() -> list[Gap]:
    """Models of the grid that are not recorded, for each dataset and protocol, and how long they would take."""
    frame, gaps = tables.reproduced(), []
    wanted = [(*place, own) for place, own in grid.WANTED.items()]
    wanted += [(dataset, source, split + REFIT, own) for (dataset, source, split), own in grid.REFITTED.items()]
    for dataset, source, split, (names, seeds) in wanted:
        here = set(frame.query("dataset == @dataset and source == @source and split == @split").model)
        missing = [name for name in names if name not in here]
        which = f": {', '.join(missing)}" if len(missing) < len(names) else ""
        hours = max(0.1, grid.guess(missing, dataset, seeds) / 3600)
        what = f"{dataset}, {split}: {len(missing)} of {len(names)} models{which}; some {hours:.1f} hours of one core"
        gaps += [(what, f"contrec fill baselines --datasets {dataset} --split {split} --record")] if missing else []
    return gaps


def _costs(own: Sequence[Record]) -> str:
    """Recorded runs of the bench, and recorded inference beside the published seconds."""
    shown = ""
    for record in own:
        stem, frame = record.path.stem, record.frame
        if stem.startswith("bench_"):
            frame = efficiency.bench_table(stem.removeprefix("bench_"))
        elif {"layout", "part", "seconds"} <= set(frame):
            beside = efficiency.beside(efficiency.published_cost(stem.split("_")[1]), frame)
            frame = beside.pivot(index="part", columns="layout", values="seconds")[list(dict.fromkeys(beside.layout))]
        shown += folded(frame.rename_axis(columns=None), f"{record.name}, seconds")
    return shown


def _ablated(own: Sequence[Record]) -> str:
    """Every recorded ablation: each arm against its full model on the same users."""
    shown = ""
    for record in own:
        study = record.entry["config"]["study"]
        names = ("model", "recipe", "preset", "dataset", "source", "split")
        full = Config.from_parameters(**{name: study[name] for name in names}, seeds=study["seeds"])
        frame = ablation_tables.compared(full, ablation.recorded(full))
        for metric in ablation_tables.METRICS:
            caption = f"{record.path.stem}: {metric}, changed minus full model in percentage points"
            shown += folded(ablation_tables.ablation_table(frame, metric), caption)
    return shown


def _unablated() -> list[Gap]:
    """Ablations that the study wants recorded: DeftRec where Table 5 prints it, ContRec on LastFM."""
    wanted = [("deftrec", "software"), ("deftrec", "beauty"), ("contrec", "lastfm")]
    gaps = []
    for model, dataset in wanted:
        command = f"contrec fill ablation --datasets {dataset} --source released --models {model} --preset laptop"
        full = Config.from_parameters(model, "paper", "laptop", dataset=dataset, source="released")
        missing = {arm.name for arm in arms(full)} - {name for name, _ in ablation.recorded(full)}
        what = f"{model} on {dataset}: {len(missing)} arms of recipe paper"
        gaps += [(what, f"{command} --seeds 0,1,2 --record")] if missing else []
    return gaps


def _swept(own: Sequence[Record]) -> str:
    """What each recorded sweep chooses, and whether that is more than noise."""
    found = sweep_tables.recorded_sweeps()
    of = [(r.name, found[r.path.stem]) for r in own if r.path.stem in found]
    return "".join(folded(sweep_tables.sweep_table(c, *sweep_tables.recorded_sweep(c)), name) for name, c in of)


SECTIONS = (
    Section("00_quickstart", "One user", "The whole idea on one user", gaps=list),
    Section(
        "01_data", "Data", "Do the data match the papers' Table 1?",
        ("contrec_table1", "deftrec_table1", "contradictions", "not_available"), gaps=list,
    ),
    Section(
        "02_reconstruction", "Reconstruction", "Which tokenizer keeps an item embedding best?",
        records=("reconstruction/*",), view=_verdicts,
    ),
    Section(
        "03_training", "ContRec", "Does ContRec beat simple rules, and which part of it does the work?",
        records=tuple(f"*_leave_one_out_*_{recipe}.csv" for recipe in ("paper", "released", "tuned")),
        view=_trained, gaps=_untrained,
    ),
    Section(
        "04_recommendation", "Recommendation", "How good are the baselines, once all are given the same chance?",
        ("contrec_table2", "deftrec_table2"),
        ("*_leave_one_out_baselines.csv", "*_time_point_baselines.csv", "search/*"), _compared, _unfilled,
    ),
    Section(
        "05_ablation", "Ablation", "What is left when a part is taken away?", ("deftrec_table5",), ("*_ablation.csv",),
        _ablated, _unablated,
    ),
    Section(
        "06_hyperparameters", "Hyperparameters", "How much do the settings matter?",
        records=("*_sweep.csv",), view=_swept,
    ),
    Section(
        "07_efficiency", "Efficiency", "What does an answer cost, and what is the money spent on?",
        ("contrec_table4", "deftrec_table4"), ("efficiency/*",), _costs,
    ),
    Section(
        "08_unseen_users", "Unseen users", "How well are users served who were not there in training?",
        ("contrec_table5", "deftrec_table3"), ("*_unseen_users_*",),
    ),
    Section("09_case_studies", "Case studies", "What do single lists look like?", ("contrec_table7",)),
)  # fmt: skip
