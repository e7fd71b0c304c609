"""Each lever of speed against the layout it replaces: timed in one run, results compared (``contrec bench``).

The reference layouts live here and not in the library. One file a stage, each with a function ``benchmark(device)``
that makes its inputs and returns a :class:`contrec.bench.harness.Benchmark`.
"""

from __future__ import annotations

from importlib import import_module

from contrec.bench.harness import Bar, Benchmark, Check, Outcome, available, run

__all__ = ["Bar", "Benchmark", "Check", "Outcome", "available", "benchmark", "run"]


def benchmark(stage: str, device: str = "cpu", **sizes) -> Benchmark:
    """The benchmark of a stage, with its inputs made; ``sizes`` as its module has them, in place of the fixed ones."""
    return import_module(f"contrec.bench.{stage.replace('-', '_')}").benchmark(device, **sizes)
