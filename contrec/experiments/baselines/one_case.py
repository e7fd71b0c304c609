"""One test case through a few baselines, slowly: what each puts first, and where the target stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from contrec import baselines
from contrec.evaluation import Evaluation
from contrec.study.config import Config
from contrec.study.fitting import load_split
from contrec.study.settings import chosen

FEW = ("popularity", "itemknn", "transitions")  # fitted in a moment, and all alike on every machine


def disagreed(kept: Mapping[tuple[str, int], Evaluation], models: Sequence[str] = FEW, top_k: int = 10) -> int:
    """The first test case whose target some of the models have among the first ``top_k`` and some have not; else 0.

    Args:
        kept: evaluations by model and seed; models that are not there have no say.
    """
    hits = np.array([e.ranks <= top_k for (name, _), e in kept.items() if name in models])
    return int((hits.any(0) & ~hits.all(0)).argmax()) if len(hits) else 0


def lists(
    config: Config, case: int, models: Sequence[str] = FEW, k: int = 5, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What models put first for a test case, and what its target's place follows from.

    Args:
        case: number of the test case, from 0.
        models: names in :data:`contrec.study.settings.BASELINES`; each is fitted, with the settings of the config's
            dataset and preset.
        k: length of the lists.
        seed: of trained models.

    Returns:
        Titles, a row a place and a column a model, "→" before the target; and a row a model: score (of the target),
        higher (unseen items that score more), ties (items with the target's score, itself included).
    """
    split = load_split(config)
    one = split.test.select([case])
    target, places, shown = int(one.target[0]), {}, {}
    for name in models:
        fitted = baselines.make(name, **chosen(name, config)[0]).fit(split, seed=seed)
        scores = np.array(fitted.score(one), dtype=np.float64)[0]
        scores[one.history(0)] = -np.inf
        first = np.argsort(-scores, kind="stable")[:k]
        shown[name] = [("→ " if i == target else "") + split.catalogue.titles[i] for i in first]
        own = scores[target]
        places[name] = {"score": own, "higher": int((scores > own).sum()), "ties": int((scores == own).sum())}
    return pd.DataFrame(shown, index=pd.RangeIndex(1, k + 1, name="place")), pd.DataFrame(places).T.astype(
        {"higher": int, "ties": int}
    )
