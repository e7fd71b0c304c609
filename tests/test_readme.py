"""What the README shows must run as written."""

from __future__ import annotations

import re

import pytest

from contrec import paths
from contrec.papers.claims import ledger

README = (paths.root() / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    example = python_under("On real data")
    quick = 'preset="tiny", training__epochs=1, tokenizer__epochs=1'
    small = example.replace('preset="laptop", dataset="lastfm"', quick)
    assert small != example
    small = small.replace('user="2"', "user=split.train.user_ids[0]").replace("progress=True", "progress=False")
    names: dict = {}
    exec(small.replace("recommender.recommend", "found = recommender.recommend"), names)
    assert len(names["found"]) == 10 and set(names["found"].columns) >= {"title", "score", "cosine", "bonus", "text"}


def python_under(heading: str) -> str:
    """The Python block of one section."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    return block


def test_a_model_of_ones_own_takes_twenty_lines(capsys):
    example = python_under("Add your own model")
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 20
    names: dict = {}
    exec(example, names)
    printed = capsys.readouterr().out
    assert "HR@10" in printed and "difference" in printed
    # Origin: the planted catalogue, no randomness: HR@10 .31112 (ties averaged); popularity has .0364
    assert names["mine"].metrics()["HR@10"] == pytest.approx(0.31112, abs=1e-5)


def test_every_file_it_names_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (paths.root() / target).exists(), target


def test_it_names_every_notebook():
    for notebook in paths.notebooks().glob("*.ipynb"):
        assert f"`{notebook.stem}`" in README, notebook.stem


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z0-9]+@", README)


def test_the_claims_are_counted_as_it_says():
    says = " ".join(README.split("**The papers against themselves**")[1].split("\n\n")[0].split())
    counts = re.search(r"of (\d+) .*? (\d+) follow .*? (\d+) only .*? (\d+) are", says).groups()
    status = ledger().status.value_counts()
    expected = (status.sum(), *(status[name] for name in ("agrees", "rounding", "contradicted")))
    assert tuple(map(int, counts)) == expected
