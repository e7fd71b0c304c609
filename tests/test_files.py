"""Files are written whole or not at all, also in groups; a full disk, damage and a changed file are told."""

import errno
import json
import os
import time

import numpy as np
import pytest
import torch

from contrec import files
from contrec.data import DataError
from contrec.files import Damaged, DiskFull, enough, replacing, replacing_all, room, seal, sealed, sha256

DEAD = 2**22 + 1  # no process has this number


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def beside(path, ending="tmp", process=DEAD):
    return files._beside(path, ending, f"{files.platform.node()}-{process}")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "x.txt"
    with replacing(path) as part:
        part.write_text("old")
        assert not path.exists() and part.parent == path.parent
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(path.parent) == ["x.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model"
    for text in ("old", "new"):
        with replacing(path) as part:
            part.mkdir()
            (part / text).write_text(text)
            assert text == "old" or names(path) == ["old"]
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.mkdir()
        raise RuntimeError
    assert names(path) == ["new"] and names(tmp_path) == ["model"]


def test_what_belongs_together_is_all_there_before_the_first_takes_its_place(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("old")
    with pytest.raises(RuntimeError), replacing_all(*paths) as parts:
        parts[0].write_text("new")
        raise RuntimeError
    with pytest.raises(FileNotFoundError), replacing_all(*paths) as parts:
        parts[0].write_text("new")  # the others are forgotten
    assert [p.read_text() for p in paths] == ["old"] * 3 and names(tmp_path) == ["a", "b", "c"]
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda part, path: (order.append(path), replace(part, path)))
    with replacing_all(*paths) as parts:
        for part in reversed(parts):
            part.write_text("new")
    assert order == paths and [p.read_text() for p in paths] == ["new"] * 3


def dies_at(call, work):
    """Do the work in a fork that dies at its n-th call that renames or syncs a file; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = iter(range(call - 1, -1, -1))

    def dying(real):
        return lambda *arguments: real(*arguments) if next(left, 1) else os._exit(9)

    try:
        os.replace, os.fsync = dying(os.replace), dying(os.fsync)
        work()
    finally:
        os._exit(0)


@pytest.mark.parametrize("death", [1, 5, 6, 7, 8, 9, 10])
def test_a_kill_leaves_each_old_or_new_and_the_record_last(tmp_path, death):
    def work():
        with replacing_all(*(tmp_path / name for name in ("file", "folder", "record"))) as parts:
            parts[1].mkdir()
            for part in (parts[0], parts[1] / "inside", parts[2]):
                part.write_text("new")

    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/inside", "record"):
        (tmp_path / name).write_text("old")
    assert dies_at(death, work) == (9 if death < 9 else 0)  # four of each, and one folder more that is put aside
    inside = [*tmp_path.glob("folder/inside"), *tmp_path.glob(".folder.*.old/inside")][0].read_text()
    found = [(tmp_path / "file").read_text(), inside, (tmp_path / "record").read_text()]
    assert found == sorted(found) and (found[-1] == "old") == (death < 9)  # the record is never newer than its files
    assert dies_at(99, work) == 0
    assert names(tmp_path) == ["file", "folder", "record"] and names(tmp_path / "folder") == ["inside"]
    assert {p.read_text() for p in tmp_path.rglob("*") if p.is_file()} == {"new"}


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    path, living = tmp_path / "x[1].txt", os.getppid()
    for process in (DEAD, living):
        beside(path, process=process).write_text("half")
    with replacing(path) as part:
        part.write_text("whole")
    assert names(tmp_path) == sorted([beside(path, process=living).name, "x[1].txt"])


def test_a_folder_where_a_file_belongs_is_told(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="x is a folder where a file is to be written; move or remove it"):
        with replacing(tmp_path / "x") as part:
            part.write_text("new")
    (tmp_path / "y").write_text("")
    with (
        pytest.raises(DataError, match="y is a file where a folder is to be written"),
        replacing(tmp_path / "y") as part,
    ):
        part.mkdir()
    assert names(tmp_path) == ["x", "y"]


def test_a_folder_that_a_dead_process_put_aside_comes_back(tmp_path):
    path = tmp_path / "model"
    beside(path, "old").mkdir()
    with pytest.raises(RuntimeError), replacing(path):
        raise RuntimeError
    assert names(tmp_path) == ["model"]


FULL = (
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("15 requested and 4 written"),  # numpy
    RuntimeError("I/O error: No space left on device (os error 28)"),  # safetensors
)


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_told_with_its_folder_and_nothing_is_lost(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(DiskFull, match=rf"no room in {tmp_path}: more is needed, [\d,.]+ MiB is free .*run the same"):
        with replacing(path):
            raise error
    assert path.read_text() == "old" and names(tmp_path) == ["x.txt"]


def test_too_little_room_is_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_free", lambda folder: 3 << 20)
    enough(tmp_path / "new", 2 << 20)
    with pytest.raises(DiskFull, match=r"no room in .*new: about 5\.0 MiB is needed, 3\.0 MiB is free"):
        enough(tmp_path / "new", 5 << 20)
    with pytest.raises(OSError, match="^other$"), room(tmp_path):  # another error is not renamed
        raise OSError("other")


def test_a_hash_is_made_once_until_the_file_changes(tmp_path, monkeypatch):
    path, opened = tmp_path / "x", []
    path.write_bytes(b"one")
    first = sha256(path)
    monkeypatch.setattr(files, "_SETTLED", -1.0)
    digest = files.hashlib.file_digest
    monkeypatch.setattr(files.hashlib, "file_digest", lambda *a: opened.append(a) or digest(*a))
    assert sha256(path) == sha256(str(path)) == first and len(opened) == 1
    time.sleep(0.02)
    path.write_bytes(b"two")  # as long
    os.utime(path, (1, 1))
    assert sha256(path) != first and len(opened) == 2


def test_a_young_file_is_read_again(tmp_path):
    path = tmp_path / "x"
    found = set()
    for text in (b"one", b"two", b"six"):  # within one tick of a coarse clock
        path.write_bytes(text)
        found.add(sha256(path))
    assert len(found) == 3


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "model").mkdir(parents=True)
    (made / "results.csv").write_text("a,b\n1,2\n")
    np.save(made / "model" / "x.npy", np.arange(3))
    (made / ".hidden").write_text("")
    seal(made / "key.json", {"key": {"rate": 0.1, "names": ("größe",)}})
    return made


def test_a_seal_gives_back_what_it_was_given(folder):
    assert sealed(folder / "key.json") == {"key": {"rate": 0.1, "names": ["größe"]}}
    (folder / ".DS_Store").write_text("a desktop's own")
    assert sealed(folder / "key.json")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[:-3]),
    "emptied": lambda p: p.write_bytes(b""),
    "flipped": flip,
    "removed": os.unlink,
    "renamed": lambda p: p.rename(p.with_name("other")),
    "a folder": lambda p: (p.unlink(), p.mkdir()),
    "appended": lambda p: p.write_bytes(p.read_bytes() + b"\n1,2"),
}


@pytest.mark.parametrize("name", ["results.csv", "model/x.npy", "key.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told_with_the_file_and_the_cure(folder, name, damage):
    DAMAGE[damage](folder / name)
    with pytest.raises(Damaged, match=rf"(is damaged|is missing).*remove {folder}: it is made anew") as told:
        sealed(folder / "key.json")
    assert str(told.value).startswith(str(folder / name))


def test_what_does_not_belong_there_is_told(folder):
    (folder / "model" / "added_tokens.json").write_text("{}")
    with pytest.raises(Damaged, match=r"added_tokens.json does not belong there; remove "):
        sealed(folder / "key.json")


def test_a_list_asks_for_sizes_and_reads_what_it_shows(folder):
    flip(folder / "model" / "x.npy")
    assert sealed(folder / "key.json", only=lambda name: name == "results.csv")
    flip(folder / "results.csv")
    with pytest.raises(Damaged, match="results.csv is damaged"):
        sealed(folder / "key.json", only=lambda name: name == "results.csv")


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"files": {}}', '{"sha256": "0"}', "1"])
def test_a_seal_that_is_none_is_told(folder, text):
    (folder / "key.json").write_text(text, encoding="latin-1")
    with pytest.raises(Damaged, match="key.json is damaged"):
        sealed(folder / "key.json")


def test_what_was_made_before_there_were_seals_is_read(folder):
    (folder / "key.json").write_text(json.dumps({"key": 1}))
    assert sealed(folder / "key.json") == {"key": 1}


def test_tensors_of_a_full_disk_are_told(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    from contrec.artifacts.store import save_tensors

    def full(*arguments, **settings):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(DiskFull, match="no room in"):
        save_tensors(tmp_path / "t.safetensors", {"a": torch.zeros(1)})
