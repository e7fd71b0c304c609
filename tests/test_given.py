"""Values given as text are read by the kind that is wanted, and by nothing else."""

import pytest

from contrec.given import KINDS, literal

STRANGE = (
    "1_2",
    "1e3",
    "0x1F",
    "007",
    "True",
    "None",
    "[1]",
    "'a'",
    '"',
    "a\nb",
    "é",
    "{x}",
    "",
    " ",
    "-5",
    "a,b",
    "\\n",
)


@pytest.mark.parametrize("given", STRANGE)
def test_a_text_stays_what_it_is(given):
    assert KINDS["str"][1](given) == given


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("int", "12", 12), ("int", "-3", -3), ("int", " 7 ", 7), ("float", "1e3", 1000.0), ("float", "-0.5", -0.5),
        ("bool", "True", True), ("bool", "false", False), ("list[int]", "[0, 1]", [0, 1]), ("list[int]", "0,1", [0, 1]),
        ("list[int]", "3", [3]), ("list[float]", "0.1, 1e-2", [0.1, 0.01]), ("list[str]", "a, b", ["a", "b"]),
        ("list[str]", '"a,b",c', ["a,b", "c"]), ("list[str]", "['a,b', \"c d \"]", ["a,b", "c d "]),
        ("list[str]", "[1_2, -5]", ["1_2", "-5"]), ("list[str]", "[]", []), ("list[str]", "-1", ["-1"]),
        ("list[str]", '["\\u00e9", "\\""]', ["é", '"']), ("list[int]", "[]", []), ("literal", "{'a': 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_each_kind_is_read(kind, given, value):
    read = KINDS[kind][1](given)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("str", "\udcff"),
        ("int", "1_2"), ("int", "1.0"), ("int", "x"), ("int", ""), ("int", "²"), ("float", "1_2"), ("float", "nan"),
        ("float", "inf"), ("float", "x"), ("bool", "1"), ("bool", "yes"), ("list[int]", "a"), ("list[int]", "1.5"),
        ("list[int]", "1_2"), ("list[str]", ""), ("list[str]", ","), ("list[str]", "a,"), ("list[str]", '"a'),
        ("list[str]", "[print()]"), ("list[str]", "[[1]]"), ("list[str]", "[1, ]]"), ("list[str]", "[1]*9]"),
        ("list[int]", "[" * 5000 + "]"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_kind_is_refused(kind, given):
    with pytest.raises(ValueError):
        KINDS[kind][1](given)


@pytest.mark.parametrize("given", ["(" * 5000, "[" * 200, "1 +", "a b", "\0"])
def test_what_is_no_literal_is_a_text(given):
    assert literal(given) == given
