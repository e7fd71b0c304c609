"""What finished models recommend: runs, parts of them, floors and other baselines, all asked alike.

The lists of a run's own users are kept once all of them were made, and then read without the model: a question takes a
second. A baseline keeps no weights with its result; it is fitted again, which gives the same model.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from contrec import paths
from contrec.artifacts.store import artifacts_of, made_from, read_about
from contrec.checks import one_of
from contrec.files import Damaged, replacing, seal, sealed

if TYPE_CHECKING:
    from contrec.data.interactions import Cases, Catalogue
    from contrec.study.config import Config

LENGTH = 20  # items of a kept list
BATCH = 256  # users whose scores are held at a time
SLOW = 2.0  # seconds of fitting from which on it is said


@dataclass
class Asked:
    """A model that is ready to answer.

    Attributes:
        user_ids, sequences: the users it knows, and one case each with everything known of them.
        catalogue: what it ranks.
        rank: from cases and k to a table with the columns case, rank, item, title, score and, of a whole run, cosine,
            bonus and text.
    """

    user_ids: np.ndarray
    sequences: Cases
    catalogue: Catalogue
    rank: Callable[[Cases, int], pd.DataFrame]

    def cases_of(self, users) -> Cases:
        """The cases of users by original id; ValueError for one that is unknown."""
        what = f"give one of the {len(self.user_ids)} users of the data, such as {self.user_ids[0]}, or a history"
        return self.sequences.select(_numbers(users, self.user_ids, "user", what))

    def items_of(self, history) -> np.ndarray:
        """The numbers of items by original id; ValueError for one that is unknown."""
        if not len(history):
            raise ValueError("the history is empty: give at least one item id")
        what = f"item ids are those of the catalogue, such as {self.catalogue.item_ids[0]}"
        return _numbers(history, self.catalogue.item_ids, "items in the history", what)


def _numbers(ids, known: np.ndarray, name: str, what: str) -> np.ndarray:
    number = {str(one): n for n, one in enumerate(known)}
    if unknown := [str(one) for one in ids if str(one) not in number]:
        raise ValueError(f"unknown {name} {', '.join(map(repr, unknown[:5]))}: {what}")
    return np.array([number[str(one)] for one in ids], dtype=np.int64)


def find(run: str) -> tuple[Path, str | None]:
    """The folder of a run or a baseline, and the part that is asked for: "NAME" or "NAME:contrec/user-token".

    Args:
        run: the name as ``contrec runs`` lists it, or its beginning.

    Raises:
        ValueError: if it does not name one.
        Damaged: if its files are not those that were written.
    """
    name, _, part = run.partition(":")
    known = [f for stage in ("recommender", "baselines") for f in artifacts_of(paths.artifacts(), stage)]
    found = [f for f in known if f.name == name] or [f for f in known if name and f.name.startswith(name)]
    if len(found) != 1:
        whole, broken = [], ""
        for folder in known:
            try:
                made_from(folder, only=lambda name: False)
                whole.append(folder.name)
            except Damaged as error:
                broken += f"; {error}"
        raise ValueError(not_one(name, len(found), "runs", whole) + broken)
    key = made_from(found[0], only=lambda name: False)
    own = key.get("model")
    if found[0].parent.name == "baselines" and part not in ("", own):
        raise ValueError(f"run {name!r} holds no model {part!r}; it holds {own}")
    return found[0], None if part in ("", own) else part


def not_one(run: str, count: int, what: str, known: list[str], shown: int = 10) -> str:
    """What to do about a name that does not name one run."""
    unfinished = (paths.artifacts() / "recommender").glob(".*.unfinished")
    if run and not count and any(folder.name.startswith(f".{run}") for folder in unfinished):
        return f"run {run!r} is not finished: the `contrec study` command that began it goes on where it stopped"
    more = f" and {len(known) - shown} more, which `contrec runs` lists" if len(known) > shown else ""
    return f"run {run!r} names {count} {what}; known are {', '.join(known[:shown]) or 'none yet'}{more}"


def recommend(run: str, users=None, history=None, all: bool = False, k: int = 10, note=None) -> pd.DataFrame:  # noqa: A002
    """Ranked items of any model: for users of its data, a history of item ids, or every user.

    Args:
        run: as :func:`find` reads it.
        k: items a user; a list ends where fewer are left that the user has not taken.
        note: is told when something takes long; None: nobody is.

    Returns:
        user (unless it is a history), rank, item, title, score; of a whole run also cosine, bonus and the preference
        text.
    """
    folder, part = find(run)
    if history is None:
        kept = _kept(folder, part)
        if kept is None and (all or part or folder.parent.name == "baselines"):
            kept = keep_lists(run, note)
        if kept is not None and k <= kept[1]["length"]:
            return _read(*kept, None if all else users, k)
    asked = load(folder, part, note)
    if history is None:
        users = list(asked.user_ids) if all else users
        return _named(asked.rank(asked.cases_of(users), k), users)
    if part:
        raise ValueError(f"{part} is a part that is asked for the run's own users: leave out :{part}, or give a user")
    from contrec.data.interactions import Cases

    return asked.rank(Cases.from_histories([asked.items_of(history)]), k).drop(columns="case")


def recommend_strangers(
    run: str, path, columns: dict[str, str], users=None, k: int = 10, note=None
) -> tuple[pd.DataFrame, dict]:
    """Ranked items for users of another file, from what that file says they took.

    Args:
        path, columns: of :func:`contrec.data.table.load`. A run on a file of one's own remembers its columns.
        users: ids in that file; None: everybody in it.

    Returns:
        As :func:`recommend`; and what was left out: "rows", of items that the run does not know, and "users", of whom
        no other rows are left.

    Raises:
        ValueError: if nobody is left, or for a part of a run.
    """
    folder, part = find(run)
    if part:
        raise ValueError(f"{part} is a part that is asked for the run's own users: leave out --path, or :{part}")
    from contrec import data
    from contrec.data.interactions import Cases
    from contrec.data.table import NEEDED

    key = made_from(folder)
    of_run = key["data"].get("columns", {})
    asked = load(folder, None, note)
    remembered = {role: name for role, name in of_run.items() if role in (*NEEDED, "event", "events")}
    found, _ = data.load("table", path=path, **remembered | columns)
    number = {str(item): n for n, item in enumerate(asked.catalogue.item_ids)}
    items = np.array([number.get(str(item), -1) for item in found.item_ids])[found.item]
    known = items >= 0
    each, first = np.unique(found.user[known], return_index=True)
    histories = dict(zip(found.user_ids[each].tolist(), np.split(items[known], first[1:]), strict=True))
    if users is not None and (unknown := [str(user) for user in users if str(user) not in histories]):
        raise ValueError(f"user {unknown[0]!r} has no row of {path} with an item that the run knows")
    if not histories:
        raise ValueError(f"{path} holds no item that the run knows; its ids are such as {asked.catalogue.item_ids[0]}")
    users = list(histories) if users is None else [str(user) for user in users]
    left_out = {"rows": int((~known).sum()), "users": found.n_users - len(histories)}
    return _named(asked.rank(Cases.from_histories([histories[user] for user in users]), k), users), left_out


def _named(frame: pd.DataFrame, users) -> pd.DataFrame:
    frame.insert(0, "user", np.asarray(users, dtype=str)[frame.pop("case")])
    return frame


# -- lists that are kept -----------------------------------------------------------------------------------------------


def keep_lists(run: str, note=None) -> tuple[Path, dict]:
    """Make and keep the first :data:`LENGTH` items of every user of a run's data; they are not made twice.

    Returns:
        The folder, and what is said of the lists: "length", items of each.
    """
    folder, part = find(run)
    if (kept := _kept(folder, part)) is not None:
        return kept
    asked = load(folder, part, note)
    left = len(asked.catalogue) - np.diff(asked.sequences.history_matrix(len(asked.catalogue)).indptr)
    length = max(1, min(LENGTH, int(left.min())))
    frame = _named(asked.rank(asked.sequences, length), asked.user_ids)
    with replacing(_place(folder, part)) as made:
        made.mkdir()
        frame.to_parquet(made / "lists.parquet", index=False)
        seal(made / "key.json", {"run": folder.name, "part": part, "length": length, "users": len(asked.user_ids)})
    return _kept(folder, part)


def _place(folder: Path, part: str | None) -> Path:
    return paths.artifacts() / "lists" / (folder.name + ("" if part is None else "-" + part.replace("/", "-")))


def _kept(folder: Path, part: str | None) -> tuple[Path, dict] | None:
    place = _place(folder, part)
    return (place, sealed(place / "key.json")) if place.is_dir() else None


def _read(place: Path, about: dict, users, k: int) -> pd.DataFrame:
    within = [("rank", "<=", k)]
    if users is not None:
        users = [str(user) for user in users]
        within.append(("user", "in", users))
    found = pd.read_parquet(place / "lists.parquet", filters=within)
    if users is not None and (unknown := set(users) - set(found.user)):
        first = pd.read_parquet(place / "lists.parquet", columns=["user"]).user.iloc[0]
        what = f"give one of the {about['users']} users of the data, such as {first}, or a history"
        raise ValueError(f"unknown user {sorted(unknown)[0]!r}: {what}")
    return found


# -- models ------------------------------------------------------------------------------------------------------------


def load(folder: Path, part: str | None, note=None) -> Asked:
    """The model of a folder that :func:`find` found, ready to answer."""
    made_from(folder)
    if folder.parent.name == "baselines":
        return _fitted_again(folder, note)
    from contrec.recommender import Recommender

    recommender = Recommender.load(folder / "model")
    known = recommender.user_ids, recommender.sequences, recommender.catalogue
    if part is None:
        return Asked(*known, recommender.recommend_cases)
    from contrec.controls import variants
    from contrec.study.evaluating import SAMPLES
    from contrec.study.fitting import load_split

    run, config = read_about(folder, "run.json"), _data_of(folder, made_from(folder)["data"])
    if note is not None:
        note(f"{part}: made for all {len(known[0])} users at once, and then kept")
    parts = variants(
        recommender, load_split(config), recommender.sequences, seed=run["seed"],
        n_samples=SAMPLES[run["config"]["preset"]], name=run["config"]["model"],
    )  # fmt: skip
    one_of("part", part, tuple(parts))
    return Asked(*known, partial(_by_score, parts[part], recommender.catalogue))


def _fitted_again(folder: Path, note) -> Asked:
    """A baseline fitted with the settings, the seed and the data of its artifact; checkpoints are kept."""
    from contrec import baselines
    from contrec.data.training_cases import known_sequences
    from contrec.study.fitting import load_split

    key, about = made_from(folder), read_about(folder)
    split = load_split(_data_of(folder, key["data"]))
    if note is not None and about["seconds"] > SLOW:
        note(f"{key['model']} keeps no weights: fitted again, which took {about['seconds']:.0f} s the first time")
    model = baselines.make(key["model"], **key["settings"])
    trained = isinstance(model, baselines.Learned)
    kept = {"folder": paths.artifacts() / "checkpoints" / folder.name} if trained else {}
    if key["data"].get("refit") and about["chosen epochs"]:
        kept["epochs"] = about["chosen epochs"]
    model.fit(split, seed=key["seed"], progress=note is not None and sys.stderr.isatty(), **kept)
    return Asked(
        split.train.user_ids, known_sequences(split), split.catalogue, partial(_by_score, model, split.catalogue)
    )


def _data_of(folder: Path, data: dict) -> Config:
    """A config with the data that an artifact was made from.

    Raises:
        ValueError: if they are not there any more, or are others now.
    """
    from contrec.study.config import Config
    from contrec.study.fitting import data_key

    if data["dataset"] == "table":  # where the file lies is known to the runs on it
        runs = artifacts_of(paths.artifacts(), "recommender")
        own = [f for f in runs if made_from(f, only=lambda name: False)["data"] == data]
        if not own:
            raise ValueError(f"no run on {', '.join(data['files'])} is left that says where the file of {folder} lies")
        config = Config.from_dict(read_about(own[0], "run.json")["config"])
    else:
        config = Config.from_parameters(**{k: data[k] for k in ("dataset", "source", "split", "refit") if k in data})
    if data_key(config) != data:
        raise ValueError(f"{folder} was made from other data than are here now: run the study again")
    return config


def _by_score(model, catalogue: Catalogue, cases: Cases, k: int) -> pd.DataFrame:
    """The table of :class:`Asked` from a model's scores; of equal scores the item that stands first comes first."""
    m, parts = len(catalogue), []
    for start in range(0, len(cases), BATCH):
        some = cases.select(np.arange(start, min(start + BATCH, len(cases))))
        scores = model.score(some)
        scores = np.array(scores.cpu() if hasattr(scores, "cpu") else scores, dtype=float)
        seen = some.history_matrix(m).tocoo()
        scores[seen.row, seen.col] = -np.inf
        top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        case, place = np.nonzero(np.isfinite(np.take_along_axis(scores, top, 1)))
        items = top[case, place]
        about = {"case": start + case, "rank": place + 1, "item": catalogue.item_ids[items]}
        parts.append(about | {"title": [catalogue.titles[i] for i in items], "score": scores[case, items]})
    frame = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    if len(frame) < k * len(cases):
        fewest = frame.groupby("case").size().reindex(range(len(cases)), fill_value=0).min()
        warnings.warn(f"k is {k}, but only {fewest} items are left to somebody: lists end there", stacklevel=4)
    return frame
