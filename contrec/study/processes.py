"""Artifacts that several processes train together: one per GPU, or on CPU cores."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import torch

from contrec import paths
from contrec.artifacts.store import Store
from contrec.checks import in_range
from contrec.study.parallel import end_with


def is_main() -> bool:
    """Whether this process is the one that writes; it also chooses the process's GPU."""
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available()).is_main_process


def make_together(stage: str, key: dict, make: str, arguments: dict, processes: int) -> None:
    """Put an artifact into the store by ``accelerate.notebook_launcher``, which forks.

    A fork must find neither a GPU nor threads in use, nor an Accelerator, and this interpreter may have had them all:
    so a fresh one forks. It also holds the store's lock, which its forks inherit, until the last of them has ended.

    Args:
        stage, key: of the artifact.
        make: "module:function", called as ``function(folder, **arguments)`` in every process; all of them train, and
            the main one writes (:func:`is_main`).
        arguments: as JSON has them.

    Raises:
        ChildProcessError: if a process has failed.
    """
    if torch.cuda.is_available():
        in_range("processes", processes, 1, torch.cuda.device_count())
    asked = {"stage": stage, "key": key, "make": make, "arguments": arguments, "processes": processes}
    asked = json.dumps({**asked, "parent": os.getpid()})
    code = "import sys; from contrec.study.processes import launch; launch(sys.argv[1])"
    threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes))}
    done = subprocess.run([sys.executable, "-c", code, asked], stdout=subprocess.DEVNULL, env=os.environ | threads)
    if done.returncode:
        raise ChildProcessError(f"training in {processes} processes has failed: the reason is told above")


def launch(asked: str) -> None:
    """What the fresh interpreter does: start the processes and keep what they make."""
    from accelerate import notebook_launcher
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    asked = json.loads(asked)
    end_with(asked["parent"])

    def make(folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        work = (os.getpid(), asked["make"], folder, asked["arguments"])
        notebook_launcher(_forked, work, num_processes=asked["processes"], use_port=str(port))

    try:
        Store(paths.artifacts()).get_or_make(asked["stage"], asked["key"], make, resume=True)
    except ChildFailedError:
        sys.exit(1)  # its log has told the reason


def _forked(parent: int, make: str, folder: Path, arguments: dict) -> None:
    end_with(parent)
    module, _, name = make.partition(":")
    getattr(import_module(module), name)(folder, **arguments)
