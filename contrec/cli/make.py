"""Commands that make something: studies, single notebooks, the report."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from pathlib import Path

from contrec import paths
from contrec.cli.text import fail, hint, say, table
from contrec.data.table import ROLES

# What is said of a file of one's own, by the keyword of contrec.data.table.load -> the parameter of 10_your_own_data
PARAMETERS = {**{role: f"{role}_column" for role in ROLES}, "events": "events", "items": "items_path"}
PARAMETERS["items_id"] = "items_id_column"
OF_ITS_OWN = "/random-backbone"  # a control that is a run of its own, not a part of one


def study(options) -> int:
    from contrec.checks import positive
    from contrec.study.config import Config

    positive("processes", options.processes)
    positive("workers", options.workers)
    columns = columns_of(options)
    if options.path is not None:
        options.datasets = options.datasets or ["table"]
        if options.datasets != ["table"]:
            raise ValueError(
                f"--path is a study of its own (--datasets table), got {','.join(options.datasets)} beside it"
            )
        if options.record:
            raise ValueError("--record is for official data: results of your own file stay in the artifacts folder")
    options.datasets = options.datasets or ["planted"]
    own_file = "table" in options.datasets
    if own_file and options.path is None:
        raise ValueError("dataset table is a file of your own: name it with --path FILE")
    configs = [
        Config.from_parameters(
            model, recipe, options.preset, dataset=dataset, source=options.source, split=options.split,
            refit=options.refit, seeds=options.seeds, path=options.path, columns=columns,
        )
        for dataset, model, recipe in itertools.product(options.datasets, options.models, options.recipes)
    ]  # fmt: skip
    check_ready(configs)
    if own_file:
        from contrec.data.splits import require_training
        from contrec.study.fitting import load_split

        _say_what_is_read(configs[0])
        require_training(load_split(configs[0]))  # before the floors, too
    failed, several = [], len(options.recipes) * len(options.seeds) * len(options.models) > 1
    for dataset in options.datasets:
        asked = [config for config in configs if config.dataset == dataset]
        config, found = asked[0], None
        if several or options.no_notebooks or options.refit or options.record or own_file or options.processes > 1:
            found = _train(options, asked)  # before the notebooks, which find it
        stopped = [] if options.no_notebooks or options.refit or own_file else _notebooks(options, dataset)
        failed += stopped
        if stopped:
            _write_report(dataset, options.preset, config=config)
            continue
        ranked = _ranked(_train(options, asked) if found is None else found, config)
        _write_report(dataset, options.preset, ranked, config)
        _answer(ranked, config)
    say(f"\nruns and other artifacts: {paths.artifacts()}; `contrec runs` lists them")
    return fail(f"{len(failed)} failed: {', '.join(str(o.path) for o in failed)}", 1) if failed else 0


def _train(options, configs):
    """The results of everything that is asked for on one dataset; what is in the store is not run again."""
    from contrec.study.evaluating import train_runs

    return train_runs(configs, progress=True, write=options.record, processes=options.processes)


def _notebooks(options, dataset: str) -> list:
    """Run every notebook; returns the outcomes of those that failed."""
    from contrec.report.notebooks import run_all

    shared = {"dataset": dataset, "preset": options.preset, "recipe": options.recipes[0], "seeds": options.seeds}
    if options.models != ["contrec"]:
        shared["model"] = options.models[0]
    if options.source:
        shared["source"] = options.source
    if options.split != "leave_one_out":
        shared["split"] = options.split
    folder = _study_folder(dataset, options.preset)
    start = time.perf_counter()
    outcomes = run_all(shared, folder, workers=options.workers, say=say, progress=sys.stderr.isatty())
    took = f"{(time.perf_counter() - start) / 60:.1f} min"
    say(f"executed notebooks (.ipynb and .html, with tables and figures), in {took}: {folder}")
    return [o for o in outcomes if o.error]


def columns_of(options, ending: str = "") -> dict[str, str]:
    """How the columns of the file in ``--path`` are called, by role, as far as that was said.

    Args:
        ending: of the options that name columns.
    """
    columns = {role: getattr(options, f"column_{role}", None) for role in PARAMETERS}
    columns = {role: name for role, name in columns.items() if name is not None}
    if columns and options.path is None:
        role = next(iter(columns))
        option = role.replace("_", "-") + (ending if role in ROLES else "")
        raise ValueError(f"--{option} is about a file of your own: name that with --path FILE")
    return columns


def check_ready(configs) -> None:
    """Find, or fetch, what the configs need before anything is run.

    Raises:
        DataError: naming everything that is missing.
    """
    from contrec import data

    needed = dict.fromkeys((config.dataset, config.source) for config in configs if config.path is None)
    problems = [p for names in needed for p in data.missing(*names, progress=sys.stderr.isatty())]
    for backbone in dict.fromkeys(config.recommender.language.backbone for config in configs):
        problems += _missing_backbone(backbone)
    if problems:
        raise data.DataError(f"nothing was started, {len(problems)} missing: {'; '.join(problems)}")


def _missing_backbone(name: str) -> list[str]:
    """What is wrong with a backbone that is not the tiny one: its settings can neither be read nor fetched."""
    if name == "tiny":
        return []
    from contrec.language.pretrained import read_config

    try:
        read_config(name)
    except OSError as error:
        return [str(error)]
    return []


def _ranked(found, config):
    """The ranking of all models, best first, and the commands that ask the best, and the best of the whole models."""
    from contrec.report.page import Ranked
    from contrec.study.config import MODELS
    from contrec.study.fitting import load_split
    from contrec.study.tables import best_first

    ranking, asks = best_first(found), {}
    user = shlex.quote(f"--user={load_split(config).train.user_ids[0]}")
    can = ranking[~ranking.model.str.endswith("/seen-kept")]  # another question
    best, own = can.iloc[0], can[can.model.isin(MODELS)].iloc[0]
    for row in [best] if best.model == own.model else [best, own]:
        a_part = row.model.startswith(MODELS) and row.model not in (*MODELS, *(f"{m}{OF_ITS_OWN}" for m in MODELS))
        ask = f"contrec recommend {row.run}:{row.model}" if a_part else f"contrec recommend {row.run}"
        name = f"{row.model} {row.recipe}".strip() + f", seed {row.seed}"
        asks[name] = [f"{ask} {user} -k 10", f"{ask} --all --out recommendations.csv -k 10"]
    return Ranked(ranking, asks)


def _answer(found, config) -> None:
    """Say what ranks best and how it is asked; the lists of those models are kept, so that the answer is there."""
    from contrec.study.lists import keep_lists

    shown = table(found.ranking.drop(columns="run"))
    say(f"\n{config.dataset}, {config.source}, {config.protocol}: every model, best first\n{shown}")
    for name, commands in found.asks.items():
        keep_lists(commands[0].split()[2], hint)
        say(f"\nrecommendations of {name}:")
        for command in commands:
            say(f"  {command}")


def _study_folder(dataset: str, preset: str) -> Path:
    return paths.artifacts() / "notebooks" / f"{dataset}-{preset}"


def _write_report(dataset: str, preset: str, found=None, config=None) -> None:
    from contrec.report.page import write

    name = dataset if config is None or config.path is None else Path(config.path).name
    say(f"report, one page to look at: {write(_study_folder(dataset, preset), name, preset, found)}")


def report(options) -> int:
    from contrec.checks import one_of
    from contrec.data import SOURCES_OF
    from contrec.study.config import PRESETS

    one_of("preset", options.preset, tuple(PRESETS))
    for dataset in options.datasets:
        one_of("dataset", dataset, tuple(SOURCES_OF))
    for dataset in dict.fromkeys(options.datasets):
        _write_report(dataset, options.preset)
    return 0


def findings(options) -> int:
    from contrec.report.findings import write

    say(f"what was found, from what is recorded: {write()}")
    return 0


def run(options) -> int:
    from contrec.report.notebooks import find_notebook, run_notebook
    from contrec.report.parameters import read_parameters
    from contrec.study.config import Config

    source = find_notebook(options.notebook)
    columns = columns_of(options)
    own_file = {} if options.path is None else {"path": options.path}
    own_file |= {PARAMETERS[role]: name for role, name in columns.items()}
    parameters = read_parameters(source, [*own_file.items(), *options.parameters])
    if parameters.get("path") is not None:
        columns = {role: parameters.get(name) for role, name in PARAMETERS.items()}
        _say_what_is_read(Config.from_parameters(dataset="table", path=parameters["path"], columns=columns))
    folder = paths.artifacts() / "notebooks" / source.stem
    outcome = run_notebook(str(source), parameters, folder, progress=sys.stderr.isatty())
    say(f"{outcome.name}: {outcome.seconds / 60:.1f} min, {outcome.path}")
    return fail(f"{outcome.name} failed in {outcome.error}", 1) if outcome.error else 0


def _say_what_is_read(config) -> None:
    """The summary of a file of one's own.

    Raises:
        DataError: if it cannot be read.
    """
    from contrec.data.table import summary

    say(f"{table(summary(**config.own_file).reset_index())}\n")
