"""The claims ledger: hand-calculated values, every contradiction written by hand, and mutations that it must report."""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from contrec import cli, paths
from contrec.papers import claims
from contrec.papers.claims import bounds, coincidences, numbers, statements
from contrec.papers.claims.rows import COLUMNS, STATUSES
from contrec.papers.published import contradictions, published


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger()


@pytest.fixture
def mutable(tmp_path, monkeypatch):
    """A copy of data/published that the package reads, and a function that exchanges or sets cells of its tables."""
    folder = tmp_path / "published"
    shutil.copytree(paths.published(), folder)
    monkeypatch.setattr(paths, "published", lambda: folder)

    def change(table, cells: dict):
        frame = pd.read_csv(folder / f"{table}.csv", dtype=str, keep_default_na=False)
        for (row, column), value in cells.items():
            place = (frame["row"] == row) & (frame["column"] == column)
            assert place.sum() == 1
            frame.loc[place, "value"] = value
        frame.to_csv(folder / f"{table}.csv", index=False)

    return change


def found(rows, *words, **columns) -> pd.DataFrame:
    """The rows whose claim, printed or found texts hold all words, and whose columns have these values."""
    frame = pd.DataFrame(rows)
    text = frame["where"] + " | " + frame["claim"] + " | " + frame["printed"] + " | " + frame["found"]
    keep = pd.Series(True, index=frame.index)
    for word in words:
        keep &= text.str.contains(word, regex=False)
    for column, value in columns.items():
        keep &= frame[column] == value
    return frame[keep]


# Contradictions.csv (paper, table, cell) -> what its row of the ledger must say: words, and status where it is another
HAND_WRITTEN = {
    ("contrec", "Table 1", "ML1M Length"): ["ML1M, Length", "999,620"],
    ("contrec", "Table 1", "Beauty Length"): ["Beauty, Length", "= 12.5"],
    ("contrec", "Table 1", "Beauty Density (%)"): ["Beauty, Density", "0.1030"],
    ("contrec", "Table 1", "Games Length"): ["Games, Length", "= 5.6"],
    ("deftrec", "Table 1", "Beauty Density (%)"): ["Beauty, Density", "0.1030"],
    ("contrec", "Sect. 4.2", "over the strongest baseline, HR@10"): ["5.67", "exactly: over LLaRA", "named, mean 3.52"],
    ("contrec", "Sect. 4.2", "over the strongest baseline, NDCG@10"): ["4.33", "exactly: over LLaRA", "mean 3.76"],
    ("contrec", "Table 2", "Beauty HR@20"): ["LLaRA 0.0631 underlined", "DreamRec 0.0642", "misprint"],
    ("contrec", "Table 2", "Beauty NDCG@10"): ["LLaRA 0.0237 underlined", "TIGER 0.0243", "misprint"],
    ("contrec", "Table 2", "Games NDCG@20"): ["ContRec 0.0704 bold", "in order: TokenRec 0.0705", "misprint"],
    ("contrec", "Table 2", "ML1M HR@20"): ["LLaRA 0.1672 bold; ContRec 0.1666 bold", "misprint"],
    ("contrec", "Table 2", "POD"): ["Sect. 4.1.2", "not named: POD"],
    ("contrec", "Table 2", "Beauty and LastFM, TokenRec and LLaRA"): [
        "TokenRec, LLaRA on Beauty, LastFM", "exchanged between the papers: 16 of 16", "equal elsewhere",
    ],
    ("contrec", "Table 2", "Beauty and LastFM, P5, POD and CoLLM"): [
        "P5 on Beauty, LastFM", "8 of 8", "different splits: Split-by-Timepoint; leave-one-out", "repeated",
    ],
    ("contrec", "Sect. 4.2", "TokenRec"): ["TokenRec not above LLaRA in 9 of 16"],
    ("contrec", "Sect. 4.2", "CoLLM and TIGER"): ["CoLLM not above TIGER in 14 of 16"],
    ("contrec", "Sect. 4.2", "DreamRec"): [
        "DreamRec not above SASRec in 3 of 16 (LastFM NDCG@10, ML1M HR@10, ML1M HR@20)",
        "DreamRec not above SSD4Rec in 1 of 16 (ML1M HR@10)",
    ],
    ("contrec", "Table 4", "column DeftRec"): ["column DeftRec", "its 4 cells are those of ContRec", "misprint"],
    ("contrec", "Table 4", "LLaRA"): ["LLaRA: LastFM, Beauty, inference time", "2 of 2 cells differ", "differs"],
    ("contrec", "Table 4", "LastFM LLM"): ["times of LastFM = times of Software", "1.6110 1.5244", "equal elsewhere"],
    ("contrec", "Table 5", "CoLLM and LlaRA"): [
        "CoLLM on Beauty = POD on Beauty", "0.0263 0.0171", "equal elsewhere",
    ],
    ("contrec", "Appendix C.3", "trainable parameters"): ["three parts", "5 in Table 6"],
    ("contrec", "Appendix C.3", "total model parameter size"): ["total model parameter size", "3088.4"],
    ("deftrec", "Appendix C", "total model parameter size"): ["total model parameter size", "3072.4"],
    ("deftrec", "Sect. 3.3.1", "dataset"): ["not in the table: LastFM; in the table, not named: Beauty"],
    ("deftrec", "Sect. 3.3.1", "unseen users"): ["85.89", "over P5 on Software 85.82, over POD on Software 78.03"],
    ("deftrec", "Sect. 3.2", "LLM-based methods"): ["the LLM-based methods", "fails in 39 of 420"],
    ("deftrec", "Sect. 3.5.2", "searched loss weights"): ["{0, 0.1, 0.5, 1, 2}", "{0, 0.5, 1, 1.5, 2}"],
    ("deftrec", "Table 5", "w/o Encoder"): ["no-diffusion and DeftRec/no-encoder", "consecutive words are the same"],
    ("deftrec", "Table 7", "id"): ["Table 7", "numbers of the rows | 3 | 2 rows", "misprint"],
}  # fmt: skip


def test_every_contradiction_written_by_hand_is_found_by_code_or_needs_a_reader(ledger):
    written = set(contradictions()[["paper", "table", "cell"]].itertuples(index=False, name=None))
    assert set(HAND_WRITTEN) | set(claims.READER_ONLY) == written
    assert not set(HAND_WRITTEN) & set(claims.READER_ONLY)
    for (paper, _, _), words in HAND_WRITTEN.items():
        status = words[-1] if words[-1] in STATUSES else "contradicted"
        rows = found(ledger, *(w for w in words if w not in STATUSES), status=status)
        rows = rows[rows["paper"].isin([paper, "both"])]
        assert len(rows) == 1 and rows["kind"].item() != "read by a person", words


def test_the_ledger_is_tidy(ledger):
    assert list(ledger.columns) == COLUMNS
    assert set(ledger["paper"]) == {"contrec", "deftrec", "both"} and set(ledger["status"]) == set(STATUSES)
    assert not ledger.duplicated(["paper", "where", "claim", "kind", "printed"]).any()
    assert (ledger[["where", "claim", "printed", "found", "kind"]] != "").all(axis=None)
    assert ledger["status"].map(STATUSES.index).is_monotonic_increasing
    both = ledger.dropna(subset=["low", "high"])
    assert len(both) > 60 and (both["low"] <= both["high"]).all()
    assert set(claims.MEANING) == set(STATUSES)


def test_no_number_is_counted_twice(ledger):
    """A gain in the text is recomputed and searched for: one claim. Three equal lines are two coincidences."""
    gains = ledger[ledger.kind.isin(["recomputed", "searched gain"])]
    assert not gains.duplicated(["paper", "where", "printed"]).any() and (gains.kind == "searched gain").sum() == 11
    for digits in ("5.67", "4.33", "85.89", "88.44"):
        assert (ledger.printed == digits).sum() == 1
    lines = found(ledger, "DeftRec on Software, Beauty", kind="equal cells")
    assert set(lines["where"]) == {"DeftRec Table 2; DeftRec Table 5"} and len(lines) == 2  # the third follows


def test_a_verdict_says_what_it_depends_on(ledger):
    """What is contradicted needs no reading; what one reading rules out names it; so does what the text leaves open."""
    read_so = ledger.reading != ""
    assert read_so[ledger.status == "one reading"].all()
    assert set(ledger.status[read_so]) == {"one reading", "open"}
    assert set(ledger.kind[ledger.status == "one reading"]) == {"significance", "whole hits"}
    assert set(ledger.kind[ledger.status == "misprint"]) == {"marks", "labels"}
    text = " ".join(claims.as_text(ledger, 150).split())
    assert "ONE READING: 17" in text and "MISPRINT: 7" in text
    assert "reading: p over the inferences, against every baseline" in " ".join(claims.as_text(ledger, 2000).split())
    page, other = (claims.page(ledger[rows]).to_html() for rows in (read_so, ~read_so))
    assert (
        ">p over the inferences, against every baseline<" in page and ">reading<" in page and ">reading<" not in other
    )


def test_summary_counts_every_row_once(ledger):
    frame = claims.summary(ledger)
    total = frame.iloc[-1]
    assert total["kind"] == "all" and total["all"] == len(ledger) == frame["all"].iloc[:-1].sum()
    assert total["contradicted"] == (ledger["status"] == "contradicted").sum()


def test_text_groups_by_status_and_counts_what_agrees(ledger):
    text = claims.as_text(ledger, width=120)
    assert max(map(len, text.splitlines())) <= 120
    heads = re.findall(r"^([A-Z ]+): (\d+) \(", text, flags=re.M)
    assert [head.lower() for head, _ in heads] == list(STATUSES)
    assert sum(int(n) for _, n in heads) == len(ledger)
    assert "two success cases" not in text
    assert "two success cases" in " ".join(claims.as_text(ledger, 150, everything=True).split())
    with pytest.raises(ValueError, match="width must be at least 100, got 80"):
        claims.as_text(ledger, 80)


def test_the_command_prints_the_ledger(capsys):
    assert cli.main(["claims"]) == 0
    text = capsys.readouterr().out
    assert (
        text.startswith("CONTRADICTED: ") and "exchanged" in text and text.rstrip().splitlines()[-1].split()[0] == "all"
    )


# --- hand-calculated values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "printed", "status"),
    [  # origin: by hand from the printed cells
        (["over TIGER, HR@10, mean", "over TIGER, mean 11.76"], "11.76", "agrees"),
        (["over P5, HR@10, mean", "over P5, mean 23.87"], "23.86", "rounding"),
        (["over TokenRec, HR@10, mean", "over TokenRec, mean 5.91"], "5.96", "rounding"),
        # (11.5444 / 1.6631 + 10.2766 / 1.6110 + 10.7643 / 1.6269) / 3 - 1 = 564.57 %
        (["inference over LlaRA, mean", "exactly: over LLaRA, mean"], "564.57", "agrees"),
        # Software: 0.1232 / 0.0692 - 1 = 78.03 %; 0.0704 / 0.0385 - 1 = 82.86 %
        (["unseen users, NDCG@10", "over POD on Software 82.86"], "88.44", "contradicted"),
    ],
)
def test_gains_in_the_text(words, printed, status):
    (row,) = found(numbers.searched_gains(), *words).itertuples()
    assert (row.printed, row.status) == (printed, status)


def test_shares_of_time_add_up(ledger):
    """Origin: LLM 1.5775 / 1.6631, 1.5244 / 1.6110, 1.5385 / 1.6269: mean 94.68 %; diffusion likewise 2.68 %."""
    for name, value in (("LLM share", 94.68), ("diffusion share", 2.68)):
        (row,) = found(ledger, f"{name} of inference time", paper="deftrec").itertuples()
        assert float(row.printed) == value and row.status == "agrees" and row.low < value < row.high


def test_welch_against_scipy():
    """Means .0473 and .0442, s.d. .0017 and .0008 over five runs: scipy's Welch test gives the same p."""
    ratio = (0.0008 / 0.0017) ** 2
    theirs = stats.ttest_ind_from_stats(0.0473, 0.0017, 5, 0.0442, 0.0008, 5, equal_var=False).pvalue
    assert float(bounds.welch(0.0031, 0.0017, 5, ratio)) == pytest.approx(theirs, rel=1e-12)
    fixed = stats.ttest_1samp([0.0473 + 0.0017 * z for z in standard(5)], 0.0442).pvalue
    assert float(bounds.welch(0.0031, 0.0017, 5)) == pytest.approx(fixed, rel=1e-9)


def standard(n):
    """n numbers with mean 0 and sample s.d. 1."""
    values = [i - (n - 1) / 2 for i in range(n)]
    size = math.sqrt(sum(v * v for v in values) / (n - 1))
    return [v / size for v in values]


def test_significance_by_hand():
    """LastFM HR@10 over LLaRA: t = .0014 / (.0034 / sqrt 5) = 0.921, 4 degrees of freedom, two-sided p = 0.409."""
    frame = bounds.significance().set_index(["dataset", "metric", "model"])
    assert len(frame) == 160
    row = frame.loc["lastfm", "HR@10", "llara"]
    assert row["p"] == pytest.approx(0.409, abs=5e-4) and row["low"] > 0.15
    assert (frame["low"] <= frame["p"]).all() and (frame["p"] <= frame["high"]).all()
    assert frame.loc["games", "NDCG@20", "tokenrec"]["p"] == 1  # ContRec is below
    assert frame.loc["beauty", "HR@10", "gru4rec"]["high"] < 0.01  # t = .0079 / .00076 = 10.4


def test_no_test_over_users_makes_lastfm_significant():
    """Origin: 2,633 cases x (.0539 - .0525 + .0001) = 3.9, that is 3 hits more: 2^-3, or McNemar's 1 - Phi(sqrt(3))."""
    (row,) = bounds.nested_hits().query("dataset == 'lastfm' and metric == 'HR@10'").itertuples()
    assert row.low == pytest.approx(0.04163, abs=1e-5) and (row.cases, row.hits) == (
        2633,
        pytest.approx(3.686, abs=1e-3),
    )
    (row,) = found(bounds.significant(), "LastFM HR@10").itertuples()
    assert "3.7 hits more among at most 2,633 cases" in row.found and row.status == "one reading"
    assert row.reading == "p over the inferences or over the test cases, against every baseline"


def test_each_claim_of_significance_is_one_row_that_says_how_it_is_read():
    """Origin: of the 16 cells only Beauty HR@10 may reach p < .01 over five inferences against every baseline."""
    frame = pd.DataFrame(bounds.significant())
    assert len(frame) == 16 and not frame.claim.duplicated().any()
    assert frame.status.value_counts().to_dict() == {"one reading": 15, "open": 1}
    assert (
        frame[frame.status == "open"].claim.item().startswith("Beauty HR@10")
        and not frame.reading[frame.status == "open"].any()
    )
    by_cases = frame[frame.reading.str.contains("test cases")].claim.str.split(":").str[0]
    assert set(by_cases) == {"LastFM HR@10", "ML1M HR@20"}  # three hits more, and fewer hits than LLaRA


def test_one_target_bounds():
    """Origin: P5 on Beauty: (.0258 - .0236) / (.0594 - .0411) = .12 < 1 / log2(21) = .228."""
    (row,) = found(bounds.one_target(), "Beauty", paper="deftrec").itertuples()
    assert row.status == "contradicted" and "10 of 13" in row.found and "P5 0.12" in row.found
    assert (row.low, row.high) == (pytest.approx(0.22767, abs=1e-5), pytest.approx(0.27894, abs=1e-5))
    assert "LLaRA" not in row.found  # (.0273 - .0226) / (.0619 - .0438) = .26


def test_whole_hits():
    """Origin: 57 / 1,091 = .0522 and 58 / 1,091 = .0532, so that .0525 is no share of 1,091 users."""
    frame = pd.DataFrame(bounds.whole_hits())
    assert len(frame) == 4
    (row,) = found(frame, "LastFM", paper="deftrec").itertuples()
    assert (row.status, row.reading) == ("one reading", "one run") and row.found.startswith("4 of 26")


def test_chance_of_equal_entries():
    assert coincidences.chance("0.0473", "0.0473") == 1 / 95  # a tenth of 473 units of the last place: 47 each way
    assert coincidences.chance("0.0473", "0.0600") == 0
    assert coincidences.at_least([0.5, 0.25]) == pytest.approx([1, 0.625, 0.125])


def test_equal_lines_are_rows_and_not_noise():
    """Hundreds of single cells of the two Tables 2 are equal by chance; only whole lines are reported of them."""
    frame = coincidences.equal_lines()
    tables = frame[(frame["table_a"] == "Table 2") & (frame["table_b"] == "Table 2")]
    assert len(tables) == 10 and (tables["n_equal"] == 4).all()  # five models x Beauty and LastFM
    assert (frame["probability"] < coincidences.LEVEL).all()
    assert len(frame) < 25


def test_random_tables_have_no_equal_lines(mutable):
    """Every rate of ContRec's Table 2 moved by a few units of the last place: copied lines are gone."""
    folder = paths.published()
    frame = pd.read_csv(folder / "contrec_table2.csv", dtype=str, keep_default_na=False)
    rate = frame["metric"].str.fullmatch(r"(HR|NDCG)@\d+")
    moved = frame.loc[rate, "value"].astype(float) + [1e-4 * (3 + (i * 7) % 5) for i in range(rate.sum())]
    frame.loc[rate, "value"] = moved.map("{:.4f}".format)
    frame.to_csv(folder / "contrec_table2.csv", index=False)
    left = coincidences.equal_lines()
    assert not ((left["paper_a"] == "contrec") & (left["table_a"] == "Table 2")).any()


# --- mutations: what is changed in a copy must be reported ----------------------------------------------------------


def test_two_exchanged_columns_are_found(mutable):
    """P5 and POD of ContRec's Table 2 exchanged on Beauty and LastFM: the finder says so, and only then."""
    assert len(found(coincidences.coincidences(), "exchanged")) == 1
    cells = {}
    table = pd.read_csv(paths.published() / "contrec_table2.csv", dtype=str).set_index(["row", "column"])["value"]
    for dataset in ("Beauty", "LastFM"):
        for metric in ("HR@10", "HR@20", "NDCG@10", "NDCG@20"):
            row = f"{dataset} {metric}"
            cells |= {(row, "P5"): table[row, "POD"], (row, "POD"): table[row, "P5"]}
    mutable("contrec_table2", cells)
    rows = found(coincidences.coincidences(), "exchanged")
    assert set(rows["claim"]) == {"TokenRec, LLaRA on Beauty, LastFM", "P5, POD on Beauty, LastFM"}


def test_repaired_columns_are_no_longer_exchanged(mutable):
    table = pd.read_csv(paths.published() / "contrec_table2.csv", dtype=str).set_index(["row", "column"])["value"]
    cells = {}
    for dataset in ("Beauty", "LastFM"):
        for metric in ("HR@10", "HR@20", "NDCG@10", "NDCG@20"):
            row = f"{dataset} {metric}"
            cells |= {(row, "TokenRec"): table[row, "LLaRA"], (row, "LLaRA"): table[row, "TokenRec"]}
    mutable("contrec_table2", cells)
    rows = coincidences.coincidences()
    assert not len(found(rows, "exchanged")) and len(found(rows, "LLaRA on Beauty, LastFM", status="repeated")) == 1


def test_a_copied_line_is_found(mutable):
    """DeftRec's POD on Software put under ContRec's TIGER on Games in the tables of unseen users."""
    assert not len(found(coincidences.coincidences(), "TIGER on Games"))
    mutable("contrec_table5", {("TIGER", "Games HR@10"): "0.0692", ("TIGER", "Games NDCG@10"): "0.0385"})
    (row,) = found(coincidences.coincidences(), "TIGER on Games = POD on Software").itertuples()
    assert row.status == "equal elsewhere"


def test_an_exchanged_pair_of_cells_breaks_marks_words_and_gains(mutable):
    """ContRec and TIGER exchanged at LastFM HR@10: bold, "outperforms" and the mean gain no longer hold."""
    mutable("contrec_table2", {("LastFM HR@10", "ContRec"): "0.0467", ("LastFM HR@10", "TIGER*"): "0.0539"})
    assert found(statements.marks(), "LastFM HR@10")["status"].item() == "misprint"
    assert len(found(statements.stated(), "ContRec not above TIGER in 1 of 16 (LastFM HR@10)")) == 2  # of all and most
    assert found(numbers.searched_gains(), "over TIGER, HR@10, mean")["status"].item() == "contradicted"
    assert len(found(numbers.recomputed(), "LastFM HR@10, Improve.*", status="contradicted")) == 1


def test_a_wrong_mark_is_found(mutable):
    file = paths.published() / "marks.csv"
    text = file.read_text(encoding="utf-8")
    moved = text.replace("Beauty HR@10,LLaRA,underlined", "Beauty HR@10,TIGER*,underlined")
    assert moved != text
    file.write_text(moved, encoding="utf-8")
    (row,) = found(statements.marks(), "Beauty HR@10", paper="contrec").itertuples()
    assert row.status == "misprint" and "LLaRA 0.0442, TIGER 0.0439" in row.found


def test_a_changed_share_of_time_is_found(mutable):
    mutable("deftrec_table4", {("Beauty", "LLM"): "1.4385"})
    assert found(numbers.recomputed(), "LLM share", paper="deftrec")["status"].item() == "contradicted"


def test_larger_deviations_leave_significance_to_nobody(mutable):
    file = paths.published() / "contrec_table2.csv"
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    before = pd.DataFrame(bounds.significant())["status"].value_counts()
    frame.loc[frame["sd"] != "", "sd"] = "0.0001"
    frame.to_csv(file, index=False)
    after = pd.DataFrame(bounds.significant())["status"].value_counts()
    assert before["one reading"] == 15 and after["one reading"] < 5


def edit(name, old, new):
    """Replace a text that stands in a file of the copied folder."""
    file = paths.published() / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_wrong_label_is_found(mutable):
    assert not len(found(statements.labels(), "row SASRec"))
    edit("deftrec_table2.csv", "Table 2,SSD4Rec,", "Table 2,SASRec,")
    assert found(statements.labels(), "row SASRec")["found"].item().endswith("12 cells are those of SSD4Rec")


def test_lists_that_are_made_equal_agree(mutable):
    """DeftRec's two lists of loss weights: 0.1 becomes 1.5 in the first."""
    edit("settings.csv", '"gamma_1, gamma_2",0.1,', '"gamma_1, gamma_2",1.5,')
    assert [row["status"] for row in statements.searched_lists()] == ["agrees"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" p5 pod collm llara tokenrec deftrec,model", " p5 collm llara tokenrec deftrec,model", "not named: POD"),
        ("software beauty lastfm,dataset", "games beauty lastfm,dataset", "not in the table: Games"),
        ("ten prompt templates,count,deftrec_table6,10", "ten,count,deftrec_table6,9", "10 in Table 6"),
        ("We deactivate the masking", "We remove the BPR loss from our denoising process and the masking", "9 consec"),
    ],
)
def test_a_statement_that_does_not_hold_is_found(mutable, old, new, words):
    assert not len(found(statements.stated(), words, status="contradicted", paper="deftrec"))
    edit("statements.csv", old, new)
    assert len(found(statements.stated(), words, status="contradicted", paper="deftrec")) == 1


def test_every_mark_stands_at_a_printed_cell():
    """Origin: 16 rows of ContRec's Table 2 with two marks each, and two of DeftRec's Table 3."""
    written = pd.read_csv(paths.published() / "marks.csv", dtype=str, keep_default_na=False).query("row != ''")
    cells = published().merge(written, on=["paper", "table", "row", "column"])
    assert len(cells) == len(written) == 34 and set(written["mark"]) == {"bold", "underlined"}


@pytest.mark.skipif(
    "CONTREC_PAPERS" not in os.environ, reason="CONTREC_PAPERS does not name a folder with the papers' text"
)
def test_marks_are_those_of_the_text():
    """The tags of ContRec's Table 2 and DeftRec's Table 3, read anew from the texts."""
    written = pd.read_csv(paths.published() / "marks.csv", dtype=str, keep_default_na=False).query("row != ''")
    tags = {"b": "bold", "u": "underlined"}
    read = []
    for paper in ("contrec", "deftrec"):
        text = (Path(os.environ["CONTREC_PAPERS"]) / f"{paper}.txt").read_text(encoding="utf-8")
        read += [(paper, tags[tag], digits) for tag, digits in re.findall(r"<([bu])>(0\.\d+)</", text)]
    values = published().merge(written, on=["paper", "table", "row", "column"])
    assert sorted(read) == sorted(values[["paper", "mark", "digits"]].itertuples(index=False, name=None))


def test_claims_are_counted_where_they_stand(ledger):
    table = claims.by_place(ledger)
    assert table.sum().sum() == len(ledger) and set(table.columns) == set(ledger.status)
    assert table.loc["both papers"].sum() == (ledger.paper == "both").sum() and table.index[-1] == "both papers"
    own = ledger[(ledger.paper == "contrec") & ledger["where"].str.contains("Table 4") & (ledger.status == "agrees")]
    assert table.loc["ContRec Table 4", "agrees"] == len(own)
    assert list(table.columns) == [status for status in STATUSES if status in set(ledger.status)]
    two = ledger.head(2).assign(paper=["deftrec", "contrec"], where=["DeftRec Table 2; DeftRec Table 5", "Sect. 4.2"])
    assert list(claims.by_place(two).index) == ["ContRec, text", "DeftRec Table 5"]  # of two, the later one


def test_claims_are_found_by_words_in_any_order_and_case(ledger):
    rows = claims.holding(ledger, "LENGTH ml1m", "contrec")
    assert rows.claim.tolist()[0] == "ML1M, Length" and rows.paper.eq("contrec").all()
    assert len(claims.holding(ledger, "length")) > len(rows)
    with pytest.raises(ValueError, match="no claim of both holds all of 'no such words': try fewer"):
        claims.holding(ledger, "no such words", "both")
    with pytest.raises(ValueError, match="paper must be one of 'contrec', 'deftrec', 'both', got 'other'"):
        claims.holding(ledger, "length", "other")


def test_findings_count_the_ledger(ledger):
    status = ledger.status.value_counts()
    first, second, third = claims.findings(ledger)
    assert first.startswith(f"Of {len(ledger)} claims, {status.agrees} agree") and f"{status.contradicted} are" in first
    own = ledger[(ledger.paper == "deftrec")].status.eq("contradicted")
    assert f"DeftRec: {own.sum()} of {len(own)}" in first
    assert f"{status['one reading']} under one reading, {status.misprint} are misprints" in first
    assert "Of 39 numbers that other numbers determine, 7 do not" in second
    assert third.startswith(f"In {status['equal elsewhere']} places")


def test_a_page_of_claims_shows_texts_as_texts(ledger):
    shown = claims.page(ledger.head(1).assign(claim="<b>bold</b>"), "one claim").to_html()
    assert "&lt;b&gt;bold" in shown and "<b>bold" not in shown and "one claim" in shown
