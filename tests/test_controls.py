"""The controls: each is the fitted model with exactly one part taken away."""

from __future__ import annotations

import copy
from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contrec import controls
from contrec.controls import Variant, direct_head, mean_history, variants
from contrec.diffusion import Diffusion
from contrec.evaluation import evaluate

NAMES = {
    "contrec", "contrec/point", "contrec/one-sample", "contrec/mean-of-4", "contrec/no-text-bonus",
    "contrec/permuted-condition", "contrec/direct-head", "contrec/user-token", "contrec/mean-history",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(fitted, planted_split):
    return variants(fitted, planted_split, planted_split.test, seed=1, n_samples=4)


def cosine(a, b):
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def test_every_control_is_there_and_ranks(made, planted_split):
    assert set(made) == NAMES and next(iter(made)) == "contrec"
    for name, model in made.items():
        found = evaluate(model, planted_split.test)
        assert found.counts["unranked_targets"] == 0, name


def test_the_model_itself_is_the_recommender(made, fitted, planted_split):
    torch.testing.assert_close(made["contrec"].score(planted_split.test), fitted.score(planted_split.test))
    torch.testing.assert_close(  # this recipe's own estimate
        made["contrec"].score(planted_split.test), made["contrec/one-sample"].score(planted_split.test)
    )


def test_the_text_is_taken_away_and_nothing_else(made, fitted, planted_split):
    cases = planted_split.test
    match = fitted.facet_index.match(fitted.understand(cases).facet, planted_split.n_items)
    with_text, without = made["contrec"].score(cases), made["contrec/no-text-bonus"].score(cases)
    assert match.any() and not match.all()
    torch.testing.assert_close(with_text, without * (1 + fitted.config.text_bonus * match))


def test_user_token_and_mean_history_use_neither_language_model_nor_diffusion(made, fitted, planted_split):
    cases, items = planted_split.test, fitted.embeddings.items
    expected = cosine(fitted.embeddings.users(cases), items)
    torch.testing.assert_close(made["contrec/user-token"].score(cases), expected)
    means = torch.stack(
        [F.normalize(items[torch.from_numpy(np.unique(cases.history(i)))], dim=1).sum(0) for i in range(len(cases))]
    )
    torch.testing.assert_close(made["contrec/mean-history"].score(cases), cosine(means, items))
    torch.testing.assert_close(F.normalize(mean_history(fitted, cases), dim=1), F.normalize(means, dim=1))


def test_where_distance_ranks_directions_are_still_ranked_by_the_cosine(fitted, planted_split, monkeypatch):
    """Nothing has taught a user token, a mean of unit vectors or a head trained by cosines how long they should be."""
    told, cases, known = copy.copy(fitted), planted_split.test, fitted.understand(planted_split.test)
    told.config = replace(fitted.config, score="euclidean")
    with monkeypatch.context() as patch:
        patch.setattr(controls, "direct_head", lambda *_, **__: lambda known: 3 * known.users)
        by_distance = variants(told, planted_split, cases, n_samples=2)
    expected = {"user-token": (known.users, None), "mean-history": (mean_history(fitted, cases), None)}
    for name, (y, facet) in (expected | {"direct-head": (known.users, known.facet)}).items():
        torch.testing.assert_close(by_distance[f"contrec/{name}"].score(cases), fitted.scores_of(y, facet))
    drawn = told.preference(known)
    torch.testing.assert_close(by_distance["contrec"].score(cases), -torch.cdist(drawn, fitted.embeddings.items))
    ranked_by = []
    monkeypatch.setattr(controls, "evaluate", lambda model, *_, **__: ranked_by.append(model.by) or Found(0.0))
    direct_head(told, planted_split, epochs=1)
    assert ranked_by == ["cosine"]


def test_permuted_conditions_are_those_of_other_users(made, fitted, planted_split):
    cases = planted_split.test
    known = fitted.understand(cases)
    order = np.random.default_rng(1).permutation(len(cases))
    assert (order != np.arange(len(cases))).mean() > 0.9
    moved = replace(known, condition=known.condition[torch.from_numpy(order)])
    expected = fitted.scores_of(fitted.preference(moved), known.facet[order])
    torch.testing.assert_close(made["contrec/permuted-condition"].score(cases), expected)
    assert not torch.allclose(expected, made["contrec"].score(cases), atol=1e-3)


def test_a_variant_answers_case_by_case(made, planted_split):
    cases = planted_split.test
    rows = np.array([9, 2, 40])
    for model in made.values():
        torch.testing.assert_close(model.score(cases.select(rows)), model.score(cases)[torch.from_numpy(rows)])
    with pytest.raises(KeyError):
        made["contrec"].score(planted_split.train_cases.select([0]))


def test_direct_head_learns_from_conditions_that_tell(fitted, planted_split):
    """With the target's vector in the condition, a head that reads conditions must find it."""

    class Told(type(fitted)):
        def understand(self, cases, batch_size=64, held_out=False):
            known = super().understand(cases, batch_size, held_out)
            target = self.embeddings.items[torch.from_numpy(cases.target)]
            return replace(known, condition=target[:, None].expand_as(known.condition).clone())

    told = Told(fitted.config, "cpu")
    told.__dict__.update(fitted.__dict__)
    preferences = direct_head(told, planted_split, seed=0, epochs=12, lr=5e-3)
    known = told.understand(planted_split.test)
    rows = {planted_split.test.history(i).tobytes(): i for i in range(len(planted_split.test))}
    found = evaluate(Variant(told, rows, preferences(known), None), planted_split.test).metrics()["HR@10"]
    assert found > 0.6  # a random ranking has 10 / 47 = .21, popularity .25


def test_direct_head_repeats_itself(fitted, planted_split):
    known = fitted.understand(planted_split.test)
    torch.manual_seed(1)
    one = direct_head(fitted, planted_split, seed=0, epochs=2)(known)
    torch.manual_seed(2)
    assert torch.equal(one, direct_head(fitted, planted_split, seed=0, epochs=2)(known))


class Found:
    """An evaluation with the value that a test wants."""

    def __init__(self, value):
        self.value = value

    def metrics(self):
        return {"NDCG@10": self.value}


def trained_with(values, fitted, split, monkeypatch):
    """Preferences of a direct head whose epochs are valued so, its configuration and the sizes of its batches."""
    left, sizes, configs, losses = list(values), [], [], Diffusion.losses

    def watched(self, y0, *arguments, **keywords):
        sizes.append(len(y0))
        configs.append(self.config)
        return losses(self, y0, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(controls, "evaluate", lambda *_, **__: Found(left.pop(0)))
        patch.setattr(Diffusion, "losses", watched)
        known = fitted.understand(split.test)
        made = direct_head(fitted, split, seed=0, epochs=len(values))(known)
    assert not left  # as many epochs as were asked for
    return made, configs[0], sizes


def test_the_first_of_the_best_epochs_is_kept(fitted, planted_split, monkeypatch):
    best, config, sizes = trained_with([0.1, 0.5, 0.5, 0.2], fitted, planted_split, monkeypatch)
    two, *_ = trained_with([0.1, 0.5], fitted, planted_split, monkeypatch)
    none, *_ = trained_with([0.0, 0.0], fitted, planted_split, monkeypatch)  # nothing found: the first counts
    one, *_ = trained_with([0.0], fitted, planted_split, monkeypatch)
    assert torch.equal(best, two) and torch.equal(none, one) and not torch.equal(one, two)
    assert (config.head, config.prediction_type, config.objective) == ("direct", "sample", "cross_entropy")
    assert (config.terminal_share, config.p_uncond, config.pairing, config.noise_draws) == (1.0, 0.0, "own", 1)
    there = np.bincount(planted_split.train_cases.user)
    n = int(np.minimum(there, 2 * fitted.config.training.cases_per_user).sum())
    assert there.max() > 2 * fitted.config.training.cases_per_user
    assert sizes == [*[128] * (n // 128), *([n % 128] if n % 128 else [])] * 4


def test_the_direct_head_sees_the_user_token_only_where_the_recipe_does(fitted, planted_split, monkeypatch):
    known, seen, point = fitted.understand(planted_split.test), [], Diffusion.point
    with monkeypatch.context() as patch:
        patch.setattr(Diffusion, "point", lambda self, c, user=None: seen.append(user) or point(self, c, user=user))
        for residual in (False, True):
            diffusion = replace(fitted.config.diffusion, head="direct", prediction_type="sample")
            told = type(fitted)(replace(fitted.config, residual=residual, diffusion=diffusion), "cpu")
            told.__dict__.update({**fitted.__dict__, "config": told.config})
            direct_head(told, planted_split, epochs=1)(known)
    assert [user is None for user in seen] == [True, True, False, False] and torch.equal(seen[-1], known.users)


def test_controls_are_made_as_said_unless_told_otherwise():
    def defaults(function):
        return {k: v.default for k, v in signature(function).parameters.items() if v.default is not v.empty}

    assert defaults(variants) == {"seed": 0, "n_samples": 32, "name": "contrec"}
    assert defaults(direct_head) == {"seed": 0, "epochs": 30, "lr": 1e-3}
