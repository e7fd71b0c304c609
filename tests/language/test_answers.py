"""The closed answer set: every text can be reached, comes back from its ids, and stops."""

from __future__ import annotations

import numpy as np
import pytest

from contrec.language.answers import AnswerSet
from contrec.language.backbone import train_text_tokenizer
from contrec.language.prompts import RESPONSES, WITHOUT_FACET

FACETS = ("tea", "tea pots", "kites", "a <z_end> {category} <end> brand", "Ünïcode / 茶")


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(["tea pots", "kites"], 500)


def leaves(node, path=()):
    for token, child in node.items():
        if isinstance(child, dict):
            yield from leaves(child, (*path, token))
        else:
            yield (*path, token), child


def test_every_answer_is_one_path_of_the_trie(tokenizer):
    answers = AnswerSet(tokenizer, FACETS)
    found = {leaf: path for path, leaf in leaves(answers.trie)}
    assert len(found) == len(RESPONSES) * len(FACETS)
    for template in range(len(RESPONSES)):
        for facet in range(len(FACETS)):
            assert found[template, facet] == tuple(answers.ids[template][facet])


def test_ids_read_back_as_the_text_and_an_end(tokenizer):
    answers = AnswerSet(tokenizer, FACETS)
    for template, response in enumerate(RESPONSES):
        for facet, value in enumerate(FACETS):
            head, tail = response.split("{category}")
            text, ids = head + value + tail, answers.ids[template][facet]
            assert answers.text(template, facet) == text
            assert tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip() == text + "<end>"
            assert (ids == tokenizer.eos_token_id).sum() == 1 and ids[-1] == tokenizer.eos_token_id


def test_equal_texts_go_to_the_first_facet(tokenizer):
    answers = AnswerSet(tokenizer, ("tea", "tea"))
    assert {leaf for _, leaf in leaves(answers.trie)} == {(t, 0) for t in range(len(RESPONSES))}


@pytest.mark.parametrize("titles", [None, ["blue kite", "pot"]])
def test_without_facets_the_templates_name_none(tokenizer, titles):
    answers = AnswerSet(tokenizer, (), titles, None if titles is None else np.array([-1, -1]))
    ends = [""] if titles is None else [" blue kite", " pot"]
    assert (answers.named == -1).all() and len(WITHOUT_FACET) == len(RESPONSES) == len(answers.ids)
    assert {leaf for _, leaf in leaves(answers.trie)} == {(t, a) for t in range(3) for a in range(len(ends))}
    for template, response in enumerate(WITHOUT_FACET):
        for answer, end in enumerate(ends):
            assert answers.text(template, answer) == response + end
            written = tokenizer.decode(answers.ids[template][answer], clean_up_tokenization_spaces=False)
            assert written.strip() == response + end + "<end>"


def test_a_tokenizer_without_an_end_is_an_error():
    tokenizer = train_text_tokenizer(["tea"], 400)
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end token"):
        AnswerSet(tokenizer, FACETS)


def test_answers_may_end_with_an_items_title(tokenizer):
    titles, facet = ["blue kite", "pot <end> two", "third"], np.array([2, 0, -1])
    answers = AnswerSet(tokenizer, FACETS, titles, facet)
    assert [len(row) for row in answers.ids] == [3] * len(RESPONSES) and (answers.named == facet).all()
    assert answers.text(0, 1) == RESPONSES[0].replace("{category}", "tea") + " pot <end> two"
    assert tokenizer.decode(answers.ids[0][0]).startswith(RESPONSES[0].replace("{category}", "kites") + " blue kite")
    found = {leaf for _, leaf in leaves(answers.trie)}
    assert found == {(template, item) for template in range(len(RESPONSES)) for item in range(3)}
    ends = [row[item][-1] for row in answers.ids for item in range(3)]
    assert set(ends) == {tokenizer.eos_token_id}
