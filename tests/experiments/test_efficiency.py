"""Costs: published ones recomputed, tables that never mix sources, both layouts writing the same text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrec import paths
from contrec.artifacts import provenance
from contrec.bench.harness import OURS, REFERENCE, Check, Outcome
from contrec.data.interactions import Cases
from contrec.experiments.efficiency import inference, tables


def costs(scale: float = 1.0) -> pd.DataFrame:
    rows = [(layout, part, scale * 10.0**-i) for i, layout in enumerate(inference.LAYOUTS) for part in inference.PARTS]
    return pd.DataFrame(rows, columns=["layout", "part", "seconds"])


def test_the_published_share_of_the_language_model_is_the_one_in_the_text():
    share = tables.language_share()
    assert round(100 * share.loc["mean", "share of the LLM"], 2) == 88.60  # Appendix C.1
    assert (share["total"] - share["sum of parts"]).abs().max() < 2e-4  # rounded to four places


def test_a_planted_run_never_stands_in_the_reproduced_column(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    table = tables.cost_table(costs(), "lastfm", "planted")
    assert (table["reproduced"] == "not run").all().all()
    assert table["this run (planted)", "ratio"].tolist() == ["100"] * 4
    assert table["published", "A800"].tolist() == ["1.524", "0.0866", "-", "1.611"]
    (tmp_path / tables.FOLDER).mkdir()
    costs(3.0).to_csv(tmp_path / tables.FOLDER / "inference_lastfm_tuned.csv", index=False)
    table = tables.cost_table(costs(), "lastfm", "planted")
    assert table["reproduced", "reference layout"].tolist() == ["3", "3", "3", "9"]


def test_a_run_of_the_bench_is_recorded_and_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    assert tables.bench_table().iloc[0, 0] == "not run"
    table = pd.DataFrame(
        {"way": [REFERENCE, OURS], "seconds": [2.0, 0.5], "min": 0.1, "max": 3.0, "ratio": [4.0, 1.0], "MiB": 7.0}
    )
    outcome = Outcome(table, [Check("same", 0, 0)], 4.0, ["bar: 4.00 times faster: met"])
    tables.record_bench({"rank": outcome, "prep": outcome}, "cpu", 12.0)
    found = tables.bench_table()
    assert found.index.tolist() == ["rank", "prep"] and (found["reference layout / contrec"] == 4).all()
    assert (found["contrec, s"] == 0.5).all() and found["bars"].iloc[0].endswith("met")
    assert provenance.problems(tmp_path / tables.FOLDER / "bench_cpu.csv") == []


def test_both_layouts_write_the_same_text(fitted, planted_split):
    found = inference.split_by_part(fitted, planted_split.test, repeats=1)
    assert found["layout"].unique().tolist() == list(inference.LAYOUTS)
    assert found["same_text"].dropna().tolist() == [1.0] * 3 and (found["users"] == inference.BATCH).all()
    assert (found["seconds"] > 0).all()


def test_another_text_is_noticed(fitted, planted_split, monkeypatch):
    right = inference.answer_ids

    def other(recommender, known):
        return [np.append(ids, 0) if row == 0 else ids for row, ids in enumerate(right(recommender, known))]

    monkeypatch.setattr(inference, "answer_ids", other)
    found = inference.split_by_part(fitted, planted_split.test, repeats=1)
    assert found["same_text"].min() == pytest.approx(1 - 1 / inference.BATCH)


def test_curves_have_a_row_for_each_size(fitted, planted_split):
    history = inference.by_history(fitted, planted_split.test, (1, 3), repeats=1)
    mean = history[history["layout"] == "contrec"].set_index("items")["tokens"]
    assert len(history) == 4 and mean[3] > mean[1]
    catalogue = inference.by_catalogue((100, 1000))
    assert catalogue["n_items"].tolist() == [100, 1000]


def test_sampling_curve_holds_what_evaluation_says(fitted, planted_split):
    from contrec.evaluation import evaluate

    cases = planted_split.test
    found = inference.by_sampling(fitted, cases, (1, 4), (2,)).set_index(["kind", "steps", "samples"])
    known = fitted.understand(cases)
    point = fitted.scores_of(fitted.preference(known, "point"), known.facet)

    class Point:
        def score(self, some: Cases):
            return point[np.array([int(u) for u in some.user])]

    assert (cases.user == np.arange(len(cases))).all()
    assert found.loc[("point estimate", 1, 1), "HR@10"] == evaluate(Point(), cases).metrics()["HR@10"]
    assert len(found) == 5 and (found["low"] <= found["HR@10"]).all()


def test_findings_are_ratios_of_what_was_measured():
    """By hand: 8 s against 2 s a batch, half of that in the language model; 10 times the items in 4 times as long."""
    first, last = inference.LAYOUTS[0], inference.LAYOUTS[-1]
    rows = [
        (first, "llm", 6.0, 0.5),
        (first, "diffusion", 2.0, 0.5),
        (last, "llm", 1.0, np.nan),
        (last, "ranking", 1.0, np.nan),
    ]
    measured = pd.DataFrame(rows, columns=["layout", "part", "seconds", "same_text"])
    catalogue = pd.DataFrame({"n_items": [100, 1000], "seconds": [1, 4], "MiB": [3, 5], "all scores MiB": [4, 40]})
    sampling = pd.DataFrame(
        {"kind": ["point", "many"], "seconds": [0.1, 9.0], "HR@10": [0.3, 0.2], "low": 0.1, "high": 0.4}
    )
    one, two, three = tables.of_batch(measured), tables.of_catalogue(catalogue), tables.of_sampling(sampling)
    assert "takes 4.0 times as long (8 s a batch against 2 s)" in one and "for 50% of the users" in one
    assert one.endswith("the language model is 50% of what is left.")
    assert two.startswith("10 times the items take 4.0 times the seconds to rank, in 5 MiB")
    assert "point has 0.300 [0.100, 0.400] for 0.1 s, the best; what costs most, many has 0.200" in three
