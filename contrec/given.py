"""Values that people give as text, on a command line or as a notebook's parameter: read by the kind that is wanted.

A function for each kind raises ValueError for a text that is not of it; :data:`KINDS` says what is wanted, in words.
"""

from __future__ import annotations

import ast
import csv
import math
import re
from collections.abc import Callable


def text(given: str) -> str:
    """The text itself, whatever it looks like: ``1_2``, ``007``, ``None``; only bytes that are no text are refused."""
    return given.encode().decode()


def whole(given: str) -> int:
    """A whole number in plain digits; ``int`` would also read ``1_2``."""
    if not re.fullmatch(r"[+-]?[0-9]+", given.strip()):
        raise ValueError(f"no whole number: {given!r}")
    return int(given)


def number(given: str) -> float:
    """A finite number."""
    if "_" in given or not math.isfinite(float(given)):
        raise ValueError(f"no number: {given!r}")
    return float(given)


def yes_or_no(given: str) -> bool:
    """``True`` or ``False``, in any case."""
    answers = {"true": True, "false": False}
    if given.strip().lower() not in answers:
        raise ValueError(f"neither True nor False: {given!r}")
    return answers[given.strip().lower()]


def listed(given: str) -> list[str]:
    """Texts separated by commas, or a list such as ``["a", "b"]``.

    A text that holds a comma stands in double quotes (``"a,b",c``), or in a list; blanks around a text belong to it
    only in a list. Numbers in a list are read as they stand there.
    """
    if given.strip().startswith("[") and given.strip().endswith("]"):
        return [str(value) for value in _literals(given)]
    try:
        rows = list(csv.reader(given.splitlines(), skipinitialspace=True, strict=True))
    except csv.Error:
        raise ValueError(f"quotes do not match: {given!r}") from None
    found = [word.strip() for row in rows for word in row]
    if not found or not all(found):
        raise ValueError(f"no texts separated by commas: {given!r}")
    return found


def wholes(given: str) -> list[int]:
    """Whole numbers separated by commas, or a list of them."""
    return [whole(word) for word in listed(given)]


def numbers(given: str) -> list[float]:
    """Finite numbers separated by commas, or a list of them."""
    return [number(word) for word in listed(given)]


def literal(given: str):
    """A Python literal where the text is one (numbers, lists, True, None), else the text itself."""
    try:
        return ast.literal_eval(given)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return given


def _literals(given: str) -> list:
    """Numbers and texts of a Python or JSON list, numbers as they are written."""
    try:
        tree = ast.parse(given.strip(), mode="eval").body
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"no list: {given!r}") from None
    found = []
    for part in tree.elts if isinstance(tree, ast.List) else [tree]:
        written = ast.get_source_segment(given.strip(), part)
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.append(part.value)
        elif written is not None and re.fullmatch(r"[+-]?[\w.]+([eE][+-]?\d+)?", written):
            found.append(written)
        else:
            raise ValueError(f"no list of texts or numbers: {given!r}")
    return found


# Kind -> what is wanted, in words, and how it is read
KINDS: dict[str, tuple[str, Callable]] = {
    "str": ("a text", text),
    "int": ("a whole number", whole),
    "float": ("a number", number),
    "bool": ("True or False", yes_or_no),
    "list[str]": ("texts separated by commas, or a list of them", listed),
    "list[int]": ("whole numbers separated by commas, or a list of them", wholes),
    "list[float]": ("numbers separated by commas, or a list of them", numbers),
    "literal": ("a Python literal, or a text", literal),
}
