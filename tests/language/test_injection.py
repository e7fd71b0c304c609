"""Token injection: a scatter, a scale, and a width that has to fit."""

from __future__ import annotations

import pytest
import torch

from contrec.language.injection import TokenInjector


@pytest.mark.parametrize("project", [False, True])
def test_scatter_equals_a_loop(project):
    torch.manual_seed(0)
    injector = TokenInjector(6, 6, project)
    injector.scale.fill_(1.7)
    embeds, tokens, slots = torch.randn(2, 5, 6), torch.randn(4, 6), torch.tensor([7, 0, 9, 3])
    expected = embeds.clone()
    for token, slot in zip(tokens, slots.tolist(), strict=True):
        expected[slot // 5, slot % 5] = injector.project(token * 1.7)
    filled = injector(embeds, tokens, slots)
    torch.testing.assert_close(filled, expected)
    assert filled is embeds  # in place: nothing is copied


def test_gradient_reaches_tokens_map_and_the_other_embeddings():
    injector = TokenInjector(3, 6, project=True)
    embeds, tokens = torch.randn(1, 4, 6, requires_grad=True), torch.randn(1, 3, requires_grad=True)
    injector(1 * embeds, tokens, torch.tensor([2])).square().sum().backward()
    assert tokens.grad.abs().sum() > 0 and injector.project.weight.grad.abs().sum() > 0
    assert (embeds.grad.abs().sum(-1) > 0).tolist() == [[True, True, False, True]]


def test_scale_matches_the_size_of_the_embeddings():
    injector = TokenInjector(4, 4, project=False)
    tokens, embeddings = 5 * torch.randn(30, 2, 4), 0.02 * torch.randn(99, 4)
    injector.match(tokens, embeddings)
    values = injector(torch.zeros(1, 60, 4), tokens.flatten(0, 1), torch.arange(60))
    assert float(values.square().mean().sqrt()) == pytest.approx(float(embeddings.square().mean().sqrt()), rel=1e-5)
    assert "scale" in injector.state_dict()  # it belongs to what is saved


def test_widths_must_fit_without_a_map():
    with pytest.raises(ValueError, match="token_dim 4 differs from the backbone's width 8: set token_dim=8 or project"):
        TokenInjector(4, 8, project=False)
