"""Backbones: the tiny one, and a small local checkpoint in place of the hub's, trained whole, by LoRA and in NF4."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from contrec.language.backbone import LanguageConfig, decoder_of, drops_out, load_backbone, tiny_backbone
from contrec.language.prompts import Z_END, Z_START, encode_plain
from contrec.training import trainable_state

NF4 = pytest.param({"train": "lora", "quantize": True}, id="nf4")
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
LORA = pytest.param({"train": "lora"}, id="lora")


def load(checkpoint, seed=0, **settings):
    if settings.get("quantize"):
        pytest.importorskip("bitsandbytes", reason="NF4 needs bitsandbytes")
    return load_backbone(LanguageConfig(backbone=checkpoint, **settings), [], seed)


def step(model, ids, lr=0.1):
    """One optimiser step on predicting the next token of ids; returns the loss."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    hidden = decoder_of(model)(inputs_embeds=model.get_input_embeddings()(ids)).last_hidden_state
    logits = model.get_output_embeddings()(hidden[:, :-1])
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    optimizer.step()
    return loss


def sentence(tokenizer):
    marks = tokenizer.convert_tokens_to_ids([Z_START, Z_END])
    return torch.tensor([marks + encode_plain(tokenizer, ["the user may prefer products"])[0] + marks])


def test_tiny_backbone_depends_on_its_seed_alone():
    config = LanguageConfig(hidden=32, heads=2, layers=1, vocabulary=400)
    models = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        models.append(tiny_backbone(config, ["tea pots"], seed)[0].state_dict())
        assert torch.equal(torch.get_rng_state(), before)  # and leaves the global stream alone
    same = [torch.equal(models[0][n], models[1][n]) for n in models[0]]
    assert all(same) and not torch.equal(models[0]["lm_head.weight"], models[2]["lm_head.weight"])


def test_default_tiny_backbone_has_about_a_million_parameters():
    model, tokenizer = tiny_backbone(LanguageConfig(), ["tea pots"], 0)
    assert 0.5e6 < sum(p.numel() for p in model.parameters()) < 2e6
    assert len(tokenizer) <= 2048 and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("hidden", "deviation"), [(64, 0.125), (128, 0.02)])
def test_a_narrow_backbone_starts_from_wider_weights(hidden, deviation):
    model, _ = tiny_backbone(LanguageConfig(hidden=hidden, heads=2, layers=1, vocabulary=400), ["tea pots"], 0)
    for layer in ("model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"):
        assert model.get_parameter(layer).std().item() == pytest.approx(deviation, rel=0.05)


def test_frozen_backbone_has_nothing_to_train(checkpoint):
    tiny = LanguageConfig(train="none", hidden=32, heads=2, layers=1, vocabulary=400)
    for model in (tiny_backbone(tiny, ["tea"], 0)[0], load(checkpoint, train="none")[0]):
        assert not any(p.requires_grad for p in model.parameters())


def test_a_local_checkpoint_is_read_with_its_weights(checkpoint):
    from transformers import AutoModelForCausalLM

    model, tokenizer = load(checkpoint, train="all")
    original = AutoModelForCausalLM.from_pretrained(checkpoint)
    n = original.get_input_embeddings().num_embeddings
    weight = model.get_input_embeddings().weight
    assert torch.equal(weight[:n], original.get_input_embeddings().weight)
    assert len(weight) == n + 2 == len(tokenizer)
    assert model.get_output_embeddings().weight is weight  # still tied
    ids = sentence(tokenizer)
    assert (ids[0, :2] >= n).all() and tokenizer.pad_token_id is not None
    assert Z_START not in tokenizer.convert_ids_to_tokens(encode_plain(tokenizer, [f"a {Z_START} title"])[0])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step(model, ids)
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("train", ["all", "none"])
def test_rows_of_new_markers_depend_on_the_seed_alone(checkpoint, train):
    rows = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(global_seed)
        rows.append(load(checkpoint, seed, train=train)[0].get_input_embeddings().weight[-2:])
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])


@pytest.mark.parametrize("settings", [LORA, NF4])
def test_lora_trains_seven_projections_and_two_rows_and_nothing_else(checkpoint, settings):
    model, tokenizer = load(checkpoint, **settings)
    adapters = {n: p for n, p in model.named_parameters() if p.requires_grad and "lora_" in n}
    where = {n.split(".lora_")[0].rsplit(".", 1)[1] for n in adapters}
    assert where == LINEAR and len(adapters) == 2 * len(LINEAR)  # one layer, A and B
    assert all(p.shape[0 if "lora_A" in n else 1] == 16 for n, p in adapters.items())
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    before = {n: p.detach().clone() for n, p in adapters.items()}
    every = torch.arange(model.get_input_embeddings().weight.shape[0])
    rows = model.get_input_embeddings()(every).detach().clone()
    for _ in range(2):  # lora_A has a gradient once lora_B has left zero
        step(model, sentence(tokenizer))
        model.zero_grad()
    changed = (model.get_input_embeddings()(every).detach() - rows).abs().sum(1) > 0
    assert changed.nonzero().flatten().tolist() == tokenizer.convert_tokens_to_ids([Z_START, Z_END])
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)
    still = [n for n, p in adapters.items() if torch.equal(p, before[n])]
    assert not still


def test_nf4_quantizes_the_projections(checkpoint):
    model, tokenizer = load(checkpoint, train="lora", quantize=True)
    from bitsandbytes.nn import Linear4bit

    layers = {n.split(".")[-2]: m for n, m in model.named_modules() if isinstance(m, Linear4bit)}
    assert set(layers) == LINEAR
    state = layers["q_proj"].weight.quant_state
    assert state.quant_type == "nf4" and state.nested  # double quantization (Appendix C.3)
    whole = load(checkpoint, train="lora")[0]
    ids = sentence(tokenizer)
    with torch.no_grad():
        exact, rounded = (
            decoder_of(m.eval())(inputs_embeds=m.get_input_embeddings()(ids)).last_hidden_state for m in (whole, model)
        )
    error = float((exact - rounded).norm() / exact.norm())
    assert 1e-4 < error < 0.3  # rounded, and still the same model


def test_nf4_weights_do_not_drift_between_training_evaluation_and_saving(checkpoint):
    model, tokenizer = load(checkpoint, train="lora", quantize=True)
    ids, before, after = sentence(tokenizer), [], []
    for outputs in (before, after):
        for training in (True, False):
            torch.manual_seed(0)  # the adapters' dropout
            with torch.no_grad():
                embeds = model.train(training).get_input_embeddings()(ids)
                outputs.append(decoder_of(model)(inputs_embeds=embeds).last_hidden_state)
        trainable_state(model)  # what a checkpoint does
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_dropout_is_found_in_layers_and_in_settings(checkpoint):
    tiny = tiny_backbone(LanguageConfig(hidden=32, heads=2, layers=1, vocabulary=400), ["tea pots"], 0)[0]
    whole = load(checkpoint, train="all")[0]
    assert not drops_out(tiny) and not drops_out(whole) and drops_out(load(checkpoint, train="lora")[0])
    whole.config.attention_dropout = 0.1  # read by functions, of which no layer tells
    assert drops_out(whole)


def test_a_name_that_is_not_there_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="'nobody/nothing' is neither a local folder .* or use backbone='tiny'"):
        load("nobody/nothing", train="lora")


def test_a_window_that_is_no_number_is_told(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"sliding_window": "wide"}))
    with pytest.raises(OSError, match="does not keep the keys and values of every token .*TypeError"):
        load(str(folder), train="lora")


def test_a_gated_model_says_how_to_get_access(monkeypatch):
    import httpx
    from huggingface_hub.errors import GatedRepoError
    from transformers import AutoConfig

    answer = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co/meta-llama"))

    def refuse(name, **_):
        try:
            raise GatedRepoError("Cannot access gated repo", response=answer)
        except GatedRepoError as error:
            raise OSError("You are trying to access a gated repo.\nMake sure to have access to it.") from error

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(
        OSError, match="gated: ask for access on its model page, then run `hf auth login`.*Qwen/Qwen2.5"
    ):
        load("meta-llama/Llama-3.2-1B-Instruct", train="lora")


def test_decoder_leaves_the_output_layer_out(checkpoint):
    for settings in ({"train": "all"}, {"train": "lora"}):
        model, tokenizer = load(checkpoint, **settings)
        with torch.no_grad():
            states = decoder_of(model.eval())(input_ids=sentence(tokenizer)).last_hidden_state
            logits = model(input_ids=sentence(tokenizer)).logits
            np.testing.assert_allclose(model.get_output_embeddings()(states), logits, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": "some"}, "^train must be one of"),
        ({"lora_rank": 0}, "^lora_rank must"),
        ({"history_cap": 0}, "^history_cap must"),
        ({"max_input": 100}, r"^max_input must lie in \[256"),
        ({"backbone": "x/y", "quantize": True}, "4-bit weights cannot be trained themselves"),
        ({"train": "lora"}, "backbone 'tiny' starts from random weights, so it is trained whole"),
        ({"hidden": 34, "heads": 4}, "hidden must be a multiple of 2 \\* heads = 8, got 34"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LanguageConfig(**settings)
