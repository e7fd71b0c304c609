"""A fair search: 20 trials a model on LastFM's validation users, kept in Optuna journals; its choice is used elsewhere.

A trial's number seeds its sampler, so a stopped search goes on to the trials that it would have made. Test cases are
not looked at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from contrec import baselines, paths
from contrec.artifacts.fingerprint import fingerprint
from contrec.checks import one_of, positive
from contrec.evaluation import evaluate
from contrec.files import Damaged, room
from contrec.study import jobs
from contrec.study.config import Config
from contrec.study.evaluating import versions_of
from contrec.study.fitting import data_key, load_split
from contrec.study.recording import entry_of, write_rows
from contrec.study.settings import METRIC, SPACES, WHERE, recorded

TRIALS = 20


def journal(model: str) -> Path:
    """The journal file of a model's search: its name holds space, data and versions, so other ones never mix."""
    key = {"space": SPACES[model], "data": data_key(config()), "model": model, "versions": versions_of(model)}
    return paths.artifacts() / "search" / f"{model.replace('/', '-')}-{fingerprint(key)}.journal"


@dataclass(frozen=True)
class Trial:
    """One trial of a model's search; a model's trials follow each other."""

    model: str
    number: int

    @property
    def name(self) -> str:
        return f"search-{journal(self.model).stem}"  # of all trials of the model

    @property
    def place(self) -> tuple[str, str]:
        return self.model, f"{WHERE['dataset']} {WHERE['source']}"

    @property
    def done(self) -> bool:
        return len(_finished(self.model)) > self.number

    def make(self) -> None:
        with room(journal(self.model).parent):
            _trial(self.model, self.number)

    def told(self) -> str:
        return f"{self.model} trial {self.number}: {METRIC} {_finished(self.model)[self.number].value:.4f}"


def plan(models: Sequence[str], trials: int = TRIALS) -> list[Trial]:
    """The trials that each model lacks of so many, those of the model with the fewest first."""
    done = {model: len(_finished(model)) for model in models}
    return [Trial(m, n) for m in sorted(models, key=done.get, reverse=True) for n in range(done[m], trials)]


def plan_of(models: Sequence[str] | None = None, trials: int = TRIALS) -> jobs.Plan:
    """The plan of a search for :mod:`contrec.study.jobs`, once its data are there.

    Args:
        models: names in ``SPACES``; None: all.
        trials: of each model, in all.
    """
    models = list(models or SPACES)
    for model in models:
        one_of("model", model, tuple(SPACES))
    positive("trials", trials)
    load_split(config())  # fetched and checked by one process
    return partial(plan, models, trials)


def search(models=None, *, trials: int = TRIALS, workers: int = 1, progress: bool = False) -> pd.DataFrame:
    """Make the trials that are missing; as :func:`plan_of` and :func:`contrec.study.jobs.fill`.

    Returns:
        model, trial, settings (JSON), NDCG@10 on validation, seconds; finished trials only.
    """
    jobs.fill(plan_of(models, trials), workers=workers, progress=progress, title="search")
    return trials_table(models)


def _trial(model: str, number: int) -> None:
    import optuna

    study = _study(model)
    for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(left.number, state=optuna.trial.TrialState.FAIL)  # of a process that was killed
    study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=8)
    trial = study.ask()
    settings = {name: _suggest(trial, name, what) for name, what in SPACES[model].items()}
    split, start = load_split(config()), time.perf_counter()
    made = baselines.make(model, **settings).fit(split, seed=0)
    value = evaluate(made, split.validation).metrics()[METRIC]
    trial.set_user_attr("settings", settings)
    trial.set_user_attr("seconds", time.perf_counter() - start)
    trial.set_user_attr("seal", _seal(trial, value))
    study.tell(trial, value)


def _suggest(trial, name: str, what):
    if isinstance(what, list):
        return trial.suggest_categorical(name, what)
    if isinstance(what[0], int):
        return trial.suggest_int(name, *what, log=True)
    return float(f"{trial.suggest_float(name, *what, log=True):.3g}")  # three digits are all that is meant


def config() -> Config:
    """What the search runs on."""
    return Config.from_parameters(**WHERE)


def _study(model: str):
    """The Optuna study of a model's journal, which is made if it is not there.

    Raises:
        Damaged: if the file is not what Optuna has written.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = journal(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(storage=storage, study_name=model, direction="maximize", load_if_exists=True)
    except OSError:
        raise
    except Exception as error:  # whatever its replay of a changed line runs into
        what = " ".join(f"{type(error).__name__} {error}".split())[:100]
        raise Damaged(f"{path} is damaged ({what}); remove it: its trials are made anew") from error


def _finished(model: str) -> list:
    import optuna

    if not journal(model).exists():
        return []
    found = _study(model).get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    for trial in found:
        if trial.user_attrs.get("seal", _seal(trial, trial.value)) != _seal(trial, trial.value):
            raise Damaged(f"{journal(model)} is damaged (trial {trial.number}); remove it: its trials are made anew")
    return found


def _seal(trial, value: float) -> str:
    """Fingerprint of all that a trial has found; trials of an earlier version have none."""
    kept = {name: what for name, what in trial.user_attrs.items() if name != "seal"}
    return fingerprint({**kept, "params": trial.params, "value": value})


def trials_table(models=None) -> pd.DataFrame:
    """Finished trials of the journals, numbered from 0 within each model."""
    rows = [
        (model, number, json.dumps(t.user_attrs["settings"]), t.value, t.user_attrs["seconds"])
        for model in (SPACES if models is None else models)
        for number, t in enumerate(_finished(model))
    ]
    return pd.DataFrame(rows, columns=["model", "trial", "settings", METRIC, "seconds"])


def record(trials: int = TRIALS) -> Path:
    """Write the searches of at least so many trials, with their provenance, to ``data/reproduced/search``.

    One that is not finished has chosen nothing yet.
    """
    own = config()
    found = trials_table([model for model in SPACES if len(_finished(model)) >= trials])
    path = paths.reproduced() / "search" / f"{own.dataset}_{own.source}.csv"
    rounded = found.round({METRIC: 6, "seconds": 1})
    more, rows = {"spaces": SPACES, "trials": trials}, {"validation": len(load_split(own).validation)}
    entry = entry_of(own, more, seeds=(0,), seconds=float(found.seconds.sum()), rows=rows)
    recorded.cache_clear()
    return write_rows(path, rounded, entry, ("model", "trial"))
