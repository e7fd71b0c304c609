"""The study around the model: settings, artifacts, provenance, notebooks and tables. Notebooks import from here."""

from contrec.study.config import Config, recipe_table
from contrec.study.runs import evaluated, fitted, floor, load_split, results, train_runs
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
    "Config", "catalogue_table", "channel_variances", "epoch_table", "evaluated", "facet_table", "fitted", "floor",
    "headline", "history_lengths", "history_table", "load_split", "loss_history", "measured_statistics",
    "paired_differences", "path_among_items", "prompt_text", "quick_check", "ranking", "ranking_table", "recipe_table",
    "results", "save_figure", "split_table", "subtitle", "text_accuracy", "tokenizer_health", "tokens_of", "train_runs",
]  # fmt: skip
