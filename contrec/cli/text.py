"""How the commands say things: lines, tables, failures; and how they write for spreadsheets.

Ids, titles and messages of libraries come from outside: what would steer a terminal, or turn the direction of writing,
is shown by its escape (``\\x1b``).
"""

from __future__ import annotations

import re
import sys

# control characters but line ends and tabs; marks that turn the direction of writing; halves of characters
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of a formula


def visible(text: str) -> str:
    """``text`` with steering characters as their escapes; line ends and tabs stay."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def table(frame) -> str:
    def cell(value):
        return visible(value).replace("\n", "\\n").replace("\t", "\\t") if isinstance(value, str) else value

    shown = frame.rename(columns=cell)
    texts = [n for n, kind in enumerate(frame.dtypes) if kind.kind not in "biufcmM"]
    for n in texts:
        shown.isetitem(n, frame.iloc[:, n].map(cell))
    return shown.to_string(index=False, na_rep="-", float_format=lambda x: f"{x:.4f}")


def say(text: str) -> None:
    _print(visible(text), sys.stdout)


def hint(text: str) -> None:
    """What is said beside a result, which may go into a pipe."""
    _print(visible(text), sys.stderr)


def warned(message, *where, **line) -> str:
    """A warning as Python's ``warnings.formatwarning`` writes it, in one line."""
    return f"contrec: note: {visible(' '.join(str(message).split()))}\n"


def fail(message: str, status: int = 2) -> int:
    _print(f"contrec: {visible(' '.join(message.split()))}", sys.stderr)
    return status


def _print(text: str, stream) -> None:
    """What the stream's encoding lacks is written as its escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def for_spreadsheets(frame):
    """``frame`` with an apostrophe before every text that a spreadsheet would run as a formula; numbers stay."""

    def cell(value):
        return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value

    safe = frame.copy()
    for n, kind in enumerate(frame.dtypes):
        if kind.kind not in "biufcmM":
            safe.isetitem(n, frame.iloc[:, n].map(cell))
    return safe.rename(columns=cell)
