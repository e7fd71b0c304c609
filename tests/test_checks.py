"""Messages about values: what the value is, what is allowed."""

import pytest

from contrec.checks import in_range, one_of, positive


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
