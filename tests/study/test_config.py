"""Models, recipes and presets: checked names, checked ranges, one fingerprint, a source for every value."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from contrec.artifacts.fingerprint import canonical_json, fingerprint
from contrec.network import RecommenderConfig
from contrec.study import config as tables
from contrec.study.config import PRESETS, RECIPES, STAGES, Config, apply, recipe_table

make = Config.from_parameters


def names(settings):
    return set(settings)


def test_settings_reach_their_stage():
    config = make(n_tokens=4, mask_ratio=0.4, training__lr=0.01, guidance_strength=6.0, inputs="text", preset="laptop")
    inner = config.recommender
    assert (inner.tokenizer.n_tokens, inner.tokenizer.mask_ratio, inner.training.lr) == (4, 0.4, 0.01)
    assert inner.tokenizer.lr == RecommenderConfig().tokenizer.lr  # the namesake is left alone
    assert (inner.diffusion.guidance_strength, inner.inputs) == (6.0, "text")
    assert make(n_tokens=None) == make()
    changed = config.with_settings(n_tokens=1)
    assert changed.recommender.tokenizer.n_tokens == 1 and config.recommender.tokenizer.n_tokens == 4
    assert changed.recommender.training == inner.training


def test_recipes_and_presets_name_real_settings_only():
    known = {f"{stage}.{f}" for stage, kind in STAGES.items() for f in kind.__dataclass_fields__}
    known |= set(RecommenderConfig.__dataclass_fields__) - set(STAGES)
    for table in (*RECIPES.values(), PRESETS, tables.BOTH, tables.TUNED):
        for name, settings in table.items():
            assert set(settings) <= known, name


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("recipe", sorted(RECIPES["contrec"]))
@pytest.mark.parametrize("model", tables.MODELS)
def test_every_recipe_runs_on_every_preset(model, recipe, preset):
    for dataset in tables.NAMES:
        config = make(
            model, recipe=recipe, preset=preset, dataset=dataset, path=__file__ if dataset == "table" else None
        )
        json.loads(canonical_json(asdict(config)))
        for name, value in {**PRESETS[preset], **tables.BOTH.get((recipe, preset), {})}.items():
            stage, _, field = name.rpartition(".")
            assert getattr(getattr(config.recommender, stage) if stage else config.recommender, field) == value


def test_a_preset_is_no_part_of_the_method():
    scale = {"backbone", "train", "quantize", "history_cap", "hidden", "layers", "heads", "vocabulary", "max_input",
             "width", "epochs", "batch_size", "lr", "cases_per_user", "validation_users", "noise_draws"}  # fmt: skip
    assert {name.rpartition(".")[2] for settings in PRESETS.values() for name in settings} <= scale


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"no_such": 1}, "unknown setting 'no_such'; known are .*mask_ratio"),
        ({"training__no_such": 1}, "unknown setting 'training__no_such'"),
        ({"nowhere__lr": 1}, "unknown setting 'nowhere__lr'"),
        ({"tokenizer": {}}, "unknown setting 'tokenizer'"),
        ({"lr": 1}, "setting 'lr' is not unique: use tokenizer__lr or training__lr"),
        ({"width": 9}, "not unique: use tokenizer__width or diffusion__width"),
        ({"mask_ratio": 1.2}, r"mask_ratio must lie in \[0, 1\], got 1.2"),
        ({"n_tokens": 0}, "n_tokens must be a whole number of at least 1, got 0"),
        ({"guidance_strength": -2}, "guidance_strength must lie in .*got -2"),
        ({"model": "sasrec"}, "model must be one of"),
        ({"recipe": "best"}, "recipe must be one of .*'tuned'"),
        ({"preset": "huge"}, "preset must be one of"),
        ({"dataset": "netflix"}, "dataset must be one of"),
        ({"dataset": "planted", "source": "raw"}, "source of planted must be one of 'planted', got 'raw'"),
        ({"split": "random"}, "split must be one of"),
        ({"seeds": []}, "seeds must be a list of whole numbers from 0"),
        ({"seeds": [0, -1]}, "seeds must be a list"),
        ({"seeds": [0.5]}, "seeds must be a list"),
        ({"seeds": [True]}, "seeds must be a list"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"seeds": "3"}, "seeds must be a list"),
        ({"seeds": [1, 1]}, "seeds must be a list .*, each once"),
        ({"seeds": [2**63]}, r"seeds must be a list of whole numbers from 0 to 2\*\*63 - 1"),
        ({"dataset": "table"}, "dataset 'table' is a file of your own"),
        ({"dataset": "table", "path": "no.csv"}, "no.csv does not exist"),
        ({"dataset": "table", "path": "\udcff.csv"}, "the name of the file '.udcff.csv' is no UTF-8 text"),
        ({"dataset": "table", "path": __file__, "columns": {"items": "no.csv"}}, "no.csv does not exist"),
        ({"dataset": "table", "path": __file__, "columns": {"usr": "a"}}, "column must be one of .* mean 'user'"),
        ({"path": __file__}, "dataset 'planted' has no path"),
        ({"columns": {"user": "a"}}, "dataset 'planted' has no columns"),
    ],
)
def test_what_cannot_be_is_told(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_fingerprint_names_settings_on_every_machine():
    one = fingerprint(asdict(make(seeds=[0])))
    assert one == fingerprint(asdict(make(seeds=(0,)))) == fingerprint(json.loads(canonical_json(asdict(make()))))
    assert one != fingerprint(asdict(make(mask_ratio=0.4))) and one != fingerprint(asdict(make(seeds=[1])))
    assert fingerprint(asdict(make(text_bonus=0.0))) == fingerprint(asdict(make(text_bonus=0)))
    # another process, another hash seed
    code = (
        "from dataclasses import asdict; from contrec.study.config import Config; from contrec.artifacts.store import "
        "fingerprint; print(fingerprint(asdict(Config.from_parameters())))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == one


def test_apply_merges_provider_settings_and_checks_anew():
    config = apply(RecommenderConfig(embeddings={"dim": 8, "seed": 1}), {"embeddings": {"dim": 16}})
    assert config.embeddings == {"dim": 16, "seed": 1}
    with pytest.raises(ValueError, match="timesteps"):
        apply(config, {"diffusion.timesteps": 0})


def test_label_says_which_backbone():
    assert make(recipe="paper").label == "ContRec paper (tiny backbone)"
    assert make(recipe="tuned", preset="gpu").label == "ContRec tuned"
    assert make("deftrec", recipe="released").label == "DeftRec released (tiny backbone)"


def test_the_table_has_a_source_for_every_setting():
    table = recipe_table().set_index("setting")
    assert set(RECIPES["contrec"]) <= set(table.columns)
    said = table["source"].str.contains(r"Sect\.|Eq\.|Appendix|released code|our choice|paper")
    unread = table.index.isin(
        ["diffusion.terminal_share", "diffusion.n_negatives"]
    )  # only by cross_entropy: not in `paper`
    assert table.index[~said & ~unread].tolist() == []
    assert (
        table.loc["tokenizer.mask_ratio", "paper"] == 0.2
        and "Sect. 4.1.4" in table.loc["tokenizer.mask_ratio", "source"]
    )
    fields = sum(len(kind.__dataclass_fields__) for kind in STAGES.values())
    assert (
        len(table) == fields + len(RecommenderConfig.__dataclass_fields__) - len(STAGES) - 1
    )  # `dataset` is no choice


def test_printed_settings_of_the_paper():
    # Sect. 4.1.1, 4.1.4, 3.5.2 and Appendix C.3, ContRec
    c = make(recipe="paper", preset="laptop").recommender
    printed = {
        "language.history_cap": 20, "language.max_input": 1024, "diffusion.timesteps": 1000,
        "diffusion.sampler_steps": 100, "diffusion.p_uncond": 0.1, "diffusion.temperature": 0.5, "text_bonus": 0.05,
        "tokenizer.weight_decay": 1e-3, "training.weight_decay": 1e-4, "inputs": "fused", "diffusion.n_samples": 1,
    }  # fmt: skip
    for name, value in printed.items():
        stage, _, field = name.rpartition(".")
        assert getattr(getattr(c, stage) if stage else c, field) == value, name
    assert RecommenderConfig().training.batch_size == 24
    assert make(recipe="paper", preset="gpu").recommender.language.quantize


def test_an_own_file_is_known_by_its_absolute_path_and_its_other_names(tmp_path, monkeypatch):
    for name in ("my.csv", "movies.csv"):
        (tmp_path / name).write_text("user,item,timestamp\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    columns = {"user": "who", "title": None, "items": "~/movies.csv"}
    config = make(dataset="table", path="my.csv", columns=columns)
    assert config.path == str(tmp_path / "my.csv")
    assert config.columns == {"user": "who", "items": str(tmp_path / "movies.csv")}
    assert config.own_file == {"path": config.path, **config.columns}
    assert list(config.inputs()) == ["my.csv", "movies.csv"]
    again = Config(**asdict(config) | {"recommender": config.recommender})
    assert again == config  # as a process that trains gets it


def test_columns_name_the_data_and_paths_do_not(tmp_path):
    from contrec.study.fitting import data_key

    rows = "user,who,item,timestamp\n" + "".join(f"u{n},w{n % 3},i{n},{n}\n" for n in range(9))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.csv").write_text(rows)
    key = lambda folder, **columns: data_key(make(dataset="table", path=tmp_path / folder / "my.csv", columns=columns))  # noqa: E731
    assert key("a") == key("b") and "columns" not in key("a")
    assert key("a", user="who") != key("a") and key("a", user="who")["columns"] == {"user": "who"}


def test_a_file_that_has_changed_is_read_again(tmp_path):
    from contrec.study.fitting import load_split

    file, rows = tmp_path / "my.csv", [f"u{n // 4},i{n % 5},{n},a" for n in range(20)]
    file.write_text("\n".join(["user,item,timestamp,category", *rows]))
    config = make(dataset="table", path=file)
    first = load_split(config)
    assert load_split(config) is first
    file.write_text("\n".join(["user,item,timestamp,category", *rows, "u9,i1,99,a"]))
    assert load_split(config).train.n_users == first.train.n_users + 1


@pytest.mark.parametrize(
    ("settings", "corrected"),
    [
        ({}, []),  # recorded runs keep their names
        ({"model": "deftrec"}, []),
        ({"recipe": "paper"}, []),
        ({"preset": "tiny"}, ["first weights"]),
        ({"recipe": "released"}, ["preference"]),
        ({"sigma_mode": "fixed"}, ["token noise"]),
        ({"tokenizer__train": "joint"}, ["token noise"]),
        ({"sigma_mode": "fixed", "tokenizer__train": "joint"}, []),
        ({"preset": "gpu"}, ["text"]),
    ],
)
def test_runs_name_what_was_done_otherwise_once_where_it_concerns_them(settings, corrected):
    from contrec.study.fitting import recommender_key

    names = {"first weights", "preference", "token noise", "text"}
    assert [name for name in recommender_key(make(**{"preset": "laptop", **settings}), 0) if name in names] == corrected


@pytest.mark.parametrize("inputs", ["lightgcn", "fused", "text", "relation"])
def test_a_new_lightgcn_concerns_what_is_made_of_its_vectors_alone(monkeypatch, inputs):
    from contrec.artifacts.stages import stage_version
    from contrec.study import evaluating, fitting

    config = make(inputs=inputs)
    run, floor = fitting.run_name(config, 0), evaluating.versions_of("lightgcn")
    for module in (fitting, evaluating):
        monkeypatch.setattr(module, "stage_version", lambda stage: stage_version(stage) + (stage == "lightgcn"))
    assert (fitting.run_name(config, 0) != run) is (inputs in ("lightgcn", "fused"))
    assert evaluating.versions_of("lightgcn") != floor and "lightgcn" not in evaluating.versions_of("ease")
