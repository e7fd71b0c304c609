"""What was found, at length: FINDINGS.md, written from ``data/reproduced`` by ``contrec findings``, from nothing else.

Sentences that carry a number or a verdict compute it here, so that the page cannot say what the records do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contrec import paths
from contrec.artifacts import stale
from contrec.experiments.ablation import cells
from contrec.experiments.ablation import tables as ablation
from contrec.experiments.efficiency import tables as efficiency
from contrec.experiments.sweep import tables as sweep
from contrec.files import replacing
from contrec.papers import claims
from contrec.report.evidence import Record, records
from contrec.report.sections import METRIC, SECTIONS, recorded_splits, verdicts
from contrec.report.summary import answer, claims_table, counts, estimate, markdown, results_table
from contrec.study import tables
from contrec.study.config import MODELS, Config
from contrec.study.recording import read_ranks

OTHERS = ("_baselines", "_ablation", "_sweep")  # records that are no run with its controls


def page() -> str:
    """All of FINDINGS.md."""
    found = records()
    parts = [
        "# What was found",
        "Written by `contrec findings` from `data/reproduced`; a test holds it equal. Rates are fractions, differences "
        "percentage points, seeds averaged user by user. Intervals are 95 % over users and trainings together; of one "
        "training its noise is not known, and they are over *users only*. By one rule a model is *ahead* or *behind* "
        "where the interval of the paired difference leaves 0 out, else *level*; *detectable* is the smallest "
        "difference that four such samples in five would have shown.",
        "## The answer",
        "\n\n".join(answer()),
    ]
    for title, own in (
        ("The study in a few rows", [markdown(results_table()), estimate()]),
        ("Claims", [markdown(claims_table())]),
        ("Every part of ContRec against the whole", _controls(found)),
        ("Rankings: published, reproduced, verdict", _rankings()),
        ("What is left when a part is taken away", _ablations(found)),
        ("How much the settings matter", _sweeps()),
        ("Which tokenizer keeps an embedding best", _tokenizers(found)),
        ("What an answer costs", _costs(found)),
        ("The papers against themselves", _papers()),
        ("What is stale", _stale()),
        ("What was not run", _gaps()),
    ):
        parts += [f"## {title}", *own]
    return "\n\n".join(part for part in parts if part) + "\n"


def write() -> Path:
    """Write FINDINGS.md and return its path."""
    path = paths.root() / "FINDINGS.md"
    with replacing(path) as part:
        part.write_text(page(), encoding="utf-8")
    return path


def _controls(found: list[Record]) -> Iterator[str]:
    yield f"{METRIC} minus that of the whole model, in points, on the same users."
    for record in found:
        ranks = record.path.with_suffix(".ranks.parquet")
        if record.below("*_leave_one_out_*") and ranks.is_file() and not record.path.stem.endswith(OTHERS):
            own = read_ranks(ranks)
            model = next(m for m in MODELS if any(name == m for name, _ in own))
            yield f"### {record.path.stem}{record.note}"
            yield markdown(tables.paired(own, model, (METRIC,)).drop(columns=["against", "metric"]).round(4))


def _rankings() -> Iterator[str]:
    yield (
        "A verdict is `within` where the printed number is at most two standard deviations of the interval away. "
        "Losses are those of the recorded settings."
    )
    for key in recorded_splits():
        yield f"### {', '.join(key)}"
        both = [tables.comparison(*key, metric) for metric in (METRIC, "NDCG@10")]
        for metric, frame in zip((METRIC, "NDCG@10"), both, strict=True):
            yield f"{metric}:"
            yield markdown(frame)


def _ablations(found: list[Record]) -> Iterator[str]:
    for record in found:
        if record.path.stem.endswith("_ablation"):
            study = record.entry["config"]["study"]
            names = ("model", "recipe", "preset", "dataset", "source", "split")
            full = Config.from_parameters(**{name: study[name] for name in names}, seeds=study["seeds"])
            frame = ablation.compared(full, cells.recorded(full))
            yield f"### {record.path.stem}{record.note}"
            yield markdown(ablation.ablation_table(frame, METRIC))


def _sweeps() -> Iterator[str]:
    yield "The spread, its interval and its verdict are of the first seed: over users only."
    for stem, config in sweep.recorded_sweeps().items():
        yield f"### {stem}"
        yield markdown(sweep.sweep_table(config, *sweep.recorded_sweep(config)))


def _tokenizers(found: list[Record]) -> Iterator[str]:
    yield "The best continuous against the best quantized tokenizer, by held-out MSE at equal rate."
    for record, frame in verdicts(found):
        said = ", ".join(f"{word} {n} times" for word, n in frame.claim.value_counts(sort=False).items())
        yield f"### {record.path.stem}{record.note}"
        yield f"That continuous tokenizers reconstruct better: {said}."
        yield markdown(frame)


def _costs(found: list[Record]) -> Iterator[str]:
    for record in found:
        if record.below("efficiency/*"):
            bench, frame = record.path.stem.startswith("bench_"), record.frame
            if bench:
                frame = efficiency.bench_table(record.path.stem.removeprefix("bench_")).reset_index()
            elif "layout" in frame:
                whole = frame.groupby("layout", sort=False).seconds.sum()
                yield f"A batch of {frame.users.iloc[0]} users, seconds: " + "; ".join(
                    f"{layout} {seconds:.3g}" for layout, seconds in whole.items()
                ) + "."  # fmt: skip
            yield f"### {record.path.stem}"
            yield markdown(frame)


def _papers() -> Iterator[str]:
    of = counts()
    yield (
        f"Of {of['all']} claims in numbers {of['agrees']} follow from what is printed, {of['rounding']} only within "
        f"rounding, and {of['contradicted']} are contradicted by other printed numbers or words; "
        f"{of['one reading']} more are if they are read in one way, and {of['misprint']} are misprints."
    )
    yield markdown(claims.summary(claims.ledger()))
    yield "`contrec claims` lists each with what is printed and what follows from the rest of the papers."


def _stale() -> Iterator[str]:
    frame = stale.marks()
    if not len(frame):
        yield "Nothing."
        return
    yield "Recorded before a change that may move them; recording them again takes the marks away."
    yield markdown(frame)


def _gaps() -> Iterator[str]:
    for section in SECTIONS:
        gaps = section.gaps() if section.gaps else []
        if gaps:
            yield f"### {section.name}"
            yield "\n".join(f"- {what}" + (f": `{how}`" if how else "") for what, how in gaps)
