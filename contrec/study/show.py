"""What the notebooks show of data and of a fitted recommender, as small frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from contrec import data, paths
from contrec.artifacts import provenance
from contrec.data.example import write_example
from contrec.data.interactions import Cases, Split
from contrec.data.statistics import describe, statistics
from contrec.evaluation import Evaluation, evaluate
from contrec.recommender import Recommender
from contrec.study import evaluating, words
from contrec.study.config import Config
from contrec.study.fitting import load_split
from contrec.study.recording import entry_of
from contrec.study.tables import paired


def history_table(split: Split, cases: Cases, case: int) -> pd.DataFrame:
    """One case's history, oldest first, and its target: when, title, facets."""
    one, catalogue = cases[case], split.catalogue
    rows = [("target" if n == len(one.history) else n + 1, i) for n, i in enumerate([*one.history, one.target])]
    return pd.DataFrame(
        {
            "place": [str(place) for place, _ in rows],
            "title": [catalogue.titles[i] for _, i in rows],
            "facets": [", ".join(catalogue.facets[i][:3]) for _, i in rows],
        }
    )


def split_table(split: Split) -> pd.DataFrame:
    """Rows of each part, and what was counted on the way."""
    parts = {"train rows": len(split.train), "training cases": len(split.train_cases)}
    parts |= {"validation cases": len(split.validation), "test cases": len(split.test)}
    counts = {f"counted: {name}": value for name, value in split.counts.items() if value is not None}
    values = {**parts, **counts}
    shown = [f"{v:.4g}" if isinstance(v, float) else v for v in values.values()]
    return pd.DataFrame({"what": list(values), "value": shown})


def catalogue_table(split: Split) -> pd.DataFrame:
    """Items as the models know them: title, brand, categories, and the facets the text may name."""
    c = split.catalogue
    joined = lambda values: ["; ".join(v) for v in values]  # noqa: E731
    return pd.DataFrame(
        {"title": c.titles, "brand": c.brands, "categories": joined(c.categories), "facets": joined(c.facets)}
    )


def facet_table(split: Split) -> pd.DataFrame:
    """The closed answer set by number of items, most frequent first."""
    counts = pd.Series([f for facets in split.catalogue.facets for f in facets], dtype=str).value_counts()
    return counts.rename_axis("facet").rename("items").reset_index()


def history_lengths(split: Split, dataset: str) -> pd.DataFrame:
    """Length of every test case's history (for ``plots.history_lengths``)."""
    return pd.DataFrame({"dataset": dataset, "length": split.test.lengths})


def newer_rows(split: Split) -> float:
    """Share of train rows that are newer than a test target, mean over test cases; NaN where the data have no times."""
    if not split.train.has_time:
        return np.nan
    older = np.searchsorted(np.sort(split.train.timestamp), split.test.time, side="right")
    return float(1 - older.mean() / len(split.train))


def measured_statistics(config: Config | None = None) -> pd.DataFrame:
    """Statistics of the config's data as read, or of everything on disk: columns as ``published.table1`` wants them."""
    if config is None:
        found = statistics()
        found = found[found.note == ""].drop_duplicates("dataset")
    else:
        interactions, _ = data.load(config.dataset, config.source, **config.own_file)
        found = pd.DataFrame([{"dataset": config.dataset, "source": config.source, **describe(interactions)}])
    return found.rename(columns={"density_percent": "density"})


def loss_history(recommender: Recommender, part: str) -> pd.DataFrame:
    """Training curves for ``plots.loss_curves``.

    Args:
        part: "tokenizers" (reconstruction error of both; of tokenizers that are trained jointly the language loss,
            which trains them) or "phase2" (the terms of Eq. (20), ContRec, or Eq. (15), DeftRec).
    """
    history = recommender.history
    joint = recommender.config.tokenizer.train == "joint"
    if part == "tokenizers" and not joint:
        curves = {name: history[f"{name}_tokenizer"] for name in ("item", "user")}
        rows = [(f"{name} tokenizer", row["epoch"], row["reconstruction"]) for name, h in curves.items() for row in h]
    else:
        terms = ("llm",) if part == "tokenizers" else ("llm", "diffusion", "dispersion", "negative")
        rows = [(term, row["epoch"], row[term]) for row in history["phase2"] for term in terms if term in row]
    return pd.DataFrame(rows, columns=["model", "epoch", "loss"])


def epoch_table(recommender: Recommender) -> pd.DataFrame:
    """Losses, validation NDCG@10 and seconds of each epoch of phase 2; the best epoch is kept."""
    return pd.DataFrame(recommender.history["phase2"]).set_index("epoch")


@torch.no_grad()
def tokenizer_health(recommender: Recommender, seed: int = 0) -> pd.DataFrame:
    """Reconstruction with and without noise, noise level and rate of both tokenizers.

    Explained: 1 - MSE / variance. Collapsed: share of channels with less than 1 % of the median variance. An encoder
    that is trained jointly has neither decoder nor noise: of it the collapsed channels are told.
    """
    network, rows = recommender.network, []
    users = recommender.embeddings.users(recommender.sequences).to(recommender.device)
    both = (("item", network.item_tokenizer, network.items), ("user", network.user_tokenizer, users))
    for name, tokenizer, x in both:
        variance = tokenizer.channel_variance(x)
        collapsed = float((variance < 0.01 * variance.median()).float().mean())
        if recommender.config.tokenizer.train == "joint":
            rows.append({"tokenizer": name, "collapsed": collapsed})
            continue
        generator = torch.Generator(device=x.device).manual_seed(seed)
        error = {
            "without noise": (tokenizer.decode(tokenizer.encode(x)) - x).square().mean(),
            "with noise": (tokenizer.decode(tokenizer.encode(x, generator)) - x).square().mean(),
        }
        spread = x.var(dim=0, unbiased=False).mean()
        row = {"tokenizer": name, **{f"explained {key}": float(1 - e / spread) for key, e in error.items()}}
        row["sigma_scale"], row["rate (bits)"] = float(tokenizer.sigma_scale), tokenizer.rate_bits(x)
        rows.append({**row, "collapsed": collapsed})
    return pd.DataFrame(rows)


def tokens_of(recommender: Recommender, split: Split, case: int, last: int = 5) -> tuple[np.ndarray, list[str]]:
    """Tokens (n, K, D) and titles of a case's newest items, for ``plots.tokens``."""
    items = split.test.history(case)[-last:]
    network = recommender.network
    tokens = network.item_tokenizer.means(network.items[torch.from_numpy(items)]).detach().cpu().numpy()
    return tokens, [split.catalogue.titles[i] for i in items]


def prompt_text(recommender: Recommender, cases: Cases, case: int) -> str:
    """The prompt of a case as text; the places of continuous tokens read <z>."""
    prompt = recommender.prompts.build(cases.select([case]), np.array([2]))
    ids, slots = prompt.ids[0].tolist(), set(prompt.slot_position[0].tolist())
    tokenizer, text, run = recommender.text_tokenizer, "", []
    for place, token in enumerate(ids):
        if place in slots:
            text, run = text + tokenizer.decode(run) + "<z>", []
        else:
            run.append(token)
    return text + tokenizer.decode(run)


def path_among_items(recommender: Recommender, split: Split, case: int, trajectory) -> tuple:
    """Arguments of ``plots.denoising_path`` for one test case."""
    one = split.test[case]
    items = torch.nn.functional.normalize(recommender.embeddings.items, dim=1) * recommender.embeddings.dim**0.5
    return trajectory, items.numpy(), one.target, one.history.tolist(), split.catalogue.titles


def text_accuracy(recommender: Recommender, split: Split) -> pd.DataFrame:
    """How often the target has the facet that the text names, over test cases, beside two simple rules."""
    facets, values = split.catalogue.facets, recommender.answers.values
    named = {"preference text": [values[a] for a in recommender.understand(split.test).answer]}
    most = next(iter(facet_table(split).facet), "")
    named["most frequent facet"] = [most] * len(split.test)
    usual = []
    for i in range(len(split.test)):
        seen = pd.Series([f for item in split.test.history(i) for f in facets[item]], dtype=str)
        usual.append(seen.mode().iloc[0] if len(seen) else most)
    named["most frequent in the history"] = usual
    has = lambda names: np.mean([f in facets[t] for f, t in zip(names, split.test.target, strict=True)])  # noqa: E731
    rows = {rule: {"target has it": has(names), "different facets": len(set(names))} for rule, names in named.items()}
    return pd.DataFrame(rows).T


def quick_check(config: Config, recommender: Recommender) -> dict[tuple[str, int], Evaluation]:
    """Test evaluations of popularity, ItemKNN, the user token alone and the recommender, by name and first seed."""
    split, seed = load_split(config), config.seeds[0]

    class UserToken:
        def score(self, cases):
            return recommender.scores_of(recommender.embeddings.users(cases).to(recommender.device), None, "cosine")

    kept = {name: evaluating.kept_evaluations(evaluating.floor(config, name, seed))[name] for name in QUICK}
    kept["user token alone"] = evaluate(UserToken(), split.test)
    kept[config.model] = evaluate(recommender, split.test)
    return {(name, seed): evaluation for name, evaluation in kept.items()}


QUICK = ("popularity", "itemknn")  # what a first look is taken beside
# What a model is compared with; after a slash its own controls
AGAINST = (
    "/mean-history", "/user-token", "/direct-head", "/permuted-condition", "/random-backbone", "ease", "lightgcn",
    "popularity",
)  # fmt: skip


def paired_differences(config: Config, metrics=("HR@10", "NDCG@10")) -> pd.DataFrame:
    """The model against floors and controls on the same users, seeds averaged user by user first.

    Returns:
        model, against, metric, difference (model minus the other, percentage points), low, high, p, detectable, verdict
        and over, as :func:`contrec.study.tables.paired`.
    """
    kept, model = dict(evaluating.kept_of(config)), config.model
    others = [model + name if name[0] == "/" else name for name in AGAINST]
    there = {name for name, _ in kept}
    pairs = [
        paired({key: e for key, e in kept.items() if key[0] in (model, other)}, other, metrics)
        for other in others if other in there
    ]  # fmt: skip
    return pd.concat(pairs, ignore_index=True)


def against_floors(differences: pd.DataFrame) -> list[str]:
    """Whether a method earns its cost, in two sentences: against floors, and against itself with a part taken away.

    Args:
        differences: of :func:`paired_differences`, one metric.
    """
    lines, control = [], differences.against.str.contains("/")
    for kind, rows in (("the floors", differences[~control]), ("its own controls", differences[control])):
        told = [
            f"{row.against.rpartition('/')[2]} {words.points(row.difference, row.low, row.high)}"
            for row in rows.itertuples()
        ]
        if told:
            lines.append(f"{rows.metric.iloc[0]}, model minus {kind}: {words.counted(rows)}; {', '.join(told)}.")
    return lines


def example_file() -> Path:
    """The example table (:func:`contrec.data.example.write_example`), written below the artifacts."""
    return write_example(paths.artifacts() / "example")


def export(recommender: Recommender, name: str) -> Path:
    """Save a recommender below the artifacts, in place of what an earlier call of that name left there."""
    folder = paths.artifacts() / "exported" / name
    recommender.save(folder, replace=True)
    return folder


def subtitle(config: Config) -> str:
    """Dataset, preset and seeds, for a figure."""
    seeds = "seed " + ", ".join(str(s) for s in config.seeds)
    return f"{config.dataset} ({config.source}), {config.split}, {config.preset}, {seeds}"


def save_figure(figure, stem: str, frame: pd.DataFrame, config: Config, notebook: str, alt_text: str = "") -> Path:
    """Write a figure to ``figures/`` as SVG and PNG, the numbers behind it as CSV, and its provenance record."""
    from contrec.plots import theme

    folder = paths.figures()
    entry = entry_of(config, notebook=notebook)
    writing = theme.writers(figure, folder / stem, alt_text or f"{stem}: {subtitle(config)}", entry["fingerprint"])
    numbers = {folder / f"{stem}.csv": lambda part: frame.to_csv(part, index=False, float_format="%.6g")}
    return provenance.write(writing | numbers, entry)
