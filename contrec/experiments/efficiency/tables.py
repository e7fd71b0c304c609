"""What notebook 07 shows: inference cost published, reproduced and now; curves of cost; recorded runs of the bench."""

from __future__ import annotations

import pandas as pd

from contrec import bench, paths
from contrec.artifacts import provenance
from contrec.experiments.efficiency import inference
from contrec.papers.published import published
from contrec.recommender import Recommender
from contrec.study.config import Config
from contrec.study.fitting import load_split
from contrec.study.recording import entry_of, read_table

# sizes that a preset can afford: the largest catalogue's vectors take 2.4 GiB
CATALOGUES = {"tiny": (10**3, 10**4, 10**5), "laptop": (10**3, 10**4, 10**5, 10**6, 10**7)}
HISTORIES = {"tiny": (1, 4, 10), "laptop": (1, 2, 5, 10, 20)}
STEPS = {"tiny": (1, 5, 20), "laptop": (1, 2, 5, 10, 20, 50, 100)}
SAMPLES = {"tiny": (2, 8), "laptop": (2, 4, 8, 16, 32)}
PARTS = {"contrec/llm": "llm", "contrec/diffusion": "diffusion", "contrec": "total"}
FOLDER = "efficiency"  # below data/reproduced: other columns than the metrics there


def size(table: dict, config: Config) -> tuple:
    """The entry of a table of sizes for the config's preset; a GPU affords what a laptop does."""
    return table["tiny" if config.preset == "tiny" else "laptop"]


def batch_cost(config: Config, recommender: Recommender) -> pd.DataFrame:
    """Seconds and memory of one batch of inference by layout and part, of the test users."""
    return inference.split_by_part(recommender, load_split(config).test)


def history_cost(config: Config, recommender: Recommender) -> pd.DataFrame:
    """The language side against the length of the history shown."""
    return inference.by_history(recommender, load_split(config).test, size(HISTORIES, config))


def catalogue_cost(config: Config) -> pd.DataFrame:
    """Ranking against the size of the catalogue (random vectors), for ``plots.cost_curves``."""
    return inference.by_catalogue(size(CATALOGUES, config)).assign(layout="contrec")


def sampling_cost(config: Config, recommender: Recommender) -> pd.DataFrame:
    """HR@10 and seconds against sampler steps and number of samples; n numbers the points."""
    test = load_split(config).test
    found = inference.by_sampling(recommender, test, size(STEPS, config), size(SAMPLES, config))
    return found.assign(n=found["samples"].where(found["samples"] > 1, found["steps"]))


def published_cost(dataset: str) -> pd.DataFrame:
    """Table 4 of ContRec as layout, part, seconds: ContRec on one dataset; no rows where it is not in the table."""
    printed = published("contrec_table4")
    printed = printed[(printed.dataset == dataset) & printed.model.isin(PARTS)]
    return pd.DataFrame({"layout": "published", "part": printed.model.map(PARTS), "seconds": printed.value})


def beside(printed: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Published costs, then measured ones, for ``plots.cost_by_part``."""
    return pd.concat([printed, costs[["layout", "part", "seconds"]]], ignore_index=True)


def language_share() -> pd.DataFrame:
    """The language model's share of the published time, recomputed; the text of Appendix C.1 says 88.60 %."""
    printed = published("contrec_table4").pivot(index="dataset", columns="model", values="value")
    share = printed["contrec/llm"] / printed["contrec"]
    parts = printed["contrec/llm"] + printed["contrec/diffusion"]
    table = pd.DataFrame({"total": printed["contrec"], "sum of parts": parts, "share of the LLM": share})
    table.loc["mean"] = table.mean()
    return table.rename_axis(columns=None)


def cost_table(costs: pd.DataFrame, dataset: str, run_dataset: str) -> pd.DataFrame:
    """Seconds per batch of 24: published | reproduced | this run, by part; the ratio is reference layout to contrec.

    Args:
        costs: of the open notebook (:func:`batch_cost`).
        dataset: the published one.
        run_dataset: that of ``costs``; a planted number never stands in the reproduced column.
    """
    columns = {("published", "A800"): _by_part(published_cost(dataset), "published")}
    for kind, frame in (("reproduced", recorded(f"inference_{dataset}_tuned")), (f"this run ({run_dataset})", costs)):
        for layout in inference.LAYOUTS:
            columns[kind, layout] = _by_part(frame, layout)
        first, last = inference.LAYOUTS[0], inference.LAYOUTS[-1]
        columns[kind, "ratio"] = columns[kind, first] / columns[kind, last]
    table = pd.DataFrame(columns, index=[*inference.PARTS, "total"])
    shown = table.map("{:.4g}".format).where(table.notna(), "not run")
    shown["published"] = shown["published"].replace("not run", "-")
    return shown


def of_batch(costs: pd.DataFrame) -> str:
    """What :func:`batch_cost` has found, in a sentence of its numbers."""
    first, last = (_by_part(costs, inference.LAYOUTS[place]) for place in (0, -1))
    return (
        f"The reference layout takes {first['total'] / last['total']:.1f} times as long ({first['total']:.2g} s a "
        f"batch against {last['total']:.2g} s) for a text that is the same for {costs['same_text'].min():.0%} of the "
        f"users; the language model is {last['llm'] / last['total']:.0%} of what is left."
    )


def of_catalogue(costs: pd.DataFrame) -> str:
    """What :func:`catalogue_cost` has found, in a sentence of its numbers."""
    small, large = costs.sort_values("n_items").iloc[[0, -1]].to_dict("records")
    return (
        f"{large['n_items'] / small['n_items']:g} times the items take {large['seconds'] / small['seconds']:.1f} times "
        f"the seconds to rank, in {large['MiB']:.0f} MiB where all scores at once are {large['all scores MiB']:.0f}."
    )


def of_sampling(costs: pd.DataFrame) -> str:
    """What :func:`sampling_cost` has found, in a sentence of its numbers."""
    best, dear = costs.loc[costs["HR@10"].idxmax()], costs.loc[costs["seconds"].idxmax()]
    rate = "{0.kind} has {0[HR@10]:.3f} [{0.low:.3f}, {0.high:.3f}] for {0.seconds:.2g} s".format
    return f"Of HR@10, {rate(best)}, the best; what costs most, {rate(dear)}."


def _by_part(costs: pd.DataFrame, layout: str) -> pd.Series:
    found = costs[costs["layout"] == layout].set_index("part")["seconds"] if len(costs) else pd.Series(dtype=float)
    if len(found) and "total" not in found:
        found["total"] = found.sum()
    return found


def recorded(stem: str) -> pd.DataFrame:
    """A recorded table of costs, from ``data/reproduced/efficiency``; empty where none was recorded."""
    path = paths.reproduced() / FOLDER / f"{stem}.csv"
    return read_table(path) if path.is_file() else pd.DataFrame(columns=["layout", "part", "seconds"])


def record_costs(config: Config, costs: pd.DataFrame) -> None:
    """Write a notebook's table of costs to ``data/reproduced/efficiency`` with its provenance and the machine."""
    entry = entry_of(config, device=f"cpu ({inference.machine()})", notebook="07_efficiency")
    _write(f"inference_{config.dataset}_{config.recipe}", costs, entry)


def record_bench(outcomes: dict[str, bench.Outcome], device: str, seconds: float) -> None:
    """Write the tables of a whole run of ``contrec bench`` to ``data/reproduced/efficiency``."""
    tables = [o.table.assign(stage=stage, note="; ".join(o.verdicts)) for stage, o in outcomes.items()]
    frame = pd.concat(tables)[["stage", "way", "seconds", "min", "max", "ratio", "MiB", "note"]]
    machine = f"{device} ({inference.machine(device)})"
    entry = provenance.record({"device": device}, dataset="none", device=machine, seconds=seconds)
    _write(f"bench_{device}", frame, entry)


def _write(stem: str, frame: pd.DataFrame, entry: dict) -> None:
    path = paths.reproduced() / FOLDER / f"{stem}.csv"
    provenance.write({path: lambda part: frame.to_csv(part, index=False, float_format="%.6g")}, entry)


def bench_table(device: str = "cpu") -> pd.DataFrame:
    """The recorded run of ``contrec bench``: how many times as long each other way takes, and the bars."""
    found = recorded(f"bench_{device}")
    if not len(found):
        return pd.DataFrame({"contrec bench": ["not run"]})
    wide = found.pivot(index="stage", columns="way", values="ratio").reindex(found["stage"].unique())
    names = [n for n in (bench.harness.REFERENCE, bench.harness.FAIR) if n in wide]
    own = found[found["way"] == bench.harness.OURS].set_index("stage")
    table = wide[names].rename(columns="{} / contrec".format).join(own[["seconds", "MiB", "note"]])
    return table.rename(columns={"seconds": "contrec, s", "MiB": "contrec, MiB", "note": "bars"})
