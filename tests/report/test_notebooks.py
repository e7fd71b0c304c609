"""The runner on a small made notebook; the project's own notebooks are run by nbval."""

import json
import os
import re
import sys

import nbformat
import pytest

from contrec import paths
from contrec.report import notebooks as runner
from contrec.report.parameters import parameters_of, read_parameters

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
    assert parameters_of(write(notebooks / "00_a.ipynb")) == {"preset": "tiny", "seeds": [0, 1], "rate": -0.5}


@pytest.mark.parametrize(
    "parameters", [("a = 1 + 1",), ("a = b",), ("import os",), ("a, b = 1, 2",), ("print(1)",), ("a = b = 1",)]
)
def test_parameters_are_literals(notebooks, parameters):
    with pytest.raises(ValueError, match="'name = literal' lines"):
        parameters_of(write(notebooks / "00_a.ipynb", parameters=parameters))


def test_a_text_is_read_by_the_kind_of_its_parameter(notebooks):
    lines = (
        "user: str = None\nmodels: list[str] = None\nepochs: int = None\nfill: bool = None\nany = None\n"
        "name = 'a'\nrate = 0.5\nseeds = [0]"
    )
    path = write(notebooks / "00_a.ipynb", parameters=(lines,))
    assert parameters_of(path)["user"] is None and parameters_of(path)["seeds"] == [0]
    for given in ("1_2", "1e3", "0x1F", "007", "True", "None", "[1]", "'", ""):
        assert read_parameters(path, [("user", given), ("name", given)]) == {"user": given, "name": given}
    others = {"models": ["ease", "mf"], "epochs": 3, "rate": 1.0, "fill": True, "seeds": [1, 2], "any": [1]}
    texts = {"models": "ease,mf", "epochs": "3", "rate": "1", "fill": "True", "seeds": "1,2", "any": "[1]"}
    assert read_parameters(path, texts.items()) == others
    assert read_parameters(path, [("epochs", "None"), ("models", "None")]) == {"epochs": None, "models": None}


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("epochs", "1_2", "00_a: epochs wants a whole number, got '1_2'"),
        ("seeds", "x", "00_a: seeds wants whole numbers separated by commas, or a list of them, got 'x'"),
        ("fill", "yes", "00_a: fill wants True or False, got 'yes'"),
        ("rate", "None", "00_a: rate wants a number, got 'None'"),
        ("seed", "1", "00_a has no parameter seed; did you mean 'seeds'"),
        ("no_such", "1", "00_a has no parameter no_such; its parameters are: epochs, fill, seeds, rate"),
    ],
)
def test_a_text_that_is_not_of_its_kind_is_told(notebooks, name, given, message):
    path = write(
        notebooks / "00_a.ipynb", parameters=("epochs: int = None\nfill: bool = None\nseeds = [0]\nrate = 0.5",)
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_parameters(path, [(name, given)])


@pytest.mark.parametrize(
    "parameters", [("a: nothing = 1",), ("a: str",), ("a.b = 1",), ("a: int = b",), ("a = {1: [}",)]
)
def test_parameters_name_a_known_kind(notebooks, parameters):
    with pytest.raises(ValueError, match="00_a.ipynb: "):
        parameters_of(write(notebooks / "00_a.ipynb", parameters=parameters))


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", "{}", '{"cells": 1}', '{"cells": [1]}', '{"cells": [{}]}', "[" * 9999]
)
def test_a_damaged_notebook_is_named(notebooks, damaged):
    notebooks.mkdir()
    (notebooks / "00_a.ipynb").write_text(damaged)
    with pytest.raises(ValueError, match="00_a.ipynb is no notebook, or is damaged .*; restore it"):
        parameters_of(notebooks / "00_a.ipynb")


def test_a_notebook_of_another_form_is_named(notebooks, tmp_path):
    path = write(notebooks / "00_a.ipynb", "1")
    cells = json.loads(path.read_text())
    del cells["cells"][1]["outputs"], cells["metadata"]
    path.write_text(json.dumps(cells))
    with pytest.raises(ValueError, match="00_a.ipynb is damaged"):
        runner.run_notebook("00_a", {}, tmp_path / "out")


@pytest.mark.parametrize("parameters", [(), ("a = 1", "b = 2")])
def test_there_is_one_parameters_cell(notebooks, parameters):
    with pytest.raises(ValueError, match=f"exactly one cell tagged 'parameters', found {len(parameters)}"):
        parameters_of(write(notebooks / "00_a.ipynb", parameters=parameters))


def test_a_notebook_runs_here_with_its_parameters(notebooks, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "none"))
    write(notebooks / "03_a.ipynb", "import sys, os; print(preset, seeds, rate, sys.executable, os.getcwd())")
    outcome = runner.run_notebook("03", {"seeds": [7], "preset": 'with "quotes"'}, tmp_path / "out")
    assert outcome.error is None and outcome.name == "03_a" and outcome.seconds > 0
    assert text_of(outcome.path).strip() == f'with "quotes" [7] -0.5 {sys.executable} {notebooks}'
    assert outcome.path == tmp_path / "out" / "03_a.ipynb" and "seeds" in outcome.path.with_suffix(".html").read_text()
    assert os.environ["JUPYTER_PATH"] == str(tmp_path / "none")


STRANGE = ["'", '"', "a\nb", "\\", "é 漢 \u202e", "{x}", "{{", "#", '\'"""\'', "$(ls)", "=", "1_2", "\x1b[31m", "\t"]


def test_strange_texts_and_folders_arrive_as_they_are(notebooks, tmp_path, monkeypatch):
    """In one kernel: texts, relative files and folders of the caller, "~", a folder with braces."""
    work = tmp_path / "work {x}"
    work.mkdir()
    monkeypatch.chdir(work)
    for name, value in {"CONTREC_ARTIFACTS": "mine", "CONTREC_MIRROR": "~/mirror", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    write(
        notebooks / "03_a.ipynb",
        "import json, os; from contrec import paths",
        "print(json.dumps([texts, path, items_path, str(paths.artifacts()), os.environ['CONTREC_MIRROR']]))",
        parameters=("texts = ['a']\npath: str = None\nitems_path: str = None",),
    )
    given = {"texts": STRANGE, "path": "my.csv", "items_path": "~/movies.csv"}
    outcome = runner.run_notebook("03", given, work / "out")
    assert outcome.error is None
    files = [str(work / "my.csv"), str(tmp_path / "movies.csv"), str(work / "mine"), str(tmp_path / "mirror")]
    assert json.loads(text_of(outcome.path)) == [STRANGE, *files]
    assert os.environ["CONTREC_ARTIFACTS"] == "mine" and outcome.path.parent == work / "out"


def test_a_kernel_that_is_killed_is_told(notebooks, tmp_path):
    write(notebooks / "00_a.ipynb", "print('before')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    outcome = runner.run_notebook("00_a", {}, tmp_path / "out")
    assert "its kernel: Kernel died" in outcome.error and "before" in text_of(outcome.path)


def test_a_kernel_that_does_not_start_is_told(notebooks, tmp_path, monkeypatch):
    write(notebooks / "00_a.ipynb", "1")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "its kernel: Kernel died" in runner.run_notebook("00_a", {}, tmp_path / "out").error


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


def test_two_at_a_time_have_one_thread_each_and_keep_their_order(notebooks, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    meet = (
        "import os, pathlib, time\npathlib.Path(mine).touch()\nwhile not pathlib.Path(other).exists(): time.sleep(0.01)"
    )
    for name, mine, other in (("00_a", "a", "b"), ("01_b", "b", "a")):  # alone, each would wait for ever
        own = f"mine = {mine!r}\nother = {other!r}"
        write(notebooks / f"{name}.ipynb", meet, "print(os.environ['OMP_NUM_THREADS'])", parameters=(own,))
    lines = []
    outcomes = runner.run_all({}, tmp_path / "out", workers=2, say=lines.append)
    assert [(o.name, o.error) for o in outcomes] == [("00_a", None), ("01_b", None)]
    assert [text_of(o.path) for o in outcomes] == ["1\n", "1\n"]
    assert [line[:5] for line in lines] == ["[1/2]", "[2/2]"] and os.environ["OMP_NUM_THREADS"] == "3"


def test_no_notebooks_is_an_error(notebooks, tmp_path):
    with pytest.raises(ValueError, match="no notebooks in"):
        runner.run_all({}, tmp_path)
