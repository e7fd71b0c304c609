"""User modeling by the language model: read the prompt, write the preference text, give its states (Sect. 3.3).

A batch of prompts is read once: the role play that all prompts share is computed a single time, and the key-value cache
of the rest serves both the greedy decoding (without gradient) and the training pass over the written and gold answers.
Only where training drops something out are prompts read again, without dropout, for the decoding. A prompt's states are
those of reading it alone, without a cache, up to rounding (relative difference in fp32: 1e-6).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from contrec.language.answers import AnswerSet
from contrec.language.backbone import decoder_of, drops_out, logits_of, takes_positions, windows_of
from contrec.language.injection import TokenInjector
from contrec.language.last_layer import output_of
from contrec.language.prompts import PromptBatch, pad
from contrec.training import evaluating


@dataclass
class Reading:
    """What the backbone knows after the prompts: a cache over P + L key slots.

    Attributes:
        cache: transformers' DynamicCache, B rows.
        mask: real key slots, bool, (B, P + L).
        lengths: tokens of each whole prompt, int64, (B,).
        last: hidden state that emits the first answer token, (B, H).
        prompt: where asked for, what tells the prompts' own tokens behind the shared prefix: states (B, L - 1, H),
            ids and mask (B, L - 1).
    """

    cache: object
    mask: Tensor
    lengths: Tensor
    last: Tensor
    prompt: tuple[Tensor, Tensor, Tensor] | None = None


@dataclass
class Written:
    """Answers decoded along the trie.

    Attributes:
        template, answer: which text of the answer set was written, int64, (B,).
        ids: its tokens, one array per row, end token included.
        states: the hidden states that emitted them, (B, A, H), with mask (B, A).
    """

    template: np.ndarray
    answer: np.ndarray
    ids: list[np.ndarray]
    states: Tensor
    mask: Tensor


class UserModel(nn.Module):
    """The backbone with injected tokens.

    Args:
        model: causal LM (plain, LoRA or NF4).
        injector: puts continuous tokens into slots.
        answers: the closed answer set.
        prefix: ids shared by the start of every prompt (role play and example), numpy int64.
    """

    def __init__(self, model, injector: TokenInjector, answers: AnswerSet, prefix: np.ndarray):
        super().__init__()
        self.model, self.injector, self.answers = model, injector, answers
        self.register_buffer("prefix", torch.from_numpy(np.asarray(prefix)), persistent=False)
        self._positions, self._windows, self._drops = takes_positions(model), windows_of(model), drops_out(model)

    @property
    def hidden(self) -> int:
        return self.model.get_input_embeddings().weight.shape[1]

    @torch.no_grad()
    def vocabulary(self) -> Tensor:
        """What enters the backbone for each id, (V, H): its embedding rows, scaled where the model scales them."""
        embed = self.model.get_input_embeddings()
        return embed(torch.arange(len(embed.weight), device=embed.weight.device))

    def read(self, batch: PromptBatch, tokens: Tensor, whole: bool = False) -> Reading:
        """Run prompts through the backbone.

        Args:
            batch: prompts that all start with ``prefix``.
            tokens: continuous tokens of every slot, in the batch's order, (N, D).
            whole: also give ``Reading.prompt``, which costs the last layer's output at every position.
        """
        from transformers import DynamicCache

        device, size, skip = tokens.device, len(batch), len(self.prefix)
        decoder, embed = decoder_of(self.model), self.model.get_input_embeddings()
        with output_of(decoder, None):  # a plain cache: one made for sliding windows would forget
            cache = decoder(
                inputs_embeds=embed(self.prefix[None]), past_key_values=DynamicCache(), use_cache=True
            ).past_key_values
        cache = DynamicCache([(k.expand(size, -1, -1, -1), v.expand(size, -1, -1, -1)) for k, v in _pairs(cache)])
        ids, mask = pad(batch.ids, skip)
        slots = torch.from_numpy(batch.flat_positions(ids.shape[1], skip)).to(device)
        ids, own = ids.to(device), mask.to(device)
        embeds = self.injector(embed(ids), tokens, slots)
        mask = torch.cat([torch.ones(size, skip, dtype=torch.bool), mask], dim=1).to(device)
        lengths = mask.sum(1)
        place = lengths - skip - 1
        with nullcontext(False) if whole else output_of(decoder, place) as short:
            states = self._decode(embeds, mask, _positions(mask), cache)
        last = states[:, 0] if short else states[torch.arange(size, device=device), place]
        return Reading(cache, mask, lengths, last, (states[:, :-1], ids[:, 1:], own[:, 1:]) if whole else None)

    @torch.no_grad()
    def text(self, batch: PromptBatch, tokens: Tensor, reading: Reading) -> list[np.ndarray]:
        """What the model would write, in training too: ids of each text, read and decoded without dropout.

        Args:
            batch, tokens: as for :meth:`read`.
            reading: of the same prompts; it is decoded from where the model drops nothing out.
        """
        with evaluating(self.model):
            return self.write(self.read(batch, tokens) if self._drops else reading, states=False).ids

    @torch.no_grad()
    def write(self, reading: Reading, states: bool = True) -> Written:
        """Decode greedily along the answer trie, one token after the other (Eq. (15), ContRec; Eq. (4), DeftRec).

        A node with a single child needs no decision: such tokens are fed in one chunk, so an answer of thirty tokens
        takes as many forward passes as it has real choices.

        Args:
            states: also run the tokens after the last choice, whose states belong to the condition; without them
                ``Written.states`` is not complete, and only the text may be used.
        """
        from transformers import DynamicCache

        size, device = len(reading.last), reading.last.device
        cache = DynamicCache([(k.detach(), v.detach()) for k, v in _pairs(reading.cache)])
        embed = self.model.get_input_embeddings()
        mask, state = reading.mask, reading.last.detach()
        node: list = [self.answers.trie] * size
        ids: list[list[int]] = [[] for _ in range(size)]
        found, real = [state[:, None]], [torch.ones(size, 1, dtype=torch.bool, device=device)]
        while any(isinstance(n, dict) for n in node):
            logits = logits_of(self.model, state)
            chunks = [self._advance(node, row, logits[row], ids[row]) for row in range(size)]
            if not states and not any(isinstance(n, dict) for n in node):
                break
            # an answer's last token emits nothing and need not be fed
            chunks = [c if isinstance(n, dict) else c[:-1] for c, n in zip(chunks, node, strict=True)]
            fed, fed_mask = (x.to(device) for x in pad([np.array(chunk, np.int64) for chunk in chunks]))
            mask = torch.cat([mask, fed_mask], dim=1)
            out = self._decode(embed(fed), mask, _positions(mask), cache)
            found.append(out)
            real.append(fed_mask)
            taken = fed_mask.sum(1)
            newest = out[torch.arange(size, device=device), (taken - 1).clamp_min(0)]
            state = torch.where(taken[:, None] > 0, newest, state)
        found, real = torch.cat(found, dim=1), torch.cat(real, dim=1)
        emitted = [found[row][real[row]] for row in range(size)]  # token j is emitted by the state at token j - 1
        return Written(
            np.array([leaf[0] for leaf in node]), np.array([leaf[1] for leaf in node]),
            [np.array(tokens) for tokens in ids],
            nn.utils.rnn.pad_sequence(emitted, batch_first=True), pad([np.array(t) for t in ids])[1].to(device),
        )  # fmt: skip

    @staticmethod
    def _advance(node: list, row: int, logits: Tensor, ids: list[int]) -> list[int]:
        """Take one decision at ``node[row]``, then walk as far as there is no other; returns the tokens taken."""
        here, taken = node[row], []
        while isinstance(here, dict):
            options = list(here)
            if len(options) > 1 and taken:
                break
            best = options[0] if len(options) == 1 else options[int(logits[options].argmax())]
            taken.append(best)
            here = here[best]
        node[row] = here
        ids.extend(taken)
        return taken

    def follow(self, reading: Reading, first: list[np.ndarray], second: list[np.ndarray] | None = None):
        """States that emit given answers, with gradient; two answers per prompt share its cache.

        They share a pass, too, where the backbone is told every token's position; else they take one after the other.

        Args:
            first, second: answer ids per row (an answer may be empty).

        Returns:
            For each answer (states (B, A, H), ids (B, A), mask (B, A)).
        """
        from transformers import DynamicCache

        if second is not None and not self._positions:
            return self.follow(reading, first) + self.follow(reading, second)
        device, embed = reading.last.device, self.model.get_input_embeddings()
        parts = [tuple(x.to(device) for x in pad(a)) for a in ([first] if second is None else [first, second])]
        ids, mask = torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts], 1)
        segment = torch.cat([torch.full_like(p[0][0], n) for n, p in enumerate(parts)])
        step = torch.cat([torch.arange(p[0].shape[1], device=device) for p in parts])
        seen = (segment[:, None] == segment[None]) & (step[:, None] >= step[None])
        position = torch.cat([_positions(reading.mask), reading.lengths[:, None] + step], dim=1)
        whole = torch.cat([reading.mask, mask], dim=1)
        out = self._decode(embed(ids), whole, position, DynamicCache(_pairs(reading.cache)), seen)
        results, start = [], 0
        for part_ids, part_mask in parts:
            width = part_ids.shape[1]
            states = torch.cat([reading.last[:, None], out[:, start : start + width - 1]], dim=1)
            results.append((states, part_ids, part_mask))
            start += width
        return results

    def answer_loss(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Eq. (14), ContRec, as a mean over answer tokens; the output layer is applied at these positions only."""
        if not mask.any():  # zero, with the output layer in the graph: several processes wait for its gradient
            return logits_of(self.model, states[:, 0]).sum() * 0.0
        logits = logits_of(self.model, states[mask])
        return nn.functional.cross_entropy(logits.float(), ids[mask])

    def _decode(self, embeds: Tensor, mask: Tensor, position: Tensor, cache, seen: Tensor | None = None) -> Tensor:
        """States (B, Q, H) of new tokens behind a cache, which grows by them.

        Args:
            embeds: input embeddings of the new tokens, (B, Q, H).
            mask: real key slots, the cache's and then the new ones, bool, (B, S).
            position: of each slot's token in its text, int64, (B, S).
            seen: which new tokens a new token may see, bool, (Q, Q); None: those before it, and itself.
        """
        n = embeds.shape[1]
        named = {"position_ids": position[:, -n:]} if self._positions else {}
        if self._positions and (seen is not None or self._windows):
            mask = _masks(_allowed(mask, seen, n), position, self._windows, embeds.dtype)
        else:
            mask = mask.long()
        return decoder_of(self.model)(
            inputs_embeds=embeds, attention_mask=mask, past_key_values=cache, use_cache=True, **named
        ).last_hidden_state


def _pairs(cache) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _positions(mask: Tensor) -> Tensor:
    """Position of each slot's token in its row's text, (B, S), from the mask of real slots."""
    return (mask.long().cumsum(1) - 1).clamp_min(0)


def _allowed(mask: Tensor, seen: Tensor | None, queries: int) -> Tensor:
    """Which key slots each new token may see, bool, (B, Q, S)."""
    if seen is None:
        seen = torch.ones(queries, queries, dtype=torch.bool, device=mask.device).tril()
    allowed = torch.cat([mask[:, None, :-queries].expand(-1, queries, -1), seen & mask[:, None, -queries:]], dim=2)
    own = torch.zeros_like(allowed[0])
    own[:, -queries:].fill_diagonal_(True)
    return allowed | own  # a padded query must see something


def _masks(allowed: Tensor, position: Tensor, windows: dict[str, int | None], dtype) -> Tensor | dict[str, Tensor]:
    """What is added to attention, (B, 1, Q, S), by kind of layer where a model's layers look back differently far."""
    back = position[:, -allowed.shape[1] :, None] - position[:, None]
    masks = {
        kind: _additive(allowed if window is None else allowed & (back < window), dtype)[:, None]
        for kind, window in (windows or {"": None}).items()
    }
    return masks if len(masks) > 1 else masks.popitem()[1]


def _additive(allowed: Tensor, dtype) -> Tensor:
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
