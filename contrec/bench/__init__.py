"""Each lever of speed against the layout it replaces: timed in one run, results compared (``contrec bench``).

The reference layouts live here and not in the library. One file a stage, each with a function ``benchmark(device)``
that makes its inputs and returns a :class:`contrec.bench.harness.Benchmark`; a stage of several parts has such a
function for each, named after it.
"""

from __future__ import annotations

from importlib import import_module

from contrec.bench.harness import Bar, Benchmark, Check, Outcome, available, run

__all__ = ["PARTS", "Bar", "Benchmark", "Check", "Outcome", "available", "benchmark", "run"]

PARTS = {"epochs": ("epochs/sasrec", "epochs/gru4rec", "epochs/lightgcn")}  # of stages that have several


def benchmark(stage: str, device: str = "cpu", **sizes) -> Benchmark:
    """The benchmark of a stage or part with its inputs; ``sizes`` as its module has them, in place of fixed ones."""
    module, _, part = stage.replace("-", "_").partition("/")
    return getattr(import_module(f"contrec.bench.{module}"), part or "benchmark")(device, **sizes)
