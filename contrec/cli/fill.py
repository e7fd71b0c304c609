"""``contrec fill``: what an experiment wants and is not in the store is made, here or on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from contrec.cli.make import check_ready
from contrec.cli.text import say, table
from contrec.files import Damaged


@dataclass
class Work:
    """What one experiment wants: configs whose data must be there, its plan, and what is shown and recorded of it."""

    title: str
    configs: list
    plan: Callable
    show: Callable
    record: Callable[[], list[Path]]
    seconds: Callable | None = None  # what jobs are expected to take


def fill(options) -> int:
    from contrec.checks import positive
    from contrec.study import jobs

    positive("workers", options.workers)
    wanted = list(KINDS[options.kind](options))  # all of them before the first training
    check_ready([config for work in wanted for config in work.configs])
    damaged = []
    for work in wanted:
        plan = work.plan()
        if options.slurm:
            sent = jobs.submit(plan, options.workers, title=work.title)
            say(f"{work.title}: jobs {', '.join(job.job_id for job in sent)}; the same command without --slurm shows")
            say("what they have found, and helps them where something is left")
            continue
        try:
            jobs.fill(
                plan, workers=options.workers, progress=sys.stderr.isatty(), title=work.title, say=say,
                seconds=work.seconds,
            )  # fmt: skip
            whole = True
        except Damaged as error:  # the others do not need it
            damaged.append(str(error))
            whole = False
        finally:
            with suppress(Damaged):  # it is told below
                if (shown := work.show()) is not None:
                    say(table(shown))
        for path in work.record() if options.record and whole else ():
            say(str(path))
    if damaged:
        raise Damaged("; ".join(dict.fromkeys(damaged)))
    return 0


def _baselines(options) -> Iterator[Work]:
    from contrec.checks import positive
    from contrec.experiments.baselines import cells
    from contrec.study.jobs import overview

    positive("processes", options.processes)
    own = cells.select(options.datasets, options.models, options.seeds, options.split and [options.split])
    own = [replace(cell, processes=options.processes) for cell in own]
    yield Work(
        "baselines", [cell.config for cell in own], partial(cells.plan_of, own), partial(overview, own),
        partial(cells.record, own), cells.estimates,
    )  # fmt: skip


def _ablation(options) -> Iterator[Work]:
    from contrec.experiments.ablation import cells
    from contrec.study.jobs import overview

    full = cells.studies(
        options.datasets, options.models, options.recipes, preset=options.preset, source=options.source,
        split=options.split, seeds=options.seeds,
    )  # fmt: skip
    own = cells.of_all(full, options.arms)
    yield Work(
        "ablation", [cell.config for cell in own], partial(cells.plan_of, own), partial(overview, own),
        partial(cells.record, own), cells.estimates,
    )  # fmt: skip


def _sweep(options) -> Iterator[Work]:
    from contrec.experiments.sweep import points, tables

    for config in _configs(options, model=options.model, recipe=options.recipe):
        parameters = points.checked(config, options.parameters)

        def show(config=config, parameters=parameters):
            found = tables.sweep_results(config, parameters)
            kept = tables.sweep_evaluations(config, parameters)
            return tables.sweep_table(config, found, kept) if len(found) else None

        def record(config=config, parameters=parameters):
            return [tables.record(config, parameters)] if len(tables.sweep_results(config, parameters)) else []

        yield Work("sweep", [config], partial(points.plan_of, config, parameters), show, record)


def _search(options) -> Iterator[Work]:
    from contrec.checks import positive
    from contrec.experiments.baselines import search

    if options.trials is not None:
        positive("trials", options.trials)
    for dataset in options.datasets:
        place = search.place(dataset, options.source, options.split)

        def show(place=place):
            found = search.trials_table([place], options.models)
            return found.loc[found.groupby("model", sort=False)[search.METRIC].idxmax()] if len(found) else None

        plan = partial(search.plan_of, [place], options.models, options.trials)
        yield Work("search", [search.config_of(place)], plan, show, lambda p=place: [search.record(p, options.trials)])


def _reconstruction(options) -> Iterator[Work]:
    from contrec.experiments.reconstruction import runs, tables
    from contrec.study.jobs import overview

    for config in _configs(options):
        inputs, *_ = runs.setup(config, options.inputs)
        own = runs.wanted(config, inputs)

        def record(config=config, inputs=inputs, own=own):
            found = runs.found(own)
            return [tables.record(config, found, inputs)] if len(found) else []

        yield Work("reconstruction", [config], partial(runs.plan_of, own), partial(overview, own), record)


def _configs(options, **more) -> list:
    from contrec.study.config import Config

    return [
        Config.from_parameters(
            preset=options.preset, dataset=dataset, source=options.source, seeds=options.seeds, **more
        )
        for dataset in options.datasets
    ]


KINDS = {
    "baselines": _baselines, "ablation": _ablation, "sweep": _sweep, "search": _search,
    "reconstruction": _reconstruction,
}  # fmt: skip
