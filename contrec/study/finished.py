"""Finished runs: listed, and compared with each other on their kept ranks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from contrec import paths
from contrec.artifacts.store import artifacts_of, made_from
from contrec.evaluation import paired_bootstrap
from contrec.files import Damaged
from contrec.study.config import REFIT, Config
from contrec.study.evaluating import kept_evaluations, run_about, run_of
from contrec.study.lists import not_one


def list_runs() -> pd.DataFrame:
    """Finished runs, then floors: name, what they are, and their test metrics; "note" says what is wrong with one."""
    known, broken = _known()
    rows = []
    for folder in artifacts_of(paths.artifacts(), "recommender"):
        try:
            run = run_about(folder.name)
        except Damaged as error:
            broken[folder] = error
            continue
        config = run["config"]
        row = {
            "run": folder.name,
            "label": run["label"],
            "dataset": Path(config["path"]).name if config.get("path") else config["dataset"],
            "source": config["source"],
            "split": Config.from_dict(config).protocol,
            "preset": config["preset"],
            "seed": run["seed"],
            "minutes": run["seconds"] / 60,
        }
        rows += [row | _own(own) for own in known.get(folder.name, ())] or [row]
    for folder in artifacts_of(paths.artifacts(), "baselines"):
        if folder in broken:
            continue
        key = made_from(folder)
        names = {name: key["data"][name] for name in ("dataset", "source", "split")}
        names["split"] += REFIT * key["data"].get("refit", False)
        if names["dataset"] == "table":
            names["dataset"] = ", ".join(key["data"]["files"])
        rows.append({"run": folder.name, "label": "floor", **names, "seed": key["seed"], **_own(folder)})
    rows += [{"run": folder.name, "label": "damaged", "note": str(error)} for folder, error in broken.items()]
    return pd.DataFrame(rows)


def _own(folder: Path) -> dict:
    """Name and test metrics of the model that an evaluation is about; its controls come after it."""
    frame = pd.read_csv(folder / "results.csv")
    own = frame[frame.model == frame.model.iloc[0]]
    return {"model": own.model.iloc[0], **own.set_index("metric").value.to_dict()}


def _known() -> tuple[dict[str, list[Path]], dict[Path, Damaged]]:
    """Folders of kept evaluations by the run (ContRec's or a baseline's) that they are of, and those that are damaged.

    Of a run that was evaluated alone first and then with its controls, the second.
    """
    found: dict[str, dict[Path, bool]] = {}
    broken = {}
    for stage in ("evaluation", "baselines"):
        for folder in artifacts_of(paths.artifacts(), stage):
            try:
                key = made_from(folder)
            except Damaged as error:
                broken[folder] = error
            else:
                alone = key.get("control") == "none"
                found.setdefault(key.get("recommender", folder.name), {})[folder] = alone
    known = {run: [f for f, one in own.items() if not one or all(own.values())] for run, own in found.items()}
    return known, broken


def _evaluations(run: str) -> list[Path]:
    """Folders of kept evaluations, of runs whose name begins with ``run``."""
    return sorted(f for name, folders in _known()[0].items() if name.startswith(run) for f in folders)


def compare(run_a: str, run_b: str, metrics=("HR@10", "HR@20", "NDCG@10", "NDCG@20")) -> pd.DataFrame:
    """Paired bootstrap of two runs on their kept ranks, over users only; percentage points, first minus second.

    A run is named by its fingerprint, or by "<fingerprint>:<model>" for a control kept with it. Runs on other data, or
    on the same data from another source, are refused: their targets differ even where their users agree.
    """
    evaluations, cases = [], []
    for run in (run_a, run_b):
        name, _, model = run.partition(":")
        folders = _evaluations(name) if name else []
        if len(folders) != 1:
            known = sorted(_evaluations(""), key=lambda f: f.parent.name != "evaluation")  # floors last
            known = [f"{run_of(f)} ({_own(f)['model']})" for f in known]
            broken = "".join(f"; {error}" for error in _known()[1].values())
            raise ValueError(not_one(name, len(folders), "evaluated runs", known) + broken)
        kept = kept_evaluations(folders[0])
        model = model or next(iter(kept))
        if model not in kept:
            raise ValueError(f"run {name!r} holds no model {model!r}; it holds {', '.join(kept)}")
        evaluations.append(kept[model])
        cases.append(_data_of(folders[0]))
    if cases[0] != cases[1]:
        raise ValueError(f"a paired comparison needs the same test cases, got {' and '.join(cases)}")
    return pd.DataFrame([paired_bootstrap(*evaluations, m) for m in metrics])


def _data_of(folder: Path) -> str:
    """Dataset, source and split that an evaluation belongs to."""
    key = made_from(folder)
    names = run_about(key["recommender"])["config"] if "recommender" in key else key["data"]
    return ", ".join(names[name] for name in ("dataset", "source", "split"))
