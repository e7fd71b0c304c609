"""Blocks give what the whole gives, and what would not fit is told before it is made."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from contrec import baselines, embeddings, memory
from contrec.checks import DataError
from contrec.diffusion import Diffusion, DiffusionConfig, samplers
from contrec.experiments.sweep.head_only import changed
from contrec.network import Network


def test_a_block_has_a_row_at_least():
    assert memory.rows_at_once(2**20) == 256 and memory.rows_at_once(2**20, at_most=7) == 7
    assert memory.rows_at_once(2**40) == 1 and memory.rows_at_once(0) == memory.BLOCK


@pytest.mark.parametrize("trajectory", [False, True])
@pytest.mark.parametrize(
    "settings", [{}, {"head": "direct", "prediction_type": "sample", "objective": "cross_entropy"}]
)
def test_samples_in_blocks_are_those_of_the_whole(settings, trajectory, monkeypatch):
    torch.manual_seed(0)
    config = DiffusionConfig(timesteps=20, sampler_steps=4, width=8, n_blocks=1, null_condition="learned", **settings)
    model, c, user = Diffusion(6, config, n_condition=2).eval(), torch.randn(11, 2, 6), torch.randn(11, 6)
    user = user if settings else None
    asked = {
        "user": user,
        "seeds": torch.arange(11),
        "items": torch.randn(9, 6),
        "n_samples": 3,
        "trajectory": trajectory,
    }
    whole, rows = model.sample(c, **asked), []
    streams = samplers.noise_streams
    monkeypatch.setattr(
        samplers, "noise_streams", lambda seeds, *rest: rows.append(len(seeds)) or streams(seeds, *rest)
    )
    monkeypatch.setattr(memory, "BLOCK", 4 * 3 * (4 * 6 + 16 * 8) * 4)  # four users
    torch.testing.assert_close(model.sample(c, **asked), whole, atol=1e-6, rtol=1e-6)
    assert rows == [12, 12, 9]


def test_token_tables_and_rankings_in_blocks_are_those_of_the_whole(fitted, planted_split, monkeypatch):
    cases, network = planted_split.test.select(slice(9)), fitted.network
    known = fitted.understand(cases)
    models = [changed(fitted, replace(fitted.config, score=score)) for score in ("cosine", "euclidean")]
    rank = lambda: [model.ranked(cases, 5, known, known.users) for model in models]  # noqa: E731
    whole = rank()
    monkeypatch.setattr(memory, "BLOCK", 8 * planted_split.n_items * 4)  # four cases, one item
    for part, one in zip(rank(), whole, strict=True):
        assert (part[["case", "item", "text"]] == one[["case", "item", "text"]]).all(axis=None)
        np.testing.assert_allclose(part[["score", "cosine", "bonus"]], one[["score", "cosine", "bonus"]], atol=1e-5)
    again = Network(
        fitted.config, network.user_model, network.item_tokenizer, network.user_tokenizer, fitted.embeddings.items
    )
    torch.testing.assert_close(again.item_tokens, network.item_tokens, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "fit, what, instead",
    [
        (baselines.make("ease").fit, "EASE for 64 items", "itemknn"),
        (baselines.make("itemknn").fit, "ItemKNN for 64 items", "popularity"),
        (baselines.make("transitions").fit, "ItemKNN for 64 items", "popularity"),
        (lambda split: embeddings.make("relation", split, relation="ease"), "80 users x 64 items", "neighbours"),
    ],
)
def test_what_does_not_fit_is_told_before_it_is_made(fit, what, instead, planted_split, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10_000))
    with pytest.raises(
        DataError, match=rf"{what} needs up to 0.0 GiB of memory and 0.0 GiB are available: use .*{instead}"
    ):
        fit(planted_split)


def test_the_bound_on_pairs_is_one(planted_split):
    from contrec.relations import interaction_matrix, pairs

    matrix = interaction_matrix(planted_split.train)
    for part in (matrix, matrix[:3]):
        assert (part.T @ part).nnz <= pairs(part) <= 64**2
    assert pairs(matrix[:1]) == matrix[0].nnz ** 2
