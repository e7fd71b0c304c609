"""Which part does the work (notebook 03): the planted world, where reading item texts must help, and its twin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from contrec.data.interactions import Split
from contrec.data.planted import WORLDS
from contrec.evaluation import Evaluation, paired_bootstrap, rate_interval
from contrec.study import evaluating, words
from contrec.study.config import Config
from contrec.study.fitting import load_split

RARE = 2  # a target with at most so many train rows is new or rare
# The same model twice: base vectors from interactions alone, and with the words of item texts beside them
ARMS = {
    "without text": {"inputs": "lightgcn", "embeddings": {"dim": 128}},
    "with text": {
        "inputs": "fused",
        "embeddings": {"lightgcn": {"dim": 128}, "text": {"encoder": None}, "text_dim": 32},
    },
}
# Of both. LightGCN's vectors have seen the training targets, so a head that learns long from them unlearns the text:
# on validation users the gain was 4.0 points after this, 1.8 at the preset's rate
BOTH = {"text_bonus": 0.0, "training__epochs": 1, "training__lr": 3e-4}
SHORT = {  # settings of both with which four trainings take some ten seconds, and say the same
    "tokenizer__epochs": 5, "language__hidden": 32, "language__heads": 2, "language__layers": 1, "history_cap": 3,
}  # fmt: skip
METRIC = "HR@10"


def demonstration(
    preset: str = "tiny", seeds: Sequence[int] = (0,), *, progress: bool = False, **settings
) -> pd.DataFrame:
    """Does a model that reads item texts gain where texts tell something, and only there?

    A demonstration on invented data: it shows that the method can do what it is for, not that it does so in a shop.
    Both worlds have the same interactions; in the twin the texts are another item's. What is in the store is not run
    again.

    Args:
        preset, seeds: of both models; ranks are averaged over seeds, user by user.
        settings: of both models, as :meth:`contrec.study.config.Config.with_settings` takes them.

    Returns:
        world; targets ("all" | "new or rare": at most :data:`RARE` train rows); model ("popularity", those of
        :data:`ARMS`, "oracle": the best ranking that exists); HR@10, low, high (95 % over users and trainings);
        difference, diff_low, diff_high (with text - without, paired, in percentage points); n_users.
    """
    frames = []
    for world in WORLDS:
        arms = {
            arm: Config.from_parameters(
                "contrec", "tuned", preset, dataset=world, seeds=seeds, **{**own, **BOTH, **settings}
            )
            for arm, own in ARMS.items()
        }
        plain = next(iter(arms.values()))
        kept = {"popularity": [_one(evaluating.floor(plain, "popularity", 0, progress))]}
        for arm, config in arms.items():
            kept[arm] = [_one(evaluating.alone(config, seed, progress)) for seed in config.seeds]
        kept["oracle"] = [_one(evaluating.floor(plain, "oracle", 0, progress))]
        split = load_split(plain)
        for targets, rows in {"all": slice(None), "new or rare": rare_targets(split)}.items():
            of_rows = {model: [_of_rows(e, rows) for e in own] for model, own in kept.items()}
            frames.append(_rates(of_rows).assign(world=world, targets=targets))
    found = pd.concat(frames, ignore_index=True)
    return found[["world", "targets", *found.columns.drop(["world", "targets"])]]


def said(found: pd.DataFrame, targets: str = "all") -> str:
    """What reading item texts adds in each world of :func:`demonstration`: one sentence."""
    own = found[(found["targets"] == targets) & found["difference"].notna()]
    adds = [f"{words.points(r.difference, r.diff_low, r.diff_high)} on {r.world}" for r in own.itertuples()]
    return f"Reading item texts changes {METRIC} by {', by '.join(adds)} ({targets} targets; a demonstration)."


def rare_targets(split: Split) -> np.ndarray:
    """Which test targets have at most :data:`RARE` train rows, bool, shape (len(split.test),)."""
    return np.bincount(split.train.item, minlength=split.n_items)[split.test.target] <= RARE


def texts(split: Split) -> pd.DataFrame:
    """What a preference text can say before any model is trained, over test users.

    Returns:
        By rule ("most frequent facet", "most frequent in the history", "gold answer"): "target has it", the share of
        test targets with the facet that the rule names; "different facets", how many it names; "bits", the entropy of
        what it names.
    """
    catalogue, test = split.catalogue, split.test
    most = Counter(map(catalogue.gold_answer, split.train.item.tolist())).most_common(1)[0][0]
    usual = [
        Counter(map(catalogue.gold_answer, test.history(i).tolist())).most_common(1)[0][0] for i in range(len(test))
    ]
    named = {
        "most frequent facet": [most] * len(test),
        "most frequent in the history": usual,
        "gold answer": [catalogue.gold_answer(item) for item in test.target.tolist()],
    }
    rows = {}
    for rule, facets in named.items():
        share = np.array(list(Counter(facets).values())) / len(facets)
        rows[rule] = {
            "target has it": np.mean([f in catalogue.facets[t] for f, t in zip(facets, test.target, strict=True)]),
            "different facets": len(share),
            "bits": float((share * -np.log2(share)).sum()),
        }
    return pd.DataFrame(rows).T


def _one(folder) -> Evaluation:
    return next(iter(evaluating.kept_evaluations(folder).values()))


def _of_rows(e: Evaluation, rows) -> Evaluation:
    ranks, ties, user = e.ranks[rows], e.ties[rows], e.user[rows]
    counts = {"cases": len(user), "users": len(np.unique(user))}
    return replace(e, ranks=ranks, ties=ties, user=user, coverage=None, counts=counts)


def _rates(kept: dict[str, list[Evaluation]]) -> pd.DataFrame:
    """Rates of the models on the same targets, and what reading texts adds."""
    without, reading = ARMS
    rows = []
    for model, own in kept.items():
        found = rate_interval(own, METRIC)
        row = {"model": model, METRIC: found["value"], "low": found["low"], "high": found["high"]}
        n_users = found["n_users"]
        if model == reading:
            found = paired_bootstrap(own, kept[without], METRIC)
            row["difference"] = found["difference"]
            row["diff_low"], row["diff_high"] = found["low"], found["high"]
        rows.append({**row, "n_users": n_users})
    order = ["model", METRIC, "low", "high", "difference", "diff_low", "diff_high", "n_users"]
    return pd.DataFrame(rows)[order]
