"""No committed figure and no recorded run without the record of where it comes from."""

import json
import subprocess
from dataclasses import dataclass

import pytest

from contrec import paths
from contrec.artifacts import provenance
from contrec.artifacts.fingerprint import fingerprint


@dataclass(frozen=True)
class Settings:
    n_tokens: int = 3


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A made project with one input."""
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in.csv").write_text("a\n1\n")
    return tmp_path


def _write(project):
    entry = provenance.record(
        Settings(), dataset="planted", inputs=[project / "data/in.csv"], seeds=[0, 1], rows={"users": 5}, seconds=1.234
    )
    figure = {project / f"figures/fig1.{e}": lambda part, e=e: part.write_text(e) for e in ("svg", "png")}
    return provenance.write(figure, entry)


def test_committed_results_have_their_records():
    listed = subprocess.run(
        ["git", "-C", str(paths.root()), "ls-files", "figures", "data/reproduced"], capture_output=True, text=True
    ).stdout.splitlines()
    endings = (*provenance.FIGURE_ENDINGS, ".csv")
    wrong = [p for name in listed if name.endswith(endings) for p in provenance.problems(paths.root() / name)]
    assert not wrong, "\n".join(wrong)


def test_a_record_has_every_field_and_passes(project):
    path = _write(project)
    entry = json.loads(path.read_text())
    assert path.name == "fig1.json" and list(entry) == list(provenance.FIELDS)
    assert entry["fingerprint"] == fingerprint(Settings()) and entry["config"] == {"n_tokens": 3}
    assert set(entry["outputs"]) == {"figures/fig1.svg", "figures/fig1.png"}
    digest = "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc"  # origin: printf 'a\n1\n' | sha256sum
    assert entry["dataset"] == {"name": "planted", "files": {"data/in.csv": digest}}
    assert entry["seconds"] == 1.2 and entry["seeds"] == [0, 1] and "torch" in entry["versions"]
    assert provenance.problems(project / "figures/fig1.svg") == []
    assert provenance.problems(project / "figures/fig1.png") == []


def test_hashes_of_inputs_may_be_given(project):
    assert provenance.record({}, dataset="lastfm raw", inputs={"a.zip": "77b0"})["dataset"]["files"] == {
        "a.zip": "77b0"
    }


def test_a_figure_without_a_record_is_found(project):
    (project / "figures/fig1.svg").write_text("svg")
    assert "no record fig1.json" in provenance.problems(project / "figures/fig1.svg")[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("figures/fig1.svg", "hash is not"), ("figures/fig1.png", "png has changed"), ("data/in.csv", "csv has changed")],
)
def test_a_changed_output_or_input_is_found(project, name, message):
    _write(project)
    (project / name).write_text("other")
    found = provenance.problems(project / "figures/fig1.svg")
    assert len(found) == 1 and message in found[0]


def test_a_missing_field_is_found(project):
    path = _write(project)
    entry = json.loads(path.read_text())
    del entry["seeds"]
    path.write_text(json.dumps(entry))
    assert provenance.problems(project / "figures/fig1.svg") == ["fig1.json: no seeds"]


def test_revision_tells_a_clean_tree(tmp_path):
    def git(*arguments):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    assert provenance.revision(tmp_path) == {"commit": None, "clean": None}
    git("init")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "x")
    assert provenance.revision(tmp_path)["clean"] is True and len(provenance.revision(tmp_path)["commit"]) == 40
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "new.svg").write_text("results do not count")
    assert provenance.revision(tmp_path)["clean"] is True
    (tmp_path / "code.py").write_text("2")
    assert provenance.revision(tmp_path)["clean"] is False


def test_show_prints_one_line(capsys):
    provenance.show(Settings(), dataset="77b0e2")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.startswith(f"config {fingerprint(Settings())}  data 77b0e2  revision ")
