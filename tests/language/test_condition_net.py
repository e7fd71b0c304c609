"""f_c: pooling that sees real positions only."""

from __future__ import annotations

import pytest
import torch

from contrec.language.condition_net import ConditionNet


@pytest.fixture
def states():
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_vectors", [1, 4])
def test_padding_does_not_matter(states, n_vectors):
    torch.manual_seed(1)
    net = ConditionNet(8, 6, n_vectors)
    torch.nn.init.normal_(net.queries.weight)
    mask = torch.arange(5) < torch.tensor([2, 5, 1])[:, None]
    c = net(states, mask)
    assert c.shape == (3, n_vectors, 6)
    other = torch.where(mask[..., None], states, 1e3 * torch.ones_like(states))
    torch.testing.assert_close(net(other, mask), c)
    torch.testing.assert_close(net(states[:1, :2], mask[:1, :2]), c[:1])
    assert not torch.allclose(net(states, torch.ones_like(mask))[0], c[0])


def test_one_vector_starts_as_the_mean(states):
    net = ConditionNet(8, 6, 1)
    mask = torch.arange(5) < torch.tensor([2, 5, 1])[:, None]
    normed = torch.nn.functional.layer_norm(states, (8,))
    mean = torch.stack([normed[0, :2].mean(0), normed[1].mean(0), normed[2, 0]])
    torch.testing.assert_close(net(states, mask)[:, 0], net.project(mean))


def test_several_vectors_start_different(states):
    with torch.no_grad():
        c = ConditionNet(8, 6, 4)(states, torch.ones(3, 5, dtype=torch.bool))
    assert float(c.std(dim=1).min()) > 0


def test_gradient_reaches_every_part(states):
    net = ConditionNet(8, 6, 4)
    states.requires_grad_(True)
    net(states, torch.ones(3, 5, dtype=torch.bool)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters()) and states.grad.abs().sum() > 0
