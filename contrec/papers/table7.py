"""ContRec's Table 7, three users of Games, beside the authors' released files."""

from __future__ import annotations

import re

import pandas as pd

from contrec.data import DataError, released
from contrec.data.download import locate
from contrec.data.facets import clean_text
from contrec.papers.published import published

ABSENT = "not available"
_ROW = re.compile(r"(?P<user>\d+) \((?P<outcome>[SF])\) (?P<item>\d+)(?P<target> \(target\))?")


def printed_cases() -> pd.DataFrame:
    """Table 7 as printed, a row per item, oldest first: user, outcome, item, target (bool), title, type, platform,
    category.

    Users and items are numbered as in the authors' files.
    """
    cells = published("contrec_table7")
    wide = cells.pivot(index="row", columns="metric", values="text").loc[list(dict.fromkeys(cells.row))]
    parts = [_ROW.fullmatch(row) for row in wide.index]
    frame = pd.DataFrame(
        {
            "user": [int(m["user"]) for m in parts],
            "outcome": [{"S": "success", "F": "failure"}[m["outcome"]] for m in parts],
            "item": [int(m["item"]) for m in parts],
            "target": [m["target"] is not None for m in parts],
        }
    )
    return frame.join(wide[["title", "type", "platform", "category"]].reset_index(drop=True))


def released_games() -> tuple[dict[int, list[int]], pd.Series, pd.DataFrame] | None:
    """The authors' sequences by user number, original ids by user number, and their item list by item number.

    Columns of the list: title, path (category path, a list), brand.

    Returns:
        None where the files are not here; nothing is fetched.
    """
    try:
        sequences, people, items = (locate(file, download=False) for file in released.files("games"))
    except DataError:
        return None
    names, table = released.read_list(people), released.read_list(items, released.COLUMNS["games"])
    users, lengths, item = released.read_sequences(sequences, len(names), len(table))
    stops = lengths.cumsum()
    by_user = {int(u): item[b - n : b].tolist() for u, n, b in zip(users, lengths, stops, strict=True)}
    said = pd.DataFrame(map(released.path_and_brand, table.category), columns=["path", "brand"])
    return by_user, names.org_id, table.assign(title=table.title.map(clean_text), path=said.path, brand=said.brand)


def printed_sequences(files=None) -> pd.DataFrame:
    """Each printed user's history and target beside the released sequence.

    Args:
        files: as :func:`released_games` returns it; None where the files are not here.

    Returns:
        user, original id, printed as (success or failure), printed history, found history, printed target, found
        target, agree ("yes", "no", or ``ABSENT``), target's path in history: how many pieces of the target's category
        path (after the first, "Video Games") an item of the history has too. The list that ContRec made is not printed,
        so there is nothing to compare it with.
    """
    rows = []
    for user, of in printed_cases().groupby("user", sort=False):
        printed = of["item"].tolist()
        row = {
            "user": user,
            "original id": ABSENT,
            "printed as": of.outcome.iloc[0],
            "printed history": _joined(printed[:-1]),
        }
        row |= {"found history": ABSENT, "printed target": str(printed[-1]), "found target": ABSENT, "agree": ABSENT}
        row["target's path in history"] = ABSENT
        if files is not None:
            sequences, ids, items = files
            found = sequences.get(int(user), [])
            row |= {"original id": ids[user]}
            row |= {"found history": _joined(found[:-1]), "found target": _joined(found[-1:])}
            row["agree"] = "yes" if found == printed else "no"
            before = {piece for item in found[:-1] for piece in items.path[item]}
            path = [piece for item in found[-1:] for piece in items.path[item][1:]]
            row["target's path in history"] = f"{sum(p in before for p in path)} of {len(path)}"
        rows.append(row)
    return pd.DataFrame(rows)


def printed_cells(files=None) -> pd.DataFrame:
    """Each printed item beside the file's title, category path and brand, with what the printed cells are there.

    Args:
        files: as for :func:`printed_sequences`.

    Returns:
        user, item, printed title, found title, title ("same", "shortened": the file's words with some left out,
        "other"), found path, found brand, and for type, platform and category the printed text and where it stands in
        the file ("path", "brand", "not there"; "left out" where a "/" is printed); ``ABSENT`` where there is no file.
    """
    rows = []
    for one in printed_cases().itertuples():
        row = {"user": one.user, "item": one.item, "printed title": one.title}
        cells = {name: getattr(one, name) for name in ("type", "platform", "category")}
        if files is None:
            row |= dict.fromkeys(("found title", "title", "found path", "found brand"), ABSENT)
            rows.append(row | {name: f"{text}: {ABSENT}" for name, text in cells.items()})
            continue
        file = files[2].loc[one.item]
        row |= {"found title": file.title, "title": _title(one.title, file.title)}
        row |= {"found path": " > ".join(file.path), "found brand": file.brand}
        rows.append(row | {name: f"{text}: {_place(text, file)}" for name, text in cells.items()})
    return pd.DataFrame(rows)


def _joined(items: list[int]) -> str:
    return ", ".join(str(item) for item in items)


def _title(printed: str, found: str) -> str:
    if printed == found:
        return "same"
    words = iter(found.split())
    return "shortened" if all(word in words for word in printed.split()) else "other"


def _place(printed: str, file: pd.Series) -> str:
    if printed == "/":
        return "left out"
    return "path" if printed in file.path else "brand" if printed == file.brand else "not there"
