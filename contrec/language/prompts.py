"""Prompts: a case becomes token ids with slots for continuous tokens (Appendix B.1, ContRec; Table 6, DeftRec).

Every piece of text is tokenized once (titles, template halves, role play) and ids are concatenated. Titles are
untrusted: they are tokenized with special tokens switched off, so ``<z_start>`` in a title stays text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

WITHOUT_FACET = (  # our choice: the same where a catalogue has no category or brand to name
    "Analysing the purchase history, the user may prefer similar products.",
    "The user might lean towards similar products based on an analysis of their purchase history.",
    "Similar products may be favored by the user upon examination of their purchase history.",
)


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, one after the other.

    Attributes:
        values: int64, shape (N,).
        bounds: row i is ``values[bounds[i]:bounds[i + 1]]``, int64, shape (B + 1,).
    """

    values: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """From one array per row."""
        bounds = np.cumsum([0, *map(len, rows)])
        return cls(np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64, copy=False), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.bounds[row] : self.bounds[row + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.bounds)

    def select(self, rows) -> Ragged:
        """Some rows, by a slice or by their numbers."""
        return Ragged.of([self[row] for row in np.arange(len(self))[rows]])


@dataclass(frozen=True)
class PromptBatch:
    """Ragged prompts, ready for injection.

    Attributes:
        ids: token ids of each case; slots hold the ``<z_start>`` id, which injection replaces.
        slot_position: where the continuous tokens of each case go, counted from its prompt's start.
        slot_source: row of the item token table (item * K + k), or -1 - k for the user's k-th token; as slot_position.
        dropped_items: history items left out because the prompt would pass the input limit.
    """

    ids: Ragged
    slot_position: Ragged
    slot_source: Ragged
    dropped_items: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows) -> PromptBatch:
        """The prompts of some cases, by a slice or by their numbers."""
        return PromptBatch(
            *(part.select(rows) for part in (self.ids, self.slot_position, self.slot_source)), self.dropped_items
        )

    def flat_positions(self, length: int, skip: int) -> np.ndarray:
        """Flat positions of every slot in a (B, length) batch whose first ``skip`` columns were cut off, (N,)."""
        case = np.repeat(np.arange(len(self)), self.slot_position.lengths)
        return self.slot_position.values - skip + case * length


class PromptBuilder:
    """Builds prompts for one catalogue and tokenizer (Eq. (13), ContRec; Eq. (3), DeftRec).

    Every text is tokenized once, here. A prompt is then the head of its template (role play included), its items and
    the template's tail, and a whole batch of prompts is one gather from the pool of all these ids.

    Args:
        tokenizer: a fast tokenizer that knows ``<z_start>`` and ``<z_end>`` as special tokens.
        catalogue: titles are taken from here.
        dataset: name put into the role play.
        n_tokens: K continuous tokens per item and user.
        history_cap: at most this many newest items are shown (20, Sect. 4.1.4).
        max_input: at most this many tokens, the oldest items give way (1,024, Sect. 4.1.1).
        title_chars: longer titles are cut (50, released code).
        user_tokens: whether the word "user" is followed by the user's K tokens.

    Attributes:
        prefix: ids with which every prompt begins.
        shortest, longest: most tokens of a prompt with one item, and of any prompt.

    Raises:
        ValueError: if a prompt's newest item could be left out for want of room.
    """

    def __init__(
        self, tokenizer, catalogue: Catalogue, dataset: str, n_tokens: int,
        history_cap: int = 20, max_input: int = 1024, title_chars: int = 50, user_tokens: bool = True,
    ):  # fmt: skip
        self.user_tokens = user_tokens
        self.n_tokens, self.history_cap, self.max_input = n_tokens, history_cap, max_input
        encode = lambda texts: [np.array(ids, np.int64) for ids in encode_plain(tokenizer, texts)]  # noqa: E731
        start, end = (tokenizer.convert_tokens_to_ids(mark) for mark in (Z_START, Z_END))
        self.slot = np.array([start] * (n_tokens + 1) + [end])  # marker, K places to fill, marker
        bos = np.array([] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id], np.int64)
        self.prefix = np.concatenate([bos, *encode([ROLE_PLAY_AND_EXAMPLE.format(dataset=dataset) + INPUT_MARK])])
        user, comma, mark = encode([" user", ",", RESPONSE_MARK])
        heads, tails, self._user_place = [], [], []
        for template in PROMPTS:
            named = [user, self.slot] if user_tokens else [user]
            head, tail = (self._half(encode, half, named) for half in template.split("{items}"))
            heads.append(np.concatenate([self.prefix, *head]))
            tails.append(np.concatenate([*tail, mark]))
            # where the user's K places begin, counted from the head's start, or from the tail's
            before, parts = (len(self.prefix), head) if "{user}" in template.split("{items}")[0] else (0, tail)
            slot = next((n for n, part in enumerate(parts) if part is self.slot), 0)
            self._user_place.append(before + sum(len(part) for part in parts[:slot]) + 1)
        self._user_first = np.array(["{user}" in template.split("{items}")[0] for template in PROMPTS])
        self._user_place = np.array(self._user_place)
        titles = encode([" " + " ".join(title.split())[:title_chars] for title in catalogue.titles])
        items = [np.concatenate([comma, ids, self.slot]) for ids in titles]
        self._comma = len(comma)  # the first item of a prompt leaves its comma out
        pool = Ragged.of([*heads, *tails, *items])
        self._pool, starts, lengths, t = pool.values, pool.bounds[:-1], pool.lengths, len(PROMPTS)
        self._heads, self._tails, self._items = (
            (starts[part], lengths[part]) for part in (slice(t), slice(t, 2 * t), slice(2 * t, None))
        )
        item = int(self._items[1].max(initial=0))
        self.shortest = int((self._heads[1] + self._tails[1]).max()) + item
        self.longest = min(max_input, self.shortest + (history_cap - 1) * item)
        if max_input < self.shortest:
            raise ValueError(
                f"max_input {max_input} leaves no room for a prompt's newest item: the fixed text takes up to "
                f"{self.shortest - item} tokens and an item up to {item}; set language.max_input to {self.shortest} "
                "or more"
            )

    @staticmethod
    def _half(encode, text: str, user: list[np.ndarray]) -> list[np.ndarray]:
        """Half of a template as id arrays: words, and the user with its slot."""
        first, *rest = ([part] if part else [] for part in map(str.rstrip, text.split("{user}")))
        words = lambda texts: encode(texts) if texts else []  # noqa: E731
        return [*words(first), *(ids for part in rest for ids in (*user, *words(part)))]

    def build(self, cases: Cases, template: np.ndarray) -> PromptBatch:
        """Prompts of cases; ``template`` (len(cases),) picks one of the ten for each."""
        template, k, n = np.asarray(template), self.n_tokens, len(cases)
        item, shown, dropped = self._shown(cases, template)
        # pieces of every prompt, in reading order: head, items, tail
        bounds = np.concatenate([[0], np.cumsum(shown + 2)])
        head, tail = bounds[:-1], bounds[1:] - 1
        middle = np.ones(bounds[-1], dtype=bool)
        middle[head] = middle[tail] = False
        start, length = np.empty(bounds[-1], np.int64), np.empty(bounds[-1], np.int64)
        for place, (starts, lengths), which in (
            (head, self._heads, template), (tail, self._tails, template), (middle, self._items, item)
        ):  # fmt: skip
            start[place], length[place] = starts[which], lengths[which]
        first = head[shown > 0] + 1
        start[first] += self._comma
        length[first] -= self._comma
        stop = np.cumsum(length)
        ids = self._pool[np.repeat(start - (stop - length), length) + np.arange(stop[-1] if n else 0)]
        prompt_bounds = np.concatenate([[0], stop[tail]])
        # slots: the user's and one per item, in reading order; an item's K places lie before its closing marker
        group = np.concatenate([[0], np.cumsum(shown + self.user_tokens)])
        user = np.where(self._user_first[template], group[:-1], group[1:] - 1) if self.user_tokens else []
        of_item = np.ones(group[-1], dtype=bool)
        of_item[user] = False
        position, source = np.empty((group[-1], k), np.int64), np.empty((group[-1], k), np.int64)
        row = np.repeat(np.arange(n), shown)
        position[of_item] = (stop[middle] - prompt_bounds[row] - 1 - k)[:, None] + np.arange(k)
        source[of_item] = item[:, None] * k + np.arange(k)
        if self.user_tokens:
            behind = np.where(self._user_first[template], 0, stop[tail] - length[tail] - prompt_bounds[:-1])
            position[user] = (behind + self._user_place[template])[:, None] + np.arange(k)
            source[user] = -1 - np.arange(k)
        slots = [Ragged(values.ravel(), group * k) for values in (position, source)]
        return PromptBatch(Ragged(ids, prompt_bounds), *slots, dropped)

    def _shown(self, cases: Cases, template: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Items shown, case by case; how many each case shows; how many did not fit: the newest that fit are shown."""
        length = np.minimum(cases.lengths, self.history_cap)
        end = np.cumsum(length)
        item = cases.items[np.repeat(cases.stop - end, length) + np.arange(length.sum())]
        size = self._items[1][item]
        total = np.concatenate([[0], np.cumsum(size)])
        # an item stands if it and all newer ones leave the prompt within its limit; the first needs no comma, and gets
        # the room for one all the same
        room = self.max_input - self._heads[1][template] - self._tails[1][template]
        fits = np.repeat(total[end], length) - total[:-1] <= np.repeat(room, length)
        shown = np.bincount(np.repeat(np.arange(len(cases)), length)[fits], minlength=len(cases))
        return item[fits], shown, int((length - shown).sum())


def encode_plain(tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of plain texts: nothing added, and special tokens inside the text stay ordinary text.

    Where a tokenizer's vocabulary leads from ordinary text to a special token all the same, it is left out.
    """
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    rows = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [[i for i in ids if i not in special] for ids in rows]


def pad(rows: Ragged | Sequence[np.ndarray], skip: int = 0) -> tuple[Tensor, Tensor]:
    """Right-pad id rows to (B, L), L at least 1, without their first ``skip`` ids; and the boolean mask of real ids."""
    rows = rows if isinstance(rows, Ragged) else Ragged.of(rows)
    lengths = rows.lengths - skip
    mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    ids = np.zeros(mask.shape, dtype=np.int64)
    place = np.arange(len(rows.values)) - np.repeat(rows.bounds[:-1], rows.lengths)
    ids[mask] = rows.values[place >= skip]
    return torch.from_numpy(ids), torch.from_numpy(mask)
