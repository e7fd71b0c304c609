"""How the commands say things: lines, tables, failures; and values given as text."""

from __future__ import annotations

import ast
import sys


def literal(text: str):
    """A Python literal where the text is one (numbers, lists, True, None), else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def table(frame) -> str:
    return frame.to_string(index=False, na_rep="-", float_format=lambda x: f"{x:.4f}")


def say(text: str) -> None:
    print(text, flush=True)


def fail(message: str, status: int = 2) -> int:
    print(f"contrec: {' '.join(message.split())}", file=sys.stderr)
    return status
