"""Independent jobs on several processes of one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from contrec.bench.harness import one_thread
from contrec.checks import positive


def finished(function: Callable, jobs: Iterable[tuple], workers: int) -> Iterator[tuple]:
    """Call ``function(*job)`` for each job, begun in their order, and yield each job as it ends.

    Args:
        function: importable by its name; what it makes, it keeps in the store.
        workers: processes; 1 calls it here. Models this small lose more to threads than they gain from them (a machine
            that is busy otherwise makes them ten times slower), so each has one.

    Raises:
        Exception: the first that a job raises; jobs that have not begun are not begun then.
    """
    positive("workers", workers)
    if workers == 1:
        for job in jobs:
            with one_thread():
                function(*job)
            yield job
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start) as pool:
        running = {pool.submit(function, *job): job for job in jobs}
        try:
            for done in as_completed(running):
                done.result()
                yield running[done]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start() -> None:
    """One thread, and freed memory kept: giving it back after each batch costs a third of SASRec's time (glibc)."""
    import ctypes
    import sys

    import torch

    torch.set_num_threads(1)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
