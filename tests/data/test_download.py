import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from contrec import paths
from contrec.data import DataError, download, inputs, missing
from contrec.data.download import locate
from contrec.data.loaders import LOADERS
from contrec.data.sources import SOURCES, Source

FILE = "archive.zip"
GOOD = b"PK good bytes" * 1000


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An official address (a local file), an empty data/raw and an empty mirror."""
    remote, raw, mirror = tmp_path / "remote.zip", tmp_path / "data" / "raw", tmp_path / "mirror"
    remote.write_bytes(GOOD)
    mirror.mkdir()
    monkeypatch.setattr(paths, "data_raw", lambda: raw)
    monkeypatch.setattr(paths, "mirror", lambda: mirror)
    monkeypatch.setitem(SOURCES, FILE, Source(remote.as_uri(), (hashlib.sha256(GOOD).hexdigest(),), terms="none"))
    return remote, raw, mirror


def test_download_is_checked_and_moved_into_place(world):
    _, raw, _ = world
    assert locate(FILE).read_bytes() == GOOD
    assert locate(FILE).stat().st_mode & 0o777 == 0o644  # read by all, as a downloaded file is
    assert [p.name for p in raw.iterdir()] == [FILE], "no temporary file is left"


def test_raw_folder_comes_before_mirror_before_download(world):
    remote, raw, mirror = world
    remote.unlink()
    (mirror / FILE).write_bytes(GOOD)
    assert locate(FILE) == mirror / FILE
    raw.mkdir(parents=True)
    (raw / FILE).write_bytes(GOOD)
    assert locate(FILE) == raw / FILE


def test_wrong_download_leaves_nothing(world):
    remote, raw, _ = world
    remote.write_bytes(b"a page that says: moved")
    with pytest.raises(DataError, match=r"archive\.zip.*expected [0-9a-f]{64}, got [0-9a-f]{64}; delete"):
        locate(FILE)
    assert list(raw.iterdir()) == []


def test_interrupted_download_leaves_nothing(world, monkeypatch):
    _, raw, _ = world

    class Broken:
        headers = {"Content-Length": "1000"}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, _size, _parts=[b"half", b""]):
            return _parts.pop(0)

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: Broken())
    with pytest.raises(DataError, match="4 of 1000 bytes arrived.*by hand"):
        locate(FILE)
    monkeypatch.setattr(Broken, "headers", {"Content-Length": "many"})
    with pytest.raises(DataError, match="could not be fetched .*'many'.*by hand"):
        locate(FILE)
    assert list(raw.iterdir()) == []


def test_damaged_local_file_is_named(world):
    _, raw, _ = world
    raw.mkdir(parents=True)
    (raw / FILE).write_bytes(GOOD[:100])
    with pytest.raises(DataError, match="archive.zip at .* is damaged or another version"):
        locate(FILE)


def test_missing_file_says_where_to_get_it(world):
    remote, _, _ = world
    with pytest.raises(DataError, match=r"archive\.zip is not in .*; download file://.*CONTREC_MIRROR"):
        locate(FILE, download=False)
    remote.unlink()
    with pytest.raises(DataError, match=r"archive\.zip could not be fetched .*CONTREC_MIRROR"):
        locate(FILE)


def test_errors_are_one_line(world):
    world[0].unlink()
    with pytest.raises(DataError) as error:
        locate(FILE)
    assert "\n" not in str(error.value)


def test_every_source_is_complete():
    for file, source in SOURCES.items():
        assert source.terms, file
        assert source.url is None or source.url.startswith("https://"), file
        assert all(len(d) == 64 for d in source.sha256), file
        assert not source.pinned or source.sha256, file
    assert {file for file, source in SOURCES.items() if not source.pinned} == {  # official digests are not known
        "reviews_Beauty_5.json.gz", "meta_Beauty.json.gz", "Video_Games_5.json.gz", "meta_Video_Games.json.gz",
        "Software_5.json.gz", "meta_Software.json.gz", "processed/beauty/item_list.txt",
    }  # fmt: skip


def test_inputs_name_what_is_here(world, monkeypatch):
    _, _, mirror = world
    assert inputs("lastfm") == {}
    (mirror / "hetrec2011-lastfm-2k.zip").write_bytes(b"x")
    assert inputs("lastfm") == {"hetrec2011-lastfm-2k.zip": hashlib.sha256(b"x").hexdigest()}


@pytest.mark.parametrize("what", ["nothing", "a file"])
def test_a_mirror_that_is_no_folder_is_one_message(world, monkeypatch, what):
    monkeypatch.undo()
    monkeypatch.setattr(paths, "data_raw", lambda: world[1])
    monkeypatch.setenv("CONTREC_MIRROR", str(world[0] if what == "a file" else world[0].parent / "none"))
    with pytest.raises(DataError, match="CONTREC_MIRROR names no folder.*correct it, or unset it"):
        locate("hetrec2011-lastfm-2k.zip", download=False)


def test_folders_and_files_that_may_not_be_read_are_one_message(world, monkeypatch):
    def forbidden(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    _, raw, _ = world
    raw.mkdir(parents=True)
    (raw / FILE).write_bytes(GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_file", forbidden)
        with pytest.raises(DataError, match=r"archive\.zip cannot be looked for .*Permission denied.*make the folder"):
            locate(FILE)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", forbidden)
        with pytest.raises(DataError, match=r"archive\.zip cannot be read \(Permission denied\); make it readable"):
            locate(FILE)
    (raw / FILE).unlink()
    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(DataError, match=r"archive\.zip could not be fetched .*Permission denied.*CONTREC_MIRROR"):
        locate(FILE)


def test_what_is_missing_is_told_file_by_file(world, monkeypatch):
    remote, raw, _ = world
    monkeypatch.setitem(LOADERS["lastfm"], "raw", replace(LOADERS["lastfm"]["raw"], files=(FILE,)))
    assert missing("lastfm") == [] and (raw / FILE).exists()  # fetched
    (raw / FILE).unlink()
    remote.unlink()
    (told,) = missing("lastfm")
    assert told.startswith(f"lastfm: {FILE} could not be fetched") and "by hand" in told
    assert missing("planted") == [] and missing("table") == []
