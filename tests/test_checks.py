"""Messages about values: what the value is, what is allowed."""

import numpy as np
import pytest

from contrec.checks import finite, in_range, one_of, positive, seed_number


@pytest.mark.parametrize("value", [-0.1, 1.2, float("nan"), float("inf")])
def test_outside_a_range(value):
    with pytest.raises(ValueError, match=rf"mask_ratio must lie in \[0, 1\], got {value}"):
        in_range("mask_ratio", value, 0, 1)


@pytest.mark.parametrize("value", ["a", None, [0.5]])
def test_what_is_no_number_is_a_value_error_too(value):
    with pytest.raises(ValueError, match=r"mask_ratio must be a number in \[0, 1\], got "):
        in_range("mask_ratio", value, 0, 1)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None])
def test_a_count_is_a_whole_number_of_at_least_one(value):
    with pytest.raises(ValueError, match="n_tokens must be a whole number of at least 1, got"):
        positive("n_tokens", value)


@pytest.mark.parametrize("value", [-1, 2**63, 0.0, True, np.True_, "3", None, float("nan"), np.int64(-1)])
def test_a_seed_is_a_whole_number(value):
    with pytest.raises(ValueError, match=r"a seed must be a whole number from 0 to 2\*\*63 - 1, got"):
        seed_number(value)
    for good in (0, 7, 2**63 - 1, np.int64(7), np.uint8(7)):
        assert seed_number(good) == good and type(seed_number(good)) is int


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_says_where_and_why(value):
    with pytest.raises(ValueError, match=f"^phase 2, epoch 3, step 7: the loss 'llm' is {value}, .*lower lr.*fp16"):
        finite("the loss 'llm'", value, "phase 2, epoch 3, step 7")
    assert finite("the loss", 1.5, "here") == 1.5


def test_a_choice_names_what_there_is():
    with pytest.raises(ValueError, match="model must be one of 'a', 'b', got 'c'"):
        one_of("model", "c", ("a", "b"))


def test_the_nearest_name_is_suggested():
    with pytest.raises(
        ValueError, match="model must be one of 'contrec', 'ease', got 'Contrek'; did you mean 'contrec'"
    ):
        one_of("model", "Contrek", ("contrec", "ease"))
    with pytest.raises(ValueError, match="got 'xyz'$"):
        one_of("model", "xyz", ("contrec", "ease"))


def test_good_values_pass():
    in_range("mask_ratio", 0, 0, 1)
    in_range("mask_ratio", 1.0, 0, 1)
    positive("n_tokens", 1)
    one_of("model", "a", ("a", "b"))
