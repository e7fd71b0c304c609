"""The one engine of whatever takes long: a job is claimed, made, told of, gone on with, and sent to machines here.

A plan says which jobs are wanted now, in their order; it is asked again as results come in, so that it may grow with
them. A job is claimed by a lock that its maker holds for as long as it works. The system gives it back when the process
ends, however it ends: what a killed worker had taken is free at once, without a clock. So any number of processes share
a plan, on any machines whose file system shows them each other's locks (NFS version 4, Lustre mounted with ``flock``),
as the store needs it too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pandas as pd

from contrec import paths
from contrec.artifacts.store import is_there, locked
from contrec.checks import positive
from contrec.files import Damaged, room
from contrec.study import parallel

POLL = 2.0  # seconds between two looks while others do what is left
MINUTES = 24 * 60  # of a worker on a cluster


class Job(Protocol):
    """One piece of work, which keeps what it makes: a stopped one goes on from there."""

    name: str  # fit for a file; of jobs with equal names one is made at a time, the first that is not done
    place: tuple[str, str]  # row and column in an overview: what is run, and on which data
    done: bool  # whether its result is there; Damaged where it is not as it was made

    def make(self) -> None:
        """Make the result, or find it."""

    def told(self) -> str:
        """What a finished one has found, in a line."""


class InStore:
    """A job whose result is an artifact: its ``folder`` in the store says its name and whether it is there."""

    folder: Path

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}-{self.folder.name}"

    @property
    def done(self) -> bool:
        return is_there(self.folder)


Plan = Callable[[], Sequence[Job]]


@contextmanager
def claimed(job: Job) -> Iterator[bool]:
    """Whether this process has the job for the length of the block: it is not done, and nobody else is at it."""
    folder = paths.artifacts() / "claims"
    with room(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{job.name}.lock", wait=False) as free:
        yield free and not job.done


def take(job: Job) -> bool:
    """Make a job, unless it is done or somebody is at it; returns whether it was made."""
    with claimed(job) as ours:
        if ours:
            job.make()
            if not job.done:
                raise Damaged(
                    f"{' on '.join(job.place)} was made and is not there: a file that it is made from has changed "
                    "meanwhile; run the same command again"
                )
    return ours


def fill(
    plan: Plan, *, workers: int = 1, progress: bool = False, title: str = "", say: Callable[[str], None] | None = None,
    seconds: Callable[[Sequence[Job]], Sequence[float]] | None = None,
) -> None:  # fmt: skip
    """Make the jobs of a plan that are not done, in its order, until nothing is left to anybody.

    Args:
        plan: importable by its name (or a partial of what is) where :func:`submit` sends it away.
        workers: processes of one thread each, which only make; calls elsewhere share the work.
        progress, title: a bar, and what it is called.
        say: gets a line about each job that is done.
        seconds: what jobs are expected to take, which the bar counts; None: it counts jobs.

    Raises:
        Damaged: if something that jobs need is not as it was made; the others are done then.
        Exception: the first that a job raises; jobs that have not begun are not begun then.
    """
    from tqdm.auto import tqdm

    positive("workers", workers)
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}" if seconds else None
    running: dict[Future, Job] = {}
    elsewhere: set[str] = set()  # jobs that others are at
    damaged: dict[str, Damaged] = {}
    expected: dict[str, float] = {}
    with (
        tqdm(total=0, desc=title, disable=not progress, bar_format=form) as bar,
        parallel.processes(workers) as executor,
    ):
        while True:
            left: dict[str, list[Job]] = {}
            for job in plan():
                try:
                    if job.name not in damaged and (job.name in left or not job.done):
                        left.setdefault(job.name, []).append(job)
                except Damaged as error:
                    damaged[job.name] = error
            new = [own[0] for name, own in left.items() if name not in expected]
            expected |= dict(zip((job.name for job in new), seconds(new) if seconds else [1] * len(new), strict=True))
            bar.total = bar.n + sum(expected[name] * len(own) for name, own in left.items())
            taken = {job.name for job in running.values()} | elsewhere
            for name in [name for name in left if name not in taken][: workers - len(running)]:
                running[executor.submit(take, left[name][0])] = left[name][0]
            if not running:
                if not left:
                    break
                time.sleep(POLL)
                elsewhere.clear()
                continue
            ended, _ = wait(running, timeout=POLL if elsewhere else None, return_when=FIRST_COMPLETED)
            if not ended:
                elsewhere.clear()  # to look at them again
            for future in ended:
                job = running.pop(future)
                try:
                    ours = future.result()
                except Damaged as error:
                    damaged[job.name] = error
                    continue
                if ours or job.done:
                    bar.set_postfix_str(" on ".join(job.place), refresh=False)
                    bar.update(expected[job.name])
                    if say:
                        say(job.told())
                else:
                    elsewhere.add(job.name)
    if damaged:
        raise Damaged("; ".join(dict.fromkeys(map(str, damaged.values()))))


def submit(plan: Plan, workers: int, *, title: str, cluster: str = "slurm") -> list:
    """Start ``workers`` workers as jobs of a cluster by submitit and return its jobs; they share the plan.

    Partition, account, GPUs and limits are those of sbatch's own variables (``SBATCH_PARTITION``, ``SBATCH_GRES``,
    ``SBATCH_TIMELIMIT``, ...), which come before what is set here: one core, a day.

    Args:
        title: of the jobs, as the cluster lists them.
        cluster: "slurm", or submitit's "local" (processes here) and "debug" (this process).

    Raises:
        ValueError: if submitit is not installed, or this machine belongs to no such cluster.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise ValueError("jobs of SLURM need submitit: pip install 'contrec[slurm]'") from None
    positive("workers", workers)
    try:
        executor = submitit.AutoExecutor(folder=paths.artifacts() / "machines", cluster=cluster)
    except RuntimeError as error:  # no such cluster here
        raise ValueError(f"jobs cannot be sent to {cluster}: {error}; without --slurm they are made here") from None
    executor.update_parameters(name=f"contrec-{title}", cpus_per_task=1, timeout_min=MINUTES)
    return [executor.submit(fill, plan) for _ in range(workers)]


def overview(jobs: Sequence[Job]) -> pd.DataFrame:
    """How many jobs of each kind are done: a row per what is run, a column per data; "not run" for none."""
    counts: dict[str, dict[str, list[str]]] = {}
    for job in jobs:
        row, column = job.place
        counts.setdefault(column, {}).setdefault(row, []).append(_state(job))
    shown = {column: {row: _counted(states) for row, states in own.items()} for column, own in counts.items()}
    order = list(dict.fromkeys(job.place[0] for job in jobs))
    return pd.DataFrame(shown).reindex(order).fillna("-").rename_axis("what").reset_index()


def _state(job: Job) -> str:
    try:
        return "done" if job.done else "left"
    except Damaged:
        return "damaged"


def _counted(states: list[str]) -> str:
    done, broken = states.count("done"), states.count("damaged")
    text = f"{done} of {len(states)}" if done or broken else "not run"
    return f"{text}, {broken} damaged" if broken else text
