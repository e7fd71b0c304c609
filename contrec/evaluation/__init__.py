"""From a fitted model to numbers: one protocol, ranks kept, intervals and comparisons over users."""

from contrec.evaluation.bootstrap import bootstrap_means
from contrec.evaluation.kept import Evaluation
from contrec.evaluation.metrics import METRICS, hit_rate, metric_values, ndcg, target_ranks
from contrec.evaluation.protocol import Generator, Model, evaluate
from contrec.evaluation.significance import paired_bootstrap, unpaired_bootstrap

__all__ = [
    "METRICS",
    "Evaluation",
    "Generator",
    "Model",
    "bootstrap_means",
    "evaluate",
    "hit_rate",
    "metric_values",
    "ndcg",
    "paired_bootstrap",
    "target_ranks",
    "unpaired_bootstrap",
]
