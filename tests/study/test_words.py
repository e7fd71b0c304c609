"""Sentences of closing cells: what they say follows from the numbers."""

import numpy as np
import pandas as pd
import pytest

from contrec.evaluation import Evaluation
from contrec.study import tables, words


def evaluation(ranks) -> Evaluation:
    ranks = np.asarray(ranks, float)
    n = len(ranks)
    return Evaluation(ranks, np.ones(n, np.int64), np.arange(n), True, None, {"cases": n, "users": n})


GOOD, BAD = evaluation([1] * 60 + [99] * 40), evaluation([99] * 80 + [1] * 20)


def test_a_difference_is_told_by_its_interval():
    kept = {("good", 0): GOOD, ("bad", 0): BAD, ("same", 0): evaluation([2] * 60 + [99] * 40)}
    assert words.compared(kept, "good", "bad").startswith("good is ahead of bad in HR@10: +40.00 points [+")
    assert words.compared(kept, "bad", "good").startswith("bad is behind good in HR@10: -40.00 points [-")
    assert words.compared(kept, "good", "same") == "good is level with same in HR@10: +0.00 points [+0.00, +0.00]."
    assert "is ahead of same in NDCG@10" in words.compared(kept, "good", "same", "NDCG@10")
    with pytest.raises(KeyError, match="no evaluation of 'other'; there are: bad, good, same"):
        words.compared(kept, "good", "other")


def test_a_verdict_is_read_off_its_interval():
    assert [words.verdict(*ends) for ends in ((0.1, 2), (-2, -0.1), (-1, 1), (0, 2))] == [
        "ahead", "behind", "level", "level",
    ]  # fmt: skip
    assert [words.against(*ends) for ends in ((0.1, 2), (-2, -0.1), (-1, 1))] == ["ahead of", "behind", "level with"]
    rows = pd.DataFrame({"low": [1.0, -1.0, -2.0, 2.0], "high": [2.0, 1.0, -1.0, 3.0]})
    assert words.counted(rows) == "ahead in 2 of 4, level in 1, behind in 1"


def test_it_is_said_what_an_interval_is_over():
    assert words.interval_over(("contrec", 3), ("ease", 1)) == "users, 3 trainings"
    assert words.interval_over(("contrec", 3), ("sasrec", 1)) == "users only"
    assert words.interval_over(("contrec", 3), ("sasrec", 2)) == "users, 2 trainings"
    assert words.interval_over(("ease/seen-kept", 1), ("itemknn/recency", 1)) == "users"
    assert [words.trainings(*of) for of in (("ease", 1), ("mf", 1), ("mf", 3))] == ["1", "1, users only", "3"]


def test_the_best_is_found_over_seeds():
    kept = {("a", 0): GOOD, ("a", 1): BAD, ("b", 0): evaluation([1] * 50 + [99] * 50), ("c", 0): BAD}
    assert words.best(kept) == "b"  # a has .6 and .2
    assert words.best(kept, ["a", "c", "not there"]) == "a"


def test_a_place_is_a_hit_or_a_miss():
    assert words.place("a", 10) == "a puts the target at place 10: a hit among the first 10."
    assert words.place("a", 10.5) == "a puts the target at place 10.5: a miss at 10."
    assert words.place("a", np.inf) == "a does not rank the target: a miss."


def test_a_closing_is_text_and_a_list():
    found = words.closing("One.", "", "Two.")
    assert repr(found) == "One.\nTwo." and found._repr_markdown_().endswith("\n\n- One.\n- Two.")


def test_rates_of_evaluations_are_a_ranking():
    table = tables.ranking_table({("good", 0): GOOD, ("bad", 0): BAD, ("bad", 1): BAD}, digits=1)
    assert list(table.index) == ["good", "bad"] and list(table.seeds) == ["1, users only", "2"]
    assert table.loc["good", "HR@10"].startswith("0.6 [0.5")
