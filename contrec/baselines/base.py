"""What every baseline has in common: it says kindly that it is not fitted."""

from __future__ import annotations


class Baseline:
    """A model with ``fit(split)`` and ``score(cases)``."""

    def __getattr__(self, name: str):
        hint = "" if name.startswith("__") else ": it is not fitted yet, call fit(split) first"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")
