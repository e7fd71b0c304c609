"""What can be asked: every command with its options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from contrec import given
from contrec.checks import nearest
from contrec.cli import look, make
from contrec.cli.text import fail

DESCRIPTION = 'The command "contrec": run a study or a notebook, list what is there, compare runs, recommend.'


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; ``options.do`` is the function that carries one out."""
    top = _Parser(prog="contrec", description=DESCRIPTION)
    top.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    study = _add(commands, "study", make.study, "train what is missing, then run every notebook")
    study.add_argument(
        "--datasets",
        type=_listed,
        metavar="NAME,...",
        help="planted (default) | planted_shuffled (its twin) | lastfm | ml1m | ml1m_all | beauty | beauty_positive | "
        "games | software | table (your own, with --path)",
    )
    _own_file(study, "; trained, evaluated and ranked without notebooks")
    study.add_argument("--preset", default="tiny", help="how much is run: tiny (default) | laptop | gpu")
    recipes = "paper (default of --ablation) | released | tuned (default)"
    study.add_argument("--recipes", type=_listed, metavar="NAME,...", help=recipes)
    study.add_argument("--seeds", type=_wholes, metavar="N,...", help="one training run each; default: 0")
    models = "contrec (default) | deftrec (default of --ablation); baselines with --grid"
    study.add_argument("--models", type=_listed, metavar="NAME,...", help=models)
    study.add_argument("--source", help="raw (default) | released | sample (of software)")
    study.add_argument("--split", help="leave_one_out (default) | time_point | unseen_users")
    study.add_argument("--processes", type=_whole, default=1, metavar="N", help="training processes (GPUs); default: 1")
    study.add_argument("--grid", action="store_true", help="fill the grid of baselines, cheapest first, instead")
    study.add_argument("--ablation", action="store_true", help="run models with one thing changed each instead")
    study.add_argument("--arms", type=_listed, metavar="NAME,...", help="of the ablation; default: all that change it")
    workers = "notebooks at a time, or processes of the grid or the ablation; above 1 one thread each; default: 1"
    study.add_argument("--workers", type=_whole, default=1, metavar="N", help=workers)
    study.add_argument("--record", action="store_true", help="write the results to data/reproduced")
    study.add_argument("--no-notebooks", action="store_true", help="train (or resume) the runs only")

    search = _add(commands, "search", make.search, "search settings of the baselines on LastFM's validation users")
    search.add_argument("--models", type=_listed, metavar="NAME,...", help="default: all that can be searched")
    search.add_argument("--trials", type=_whole, default=20, metavar="N", help="of each model, in all; default: 20")
    search.add_argument(
        "--workers", type=_whole, default=1, metavar="N", help="processes of one thread each; default: 1"
    )
    search.add_argument("--record", action="store_true", help="write the trials to data/reproduced/search")

    sweep = _add(
        commands, "sweep", make.sweep, "one setting at a time: chosen on validation users, reported on test users"
    )
    sweep.add_argument("--model", default="contrec", help="contrec (default) | deftrec")
    sweep.add_argument("--recipe", default="tuned", help="paper | released | tuned (default)")
    sweep.add_argument("--datasets", type=_listed, default=["planted"], metavar="NAME,...", help="default: planted")
    sweep.add_argument("--source", help="raw (default) | released | sample (of software)")
    sweep.add_argument("--preset", default="tiny", help="how much is run: tiny (default) | laptop | gpu")
    sweep.add_argument(
        "--parameters", type=_listed, metavar="NAME,...", help="rho,K,gamma_1,...; default: all possible"
    )
    sweep.add_argument(
        "--seeds", type=_wholes, default=[0], metavar="N,...",
        help="the first for every value, the others for the best and the default; default: 0",
    )  # fmt: skip
    sweep.add_argument(
        "--workers", type=_whole, default=1, metavar="N", help="processes of one thread each; default: 1"
    )
    sweep.add_argument("--slurm", action="store_true", help="start the workers as jobs of SLURM and return")
    sweep.add_argument("--record", action="store_true", help="write what is finished to data/reproduced")

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
        commands, "recommend", look.recommend, "ranked items with their preference text from a finished run"
    )
    recommend.add_argument("run", metavar="RUN", help=named)
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
