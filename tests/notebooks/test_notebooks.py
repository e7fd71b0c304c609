"""The form of every notebook. nbval runs them (make test) and compares the cells tagged nbval-check-output."""

import ast
import json
import re

import nbformat
import pytest

from contrec import paths
from contrec.report.notebooks import all_notebooks
from contrec.report.parameters import declared, parameters_of

NOTEBOOKS = all_notebooks()
SHOWS_TEXTS = ("09_case_studies", "10_your_own_data")  # ids, titles and messages from outside in tables of their own


def problems(path) -> list[str]:
    """What is wrong with the form of a notebook; empty where nothing is."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [("".join(c["source"]), c) for c in cells if c["cell_type"] == "code"]
    found = []
    try:
        for name, (value, kind) in declared(path).items():
            if "=" in str(value):  # papermill splits lines at "="
                found.append(f"parameter {name}: no '=' in a default")
            if kind == "literal":  # so that a text given for it stays text
                found.append(f"parameter {name}: name its kind, such as '{name}: str = None'")
    except ValueError as error:
        found.append(str(error))
    if not cells or cells[0]["cell_type"] != "markdown" or not "".join(cells[0]["source"]).startswith("# "):
        found.append("the first cell must be Markdown with a title")
    for number, (source, cell) in enumerate(code, 1):
        try:
            tree = ast.parse(source)
        except SyntaxError:
            found.append(f"code cell {number}: no plain Python (line magic or shell line?)")
            continue
        if any(isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)) for n in ast.walk(tree)):
            found.append(f"code cell {number}: definitions belong into the package")
        if ".style" in source and path.stem in SHOWS_TEXTS and 'escape="html"' not in source:
            found.append(f"code cell {number}: a styled table must escape what it shows")
        if re.search(r"""["'](/|~/|[A-Za-z]:\\)\w""", source):
            found.append(f"code cell {number}: absolute path")
        if cell["execution_count"] is None:
            found.append(f"code cell {number}: not executed, so nbval compares nothing")
        if "nbval-check-output" in cell["metadata"].get("tags", []) and not cell["outputs"]:
            found.append(f"code cell {number}: nothing stored to check")
        if any(o["output_type"] == "error" for o in cell["outputs"]):
            found.append(f"code cell {number}: a stored error")
    if not any("nbval-check-output" in c["metadata"].get("tags", []) for _, c in code):
        found.append("no cell tagged nbval-check-output")
    if re.search(r"/(home|root|Users|work|tmp)/", json.dumps([c.get("outputs", []) for _, c in code])):
        found.append("a stored output shows a path of one machine")
    return found


def test_there_are_notebooks():
    assert NOTEBOOKS
    assert sorted(paths.notebooks().glob("*.ipynb")) == NOTEBOOKS  # all are numbered, so that every one is run


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_form(path):
    assert problems(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_defaults_need_no_data_and_no_gpu(path):
    defaults = parameters_of(path)
    assert defaults.get("preset", "tiny") == "tiny" and defaults.get("dataset", "planted") == "planted"


def of(path) -> list[tuple[str, str, dict]]:
    """Kind, source and metadata of a notebook's cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"]), cell["metadata"]) for cell in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_numbered_notebooks_can_be_read_in_one_go(path):
    """12 to 20 cells: the question, what decides, the steps, a closing cell whose numbers are computed, a question."""
    cells = of(path)
    assert 12 <= len(cells) <= 20
    code = [
        (place, source, about.get("tags", [])) for place, (kind, source, about) in enumerate(cells) if kind == "code"
    ]
    assert next(place for place, _, tags in code if "report" in tags) <= 7, "the answer comes late"
    assert "words.closing(" in code[-1][1]
    assert code[-1][0] >= len(cells) - 2, "the closing sentences stand near the end"
    assert any("redict, then" in source for kind, source, _ in cells if kind == "markdown")


@pytest.mark.parametrize("place", range(len(NOTEBOOKS)), ids=lambda n: NOTEBOOKS[n].stem)
def test_the_reading_chain_has_no_gap(place):
    """Each ends with a link to the next one; the last says that it is the end."""
    last = of(NOTEBOOKS[place])[-1][1]
    if place + 1 < len(NOTEBOOKS):
        following = NOTEBOOKS[place + 1]
        assert f"Next: [{following.stem}]({following.name})" in last
    else:
        assert "Next:" not in last and "end of the chain" in last
    for target in re.findall(r"\]\(([^)#:]+\.ipynb)\)", last):
        assert (paths.notebooks() / target).is_file(), target


def test_the_case_browser_is_near_the_top():
    cells = of(paths.notebooks() / "09_case_studies.ipynb")
    assert next(place for place, (_, source, _) in enumerate(cells) if "widgets.Browser(" in source) <= 8


def good() -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("stream", text="1\n")
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# A question"),
            nbformat.v4.new_code_cell("k = 3", execution_count=1, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(
                "print(1)", execution_count=2, outputs=[output], metadata={"tags": ["nbval-check-output"]}
            ),
        ]
    )


def test_a_good_notebook_passes(tmp_path):
    nbformat.write(good(), tmp_path / "n.ipynb")
    assert problems(tmp_path / "n.ipynb") == []


@pytest.mark.parametrize(
    ("cell", "change", "message"),
    [
        (0, {"source": "no title"}, "title"),
        (1, {"source": "k = 1 + 2"}, "literal"),
        (1, {"source": "k = 'a=b'"}, "no '='"),
        (1, {"source": "k = None"}, "name its kind"),
        (1, {"metadata": {}}, "exactly one cell"),
        (2, {"source": "%matplotlib inline"}, "line magic"),
        (2, {"source": "!ls"}, "line magic"),
        (2, {"source": "def f(): pass"}, "definitions"),
        (2, {"source": "open('/data/x')"}, "absolute path"),
        (2, {"execution_count": None}, "not executed"),
        (2, {"outputs": []}, "nothing stored"),
        (2, {"outputs": [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]}, "stored error"),
        (2, {"outputs": [nbformat.v4.new_output("stream", text="/home/me/x")]}, "one machine"),
        (2, {"metadata": {}}, "no cell tagged"),
    ],
)
def test_each_fault_is_found(tmp_path, cell, change, message):
    notebook = good()
    notebook.cells[cell].update({k: nbformat.from_dict(v) for k, v in change.items()})
    nbformat.write(notebook, tmp_path / "n.ipynb")
    found = problems(tmp_path / "n.ipynb")
    assert len(found) == 1 and message in found[0]


@pytest.mark.parametrize("name", SHOWS_TEXTS)
def test_a_styled_table_of_texts_is_escaped(tmp_path, name):
    notebook = good()
    notebook.cells[2].source = 'frame.style.hide(axis="index")'
    nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    assert problems(tmp_path / f"{name}.ipynb") == ["code cell 2: a styled table must escape what it shows"]
