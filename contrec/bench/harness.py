"""Time ways of doing one thing in turn, in one process, and check in the same run that they give the same."""

from __future__ import annotations

import ctypes
import math
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from contrec.study.parallel import one_thread

if TYPE_CHECKING:
    import pandas as pd

REFERENCE, FAIR, OURS = "reference layout", "fair baseline", "contrec"


@dataclass(frozen=True)
class Check:
    """One comparison of results: what is compared, the figure found, and the limit it must keep.

    Attributes:
        what: in words, with the unit.
        value: what was measured.
        limit: the largest value allowed, or the smallest with ``at_least``.
    """

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the limit is kept; a value that is not a number keeps none."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{'equal' if self.holds else 'DIFFERS'}: {self.what}: {self.value:.4g} ({sign} {self.limit:.4g})"


@dataclass(frozen=True)
class Bar:
    """What is wanted: time of ``against`` over time of contrec is at least ``ratio`` (or contrec costs at most it).

    Attributes:
        against: name of a way.
        ratio: positive.
        at_most: the bar is contrec / against <= ratio, for a yardstick that is a part of the work.
    """

    against: str
    ratio: float
    at_most: bool = False

    def verdict(self, seconds: dict[str, float]) -> str:
        """The bar, what was reached, and "met" or "missed"."""
        other, own = seconds[self.against], seconds[OURS]
        reached = own / other if self.at_most else other / own
        met = reached <= self.ratio if self.at_most else reached >= self.ratio
        wanted = f"{'<=' if self.at_most else '>='} {self.ratio:g}"
        how = f"of {self.against}" if self.at_most else f"faster than {self.against}"
        return f"bar: {reached:.2f} times {how} ({wanted}): {'met' if met else 'missed'}"


@dataclass(frozen=True)
class Benchmark:
    """One stage: its fixed shape, the ways of doing it, and how their results are compared.

    Attributes:
        name: of the stage.
        shape: what is computed, with sizes.
        ways: by name; the last one is contrec's. Each call does the whole work anew and returns its result.
        check: results by name of way -> comparisons.
        bars: what is wanted on the CPU.
        repeats: timed calls of each way, at least 3.
        warm_up: whether a call that is not timed comes first; not where a call takes many seconds.
    """

    name: str
    shape: str
    ways: dict[str, Callable[[], Any]]
    check: Callable[[dict[str, Any]], list[Check]]
    bars: list[Bar] = field(default_factory=list)
    repeats: int = 3
    warm_up: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a benchmark measured.

    Attributes:
        table: a row per way: way, seconds (median), min, max, ratio (its median over contrec's), MiB (peak memory over
            what was there before, of one call).
        checks: comparisons of the results.
        ratio: of the reference layout's seconds to contrec's.
        verdicts: one line for each bar.
    """

    table: pd.DataFrame
    checks: list[Check]
    ratio: float
    verdicts: list[str]

    @property
    def equal(self) -> bool:
        return all(check.holds for check in self.checks)


def run(benchmark: Benchmark, device: str = "cpu") -> Outcome:
    """Call all ways in turn (A B C A B C ...), watch the memory of each first call, and compare the results.

    On the CPU: one thread, and the seconds are the process's own, so that another busy process changes little. On a
    GPU: CUDA events.
    """
    import pandas as pd

    seconds: dict[str, list[float]] = {name: [] for name in benchmark.ways}
    results, memory = {}, {}
    with one_thread():
        for turn in range(benchmark.warm_up + benchmark.repeats):
            for name, way in benchmark.ways.items():
                with watched(device) if turn == 0 else nullcontext() as peak:
                    clock = stopwatch(device)
                    results[name] = way()
                    lasted = clock()
                if turn == 0:
                    memory[name] = peak.mib
                if turn >= benchmark.warm_up:
                    seconds[name].append(lasted)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    own = middle[OURS]
    table = pd.DataFrame(
        [
            {
                "way": name, "seconds": middle[name], "min": min(values), "max": max(values),
                "ratio": middle[name] / own, "MiB": memory[name],
            }
            for name, values in seconds.items()
        ]
    )  # fmt: skip
    verdicts = [bar.verdict(middle) for bar in benchmark.bars]
    return Outcome(table, benchmark.check(results), middle[REFERENCE] / own, verdicts)


def available(device: str) -> None:
    """Raise ValueError, with the way out, if there is no such device here."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: this PyTorch sees no GPU; use --device cpu, or install a CUDA build of torch")


def stopwatch(device: str = "cpu") -> Callable[[], float]:
    """Start a clock; calling what is returned gives the seconds since: of this process's CPU time, or of the GPU."""
    if not str(device).startswith("cuda"):
        start = time.process_time()
        return lambda: time.process_time() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()

    def stop() -> float:
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000

    return stop


@dataclass
class Peak:
    """Highest memory over what was there at the start, in MiB; NaN until the block has ended."""

    mib: float = math.nan


@contextmanager
def watched(device: str = "cpu"):
    """Watch memory inside the block: resident memory of this process every 2 ms, or what torch allocated on the GPU."""
    peak = Peak()
    if str(device).startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak.mib = (torch.cuda.max_memory_allocated() - before) / 2**20
        return
    import psutil

    process = psutil.Process()
    _give_back()
    before = highest = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.mib = (max(highest, process.memory_info().rss) - before) / 2**20


def _give_back() -> None:
    """Return freed memory to the system, so that one way does not live unseen on what another has left (glibc only)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
