"""What the model did in one test case, as a page: history, text, list with the parts of each score, path, and why."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from contrec import plots
from contrec.asking import Understanding
from contrec.data.interactions import Cases, Split
from contrec.experiments.cases.rules import TOP
from contrec.recommender import Recommender
from contrec.study.show import history_table, path_among_items


def whole_ranking(
    recommender: Recommender, one: Cases, known: Understanding, preference: Tensor, text_bonus: float | None = None
) -> pd.DataFrame:
    """Every unseen item for a single case, best first: as :meth:`Recommender.ranked`, with the column index."""
    unseen = len(recommender.catalogue) - len(np.unique(one.history(0)))
    frame = recommender.ranked(one, unseen, known, preference, text_bonus)
    index = {item: i for i, item in enumerate(recommender.catalogue.item_ids)}
    return frame.drop(columns="case").assign(index=[index[item] for item in frame["item"]])


def why(ranking: pd.DataFrame, target: int, named: str, facets: tuple[str, ...]) -> str:
    """Why the target stands where it stands, in two sentences of numbers (plain text)."""
    place = np.flatnonzero(ranking["index"] == target)
    if not len(place):
        return "The target stands in the history, so it cannot be recommended."
    row, last = ranking.iloc[place[0]], ranking.iloc[min(TOP, len(ranking)) - 1]
    alone = 1 + int((ranking.cosine > row.cosine).sum())
    text = f"Rank {int(row['rank'])} of {len(ranking)}: score {row.score:.3f}, that of rank {int(last['rank'])} is "
    text += f"{last.score:.3f}; by cosine alone ({row.cosine:.3f}) rank {alone}. "
    if named in facets:
        return text + f"The text names {named!r}, which the target has: its bonus is π = {row.bonus:.2f}."
    return text + f"The text names {named!r}; the target is {', '.join(facets[:3]) or 'without a facet'}: no bonus."


@dataclass(frozen=True)
class CaseStudy:
    """One test case as a page shows it; in a notebook it is drawn as HTML, titles always as text.

    Attributes:
        name: the rule that took it.
        rule: the rule's words.
        user: original id; "" where no case qualifies, and everything below is then empty.
        history: as :func:`contrec.study.show.history_table`, newest last, then the target.
        text: the preference text.
        top: rank, item, title, score, cosine, bonus, facets of the top 10, and of the target if it is not among them.
        target: item id of the target.
        why: where the target ranks and why.
        path: arguments of ``plots.denoising_path``.
        preference: what the list is ranked by, (d,), or None if it is the end of the path.
    """

    name: str
    rule: str
    user: str = ""
    history: pd.DataFrame | None = None
    text: str = ""
    top: pd.DataFrame | None = None
    target: str = ""
    why: str = ""
    path: tuple = ()
    preference: np.ndarray | None = None

    def figure(self, subtitle: str = ""):
        """The denoising path among the items (``plots.denoising_path``); None where no case qualifies."""
        if not self.user:
            return None
        return plots.denoising_path(*self.path, preference=self.preference, subtitle=subtitle)[0]

    def __repr__(self) -> str:
        if not self.user:
            return f"{self.name}: no case ({self.rule})"
        return "\n".join(
            [f"{self.name}: user {self.user} ({self.rule})", self.history.to_string(index=False), self.text,
             self.top.to_string(index=False), self.why]
        )  # fmt: skip

    def _repr_html_(self) -> str:
        head = f"<b>{html.escape(self.name)}</b> ({html.escape(self.rule)})"
        if not self.user:
            return f"<div>{head}: no test case qualifies.</div>"
        history = table_html(self.history, self.history.place == "target")
        top = table_html(self.top, self.top.item == self.target)
        beside = "".join(f'<div style="overflow:auto;max-height:26em">{table}</div>' for table in (history, top))
        parts = [
            f"{head}: user {html.escape(self.user)}",
            f'<div style="display:flex;flex-wrap:wrap;gap:1.5em">{beside}</div>',
            f"<i>{html.escape(self.text)}</i>", html.escape(self.why),
        ]  # fmt: skip
        return page_html(parts)


def page_html(parts: list[str]) -> str:
    """Pieces of HTML below each other. Formulas are not typeset inside: a "$" in a title is a dollar."""
    return '<div class="tex2jax_ignore mathjax_ignore">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def table_html(frame: pd.DataFrame, marked=None, digits: int = 3) -> str:
    """A frame as an HTML table, every cell as text; rows where ``marked`` is true stand out."""
    marked = np.zeros(len(frame), bool) if marked is None else np.asarray(marked)
    numbers = [pd.api.types.is_numeric_dtype(frame[c]) for c in frame]

    def cell(value, number: bool, tag: str = "td") -> str:
        shown = "-" if pd.isna(value) else f"{value:.{digits}f}" if isinstance(value, float) else str(value)
        look = f"text-align:{'right' if number else 'left'};padding:2px 8px"
        return f'<{tag} style="{look}">{html.escape(shown)}</{tag}>'

    lines = ["".join(cell(c, n, "th") for c, n in zip(frame, numbers, strict=True))]
    lines += ["".join(cell(v, n) for v, n in zip(row, numbers, strict=True)) for row in frame.itertuples(index=False)]
    look = ["", *(' style="font-weight:bold;background:rgba(213,94,0,0.18)"' if m else "" for m in marked)]
    rows = "".join(f"<tr{style}>{line}</tr>" for style, line in zip(look, lines, strict=True))
    return f'<table style="margin:4px 0;border-collapse:collapse;line-height:1.4">{rows}</table>'


def case_study(recommender: Recommender, split: Split, chosen: pd.DataFrame, rule: str) -> CaseStudy:
    """The case that a rule took, with everything that a page shows of it.

    Args:
        chosen: as :func:`contrec.experiments.cases.rules.chosen_cases` returns it.
        rule: one of its rows.
    """
    words = f"{chosen.qualifies[rule]}; first: {chosen['taken first'][rule]}"
    case = int(chosen.case[rule])
    return CaseStudy(rule, words) if case < 0 else describe_case(recommender, split, case, rule, words)


def describe_case(recommender: Recommender, split: Split, case: int, name: str, rule: str) -> CaseStudy:
    """What the recommender makes of one test case."""
    one, catalogue = split.test.select([case]), split.catalogue
    known = recommender.understand(one)
    preference = recommender.preference(known)
    ranking = whole_ranking(recommender, one, known, preference)
    target = int(one.target[0])
    shown = ranking[(ranking["rank"] <= TOP) | (ranking["index"] == target)]
    facets = [", ".join(catalogue.facets[i][:3]) for i in shown["index"]]
    return CaseStudy(
        name=name,
        rule=rule,
        user=str(split.train.user_ids[one.user[0]]),
        history=history_table(split, split.test, case),
        text=shown.text.iloc[0],
        top=shown[["rank", "item", "title", "score", "cosine", "bonus"]].assign(facets=facets).reset_index(drop=True),
        target=str(catalogue.item_ids[target]),
        why=why(ranking, target, recommender.answers.values[known.answer[0]], catalogue.facets[target]),
        path=path_among_items(recommender, split, case, recommender.denoising_path(known)),
        preference=None if recommender.config.estimate == "sample" else preference[0].cpu().numpy(),
    )
