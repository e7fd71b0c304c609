"""What can be asked: every command with its options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from contrec import given
from contrec.checks import nearest
from contrec.cli import fill, look, make
from contrec.cli.text import fail

DESCRIPTION = 'The command "contrec": run a study or a notebook, list what is there, compare runs, recommend.'


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; ``options.do`` is the function that carries one out."""
    top = _Parser(prog="contrec", description=DESCRIPTION)
    top.add_argument("--traceback", action="store_true", help="show where an error came from")
    top.add_argument("--version", action="version", version=f"contrec {metadata.version('contrec')}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    study = _add(commands, "study", make.study, "train what is missing, then run every notebook")
    known = (
        "planted (default) | planted_shuffled | lastfm | ml1m | ml1m_all | beauty | beauty_positive | games | software"
    )
    text = f"{known} | table (your own, with --path)"
    study.add_argument("--datasets", type=_listed, metavar="NAME,...", help=text)
    _own_file(study, "; trained, evaluated and ranked without notebooks")
    _preset(study)
    _list(study, "--recipes", ["tuned"], "paper | released | tuned")
    _seeds(study, "one training run each")
    _list(study, "--models", ["contrec"], "contrec | deftrec")
    _source(study)
    _split(study)
    refit = "train again on train and validation rows, for the epochs that validation chose; without notebooks"
    study.add_argument("--refit", action="store_true", help=refit)
    study.add_argument("--processes", type=_whole, default=1, metavar="N", help="training processes (GPUs); default: 1")
    workers = "notebooks at a time; above 1 one thread each; default: 1"
    study.add_argument("--workers", type=_whole, default=1, metavar="N", help=workers)
    study.add_argument("--record", action="store_true", help="write the results to data/reproduced")
    study.add_argument("--no-notebooks", action="store_true", help="train (or resume) the runs only")

    filled = commands.add_parser("fill", help="make what an experiment lacks: baselines, ablation, sweep, ...")
    kinds = filled.add_subparsers(required=True, metavar="EXPERIMENT", dest="kind")

    baselines = _add(kinds, "baselines", fill.fill, "every baseline on every dataset, cheapest first")
    for name in ("--datasets", "--models"):
        baselines.add_argument(name, type=_listed, metavar="NAME,...", help="default: all that are wanted")
    baselines.add_argument("--seeds", type=_wholes, metavar="N,...", help="default: all that are wanted")
    baselines.add_argument("--split", help="leave_one_out | leave_one_out_refit | time_point | ...; default: all")
    processes = "of each training (GPUs, or cores); default: 1"
    baselines.add_argument("--processes", type=_whole, default=1, metavar="N", help=processes)

    ablation = _add(kinds, "ablation", fill.fill, "models with one thing changed each")
    _list(ablation, "--datasets", ["planted"], known.replace(" (default)", ""))
    _list(ablation, "--models", ["deftrec"], "contrec | deftrec")
    _list(ablation, "--recipes", ["paper"], "paper | released | tuned")
    _seeds(ablation, "one training run each")
    ablation.add_argument("--arms", type=_listed, metavar="NAME,...", help="what is changed; default: all that apply")
    for option in (_preset, _source, _split):
        option(ablation)

    sweep = _add(kinds, "sweep", fill.fill, "one setting at a time: chosen on validation users, reported on test users")
    _list(sweep, "--datasets", ["planted"], known.replace(" (default)", ""))
    sweep.add_argument("--model", default="contrec", help="contrec (default) | deftrec")
    sweep.add_argument("--recipe", default="tuned", help="paper | released | tuned (default)")
    _seeds(sweep, "the first for every value, the others for the best and the default")
    parameters = "rho,K,gamma_1,...; default: all possible"
    sweep.add_argument("--parameters", type=_listed, metavar="NAME,...", help=parameters)
    for option in (_preset, _source):
        option(sweep)

    search = _add(kinds, "search", fill.fill, "settings of the baselines, searched on each data set's validation users")
    _list(search, "--datasets", ["lastfm"], known.replace(" (default)", ""))
    for option in (_source, _split):
        option(search)
    search.add_argument("--models", type=_listed, metavar="NAME,...", help="default: all that can be searched")
    trials = "of each model, in all; default: 20, 6 where a training takes minutes"
    search.add_argument("--trials", type=_whole, metavar="N", help=trials)

    reconstruction = _add(kinds, "reconstruction", fill.fill, "tokenizers at equal rates")
    _list(reconstruction, "--datasets", ["planted"], known.replace(" (default)", ""))
    reconstruction.add_argument("--inputs", type=_listed, metavar="NAME,...", help="truth | lightgcn | text | fused")
    _seeds(reconstruction, "one training run each")
    for option in (_preset, _source):
        option(reconstruction)

    for command in (baselines, ablation, sweep, search, reconstruction):
        workers = "processes of one thread each; the same command elsewhere shares the work; default: 1"
        command.add_argument("--workers", type=_whole, default=1, metavar="N", help=workers)
        command.add_argument("--slurm", action="store_true", help="start the workers as jobs of SLURM and return")
        command.add_argument("--record", action="store_true", help="write what is finished to data/reproduced")

    run = _add(commands, "run", make.run, "execute one notebook with other parameters")
    run.add_argument("notebook", metavar="NOTEBOOK", help="its name or number, such as 03_training or 03")
    run.add_argument(
        *("-p", "--parameter"), type=_parameter, action="append", default=[], metavar="NAME VALUE", dest="parameters",
        help="one of the notebook's parameters, such as -p dataset lastfm -p seeds 0,1; may be repeated. A text stays "
        "as it is (1_2, 007, -x), a relative path starts in this folder",
    )  # fmt: skip
    _own_file(run, ", for 10_your_own_data: short for -p path FILE -p user_column NAME ...")

    report = _add(commands, "report", make.report, "write the report of a study from what is there")
    report.add_argument("--datasets", type=_listed, default=["planted"], metavar="NAME,...", help="default: planted")
    report.add_argument("--preset", default="tiny", help="of the study: tiny (default) | laptop | gpu")

    _add(commands, "findings", make.findings, "write FINDINGS.md: everything that was found, from what is recorded")

    _add(commands, "datasets", look.datasets, "which datasets are here, from where, with statistics")
    _add(commands, "runs", look.runs, "finished runs and floors, with their results")

    claims = _add(
        commands, "claims", look.claims, "every claim in numbers of both papers, recomputed, grouped by outcome"
    )
    claims.add_argument("--all", action="store_true", help="also list the claims that agree, not only count them")

    compare = _add(commands, "compare", look.compare, "paired bootstrap of two runs on their kept ranks")
    named = "its name in `contrec runs`, or the beginning of it"
    compare.add_argument("run_a", metavar="RUN", help=f"{named}; NAME:contrec/user-token is a control kept with it")
    compare.add_argument("run_b", metavar="RUN", help="what it is compared with: differences are first minus second")

    recommend = _add(
        commands, "recommend", look.recommend, "ranked items from any model of a table: a run, a part of it, a floor"
    )
    recommend.add_argument("run", metavar="RUN", help=f"{named}; NAME:contrec/user-token is a part of it")
    who = recommend.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "--user", metavar="ID", help="a user of the run's dataset, by original id; one that begins with -: --user=-5"
    )
    who.add_argument(
        "--history", type=_listed, action="extend", metavar="ID,...",
        help="original item ids, oldest first; may be repeated. Ids with commas: '\"a,b\",c' or '[\"a,b\", \"c\"]'; "
        "with - in front: --history=-5,-7",
    )  # fmt: skip
    who.add_argument("--all", action="store_true", help="every user; needs --out")
    _own_file(recommend, "; with --user ID or --all: for those in it, who need not be the run's", "-column")
    recommend.add_argument(
        "--out", type=_file, metavar="FILE",
        help="write a .parquet or .csv file; in .csv an apostrophe stands before texts that begin with = + - @, which "
        "spreadsheets would run (.parquet keeps them as they are)",
    )  # fmt: skip
    recommend.add_argument("-k", type=_whole, default=10, help="items per user; default: 10")

    bench = _add(
        commands, "bench", look.bench, "time each lever of speed against the layout it replaces, results compared"
    )
    bench.add_argument(
        "stage", nargs="?", metavar="STAGE", help=f"{' | '.join(look.BENCH_STAGES)}; all of them if not given"
    )
    bench.add_argument("--record", action="store_true", help="write the tables of all stages to data/reproduced")
    bench.add_argument("--device", default="cpu", help="cpu (default, one thread) | cuda (timed by CUDA events)")
    return top


def _joined(arguments: list[str]) -> list[str]:
    """``-p NAME VALUE`` as ``-p NAME=VALUE``, so that a value may begin with "-"."""
    found, words = [], iter(arguments)
    for word in words:
        found.append(word)
        if word in ("-p", "--parameter"):
            name = next(words, None)
            value = None if name is None or "=" in name else next(words, None)
            found += [] if name is None else [name] if value is None else [f"{name}={value}"]
    return found


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"a name and a value are wanted, got {text!r}")
    return name, value


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, as every other mistake is told."""

    def parse_args(self, args=None, namespace=None):
        return super().parse_args(_joined(sys.argv[1:] if args is None else args), namespace)

    def error(self, message: str):
        if "expected one argument" in message:
            message += " (one that begins with - is joined to it: --user=-5)"
        raise SystemExit(fail(f"{message}; `{self.prog} --help` says what there is"))

    def _check_value(self, action, value):
        """The name of a command: the nearest is named."""
        if action.choices is not None and value not in action.choices:
            known = ", ".join(action.choices)
            raise argparse.ArgumentError(
                None, f"no command {value!r}{nearest(value, action.choices)}; there are {known}"
            )


def _add(commands, name: str, do, text: str) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    sub.set_defaults(do=do)
    return sub


def _list(command: argparse.ArgumentParser, name: str, default: list[str], known: str) -> None:
    text = f"{known}; default: {','.join(default)}"
    command.add_argument(name, type=_listed, default=default, metavar="NAME,...", help=text)


def _seeds(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--seeds", type=_wholes, default=[0], metavar="N,...", help=f"{text}; default: 0")


def _preset(command: argparse.ArgumentParser) -> None:
    command.add_argument("--preset", default="tiny", help="how much is run: tiny (default) | laptop | gpu")


def _source(command: argparse.ArgumentParser) -> None:
    command.add_argument("--source", help="raw | released | sample (of software); default: the first there is")


def _split(command: argparse.ArgumentParser) -> None:
    text = "leave_one_out (default) | time_point | unseen_users"
    command.add_argument("--split", default="leave_one_out", help=text)


def _own_file(command: argparse.ArgumentParser, remark: str, ending: str = "") -> None:
    """``--path`` and what is said of its columns: options.path, and options.column_<key of ``make.PARAMETERS``>.

    With an ``ending`` of the options only those that a history needs.
    """
    group = command.add_argument_group("a file of your own")
    columns = (
        "columns user, item, timestamp and, where known, rating, title, brand, category, under usual names or yours"
    )
    group.add_argument("--path", metavar="FILE", help=f"your interactions, one a row: {columns}{remark}")
    beside = {
        "event": ("COLUMN", "your name of the column with the kind of event"),
        "events": ("VALUE|...", "which of its values count; default: all"),
        "items": ("FILE", "a second file, one item a row, with title, brand and category"),
        "items_id": ("COLUMN", "your name of its id column"),
    }
    for role in ("user", "item", "timestamp", "event", "events") if ending else make.PARAMETERS:
        metavar, what = beside.get(role, ("COLUMN", f"your name of the column {role}"))
        name = f"--{role.replace('_', '-')}{ending if metavar == 'COLUMN' else ''}"
        group.add_argument(name, dest=f"column_{role}", metavar=metavar, help=what)


def _type(read: Callable, wanted: str) -> Callable:
    def typed(text: str):
        try:
            value = read(text)
            if value == []:
                raise ValueError
            return value
        except ValueError:
            raise argparse.ArgumentTypeError(f"{wanted} wanted, got {text!r}") from None

    return typed


def _file(text: str) -> Path:
    return Path(text).expanduser()


_listed = _type(given.listed, "texts separated by commas, or a list of them, are")
_wholes = _type(given.wholes, "whole numbers separated by commas are")
_whole = _type(given.whole, "a whole number is")
