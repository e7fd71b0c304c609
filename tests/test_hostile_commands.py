"""Commands that cannot be: each ends with its status and one line that says what to do, none with a traceback.

``python tests/test_hostile_commands.py`` prints the table of commands and messages.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import pytest

from contrec import cli

ROWS = "".join(f"u{u},i{(3 * u + k) % 12},{1600000000 + 100 * u + k},a\n" for u in range(12) for k in range(6))
SHORT = "user,item,timestamp\n" + "".join(f"u{u},i{k},{1600000000 + k}\n" for u in range(6) for k in range(4))
TABLE = "user,item,timestamp,category\n" + ROWS
PARAMETERS = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": None}
REFUSED = "texts separated by commas, or a list of them, are wanted"
# command, what its one line says; "!" before a command: environment variables first, as a shell reads them
CASES = [
    # names
    ("", "arguments are required: COMMAND"),
    ("stdy", "no command 'stdy'; did you mean 'study'"),
    ("study --no-such", "unrecognized arguments: --no-such"),
    ("study --datasets ''", REFUSED),
    ("study --datasets ,", REFUSED),
    ("study --datasets planted,", REFUSED),
    ("study --datasets planted,lastm", "dataset must be one of .*got 'lastm'; did you mean 'lastfm'"),
    ("study --datasets []", REFUSED),
    ("study --seeds []", "whole numbers separated by commas are wanted, got '\\[\\]'"),
    ("study --split ''", "split must be one of .*got ''"),
    ("fill ablation --split ''", "split must be one of .*got ''"),
    ("bench ''", "stage must be one of .*got ''"),
    ("study --datasets PLANTED", "did you mean 'planted'"),
    ("study --datasets $'\\x1b[31mred'", r"got '\\x1b\[31mred'"),
    ("study --preset tny", "preset must be one of .*did you mean 'tiny'"),
    ("study --recipes best", "recipe must be one of 'paper', 'released', 'tuned', got 'best'"),
    ("study --models contrek", "model must be one of .*did you mean 'contrec'"),
    ("study --split leave-one-out", "split must be one of .*did you mean 'leave_one_out'"),
    ("study --source row --datasets lastfm", "source of lastfm must be one of 'raw', 'released', got 'row'"),
    ("study --source ''", "source of planted must be one of 'planted', got ''"),
    ("fill", "arguments are required: EXPERIMENT"),
    ("fill baseline", "no command 'baseline'; did you mean 'baselines'"),
    ("fill ablation --arms nothing", "nothing"),
    ("fill baselines --models nothing", "nothing"),
    ("fill reconstruction --inputs nothing", "inputs of planted must be among .*got nothing"),
    ("fill reconstruction --workers 0", "workers must be a whole number of at least 1, got 0"),
    ("fill search --models nothing", "nothing"),
    ("fill sweep --parameters nothing", "nothing"),
    ("fill sweep --datasets nothing", "dataset must be one of .*got 'nothing'"),
    ("fill sweep --model nothing", "model must be one of .*got 'nothing'"),
    ("report --datasets nothing", "dataset must be one of .*got 'nothing'"),
    ("report --preset big", "preset must be one of .*got 'big'"),
    ("bench nothing", "stage must be one of .*got 'nothing'"),
    ("bench rnk", "did you mean 'rank'"),
    ("bench --device tpu", "device must be one of 'cpu', 'cuda', got 'tpu'"),
    ("bench rank --record", "--record wants all stages in one run"),
    # numbers
    ("study --seeds ''", "whole numbers separated by commas are wanted, got ''"),
    ("study --seeds 0,,1", "whole numbers separated by commas are wanted"),
    ("study --seeds 1_0", "whole numbers separated by commas are wanted, got '1_0'"),
    ("study --path short.csv", "short.csv: too little to train on under leave_one_out: no user has a training case"),
    ("study --path good.csv --record", "--record is for official data"),
    ("study --seeds 1.5", "whole numbers separated by commas are wanted"),
    ("study --seeds -1", "seeds must be a list of whole numbers from 0"),
    ("study --seeds 0,0", "seeds must be a list of whole numbers .*each once"),
    ("study --seeds 9223372036854775808", "seeds must be a list of whole numbers from 0 to 2"),
    ("study --processes 0", "processes must be a whole number of at least 1, got 0"),
    ("study --processes two", "a whole number is wanted, got 'two'"),
    ("study --workers 0", "workers must be a whole number of at least 1, got 0"),
    ("study --workers 1e3", "a whole number is wanted, got '1e3'"),
    ("fill search --workers 0", "workers must be a whole number of at least 1, got 0"),
    ("fill search --workers -1", "workers must be a whole number of at least 1, got -1"),
    ("fill search --trials 0", "trials must be a whole number of at least 1, got 0"),
    ("fill sweep --workers 0", "workers must be a whole number of at least 1, got 0"),
    ("fill sweep --seeds x", "whole numbers separated by commas are wanted"),
    # files of one's own
    ("study --datasets table", "dataset table is a file of your own: name it with --path FILE"),
    ("study --path no.csv", "no.csv does not exist"),
    ("study --path ''", "is a folder"),
    ("study --path folder", "folder is a folder"),
    ("study --path ~/no.csv", "no.csv does not exist"),
    ("study --path good.csv --user nobody", "good.csv .*'nobody'"),
    ("study --path good.csv --items no.csv", "no.csv does not exist"),
    ("study --path good.csv --items folder", "folder is a folder"),
    ("study --path good.csv --items damaged.parquet", "damaged.parquet"),
    ("study --path good.csv --datasets lastfm", "--path is a study of its own .*got lastfm beside it"),
    ("study --path good.csv --source released", "source of table must be one of 'raw', got 'released'"),
    ("study --user who", "--user is about a file of your own: name that with --path FILE"),
    ("study --path empty.csv", "empty.csv"),
    ("study --path header.csv", "header.csv"),
    ("study --path damaged.csv.gz", "damaged.csv.gz"),
    ("study --path damaged.csv.bz2", "damaged.csv.bz2"),
    ("study --path damaged.csv.xz", "damaged.csv.xz"),
    ("study --path damaged.parquet", "damaged.parquet"),
    ("study --path text.parquet", "text.parquet"),
    ("study --path bytes.csv", "bytes.csv"),
    ("study --path good.csv --preset big", "preset must be one of"),
    # notebooks
    ("run nothing", "no notebook matches 'nothing'; there are: 00_quickstart"),
    ("run 03_trainin_", "no notebook matches '03_trainin_'; did you mean '03_training'"),
    ("run ''", "several notebooks match ''"),
    ("run 0", "several notebooks match '0'"),
    ("run /etc", "no notebook matches '/etc'"),
    ("run ../..", r"no notebook matches '\.\./\.\.'"),
    ("run folder.ipynb", "no notebook matches"),
    ("run nojson.ipynb", "nojson.ipynb is no notebook, or is damaged"),
    ("run list.ipynb", "list.ipynb is no notebook, or is damaged"),
    ("run bytes.ipynb", "bytes.ipynb is no notebook, or is damaged"),
    ("run syntax.ipynb", "syntax.ipynb: the cell tagged 'parameters' is no Python"),
    ("run computed.ipynb", "computed.ipynb: parameters must be 'name = literal' lines"),
    ("run bare.ipynb", "bare.ipynb must have exactly one cell tagged 'parameters', found 0"),
    ("run form.ipynb", "form.ipynb is damaged"),
    ("run 03 -p sed 1", "03_training has no parameter sed; did you mean 'seeds'"),
    ("run 03 -p seeds x", "03_training: seeds wants whole numbers separated by commas, or a list of them, got 'x'"),
    ("run 03 -p n_tokens 1_0", "03_training: n_tokens wants a whole number, got '1_0'"),
    ("run 03 -p save_figures maybe", "03_training: save_figures wants True or False, got 'maybe'"),
    ("run 03 -p preset", "argument -p/--parameter: a name and a value are wanted, got 'preset'"),
    ("run 03 -p", "argument -p/--parameter: expected one argument"),
    ("run 03 -p =1", "argument -p/--parameter: a name and a value are wanted, got '=1'"),
    ("run 03 -p seeds -x", "03_training: seeds wants whole numbers separated by commas, or a list of them, got '-x'"),
    ("run 03 --path good.csv", "03_training has no parameter path"),
    ("run 10 --user who", "--user is about a file of your own: name that with --path FILE"),
    # runs
    ("compare x y", "run 'x' names 0"),
    ("compare '' ''", "run '' names 0"),
    ("compare / /", "run '/' names 0"),
    ("compare '*' '*'", r"run '\*' names 0"),
    ("compare x", "arguments are required: RUN"),
    ("recommend abc --user 1", "run 'abc' names 0 runs; known are none yet"),
    ("recommend '' --user 1", "run '' names 0 runs"),
    ("recommend /etc --user 1", "run '/etc' names 0 runs"),
    ("recommend ../.. --user 1", r"run '\.\./\.\.' names 0 runs"),
    ("recommend good.csv --user 1", "run 'good.csv' names 0 runs"),
    ("recommend '*' --user 1", r"run '\*' names 0 runs"),
    ("recommend '[' --user 1", r"run '\[' names 0 runs"),
    ("recommend '**/x' --user 1", "names 0 runs"),
    ("recommend $'\\x1b]0;title\\x07' --user 1", r"run '\\x1b\]0;title\\x07' names 0 runs"),
    ("recommend abc", "one of the arguments --user --history --all is required"),
    ("recommend abc --user 1 --all", "not allowed with argument"),
    ("recommend abc --user", "expected one argument"),
    ("recommend abc --user -abc", "expected one argument .one that begins with - is joined to it: --user=-5"),
    ("recommend abc --history ''", REFUSED),
    ("recommend abc --history ,", REFUSED),
    ("recommend abc --history []", REFUSED),
    ("recommend abc --history '\"a'", REFUSED),
    ("recommend abc --history '[a b]'", REFUSED),
    ("recommend abc --user 1 -k 0", "k must be a whole number of at least 1, got 0"),
    ("recommend abc --user 1 -k -1", "k must be a whole number of at least 1, got -1"),
    ("recommend abc --user 1 -k ten", "a whole number is wanted, got 'ten'"),
    ("recommend abc --user 1 --user-column who", "--user-column is about a file of your own"),
    ("recommend abc --history 1 --path good.csv", "--history is a stranger's own: leave out --path"),
    ("recommend abc --user 1 --path no.csv", "run 'abc' names 0 runs"),
    ("recommend abc --all", "--all needs --out FILE.parquet"),
    ("recommend abc --all --out x.pkl", "--out must end in .parquet or .csv, got x.pkl"),
    ("recommend abc --all --out folder.csv", "--out must name a file, and folder.csv is a folder"),
    ("recommend abc --all --out good.csv/x.csv", "--out good.csv/x.csv is no place for a file"),
    ("recommend abc --all --out good.csv/y/x.csv", "--out good.csv/y/x.csv is no place for a file"),
    ("recommend abc --all --out new/x.csv", "run 'abc' names 0 runs"),
    # the environment
    ("!CONTREC_MIRROR=nowhere study --datasets lastfm", "CONTREC_MIRROR names no folder: .*nowhere"),
    ("!CONTREC_MIRROR=good.csv datasets", "CONTREC_MIRROR names no folder: .*good.csv"),
    ("!CONTREC_ARTIFACTS=good.csv runs", "good.csv is a file; correct CONTREC_ARTIFACTS"),
    ("!CONTREC_ARTIFACTS=good.csv report", "good.csv is a file; correct CONTREC_ARTIFACTS"),
]


def notebook(*sources: str, **changes) -> str:
    cells = [{**PARAMETERS, "source": source, "id": f"c{n}", **changes} for n, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def prepare(folder: Path) -> None:
    """Files that the commands name, in ``folder``."""
    texts = {
        "good.csv": TABLE, "short.csv": SHORT,
        "empty.csv": "", "header.csv": "user,item,timestamp\n", "text.parquet": TABLE,
        "nojson.ipynb": "# %% x", "list.ipynb": "[1]", "syntax.ipynb": notebook("a = ("),
        "computed.ipynb": notebook("a = 1 + 1"), "bare.ipynb": notebook("a = 1", metadata={}),
        "form.ipynb": notebook("a = 1", outputs="none"),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "bytes.csv").write_bytes(bytes(range(256)))
    (folder / "bytes.ipynb").write_bytes(bytes(range(256)))
    import bz2
    import gzip
    import lzma

    for ending, module in (("gz", gzip), ("bz2", bz2), ("xz", lzma)):
        whole = module.compress(TABLE.encode())
        (folder / f"damaged.csv.{ending}").write_bytes(whole[: len(whole) // 2] + b"\x00\xff" * 9)
    (folder / "damaged.parquet").write_bytes(b"PAR1" + b"\x00" * 99 + b"PAR1")
    for name in ("folder", "folder.csv", "folder.ipynb"):
        (folder / name).mkdir()


def arguments(command: str) -> tuple[dict[str, str], list[str]]:
    """Environment and arguments of a command as a shell reads it; ``$'...'`` holds escapes."""
    command = re.sub(r"\$'([^']*)'", lambda m: shlex.quote(m[1].encode().decode("unicode_escape")), command)
    words = shlex.split(command.removeprefix("!"))
    n = next((i for i, word in enumerate(words) if "=" not in word), 0) if command.startswith("!") else 0
    return dict(word.split("=", 1) for word in words[:n]), [os.path.expanduser(word) for word in words[n:]]


def outcome(words: list[str]) -> tuple[int, str]:
    """Exit status and what is said on the error channel."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = cli.main(words)
        except SystemExit as stopped:
            status = stopped.code
    return status, said.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    prepare(folder)
    return folder


@pytest.mark.parametrize(("command", "message"), CASES, ids=[command for command, _ in CASES])
def test_a_command_that_cannot_be_says_why(folder, monkeypatch, command, message):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CONTREC_ARTIFACTS", "artifacts")
    environment, words = arguments(command)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status, said = outcome(words)
    assert status == 2 and re.search(message, said), said
    assert said.startswith("contrec: ") and said.count("\n") == 1 and "Traceback" not in said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        os.chdir(place)
        os.environ["CONTREC_ARTIFACTS"] = "artifacts"
        for command, _ in CASES:
            changed, words = arguments(command)
            before = dict(os.environ)
            os.environ.update(changed)
            status, said = outcome(words)
            os.environ.clear()
            os.environ.update(before)
            print(f"{command} | {status} | {said.strip()}".replace(place, "..."), flush=True)
        os.chdir("/")
        sys.exit(0)
