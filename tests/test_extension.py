"""What is added from outside: each example of a room's docstring as written, and what it leads to."""

import re

import numpy as np
import pytest
import torch

from contrec import baselines, data, diffusion, evaluation, tokenizers
from contrec.diffusion import Diffusion, DiffusionConfig, NoiseSchedule, ddim_step, ddpm_step, sample
from contrec.recommender import Recommender
from contrec.study import evaluating, fitting
from contrec.study.config import Config


def examples(room) -> list[str]:
    """The indented blocks of a docstring, each beginning with its imports."""
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", room.__doc__ + "\n", flags=re.M)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in blocks if "import" in block]


def run(room, number: int = 0) -> dict:
    names = {"__name__": "example"}
    exec(examples(room)[number], names)
    return names


@pytest.fixture
def registries(monkeypatch):
    monkeypatch.setattr(baselines, "REGISTRY", dict(baselines.REGISTRY))
    for name in ("LOADERS", "SOURCES_OF"):
        monkeypatch.setattr(data.loaders, name, dict(getattr(data.loaders, name)))


@pytest.mark.parametrize("room, count", [(baselines, 1), (data, 1), (evaluation, 1), (tokenizers, 1), (diffusion, 2)])
def test_there_is_an_example_of_some_twenty_lines(room, count):
    assert len(examples(room)) == count
    assert all(len(example.strip().splitlines()) <= 25 for example in examples(room))


def test_a_baseline_is_one_registration(registries):
    made = run(baselines)
    model, split = baselines.make("fresh"), made["split"]
    assert type(model) is made["Fresh"] and model.share == 0.2
    time = split.train.timestamp
    counts = np.bincount(split.train.item[time >= np.quantile(time, 0.9)], minlength=split.n_items)
    model = baselines.make("fresh", share=0.1).fit(split)
    assert (model.score(split.test)[7] == counts).all()
    assert made["outcome"].metrics() == evaluation.evaluate(model, split.test).metrics()
    with pytest.raises(ValueError, match="unknown setting 'shar' of baseline 'fresh'; did you mean 'share'"):
        baselines.make("fresh", shar=1)


def test_a_data_set_is_one_registration(registries):
    made = run(data)
    split = made["split"]
    assert (split.n_users, split.n_items, len(split.test)) == (40, 12, 40)
    assert set(split.catalogue.answers) == {"slow", "fast"}
    again, _ = data.load("songs", download=False, progress=False, seed=1)
    assert (again.item[:6] == split.train.item[:6]).all() and (data.load("songs", seed=2)[0].item != again.item).any()
    assert set(data.inputs("songs")) == {"load"} and data.missing("songs") == []
    with pytest.raises(ValueError, match="unknown setting 'sed' of data set 'songs'; did you mean 'seed'"):
        data.load("songs", sed=1)
    with pytest.raises(data.DataError, match="dataset 'songs' has no path"):
        data.load("songs", path="mine.csv")
    evaluation.evaluate(baselines.make("ease").fit(split), split.test)


def test_a_study_takes_the_name_of_a_registered_data_set(registries, monkeypatch):
    run(data)
    monkeypatch.setattr("contrec.study.config.SOURCES_OF", data.loaders.SOURCES_OF)
    config = Config.from_parameters(dataset="songs")
    assert (config.source, config.recommender.dataset) == ("raw", "songs")
    first = fitting.load_split(config)
    assert fitting.load_split(config) is first
    data.register("songs", lambda: own_songs(1))  # changed in an open notebook
    assert fitting.load_split(config) is not first and fitting.load_split(config).n_items == 64


def own_songs(seed=0):
    return data.load("planted", n_users=20, n_items=64, seed=seed)


def test_what_names_the_runs_of_a_registered_data_set(registries, tmp_path):
    file = tmp_path / "songs.csv"
    file.write_text("a")
    data.register("songs", own_songs, files=(file,))
    before = data.inputs("songs")
    assert set(before) == {"songs.csv", "load"} and data.missing("songs") == []
    file.write_text("b")
    assert {name for name, value in data.inputs("songs").items() if value != before[name]} == {"songs.csv"}
    file.unlink()
    assert len(data.missing("songs")) == 1
    data.register("songs", lambda seed=0: own_songs(seed))
    assert data.inputs("songs")["load"] != before["load"]
    data.register("songs", lambda: 3)
    with pytest.raises(TypeError, match="cannot unpack|interactions must"):
        data.load("songs")


def test_what_comes_with_the_package_is_not_replaced(registries):
    with pytest.raises(ValueError, match="baseline 'ease' comes with contrec"):
        baselines.register("ease", baselines.EASE)
    with pytest.raises(ValueError, match="data set 'lastfm' from 'raw' comes with contrec"):
        data.register("lastfm", own_songs)
    data.register("lastfm", own_songs, source="mine")
    assert data.loaders.SOURCES_OF["lastfm"] == ("raw", "released", "mine")
    for register in (baselines.register, data.register):
        with pytest.raises(TypeError, match="of the kind Callable, got a int"):
            register("x", 3)
        with pytest.raises(TypeError, match="the name of a .* must be a text, got None"):
            register(None, own_songs)
        with pytest.raises(ValueError, match="letters, digits, _ . - and one / within, got 'my/../x'"):
            register("my/../x", own_songs)
    with pytest.raises(ValueError, match="data set 'planted' from 'raw' comes with contrec"):
        data.register("planted", own_songs)


def test_a_changed_baseline_is_another_one(registries):
    """Of the same name, by its text; of what was typed into an interpreter, by what it compiles to."""
    config, names = Config.from_parameters(), []
    for sign in ("", "-", "-"):
        typed: dict = {}
        exec(f"class Fresh:\n    def score(self, cases):\n        return {sign}self.counts", typed)
        baselines.register("fresh", typed["Fresh"])
        names.append(fitting.store().path("baselines", evaluating.baseline_key(config, "fresh")).name)
    assert names[0] != names[1] == names[2]
    assert "text" not in evaluating.baseline_key(config, "ease")  # of those that come with it, stages know the source


def test_a_baseline_that_is_not_fitted_says_so():
    for name in ("popularity", "ease", "mf", "oracle"):
        with pytest.raises(AttributeError, match="is not fitted yet, call fit.split. first"):
            baselines.make(name).score(data.split(*own_songs()).test)


def test_a_metric_is_a_function():
    made = run(evaluation)
    own, other = made["found"]
    # by hand: the mean of 1 / place over the places that ties allow
    places = [np.arange(r - (t - 1) / 2, r + (t - 1) / 2 + 0.5) for r, t in zip(other.ranks, other.ties, strict=True)]
    expected = np.mean([0.0 if len(p) == 0 or not np.isfinite(p).all() else np.mean(1 / p) for p in places])
    assert other.metrics()["MRR"] == pytest.approx(expected, abs=1e-12)
    low, high = own.intervals()["MRR"]
    assert low < own.metrics()["MRR"] < high and "MRR" in own.to_frame().metric.tolist() and "MRR=" in repr(own)
    difference = 100 * (own.metrics()["MRR"] - other.metrics()["MRR"])
    assert made["better"]["difference"] == pytest.approx(difference)


def test_a_metric_that_does_not_fit_is_told(planted_split):
    model = baselines.make("popularity").fit(planted_split)
    with pytest.raises(TypeError, match="metric 'MRR' must be a function of ranks and ties, got a str"):
        evaluation.evaluate(model, planted_split.test, metrics={"MRR": "mrr"})
    for wrong in (lambda ranks, ties: 1.0, lambda ranks, ties: ranks * np.nan):
        with pytest.raises(ValueError, match="metric 'MRR' must give one number for each of 80 cases"):
            evaluation.evaluate(model, planted_split.test, metrics={"MRR": wrong}).metrics()


@pytest.mark.parametrize("name, step", [("ddpm", ddpm_step), ("ddim", ddim_step)])
def test_a_sampler_is_a_step(name, step):
    noise, schedule = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0)), NoiseSchedule("linear", 50)
    predict = lambda y, t: 0.8 * y  # noqa: E731
    whole = [sample(predict, noise, schedule, s, 6, trajectory=True) for s in (name, step)]
    assert torch.equal(*whole)


def test_the_step_of_the_example_lies_between():
    made = run(diffusion)
    noise, schedule, predict = made["noise"], made["schedule"], lambda y, t: 0.9 * y
    assert torch.equal(made["vectors"], sample(predict, noise, schedule, "ddim", 10, eta=0.5))
    assert not torch.equal(made["vectors"], sample(predict, noise, schedule, "ddim", 10))
    with pytest.raises(ValueError, match=r"noise must have shape \(n, B, D\) with n >= 10"):
        sample(predict, noise[:9], schedule, made["half_random"], steps=10)
    with pytest.raises(ValueError, match="sampler must be one of"):
        sample(predict, noise, schedule, "ddmp", steps=10)


def test_a_denoiser_is_a_class_or_a_module():
    made = run(diffusion, 1)
    assert made["drawn"].shape == (3, 1, 8) and isinstance(made["head"].denoiser, made["Mean"])
    ready = made["head"].denoiser
    again = Diffusion(8, made["head"].config, n_condition=2, denoiser=ready)
    assert again.denoiser is ready and len(list(again.parameters())) == len(list(ready.parameters()))
    by_name = Diffusion(8, DiffusionConfig(denoiser="mlp"), n_condition=2)
    assert type(by_name.denoiser) is diffusion.MLPDenoiser


def test_a_tokenizer_is_a_class_or_a_module():
    made = run(tokenizers)
    losses = [epoch["total"] for epoch in made["losses"]]
    assert losses[-1] < losses[0] and type(made["tokenizer"]) is made["Linear"]
    copied = tokenizers.make_tokenizer(8, made["tokenizer"].config, made["tokenizer"])
    assert copied is not made["tokenizer"] and torch.equal(copied.into.weight, made["tokenizer"].into.weight)
    with pytest.raises(TypeError, match="tokenizer must be of the kind Tokenizer, got a Linear: derive it from"):
        tokenizers.make_tokenizer(8, made["tokenizer"].config, lambda dim, config: torch.nn.Linear(dim, dim))


def test_a_recommender_of_own_parts_is_fitted_saved_and_loaded(planted_split, small_embeddings, tiny_config, tmp_path):
    own = {
        "tokenizer": run(tokenizers)["Linear"], "denoiser": run(diffusion, 1)["Mean"],
        "sampler": run(diffusion)["half_random"],
    }  # fmt: skip
    config = tiny_config({"training.epochs": 1, "tokenizer.epochs": 2})
    made = Recommender(config, "cpu", **own).fit(planted_split, embeddings=small_embeddings, seed=0)
    assert type(made.network.item_tokenizer) is type(made.network.user_tokenizer) is own["tokenizer"]
    assert type(made.network.diffusion.denoiser) is own["denoiser"]
    assert "tokenizer='its own', denoiser='its own', sampler='its own'" in repr(made)
    made.save(tmp_path / "model")
    with pytest.raises(ValueError, match="fitted with a tokenizer of its own.*Recommender.load.folder, tokenizer="):
        Recommender.load(tmp_path / "model", "cpu")
    loaded = Recommender.load(tmp_path / "model", "cpu", **own)
    cases = planted_split.test.select(np.arange(5))
    known = made.understand(cases)
    torch.testing.assert_close(loaded.score(cases), made.score(cases))
    by_name = made.preference(known, sampler="ddim")
    assert not torch.allclose(by_name, made.preference(known), atol=1e-3)
    torch.testing.assert_close(by_name, made.preference(known, sampler=ddim_step))
