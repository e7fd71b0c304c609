"""The study around the model: settings, artifacts, provenance, notebooks and tables. Notebooks import from here."""

from contrec.study.config import Config, recipe_table
from contrec.study.efficiency import (
    batch_cost,
    bench_table,
    beside,
    catalogue_cost,
    cost_table,
    history_cost,
    language_share,
    published_cost,
    record_costs,
    sampling_cost,
)
from contrec.study.fitting import fitted, load_split
from contrec.study.runs import evaluated, floor, results, train_runs
from contrec.study.tables import headline, ranking, ranking_table
from contrec.study.views import (
    catalogue_table,
    channel_variances,
    epoch_table,
    facet_table,
    history_lengths,
    history_table,
    loss_history,
    measured_statistics,
    paired_differences,
    path_among_items,
    prompt_text,
    quick_check,
    save_figure,
    split_table,
    subtitle,
    text_accuracy,
    tokenizer_health,
    tokens_of,
)

__all__ = [
    "Config", "batch_cost", "bench_table", "beside", "catalogue_cost", "catalogue_table", "channel_variances",
    "cost_table", "epoch_table", "evaluated", "facet_table", "fitted", "floor", "headline", "history_cost",
    "history_lengths", "history_table", "language_share", "load_split", "loss_history", "measured_statistics",
    "paired_differences", "path_among_items", "prompt_text", "published_cost", "quick_check", "ranking",
    "ranking_table", "recipe_table", "record_costs", "results", "sampling_cost", "save_figure", "split_table",
    "subtitle", "text_accuracy", "tokenizer_health", "tokens_of", "train_runs",
]  # fmt: skip
