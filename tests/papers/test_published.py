"""The printed tables: complete, digit for digit, and what in them does not add up."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from contrec.papers import arithmetic
from contrec.papers.published import COLUMNS, contradictions, half_unit, not_available, published, table1, verdict

MODELS = set(
    "mf lightgcn gtn ltgnn gru4rec sasrec ssd4rec dreamrec p5 pod collm llara tiger tokenrec contrec deftrec".split()
)
SIZES = {  # origin: counted by hand, rows x columns of the printed table (two columns of text per row excluded)
    "contrec_table1": 4 * 5, "contrec_table2": 16 * 12, "contrec_table4": 4 * 6, "contrec_table5": 6 * 4,
    "contrec_table6": 5 * 2, "contrec_table7": 15 * 4, "deftrec_table1": 3 * 4, "deftrec_table2": 13 * 12,
    "deftrec_table3": 6 * 4, "deftrec_table4": 3 * 5, "deftrec_table5": 9 * 4, "deftrec_table6": 13,
    "deftrec_table7": 4 * 2,
}  # fmt: skip


def cell(table, row, column):
    frame = published(table)
    (value,) = frame.loc[(frame["row"] == row) & (frame["column"] == column), "value"]
    return value


def ranking(table):
    """HR and NDCG as a table: (dataset, metric) x model."""
    frame = published(table).query("metric in ['HR@10', 'HR@20', 'NDCG@10', 'NDCG@20']")
    return frame.pivot(index=["dataset", "metric"], columns="model", values="value")


@pytest.mark.parametrize("table", SIZES)
def test_every_cell_of_a_table_is_there_once(table):
    frame = published(table)
    assert len(frame) == SIZES[table]
    assert not frame.duplicated(["paper", "table", "row", "column"]).any()
    assert (frame["paper"] + "_" + frame["table"].str.lower().str.replace(" ", "") == table).all()
    assert (frame["value"].notna() ^ (frame["text"] != "")).all()  # a number or a text, never both, never none


def test_all_tables_together():
    frame = published()
    assert list(frame.columns) == [*COLUMNS, "text", "digits"]
    numbers = frame["value"].notna() | (frame["text"] != "")
    assert numbers.all()
    assert not frame.duplicated(["paper", "table", "row", "column"]).any()
    assert set(frame["dataset"]) <= {"", "lastfm", "ml1m", "beauty", "games", "software"}
    assert {name.split("/")[0] for name in frame["model"]} <= MODELS | {""}
    rates = frame[frame["metric"].str.fullmatch(r"(HR|NDCG)@\d+")]
    assert rates["value"].between(0.015, 0.2).all()  # fractions, not percent


def test_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table must be one of .*contrec_table1.*'contrec_table3'"):
        published("contrec_table3")


def test_what_is_missing_is_listed_with_its_reason():
    frame = not_available()
    listed = set(zip(frame["paper"], frame["table"], strict=True))
    assert {("contrec", "Table 3"), ("contrec", "Figure 3"), ("contrec", "Sect. 4.3.3")} <= listed
    assert (frame["reason"].str.len() > 20).all()
    # every table of ContRec (1-7) and DeftRec (1-7) is a file or is listed
    for paper in ("contrec", "deftrec"):
        for i in range(1, 8):
            assert (f"{paper}_table{i}" in SIZES) != ((paper, f"Table {i}") in listed)


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [  # origin: read by eye in the papers
        ("contrec_table2", "Beauty HR@10", "ContRec", 0.0473),
        ("contrec_table2", "LastFM NDCG@20", "LLaRA", 0.0325),
        ("contrec_table2", "ML1M HR@20", "TIGER*", 0.1548),
        ("contrec_table2", "Games NDCG@10", "Improve.*", 7.6923),
        ("contrec_table4", "ML1M", "Diffusion", 0.3271),
        ("contrec_table5", "ContRec", "Games NDCG@10", 0.0450),
        ("deftrec_table2", "DeftRec", "Software HR@10", 0.1584),
        ("deftrec_table2", "POD", "LastFM HR@20", 0.0672),
        ("deftrec_table3", "TokenRec", "Software NDCG@10", 0.0715),
        ("deftrec_table4", "LastFM", "Imp.*", 594.15),
        ("deftrec_table5", "w/o CF", "Beauty NCDG@10", 0.0225),
    ],
)
def test_digits_by_eye(table, row, column, value):
    assert cell(table, row, column) == value


def test_contrec_prints_sixteen_deviations():
    frame = published("contrec_table2")
    with_sd = frame[frame["sd"].notna()]
    assert set(with_sd["column"]) == {"ContRec"} and len(with_sd) == 16
    assert with_sd.set_index("row").loc["Games HR@20", "sd"] == 0.0074  # origin: read by eye


@pytest.mark.skipif(
    "CONTREC_PAPERS" not in os.environ, reason="CONTREC_PAPERS does not name a folder with the papers' text"
)
@pytest.mark.parametrize("paper", ["contrec", "deftrec"])
def test_digits_against_the_text_of_the_paper(paper):
    text = (Path(os.environ["CONTREC_PAPERS"]) / f"{paper}.txt").read_text(encoding="utf-8").replace(",", "")
    printed = set(re.findall(r"\d+(?:\.\d+)?", text))
    frame = published().query("paper == @paper and digits != ''")
    assert set(frame["digits"]) <= printed


def test_half_unit_of_the_last_place():
    assert half_unit("0.0240") == pytest.approx(0.00005)
    assert half_unit("48.3") == pytest.approx(0.05)
    assert half_unit("5267") == 0


def test_derived_numbers_that_do_not_add_up():
    """Origin: hand calculation from the printed cells; the list is exact, so a mistyped digit shows up here."""
    frame = arithmetic.derived()
    assert len(frame) == 50
    wrong = frame[frame["status"] == "does not add up"]
    assert set(map(tuple, wrong[["paper", "table", "row", "column"]].to_numpy())) == {
        ("contrec", "Table 1", "ML1M", "Length"),
        ("contrec", "Table 1", "Beauty", "Length"),
        ("contrec", "Table 1", "Beauty", "Density (%)"),
        ("contrec", "Table 1", "Games", "Length"),
        ("deftrec", "Table 1", "Beauty", "Density (%)"),
        ("contrec", "Sect. 4.2", "over the strongest baseline (TokenRec and LLaRA), HR@10", "text"),
        ("contrec", "Sect. 4.2", "over the strongest baseline (TokenRec and LLaRA), NDCG@10", "text"),
        ("contrec", "Appendix C.3", "total model parameter size", "text"),
        ("deftrec", "Appendix C", "total model parameter size", "text"),
    }


def test_derived_numbers_that_only_unrounded_cells_can_give():
    frame = arithmetic.derived()
    loose = frame[frame["status"] == "rounding"]
    assert set(map(tuple, loose[["paper", "table", "row"]].to_numpy())) == {
        ("contrec", "Table 4", "ML1M"),
        ("deftrec", "Table 4", "Software"),
        ("deftrec", "Table 4", "Beauty"),
        ("deftrec", "Sect. 3.2", "over P5, HR@10"),
        ("deftrec", "Sect. 3.2", "over P5, NDCG@10"),
        ("deftrec", "Sect. 3.2", "over TokenRec, HR@10"),
        ("deftrec", "Sect. 3.2", "over TokenRec, NDCG@10"),
        ("deftrec", "Sect. 3.3.1", "unseen users, HR@10 over P5 and POD"),
        ("deftrec", "Sect. 3.3.1", "unseen users, NDCG@10 over P5 and POD"),
    }


def test_improvements_are_over_tiger():
    """All 16 cells of ContRec's "Improve.*", recomputed here without the package's arithmetic."""
    rates = ranking("contrec_table2")
    frame = published("contrec_table2").query("column == 'Improve.*'")
    for line in frame.itertuples():
        own, tiger = rates.loc[(line.dataset, line.metric.split()[0]), ["contrec", "tiger"]]
        assert round(100 * (own / tiger - 1), 4) == line.value


def test_strongest_baseline_claim_is_the_gain_over_llara_alone():
    gain = 100 * (ranking("contrec_table2")["contrec"] / ranking("contrec_table2")["llara"] - 1)
    assert round(gain.xs("HR@10", level="metric").mean(), 2) == 5.67  # origin: Sect. 4.2
    assert round(gain.xs("NDCG@10", level="metric").mean(), 2) == 4.33


def test_underlines_and_bold_that_name_the_wrong_model():
    rates = ranking("contrec_table2")
    order = {key: row.sort_values(ascending=False).index.tolist() for key, row in rates.iterrows()}
    assert [key for key, names in order.items() if names[0] != "contrec"] == [("games", "NDCG@20"), ("ml1m", "HR@20")]
    assert order["games", "NDCG@20"][:2] == ["tokenrec", "contrec"]
    assert order["beauty", "HR@20"][1] == "dreamrec" and order["beauty", "NDCG@10"][1] == "tiger"
    assert set(ranking("deftrec_table2").idxmax(axis=1)) == {"deftrec"}


def test_the_papers_exchange_tokenrec_and_llara():
    ours, theirs = (ranking(f"{p}_table2").loc[["beauty", "lastfm"]].sort_index() for p in ("contrec", "deftrec"))
    assert ours["tokenrec"].equals(theirs["llara"]) and ours["llara"].equals(theirs["tokenrec"])
    for same in ("p5", "pod", "collm"):
        assert ours[same].equals(theirs[same])
    assert not ours["sasrec"].equals(theirs["sasrec"])


def test_claims_in_words_that_the_tables_contradict():
    ours, theirs = ranking("contrec_table2"), ranking("deftrec_table2")
    assert (ours["collm"] < ours["tiger"]).sum() == 14
    assert (ours["llara"] > ours["tokenrec"]).loc[["beauty", "lastfm"]].all()
    below = ours[ours["dreamrec"] < ours["sasrec"]].index.tolist()
    assert below == [("lastfm", "NDCG@10"), ("ml1m", "HR@10"), ("ml1m", "HR@20")]
    assert ours[ours["dreamrec"] < ours["ssd4rec"]].index.tolist() == [("ml1m", "HR@10")]
    models = theirs.loc["beauty", "HR@20"]
    assert (models["gtn"] > models[["p5", "pod", "collm", "llara", "tokenrec"]]).all()
    assert (models["ltgnn"] > models[["p5", "pod", "collm", "llara"]]).all() and models["ltgnn"] < models["tokenrec"]
    ablation = published("deftrec_table5").pivot(index="column", columns="row", values="value")
    assert (ablation["w/o Encoder"] > ablation["K=1"]).sum() == 3
    assert ablation["Full"].equals(ablation["K=2"].rename("Full"))


def test_times_shared_between_the_papers():
    assert cell("contrec_table4", "LastFM", "LLM") == cell("deftrec_table4", "Software", "LLM")
    assert cell("contrec_table4", "LastFM", "DeftRec") == cell("deftrec_table4", "Software", "DeftRec")
    assert cell("contrec_table4", "Beauty", "LLM") == cell("deftrec_table4", "Beauty", "LLM")
    assert cell("contrec_table4", "Beauty", "LlaRA") < cell("deftrec_table4", "Beauty", "LlaRA*") / 15


def test_unseen_user_cells_shared_between_the_papers():
    for metric in ("HR@10", "NDCG@10"):
        assert cell("contrec_table5", "CoLLM", f"Beauty {metric}") == cell("deftrec_table3", "POD", f"Beauty {metric}")
        assert cell("contrec_table5", "CoLLM", f"Games {metric}") == cell("deftrec_table3", "P5", f"Software {metric}")


def test_every_contradiction_is_a_sentence_about_one_place():
    frame = contradictions()
    assert len(frame) == 31 and not frame.duplicated(["paper", "table", "cell"]).any()
    wrong = arithmetic.derived().query("status == 'does not add up'")
    named = set(zip(frame["paper"], frame["table"], strict=True))
    assert set(zip(wrong["paper"], wrong["table"], strict=True)) <= named


def test_table1_names_its_contradictions():
    frame = table1()
    assert len(frame) == 32
    named = frame[frame["contradiction"] != ""]
    assert [tuple(x) for x in named[["paper", "dataset", "quantity"]].to_numpy()] == [
        ("contrec", "ml1m", "length"),
        ("contrec", "beauty", "length"),
        ("contrec", "beauty", "density"),
        ("contrec", "games", "length"),
        ("deftrec", "beauty", "density"),
    ]
    assert named.iloc[2]["contradiction"] == (
        "printed 0.0734, but 278,641 / (22,363 x 12,101) = 0.1030; 0.0734 implies about 198,631 interactions"
    )
    lastfm = frame.query("paper == 'contrec' and dataset == 'lastfm' and quantity == 'density'").iloc[0]
    assert lastfm["recomputed"] == pytest.approx(100 * 52670 / (1091 * 3685))


def test_table1_beside_measured_statistics():
    """Origin: counts of the public LastFM archive and of the 2014 Beauty 5-core reviews (all, and those above 3)."""
    counts = {
        "lastfm": (1091, 3685, 52670),
        "beauty": (22363, 12101, 198502),
        "beauty_positive": (14993, 12069, 130455),
    }
    measured = pd.DataFrame(
        [(k, u, i, n, n / u, 100 * n / (u * i)) for k, (u, i, n) in counts.items()],
        columns=["dataset", "users", "items", "interactions", "length", "density"],
    )
    frame = table1(measured).set_index(["paper", "dataset", "quantity"]).sort_index()
    assert (frame.loc[("contrec", "lastfm"), "contradiction"] == "").all()
    assert frame.loc[("contrec", "beauty", "interactions"), "contradiction"] == (
        "printed 278641, but the data have 198,502; the part with ratings above 3 has 130,455"
    )
    assert frame.loc[("deftrec", "beauty", "interactions"), "contradiction"].endswith("have 198,502")
    assert "the data have" not in frame.loc[("deftrec", "beauty", "density"), "contradiction"]  # 0.0734 is right
    assert math.isnan(frame.loc[("contrec", "games", "users"), "measured"])
    assert "data have" not in frame.loc[("contrec", "games", "users"), "contradiction"]


def test_table1_refuses_bad_statistics():
    with pytest.raises(ValueError, match="measured must have the columns density, length too"):
        table1(pd.DataFrame(columns=["dataset", "users", "items", "interactions"]))
    twice = pd.DataFrame(
        [("lastfm", 1, 1, 1, 1, 1)] * 2, columns="dataset users items interactions length density".split()
    )
    with pytest.raises(ValueError, match="one row per dataset"):
        table1(twice)


@pytest.mark.parametrize(
    ("numbers", "word"),
    [  # origin: hand calculation; combined s.d. of 0.003 and 0.004 is 0.005
        ((0.050, 0.003, 0.060, 0.004), "within"),
        ((0.050, 0.003, 0.0601, 0.004), "above"),
        ((0.050, 0.003, 0.0399, 0.004), "below"),
        ((0.050, None, 0.058, 0.004), "within"),
        ((0.050, math.nan, 0.0581, 0.004), "above"),
        ((0.050, 0.003, 0.056, None), "within"),
        ((0.050, 0.003, None, None), "not run"),
        ((0.050, None, math.nan, None), "not run"),
        ((None, None, 0.05, 0.004), "not published"),
    ],
)
def test_verdict(numbers, word):
    assert verdict(*numbers) == word


def test_verdict_needs_a_deviation():
    with pytest.raises(ValueError, match="that of the interval over users"):
        verdict(0.05, None, 0.06, None)
    with pytest.raises(ValueError, match="must not be negative, got -0.1"):
        verdict(0.05, -0.1, 0.06, 0.1)
