"""Settings of the baselines: which there are, what a search tries, and what holds on a dataset, with its source."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pandas as pd

from contrec import baselines, paths
from contrec.artifacts.provenance import read_table

METRIC = "NDCG@10"  # by which a search chooses, on validation users
FIRST = ("lastfm", "released", "leave_one_out")  # whose choice holds where a data set was not searched itself

# Models in the order of the tables; what "repeat_history" is for are catalogues where people buy again
BASELINES = (
    "popularity", "repeat_history", "itemknn", "itemknn/recency", "itemknn/text", "transitions", "transitions/text",
    "ease", "ease/tags", "puresvd", "puresvd/64", "ials", "mf", "lightgcn", "gtn", "ltgnn", "gru4rec", "sasrec",
    "sasrec/bce", "sasrec/text", "esasrec", "bsarec", "ssd4rec", "dreamrec", "dreamrec/inner", "contrec/plain-head",
    "oracle",
)  # fmt: skip
DETERMINISTIC = (
    "popularity", "repeat_history", "itemknn", "itemknn/recency", "itemknn/text", "transitions", "transitions/text",
    "ease", "ease/tags", "puresvd", "puresvd/64", "oracle",
)  # fmt: skip
_SOLVED = ("ials",)  # from a random start, yet not by gradient: no epochs


def model_order(model: str) -> int:
    """Where a model stands in tables; one that is not among ``BASELINES`` comes after them."""
    return BASELINES.index(model) if model in BASELINES else len(BASELINES)


# What stands beside every run
FLOORS = (
    "popularity", "itemknn", "itemknn/recency", "transitions", "transitions/text", "ease", "lightgcn",
    "contrec/plain-head",
)  # fmt: skip
TAGGED = {"lastfm": ("ease/tags",)}  # and where train rows have tags, which ContRec reads as categories
# Rows of a dataset over those of LastFM (52,670): what a run costs grows with them
SIZES = {
    "planted": 0.1, "planted_shuffled": 0.1, "lastfm": 1, "software": 0.1, "beauty_positive": 3.5, "beauty": 5.5,
    "games": 6, "ml1m": 14, "ml1m_all": 17,
}  # fmt: skip

# Model -> setting -> what is tried: a list, or the ends of a range, which is drawn by its logarithm
_DECAY = [None, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
_NEXT_ITEM = {
    "dim": [32, 64, 128, 256], "dropout": [0.1, 0.2, 0.3, 0.5], "lr": (3e-4, 1e-2), "batch_size": [32, 64, 128],
    "length": [20, 50, 100, 200], "loss": ["softmax", "sampled"], "negatives": [256, 1024],
    "weight_decay": [0.0, 0.01, 0.1],
}  # fmt: skip
_ATTENTION = {**_NEXT_ITEM, "layers": [1, 2, 3], "heads": [1, 2, 4]}
SPACES: dict[str, dict] = {
    "popularity": {"share": (0.02, 1.0)},
    "itemknn": {"shrink": (1.0, 200.0), "neighbours": [None, 20, 50, 100, 200]},
    "itemknn/recency": {"shrink": (1.0, 200.0), "decay": (0.5, 0.99), "last": [10, 20, 50]},
    "itemknn/text": {
        "shrink": (1.0, 200.0), "decay": (0.5, 0.99), "text_weight": (0.01, 1.0), "text_neighbours": [20, 50, 100, 200],
    },
    "transitions": {"shrink": (1.0, 200.0), "knn_weight": (0.01, 10.0), "decay": (0.5, 0.99)},
    "transitions/text": {
        "shrink": (1.0, 200.0), "knn_weight": (0.01, 10.0), "decay": (0.5, 0.99), "text_weight": (0.01, 1.0),
        "text_neighbours": [20, 50, 100, 200],
    },
    "ease": {"ridge": (5.0, 5000.0), "decay": _DECAY},
    "ease/tags": {"ridge": (5.0, 5000.0), "decay": _DECAY, "tag_weight": (0.1, 10.0)},
    "puresvd": {"dim": (4, 700)},
    "ials": {"dim": [32, 64, 128, 256], "unobserved": (0.01, 1.0), "ridge": (1e-4, 0.1)},
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
    "gru4rec": {**_NEXT_ITEM, "hidden": [64, 128, 256]},
    "sasrec": _ATTENTION, "sasrec/text": _ATTENTION, "esasrec": {**_ATTENTION, "widen": [1, 2, 4]},
    "bsarec": {**_ATTENTION, "alpha": [0.1, 0.3, 0.5, 0.7, 0.9], "cutoff": [1, 3, 5, 7, 9]},
    "ssd4rec": {
        "dim": [32, 64, 128], "dropout": [0.2, 0.4, 0.6], "lr": (3e-4, 1e-2), "batch_size": [64, 128, 256],
        "layers": [1, 2], "mask_ratio": [0.0, 0.1, 0.2], "length": [20, 50], "cases_per_user": [2, 4],
    },
    "dreamrec": {
        "dim": [32, 64, 128], "dropout": [0.1, 0.3], "lr": (3e-4, 1e-2), "timesteps": [200, 500],
        "schedule": ["linear", "cosine", "exp"], "guidance_strength": [0.0, 1.0, 2.0, 4.0], "length": [10, 20],
        "score_by": ["cosine", "inner"],
    },
    "contrec/plain-head": {
        "dim": [64, 128, 256], "popularity": (0.1, 2.0), "decay": [0.5, 0.7, 0.8, 0.9, 1.0], "width": [128, 256, 512],
        "dropout": [0.0, 0.1, 0.3, 0.5], "lr": (1e-4, 3e-3), "weight_decay": [0.0, 0.01, 0.1],
        "cases": ["prefix", "set"],
    },
}  # fmt: skip

# Recipes that are searched as baselines are: settings of Config.from_parameters, and those of the base vectors
_TUNED = {
    "embeddings.dim": [64, 128, 256], "embeddings.popularity": (0.1, 2.0),
    "embeddings.decay": [0.5, 0.7, 0.8, 0.9, 1.0], "diffusion__dropout": [0.1, 0.3, 0.5], "training__lr": (3e-4, 3e-3),
    "training__llm_weight": [0.0, 0.1, 1.0], "training__cases": ["prefix", "set"],
}  # fmt: skip
RECIPES = {"contrec/tuned": _TUNED, "deftrec/tuned": _TUNED}
SPACES |= RECIPES
# Where a training takes minutes a search has fewer trials, each cut short; what it chooses is then trained in full
TRIALS, FEW, OF_RECIPES = 20, 6, 12
SHORT = {"epochs": 25, "patience": 4}
LONG = {"epochs": 100, "patience": 12}
# What was known of a model before its search, which tries it first. NDCG@10 on all validation users of Beauty was
# .0561 (64-d, one layer, dropout .2, 256 sampled negatives), .0584 (64-d, one layer, dropout .5, softmax), .0608 (two
# layers of 128-d), .0628 (the same with weight decay, half the rate); of MovieLens-1M .1578 (64-d), .1682 (128-d)
_WIDE = {"dim": 128, "layers": 2, "heads": 1, "loss": "softmax", "batch_size": 128}
KNOWN: dict[tuple[str, str], dict] = {
    **{
        ("sasrec", dataset): {**_WIDE, "dropout": 0.5, "length": 50, "lr": 5e-4, "weight_decay": 0.1}
        for dataset in ("beauty", "beauty_positive", "games")
    },
    **{
        ("sasrec", dataset): {**_WIDE, "dropout": 0.2, "length": 200, "lr": 1e-3, "weight_decay": 0.0}
        for dataset in ("ml1m", "ml1m_all")
    },
}
# LastFM's search had 12 steps in an epoch; batches of 4,096 would make 140 of it, each through the whole graph
_BIG_GRAPH = {("lightgcn", "ml1m"): {"batch_size": 49_152}}

# Preset "tiny": how much of a model is trained where nothing but the way matters
_GRAPH = {"dim": 32, "epochs": 12, "batch_size": 512, "lr": 1e-2}
_SEQUENCE = {"dim": 32, "epochs": 8, "batch_size": 32, "lr": 5e-3, "length": 20, "dropout": 0.2}
TINY: dict[str, dict] = {
    "puresvd": {"dim": 16}, "lightgcn": {"dim": 32, "epochs": 30, "batch_size": 512}, **dict.fromkeys(
        ("mf", "gtn", "ltgnn"), _GRAPH), **dict.fromkeys(("gru4rec", "sasrec", "esasrec", "bsarec"), _SEQUENCE),
    "ials": {"dim": 16, "iterations": 4},
    "ssd4rec": {**_SEQUENCE, "cases_per_user": 4, "state": 16},
    "contrec/plain-head": {"dim": 32, "width": 64, "epochs": 5, "batch_size": 64},
    "dreamrec": {"dim": 32, "epochs": 12, "batch_size": 128, "lr": 5e-3, "timesteps": 100},
}  # fmt: skip


Place = tuple[str, str, str]  # dataset, source and split that a search has run on


def searched_on(dataset: str, source: str, split: str) -> Place:
    """Whose validation users choose for a data set, source and split: those left out of training choose nothing."""
    return dataset, source, "leave_one_out" if split == "unseen_users" else split


def search_file(place: Place) -> Path:
    """The recorded trials of a search."""
    dataset, source, split = place
    return paths.reproduced() / "search" / f"{dataset}_{source}_{split}.csv"


@cache
def recorded(place: Place) -> pd.DataFrame:
    """The recorded trials of a search; empty where nothing was recorded."""
    path = search_file(place)
    return read_table(path) if path.exists() else pd.DataFrame(columns=["model", "trial", "settings", METRIC])


def best_trial(model: str, place: Place) -> pd.Series | None:
    """The recorded trial of a model with the highest NDCG@10 on validation, and how many "trials" there are."""
    own = recorded(place)
    own = own[own.model == model]
    return None if not len(own) else pd.concat([own.loc[own[METRIC].idxmax()], pd.Series({"trials": len(own)})])


def recipe_settings(settings: dict) -> dict:
    """Settings of a recipe's trial as :meth:`Config.with_settings` takes them: those of base vectors in one dict."""
    inner = {name.split(".")[1]: value for name, value in settings.items() if "." in name}
    return {name: value for name, value in settings.items() if "." not in name} | {"embeddings": inner}


def trials_wanted(model: str, dataset: str) -> int:
    """How many trials a model has on a data set: the same for every model of its kind."""
    if model in RECIPES:
        return OF_RECIPES
    return FEW if trained(model) and SIZES.get(dataset, 1) > 1 else TRIALS


def trained(model: str) -> bool:
    """Whether a model learns by gradient."""
    return model not in (*DETERMINISTIC, *_SOLVED)


def chosen(model: str, config) -> tuple[dict, str]:
    """Settings of a baseline for a config's data and where they come from, in a few words.

    On preset "tiny" training is cut short. Elsewhere the best trial on the data's own validation users holds, else the
    best on LastFM's; a model that was searched nowhere has its defaults.
    """
    name, _, variant = model.partition("/")
    if config.preset == "tiny":
        return dict(TINY.get(model, TINY.get(name, {}))), "tiny: cut short"
    searched, settings, source = model if model in SPACES else name, {}, "defaults"
    for place, where in (
        (searched_on(config.dataset, config.source, config.split), "its own validation users"),
        (FIRST, "LastFM's validation users"),
    ):
        if (best := best_trial(searched, place)) is not None:
            says = getattr(baselines.REGISTRY[model], "keywords", {}) if model not in SPACES else {}
            settings = {k: v for k, v in json.loads(best.settings).items() if k not in says}  # the loss of "sasrec/bce"
            source = f"{where}, trial {best.trial} of {best.trials}"
            break
    if not source.startswith("its own") and (model, config.dataset) in KNOWN:
        settings, source = settings | KNOWN[model, config.dataset], "known before its search"
    if searched in SPACES and trained(searched) and SIZES.get(config.dataset, 1) > 1:
        settings = settings | LONG
    return settings | _BIG_GRAPH.get((name, config.dataset), {}), source


def chosen_table(models, config) -> pd.DataFrame:
    """Model, its settings on a config's data in words, and their source."""
    rows = []
    for model in models:
        settings, source = chosen(model, config)
        rows.append((model, ", ".join(f"{k} {v}" for k, v in settings.items()) or "-", source))
    return pd.DataFrame(rows, columns=["model", "settings", "source"])
