"""The one training loop: epochs, checkpoints, exact resume, early stopping. It knows no part of any model.

An epoch is a function of the state before it, the seed and its number: all random streams are re-seeded from these at
its start, so a run killed at any moment goes on from its last checkpoint to the same result.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from contrec.checks import finite, in_range, one_of, positive, seed_number
from contrec.files import enough, room, seal, sealed, sha256

SEEDS = 2**64  # a generator takes a seed below; larger ones, made from a seed, an epoch and a step, wrap around
SEAL = "seal.json"  # hashes of a checkpoint's files
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


@dataclass(frozen=True, kw_only=True)
class SharedBatch:
    """A batch that processes share: a dataclass of tensors with a row for each of its cases.

    Its module multiplies the loss, a mean over :meth:`terms`, by ``weight``; the mean of the shares' losses over the
    processes is then the whole batch's.
    """

    weight: float = 1.0

    def terms(self) -> int:
        """Of how many terms the loss is the mean."""
        raise NotImplementedError

    def shard(self, index: int, count: int) -> SharedBatch:
        """The rows of one of ``count`` processes; where there are none for it, row 0 to no effect."""
        rows = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "weight"}
        own = replace(self, **{name: x[index::count] for name, x in rows.items()})
        if not len(next(iter(rows.values()))[index::count]):
            return replace(self, **{name: x[:1] for name, x in rows.items()}, weight=0.0)
        return replace(own, weight=count * own.terms() / self.terms())


@dataclass(frozen=True)
class LoopConfig:
    """How any module is trained by gradient: AdamW, warm-up and cosine rate, the best epoch by validation NDCG@10."""

    epochs: int = 50  # at most
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.05  # share of all steps
    patience: int = 10  # epochs without a better validation NDCG@10 before stopping
    max_norm: float = 1.0  # gradient norm
    validation_users: int = 2000  # at most so many choose the epoch, the same ones every time
    optimizer: str = "adamw"  # Sect. 4.1.4, ContRec | "adam" (DeftRec's released code)
    lr_schedule: str = "cosine"  # our choice | "alternate": every other step at 1e-9 (what both released codes do)
    test_on: str = "best"  # epoch by validation whose weights are kept; our choice | "last" (both released codes)

    def __post_init__(self):
        one_of("optimizer", self.optimizer, tuple(OPTIMIZERS))
        one_of("lr_schedule", self.lr_schedule, ("cosine", "alternate"))
        one_of("test_on", self.test_on, ("best", "last"))
        for name in ("epochs", "batch_size", "patience", "validation_users"):
            positive(name, getattr(self, name))
        in_range("weight_decay", self.weight_decay, 0, 1e6)
        in_range("lr", self.lr, 0, 1)
        in_range("warmup", self.warmup, 0, 1)
        in_range("max_norm", self.max_norm, 0, math.inf)


@dataclass(frozen=True)
class TrainingConfig(LoopConfig):
    """How phase 2 is trained (Eq. 20 and Sect. 4.1.4)."""

    epochs: int = 8  # at most; the paper's limit is 200
    batch_size: int = 24  # Appendix C.3
    lr: float = 1e-3  # 1e-5 in the paper for a pretrained backbone; ours starts from random weights
    weight_decay: float = 1e-4  # Sect. 4.1.4
    warmup: float = 0.05  # share of all steps; our choice
    patience: int = 3  # epochs without a better validation NDCG@10 before stopping; our choice
    max_norm: float = 1.0  # gradient norm; our choice
    llm_weight: float = 1.0  # weight of L_llm in Eq. (20)
    diffusion_weight: float = 1.0  # gamma_1, searched in 0..2 (Sect. 4.1.4); our choice
    dispersion_weight: float = 0.5  # gamma_2, searched in 0..2 (Sect. 4.1.4); 0.5 is the released code's value
    negative_weight: float = 0.0  # gamma_2 of Eq. (15), DeftRec: of the contrastive term
    cases: str = "prefix"  # our choice: last 10 prefixes | "set": any item | "windows", "windows20" (released codes)
    cases_per_user: int = 2  # drawn anew for each epoch; our choice
    validation_users: int = 2000  # our choice: at most so many choose the epoch, the same ones every time

    def __post_init__(self):
        super().__post_init__()
        positive("cases_per_user", self.cases_per_user)
        one_of("cases", self.cases, ("prefix", "set", "windows", "windows20"))
        for name in ("llm_weight", "diffusion_weight", "dispersion_weight", "negative_weight"):
            in_range(name, getattr(self, name), 0, 1e6)


def learning_rate(step: int, total: int, warmup: float, schedule: str = "cosine") -> float:
    """Factor in (0, 1] at a step from 0.

    "cosine": linear warm-up, then a half cosine to a twentieth. "alternate": 1 and next to nothing by turns, which is
    what a cosine of undefined length does in both released codes.
    """
    if schedule == "alternate":
        return 1.0 if step % 2 == 0 else 1e-6
    rise = max(1, int(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


@contextmanager
def evaluating(module: nn.Module):
    """Dropout off inside, the mode as it was after."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """Everything that training may change: parameters with a gradient, and persistent buffers."""
    kept = {name for name, p in module.named_parameters() if not p.requires_grad}
    persistent = set(module.state_dict())
    tensors = {name: p for name, p in module.named_parameters() if p.requires_grad}
    tensors |= {name: b for name, b in module.named_buffers() if name in persistent and name not in kept}
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


@torch.no_grad()
def load_trainable_state(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`trainable_state` took.

    Raises:
        ValueError: if names or shapes differ, which means that the file belongs to another configuration.
    """
    places = dict(module.named_parameters()) | dict(module.named_buffers())
    missing = [name for name in trainable_state(module) if name not in tensors]
    unknown = [name for name in tensors if name not in places]
    other = [name for name, tensor in tensors.items() if name in places and places[name].shape != tensor.shape]
    if missing or unknown or other:
        raise ValueError(
            f"weights do not fit this configuration: missing {missing[:3]}, unknown {unknown[:3]}, "
            f"of another shape {other[:3]}"
        )
    for name, tensor in tensors.items():
        places[name].copy_(tensor)


def fit(
    module: nn.Module,
    batches: Callable[[int], Sequence],
    validate: Callable[[], float],
    config: LoopConfig,
    *,
    seed: int,
    epochs: int | None = None,
    folder: Path | None = None,
    progress: bool = False,
    name: str = "phase 2",
) -> list[dict]:
    """Train ``module`` through Accelerate and leave its best weights (by validation) in it, or with "last" the last.

    Args:
        module: called with a batch, returns a dict of scalar losses with "total".
        batches: epoch (from 1) -> batches; the same number in each epoch. Of several processes each trains on
            ``batch.shard(index, count)``, of which the module returns losses whose mean over processes is the batch's.
            Batches without ``shard`` are trained whole by each, and all end with the weights of the main process.
        validate: the figure to maximise, called after each epoch with the module in evaluation mode.
        epochs: how many of the config's epochs are trained, as a validation has chosen before (:func:`chosen_epochs`):
            the rate falls as it fell there, nothing is validated and the last weights are kept. None: validation
            chooses.
        folder: keeps a checkpoint of every epoch's end; a folder with one is resumed, by any number of processes.
        progress: a bar with an estimate of what is left.
        name: of the bar.

    Returns:
        One dict per epoch: mean losses, "validation" (not with ``epochs``), "seconds", "best" (whether it was the best
        so far).

    Raises:
        ValueError: if ``epochs`` are none, or more than the config's; if a loss, a weight or the validation figure is
            NaN or infinite; no checkpoint holds that epoch.
    """
    from accelerate.utils import broadcast
    from tqdm.auto import tqdm

    seed = seed_number(seed)
    if epochs is not None:
        positive("epochs", epochs)
        if epochs > config.epochs:
            raise ValueError(f"epochs must be at most {config.epochs}, those of the loop, got {epochs}")
    accelerator = _accelerator(next(module.parameters()).device)
    whole = accelerator.num_processes > 1 and not hasattr(batches(1)[0], "shard")
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    optimizer = OPTIMIZERS[config.optimizer](parameters.values(), lr=config.lr, weight_decay=config.weight_decay)
    if whole:
        wrapped = accelerator.prepare_model(module, device_placement=False, evaluation_mode=True)
        optimizer = accelerator.prepare_optimizer(optimizer, device_placement=False)
    else:
        wrapped, optimizer = accelerator.prepare(module, optimizer)
    state = Checkpoint(folder, module, optimizer, list(parameters))
    state.resume()
    # one bar, told rarely: a kernel drops what a client leaves unread, even the message that a cell has ended
    bar = tqdm(
        total=config.epochs, initial=len(state.history), desc=name, unit="epoch", unit_scale=True, mininterval=0.5,
        disable=not (progress and accelerator.is_main_process),
    )  # fmt: skip
    for epoch in range(len(state.history) + 1, (epochs or config.epochs) + 1):
        if epochs is None and state.best_epoch and epoch - 1 - state.best_epoch >= config.patience:
            break
        start, where = time.perf_counter(), f"{name}, epoch {epoch}"
        with torch.random.fork_rng():
            # dropout, which differs by process where rows do; other noise comes from generators in the batches
            rows = 0 if whole else 15_485_863 * accelerator.process_index
            torch.manual_seed((seed * 1_000_003 + epoch + rows) % SEEDS)
            sums = _epoch(wrapped, optimizer, batches(epoch), epoch, config, accelerator, bar, whole, where)
        module.eval()
        for of, weight in parameters.items():
            if not weight.isfinite().all():
                finite(f"an entry of {of}", math.nan, where)
        better, shown = True, {}
        if epochs is None:
            # one figure for all processes, lest rounding makes one of them stop alone
            try:
                figure = validate()
            except ValueError as error:  # NaN among the scores of weights that are huge
                raise ValueError(f"{where}, validation: {error}") from error
            value = torch.tensor(figure, dtype=torch.float64, device=accelerator.device)
            value = finite("the validation figure", float(accelerator.reduce(value, "mean")), where)
            better, shown = value > state.best_value, {"validation": value}
        state.history.append({"epoch": epoch, **sums, **shown, "seconds": time.perf_counter() - start, "best": better})
        state.save(better, write=accelerator.is_main_process)
        accelerator.wait_for_everyone()
        bar.update(epoch - bar.n)  # whole again, after steps of one over their number
        bar.set_postfix({**{k: f"{v:.4f}" for k, v in shown.items()}, "loss": f"{sums['total']:.3f}"})
    bar.total = bar.n  # stopped early is done as well
    bar.close()
    if config.test_on == "best":
        state.restore_best()
    if whole:
        of_main = broadcast({of: w.to(accelerator.device) for of, w in trainable_state(module).items()})
        load_trainable_state(module, of_main)
    accelerator.wait_for_everyone()  # the caller may remove the folder
    module.eval()
    return state.history


def chosen_epochs(history: list[dict], config: LoopConfig) -> int:
    """How many epochs the kept weights were trained for: what a refit repeats.

    Args:
        history: what :func:`fit` has returned for ``config``.
    """
    return len(history) if config.test_on == "last" else max(row["epoch"] for row in history if row["best"])


def _accelerator(device: torch.device):
    """Accelerate for a module on this device.

    Its state is one for the whole process. Where a module before was trained on the other kind of device, as LightGCN
    on the CPU is before a GPU model, the state is made anew; several processes share one kind for good.
    """
    from accelerate import Accelerator, PartialState
    from accelerate.state import AcceleratorState

    started = PartialState().num_processes if PartialState._shared_state else int(os.environ.get("WORLD_SIZE", 1))
    if started > 1:
        return Accelerator()
    if AcceleratorState._shared_state and PartialState().device.type != device.type:
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device.type == "cpu")


def _epoch(
    wrapped, optimizer, batches, epoch: int, config: LoopConfig, accelerator, bar, whole: bool, where: str
) -> dict[str, float]:
    wrapped.train()
    sums: dict[str, float] = {}
    total = config.epochs * len(batches)
    for number, batch in enumerate(batches):
        if accelerator.num_processes > 1 and not whole:
            batch = batch.shard(accelerator.process_index, accelerator.num_processes)
        for group in optimizer.param_groups:
            step = (epoch - 1) * len(batches) + number
            group["lr"] = config.lr * learning_rate(step, total, config.warmup, config.lr_schedule)
        losses = wrapped(batch)
        optimizer.zero_grad()
        accelerator.backward(losses["total"])
        accelerator.clip_grad_norm_((p for p in wrapped.parameters() if p.requires_grad), config.max_norm)
        optimizer.step()
        for name, value in losses.items():
            value = float(value.detach() if whole else accelerator.reduce(value.detach(), "mean"))
            finite(f"the loss {name!r}", value, f"{where}, step {number + 1}")
            sums[name] = sums.get(name, 0.0) + value / len(batches)
        bar.update(min(1 / len(batches), config.epochs - bar.n))  # thirds do not add up to more than 1
    return sums


class Checkpoint:
    """Last and best weights, optimizer moments and the history: in memory, and in a folder if there is one."""

    def __init__(self, folder: Path | None, module: nn.Module, optimizer, names: list[str]):
        self.folder = None if folder is None else Path(folder)
        self.module, self.optimizer, self.names = module, optimizer, names
        self.history: list[dict] = []
        self.best_value, self.best_epoch = -math.inf, 0
        self._best: dict[str, Tensor] | None = None
        if folder is not None:  # weights and two moments, new beside old; the best weights too; the finished model
            there = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
            enough(self.folder, 9 * sum(p.nbytes for p in module.parameters() if p.requires_grad) - there)

    def resume(self) -> None:
        """Go on from the folder's last complete epoch, if there is one.

        Raises:
            ValueError: if what is there is damaged, or belongs to another configuration.
        """
        if self.folder is None:
            return
        # killed between the two renames of a save, the state before it lies in last.old
        last = next((f for f in (self.folder / "last", self.folder / "last.old") if f.exists()), None)
        if last is None:
            return
        with _readable(self.folder):
            if (last / SEAL).exists():  # none in those of an earlier version
                for name, digest in sealed(last / SEAL)["best"].items():
                    if sha256(self.folder / name) != digest:
                        raise ValueError(f"{name} is damaged")
            self.history = json.loads((last / "history.json").read_text())
            weights, moments = (load_file(last / f"{name}.safetensors") for name in ("weights", "moments"))
            load_trainable_state(self.module, weights)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for name, parameter in zip(self.names, parameters, strict=True):
            self.optimizer.state[parameter] = {
                # a clone starts at an aligned address, as fresh memory does: rounding depends on it
                key: moments[f"{key}/{name}"].to("cpu" if key == "step" else parameter.device).clone()
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}/{name}" in moments
            }
        best = max(self.history, key=lambda row: (row["best"], row["epoch"]))
        self.best_value, self.best_epoch = best.get("validation", -math.inf), best["epoch"]

    def save(self, better: bool, write: bool = True) -> None:
        """Keep this epoch: the folder ``last`` is replaced as a whole, never half-written."""
        weights = trainable_state(self.module)
        if better:
            self.best_value = self.history[-1].get("validation", -math.inf)
            self.best_epoch, self._best = len(self.history), weights
        if self.folder is not None and write:
            with room(self.folder):
                self._write(weights, better)

    def _write(self, weights: dict[str, Tensor], better: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        new, last, old = (self.folder / name for name in ("last.new", "last", "last.old"))
        if new.exists():
            shutil.rmtree(new)
        new.mkdir()
        if better:
            save_file(weights, self.folder / "best.new")
            os.replace(self.folder / "best.new", self.folder / f"best-{len(self.history)}.safetensors")
        save_file(weights, new / "weights.safetensors")
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments = {
            f"{key}/{name}": value.detach().cpu().contiguous()
            for name, parameter in zip(self.names, parameters, strict=True)
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }
        save_file(moments, new / "moments.safetensors")
        (new / "history.json").write_text(json.dumps(self.history))
        best = self.folder.glob(f"best-{self.best_epoch}.safetensors")
        seal(new / SEAL, {"best": {file.name: sha256(file) for file in best}})
        if last.exists():
            shutil.rmtree(old, ignore_errors=True)  # left by a run that was killed while it removed it
            os.replace(last, old)
        os.replace(new, last)
        shutil.rmtree(old, ignore_errors=True)
        for stale in self.folder.glob("best-*.safetensors"):
            if stale.name != f"best-{self.best_epoch}.safetensors":
                stale.unlink()

    def restore_best(self) -> None:
        """Put the best epoch's weights into the module."""
        if not self.best_epoch:
            return
        with _readable(self.folder):
            weights = self._best or load_file(self.folder / f"best-{self.best_epoch}.safetensors")
            load_trainable_state(self.module, weights)


@contextmanager
def _readable(folder: Path | None):
    """One kind of error for whatever is wrong with a checkpoint."""
    try:
        yield
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error).partition("; remove ")[0]
        raise ValueError(
            f"the checkpoint in {folder} cannot be used ({reason}): delete that folder and run the same command again"
        ) from error
