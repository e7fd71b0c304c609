"""How an object shows itself: one line of text, and in a notebook a table of names and values, escaped."""

from __future__ import annotations

import html

CELL = 80  # characters of a value that a line or a cell shows


class Shown:
    """A subclass says what is to be known of it: :meth:`about` in the line and the table, :meth:`more` in the table."""

    def about(self) -> dict:
        """Few names and values, most telling first."""
        raise NotImplementedError

    def more(self) -> dict:
        """What only the table has room for."""
        return {}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_short(value)}" for name, value in self.about().items())
        return f"{type(self).__name__}({values})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{_cell(name)}</th><td style="text-align:left">{_cell(value)}</td></tr>'
            for name, value in {**self.about(), **self.more()}.items()
        )
        # formulas are not typeset inside: a "$" in a title is a dollar
        return (
            '<div class="tex2jax_ignore mathjax_ignore"><table>'
            f"<caption><b>{type(self).__name__}</b></caption>{rows}</table></div>"
        )


def _short(value) -> str:
    """A value on one line: numbers with the digits that are read, texts quoted and cut."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value) if isinstance(value, bool | int | None) else repr(value)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def _cell(value) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    elif isinstance(value, float):
        value = f"{value:.4g}"
    text = "-" if value is None else str(value)
    return html.escape(text if len(text) <= CELL else text[: CELL - 1] + "…")
