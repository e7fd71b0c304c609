"""Pieces of the report's HTML: tables, figures, interval charts. Everything that comes from outside is escaped.

A table of a notebook is read cell by cell and written anew, so that no tag, style or script of it gets through.
"""

from __future__ import annotations

import base64
import html
import math
import re
from html.parser import HTMLParser

import pandas as pd

VERDICTS = {  # word of a verdict: how its mark looks
    "within": "good", "above": "up", "below": "down", "holds": "good", "does not hold": "down", "open": "open",
    "ahead": "up", "behind": "down", "level": "good", "not run": "none", "not published": "mute", "stopped": "down",
}  # fmt: skip
_NUMBER = re.compile(r"[-+−]?[.,]?\d[\d.,]*(e[-+]?\d+)?%?( ?[±(\[].*)?", re.I)
_BREAK = re.compile(r"\s+|(?<=[/_])").split  # where a line of a cell may end
_EMPTY = ("", "-", "–", "nan", "NaN", "None", *VERDICTS)
WIDTH = 860  # pixels that a table has on a screen of 1280
SHORT = 12  # letters of a number that is not broken into lines where cells are joined
LETTER, GAP = 8.6, 17  # pixels of a letter, and around the words of a cell
IMAGES = ("svg+xml", "png")


def text(value) -> str:
    """Any value as text that HTML reads as text."""
    return html.escape(str(value), quote=True)


class _Tables(HTMLParser):
    """Every ``<table>`` of a page as rows of (is a heading, colspan, rowspan, text), and how many rows are its head."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tables: list[tuple[list, int]] = []
        self.rows, self.cell, self.head, self.silent = None, None, False, 0

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "style"):
            self.silent += 1
        elif tag == "table":
            self.rows, self.heads = [], 0
        elif self.rows is None:
            return
        elif tag in ("thead", "tbody"):
            self.head = tag == "thead"
        elif tag == "tr":
            self._close_cell()
            self.rows.append([])
            self.heads += self.head
        elif tag in ("th", "td") and self.rows:
            self._close_cell()
            span = {k: int(v) for k, v in attrs if k in ("colspan", "rowspan") and (v or "").isdecimal()}
            self.cell = [tag == "th", span.get("colspan", 1), span.get("rowspan", 1), ""]
        elif tag == "br" and self.cell:
            self.cell[3] += " "

    def handle_data(self, data):
        if self.cell and not self.silent:
            self.cell[3] += data

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.silent = max(0, self.silent - 1)
        elif tag in ("th", "td", "tr", "table"):
            self._close_cell()
        if tag == "table" and self.rows is not None:
            self.tables.append(([row for row in self.rows if row], self.heads))
            self.rows = None

    def _close_cell(self):
        if self.cell and self.rows:
            self.rows[-1].append((*self.cell[:3], " ".join(self.cell[3].split())))
        self.cell = None


def tables(source: str, caption: str, fold: int | None = None) -> str:
    """The tables of a notebook's output as the report's own, in boxes that scroll sideways where the screen is narrow.

    Args:
        source: HTML of unknown origin.
        caption: what the table shows; read out, and the name of the box.
        fold: a table with more rows opens at a touch only; None: none does.
    """
    reader = _Tables()
    reader.feed(source)
    reader.close()
    shown = [(_written(rows, heads, caption), len(rows) - heads) for rows, heads in reader.tables]
    long = [fold is not None and n > fold for _, n in shown]
    return "".join(details(f"{caption} ({n} rows)", s) if f else s for (s, n), f in zip(shown, long, strict=True))


def table(frame: pd.DataFrame, caption: str, digits: int = 4, fold: int | None = None) -> str:
    """A frame as a table of the report; an index of mere numbers is left out, ``fold`` is that of :func:`tables`."""
    with pd.option_context("display.max_colwidth", None):
        numbered = isinstance(frame.index, pd.RangeIndex)
        source = frame.to_html(index=not numbered, na_rep="–", float_format=lambda x: f"{x:.{digits}g}")
    return tables(source, caption, fold)


def folded(frame: pd.DataFrame, caption: str) -> str:
    """As :func:`table`, under its caption, which opens it at a touch."""
    return table(frame, caption, fold=0)


def _written(rows: list, heads: int, caption: str) -> str:
    """One table; what is too wide for a screen goes on below, with what tells its rows apart repeated."""
    rows, heads = _tidy(rows, heads)
    numeric = _numeric(rows, heads)
    if numeric is None:
        return _box(rows, heads, numeric, caption)
    parts = _split(rows, heads, numeric)
    if len(parts) > 1 and not _apart(rows[heads:]):  # then a number does
        numbers = ["row"] * heads + [str(n + 1) for n in range(len(rows) - heads)]
        rows = [[(True, 1, 1, number), *row] for number, row in zip(numbers, rows, strict=True)]
        numeric = _numeric(rows, heads)
        parts = _split(rows, heads, numeric)
    boxes = []
    for columns in parts:
        own = {n for n, column in enumerate(columns) if column in numeric}
        name = caption + (", continued" if boxes else "")
        boxes.append(_box([[row[n] for n in columns] for row in rows], heads, own, name))
    return "".join(boxes)


def _box(rows: list, heads: int, numeric: set[int] | None, caption: str) -> str:
    lines = [_row(row, n < heads, numeric) for n, row in enumerate(rows)]
    name, head, body = text(caption), "".join(lines[:heads]), "".join(lines[heads:])
    inner = f"<table><caption>{name}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="Table: {name}">{inner}</div>'


def _apart(body: list) -> int:
    """How many columns at the left tell the rows apart, at most three; 0: these do not."""
    cells = [[cell[3] for cell in row] for row in body]
    columns = range(1, min(len(cells[0]) if cells else 0, 3) + 1)
    return next((n for n in columns if len({tuple(row[:n]) for row in cells}) == len(cells)), 0)


def _split(rows: list, heads: int, numeric: set[int]) -> list[list[int]]:
    """Columns that stand beside each other on a screen: by the longest words in each, and numbers that stay whole."""
    widths = []
    for n in range(len(rows[0]) if rows else 0):
        cells = [row[n][3] for row in rows]
        whole = cells[heads:] if n in numeric else []
        words = [*whole, *(word for cell in cells[: len(cells) - len(whole)] for word in _BREAK(cell))]
        widths.append(LETTER * max(map(len, words), default=0) + GAP)
    again = list(range(_apart(rows[heads:]) or 1))
    parts, used = [[]], 0.0
    for n, width in enumerate(widths):
        if len(parts[-1]) > len(again) and used + width > WIDTH:
            parts.append(list(again))
            used = sum(widths[n] for n in again)
        parts[-1].append(n)
        used += width
    return parts


def _tidy(rows: list, heads: int) -> tuple[list, int]:
    """Without what a frame writes for itself: a second line of the head for the index's name, and row numbers."""
    if heads == 2 and len(rows[0]) == len(rows[1]) and not any(a[3] and b[3] for a, b in zip(*rows[:2], strict=True)):
        rows, heads = [[a if a[3] else b for a, b in zip(*rows[:2], strict=True)], *rows[2:]], 1
    first = [row[0] for row in rows[heads:]]
    start = int(first[0][3]) if first and first[0][3].isdecimal() else 0
    if (
        heads == 1
        and not rows[0][0][3]
        and [c[::3] for c in first] == [(True, str(start + n)) for n in range(len(first))]
    ):
        rows = [row[1:] for row in rows]
    return rows, heads


def _numeric(rows: list, heads: int) -> set[int] | None:
    """Columns of numbers, which stand on the right; None in a table with joined cells."""
    if len({len(row) for row in rows}) > 1 or any(cell[1:3] != (1, 1) for row in rows for cell in row):
        return None
    columns = [[row[n][3] for row in rows[heads:]] for n in range(len(rows[0]) if rows else 0)]
    filled = [[words for words in column if words not in _EMPTY] for column in columns]
    return {n for n, words in enumerate(filled) if words and all(map(_NUMBER.fullmatch, words))}


def _row(row: list, head: bool, numeric: set[int] | None) -> str:
    cells = []
    for n, (heading, columns, height, words) in enumerate(row):
        tag, scope = ("th", ' scope="col"' if head else ' scope="row"') if heading else ("td", "")
        number = len(words) <= SHORT and _NUMBER.fullmatch(words) if numeric is None else n in numeric
        kind = "num" if number else ""
        shown = "–" if words in ("NaN", "nan") else text(words)
        if words in VERDICTS:
            shown = mark(words)
        else:  # a long name breaks where it is joined
            shown = re.sub("(?<=[/_])", "<wbr>", shown)
        spans = "".join(f' {k}="{v}"' for k, v in (("colspan", columns), ("rowspan", height)) if v > 1)
        look = f' class="{kind}"' if kind else ""
        cells.append(f"<{tag}{scope}{spans}{look}>{shown}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def mark(word: str) -> str:
    """A verdict as a coloured mark; no word, no mark."""
    return f'<span class="mark {VERDICTS.get(word, "none")}">{text(word)}</span>' if word else ""


def figure(data: bytes, kind: str, alt: str, caption: str) -> str:
    """An image inside the page.

    Args:
        kind: one of ``IMAGES``.
        alt: text for those who cannot see it (escaped here).
        caption: HTML.
    """
    if kind not in IMAGES:
        raise ValueError(f"kind must be one of {', '.join(IMAGES)}, got {kind!r}")
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    image = f'<div class="paper"><img src="{source}" alt="{text(alt)}"></div>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def intervals(groups: dict[str, list[dict]], caption: str) -> str:
    """A chart that is a table: a row per model with its dot and interval, printed values hollow.

    Args:
        groups: heading of a group -> rows with label, kind (a class of colour), value, low, high and published; None
            or NaN where there is none. Rates in 0..1.
        caption: HTML.
    """
    given = [r[k] for rows in groups.values() for r in rows for k in ("value", "high", "published") if _there(r[k])]
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if max(given, default=0.0) / s <= 4)
    top = step * max(1, math.ceil(max(given, default=0.0) / step))
    place = lambda x: f"{100 * x / top:.2f}%"  # noqa: E731
    ticks = [step * n for n in range(round(top / step) + 1)]
    axis = "".join(f'<span style="left:{place(x)}">{_short(x, 2)}</span>' for x in ticks)
    lines = []
    for heading, rows in groups.items():
        name = f'<th colspan="4" scope="rowgroup" role="rowheader">{text(heading)}</th>'
        lines.append(f'<tbody role="rowgroup"><tr class="group" role="row">{name}</tr>')
        for r in rows:
            marks = ""
            if _there(r["low"]):
                width = f"left:{place(r['low'])};width:{place(r['high'] - r['low'])}"
                marks += f'<span class="bar" style="{width}"></span>'
            for name, kind in (("published", "ring"), ("value", "dot")):
                if _there(r[name]):
                    marks += f'<span class="{kind}" style="left:{place(r[name])}"></span>'
            numbers = "".join(f'<td class="num" role="cell">{_short(r[k])}</td>' for k in ("value", "published"))
            track = f'<div class="track" style="--step:{place(step)}" aria-hidden="true">{marks}</div>'
            name = f'<th scope="row" role="rowheader">{text(r["label"])}</th>'
            lines.append(f'<tr class="{text(r["kind"])}" role="row">{name}<td role="cell">{track}</td>{numbers}</tr>')
        lines.append("</tbody>")
    column = '<th scope="col" role="columnheader">{}</th>'.format
    scale = f'<td role="cell"><div class="axis" aria-hidden="true">{axis}</div></td>'
    head = f'<tr role="row">{column("model")}{scale}{column("here")}{column("in print")}</tr>'
    head = f'<caption>{caption}</caption><thead role="rowgroup">{head}</thead>'
    return f'<table class="chart" role="table">{head}{"".join(lines)}</table>'


def _there(value) -> bool:
    return value is not None and not math.isnan(value)


def _short(value, digits: int = 4) -> str:
    """A rate without its leading zero, as papers print it; "–" where there is none."""
    return f"{value:.{digits}f}".removeprefix("0") if _there(value) else "–"


def plain(markdown: str) -> str:
    """The words of a piece of Markdown on one line: marks of emphasis, links and headings are left out."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"^#+ |[*`$]|\\[a-z]+ ?", "", words, flags=re.M).split())


def details(summary: str, inner: str) -> str:
    """HTML that opens at a touch, under a summary (escaped here)."""
    return f'<details class="wide"><summary>{text(summary)}</summary>{inner}</details>'
