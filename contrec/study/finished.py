"""Finished runs: listed, compared with each other, asked for recommendations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contrec import data, paths
from contrec.artifacts.store import artifacts_of, made_from
from contrec.data.interactions import Cases
from contrec.data.table import NEEDED
from contrec.evaluation import paired_bootstrap
from contrec.files import Damaged
from contrec.recommender import Recommender
from contrec.study.evaluating import kept_evaluations, run_about, run_of


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
            **{name: config[name] for name in ("source", "split", "preset")},
            "seed": run["seed"],
            "minutes": run["seconds"] / 60,
        }
        rows += [row | _own(own) for own in known.get(folder.name, ())] or [row]
    for folder in artifacts_of(paths.artifacts(), "baselines"):
        if folder in broken:
            continue
        key = made_from(folder)
        names = {name: key["data"][name] for name in ("dataset", "source", "split")}
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


def _find(run: str, stage: str) -> Path:
    """The artifact folder of a run, by its name or the beginning of it."""
    known = artifacts_of(paths.artifacts(), stage)
    found = [f for f in known if f.name == run] or [f for f in known if run and f.name.startswith(run)]
    if len(found) != 1:
        whole, broken = [], ""
        for folder in known:
            try:
                made_from(folder, only=lambda name: False)
                whole.append(folder.name)
            except Damaged as error:
                broken += f"; {error}"
        raise ValueError(_not_one(run, len(found), "runs", whole) + broken)
    made_from(found[0])
    return found[0]


def _not_one(run: str, count: int, what: str, known: list[str], shown: int = 10) -> str:
    """What to do about a name that does not name one run."""
    unfinished = (paths.artifacts() / "recommender").glob(".*.unfinished")
    if run and not count and any(folder.name.startswith(f".{run}") for folder in unfinished):
        return f"run {run!r} is not finished: the `contrec study` command that began it goes on where it stopped"
    more = f" and {len(known) - shown} more, which `contrec runs` lists" if len(known) > shown else ""
    return f"run {run!r} names {count} {what}; known are {', '.join(known[:shown]) or 'none yet'}{more}"


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
    """Paired bootstrap of two runs on their kept ranks; differences in percentage points, first minus second.

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
            raise ValueError(_not_one(name, len(folders), "evaluated runs", known) + broken)
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


def recommend(run: str, users=None, history=None, all: bool = False, k: int = 10) -> pd.DataFrame:  # noqa: A002
    """Ranked items with the preference text, from a finished run: for users, a history of item ids, or every user."""
    recommender = Recommender.load(_find(run, "recommender") / "model")
    if history is not None:
        return recommender.recommend(history=history, k=k).drop(columns="case")
    if all:
        users = list(recommender.user_ids)
    return _ranked(recommender, users, recommender.cases_of(users), k)


def recommend_strangers(run: str, path, columns: dict[str, str], users=None, k: int = 10) -> tuple[pd.DataFrame, dict]:
    """Ranked items for users of another file, from what that file says they took.

    Args:
        path, columns: of :func:`contrec.data.table.load`. A run on a file of one's own remembers its columns.
        users: ids in that file; None: everybody in it.

    Returns:
        As :func:`recommend`; and what was left out: "rows", of items that the run does not know, and "users", of whom
        no other rows are left.

    Raises:
        ValueError: if nobody is left.
    """
    folder = _find(run, "recommender")
    config, recommender = run_about(folder.name)["config"], Recommender.load(folder / "model")
    asked = {role: name for role, name in config.get("columns", {}).items() if role in (*NEEDED, "event", "events")}
    found, _ = data.load("table", path=path, **asked | columns)
    number = {str(item): n for n, item in enumerate(recommender.catalogue.item_ids)}
    items = np.array([number.get(str(item), -1) for item in found.item_ids])[found.item]
    known = items >= 0
    each, first = np.unique(found.user[known], return_index=True)
    histories = dict(zip(found.user_ids[each].tolist(), np.split(items[known], first[1:]), strict=True))
    if users is not None and (unknown := [str(user) for user in users if str(user) not in histories]):
        raise ValueError(f"user {unknown[0]!r} has no row of {path} with an item that the run knows")
    if not histories:
        raise ValueError(
            f"{path} holds no item that the run knows; its ids are such as {recommender.catalogue.item_ids[0]}"
        )
    users = list(histories) if users is None else [str(user) for user in users]
    left_out = {"rows": int((~known).sum()), "users": found.n_users - len(histories)}
    return _ranked(recommender, users, Cases.from_histories([histories[user] for user in users]), k), left_out


def _ranked(recommender: Recommender, users: list, cases: Cases, k: int) -> pd.DataFrame:
    frame = recommender.recommend_cases(cases, k)
    frame.insert(0, "user", np.asarray(users, dtype=str)[frame.pop("case")])
    return frame
