"""Small things that many tests share: a planted split, vectors for it, a fitted recommender, a local checkpoint."""

from __future__ import annotations

import pytest

TINY = {  # seconds on one core; no claim about quality is made with it
    "inputs": "relation", "embeddings": {"dim": 16},
    "tokenizer.n_tokens": 2, "tokenizer.token_dim": 8, "tokenizer.width": 32, "tokenizer.epochs": 5,
    "language.hidden": 32, "language.heads": 2, "language.layers": 1, "language.vocabulary": 900,
    "language.history_cap": 4, "language.max_input": 512,
    "diffusion.width": 32, "diffusion.n_blocks": 1, "diffusion.timesteps": 50, "diffusion.sampler": "ddim",
    "diffusion.sampler_steps": 5,
    "training.epochs": 2, "training.cases_per_user": 1, "training.batch_size": 16,
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_config():
    """A function from changed settings, by dotted name, to a small RecommenderConfig."""
    from contrec.network import RecommenderConfig
    from contrec.study.config import apply

    return lambda settings=None: apply(RecommenderConfig(), {**TINY, **(settings or {})})


@pytest.fixture(scope="session")
def planted_split():
    from contrec import data

    return data.split(*data.load("planted", n_users=80, n_items=64))


@pytest.fixture(scope="session")
def small_embeddings(planted_split):
    from contrec import embeddings

    return embeddings.make("relation", planted_split, dim=16)


@pytest.fixture(scope="session")
def fitted(planted_split, small_embeddings, tiny_config):
    """A recommender trained for two epochs; tests must not change it."""
    from contrec.recommender import Recommender

    return Recommender(tiny_config(), device="cpu").fit(planted_split, embeddings=small_embeddings, seed=3)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Folder of a small Llama with its tokenizer, as the hub would give it; it knows no ``<z_start>``."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    text = Tokenizer(models.BPE())
    text.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    text.train_from_iterator(["the user may prefer products of this purchase history"] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=text, bos_token="<s>", eos_token="</s>")
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoint")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
