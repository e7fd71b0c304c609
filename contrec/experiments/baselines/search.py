"""A fair search: 20 trials a model on LastFM's validation users, kept in Optuna journals; its choice is used elsewhere.

A trial's number seeds its sampler, so a stopped search goes on to the trials that it would have made. Test cases are
not looked at.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pandas as pd

from contrec import baselines, data, paths
from contrec.artifacts import provenance
from contrec.artifacts.fingerprint import fingerprint
from contrec.checks import one_of, positive
from contrec.evaluation import evaluate
from contrec.files import Damaged, room
from contrec.study import parallel
from contrec.study.config import Config
from contrec.study.fitting import data_key, load_split
from contrec.study.jobs import opened
from contrec.study.recording import read_table

TRIALS = 20
METRIC = "NDCG@10"
WHERE = {"dataset": "lastfm", "source": "released", "preset": "laptop"}

# Model -> setting -> what is tried: a list, or the ends of a range, which is drawn by its logarithm
_LOSS_AND_SIZE = {"dim": [32, 64, 128], "dropout": [0.1, 0.3, 0.5], "lr": (3e-4, 1e-2), "batch_size": [32, 64, 128]}
SPACES: dict[str, dict] = {
    "itemknn": {"shrink": (1.0, 200.0), "neighbours": [None, 20, 50, 100, 200]},
    "itemknn/recency": {"shrink": (1.0, 200.0), "decay": (0.5, 0.99), "last": [10, 20, 50]},
    "transitions": {"shrink": (1.0, 200.0), "knn_weight": (0.01, 10.0), "decay": (0.5, 0.99)},
    "ease": {"ridge": (5.0, 2000.0)},
    "puresvd": {"dim": (4, 512)},
    "lightgcn": {
        "loss": ["bpr", "softmax"], "dim": [64, 128, 256], "layers": [2, 3, 4], "lr": (1e-3, 3e-2),
        "weight_decay": (1e-6, 1e-3),
    },
    "mf": {"dim": [32, 64, 128, 256], "l2": (1e-5, 1e-1), "lr": (1e-3, 3e-2), "users": ["learned", "history"]},
    "gtn": {
        "dim": [32, 64, 128], "smoothness": (0.01, 4.0), "dropout": [0.0, 0.1, 0.3], "l2": (1e-5, 1e-2),
        "lr": (1e-3, 3e-2), "users": ["learned", "history"],
    },
    "ltgnn": {
        "dim": [32, 64, 128], "restart": (0.05, 0.9), "l2": (1e-5, 1e-2), "lr": (1e-3, 3e-2),
        "users": ["learned", "history"],
    },
    "gru4rec": {**_LOSS_AND_SIZE, "hidden": [64, 128, 256], "loss": ["softmax", "sampled"], "length": [20, 50, 100]},
    "sasrec": {
        **_LOSS_AND_SIZE, "layers": [1, 2], "heads": [1, 2], "loss": ["softmax", "sampled"], "length": [20, 50, 100],
    },
    "ssd4rec": {
        "dim": [32, 64, 128], "dropout": [0.2, 0.4, 0.6], "lr": (3e-4, 1e-2), "batch_size": [64, 128, 256],
        "layers": [1, 2], "mask_ratio": [0.0, 0.1, 0.2], "length": [20, 50], "cases_per_user": [2, 4],
    },
    "dreamrec": {
        "dim": [32, 64, 128], "dropout": [0.1, 0.3], "lr": (3e-4, 1e-2), "timesteps": [200, 500],
        "schedule": ["linear", "cosine", "exp"], "guidance_strength": [0.0, 1.0, 2.0, 4.0], "length": [10, 20],
        "score_by": ["cosine", "inner"],
    },
}  # fmt: skip

# What another source than the search on LastFM says for a dataset, over what the search says
_LONG = {"dim": 128, "layers": 2, "heads": 1, "loss": "softmax", "batch_size": 128, "epochs": 100, "patience": 20}
# NDCG@10 on all validation users of Beauty: .0561 (64-d, one layer, dropout .2, 256 sampled negatives), .0584 (64-d,
# one layer, dropout .5, softmax), .0608 (128-d, two layers), .0628 (the same with weight decay, half the rate)
_AMAZON = (
    {**_LONG, "dropout": 0.5, "length": 50, "lr": 5e-4, "weight_decay": 0.1}, "best of 4 on Beauty's validation users"
)  # fmt: skip
# on those of MovieLens-1M with all ratings: .1578 (64-d), .1682 (128-d); length and dropout as published for ML-1M
_ML1M = ({**_LONG, "dropout": 0.2, "length": 200, "lr": 1e-3}, "best of 2 on ML-1M's validation users")
# The search had 12 steps in an epoch; batches of 4,096 would make 140 of it, each through the whole graph
_BIG_GRAPH = ({"batch_size": 49_152}, "search on LastFM, batches in proportion to the rows")
ELSEWHERE: dict[tuple[str, str], tuple[dict, str]] = {
    **{("sasrec", dataset): _AMAZON for dataset in ("beauty", "beauty_positive", "games")},
    ("sasrec", "ml1m_all"): _ML1M,
    ("lightgcn", "ml1m"): _BIG_GRAPH,
}

# Preset "tiny": how much of a model is trained where nothing but the way matters
_GRAPH = {"dim": 32, "epochs": 12, "batch_size": 512, "lr": 1e-2}
_SEQUENCE = {"dim": 32, "epochs": 8, "batch_size": 32, "lr": 5e-3, "length": 20, "dropout": 0.2}
TINY: dict[str, dict] = {
    "puresvd": {"dim": 16}, "lightgcn": {"dim": 32, "epochs": 30, "batch_size": 512}, **dict.fromkeys(
        ("mf", "gtn", "ltgnn"), _GRAPH), **dict.fromkeys(("gru4rec", "sasrec"), _SEQUENCE),
    "ssd4rec": {**_SEQUENCE, "cases_per_user": 4, "state": 16},
    "dreamrec": {"dim": 32, "epochs": 12, "batch_size": 128, "lr": 5e-3, "timesteps": 100},
}  # fmt: skip


@cache
def _recorded() -> pd.DataFrame:
    path = paths.reproduced() / "search" / f"{WHERE['dataset']}_{WHERE['source']}.csv"
    return read_table(path) if path.exists() else pd.DataFrame(columns=["model", "settings", METRIC])


def chosen(model: str, dataset: str, preset: str = "laptop") -> tuple[dict, str]:
    """Settings of a baseline for a dataset and where they come from, in a few words.

    On preset "tiny" training is cut short; elsewhere the best trial of the recorded search holds, except where a
    source names settings for the dataset; a model that was not searched has its defaults.
    """
    name, _, variant = model.partition("/")
    if preset == "tiny":
        return dict(TINY.get(name, {})), "tiny: cut short"
    trials = _recorded()
    trials = trials[trials.model == (model if model in SPACES else name)]
    settings, source = {}, "defaults"
    if len(trials):
        best = trials.loc[trials[METRIC].idxmax()]
        says = getattr(baselines.REGISTRY[model], "keywords", {}) if model not in SPACES else {}
        settings = {k: v for k, v in json.loads(best.settings).items() if k not in says}  # the loss of "sasrec/bce"
        source = f"search on LastFM, trial {best.trial} of {len(trials)}"
    if model == name and (name, dataset) in ELSEWHERE:
        own, source = ELSEWHERE[name, dataset]
        settings = settings | own
    return settings, source


def journal(model: str) -> Path:
    """The journal file of a model's search: its name holds space, data and versions, so other ones never mix."""
    from contrec.study.evaluating import versions_of

    key = {"space": SPACES[model], "data": data_key(_config()), "model": model, "versions": versions_of(model)}
    return paths.artifacts() / "search" / f"{model.replace('/', '-')}-{fingerprint(key)}.journal"


def search(models=None, *, trials: int = TRIALS, workers: int = 1, progress: bool = False) -> pd.DataFrame:
    """Make the trials that are missing; a model's trials follow each other, models share the workers.

    Args:
        models: names in ``SPACES``; None: all.
        trials: of each model, in all.
        workers: processes of one thread each.

    Returns:
        model, trial, settings (JSON), NDCG@10 on validation, seconds; finished trials only.
    """
    from tqdm.auto import tqdm

    models = list(models or SPACES)
    for model in models:
        one_of("model", model, tuple(SPACES))
    positive("trials", trials)
    load_split(_config())
    done = {model: len(_finished(model)) for model in models}
    bar = tqdm(total=trials * len(models), initial=sum(done.values()), desc="search", disable=not progress)
    todo = [(m, trials) for m in sorted(models, key=lambda m: -done[m]) if done[m] < trials]
    for _ in parallel.finished(search_one, todo, workers):
        bar.update(sum(len(_finished(m)) for m in models) - bar.n)
    bar.close()
    return trials_table(models)


def search_one(model: str, trials: int) -> None:
    """All trials of one model that are not in its journal yet."""
    with room(journal(model).parent):
        for number in range(len(_finished(model)), trials):
            _trial(model, number)


def _trial(model: str, number: int) -> None:
    import optuna

    study = _study(model)
    for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(left.number, state=optuna.trial.TrialState.FAIL)  # of a process that was killed
    study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=8)
    trial = study.ask()
    settings = {name: _suggest(trial, name, what) for name, what in SPACES[model].items()}
    split, start = load_split(_config()), time.perf_counter()
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


def _config() -> Config:
    return Config.from_parameters(**WHERE)


def _study(model: str):
    return opened(journal(model), model, "its trials are made anew")


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
    config = _config()
    found = trials_table([model for model in SPACES if len(_finished(model)) >= trials])
    path = paths.reproduced() / "search" / f"{config.dataset}_{config.source}.csv"
    rounded = found.round({METRIC: 6, "seconds": 1})
    entry = provenance.record(
        {"study": asdict(config), "spaces": SPACES, "trials": trials}, dataset=f"{config.dataset} {config.source}",
        inputs=data.inputs(config.dataset, config.source), seeds=(0,), seconds=float(found.seconds.sum()),
        rows={"validation": len(load_split(config).validation)},
    )  # fmt: skip
    _recorded.cache_clear()
    return provenance.write({path: lambda part: rounded.to_csv(part, index=False)}, entry)


def chosen_table(models, dataset: str, preset: str = "laptop") -> pd.DataFrame:
    """Model, its settings on a dataset in words, and their source."""
    rows = []
    for model in models:
        settings, source = chosen(model, dataset, preset)
        rows.append((model, ", ".join(f"{k} {v}" for k, v in settings.items()) or "-", source))
    return pd.DataFrame(rows, columns=["model", "settings", "source"])
