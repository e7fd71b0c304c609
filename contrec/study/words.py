"""Sentences whose numbers and verdicts come from what was measured: the closing cells of the notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from contrec.evaluation import Evaluation, paired_bootstrap

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
    """A difference in percentage points with its interval: "+2.5 points [+1.0, +4.1]"."""
    return f"{difference:+.1f} points [{low:+.1f}, {high:+.1f}]"


def difference(model: str, against: str, metric: str, difference: float, low: float, high: float) -> str:
    """Whether one model lies above or below another, or cannot be told from it: where its interval holds a zero."""
    lies = "lies above" if low > 0 else "lies below" if high < 0 else "cannot be told from"
    return f"{model} {lies} {against} in {metric}: {points(difference, low, high)}."


def compared(kept: Kept, model: str, against: str, metric: str = "HR@10") -> str:
    """:func:`difference` of two models on the same users, seeds averaged user by user first; paired bootstrap.

    Raises:
        KeyError: if one of the two is not there.
    """
    found = paired_bootstrap(_of(kept, model), _of(kept, against), metric)
    return difference(model, against, metric, *(found[part] for part in ("difference", "low", "high")))


def best(kept: Kept, among: Iterable[str] | None = None, metric: str = "HR@10") -> str:
    """The model with the highest metric, of all or of those ``among`` that are there; seeds averaged.

    Raises:
        ValueError: if none is there.
    """
    names = {name for name, _ in kept}
    names = sorted(names if among is None else names & set(among))
    return max(names, key=lambda name: np.mean([e.metrics()[metric] for e in _of(kept, name)]))


def place(model: str, rank: float, top_k: int = 10) -> str:
    """Where a target stands in a model's ranking, and whether that is a hit; an infinite rank was not ranked."""
    if np.isinf(rank):
        return f"{model} does not rank the target: a miss."
    verdict = f"a hit among the first {top_k}" if rank <= top_k else f"a miss at {top_k}"
    return f"{model} puts the target at place {rank:g}: {verdict}."


def _of(kept: Kept, model: str) -> list[Evaluation]:
    own = [e for (name, _), e in kept.items() if name == model]
    if not own:
        raise KeyError(f"no evaluation of {model!r}; there are: {', '.join(sorted({name for name, _ in kept}))}")
    return own
