"""Range and choice checks with one kind of message: what the value is, what is allowed."""

from __future__ import annotations

import difflib


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


def one_of(name: str, value, allowed) -> None:
    """Raise ValueError unless ``value`` is among ``allowed``; the nearest of them is named."""
    if value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}{nearest(value, allowed)}"
        )


def nearest(value, allowed) -> str:
    """The end of a message about an unknown name: "; did you mean 'x'?", or "" where nothing is near."""
    found = difflib.get_close_matches(str(value).lower(), [str(name) for name in allowed], n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
