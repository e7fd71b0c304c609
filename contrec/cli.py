"""The command "contrec": run a study or a notebook, list what is there, compare runs, recommend."""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

from . import paths

# what a user can cause and cure; DataError is a ValueError, and a backbone that cannot be had an OSError
EXPECTED_ERRORS = (ValueError, OSError)
BENCH_STAGES = ("train-step", "generate", "prompts", "insert", "sample", "rank", "metrics", "prep", "epochs")
NOTEBOOK_MODULES = ("matplotlib", "papermill", "nbformat", "nbconvert", "ipykernel", "ipykernel_launcher")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 a notebook failed, 2 bad input, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        return options.do(options)
    except KeyboardInterrupt:
        return _fail("stopped; finished parts are kept, and the same command goes on from there", 130)
    except ModuleNotFoundError as error:
        if error.name not in NOTEBOOK_MODULES:
            raise
        return _fail(f"{error.name} is not installed: pip install -c constraints.txt -e '.[notebooks]'")
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED_ERRORS as error:
        if options.traceback:
            traceback.print_exc()
        return _fail(str(error))


def _fail(message: str, status: int = 2) -> int:
    print(f"contrec: {' '.join(message.split())}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; ``options.do`` is the function that carries one out."""
    top = argparse.ArgumentParser(prog="contrec", description=__doc__)
    top.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    study = _add(commands, "study", _study, "train what is missing, then run every notebook")
    study.add_argument(
        "--datasets",
        type=_words,
        metavar="NAME,...",
        help="planted (default) | lastfm | ml1m | ml1m_all | beauty | beauty_positive | games | software | table",
    )
    study.add_argument(
        "--path",
        metavar="FILE",
        help="your own interactions for --datasets table: .csv or .parquet with columns user, item, timestamp and, "
        "where known, rating, title, brand, category; trained and evaluated without notebooks",
    )
    study.add_argument("--preset", default="tiny", help="how much is run: tiny (default) | laptop | gpu")
    recipes = "paper (default of --ablation) | released | tuned (default)"
    study.add_argument("--recipes", type=_words, metavar="NAME,...", help=recipes)
    study.add_argument("--seeds", type=_numbers, metavar="N,...", help="one training run each; default: 0")
    models = "contrec (default) | deftrec (default of --ablation); baselines with --grid"
    study.add_argument("--models", type=_words, metavar="NAME,...", help=models)
    study.add_argument("--source", help="raw (default) | released | sample (of software)")
    study.add_argument("--split", help="leave_one_out (default) | time_point | unseen_users")
    study.add_argument("--processes", type=int, default=1, metavar="N", help="training processes (GPUs); default: 1")
    study.add_argument("--grid", action="store_true", help="fill the grid of baselines, cheapest first, instead")
    study.add_argument("--ablation", action="store_true", help="run models with one thing changed each instead")
    study.add_argument("--arms", type=_words, metavar="NAME,...", help="of the ablation; default: all that change it")
    workers = "processes of the grid or the ablation, one thread each"
    study.add_argument("--workers", type=int, default=1, metavar="N", help=workers)
    study.add_argument("--record", action="store_true", help="write the results to data/reproduced")
    study.add_argument("--no-notebooks", action="store_true", help="train (or resume) the runs only")

    search = _add(commands, "search", _search, "search settings of the baselines on LastFM's validation users")
    search.add_argument("--models", type=_words, metavar="NAME,...", help="default: all that can be searched")
    search.add_argument("--trials", type=int, default=20, metavar="N", help="of each model, in all; default: 20")
    search.add_argument("--workers", type=int, default=1, metavar="N", help="processes of one thread each; default: 1")
    search.add_argument("--record", action="store_true", help="write the trials to data/reproduced/search")

    sweep = _add(commands, "sweep", _sweep, "one setting at a time: chosen on validation users, reported on test users")
    sweep.add_argument("--model", default="contrec", help="contrec (default) | deftrec")
    sweep.add_argument("--recipe", default="tuned", help="paper | released | tuned (default)")
    sweep.add_argument("--datasets", type=_words, default=["planted"], metavar="NAME,...", help="default: planted")
    sweep.add_argument("--source", help="raw (default) | released | sample (of software)")
    sweep.add_argument("--preset", default="tiny", help="how much is run: tiny (default) | laptop | gpu")
    sweep.add_argument("--parameters", type=_words, metavar="NAME,...", help="rho,K,gamma_1,...; default: all possible")
    sweep.add_argument(
        "--seeds", type=_numbers, default=[0], metavar="N,...",
        help="the first for every value, the others for the best and the default; default: 0",
    )  # fmt: skip
    sweep.add_argument("--workers", type=int, default=1, metavar="N", help="processes of one thread each; default: 1")
    sweep.add_argument("--slurm", action="store_true", help="start the workers as jobs of SLURM and return")
    sweep.add_argument("--record", action="store_true", help="write what is finished to data/reproduced")

    run = _add(commands, "run", _run, "execute one notebook with other parameters")
    run.add_argument("notebook", metavar="NOTEBOOK", help="its name or number, such as 03_training or 03")
    run.add_argument(
        *("-p", "--parameter"), nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
        help="one of the notebook's parameters, such as -p dataset lastfm -p seeds '[0, 1]'; may be repeated",
    )  # fmt: skip

    report = _add(commands, "report", _report, "write the report of a study from what is there")
    report.add_argument("--datasets", type=_words, default=["planted"], metavar="NAME,...", help="default: planted")
    report.add_argument("--preset", default="tiny", help="of the study: tiny (default) | laptop | gpu")

    _add(commands, "datasets", _datasets, "which datasets are here, from where, with statistics")
    _add(commands, "runs", _runs, "finished runs and floors, with their results")

    claims = _add(commands, "claims", _claims, "every claim in numbers of both papers, recomputed, grouped by outcome")
    claims.add_argument("--all", action="store_true", help="also list the claims that agree, not only count them")

    compare = _add(commands, "compare", _compare, "paired bootstrap of two runs on their kept ranks")
    named = "its name in `contrec runs`, or the beginning of it"
    compare.add_argument("run_a", metavar="RUN", help=f"{named}; NAME:contrec/user-token is a control kept with it")
    compare.add_argument("run_b", metavar="RUN", help="what it is compared with: differences are first minus second")

    recommend = _add(commands, "recommend", _recommend, "ranked items with their preference text from a finished run")
    recommend.add_argument("run", metavar="RUN", help=named)
    who = recommend.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="a user of the run's dataset, by original id")
    who.add_argument("--history", type=_words, metavar="ID,...", help="original item ids, oldest first")
    who.add_argument("--all", action="store_true", help="every user; needs --out")
    recommend.add_argument("--out", type=Path, metavar="FILE", help="write a .parquet or .csv file")
    recommend.add_argument("-k", type=int, default=10, help="items per user; default: 10")

    bench = _add(commands, "bench", _bench, "time each lever of speed against the layout it replaces, results compared")
    bench.add_argument(
        "stage", nargs="?", metavar="STAGE", help=f"{' | '.join(BENCH_STAGES)}; all of them if not given"
    )
    bench.add_argument("--record", action="store_true", help="write the tables of all stages to data/reproduced")
    bench.add_argument("--device", default="cpu", help="cpu (default, one thread) | cuda (timed by CUDA events)")
    return top


def _add(commands, name: str, do, text: str) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    sub.set_defaults(do=do)
    return sub


def _words(text: str) -> list[str]:
    words = [w.strip() for w in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"names separated by commas are wanted, got {text!r}")
    return words


def _numbers(text: str) -> list[int]:
    try:
        return [int(w) for w in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers separated by commas are wanted, got {text!r}") from None


def _study(options) -> int:
    from .checks import one_of, positive
    from .data import SOURCES_OF
    from .study.config import Config
    from .study.runner import run_all

    positive("processes", options.processes)
    positive("workers", options.workers)
    if options.grid:
        return _grid(options)
    if options.ablation:
        return _ablation(options)
    if options.arms:
        raise ValueError("--arms belongs to --ablation")
    options.datasets, options.models = options.datasets or ["planted"], options.models or ["contrec"]
    options.recipes = options.recipes or ["tuned"]
    options.seeds, options.split = options.seeds or [0], options.split or "leave_one_out"
    own_file = "table" in options.datasets
    if own_file and options.path is None:
        raise ValueError("dataset table is a file of your own: name it with --path FILE (.csv or .parquet)")
    if options.path is not None and options.datasets != ["table"]:
        raise ValueError(f"--path belongs to --datasets table, got --datasets {','.join(options.datasets)}")
    for dataset in options.datasets:
        one_of("dataset", dataset, tuple(SOURCES_OF))
        one_of(f"source of {dataset}", options.source or SOURCES_OF[dataset][0], SOURCES_OF[dataset])
    for dataset, recipe, model in itertools.product(options.datasets, options.recipes, options.models):
        Config.from_parameters(
            model, recipe, options.preset, dataset=dataset, source=options.source, split=options.split,
            seeds=options.seeds,
        )  # fmt: skip
    failed = []
    for dataset in options.datasets:
        combinations = list(itertools.product(options.recipes, options.seeds, options.models))
        first = options.no_notebooks or options.record or own_file or options.processes > 1
        if first or len(combinations) > 1:
            from .study.runs import train_runs

            train_runs(
                dataset=dataset,
                source=options.source or SOURCES_OF[dataset][0],
                split=options.split,
                preset=options.preset,
                recipes=options.recipes,
                seeds=options.seeds,
                models=options.models,
                progress=True,
                path=options.path,
                write=options.record,
                processes=options.processes,
            )
        if options.no_notebooks or own_file:
            continue
        shared = {"dataset": dataset, "preset": options.preset, "recipe": options.recipes[0], "seeds": options.seeds}
        if options.models != ["contrec"]:
            shared["model"] = options.models[0]
        if options.source:
            shared["source"] = options.source
        if options.split != "leave_one_out":
            shared["split"] = options.split
        folder = _study_folder(dataset, options.preset)
        outcomes = run_all(shared, folder, say=_say, progress=sys.stderr.isatty())
        failed += [o for o in outcomes if o.error]
        _say(f"executed notebooks (.ipynb and .html, with tables and figures): {folder}")
        _write_report(dataset, options.preset)
    _say(f"runs and other artifacts: {paths.artifacts()}; `contrec runs` lists them")
    if failed:
        print(f"contrec: {len(failed)} failed: {', '.join(str(o.path) for o in failed)}", file=sys.stderr)
    return 1 if failed else 0


def _study_folder(dataset: str, preset: str) -> Path:
    return paths.artifacts() / "notebooks" / f"{dataset}-{preset}"


def _write_report(dataset: str, preset: str) -> None:
    from .study.report import write

    _say(f"report, one page to look at: {write(_study_folder(dataset, preset), dataset, preset)}")


def _report(options) -> int:
    from .checks import one_of
    from .data import SOURCES_OF
    from .study.config import PRESETS

    one_of("preset", options.preset, tuple(PRESETS))
    for dataset in options.datasets:
        one_of("dataset", dataset, tuple(SOURCES_OF))
    for dataset in options.datasets:
        _write_report(dataset, options.preset)
    return 0


def _grid(options) -> int:
    from .study import grid

    splits = options.split and [options.split]
    return _fill(grid, grid.cells(options.datasets, options.models, options.seeds, splits), options)


def _fill(kind, wanted: list, options) -> int:
    """Make the cells of a kind (``grid``, ``ablation``) that are missing, and tell what is there, stopped or not."""
    try:
        kind.fill(wanted, workers=options.workers, progress=sys.stderr.isatty(), say=_say)
    finally:
        _say(_table(kind.overview(wanted)))
        for path in kind.record(wanted) if options.record else ():
            _say(str(path))
    return 0


def _ablation(options) -> int:
    from .study import ablation

    full = ablation.studies(
        options.datasets or ["planted"], options.models or ["deftrec"], options.recipes or ["paper"],
        preset=options.preset, source=options.source, split=options.split or "leave_one_out",
        seeds=options.seeds or [0],
    )  # fmt: skip
    return _fill(ablation, [cell for config in full for cell in ablation.cells(config, options.arms)], options)


def _search(options) -> int:
    from .study import search

    found = search.search(options.models, trials=options.trials, workers=options.workers, progress=sys.stderr.isatty())
    best = found.loc[found.groupby("model")[search.METRIC].idxmax()] if len(found) else found
    _say(_table(best))
    if options.record:
        _say(str(search.record(options.trials)))
    return 0


def _sweep(options) -> int:
    from .study import sweep, sweep_tables
    from .study.config import Config

    configs = [
        Config.from_parameters(
            options.model, options.recipe, options.preset, dataset=dataset, source=options.source, seeds=options.seeds
        )
        for dataset in options.datasets
    ]
    asked = [sweep.checked(config, options.parameters) for config in configs]  # all of them before the first training
    for config, parameters in zip(configs, asked, strict=True):
        if options.slurm:
            jobs = sweep.submit(config, parameters, options.workers)
            _say(f"{config.dataset}: jobs {', '.join(job.job_id for job in jobs)}; the same command without --slurm")
            _say("shows what they have found, and helps them where something is left")
            continue
        try:
            sweep.fill(config, parameters, workers=options.workers, say=_say)
        finally:
            found = sweep_tables.sweep_results(config, parameters)
            if len(found):
                _say(
                    _table(sweep_tables.sweep_table(config, found, sweep_tables.sweep_evaluations(config, parameters)))
                )
            if options.record and len(found):
                _say(str(sweep_tables.record(config, parameters)))
    return 0


def _run(options) -> int:
    from .study.runner import find_notebook, run_notebook

    name = find_notebook(options.notebook).stem
    parameters = {key: _literal(value) for key, value in options.parameters}
    outcome = run_notebook(
        options.notebook, parameters, paths.artifacts() / "notebooks" / name, progress=sys.stderr.isatty()
    )
    _say(f"{outcome.name}: {outcome.seconds / 60:.1f} min, {outcome.path}")
    return _fail(f"{outcome.name} failed in {outcome.error}", 1) if outcome.error else 0


def _literal(text: str):
    """A Python literal where the text is one (numbers, lists, True, None), else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _datasets(options) -> int:
    import pandas as pd

    from .data.statistics import statistics

    found = statistics()
    for column in found.columns.intersection(["first_time", "last_time"]):
        found[column] = pd.to_datetime(found[column], unit="s").dt.strftime("%Y-%m-%d")
    shown = ["dataset", "source", "users", "items", "interactions", "length", "density_percent", "tied_percent"]
    here = found[found["note"] == ""]
    _say(_table(here[found.columns.intersection([*shown, "first_time", "last_time"], sort=False)]))
    for row in found[found["note"] != ""].itertuples():
        _say(f"not here: {row.dataset} {row.source}: {row.note}")
    return 0


def _runs(options) -> int:
    from .study.lookup import list_runs

    found = list_runs()
    _say(_table(found) if len(found) else "no runs yet: contrec study makes some")
    return 0


def _claims(options) -> int:
    from .study import claims

    frame = claims.ledger()
    _say(claims.as_text(frame, max(100, shutil.get_terminal_size((150, 24)).columns), everything=options.all))
    _say(f"\n{claims.summary(frame).to_string(index=False)}")
    return 0


def _compare(options) -> int:
    from .study.lookup import compare

    _say(_table(compare(options.run_a, options.run_b)))
    return 0


def _recommend(options) -> int:
    if options.k < 1:
        raise ValueError(f"k must be at least 1, got {options.k}")
    if options.all and options.out is None:
        raise ValueError("--all needs --out FILE.parquet (or .csv)")
    if options.out is not None and options.out.suffix not in (".parquet", ".csv"):
        raise ValueError(f"--out must end in .parquet or .csv, got {options.out}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)  # told now rather than after all users were asked
    from .study.lookup import recommend

    users = None if options.user is None else [options.user]
    found = recommend(options.run, users=users, history=options.history, all=options.all, k=options.k)
    if options.out is None:
        _say(_table(found))
        return 0
    part = options.out.with_name(f".{options.out.stem}.{os.getpid()}{options.out.suffix}")
    try:
        if options.out.suffix == ".parquet":
            found.to_parquet(part, index=False)
        else:
            found.to_csv(part, index=False)
        os.replace(part, options.out)  # whole or not at all
    finally:
        part.unlink(missing_ok=True)
    _say(f"{len(found)} rows: {options.out}")
    return 0


def _bench(options) -> int:
    from . import bench
    from .checks import one_of

    one_of("stage", options.stage or "train-step", BENCH_STAGES)
    one_of("device", options.device, ("cpu", "cuda"))
    bench.available(options.device)
    if options.record and options.stage:
        raise ValueError("--record wants all stages in one run: leave the stage out")
    outcomes, start = {}, time.perf_counter()
    stages = [options.stage] if options.stage else BENCH_STAGES
    for stage in itertools.chain.from_iterable(bench.PARTS.get(stage, (stage,)) for stage in stages):
        benchmark = bench.benchmark(stage, options.device)
        outcomes[stage] = outcome = bench.run(benchmark, options.device)
        _say(f"\n{stage}: {benchmark.shape}\n{_table(outcome.table)}")
        for line in (*outcome.checks, *outcome.verdicts):
            _say(str(line))
        _say(f"ratio={outcome.ratio:.2f}")
    differ = [stage for stage, outcome in outcomes.items() if not outcome.equal]
    if options.record and not differ:
        from .study.efficiency import record_bench

        record_bench(outcomes, options.device, time.perf_counter() - start)
    return _fail(f"results differ in {', '.join(differ)}", 1) if differ else 0


def _table(frame) -> str:
    return frame.to_string(index=False, na_rep="-", float_format=lambda x: f"{x:.4f}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
