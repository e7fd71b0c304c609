"""The demonstration: reading item texts helps on the planted world, most on new and rare items, and not on its twin."""

from __future__ import annotations

import pandas as pd
import pytest

from contrec.experiments import parts


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTREC_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        first = parts.demonstration(**parts.SHORT)
        patch.setattr("contrec.training.fit", None)  # what is in the store is not trained again
        assert parts.demonstration(**parts.SHORT).equals(first)
    return first.set_index(["world", "targets", "model"])


def test_reading_texts_helps_where_they_tell_something_and_only_there(table):
    gain = table.xs("with text", level="model")
    for targets in ("all", "new or rare"):
        assert gain.loc[("planted", targets), "diff_low"] > 0
        assert gain.loc[("planted_shuffled", targets), "diff_low"] < 0
    assert gain.loc[("planted_shuffled", "all"), "diff_high"] > 0  # nothing is lost either
    assert gain.loc[("planted", "new or rare"), "difference"] > 2 * gain.loc[("planted", "all"), "difference"]


def test_both_worlds_ask_the_same_between_the_same_bounds(table):
    for targets in ("all", "new or rare"):
        for model in ("popularity", "oracle"):
            one, other = (table.loc[(world, targets, model), "HR@10"] for world in ("planted", "planted_shuffled"))
            assert one == other
        for world in ("planted", "planted_shuffled"):
            own = table.loc[(world, targets), "HR@10"]
            assert own["popularity"] + 0.05 < own["without text"] < own["oracle"] and own["with text"] < own["oracle"]
    users = table.n_users.groupby("targets").unique()
    assert users["all"].tolist() == [400] and users["new or rare"].tolist() == [164]


def test_what_texts_add_is_told_for_both_worlds():
    rows = [
        ("planted", "all", "with text", 4.0, 1.0, 7.0), ("planted", "new or rare", "with text", 9.0, 5.0, 12.0),
        ("planted", "all", "oracle", None, None, None), ("planted_shuffled", "all", "with text", -0.2, -2.0, 1.5),
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=["world", "targets", "model", "difference", "diff_low", "diff_high"])
    assert parts.said(found) == (
        "Reading item texts changes HR@10 by +4.00 points [+1.00, +7.00] on planted, by -0.20 points [-2.00, +1.50] on "
        "planted_shuffled (all targets; a demonstration)."
    )
    assert "by +9.00 points [+5.00, +12.00] on planted (new or rare targets" in parts.said(found, "new or rare")
