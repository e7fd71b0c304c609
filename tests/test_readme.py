"""What the README and FINDINGS.md say must be so, and what they show must run."""

from __future__ import annotations

import json
import re

import pytest

from contrec import paths
from contrec.cli.parser import parser
from contrec.evaluation import paired_bootstrap
from contrec.report import findings, summary
from contrec.study import words

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
    assert len(section("Known gaps").strip().split("\n- ")) == 4


def test_its_results_are_the_recorded_ones():
    assert summary.markdown(summary.results_table()) + "\n" == tables(README)[0]
    assert summary.markdown(summary.claims_table()) + "\n" == tables(section("Claims"))[0]


def test_findings_are_the_recorded_ones():
    """If they are not: `contrec findings` writes them."""
    assert findings.page() == (paths.root() / "FINDINGS.md").read_text(encoding="utf-8")


def test_the_answer_is_computed(monkeypatch):
    first, second = summary.answer()
    assert "finds .1143" in first and "EASE with tags with .1182" in first and "level with the highest" in first
    assert second.startswith("Neither") and "its user token alone has .1201" in second
    assert second.endswith("Detectable were 1.4, 0.3, 1.4 points.")
    other = {"difference": -5.0, "low": -6.0, "high": -4.0, "detectable": 1.0}
    monkeypatch.setattr(summary, "difference", lambda model, against: other)
    first, second = summary.answer()
    assert "behind the highest baseline" in first and "ahead in 0 of 22, level in 0, behind in 22" in first
    assert second.startswith("Its user token alone, ") and "a head without diffusion is behind it: " in second
    assert summary.opening().startswith(
        "On LastFM it is ahead of 0 of the 22 plain baselines run here, behind EASE with tags, "
    )
    monkeypatch.setattr(summary, "RUN", "no_such_run")
    assert summary.answer() == [] and summary.opening() == ""


def test_its_first_sentence_is_the_recorded_answer():
    plain = " ".join(README.split())
    assert f"really recommend well?** {summary.opening()}" in plain


def test_what_the_point_estimate_contains_is_said_where_its_number_stands(monkeypatch):
    says = "point estimate contains no diffusion at inference: with the direct head the noise has weight 0."
    assert says in " ".join(README.split("## The model")[0].split()) and says in summary.estimate()
    assert says in summary.answer()[0] and f"\n\n{summary.estimate()}\n" in (paths.root() / "FINDINGS.md").read_text()
    about = json.loads((paths.reproduced() / f"{summary.RUN}.json").read_text())
    about["config"]["recommender"]["estimate"] = "sample"
    monkeypatch.setattr(summary.json, "loads", lambda text: about)
    assert summary.estimate() == ""


def test_a_lead_is_over_the_baseline_that_is_named():
    """The run has floors of its own, with other settings than the grid's, which the table shows."""
    (best,) = words.of_model(summary.kept(), "ease/tags")
    shown = summary.results_table()
    row = shown[shown.iloc[:, 0].str.startswith("EASE with tags")].iloc[0]
    assert row["HR@10"].startswith(summary.rate(best.metrics()["HR@10"]))
    whole = words.of_model(summary.kept(), "contrec")
    assert summary.difference("contrec", "ease/tags") == paired_bootstrap(whole, [best], "HR@10")


def test_what_a_trained_head_adds_on_software_is_in_the_table():
    """Origin: data/reproduced, the same difference in FINDINGS.md, with the sign of the part."""
    rows = summary.results_table().set_index("LastFM, unless said")["HR@10"]
    assert rows["Software, DeftRec `tuned` minus its user token, points"].startswith("+2.25 [+1.13, +3.33]")
    assert rows["Software, ContRec `tuned` minus its user token, points"].startswith("+1.90 [+0.64, +3.14]")
    assert rows["its mean of 32 draws: the diffusion"].startswith(".0898 [")


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
