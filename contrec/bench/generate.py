"""Decoding the preference text: greedy over the closed answer set, from the prompt to the end token."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrec.bench import language_model as lm
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.language import PromptBatch, UserModel
from contrec.language.answers import token_trie
from contrec.language.backbone import decoder_of
from contrec.language.prompts import pad

PREFILL = "prefill alone"


def benchmark(
    device: str = "cpu", *, n_prompts: int = 24, length: int = 600, prefix: int = 300, new: int = 32, facets: int = 200,
    padded: int = lm.INPUT_LENGTH, forced: int = 64,
) -> Benchmark:  # fmt: skip
    """Answers of ``new`` tokens: three templates, each with one of ``facets`` values of three tokens in its middle.

    Ways: prompts padded to ``padded``, eager attention, logits at all positions and always ``forced`` steps, as no end
    token is learned there; padded to the longest with SDPA, by transformers' ``generate``; both are held to the closed
    set. The library reads the common prefix once and takes a forward pass for each real decision; its reading of the
    prompts alone is the yardstick.
    """
    rng = np.random.default_rng(0)
    start = lm.random_ids(rng, prefix)
    answers = closed_answers(rng, new, facets)
    trie = token_trie(answers)
    model = lm.user_model(device, start, trie)
    batch = lm.prompts(rng, start, [length] * n_prompts)
    tokens = torch.randn(len(batch.slot_position.values), lm.HIDDEN, generator=torch.Generator().manual_seed(0))
    tokens = tokens.to(device)

    def text(ids: list[int]) -> list[int]:
        return ids[: ids.index(lm.END) + 1]

    def reference() -> list[list[int]]:
        return [text(row) for row in reference_layout(model, batch, tokens, padded, forced, lm.END)[0].tolist()]

    @torch.no_grad()
    def fair() -> list[list[int]]:
        embeds, mask = padded_left(model, batch, tokens, length)
        written = model.model.generate(
            inputs_embeds=embeds, attention_mask=mask, do_sample=False,
            prefix_allowed_tokens_fn=lambda _, ids: allowed(trie, ids.tolist(), lm.END),
            max_new_tokens=new, eos_token_id=lm.END, pad_token_id=lm.END,
        )  # fmt: skip
        return [text(row) for row in written.tolist()]

    @torch.no_grad()
    def library() -> list[list[int]]:
        return [ids.tolist() for ids in model.write(model.read(batch, tokens)).ids]

    @torch.no_grad()
    def prefill() -> torch.Tensor:
        return model.read(batch, tokens).last

    def check(results: dict) -> list[Check]:
        closed = {tuple(ids.tolist()) for row in answers for ids in row}
        checks = [Check("texts outside the closed set", sum(tuple(row) not in closed for row in results[OURS]), 0)]
        for way in (REFERENCE, FAIR):
            pairs = zip(results[way], results[OURS], strict=True)
            checks.append(Check(f"texts of {way} and {OURS} that differ", sum(a != b for a, b in pairs), 0))
        return checks

    shape = (
        f"{n_prompts} prompts of {length} tokens ({prefix} shared), {new} new ones, {3 * facets} possible texts, "
        f"hidden {lm.HIDDEN}, {lm.LAYERS} layers, fp32"
    )
    ways = {REFERENCE: reference, FAIR: fair, PREFILL: prefill, OURS: library}
    bars = [Bar(REFERENCE, 10), Bar(FAIR, 2), Bar(PREFILL, 1.5, at_most=True)]
    return Benchmark("generate", shape, ways, check, bars, warm_up=False)


def closed_answers(rng: np.random.Generator, length: int, facets: int) -> list[list[np.ndarray]]:
    """Ids by template and facet: words before, three tokens of the facet's own, words after, the end token."""
    values = [lm.random_ids(rng, 3) for _ in range(facets)]
    rows = []
    for _ in range(3):
        before, after = lm.random_ids(rng, (length - 4) // 2), lm.random_ids(rng, length - 4 - (length - 4) // 2)
        rows.append([np.concatenate([before, value, after, [lm.END]]) for value in values])
    return rows


@torch.no_grad()
def reference_layout(
    model: UserModel, batch: PromptBatch, tokens: Tensor, padded: int, forced: int, end: int
) -> tuple[Tensor, Tensor]:
    """Decode greedily in the released layout: left-padded, eager attention, logits everywhere, a fixed number of steps.

    Returns:
        ids (B, forced), held to the closed set, then end tokens; the states that emitted them (B, forced, H).
    """
    decoder, embed = decoder_of(model.model), model.model.get_input_embeddings()
    head = model.model.get_output_embeddings()
    embeds, mask = padded_left(model, batch, tokens, padded)
    cache, states, written = None, [], torch.empty(len(batch), 0, dtype=torch.int64, device=tokens.device)
    with lm.attention(model, "eager"):
        for _ in range(forced):
            position = (mask.cumsum(1) - 1).clamp_min(0)[:, -embeds.shape[1] :]
            out = decoder(
                inputs_embeds=embeds, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
            )  # fmt: skip
            cache, last = out.past_key_values, head(out.last_hidden_state)[:, -1]
            options = [allowed(model.answers.trie, row, end) for row in written.tolist()]
            best = torch.tensor([o[int(row[o].argmax())] for o, row in zip(options, last, strict=True)]).to(written)
            states.append(out.last_hidden_state[:, -1])
            written, mask = torch.cat([written, best[:, None]], 1), torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
            embeds = embed(best[:, None])
    return written, torch.stack(states, 1)


def padded_left(model: UserModel, batch: PromptBatch, tokens: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Input embeddings (B, width, H) and attention mask (B, width) of prompts that end at the right."""
    ids, mask = (x.to(tokens.device) for x in pad(batch.ids))
    left = width - ids.shape[1]
    shift = ids.shape[1] - torch.from_numpy(batch.ids.lengths).to(tokens.device)
    place = torch.arange(ids.shape[1], device=tokens.device) - shift[:, None]  # rows of unequal length move right too
    ids = ids.gather(1, place.clamp_min(0)).masked_fill(place < 0, 0)
    ids, mask = F.pad(ids, (left, 0)), F.pad(place >= 0, (left, 0))
    return lm.embedded(model, ids, batch, tokens, left + shift), mask.long()


def allowed(trie: dict, ids: list[int], end: int) -> list[int]:
    """Tokens that may follow ``ids`` in the closed set; the end token for ever after an answer."""
    node = trie
    for token in ids:
        node = node[token] if isinstance(node, dict) else node
    return list(node) if isinstance(node, dict) else [end]
