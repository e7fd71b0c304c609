"""One setting turned by hand on one case: how far its preference moves, and what that does to its list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch.nn.functional import cosine_similarity

from contrec.checks import one_of
from contrec.data.interactions import Cases
from contrec.recommender import Recommender

SAMPLING = {"omega": "guidance_strength", "steps": "steps", "samples": "n_samples"}  # arguments of a preference
TURNED = (*SAMPLING, "pi")


def turned(
    recommender: Recommender, one: Cases, parameter: str, values: Sequence, k: int = 5
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask for one case with one setting at several values, all else equal: one sample, from the same noise each time.

    Args:
        one: a single case with its target.
        parameter: of ``TURNED``: guidance (Eq. 21), steps, samples (their mean is ranked), or the text bonus (Eq. 22).
        values: in the order to be shown; the first is what the others are compared with.
        k: length of the lists whose items are followed.

    Returns:
        (a row per value: the value, cosine (of the preference with the first), target's rank, kept (how many of the
        first list's k items are in this one), first in the list (title); ranks of what stands in the first or the last
        list and, last, of the target, a row per title and a column per value). A target that was seen has no rank.
    """
    one_of("parameter", parameter, TURNED)
    known, target = recommender.understand(one), recommender.catalogue.item_ids[one.target[0]]
    unseen = len(recommender.catalogue) - len(np.unique(one.history(0)))
    preferences, lists = [], []
    for value in values:
        sampling = {SAMPLING[parameter]: value} if parameter in SAMPLING else {}
        estimate = "mean" if parameter == "samples" else "sample"
        preferences.append(recommender.preference(known, estimate, **sampling))
        bonus = value if parameter == "pi" else None
        lists.append(recommender.ranked(one, unseen, known, preferences[-1], bonus).set_index("item"))
    ranks = pd.DataFrame({value: ranking["rank"] for value, ranking in zip(values, lists, strict=True)})
    followed = [item for item in dict.fromkeys([*lists[0].index[:k], *lists[-1].index[:k]]) if item != target]
    followed += [target] if target in ranks.index else []
    titles = lists[0].title
    rows = [
        {
            parameter: value,
            "cosine": float(cosine_similarity(preference, preferences[0])[0]),
            "target's rank": ranks[value].get(target),
            "kept": len(set(ranking.index[:k]) & set(lists[0].index[:k])),
            "first in the list": ranking.title.iloc[0],
        }
        for value, preference, ranking in zip(values, preferences, lists, strict=True)
    ]
    shown = ranks.loc[followed]
    names = [("target: " if item == target else "") + titles[item] for item in followed]
    return pd.DataFrame(rows), shown.set_axis(names, axis=0).rename_axis(columns=parameter)
