"""What the stages around the language model share: one small Llama with random weights, prompts of given lengths."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from contrec.language import PromptBatch, TokenInjector, UserModel
from contrec.language.prompts import Ragged

HIDDEN, LAYERS, HEADS, VOCABULARY = 256, 4, 4, 4096
END = 0  # id of the end token
INPUT_LENGTH = 1024  # of the reference layout: every prompt is padded to it


def user_model(device: str, prefix: np.ndarray, trie: dict | None = None, lora_rank: int | None = None) -> UserModel:
    """A user model around a Llama with random weights, without dropout; with LoRA on all linear layers or whole."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=4 * HIDDEN, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, num_key_value_heads=HEADS, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=END, pad_token_id=END, attn_implementation="sdpa",
        )
    )  # fmt: skip
    if lora_rank is not None:
        settings = {"r": lora_rank, "lora_alpha": 2 * lora_rank, "target_modules": "all-linear"}
        # random instead of zero at the start: else half of the gradients were zero, and equal whatever one does
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings))
    answers = SimpleNamespace(trie=trie)
    return UserModel(model, TokenInjector(HIDDEN, HIDDEN, False), answers, prefix).to(device).eval()


def random_ids(rng: np.random.Generator, length: int) -> np.ndarray:
    """Token ids, never the end token."""
    return rng.integers(END + 1, VOCABULARY, size=length)


def prompts(rng: np.random.Generator, prefix: np.ndarray, lengths: Sequence[int], k: int = 3) -> PromptBatch:
    """Prompts of these lengths that begin with ``prefix``; after it every tenth token begins K continuous ones."""
    ids = [np.concatenate([prefix, random_ids(rng, n - len(prefix))]) for n in lengths]
    position = [np.add.outer(np.arange(len(prefix), n - k, 10), np.arange(k)).ravel() for n in lengths]
    return PromptBatch(Ragged.of(ids), Ragged.of(position), Ragged.of([np.zeros_like(p) for p in position]))


def embedded(model: UserModel, ids: Tensor, batch: PromptBatch, tokens: Tensor, before: Tensor) -> Tensor:
    """Input embeddings (B, L, H) of padded rows, tokens in their slots; ``before`` (B,) places stand left of each."""
    embeds = model.model.get_input_embeddings()(ids)
    places = torch.from_numpy(batch.flat_positions(ids.shape[1], 0)).to(ids.device)
    case = torch.from_numpy(np.repeat(np.arange(len(batch)), batch.slot_position.lengths)).to(ids.device)
    return model.injector(embeds, tokens, places + before[case])


@contextmanager
def attention(model: UserModel, implementation: str):
    """Another attention implementation ("eager") inside, SDPA again after."""
    inner = model.model.get_base_model() if hasattr(model.model, "get_base_model") else model.model
    inner.set_attn_implementation(implementation)
    try:
        yield
    finally:
        inner.set_attn_implementation("sdpa")
