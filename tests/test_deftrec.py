"""DeftRec and the released codes as whole networks: gradients, leaks, exact saving, what each recipe trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from contrec.asking import shown
from contrec.recommender import Recommender
from contrec.study.config import Config

QUICK = {"training__epochs": 1, "training__validation_users": 8, "training__cases_per_user": 1, "language__layers": 1,
         "diffusion__timesteps": 100, "diffusion__sampler_steps": 4}  # fmt: skip


def made(recipe: str, model: str = "deftrec", **settings):
    embeddings = {"dim": 16} | ({"epochs": 2} if recipe != "tuned" else {})
    config = Config.from_parameters(model, recipe, "tiny", embeddings=embeddings, **{**QUICK, **settings})
    return Recommender(config.recommender)


@pytest.fixture(scope="module", params=["paper", "released"])
def fitted(request, planted_split):
    return made(request.param).fit(planted_split)


def batch_of(recommender, split, number=0):
    recommender._split = split
    try:
        return recommender._batches(1)[number]
    finally:
        del recommender._split


def gradients(network, batch, only: str | None = None):
    network.zero_grad()
    network.train()
    losses = network(batch)
    losses[only or "total"].backward()
    network.eval()
    return {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}, losses


def test_the_objective_is_equation_15(fitted, planted_split):
    batch, training = batch_of(fitted, planted_split), fitted.config.training
    _, losses = gradients(fitted.network, batch)
    expected = losses["diffusion"] + training.llm_weight * losses["llm"] + training.negative_weight * losses["negative"]
    torch.testing.assert_close(losses["total"], expected)
    assert training.dispersion_weight == 0


def test_the_papers_diffusion_reaches_the_encoders_and_the_released_one_does_not(fitted, planted_split):
    batch = batch_of(fitted, planted_split)
    of_diffusion, _ = gradients(fitted.network, batch, "diffusion")
    of_language, _ = gradients(fitted.network, batch, "llm")
    released = fitted.config.condition_states == "input"
    assert ("user_model" in of_diffusion) is not released and ("item_tokenizer" in of_diffusion) is not released
    assert {"item_tokenizer", "user_model"} <= of_language  # trained jointly with the language model (Sect. 2.6)
    assert ("user_tokenizer" in of_language) is fitted.config.language.user_tokens


def test_negatives_enter_the_contrastive_term_alone(fitted, planted_split):
    batch = batch_of(fitted, planted_split)
    rows = 1 if fitted.config.diffusion.negatives == "per_batch" else len(batch.target)
    assert batch.negatives.shape == (rows, 10)
    other = replace(batch, negatives=(batch.negatives + 1) % planted_split.n_items)
    torch.manual_seed(0)
    _, one = gradients(fitted.network, batch)
    torch.manual_seed(0)
    _, two = gradients(fitted.network, other)
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert changed == {"negative", "total"}


def test_tokens_are_encoded_anew(fitted, planted_split):
    network, batch = fitted.network, batch_of(fitted, planted_split)
    assert network.item_tokens is None
    tokens, k = network.tokens(batch.prompts, batch.users, None), fitted.config.tokenizer.n_tokens
    source = batch.prompts.slot_source.values
    of_items = torch.from_numpy(source >= 0)
    items = torch.from_numpy(source[source >= 0].reshape(-1, k)[:, 0] // k)
    expected = network.item_tokenizer.encode(network.items[items]).flatten(0, 1)
    torch.testing.assert_close(tokens[of_items], expected)
    if fitted.config.language.user_tokens:
        torch.testing.assert_close(tokens[~of_items], network.user_tokenizer.encode(batch.users).flatten(0, 1))
    else:
        assert of_items.all()


def test_answers_do_not_depend_on_the_batch(fitted, planted_split):
    # also of the released code, whose mask stays on: it belongs to the history here
    cases = planted_split.test.select(np.arange(12))
    whole, part = fitted.score(cases), fitted.score(cases.select(np.array([7])))
    torch.testing.assert_close(part[0], whole[7], atol=2e-5, rtol=1e-4)


def test_the_mask_at_test_changes_answers(planted_split):
    recommender = made("released").fit(planted_split)
    cases = planted_split.test.select(np.arange(8))
    with_mask = recommender.understand(cases).condition
    network, config = recommender.network, recommender.config
    prompts = recommender.prompts.build(cases, np.zeros(8, int))
    users = recommender.embeddings.users(cases)
    masked = network.tokens(prompts, users, None, torch.arange(8))
    assert not torch.equal(masked, network.tokens(prompts, users, None))
    assert torch.equal(masked, network.tokens(prompts, users, None, torch.arange(8)))
    network.config = replace(config, tokenizer=replace(config.tokenizer, mask_at_test=False))
    assert torch.equal(network.tokens(prompts, users, None, torch.arange(8)), network.tokens(prompts, users, None))
    assert with_mask.shape == (8, 1, network.user_model.hidden)


def test_what_a_user_shows_is_shown_in_an_order_of_its_own(planted_split):
    recommender = made("paper").fit(planted_split)
    cases = planted_split.test.select(np.arange(20))
    seen = shown(cases, recommender.config.language, np.arange(20))
    assert any(seen.history(i).tolist() != cases.history(i)[-10:].tolist() for i in range(20))
    assert all(sorted(seen.history(i)) == sorted(cases.history(i)[-10:]) for i in range(20))


def test_saving_and_loading_changes_nothing(fitted, planted_split, tmp_path):
    cases = planted_split.test.select(np.arange(10))
    before = fitted.score(cases)
    fitted.save(tmp_path / "kept")
    again = Recommender.load(tmp_path / "kept")
    torch.testing.assert_close(again.score(cases), before, atol=1e-6, rtol=1e-6)
    assert again.recommend_cases(cases, 5).equals(fitted.recommend_cases(cases, 5))


def test_lists_agree_with_scores(fitted, planted_split):
    cases = planted_split.test.select(np.arange(6))
    scores = fitted.score(cases)
    seen = cases.history_matrix(planted_split.n_items)
    scores[np.repeat(np.arange(6), np.diff(seen.indptr)), seen.indices] = -torch.inf
    top = fitted.recommend_cases(cases, 3)
    number = {str(item): n for n, item in enumerate(fitted.catalogue.item_ids)}
    listed = np.array([number[str(item)] for item in top.item]).reshape(6, 3)
    np.testing.assert_array_equal(listed, scores.topk(3).indices.numpy())
    left = planted_split.n_items - np.diff(seen.indptr)
    with pytest.warns(UserWarning, match=f"6 of 6 users have {left.min()} of 64 items left at the least"):
        whole = fitted.recommend_cases(cases, planted_split.n_items)
    assert whole.groupby("case").size().tolist() == left.tolist() and np.isfinite(whole.score).all()


def test_the_prompt_counts_in_the_released_language_loss(planted_split):
    recommender = made("released").fit(planted_split)
    batch, network = batch_of(recommender, planted_split), recommender.network
    everything = network(batch)["llm"]
    language = replace(recommender.config.language, loss_on="answer")
    network.config = replace(recommender.config, language=language)
    assert not torch.isclose(network(batch)["llm"], everything, rtol=0.01)
    skip = len(network.user_model.prefix)
    assert batch.token_weight(skip) == pytest.approx(1) and batch.token_weight() == pytest.approx(1)
    thirds = [batch.shard(i, 3).token_weight(skip) for i in range(3)]
    assert sum(thirds) == pytest.approx(3) and thirds[0] != 1


def test_titles_end_the_answers_of_the_released_code(planted_split):
    recommender = made("released").fit(planted_split)
    known = recommender.understand(planted_split.test.select(np.arange(6)))
    text = recommender.recommend_cases(planted_split.test.select(np.arange(6)), 1).text
    for row, answer in enumerate(known.answer):
        title = " ".join(recommender.catalogue.titles[answer][:20].split())
        assert text[row].endswith(title)
        assert known.facet[row] == recommender.answers.named[answer]
