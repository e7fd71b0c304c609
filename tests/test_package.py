"""The package in a notebook: what there is, an example that runs as written, objects that show themselves in a line."""

import re
import subprocess
import sys
from importlib import import_module, metadata

import numpy as np
import pandas as pd
import pytest

import contrec
from contrec import baselines, data, evaluation
from contrec.data.interactions import Cases, Catalogue
from contrec.recommender import Recommender


def test_every_room_is_there_and_imported_when_asked_for():
    assert {"data", "evaluation", "experiments", "papers", "plots", "training", "Recommender"} <= set(dir(contrec))
    for name in dir(contrec):
        assert getattr(contrec, name) is not None
    assert contrec.__version__ == metadata.version("contrec")
    assert all(import_module(f"contrec.{name}") is getattr(contrec, name) for name in ("data", "plots", "papers"))
    code = "import sys, contrec; print([m for m in sys.modules if m.startswith('contrec.')], 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["[]", "False"]


def test_the_docstring_names_every_room():
    told = set(re.findall(r"\w+", contrec.__doc__))
    assert not set(dir(contrec)) - {"__version__"} - told


def test_a_name_that_is_not_there_suggests_the_nearest():
    with pytest.raises(AttributeError, match="no attribute 'Recomender'; did you mean 'Recommender'"):
        contrec.Recomender  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'evalution'; did you mean 'evaluation'"):
        contrec.evalution  # noqa: B018


def test_the_example_runs_as_written():
    (example,) = re.findall(r"(?:^    [^ ].*\n)+", contrec.__doc__.split("Parts are imported")[0], flags=re.M)
    lines = [line.strip() for line in example.splitlines()]
    assert len(lines) <= 6
    names = {}
    for line in lines[:-2]:
        exec(line, names)
    outcome, top = (eval(line, names) for line in lines[-2:])
    assert outcome.counts["users"] == 60 and len(top) == 5 and top.title.nunique() == 5


def one_line(value) -> str:
    shown = repr(value)
    assert "\n" not in shown and len(shown) < 300
    return shown


def test_objects_show_themselves_in_a_line(planted_split, fitted):
    name = "planted (80 users, 64 items, seed 0)"
    assert one_line(planted_split).startswith(f"Split(name='{name}', protocol='leave_one_out', users=80")
    assert one_line(planted_split.train).startswith("Interactions(") and "items=64" in one_line(planted_split.train)
    assert one_line(planted_split.test).startswith("Cases(cases=80, users=80, mean_history=")
    assert one_line(planted_split.test.select([])) == "Cases(cases=0, users=0)"
    assert one_line(planted_split.catalogue).startswith("Catalogue(items=64, brands=")
    found = evaluation.evaluate(baselines.make("popularity").fit(planted_split), planted_split.test)
    assert f"HR@10={found.metrics()['HR@10']:.4g}" in one_line(found)
    unfitted = Recommender(device="cpu")
    assert "fitted=True, users=80, items=64" in one_line(fitted) and "fitted=False" in one_line(unfitted)
    assert "trained weights" in fitted._repr_html_() and "<table>" in unfitted._repr_html_()


def test_tables_hold_the_numbers(planted_split):
    page = planted_split._repr_html_()
    assert len(page) < 5000 and f'<td style="text-align:left">{len(planted_split.train):,}</td>' in page
    found = evaluation.evaluate(baselines.make("popularity").fit(planted_split), planted_split.test)
    low, high = found.intervals()["NDCG@20"]
    assert f"{found.metrics()['NDCG@20']:.4g} (95 %: {low:.4g} to {high:.4g})" in found._repr_html_()


def test_what_comes_from_outside_is_text_and_cut():
    wild = ("<script>alert(1)</script>", "long " * 10_000, "two\nlines", "")
    shown = Catalogue(np.array(["<b>", "2", "3", "4"]), wild, wild, tuple((word,) for word in wild))
    page = shown._repr_html_()
    assert "<script" not in page and "<b>:" not in page and "&lt;script&gt;" in page and "item &lt;b&gt;" in page
    assert len(page) < 3000 and "\n" not in repr(shown)


@pytest.mark.parametrize("name", baselines.REGISTRY)
def test_what_is_no_split_is_told(name):
    with pytest.raises(TypeError, match=r"split must be of the kind Split, got a DataFrame: make one"):
        baselines.make(name).fit(pd.DataFrame({"user": [1]}))


def test_other_wrong_kinds_are_told(planted_split, fitted):
    frame, model = pd.DataFrame({"user": [1]}), baselines.make("popularity").fit(planted_split)
    with pytest.raises(TypeError, match=r"got a Split: a split has its cases in split\.validation and split\.test"):
        evaluation.evaluate(model, planted_split)
    for wrong, what in ((baselines.Popularity, "the class Popularity"), ("popularity", "a str")):
        with pytest.raises(TypeError, match=f"evaluate needs a fitted model, with score or topk, got {what}"):
            evaluation.evaluate(wrong, planted_split.test)
    with pytest.raises(TypeError, match="interactions must be of the kind Interactions, got a DataFrame"):
        data.split(frame, planted_split.catalogue)
    with pytest.raises(TypeError, match="config must be .* got a Config: of a contrec.Config take config.recommender"):
        Recommender(contrec.Config.from_parameters())
    for fit in (lambda: fitted.fit(frame), lambda: contrec.embeddings.make("random", frame)):
        with pytest.raises(TypeError, match="split must be of the kind Split, got a DataFrame"):
            fit()
    with pytest.raises(TypeError, match="embeddings need items and users, got a Tensor"):
        Recommender(fitted.config, "cpu").fit(planted_split, embeddings=fitted.embeddings.items)
    with pytest.raises(TypeError, match="cases must be of the kind Cases, got a list"):
        fitted.recommend_cases([1, 2], 3)


@pytest.mark.parametrize("name", ["popularity", "itemknn", "sasrec", "lightgcn"])
def test_an_unfitted_model_is_told(name, planted_split):
    with pytest.raises(ValueError, match=r"has no attribute .*; is the model fitted\? Call model\.fit\(split\) first"):
        evaluation.evaluate(baselines.make(name), planted_split.test)


def test_an_error_of_another_object_stays_its_own(planted_split):
    class Broken:
        def score(self, cases):
            return cases.nothing_of_the_kind

    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        evaluation.evaluate(Broken(), planted_split.test)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda split: baselines.make("itemkn"), "did you mean 'itemknn'"),
        (lambda split: baselines.make("itemknn", shrinc=1), "'shrinc' of baseline 'itemknn'; did you mean 'shrink'"),
        (lambda split: baselines.make("sasrec", epoch=1), "unknown setting 'epoch' .* did you mean 'epochs'"),
        (lambda split: baselines.make("sasrec/bce", drop=1), "unknown setting 'drop' .* did you mean 'dropout'"),
        (lambda split: baselines.make("lightgcn", layer=1), "'layer' of LightGCN; did you mean 'layers'"),
        (lambda split: baselines.SASRec(epoch=1), "unknown setting 'epoch' of SASRec; did you mean 'epochs'"),
        (lambda split: baselines.make("oracle", k=1), "unknown setting 'k' .*; there are none"),
        (lambda split: contrec.embeddings.make("relations", split), "did you mean 'relation'"),
        (lambda split: contrec.embeddings.make("random", split, dims=3), "'dims' .* did you mean 'dim'"),
        (lambda split: contrec.embeddings.make("relation", split, ridg=3.0, relation="ease"), "did you mean 'ridge'"),
        (lambda split: contrec.Config.from_parameters(dataset="lastfn"), "did you mean 'lastfm'"),
    ],
)  # fmt: skip
def test_unknown_names_suggest_the_nearest(make, message, planted_split):
    with pytest.raises(ValueError, match=message):
        make(planted_split)


def test_a_list_ends_where_nothing_is_left(fitted, planted_split):
    cases = planted_split.test
    left = 64 - np.diff(cases.history_matrix(64).indptr)
    k = int(np.median(left))
    with pytest.warns(UserWarning) as told:
        found = fitted.recommend_cases(cases, k)
    assert [str(w.message) for w in told] == [
        f"k is {k}, but {(left < k).sum()} of 80 users have {left.min()} of 64 items left at the least "
        "that they have not taken: lists end there"
    ]
    assert found.groupby("case").size().tolist() == np.minimum(left, k).tolist()
    short = int(left.min())
    one = fitted.recommend_cases(cases, short)  # no warning, and the same beginnings
    pd.testing.assert_frame_equal(found[found["rank"] <= short].reset_index(drop=True), one, atol=1e-6)


def test_who_has_taken_everything_gets_an_empty_list(fitted):
    everything = Cases.from_histories([list(range(64)), [0, 1]])
    with pytest.warns(UserWarning, match="1 of 2 users have 0 of 64 items left"):
        assert fitted.recommend_cases(everything, 3).case.tolist() == [1, 1, 1]
    with pytest.warns(UserWarning, match="the user has 0 of 64 items left"):
        assert fitted.recommend(history=list(fitted.catalogue.item_ids), k=3).empty
