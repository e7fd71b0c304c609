from __future__ import annotations

import pytest
import torch

from contrec.diffusion import NoiseSchedule, NullCondition, epsilon_to_x0, guide, noise_streams, row_seeds


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_guidance_is_eq_21_and_identity_at_zero():
    a, b = torch.randn(2, 5, 3, generator=rng())
    assert torch.equal(guide(a, b, 0.0), a)
    torch.testing.assert_close(guide(a, b, 2.0), 3 * a - 2 * b)
    torch.testing.assert_close(guide(a, a, 7.0), a)


def test_guiding_epsilon_and_guiding_x0_is_the_same():
    y, e1, e0 = torch.randn(3, 5, 3, generator=rng(), dtype=torch.float64)
    t, abar = torch.tensor([400]), NoiseSchedule().alpha_bar
    on_x0 = guide(epsilon_to_x0(y, t, e1, abar), epsilon_to_x0(y, t, e0, abar), 2.0)
    torch.testing.assert_close(epsilon_to_x0(y, t, guide(e1, e0, 2.0), abar), on_x0)


def test_random_null_is_standard_normal_and_drawn_anew():
    null, c = NullCondition("random", 4, 16), torch.zeros(500, 4, 16)
    g = rng()
    first, second = null.draw(c, g), null.draw(c, g)
    assert abs(first.mean()) < 0.02 and abs(first.std() - 1) < 0.02 and not torch.equal(first, second)
    assert not list(null.parameters())


def test_learned_null_is_one_trained_vector():
    null, c = NullCondition("learned", 4, 16), torch.zeros(5, 4, 16)
    drawn = null.draw(c, rng())
    assert torch.equal(drawn[0], drawn[4]) and torch.equal(drawn, null.streams(torch.arange(5), "cpu"))
    drawn.sum().backward()
    assert null.vector.grad.abs().sum() > 0


def test_null_streams_belong_to_the_row():
    null, seeds = NullCondition("random", 2, 8), row_seeds(1, torch.arange(6))
    whole = null.streams(seeds, "cpu")
    assert torch.equal(null.streams(seeds[[4, 1]], "cpu"), whole[[4, 1]]) and whole.shape == (6, 2, 8)
    # of its own for each user, and unrelated to the noise that the same seed starts sampling from
    assert len(whole.flatten(1).unique(dim=0)) == 6
    assert not torch.isclose(whole.flatten(1), noise_streams(seeds, 0, 16)[0]).any()


def test_conditions_are_dropped_with_their_probability():
    null, c = NullCondition("random", 2, 3), torch.full((5000, 2, 3), 9.0)
    mixed, dropped = null.drop(c, 0.1, rng())
    assert dropped.float().mean().item() == pytest.approx(0.1, abs=0.015)  # s.e. .004
    assert torch.equal(mixed[~dropped], c[~dropped]) and not (mixed[dropped] == 9).any()
    assert torch.equal(null.drop(c, 0.0, rng())[0], c)
    assert null.drop(c, 1.0, rng())[1].all()


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="null_condition must be one of 'random', 'learned', got 'zero'"):
        NullCondition("zero", 4, 8)
