"""The engine: who makes what, in which order, once; what a killed worker had taken; what a damaged part costs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from contrec import paths
from contrec.files import Damaged
from contrec.study import jobs, parallel

# A worker: argv are folder, seconds a job, names, "grow" where b and c are known
# once a is there, and "both" where two begin together
WORKER = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from contrec.study import jobs
from test_jobs import Note, plan
from functools import partial
jobs.POLL = 0.05
folder, seconds, names = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3].split(",")
(folder / (str(os.getpid()) + ".up")).touch()
while "both" in sys.argv and len(list(folder.glob("*.up"))) < 2:
    time.sleep(0.02)
jobs.fill(partial(plan, folder, seconds, names, "grow" in sys.argv))
"""


@dataclass(frozen=True)
class Note:
    """A job that takes no model: it writes down who began and ended it."""

    folder: Path
    name: str
    seconds: float = 0.0
    error: type[Exception] | None = None

    @property
    def place(self):
        return self.name, "here"

    @property
    def done(self):
        return (self.folder / f"{self.name}.json").exists()

    def note(self, word):
        with open(self.folder / "log", "a") as file:
            file.write(f"{word} {self.name} {os.getpid()}\n")

    def make(self):
        self.note("begin")
        if self.error:
            raise self.error(f"{self.name} is damaged")
        time.sleep(self.seconds)
        self.note("end")
        (self.folder / f"{self.name}.json").write_text(json.dumps(os.getpid()))

    def told(self):
        return f"{self.name} is there"


def plan(folder: Path, seconds: float, names: list[str], grow: bool = False) -> list[Note]:
    found = [Note(folder, name, seconds) for name in names]
    return found if not grow or found[0].done else found[:1]


def log(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "log").read_text().splitlines()] if (folder / "log").exists() else []


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(jobs, "POLL", 0.05)


def start(folder: Path, seconds: float, names: str, *more: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(paths.root())}
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(seconds), names, *more], env=environment)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_made_once_in_the_order_of_the_plan_and_told(tmp_path, workers):
    said = []
    wanted = partial(plan, tmp_path, 0.2, ["b", "a", "d", "c"])
    jobs.fill(wanted, workers=workers, say=said.append)
    begun = [name for word, name, _ in log(tmp_path) if word == "begin"]
    assert sorted(said) == [f"{name} is there" for name in "abcd"]
    assert begun == ["b", "a", "d", "c"] if workers == 1 else sorted(begun) == list("abcd")
    assert len({process for *_, process in log(tmp_path)}) == workers
    jobs.fill(wanted, workers=workers, say=said.append)
    assert len(said) == 4 and len(log(tmp_path)) == 8  # nothing is made twice


def test_a_plan_grows_with_what_is_found(tmp_path):
    jobs.fill(partial(plan, tmp_path, 0.0, ["a", "b", "c"], True))
    assert [name for word, name, _ in log(tmp_path) if word == "end"] == ["a", "b", "c"]


def test_workers_of_several_commands_share_a_plan(tmp_path):
    workers = [start(tmp_path, 0.3, "a,b,c,d,e,f", "grow", "both") for _ in range(2)]
    assert [w.wait(timeout=120) for w in workers] == [0, 0]
    found = log(tmp_path)
    ended = [name for word, name, _ in found if word == "end"]
    assert sorted(ended) == list("abcdef") and len(found) == 12
    assert len({process for *_, process in found}) == 2
    assert [name for _, name, _ in found[:2]] == ["a", "a"]  # on which the others wait


def test_what_a_killed_worker_had_taken_is_free_at_once(tmp_path):
    killed = start(tmp_path, 30.0, "a,b")
    wait_for(lambda: len(log(tmp_path)) == 1)
    with jobs.claimed(Note(tmp_path, "a")) as ours, jobs.claimed(Note(tmp_path, "b")) as other:
        assert (ours, other) == (False, True)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    jobs.fill(partial(plan, tmp_path, 0.0, ["a", "b"]))
    assert [(word, name) for word, name, _ in log(tmp_path)] == [
        ("begin", "a"), ("begin", "a"), ("end", "a"), ("begin", "b"), ("end", "b")
    ]  # fmt: skip


def test_a_job_that_was_done_meanwhile_is_not_made(tmp_path):
    one = Note(tmp_path, "a")
    with jobs.claimed(one) as ours:
        assert ours
        one.make()
    assert not jobs.take(one) and len(log(tmp_path)) == 2


def test_a_damaged_part_costs_its_own_jobs_only(tmp_path):
    wanted = [Note(tmp_path, "a", error=Damaged), Note(tmp_path, "b"), Note(tmp_path, "c", error=Damaged)]
    with pytest.raises(Damaged, match="^a is damaged; c is damaged$"):
        jobs.fill(lambda: wanted)
    assert wanted[1].done


def test_any_other_error_stops_the_work(tmp_path):
    wanted = [Note(tmp_path, "a", error=ZeroDivisionError), Note(tmp_path, "b")]
    with pytest.raises(ZeroDivisionError):
        jobs.fill(lambda: wanted)
    assert not wanted[1].done


def test_the_bar_counts_expected_seconds(tmp_path, monkeypatch):
    bars = []

    class Bar:
        n = 0

        def __init__(self, total, desc, disable, bar_format):
            bars.append(self)
            self.totals = []

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.totals.append((self.n, self.total))

        def set_postfix_str(self, text, refresh):
            self.text = text

        def update(self, seconds):
            self.totals.append((self.n, self.total))
            self.n += seconds

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    seconds = {"a": 5.0, "b": 2.0, "c": 1.0}
    grows = partial(plan, tmp_path, 0.0, ["a", "b", "c"], True)
    jobs.fill(grows, seconds=lambda own: [seconds[job.name] for job in own])
    assert bars[0].totals == [(0, 5.0), (5.0, 8.0), (7.0, 8.0), (8.0, 8.0)] and bars[0].text == "c on here"


def test_several_seeds_of_one_kind_are_one_cell_of_the_overview(tmp_path):
    found = jobs.overview([Note(tmp_path, "a"), Note(tmp_path, "b"), Note(tmp_path, "a")])
    assert found.set_index("what").here.to_dict() == {"a": "not run", "b": "not run"}
    Note(tmp_path, "a").make()
    assert jobs.overview([Note(tmp_path, "a"), Note(tmp_path, "b")]).here.tolist() == ["1 of 1", "not run"]


@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_a_cluster_works_on_the_same_plan(tmp_path, cluster, monkeypatch):
    """submitit's own executors: "local" starts processes as SLURM does, "debug" works here."""
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'contrec[slurm]'")
    monkeypatch.setenv("PYTHONPATH", f"{paths.root()}:{Path(__file__).parent}")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import test_jobs  # by the name that other processes know it by

    sent = jobs.submit(partial(test_jobs.plan, tmp_path, 0.1, ["a", "b", "c"]), 2, title="notes", cluster=cluster)
    assert [job.result() for job in sent] == [None, None]
    found = log(tmp_path)
    assert sorted(name for word, name, _ in found if word == "end") == ["a", "b", "c"] and len(found) == 6
    assert (str(os.getpid()) in {process for *_, process in found}) == (cluster == "debug")


def test_calls_of_several_processes_all_end_and_the_first_error_is_raised(tmp_path):
    with parallel.processes(2) as executor:
        futures = [executor.submit(os.path.join, "a", str(n)) for n in range(5)]
    assert [f.result() for f in futures] == [f"a/{n}" for n in range(5)]
    with pytest.raises(ValueError, match="workers must be"), parallel.processes(0):
        pass


def test_what_was_made_and_is_not_there_is_told_and_not_made_again(tmp_path):
    class Moves(Note):
        done = False

        def told(self):
            raise AssertionError

    with pytest.raises(Damaged, match="a on here was made and is not there: a file .* has changed meanwhile"):
        jobs.fill(lambda: [Moves(tmp_path, "a")])
    assert [word for word, *_ in log(tmp_path)] == ["begin", "end"]


def test_a_damaged_result_is_told_counted_and_costs_no_other(tmp_path):
    class Broken(Note):
        @property
        def done(self):
            raise Damaged("a is damaged; remove it")

    wanted = [Broken(tmp_path, "a"), Note(tmp_path, "b")]
    with pytest.raises(Damaged, match="^a is damaged; remove it$"):
        jobs.fill(lambda: wanted)
    assert jobs.overview(wanted).here.tolist() == ["0 of 1, 1 damaged", "1 of 1"]


def test_a_machine_without_the_cluster_says_so(tmp_path):
    pytest.importorskip("submitit")
    if not shutil.which("srun"):
        with pytest.raises(ValueError, match="jobs cannot be sent to slurm: .*; without --slurm they are made here"):
            jobs.submit(list, 1, title="notes")
