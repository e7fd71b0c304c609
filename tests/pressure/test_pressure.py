"""Kills, full disks and damaged files, in their short form; ``python tests/pressure/long.py`` is the long one."""

import importlib.util
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from contrec import keeping
from contrec.artifacts import provenance
from contrec.artifacts.store import Store
from contrec.evaluation import Evaluation
from contrec.files import Damaged
from contrec.plots import theme
from contrec.recommender import Recommender
from contrec.study import evaluating, finished, fitting, recording, show
from contrec.study.config import Config

spec = importlib.util.spec_from_file_location("faults", Path(__file__).with_name("faults.py"))
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)
at_operation, KILLED, DONE, FULL = faults.at_operation, faults.KILLED, faults.DONE, faults.FULL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks after torch was used")


@pytest.fixture(autouse=True)
def one_thread():
    """A fork has none of the threads of its parent."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def content(folder: Path) -> dict[str, bytes]:
    """Files by their path; what tells the time, and the hash of that, is left out."""
    told = ("run.json", "key.json")
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in told}


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob(".*") if not p.name.endswith(".lock")]


# -- a training that is all but kept -----------------------------------------------------------------------------------


@pytest.fixture
def trained(fitted, monkeypatch):
    """Keep a recommender as a study does, but for its training, which is there at once."""
    asked = []

    class Ready(Recommender):
        def fit(self, *_, folder, **__):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights").write_text("")
            self.__dict__.update(fitted.__dict__)
            asked.append(folder)

    monkeypatch.setattr(fitting, "Recommender", Ready)
    for name in ("load_split", "base_embeddings"):
        monkeypatch.setattr(fitting, name, lambda *_: None)
    monkeypatch.setattr(provenance, "revision", lambda: {"commit": None, "clean": None})
    config = Config.from_parameters()
    make = lambda part: fitting.train(part, asdict(config), 0, False)  # noqa: E731
    return lambda root: Store(root).get_or_make("recommender", {"one": 1}, make, resume=True)


@pytest.mark.parametrize("action", ["kill", "full"])
def test_whatever_stops_it_between_the_training_and_the_artifact_the_next_call_ends_it(trained, tmp_path, action):
    whole = content(trained(tmp_path / "whole"))
    assert "model/network.safetensors" in whole and "checkpoints/weights" not in whole
    count = int(at_operation(0, tmp_path / "0", action, lambda: trained(tmp_path / "0"))[1])
    met = set()
    for number in range(1, count + 1, 1 if action == "kill" else 3):
        root = tmp_path / str(number)
        status, message = at_operation(number, root, action, lambda root=root: trained(root))
        met.add(status)
        assert status != FULL or (f"no room in {root}" in message and "is free" in message)
        assert content(trained(root)) == whole and leftovers(root) == []
        shutil.rmtree(root)
    assert met - {DONE} == {KILLED if action == "kill" else FULL} and count > 30


# -- what lies outside the store ---------------------------------------------------------------------------------------


def evaluation(shift: float) -> Evaluation:
    user = np.arange(20)
    return Evaluation(user + shift, np.ones(20, np.int64), user, True, None, {"cases": 20, "users": 20})


def write_results(folder: Path, version: int) -> None:
    kept = [(("ease", seed), evaluation(1.0 + version)) for seed in (0, 1)]
    rows = pd.concat([e.to_frame(10).assign(model=model, seed=seed) for (model, seed), e in kept])
    recording.write_results(folder / "x.csv", rows, kept, provenance.record({"version": version}, dataset="none"))


def save_figure(folder: Path, version: int) -> None:
    figure, axes = theme.new()
    axes.plot([0, version])
    show.save_figure(figure, "x", pd.DataFrame({"v": [version]}), Config.from_parameters(seeds=[version]), "01", "alt")


def export(folder: Path, version: int) -> None:
    def files(model, part, about):
        for name in "ab":
            (part / name).write_text(str(version))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "_write", files)
        model = Recommender.__new__(Recommender)
        model.seed, model.history, model.own_parts = 0, {}, ()
        show.export(model, "x")


@pytest.fixture
def places(monkeypatch, tmp_path, planted_split):
    monkeypatch.setattr(show.paths, "figures", lambda: tmp_path / "now")
    monkeypatch.setattr(show.paths, "artifacts", lambda: tmp_path / "now")
    monkeypatch.setattr(show, "load_split", lambda config: planted_split)
    monkeypatch.setattr(provenance, "revision", lambda: {"commit": None, "clean": None})


def states(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("action", ["kill", "full"])
@pytest.mark.parametrize("write", [write_results, save_figure, export])
def test_what_belongs_together_is_old_or_new_or_told(places, tmp_path, write, action):
    now, each = tmp_path / "now", []
    for version in (1, 2):
        write(now, version)
        each.append(states(now))
    old, new = each
    assert old.keys() == new.keys() and all(old[name] != new[name] for name in old)
    count = int(at_operation(0, now, action, lambda: write(now, 2))[1])
    mixed, met = 0, set()
    few = range(1, count - 6, 4 if write is save_figure else 1)  # a figure takes time
    for number in (*few, *range(count - 6, count + 1)):
        shutil.rmtree(now)
        write(now, 1)
        met.add(at_operation(number, now, action, lambda: write(now, 2))[0])
        found = {name: data for name, data in states(now).items() if "/." not in f"/{name}"}
        assert all(data in (old[name], new[name]) for name, data in found.items())  # each is whole
        if found not in (old, new) and write is not export:
            mixed += 1
            with pytest.raises(Damaged, match="is not the file that x.json records .*record it again"):
                for name in found:
                    provenance.recorded(now / name)
        elif found not in (old, new):  # put aside for the moment between two renames, and whole there
            assert not found and [p.read_text() for p in now.rglob(".x.*.old/*")] == ["1", "1"]
        write(now, 2)
        assert states(now) == new
    assert met - {DONE} == {KILLED if action == "kill" else FULL} and (mixed > 0) == (write is not export)


# -- a damaged store ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def floors(planted_split, tmp_path_factory):
    """A store with two floors, and the answers that it gives."""
    root = tmp_path_factory.mktemp("floors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_split", lambda *_: planted_split)
        patch.setenv("CONTREC_ARTIFACTS", str(root))
        config = Config.from_parameters()
        names = [evaluating.floor(config, name).name for name in ("popularity", "transitions")]
        yield patch, root, config, names, [question(config, names) for question in QUESTIONS]


def listed(config, names) -> str:
    return finished.list_runs().to_csv()


def compared(config, names) -> str:
    return finished.compare(*names).to_csv()


def recorded(config, names) -> str:
    made = [
        evaluating.rows_of(config, evaluating.floor(config, name), 0, "", "") for name in ("popularity", "transitions")
    ]
    return pd.concat(made).drop(columns="revision").to_csv()


QUESTIONS = (listed, compared, recorded)


def outcome(question, config, names, answer: str, damaged: Path) -> str:
    try:
        found = question(config, names)
    except (ValueError, OSError) as error:
        return "told" if str(damaged) in str(error) and "remove " in str(error) else f"another message: {error}"
    except Exception as error:
        return f"traceback: {error!r}"
    if question is listed and str(damaged) in found:
        return "told"
    return "equal" if found == answer else f"different: {found}"


@pytest.mark.parametrize("kind", faults.DAMAGE)
def test_a_damaged_file_is_told_with_its_path_and_the_cure(floors, tmp_path, kind):
    patch, root, config, names, answers = floors
    for file in [p.relative_to(root) for p in (root / "baselines" / names[0]).iterdir()]:
        shutil.copytree(root, tmp_path / file.name)
        with pytest.MonkeyPatch.context() as here:
            here.setenv("CONTREC_ARTIFACTS", str(tmp_path / file.name))
            faults.DAMAGE[kind](tmp_path / file.name / file)
            damaged = (tmp_path / file.name / file).parent
            for question, answer in zip(QUESTIONS, answers, strict=True):
                assert outcome(question, config, names, answer, damaged) == "told", (file, question)
            others = finished.list_runs().set_index("run")
            assert others.loc[names[1], "model"] == "transitions"  # goes on with the rest
            shutil.rmtree(damaged)
            recorded(config, names)  # made anew
            assert [question(config, names) for question in QUESTIONS[1:]] == answers[1:]


@pytest.mark.parametrize("kind", faults.OF_FOLDERS)
def test_a_damaged_folder_is_told_or_does_no_harm(floors, tmp_path, kind):
    _, root, config, names, answers = floors
    with pytest.MonkeyPatch.context() as here:
        shutil.copytree(root, tmp_path / "store")
        here.setenv("CONTREC_ARTIFACTS", str(tmp_path / "store"))
        faults.OF_FOLDERS[kind](tmp_path / "store" / "baselines" / names[0])
        strange = [p for p in (tmp_path / "store" / "baselines").iterdir() if p.name in ("backup", "0" * 12)]
        strange += (tmp_path / "store" / "baselines").glob("*-copy")
        damaged = strange[0] if strange else tmp_path / "store" / "baselines" / names[0]
        found = [outcome(q, config, names, a, damaged) for q, a in zip(QUESTIONS, answers, strict=True)]
        assert found[0] == "told" and set(found[1:]) <= {"told", "equal"}


def test_a_damaged_model_is_told_before_it_is_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    for file in sorted(p for p in (tmp_path / "model").rglob("*") if p.is_file()):
        for kind, damage in faults.DAMAGE.items():
            shutil.copytree(tmp_path / "model", tmp_path / "copy")
            damage(tmp_path / "copy" / file.relative_to(tmp_path / "model"))
            with pytest.raises((Damaged, FileNotFoundError), match=rf"{tmp_path}/copy.*(remove|holds no saved)"):
                Recommender.load(tmp_path / "copy")
            shutil.rmtree(tmp_path / "copy")
    assert kind
