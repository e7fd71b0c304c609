"""The concept notebooks: the method by hand, held against the package. nbval runs them (make test)."""

import json
import re

import pytest

from contrec import paths

CONCEPTS = sorted((paths.notebooks() / "concepts").glob("*.ipynb"))


def problems(path) -> list[str]:
    """What is wrong with the form of a concept notebook; empty where nothing is."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    words = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    found = []
    if not words.startswith("# "):
        found.append("the first cell must be Markdown with a title")
    if not any("assert_close" in source for source in code):
        found.append("no line of the student's is held against the package's")
    if any(re.search(r"\bstudy\b", source) for source in code):
        found.append("the method needs no study")
    if (asked := words.count("**Predict, then run:**")) != 2 or words.count("<details>") != asked:
        found.append(f"two questions with a folded answer are wanted, found {asked}")
    if any(c["cell_type"] == "code" and c["execution_count"] is None for c in cells):
        found.append("a cell was not executed, so nbval compares nothing")
    if not any("nbval-check-output" in c["metadata"].get("tags", []) for c in cells):
        found.append("no cell tagged nbval-check-output")
    if not re.search(r"^Next: ", words, re.MULTILINE):
        found.append("it must say what comes next")
    return found


def test_there_are_concepts():
    assert [path.stem[0] for path in CONCEPTS] == [str(n) for n in range(1, len(CONCEPTS) + 1)] != []


@pytest.mark.parametrize("path", CONCEPTS, ids=lambda p: p.stem)
def test_form(path):
    assert problems(path) == []
