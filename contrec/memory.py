"""How much is held at once: blocks of rows by their bytes, and a check before something large is made."""

from __future__ import annotations

from contrec.checks import DataError

BLOCK = 2**28  # bytes


def rows_at_once(bytes_per_row: int, at_most: int | None = None) -> int:
    """How many rows a block of :data:`BLOCK` bytes holds, at least 1."""
    rows = max(1, BLOCK // max(1, int(bytes_per_row)))
    return rows if at_most is None else min(rows, at_most)


def require_memory(what: str, needed: float, instead: str) -> None:
    """DataError if ``needed`` bytes are more than this machine has left.

    Args:
        what: the thing that is about to be made, with its size.
        instead: what to use on data of this size.
    """
    import psutil

    left = psutil.virtual_memory().available
    if needed > left:
        raise DataError(
            f"{what} needs up to {needed / 2**30:.1f} GiB of memory and {left / 2**30:.1f} GiB are available: {instead}"
        )
