"""One case by hand: the places that a reader computes are those that the tables are made of."""

import numpy as np
import pytest

from contrec.evaluation import Evaluation, evaluate
from contrec.experiments.ablation import one_case as arms
from contrec.experiments.baselines import one_case
from contrec.study import evaluating, fitting
from contrec.study.config import Config


def evaluation(ranks) -> Evaluation:
    ranks = np.asarray(ranks, float)
    n = len(ranks)
    return Evaluation(ranks, np.ones(n, np.int64), np.arange(n), True, None, {"cases": n, "users": n})


@pytest.fixture
def config(planted_split, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(fitting, "_split", lambda *_: planted_split)
    return Config.from_parameters()


@pytest.mark.parametrize("case", [0, 7])
def test_places_of_a_baseline_are_those_that_are_evaluated(config, planted_split, case):
    shown, places = one_case.lists(config, case, k=60)
    target = planted_split.catalogue.titles[planted_split.test.target[case]]
    for name in one_case.FEW:
        e = evaluating.kept_evaluations(evaluating.floor(config, name))[name]
        row = places.loc[name]
        assert 1 + row.higher + (row.ties - 1) / 2 == e.ranks[case] and row.ties == e.ties[case]
        (place,) = shown.index[shown[name] == f"→ {target}"]
        assert row.higher < place <= row.higher + row.ties
    seen = {planted_split.catalogue.titles[i] for i in planted_split.test.history(case)}
    assert not seen & set(shown.head(20)["itemknn"])


def test_a_case_on_which_models_disagree_is_found():
    kept = {("popularity", 0): evaluation([1, 20, 20]), ("itemknn", 0): evaluation([1, 20, 10])}
    kept["oracle", 0] = evaluation([20, 1, 1])  # not asked
    assert one_case.disagreed(kept) == 2 and one_case.disagreed({}) == 0


def test_the_bonus_by_hand_is_the_model_with_and_without_it(fitted, planted_split):
    whole = evaluate(fitted, planted_split.test)
    found = [arms.with_and_without_bonus(fitted, planted_split, case) for case in range(10)]
    assert [f.place.iloc[1] for f in found] == whole.ranks[:10].tolist()
    for one in found:
        assert one.score.tolist() == pytest.approx((one.cosine * one.factor).tolist(), abs=1e-5)
        assert one.factor.iloc[0] == 1 and one.cosine.nunique() == 1
    factors = {f.factor.iloc[1] for f in found}
    assert factors <= {1.0, 1 + fitted.config.text_bonus}
    known = fitted.understand(planted_split.test.select([0]))
    facet = fitted.catalogue.answers[known.facet[0]]
    assert found[0].attrs["items"] == sum(facet in values for values in fitted.catalogue.facets)


def test_moves_and_counts_of_arms():
    full = Config.from_parameters("deftrec", "paper")
    kept = {
        ("no-mask", 0): evaluation([5, 30, 2, 11]), ("full", 0): evaluation([5, 10, 2, 12]),
        ("no-mask", 1): evaluation([99, 99, 99, 99]), ("gold", 0): evaluation([40, 9, 2, 3]),
    }  # fmt: skip
    assert arms.most_moved(kept, 0) == 0  # 40 over 5
    far = {("full", 0): evaluation([1, 200]), ("gold", 0): evaluation([20, 300])}
    assert arms.most_moved(far, 0) == 0  # from the first place to the second page, not from far to farther
    found = arms.moves(full, kept, 1, 0)
    assert found.arm.tolist() == ["Full", "w/o Mask", "From gold text"] and found.place.tolist() == [10, 30, 9]
    assert found.moved.tolist() == [0, 20, -1] and found["HR@10"].tolist() == [1, 0, 1]
    counts = arms.gained_and_lost(full, kept, 0).set_index("arm")
    assert counts.loc["w/o Mask", ["users", "moved", "gained", "lost", "difference"]].tolist() == [4, 2, 0, 1, -25]
    assert counts.loc["From gold text", ["moved", "gained", "lost", "difference"]].tolist() == [3, 1, 1, 0]
