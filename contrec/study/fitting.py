"""From a config to a trained recommender: split, embeddings, training, each kept under its fingerprint."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

from contrec import data, embeddings, paths
from contrec.artifacts import provenance
from contrec.artifacts.stages import stage_version
from contrec.artifacts.store import CHECKPOINTS, Store, load_tensors, save_tensors
from contrec.checks import positive
from contrec.files import write_json
from contrec.language.backbone import NARROW
from contrec.network import RecommenderConfig
from contrec.recommender import Recommender
from contrec.study.config import Config
from contrec.study.processes import is_main, make_together


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
    more = {"columns": columns} if columns else {}
    more |= {"refit": True} if config.refit else {}
    return {**names, "files": files, "version": stage_version("data"), **more}


@cache
def _split(dataset: str, source: str, protocol: str, refit: bool, own_file: str, states: tuple):
    interactions, catalogue = data.load(dataset, source, **json.loads(own_file))
    return data.split(interactions, catalogue, protocol, refit=refit)


def load_split(config: Config) -> data.Split:
    """The split of a config, made once per process, and again when a file or a loader of one's own has changed."""
    states = tuple((os.stat(file).st_mtime_ns, os.stat(file).st_size) for file in config.own_files.values())
    states = (*states, data.loaders.LOADERS[config.dataset][config.source])
    return _split(config.dataset, config.source, config.split, config.refit, json.dumps(config.own_file), states)


def before_refit(config: Config) -> Config:
    """The study whose validation chooses what a refit repeats."""
    return replace(config, refit=False)


def embeddings_key(config: Config, seed: int) -> dict:
    """What base embeddings are made from."""
    inner = config.recommender
    versions = {"lightgcn": stage_version("lightgcn")} if inner.inputs in ("lightgcn", "fused") else {}
    return {"data": data_key(config), "kind": inner.inputs, "settings": inner.embeddings, "seed": seed, **versions}


def base_embeddings(config: Config, seed: int, progress: bool = False) -> embeddings.Embeddings:
    """The base embeddings of a config, from the store or made and kept there."""
    inner = config.recommender

    def make(folder: Path) -> None:
        settings = inner.embeddings
        if config.refit:
            settings = settings | base_embeddings(before_refit(config), seed, progress).chosen()
        made = embeddings.make(inner.inputs, load_split(config), seed=seed, progress=progress, **settings)
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
    return {"data": data_key(config), **before, **own, **corrected(config.recommender)}


def corrected(settings: RecommenderConfig) -> dict[str, str]:
    """What was done otherwise once, where these settings are concerned: their runs are made anew, others stay.

    "first weights": they were .02. "preference": draws were scaled to length 1. "token noise": the fixed shift was
    added twice, tokens that are trained jointly had no noise. "text": it was written from prompts read with dropout.
    """
    language, tokens = settings.language, settings.tokenizer
    found = {
        "first weights": ("1 / sqrt(width)", language.backbone == "tiny" and language.hidden < NARROW),
        "preference": ("as drawn", settings.score != "cosine"),
        "token noise": (
            "once",
            tokens.kind == "sigma_vae"
            and (tokens.sigma_mode, tokens.train) in (("fixed", "pretrain_freeze"), ("sampled", "joint")),
        ),
        "text": ("read without dropout", language.backbone != "tiny"),
    }
    return {name: how for name, (how, concerned) in found.items() if concerned}


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
    epochs = fitted(before_refit(config), seed, progress, processes).epochs if config.refit else None
    key = recommender_key(config, seed)
    if processes > 1 and not store().has("recommender", key):
        base_embeddings(config, seed, progress)  # made by one process, with all threads
        arguments = {"config": asdict(config), "seed": seed, "progress": progress, "epochs": epochs}
        make_together("recommender", key, "contrec.study.fitting:train", arguments, processes)
    make = partial(train, config=asdict(config), seed=seed, progress=progress, epochs=epochs)
    folder = store().get_or_make("recommender", key, make, resume=True)
    return Recommender.load(folder / "model")


def train(folder: Path, config: dict, seed: int, progress: bool, epochs: int | None = None) -> None:
    """Train and write the artifact; of several processes all train and the main one writes."""
    from accelerate import PartialState

    start, config, main = time.perf_counter(), Config.from_dict(config), is_main()
    recommender = Recommender(config.recommender)
    recommender.fit(
        load_split(config), embeddings=base_embeddings(config, seed, progress and main), seed=seed,
        progress=progress and main, epochs=epochs, folder=folder / CHECKPOINTS,
    )  # fmt: skip
    if not main:
        return
    recommender.save(folder / "model", replace=True)  # one is there where a process was killed after this line
    about = {"config": asdict(config), "seed": seed, "seconds": time.perf_counter() - start}
    about["processes"] = PartialState().num_processes
    write_json(folder / "run.json", {**about, "label": config.label, "revision": provenance.revision()})
