"""The store: one name for equal settings, artifacts complete or absent, made once."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from contrec.artifacts.fingerprint import canonical_json, fingerprint
from contrec.artifacts.store import Store, load_tensors, made_from, save_tensors
from contrec.files import Damaged, write_json


@dataclass(frozen=True)
class Settings:
    rate: float
    layers: tuple
    name: str = "x"


def test_fingerprint_is_the_recorded_one():
    # origin: hand calculation, printf '%s' '{"layers":[1,2],"name":"x","rate":0.1}' | sha256sum
    assert canonical_json(Settings(0.1, (1, 2))) == '{"layers":[1,2],"name":"x","rate":0.1}'
    assert fingerprint(Settings(0.1, (1, 2))) == "b57b9f75555a"


def test_equal_settings_have_one_name():
    assert fingerprint({"a": 1, "b": [1.0, None]}) == fingerprint({"b": (1, None), "a": 1.0})
    assert fingerprint({"a": np.float64(0.5), "b": np.int64(3)}) == fingerprint({"a": 0.5, "b": 3})
    assert fingerprint({"a": -0.0}) == fingerprint({"a": 0})


def test_different_settings_have_different_names():
    different = [{"a": 1}, {"a": True}, {"a": "1"}, {"a": [1]}, {"a": 0.1 + 0.2}, {"a": 0.3}, {"a": None}, {}]
    assert len({fingerprint(x) for x in different}) == len(different)


@pytest.mark.parametrize("bad", [Path("/x"), {1}, np.zeros(2), torch.float32, {1: 2}, object()])
def test_what_is_no_setting_has_no_fingerprint(bad):
    with pytest.raises(TypeError, match="fingerprint|strings"):
        fingerprint({"a": bad})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_setting_is_finite(bad):
    with pytest.raises(ValueError, match="finite"):
        fingerprint([bad])


def test_an_artifact_is_made_once_and_names_its_key(tmp_path):
    store, calls = Store(tmp_path), []

    def make(folder):
        calls.append(folder)
        (folder / "x.txt").write_text("made")

    assert not store.has("data", {"seed": 0})
    first = store.get_or_make("data", {"seed": 0}, make)
    second = store.get_or_make("data", {"seed": 0.0}, make)
    other = store.get_or_make("data", {"seed": 1}, make)
    assert first == second == store.path("data", {"seed": 0}) and other != first and len(calls) == 2
    assert store.has("data", {"seed": 0}) and first.parent == tmp_path / "data" and len(first.name) == 12
    assert json.loads((first / "key.json").read_text())["key"] == {"seed": 0}
    assert sorted(p.name for p in first.iterdir()) == ["key.json", "x.txt"]


def test_the_stage_and_its_version_are_part_of_the_name(tmp_path, monkeypatch):
    store = Store(tmp_path)
    before = store.path("data", {})
    assert store.path("embeddings", {}).name != before.name
    monkeypatch.setattr("contrec.artifacts.store.stage_version", lambda stage: 10**6)
    assert store.path("data", {}) != before


def test_unknown_stage_is_refused(tmp_path):
    with pytest.raises(ValueError, match="stage must be one of data, .*'date'"):
        Store(tmp_path).get_or_make("date", {}, lambda folder: None)


@pytest.mark.parametrize("resume", [False, True])
def test_a_failed_make_leaves_no_artifact(tmp_path, resume):
    store, found = Store(tmp_path), []

    def fail(folder):
        (folder / "half").write_text("")
        raise RuntimeError("stop")

    def make(folder):
        found.append((folder / "half").exists())

    with pytest.raises(RuntimeError, match="stop"):
        store.get_or_make("data", {}, fail, resume=resume)
    assert not store.has("data", {})
    store.get_or_make("data", {}, make, resume=resume)
    assert found == [resume] and store.has("data", {})


def test_a_failure_before_any_work_leaves_nothing_to_go_on_with(tmp_path):
    with pytest.raises(ZeroDivisionError):
        Store(tmp_path).get_or_make("data", {}, lambda folder: 1 / 0, resume=True)
    assert not list(tmp_path.rglob("*unfinished*"))


def test_an_artifact_that_is_whole_but_for_its_name_is_not_made_again(tmp_path):
    store = Store(tmp_path)

    def make(folder):
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "x").write_text("made")

    final = store.get_or_make("data", {}, make, resume=True)
    assert sorted(p.name for p in final.iterdir()) == ["key.json", "x"]
    unfinished = final.rename(final.with_name(f".{final.name}.unfinished"))
    (unfinished / "checkpoints").mkdir()
    assert store.get_or_make("data", {}, None, resume=True) == final  # killed before the last step
    assert sorted(p.name for p in final.iterdir()) == ["key.json", "x"]


def test_a_damaged_artifact_is_told_and_made_anew_once_it_is_removed(tmp_path):
    store, make = Store(tmp_path), lambda folder: (folder / "x").write_text("made")
    path = store.get_or_make("data", {"seed": 1}, make)
    (path / "x").write_text("mode")
    with pytest.raises(Damaged, match=rf"{path}/x is damaged.*; remove {path}: it is made anew"):
        store.get_or_make("data", {"seed": 1}, make)
    shutil.rmtree(path)
    assert store.get_or_make("data", {"seed": 1}, make) == path


def test_a_copied_or_renamed_artifact_is_told(tmp_path):
    path = Store(tmp_path).get_or_make("data", {}, lambda folder: None)
    for other in (path.with_name("copy"), tmp_path / "sweep" / path.name):
        shutil.copytree(path, other)
        with pytest.raises(Damaged, match=rf"{other} is not what its key.json says .*remove it"):
            made_from(other)
    with pytest.raises(Damaged, match="none is missing: the command that made it makes it anew"):
        made_from(tmp_path / "none")


KILLED = """
import os, signal, sys
from contrec.artifacts.store import Store
def make(folder):
    (folder / "half").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
Store(sys.argv[1]).get_or_make("data", {}, make)
"""


def test_a_killed_process_leaves_neither_artifact_nor_lock(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60)
    assert done.returncode == -9
    store = Store(tmp_path)
    assert not store.has("data", {}) and any(p.is_dir() for p in (tmp_path / "data").iterdir())
    path = store.get_or_make("data", {}, lambda folder: (folder / "whole").write_text(""))
    assert sorted(p.name for p in path.iterdir()) == ["key.json", "whole"]
    assert [p for p in (tmp_path / "data").iterdir() if p.is_dir()] == [path]


def _slow(root):
    def make(folder):
        (Path(root) / f"made-{os.getpid()}").write_text("")
        time.sleep(0.5)

    Store(root).get_or_make("data", {"slow": True}, make)


def test_two_processes_make_one_artifact(tmp_path):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_slow, args=(str(tmp_path),)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [p.exitcode for p in both] == [0, 0] and len(list(tmp_path.glob("made-*"))) == 1


def test_tensors_come_back(tmp_path):
    shared = torch.arange(6.0)
    tensors = {"a": shared, "b": shared[2:], "t": torch.eye(3).T, "n": np.array([1, 2]), "h": torch.ones(2).bfloat16()}
    save_tensors(tmp_path / "x" / "t.safetensors", tensors, {"epoch": 3, "name": "größe"})
    back, meta = load_tensors(tmp_path / "x" / "t.safetensors")
    assert meta == {"epoch": 3, "name": "größe"} and back.keys() == tensors.keys()
    for name, value in tensors.items():
        value = torch.as_tensor(value)
        assert back[name].dtype == value.dtype and torch.equal(back[name], value)
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["t.safetensors"]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "t.safetensors"
    save_tensors(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="t.safetensors is damaged"):
        load_tensors(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        load_tensors(tmp_path / "none")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        save_tensors(path, {"a": torch.zeros(1)}, {"meta": object()})
    monkeypatch.setattr(os, "fsync", lambda number: 1 / 0)  # a full disk, say
    with pytest.raises(ZeroDivisionError):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]
