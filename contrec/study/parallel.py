"""Independent jobs on several processes of one thread each."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from contrec.checks import positive


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """An executor of so many processes of one thread each; of 1, calls are made at once, in this process.

    Models this small lose more to threads than they gain from them (a machine that is busy otherwise makes them ten
    times slower). What is submitted is importable by its name. When the block ends with an error, calls that have not
    begun are not begun.
    """
    positive("workers", workers)
    if workers == 1:
        yield _Here()
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(os.getpid(),)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Here(Executor):
    def submit(self, function: Callable, /, *args, **kwargs) -> Future:
        future = Future()
        try:
            with one_thread():
                future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch inside, the number as it was after."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
