"""The ablation: which arms there are, what each changes, that nothing is run twice, and what the table says."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from contrec import cli, paths
from contrec.evaluation import Evaluation
from contrec.experiments.ablation import cells, tables
from contrec.experiments.ablation.arms import ARMS, RELEASED, arm_table, arms, everything, left_out
from contrec.experiments.ablation.tables import ablation_table, compared, headline, holm, printed
from contrec.papers.published import published
from contrec.study import config as recipes
from contrec.study import evaluating, finished, fitting, jobs
from contrec.study.config import MODELS, RECIPES, Config
from contrec.study.recording import write_ranks

SMALL = {
    "embeddings": {"dim": 16}, "tokenizer.token_dim": 8, "tokenizer.width": 32, "tokenizer.epochs": 2,
    "language.hidden": 32, "language.heads": 2, "language.layers": 1, "language.vocabulary": 900,
    "language.history_cap": 3, "language.max_input": 512, "diffusion.width": 32, "diffusion.timesteps": 50,
    "diffusion.sampler": "ddim", "diffusion.sampler_steps": 3, "training.epochs": 1, "training.cases_per_user": 1,
    "training.batch_size": 32,
}  # fmt: skip
STUDIES = [(model, recipe) for model in MODELS for recipe in RECIPES[model]]


def flat(config) -> dict:
    """Dotted name -> value."""
    found = {}
    for name, value in vars(config.recommender).items():
        found |= {f"{name}.{k}": v for k, v in vars(value).items()} if hasattr(value, "__dict__") else {name: value}
    return found


def changes(arm, full) -> set[str]:
    before, after = flat(full), flat(arm.config(full))
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(("model", "recipe"), STUDIES)
def test_an_arm_differs_from_the_full_model_in_nothing_but_its_settings(model, recipe):
    full = Config.from_parameters(model, recipe, "laptop")
    found = arms(full)
    assert found[0].name == "full" and changes(found[0], full) == set()
    assert len({arm.name for arm in found}) == len(found)
    for arm in found[1:]:
        named = {recipes._place(name) for name in arm.settings}
        other = changes(arm, full)
        if arm.name == "released":
            assert arm.config(full).recommender == Config.from_parameters(model, "released", "laptop").recommender
        elif "inputs" in named:  # settings that the other vectors do not know go, too
            assert "inputs" in other <= named | {"embeddings"}
        elif arm.name == "no-diffusion":  # what recipe tuned has already is no change
            assert "diffusion.terminal_share" in other <= named
        elif arm.name == "no-encoder":
            assert "tokenizer.kind" in other <= named
        else:
            assert other == named, arm.name
        settings = {recipes._place(name): value for name, value in arm.settings.items()}
        after = flat(arm.config(full))
        assert all(after[name] == value for name, value in settings.items() if name != "embeddings")


@pytest.mark.parametrize(
    ("model", "recipe", "names"),
    [
        ("deftrec", "paper", {"no-dispersion", "cf-only", "no-tags", "k2", "generated", "one-sample"}),
        ("contrec", "paper", {"no-bpr", "no-tags", "k3", "generated", "one-sample"}),
        ("contrec", "tuned", {"no-bpr", "no-text-bonus", "no-tags", "k2", "generated", "point"}),
        # with condition_states "input" there is no condition from the prompt
        ("contrec", "released",
         {"no-mask", "no-bpr", "no-user-tokens", "no-text-bonus", "cf-only", "no-tags", "k2", "gold", "prompt",
          "one-sample"}),
    ],
)  # fmt: skip
def test_arms_without_effect_are_left_out_and_said_so(model, recipe, names):
    full = Config.from_parameters(model, recipe, "laptop", dataset="software")
    there = {arm.name for arm in arms(full)}
    assert {arm.name for arm in ARMS} - there == names
    assert (RELEASED in {arm.group for arm in arms(full)}) == (recipe != "released")
    table = left_out(full)  # and four defects that are not rebuilt
    assert len(table) == 4 + len(everything(full)) - len(there) and (table.why != "").all()
    assert len(arm_table(full)) == len(there)


def test_recipe_tuned_takes_the_defects_that_it_can_show():
    full = Config.from_parameters("deftrec", "tuned", "laptop", dataset="software")
    there = {arm.name.removeprefix("released-") for arm in arms(full) if arm.group == RELEASED}
    assert there == {
        "mask_shared", "mask_at_test", "condition_from", "condition_states", "pairing", "lr_schedule", "test_on",
    }  # fmt: skip
    why = left_out(full).set_index("arm").why
    assert why["propagate False"] == "a setting of LightGCN; the vectors are of kind 'relation'"
    assert why["sampler_start 100"] == "the point estimate walks no steps"
    assert why["All of it"] == "no step from recipe tuned; see recipe paper"


def test_defects_of_the_vectors_reach_both_kinds_of_them():
    for model, place in (("deftrec", {"propagate": False}), ("contrec", {"lightgcn": {"propagate": False}})):
        full = Config.from_parameters(model, "paper", "laptop")
        arm = next(arm for arm in arms(full) if arm.name == "released-propagate")
        assert arm.config(full).recommender.embeddings == place


def test_random_vectors_keep_the_width_and_forget_the_rest():
    full = Config.from_parameters("contrec", "tuned", "laptop", dataset="lastfm")
    (arm,) = (arm for arm in arms(full) if arm.name == "no-cf")
    assert full.recommender.embeddings == {"dim": 256, "popularity": 0.3}
    assert arm.config(full).recommender.embeddings == {"dim": 256}
    full = Config.from_parameters("deftrec", "tuned", "laptop", dataset="software")  # whose width is the default one
    found = arms(full, ["no-cf", "cf-only", "text-only"])
    widths = {arm.name: arm.config(full).recommender.embeddings for arm in found}
    assert full.recommender.embeddings == {} == widths["text-only"]
    assert widths["no-cf"] == widths["cf-only"] == {"dim": 64}  # origin: the default of RelationEmbeddings.fit


def test_tags_are_left_out_where_there_are_any():
    full = Config.from_parameters("contrec", "tuned", "laptop", dataset="lastfm")
    arm = next(arm for arm in arms(full) if arm.name == "no-tags")
    inner = arm.config(full).recommender
    assert inner.embeddings == full.recommender.embeddings | {"relation": "ease", "tag_weight": 0.0}
    assert replace(inner, embeddings=full.recommender.embeddings) == full.recommender


def test_unknown_arms_are_named():
    full = Config.from_parameters("deftrec", "paper")
    with pytest.raises(ValueError, match="arm must be one of 'full', 'no-diffusion'.*got 'no-fun'"):
        arms(full, ["no-fun"])
    assert [arm.name for arm in arms(full, ["k2", "gold"])] == ["full", "gold"]


def test_every_printed_cell_has_its_arm():
    table = published("deftrec_table5")
    for (dataset, metric), own in table.groupby(["dataset", "metric"]):
        found = printed("deftrec", dataset, metric)
        assert list(found.values()) == own.value.tolist() and set(found) <= {arm.name for arm in ARMS}
    assert printed("deftrec", "software", "HR@10")["no-diffusion"] == 0.1443  # origin: Table 5, DeftRec
    assert printed("contrec", "software", "HR@10") == {} == printed("deftrec", "beauty_positive", "HR@10")
    labels = {arm.name: arm.label for arm in ARMS}
    for row in table[table.model != "deftrec"].itertuples():
        assert labels[row.model.partition("/")[2]] == row.row


def evaluation(ranks) -> Evaluation:
    ranks = np.array(ranks, np.float64)
    counts = {"cases": len(ranks), "users": len(ranks)}
    return Evaluation(ranks, np.ones(len(ranks), np.int64), np.arange(len(ranks)), True, None, counts)


def test_printed_differences_are_points():
    """Origin: Table 5, DeftRec: .1217 - .1584 and .0241 - .0255."""
    table = tables.printed_differences()
    assert len(table) == 8 and table.loc["w/o CF", ("software", "HR@10")] == pytest.approx(-3.67)
    assert table.loc["w/o BPR", ("beauty", "NDCG@10")] == pytest.approx(-0.14)


SOFTWARE = Config.from_parameters("deftrec", "paper", "laptop", dataset="software", source="released")
HIT, MISS = 1.0, 11.0


def by_arm(frame, metric="HR@10"):
    return frame[frame.metric == metric].set_index("arm")


def test_differences_by_hand():
    """Of 40 users 20 are hit by the full model in both seeds; w/o Mask in 16 and 18, so 17 / 40 on average."""
    kept = {("full", seed): evaluation([HIT] * 20 + [MISS] * 20) for seed in (0, 1)}
    kept |= {("no-mask", 0): evaluation([HIT] * 16 + [MISS] * 24), ("no-mask", 1): evaluation([HIT] * 18 + [MISS] * 22)}
    kept |= {("gold", 1): evaluation([HIT] * 40)}
    table = by_arm(compared(SOFTWARE, kept))
    assert table.value["full"] == 0.5 and np.isnan(table.difference["full"]) and table.verdict["full"] == ""
    assert table.value["no-mask"] == pytest.approx(17 / 40) and table.n["no-mask"] == 2
    assert table.difference["no-mask"] == pytest.approx(-7.5)
    assert table.seed_sd["no-mask"] == pytest.approx(5 / 2**0.5)  # of -10 and -5 points
    assert table.diff_low["no-mask"] < -7.5 < table.diff_high["no-mask"]
    assert table.detectable["no-mask"] > 2.8 * 2.5  # two trainings, 2.5 points of standard error and more
    assert table.difference["gold"] == pytest.approx(50) and np.isnan(table.seed_sd["gold"])
    assert table.p_holm["gold"] == pytest.approx(2 * table.p["gold"])  # two arms were run
    assert table.published_difference["no-mask"] == pytest.approx(-0.44)  # origin: Table 5, .1540 - .1584
    assert np.isnan(table.published["gold"])


def test_a_seed_without_its_full_model_makes_nothing_surer():
    """-3 and -1 points over two seeds, whatever a third seed of the arm alone says."""
    base, hits = [HIT] * 50 + [MISS] * 50, (47, 49)
    kept = {("full", seed): evaluation(base) for seed in (0, 1)}
    kept |= {("no-mask", seed): evaluation([HIT] * n + [MISS] * (100 - n)) for seed, n in enumerate(hits)}
    alone = kept | {("no-mask", 2): evaluation(base)}
    two, three = (by_arm(compared(SOFTWARE, own)) for own in (kept, alone))
    assert two.verdict["no-mask"] == three.verdict["no-mask"] == "level, sign as printed"
    assert two.difference["no-mask"] == three.difference["no-mask"] == pytest.approx(-2)
    assert two.diff_low["no-mask"] == three.diff_low["no-mask"]
    shown = ablation_table(compared(SOFTWARE, alone)).set_index("arm")
    assert shown.seeds["w/o Mask"] == "2" and shown.detectable["w/o Mask"] == f"{two.detectable['no-mask']:.2f}"


def test_verdicts_say_side_and_sign():
    base = [HIT] * 20 + [MISS] * 20
    kept = {("full", 0): evaluation(base)}
    kept |= {("no-mask", 0): evaluation([HIT] * 10 + [MISS] * 30), ("no-bpr", 0): evaluation([HIT] * 35 + [MISS] * 5)}
    kept |= {("gold", 0): evaluation([HIT] * 40), ("k1", 0): evaluation([HIT] * 19 + [MISS] * 21)}
    kept |= {("k3", 0): evaluation([HIT] * 21 + [MISS] * 19)}
    verdicts = by_arm(compared(SOFTWARE, kept)).verdict
    assert verdicts["no-mask"] == "behind, sign as printed" and verdicts["no-bpr"] == "ahead, sign not as printed"
    assert verdicts["gold"] == "ahead" and verdicts["prompt"] == "not run" and verdicts["k2"] == "the full model is so"
    assert verdicts["k1"] == "level, sign as printed" and verdicts["k3"] == "level, sign not as printed"
    # two seeds that disagree: the users' interval is clear of zero, the trainings are not
    kept |= {("full", 1): evaluation(base), ("no-mask", 1): evaluation([HIT] * 20 + [MISS] * 20)}
    frame = by_arm(compared(SOFTWARE, kept))
    assert frame.diff_high["no-mask"] > 0 and frame.verdict["no-mask"] == "level, sign as printed"


def test_arms_are_told_in_words():
    kept = {("full", 0): evaluation([HIT] * 20 + [MISS] * 20), ("no-mask", 0): evaluation([HIT] * 10 + [MISS] * 30)}
    kept |= {("gold", 0): evaluation([HIT] * 40), ("no-bpr", 0): evaluation([HIT] * 35 + [MISS] * 5)}
    kept |= {("k1", 0): evaluation([HIT] * 19 + [MISS] * 21)}
    assert tables.in_words(compared(SOFTWARE, kept), "Here") == (
        "Here: of 4 arms 1 are level with the full model and 3 are not, least of all 'From gold text' "
        "(+50.00 points [+35.00, +65.00]); of the 3 that are printed, 1 differ with the printed sign."
    )
    assert tables.in_words(compared(SOFTWARE, {}), "Here") == "Here: not run."


def test_holm():
    """By hand: .01 * 3, then the largest so far of .02 * 2 and .03 * 1."""
    found = holm(pd.Series([0.03, np.nan, 0.01, 0.02]))
    assert found.tolist()[0] == pytest.approx(0.04) and np.isnan(found[1])
    assert found.tolist()[2:] == pytest.approx([0.03, 0.04])


def test_tables_show_print_beside_runs_and_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    kept = {("full", 0): evaluation([HIT] * 20 + [MISS] * 20), ("gold", 0): evaluation([HIT] * 40)}
    shown = ablation_table(compared(SOFTWARE, kept)).set_index("arm")
    assert shown.loc["w/o Mask", "published difference"] == "-0.44" and shown.verdict["w/o Mask"] == "not run"
    assert shown.loc["From gold text", "difference"].startswith("+50.00 [") and "w/o User tokens" not in shown.index
    planted = Config.from_parameters("deftrec", "paper", "tiny")
    table = headline(planted, kept).set_index("arm")
    assert table.loc["w/o Diffusion", "published"] == "0.1443"
    assert set(table["reproduced (software, paper)"]) == {"not run"}
    assert table.loc["From gold text", "this run (planted, paper)"] == "1.0000"
    for recipe, rows in (("paper", kept), ("tuned", {("full", 1): evaluation([HIT] * 40)})):
        stem = cells.stem(replace(SOFTWARE, recipe=recipe))
        write_ranks(tmp_path / f"{stem}.ranks.parquet", rows.items(), ("arm", "seed"))
    assert [(s.recipe, s.seeds) for s in tables.recorded_studies(planted)] == [
        ("paper", (0,)),
        ("tuned", (1,)),
    ]
    table = headline(planted, {}).set_index("arm")
    assert table.loc["From gold text", "difference, paper"].startswith("+50.00 [")
    assert table.loc["From gold text", "reproduced (software, tuned)"] == "not run"
    assert table.loc["Full", "reproduced (software, tuned)"] == "1.0000 (n=1)" and "difference, released" not in table
    drawn = tables.drawn(compared(SOFTWARE, kept), "this run")
    assert set(drawn[drawn.kind == "this run"].label) == {"From gold text"}
    assert len(drawn[(drawn.kind == "published") & (drawn.metric == "HR@10")]) == 8  # nine rows, one is Full


# -- runs, as small as can be ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(planted_split, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTREC_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        patch.setitem(recipes.PRESETS, "tiny", SMALL)
        patch.setattr(fitting, "_split", lambda *_: planted_split)
        yield patch


@pytest.fixture(scope="module")
def filled(world):
    """Full, without mask, from gold text, and pi = 0, which needs no run of its own."""
    (full,) = cells.studies(["planted"])
    wanted, said = cells.of(full, ["no-mask", "gold", "no-text-bonus"]), []
    assert set(jobs.overview(wanted)["planted deftrec paper"]) == {"not run"}
    cells.fill(wanted, say=said.append)
    return wanted, said


def test_the_full_run_is_kept_with_its_controls(filled):
    wanted, _ = filled
    kept = cells.full(wanted)
    assert {"deftrec", "deftrec/user-token", "deftrec/direct-head", "deftrec/no-text-bonus"} <= {
        name for name, _ in kept
    }
    own = cells.evaluations(wanted)["full", wanted[0].seed]
    np.testing.assert_array_equal(kept["deftrec", wanted[0].seed].ranks, own.ranks)
    assert cells.full([c for c in wanted if c.arm.name != "full"]) == {}


def test_full_models_first_then_the_cheapest_and_shared_ones_for_nothing(filled):
    wanted, said = filled
    assert [line.split()[3] for line in said] == ["full", "gold", "no-mask"]
    assert all(cell.done for cell in wanted)
    assert set(jobs.overview(wanted)["planted deftrec paper"]) == {"1 of 1"}
    by_name = {cell.arm.name: cell for cell in wanted}
    assert by_name["no-text-bonus"].folder == by_name["full"].folder
    assert by_name["no-text-bonus"].kept[0].endswith("/no-text-bonus")
    assert len(evaluating.kept_evaluations(by_name["full"].folder)) > 5  # with its controls
    assert len(evaluating.kept_evaluations(by_name["gold"].folder)) == 1
    kept = cells.evaluations(wanted)
    frame = by_arm(compared(wanted[0].full, kept))
    metrics = {name: e.metrics()["HR@10"] for (name, _), e in kept.items()}
    assert frame.difference["gold"] == pytest.approx(100 * (metrics["gold"] - metrics["full"]))


def test_every_arm_is_known_once_before_any_is_run_again(world):
    (full,) = cells.studies(["planted"], seeds=(8, 7))  # which nothing else here has run
    todo = [(cell.seed, cell.arm.name) for cell in cells.in_order(cells.of(full, ["no-mask", "gold"]))]
    assert todo == [(seed, name) for seed in (8, 7) for name in ("full", "gold", "no-mask")]


def test_nothing_is_run_twice(filled, monkeypatch):
    for place, name in ((fitting.Recommender, "fit"), (evaluating, "evaluate"), (fitting.embeddings, "make")):
        monkeypatch.setattr(place, name, None)  # would fail if it were called
    cells.fill(filled[0])
    filled[0][0].make()


def test_a_later_whole_evaluation_takes_the_place_of_the_first(filled):
    cell = next(c for c in filled[0] if c.arm.name == "gold")
    name, before = evaluating.run_of(cell.folder), cell.kept[1]
    assert len(finished._evaluations(name)) == 1
    evaluating.evaluated(cell.config, cell.seed)
    assert len(finished._evaluations(name)) == 1 and len(evaluating.kept_evaluations(cell.folder)) > 5
    assert cell.kept[1].metrics() == pytest.approx(before.metrics())


def test_records_hold_every_arm_and_what_comparisons_need(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    wanted = filled[0]
    (entry,) = cells.record(wanted)
    assert entry.name == "planted_planted_leave_one_out_tiny_deftrec_paper_ablation.json"
    frame = pd.read_csv(entry.with_suffix(".csv"))
    assert list(frame.columns) == [*evaluating.COLUMNS, "arm"] and len(frame) == 4 * len(wanted)
    assert set(frame.model) == {"deftrec"} and set(frame.arm) == {cell.arm.name for cell in wanted}
    kept, again = cells.evaluations(wanted), cells.recorded(wanted[0].full)
    assert set(again) == set(kept)
    pd.testing.assert_frame_equal(compared(wanted[0].full, again), compared(wanted[0].full, kept))
    about = json.loads(entry.read_text())
    assert about["notebook"] == "05_ablation" and about["config"]["arms"]["no-mask"] == {"mask_ratio": 0.0}
    from contrec.study import tables

    assert len(tables.reproduced()) == 0  # arms are no models of the ranking tables


def test_the_command_fills_shows_and_records(filled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "reproduced", lambda: tmp_path)
    monkeypatch.setattr(cells.ArmCell, "make", None)  # all is there
    assert cli.main("fill ablation --arms no-mask,gold --record".split()) == 0
    said = capsys.readouterr().out
    assert re.search("no-mask +1 of 1", said) and "_deftrec_paper_ablation.json" in said


def test_a_named_arm_that_no_model_has_is_refused(capsys):
    assert cli.main("fill ablation --arms point --models contrec --recipes tuned".split()) == 2
    assert re.search("arm 'point' cannot be run with contrec tuned: .+", capsys.readouterr().err)
    both = cells.studies(["planted"], ("contrec", "deftrec"), ("paper",))
    assert {c.full.model for c in cells.of_all(both, ["no-mask"])} == {"contrec", "deftrec"}


KILLED = """
from contrec import data
from contrec.experiments.ablation import cells
from contrec.study import config, fitting
config.PRESETS["tiny"] = {settings}
split = data.split(*data.load("planted", n_users=80, n_items=64))
fitting._split = lambda *_: split
cells.fill(cells.of(*cells.studies(["planted"]), ["no-mask"])[1:])
"""


def test_a_stopped_fill_goes_on(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTREC_ARTIFACTS", str(tmp_path))
    settings = SMALL | {"training.epochs": 4, "training.patience": 4}
    monkeypatch.setitem(recipes.PRESETS, "tiny", settings)
    (cell,) = cells.of(*cells.studies(["planted"]), ["no-mask"])[1:]
    name = evaluating.run_name(cell.config, 0)
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(settings=settings)])
    path = tmp_path / "recommender" / f".{name}.unfinished/checkpoints/last/history.json"
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = json.loads(path.read_text())
    assert 0 < len(done) < 4 and not cell.done
    cells.fill([cell])
    about = json.loads((tmp_path / "recommender" / name / "model" / "recommender.json").read_text())
    epochs = about["history"]["phase2"]
    assert cell.done and len(epochs) == 4 and epochs[: len(done)] == done  # to the seconds that they took


def test_estimates_follow_what_was_run(filled):
    wanted = filled[0]
    seconds = dict(zip([c.arm.name for c in wanted], cells.estimates(wanted), strict=True))
    assert seconds["no-text-bonus"] == 0 and seconds["gold"] < seconds["full"] < 60
    other = [replace(c, seed=9) for c in wanted]
    assert cells.estimates(other)[0] == pytest.approx(cells.GUESS * cells.SIZES["planted"])
