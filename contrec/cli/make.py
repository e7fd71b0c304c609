"""Commands that make something: studies, grids, ablations, searches, sweeps, single notebooks, the report."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from contrec import paths
from contrec.cli.text import fail, literal, say, table


def study(options) -> int:
    from contrec.checks import one_of, positive
    from contrec.data import SOURCES_OF
    from contrec.study.config import Config
    from contrec.study.runner import run_all

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
            from contrec.study.runs import train_runs

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
        outcomes = run_all(shared, folder, say=say, progress=sys.stderr.isatty())
        failed += [o for o in outcomes if o.error]
        say(f"executed notebooks (.ipynb and .html, with tables and figures): {folder}")
        _write_report(dataset, options.preset)
    say(f"runs and other artifacts: {paths.artifacts()}; `contrec runs` lists them")
    if failed:
        print(f"contrec: {len(failed)} failed: {', '.join(str(o.path) for o in failed)}", file=sys.stderr)
    return 1 if failed else 0


def _study_folder(dataset: str, preset: str) -> Path:
    return paths.artifacts() / "notebooks" / f"{dataset}-{preset}"


def _write_report(dataset: str, preset: str) -> None:
    from contrec.study.report import write

    say(f"report, one page to look at: {write(_study_folder(dataset, preset), dataset, preset)}")


def report(options) -> int:
    from contrec.checks import one_of
    from contrec.data import SOURCES_OF
    from contrec.study.config import PRESETS

    one_of("preset", options.preset, tuple(PRESETS))
    for dataset in options.datasets:
        one_of("dataset", dataset, tuple(SOURCES_OF))
    for dataset in options.datasets:
        _write_report(dataset, options.preset)
    return 0


def _grid(options) -> int:
    from contrec.study import grid

    splits = options.split and [options.split]
    return _fill(grid, grid.cells(options.datasets, options.models, options.seeds, splits), options)


def _fill(kind, wanted: list, options) -> int:
    """Make the cells of a kind (``grid``, ``ablation``) that are missing, and tell what is there, stopped or not."""
    try:
        kind.fill(wanted, workers=options.workers, progress=sys.stderr.isatty(), say=say)
    finally:
        say(table(kind.overview(wanted)))
        for path in kind.record(wanted) if options.record else ():
            say(str(path))
    return 0


def _ablation(options) -> int:
    from contrec.study import ablation

    full = ablation.studies(
        options.datasets or ["planted"], options.models or ["deftrec"], options.recipes or ["paper"],
        preset=options.preset, source=options.source, split=options.split or "leave_one_out",
        seeds=options.seeds or [0],
    )  # fmt: skip
    return _fill(ablation, [cell for config in full for cell in ablation.cells(config, options.arms)], options)


def search(options) -> int:
    from contrec.study import search

    found = search.search(options.models, trials=options.trials, workers=options.workers, progress=sys.stderr.isatty())
    best = found.loc[found.groupby("model")[search.METRIC].idxmax()] if len(found) else found
    say(table(best))
    if options.record:
        say(str(search.record(options.trials)))
    return 0


def sweep(options) -> int:
    from contrec.study import sweep, sweep_tables
    from contrec.study.config import Config

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
            say(f"{config.dataset}: jobs {', '.join(job.job_id for job in jobs)}; the same command without --slurm")
            say("shows what they have found, and helps them where something is left")
            continue
        try:
            sweep.fill(config, parameters, workers=options.workers, say=say)
        finally:
            found = sweep_tables.sweep_results(config, parameters)
            if len(found):
                say(table(sweep_tables.sweep_table(config, found, sweep_tables.sweep_evaluations(config, parameters))))
            if options.record and len(found):
                say(str(sweep_tables.record(config, parameters)))
    return 0


def run(options) -> int:
    from contrec.study.runner import find_notebook, run_notebook

    name = find_notebook(options.notebook).stem
    parameters = {key: literal(value) for key, value in options.parameters}
    outcome = run_notebook(
        options.notebook, parameters, paths.artifacts() / "notebooks" / name, progress=sys.stderr.isatty()
    )
    say(f"{outcome.name}: {outcome.seconds / 60:.1f} min, {outcome.path}")
    return fail(f"{outcome.name} failed in {outcome.error}", 1) if outcome.error else 0
