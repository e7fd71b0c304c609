"""The training loop on a toy model: exact resume, the best epoch, damaged checkpoints, the schedule."""

from __future__ import annotations

import io
import json
import math
import os
import shutil

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from contrec import files, training
from contrec.training import TrainingConfig, fit, learning_rate, load_trainable_state, trainable_state


class Toy(nn.Module):
    """A regression with everything a checkpoint must keep: dropout, a frozen part, a buffer that training moves."""

    def __init__(self, width: int = 6):
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(4, width).requires_grad_(False)
        self.layer = nn.Sequential(nn.Dropout(0.3), nn.Linear(width, 1))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("scratch", torch.zeros(()), persistent=False)

    def forward(self, batch):
        x, y = batch
        if self.training:
            self.seen += len(x)
        error = (self.layer(self.frozen(x)) - y).square().mean()
        return {"error": error, "total": error}


def batches(epoch):
    stream = torch.Generator().manual_seed(epoch)
    return [(torch.randn(8, 4, generator=stream), torch.randn(8, 1, generator=stream)) for _ in range(3)]


def run(folder=None, values=(0.1, 0.2, 0.3), batches=batches, model=None, **settings):
    """Fit a toy whose validation gives ``values`` in turn (by epoch: counted from the model's own buffer)."""
    model = model or Toy()
    config = TrainingConfig(**{"epochs": len(values), "batch_size": 8, "lr": 0.05, **settings})
    history = fit(model, batches, lambda: values[int(model.seen) // 24 - 1], config, seed=1, folder=folder)
    return model, history


def plain(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


class Killed(BaseException):
    """Stands for the end of the process."""


def kill(monkeypatch, where):
    """Make the run die in epoch 2; returns the batches to run with."""
    if where == "in the epoch":

        def dying(epoch):
            for number, batch in enumerate(batches(epoch)):
                if epoch == 2 and number == 1:
                    raise Killed
                yield batch

        class Dying(list):
            def __init__(self, epoch):
                super().__init__(batches(epoch))
                self.epoch = epoch

            def __iter__(self):
                return dying(self.epoch)

        return Dying
    if where == "while writing":
        dumps, calls = json.dumps, []

        def dying(what, **settings):
            calls.extend([1] * isinstance(what, list))  # the history
            if len(calls) == 2:
                raise Killed
            return dumps(what, **settings)

        monkeypatch.setattr("contrec.training.json.dumps", dying)
    if where == "between the renames":
        replace = os.replace

        def dying(source, target):
            replace(source, target)
            if target.name == "last.old":
                raise Killed

        monkeypatch.setattr("contrec.training.os.replace", dying)
    if where == "before the old one is gone":
        rmtree = shutil.rmtree

        def dying(path, **settings):
            if path.name == "last.old" and path.exists():
                raise Killed
            rmtree(path, **settings)

        monkeypatch.setattr("contrec.training.shutil.rmtree", dying)
    return batches


@pytest.mark.parametrize(
    "where", ["in the epoch", "while writing", "between the renames", "before the old one is gone"]
)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, where):
    whole, history = run(tmp_path / "whole")
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        run(folder, batches=kill(patch, where))
    left = {path.name for path in folder.iterdir()}
    assert ("last" in left) is (where != "between the renames")
    assert ("last.old" in left) is (where in ("between the renames", "before the old one is gone"))
    torch.manual_seed(99)  # the global stream has no say
    trained = []
    resumed, again = run(folder, batches=lambda epoch: trained.append(epoch) or batches(epoch))
    assert trained == ([3] if where == "before the old one is gone" else [2, 3])
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert plain(again) == plain(history)
    assert sorted(path.name for path in folder.iterdir()) == ["best-3.safetensors", "last"]


def test_the_optimizer_moments_are_what_makes_it_exact(tmp_path):
    whole, _ = run(tmp_path / "whole")
    run(tmp_path / "part", batches=batches, values=(0.1, 0.2, 0.3), epochs=1)
    file = tmp_path / "part" / "last" / "moments.safetensors"
    file.write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")  # a safetensors file without tensors
    (file.parent / training.SEAL).unlink()
    resumed, _ = run(tmp_path / "part")
    assert not torch.equal(whole.layer[1].weight, resumed.layer[1].weight)


def test_a_finished_folder_is_not_trained_again(tmp_path):
    first, history = run(tmp_path)
    again, same = run(tmp_path, batches=lambda epoch: pytest.fail("trained"))
    assert torch.equal(first.layer[1].weight, again.layer[1].weight) and same == history


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_best_epoch_is_kept_not_the_last(tmp_path, on_disk):
    folder = tmp_path if on_disk else None
    best, history = run(folder, values=(0.1, 0.4, 0.2, 0.3), epochs=4)
    assert [row["best"] for row in history] == [True, True, False, False]
    assert int(best.seen) == 2 * 24  # two epochs have gone through these weights
    _, in_two = run(values=(0.1, 0.4, 0.2, 0.3), epochs=4, patience=2)
    assert plain(in_two) == plain(history)
    assert not best.training
    if on_disk:
        resumed, _ = run(folder, values=(0.1, 0.4, 0.2, 0.3), epochs=4)
        assert torch.equal(resumed.layer[1].weight, best.layer[1].weight)


def test_it_stops_when_patience_is_over(tmp_path):
    values = (0.2, 0.1, 0.1, 0.1, 0.9)
    model, history = run(tmp_path, values=values, epochs=5, patience=2)
    assert [row["epoch"] for row in history] == [1, 2, 3] and int(model.seen) == 24
    _, again = run(tmp_path, values=values, epochs=5, patience=2)
    assert again == history  # resuming does not revive it


def test_an_equal_value_is_not_better():
    assert [row["best"] for row in run(values=(0.2, 0.2, 0.2))[1]] == [True, False, False]


FILES = ["last/history.json", "last/weights.safetensors", "last/moments.safetensors", "best-1.safetensors"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_a_damaged_checkpoint_is_one_clear_error(tmp_path, file, damage):
    run(tmp_path, epochs=1)
    path, data = tmp_path / file, bytearray((tmp_path / file).read_bytes())
    data[-3] ^= 1  # of the last weight, or of a figure in the history
    path.write_bytes(data[:20] if damage == "cut" else data)
    if damage == "gone":
        path.unlink()
    with pytest.raises(ValueError, match=r"checkpoint in .* cannot be used .*delete that folder and run the same"):
        run(tmp_path)


def test_too_little_room_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_free", lambda folder: 100)
    with pytest.raises(files.DiskFull, match=r"no room in .*run: about 0\.0 MiB is needed, 0\.0 MiB is free"):
        run(tmp_path / "run", batches=lambda epoch: pytest.fail("trained"))
    run(batches=batches)  # without a folder nothing is kept


def test_a_disk_that_becomes_full_is_told_and_the_epoch_before_is_kept(tmp_path, monkeypatch):
    whole, history = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        real, calls = training.save_file, []

        def full(*arguments):
            calls.append(1)
            if len(calls) > 4:  # in the second epoch
                raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
            real(*arguments)

        patch.setattr(training, "save_file", full)
        with pytest.raises(files.DiskFull, match="no room in .*run the same command again"):
            run(tmp_path / "full")
    trained = []
    resumed, again = run(tmp_path / "full", batches=lambda epoch: trained.append(epoch) or batches(epoch))
    assert trained == [2, 3] and plain(again) == plain(history)
    assert torch.equal(whole.layer[1].weight, resumed.layer[1].weight)


def test_a_lost_best_epoch_is_one_clear_error(tmp_path):
    run(tmp_path)
    (tmp_path / "best-3.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be used .*delete that folder"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("model", "message"), [(Toy(width=7), "of another shape .*layer.1.weight"), (nn.Linear(2, 1), "missing .*unknown")]
)
def test_a_checkpoint_of_another_model_is_one_clear_error(tmp_path, model, message):
    run(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=f"checkpoint in .*do not fit this configuration.*{message}"):
        run(tmp_path, model=model)


def test_trainable_state_is_what_training_may_change():
    toy = Toy()
    state = trainable_state(toy)
    assert set(state) == {"layer.1.weight", "layer.1.bias", "seen"}
    other = Toy()
    nn.init.ones_(other.layer[1].weight)
    load_trainable_state(other, state)
    assert torch.equal(other.layer[1].weight, toy.layer[1].weight)
    with torch.no_grad():
        toy.layer[1].weight.zero_()
    assert state["layer.1.weight"].abs().sum() > 0  # a copy


def test_learning_rate_rises_and_falls():
    factors = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)])  # linear warm-up over 10 steps
    assert factors[10] == 1 and all(a > b for a, b in zip(factors[10:], factors[11:], strict=False))
    # hand calculation: half way down the cosine, 0.05 + 0.95 / 2; the last step is one before the end at 0.05
    assert factors[55] == pytest.approx(0.525) and factors[99] == pytest.approx(0.05, abs=1e-3)
    assert learning_rate(0, 1, 0.0) == 1


def test_steps_follow_the_schedule(monkeypatch):
    used = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self, *a, **k: (used.append(self.param_groups[0]["lr"]), step(self, *a, **k))[1],
    )
    run(warmup=0.3)
    assert used == pytest.approx([0.05 * learning_rate(n, 9, 0.3) for n in range(9)])


def test_gradients_are_clipped(monkeypatch):
    norms = []
    step = torch.optim.AdamW.step

    def spy(self, *arguments, **settings):
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for g in self.param_groups for p in g["params"])))
        return step(self, *arguments, **settings)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run(max_norm=0.01)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epochs", 0), ("batch_size", 0), ("patience", 0), ("lr", -0.1), ("warmup", 1.5), ("max_norm", -1),
     ("llm_weight", -1), ("diffusion_weight", -0.5), ("dispersion_weight", -1), ("weight_decay", -1), ("cases", "all"),
     ("cases_per_user", 0), ("validation_users", 0)],
)  # fmt: skip
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} must .*{value}"):
        TrainingConfig(**{setting: value})


def test_a_module_on_another_kind_of_device_gets_its_own_accelerator(monkeypatch):
    # on a GPU machine one process trains LightGCN on the CPU and the next model on the GPU; here the first state is
    # made to look as if it were a GPU's
    from accelerate import PartialState
    from accelerate.state import AcceleratorState

    first = training._accelerator(torch.device("cpu"))
    assert training._accelerator(torch.device("cpu")).state.device == first.state.device
    AcceleratorState._shared_state["device"] = PartialState._shared_state["device"] = torch.device("cuda")
    AcceleratorState._shared_state["_cpu"] = PartialState._shared_state["_cpu"] = False
    assert training._accelerator(torch.device("cpu")).device.type == "cpu"


def test_a_training_has_one_bar_that_ends_whole(monkeypatch):
    import tqdm.auto

    made = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, file=io.StringIO(), **kwargs)
            self.seen = [self.n]
            made.append(self)

        def update(self, n=1):
            super().update(n)
            self.seen.append(self.n)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    # the second epoch is the best, and patience ends the training after the third of nine
    config = TrainingConfig(epochs=9, batch_size=8, lr=0.05, patience=1)
    model = Toy()
    fit(model, batches, lambda: (0.1, 0.2, 0.1)[int(model.seen) // 24 - 1], config, seed=1, progress=True)
    (bar,) = made
    assert bar.n == bar.total == 3
    assert bar.seen[:5] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1]) and bar.seen[4] == 1
