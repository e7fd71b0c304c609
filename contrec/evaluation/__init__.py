"""From a fitted model to numbers: one protocol, ranks kept, intervals and comparisons over users."""

from contrec.evaluation.metrics import METRICS, hit_rate, metric_values, ndcg, target_ranks
from contrec.evaluation.protocol import Evaluation, Generator, Model, evaluate
from contrec.evaluation.significance import paired_bootstrap, unpaired_bootstrap

__all__ = [
    "METRICS",
    "Evaluation",
    "Generator",
    "Model",
    "evaluate",
    "hit_rate",
    "metric_values",
    "ndcg",
    "paired_bootstrap",
    "target_ranks",
    "unpaired_bootstrap",
]
