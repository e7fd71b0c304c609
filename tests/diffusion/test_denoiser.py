from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from contrec.diffusion import Denoiser, DiffusionConfig, NoiseSchedule
from contrec.diffusion.denoiser import frequencies

SCHEDULE = NoiseSchedule("linear", 1000)


def make(head="plain", dim=12, **settings):
    torch.manual_seed(0)
    return Denoiser(dim, SCHEDULE, width=24, head=head, **settings).eval()


def inputs(n=6, dim=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    c, y, user = torch.randn(n, 4, dim, generator=g), torch.randn(n, dim, generator=g), torch.randn(n, dim, generator=g)
    return y, torch.randint(1, 1001, (n,), generator=g), c, user


def trained(network):
    """Weights away from their start at zero."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.1 * torch.randn(p.shape, generator=g)
    return network


@pytest.mark.parametrize("head", ["plain", "direct"])
def test_permuting_the_batch_permutes_the_answer(head):
    network, (y, t, c, user) = trained(make(head)), inputs()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    out, h = network(y, t, network.encode(c, user))
    out2, h2 = network(y[order], t[order], network.encode(c[order], user[order]))
    assert out.shape == (6, 12) and h.shape == (6, 24)
    torch.testing.assert_close(out2, out[order])
    torch.testing.assert_close(h2, h[order])


@pytest.mark.parametrize("head", ["plain", "direct"])
def test_everything_given_is_used_and_every_weight_is_trained(head):
    network, (y, t, c, user) = trained(make(head)), inputs()
    given = [x.requires_grad_() for x in (y, c, user)]
    out, _ = network(y, t, network.encode(c, user))
    out.square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in given[: 3 if head == "direct" else 2])
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle in ([], ["direct.unknown_user"])
    other, _ = network(y, t % 1000 + 1, network.encode(c, user))
    assert not torch.allclose(out, other)


def test_order_of_condition_vectors_matters():
    network, (y, t, c, _) = trained(make()), inputs()
    assert not torch.allclose(network(y, t, network.encode(c))[0], network(y, t, network.encode(c.flip(1)))[0])


def test_one_shared_step_is_that_step_for_every_row():
    network, (y, _, c, user) = trained(make("direct")), inputs()
    condition = network.encode(c, user)
    shared, each = torch.tensor([700]), torch.full((6,), 700)
    torch.testing.assert_close(network(y, shared, condition)[0], network(y, each, condition)[0])


def test_direct_head_starts_at_the_user_token():
    network, (y, t, c, user) = make("direct"), inputs()
    out, _ = network(y, t, network.encode(c, user))
    torch.testing.assert_close(out, math.sqrt(12) * user / user.norm(dim=1, keepdim=True))


def test_length_of_the_user_token_does_not_matter():
    network, (y, t, c, user) = trained(make("direct")), inputs()
    out, _ = network(y, t, network.encode(c, user))
    torch.testing.assert_close(network(y, t, network.encode(c, 50 * user))[0], out, rtol=1e-4, atol=1e-5)


def test_direct_head_is_its_query_at_pure_noise_and_no_longer_below():
    network, (y, _, c, user) = trained(make("direct")), inputs()
    condition = network.encode(c, user)
    assert condition.query.norm(dim=1).tolist() == pytest.approx([math.sqrt(12)] * 6, rel=1e-5)
    assert torch.equal(network(y, torch.tensor([1000]), condition)[0], condition.query)
    assert (network(y, torch.tensor([100]), condition)[0] - condition.query).abs().min(1).values.max() > 1e-3


def test_noisy_input_counts_as_w_says():
    w, a = make("direct").direct.weight, SCHEDULE.alpha_bar
    assert w[0] == 1 and w[-1] == 0 and w[899] == pytest.approx(math.sqrt(a[899]) / (1 - a[899].item()), rel=1e-5)


def test_unknown_user_has_a_direction_and_a_bounded_gradient():
    network, (y, t, c, user) = make("direct"), inputs()
    none, _ = network(y, t, network.encode(c))
    zeros, _ = network(y, t, network.encode(c, 0 * user))
    assert torch.equal(none, zeros) and none.norm(dim=1).min() > 3
    none.sum().backward()
    assert all(p.grad.abs().max() < 1e3 for p in network.parameters() if p.grad is not None)


def test_condition_repeats_and_joins_rows():
    network, (_, _, c, user) = trained(make("direct")), inputs()
    condition = network.encode(c, user)
    twice = condition.repeat(2)
    assert torch.equal(twice.query[2], condition.query[1]) and torch.equal(twice.fused[3], condition.fused[1])
    assert torch.equal(condition.join(condition).fused[6:], condition.fused)


def test_bad_shapes_are_named():
    network, (_, _, c, user) = make(), inputs()
    with pytest.raises(ValueError, match=r"c must have shape \(B, 4, 12\)"):
        network.encode(c[:, :3])
    with pytest.raises(ValueError, match="user must have shape"):
        network.encode(c, user[:2])
    with pytest.raises(ValueError, match="head must be one of"):
        make("indirect")


@pytest.mark.parametrize("head", ["plain", "direct"])
def test_the_network_written_out(head):
    network, (y, t, c, user) = trained(make(head)), inputs()
    vector = network.norm(network.encoder(c + network.positions).mean(1))
    angle = t[:, None] * 10_000.0 ** (-torch.arange(12) / 12)  # wavelengths from 2 pi to 2 pi 10^4 steps
    wave = torch.cat([angle.sin(), angle.cos()], 1)
    h = F.gelu(network.project_in(y) + network.fuse_condition(vector) + network.fuse_time(wave))
    x = h
    for block in network.blocks:
        norm, first, gelu, dropout, second = block
        x = x + second(dropout(gelu(first(norm(x)))))
    expected = network.project_out(x)
    if head == "direct":
        one, a = F.normalize(user, dim=1) * math.sqrt(12), SCHEDULE.alpha_bar[t - 1, None].float()
        query = F.normalize(one + network.direct.learned(torch.cat([vector, one], 1)), dim=1) * math.sqrt(12)
        g1, g2 = network.direct.gains
        expected = query + (a.sqrt() / (1 - a)).clamp(max=1) * (g1 * y + g2 * query + expected)
    got, state = network(y, t, network.encode(c, user))
    torch.testing.assert_close(state, h, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_waves_are_as_long_for_any_number_of_steps_and_any_width():
    torch.testing.assert_close(frequencies(24, 100), 10 * frequencies(24, 1000))
    assert len(frequencies(25, 1000)) == 13 and frequencies(24, 1000)[0] == 1
    network, (y, t, c, _) = Denoiser(12, SCHEDULE, width=25), inputs()
    assert network(y, t, network.encode(c))[1].shape == (6, 25)


def test_a_condition_is_mapped_only_where_its_length_differs():
    network, (y, t, _, _) = Denoiser(12, SCHEDULE, width=24, condition_dim=20), inputs()
    assert network(y, t, network.encode(torch.ones(6, 4, 20)))[0].shape == (6, 12)
    same = Denoiser(300, SCHEDULE, width=8, condition_dim=int("300"))
    assert not [name for name, _ in same.named_parameters() if "condition_in" in name]


@pytest.mark.parametrize("setting", [{"dim": 0}, {"width": 0}, {"n_condition": 0}, {"dropout": 1.1}])
def test_sizes_are_checked(setting):
    name = next(iter(setting))
    with pytest.raises(ValueError, match=f"{name} must"):
        Denoiser(**{"dim": 12, "schedule": SCHEDULE, **setting})


def test_unless_told_otherwise_the_network_is_as_wide_and_deep_as_the_settings():
    made, settings = Denoiser(12, SCHEDULE), DiffusionConfig()
    assert (made.width, len(made.blocks), made.n_condition) == (settings.width, settings.n_blocks, 4)
    assert {m.p for m in made.modules() if isinstance(m, torch.nn.Dropout)} == {settings.dropout}
