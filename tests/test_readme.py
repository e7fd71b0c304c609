"""What the README and FINDINGS.md say must be so, and what they show must run."""

from __future__ import annotations

import re

import pytest

from contrec import paths
from contrec.cli.parser import parser
from contrec.report import findings, summary

README = (paths.root() / "README.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return README.split(f"## {heading}\n")[1].split("\n## ")[0]


def tables(text: str) -> list[str]:
    """The tables of Markdown."""
    return re.findall(r"(?:^\|.*\|\n)+", text, flags=re.M)


def test_it_is_read_in_one_go():
    assert len(README.splitlines()) <= 120
    words = [cell.strip() for row in tables(section("Claims"))[0].splitlines() for cell in row.strip("|").split("|")]
    assert max(len(cell.split()) for cell in words) <= 12
    assert len(section("Known gaps").strip().split("\n- ")) == 5


def test_its_results_are_the_recorded_ones():
    assert summary.markdown(summary.results_table()) + "\n" == tables(README)[0]
    assert summary.markdown(summary.claims_table()) + "\n" == tables(section("Claims"))[0]


def test_findings_are_the_recorded_ones():
    """If they are not: `contrec findings` writes them."""
    assert findings.page() == (paths.root() / "FINDINGS.md").read_text(encoding="utf-8")


def test_the_answer_is_computed(monkeypatch):
    first, second = summary.answer()
    assert "finds .1143" in first and "EASE with .1008" in first and "above the best baseline" in first
    assert second.startswith("But neither") and "its user token alone has .1201" in second
    other = {"difference": -5.0, "low": -6.0, "high": -4.0}
    monkeypatch.setattr(summary, "difference", lambda model, against: other)
    first, second = summary.answer()
    assert "below the best baseline" in first
    assert second.startswith("What is lost") and second.endswith("a head without diffusion is worse beyond noise.")
    monkeypatch.setattr(summary, "RUN", "no_such_run")
    assert summary.answer() == []


def test_every_command_it_names_is_there():
    named = set(re.findall(r"(?:`|\n)contrec ([a-z]+)", README))
    assert named >= {"study", "fill", "recommend", "claims", "run"}
    for command in named:
        with pytest.raises(SystemExit) as shown:
            parser().parse_args([command, "--help"])
        assert shown.value.code == 0, command
    kinds = re.search(r"contrec fill ([a-z|]+)", README)[1].split("|")
    for kind in kinds:
        assert parser().parse_args(["fill", kind]).kind == kind


def test_every_file_it_names_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (paths.root() / target).exists(), target


def test_it_names_every_notebook_and_every_room():
    for notebook in paths.notebooks().rglob("[0-9]*.ipynb"):
        assert f"{notebook.stem}`" in README, notebook.stem
    rooms = [folder.name for folder in (paths.root() / "contrec").iterdir() if (folder / "__init__.py").is_file()]
    for room in rooms:
        assert re.search(rf"\b{room}\b", section("The house")), room


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z0-9]+@", README)
