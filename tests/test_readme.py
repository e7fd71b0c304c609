"""What the README shows must run as written."""

from __future__ import annotations

import re

from contrec import paths

README = (paths.root() / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    quick = 'preset="tiny", training__epochs=1, tokenizer__epochs=1'
    small = example.replace('preset="laptop", dataset="lastfm"', quick)
    assert small != example
    small = small.replace('user="2"', "user=split.train.user_ids[0]").replace("progress=True", "progress=False")
    names: dict = {}
    exec(small.replace("recommender.recommend", "found = recommender.recommend"), names)
    assert len(names["found"]) == 10 and set(names["found"].columns) >= {"title", "score", "cosine", "bonus", "text"}


def test_every_file_it_names_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (paths.root() / target).exists(), target


def test_it_names_every_notebook():
    for notebook in paths.notebooks().glob("*.ipynb"):
        assert f"`{notebook.stem}`" in README, notebook.stem


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z0-9]+@", README)
