"""The study around the model: settings, artifacts, provenance, notebooks and tables. Notebooks import from here."""

from contrec.experiments.baselines.cells import cells_of, evaluations, fill, overview, paired, spread
from contrec.experiments.baselines.cells import results as grid_results
from contrec.experiments.baselines.search import chosen_table
from contrec.experiments.cases.pages import case_study
from contrec.experiments.cases.rules import (
    case_evaluations,
    case_ranks,
    chosen_cases,
    found_alone,
    recorded_ranks,
    recorded_shift,
    shift_table,
)
from contrec.experiments.cases.state import BrowserState
from contrec.experiments.cases.widgets import Browser
from contrec.experiments.efficiency.tables import (
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
from contrec.experiments.sweep.points import checked as sweep_checked
from contrec.experiments.sweep.points import fill as fill_sweep
from contrec.experiments.sweep.points import within_reach as sweep_within_reach
from contrec.experiments.sweep.tables import (
    parameter_table,
    recorded_sweep,
    recorded_sweeps,
    sweep_curves,
    sweep_evaluations,
    sweep_results,
    sweep_table,
)
from contrec.experiments.unseen import (
    recorded_runs,
    served,
    unseen_gaps,
    unseen_groups,
    unseen_models,
    unseen_rows,
    unseen_runs,
    unseen_table,
    user_lengths,
    whole_hits,
)
from contrec.papers.table7 import printed_cells, printed_sequences, released_games
from contrec.study.config import Config, recipe_table
from contrec.study.evaluating import evaluated, floor, results, train_runs
from contrec.study.fitting import fitted, load_split
from contrec.study.show import (
    catalogue_table,
    channel_variances,
    epoch_table,
    example_file,
    export,
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
from contrec.study.tables import comparison, forest, headline, ranking, ranking_table, seen_kept

__all__ = [
    "Browser", "BrowserState", "Config", "batch_cost", "bench_table", "beside", "case_evaluations", "case_ranks",
    "case_study", "catalogue_cost", "catalogue_table", "cells_of", "channel_variances", "chosen_cases",
    "chosen_table", "comparison", "cost_table", "epoch_table", "evaluated", "evaluations", "example_file", "export",
    "facet_table", "fill", "fill_sweep", "fitted", "floor", "forest", "found_alone", "grid_results", "headline",
    "history_cost", "history_lengths", "history_table", "language_share", "load_split", "loss_history",
    "measured_statistics", "overview", "paired", "paired_differences", "parameter_table", "path_among_items",
    "printed_cells", "printed_sequences", "prompt_text", "published_cost", "quick_check", "ranking",
    "ranking_table", "recipe_table", "record_costs", "recorded_ranks", "recorded_runs", "recorded_shift",
    "recorded_sweep", "recorded_sweeps", "released_games", "results", "sampling_cost", "save_figure", "seen_kept",
    "served", "shift_table", "split_table", "spread", "subtitle", "sweep_checked", "sweep_curves", "sweep_evaluations",
    "sweep_results", "sweep_table", "sweep_within_reach", "text_accuracy", "tokenizer_health", "tokens_of",
    "train_runs", "unseen_gaps", "unseen_groups", "unseen_models", "unseen_rows", "unseen_runs", "unseen_table",
    "user_lengths", "whole_hits",
]  # fmt: skip
