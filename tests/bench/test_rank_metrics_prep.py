import numpy as np
import pytest

from contrec import retriever
from contrec.bench import metrics, prep, rank, run
from contrec.bench.harness import OURS
from contrec.data import core
from contrec.evaluation import metrics as evaluation

SMALL = {
    rank: {"n_users": 24, "n_items": 3000, "dim": 16},
    metrics: {"n_users": 60, "n_items": 400},
    prep: {"n_rows": 20_000},
}


def checks(module):
    """What the stage's check says of one call of each way, at small size."""
    stage = module.benchmark(**SMALL[module])
    return stage.check({name: way() for name, way in stage.ways.items()})


@pytest.mark.parametrize("module", SMALL, ids=lambda module: module.__name__)
def test_stage_runs_and_every_way_gives_the_same(module):
    stage = module.benchmark(**SMALL[module])
    outcome = run(stage)
    assert outcome.equal, [str(check) for check in outcome.checks]
    assert list(outcome.table.way) == list(stage.ways) and list(stage.ways)[-1] == OURS
    assert len(outcome.verdicts) == len(stage.bars) > 0


def test_the_stages_are_no_empty_work():
    w = rank.world(**SMALL[rank])
    ids = rank.hybrid(w)
    match = w.facet_items.match(w.facet, len(w.items))
    plain = retriever.hybrid_topk(w.y, w.items, rank.TOP_K).ids
    assert (plain != ids).any() and match.gather(1, ids).any() and (w.facet < 0).any()
    hits = metrics.by_rank(metrics.world(**SMALL[metrics]))[:2].mean(1)
    assert 0.05 < hits[0] < hits[1] < 0.95
    table = prep.raw_rows(20_000)
    made = prep.in_contrec(*(table[name].to_numpy() for name in table))
    tied = (np.diff(made.timestamp) == 0) & (np.diff(made.user) == 0)
    assert 10_000 < len(made) < 20_000 and tied.any()
    assert len(made) < len(core.one_pass(table.user, table.item)), "the core must need more than one pass"


def shifted(function):
    def off_by_one(*args):
        places, ties = function(*args)
        return places + 1, ties

    return off_by_one


BROKEN = {  # what is broken: (stage, owner, name, function from the right one to the broken one)
    "no text bonus": (
        rank,
        retriever,
        "_rescore",
        lambda f: lambda y, items, ids, match, bonus: f(y, items, ids, match, 0),
    ),
    "seen items return": (rank, retriever._Marks, "seen_entries", lambda f: lambda self, low, high: f(self, low, low)),
    "facets of the next item": (rank, retriever._Marks, "has_facet", lambda f: lambda self, ids: f(self, ids + 1)),
    "ranks off by one": (metrics, evaluation, "target_ranks", shifted),
    "seen items are candidates": (
        metrics,
        evaluation,
        "target_ranks",
        lambda f: lambda scores, target, seen: f(scores, target),
    ),
    "a longer list": (metrics, evaluation, "ndcg", lambda f: lambda places, ties, top_k: f(places, ties, top_k + 1)),
    "4-core": (prep, core, "k_core", lambda f: lambda user, item, k: f(user, item, k - 1)),
    "another tie rule": (
        prep,
        core,
        "sort_order",
        lambda f: lambda user, time, item, seed: f(user, time, item, seed + 1),
    ),
    "items numbered by id": (prep, core, "first_appearance", lambda f: lambda item, n: (item, np.arange(n))),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_way_differs(what, monkeypatch):
    module, owner, name, broken = BROKEN[what]
    assert all(check.holds for check in checks(module))
    monkeypatch.setattr(owner, name, broken(getattr(owner, name)))
    assert not all(check.holds for check in checks(module))


def test_memory_is_that_of_a_chunk_and_not_of_all_scores(monkeypatch):
    size = {"n_items": 200_000, "n_users": 128, "dim": 8}
    found = rank.peak_memory(**size)
    assert found["item matrix MiB"] == 200_000 * 8 * 4 / 2**20 and found["all scores MiB"] == 128 * 200_000 * 4 / 2**20
    assert found["MiB"] < 0.5 * found["all scores MiB"] and found["seconds"] > 0
    monkeypatch.setattr(rank, "CHUNK", 200_000)
    assert rank.peak_memory(**size)["MiB"] > found["all scores MiB"]
