import gzip
import hashlib
import zipfile

import pytest

from contrec import paths
from contrec.data import DataError, download, inputs
from contrec.data.download import locate, read_json_lines, read_member
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


def test_truncated_archives_are_data_errors(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("member", "text " * 1000)
    assert read_member(path, "member").startswith("text")
    with pytest.raises(DataError, match="nothing"):
        read_member(path, "nothing")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="fetch it again"):
        read_member(path, "member")
    lines = tmp_path / "a.json.gz"
    lines.write_bytes(gzip.compress(b'{"a": 1}\n' * 5000)[:-20])
    with pytest.raises(DataError, match=r"a\.json\.gz, line \d+"):
        list(read_json_lines(lines))


def test_json_lines_and_python_literals(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{\"a\": true}\n\n{'a': ['x', None]}\n")
    assert list(read_json_lines(path)) == [{"a": True}, {"a": ["x", None]}]
    path.write_text("{'a': __import__('os').getcwd()}\n")
    with pytest.raises(DataError, match="line 1"):
        list(read_json_lines(path))


def test_every_source_is_complete():
    for file, source in SOURCES.items():
        assert source.terms, file
        assert source.url is None or source.url.startswith("https://"), file
        assert all(len(d) == 64 for d in source.sha256), file
        assert not source.pinned or source.sha256, file


def test_inputs_name_what_is_here(world, monkeypatch):
    _, _, mirror = world
    assert inputs("planted") == {}
    assert inputs("lastfm") == {}
    (mirror / "hetrec2011-lastfm-2k.zip").write_bytes(b"x")
    assert inputs("lastfm") == {"hetrec2011-lastfm-2k.zip": hashlib.sha256(b"x").hexdigest()}
