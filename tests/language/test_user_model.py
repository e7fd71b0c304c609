"""Reading, writing and following: equal to a model run row by row, token by token, without cache or padding."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from contrec.data.facets import make_catalogue
from contrec.data.interactions import Cases
from contrec.language import AnswerSet, LanguageConfig, PromptBuilder, TokenInjector, UserModel
from contrec.language.backbone import tiny_backbone

K, DIM = 2, 32
FACETS = ("tea", "tea pots", "kites", "lamps")
HISTORIES = ([0, 1, 2], [3], [4, 4, 1, 0], [2, 3])


@pytest.fixture(scope="module")
def world():
    catalogue = make_catalogue(np.array(list("abcde")), {"a": "red tea pot", "b": "kite", "c": "old brass lamp"})
    config = LanguageConfig(hidden=DIM, heads=2, layers=2, vocabulary=420)
    model, tokenizer = tiny_backbone(config, [*catalogue.titles, *FACETS], seed=0)
    prompts = PromptBuilder(tokenizer, catalogue, "Planted", K)
    torch.manual_seed(1)
    user_model = UserModel(model, TokenInjector(DIM, DIM, True), AnswerSet(tokenizer, FACETS), prompts.prefix).eval()
    batch = prompts.build(Cases.from_histories(HISTORIES), np.array([0, 5, 3, 9]))
    tokens = torch.randn(sum(len(h) + 1 for h in HISTORIES) * K, DIM, generator=torch.Generator().manual_seed(2))
    return user_model, batch, tokens


@pytest.fixture(scope="module")
def outcome(world):
    user_model, batch, tokens = world
    with torch.no_grad():
        reading = user_model.read(batch, tokens)
        return reading, user_model.write(reading)


def row_embeds(world, row):
    """Input embeddings of one whole prompt, injected by hand."""
    user_model, batch, tokens = world
    embeds = user_model.model.get_input_embeddings()(torch.from_numpy(batch.ids[row])).clone()
    before = batch.slot_position.bounds[row]
    for n, place in enumerate(batch.slot_position[row]):
        embeds[place] = user_model.injector.project(tokens[before + n])
    return embeds


@torch.no_grad()
def by_hand(world, row):
    """Greedy decoding of one row: the whole sequence anew for every token, no cache."""
    model, node = world[0].model, world[0].answers.trie
    embeds, ids, states = row_embeds(world, row), [], []
    while isinstance(node, dict):
        out = model(inputs_embeds=embeds[None], output_hidden_states=True, use_cache=False)
        allowed = sorted(node)
        token = allowed[int(out.logits[0, -1, allowed].argmax())]
        states.append(out.hidden_states[-1][0, -1])
        ids.append(token)
        embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([token]))])
        node = node[token]
    return node, ids, torch.stack(states)


def test_writing_equals_decoding_by_hand(world, outcome):
    written = outcome[1]
    for row in range(len(HISTORIES)):
        leaf, ids, states = by_hand(world, row)
        assert (written.template[row], written.answer[row]) == leaf
        assert written.ids[row].tolist() == ids
        torch.testing.assert_close(written.states[row][written.mask[row]], states, atol=1e-4, rtol=1e-4)
    assert len({tuple(ids) for ids in written.ids}) > 1  # rows that differ, or little is shown


def test_the_end_token_ends(world, outcome):
    written, end = outcome[1], int(world[0].answers.ids[0][0][-1])
    for row, ids in enumerate(written.ids):
        assert ids[-1] == end and (ids == end).sum() == 1
        assert written.mask[row].sum() == len(ids)
        np.testing.assert_array_equal(ids, world[0].answers.ids[written.template[row]][written.answer[row]])


@torch.no_grad()
def test_following_gives_the_states_of_writing(world, outcome):
    reading, written = outcome
    ((states, ids, mask),) = world[0].follow(reading, written.ids)
    assert torch.equal(mask, written.mask)
    torch.testing.assert_close(states[mask], written.states[mask], atol=1e-4, rtol=1e-4)
    assert ids[mask].tolist() == [int(i) for row in written.ids for i in row]


@torch.no_grad()
def test_two_answers_do_not_see_each_other(world, outcome):
    user_model, (reading, written) = world[0], outcome
    golds = [[user_model.answers.ids[t][f] for t, f in pairs] for pairs in (
        [(0, 0), (1, 1), (2, 2), (0, 3)], [(2, 3), (2, 3), (0, 1), (1, 0)])]  # fmt: skip
    golds.append([golds[0][0], np.empty(0, np.int64), golds[0][2], np.empty(0, np.int64)])
    (alone,) = user_model.follow(reading, written.ids)
    for gold in golds:
        first, second = user_model.follow(reading, written.ids, gold)
        (gold_alone,) = user_model.follow(reading, gold)
        torch.testing.assert_close(first[0][first[2]], alone[0][alone[2]], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(second[0][second[2]], gold_alone[0][gold_alone[2]], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_rows_do_not_depend_on_their_batch(world, outcome):
    user_model, batch, tokens = world
    bounds = batch.slot_position.bounds
    for row in range(len(HISTORIES)):
        one = batch.select([row])
        reading = user_model.read(one, tokens[bounds[row] : bounds[row + 1]])
        torch.testing.assert_close(reading.last[0], outcome[0].last[row], atol=1e-4, rtol=1e-4)
        written = user_model.write(reading)
        assert written.ids[0].tolist() == outcome[1].ids[row].tolist()
        real = outcome[1].mask[row]
        torch.testing.assert_close(written.states[0], outcome[1].states[row][real], atol=1e-4, rtol=1e-4)


def test_loss_and_gradient_equal_a_plain_forward_pass(world):
    user_model, batch, tokens = world
    gold = [user_model.answers.ids[1][2], np.empty(0, np.int64), user_model.answers.ids[0][1], np.empty(0, np.int64)]
    other = [user_model.answers.ids[2][0]] * 4

    def gradients(loss):
        user_model.zero_grad()
        loss.backward()
        return {name: p.grad.clone() for name, p in user_model.named_parameters()}

    written, own = user_model.follow(user_model.read(batch, tokens), other, gold)
    shared = user_model.answer_loss(*own)
    embed, terms = user_model.model.get_input_embeddings(), []
    for row in (0, 2):
        ids = torch.from_numpy(gold[row])
        embeds = torch.cat([row_embeds(world, row), embed(ids)])[None]
        logits = user_model.model(inputs_embeds=embeds, use_cache=False).logits[0, -len(ids) - 1 : -1]
        terms.append(torch.nn.functional.cross_entropy(logits, ids, reduction="none"))
    plain = torch.cat(terms).mean()  # Eq. (14): a mean over answer tokens
    torch.testing.assert_close(shared, plain, atol=1e-4, rtol=1e-4)
    for (name, mine), reference in zip(gradients(shared).items(), gradients(plain).values(), strict=True):
        torch.testing.assert_close(mine, reference, atol=2e-4, rtol=2e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_a_batch_without_any_gold_answer_has_no_language_loss(world):
    user_model, batch, tokens = world
    nothing = [np.empty(0, np.int64)] * len(HISTORIES)
    reading = user_model.read(batch, tokens)
    ((states, ids, mask),) = user_model.follow(reading, nothing)
    assert float(user_model.answer_loss(states, ids, mask).detach()) == 0
    assert not mask.any()
    torch.testing.assert_close(states[:, 0], reading.last)  # what condition_from="gold" then falls back to


@torch.no_grad()
def test_the_text_needs_no_states_after_its_last_choice(world, outcome):
    reading, written = outcome
    short = world[0].write(reading, states=False)
    assert [ids.tolist() for ids in short.ids] == [ids.tolist() for ids in written.ids]
    assert (short.template == written.template).all() and (short.answer == written.answer).all()
    assert short.states.shape[1] < written.states.shape[1]


@torch.no_grad()
def test_the_text_is_read_and_written_without_dropout(world):
    from peft import LoraConfig, get_peft_model

    plain, batch, tokens = world
    settings = {"r": 4, "lora_alpha": 64, "target_modules": "all-linear", "init_lora_weights": False}
    torch.manual_seed(0)
    model = get_peft_model(copy.deepcopy(plain.model), LoraConfig(lora_dropout=0.5, **settings))
    user_model = UserModel(model, plain.injector, plain.answers, plain.prefix.numpy()).eval()
    expected = [ids.tolist() for ids in user_model.write(user_model.read(batch, tokens)).ids]
    user_model.train()
    mixed = set()
    for seed in range(8):
        torch.manual_seed(seed)
        reading = user_model.read(batch, tokens)  # with dropout, as the losses want it
        assert [ids.tolist() for ids in user_model.text(batch, tokens, reading)] == expected
        assert all(part.training for part in user_model.modules())
        user_model.eval()
        mixed.add(str([ids.tolist() for ids in user_model.write(reading).ids]))
        user_model.train()
    assert len(mixed) > 1  # or nothing is shown


@torch.no_grad()
def test_without_dropout_prompts_are_read_once(world, monkeypatch):
    user_model, batch, tokens = world
    reading = user_model.read(batch, tokens)
    monkeypatch.setattr(UserModel, "read", lambda *_: pytest.fail("read again"))
    user_model.train()
    texts = user_model.text(batch, tokens, reading)
    user_model.eval()
    assert [ids.tolist() for ids in texts] == [ids.tolist() for ids in user_model.write(reading).ids]
