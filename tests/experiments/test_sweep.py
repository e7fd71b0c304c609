"""The sweep: who takes which point, what is searched at what, what a point is, and that only a head is trained."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from contrec import paths, plots, training
from contrec.data.training_cases import NotTaken
from contrec.evaluation import Evaluation, evaluate
from contrec.experiments.sweep import head_only, one_case, points, tables
from contrec.files import seal, sealed
from contrec.recommender import Recommender
from contrec.study import fitting, jobs
from contrec.study.config import Config


@pytest.fixture
def finished(monkeypatch):
    """A function that says which points are finished, with what value: (parameter, x) -> value or None."""

    def say(value):
        monkeypatch.setattr(points.Point, "done", property(lambda p: value(p.parameter, p.x) is not None))
        monkeypatch.setattr(points.Point, "metric", lambda p, part: value(p.parameter, p.x))

    return say


def test_the_weights_are_searched_one_after_the_other(finished):
    """By hand: gamma_1 best at 1.5, gamma_2 at 0.5 (Sect. 3.5.2, DeftRec)."""
    values = {("gamma_1", 0.0): 0.1, ("gamma_1", 0.5): 0.2, ("gamma_1", 1.0): 0.2, ("gamma_1", 1.5): 0.4}
    finished(lambda *point: values.get(point))
    config = Config.from_parameters("deftrec", "paper", "laptop", seeds=[0, 1, 2])
    names = points.checked(config, ["gamma_2", "gamma_1"])
    assert names == ["gamma_1", "gamma_2"]
    planned = points.plan(config, names)
    assert [(p.parameter, p.x) for p in planned] == [("gamma_1", x) for x in (0.0, 0.5, 1.0, 1.5, 2.0)]
    assert [p.config.recommender.training.llm_weight for p in planned] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert {p.config.recommender.training.negative_weight for p in planned} == {0.0}
    assert all(p.base == p.config for p in planned)
    values["gamma_1", 2.0] = 0.3
    second = [p for p in points.plan(config, names) if p.parameter == "gamma_2"]
    assert [p.x for p in second] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert {p.config.recommender.training.llm_weight for p in second} == {1.5}
    assert {(p.base.recommender.training.llm_weight, p.base.recommender.training.negative_weight) for p in second} == {
        (1.5, 0.0)
    }
    # best (1.5) and default (0.5) of the whole curve with the other seeds too
    assert [(p.x, p.seed) for p in points.plan(config, names) if p.seed] == [(1.5, 1), (0.5, 1), (1.5, 2), (0.5, 2)]


def test_the_models_weights_are_not_the_same_settings():
    contrec, deftrec = (Config.from_parameters(model, "paper", "laptop") for model in ("contrec", "deftrec"))
    for config, first, second in (
        (contrec, "diffusion_weight", "dispersion_weight"),
        (deftrec, "llm_weight", "negative_weight"),
    ):
        p = points.point(config, "gamma_2", 2.0, 0, gamma_1=0.5)
        assert getattr(p.config.recommender.training, first) == 0.5
        assert getattr(p.config.recommender.training, second) == 2.0


def test_values_hold_the_default_and_fit_the_schedule():
    tuned = Config.from_parameters("contrec", "tuned", "laptop")
    assert points.values_of(tuned, "gamma_2") == [0.0, 0.1, 0.5, 1.0, 1.5, 2.0]
    assert points.values_of(tuned, "rho") == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    short = tuned.with_settings(timesteps=20)
    assert points.values_of(short, "steps") == [1, 2, 5, 10, 20]
    assert points.values_of(Config.from_parameters("contrec", "paper", "tiny"), "rho") == [0.2, 0.8]


@pytest.mark.parametrize(
    ("model", "recipe", "names", "message"),
    [
        ("contrec", "tuned", ["rho", "sigma"], "parameter must be one of 'gamma_1', .* got 'sigma'"),
        ("contrec", "tuned", ["gamma_2"], "gamma_2 is searched at the best gamma_1"),
        ("contrec", "released", ["rho"], "this tokenizer is never masked"),
        ("deftrec", "released", ["gamma_1", "gamma_2"], "'gamma_2' cannot be swept .*: a head alone is trained on"),
        ("contrec", "tuned", ["prediction"], "'prediction' cannot be swept with contrec tuned: the direct head"),
        ("deftrec", "paper", ["omega"], "trained without dropped conditions"),
        ("deftrec", "paper", ["tau"], "no dispersive loss"),
        ("contrec", "released", ["pi"], "score 'euclidean' has no bonus"),
    ],
)
def test_what_cannot_be_swept_says_why(model, recipe, names, message):
    with pytest.raises(ValueError, match=message):
        points.checked(Config.from_parameters(model, recipe, "laptop"), names)


@pytest.fixture(scope="module")
def small(tmp_path_factory, planted_split, tiny_config):
    """A config over a small planted world, with artifacts of its own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CONTREC_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
    patch.setattr(fitting, "_split", lambda *_: planted_split)
    inner = tiny_config({"training.epochs": 1, "estimate": "mean", "diffusion.n_samples": 2, "embeddings": {"dim": 8}})
    yield replace(Config.from_parameters("contrec", "paper", "tiny"), recommender=inner)
    patch.undo()


@pytest.fixture(scope="module")
def swept(small):
    points.fill(small, ["omega", "pi", "samples", "tau"])
    return tables.sweep_results(small, ["omega", "pi", "samples", "tau"])


@pytest.mark.parametrize(
    ("parameter", "x", "place", "value"),
    [
        ("omega", 6, ("diffusion", "guidance_strength"), 6),
        ("samples", 4, ("diffusion", "n_samples"), 4),
        ("pi", 0.5, ("text_bonus",), 0.5),
    ],
)
def test_a_point_of_one_checkpoint_is_a_fresh_evaluation_with_its_settings(
    small, swept, planted_split, tmp_path, parameter, x, place, value
):
    model = tmp_path / "model"
    shutil.copytree(fitting.store().path("recommender", fitting.recommender_key(small, 0)) / "model", model)
    about = sealed(model / "recommender.json")
    inner = about["config"]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    seal(model / "recommender.json", about)
    fresh = evaluate(Recommender.load(model, "cpu"), planted_split.test)
    kept = tables.sweep_evaluations(small, ["omega", "pi", "samples"])[parameter, x, 0, "test"]
    np.testing.assert_array_equal(kept.ranks, fresh.ranks)
    default = tables.sweep_evaluations(small, [parameter])
    assert any((e.ranks != kept.ranks).any() for (_, _, _, part), e in default.items() if part == "test")


def test_head_only_trains_the_head_and_nothing_else(small, swept, planted_split):
    recommender = fitting.fitted(small, 0)
    before = {n: t.clone() for n, t in recommender.network.state_dict().items()}
    kept = head_only.Conditions.of(recommender, planted_split)
    config = small.with_settings(temperature=2.0).recommender
    other = head_only.retrained(recommender, kept, config, seed=0)
    after = recommender.network.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before)  # the given one stays as it is
    for name, tensor in other.network.state_dict().items():
        if not name.startswith("diffusion."):
            assert torch.equal(tensor, before[name]), name
    own = [n for n in before if n.startswith("diffusion.")]
    assert own and any(not torch.equal(other.network.state_dict()[n], before[n]) for n in own)
    assert other.network.diffusion.config.temperature == 2.0 and recommender.network.diffusion.config.temperature == 0.5
    again = head_only.retrained(recommender, kept, config, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(other.network.parameters(), again.network.parameters(), strict=True))


def test_the_contrastive_head_gets_items_that_were_not_taken(small, planted_split, monkeypatch):
    recommender, train, drawn = fitting.fitted(small, 0), planted_split.train, []

    def draw(self, users, n, rng, real=NotTaken.draw):
        found = real(self, users, n, rng)
        drawn.extend((row.tolist(), train.item[train.user == u].tolist()) for u, row in zip(users, found, strict=True))
        return found

    monkeypatch.setattr(NotTaken, "draw", draw)
    monkeypatch.setattr(head_only, "LOOP", replace(head_only.LOOP, epochs=1))
    kept = head_only.Conditions.of(recommender, planted_split)
    config = small.with_settings(negative_weight=1.0).recommender
    (row,) = head_only.retrained(recommender, kept, config).history["head"]
    assert drawn and all(set(items) & set(own) == set() for items, own in drawn)
    weighted = row["diffusion"] + 0.5 * row["dispersion"] + row["negative"]
    assert row["total"] == pytest.approx(weighted, rel=1e-5)


def test_results_are_labelled_and_never_made_twice(small, swept, monkeypatch):
    assert list(swept.columns) == tables.COLUMNS
    kinds = swept.groupby("parameter").kind.unique().map(list).to_dict()
    assert kinds == {n: ["head only" if n == "tau" else "one checkpoint"] for n in ("omega", "pi", "samples", "tau")}
    assert set(swept.part) == {"validation", "test"} and swept.run.nunique() == 1
    monkeypatch.setattr(points.Point, "make", None)  # would fail if it were called
    monkeypatch.setattr(training, "fit", None)
    points.fill(small, ["omega", "pi", "samples", "tau"])
    assert tables.sweep_results(small, ["omega", "pi", "samples", "tau"]).equals(swept)


def test_validation_chooses_and_test_is_only_reported(small, swept):
    curves = tables.sweep_curves(small, swept, tables.sweep_evaluations(small))
    for _, rows in curves.groupby("parameter"):
        validation = rows[rows.part == "validation"].set_index("x").value
        assert list(rows[rows.best & (rows.part == "test")].x) == [validation.idxmax()]
    table = tables.sweep_table(small, swept, tables.sweep_evaluations(small)).set_index("parameter")
    assert table.loc["rho", "values"] == "not run" and table.loc["prediction", "values"] == "not run"
    low, high, word = table.loc["omega", ["low", "high", "best against worst"]]
    assert word == ("level" if low <= 0 <= high else "ahead" if low > 0 else "behind")
    assert table.loc["omega", "detectable"] > 0 or low == high
    test = curves[(curves.parameter == "omega") & (curves.part == "test")].set_index("x").value
    validation = curves[(curves.parameter == "omega") & (curves.part == "validation")].set_index("x").value
    assert table.loc["omega", "spread"] == pytest.approx(100 * (test[validation.idxmax()] - test[validation.idxmin()]))


def test_agreement_with_what_the_text_says():
    """By hand: 0.4 is outside "0.2 emerging as the optimal ratio"; 1.0 is inside "between 0.5 and 1"."""
    config = Config.from_parameters("deftrec", "paper", "laptop")
    rows, kept = [], {}

    def of_ten(hits):
        ranks = np.where(np.arange(10) < hits, 1.0, 99.0)
        return tables.Evaluation(ranks, np.ones(10, int), np.arange(10), True, None, {"users": 10})

    for name, top in (("rho", 0.4), ("gamma_1", 1.0)):
        for x in points.values_of(config, name):
            e = of_ten(8 if x == top else 3)
            for part in points.PARTS:
                kept[name, x, 0, part] = e
                own = {"parameter": name, "x": x, "kind": "all", "part": part, "seed": 0}
                rows.append(e.to_frame().assign(**own))
    table = tables.sweep_table(config, pd.concat(rows), kept).set_index("parameter")
    assert list(table.loc[["rho", "gamma_1"], "agrees?"]) == ["no", "yes"]
    assert list(table.loc[["rho", "gamma_1"], "best by validation"]) == ["0.4", "1"]
    assert table.loc["rho", "spread"] == pytest.approx(50) and table.loc["rho", "best against worst"] == "ahead"
    gain = table.loc["rho", "best - default"]
    assert gain.startswith("+50.00 [") and gain.endswith("], 1 seed, users only")

    kept |= {("rho", 0.4, 1, "test"): of_ten(6), ("rho", 0.2, 1, "test"): of_ten(3), ("rho", 0.4, 2, "test"): of_ten(9)}
    table = tables.sweep_table(config, pd.concat(rows), kept).set_index("parameter")
    gain = table.loc["rho", "best - default"]  # of 50 and 30 points; the third seed has no default
    assert gain.startswith("+40.00 [") and gain.endswith("], 2 seeds")
    curves = tables.sweep_curves(config, pd.concat(rows), kept).set_index(["parameter", "part", "x"])
    assert curves.difference["rho", "test", 0.4] == pytest.approx(40)  # both seeds
    assert curves.difference["rho", "validation", 0.4] == pytest.approx(50)  # the first alone
    assert curves.difference["rho", "test", 0.2] == 0 == curves.diff_high["rho", "test", 0.8]
    late = {key: e for key, e in kept.items() if key[:2] != ("rho", 0.2)}  # the default is to come
    curves = tables.sweep_curves(config, pd.concat(rows), late).set_index(["parameter", "part", "x"])
    assert np.isnan(curves.difference["rho"]).all() and np.isnan(curves.diff_low["rho"]).all()
    same = tables.sweep_table(config.with_settings(tokenizer__mask_ratio=0.4), pd.concat(rows), kept)
    assert list(same[same.parameter == "rho"]["best - default"]) == ["the same"]


def test_recorded_sweeps_are_read_as_they_were_made(small, swept, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    names = ["omega", "pi", "samples", "tau"]
    path = tables.record(small, names)
    assert path.name == "planted_planted_leave_one_out_tiny_contrec_paper_sweep.json"
    found, kept = tables.recorded_sweep(small)
    made = tables.sweep_table(small, swept, tables.sweep_evaluations(small, names))
    pd.testing.assert_frame_equal(tables.sweep_table(small, found, kept), made)
    assert json.loads(path.read_text())["notebook"] == "06_hyperparameters"
    assert tables.recorded_sweeps() == {
        path.stem: Config.from_parameters("contrec", "paper", "tiny", seeds=small.seeds)
    }
    before = path.with_suffix(".csv").read_bytes()
    with pytest.raises(ValueError, match=r"holds \d+ recorded results .*ask for all of them"):
        tables.record(small, ["pi"])
    assert path.with_suffix(".csv").read_bytes() == before


def test_two_equal_runs_give_equal_bytes(small, swept, tmp_path, monkeypatch):
    saved = []
    for name in ("one", "two"):
        if name == "two":  # everything is made again, elsewhere
            monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path / "again"))
            monkeypatch.setattr(points, "_last", {})
            points.fill(small, ["pi", "tau"])
        found, kept = (read(small, ["pi", "tau"]) for read in (tables.sweep_results, tables.sweep_evaluations))
        figure, frame = plots.sweep(tables.sweep_curves(small, found, kept), subtitle="planted")
        saved.append([p.read_bytes() for p in plots.save(figure, tmp_path / name, "two curves", "0123")])
    assert saved[0] == saved[1]
    assert list(frame.columns[:3]) == ["parameter", "title", "kind"] and len(frame) == 2 * (5 + 2)


def test_a_published_optimum_is_marked_and_none_is_invented(small, swept):
    curves = tables.sweep_curves(small, swept, tables.sweep_evaluations(small))
    figure, _ = plots.sweep(curves)
    assert not any("paper" in t.get_text() for t in figure.legends[0].get_texts())
    marked, _ = plots.sweep(curves.assign(paper_low=0.1, paper_high=0.2))
    assert any("paper" in t.get_text() for t in marked.legends[0].get_texts())


def test_the_plan_is_one_that_other_machines_can_be_sent(small, swept):
    """A plan leaves the process pickled, and finds there what is done."""
    wanted = pickle.loads(pickle.dumps(points.plan_of(small, ["pi"])))()
    assert [p.x for p in wanted] == points.values_of(small, "pi") and all(p.done for p in wanted)


def test_the_second_weight_begins_when_the_first_curve_is_whole(tmp_path, monkeypatch):
    """Points that take no model; the best is the one that is nearest to 1."""
    made = []
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(points, "load_split", lambda config: None)
    monkeypatch.setattr(jobs, "is_there", lambda folder: folder.is_dir())
    monkeypatch.setattr(points, "make", lambda p: p.folder.mkdir(parents=True) or made.append((p.parameter, p.x)))
    monkeypatch.setattr(points.Point, "metric", lambda p, part: -abs(p.x - 1))
    said, config = [], Config.from_parameters("contrec", "paper", "laptop")
    points.fill(config, ["rho", "K", "gamma_1", "gamma_2"], say=said.append)
    assert len(made) == len(set(made)) == len(said) == 5 + 6 + 4 + 5  # rho = 0.2 and K = 3 are one run, the default
    first = [n for n, (name, _) in enumerate(made) if name == "gamma_2"]
    assert min(first) > max(n for n, (name, _) in enumerate(made) if name == "gamma_1")


def test_one_setting_is_turned_and_the_list_follows(fitted, planted_split):
    """The same list as the recommender's own with that setting; all else, the noise too, is equal."""
    one = planted_split.test.select([3])
    moved, ranks = one_case.turned(fitted, one, "steps", (1, 3), k=4)
    known = fitted.understand(one)
    first, last = (fitted.preference(known, "sample", steps=n) for n in (1, 3))
    cosine = torch.nn.functional.cosine_similarity(first, last).item()
    assert moved.cosine.tolist() == pytest.approx([1.0, cosine]) and cosine < 0.9999
    own = fitted.ranked(one, 4, known, last)
    assert moved["first in the list"][1] == own.title[0]
    for row in own.itertuples():
        assert row.rank in ranks[3].to_numpy() and ranks.index.str.endswith(row.title).any()
    target = f"target: {planted_split.catalogue.titles[one.target[0]]}"
    assert ranks.index[-1] == target and ranks.index.is_unique
    assert ranks.loc[target].tolist() == moved["target's rank"].tolist() and ranks.columns.name == "steps"
    assert moved.kept.tolist() == [4, (ranks[1] <= 4)[ranks[3] <= 4].sum()]


def test_the_text_bonus_moves_the_list_and_not_the_preference(fitted, planted_split):
    moved, ranks = one_case.turned(fitted, planted_split.test.select([0]), "pi", (0.0, 1.0))
    assert moved.cosine.tolist() == pytest.approx([1.0, 1.0]) and (ranks[0.0] != ranks[1.0]).any()
    with pytest.raises(ValueError, match="parameter must be one of 'omega', 'steps', 'samples', 'pi', got 'rho'"):
        one_case.turned(fitted, planted_split.test.select([0]), "rho", (0, 1))


def test_a_target_that_was_seen_has_no_rank(fitted, planted_split):
    history = planted_split.test.history(0)
    one = replace(planted_split.test.select([0]), target=history[:1])
    moved, ranks = one_case.turned(fitted, one, "pi", (0.0, 1.0))
    assert moved["target's rank"].isna().all() and not ranks.index.str.startswith("target").any()


def test_what_a_sweep_has_found_is_said_with_its_numbers(small, swept):
    kept = tables.sweep_evaluations(small)
    said, table = tables.found_in(small, swept, kept), tables.sweep_table(small, swept, kept).dropna(subset="spread")
    assert said.startswith(f"{small.dataset}, ContRec paper: ")
    for row in table.itertuples():
        word = "level" if row.low <= 0 <= row.high else "ahead" if row.low > 0 else "behind"
        title = points.PARAMETERS[row.parameter].title
        (own,) = (part for part in re.split("[.;] ", said) if part.lower().startswith(f"{word}: "))
        assert title in own and (f"{row.spread:+.2f} points [" in own or word == "level")
    chosen = table[table["best by validation"] != table.default]
    assert (f"left the default for {len(chosen)} of {len(table)}" in said) == bool(len(chosen))
    assert tables.found_in(small, swept[:0], {}).endswith("no curve is whole yet.")
    assert "paper, stale: " in tables.found_in(small, swept.assign(stale=True), kept)


def test_a_setting_that_matters_is_told_apart_from_one_that_does_not():
    """By hand: a text bonus of .5 loses all targets that any other value finds; samples change nothing."""
    config = Config.from_parameters("contrec", "paper", "tiny")
    kept, rows = {}, []
    for name in ("pi", "samples"):
        for x in points.values_of(config, name):
            for part in ("validation", "test"):
                ranks = np.full(20, 50.0 if x == 0.5 else 1.0)
                kept[name, x, 0, part] = e = Evaluation(ranks, np.ones(20), np.arange(20), True, None, {})
                rows.append((name, x, 0, part, "HR@10", e.metrics()["HR@10"]))
    found = pd.DataFrame(rows, columns=["parameter", "x", "seed", "part", "metric", "value"])
    assert tables.found_in(config, found, kept) == (
        "planted, ContRec paper: the best value against the worst, test users. "
        "Ahead: π +100.00 points [+100.00, +100.00]; level: samples. Validation left the default for 1 of 2; "
        "the most that brought is +0.00 points [+0.00, +0.00] (π), level with the default."
    )
