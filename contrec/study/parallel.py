"""Independent jobs on several processes of one thread each."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from contrec.bench.harness import one_thread
from contrec.checks import positive


def results(function: Callable, jobs: Iterable[tuple], workers: int) -> Iterator[tuple[tuple, object]]:
    """Call ``function(*job)`` for each job, begun in their order, and yield each job with its result as it ends.

    Args:
        function: importable by its name.
        workers: processes; 1 calls it here. Models this small lose more to threads than they gain from them (a machine
            that is busy otherwise makes them ten times slower), so each has one.

    Raises:
        Exception: the first that a job raises; jobs that have not begun are not begun then.
    """
    positive("workers", workers)
    if workers == 1:
        for job in jobs:
            with one_thread():
                found = function(*job)
            yield job, found
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(os.getpid(),)) as pool:
        running = {pool.submit(function, *job): job for job in jobs}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def finished(function: Callable, jobs: Iterable[tuple], workers: int) -> Iterator[tuple]:
    """As :func:`results`, the jobs alone: what ``function`` makes, it keeps in the store."""
    return (job for job, _ in results(function, jobs, workers))


def end_with(parent: int, seconds: float = 1.0) -> None:
    """End this process once ``parent``, the one that started it, has ended, however it ended.

    Linux ends it at once, even within a long call; elsewhere a thread looks every so many seconds.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    else:
        threading.Thread(target=_watch, args=(parent, seconds), daemon=True).start()
    if os.getppid() != parent:  # it had ended before
        os._exit(1)


def _watch(parent: int, seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(seconds)
    os._exit(1)


def _start(parent: int) -> None:
    """One thread, and freed memory kept: giving it back after each batch costs a third of SASRec's time (glibc)."""
    import torch

    end_with(parent)
    torch.set_num_threads(1)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
