"""The closed set of preference texts and its token trie: response template x facet (Table 6, DeftRec)."""

from __future__ import annotations

import numpy as np

from contrec.language.prompts import RESPONSES, WITHOUT_FACET, encode_plain


class AnswerSet:
    """All preference texts that the model may write, as token ids and as a trie.

    An answer is a response template with one facet value and the end token, or with an item's facet value and title.
    Answers are numbered as the facets in ``catalogue.answers``, or as the items. Without any facet the templates that
    name none are the answers, each with every title, or once where there are no titles.

    Args:
        tokenizer: as in :class:`contrec.language.prompts.PromptBuilder`, with an end token.
        facets: the closed set of facet values.
        titles: of each item, where answers end with a title (both released codes); with them
        item_facets: number of the facet that each item's answer names, int64, -1 for none.

    Attributes:
        named: number of the facet that each answer names, int64, -1 for none.

    Raises:
        ValueError: if the tokenizer has no end token.
    """

    def __init__(self, tokenizer, facets: tuple[str, ...], titles=None, item_facets: np.ndarray | None = None):
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end token, so answers could not stop; choose another backbone")
        self.responses = RESPONSES if facets else WITHOUT_FACET
        if titles is None and facets:
            self.named, self.values, self.ends = np.arange(len(facets)), tuple(facets), ("",) * len(facets)
        elif titles is None:
            self.named, self.values, self.ends = np.array([-1]), ("",), ("",)
        else:
            self.named = np.asarray(item_facets)
            self.values = tuple(facets[f] if f >= 0 else "" for f in self.named)
            self.ends = tuple(" " + " ".join(title.split()) for title in titles)
        written = [" " + value if facets else "" for value in self.values]
        values, ends = (encode_plain(tokenizer, texts) for texts in (written, list(self.ends)))
        self.ids: list[list[np.ndarray]] = []  # [template][answer]
        for response in self.responses:
            before, _, after = (part.rstrip() for part in response.partition("{category}"))
            head, tail = encode_plain(tokenizer, [before, after])
            stop = [tokenizer.eos_token_id]
            whole = (head + value + tail + end + stop for value, end in zip(values, ends, strict=True))
            self.ids.append([np.array(ids) for ids in whole])
        self.trie = token_trie(self.ids)

    def text(self, template: int, answer: int) -> str:
        """The preference text as a person reads it."""
        return self.responses[template].replace("{category}", self.values[answer]) + self.ends[answer]


def token_trie(ids: list[list[np.ndarray]]) -> dict:
    """Token -> next node, and at an answer's last token (template, answer); ``ids`` by template and answer."""
    trie: dict = {}
    for template, row in enumerate(ids):
        for number, answer in enumerate(row):
            node = trie
            for token in answer[:-1]:
                node = node.setdefault(int(token), {})
            # answers that differ only in characters the tokenizer drops share a text: the first one keeps it
            node.setdefault(int(answer[-1]), (template, number))
    return trie
