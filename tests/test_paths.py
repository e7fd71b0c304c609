"""Folders are found from the package, not from where the program was started."""

import pytest

from contrec import paths


def test_root_does_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    here = paths.root()
    monkeypatch.chdir(tmp_path)
    assert paths.root() == here and (here / "contrec" / "paths.py").samefile(paths.__file__)
    assert paths.notebooks() == here / "notebooks" and paths.published() == here / "data" / "published"


def test_root_upwards_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site" / "contrec" / "paths.py"))  # installed without -e
    (tmp_path / "project" / "contrec").mkdir(parents=True)
    (tmp_path / "project" / "notebooks").mkdir()
    (tmp_path / "project" / "pyproject.toml").write_text("")
    (tmp_path / "project" / "contrec" / "paths.py").write_text("")
    monkeypatch.chdir(tmp_path / "project" / "notebooks")
    assert paths.root() == tmp_path / "project"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no contrec project"):
        paths.root()


def test_mirror_and_artifacts_follow_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("CONTREC_MIRROR", raising=False)
    monkeypatch.delenv("CONTREC_ARTIFACTS", raising=False)
    assert paths.mirror() is None and paths.artifacts() == paths.root() / "artifacts"
    monkeypatch.setenv("CONTREC_MIRROR", str(tmp_path))
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "new"))
    assert paths.mirror() == tmp_path and paths.artifacts() == tmp_path / "new"
    monkeypatch.setenv("CONTREC_MIRROR", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="CONTREC_MIRROR names no folder"):
        paths.mirror()


def test_a_relative_path_starts_in_the_folder_that_is_worked_in(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "2024.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "data" / "2024.csv")
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.absolute("2024.csv") == tmp_path / "data" / "2024.csv"
    assert paths.absolute("../link.csv") == tmp_path / "link.csv"  # a link keeps its name
    assert paths.absolute("~/link.csv") == tmp_path / "link.csv" and paths.absolute("/x/../y") == paths.absolute("/y")
    assert paths.absolute("~nobody_is_called_so/x") == tmp_path / "data" / "~nobody_is_called_so" / "x"


def test_another_process_is_told_absolute_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTREC_ARTIFACTS", "mine")
    monkeypatch.delenv("CONTREC_MIRROR", raising=False)
    assert paths.artifacts() == tmp_path / "mine"
    assert paths.environment() == {"CONTREC_ARTIFACTS": str(tmp_path / "mine")}


def test_artifacts_do_not_go_into_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match="file is a file; correct CONTREC_ARTIFACTS"):
        paths.artifacts()
