"""The shortened last layer gives the whole one's state, keys, values and gradients, and is gone afterwards."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaModel, Qwen2Config, Qwen2Model

from contrec.language.last_layer import output_of

SHAPE = dict(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
FAMILIES = {"llama": (LlamaConfig, LlamaModel), "qwen2": (Qwen2Config, Qwen2Model)}


@pytest.fixture(params=FAMILIES)
def decoder(request):
    config, model = FAMILIES[request.param]
    torch.manual_seed(0)
    return model(config(**SHAPE, attn_implementation="sdpa")).eval()


def read(decoder, embeds, mask, short):
    """A prefix of three tokens, then padded rows; state at each row's end, and all keys and values."""
    place = mask[:, 3:].sum(1) - 1
    cache = DynamicCache(config=decoder.config)
    with output_of(decoder, None) if short else torch.enable_grad():
        decoder(inputs_embeds=embeds[:, :3], past_key_values=cache, use_cache=True)
    position = (mask.cumsum(1) - 1).clamp_min(0)[:, 3:]
    settings = {"attention_mask": mask, "position_ids": position, "past_key_values": cache, "use_cache": True}
    if short:
        with output_of(decoder, place) as known:
            assert known
            states = decoder(inputs_embeds=embeds[:, 3:], **settings).last_hidden_state
        assert states.shape[1] == 1
        last = states[:, 0]
    else:
        states = decoder(inputs_embeds=embeds[:, 3:], **settings).last_hidden_state
        last = states[torch.arange(len(embeds)), place]
    return last, [x for layer in cache.layers for x in (layer.keys, layer.values)]


@pytest.mark.parametrize("lengths", [(9, 9, 9), (5, 9, 7)], ids=["equal", "padded"])
def test_state_keys_values_and_gradients_are_those_of_the_whole_layer(decoder, lengths):
    embeds = torch.randn(3, 9, 16, requires_grad=True)
    mask = (torch.arange(9) < torch.tensor(lengths)[:, None]).long()
    found = []
    for short in (False, True):
        last, cache = read(decoder, embeds, mask, short)
        later = sum((x * x.detach().cos()).sum() for x in cache[-2:])  # what a later pass would draw from them
        names, weights = zip(*decoder.named_parameters(), strict=True)
        gradients = torch.autograd.grad(last.square().sum() + later, [embeds, *weights], allow_unused=True)
        found.append((last, *cache, *(g for g in gradients if g is not None)))
    assert len(found[0]) == len(found[1])
    for whole, shortened in zip(*found, strict=True):
        torch.testing.assert_close(shortened, whole, atol=1e-5, rtol=1e-4)


def test_the_layer_is_whole_again_after_an_error(decoder):
    with pytest.raises(RuntimeError, match="stop"), output_of(decoder, None):
        raise RuntimeError("stop")
    assert decoder(inputs_embeds=torch.randn(1, 4, 16)).last_hidden_state.shape == (1, 4, 16)


def test_another_family_computes_every_state():
    class Layer(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    decoder = torch.nn.Module()
    decoder.layers = torch.nn.ModuleList([Layer()])
    with output_of(decoder, torch.zeros(1, dtype=torch.int64)) as short:
        assert not short and decoder.layers[0](torch.ones(1)) == 2


@torch.no_grad()
def test_attention_drops_out_in_training_alone(decoder):
    embeds, mask = torch.randn(3, 9, 16), torch.ones(3, 9).long()
    decoder.layers[-1].self_attn.attention_dropout = 0.5
    asked = read(decoder, embeds, mask, True)[0]
    torch.testing.assert_close(asked, read(decoder, embeds, mask, False)[0])
    decoder.train()
    drawn = torch.stack([read(decoder, embeds, mask, True)[0] for _ in range(400)])
    whole = torch.stack([read(decoder, embeds, mask, False)[0] for _ in range(400)])
    assert drawn.std(0).min() > 0
    assert drawn.std(0).mean() == pytest.approx(whole.std(0).mean().item(), rel=0.1)
