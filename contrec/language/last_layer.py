"""The last layer of a prompt: keys and values of every token, an output of one.

Later passes attend to a prompt's keys and values in every layer, but of its outputs only one is ever used: the state
that emits the first token of the answer. So query, attention and feed-forward layer of the last layer run for it alone.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAME_LAYER = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer")  # one structure, one set of names


@contextmanager
def output_of(decoder: nn.Module, place: Tensor | None):
    """Inside, ``decoder`` returns the states at ``place`` (B,) alone, (B, 1, H); None: keys and values, no state.

    Yields:
        Whether it does: a decoder of another family computes, and returns, all states.
    """
    layer = decoder.layers[-1] if hasattr(decoder, "layers") else None
    if type(layer).__name__ not in SAME_LAYER:
        yield False
        return
    with standing_in(layer, lambda *arguments, **named: _forward(layer, place, *arguments, **named)):
        yield True


@contextmanager
def standing_in(module: nn.Module, forward):
    """Inside, calling ``module`` calls ``forward``."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def _forward(layer, place, hidden, attention_mask=None, *, position_embeddings, past_key_values, **_) -> Tensor:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    attention, normed, rows = layer.self_attn, layer.input_layernorm(hidden), torch.arange(len(hidden))

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

    keys, values = heads(attention.k_proj(normed)), heads(attention.v_proj(normed))
    keys, _ = apply_rotary_pos_emb(keys, keys, *position_embeddings)
    keys, values = past_key_values.update(keys, values, attention.layer_idx)
    if place is None:
        return hidden[:, :1]
    rows = rows.to(place.device)
    query = heads(attention.q_proj(normed[rows, place][:, None]))
    query, _ = apply_rotary_pos_emb(query, query, *(x[rows, place][:, None] for x in position_embeddings))
    # without a mask nothing is padded, and the last token sees everything
    mask = None if attention_mask is None else attention_mask[rows, :, place][:, :, None]
    groups, dropout = query.shape[1] // keys.shape[1], attention.attention_dropout if attention.training else 0.0
    mixed = F.scaled_dot_product_attention(
        query, keys, values, mask, dropout, scale=attention.scaling, enable_gqa=groups > 1
    )
    state = hidden[rows, place][:, None] + attention.o_proj(mixed.transpose(1, 2).flatten(2))
    return state + layer.mlp(layer.post_attention_layernorm(state))
