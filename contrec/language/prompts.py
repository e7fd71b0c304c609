"""Prompts: a case becomes token ids with slots for continuous tokens (Appendix B.1, ContRec; Table 6, DeftRec).

Every piece of text is tokenized once (titles, template halves, role play) and ids are concatenated. Titles are
untrusted: they are tokenized with special tokens switched off, so ``<z_start>`` in a title stays text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contrec.data.interactions import Cases, Catalogue

Z_START, Z_END = "<z_start>", "<z_end>"

ROLE_PLAY_AND_EXAMPLE = (
    "You are the expert in {dataset} products, entrusted with the responsibility of recommending the perfect products "
    "to our users.\nHere is an example format for recommendations:\n### Input: Given the following purchase history: "
    "[item side information]. I wonder what the user will like. Can you help me decide?\n### Response: The interaction "
    "history shows that the user might like [item_brand/item_category] products.\nNow, please provide your "
    "recommendations based on the following content:\n"
)
INPUT_MARK, RESPONSE_MARK = "### Input: ", "\n### Response: "

PROMPTS = (  # Table 6, DeftRec, rows 0-9
    "Given the following purchase history: {items}. Predict the {user} preferences.",
    "I find the purchase history list: {items}. I wonder what the {user} will like. Can you help me decide?",
    "Considering the {user} has interacted with {items}. What are the user preferences?",
    "According to what items the {user} has purchased: {items}. Can you describe the user preferences?",
    "By analyzing the {user}'s purchase of {items}, what are the expected preferences of the user?",
    "Given the {user}'s previous interactions with the {items}, what are the user preferences?",
    "Taking into account the {user}'s engagement with the {items}, what are the user potential interests?",
    "In light of the {user}'s interactions with the {items}, what might the user be interested in?",
    "Considering the {user}'s past interactions with the {items}, what are the user likely preferences?",
    "With the {user}'s history of engagement with the {items}, what would the user be inclined to like?",
)
RESPONSES = (  # Table 6, DeftRec, response rows 0-2
    "Analysing the purchase history, the user may prefer {category} products.",
    "The user might lean towards {category} products based on an analysis of their purchase history.",
    "Category {category} products may be favored by the user upon examination of their purchase history.",
)


@dataclass
class PromptBatch:
    """Ragged prompts, ready for injection.

    Attributes:
        ids: one int64 array per case; slots hold the ``<z_start>`` id, which injection replaces.
        slot_position: per case, where the continuous tokens go, int64.
        slot_source: per case, row of the item token table (item * K + k), or -1 - k for the user's k-th token.
        dropped_items: history items left out because the prompt would pass the input limit.
    """

    ids: list[np.ndarray]
    slot_position: list[np.ndarray]
    slot_source: list[np.ndarray]
    dropped_items: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def table_rows(self, n_tokens: int, n_items: int) -> np.ndarray:
        """Rows of every slot, case by case, in a table of n_items * K item tokens and then K tokens per case, (N,)."""
        sources = [np.where(s >= 0, s, (n_items + i) * n_tokens - 1 - s) for i, s in enumerate(self.slot_source)]
        return np.concatenate(sources)

    def flat_positions(self, length: int, skip: int) -> np.ndarray:
        """Flat positions of every slot in a (B, length) batch whose first ``skip`` columns were cut off, (N,)."""
        return np.concatenate([p - skip + i * length for i, p in enumerate(self.slot_position)])


class PromptBuilder:
    """Builds prompts for one catalogue and tokenizer.

    Args:
        tokenizer: a fast tokenizer that knows ``<z_start>`` and ``<z_end>`` as special tokens.
        catalogue: titles are taken from here.
        dataset: name put into the role play.
        n_tokens: K continuous tokens per item and user.
        history_cap: at most this many newest items are shown (20, Sect. 4.1.4).
        max_input: at most this many tokens, the oldest items give way (1,024, Sect. 4.1.1).
        title_chars: longer titles are cut (50, released code).
    """

    def __init__(
        self, tokenizer, catalogue: Catalogue, dataset: str, n_tokens: int,
        history_cap: int = 20, max_input: int = 1024, title_chars: int = 50,
    ):  # fmt: skip
        self.n_tokens, self.history_cap, self.max_input = n_tokens, history_cap, max_input
        start, end = (tokenizer.convert_tokens_to_ids(mark) for mark in (Z_START, Z_END))
        self.slot = np.array([start] * (n_tokens + 1) + [end])  # marker, K places to fill, marker
        bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        encode = lambda texts: encode_plain(tokenizer, texts)  # noqa: E731
        self.prefix = np.array(bos + encode([ROLE_PLAY_AND_EXAMPLE.format(dataset=dataset) + INPUT_MARK])[0])
        self.response_mark = np.array(encode([RESPONSE_MARK])[0])
        self.templates = [self._pieces(encode, template) for template in PROMPTS]
        titles = encode([" " + " ".join(title.split())[:title_chars] for title in catalogue.titles])
        self.items = [np.concatenate([np.array(ids, np.int64), self.slot]) for ids in titles]
        self.comma = np.array(encode([","])[0])
        self.user = np.concatenate([np.array(encode([" user"])[0], np.int64), self.slot])

    @staticmethod
    def _pieces(encode, template: str) -> list:
        """The template as a list of id arrays and the marks "{user}" and "{items}", in reading order."""
        parts = [part.rstrip() for part in re.split(r"(\{user\}|\{items\})", template)]
        return [p if p in ("{user}", "{items}") else np.array(encode([p])[0], np.int64) for p in parts if p]

    def build(self, cases: Cases, template: np.ndarray) -> PromptBatch:
        """Prompts of cases; ``template`` (len(cases),) picks one of the ten for each."""
        batch = PromptBatch([], [], [])
        for i in range(len(cases)):
            history = cases.history(i)[-self.history_cap :]
            ids, position, source, dropped = self._one(history, self.templates[template[i]])
            batch.ids.append(ids)
            batch.slot_position.append(position)
            batch.slot_source.append(source)
            batch.dropped_items += dropped
        return batch

    def _one(self, history: np.ndarray, pieces: list):
        fixed = len(self.prefix) + len(self.response_mark) + len(self.user)
        fixed += sum(len(p) for p in pieces if not isinstance(p, str))
        sizes = np.array([len(self.items[j]) + len(self.comma) for j in history], dtype=np.int64)
        fits = np.cumsum(sizes[::-1])[::-1] <= self.max_input - fixed
        shown = history[fits]
        k = self.n_tokens
        parts, position, source, length = [self.prefix], [], [], len(self.prefix)

        def put(ids, first=None):
            nonlocal length
            parts.append(ids)
            length += len(ids)
            if first is not None:  # the K places lie just before the closing marker
                position.append(np.arange(length - 1 - k, length - 1))
                source.append(first)

        for piece in pieces:
            if isinstance(piece, str) and piece == "{user}":
                put(self.user, -1 - np.arange(k))
            elif isinstance(piece, str):
                for n, item in enumerate(shown):
                    if n:
                        put(self.comma)
                    put(self.items[item], item * k + np.arange(k))
            else:
                put(piece)
        put(self.response_mark)
        return np.concatenate(parts), np.concatenate(position), np.concatenate(source), len(history) - len(shown)


def encode_plain(tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of plain texts: nothing added, and special tokens inside the text stay ordinary text."""
    return tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def pad(sequences: list[np.ndarray], value: int = 0) -> tuple[Tensor, Tensor]:
    """Right-pad id arrays to (B, L), L at least 1, and give the boolean mask of real tokens."""
    longest = max(1, *(len(s) for s in sequences))
    ids = np.full((len(sequences), longest), value, dtype=np.int64)
    mask = np.zeros((len(sequences), longest), dtype=bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = True
    return torch.from_numpy(ids), torch.from_numpy(mask)
