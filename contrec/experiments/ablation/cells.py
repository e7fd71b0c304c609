"""Runs of the ablation: arms of full models, filled cheapest first, recorded; which arms there are is in ``arms``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import paths
from contrec.evaluation import Evaluation
from contrec.experiments.ablation.arms import Arm, arms, everything, why_left_out
from contrec.files import Damaged
from contrec.study import evaluating, jobs
from contrec.study.config import Config
from contrec.study.fitting import load_split, run_name, store
from contrec.study.recording import entry_of, read_ranks, write_results
from contrec.study.settings import SIZES

GUESS = 900.0  # seconds of a full model on LastFM, one thread; replaced by what finished runs have taken


@dataclass(frozen=True)
class ArmCell(jobs.InStore):
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
    def place(self) -> tuple[str, str]:
        return self.arm.name, f"{self.full.dataset} {self.full.model} {self.full.recipe}"

    def make(self) -> None:
        (evaluating.evaluated if self.shared else evaluating.alone)(self.config, self.seed)

    def told(self) -> str:
        about = f"{self.full.dataset} {self.full.model} {self.full.recipe} {self.arm.name} seed {self.seed}"
        return f"{about}: HR@10 {self.kept[1].metrics()['HR@10']:.4f}"

    @property
    def kept(self) -> tuple[str, Evaluation]:
        """Its evaluation, and the name it has in its folder."""
        found, ending = evaluating.kept_evaluations(self.folder), f"/{self.arm.variant}"
        name = next(name for name in found if not self.arm.variant or ending in name)
        return name, found[name]


def of(full: Config, names: Iterable[str] | None = None) -> list[ArmCell]:
    """All arms (or the named ones) of a full model, for the seeds of its config."""
    return [ArmCell(full, arm, seed) for arm in arms(full, names) for seed in full.seeds]


def of_all(studies: Sequence[Config], names: Iterable[str] | None = None) -> list[ArmCell]:
    """The cells of several full models.

    Raises:
        ValueError: for a named arm that none of them can be run with; it says why.
    """
    names = None if names is None else list(names)
    found = [cell for full in studies for cell in of(full, names)]
    for name in names or ():
        if name not in {cell.arm.name for cell in found}:
            arm = next(arm for arm in everything(studies[0]) if arm.name == name)
            why = why_left_out(studies[0], arm)
            raise ValueError(f"arm {name!r} cannot be run with {studies[0].model} {studies[0].recipe}: {why}")
    return found


def studies(
    datasets: Sequence[str], models: Sequence[str] = ("deftrec",), recipes: Sequence[str] = ("paper",), *,
    preset: str = "tiny", source: str | None = None, split: str = "leave_one_out", seeds: Sequence[int] = (0,),
) -> list[Config]:  # fmt: skip
    """The full models of every combination."""
    return [
        Config.from_parameters(model, recipe, preset, dataset=dataset, source=source, split=split, seeds=seeds)
        for dataset, model, recipe in product(datasets, models, recipes)
    ]


def estimates(wanted: Sequence[ArmCell]) -> list[float]:
    """Seconds that each cell is expected to take on one thread: in proportion to what finished runs have taken."""
    sizes = [SIZES.get(c.full.dataset, 1.0) * (0.0 if c.arm.variant else c.arm.cost) for c in wanted]
    took = []
    for cell, size in zip(wanted, sizes, strict=True):
        if size:
            with suppress(Damaged):  # or not there yet
                took.append(evaluating.run_about(run_name(cell.config, cell.seed))["seconds"] / size)
    unit = float(np.median(took)) if took else GUESS
    return [unit * size for size in sizes]


def in_order(wanted: Sequence[ArmCell]) -> list[ArmCell]:
    """Cells in the order in which they are run, those that are one run (K=1 of two lists, a shared one) once.

    Seed by seed, so that every arm is known once before any is run again; the full models first, then the cheapest.
    """
    first: dict[Path, tuple[tuple, ArmCell]] = {}
    for cell, seconds in zip(wanted, estimates(wanted), strict=True):
        key = (cell.full.seeds.index(cell.seed), cell.arm.name != "full", seconds)
        if cell.folder not in first or key < first[cell.folder][0]:
            first[cell.folder] = (key, cell)
    return [cell for _, cell in sorted(first.values(), key=lambda pair: pair[0])]


def plan_of(wanted: Sequence[ArmCell]) -> jobs.Plan:
    """The plan of cells for :mod:`contrec.study.jobs`, once their data are there."""
    for cell in wanted:
        load_split(cell.full)  # fetched and checked by one process
    return partial(list, in_order(wanted))


def fill(wanted: Sequence[ArmCell], *, workers: int = 1, progress: bool = False, say=None) -> None:
    """Run the cells that are not in the store; as :func:`contrec.study.jobs.fill`."""
    plan = plan_of(wanted)
    jobs.fill(plan, workers=workers, progress=progress, title="ablation", say=say, seconds=estimates)


def evaluations(wanted: Sequence[ArmCell]) -> dict[tuple[str, int], Evaluation]:
    """Kept ranks of the finished cells of one full model, by arm and seed."""
    return {(c.arm.name, c.seed): c.kept[1] for c in wanted if c.done}


def full(wanted: Sequence[ArmCell]) -> dict[tuple[str, int], Evaluation]:
    """Kept ranks of the finished full models and their controls (:mod:`contrec.controls`), by model and seed."""
    own = [c for c in wanted if c.arm.name == "full" and c.done]
    return {(name, c.seed): e for c in own for name, e in evaluating.kept_evaluations(c.folder).items()}


def stem(full: Config) -> str:
    """Of a full model's files in ``data/reproduced``."""
    return "_".join((full.dataset, full.source, full.split, full.preset, full.model, full.recipe, "ablation"))


def rows(wanted: Sequence[ArmCell]) -> pd.DataFrame:
    """Metrics of the finished cells, in the columns of ``data/reproduced`` and arm."""
    frames = []
    for cell in wanted:
        if cell.done:
            frame = evaluating.rows_of(cell.config, cell.folder, cell.seed, cell.full.recipe, cell.full.preset)
            frame = frame[frame.model == cell.kept[0]]
            frames.append(frame.assign(model=cell.full.model, arm=cell.arm.name))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*evaluating.COLUMNS, "arm"])


def record(wanted: Sequence[ArmCell]) -> list[Path]:
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
        more, seeds = {"arms": {c.arm.name: c.arm.settings for c in own}}, sorted({c.seed for c in own})
        entry = entry_of(full, more, seeds=seeds, notebook="05_ablation")
        written.append(write_results(path, rows(own), evaluations(own).items(), entry, ("arm", "seed")))
    return written


def recorded(full: Config) -> dict[tuple[str, int], Evaluation]:
    """As :func:`evaluations`, from the ranks in ``data/reproduced``; empty where nothing was recorded."""
    path = paths.reproduced() / f"{stem(full)}.ranks.parquet"
    return read_ranks(path, ("arm", "seed")) if path.exists() else {}
