"""Which notebook answers for which table or figure of the papers, and which code for which equation.

Both tables are written down in ``data/published`` (``coverage.csv``, ``equations.csv``) and held against what notebooks
and docstrings say themselves: a notebook claims what its first cell names in brackets, "(ContRec, Table 2; DeftRec,
Figs. 3 and 4)"; a docstring names an equation as "Eq. (12), ContRec" or "Eqs. 9-12".
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

import pandas as pd

from contrec import paths

EQUATIONS = {"contrec": 25, "deftrec": 15}  # how many numbered equations each paper has
NAMES = {"ContRec": "contrec", "DeftRec": "deftrec"}
_NUMBERS = r"\(?\d+\)?(?:(?:, | and |, and | to |-|/)\(?\d+\)?(?![\d.]))*"
_ITEM = re.compile(rf"\b(Table|Fig)(?:ure|s|ures|)\.? ({_NUMBERS})")
_EQUATION = re.compile(rf"\bEqs?\.? ?({_NUMBERS})")
_OTHER_WORK = re.compile(r"et al\.,? \d{4}, $")


def coverage() -> pd.DataFrame:
    """Every table and figure of both papers: paper, item ("Table 2"), part, notebook, reason (str, "" where empty).

    A table of two parts has a row for each, with different notebooks; what no notebook claims has its reason.
    """
    return pd.read_csv(paths.published() / "coverage.csv", dtype=str, keep_default_na=False)


def equations() -> pd.DataFrame:
    """Every numbered equation: paper, equation (int), what, code (a dotted name or "") and, without code, reason."""
    frame = pd.read_csv(paths.published() / "equations.csv", dtype=str, keep_default_na=False)
    return frame.assign(equation=frame["equation"].astype(int))


def coverage_problems(table: pd.DataFrame, claims: dict[str, set], to_come: tuple[str, ...] = ()) -> list[str]:
    """Where the table of coverage and the notebooks disagree; empty where they do not.

    Args:
        table: as :func:`coverage` gives it.
        claims: what each notebook claims, by its name; see :func:`claimed`.
        to_come: names of notebooks that need not be there yet.
    """
    found = []
    for (paper, item), rows in table.groupby(["paper", "item"], sort=False):
        owners = [name for name in rows["notebook"] if name]
        place = f"{paper} {item}"
        if len(rows) > 1 and not (rows["part"].all() and rows["part"].is_unique and rows["notebook"].is_unique):
            found.append(f"{place}: several rows need different parts and different notebooks")
        found += [f"{place}: no notebook and no reason" for row in rows.itertuples() if not row.notebook + row.reason]
        for name in owners:
            if name not in claims and name not in to_come:
                found.append(f"{place}: there is no notebook {name}")
            if name in claims and (paper, item) not in claims[name]:
                found.append(f"{place}: the first cell of {name} does not name it in brackets")
        others = [name for name, items in claims.items() if (paper, item) in items and name not in owners]
        found += [f"{place}: {name} claims it too" for name in others]
    listed = set(zip(table["paper"], table["item"], strict=True))
    unknown = [(name, *item) for name, items in claims.items() for item in sorted(items - listed)]
    return found + [f"{paper} {item}: {name} claims it, and it is not in the table" for name, paper, item in unknown]


def equation_problems(table: pd.DataFrame, to_come: tuple[tuple[str, int], ...] = ()) -> list[str]:
    """Where the table of equations and the code disagree; empty where they do not.

    Args:
        table: as :func:`equations` gives it.
        to_come: (paper, equation) whose code need not be there, or name its equation, yet.
    """
    found = []
    for row in table.itertuples():
        place = f"{row.paper} Eq. ({row.equation})"
        if bool(row.code) == bool(row.reason):
            found.append(f"{place}: either code or a reason")
        if not row.code or (row.paper, row.equation) in to_come:
            continue
        try:
            text = says(row.code)
        except (ImportError, AttributeError):
            found.append(f"{place}: there is no {row.code}")
            continue
        name = next(name for name, paper in NAMES.items() if paper == row.paper)
        ambiguous = row.equation <= min(EQUATIONS.values())
        if (row.paper, row.equation) not in mentions(text) or (ambiguous and name not in text):
            found.append(f"{place}: neither {row.code} nor its module names it")
    return found


def _numbers(text: str) -> list[int]:
    """The numbers of "(7), (8) and (21)", "16/17" or "9-12"; a range gives all of its numbers."""
    text = text.replace("(", "").replace(")", "")
    text = re.sub(r"(\d+)-(\d+)", lambda m: " ".join(map(str, range(int(m[1]), int(m[2]) + 1))), text)
    return [int(number) for number in re.findall(r"\d+", text)]


def claimed(notebook: Path) -> set[tuple[str, str]]:
    """(paper, item) of all tables and figures that the first cell of a notebook names in brackets with a paper's name.

    "(Table 1 of ContRec and of DeftRec)" claims two; other text, and brackets without a paper's name, claim nothing.
    """
    source = "".join(json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"])
    found = set()
    for bracket in re.findall(r"\(([^()]*)\)", source):
        for clause in bracket.split(";"):
            papers = [paper for name, paper in NAMES.items() if name in clause]
            for kind, numbers in _ITEM.findall(clause):
                item = "Table" if kind == "Table" else "Figure"
                found |= {(paper, f"{item} {n}") for paper in papers for n in _numbers(numbers)}
    return found


def mentions(text: str) -> set[tuple[str, int]]:
    """(paper, number) of every equation that a docstring or comment names.

    The paper is the one named behind the number, up to the next semicolon, full stop or equation; else the one right
    before it ("DeftRec, Eq. (12)", "DeftRec's Eq. (12)"); else ContRec. Equations of other works ("Ho et al. 2020,
    Eq. (7)") are left out.
    """
    text, found = " ".join(text.split()), set()
    for match in _EQUATION.finditer(text):
        before, behind = text[: match.start()], text[match.end() :]
        if _OTHER_WORK.search(before):
            continue
        clause = re.split(r"[;.]|\bEq", behind, maxsplit=1)[0]
        papers = {paper for name, paper in NAMES.items() if name in clause}
        papers = papers or {paper for name, paper in NAMES.items() if re.search(rf"{name}(?:'s|,) $", before)}
        found |= {(paper, number) for paper in papers or {"contrec"} for number in _numbers(match[1])}
    return found


def named_object(dotted: str) -> tuple[object, object]:
    """The object of a dotted name, and its module.

    Raises:
        ImportError: if no part of the name is a module.
        AttributeError: if its module has no such object.
    """
    parts = dotted.split(".")
    for size in range(len(parts), 0, -1):
        try:
            module = found = importlib.import_module(".".join(parts[:size]))
        except ModuleNotFoundError as error:
            if not f"{dotted}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it imports is missing
            continue
        for name in parts[size:]:
            found = getattr(found, name)
        return found, module
    raise ImportError(f"no module in {dotted}")


def says(dotted: str) -> str:
    """The docstrings of an object and of its module, one after the other."""
    return "\n\n".join(inspect.getdoc(thing) or "" for thing in named_object(dotted))


def docstrings(package: Path | None = None) -> dict[str, str]:
    """All docstrings and comments of each module of the package, as one text by its path below the package."""
    package = package or paths.root() / "contrec"
    return {str(file.relative_to(package)): _words(file) for file in sorted(package.rglob("*.py"))}


def _words(file: Path) -> str:
    source = file.read_text(encoding="utf-8")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return "\n;\n".join([*docs, *re.findall(r"#(.*)", source)])
