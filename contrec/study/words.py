"""Sentences whose numbers and verdicts come from what was measured: the closing cells of the notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from contrec.evaluation import Evaluation, paired_bootstrap, side
from contrec.study.settings import DETERMINISTIC

Kept = Mapping[tuple[str, int], Evaluation]  # model and seed -> its evaluation


class Closing(str):
    """A few sentences, one a line: plain where text is shown, a list under its heading where a notebook shows them."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return "\n".join(["**What this shows**\n", *(f"- {line}" for line in self.splitlines())])


def closing(*sentences: str) -> Closing:
    """Sentences as the last value of a notebook; empty ones are left out."""
    return Closing("\n".join(sentence for sentence in sentences if sentence))


def points(difference: float, low: float, high: float) -> str:
    """A difference in percentage points with its interval: "+2.51 points [+1.03, +4.12]"."""
    return f"{difference:+.2f} points [{low:+.2f}, {high:+.2f}]"


def verdict(low: float, high: float) -> str:
    """A difference in a word, by its interval: "ahead" above 0, "behind" below it, "level" where it holds 0.

    Every such word of the study comes from here (those against print from :func:`contrec.papers.published.verdict`,
    by the same rule, :func:`contrec.evaluation.side`).
    """
    return {1: "ahead", -1: "behind", 0: "level"}[side(low, high)]


def against(low: float, high: float) -> str:
    """:func:`verdict` before the name of what is compared with."""
    return {"ahead": "ahead of", "behind": "behind", "level": "level with"}[verdict(low, high)]


def counted(rows: pd.DataFrame) -> str:
    """How many differences (columns low and high) have each verdict: "ahead in 2 of 5, level in 1, behind in 2"."""
    found = [verdict(*ends) for ends in zip(rows.low, rows.high, strict=True)]
    ahead, level, behind = map(found.count, ("ahead", "level", "behind"))
    return f"ahead in {ahead} of {len(found)}, level in {level}, behind in {behind}"


def trainings(model: str, n: int) -> str:
    """Over how many trainings a model's rate is taken; of one the noise of training is not known, and it says so."""
    return "1, users only" if n == 1 and not _untrained(model) else str(n)


def interval_over(*models: tuple[str, int]) -> str:
    """What an interval of models, each with its number of trainings, is over: "users, 3 trainings", or "users only"
    where one of them was trained once and the noise of its training is not known; "users" where nothing is trained."""
    n = min((n for model, n in models if not _untrained(model)), default=0)
    return {0: "users", 1: "users only"}.get(n, f"users, {n} trainings")


def _untrained(model: str) -> bool:
    """Whether a model, or one whose ranking it is ("ease/seen-kept"), is the same for every seed."""
    return any(model == name or model.startswith(f"{name}/") for name in DETERMINISTIC)


def difference(model: str, other: str, metric: str, difference: float, low: float, high: float) -> str:
    """Whether one model is ahead of another, behind it or level with it, by :func:`verdict`."""
    return f"{model} is {against(low, high)} {other} in {metric}: {points(difference, low, high)}."


def compared(kept: Kept, model: str, other: str, metric: str = "HR@10") -> str:
    """:func:`difference` of two models on the same users, seeds averaged user by user first; paired bootstrap.

    Raises:
        KeyError: if one of the two is not there.
    """
    found = paired_bootstrap(of_model(kept, model), of_model(kept, other), metric)
    return difference(model, other, metric, *(found[part] for part in ("difference", "low", "high")))


def best(kept: Kept, among: Iterable[str] | None = None, metric: str = "HR@10") -> str:
    """The model with the highest metric, of all or of those ``among`` that are there; seeds averaged.

    Raises:
        ValueError: if none is there.
    """
    names = {name for name, _ in kept}
    names = sorted(names if among is None else names & set(among))
    return max(names, key=lambda name: np.mean([e.metrics()[metric] for e in of_model(kept, name)]))


def place(model: str, rank: float, top_k: int = 10) -> str:
    """Where a target stands in a model's ranking, and whether that is a hit; an infinite rank was not ranked."""
    if np.isinf(rank):
        return f"{model} does not rank the target: a miss."
    verdict = f"a hit among the first {top_k}" if rank <= top_k else f"a miss at {top_k}"
    return f"{model} puts the target at place {rank:g}: {verdict}."


def of_model(kept: Kept, model: str) -> list[Evaluation]:
    """A model's evaluations, by seed.

    Raises:
        KeyError: if there is none.
    """
    own = [kept[key] for key in sorted(key for key in kept if key[0] == model)]
    if not own:
        raise KeyError(f"no evaluation of {model!r}; there are: {', '.join(sorted({name for name, _ in kept}))}")
    return own
