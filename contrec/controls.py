"""What a model is measured against on its own embeddings: its estimates, and the model with one part taken away.

A number above popularity proves nothing. Each variant here answers "what did this part add?" on the same fitted model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrec.asking import Understanding
from contrec.checks import finite
from contrec.data.interactions import Cases, Split
from contrec.data.training_cases import training_cases
from contrec.diffusion import Diffusion
from contrec.evaluation import evaluate
from contrec.recommender import Recommender


@dataclass
class Variant:
    """Preferences computed beforehand for known cases, behind the protocol's ``score``.

    Attributes:
        recommender: fitted; gives items, facets and the text bonus.
        rows: row of each case's history.
        preference: (n, d).
        facet: named facet per row, or None to rank without the text.
        by: what ranks, of :data:`contrec.retriever.SCORES`; None: what ranks for the recommender.
    """

    recommender: Recommender
    rows: dict[bytes, int]
    preference: Tensor
    facet: np.ndarray | None
    by: str | None = None

    def score(self, cases: Cases) -> Tensor:
        rows = np.array([self.rows[cases.history(i).tobytes()] for i in range(len(cases))])
        facet = None if self.facet is None else self.facet[rows]
        return self.recommender.scores_of(self.preference[torch.from_numpy(rows)], facet, self.by)


def variants(
    recommender: Recommender, split: Split, cases: Cases, *, seed: int = 0, n_samples: int = 32, name: str = "contrec"
) -> dict[str, Variant]:
    """The estimates and controls of a fitted recommender on ``cases``.

    Returns:
        By name after ``name``:
        "" (the recipe's own estimate), "/point", "/one-sample", "/mean-of-<n>" (other answers of the same diffusion),
        "/no-text-bonus" (pi = 0),
        "/permuted-condition" (condition and text of another user),
        "/direct-head" (a head without diffusion, trained on the same frozen conditions; not after a refit, where no
        validation case is left that chooses its epoch),
        "/user-token" (the user's base vector alone: no LLM, no diffusion),
        "/mean-history" (mean of the history's item vectors).
        These three are directions, and so ranked by the cosine even where the recipe ranks by something else.
    """
    known = recommender.understand(cases)
    rows = {cases.history(i).tobytes(): i for i in range(len(cases))}
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(cases))).to(known.condition.device)
    other = replace(known, condition=known.condition[order], facet=known.facet[order.cpu().numpy()])
    preference = recommender.preference
    own = preference(known)
    made = {
        "": (own, known.facet),
        "/point": (preference(known, "point"), known.facet),
        "/one-sample": (preference(known, "sample"), known.facet),
        f"/mean-of-{n_samples}": (preference(known, "mean", n_samples=n_samples), known.facet),
        "/no-text-bonus": (own, None),
        "/permuted-condition": (preference(other), other.facet),
        "/user-token": (known.users, None, "cosine"),
        "/mean-history": (mean_history(recommender, cases), None, "cosine"),
    }
    if len(split.validation):
        made["/direct-head"] = direct_head(recommender, split, seed=seed)(known), known.facet, "cosine"
    return {name + suffix: Variant(recommender, rows, *variant) for suffix, variant in made.items()}


def mean_history(recommender: Recommender, cases: Cases) -> Tensor:
    """Mean of the normalised item vectors of each visible history, (B, d)."""
    items = F.normalize(recommender.embeddings.items, dim=1)
    matrix = cases.history_matrix(len(items))
    return torch.from_numpy(np.asarray(matrix @ items.numpy())).to(recommender.device)


def direct_head(recommender: Recommender, split: Split, *, seed: int = 0, epochs: int = 30, lr: float = 1e-3):
    """A head of the same shape without diffusion, trained with cross-entropy on the recommender's frozen conditions.

    It is the diffusion head kept at t = T, where its input is noise alone; validation cases choose the epoch.

    Returns:
        A function from an :class:`Understanding` to preferences (B, d), of which the direction counts.
    """
    config, residual = recommender.config, recommender.config.residual
    shape = replace(
        config.diffusion,
        head="direct",
        prediction_type="sample",
        objective="cross_entropy",
        terminal_share=1.0,
        p_uncond=0.0,
        guidance_strength=0.0,
        pairing="own",  # a control of what the condition says: with all pairs a head learns nothing from it
        noise_draws=1,  # at t = T the noise changes nothing, so one draw says what several do
    )
    training = config.training
    cases = training_cases(split, training.cases, 2 * training.cases_per_user, np.random.default_rng([seed, 0]))
    known = recommender.understand(cases, held_out=True)
    target = torch.from_numpy(cases.target).to(recommender.device)
    valid = recommender.understand(split.validation)
    valid_rows = {split.validation.history(i).tobytes(): i for i in range(len(split.validation))}
    items = recommender.embeddings.items.to(recommender.device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = Diffusion(items.shape[1], shape, *known.condition.shape[1:]).to(recommender.device)
        optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=training.weight_decay)
        generator = torch.Generator(device=items.device).manual_seed(seed)

        def preferences(understanding: Understanding) -> Tensor:
            return head.point(understanding.condition, user=understanding.users if residual else None)

        best, kept = -1.0, None
        for epoch in range(1, epochs + 1):
            head.train()
            for batch in torch.randperm(len(cases), generator=generator, device=items.device).split(128):
                losses = head.losses(
                    items[target[batch]], known.condition[batch], user=known.users[batch] if residual else None,
                    items=items, target=target[batch], generator=generator,
                )  # fmt: skip
                optimizer.zero_grad(set_to_none=True)
                losses["diffusion"].backward()
                optimizer.step()
            finite("the loss 'diffusion'", float(losses["diffusion"].detach()), f"direct head, epoch {epoch}")
            head.eval()
            variant = Variant(recommender, valid_rows, preferences(valid), valid.facet, "cosine")
            value = evaluate(variant, split.validation).metrics()["NDCG@10"]
            if value > best:
                best, kept = value, {name: tensor.clone() for name, tensor in head.state_dict().items()}
    head.load_state_dict(kept)
    return preferences
