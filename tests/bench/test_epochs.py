from __future__ import annotations

import numpy as np
import pytest
import torch

from contrec import cli
from contrec.baselines import gru4rec, sequences
from contrec.bench import PARTS, benchmark, epochs, run
from contrec.bench.harness import OURS, Benchmark, Check
from contrec.data.interactions import Interactions
from contrec.embeddings import lightgcn as graph

WORLD = {"n_users": 40, "n_items": 150, "n_rows": 1200}
SMALL = {
    "epochs/sasrec": {"n_timed": 30, "data": WORLD},
    "epochs/gru4rec": {"n_timed": 30, "data": WORLD},
    "epochs/lightgcn": {"data": WORLD, "dim": 16},
}


def checks(part: str) -> list[Check]:
    """What the part's check says of one call of each way, at small size."""
    made = benchmark(part, **SMALL[part])
    return made.check({name: way() for name, way in made.ways.items()})


@pytest.mark.parametrize("part", PARTS["epochs"])
def test_part_runs_and_every_way_gives_the_same(part):
    made = benchmark(part, **SMALL[part])
    outcome = run(made)
    assert outcome.equal, [str(check) for check in outcome.checks]
    assert list(outcome.table.way) == list(made.ways) and list(made.ways)[-1] == OURS
    assert len(outcome.verdicts) == 1
    assert "times as many, 1,160;" in made.shape or part == "epochs/lightgcn"  # 1,200 rows, 40 users


def test_the_fixed_world_has_lastfms_shape():
    train = epochs.world(**epochs.LASTFM).train
    lengths = np.bincount(train.user)
    assert (len(lengths), train.n_items, len(train)) == (1091, 3685, 52_670)
    assert np.bincount(epochs.world(**WORLD).train.user).max() > 51, "in the small one some sequence must be cut, too"
    assert lengths.min() >= 5 and 15 < np.median(lengths) < 25 and lengths.max() > 500
    assert len(np.unique(train.user * train.n_items + train.item)) == len(train)


def test_expanded_samples_are_the_prefixes_of_the_windows():
    names = np.arange(3).astype(str), np.arange(10).astype(str)
    user = np.array([0, 0, 0, 0, 1, 2, 2])
    train = Interactions(user, np.array([5, 7, 3, 9, 8, 1, 4]), np.arange(7), *names)
    samples = epochs.expand(train, 2)  # user 1 has one row, which has no history
    assert samples.items.tolist() == [[7, 0], [7, 3], [5, 0], [1, 0]]
    assert samples.targets.tolist() == [3, 9, 7, 4]
    assert samples.lengths.tolist() == [1, 2, 1, 1] and samples.whole.tolist() == [2, 2, 1, 1]


def looks_ahead(forward):
    return lambda self, x, src_mask, is_causal: forward(self, x)


def backwards(forward):
    return lambda self, x, lengths: forward(self, x.flip(1), lengths).flip(1)


BROKEN = {  # what is broken: (part, owner, name, function from the right one to the broken one, what must tell)
    "a sequence is lost": (
        "epochs/sasrec",
        sequences,
        "bucketed",
        lambda f: lambda *a: [rows[1:] for rows in f(*a)],
        "pairs of reference",
    ),
    "short histories": (
        "epochs/sasrec",
        sequences,
        "padded",
        lambda f: lambda cases, length: f(cases, length - 1),
        "pairs of reference",
    ),
    "attention looks ahead": ("epochs/sasrec", torch.nn.TransformerEncoderLayer, "forward", looks_ahead, "mean loss"),
    "sampled softmax": (
        "epochs/sasrec",
        sequences,
        "next_item_loss",
        lambda f: lambda states, target, items, kind, negatives: f(states, target, items, "sampled", 20),
        "gradients of it",
    ),
    "padding is read first": ("epochs/gru4rec", gru4rec.Recurrent, "forward", backwards, "mean loss"),
    "operator off by 1 %": (
        "epochs/lightgcn",
        graph,
        "symmetric_operator",
        lambda f: lambda matrix: f(matrix) * 1.01,
        "propagated vectors",
    ),
    "gradients not propagated": (
        "epochs/lightgcn",
        graph._SymmetricProduct,
        "backward",
        lambda f: staticmethod(lambda ctx, gradient: (None, gradient)),
        "gradients of a batch",
    ),
    "a layer fewer": (
        "epochs/lightgcn",
        graph,
        "graph_model",
        lambda f: lambda n, dim, layers, stream: f(n, dim, layers - 1, stream),
        "propagated vectors",
    ),
    "other negatives": (
        "epochs/lightgcn",
        graph,
        "bpr",
        lambda f: lambda users, items, negatives: f(users, items, negatives.roll(1, 0)),
        "item vectors after the epoch, reference",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_lever_differs(what, monkeypatch):
    part, owner, name, broken, told = BROKEN[what]
    monkeypatch.setattr(owner, name, broken(getattr(owner, name)))
    assert any(check.what.startswith(told) for check in checks(part) if not check.holds)


def test_the_command_runs_all_parts_of_the_stage(monkeypatch, capsys):
    asked = []

    def toy(stage: str, device: str) -> Benchmark:
        asked.append(stage)
        return Benchmark(stage, "nothing", {"reference layout": int, OURS: int}, lambda results: [Check("sum", 0, 0)])

    monkeypatch.setattr("contrec.bench.benchmark", toy)
    assert cli.main(["bench", "epochs"]) == 0
    assert asked == list(PARTS["epochs"]) == list(SMALL)
    printed = capsys.readouterr().out
    assert all(f"{part}: nothing" in printed for part in asked)
