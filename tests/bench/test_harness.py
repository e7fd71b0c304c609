"""The harness: ways in turn, medians, checks that can fail, bars told honestly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contrec.bench import harness
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check


def made(ways: dict, **settings) -> Benchmark:
    return Benchmark(
        "toy", "nothing", ways, lambda results: [Check("sum", results[OURS], results[REFERENCE])], **settings
    )


def test_ways_are_called_in_turn_after_a_warm_up():
    calls = []
    ways = {name: lambda name=name: calls.append(name) or 1 for name in (REFERENCE, FAIR, OURS)}
    outcome = harness.run(made(ways))
    assert calls == [REFERENCE, FAIR, OURS] * 4
    assert outcome.table["way"].tolist() == [REFERENCE, FAIR, OURS]
    assert outcome.equal


def test_without_a_warm_up_the_first_call_counts():
    calls = []
    outcome = harness.run(made({n: lambda n=n: calls.append(n) or 1 for n in (REFERENCE, OURS)}, warm_up=False))
    assert calls == [REFERENCE, OURS] * 3 and outcome.table["MiB"].notna().all()


def test_ratio_is_that_of_medians(monkeypatch):
    seconds = iter([50.0, 50.0, 9.0, 2.0, 100.0, 1.0, 8.0, 3.0])  # warm-up, then reference, contrec, reference, ...
    monkeypatch.setattr(harness, "stopwatch", lambda device: lambda: next(seconds))
    outcome = harness.run(made({REFERENCE: lambda: 1, OURS: lambda: 1}, bars=[Bar(REFERENCE, 5)]))
    assert outcome.ratio == 9.0 / 2.0
    assert outcome.table["seconds"].tolist() == [9.0, 2.0]
    assert outcome.verdicts == ["bar: 4.50 times faster than reference layout (>= 5): missed"]


def test_a_bar_on_a_part_of_the_work_counts_the_other_way():
    bar = Bar("matmul alone", 3.5, at_most=True)
    assert bar.verdict({"matmul alone": 1.0, OURS: 3.0}).endswith("3.00 times of matmul alone (<= 3.5): met")
    assert bar.verdict({"matmul alone": 1.0, OURS: 4.0}).endswith("missed")


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        (Check("a", 1.0, 1.0), True),
        (Check("a", 1.1, 1.0), False),
        (Check("a", float("nan"), 1.0), False),
        (Check("a", 0.9, 1.0, at_least=True), False),
        (Check("a", float("nan"), 1.0, at_least=True), False),
        (Check("a", 1.1, 1.0, at_least=True), True),
    ],
)
def test_checks(check, holds):
    assert check.holds is holds
    assert str(check).startswith("equal: " if holds else "DIFFERS: ")


def test_different_results_are_told():
    assert not harness.run(made({REFERENCE: lambda: 1, OURS: lambda: 2})).equal


def test_peak_memory_is_seen_and_belongs_to_its_own_block():
    with harness.watched() as large:
        np.ones(2**24)  # 128 MiB, written and gone
    with harness.watched() as small:
        np.ones(2**17)
    assert 100 < large.mib < 160
    assert small.mib < 20


def test_one_thread_inside_and_the_number_before_after():
    before = torch.get_num_threads()
    with harness.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_clear_message():
    with pytest.raises(ValueError, match="no GPU; use --device cpu"):
        harness.available("cuda")
    harness.available("cpu")
