"""One user's ranking, changed by hand, without any widget: history, settings, and the list that follows from both."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from torch import Tensor

from contrec.asking import Understanding
from contrec.checks import in_range, one_of, positive
from contrec.data.interactions import Cases, Split
from contrec.diffusion.guidance import check_strength
from contrec.diffusion.samplers import SAMPLERS
from contrec.experiments.cases.pages import page_html, table_html, whole_ranking, why
from contrec.network import ESTIMATES
from contrec.recommender import Recommender

KEPT = 64  # histories whose understanding is kept, and preferences


@dataclass(frozen=True)
class Settings:
    """What can be changed without training anew; ranges as in the configs that they come from."""

    text_bonus: float
    estimate: str
    guidance_strength: float
    n_samples: int
    sampler: str
    steps: int

    @classmethod
    def of(cls, recommender: Recommender) -> Settings:
        """The settings that the recommender was fitted with."""
        config, diffusion = recommender.config, recommender.config.diffusion
        return cls(
            config.text_bonus, config.estimate, diffusion.guidance_strength, diffusion.n_samples, diffusion.sampler,
            diffusion.sampler_steps,
        )  # fmt: skip

    def checked(self, longest: int, p_uncond: float) -> Settings:
        """The same settings.

        Args:
            longest: steps of a walk at most.
            p_uncond: share of conditions that training dropped; without any there is no guidance.

        Raises:
            ValueError: for a value out of its range.
        """
        in_range("text_bonus", self.text_bonus, 0, 1)
        one_of("estimate", self.estimate, ESTIMATES)
        check_strength(self.guidance_strength, p_uncond)
        positive("n_samples", self.n_samples)
        one_of("sampler", self.sampler, SAMPLERS)
        in_range("steps", self.steps, 1, longest)
        return self

    def sampling(self) -> dict:
        """Arguments of :meth:`Recommender.preference`; the point estimate depends on none of them but its name."""
        if self.estimate == "point":
            return {"estimate": "point"}
        names = ("estimate", "guidance_strength", "sampler", "steps")
        n_samples = {"n_samples": self.n_samples} if self.estimate == "mean" else {}
        return {name: getattr(self, name) for name in names} | n_samples


class BrowserState:
    """A user's history, the settings, and the ranking that follows from both.

    A history is read by the language model once and kept; settings of the diffusion need a new preference, the text
    bonus only a new ranking.

    Attributes:
        user: original id.
        history: item indices, oldest first; never empty.
        target: index of the user's first test target, None for somebody without one.
        settings: see :class:`Settings`.

    Args:
        recommender: fitted.
        split: the data it was fitted on; test cases give histories and targets.
        user: original id; the first test user where None.
        k: length of the shown list.
    """

    def __init__(self, recommender: Recommender, split: Split, user: str | None = None, k: int = 10):
        positive("k", k)
        self.recommender, self.split, self.k = recommender, split, k
        self.settings = Settings.of(recommender)
        self._known: dict[tuple, Understanding] = {}
        self._preferences: dict[tuple, Tensor] = {}
        self.pick(str(split.train.user_ids[split.test.user[0]]) if user is None else user)

    # -- changes ---------------------------------------------------------------------------------------------------

    def pick(self, user: str) -> None:
        """Go to a user: the history before the first test target, or all that is known of somebody without one.

        Raises:
            ValueError: for an unknown user; nothing is changed then.
        """
        known = self.recommender.cases_of([user])
        ids, test = self.split.train.user_ids, self.split.test
        rows = np.flatnonzero(ids[test.user] == str(user))
        of = test.select(rows[:1]) if len(rows) else known
        self.user, self.history = str(user), tuple(of.history(0).tolist())
        self.target = int(of.target[0]) if len(rows) else None
        self._own = self.history
        self._before = self._ranks(self.history, Settings.of(self.recommender))

    @property
    def longest(self) -> int:
        """Steps that a sampler can walk at most."""
        diffusion = self.recommender.config.diffusion
        return diffusion.sampler_start or diffusion.timesteps

    @property
    def p_uncond(self) -> float:
        """Share of conditions that training dropped."""
        return self.recommender.config.diffusion.p_uncond

    def change(self, **settings) -> None:
        """Set settings by name; out of range: ValueError, and nothing is changed."""
        self.settings = replace(self.settings, **settings).checked(self.longest, self.p_uncond)

    def remove(self, places) -> None:
        """Take the items at these places (0: the oldest) out of the history."""
        gone = set(places)
        kept = tuple(item for place, item in enumerate(self.history) if place not in gone)
        if not kept:
            raise ValueError("a history needs at least one item: leave one, or add another first")
        self.history = kept

    def add(self, item: int) -> None:
        """Append an item, by its index, as the newest of the history."""
        in_range("item", item, 0, len(self.recommender.catalogue) - 1)
        self.history = (*self.history, int(item))

    def reset(self) -> None:
        """Back to the user's own history and the recommender's own settings."""
        self.history, self.settings = self._own, Settings.of(self.recommender)

    # -- what follows ----------------------------------------------------------------------------------------------

    def search(self, words: str, limit: int = 20) -> list[tuple[str, int]]:
        """(title, index) of the first items whose title holds all the words, in any case; none for no words."""
        wanted = words.casefold().split()
        titles = enumerate(self.recommender.catalogue.titles)
        found = ((title, i) for i, title in titles if all(word in title.casefold() for word in wanted))
        return [pair for pair, _ in zip(found, range(limit), strict=False)] if wanted else []

    def understanding(self) -> Understanding:
        """What the language side makes of the present history."""
        return self._understand(self.history)

    def ranking(self) -> pd.DataFrame:
        """Every unseen item, best first: as :func:`contrec.experiments.cases.pages.whole_ranking`."""
        return self._rank(self.history, self.settings)

    def table(self) -> pd.DataFrame:
        """The first k: rank, before (rank of the item in the user's own history's ranking with the recommender's own
        settings; missing where it was seen then), title, score, cosine, bonus, facets, target ("target" or "")."""
        top = self.ranking().head(self.k)
        facets = self.recommender.catalogue.facets
        return pd.DataFrame(
            {
                "rank": top["rank"],
                "before": pd.array([self._before.get(i) for i in top["index"]], dtype="Int64"),
                **{name: top[name] for name in ("title", "score", "cosine", "bonus")},
                "facets": [", ".join(facets[i][:3]) for i in top["index"]],
                "target": ["target" if i == self.target else "" for i in top["index"]],
            }
        )

    def text(self) -> str:
        """The preference text."""
        known = self.understanding()
        return self.recommender.answers.text(known.template[0], known.answer[0])

    def about_target(self) -> str:
        """Where the target ranks and why, in a sentence or two."""
        if self.target is None:
            return "This user has no test target."
        catalogue = self.recommender.catalogue
        named = self.recommender.answers.values[self.understanding().answer[0]]
        reason = why(self.ranking(), self.target, named, catalogue.facets[self.target])
        return f"Target: {catalogue.titles[self.target]}. {reason}"

    def html(self) -> str:
        """Preference text, list and target, as HTML; titles as text."""
        table = self.table()
        parts = [html.escape(f"User {self.user}, {len(self.history)} items. {self.text()}")]
        parts += [table_html(table.drop(columns="target"), table.target != ""), html.escape(self.about_target())]
        return page_html(parts)

    # -- kept results ----------------------------------------------------------------------------------------------

    def _understand(self, history: tuple) -> Understanding:
        one = Cases.from_histories([history])
        return _kept(self._known, history, lambda: self.recommender.understand(one))

    def _rank(self, history: tuple, settings: Settings) -> pd.DataFrame:
        known, sampling = self._understand(history), settings.sampling()
        key = (history, *sampling.values())
        preference = _kept(self._preferences, key, lambda: self.recommender.preference(known, **sampling))
        one = Cases.from_histories([history])
        return whole_ranking(self.recommender, one, known, preference, settings.text_bonus)

    def _ranks(self, history: tuple, settings: Settings) -> dict[int, int]:
        ranking = self._rank(history, settings)
        return dict(zip(ranking["index"], ranking["rank"], strict=True))


def _kept(kept: dict, key: tuple, make):
    """The value under ``key``, made if need be; the oldest goes when there are more than ``KEPT``."""
    if key not in kept:
        kept[key] = make()
        if len(kept) > KEPT:
            del kept[next(iter(kept))]
    return kept[key]
