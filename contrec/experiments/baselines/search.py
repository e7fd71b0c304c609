"""A fair search: every model has as many trials, on a data set's own validation users, kept in Optuna journals.

A trial's number seeds its sampler, so a stopped search goes on to the trials that it would have made. What was known
beforehand is tried first. Test cases are not looked at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd

from contrec import baselines, paths
from contrec.artifacts.fingerprint import fingerprint
from contrec.checks import one_of, positive
from contrec.evaluation import evaluate
from contrec.experiments.baselines import cells
from contrec.files import Damaged, room
from contrec.study import jobs, settings
from contrec.study.config import Config
from contrec.study.evaluating import versions_of
from contrec.study.fitting import data_key, fitted, load_split
from contrec.study.recording import entry_of, read_table, write_rows
from contrec.study.settings import (
    FIRST,
    KNOWN,
    METRIC,
    RECIPES,
    SHORT,
    SIZES,
    SPACES,
    Place,
    recipe_settings,
    recorded,
    searched_on,
    trained,
)  # fmt: skip

STARTUP = 8  # trials drawn at random before the sampler models them


def place(dataset: str, source: str | None = None, split: str = "leave_one_out") -> Place:
    """Where a data set is searched; without a source, on the one whose baselines the study's tables want."""
    wanted = [key[1] for key in cells.WANTED if (key[0], key[2]) == (dataset, split)]
    source = source or next(iter(wanted), None)
    config = Config.from_parameters(dataset=dataset, source=source, split=split)
    return searched_on(config.dataset, config.source, config.split)


def config_of(place: Place) -> Config:
    """What a search runs on."""
    dataset, source, split = place
    return Config.from_parameters(preset="laptop", dataset=dataset, source=source, split=split)


def journal(model: str, place: Place = FIRST) -> Path:
    """The journal file of a model's search: its name holds space, data and versions, so other ones never mix."""
    key = {"space": SPACES[model], "data": data_key(config_of(place)), "model": model, "versions": versions_of(model)}
    return paths.artifacts() / "search" / f"{model.replace('/', '-')}-{fingerprint(key)}.journal"


@dataclass(frozen=True)
class Trial:
    """One trial of a model's search on a data set; they follow each other."""

    model: str
    number: int
    on: Place = FIRST

    @property
    def name(self) -> str:
        return f"search-{journal(self.model, self.on).stem}"  # of all trials of the model there

    @property
    def place(self) -> tuple[str, str]:
        return self.model, " ".join(self.on)

    @property
    def done(self) -> bool:
        return len(_finished(self.model, self.on)) > self.number

    def make(self) -> None:
        with room(journal(self.model, self.on).parent):
            _trial(self.model, self.number, self.on)

    def told(self) -> str:
        value = _finished(self.model, self.on)[self.number].value
        return f"{self.model} trial {self.number} on {self.on[0]}: {METRIC} {value:.4f}"


def plan(places: Sequence[Place], models: Sequence[str], trials: int | None) -> list[Trial]:
    """The trials that each model lacks, data set by data set, those of the model with the fewest left first."""
    left: list[list[Trial]] = []
    for place in places:
        of_place = []
        for model in models:
            wanted = trials or settings.trials_wanted(model, place[0])
            of_place.append([Trial(model, n, place) for n in range(len(_finished(model, place)), wanted)])
        left += sorted(of_place, key=len)
    return [trial for own in left for trial in own]


def plan_of(
    places: Sequence[Place] = (FIRST,), models: Sequence[str] | None = None, trials: int | None = None
) -> jobs.Plan:
    """The plan of a search for :mod:`contrec.study.jobs`, once its data are there.

    Args:
        places: data sets, sources and splits.
        models: names in ``SPACES``; None: all.
        trials: of each model, in all; None: what :func:`contrec.study.settings.trials_wanted` says.
    """
    models = list(models or SPACES)
    for model in models:
        one_of("model", model, tuple(SPACES))
    if trials is not None:
        positive("trials", trials)
    for place in places:
        load_split(config_of(place))  # fetched and checked by one process
    return partial(plan, list(places), models, trials)


def search(places=(FIRST,), models=None, *, trials: int | None = None, workers: int = 1, progress: bool = False):
    """Make the trials that are missing; as :func:`plan_of` and :func:`contrec.study.jobs.fill`.

    Returns:
        :func:`trials_table`.
    """
    jobs.fill(plan_of(places, models, trials), workers=workers, progress=progress, title="search")
    return trials_table(places, models)


def _trial(model: str, number: int, place: Place) -> None:
    import optuna

    study = _study(model, place)
    for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(left.number, state=optuna.trial.TrialState.FAIL)  # of a process that was killed
    study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=STARTUP)
    known = list(_known(model, place))
    if number < len(known):
        study.enqueue_trial(known[number], skip_if_exists=False)
    trial = study.ask()
    own = {name: _suggest(trial, name, what) for name, what in SPACES[model].items()}
    split, start = load_split(config_of(place)), time.perf_counter()
    if model in RECIPES:
        name, recipe = model.split("/")
        config = Config.from_parameters(name, recipe, "laptop", dataset=place[0], source=place[1], split=place[2])
        made = fitted(config.with_settings(**recipe_settings(own)), seed=0)
    else:
        short = SHORT if trained(model) and SIZES.get(place[0], 1) > 1 else {}
        made = baselines.make(model, **own, **short).fit(split, seed=0)
    value = evaluate(made, split.validation).metrics()[METRIC]
    trial.set_user_attr("settings", own)
    trial.set_user_attr("seconds", time.perf_counter() - start)
    trial.set_user_attr("seal", _seal(trial, value))
    study.tell(trial, value)


def _known(model: str, place: Place) -> Iterator[dict]:
    """Settings that are tried first: those named for the data set, and what was chosen on the first one."""
    if (model, place[0]) in KNOWN:
        yield _inside(KNOWN[model, place[0]], SPACES[model])
    trials = recorded(FIRST)
    trials = trials[trials.model == model]
    if place != FIRST and len(trials):
        yield _inside(json.loads(trials.loc[trials[METRIC].idxmax()].settings), SPACES[model])


def _inside(known: dict, space: dict) -> dict:
    """What of some settings lies in a space."""
    fits = {k: v in s if isinstance(s := space[k], list) else s[0] <= v <= s[1] for k, v in known.items() if k in space}
    return {name: known[name] for name, inside in fits.items() if inside}


def _suggest(trial, name: str, what):
    if isinstance(what, list):
        return trial.suggest_categorical(name, what)
    if isinstance(what[0], int):
        return trial.suggest_int(name, *what, log=True)
    return float(f"{trial.suggest_float(name, *what, log=True):.3g}")  # three digits are all that is meant


def _study(model: str, place: Place):
    """The Optuna study of a model's journal, which is made if it is not there.

    Raises:
        Damaged: if the file is not what Optuna has written.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = journal(model, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(storage=storage, study_name=model, direction="maximize", load_if_exists=True)
    except OSError:
        raise
    except Exception as error:  # whatever its replay of a changed line runs into
        what = " ".join(f"{type(error).__name__} {error}".split())[:100]
        raise Damaged(f"{path} is damaged ({what}); remove it: its trials are made anew") from error


def _finished(model: str, place: Place = FIRST) -> list:
    path = journal(model, place)
    if not path.exists():
        return []
    about = path.stat()
    return _read(model, place, path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1024)  # a plan asks every trial of every search whether it is done
def _read(model: str, place: Place, path: Path, size: int, changed: int) -> list:
    """The finished trials of a journal in a state of its file."""
    import optuna

    found = _study(model, place).get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    for trial in found:
        if trial.user_attrs.get("seal", _seal(trial, trial.value)) != _seal(trial, trial.value):
            raise Damaged(f"{path} is damaged (trial {trial.number}); remove it: its trials are made anew")
    return found


def _seal(trial, value: float) -> str:
    """Fingerprint of all that a trial has found; trials of an earlier version have none."""
    kept = {name: what for name, what in trial.user_attrs.items() if name != "seal"}
    return fingerprint({**kept, "params": trial.params, "value": value})


def trials_table(places=(FIRST,), models=None) -> pd.DataFrame:
    """Finished trials of the journals, numbered from 0 within each model and data set.

    Returns:
        dataset, model, trial, settings (JSON), NDCG@10 on validation, seconds.
    """
    rows = [
        (place[0], model, number, json.dumps(t.user_attrs["settings"]), t.value, t.user_attrs["seconds"])
        for place in places
        for model in (SPACES if models is None else models)
        for number, t in enumerate(_finished(model, place))
    ]
    return pd.DataFrame(rows, columns=["dataset", "model", "trial", "settings", METRIC, "seconds"])


def record(place: Place = FIRST, trials: int | None = None) -> Path:
    """Write the searches that are finished, with their provenance, to ``data/reproduced/search``.

    One with too few trials has chosen nothing yet. What is recorded of other models stays.

    Args:
        place: data set, source and split.
        trials: that make a search; None: what :func:`contrec.study.settings.trials_wanted` says.
    """
    own, path = config_of(place), settings.search_file(place)
    wanted = {model: trials or settings.trials_wanted(model, place[0]) for model in SPACES}
    found = trials_table([place], [m for m in SPACES if len(_finished(m, place)) >= wanted[m]]).drop(columns="dataset")
    rounded = found.round({METRIC: 6, "seconds": 1})
    if path.exists():
        before = read_table(path)[rounded.columns]
        rounded = pd.concat([before[~before.model.isin(set(found.model))], rounded], ignore_index=True)
    more = {"spaces": {model: SPACES[model] for model in dict.fromkeys(rounded.model) if model in SPACES}}
    rows = {"validation": len(load_split(own).validation)}
    entry = entry_of(own, more, seeds=(0,), seconds=float(rounded.seconds.sum()), rows=rows)
    recorded.cache_clear()
    return write_rows(path, rounded, entry, ("model", "trial"))
