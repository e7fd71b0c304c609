"""ContRec as a whole: where gradients go, what may not leak, what is recommended, and that saving changes nothing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contrec.data.interactions import Cases, history_seed
from contrec.evaluation import evaluate
from contrec.files import sealed
from contrec.network import Batch, RecommenderConfig, config_from_dict
from contrec.recommender import Recommender
from contrec.training import trainable_state

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
ROUNDING = {"atol": 1e-6, "rtol": 0.0}  # measured: scores of another batch differ by up to 3e-7
QUICK = {"training.epochs": 1, "tokenizer.epochs": 1, "training.validation_users": 8}


def one_batch(recommender, split, epoch=1, number=0) -> Batch:
    recommender._split = split
    try:
        return recommender._batches(epoch)[number]
    finally:
        del recommender._split


@pytest.fixture
def network(fitted):
    """A copy that a test may train."""
    return copy.deepcopy(fitted.network)


@pytest.fixture(scope="module")
def batch(fitted, planted_split):
    return one_batch(fitted, planted_split)


def with_targets(cases: Cases, target) -> Cases:
    return replace(cases, target=np.broadcast_to(target, cases.target.shape).copy())


# -- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition_from", ["generated", "gold", "prompt"])
def test_diffusion_loss_alone_reaches_every_trained_part(network, batch, condition_from):
    training = replace(network.config.training, llm_weight=0.0, dispersion_weight=0.0)
    network.config = replace(network.config, training=training, condition_from=condition_from)
    network.user_model.injector.project = nn.Linear(32, 32)
    network.train()
    network(batch)["total"].backward()
    silent = [n for n, p in network.named_parameters() if p.requires_grad and not (p.grad is not None and p.grad.any())]
    # a single state leaves attention over states nothing to learn
    assert silent == (["condition_net.queries.weight"] if condition_from == "prompt" else [])
    parts = {n.split(".")[0] for n, p in network.named_parameters() if p.requires_grad}
    assert parts == {"user_model", "condition_net", "diffusion"}
    frozen = [p for part in (network.item_tokenizer, network.user_tokenizer) for p in part.parameters()]
    assert frozen and all(p.grad is None and not p.requires_grad for p in frozen)


def test_language_loss_alone_reaches_the_backbone_and_not_the_diffusion(network, batch):
    network.config = replace(network.config, training=replace(network.config.training, diffusion_weight=0.0))
    network(batch)["total"].backward()
    grown = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert grown == {"user_model"}


def test_total_is_equation_20(network, batch):
    weights = {"llm_weight": 0.3, "diffusion_weight": 0.7, "dispersion_weight": 2.0}
    network.config = replace(network.config, training=replace(network.config.training, **weights))
    with torch.no_grad():
        x = {name: float(value) for name, value in network(batch).items()}
    assert x["total"] == pytest.approx(0.3 * x["llm"] + 0.7 * (x["diffusion"] + 2.0 * x["dispersion"]), rel=1e-5)


@pytest.mark.parametrize("condition_from", ["generated", "gold", "prompt"])
def test_targets_without_a_gold_answer_do_no_harm(network, batch, condition_from):
    network.config = replace(network.config, condition_from=condition_from)
    nothing = [np.empty(0, np.int64)] * len(batch.target)
    losses = network(replace(batch, gold=nothing))
    losses["total"].backward()
    assert all(v.isfinite() for v in losses.values()) and float(losses["llm"].detach()) == 0
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_the_condition_is_made_from_the_text_that_is_written_without_dropout(network, batch, monkeypatch):
    model, seen, follow = network.user_model, [], network.user_model.follow
    for layer in model.model.model.layers:
        layer.self_attn.attention_dropout = 0.9
    model._drops = True
    monkeypatch.setattr(model, "follow", lambda *a: seen.append([ids.tolist() for ids in a[1]]) or follow(*a))
    for seed in range(4):  # of dropout; the batch's own seed is that of the tokens' noise
        network.train(seed > 0)
        torch.manual_seed(seed)
        network(batch)
    assert seen[1:] == seen[:1] * 3


def test_what_is_not_trained_drops_nothing_out(network):
    parts = {"backbone": network.user_model.model, "item": network.item_tokenizer, "user": network.user_tokenizer}
    for part in parts.values():
        part.dropout = nn.Dropout(0.5)
    network.train()
    assert {name for name, part in parts.items() if part.dropout.training} == {"backbone"}
    assert network.diffusion.training and network.condition_net.training
    network.user_model.model.requires_grad_(False)
    assert not network.train().user_model.model.dropout.training
    network.item_tokenizer.requires_grad_(True)
    assert network.train().item_tokenizer.dropout.training
    assert not any(part.training for part in network.eval().modules())


# -- leaks -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(("condition_from", "leaks"), [("generated", False), ("prompt", False), ("gold", True)])
def test_the_gold_answer_reaches_the_condition_only_where_it_is_asked_to(network, batch, condition_from, leaks):
    network.config = replace(network.config, condition_from=condition_from)
    answers = network.user_model.answers.ids
    one, other = (network(replace(batch, gold=[answers[t][f]] * len(batch.target))) for t, f in ((0, 0), (1, 3)))
    assert float(one["llm"]) != float(other["llm"])
    assert (float(one["diffusion"]) != float(other["diffusion"])) is leaks


def test_understanding_does_not_read_targets(fitted, planted_split):
    cases = planted_split.test
    known = fitted.understand(cases)
    for target in (-1, (cases.target + 1) % planted_split.n_items):
        other = fitted.understand(with_targets(cases, target))
        assert torch.equal(known.condition, other.condition) and torch.equal(known.users, other.users)
        assert np.array_equal(known.facet, other.facet) and np.array_equal(known.template, other.template)


def test_a_training_prompt_shows_the_history_and_not_the_target(fitted, planted_split):
    cases = planted_split.train_cases.select(slice(0, 60))
    prompts = fitted.prompts.build(cases, np.zeros(len(cases), np.int64))
    k = fitted.config.tokenizer.n_tokens
    for row in range(len(cases)):
        shown = {source // k for source in prompts.slot_source[row].tolist() if source >= 0}
        text = fitted.text_tokenizer.decode(prompts.ids[row])
        case = cases[row]
        assert shown == set(case.history[-4:].tolist())
        title = planted_split.catalogue.titles[case.target]
        assert case.target in shown or f" {title}<z_start>" not in text


def test_held_out_targets_reach_no_parameter(planted_split, tiny_config):
    m = planted_split.n_items
    validation, test = (with_targets(c, (c.target + 7) % m) for c in (planted_split.validation, planted_split.test))
    changed = replace(planted_split, validation=validation, test=test)
    made = [Recommender(tiny_config(QUICK), "cpu").fit(split, seed=0) for split in (planted_split, changed)]
    one, other = (r.network.state_dict() for r in made)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(made[0].network.item_tokens, made[1].network.item_tokens)
    assert made[0].text_tokenizer.get_vocab() == made[1].text_tokenizer.get_vocab()
    for a, b in zip(*(r.answers.ids for r in made), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    first, second = (one_batch(r, s) for r, s in zip(made, (planted_split, changed), strict=True))
    for name in ("ids", "slot_position", "slot_source"):
        assert all(
            np.array_equal(x, y) for x, y in zip(*(getattr(b.prompts, name) for b in (first, second)), strict=True)
        )
    assert torch.equal(first.target, second.target) and torch.equal(first.users, second.users)


# -- batches -----------------------------------------------------------------------------------------------------------


def test_batches_hold_every_case_of_the_epoch_once(fitted, planted_split):
    fitted._split = planted_split
    batches, again, later = fitted._batches(1), fitted._batches(1), fitted._batches(2)
    del fitted._split
    assert sum(len(b.target) for b in batches) == planted_split.n_users  # cases_per_user = 1
    assert all(torch.equal(a.target, b.target) and a.seed == b.seed for a, b in zip(batches, again, strict=True))
    assert len({b.seed for b in batches + later}) == 2 * len(batches)
    assert any(not torch.equal(a.target, b.target) for a, b in zip(batches, later, strict=True))


def test_gold_answers_name_a_facet_of_the_target(fitted, batch):
    for target, gold in zip(batch.target.tolist(), batch.gold, strict=True):
        facet = fitted.catalogue.gold_answer(target)
        if facet is None:
            assert len(gold) == 0
        else:
            assert f" {facet} " in " " + fitted.text_tokenizer.decode(gold)


def test_shards_share_the_rows_of_the_batch(fitted, batch):
    noise = torch.Generator().manual_seed(batch.seed)
    tokens, size = fitted.network.tokens(batch.prompts, batch.users, noise), len(batch.target)
    shards = [batch.shard(i, 3) for i in range(3)]
    assert sorted(np.concatenate([s.rows for s in shards])) == list(range(size))
    assert sum(s.token_weight() for s in shards) == pytest.approx(3) and {s.seed for s in shards} == {batch.seed}
    bounds = batch.prompts.slot_source.bounds
    for shard in shards:
        prompts, own, gold = shard.share(tokens)
        assert all(np.array_equal(a, batch.prompts.ids[row]) for a, row in zip(prompts.ids, shard.rows, strict=True))
        assert all(np.array_equal(a, batch.gold[row]) for a, row in zip(gold, shard.rows, strict=True))
        assert torch.equal(own, torch.cat([tokens[bounds[row] : bounds[row + 1]] for row in shard.rows]))
    idle = batch.shard(size, size + 1)
    assert len(idle.rows) == 0 and len(idle.share(tokens)[0]) == 1 and idle.token_weight() == 0


@torch.no_grad()
def test_tokens_are_gathered_and_noised_with_their_own_sigma(fitted, batch):
    network, k = fitted.network, fitted.config.tokenizer.n_tokens
    plain = network.tokens(batch.prompts, batch.users, None)
    source = batch.prompts.slot_source.values
    first_item = np.flatnonzero(source >= 0)[0]
    torch.testing.assert_close(plain[first_item], network.item_tokens.flatten(0, 1)[source[first_item]])
    first_user = np.flatnonzero(source < 0)[:k]
    torch.testing.assert_close(plain[first_user], network.user_tokenizer.encode(batch.users[:1])[0])
    stream = torch.Generator().manual_seed(0)
    noise = (network.tokens(batch.prompts, batch.users, stream) - plain).square().mean(1).sqrt()
    assert noise.min() > 0 and noise.std() > 0
    for_items = float(noise[source >= 0].square().mean().sqrt())
    assert for_items == pytest.approx(float(network.item_tokenizer.sigma_scale), rel=0.35)


def training_tokens(settings, split, embeddings, tiny_config):
    """Of a recommender with these settings: its network, and tokens of a batch in training and at test."""
    made = Recommender(tiny_config({**QUICK, **settings}), "cpu").fit(split, embeddings=embeddings, seed=0)
    batch = one_batch(made, split)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return made.network, *(made.network.tokens(batch.prompts, batch.users, noise) for noise in (stream, None))


def test_a_fixed_shift_is_in_the_tokens_once(planted_split, small_embeddings, tiny_config):
    settings = {"tokenizer.sigma_mode": "fixed"}
    network, trained_with, asked_with = training_tokens(settings, planted_split, small_embeddings, tiny_config)
    assert torch.equal(trained_with, asked_with)
    items = network.item_tokenizer.means(network.items) + network.item_tokenizer.constant
    torch.testing.assert_close(network.item_tokens, items)
    assert network.item_tokenizer.constant.abs().min() > 0


def test_tokens_that_are_trained_with_the_language_model_have_their_noise(planted_split, small_embeddings, tiny_config):
    settings = {"tokenizer.train": "joint"}
    network, trained_with, asked_with = training_tokens(settings, planted_split, small_embeddings, tiny_config)
    for tokenizer in (network.item_tokenizer, network.user_tokenizer):
        assert 0 < tokenizer.sigma_scale  # Gamma, from the first batch of phase 2
        assert "sigma_scale" in tokenizer.state_dict()
    noise = (trained_with - asked_with).square().mean().sqrt()
    assert float(noise) == pytest.approx(float(network.item_tokenizer.sigma_scale), rel=0.5)


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimate", ["sample", "mean", "point"])
def test_scores_do_not_depend_on_batch_or_order(fitted, planted_split, estimate):
    cases = planted_split.test.select(slice(0, 24))
    order = np.random.default_rng(0).permutation(24)

    def scores(cases, size=64):
        known = fitted.understand(cases, batch_size=size)
        return fitted.scores_of(fitted.preference(known, estimate), known.facet)

    whole = scores(cases)
    assert whole.shape == (24, planted_split.n_items) and whole.std(dim=0).max() > 1e-4
    torch.testing.assert_close(scores(cases, 5), whole, **ROUNDING)
    torch.testing.assert_close(scores(cases.select(order)), whole[torch.from_numpy(order)], **ROUNDING)
    torch.testing.assert_close(scores(cases.select([7])), whole[7:8], **ROUNDING)


def test_score_is_the_configs_estimate(fitted, planted_split):
    cases = planted_split.test.select(slice(0, 5))
    known = fitted.understand(cases)
    expected = fitted.scores_of(fitted.preference(known, "sample"), known.facet)
    torch.testing.assert_close(fitted.score(cases), expected, **CLOSE)
    point = fitted.scores_of(fitted.preference(known, "point"), known.facet)
    assert not torch.allclose(fitted.score(cases), point, atol=1e-3)


def ranking_by(score, fitted):
    """The same recommender with another score."""
    other = copy.copy(fitted)
    other.config = replace(fitted.config, score=score)
    return other


@pytest.mark.parametrize("score", ["euclidean", "inner", "cosine"])
def test_a_sample_is_the_samplers_vector_and_a_mean_ranks_by_the_draws_mean_score(fitted, planted_split, score):
    other, items = ranking_by(score, fitted), fitted.item_vectors()
    known = fitted.understand(planted_split.test.select(slice(0, 8)))
    drawn = fitted.network.diffusion.sample(known.condition, seeds=known.seeds, items=items, n_samples=3)
    sample, mean = other.preference(known, "sample"), other.preference(known, "mean", n_samples=3)
    if score != "cosine":
        assert torch.equal(sample, drawn[:, 0])
        torch.testing.assert_close(mean, drawn.mean(1))
    scores = torch.stack([other.scores_of(y, None) for y in (sample, mean, *drawn.unbind(1))])
    torch.testing.assert_close(scores[0], scores[2], **CLOSE)
    scores = -scores.square() if score == "euclidean" else scores
    # what all items share ranks nothing: how far the draws lie from each other, and how long their mean is
    shared = {
        "euclidean": lambda x: x - x.mean(1, keepdim=True),
        "cosine": nn.functional.normalize,
        "inner": lambda x: x,
    }
    torch.testing.assert_close(*(shared[score](x) for x in (scores[1], scores[2:].mean(0))), atol=1e-4, rtol=1e-4)
    lengths = drawn.norm(dim=2)
    assert lengths.std() > 0.05 * lengths.mean()  # or nothing is shown


def test_a_sample_near_its_target_finds_it_by_distance(fitted, planted_split, monkeypatch):
    """Items of very different lengths, drawn vectors at a distance of 1 from their targets."""
    cases, stream = planted_split.test, torch.Generator().manual_seed(0)
    lengths = torch.exp(torch.randn(planted_split.n_items, 1, generator=stream))
    other = ranking_by("euclidean", fitted)
    other.embeddings = copy.copy(fitted.embeddings)
    other.embeddings.items = lengths * torch.randn(planted_split.n_items, 16, generator=stream)
    noise = torch.nn.functional.normalize(torch.randn(len(cases), 1, 16, generator=stream), dim=2)
    drawn = other.embeddings.items[torch.from_numpy(cases.target)][:, None] + noise
    monkeypatch.setattr(fitted.network.diffusion, "sample", lambda *_, **__: drawn)
    # at length 1 the same vectors find .31
    assert evaluate(other, cases).metrics()["NDCG@10"] > 0.9


def test_no_seen_item_is_recommended(fitted, planted_split):
    users = list(fitted.user_ids)
    cases = fitted.cases_of(users)
    longest = int(cases.lengths.max())
    found = fitted.recommend_cases(cases, planted_split.n_items - longest)
    ids = list(fitted.catalogue.item_ids)
    for row, mine in found.groupby("case"):
        items = [ids.index(i) for i in mine["item"]]
        assert len(set(items)) == len(items)
        assert not set(items) & set(cases.history(row).tolist())
        assert list(mine["rank"]) == list(range(1, len(items) + 1))
        assert (np.diff(mine["score"]) <= 1e-6).all()


def test_known_users_are_asked_with_everything_known(fitted, planted_split):
    user = 5
    own = planted_split.train.item[planted_split.train.user == user].tolist()
    held_out = [
        int(c.target[np.flatnonzero(c.user == user)[0]]) for c in (planted_split.validation, planted_split.test)
    ]
    assert fitted.cases_of([fitted.user_ids[user]]).history(0).tolist() == [*own, *held_out]


def test_score_is_cosine_with_its_bonus(fitted):
    found = fitted.recommend(user=fitted.user_ids[0], k=20)
    np.testing.assert_allclose(found["score"], found["cosine"] * (1 + found["bonus"]), rtol=1e-6)
    text = found["text"].iloc[0]
    named = [f for f in fitted.catalogue.answers if text in {fitted.answers.text(t, fitted.answers.values.index(f))
                                                             for t in range(3)}]  # fmt: skip
    assert len(named) == 1
    position = {item: n for n, item in enumerate(fitted.catalogue.item_ids)}
    has = [named[0] in fitted.catalogue.facets[position[i]] for i in found["item"]]
    np.testing.assert_allclose(found["bonus"], np.where(has, fitted.config.text_bonus, 0.0), rtol=1e-6)
    assert found["title"].tolist() == [fitted.catalogue.titles[position[i]] for i in found["item"]]


def test_a_history_is_worth_as_much_as_its_user(fitted):
    user = fitted.user_ids[3]
    history = fitted.catalogue.item_ids[fitted.cases_of([user]).history(0)]
    by_user, by_history = fitted.recommend(user=user, k=5), fitted.recommend(history=list(history), k=5)
    assert by_user["item"].tolist() == by_history["item"].tolist()
    np.testing.assert_allclose(by_user["score"], by_history["score"], rtol=1e-4)


def test_impossible_requests_are_told(fitted):
    user, item = fitted.user_ids[0], fitted.catalogue.item_ids[0]
    with pytest.raises(ValueError, match="^k must be a whole number of at least 1, got 0"):
        fitted.recommend(user=user, k=0)
    with pytest.raises(ValueError, match="unknown user 'nobody': give one of the 80 users"):
        fitted.recommend(user="nobody")
    with pytest.raises(ValueError, match="history is empty: give at least one item"):
        fitted.recommend(history=[])
    with pytest.raises(ValueError, match="unknown items in the history: no-such-item; item ids are"):
        fitted.recommend(history=[item, "no-such-item"])
    for arguments in ({}, {"user": user, "history": [item]}):
        with pytest.raises(ValueError, match="either a user or a history"):
            fitted.recommend(**arguments)
    with pytest.raises(ValueError, match="^estimate must be one of"):
        fitted.preference(fitted.understand(fitted.cases_of([user])), "best")


def test_what_is_not_fitted_says_so(tiny_config):
    with pytest.raises(AttributeError, match="no attribute 'user_ids': it is not fitted yet, call fit"):
        Recommender(tiny_config(), device="cpu").recommend(user="u0")


def test_a_noise_seed_belongs_to_a_history():
    seeds = {history_seed(np.array(h)) for h in ([1, 2], [2, 1], [1], [1, 2, 3], [2])}
    assert len(seeds) == 5 and all(0 <= s < 2**31 for s in seeds)
    # hand calculation of FNV-1a over one item: ((2166136261 xor 1) * 16777619) mod 2^32, lower 31 bits
    assert history_seed(np.array([1])) == (((2166136261 ^ 1) * 16777619) % 2**32) % 2**31


# -- keeping -----------------------------------------------------------------------------------------------------------


def test_saving_and_loading_changes_nothing(fitted, planted_split, tmp_path):
    fitted.save(tmp_path / "model")
    torch.manual_seed(12)
    loaded = Recommender.load(tmp_path / "model", device="cpu")
    torch.testing.assert_close(loaded.score(planted_split.test), fitted.score(planted_split.test), **CLOSE)
    one, other = fitted.network.state_dict(), loaded.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert loaded.config == fitted.config and loaded.history == json.loads(json.dumps(fitted.history))
    user = fitted.user_ids[0]
    a, b = (r.recommend(user=user, k=4).drop(columns=["score", "cosine"]) for r in (fitted, loaded))
    assert a.to_dict() == b.to_dict()
    files = [p for p in (tmp_path / "model").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".npy"}
    for path in files:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)
    loaded.save(tmp_path / "again")
    for path in (p for p in files if p.name != "tokenizer_config.json"):  # there transformers says how it was loaded
        twin = tmp_path / "again" / path.relative_to(tmp_path / "model")
        content = sealed if path.name == "recommender.json" else Path.read_bytes  # it holds the hash of that one
        assert content(twin) == content(path), path.name


def test_phase_one_leaves_no_gradient_to_be_clipped(fitted):
    """Old gradients of the frozen tokenizers once entered phase 2's norm, and a resumed run met them afresh."""
    frozen = [*fitted.network.item_tokenizer.parameters(), *fitted.network.user_tokenizer.parameters()]
    assert frozen and all(p.grad is None and not p.requires_grad for p in frozen)


def test_a_run_stopped_in_phase_two_goes_on_to_the_same_weights(
    planted_split, small_embeddings, tiny_config, tmp_path, monkeypatch
):
    config = tiny_config({**QUICK, "training.epochs": 3})

    def fit(folder):
        made = Recommender(config, "cpu").fit(planted_split, embeddings=small_embeddings, seed=0, folder=folder)
        return trainable_state(made.network)

    class Killed(BaseException):
        pass

    validate, calls = Recommender._validate, []

    def dying(self):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return validate(self)

    whole = fit(tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Recommender, "_validate", dying)
        fit(tmp_path / "killed")
    resumed = fit(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_saving_never_overwrites(fitted, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        fitted.save(tmp_path / "model")


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no saved recommender"):
        Recommender.load(tmp_path)


def test_the_seed_decides_everything(planted_split, small_embeddings, tiny_config):
    weights = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(global_seed), np.random.seed(global_seed)
        made = Recommender(tiny_config(QUICK), "cpu").fit(planted_split, embeddings=small_embeddings, seed=seed)
        weights.append(made.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    name = "condition_net.project.weight"
    assert not torch.equal(weights[0][name], weights[2][name])


def test_a_killed_fit_resumes_to_the_same_weights(fitted, planted_split, small_embeddings, tiny_config, tmp_path):
    class Killed(BaseException):
        pass

    class Dying(Recommender):
        def _batches(self, epoch):
            if epoch == 2:
                raise Killed
            return super()._batches(epoch)

    with pytest.raises(Killed):
        Dying(tiny_config(), "cpu").fit(planted_split, embeddings=small_embeddings, seed=3, folder=tmp_path)
    resumed = Recommender(tiny_config(), "cpu").fit(planted_split, embeddings=small_embeddings, seed=3, folder=tmp_path)
    one, other = fitted.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"train": "lora"}, id="lora"),
        pytest.param({"train": "lora", "quantize": True}, id="nf4"),
        pytest.param({"train": "none"}, id="frozen"),
    ],
)
def test_a_hub_checkpoint_is_fitted_saved_and_loaded(
    planted_split, small_embeddings, tiny_config, checkpoint, tmp_path, settings
):
    if settings.get("quantize"):
        pytest.importorskip("bitsandbytes", reason="NF4 needs bitsandbytes")
    language = {"backbone": checkpoint, "project_tokens": True, "history_cap": 2, "max_input": 1024, **settings}
    config = tiny_config({**QUICK, **{f"language.{name}": value for name, value in language.items()}})
    made = Recommender(config, "cpu").fit(planted_split, embeddings=small_embeddings, seed=0)
    made.save(tmp_path / "model")
    torch.manual_seed(77)
    loaded = Recommender.load(tmp_path / "model", device="cpu")
    cases = planted_split.test.select(slice(0, 10))
    torch.testing.assert_close(loaded.score(cases), made.score(cases), **CLOSE)
    user = made.user_ids[1]
    assert loaded.recommend(user=user, k=3)["item"].tolist() == made.recommend(user=user, k=3)["item"].tolist()
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "model" / "network.safetensors")
    kept = [name for name in kept if name.startswith("user_model.model.")]
    assert all("lora_" in name or "trainable_tokens" in name for name in kept)  # not the frozen backbone
    assert bool(kept) is (settings["train"] == "lora")


# -- config ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_condition": 0}, "^n_condition must"),
        ({"condition_from": "title"}, "^condition_from must be one of 'generated', 'gold', 'prompt'"),
        ({"estimate": "best"}, "^estimate must be one of"),
        ({"text_bonus": 1.5}, r"^text_bonus must lie in \[0, 1\], got 1.5"),
        ({"residual": True}, "residual=True needs the diffusion head 'direct'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RecommenderConfig(**settings)


def test_config_survives_json(tiny_config):
    from dataclasses import asdict

    config = tiny_config({"tokenizer.mask_ratio": 0.4})
    assert config_from_dict(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(TypeError, match="no_such"):
        config_from_dict({"no_such": 1})
