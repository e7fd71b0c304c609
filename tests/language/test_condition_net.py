"""f_c: pooling that sees real positions only."""

from __future__ import annotations

import pytest
import torch

from contrec.language.condition_net import ConditionNet, make_condition_net


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


def test_the_mean_is_squashed_and_reads_real_positions_only():
    states, mask = torch.randn(3, 4, 6), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)
    net = make_condition_net("mean", 6, 9, 1, 64)
    c = net(states, mask)
    assert net.shape == (1, 6) and not list(net.parameters())
    torch.testing.assert_close(c[0, 0], states[0, :2].mean(0).sigmoid())
    torch.testing.assert_close(c[2, 0], states[2, 0].sigmoid())


def test_mixing_along_the_length_has_the_released_sizes():
    # counted on the released modules: 64 positions of 2,048 to 4 x 512; 32 positions to 1 x 2,048
    with torch.device("meta"):
        wide, narrow = (
            make_condition_net("length_mlp_wide", 2048, 512, 1, 32),
            make_condition_net("length_mlp", 2048, 512, 4, 64),
        )
    assert sum(p.numel() for p in wide.parameters()) == 1_089 and wide.shape == (1, 2048)
    assert sum(p.numel() for p in narrow.parameters()) == 1_053_508 and narrow.shape == (4, 512)


@pytest.mark.parametrize("kind", ["length_mlp", "length_mlp_wide"])
def test_padding_and_what_lies_beyond_the_length_change_nothing(kind):
    torch.manual_seed(0)
    net = make_condition_net(kind, 6, 5, 2, 3).eval()
    states, mask = torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)
    c = net(states, mask)
    assert c.shape == (2, *net.shape) and (c >= 0).all()
    torch.testing.assert_close(net(states[:, :3], mask[:, :3]), c)
    shorter = mask.clone()
    shorter[:, 2:] = False
    torch.testing.assert_close(net(states, shorter), net(states[:, :2], mask[:, :2]))
    assert not torch.allclose(net(states, shorter), c)
