"""What the comparison has found: rate curves read at equal rates, verdicts, and the truth behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from contrec import paths
from contrec.data import planted
from contrec.evaluation import evaluate, side
from contrec.experiments.reconstruction import peers
from contrec.experiments.reconstruction.runs import RATES, budget, grid, rates, result, test_cases, vectors
from contrec.study.config import Config
from contrec.study.fitting import load_split
from contrec.study.recording import entry_of, read_table, write_rows
from contrec.study.settings import SIZES

CONTINUOUS = ("autoencoder", "vae", "sigma_vae", "diffusion/one-step", "diffusion/sampled")
QUANTIZED = ("vq", "rq", "mq")


def loss_curves(config: Config, inputs: str, rate: int, points: int = 60) -> pd.DataFrame:
    """Training loss against step at one rate, for ``plots.loss_curves``; "epoch" counts steps, averaged in bins."""
    rows = []
    for peer in grid(config):
        if peer.rate in (None, rate):
            for seed in config.seeds:
                steps = result(config, inputs, peer, seed).steps
                for part in np.array_split(np.arange(len(steps)), min(points, len(steps))):
                    rows.append((peer.family, int(part[-1]) + 1, seed, float(steps[part].mean())))
    return pd.DataFrame(rows, columns=["model", "epoch", "seed", "loss"])


def health(frame: pd.DataFrame) -> pd.DataFrame:
    """Codebook use, perplexity and collisions of the quantizers by inputs, family and rate, seeds averaged."""
    own = frame[frame["family"].isin(("vq", "rq", "mq"))]
    return own.groupby(["inputs", "family", "rate_bits"], sort=False)[["used", "perplexity", "collisions"]].mean()


def collapse(config: Config, inputs: str, rate: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sigma-VAE with parts taken away: a table of what it keeps, and channel variances for the plot."""
    table, channels = [], []
    for name, peer in peers.broken(rate).items():
        found = result(config, inputs, peer, config.seeds[0])
        v = found.variances
        row = found.rows[0]
        keep = {k: row[k] for k in ("rate_bits", "mse", "cosine", "overlap", "HR@10")}
        table.append(
            {
                "sigma-VAE": name,
                **keep,
                "collapsed": float((v < 0.01 * np.median(v)).mean()),
                "spread": v.std() / v.mean(),
            }
        )
        channels += [(name, 1, c + 1, float(x)) for c, x in enumerate(v)]
    return pd.DataFrame(table), pd.DataFrame(channels, columns=["model", "encoder", "channel", "variance"])


def at_rates(frame: pd.DataFrame, targets, values=("mse", "cosine", "overlap", "HR@10")) -> pd.DataFrame:
    """Each decoder read at the same rates: linear in log2 of the rate between its points, never beyond them.

    Returns:
        inputs, decoder, rate, then per value its mean, and s.d. over seeds; NaN where a curve does not reach.
    """
    rows = []
    for (kind, decoder, seed), curve in frame.groupby(["inputs", "decoder", "seed"], sort=False):
        curve = curve.sort_values("rate_bits")
        x = np.log2(curve["rate_bits"])
        for rate in targets:
            inside = x.iloc[0] - 0.02 <= np.log2(rate) <= x.iloc[-1] + 0.02
            read = {v: float(np.interp(np.log2(rate), x, curve[v])) if inside else np.nan for v in values}
            rows.append({"inputs": kind, "decoder": decoder, "seed": seed, "rate": rate, **read})
    found = pd.DataFrame(rows).groupby(["inputs", "decoder", "rate"], sort=False)[list(values)].agg(["mean", "std"])
    found.columns = [value if part == "mean" else f"{value} s.d." for value, part in found.columns]
    return found.reset_index()


def bound(config: Config, n: int = 20_000) -> pd.DataFrame:
    """The planted truth: Shannon's lower bound on the MSE at each rate, and the MSE of the optimal denoiser.

    The item vectors come from a Gaussian mixture, of which the differential entropy h is estimated by Monte Carlo:
    D(R) >= exp(2 h / d - 2 R ln 2 / d) / (2 pi e). The optimal denoiser is the mixture's posterior mean.

    Returns:
        truth ("bound" | "optimal denoiser"), rate_bits, mse, in the units of :func:`vectors` ("truth").
    """
    t = planted.truth()
    scale = t.items.std(0)
    rng = np.random.default_rng(0)
    component = rng.choice(len(t.weights), size=n, p=t.weights)
    means, sd = (t.means - t.items.mean(0)) / scale, np.sqrt(t.variance) / scale
    x = means[component] + sd * rng.standard_normal((n, len(scale)))

    def log_density(y: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        z = (y[:, None] - mean) / deviation
        return np.log(t.weights) - 0.5 * (z**2 + np.log(2 * np.pi) + 2 * np.log(deviation)).sum(-1)

    d = len(scale)
    entropy = -np.logaddexp.reduce(log_density(x, means, sd), axis=1).mean()
    rows = []
    for rate in np.geomspace(min(rates(config)), max(rates(config)), 15):
        floor = np.exp(2 * entropy / d - 2 * rate * np.log(2) / d) / (2 * np.pi * np.e)
        rows.append(("bound", rate, floor))
        a = 1 - 2 ** (-2 * rate / d)  # alpha_bar of the step that carries this rate
        y = np.sqrt(a) * x + np.sqrt(1 - a) * rng.standard_normal(x.shape)
        spread = np.sqrt(a * sd**2 + 1 - a)
        weight = log_density(y, np.sqrt(a) * means, spread)
        weight = np.exp(weight - np.logaddexp.reduce(weight, axis=1, keepdims=True))
        gain = np.sqrt(a) * sd**2 / spread**2
        best = (weight[:, :, None] * (means + gain * (y[:, None] - np.sqrt(a) * means))).sum(1)
        rows.append(("optimal denoiser", rate, ((best - x) ** 2).mean()))
    return pd.DataFrame(rows, columns=["truth", "rate_bits", "mse"])


def record(config: Config, frame: pd.DataFrame, inputs, seconds: float | None = None) -> Path:
    """Write the rows of a comparison to ``data/reproduced/reconstruction`` with their provenance."""
    path = paths.reproduced() / "reconstruction" / f"{config.dataset}_{config.source}_{config.preset}.csv"
    more = {"inputs": list(inputs), "budget": asdict(budget(config)), "rates": rates(config)}
    rows = {"items": len(load_split(config).catalogue)}
    entry = entry_of(config, more, seconds=seconds, notebook="02_reconstruction", rows=rows)
    return write_rows(path, frame, entry, ("inputs", "family", "seed"), float_format="%.6g")


def untouched(config: Config, inputs: str) -> dict:
    """HR@10 of the fixed ranker on the embeddings as they are."""
    found = evaluate(peers.MeanHistory(vectors(config, inputs)), test_cases(config))
    return {"HR@10": found.metrics()["HR@10"]}


def verdicts(frame: pd.DataFrame, targets) -> pd.DataFrame:
    """Best continuous against best quantized model at each rate, by held-out MSE.

    Returns:
        inputs, rate, continuous, quantized (names), their mse, difference (quantized minus continuous: a positive one
        speaks for the claim), s.d. (of both over seeds, combined), claim ("holds" | "does not hold" | "open").
    """
    read = at_rates(frame, targets).dropna(subset=["mse"])
    rows = []
    for (kind, rate), part in read.groupby(["inputs", "rate"], sort=False):
        best = {}
        for group, names in (("continuous", CONTINUOUS), ("quantized", QUANTIZED)):
            own = part[part["decoder"].isin(names)]
            if len(own):
                best[group] = own.loc[own["mse"].idxmin()]
        if len(best) < 2:
            continue
        a, b = best["continuous"], best["quantized"]
        gap, sd = b["mse"] - a["mse"], float(np.hypot(a["mse s.d."], b["mse s.d."]))
        word = {1: "holds", -1: "does not hold", 0: "open"}[side(gap - 2 * sd, gap + 2 * sd)]
        row = {"inputs": kind, "rate": rate, "continuous": a["decoder"], "mse, continuous": a["mse"]}
        row |= {"quantized": b["decoder"], "mse, quantized": b["mse"], "difference": gap, "s.d.": sd, "claim": word}
        rows.append(row)
    return pd.DataFrame(rows)


def recorded() -> dict[str, pd.DataFrame]:
    """Every recorded comparison (``data/reproduced/reconstruction``) by its dataset, as ``runs.compare`` gives it."""
    found = {}
    for path in sorted((paths.reproduced() / "reconstruction").glob("*.csv")):
        dataset = next(name for name in sorted(SIZES, key=len, reverse=True) if path.stem.startswith(f"{name}_"))
        found[dataset] = read_table(path)
    return found


def verdict_table(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """:func:`verdicts` of comparisons by dataset: a row a rate, a column for dataset and vectors, difference ± s.d."""
    parts = [verdicts(frame, RATES.get(name, RATES[""])).assign(dataset=name) for name, frame in frames.items()]
    if not parts:
        return pd.DataFrame({"recorded": ["not run"]})
    found = pd.concat(parts, ignore_index=True)
    shown = [f"{r.difference:+.3f} ± {sd:.3f}, {r.claim}" for r, sd in zip(found.itertuples(), found["s.d."])]
    return found.assign(shown=shown).pivot(index="rate", columns=["dataset", "inputs"], values="shown").fillna("")


def said(frame: pd.DataFrame, targets: Sequence[int], where: str) -> str:
    """In how many comparisons of :func:`verdicts` the claim holds, and where the sigma-VAE stands: two sentences."""
    found, read = verdicts(frame, targets), at_rates(frame, targets).dropna(subset=["mse"])
    holds = found[found["claim"] == "holds"]
    first = f"{where}: the best continuous model keeps more than the best quantizer in {len(holds)} of {len(found)}"
    first += f" comparisons (open: {(found['claim'] == 'open').sum()})"
    first += f"; mostly it is {holds['continuous'].mode()[0]}." if len(holds) else "."
    own = read[read["decoder"] == "sigma_vae"].merge(found, on=["inputs", "rate"])
    better = (own["mse"] < own["mse, quantized"]).sum()
    return f"{first} The σ-VAE keeps more in {better} of the {len(own)} that it reaches."


def smoothness(config: Config, inputs: str, rate: int) -> pd.DataFrame:
    """How smoothly training runs: rises of the loss from bin to bin, and steps until 90 % of its whole fall is done.

    Returns:
        Per model, seeds averaged: "rises" (share of bins above the one before), "path over fall" (the way the loss
        goes up and down over its whole fall; 1 is monotone), "steps to 90 %".
    """
    rows = []
    for (name, seed), line in loss_curves(config, inputs, rate).groupby(["model", "seed"], sort=False):
        loss = line["loss"].to_numpy()
        change, fall = np.diff(loss), loss[0] - loss.min()
        reached = line["epoch"].to_numpy()[np.argmax(loss <= loss[0] - 0.9 * fall)]
        rows.append((name, (change > 0).mean(), np.abs(change).sum() / max(fall, 1e-12), reached))
    found = pd.DataFrame(rows, columns=["model", "rises", "path over fall", "steps to 90 %"])
    return found.groupby("model", sort=False).mean()
