"""Every file of hostile.py is read rightly, or refused in one message that names it and shows no row."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from contrec.data import DataError, load

HOSTILE = runpy.run_path(str(Path(__file__).with_name("hostile.py")))
ENTRIES = HOSTILE["ENTRIES"]


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_each_file_is_read_or_told(entry, tmp_path):
    message, found = HOSTILE["outcome"](entry, tmp_path)
    if entry.message is None:
        assert not message
        interactions, catalogue = found
        assert (len(interactions), interactions.n_users, interactions.n_items) == entry.counts
        assert entry.look is None or entry.look(interactions, catalogue) == entry.seen
        return
    assert re.search(entry.message, message), message
    assert HOSTILE["SECRET"] not in message and len(message) < 300 and "\n" not in message
    made = sorted(file.name for file in tmp_path.iterdir())
    settings = message.startswith(("core must", "user must", "user and"))
    assert (
        settings
        or not made
        or any(name in message for name in made)
        or "does not exist" in message
        or tmp_path.name in message
    )


def test_there_are_many_of_each_kind():
    assert len(ENTRIES) >= 200 and len({entry.name for entry in ENTRIES}) == len(ENTRIES)


def test_spoiled_files_are_read_or_told(tmp_path):
    random = np.random.default_rng(0)
    made = []
    for n, name in enumerate(
        ("all cells quoted", "JSON lines", "gzip", "timestamp[us]", "MovieLens", "RecBole", "Feather")
    ):
        (tmp_path / str(n)).mkdir()
        file = next(entry for entry in ENTRIES if entry.name == name).make(tmp_path / str(n))
        made.append(file if isinstance(file, tuple) else (file, {}))
    good = [path.read_bytes() for path, _ in made]
    for _ in range(40):
        for (path, keywords), data in zip(made, good):
            at, stop = np.sort(random.integers(0, len(data), 2)).tolist()
            stop = (at, at + 1, stop)[random.integers(3)]
            piece = (b'"', b"\n", b",", b"\t", b"\xe9", b"}", b"", b"9", b"\0")[random.integers(9)]
            path.write_bytes(data[:at] + piece + data[stop:])
            try:
                load("table", path=path, **keywords)
            except DataError as error:
                assert path.name in str(error) and HOSTILE["SECRET"] not in str(error)
