"""What sweeps have found: rows for ``data/reproduced``, curves for the figure, and one row of judgement a parameter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.evaluation import Evaluation, paired_bootstrap
from contrec.experiments.sweep.points import (
    METRIC,
    PARAMETERS,
    checked,
    plan,
    setting_of,
    value_of,
    values_of,
    why_fixed,
)
from contrec.study import evaluating, words
from contrec.study.config import TITLES, Config
from contrec.study.recording import entry_of, read_ranks, read_table, write_results

COLUMNS = [*evaluating.COLUMNS, "parameter", "x", "kind", "part"]
# What the papers' text says of their curves, whose values are not printed: ends of the best range, and where
PRINTED: dict[tuple[str, str], tuple[float, float, str]] = {
    ("deftrec", "rho"): (0.2, 0.2, "0.2 (Sect. 3.5.1)"),
    ("deftrec", "gamma_1"): (0.5, 1.0, "0.5 to 1 (Sect. 3.5.2)"),
    ("deftrec", "gamma_2"): (0.0, 0.5, "0 to 0.5 (Sect. 3.5.2)"),
    ("deftrec", "K"): (2, 2, "2, selected (Sect. 3.1.4)"),
}
UNSAID = {("contrec", "gamma_1"): "Fig. 3, not available", ("contrec", "gamma_2"): "Fig. 3, not available"}


def parameter_table(config: Config) -> pd.DataFrame:
    """What can be swept under a config: parameter, setting, kind, values, source; or why not."""
    rows = []
    for name, parameter in PARAMETERS.items():
        row = {"parameter": name, "setting": setting_of(config, name), "kind": parameter.kind}
        row["values"] = why_fixed(config, name) or ", ".join(_short(x) for x in values_of(config, name))
        rows.append({**row, "source": parameter.source})
    return pd.DataFrame(rows)


def sweep_results(config: Config, parameters: Sequence[str] | None = None) -> pd.DataFrame:
    """Metrics of the finished points, in :data:`COLUMNS`: a row per point, part and metric."""
    frames = []
    for p in plan(config, checked(config, parameters)):
        if p.done:
            rows = evaluating.rows_of(p.base, p.folder, p.seed, recipe=config.recipe, preset=config.preset)
            own = {"parameter": p.parameter, "x": p.x, "kind": p.kind, "part": rows.model, "model": config.model}
            frames.append(rows.assign(**own)[COLUMNS])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


Kept = dict[tuple[str, "float | str", int, str], Evaluation]


def sweep_evaluations(config: Config, parameters: Sequence[str] | None = None) -> Kept:
    """Kept ranks of the finished points by parameter, value, seed and part."""
    return {
        (p.parameter, p.x, p.seed, part): e
        for p in plan(config, checked(config, parameters)) if p.done
        for part, e in evaluating.kept_evaluations(p.folder).items()
    }  # fmt: skip


def sweep_curves(config: Config, found: pd.DataFrame, kept: Kept, metric: str = METRIC) -> pd.DataFrame:
    """What ``plots.sweep`` draws: a row per parameter, value and part, seeds averaged.

    Args:
        found, kept: from :func:`sweep_results` and :func:`sweep_evaluations`, or :func:`recorded_sweep`.

    Returns:
        parameter, title, kind, x, part, value, n_seeds, default and best (by validation, with the first seed; where the
        curve is whole), difference from the default value in percentage points, diff_low, diff_high (95 % paired, over
        users and the trainings that both have; NaN where the default is to come), paper_low, paper_high (NaN where none
        is said).
    """
    own = found[found.metric == metric]
    grouped = own.groupby(["parameter", "kind", "x", "part"], sort=False)
    frame = grouped.agg(value=("value", "mean"), n_seeds=("seed", "nunique")).reset_index()
    first = own[(own.part == "validation") & (own.seed == config.seeds[0])]
    top = {name: _best(rows) for name, rows in first.groupby("parameter") if len(rows) == len(values_of(config, name))}
    frame["title"] = [PARAMETERS[name].title for name in frame.parameter]
    default = [value_of(config, name) for name in frame.parameter]
    frame["default"] = frame.x == default
    frame["best"] = [x == top.get(name) for name, x in zip(frame.parameter, frame.x, strict=True)]
    points = zip(frame.parameter, frame.x, default, frame.part, strict=True)
    against = [_difference(kept, *point, metric, n_boot=1000) for point in points]
    for column, name in (("difference", "difference"), ("diff_low", "low"), ("diff_high", "high")):
        frame[column] = [a[name] for a in against]
    said = [PRINTED.get((config.model, name), (np.nan, np.nan)) for name in frame.parameter]
    frame["paper_low"], frame["paper_high"] = [s[0] for s in said], [s[1] for s in said]
    order = {name: n for n, name in enumerate(PARAMETERS)}
    return frame.sort_values(["parameter"], key=lambda c: c.map(order), kind="stable").reset_index(drop=True)


def _difference(kept: Kept, name: str, x, default, part: str, metric: str = METRIC, n_boot: int = 10_000) -> dict:
    """A value against the default one, paired, over the seeds that both have; NaN where there are none."""
    both = [{seed for n, v, seed, p in kept if (n, v, p) == (name, value, part)} for value in (x, default)]
    seeds = sorted(both[0] & both[1])
    if not seeds:
        return {"difference": np.nan, "low": np.nan, "high": np.nan, "n_seeds": 0}
    sides = ([kept[name, value, seed, part] for seed in seeds] for value in (x, default))
    return {**paired_bootstrap(*sides, metric, n_boot), "n_seeds": len(seeds)}


def _best(rows: pd.DataFrame):
    return rows.sort_values("x").sort_values("value", ascending=False, kind="stable").x.iloc[0]


def sweep_table(config: Config, found: pd.DataFrame, kept: Kept) -> pd.DataFrame:
    """One row per parameter: what was tried, what validation users choose, what the papers say, and does it matter.

    Args:
        found, kept: from :func:`sweep_results` and :func:`sweep_evaluations`, or :func:`recorded_sweep`.

    Returns:
        parameter, kind, values, default, best by validation, papers' best, agrees?, spread (best minus worst value by
        validation, on test users with the first seed, percentage points), low, high (95 % paired, over users only),
        detectable, best against worst (the verdict of ``words.verdict``), best - default (test users, percentage
        points, seeds averaged user by user, with the interval over users and trainings).
    """
    first, rows = config.seeds[0], []
    for name, parameter in PARAMETERS.items():
        row = {"parameter": name, "kind": parameter.kind}
        own = found[(found.parameter == name) & (found.metric == METRIC) & (found.seed == first)]
        own = own[own.part == "validation"].sort_values("x")
        said = PRINTED.get((config.model, name))
        row["papers' best"] = said[2] if said else UNSAID.get((config.model, name), "not said")
        if not len(own):
            rows.append({**row, "values": why_fixed(config, name) or "not run"})
            continue
        row["values"] = ", ".join(_short(x) for x in own.x)
        row["default"] = _short(value_of(config, name))
        missing = len(values_of(config, name)) - len(own)
        if missing > 0:
            rows.append({**row, "best by validation": f"{missing} to come"})
            continue
        top, worst = _best(own), _best(own.assign(value=-own.value))
        row["best by validation"] = _short(top)
        row["agrees?"] = ("yes" if said[0] <= top <= said[1] else "no") if said else "-"
        outcome = paired_bootstrap(*(kept[name, x, first, "test"] for x in (top, worst)), METRIC)
        row["spread"] = outcome["difference"]
        row |= {column: outcome[column] for column in ("low", "high", "detectable")}
        word = words.verdict(row["low"], row["high"])
        row["best against worst"] = stale.shown(word, "stale" in own and own.stale.any())
        row["best - default"] = _gain(kept, name, top, value_of(config, name))
        rows.append(row)
    order = ["parameter", "kind", "values", "default", "best by validation", "papers' best", "agrees?"]
    order += ["spread", "low", "high", "detectable", "best against worst", "best - default"]
    return pd.DataFrame(rows).reindex(columns=order)


def found_in(config: Config, found: pd.DataFrame, kept: Kept) -> str:
    """What a sweep has found, in two sentences of its numbers: which settings matter, and what choosing has brought.

    Args:
        found, kept: from :func:`sweep_results` and :func:`sweep_evaluations`, or :func:`recorded_sweep`.
    """
    table = sweep_table(config, found, kept)
    table = table[table["spread"].notna()]
    head = f"{config.dataset}, {TITLES[config.model]} {config.recipe}"
    head = stale.shown(head, "stale" in found and found.stale.any())
    if not len(table):
        return f"{head}: no curve is whole yet."
    title = table.parameter.map(lambda name: PARAMETERS[name].title)
    word = pd.Series([words.verdict(*ends) for ends in zip(table.low, table.high, strict=True)], table.index)
    told = {w: [] for w in ("ahead", "behind")}
    for row in table[word != "level"].itertuples():
        told[word[row.Index]].append(f"{title[row.Index]} {words.points(row.spread, row.low, row.high)}")
    told |= {"level": title[word == "level"]}
    text = "; ".join(f"{w}: {', '.join(own)}" for w, own in told.items() if len(own))
    text = f"{head}: the best value against the worst, test users. {text[0].upper()}{text[1:]}."
    gains = {
        name: _difference(kept, name, _best_of(found, config, name), value_of(config, name), "test")
        for name in table.parameter[table["best by validation"] != table["default"]]
    }
    gains = {name: gain for name, gain in gains.items() if np.isfinite(gain["difference"])}
    if not gains:
        return text + " Validation chose the default each time."
    name = max(gains, key=lambda name: gains[name]["difference"])
    top = [gains[name][part] for part in ("difference", "low", "high")]
    text += f" Validation left the default for {len(gains)} of {len(table)}; the most that brought is "
    return text + f"{words.points(*top)} ({PARAMETERS[name].title}), {words.against(*top[1:])} the default."


def _best_of(found: pd.DataFrame, config: Config, name: str):
    """The value of a parameter that validation users of the first seed like best."""
    own = found[(found.parameter == name) & (found.metric == METRIC) & (found.seed == config.seeds[0])]
    return _best(own[own.part == "validation"])


def _gain(kept: Kept, name: str, best, default) -> str:
    """What choosing the best value brings, over the seeds that both values have."""
    if best == default:
        return "the same"
    found = _difference(kept, name, best, default, "test")
    shown, n = "{difference:+.2f} [{low:+.2f}, {high:+.2f}]".format(**found), found["n_seeds"]
    return f"{shown}, {f'{n} seeds' if n > 1 else '1 seed, users only'}"


def _short(x) -> str:
    return x if isinstance(x, str) else f"{x:g}"


def record(config: Config, parameters: Sequence[str] | None = None) -> Path:
    """Write the finished points, the ranks behind them and their provenance to ``data/reproduced``."""
    parameters = checked(config, parameters)
    path, kept = _recorded_path(config), sweep_evaluations(config, parameters)
    points = (((name, str(x), seed, part), e) for (name, x, seed, part), e in kept.items())
    entry = entry_of(config, {"parameters": parameters}, notebook="06_hyperparameters")
    return write_results(path, sweep_results(config, parameters), points, entry, ("parameter", "x", "seed", "part"))


def _recorded_path(config: Config) -> Path:
    names = (config.dataset, config.source, config.split, config.preset, config.model, config.recipe, "sweep")
    return paths.reproduced() / f"{'_'.join(names)}.csv"


def recorded_sweep(config: Config) -> tuple[pd.DataFrame, Kept]:
    """What :func:`record` has written, as :func:`sweep_results` and :func:`sweep_evaluations`; empty if nothing."""
    path = _recorded_path(config)
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS), {}
    found = read_table(path)
    found["x"] = [_value(x) for x in found.x]
    kept = read_ranks(path.with_suffix(".ranks.parquet"), ("parameter", "x", "seed", "part"))
    return found, {(name, _value(x), seed, part): e for (name, x, seed, part), e in kept.items()}


def _value(x):
    try:
        return float(x)
    except ValueError:
        return x


def recorded_sweeps() -> dict[str, Config]:
    """The configs whose sweeps are recorded, by the names of their files."""
    found = {}
    for path in sorted(paths.reproduced().glob("*_sweep.json")):
        one = json.loads(path.read_text(encoding="utf-8"))["config"]["study"]
        names = ("model", "recipe", "preset", "dataset", "source", "split", "seeds")
        found[path.stem] = Config.from_parameters(**{name: one[name] for name in names})
    return found
