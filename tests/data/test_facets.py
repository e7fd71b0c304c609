import numpy as np
import pytest

from contrec.data.core import build
from contrec.data.facets import clean_text, make_catalogue, top_tags, with_facets


def interactions(items, tags=None):
    items = np.asarray(items)
    zero = np.zeros(len(items), np.int64)
    return build(zero, items, np.arange(len(items)), ["u"], np.arange(items.max() + 1), tags=tags)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("by\n    \n    Storm City", "by Storm City"),
        ("  <z_start>&amp;</b> ", "<z_start>&amp;</b>"),  # untrusted text stays plain text
        ("a\x00b\u2028c\u00a0d", "a b c d"),
        (None, ""),
        (float("nan"), ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_clean_text(raw, clean):
    assert clean_text(raw) == clean


def test_missing_title_and_category():
    catalogue = make_catalogue(np.array(["7", "8"]), {"7": " \n"}, {}, {"8": ["", "a", "a ", "b"]})
    assert catalogue.titles == ("item 7", "item 8")
    assert catalogue.categories == ((), ("a", "b"))
    made = with_facets(catalogue, interactions([0, 1]))
    assert made.facets == ((), ())
    assert made.gold_answer(0) is None


def test_facets_are_rarest_first_with_the_brand_last():
    ids = np.array([str(i) for i in range(12)])
    categories = {i: ["wide", "narrow"] if int(i) < 6 else ["wide", "single"][: 1 + (i == "11")] for i in ids}
    brands = {i: "Acme" if int(i) < 5 else "Solo" * (i == "9") for i in ids}
    made = with_facets(make_catalogue(ids, {}, brands, categories), interactions(range(12)))
    assert made.answers == ("Acme", "narrow", "wide")  # held by 5, 6 and 12 items; "single" and "Solo" by one
    assert made.facets[0] == ("narrow", "wide", "Acme")
    assert made.facets[9] == made.facets[11] == ("wide",)
    assert made.gold_answer(0) == "narrow"


def test_brand_is_named_once_and_is_the_answer_without_a_category():
    ids = np.array([str(i) for i in range(6)])
    made = with_facets(make_catalogue(ids, {}, dict.fromkeys(ids, "Acme"), {"0": ["Acme"]}), interactions(range(6)))
    assert made.facets == (("Acme",),) * 6
    assert made.gold_answer(3) == "Acme"


def test_top_tags_break_ties_by_name():
    tags = [("rock", "b"), ("rock", "a"), ("c", "d"), ("x",)]
    assert top_tags(interactions([0, 0, 0, 1], tags)) == (("rock", "a", "b"), ("x",))
