"""The closed set of preference texts and its token trie: response template x facet (Table 6, DeftRec)."""

from __future__ import annotations

import numpy as np

from contrec.language.prompts import RESPONSES, encode_plain


class AnswerSet:
    """All preference texts that the model may write, as token ids and as a trie.

    An answer is a response template with one facet value and the end token. Facets are numbered as in
    ``catalogue.answers``.

    Args:
        tokenizer: as in :class:`contrec.language.prompts.PromptBuilder`, with an end token.
        facets: the closed set of facet values.

    Raises:
        ValueError: if there is no facet at all, or the tokenizer has no end token.
    """

    def __init__(self, tokenizer, facets: tuple[str, ...]):
        if not facets:
            raise ValueError("the catalogue has no facet held by at least 5 items; give items a category or a brand")
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end token, so answers could not stop; choose another backbone")
        self.facets = tuple(facets)
        values = encode_plain(tokenizer, [" " + f for f in facets])
        self.ids: list[list[np.ndarray]] = []  # [template][facet]
        for response in RESPONSES:
            before, after = (half.rstrip() for half in response.split("{category}"))
            head, tail = encode_plain(tokenizer, [before, after])
            self.ids.append([np.array(head + value + tail + [tokenizer.eos_token_id]) for value in values])
        self.trie = token_trie(self.ids)

    def text(self, template: int, facet: int) -> str:
        """The preference text as a person reads it."""
        return RESPONSES[template].replace("{category}", self.facets[facet])


def token_trie(ids: list[list[np.ndarray]]) -> dict:
    """Token -> next node, and at an answer's last token the pair (template, facet); ``ids`` by template and facet."""
    trie: dict = {}
    for template, row in enumerate(ids):
        for facet, answer in enumerate(row):
            node = trie
            for token in answer[:-1]:
                node = node.setdefault(int(token), {})
            # facets that differ only in characters the tokenizer drops share a text: the first one keeps it
            node.setdefault(int(answer[-1]), (template, facet))
    return trie
