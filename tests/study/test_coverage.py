"""Every table and figure has its notebook, every equation its code, and both name what they answer for."""

from __future__ import annotations

import json
import re

import pytest

from contrec import paths
from contrec.study.coverage import (
    EQUATIONS,
    claimed,
    coverage,
    coverage_problems,
    docstrings,
    equation_problems,
    equations,
    mentions,
    named_object,
    says,
)
from contrec.study.published import not_available, published

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
