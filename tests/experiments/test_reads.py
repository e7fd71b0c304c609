"""Equal information: what changes a recipe's scores when it is shuffled must change some floor's."""

import numpy as np
import pytest

from contrec import data
from contrec.checks import DataError
from contrec.experiments.baselines import reads
from contrec.study import evaluating
from contrec.study.config import Config


@pytest.fixture(scope="module")
def told():
    return reads.shop()


@pytest.fixture(scope="module")
def floors():
    return reads.table(evaluating.floors(Config.from_parameters(dataset="lastfm")))


@pytest.mark.parametrize("recipe", ["contrec/tuned", "contrec/paper", "deftrec/tuned"])
def test_what_a_recipe_reads_some_floor_reads(recipe, floors):
    own = reads.table([recipe]).loc[recipe]
    assert own["order"] and own["tags"] and own["texts"]
    assert not (own & ~floors.any()).any()


def test_each_source_is_read_by_what_was_made_for_it(floors):
    read = lambda name: [source for source in reads.SOURCES if floors.loc[name, source]]  # noqa: E731
    assert read("itemknn") == [] and read("ease/tags") == ["order", "tags"] and read("popularity") == ["order", "times"]
    assert read("itemknn/recency") == ["order"] and read("transitions/text") == ["order", "tags", "texts"]


def test_floors_read_tags_where_there_are_any():
    on = {name: evaluating.floors(Config.from_parameters(dataset=name)) for name in ("lastfm", "software", "planted")}
    assert "ease/tags" in on["lastfm"] and "ease/tags" not in on["software"] + on["planted"]
    assert all("transitions/text" in names for names in on.values())


@pytest.mark.parametrize("source", reads.SOURCES)
def test_shuffling_one_source_leaves_the_others(source, told):
    rows, catalogue = told
    other, texts = reads.shuffled(*told, source)
    same = {
        "times": np.array_equal(rows.timestamp, other.timestamp),
        "ratings": sorted(zip(rows.user, rows.item, rows.rating)) == sorted(zip(other.user, other.item, other.rating)),
        "tags": sorted(zip(rows.user, rows.item, rows.tags)) == sorted(zip(other.user, other.item, other.tags)),
        "texts": catalogue.titles == texts.titles and catalogue.brands == texts.brands,
        "order": np.array_equal(rows.item, other.item),
    }
    assert [name for name, kept in same.items() if not kept] == [source]
    before, after = data.split(*told), data.split(other, texts)
    for part in ("validation", "test"):  # what is asked stays
        assert np.array_equal(getattr(before, part).target, getattr(after, part).target)
    assert (np.diff(other.timestamp)[np.diff(other.user) == 0] >= 0).all()
    if source == "texts":
        assert sorted(catalogue.titles) == sorted(texts.titles)


def test_what_is_not_there_cannot_be_shuffled():
    with pytest.raises(DataError, match="planted .* has no tags"):
        reads.shuffled(*data.load("planted", n_users=20, n_items=64), "tags")
    with pytest.raises(ValueError, match="source must be one of"):
        reads.shuffled(*reads.shop(), "tag")
