"""Settings of the baselines: which there are, what a search tries, and what holds on a dataset, with its source."""

from __future__ import annotations

import json
from functools import cache

import pandas as pd

from contrec import baselines, paths
from contrec.study.recording import read_table

METRIC = "NDCG@10"  # by which the search chooses, on validation users
WHERE = {"dataset": "lastfm", "source": "released", "preset": "laptop"}  # of the search

# Models in the order of the tables; what "repeat_history" is for are catalogues where people buy again
BASELINES = (
    "popularity", "repeat_history", "itemknn", "itemknn/recency", "transitions", "ease", "puresvd", "mf", "lightgcn",
    "gtn", "ltgnn", "gru4rec", "sasrec", "sasrec/bce", "ssd4rec", "dreamrec", "dreamrec/inner", "oracle",
)  # fmt: skip
DETERMINISTIC = (
    "popularity", "repeat_history", "itemknn", "itemknn/recency", "transitions", "ease", "puresvd", "oracle",
)  # fmt: skip


def model_order(model: str) -> int:
    """Where a model stands in tables; one that is not among ``BASELINES`` comes after them."""
    return BASELINES.index(model) if model in BASELINES else len(BASELINES)


# What stands beside every run
FLOORS = ("popularity", "itemknn", "itemknn/recency", "transitions", "ease", "lightgcn")
# Rows of a dataset over those of LastFM (52,670): what a run costs grows with them
SIZES = {
    "planted": 0.1, "planted_shuffled": 0.1, "lastfm": 1, "software": 0.1, "beauty_positive": 3.5, "beauty": 5.5,
    "games": 6, "ml1m": 14, "ml1m_all": 17,
}  # fmt: skip

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
def recorded() -> pd.DataFrame:
    """The recorded trials of the search; empty where nothing was recorded."""
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
    trials = recorded()
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


def chosen_table(models, dataset: str, preset: str = "laptop") -> pd.DataFrame:
    """Model, its settings on a dataset in words, and their source."""
    rows = []
    for model in models:
        settings, source = chosen(model, dataset, preset)
        rows.append((model, ", ".join(f"{k} {v}" for k, v in settings.items()) or "-", source))
    return pd.DataFrame(rows, columns=["model", "settings", "source"])
