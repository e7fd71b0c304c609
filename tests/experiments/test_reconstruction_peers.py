"""The comparison at equal rates: formulas with known answers, what no peer may see, and the planted truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from contrec.data.interactions import Cases
from contrec.diffusion import NoiseSchedule
from contrec.experiments.reconstruction import peers
from contrec.experiments.reconstruction.peers import (
    FAMILIES,
    Budget,
    Judge,
    MeanHistory,
    Peer,
    channel_bits,
    step_of,
)

SMALL = Budget(width=16, steps=30, batch_size=32, lr=3e-3)
RATES = (4, 8)


@pytest.fixture(scope="module")
def world():
    """60 vectors of six dimensions in four clusters, and cases whose histories stay in one cluster."""
    rng = np.random.default_rng(0)
    cluster = np.arange(60) % 4
    x = torch.from_numpy(3 * rng.normal(size=(4, 6))[cluster] + rng.normal(size=(60, 6))).float()
    x = (x - x.mean(0)) / x.std(0, unbiased=False)
    own = [np.flatnonzero(cluster == u % 4) for u in range(20)]
    histories = [rng.permutation(items)[:5] for items in own]
    cases = Cases.from_histories([h[:-1] for h in histories], user=np.arange(20))
    cases.target[:] = [h[-1] for h in histories]
    return x, cases, cluster


def test_quantizers_and_autoencoder_are_laid_out_for_the_rates():
    for rate in (16, 64):
        grid = {p.family: p.settings for p in peers.grid((rate,)) if p.family != "diffusion"}
        assert all(grid[kind]["n_codes"] * math.log2(grid[kind]["n_entries"]) == rate for kind in ("vq", "rq", "mq"))
        assert grid["autoencoder"]["latent"] * grid["autoencoder"]["bits"] == rate
    assert {p.family for p in peers.grid()} == set(FAMILIES)


def test_residual_levels_have_the_latent_of_the_other_quantizers():
    for peer in peers.grid():
        if peer.family in ("vq", "rq"):
            model = peers.build(peer, 6, 100, Budget())
            latent = model.encoders[0][-1].out_features
            assert latent >= 4 * peer.settings["n_codes"]


def test_every_peer_gets_the_same_steps_and_widths():
    budget = Budget(steps=100, batch_size=10)
    assert budget.epochs(100) == 10 and budget.epochs(1000) == 1 and budget.epochs(95) == 10
    for peer in peers.grid((16,)):
        if peer.family != "diffusion":
            config = peers.build(peer, 6, 100, budget).config
            assert (config.width, config.epochs, config.batch_size, config.lr) == (256, 10, 10, 1e-3)


def test_channel_capacity():
    schedule = NoiseSchedule("linear", 1000)
    t = step_of(32, 64, schedule)
    a = schedule.at(t)
    assert channel_bits(t, 64, schedule) == pytest.approx(32 * math.log2(1 + a / (1 - a)))
    assert abs(channel_bits(t, 64, schedule) - 32) < 0.5  # SNR 1: half a bit per dimension
    assert step_of(64, 64, schedule) < t < step_of(8, 64, schedule)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_trained_and_measured(world, family):
    x, cases, facets = world
    peer = next(p for p in peers.grid(RATES, bits_per_code=2) if p.family == family)
    result = peers.run(peer, x, cases, facets, RATES, seed=0, budget=SMALL)
    again = peers.run(peer, x, cases, facets, RATES, seed=0, budget=SMALL)
    assert len(result.rows) == (8 if family == "diffusion" else 1)
    assert len(result.steps) == SMALL.epochs(54) * 2 and result.steps[-5:].mean() < result.steps[:5].mean()
    for row, same in zip(result.rows, again.rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in same.items() if k != "seconds"}
        assert 0 <= row["overlap"] <= 1 and 0 <= row["HR@10 low"] <= row["HR@10"] <= row["HR@10 high"] <= 1
    np.testing.assert_array_equal(result.steps, again.steps)


def test_held_out_items_reach_no_training(world):
    """Altering them leaves every weight, and so every other item's reconstruction error, as it was."""
    x, cases, facets = world
    held_out = np.random.default_rng(0).permutation(len(x)) < 0.1 * len(x)
    other = x.clone()
    other[torch.from_numpy(np.flatnonzero(held_out))] += 5
    for peer in (Peer("vq", {"n_codes": 2, "n_entries": 4}), Peer("diffusion")):
        first, second = (peers.run(peer, v, cases, facets, RATES, 0, SMALL) for v in (x, other))
        np.testing.assert_array_equal(first.steps, second.steps)
        assert first.rows[0]["mse_train"] == pytest.approx(second.rows[0]["mse_train"], rel=1e-5)
        assert second.rows[0]["mse"] > first.rows[0]["mse"]


def test_a_perfect_and_a_useless_reconstruction(world):
    x, cases, _ = world
    train, test = torch.arange(50), torch.arange(50, 60)
    judge = Judge(x, train, test, cases)
    perfect, useless = judge(x), judge(torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    assert (perfect["mse"], perfect["overlap"]) == (0, 1) and perfect["cosine"] == pytest.approx(1)
    assert useless["overlap"] < 0.4 and useless["HR@10"] < perfect["HR@10"] and useless["mse"] > 1
    assert judge(2 * x)["overlap"] == 1 and judge(2 * x)["mse"] > 0  # a matter of direction, and of length


def test_the_fixed_ranker_is_the_cosine_to_the_mean(world):
    x, cases, _ = world
    scores = MeanHistory(x).score(cases)
    unit = torch.nn.functional.normalize(x, dim=1)
    assert torch.equal(scores[3].argsort()[-3:], (unit[cases.history(3)].mean(0) @ unit.T).argsort()[-3:])


def test_a_known_facet_helps_where_the_channel_says_little(world):
    x, cases, facets = world
    budget = Budget(width=32, steps=600, batch_size=32, lr=3e-3)
    rows = peers.run(Peer("diffusion"), x, cases, facets, (1, 4), 0, budget).rows
    mse = {(row["decoder"], row["step"]): row["mse_train"] for row in rows}
    noisiest = max(step for _, step in mse)
    assert mse["diffusion/one-step-facet", noisiest] < 0.8 * mse["diffusion/one-step", noisiest]
    bits = {row["decoder"]: row["rate_bits"] for row in rows if row["step"] == noisiest}
    assert bits["diffusion/one-step-facet"] - bits["diffusion/one-step"] == pytest.approx(2)  # four facets
    # a sample adds noise that the mean does not have
    assert mse["diffusion/sampled", noisiest] > mse["diffusion/one-step", noisiest]


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_that_are_not_finite_stop_every_peer_at_its_first_step(family, world):
    x, cases, cluster = world
    peer = next(p for p in peers.grid(RATES, bits_per_code=2) if p.family == family)
    broken = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5, torch.nan, x)
    with pytest.raises(ValueError, match=r"step 1: the loss '\w+' is nan"):
        peers.run(peer, broken, cases, cluster, RATES, 0, SMALL)
