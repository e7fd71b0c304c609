"""The runner on a small made notebook; the project's own notebooks are run by nbval."""

import json
import os
import sys

import nbformat
import pytest

from contrec import paths
from contrec.study import runner

DEFAULTS = 'preset = "tiny"  # "tiny" | "laptop"\nseeds = [0, 1]\nrate = -0.5'


def write(path, *cells, parameters=(DEFAULTS,)):
    tagged = [nbformat.v4.new_code_cell(p, metadata={"tags": ["parameters"]}) for p in parameters]
    notebook = nbformat.v4.new_notebook(cells=[*tagged, *(nbformat.v4.new_code_cell(c) for c in cells)])
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    monkeypatch.setattr(paths, "notebooks", lambda: folder)
    return folder


def text_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for c in cells if c.cell_type == "code" for o in c.outputs)


def test_parameters_are_read_with_their_defaults(notebooks):
    assert runner.parameters_of(write(notebooks / "00_a.ipynb")) == {"preset": "tiny", "seeds": [0, 1], "rate": -0.5}


@pytest.mark.parametrize(
    "parameters", [("a = 1 + 1",), ("a = b",), ("import os",), ("a, b = 1, 2",), ("print(1)",), ("a = b = 1",)]
)
def test_parameters_are_literals(notebooks, parameters):
    with pytest.raises(ValueError, match="'name = literal' lines"):
        runner.parameters_of(write(notebooks / "00_a.ipynb", parameters=parameters))


@pytest.mark.parametrize("parameters", [(), ("a = 1", "b = 2")])
def test_there_is_one_parameters_cell(notebooks, parameters):
    with pytest.raises(ValueError, match=f"exactly one cell tagged 'parameters', found {len(parameters)}"):
        runner.parameters_of(write(notebooks / "00_a.ipynb", parameters=parameters))


def test_a_notebook_runs_here_with_its_parameters(notebooks, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "none"))
    write(notebooks / "03_a.ipynb", "import sys, os; print(preset, seeds, rate, sys.executable, os.getcwd())")
    outcome = runner.run_notebook("03", {"seeds": [7], "preset": 'with "quotes"'}, tmp_path / "out")
    assert outcome.error is None and outcome.name == "03_a" and outcome.seconds > 0
    assert text_of(outcome.path).strip() == f'with "quotes" [7] -0.5 {sys.executable} {notebooks}'
    assert outcome.path == tmp_path / "out" / "03_a.ipynb" and "seeds" in outcome.path.with_suffix(".html").read_text()
    assert os.environ["JUPYTER_PATH"] == str(tmp_path / "none")


def test_a_page_shows_the_plain_form_of_a_widget(notebooks, tmp_path):
    write(
        notebooks / "00_a.ipynb",
        "import ipywidgets; from IPython.display import display; slider = ipywidgets.IntSlider(3)",
        "display({**slider._repr_mimebundle_(), 'text/html': '<i>the first state</i>'}, raw=True)",
    )
    outcome = runner.run_notebook("00_a", {}, tmp_path / "out")
    page, view = outcome.path.with_suffix(".html").read_text(), "application/vnd.jupyter.widget-view+json"
    assert "<i>the first state</i>" in page and f'<script type="{view}">' not in page
    assert view in outcome.path.read_text()  # the notebook itself keeps the widget


def test_another_kernel_named_python3_is_not_taken(notebooks, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "other", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write(notebooks / "00_a.ipynb", "print(1)")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "other", "language": "python"}
    nbformat.write(notebook, path)
    assert runner.run_notebook("00_a", {}, tmp_path / "out").error is None


def test_an_unknown_parameter_is_refused_before_anything_runs(notebooks, tmp_path):
    write(notebooks / "00_a.ipynb", "1")
    with pytest.raises(
        ValueError, match=r"00_a has no parameter seed; did you mean 'seeds'\?; its parameters are: preset, seeds, rate"
    ):
        runner.run_notebook("00_a", {"seed": 1}, tmp_path / "out")
    with pytest.raises(
        ValueError, match=r"no notebook has a parameter seed; did you mean 'seeds'\?; there are: preset, rate, seeds"
    ):
        runner.run_all({"seed": 1}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_find_one_notebook(notebooks):
    for name in ("00_a", "01_b", "01_b_more"):
        write(notebooks / f"{name}.ipynb")
    assert runner.find_notebook("00").stem == "00_a" and runner.find_notebook("01_b.ipynb").stem == "01_b"
    assert runner.find_notebook(str(notebooks / "00_a.ipynb")) == notebooks / "00_a.ipynb"
    with pytest.raises(ValueError, match="several notebooks match '01'; there are: 00_a, 01_b, 01_b_more"):
        runner.find_notebook("01")
    with pytest.raises(ValueError, match="no notebook matches '7'"):
        runner.find_notebook("7")


def test_all_run_in_order_and_a_failure_is_told(notebooks, tmp_path):
    write(notebooks / "01_b.ipynb", "print(only)", parameters=("only = 1",))
    write(notebooks / "00_a.ipynb", "print('before')", "raise ValueError('too\\nbad')", "print('after')")
    write(notebooks / "draft.ipynb", "raise SystemError")
    lines = []
    outcomes = runner.run_all({"preset": "laptop", "only": 5}, tmp_path / "out", say=lines.append)
    assert [o.name for o in outcomes] == ["00_a", "01_b"] and outcomes[1].error is None
    assert "ValueError: too bad" in outcomes[0].error
    assert len(lines) == 2 and lines[0].startswith("[1/2] 00_a") and "FAILED in cell" in lines[0]
    assert "min  done" in lines[1] and text_of(outcomes[1].path) == "5\n"
    assert "before" in text_of(outcomes[0].path) and "after" not in text_of(outcomes[0].path)


def test_no_notebooks_is_an_error(notebooks, tmp_path):
    with pytest.raises(ValueError, match="no notebooks in"):
        runner.run_all({}, tmp_path)
