"""From a config to a trained recommender: split, embeddings, training, each kept under its fingerprint."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

import torch

from contrec import data, embeddings, paths
from contrec.artifacts import provenance
from contrec.artifacts.stages import stage_version
from contrec.artifacts.store import CHECKPOINTS, Store, load_tensors, save_tensors
from contrec.checks import in_range, positive
from contrec.files import write_json
from contrec.language.backbone import NARROW
from contrec.network import config_from_dict
from contrec.recommender import Recommender
from contrec.study import parallel
from contrec.study.config import Config


def store() -> Store:
    """The store of this project."""
    return Store(paths.artifacts())


def data_key(config: Config) -> dict:
    """What the split is made from: names, the SHA-256 of every file read, and the version of the code.

    Of a file of one's own also how its columns are called, as far as they were named.
    """
    files = config.inputs()
    names = {"dataset": config.dataset, "source": config.source, "split": config.split}
    columns = {role: Path(name).name if role == "items" else name for role, name in config.columns.items()}
    return {**names, "files": files, "version": stage_version("data"), **({"columns": columns} if columns else {})}


@cache
def _split(dataset: str, source: str, protocol: str, own_file: str, states: tuple):
    interactions, catalogue = data.load(dataset, source, **json.loads(own_file))
    return data.split(interactions, catalogue, protocol)


def load_split(config: Config) -> data.Split:
    """The split of a config, made once per process, and again when a file of one's own has changed."""
    states = tuple((os.stat(file).st_mtime_ns, os.stat(file).st_size) for file in config.own_files.values())
    return _split(config.dataset, config.source, config.split, json.dumps(config.own_file), states)


def embeddings_key(config: Config, seed: int) -> dict:
    """What base embeddings are made from."""
    inner = config.recommender
    return {"data": data_key(config), "kind": inner.inputs, "settings": inner.embeddings, "seed": seed}


def base_embeddings(config: Config, seed: int, progress: bool = False) -> embeddings.Embeddings:
    """The base embeddings of a config, from the store or made and kept there."""
    inner = config.recommender

    def make(folder: Path) -> None:
        made = embeddings.make(inner.inputs, load_split(config), seed=seed, progress=progress, **inner.embeddings)
        tensors, settings = made.state()
        save_tensors(folder / "embeddings.safetensors", tensors, settings)

    folder = store().get_or_make("embeddings", embeddings_key(config, seed), make)
    return embeddings.Embeddings.from_state(*load_tensors(folder / "embeddings.safetensors"))


def recommender_key(config: Config, seed: int) -> dict:
    """What a fitted recommender is made from: settings, and the fingerprints or versions of the stages before it."""
    before = {
        "embeddings": store().path("embeddings", embeddings_key(config, seed)).name,
        "tokenizers": stage_version("tokenizers"),
        "diffusion": stage_version("diffusion"),
    }
    own = {"config": asdict(config.recommender), "seed": seed, "model": config.model}
    language = config.recommender.language
    if language.backbone == "tiny" and language.hidden < NARROW:
        own["first weights"] = "1 / sqrt(width)"  # they were .02 once
    return {"data": data_key(config), **before, **own}


def run_name(config: Config, seed: int) -> str:
    """The run's name: the fingerprint of its recommender."""
    return store().path("recommender", recommender_key(config, seed)).name


def fitted(config: Config, seed: int, progress: bool = False, processes: int = 1) -> Recommender:
    """The trained recommender: from the store, or trained (going on from the last checkpoint) and kept there.

    Args:
        processes: training processes, one per GPU, or on CPU cores. Not part of the run's name: losses are the same up
            to rounding, except that each process drops out others.
    """
    positive("processes", processes)
    key = recommender_key(config, seed)
    if processes > 1 and not store().has("recommender", key):
        _train_in_processes(config, seed, progress, processes)
    folder = store().get_or_make("recommender", key, lambda part: _train(part, config, seed, progress), resume=True)
    return Recommender.load(folder / "model")


def _train(folder: Path, config: Config, seed: int, progress: bool) -> None:
    """Train and write the artifact; of several processes all train and the main one writes."""
    from accelerate import PartialState

    start = time.perf_counter()
    state = PartialState(cpu=not torch.cuda.is_available())  # it also chooses this process's GPU
    progress = progress and state.is_main_process
    recommender = Recommender(config.recommender)
    recommender.fit(
        load_split(config), embeddings=base_embeddings(config, seed, progress), seed=seed, progress=progress,
        folder=folder / CHECKPOINTS,
    )  # fmt: skip
    if not state.is_main_process:
        return
    recommender.save(folder / "model", replace=True)  # one is there where a process was killed after this line
    about = {"config": asdict(config), "seed": seed, "seconds": time.perf_counter() - start}
    about["processes"] = state.num_processes
    write_json(folder / "run.json", {**about, "label": config.label, "revision": provenance.revision()})


def _train_in_processes(config: Config, seed: int, progress: bool, processes: int) -> None:
    """Put the artifact into the store by ``accelerate.notebook_launcher``, which forks.

    A fork must find neither a GPU nor threads in use, nor an Accelerator, and this interpreter may have had them all:
    so a fresh one forks. It also holds the store's lock, which its forks inherit, until the last of them has ended.
    """
    if torch.cuda.is_available():
        in_range("processes", processes, 1, torch.cuda.device_count())
    base_embeddings(config, seed, progress)  # made by one process, with all threads
    asked = {"config": asdict(config), "seed": seed, "progress": progress, "processes": processes}
    asked = json.dumps({**asked, "parent": os.getpid()})
    code = "import sys; from contrec.study import fitting; fitting._launch(sys.argv[1])"
    threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes))}
    done = subprocess.run([sys.executable, "-c", code, asked], stdout=subprocess.DEVNULL, env=os.environ | threads)
    if done.returncode:
        raise ChildProcessError(f"training in {processes} processes has failed: the reason is told above")


def _forked(parent: int, *work) -> None:
    parallel.end_with(parent)
    _train(*work)


def _launch(asked: str) -> None:
    """What the fresh interpreter does: start the processes and keep what they make."""
    from accelerate import notebook_launcher
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    asked = json.loads(asked)
    parallel.end_with(asked["parent"])
    config = Config(**asked["config"] | {"recommender": config_from_dict(asked["config"]["recommender"])})
    seed = asked["seed"]

    def make(folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        work = (os.getpid(), folder, config, seed, asked["progress"])
        notebook_launcher(_forked, work, num_processes=asked["processes"], use_port=str(port))

    try:
        store().get_or_make("recommender", recommender_key(config, seed), make, resume=True)
    except ChildFailedError:
        sys.exit(1)  # its log has told the reason
