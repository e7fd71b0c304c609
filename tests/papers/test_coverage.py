"""Every table and figure has its notebook, every equation its code, and both name what they answer for.

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
import pytest

from contrec import paths
from contrec.papers.published import not_available, published

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


# What need not be there yet. Take a name away when it is; both tuples may be empty.
NOTEBOOKS_TO_COME = ()
EQUATIONS_TO_COME = ()

CLAIMS = {path.stem: claimed(path) for path in sorted(paths.notebooks().glob("*.ipynb"))}


def test_every_table_and_figure_is_listed():
    """Origin: counted in the papers: ContRec has three figures, DeftRec four, both have seven tables."""
    counts = {("contrec", "Figure"): 3, ("contrec", "Table"): 7, ("deftrec", "Figure"): 4, ("deftrec", "Table"): 7}
    items = set(coverage()[["paper", "item"]].itertuples(index=False, name=None))
    assert items == {(paper, f"{kind} {i + 1}") for (paper, kind), n in counts.items() for i in range(n)}
    printed = set(zip(published()["paper"], published()["table"], strict=True))
    assert {place for place in printed if re.fullmatch(r"Table \d", place[1])} <= items
    missing = set(zip(not_available()["paper"], not_available()["table"], strict=True))
    assert {place for place in missing if place[1].startswith(("Table ", "Figure "))} <= items


def test_each_is_claimed_by_exactly_one_notebook_or_has_its_reason():
    assert coverage_problems(coverage(), CLAIMS, NOTEBOOKS_TO_COME) == []
    table = coverage()
    assert ((table["notebook"] == "") == (table["reason"] != "")).all()
    assert (table.loc[table["reason"] != "", "reason"].str.len() > 30).all()


def test_only_planned_notebooks_are_still_to_come():
    assert set(coverage()["notebook"]) - {""} <= {*CLAIMS, *NOTEBOOKS_TO_COME}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, c: c["01_data"].discard(("contrec", "Table 1")), "contrec Table 1: the first cell of 01_data does"),
        (lambda t, c: c["02_reconstruction"].add(("contrec", "Table 4")), "Table 4: 02_reconstruction claims it too"),
        (lambda t, c: c["02_reconstruction"].add(("contrec", "Table 9")), "Table 9: .* not in the table"),
        (lambda t, c: c["02_reconstruction"].add(("contrec", "Table 3")), "Table 3: 02_reconstruction claims it too"),
        (lambda t, c: c.pop("07_efficiency"), "contrec Table 4: there is no notebook 07_efficiency"),
        (lambda t, c: t.__setitem__("reason", ""), "contrec Table 3: no notebook and no reason"),
        (lambda t, c: t.__setitem__("part", ""), "contrec Table 2: several rows need different parts"),
    ],
)
def test_each_fault_of_coverage_is_found(change, message):
    table, claims = coverage(), {name: set(items) for name, items in CLAIMS.items()}
    change(table, claims)
    found = coverage_problems(table, claims, NOTEBOOKS_TO_COME)
    assert any(re.search(message, text) for text in found), found


def test_a_notebook_that_is_not_there_is_an_error_unless_it_is_listed():
    assert coverage_problems(coverage(), {}, tuple(coverage()["notebook"])) == []
    assert len(coverage_problems(coverage(), {})) == (coverage()["notebook"] != "").sum()


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("# A? (ContRec, Fig. 1 and Sect. 2)", {("contrec", "Figure 1")}),
        (
            "# A? (ContRec, Tables 4, 5; DeftRec, Table 2)",
            {("contrec", "Table 4"), ("contrec", "Table 5"), ("deftrec", "Table 2")},
        ),
        ("# A? (Table 1 of ContRec and of DeftRec)", {("contrec", "Table 1"), ("deftrec", "Table 1")}),
        ("# A?\n\nText (DeftRec,\nFigs. 3-4, Sect. 3.5).", {("deftrec", "Figure 3"), ("deftrec", "Figure 4")}),
        ("# A? (ContRec, Sects. 3.2-3.5 and Table 2)", {("contrec", "Table 2")}),
        ("# A?\n\nTable 4 of ContRec, without brackets (Table 4 calls it so)", set()),
    ],
)  # fmt: skip
def test_what_a_first_cell_claims(tmp_path, text, items):
    path = tmp_path / "n.ipynb"
    later = {"cell_type": "markdown", "source": ["(ContRec, Table 6)"]}
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": text.splitlines(True)}, later]}))
    assert claimed(path) == items


def test_every_equation_is_listed_once_and_points_to_its_code():
    table = equations()
    listed = list(table[["paper", "equation"]].itertuples(index=False, name=None))
    assert listed == [(paper, n) for paper, last in EQUATIONS.items() for n in range(1, last + 1)]
    assert equation_problems(table, EQUATIONS_TO_COME) == []


def test_code_names_only_equations_that_there_are():
    """Every mention is a row of the table; and what a row points to is mentioned in its module (checked above)."""
    known = set(equations()[["paper", "equation"]].itertuples(index=False, name=None))
    there = {path: mentions(text) for path, text in docstrings().items()}
    assert {path: found - known for path, found in there.items() if found - known} == {}
    assert sum(map(len, there.values())) > 40  # the search itself works


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (11, "code", "contrec.tokenizers.sigma_vae.SigmaVAE.forget", "contrec Eq. (12): there is no contrec.tok"),
        (11, "code", "contrec.tokenizer.sigma_vae", "contrec Eq. (12): there is no contrec.tokenizer.sigma_vae"),
        (11, "code", "contrec.diffusion.guidance.guide", "contrec Eq. (12): neither contrec.diffusion.guidance.guide"),
        (27, "code", "contrec.diffusion.guidance.guide", "deftrec Eq. (3): neither"),
        (11, "code", "", "contrec Eq. (12): either code or a reason"),
        (11, "reason", "both", "contrec Eq. (12): either code or a reason"),
    ],
)
def test_each_fault_of_equations_is_found(row, column, value, message):
    table = equations()
    table.loc[row, column] = value
    (found,) = equation_problems(table, EQUATIONS_TO_COME)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Eqs. 9-12, ContRec", {("contrec", n) for n in (9, 10, 11, 12)}),
        ("Eq. (7), (8) and (21), ContRec", {("contrec", 7), ("contrec", 8), ("contrec", 21)}),
        ("(text below Eq. (6), ContRec; Eqs. (7) and (8), DeftRec)", {("contrec", 6), ("deftrec", 7), ("deftrec", 8)}),
        ("(Eq. (8), ContRec; Ho et al. 2020, Eq. (7))", {("contrec", 8)}),
        ("DeftRec's Eq. (13) and Eq. (16)/(17) of ContRec", {("deftrec", 13), ("contrec", 16), ("contrec", 17)}),
        ("(Eq. 20 and Sect. 4.1.4). DeftRec differs", {("contrec", 20)}),
        ("Eq. (6), ContRec and DeftRec", {("contrec", 6), ("deftrec", 6)}),
        ("an equation", set()),
    ],
)
def test_mentions(text, found):
    assert mentions(text) == found


def test_names_of_objects():
    found, module = named_object("contrec.diffusion.guidance.guide")
    assert found is module.guide and module.__name__ == "contrec.diffusion.guidance"
    assert "Eq. (21)" in says("contrec.diffusion.guidance.guide")
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        named_object("contrec.diffusion.missing")
    with pytest.raises(ImportError, match="no module in nowhere.at.all"):
        named_object("nowhere.at.all")
