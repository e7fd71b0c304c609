"""Runs of the ablation: arms of full models, filled cheapest first, recorded; which arms there are is in ``arms``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import paths
from contrec.artifacts import provenance
from contrec.evaluation import Evaluation
from contrec.experiments.ablation.arms import Arm, arms
from contrec.experiments.baselines.cells import SIZES
from contrec.files import Damaged
from contrec.study import evaluating, parallel
from contrec.study.config import Config
from contrec.study.fitting import load_split, run_name, store
from contrec.study.recording import read_ranks, write_results

GUESS = 900.0  # seconds of a full model on LastFM, one thread; replaced by what finished runs have taken


@dataclass(frozen=True)
class Cell:
    """One arm of one full model, from one seed."""

    full: Config
    arm: Arm
    seed: int

    @property
    def shared(self) -> bool:
        """Whether it is read from the full run's evaluation."""
        return self.arm.name == "full" or bool(self.arm.variant)

    @property
    def config(self) -> Config:
        """Of the run that it needs."""
        return self.full if self.shared else self.arm.config(self.full)

    @property
    def folder(self) -> Path:
        """Of its evaluation, which need not be there yet."""
        whole = {"recommender": run_name(self.config, self.seed)}
        return store().path("evaluation", whole if self.shared else evaluating.alone_key(self.config, self.seed))

    @property
    def done(self) -> bool:
        return self.folder.is_dir()

    @property
    def kept(self) -> tuple[str, Evaluation]:
        """Its evaluation, and the name it has in its folder."""
        found, ending = evaluating.kept_evaluations(self.folder), f"/{self.arm.variant}"
        name = next(name for name in found if not self.arm.variant or ending in name)
        return name, found[name]


def cells(full: Config, names: Iterable[str] | None = None) -> list[Cell]:
    """All arms (or the named ones) of a full model, for the seeds of its config."""
    return [Cell(full, arm, seed) for arm in arms(full, names) for seed in full.seeds]


def studies(
    datasets: Sequence[str], models: Sequence[str] = ("deftrec",), recipes: Sequence[str] = ("paper",), *,
    preset: str = "tiny", source: str | None = None, split: str = "leave_one_out", seeds: Sequence[int] = (0,),
) -> list[Config]:  # fmt: skip
    """The full models of every combination."""
    return [
        Config.from_parameters(model, recipe, preset, dataset=dataset, source=source, split=split, seeds=seeds)
        for dataset, model, recipe in product(datasets, models, recipes)
    ]


def estimates(wanted: Sequence[Cell]) -> list[float]:
    """Seconds that each cell is expected to take on one thread: in proportion to what finished runs have taken."""
    sizes = [SIZES.get(c.full.dataset, 1.0) * (0.0 if c.arm.variant else c.arm.cost) for c in wanted]
    took = []
    for cell, size in zip(wanted, sizes, strict=True):
        if size:
            with suppress(Damaged):  # or not there yet
                took.append(evaluating.run_about(run_name(cell.config, cell.seed))["seconds"] / size)
    unit = float(np.median(took)) if took else GUESS
    return [unit * size for size in sizes]


def jobs(wanted: Sequence[Cell]) -> list[tuple[Cell, float]]:
    """The runs that the missing cells need, with their expected seconds.

    Seed by seed, so that every arm is known once before any is run again; the full models first, then the cheapest.
    """
    todo: dict[Path, tuple[tuple, Cell]] = {}  # arms that are one run (K=1 of two lists, a shared one) are one job
    for cell, seconds in zip(wanted, estimates(wanted), strict=True):
        key = (cell.full.seeds.index(cell.seed), cell.arm.name != "full", seconds)
        if not cell.done and (cell.folder not in todo or key < todo[cell.folder][0]):
            todo[cell.folder] = (key, cell)
    return [(cell, key[-1]) for key, cell in sorted(todo.values(), key=lambda pair: pair[0])]


def fill(wanted: Sequence[Cell], *, workers: int = 1, progress: bool = False, say=None) -> None:
    """Run the cells that are not in the store.

    Args:
        workers: processes of one thread each; several calls share the work, since a run that another process makes is
            waited for. A stopped training goes on from its last epoch.
        progress: a bar in estimated seconds.
        say: gets a line about each finished cell.
    """
    from tqdm.auto import tqdm

    todo = jobs(wanted)
    for cell in wanted:
        load_split(cell.full)  # fetched and checked by one process
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    total = sum(seconds for _, seconds in todo)
    bar = tqdm(total=total, desc="ablation", disable=not progress, bar_format=form)
    for cell, seconds in parallel.finished(_job, todo, workers):
        bar.update(seconds)
        bar.set_postfix_str(f"{cell.arm.name} on {cell.full.dataset}")
        if say:
            about = f"{cell.full.dataset} {cell.full.model} {cell.full.recipe} {cell.arm.name} seed {cell.seed}"
            say(f"{about}: HR@10 {cell.kept[1].metrics()['HR@10']:.4f}")
    bar.close()


def _job(cell: Cell, seconds: float) -> None:
    make(cell)


def make(cell: Cell) -> Path:
    """Run one cell, or find it in the store."""
    return (evaluating.evaluated if cell.shared else evaluating.alone)(cell.config, cell.seed)


def overview(wanted: Sequence[Cell]) -> pd.DataFrame:
    """How many seeds of each arm are done: a row per arm, a column per full model; "not run" for none."""
    rows: dict[str, dict[str, str]] = {}
    for cell in wanted:
        full = cell.full
        column = rows.setdefault(f"{full.dataset} {full.model} {full.recipe}", {})
        own = [c.done for c in wanted if c.full == full and c.arm.name == cell.arm.name]
        column[cell.arm.name] = f"{sum(own)} of {len(own)}" if any(own) else "not run"
    return pd.DataFrame(rows).fillna("-").rename_axis("arm").reset_index()


def evaluations(wanted: Sequence[Cell]) -> dict[tuple[str, int], Evaluation]:
    """Kept ranks of the finished cells of one full model, by arm and seed."""
    return {(c.arm.name, c.seed): c.kept[1] for c in wanted if c.done}


def stem(full: Config) -> str:
    """Of a full model's files in ``data/reproduced``."""
    return "_".join((full.dataset, full.source, full.split, full.preset, full.model, full.recipe, "ablation"))


def rows(wanted: Sequence[Cell]) -> pd.DataFrame:
    """Metrics of the finished cells, in the columns of ``data/reproduced`` and arm."""
    frames = []
    for cell in wanted:
        if cell.done:
            frame = evaluating.rows_of(cell.config, cell.folder, cell.seed, cell.full.recipe, cell.full.preset)
            frame = frame[frame.model == cell.kept[0]]
            frames.append(frame.assign(model=cell.full.model, arm=cell.arm.name))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*evaluating.COLUMNS, "arm"])


def record(wanted: Sequence[Cell]) -> list[Path]:
    """Write the finished cells to ``data/reproduced``: for each full model a CSV, ranks and provenance.

    Returns:
        The provenance records; beside ``<stem>.csv`` lie ``<stem>.ranks.parquet`` (arm, seed, user, rank, ties).
    """
    written = []
    for full in [c.full for n, c in enumerate(wanted) if c.full not in [d.full for d in wanted[:n]]]:
        own = [c for c in wanted if c.full == full and c.done]
        if not own:
            continue
        path = paths.reproduced() / f"{stem(full)}.csv"
        split = load_split(full)
        entry = provenance.record(
            {"study": asdict(full), "arms": {c.arm.name: c.arm.settings for c in own}},
            dataset=f"{full.dataset} {full.source}", inputs=full.inputs(),
            seeds=sorted({c.seed for c in own}), notebook="05_ablation",
            rows={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        )  # fmt: skip
        written.append(write_results(path, rows(own), evaluations(own).items(), entry, ("arm", "seed")))
    return written


def recorded(full: Config) -> dict[tuple[str, int], Evaluation]:
    """As :func:`evaluations`, from the ranks in ``data/reproduced``; empty where nothing was recorded."""
    path = paths.reproduced() / f"{stem(full)}.ranks.parquet"
    return read_ranks(path, ("arm", "seed")) if path.exists() else {}
