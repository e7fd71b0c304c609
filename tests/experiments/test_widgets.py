"""The case browser: its state against the recommender itself, what is kept, and the widgets driven by hand."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from contrec.data.interactions import Cases
from contrec.experiments.cases import state as browser_state
from contrec.experiments.cases.state import BrowserState, Settings
from contrec.experiments.cases.widgets import Browser


@pytest.fixture
def state(fitted, planted_split):
    return BrowserState(fitted, planted_split)


def fresh(fitted, settings: Settings, history, k=10):
    """What the recommender itself recommends with these settings."""
    other = copy.copy(fitted)
    diffusion = replace(
        fitted.config.diffusion, guidance_strength=settings.guidance_strength, n_samples=settings.n_samples,
        sampler=settings.sampler, sampler_steps=settings.steps,
    )  # fmt: skip
    other.config = replace(
        fitted.config, text_bonus=settings.text_bonus, estimate=settings.estimate, diffusion=diffusion
    )
    other.network = copy.copy(fitted.network)
    other.network._modules = dict(fitted.network._modules)
    other.network.diffusion = copy.copy(fitted.network.diffusion)
    other.network.diffusion.config, other.network.diffusion.sampler = diffusion, settings.sampler
    return other.recommend(history=[fitted.catalogue.item_ids[i] for i in history], k=k)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"text_bonus": 0.5},
        {"estimate": "point"},
        {"estimate": "sample", "guidance_strength": 4.0},
        {"estimate": "mean", "n_samples": 3, "sampler": "ddpm", "steps": 7, "text_bonus": 0.1},
    ],
)
def test_the_state_is_what_a_fresh_recommender_says(state, fitted, settings):
    state.change(**settings)
    state.remove([0])
    expected = fresh(fitted, state.settings, state.history)
    shown = state.table()
    assert shown.title.tolist() == expected.title.tolist()
    np.testing.assert_allclose(shown[["score", "cosine", "bonus"]], expected[["score", "cosine", "bonus"]], atol=1e-6)
    assert state.text() == expected.text[0]


def test_the_text_bonus_ranks_as_scores_of_does(state, fitted):
    known = state.understanding()
    for text_bonus in (0.0, 0.2, 1.0):
        state.change(text_bonus=text_bonus)
        other = copy.copy(fitted)
        other.config = replace(fitted.config, text_bonus=text_bonus)
        scores = other.scores_of(fitted.preference(known), known.facet)[0].numpy()
        ranking = state.ranking()
        np.testing.assert_allclose(ranking.score, scores[ranking["index"]], atol=1e-6)
        assert set(ranking["index"]) == set(range(len(fitted.catalogue))) - set(state.history)
        assert (np.diff(ranking.score) <= 1e-9).all()


def test_what_does_not_change_is_not_computed_again(state, fitted, monkeypatch):
    asked = {"understand": 0, "preference": 0}
    for name in asked:
        real = getattr(fitted, name)

        def counted(*arguments, name=name, real=real, **settings):
            asked[name] += 1
            return real(*arguments, **settings)

        monkeypatch.setattr(fitted, name, counted)
    state.change(text_bonus=0.3)
    state.html()
    assert asked == {"understand": 0, "preference": 0}  # only a new ranking
    state.change(estimate="sample", guidance_strength=3.0)
    state.html()
    assert asked == {"understand": 0, "preference": 1}
    state.remove([0])
    state.html()
    assert asked == {"understand": 1, "preference": 2}
    state.reset()
    state.html()
    assert asked == {"understand": 1, "preference": 2}  # both are still kept


def test_what_is_kept_has_an_end(monkeypatch):
    monkeypatch.setattr(browser_state, "KEPT", 2)
    kept = {}
    for key in (1, 2, 3, 3):
        assert browser_state._kept(kept, (key,), lambda key=key: key * 10) == key * 10
    assert kept == {(2,): 20, (3,): 30}


def test_the_history_is_the_test_cases_and_its_target_is_told(state, fitted, planted_split):
    user = str(planted_split.train.user_ids[planted_split.test.user[4]])
    state.pick(user)
    assert state.history == tuple(planted_split.test.history(4)) and state.target == planted_split.test.target[4]
    table = state.table()
    assert table["before"].tolist() == table["rank"].tolist()
    place = state.ranking().set_index("index")["rank"][state.target]
    assert f"Rank {place} of" in state.about_target()
    state.add(state.target)
    assert "stands in the history" in state.about_target()
    assert (state.table().target == "").all()


def test_an_item_that_left_the_history_had_no_rank_before(state):
    gone = state.history[0]
    state.remove([0])
    state.k = len(state.ranking())
    table = state.table()
    assert table.before.isna().sum() == (gone not in state.history)
    assert sorted(table.before.dropna()) == list(range(1, state.k))


def test_a_user_without_a_test_case_is_shown_without_a_target(fitted, planted_split):
    test = planted_split.test
    split = replace(planted_split, test=test.select(slice(1, None)))
    state = BrowserState(fitted, split, str(planted_split.train.user_ids[test.user[0]]))
    assert state.target is None and state.about_target() == "This user has no test target."
    assert state.history == tuple(fitted.sequences.history(int(test.user[0])))


def test_bad_changes_are_refused_and_change_nothing(state):
    before = (state.user, state.history, state.settings)
    for change, message in (
        (lambda: state.pick("nobody"), "unknown user 'nobody'"),
        (lambda: state.remove(range(len(state.history))), "at least one item"),
        (lambda: state.add(10_000), "item must lie in"),
        (lambda: state.change(text_bonus=1.5), "text_bonus must lie in"),
        (lambda: state.change(estimate="best"), "estimate must be one of"),
        (lambda: state.change(steps=0), "steps must lie in"),
        (lambda: state.change(n_samples=0), "n_samples"),
    ):
        with pytest.raises(ValueError, match=message):
            change()
    assert (state.user, state.history, state.settings) == before


def test_a_sampler_that_starts_late_walks_no_more_steps(state, monkeypatch):
    config = state.recommender.config
    late = replace(config, diffusion=replace(config.diffusion, sampler_start=10))
    monkeypatch.setattr(state.recommender, "config", late)
    with pytest.raises(ValueError, match=r"steps must lie in \[1, 10\]"):
        state.change(steps=11)
    state.change(steps=10)


def test_search_finds_all_words_in_any_case(state, fitted):
    title = fitted.catalogue.titles[7]
    assert (title, 7) in state.search(" ".join(reversed(title.upper().split())))
    assert state.search("") == [] and state.search("no such title at all") == []
    assert len(state.search("a", limit=3)) == 3


def test_hostile_titles_stay_text(fitted, planted_split):
    hostile = "<img src=x onerror=alert(1)> $y$\nnext"
    other = copy.copy(fitted)
    other.catalogue = replace(fitted.catalogue, titles=(hostile,) * len(fitted.catalogue))
    browser = Browser(other, planted_split)
    assert "<img" not in browser.output.value and "&lt;img src=x" in browser.output.value
    assert browser.history.options[0][0] == "1. <img src=x onerror=alert(1)> $y$ next"  # a select shows text
    browser.user.value = "<b>nobody</b>"
    assert "&lt;b&gt;nobody" in browser.message.value and "<b>" not in browser.message.value


@pytest.fixture
def browser(fitted, planted_split):
    return Browser(fitted, planted_split)


def test_sliders_change_the_shown_table(browser, fitted):
    first = browser.output.value
    browser.text_bonus.value = 0.5
    assert browser.state.settings.text_bonus == 0.5 and browser.output.value != first
    assert browser.output.value == browser.state.html()
    shown = browser.output.value
    changes = (("estimate", "point"), ("estimate", "mean"), ("n_samples", 5), ("guidance_strength", 6.0), ("steps", 9))
    for name, value in changes:
        getattr(browser, name).value = value
        assert getattr(browser.state.settings, name) == value and browser.output.value != shown
        shown = browser.output.value
    browser.reset.click()
    assert browser.output.value == first and browser.text_bonus.value == fitted.config.text_bonus


def test_history_and_user_change_the_shown_table(browser, fitted):
    first, n = browser.output.value, len(browser.history.options)
    browser.history.value = (0, 1)
    browser.remove.click()
    assert len(browser.history.options) == n - 2 and browser.output.value != first
    browser.search.value = fitted.catalogue.titles[7]
    assert browser.found.value == 7 and not browser.add.disabled
    browser.add.click()
    assert browser.state.history[-1] == 7 and browser.history.options[-1][0].endswith(fitted.catalogue.titles[7])
    browser.search.value = "no such title at all"
    assert browser.add.disabled and browser.found.value is None
    browser.user.value = str(fitted.user_ids[5])
    assert browser.state.user == str(fitted.user_ids[5]) and f"User {fitted.user_ids[5]}," in browser.output.value


def test_what_is_refused_is_told_and_the_widgets_go_back(browser):
    browser.history.value = (0,)
    browser.remove.click()  # what was changed by hand stays, too
    shown, user = browser.output.value, browser.user.value
    browser.user.value = "nobody"
    assert "unknown user" in browser.message.value
    assert browser.user.value == user and browser.output.value == shown
    browser.history.value = tuple(range(len(browser.history.options)))
    browser.remove.click()
    assert "at least one item" in browser.message.value and browser.output.value == shown
    browser.text_bonus.value = 0.25
    assert browser.message.value == ""


def test_settings_without_effect_are_disabled(browser):
    for estimate, sampled, several in (("point", False, False), ("sample", True, False), ("mean", True, True)):
        browser.estimate.value = estimate
        for name in ("guidance_strength", "sampler", "steps"):
            assert getattr(browser, name).disabled is not sampled
        assert browser.n_samples.disabled is not several


def test_a_model_without_dropped_conditions_cannot_be_guided(fitted, planted_split):
    other = copy.copy(fitted)
    diffusion = replace(fitted.config.diffusion, p_uncond=0.0, guidance_strength=0.0)
    other.config = replace(fitted.config, diffusion=diffusion, estimate="sample")
    browser = Browser(other, planted_split)
    assert browser.guidance_strength.disabled and not browser.sampler.disabled
    shown = browser.output.value
    browser.guidance_strength.value = 2.0  # as another widget's link may set it
    assert "was never trained" in browser.message.value and browser.guidance_strength.value == 0
    assert browser.output.value == shown


def test_a_page_without_widgets_shows_the_table(browser):
    bundle = browser._repr_mimebundle_()
    assert bundle["text/html"] == browser.state.html() and browser.state.table().title[0] in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_understanding_serves_a_history_of_somebody_unknown(state, fitted):
    """A state's history is a stranger's: neither the user's number nor the target reaches the model."""
    one = fitted.understand(Cases.from_histories([state.history]))
    assert torch.equal(state.understanding().condition, one.condition)
