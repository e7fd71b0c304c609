"""The command line: what each subcommand asks of the package, and one line for each mistake."""

import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import types
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from contrec import cli, data, paths
from contrec.artifacts.store import Store
from contrec.checks import DataError
from contrec.cli import make, text
from contrec.data import download, table
from contrec.files import seal
from contrec.report import notebooks, page
from contrec.report.notebooks import Outcome
from contrec.report.parameters import parameters_of


@pytest.fixture
def runs(monkeypatch):
    """A stand-in for the module of runs that keeps what it was asked."""
    module = types.ModuleType("contrec.study.evaluating")
    module.asked = []
    frame = pd.DataFrame({"item": ["a", "b"], "score": [0.5, 1 / 3]})

    def answer(name):
        def call(*args, **kwargs):
            module.asked.append((name, args, kwargs))
            return frame

        return call

    for name in ("train_runs", "list_runs", "compare", "recommend", "recommend_strangers", "keep_lists"):
        setattr(module, name, answer(name))
    for name in ("evaluating", "finished", "lists"):
        monkeypatch.setitem(sys.modules, f"contrec.study.{name}", module)
    return module


ANSWERS = []  # datasets about which a study has ended with an answer


@pytest.fixture
def executed(monkeypatch, tmp_path):
    """A stand-in for the notebooks: keeps parameters and folders, and fails where it is told to."""
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    calls, answers = [], ANSWERS
    answers.clear()

    def run_all(parameters, out_dir, **kwargs):
        calls.append((parameters, out_dir))
        return [Outcome("00_a", out_dir / "00_a.ipynb", 1.0, parameters["dataset"] == "games" and "cell 1: E" or None)]

    monkeypatch.setattr(notebooks, "run_all", run_all)
    monkeypatch.setattr(data, "missing", lambda name, source, progress: [])
    monkeypatch.setattr(make, "_ranked", lambda found, config: config.dataset)
    monkeypatch.setattr(make, "_answer", lambda ranked, config: answers.append(ranked))
    monkeypatch.setattr(page, "write", lambda folder, dataset, preset, _: folder / f"{dataset}-{preset}-report.html")
    return calls


def test_study_runs_the_notebooks_and_says_where(executed, runs, capsys, tmp_path):
    assert cli.main(["study"]) == 0
    expected = {"dataset": "planted", "preset": "tiny", "recipe": "tuned", "seeds": [0]}
    assert executed == [(expected, tmp_path / "notebooks" / "planted-tiny")]
    assert len(runs.asked) == 1 and ANSWERS == ["planted"]  # what the notebooks have made, found again
    printed = capsys.readouterr().out
    assert str(tmp_path / "notebooks" / "planted-tiny") in printed and "/planted-tiny-report.html" in printed


def test_study_trains_several_recipes_and_seeds_first(executed, runs):
    arguments = "study --datasets lastfm,ml1m --recipes paper,tuned --seeds 0,1 --preset laptop"
    assert cli.main(arguments.split()) == 0
    first, second = [asked[0] for _, asked, _ in runs.asked]
    about = [(c.dataset, c.source, c.split, c.preset, c.recipe, c.model, c.seeds, c.path, c.columns) for c in first]
    shared = ("lastfm", "raw", "leave_one_out", "laptop")
    assert about == [(*shared, recipe, "contrec", (0, 1), None, {}) for recipe in ("paper", "tuned")]
    assert {c.dataset for c in second} == {"ml1m"}
    assert runs.asked[0][2] == {"progress": True, "write": False, "processes": 1}
    assert [p["dataset"] for p, _ in executed] == ["lastfm", "ml1m"] and executed[0][0]["recipe"] == "paper"


def test_study_trains_with_several_processes_first(executed, runs):
    assert cli.main(["study", "--processes", "2"]) == 0
    assert [kwargs["processes"] for _, _, kwargs in runs.asked] == [2] and len(executed) == 1


def test_study_without_notebooks(executed, runs):
    assert cli.main(["study", "--no-notebooks"]) == 0
    assert len(runs.asked) == 1 and [c.source for c in runs.asked[0][1][0]] == ["planted"] and executed == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets", "planted,lastm"], "dataset must be one of 'planted', .*'lastfm', .*got 'lastm'"),
        (["--source", "raw"], "source of planted must be one of 'planted', got 'raw'"),
        (["--preset", "huge"], "preset must be one of 'tiny', .*got 'huge'"),
        (["--recipes", "tuned,best"], "recipe must be one of .*got 'best'"),
        (["--models", "x"], "model must be one of .*got 'x'"),
        (["--split", "random"], "split must be one of .*got 'random'"),
        (["--seeds", "-1"], r"seeds must be a list of whole numbers from 0 to 2.*, each once, got \[-1\]"),
        (["--processes", "0"], "processes must be a whole number of at least 1, got 0"),
        (["--datasets", "table"], "dataset table is a file of your own: name it with --path FILE"),
        (["--path", "my.csv", "--datasets", "planted"], "--path is a study of its own .*got planted beside it"),
        (["--path", "no.csv"], "no.csv does not exist"),
        (["--user", "who"], "--user is about a file of your own: name that with --path FILE"),
        (["--datasets", "lastm"], "; did you mean 'lastfm'?"),
    ],
)
def test_study_refuses_what_is_not_there_before_it_starts(executed, capsys, arguments, message):
    assert cli.main(["study", *arguments]) == 2 and executed == []
    assert re.search(message, capsys.readouterr().err)


def test_study_fails_when_a_notebook_did(executed, runs, capsys):
    assert cli.main(["study", "--datasets", "games,planted"]) == 1
    assert len(executed) == 2 and "1 failed" in capsys.readouterr().err
    assert ANSWERS == ["planted"]  # and none about games


NOTEBOOK = """{"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": [
"seeds = [0]\\n", "dataset = \\"planted\\"\\n", "rate = 0.1\\n", "path: str = None\\n", "user_column: str = None\\n",
"items_path: str = None\\n", "user: str = None"]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"""


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    """A notebook by its path, and what the runner was asked to run instead of running it."""
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    (tmp_path / "03_own.ipynb").write_text(NOTEBOOK)
    asked = []

    def run_notebook(name, parameters, out_dir, **kwargs):
        asked.append((parameters, out_dir))
        return Outcome("03_own", out_dir / "03_own.ipynb", 60.0, "cell 2: E" if len(asked) > 1 else None)

    monkeypatch.setattr(notebooks, "run_notebook", run_notebook)
    return str(tmp_path / "03_own.ipynb"), asked


def test_run_reads_parameters_by_their_kind(notebook, capsys, tmp_path):
    path, asked = notebook
    arguments = [
        "run",
        path,
        "-p",
        "seeds",
        "[0, 1]",
        "-p",
        "dataset",
        "lastfm",
        "-p",
        "rate",
        "-0.5",
        "-p",
        "user",
        "1_2",
    ]
    assert cli.main(arguments) == 0
    expected = {"seeds": [0, 1], "dataset": "lastfm", "rate": -0.5, "user": "1_2"}
    assert asked == [(expected, tmp_path / "notebooks/03_own")]
    assert capsys.readouterr().out.startswith("03_own: 1.0 min")
    assert cli.main(["run", path]) == 1
    assert "failed in cell 2: E" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-x", "--path", "-p", "a=b", "=", "1_2", "", "-5", "'\"", "None"])
def test_run_takes_any_text(notebook, value):
    path, asked = notebook
    assert cli.main(["run", path, "-p", "user", value, "-p", f"user_column={value}"]) == 0
    assert asked[0][0] == {"user": value, "user_column": value}


def test_run_takes_a_file_and_its_columns_and_says_what_is_read(notebook, monkeypatch, tmp_path, capsys):
    path, asked = notebook
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("who,movieId,time\nu1,i1,1600000000\nu2,i1,1600000001\n")
    (tmp_path / "movies.csv").write_text("movieId,title\ni1,A\n")
    assert cli.main(["run", path, "--path", "my.csv", "--user", "who", "--items", "movies.csv"]) == 0
    assert asked[0][0] == {"path": "my.csv", "user_column": "who", "items_path": "movies.csv"}
    assert re.search(r"rows +2\n.*users +2\n", capsys.readouterr().out, re.DOTALL)
    assert cli.main(["run", path, "--path", "my.csv", "--user", "whom"]) == 2 and len(asked) == 1
    assert "my.csv has no column 'whom'" in capsys.readouterr().err


def test_the_roles_of_columns_are_those_of_the_reader():
    assert tuple(make.PARAMETERS) == (*table.ROLES, *table.BESIDE)
    assert set(make.PARAMETERS.values()) <= set(parameters_of(notebooks.find_notebook("10")))


def test_datasets_runs_and_compare_print_tables(monkeypatch, runs, capsys):
    statistics = types.ModuleType("contrec.data.statistics")
    table = pd.DataFrame({"users": [1090, None], "first_time": [1100000000, None], "note": ["", "download x"]})
    table = table.assign(dataset=["lastfm", "games"], source="raw").astype({"users": "Int64"})
    statistics.statistics = lambda: table
    monkeypatch.setitem(sys.modules, "contrec.data.statistics", statistics)
    assert cli.main(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [set(line.split()) for line in lines[:2]] == [
        {"dataset", "kind", "source", "users", "first_time"},
        {"lastfm", "raw", "1090", "2004-11-09"},
    ]
    assert lines[2:] == ["not here: games raw: download x"]
    assert cli.main(["runs"]) == 0 and "0.3333" in capsys.readouterr().out
    assert cli.main(["compare", "x", "y"]) == 0 and "0.5000" in capsys.readouterr().out
    assert runs.asked[-1] == ("compare", ("x", "y"), {})
    runs.list_runs = pd.DataFrame
    assert cli.main(["runs"]) == 0 and "no runs yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (["--user", "u7"], {"users": ["u7"], "history": None, "all": False, "k": 3, "note": text.hint}),
        (["--user=-5"], {"users": ["-5"], "history": None, "all": False, "k": 3, "note": text.hint}),
        (["--history", "a, b"], {"users": None, "history": ["a", "b"], "all": False, "k": 3, "note": text.hint}),
        (["--history=-a,-7"], {"users": None, "history": ["-a", "-7"], "all": False, "k": 3, "note": text.hint}),
        (
            ["--history", '"a,b",c', "--history", "d"],
            {"users": None, "history": ["a,b", "c", "d"], "all": False, "k": 3, "note": text.hint},
        ),
        (
            ["--history", '["a,b", 1_2, " c"]'],
            {"users": None, "history": ["a,b", "1_2", " c"], "all": False, "k": 3, "note": text.hint},
        ),
    ],
)
def test_recommend_asks_for_one(runs, capsys, who, asked):
    assert cli.main(["recommend", "x", *who, "-k", "3"]) == 0
    assert runs.asked == [("recommend", ("x",), asked)] and "0.3333" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_recommend_writes_a_file_for_all(runs, tmp_path, ending):
    file = tmp_path / "new" / f"out.{ending}"
    assert cli.main(["recommend", "x", "--all", "--out", str(file)]) == 0
    read = pd.read_parquet if ending == "parquet" else pd.read_csv
    assert runs.asked[0][2]["all"] is True and read(file)["score"].tolist() == pytest.approx([0.5, 1 / 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all"], "--all needs --out"),
        (["--all", "--out", "x.pkl"], "--out must end in .parquet or .csv, got x.pkl"),
        (["--user", "1", "-k", "0"], "k must be a whole number of at least 1, got 0"),
    ],
)
def test_recommend_refuses_before_it_loads_anything(runs, capsys, arguments, message):
    assert cli.main(["recommend", "x", *arguments]) == 2
    assert runs.asked == [] and capsys.readouterr().err == f"contrec: {message}" + (
        " FILE.parquet (or .csv)\n" if "needs" in message else "\n"
    )


@pytest.mark.parametrize("error", [ValueError, DataError, FileNotFoundError, OSError])
def test_an_expected_error_is_one_line(runs, capsys, error):
    def fail():
        raise error("bad\nrow 3")

    runs.list_runs = fail
    assert cli.main(["runs"]) == 2
    assert capsys.readouterr().err == "contrec: bad row 3\n"
    assert cli.main(["--traceback", "runs"]) == 2
    assert "Traceback" in capsys.readouterr().err


ARROW, SAFETENSORS = (type("E", (Exception,), {"__module__": name}) for name in ("pyarrow.lib", "safetensors._rust"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        *((kind("bad"), "a file that was read is damaged") for kind in (EOFError, zlib.error, lzma.LZMAError)),
        *((kind("bad"), "a file that was read is damaged") for kind in (zipfile.BadZipFile, ARROW, SAFETENSORS)),
        (MemoryError(), "too little memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate"), "too little memory"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
        (json.JSONDecodeError("Expecting value", "", 0), "Expecting value"),
        (gzip.BadGzipFile("Not a gzipped file"), "Not a gzipped file"),
    ],
)
def test_what_a_file_can_cause_is_one_line(runs, capsys, error, says):
    def fail():
        raise error

    runs.list_runs = fail
    assert cli.main(["runs"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("contrec: ") and says in said and said.count("\n") == 1


STEERING = "a\x1b[31m\r\x07\x9b\u202e\u2066\u2028\ufeffb"
ESCAPED = r"a\x1b[31m\r\x07\x9b\u202e\u2066\u2028\ufeffb"


def test_what_steers_a_terminal_is_shown_instead(runs, capsys):
    runs.list_runs = lambda: pd.DataFrame({STEERING: [STEERING, "c\nd\te"], "n": [1, 2], "x": [0.5, None]})
    assert cli.main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [ESCAPED, "n", "x"] and lines[1].split() == [ESCAPED, "1", "0.5000"]
    assert lines[2].split() == [r"c\nd\te", "2", "-"] and len({len(line) for line in lines}) == 1
    assert text.fail(STEERING) == 2 and ESCAPED.replace(r"\r", " ")[:9] in capsys.readouterr().err
    assert text.visible("a\ud800") == r"a\ud800"  # half a character cannot be printed
    assert text.visible("é 漢 👩\u200d🔬 عربي\n") == "é 漢 👩\u200d🔬 عربي\n"  # what is no control stays


def test_a_terminal_of_few_letters_gets_escapes(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    text.say("é 漢")
    assert stream.buffer.getvalue() == rb"\xe9 \u6f22" + b"\n"


def test_a_spreadsheet_gets_texts_and_no_formulas():
    cells = ["=1+1", "+1", "-5", "@x", "\tx", "\rx", "a=b", "", "5"]
    frame = pd.DataFrame({"=id": cells, "n": [-1, *range(8)], "x": [-0.5] * 9})
    safe = text.for_spreadsheets(frame)
    assert safe["'=id"].tolist() == ["'=1+1", "'+1", "'-5", "'@x", "'\tx", "'\rx", "a=b", "", "5"]
    assert safe.n.tolist() == frame.n.tolist() and safe.x.tolist() == frame.x.tolist()
    assert frame["=id"].tolist() == cells
    kinds = [pd.Series(["=a"], dtype=kind) for kind in ("string", "category", object)]
    assert [text.for_spreadsheets(kind.to_frame("a")).a[0] for kind in kinds] == ["'=a"] * 3


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and re.fullmatch(r"contrec \d+\.\d+.*\n", capsys.readouterr().out)


def test_a_question_about_kept_lists_imports_nothing_heavy(tmp_path):
    """What makes an answer slow is what it imports."""
    store = Store(tmp_path / "artifacts")
    run = store.get_or_make("baselines", {"model": "ease"}, lambda folder: (folder / "results.csv").write_text(""))
    place = store.root / "lists" / run.name
    place.mkdir(parents=True)
    frame = pd.DataFrame({"user": ["u1", "u1", "u2"], "rank": [1, 2, 1], "item": ["a", "b", "c"], "score": 0.5})
    frame.to_parquet(place / "lists.parquet", index=False)
    seal(place / "key.json", {"length": 2, "users": 2})
    code = (
        f"import sys; from contrec import cli; cli.main(['recommend', '{run.name}', '--user', 'u1', '-k', '1']);"
        "heavy = 'torch transformers torch_geometric sentence_transformers matplotlib accelerate scipy ipywidgets';"
        "print([name for name in heavy.split() if name in sys.modules])"
    )
    environment = os.environ | {"CONTREC_ARTIFACTS": str(store.root)}
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    lines = [line.split() for line in asked.stdout.splitlines()]
    assert lines == [["user", "rank", "item", "score"], ["u1", "1", "a", "0.5000"], ["[]"]], asked.stderr


def test_a_defect_is_not_hidden(runs):
    runs.list_runs = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        cli.main(["runs"])


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """As in `contrec runs | head -1`, with more lines than a pipe holds."""
    code = (
        "import sys, types, pandas as pd; from contrec import cli; module = types.ModuleType('contrec.study.finished');"
        "module.list_runs = lambda: pd.DataFrame({'run': range(100_000)});"
        "sys.modules['contrec.study.finished'] = module; sys.exit(cli.main(['runs']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        command.stdout.readline()
        command.stdout.close()
        assert command.stderr.read() == b"" and command.wait() == 0


ALL = "--all --out recommendations.csv "


def results(models):
    """Results of an own table: HR@10 and NDCG@10 of two seeds a model, by (model, recipe)."""
    rows = [
        {
            "model": model,
            "recipe": recipe,
            "seed": seed,
            "metric": metric,
            "value": value + 0.01 * seed,
            "run": f"ab{seed}",
        }
        for (model, recipe), value in models.items()
        for seed in (0, 1)
        for metric in ("HR@10", "NDCG@10")
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ({("ease", None): 0.9, ("contrec", "tuned"): 0.5, ("contrec/user-token", "tuned"): 0.2}, ["ab0", "ab0"]),
        ({("ease", None): 0.1, ("contrec", "tuned"): 0.5, ("ease/seen-kept", None): 0.8}, ["ab0"]),
        ({("contrec", "tuned"): 0.5, ("contrec/user-token", "tuned"): 0.7}, ["ab0:contrec/user-token", "ab0"]),
        ({("contrec", "tuned"): 0.5, ("contrec/random-backbone", "tuned"): 0.7}, ["ab0", "ab0"]),
    ],
)
def test_a_study_ends_with_an_answer(runs, monkeypatch, tmp_path, capsys, rates, best):
    file = tmp_path / "my.csv"
    rows = [f"-u{u},i{(3 * u + k) % 12},{1600000000 + k},a" for u in range(1, 9) for k in range(6)]
    file.write_text("\n".join(["who,item,timestamp,category", *rows]))
    runs.train_runs = lambda configs, **_: (runs.asked.append(configs), results(rates))[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    assert cli.main(["study", "--path", "my.csv", "--user", "who"]) == 0
    (config,) = runs.asked[0]
    assert Path(config.path) == file and config.columns == {"user": "who"}
    printed = capsys.readouterr().out
    assert re.search(r"rows +48\n", printed) and re.search(r"users +8\n", printed)  # what was read
    names = [name for name, _ in sorted(rates, key=rates.get, reverse=True)]
    lines = [line.split()[0] for line in printed.split("\nrecommendations")[0].splitlines() if line.strip()]
    assert [line for line in lines if line in names] == names
    commands = [f"  contrec recommend {run} {who}-k 10" for run in best for who in ("--user=-u1 ", ALL)]
    assert [line for line in printed.splitlines() if "contrec recommend" in line] == commands
    assert [asked[1][0] for asked in runs.asked[1:]] == best  # their lists are kept
    report = (tmp_path / "notebooks" / "table-tiny" / "report.html").read_text()
    assert "In this run on my.csv" in report and all(command[2:] in report for command in commands)


def test_an_archive_that_is_missing_is_told_once_before_anything_runs(executed, runs, monkeypatch, tmp_path, capsys):
    monkeypatch.undo()
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    monkeypatch.delenv("CONTREC_MIRROR", raising=False)
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    sources = {name: replace(source, url=None) for name, source in download.SOURCES.items()}
    monkeypatch.setattr(download, "SOURCES", sources)
    assert cli.main(["study", "--datasets", "lastfm,games,planted"]) == 2 and executed == []
    printed = capsys.readouterr().err
    assert printed.startswith("contrec: nothing was started, 3 missing: lastfm: hetrec2011-lastfm-2k.zip is not in")
    assert "games: Video_Games_5.json.gz is not in" in printed and "games: meta_Video_Games.json.gz" in printed


def test_an_interrupt_says_that_work_is_kept(runs, capsys):
    def stop():
        raise KeyboardInterrupt

    runs.list_runs = stop
    assert cli.main(["runs"]) == 130 and "goes on from there" in capsys.readouterr().err


def test_missing_notebook_packages_are_named(monkeypatch, capsys):
    def run_all(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'papermill'", name="papermill")

    monkeypatch.setattr(notebooks, "run_all", run_all)
    assert cli.main(["study"]) == 2 and "papermill is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["study", "--seeds", "a"], ["study", "--recipes", "a,"], ["recommend", "x"], ["compare", "x"]],
)
def test_bad_arguments_exit_with_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
