"""Checks with one kind of message, what the value is and what is allowed; and the error of bad input."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Collection
from numbers import Integral


class DataError(ValueError):
    """Bad input, told in one sentence: what is wrong, in which file and row, and the cure."""


def in_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless ``low <= value <= high`` (NaN and what is no number never do)."""
    try:
        inside = low <= value <= high
    except TypeError:
        raise ValueError(f"{name} must be a number in [{low}, {high}], got {value!r}") from None
    if not inside:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value}")


def positive(name: str, value: int) -> None:
    """Raise ValueError unless ``value`` is a whole number of at least 1."""
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def seed_number(value) -> int:
    """``value`` as Python's whole number, which a seed must be, from 0 to 2**63 - 1; else ValueError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"a seed must be a whole number from 0 to 2**63 - 1, got {value!r}")
    return int(value)


def finite(name: str, value: float, where: str) -> float:
    """``value``, unless it is NaN or infinite: then ValueError, which ends the training that it was met in.

    Args:
        name: of the loss or figure.
        where: the training, and its epoch and step.
    """
    if not math.isfinite(value):
        raise ValueError(
            f"{where}: {name} is {value}, and training on would end in useless weights. Likely causes: a learning rate "
            "that is too high (lower lr), base vectors with NaN or huge values, or half precision (fp16). Checkpoints "
            "of the epochs before stay as they were"
        )
    return value


def one_of(name: str, value, allowed) -> None:
    """Raise ValueError unless ``value`` is among ``allowed``; the nearest of them is named."""
    if value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}{nearest(value, allowed)}"
        )


def nearest(value, allowed) -> str:
    """The end of a message about an unknown name: "; did you mean 'x'?", or "" where nothing is near."""
    names = {str(name).lower(): str(name) for name in reversed(list(allowed))}
    found = difflib.get_close_matches(str(value).lower(), names, n=1)
    return f"; did you mean {names[found[0]]!r}?" if found else ""


def settings_of(function: Callable, *without: str) -> set[str] | None:
    """The names that a function or class takes by keyword, ``without`` some; None where it takes any."""
    taken = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        return None
    return {parameter.name for parameter in taken} - set(without)


def known_settings(of: str, given: Collection[str], known: Collection[str] | None) -> None:
    """Raise ValueError if a name in ``given`` is not among the ``known`` settings of something (None: any may be)."""
    for name in given:
        if known is not None and name not in known:
            have = f"known are {', '.join(sorted(known))}" if known else "there are none"
            raise ValueError(f"unknown setting {name!r} of {of}{nearest(name, known)}; {have}")


def of_kind(name: str, value, kind: type, cure: str) -> None:
    """Raise TypeError unless ``value`` is a ``kind``; the message ends in the ``cure``."""
    if not isinstance(value, kind):
        got = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
        raise TypeError(f"{name} must be of the kind {kind.__name__}, got {got}: {cure}")


def plain_name(what: str, name) -> None:
    """A name that can stand in files and messages: letters, digits and _ . -, and once a / within.

    Raises:
        TypeError: if it is no text.
        ValueError: if it has other characters.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a {what} must be a text, got {name!r}")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
        raise ValueError(f"the name of a {what} may have letters, digits, _ . - and one / within, got {name!r}")
