"""Small checkpoints of many architectures: each is read, written, trained, saved and loaded, or refused with a reason.

As a script it prints the table of all of them.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from contrec.data.facets import make_catalogue
from contrec.data.interactions import Cases
from contrec.language import AnswerSet, LanguageConfig, PromptBuilder, TokenInjector, UserModel, load_backbone
from contrec.language.backbone import decoder_of, logits_of, without_adapter
from contrec.language.prompts import Z_END, Z_START
from contrec.language.proof import prove
from contrec.recommender import Recommender
from contrec.training import load_trainable_state, trainable_state

WINDOW = 48  # far below a prompt's 600 byte tokens, and below the beginning that prompts share
SPREAD = 1e-5  # relative; the largest of all these models is 6e-7 in fp32
SHAPE = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=2048, pad_token_id=0, bos_token_id=0, eos_token_id=1,
)  # fmt: skip
MIXED = dict(head_dim=8, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"])
EXPERTS = dict(num_experts=4, num_local_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
# model_type: settings, linear layers of a block
FAMILIES = {
    "llama": ({}, 7),
    "qwen2": ({}, 7),
    "qwen3": (dict(head_dim=8), 7),
    "mistral": (dict(sliding_window=WINDOW, head_dim=8), 7),
    "gemma": (dict(head_dim=8), 7),
    "gemma2": (MIXED, 7),  # capped logits, for which SDPA has no word
    "gemma3_text": (MIXED, 7),  # rows of the embedding are scaled by sqrt(H)
    "phi3": (dict(sliding_window=WINDOW), 4),  # fused qkv_proj and gate_up_proj
    "phi": ({}, 6),
    "gpt2": (dict(n_embd=32, n_layer=2, n_head=4, n_positions=2048), 4),  # Conv1D, learned positions
    "gpt_neox": ({}, 4),  # fused query_key_value
    "gptj": (dict(n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=2048), 6),  # no SDPA
    "gpt_bigcode": (dict(n_embd=32, n_layer=2, n_head=4, n_positions=2048), 4),
    "opt": (dict(ffn_dim=48, word_embed_proj_dim=32), 6),
    "falcon": (dict(num_kv_heads=4), 4),
    "bloom": (dict(n_layer=2, n_head=4), 4),  # ALiBi: positions are counted in the mask
    "stablelm": ({}, 7),
    "smollm3": ({}, 7),
    "olmo2": ({}, 7),
    "cohere": ({}, 7),  # scaled logits
    "granite": (dict(embedding_multiplier=3.0, logits_scaling=4.0), 7),  # scales what enters, too
    "starcoder2": (dict(sliding_window=WINDOW), 6),
}
NARROW = {"opt": (dict(ffn_dim=48, word_embed_proj_dim=16), 2)}  # embeddings of another width than the states
WHOLE_ONLY = {"mixtral": EXPERTS, "qwen3_moe": EXPERTS}
STATE = "it does not keep the keys and values of every token"
REFUSED = {
    "mamba": (dict(state_size=8), STATE),
    "qwen3_next": (dict(layer_types=["linear_attention", "full_attention"], head_dim=8, **EXPERTS), STATE),
    "rwkv": ({}, STATE),
    "t5": (dict(d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4), "is an encoder with a decoder"),
    "bart": (dict(d_model=32, encoder_layers=1, decoder_layers=1), "is an encoder with a decoder"),
    "bert": ({}, "a token's state depends on what follows it, so it is no causal LM"),
    "mpt": (dict(d_model=32, n_heads=4, n_layers=1), "have other states read in a batch than read alone"),
}
FACETS = ("tea", "tea pots", "kites", "lamps")
HISTORIES = ([0, 1, 2], [3], [4, 4, 1, 0, 2, 2])
GOLD = [(1, 2), (0, 0), (2, 3)]


@pytest.fixture(scope="module")
def make(checkpoint, tmp_path_factory):
    """A function from a model_type and its settings to the folder of a checkpoint with random weights."""
    return maker(checkpoint, tmp_path_factory.mktemp("matrix"))


def maker(checkpoint: str, root):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer, folders = AutoTokenizer.from_pretrained(checkpoint), {}

    def make(kind: str, settings: dict) -> str:
        key = kind, repr(settings)
        if key not in folders:
            known = AutoConfig.for_model(kind)
            shape = {n: v for n, v in SHAPE.items() if n in known.to_dict()}
            config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **{**shape, **settings})
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(0)
                auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
                model = auto.from_config(config)
                for p in model.parameters():  # with larger weights, attention matters
                    p.mul_(4 if p.ndim > 1 else 1)
            folder = root / f"{kind}-{len(folders)}"
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            folders[key] = str(folder)
        return folders[key]

    return make


def world(folder: str, train: str, **settings):
    """A user model on a checkpoint, three prompts and their tokens; LoRA's second halves, zero at first, are not."""
    config = LanguageConfig(backbone=folder, train=train, lora_rank=4, **settings)
    model, tokenizer = load_backbone(config, [], 0)
    catalogue = make_catalogue(np.array(list("abcde")), {"a": "red tea pot", "b": "kite", "c": "old brass lamp"})
    prompts, answers = PromptBuilder(tokenizer, catalogue, "Planted", 2), AnswerSet(tokenizer, FACETS)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(torch.randn(p.shape, generator=generator) / 8)
    width = model.get_input_embeddings().weight.shape[1]
    user_model = UserModel(model, TokenInjector(width, width, False), answers, prompts.prefix).eval()
    batch = prompts.build(Cases.from_histories(HISTORIES), np.array([0, 5, 3]))
    tokens = torch.randn(len(batch.slot_position.values), width, generator=torch.Generator().manual_seed(2))
    user_model.injector.match(tokens, user_model.vocabulary())
    return SimpleNamespace(
        model=model, tokenizer=tokenizer, prompts=prompts, answers=answers, user=user_model, batch=batch, tokens=tokens
    )


def apart(a, b) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
def spreads(w) -> tuple[float, float]:
    """Largest relative difference of the states that emit answers: batch against single, and against no cache."""
    gold = [w.answers.ids[t][f] for t, f in GOLD]
    reading = w.user.read(w.batch, w.tokens)
    written = w.user.write(reading)
    followed = w.user.follow(reading, written.ids, gold)
    single, plain, bounds = [], [], w.batch.slot_position.bounds
    embed, decoder = w.model.get_input_embeddings(), decoder_of(w.model)
    for row in range(len(HISTORIES)):
        tokens = w.tokens[bounds[row] : bounds[row + 1]]
        alone = w.user.read(w.batch.select([row]), tokens)
        own = w.user.write(alone)
        assert own.ids[0].tolist() == written.ids[row].tolist()
        single.append(apart(written.states[row][written.mask[row]], own.states[0]))
        ids = torch.from_numpy(w.batch.ids[row])[None]
        slots = torch.from_numpy(w.batch.slot_position[row])
        prompt = w.user.injector(embed(ids), tokens, slots)
        for (states, _, mask), answer in zip(followed, (written.ids[row], gold[row]), strict=True):
            whole = torch.cat([prompt, embed(torch.from_numpy(answer[:-1])[None])], dim=1)
            whole = decoder(inputs_embeds=whole, use_cache=False).last_hidden_state[0, ids.shape[1] - 1 :]
            plain.append(apart(states[row][mask[row]], whole))
    return max(single), max(plain)


def gold_loss(w):
    gold = [w.answers.ids[t][f] for t, f in GOLD]
    return w.user.answer_loss(*w.user.follow(w.user.read(w.batch, w.tokens), gold)[0])


def adapters(model) -> list[str]:
    return [name for name, _ in model.named_parameters() if name.endswith("lora_A.default.weight")]


CASES = [pytest.param(kind, *rest, id=kind) for kind, rest in FAMILIES.items()]


@pytest.mark.parametrize(("kind", "settings", "linear"), CASES)
def test_an_architecture_under_lora(make, kind, settings, linear):
    w = world(make(kind, settings), "lora")
    # every linear layer of each of two blocks, and not the output layer
    assert len(adapters(w.model)) == 2 * linear and not without_adapter(w.model)
    assert not any("head" in name for name in adapters(w.model))
    assert prove(kind, w.model, w.answers, w.prompts) < SPREAD
    assert max(spreads(w)) < SPREAD
    # gradients reach every adapter and the rows of the two markers, and nothing else
    gold_loss(w).backward()
    trained = {name: p.grad for name, p in w.model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "trainable_tokens" in name for name in trained)
    assert len(trained) == 4 * linear + 1 and all(g is not None and g.abs().max() > 0 for g in trained.values())
    # what is trained is all that must be kept
    other = world(make(kind, settings), "lora")
    with torch.no_grad():
        for p in other.model.parameters():
            p.mul_(not p.requires_grad)
        load_trainable_state(other.user, trainable_state(w.user))
        assert torch.equal(gold_loss(other), gold_loss(w))


@pytest.mark.parametrize(("kind", "settings", "linear"), CASES)
def test_an_architecture_trained_whole(make, kind, settings, linear):
    w = world(make(kind, settings), "all")
    assert prove(kind, w.model, w.answers, w.prompts) < SPREAD
    ids = torch.from_numpy(w.prompts.prefix)[None]
    with torch.no_grad():  # the loss is that of the model's own logits, scaled and capped as they may be
        states = decoder_of(w.model)(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(logits_of(w.model, states), w.model(input_ids=ids).logits[0], atol=1e-5, rtol=1e-5)
        entering = w.user.vocabulary()[ids[0]]  # injected tokens are as large as the rows that stand beside them
        torch.testing.assert_close(entering, w.model.get_input_embeddings()(ids)[0])
    size = w.tokens * w.user.injector.scale
    torch.testing.assert_close(size.square().mean(), w.user.vocabulary().square().mean())
    gold_loss(w).backward()
    inside = [(n, p) for n, p in decoder_of(w.model).named_parameters() if p.ndim > 1]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for _, p in inside)


@pytest.mark.parametrize(("kind", "attention"), [("llama", "sdpa"), ("gptj", "eager"), ("gemma2", "eager")])
def test_attention_is_sdpa_where_the_model_can_do_it(make, kind, attention):
    assert world(make(kind, FAMILIES[kind][0]), "none").model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", NARROW)
def test_embeddings_of_another_width_than_the_layers(make, kind):
    settings, outside = NARROW[kind]
    w = world(make(kind, settings), "lora")
    assert len(adapters(w.model)) == 2 * FAMILIES[kind][1] + outside
    assert w.user.hidden == 16 and prove(kind, w.model, w.answers, w.prompts) < SPREAD and max(spreads(w)) < SPREAD


def test_a_stack_is_found_where_the_output_layer_is_called_decoder(make):
    w = world(make("modernbert-decoder", dict(local_attention=2 * WINDOW)), "all")
    assert prove("modernbert", w.model, w.answers, w.prompts) < SPREAD and max(spreads(w)) < SPREAD


@pytest.mark.parametrize("kind", WHOLE_ONLY)
def test_experts_are_read_and_are_refused_under_lora(make, kind):
    folder = make(kind, WHOLE_ONLY[kind])
    w = world(folder, "none")
    assert prove(kind, w.model, w.answers, w.prompts) < SPREAD and max(spreads(w)) < SPREAD
    with pytest.raises(
        OSError,
        match="experts that are stored as one tensor .* are not reached by LoRA: set language.train to 'all' or 'none'",
    ):
        world(folder, "lora")


@pytest.mark.parametrize("train", ["lora", "none"])
@pytest.mark.parametrize("kind", REFUSED)
def test_an_architecture_that_cannot_be_used_says_why(make, kind, train):
    settings, reason = REFUSED[kind]
    folder = make(kind, settings)
    with pytest.raises(OSError, match=f"backbone '{folder}' cannot be used: .*{reason}.*; give a causal LM"):
        w = world(folder, train)
        prove(folder, w.model, w.answers, w.prompts)


@pytest.mark.parametrize("kind", ["phi3", "gpt2"])
def test_nf4_reaches_every_linear_layer(make, kind):
    pytest.importorskip("bitsandbytes", reason="NF4 needs bitsandbytes")
    from bitsandbytes.nn import Linear4bit

    settings, linear = FAMILIES[kind]
    w = world(make(kind, settings), "lora", quantize=True)
    assert len(adapters(w.model)) == 2 * linear == sum(isinstance(m, Linear4bit) for m in w.model.modules())
    assert max(spreads(w)) < SPREAD
    gold_loss(w).backward()
    assert all(p.grad is not None for p in w.model.parameters() if p.requires_grad)


QUICK = {
    "tokenizer.epochs": 1, "training.epochs": 1, "training.cases_per_user": 1, "training.validation_users": 8,
    "language.project_tokens": True, "language.history_cap": 2, "language.max_input": 1024,
    "language.train": "lora", "language.lora_rank": 2,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["phi3", "gpt2", "gemma3_text"])
def test_a_recommender_is_fitted_saved_and_loaded(make, planted_split, small_embeddings, tiny_config, tmp_path, kind):
    config = tiny_config({**QUICK, "language.backbone": make(kind, FAMILIES[kind][0]), "dataset": "x"})
    made = Recommender(config, "cpu").fit(planted_split, embeddings=small_embeddings, seed=0)
    made.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model", device="cpu")
    cases = planted_split.test.select(slice(0, 6))
    torch.testing.assert_close(loaded.score(cases), made.score(cases), atol=1e-5, rtol=1e-5)
    known, alone = made.understand(cases), made.understand(cases, batch_size=1)
    torch.testing.assert_close(known.condition, alone.condition, atol=1e-4, rtol=1e-4)


def test_a_prompt_longer_than_the_model_reads_is_refused_with_the_setting_that_fits(make):
    w = world(make("gpt2", FAMILIES["gpt2"][0] | {"n_positions": 700}), "lora")
    answer = max(len(ids) for row in w.answers.ids for ids in row)
    assert w.prompts.longest > 700 - answer
    message = f"reads at most 700 tokens, .* need {w.prompts.longest + answer}: set language.max_input to at most"
    with pytest.raises(ValueError, match=f"{message} {700 - answer}, or use a backbone that reads more"):
        prove("gpt2", w.model, w.answers, w.prompts)
    w.prompts.longest = 700 - answer
    assert prove("gpt2", w.model, w.answers, w.prompts) < SPREAD
    w = world(make("gpt2", FAMILIES["gpt2"][0] | {"n_positions": 400}), "none")
    with pytest.raises(ValueError, match="reads at most 400 tokens, .*: no setting can help, or use"):
        prove("gpt2", w.model, w.answers, w.prompts)


def test_weights_that_are_not_finite_are_told_before_training(make):
    w = world(make("llama", {}), "none")
    w.model.model.norm.weight[3] = torch.nan
    with pytest.raises(OSError, match="its states are not finite, so its weights are damaged"):
        prove("llama", w.model, w.answers, w.prompts)


def test_markers_are_rows_of_their_own(make):
    for kind in ("gpt2", "gpt_neox", "bloom", "gemma3_text"):
        w = world(make(kind, FAMILIES[kind][0]), "lora")
        rows = w.tokenizer.convert_tokens_to_ids([Z_START, Z_END])
        before = w.user.vocabulary()
        with torch.no_grad():
            for name, p in w.model.named_parameters():
                if "trainable_tokens" in name and p.requires_grad:
                    p.add_(1)
        assert (w.user.vocabulary() - before).abs().sum(1).nonzero().flatten().tolist() == rows


if __name__ == "__main__":
    import sys
    import tempfile
    from pathlib import Path

    make = maker(sys.argv[1], Path(tempfile.mkdtemp()))
    print("| architecture | adapters | batch - single | cache - none | outcome |\n|---|---|---|---|---|")
    for kind, (settings, _) in FAMILIES.items():
        w = world(make(kind, settings), "lora")
        one, none = spreads(w)
        print(f"| {kind} | {len(adapters(w.model))} | {one:.0e} | {none:.0e} | {w.model.config._attn_implementation} |")
    for kind, (settings, _) in REFUSED.items():
        try:
            w = world(make(kind, settings), "none")
            prove(kind, w.model, w.answers, w.prompts)
        except OSError as error:
            print(f"| {kind} | | | | {error} |")
