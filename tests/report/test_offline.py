"""Executed notebooks as pages: nothing is fetched, and formulas are formulas."""

from __future__ import annotations

import re

import nbformat
import pytest

from contrec import paths
from contrec.report import offline


def page(*markdown: str) -> str:
    cells = [nbformat.v4.new_markdown_cell(text) for text in markdown]
    output = nbformat.v4.new_output("display_data", {"text/html": "<b>5</b>"})
    return offline.page(nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell("5", outputs=[output])]))


def fetched(html: str) -> list[str]:
    """Addresses that a browser would ask for by itself."""
    found = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)\s*=\s*[\"']?(?!data:)([^\s\"'>]+)", html)
    return found + re.findall(r"(?:import|from)\s*\(?[\"'](https?:[^\"']+)|url\([\"']?(https?:[^)]+)", html)


def test_a_page_fetches_nothing():
    html = page("# Title", "$x$", "```mermaid\nflowchart LR\n```")
    assert not fetched(html) and "<b>5</b>" in html and "<h1" in html


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (r"$\hat y_0$", 'display="inline"'),
        (r"$$\sum_k a_k$$", 'display="block"'),
        ("\\begin{align}a &= b\\end{align}", "<mtable"),
    ],
)
def test_formulas_are_mathml(typed, shown):
    html = page(f"so {typed} is")
    assert "<math" in html and shown in html and typed not in html


def test_what_is_no_formula_stays():
    assert "<code>$HOME</code>" in page("`$HOME` costs 5$") and "5$" in page("`$HOME` costs 5$")
    assert r"<code>\sqrt</code>" in page(r"$\sqrt$")


def test_every_formula_of_the_notebooks_can_be_read(monkeypatch):
    typed = []
    monkeypatch.setattr(offline, "convert", lambda formula, display: typed.append(formula) or "<math></math>")
    for file in paths.notebooks().rglob("[0-9]*.ipynb"):
        offline.page(nbformat.read(file, as_version=4))
    monkeypatch.undo()
    assert typed
    for formula in typed:
        shown = offline.mathml(formula, "inline")
        assert shown.startswith("<math") and "\\" not in shown, formula  # an unknown command would stay as it is
