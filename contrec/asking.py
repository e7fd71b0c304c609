"""What a fitted recommender is asked: what it understands of cases, what it would rather have, what it ranks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from contrec.checks import of_kind, one_of, positive
from contrec.data.interactions import Cases, Catalogue, history_seed
from contrec.data.training_cases import shuffled
from contrec.embeddings import Embeddings
from contrec.language import PROMPTS, AnswerSet, LanguageConfig, PromptBuilder
from contrec.memory import rows_at_once
from contrec.network import ESTIMATES, Network, RecommenderConfig
from contrec.retriever import FacetIndex, TopK, hybrid_scores, hybrid_topk


@dataclass
class Understanding:
    """What the language side makes of cases: the diffusion's inputs and the preference text.

    Attributes:
        condition: c, (B, M, d).
        users: base vectors of the users, (B, d).
        template, answer: indices of the preference text, (B,).
        facet: number of the facet that the text names, (B,), -1 for none.
        seeds: one noise seed per case, from its history, so that a case's noise does not depend on its batch.
    """

    condition: Tensor
    users: Tensor
    template: np.ndarray
    answer: np.ndarray
    facet: np.ndarray
    seeds: Tensor


def shown(cases: Cases, language: LanguageConfig, order: np.random.Generator | np.ndarray) -> Cases:
    """The cases as the prompt shows them: the newest items in random order, where the config says so.

    Args:
        order: in training a stream to draw from, else the seed of each case, (B,).
    """
    if not language.shuffle_history:
        return cases
    seeds = order if isinstance(order, np.ndarray) else order.integers(2**62, size=len(cases))
    return shuffled(cases, language.history_cap, seeds)


class Askable:
    """The questions that a fitted recommender answers, from the parts that it was fitted or loaded with.

    Attributes:
        config: what was fitted.
        device: where it runs.
        catalogue, user_ids, sequences: the items, original ids of users, and one case a user with all that is known.
        embeddings: base vectors.
        prompts, answers, facet_index: the fixed texts, and which items an answer names.
        network: phase 2.
    """

    config: RecommenderConfig
    device: torch.device
    catalogue: Catalogue
    user_ids: np.ndarray
    sequences: Cases
    embeddings: Embeddings
    prompts: PromptBuilder
    answers: AnswerSet
    facet_index: FacetIndex
    network: Network

    def item_vectors(self) -> Tensor:
        """Base vectors of the items where the model runs, (m, d)."""
        return self.embeddings.items.to(self.device)

    @torch.no_grad()
    def understand(self, cases: Cases, batch_size: int = 64, held_out: bool = False) -> Understanding:
        """Prompts, preference texts and conditions of cases.

        Results depend on order and batch size by rounding alone: in fp32 less than 1e-6 of a state's length, so that a
        text could differ only where two tokens are equally likely to as many digits.

        But for rounding: a matrix product of other shape adds its terms in another order. Measured in float32: scores
        differ by up to 3e-7, which can only reorder items that are as near to each other.

        Args:
            held_out: for training cases: base vectors of users that do not know the user's own rows.
        """
        users = self.embeddings.users(cases, held_out=held_out).to(self.device)
        order = np.argsort(np.minimum(cases.lengths, self.config.language.history_cap), kind="stable")
        seeds = np.array([history_seed(cases.history(i)) for i in range(len(cases))], dtype=np.int64)
        parts = []
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            seen = shown(cases.select(rows), self.config.language, seeds[rows])
            prompts = self.prompts.build(seen, seeds[rows] % len(PROMPTS))
            seed = torch.from_numpy(seeds[rows])
            parts.append(self.network.condition(prompts, users[torch.from_numpy(rows)], seed))
        back = np.argsort(order)
        condition = torch.cat([part[0] for part in parts])[torch.from_numpy(back)]
        template, answer = (np.concatenate([part[n] for part in parts])[back] for n in (1, 2))
        facet = self.answers.named[answer]
        return Understanding(condition, users, template, answer, facet, torch.from_numpy(seeds))

    def preference(self, known: Understanding, estimate: str | None = None, **sampling) -> Tensor:
        """The preference vectors y, (B, d).

        Args:
            estimate: "sample", one drawn vector, as both papers have it; "mean" of ``n_samples`` draws, our addition;
                "point". The config's where None.
            **sampling: n_samples, sampler, steps, guidance_strength; the config's where absent.

        Returns:
            Vectors as they are drawn; where the cosine ranks, draws are brought to length 1, so that a mean ranks by
            the draws' mean cosine, as it does by their mean inner product or squared distance where these rank.
        """
        estimate = estimate or self.config.estimate
        one_of("estimate", estimate, ESTIMATES)
        users = known.users if self.config.residual else None
        if estimate == "point":
            return self.network.diffusion.point(known.condition, user=users)
        if estimate == "sample":
            sampling["n_samples"] = 1
        drawn = self.network.diffusion.sample(
            known.condition, user=users, seeds=known.seeds, items=self.item_vectors(), **sampling
        )
        if self.config.score == "cosine":
            drawn = nn.functional.normalize(drawn, dim=-1)
        return drawn.mean(dim=1)

    def denoising_path(self, known: Understanding, **sampling) -> Tensor:
        """The way from noise to the first case's preference, (steps + 1, d); sampling as in :meth:`preference`."""
        users = known.users[:1] if self.config.residual else None
        path = self.network.diffusion.sample(
            known.condition[:1],
            user=users,
            seeds=known.seeds[:1],
            items=self.item_vectors(),
            n_samples=1,
            trajectory=True,
            **sampling,
        )
        return path[:, 0, 0].cpu()

    def score(self, cases: Cases) -> Tensor:
        """Hybrid scores (Eq. 22) of the whole catalogue, (B, m)."""
        known = self.understand(cases)
        return self.scores_of(self.preference(known), known.facet)

    def scores_of(self, preference: Tensor, facet: np.ndarray | None, score: str | None = None) -> Tensor:
        """Eq. (22) for given preferences (B, d) and named facets (B,); without facets the plain cosine.

        Args:
            score: of :func:`contrec.retriever.hybrid_scores`; the config's where None.
        """
        match, score = None, score or self.config.score
        if facet is not None:
            match = self.facet_index.match(facet, len(self.catalogue)).to(self.device)
        return hybrid_scores(preference, self.item_vectors(), match, self.config.text_bonus, score)

    def recommend(self, user=None, k: int = 10, *, history: Sequence | None = None):
        """Top-k items for a known user (original id) or a history of original item ids, oldest first.

        Returns:
            DataFrame of k rows: case (always 0), rank, item, title, score, cosine, bonus, text (the preference text).
            Where fewer items are left that the user has not taken, those, with a warning.

        Raises:
            ValueError: for an unknown user or item, or an empty history.
        """
        if (user is None) == (history is None):
            raise ValueError("give either a user or a history, not both and not neither")
        cases = self.cases_of([user]) if history is None else Cases.from_histories([self._indices_of(history)])
        return self.recommend_cases(cases, k)

    def recommend_cases(self, cases: Cases, k: int):
        """As :meth:`recommend` for many cases at once; column "case" counts them."""
        of_kind("cases", cases, Cases, "make them with cases_of(users), or take those of split.test")
        positive("k", k)
        known = self.understand(cases)
        return self.ranked(cases, k, known, self.preference(known))

    def ranked(self, cases: Cases, k: int, known: Understanding, preference: Tensor, text_bonus: float | None = None):
        """The table of :meth:`recommend_cases` from preferences (B, d): what is understood once can be ranked often.

        Args:
            known: the understanding of ``cases``.
            text_bonus: pi of Eq. (22); the config's where None.
        """
        import pandas as pd

        positive("k", k)
        m, bonus = len(self.catalogue), self.config.text_bonus if text_bonus is None else text_bonus
        left = m - np.diff(cases.history_matrix(m).indptr)
        if (left < k).any():
            who = "the user has" if len(cases) == 1 else f"{(left < k).sum()} of {len(cases)} users have"
            least = "" if len(cases) == 1 else " at the least"
            warnings.warn(
                f"k is {k}, but {who} {left.min()} of {m} items left{least} that they have not taken: lists end there",
                stacklevel=3,
            )
        top = self._topk(preference, known.facet, cases, np.minimum(k, left), bonus)
        texts = [self.answers.text(t, a) for t, a in zip(known.template, known.answer, strict=True)]
        ids = top.ids.cpu().numpy()
        case, place = np.nonzero(ids >= 0)
        ids = ids[case, place]
        return pd.DataFrame(
            {
                "case": case,
                "rank": place + 1,
                "item": self.catalogue.item_ids[ids],
                "title": [self.catalogue.titles[i] for i in ids],
                **{name: getattr(top, name).cpu().numpy()[case, place] for name in ("score", "cosine", "bonus")},
                "text": [texts[i] for i in case],
            }
        )

    def _topk(self, preference: Tensor, facet: np.ndarray, cases: Cases, k: np.ndarray, text_bonus: float) -> TopK:
        """The k best unseen items of each case, k (B,); a shorter list is filled up with item -1."""
        lengths, block = np.unique(k), rows_at_once(8 * len(self.catalogue))
        if len(lengths) == 1 and lengths[0] and len(cases) <= block:
            return self._topk_alike(preference, facet, cases, int(lengths[0]), text_bonus)
        shape = len(cases), int(lengths.max(initial=0))
        ids = torch.full(shape, -1, dtype=torch.int64, device=preference.device)
        whole = TopK(ids, *(preference.new_zeros(shape) for _ in range(3)))
        for length in lengths[lengths > 0]:
            alike = np.flatnonzero(k == length)
            for rows in np.split(alike, range(block, len(alike), block)):
                at = torch.from_numpy(rows).to(preference.device)
                part = self._topk_alike(preference[at], facet[rows], cases.select(rows), int(length), text_bonus)
                for column, own in zip(whole, part, strict=True):
                    column[at, : int(length)] = own
        return whole

    def _topk_alike(self, preference: Tensor, facet: np.ndarray, cases: Cases, k: int, text_bonus: float) -> TopK:
        """Lists of one length; "cosine" stays the cosine where something else is ranked by."""
        seen, items = cases.history_matrix(len(self.catalogue)), self.item_vectors()
        if self.config.score == "cosine":
            return hybrid_topk(
                preference, items, k, facet=facet, facet_items=self.facet_index, seen=(seen.indptr, seen.indices),
                text_bonus=text_bonus,
            )  # fmt: skip
        scores = self.scores_of(preference, facet)
        rows = torch.from_numpy(np.repeat(np.arange(len(cases)), np.diff(seen.indptr))).to(scores.device)
        scores[rows, torch.from_numpy(seen.indices.astype(np.int64)).to(scores.device)] = -torch.inf
        score, ids = scores.topk(k)
        cosine = nn.functional.cosine_similarity(preference[:, None], items[ids], dim=2)
        return TopK(ids, score, cosine, torch.zeros_like(score))

    def cases_of(self, users: Sequence) -> Cases:
        """Cases with everything known of users, by original id."""
        number = {str(user): n for n, user in enumerate(self.user_ids)}
        unknown = [str(user) for user in users if str(user) not in number]
        if unknown:
            raise ValueError(
                f"unknown user {unknown[0]!r}: give one of the {len(number)} users of the data, such as "
                f"{self.user_ids[0]}, or a history of items"
            )
        return self.sequences.select(np.array([number[str(user)] for user in users]))

    def _indices_of(self, history: Sequence) -> np.ndarray:
        if not len(history):
            raise ValueError("the history is empty: give at least one item id")
        number = {str(item): n for n, item in enumerate(self.catalogue.item_ids)}
        unknown = [str(item) for item in history if str(item) not in number]
        if unknown:
            raise ValueError(
                f"unknown items in the history: {', '.join(unknown[:5])}; item ids are those of the catalogue, "
                f"such as {self.catalogue.item_ids[0]}"
            )
        return np.array([number[str(item)] for item in history])
