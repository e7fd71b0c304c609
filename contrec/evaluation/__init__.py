"""From a fitted model to numbers: one protocol, ranks kept, intervals and comparisons over users.

A metric of one's own is a function of ranks and ties; intervals and comparisons take its name like any other:

    import numpy as np
    from contrec import baselines, data, evaluation

    def reciprocal_rank(ranks, ties):
        # over a random order of tied items, of whom the target takes each place with equal chance
        first, last = ranks - (ties - 1) / 2, ranks + (ties - 1) / 2
        found = np.isfinite(ranks)
        sums = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(last[found].max(initial=1)) + 1))])
        values = np.zeros(len(ranks))
        values[found] = sums[last[found].astype(int)] - sums[first[found].astype(int) - 1]
        return values / ties

    split = data.split(*data.load("planted"))
    models = [baselines.make(name).fit(split) for name in ("transitions", "popularity")]
    found = [evaluation.evaluate(m, split.test, metrics={"MRR": reciprocal_rank}) for m in models]
    better = evaluation.paired_bootstrap(*found, "MRR")
"""

from contrec.evaluation.bootstrap import bootstrap_means
from contrec.evaluation.kept import Evaluation, Metric
from contrec.evaluation.metrics import METRICS, hit_rate, metric_values, ndcg, target_ranks
from contrec.evaluation.protocol import Generator, Model, evaluate
from contrec.evaluation.significance import paired_bootstrap, rate_interval, side, unpaired_bootstrap

__all__ = [
    "METRICS",
    "Evaluation",
    "Generator",
    "Metric",
    "Model",
    "bootstrap_means",
    "evaluate",
    "hit_rate",
    "metric_values",
    "ndcg",
    "paired_bootstrap",
    "rate_interval",
    "side",
    "target_ranks",
    "unpaired_bootstrap",
]
