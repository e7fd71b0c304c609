"""One test case through the arms of an ablation, and how the difference of two arms is made of single users."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contrec.data.interactions import Split
from contrec.evaluation.metrics import metric_values
from contrec.experiments.ablation.arms import everything
from contrec.experiments.ablation.tables import Kept
from contrec.recommender import Recommender
from contrec.study.config import Config

ROUNDING = 1e-6  # scores as near as this are ties: a product of another shape adds its terms in another order


def most_moved(kept: Kept, seed: int) -> int:
    """Row of the test case whose target the arms move most: by the ratio of its lowest and its highest place."""
    ranks = np.array([np.minimum(e.ranks, 1e9) for (_, own), e in kept.items() if own == seed])
    return int((ranks.max(0) / ranks.min(0)).argmax())


def moves(full: Config, kept: Kept, case: int, seed: int) -> pd.DataFrame:
    """Where each arm puts the target of a test case: a row an arm, the full model first.

    Args:
        kept: evaluations by arm and seed, among them the full model's.

    Returns:
        arm (label), place, moved (places down from the full model's), HR@10, NDCG@10 of this case alone.
    """
    rows = []
    for arm in everything(full):
        if (arm.name, seed) not in kept:
            continue
        e = kept[arm.name, seed]
        moved = e.ranks[case] - kept["full", seed].ranks[case]
        values = {m: float(metric_values(m, e.ranks[[case]], e.ties[[case]])[0]) for m in ("HR@10", "NDCG@10")}
        rows.append({"arm": arm.label, "place": e.ranks[case], "moved": moved, **values})
    return pd.DataFrame(rows)


def with_and_without_bonus(recommender: Recommender, split: Split, case: int) -> pd.DataFrame:
    """Eq. (22) of one target by hand: its cosine, the factor of the text, its score and place, without and with it.

    Returns:
        Rows "pi = 0" and the model's own; columns cosine, factor, score, higher (unseen items that score more), ties
        (unseen items with its score, itself included), place = 1 + higher + (ties - 1) / 2.
        The facet that the text names, and how many items have it, stand in ``attrs``.
    """
    one = split.test.select([case])
    known = recommender.understand(one)
    preference, target = recommender.preference(known), int(one.target[0])
    plain = recommender.scores_of(preference, None)[0].cpu().numpy()
    scored = recommender.scores_of(preference, known.facet)[0].cpu().numpy()
    match = recommender.facet_index.match(known.facet, len(recommender.catalogue))[0].numpy()
    rows = {}
    for name, scores in (("pi = 0", plain), (f"pi = {recommender.config.text_bonus:g}", scored)):
        own = scores[target]
        left = np.ones(len(scores), bool)
        left[one.history(0)] = False
        ties = int((np.abs(scores[left] - own) <= ROUNDING).sum())
        higher = int((scores[left] > own + ROUNDING).sum())
        factor = 1.0 if name == "pi = 0" else 1 + recommender.config.text_bonus * match[target]
        rows[name] = {"cosine": plain[target], "factor": factor, "score": own, "higher": higher, "ties": ties}
    frame = pd.DataFrame(rows).T.astype({"higher": int, "ties": int})
    frame["place"] = 1 + frame.higher + (frame.ties - 1) / 2
    frame.attrs = {"text": recommender.answers.text(known.template[0], known.answer[0]), "items": int(match.sum())}
    return frame


def gained_and_lost(full: Config, kept: Kept, seed: int, metric: str = "HR@10") -> pd.DataFrame:
    """How many users an arm moves at all, and for how many it gains or loses a hit: what its difference is made of.

    Returns:
        arm (label), users, moved (another place for the target), gained, lost, difference (points: 100 (gained - lost)
        / users).
    """
    labels = {arm.name: arm.label for arm in everything(full)}
    whole, rows = kept["full", seed], []
    for (name, own), e in kept.items():
        if own == seed and name != "full":
            change = e.per_user(metric) - whole.per_user(metric)
            row = {"arm": labels[name], "users": len(change), "moved": int((e.ranks != whole.ranks).sum())}
            row |= {"gained": int((change > 0).sum()), "lost": int((change < 0).sum())}
            rows.append({**row, "difference": 100 * change.mean()})
    return pd.DataFrame(rows)
