"""The reconstruction comparison as a study: runs under their fingerprints, on several processes, and their tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from contrec.artifacts.stages import stage_version
from contrec.artifacts.store import load_tensors, save_tensors
from contrec.checks import one_of
from contrec.data import planted
from contrec.data.interactions import Cases
from contrec.experiments.reconstruction import peers
from contrec.experiments.reconstruction.peers import FAMILIES, Budget, Peer, Result
from contrec.study import jobs
from contrec.study.config import Config
from contrec.study.fitting import base_embeddings, data_key, embeddings_key, load_split, store
from contrec.study.parallel import one_thread

INPUTS = ("lightgcn", "text", "fused")
RATES = {"planted": (4, 8, 16, 32), "": (16, 32, 64, 128, 256)}  # bits; the planted world has 8 dimensions
BITS_PER_CODE = {"planted": 4, "": 8}
BUDGETS = {"tiny": Budget(width=64, steps=150, batch_size=64, lr=3e-3), "laptop": Budget()}
NO_NOISE = 1e9  # stands for the infinite rate of a channel without noise
USERS = 2000  # at most so many test cases for the fixed ranker, the same ones every time


def rates(config: Config) -> tuple[int, ...]:
    """Bits at which the peers of a dataset are compared."""
    return RATES.get(config.dataset, RATES[""])


def setup(config: Config, inputs=None, rate: int | None = None, workers: int | None = None) -> tuple:
    """What a notebook compares where its parameters say None.

    Returns:
        inputs: the planted world's own vectors, else ``INPUTS``; rate: the middle one; workers: one on preset "tiny",
        else one for each core.
    """
    planted_world = config.dataset == "planted"
    inputs = inputs or (["truth"] if planted_world else list(INPUTS))
    if not set(inputs) <= {"truth", *INPUTS} or ("truth" in inputs and not planted_world):
        allowed = ", ".join(("truth", *INPUTS) if planted_world else INPUTS)
        raise ValueError(f"inputs of {config.dataset} must be among {allowed}, got {', '.join(inputs)}")
    rate = rate or rates(config)[len(rates(config)) // 2]
    one_of("rate", rate, rates(config))
    return inputs, rate, workers or (1 if config.preset == "tiny" else os.cpu_count() or 1)


def budget(config: Config) -> Budget:
    return BUDGETS["tiny" if config.preset == "tiny" else "laptop"]


def grid(config: Config) -> list[Peer]:
    """Every peer of the comparison."""
    return peers.grid(rates(config), BITS_PER_CODE.get(config.dataset, BITS_PER_CODE[""]))


def vectors(config: Config, inputs: str) -> Tensor:
    """Item embeddings of unit variance per dimension, (m, d): learned ones, or the planted world's own item vectors.

    They are those of seed 0 for every run: what varies over seeds is the tokenizer and not what it is given.
    """
    if inputs == "truth":
        x = torch.from_numpy(planted.truth().items).float()
    else:
        x = base_embeddings(_of(config, inputs), 0).items
    return (x - x.mean(0)) / x.std(0, unbiased=False).clamp_min(1e-6)


def _of(config: Config, inputs: str) -> Config:
    return replace(config, recommender=replace(config.recommender, inputs=inputs, embeddings={}))


def run_key(config: Config, inputs: str, peer: Peer, seed: int) -> dict:
    """What a run is made from."""
    source = data_key(config) if inputs == "truth" else embeddings_key(_of(config, inputs), 0)
    own = {
        "peer": asdict(peer),
        "seed": seed,
        "budget": asdict(budget(config)),
        "rates": rates(config),
        "inputs": inputs,
    }
    versions = {stage: stage_version(stage) for stage in ("tokenizers", "diffusion")}
    return {"source": source, "data": data_key(config), **versions, **own}


@dataclass(frozen=True)
class Run(jobs.InStore):
    """One peer on one kind of embeddings from one seed."""

    config: Config
    inputs: str
    peer: Peer
    seed: int

    @cached_property
    def folder(self) -> Path:
        return store().path("reconstruction", run_key(self.config, self.inputs, self.peer, self.seed))

    @property
    def place(self) -> tuple[str, str]:
        return self.peer.family, f"{self.config.dataset} {self.inputs}"

    def make(self) -> None:
        result(self.config, self.inputs, self.peer, self.seed)

    def told(self) -> str:
        row = result(self.config, self.inputs, self.peer, self.seed).rows[0]
        return f"{self.config.dataset} {self.inputs} {self.peer.family} seed {self.seed}: MSE {row['mse']:.4f}"


def result(config: Config, inputs: str, peer: Peer, seed: int) -> Result:
    """One run, from the store or made and kept there."""

    def make(folder: Path) -> None:
        x, cases, known = vectors(config, inputs), test_cases(config), facets(config)
        with one_thread():  # models this small lose more to threads than they gain, and rounding is the same anywhere
            made = peers.run(peer, x, cases, known, rates(config), seed, budget(config))
        tensors = {"steps": made.steps, "variances": made.variances}
        rows = [{**row, "rate_bits": min(row["rate_bits"], NO_NOISE)} for row in made.rows]  # JSON knows no infinity
        save_tensors(folder / "result.safetensors", tensors, {"rows": rows})

    folder = store().get_or_make("reconstruction", run_key(config, inputs, peer, seed), make)
    tensors, meta = load_tensors(folder / "result.safetensors")
    for row in meta["rows"]:
        row["rate_bits"] = np.inf if row["rate_bits"] == NO_NOISE else row["rate_bits"]
    return Result(meta["rows"], tensors["steps"].numpy(), tensors["variances"].numpy())


def test_cases(config: Config) -> Cases:
    """The fixed ranker's cases."""
    test = load_split(config).test
    return test if len(test) <= USERS else test.select(np.sort(np.random.default_rng(0).permutation(len(test))[:USERS]))


def facets(config: Config) -> np.ndarray:
    return peers.facet_numbers(load_split(config).catalogue)


def wanted(config: Config, inputs=INPUTS, families=FAMILIES) -> list[Run]:
    """Every run of the grid for every seed of the config."""
    return [
        Run(config, kind, peer, seed)
        for seed in config.seeds for kind in inputs for peer in grid(config) if peer.family in families
    ]  # fmt: skip


def plan_of(runs: Sequence[Run]) -> jobs.Plan:
    """The plan of a comparison for :mod:`contrec.study.jobs`, once its data and embeddings are there."""
    for run in {(run.config.dataset, run.config.source, run.inputs): run for run in runs}.values():
        vectors(run.config, run.inputs)  # made once, by one process
    return partial(list, runs)


def compare(
    config: Config, inputs=INPUTS, *, workers: int = 1, progress: bool = False, families=FAMILIES
) -> pd.DataFrame:
    """The whole comparison, filled where something is missing: a row per point of a rate curve.

    Args:
        inputs: kinds of embeddings ("lightgcn" | "text" | "fused"), or ("truth",) for the planted item vectors.
        workers, progress: as for :func:`contrec.study.jobs.fill`.

    Returns:
        inputs, family, seed, and the columns of :class:`contrec.experiments.reconstruction.peers.Result`'s rows.
    """
    runs = wanted(config, inputs, families)
    jobs.fill(plan_of(runs), workers=workers, progress=progress, title="reconstruction")
    return found(runs)


def found(runs: Sequence[Run]) -> pd.DataFrame:
    """The rows of the finished runs, in the columns of :func:`compare`."""
    rows = [
        {"inputs": run.inputs, "family": run.peer.family, "seed": run.seed, **row}
        for run in runs if run.done
        for row in result(run.config, run.inputs, run.peer, run.seed).rows
    ]  # fmt: skip
    return pd.DataFrame(rows)
