"""Putting continuous tokens into the embedded prompts: from item vectors to what the language model reads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from contrec.bench import language_model as lm
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.language import PromptBatch
from contrec.language.prompts import Ragged, pad
from contrec.network import Network, RecommenderConfig
from contrec.tokenizers import SigmaVAE, TokenizerConfig

K, PREFIX = 3, 103


def benchmark(
    device: str = "cpu", *, n_prompts: int = 24, n_items: int = 3685, dim: int = 256, shown: int = 20, title: int = 5,
    padded: int = lm.INPUT_LENGTH,
) -> Benchmark:  # fmt: skip
    """Embeddings of prompts with ``shown`` items of LastFM's catalogue size, K = 3 tokens each, and the user's.

    Ways: prompt by prompt, padded to ``padded``, its items through the tokenizer and its tokens put in one by one; all
    items of the batch through the tokenizer at once and put in by a mask; the library's gather from the table of a
    frozen tokenizer, and one scatter.
    """
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = lm.user_model(device, lm.random_ids(rng, PREFIX))
    shape = TokenizerConfig(n_tokens=K, token_dim=lm.HIDDEN)
    tokenizers = [SigmaVAE(dim, shape).to(device).eval() for _ in range(2)]
    items, users = torch.randn(n_items, dim, device=device), torch.randn(n_prompts, dim, device=device)
    network = Network(RecommenderConfig(tokenizer=shape), model, *tokenizers, items).eval()
    history = rng.integers(n_items, size=(n_prompts, shown))
    batch = made(rng, model.prefix.cpu().numpy(), history, title)
    embed = model.model.get_input_embeddings()

    @torch.no_grad()
    def reference() -> Tensor:
        rows = []
        for row, ids in enumerate(batch.ids):
            embeds = embed(torch.from_numpy(np.pad(ids, (0, padded - len(ids)))).to(device))
            of_items = tokenizers[0].encode(items[torch.from_numpy(history[row])])
            tokens = torch.cat([of_items.flatten(0, 1), tokenizers[1].encode(users[row : row + 1])[0]])
            for place, token in zip(batch.slot_position[row].tolist(), tokens, strict=True):
                embeds[place] = token * model.injector.scale
            rows.append(embeds)
        return torch.stack(rows)

    @torch.no_grad()
    def fair() -> Tensor:
        embeds, places = embed(pad(batch.ids)[0].to(device)), slots(batch)
        of_items = tokenizers[0].encode(items[torch.from_numpy(history.ravel())])
        of_items = of_items.view(n_prompts, shown * K, lm.HIDDEN)
        tokens = torch.cat([of_items, tokenizers[1].encode(users)], dim=1).flatten(0, 1)
        mask = torch.zeros(embeds.shape[:2], dtype=torch.bool, device=device)
        mask.view(-1)[places] = True
        return embeds.masked_scatter(mask[..., None], tokens * model.injector.scale)

    @torch.no_grad()
    def library() -> Tensor:
        embeds = embed(pad(batch.ids)[0].to(device))
        return model.injector(embeds, network.tokens(batch, users, None), slots(batch))

    def slots(batch: PromptBatch) -> Tensor:
        return torch.from_numpy(batch.flat_positions(int(batch.ids.lengths.max()), 0)).to(device)

    def check(results: dict) -> list[Check]:
        own, checks = results[OURS], []
        for way in (REFERENCE, FAIR):
            difference = (results[way][:, : own.shape[1]] - own).abs().max()
            checks.append(Check(f"embeddings, {way} and {OURS}, largest difference", float(difference), 1e-5))
        return checks

    what = f"{n_prompts} prompts of {len(batch.ids[0])} tokens, {shown} items and the user, K = {K}, width {lm.HIDDEN}"
    return Benchmark(
        "insert", what, {REFERENCE: reference, FAIR: fair, OURS: library}, check, [Bar(REFERENCE, 10)], repeats=15
    )


def made(rng: np.random.Generator, prefix: np.ndarray, history: np.ndarray, title: int) -> PromptBatch:
    """Prompts of one length: prefix, per item ``title`` ids and a slot, then the user's slot."""
    n, shown = history.shape
    step, groups = title + K + 2, shown + 1
    ids = [np.concatenate([prefix, lm.random_ids(rng, groups * step)]) for _ in range(n)]
    position = (len(prefix) + np.arange(groups)[:, None] * step + title + 1 + np.arange(K)).ravel()
    source = [np.append((row[:, None] * K + np.arange(K)).ravel(), -1 - np.arange(K)) for row in history]
    return PromptBatch(Ragged.of(ids), Ragged.of([position] * n), Ragged.of(source))
