"""What a reader follows and takes along: links that lead somewhere, and sentences that nobody typed."""

import json
import re

import pytest

from contrec import paths
from contrec.report.notebooks import all_notebooks

NOTEBOOKS = all_notebooks()
CONCEPTS = sorted((paths.notebooks() / "concepts").glob("*.ipynb"))


def cells(path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def words(path) -> str:
    return "\n".join("".join(c["source"]) for c in cells(path, "markdown"))


def links(path) -> set:
    """Files that a notebook's text links to."""
    found = re.findall(r"\]\(([^)#:]+\.ipynb)\)", words(path))
    return {(path.parent / target).resolve() for target in found}


def closing(path) -> list[str]:
    """The stored sentences of the last code cell."""
    texts = [o.get("text") or o["data"]["text/plain"] for o in cells(path, "code")[-1]["outputs"]]
    return "".join("".join(text) for text in texts).strip().splitlines()


def typed(text: str) -> list[str]:
    """Rates and shares in a text: .1653, 0.05, 12.5 %."""
    return re.findall(r"(?<![\w.])(?:\d*\.\d{2,}(?!\w|\.\d)|\d+(?:\.\d+)? ?%)", text)


@pytest.mark.parametrize("path", [*NOTEBOOKS, *CONCEPTS], ids=lambda p: p.stem)
def test_links_lead_to_notebooks(path):
    assert {target.name for target in links(path) if not target.is_file()} == set()


def test_each_concept_is_linked_where_it_is_used():
    linked = set().union(*map(links, NOTEBOOKS))
    assert [path.stem for path in CONCEPTS if path.resolve() not in linked] == []
    assert {path.resolve() for path in CONCEPTS} <= links(paths.notebooks() / "00_quickstart.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_closing_is_short_and_nobody_typed_its_numbers(path):
    assert 2 <= len(closing(path)) <= 5
    assert typed("".join(cells(path, "markdown")[-1]["source"])) == []
    assert typed("".join(cells(path, "code")[-1]["source"])) == []


def test_typed_numbers_are_found():
    assert typed("LastFM .1008 [.09, .11] against 0.0539, 18 % of them") == [".1008", ".09", ".11", "0.0539", "18 %"]
    assert typed("`{x:.2f} {x:.0%}`, torch 2.13.0, Eq. (22), 03_training, π = 0, 20 trials, K=3") == []
