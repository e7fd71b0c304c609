"""One training step of the language side: the loss of the gold answers (Eq. 14) and its gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from contrec.bench import language_model as lm
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.language.prompts import Ragged, pad

# LastFM's training prompts under a tokenizer of 4,096 ids with K = 3: middles of the eighths of their lengths, the
# length of the prefix that all share, and mean lengths of the three answers (measured on the authors' split).
LENGTHS = (154, 183, 224, 285, 312, 317, 322, 330)
PREFIX = 103
ANSWERS = (15, 19, 19)


def benchmark(
    device: str = "cpu", *, lengths=LENGTHS, prefix: int = PREFIX, padded: int = lm.INPUT_LENGTH
) -> Benchmark:
    """Forward and backward pass of one batch with LoRA (rank 16), without dropout.

    Ways: every prompt padded to ``padded``, eager attention, logits at all positions; the same padded to the longest
    with SDPA; the library's reading, which computes the common prefix once and logits at answer positions only.
    """
    rng = np.random.default_rng(0)
    start = lm.random_ids(rng, prefix)
    model = lm.user_model(device, start, lora_rank=16)
    batch = lm.prompts(rng, start, lengths)
    gold = [np.append(lm.random_ids(rng, ANSWERS[n % 3] - 1), lm.END) for n in range(len(lengths))]
    tokens = torch.randn(len(batch.slot_position.values), lm.HIDDEN, generator=torch.Generator().manual_seed(0))
    tokens = tokens.to(device)
    whole = Ragged.of([np.concatenate(pair) for pair in zip(batch.ids, gold, strict=True)])

    def plain(length: int | None, implementation: str) -> dict[str, torch.Tensor]:
        ids, mask = (x.to(device) for x in pad(whole))
        answer = torch.arange(ids.shape[1], device=device) >= torch.as_tensor(batch.ids.lengths, device=device)[:, None]
        labels = torch.where(mask & answer, ids, -100)
        if length is not None:
            right = (0, length - ids.shape[1])
            ids, mask, labels = F.pad(ids, right), F.pad(mask, right), F.pad(labels, right, value=-100)
        embeds = lm.embedded(model, ids, batch, tokens, torch.zeros(len(ids), dtype=torch.int64, device=device))
        with lm.attention(model, implementation):
            logits = model.model(inputs_embeds=embeds, attention_mask=mask.long(), use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
        return gradients(loss)

    def library() -> dict[str, torch.Tensor]:
        (answer,) = model.follow(model.read(batch, tokens), gold)
        return gradients(model.answer_loss(*answer))

    def gradients(loss: torch.Tensor) -> dict[str, torch.Tensor]:
        model.zero_grad(set_to_none=True)
        loss.backward()
        return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

    def check(results: dict) -> list[Check]:
        return [
            Check(f"gradients, {way} and {OURS}, relative", distance(results[way], results[OURS]), 1e-5)
            for way in (REFERENCE, FAIR)
        ]

    shape = (
        f"B = {len(lengths)}, prompts of {min(lengths)}-{max(lengths)} tokens ({prefix} shared), hidden {lm.HIDDEN}, "
        f"{lm.LAYERS} layers, vocabulary {lm.VOCABULARY:,}, LoRA rank 16, fp32"
    )
    ways = {REFERENCE: lambda: plain(padded, "eager"), FAIR: lambda: plain(None, "sdpa"), OURS: library}
    return Benchmark("train-step", shape, ways, check, [Bar(REFERENCE, 9), Bar(FAIR, 1.4)], warm_up=False)


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Length of the difference of two sets of gradients over the length of the second."""
    square = lambda values: sum(float(x.double().square().sum()) for x in values)  # noqa: E731
    return (square(a[name] - b[name] for name in b) / square(b.values())) ** 0.5
