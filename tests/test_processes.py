"""Training on two processes is training on one: the same losses, weights and artifact.

What runs on two processes is the second half of this file, as a script of its own: a test's own process has used
threads, and must not be forked.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contrec.study import fitting
from contrec.study.config import Config
from contrec.training import TrainingConfig, fit, trainable_state

LIMIT = 240  # seconds; they take a tenth of it on a quiet machine
NO_DROPOUT = {"diffusion.dropout": 0.0, "training.epochs": 2, "tokenizer.epochs": 1, "training.validation_users": 8}
TUNED = {
    "residual": True, "diffusion.head": "direct", "diffusion.prediction_type": "sample", "diffusion.noise_draws": 2,
    "diffusion.objective": "cross_entropy", "diffusion.null_condition": "learned", "training.dispersion_weight": 2.0,
}  # fmt: skip
NETWORKS = {  # 80 cases
    "paper": {"training.batch_size": 13},  # an odd number of rows, and two in the last batch
    "tuned": {"training.batch_size": 79, **TUNED},  # the last batch has one row: nothing for the second process
    "gold": {"training.batch_size": 16, "condition_from": "gold"},
    "own vectors": {"training.batch_size": 16, "inputs": "lightgcn", "embeddings": {"dim": 16, "epochs": 2}},
}
BASELINES = {
    "mf": {"dim": 8},
    "sasrec": {"dim": 8, "dropout": 0.0, "batch_size": 7},  # an odd number of rows
    "gru4rec": {"dim": 8, "hidden": 8, "dropout": 0.0, "loss": "softmax"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_config):
    """What two processes left, in a time that ends: a hang is a failure."""
    folder = tmp_path_factory.mktemp("two")
    configs = {name: asdict(tiny_config(NO_DROPOUT | settings)) for name, settings in NETWORKS.items()}
    (folder / "configs.json").write_text(json.dumps(configs))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with open(folder / "log.txt", "w") as log:
        launcher = subprocess.Popen(
            [sys.executable, __file__, folder], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            launcher.wait(LIMIT)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if launcher.poll() is None:
                os.killpg(launcher.pid, signal.SIGKILL)
    assert launcher.returncode == 0, (folder / "log.txt").read_text()[-5000:]
    return folder


def result(folder: Path, name: str, process: int = 0) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Weights and history that a process ended with."""
    return load_file(folder / f"{name}-{process}.safetensors"), json.loads(
        (folder / f"{name}-{process}.json").read_text()
    )


def furthest(one: list[dict], other: list[dict]) -> float:
    """The largest difference between two histories in any loss, or in the validation figure."""
    assert len(one) == len(other)
    names = [name for name in one[0] if name not in ("epoch", "seconds", "best")]
    return max(abs(a[name] - b[name]) for a, b in zip(one, other, strict=True) for name in names)


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- any module --------------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """A batch as the loop wants it: its shards' losses have the whole batch's as their mean over processes."""

    x: torch.Tensor
    y: torch.Tensor
    scale: float

    def shard(self, index: int, count: int) -> Rows:
        return Rows(self.x[index::count], self.y[index::count], self.scale * count)


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, batch):
        error = batch.scale * (self.layers(batch.x) - batch.y).square().sum()
        return {"error": error, "total": error}


def toy_batches(epoch):
    """Batches of 8, 5 and 1 rows, so that one process has more rows than the other, or all of them."""
    stream = torch.Generator().manual_seed(epoch)
    sizes = (8, 5, 1)
    return [Rows(torch.randn(n, 4, generator=stream), torch.randn(n, 1, generator=stream), 1 / n) for n in sizes]


def fit_toy(folder=None, batches=toy_batches, values=(0.1, 0.3, 0.2)):
    """The best epoch is the second of three."""
    model, figures = Toy(), iter(values)
    config = TrainingConfig(epochs=3, batch_size=8, lr=0.05)
    return model, fit(model, batches, lambda: next(figures), config, seed=1, folder=folder)


class Killed(Exception):
    """Stands for the end of the process."""


def dying(epoch):
    if epoch == 2:
        raise Killed
    return toy_batches(epoch)


@pytest.mark.parametrize("name", ["toy", "toy in memory"])
def test_losses_and_weights_are_those_of_one_process(folder, name):
    model, history = fit_toy()
    weights, curve = result(folder, name)
    assert furthest(history, curve) < 1e-6 and [row["best"] for row in curve] == [True, True, False]
    for key, value in trainable_state(model).items():
        torch.testing.assert_close(weights[key], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["toy", "toy in memory", "toy resumed", *NETWORKS, *BASELINES, "paper resumed"])
def test_every_process_ends_with_the_same_weights_and_curve(folder, name):
    (weights, history), (others, curve) = (result(folder, name, process) for process in (0, 1))
    assert equal(weights, others) and furthest(history, curve) == 0


def test_a_killed_run_goes_on_to_the_same_bits(folder):
    (weights, history), (others, curve) = result(folder, "toy"), result(folder, "toy resumed")
    assert equal(weights, others) and furthest(history, curve) == 0
    (weights, history), (others, curve) = result(folder, "paper"), result(folder, "paper resumed")
    assert equal(weights, others) and furthest(history, curve) == 0


def test_one_process_goes_on_where_two_stopped(folder):
    model, history = fit_toy(folder / "stopped", values=(0.3, 0.2))
    weights, curve = result(folder, "toy")
    assert furthest(history, curve) < 1e-6
    for key, value in trainable_state(model).items():
        torch.testing.assert_close(weights[key], value, atol=1e-6, rtol=0)


# -- ContRec -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    """As in the two processes: the tokenizers of phase 1 are then the same to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_contrec_has_the_loss_curve_of_one_process(
    folder, planted_split, small_embeddings, tiny_config, one_thread, name
):
    """Measured: losses of up to 15 differ by 2e-7 to 3e-7. Token counts unweighed make it 1e-4, other noise 2e-2."""
    history = fit_contrec(tiny_config(NO_DROPOUT | NETWORKS[name]), planted_split, small_embeddings).history["phase2"]
    assert furthest(history, result(folder, name)[1]) < 2e-6


def fit_baseline(name, split):
    from contrec import baselines

    return baselines.make(name, epochs=2, **BASELINES[name]).fit(split, seed=3)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_shares_its_batches_and_is_that_of_one_process(folder, planted_split, one_thread, name):
    """Measured, without dropout: losses of .7 to 4 differ by 8e-8 to 5e-7."""
    model = fit_baseline(name, planted_split)
    weights, history = result(folder, name)
    assert furthest(model.history, history) < 2e-6


def fit_contrec(config, split, embeddings, folder=None, kind=None):
    from contrec.recommender import Recommender

    embeddings = embeddings if config.inputs == "relation" else None
    return (kind or Recommender)(config, device="cpu").fit(split, embeddings=embeddings, seed=3, folder=folder)


@pytest.fixture
def config(monkeypatch, tmp_path):
    """A small study with artifacts of its own."""
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    small = {"language__hidden": 32, "language__heads": 2, "language__layers": 1, "training__cases_per_user": 1}
    return Config.from_parameters(training__epochs=1, tokenizer__epochs=1, training__validation_users=8, **small)


@pytest.mark.timeout(LIMIT)
def test_a_study_trains_with_two_processes_what_it_would_with_one(config, monkeypatch):
    made = fitting.fitted(config, 0, processes=2)
    folder = fitting.store().path("recommender", fitting.recommender_key(config, 0))
    assert json.loads((folder / "run.json").read_text())["processes"] == 2
    assert [path.name for path in folder.parent.iterdir() if not path.name.endswith(".lock")] == [folder.name]
    monkeypatch.setattr(fitting, "train", lambda *_, **__: pytest.fail("trained"))  # it is there: nothing is trained
    monkeypatch.setattr(fitting, "make_together", None)  # by however many, and none is started
    for processes in (1, 2):
        assert equal(
            trainable_state(fitting.fitted(config, 0, processes=processes).network), trainable_state(made.network)
        )


@pytest.mark.timeout(LIMIT)
def test_what_stops_a_process_is_told(config, capfd):
    folder = fitting.store().path("recommender", fitting.recommender_key(config, 0))
    last = folder.with_name(f".{folder.name}.unfinished") / "checkpoints" / "last"
    last.mkdir(parents=True)
    with pytest.raises(ChildProcessError, match="training in 2 processes has failed: the reason is told above"):
        fitting.fitted(config, 0, processes=2)
    assert "delete that folder and run the same command again" in capfd.readouterr().err and not folder.exists()
    with pytest.raises(ValueError, match="^processes must be a whole number of at least 1, got 0"):
        fitting.fitted(config, 0, processes=0)


# -- what runs on two processes ----------------------------------------------------------------------------------------


def on_two_processes(folder: Path) -> None:
    from accelerate import PartialState

    from contrec import data, embeddings, training
    from contrec.network import config_from_dict
    from contrec.recommender import Recommender

    process = PartialState(cpu=True).process_index
    if process:
        training.save_file = None  # only the main process may write

    def keep(name, module, history):
        save_file(trainable_state(module), folder / f"{name}-{process}.safetensors")
        (folder / f"{name}-{process}.json").write_text(json.dumps(history))

    keep("toy", *fit_toy(folder / "toy"))
    keep("toy in memory", *fit_toy())
    for name in ("stopped", "killed"):
        try:
            fit_toy(folder / name, batches=dying)
        except Killed:
            pass
    keep("toy resumed", *fit_toy(folder / "killed", values=(0.3, 0.2)))

    class Dying(Recommender):
        def _batches(self, epoch):
            if epoch == 2:
                raise Killed
            return super()._batches(epoch)

    split = data.split(*data.load("planted", n_users=80, n_items=64))
    vectors = embeddings.make("relation", split, dim=16)
    configs = {name: config_from_dict(c) for name, c in json.loads((folder / "configs.json").read_text()).items()}
    for name, config in configs.items():
        made = fit_contrec(config, split, vectors)
        keep(name, made.network, made.history["phase2"])
    for name in BASELINES:
        model = fit_baseline(name, split)
        keep(name, model.module, model.history)
    try:
        fit_contrec(configs["paper"], split, vectors, folder / "paper", Dying)
    except Killed:
        pass
    made = fit_contrec(configs["paper"], split, vectors, folder / "paper")
    keep("paper resumed", made.network, made.history["phase2"])


if __name__ == "__main__":
    from accelerate import notebook_launcher

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    notebook_launcher(on_two_processes, (Path(sys.argv[1]),), num_processes=2, use_port=str(port))
