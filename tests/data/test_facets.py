import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("  <z_start>&amp;</b> ", "<z_start>&</b>"),  # untrusted text stays plain text
        ("&lt;b&gt; &lt;z_start&gt; &#60;", "<b> <z_start> <"),
        ("AT&amp;T", "AT&T"),
        ("loel&amp;reg; Kirk&amp;#39;s &amp;amp;amp; x", "loel® Kirk's & x"),  # escaped twice, as real files are
        ("&#8482 &#x2122; &eacute;&nbsp;&nbsp;&frac12;", "™ ™ é ½"),
        ("Q&notes ?a=1&copy=2 R&D &nothing; & ; &#; &#xg;", "Q&notes ?a=1&copy=2 R&D &nothing; & ; &#; &#xg;"),
        ("a&#0;b&#27;c&#10;d&#133;e&#x9f;f&#xD800;g&#xFFFFFFFFFF;h", "a bc d…eŸf g h"),
        ("a\ud800b\u202ec\ufeffd", "a b c d"),  # halves of surrogate pairs, signs that turn the writing
        ("&#" + "9" * 5000 + ";", "9" * 200),
        ("&" + "amp;" * 700 + "lt;", "<"),
        ("a\x00b\u2028c\u00a0d", "a b c d"),
        (None, ""),
        (float("nan"), ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_clean_text(raw, clean):
    assert clean_text(raw) == clean


def test_dropped_markup_leaves_entities_text():
    assert clean_text("by <b>A &lt;b&gt; &amp; B</b>", drop_markup=True) == "by A <b> & B"
    assert clean_text("<" * 10_000 + "x>", drop_markup=True)  # in linear time


@given(st.text(st.sampled_from("&#x;38lt amp<>\x00\u202e"), max_size=80), st.integers(1, 30))
def test_cleaning_twice_changes_nothing(raw, limit):
    once = clean_text(raw, limit)
    assert clean_text(once, limit) == clean_text(once) == once
    assert len(once) <= limit and once == once.strip()


@pytest.mark.parametrize("text", ["R&amp;B &#39;n&#39; Soul", "a &lt;z_start&gt; b\x1b[31m"])
def test_every_text_of_a_catalogue_is_cleaned(text):
    made = make_catalogue(np.array(["7"]), {"7": text}, {"7": text}, {"7": [text]})
    assert made.titles[0] == made.brands[0] == made.categories[0][0] == clean_text(text)
    tags = interactions([0], [(text,)])
    assert with_facets(made, tags, 1).answers == (clean_text(text),) and "&amp;" not in clean_text(text)


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
