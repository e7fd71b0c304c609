"""The reconstruction study on the planted world: kept runs, equal rates, the truth where it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from contrec.data import planted
from contrec.experiments.reconstruction import runs as study
from contrec.experiments.reconstruction import tables
from contrec.experiments.reconstruction.peers import Budget
from contrec.study.config import Config

REAL, REAL_RATES = dict(study.BUDGETS), dict(study.RATES)
FAMILIES = ("vq", "sigma_vae", "diffusion")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTREC_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        patch.setitem(study.BUDGETS, "tiny", Budget(width=16, steps=20, batch_size=64, lr=3e-3))
        patch.setitem(study.RATES, "planted", (4, 8))
        yield patch


@pytest.fixture(scope="module")
def config(world):
    return Config.from_parameters(seeds=[0, 1])


@pytest.fixture(scope="module")
def frame(config):
    return study.compare(config, ["truth"], families=FAMILIES)


def test_a_row_for_every_point_of_every_curve(frame):
    counts = frame.groupby(["decoder", "seed"]).size()
    assert set(counts) == {2}  # two rates each
    assert set(frame["decoder"]) == {
        "vq", "sigma_vae", *(f"diffusion/{kind}{facet}" for kind in ("one-step", "sampled") for facet in ("", "-facet"))
    }  # fmt: skip
    assert set(frame[frame["decoder"] == "vq"]["rate_bits"]) == {4, 8}


def test_what_is_compared_where_nothing_is_said(config):
    assert study.setup(config) == (["truth"], 8, 1)
    lastfm = replace(config, dataset="lastfm", preset="laptop")
    assert study.setup(lastfm)[:2] == (["lightgcn", "text", "fused"], 64) and study.setup(lastfm, workers=3)[2] == 3
    with pytest.raises(ValueError, match="inputs of lastfm must be among lightgcn, text, fused, got truth"):
        study.setup(lastfm, ["truth"])
    with pytest.raises(ValueError, match="rate must be one of 4, 8, got 5"):
        study.setup(config, rate=5)


def test_nothing_is_run_twice(frame, config, monkeypatch):
    monkeypatch.setattr(study.peers, "run", None)
    again = study.compare(config, ["truth"], families=FAMILIES)
    pd.testing.assert_frame_equal(again, frame)


def test_more_processes_give_the_same(frame, config, monkeypatch, tmp_path):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    one = replace(config, seeds=(0,))
    monkeypatch.setattr(study, "BUDGETS", dict(REAL))  # a child process knows the real one only
    monkeypatch.setattr(study, "RATES", REAL_RATES)
    with monkeypatch.context() as patch:
        patch.setattr(study.peers, "run", None)  # here nothing is run
        two = study.compare(one, ["truth"], families=("diffusion",), workers=2)
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "alone"))
    alone = study.compare(one, ["truth"], families=("diffusion",))
    pd.testing.assert_frame_equal(two.drop(columns="seconds"), alone.drop(columns="seconds"), rtol=1e-4)


def test_curves_are_read_between_their_points_and_not_beyond():
    rows = [("lightgcn", "vae", s, r, m) for s in (0, 1) for r, m in ((10, 1.0 + s), (40, 0.5 + s))]
    curves = pd.DataFrame(rows, columns=["inputs", "decoder", "seed", "rate_bits", "mse"])
    found = tables.at_rates(curves, (5, 10, 20, 40, 80), values=("mse",)).set_index("rate")["mse"]
    assert found[10] == 1.5 and found[20] == pytest.approx(1.25) and found[40] == 1.0  # half way in log2
    assert found[[5, 80]].isna().all()


def test_a_verdict_wants_more_than_two_standard_deviations():
    def curves(vq: float, vae: float, sd: float) -> pd.DataFrame:
        rows = [("x", name, s, 16, m + (s - 1) * sd) for name, m in (("vq", vq), ("vae", vae)) for s in range(3)]
        return pd.DataFrame(rows, columns=["inputs", "decoder", "seed", "rate_bits", "mse"]).assign(
            **{name: 0.0 for name in ("cosine", "overlap", "HR@10")}
        )

    words = [
        tables.verdicts(curves(*c), (16,))["claim"].item() for c in ((1, 0.5, 0.01), (0.5, 1, 0.01), (1, 0.9, 0.1))
    ]
    assert words == ["holds", "does not hold", "open"]


def test_recorded_comparisons_are_read_and_told(frame, config, tmp_path, monkeypatch):
    monkeypatch.setattr(tables.paths, "reproduced", lambda: tmp_path)
    assert tables.verdict_table(tables.recorded()).iloc[0, 0] == "not run"
    tables.record(config, frame, ["truth"])
    table = tables.verdict_table(found := tables.recorded())
    assert list(found) == ["planted"] and list(table.index) == [4, 8] and list(table.columns) == [("planted", "truth")]
    own = tables.verdicts(frame, (4, 8))
    assert table.iloc[0, 0].startswith(f"{own['difference'][0]:+.3f} ± ") and table.iloc[0, 0].endswith(own["claim"][0])


def test_the_claim_is_told_in_words():
    def curve(decoder, mse):
        rows = [("truth", decoder, seed, rate, mse + 0.001 * seed) for seed in (0, 1) for rate in (4, 8)]
        values = {"cosine": 0, "overlap": 0, "HR@10": 0}
        return pd.DataFrame(rows, columns=["inputs", "decoder", "seed", "rate_bits", "mse"]).assign(**values)

    good = pd.concat([curve("vq", 0.9), curve("sigma_vae", 0.5)])
    assert tables.said(good, (4, 8), "here") == (
        "here: the best continuous model keeps more than the best quantizer in 2 of 2 comparisons (open: 0); mostly it "
        "is sigma_vae. The σ-VAE keeps more in 2 of the 2 that it reaches."
    )
    bad = pd.concat([curve("vq", 0.1), curve("sigma_vae", 0.5)])
    assert "in 0 of 2 comparisons (open: 0). The σ-VAE keeps more in 0 of the 2" in tables.said(bad, (4, 8), "here")


def test_truth_of_a_single_gaussian_is_the_textbook(world, config, monkeypatch):
    """D(R) = 2^(-2R/d) of white noise; the best denoiser of a channel with as many bits reaches just that."""
    truth = planted.truth()
    rng = np.random.default_rng(0)
    one = replace(truth, items=rng.normal(size=(20_000, 8)), means=np.zeros((1, 8)), variance=1.0, weights=np.ones(1))
    monkeypatch.setattr(study.planted, "truth", lambda: one)
    found = tables.bound(config)
    for name, line in found.groupby("truth"):
        expected = 2.0 ** (-2 * line["rate_bits"] / 8)
        np.testing.assert_allclose(line["mse"], expected, rtol=0.03, err_msg=name)


def test_no_decoder_beats_the_truth_of_the_planted_mixture(config):
    found = tables.bound(config).pivot(index="rate_bits", columns="truth", values="mse")
    assert (found["bound"] < found["optimal denoiser"]).all() and found["bound"].is_monotonic_decreasing


def test_collapse_and_curves_have_what_the_notebook_shows(frame, config):
    table, channels = tables.collapse(config, "truth", 8)
    assert table["sigma-VAE"].tolist() == ["as published", "without noise", "without mask", "strong prior"]
    assert np.isinf(table["rate_bits"][1]) and set(channels["model"]) == set(table["sigma-VAE"])
    losses = tables.loss_curves(config, "truth", 8, points=5)
    assert set(losses["model"]) == set(study.FAMILIES) and losses.groupby(["model", "seed"]).size().eq(5).all()
    assert (tables.smoothness(config, "truth", 8)["path over fall"] >= 1 - 1e-9).all()
    assert 0 < tables.untouched(config, "truth")["HR@10"] < 1


def test_a_record_never_loses_rows_and_reading_trains_nothing(frame, config, tmp_path, monkeypatch):
    monkeypatch.setattr(tables.paths, "reproduced", lambda: tmp_path)
    path = tables.record(config, frame, ["truth"]).with_suffix(".csv")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="recorded results that are not among those to be written .*family vq"):
        tables.record(config, frame[frame.family != "vq"], ["truth"])
    assert path.read_bytes() == before
    monkeypatch.setattr(study.peers, "run", None)  # would fail if it were called
    assert set(study.found(study.wanted(config, ["truth"], ("vq",))).family) == {"vq"}
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "empty"))
    assert not len(study.found(study.wanted(config, ["truth"], ("vq",))))
