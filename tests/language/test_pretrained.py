"""What stands in the way of a model's folder is said: each is damaged in one way, and nothing is unpickled or run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from contrec.language.pretrained import load_pretrained


@pytest.fixture
def folder(checkpoint, tmp_path):
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def edit(file: str, change):
    """A damage that changes a JSON file."""

    def damage(folder):
        values = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(change(values)))

    return damage


def config(**values):
    return edit("config.json", lambda old: {n: v for n, v in (old | values).items() if v is not None})


def write(file: str, text: str | bytes):
    return lambda folder: (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)


def only(file: str):
    """A damage that leaves one file, empty, and nothing else."""

    def damage(folder):
        for path in folder.iterdir():
            path.unlink()
        (folder / file).write_text("{}")

    return damage


def weights(change):
    def damage(folder):
        tensors = change(load_file(folder / "model.safetensors"))
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def rename(file: str, to: str):
    return lambda folder: (folder / file).rename(folder / to)


def index(shards):
    def damage(folder):
        (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
        write("model.safetensors.index.json", json.dumps(shards))(folder)

    return damage


def no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


def no_end(folder):
    edit("tokenizer_config.json", lambda old: old | {"eos_token": None})(folder)


DAMAGES = {
    "empty": (only(".gitattributes"), "the folder holds no config.json"),
    "gguf": (only("model-Q4.gguf"), "it holds a GGUF file, and config.json with .*safetensors is needed"),
    "adapter": (only("adapter_config.json"), "it holds an adapter: merge it into its model first"),
    "adapter beside its model": (write("adapter_config.json", "{}"), "it holds an adapter: merge it"),
    "sentence encoder": (write("modules.json", "[]"), "it is a sentence encoder, which writes no text"),
    "config cut": (write("config.json", '{"model_type": '), "config.json is damaged"),
    "config of bytes": (write("config.json", b"\xff\xfe\x00"), "config.json is damaged"),
    "config a list": (write("config.json", "[1]"), r"config.json is damaged \(no JSON object\)"),
    "no model_type": (config(model_type=None), "its config.json names no model_type"),
    "model_type a list": (config(model_type=["llama"]), "its config.json names no model_type"),
    "unknown model_type": (config(model_type="lamma"), "transformers .* does not know its model_type 'lamma'"),
    "own code": (
        config(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnLM"}),
        "it needs code of its own repository, which is not run here",
    ),
    "no text": (config(model_type="vit"), "vit is no causal LM"),
    "translator": (config(model_type="t5"), "t5 is an encoder with a decoder, and no causal LM"),
    "images": (config(model_type="gemma3"), "gemma3 reads images or sound besides text"),
    "a width of letters": (config(hidden_size="wide"), "its config.json cannot be read"),
    "another width": (
        config(hidden_size=32),
        r"its weights do not fit its config.json: .* has the shape \(.*64\), by its config.json \(.*32\)",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "it holds no weights"),
    "pickled": (rename("model.safetensors", "pytorch_model.bin"), "its weights are pickled, which can run code"),
    "parts alone": (rename("model.safetensors", "a.safetensors"), "it holds parts of weights, and neither"),
    "shard missing": (index({"weight_map": {"a": "model-00002-of-00002.safetensors"}}), "00002.safetensors is missing"),
    "index of nothing": (index({}), "index.json is damaged"),
    "index of numbers": (index({"weight_map": {"a": 1}}), "1 is missing"),
    "index of a path": (index({"weight_map": {"a": "../model.safetensors"}}), "../model.safetensors is missing"),
    "weights cut": (cut, "model.safetensors is damaged"),
    "weights of text": (write("model.safetensors", "version https://git-lfs"), "model.safetensors is damaged"),
    "a layer missing": (
        weights(lambda tensors: {n: t for n, t in tensors.items() if "mlp" not in n}),
        "its weights lack 3 tensors of a llama, such as model.layers.0.mlp",
    ),
    "deeper than its weights": (config(num_hidden_layers=2), "its weights lack 9 tensors of a llama"),
    "no tokenizer": (no_tokenizer, "its tokenizer"),
    "tokenizer cut": (write("tokenizer.json", '{"version": '), "its tokenizer cannot be read"),
    "no end token": (no_end, "its tokenizer has no end token"),
    "another's tokenizer": (
        lambda folder: (config(vocab_size=100)(folder), weights(narrow)(folder)),
        "its tokenizer knows 296 tokens and its model 100",
    ),
}


def narrow(tensors):
    return {n: t[:100].clone() if "embed" in n else t for n, t in tensors.items()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_cannot_be_used_says_why(folder, damage):
    change, reason = DAMAGES[damage]
    change(folder)
    with pytest.raises(OSError, match=f"backbone '{folder}' cannot be used: .*{reason}.*; give a causal LM of the hub"):
        load_pretrained(str(folder))


@pytest.mark.parametrize("name", ["/no/such/folder", "./no-such", "~/no-such"])
def test_a_path_without_a_folder_is_not_asked_from_the_hub(name):
    with pytest.raises(OSError, match="there is no such folder"):
        load_pretrained(name)


def test_a_file_is_no_folder(tmp_path):
    for file, form in (("model.gguf", "a GGUF file"), ("model.safetensors", "a file")):
        (tmp_path / file).write_text("")
        with pytest.raises(OSError, match=f"it is {form}, and a folder with config.json"):
            load_pretrained(str(tmp_path / file))


def test_a_folder_in_parts_is_read(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {name: f"model-0000{n % 2 + 1}-of-00002.safetensors" for n, name in enumerate(tensors)}
    for file in set(files.values()):
        save_file({n: t for n, t in tensors.items() if files[n] == file}, folder / file, metadata={"format": "pt"})
    write("model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": files}))(folder)
    model, _ = load_pretrained(str(folder))
    assert all(torch.equal(model.state_dict()[n], t) for n, t in tensors.items())
