"""Quantized tokenizers: nearest entries by brute force, gradients where they belong, books that live."""

from __future__ import annotations

import math

import pytest
import torch
from vector_quantize_pytorch import ResidualVQ

from contrec.tokenizers import QuantizedVAE, QuantizerConfig, train_tokenizer

KINDS = ("vq", "rq", "mq")
SMALL = {"n_codes": 3, "n_entries": 8, "code_dim": 4, "width": 16, "epochs": 40, "batch_size": 50, "lr": 0.01}


def make(kind: str, **settings) -> QuantizedVAE:
    torch.manual_seed(0)
    return QuantizedVAE(6, QuantizerConfig(kind=kind, **{**SMALL, **settings}))


@pytest.fixture(scope="module")
def x():
    """Eight clusters in six dimensions."""
    stream = torch.Generator().manual_seed(1)
    centres = 2 * torch.randn(8, 6, generator=stream)
    return centres[torch.arange(200) % 8] + 0.2 * torch.randn(200, 6, generator=stream)


@pytest.fixture(scope="module", params=KINDS)
def trained(request, x):
    model = make(request.param)
    return model, train_tokenizer(model, x, seed=0, record_steps=True)


def test_shapes_rate_and_order_of_rows(trained, x):
    model, _ = trained
    z, codes = model.encode(x), model.codes(x)
    assert z.shape == (200, 3, 4) and codes.shape == (200, 3) and codes.dtype == torch.int64
    assert model.decode(z).shape == x.shape and model.rate_bits(x) == 3 * math.log2(8)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    assert torch.equal(model.codes(x[order]), codes[order])
    assert torch.equal(model.encode(x), z)  # nothing is random, masked or counted outside training


def test_codes_are_the_nearest_entries(trained, x):
    """Brute force, level by level: what the library must have done."""
    model, _ = trained
    with torch.no_grad():
        v, codes = model.vectors(x), model.codes(x)
    if model.config.kind == "rq":
        rest, books = v, [book.codebook for book in model.books.layers]
        for k, book in enumerate(books):
            assert torch.equal(codes[:, k], torch.cdist(rest, book).argmin(1))
            rest = rest - book[codes[:, k]]
    else:
        books = [book.codebook for book in model.books] * (3 if model.config.kind == "vq" else 1)
        for k, book in enumerate(books):
            assert torch.equal(codes[:, k], torch.cdist(v[:, k], book).argmin(1))
            torch.testing.assert_close(model.encode(x)[:, k], book[codes[:, k]])


def test_training_falls_and_fits_the_clusters(trained, x):
    model, history = trained
    assert len(history[0]["steps"]) == 4 and history[-1]["reconstruction"] < 0.5 * history[0]["reconstruction"]
    assert (model.reconstruct(x) - x).square().mean() < 0.5 * x.var()


def test_residual_error_falls_with_each_level(x):
    model = make("rq", n_codes=6)
    train_tokenizer(model, x, seed=0)
    with torch.no_grad():
        v, z = model.vectors(x), model.encode(x)
    errors = [float((v - z[:, : k + 1].sum(1)).square().mean()) for k in range(6)]
    assert all(later < earlier for earlier, later in zip(errors[:-1], errors[1:], strict=True))


def test_residual_levels_agree_with_the_library(x):
    torch.manual_seed(3)
    reference = ResidualVQ(dim=4, codebook_size=8, num_quantizers=3, kmeans_init=True, rotation_trick=False)
    model = make("rq")
    with torch.no_grad():
        v = model.vectors(x)
        reference(v)
        reference.eval()
        model.books.load_state_dict(reference.state_dict())
        assert torch.equal(model.codes(x), reference(v)[1])
        torch.testing.assert_close(model.encode(x).sum(1), reference(v)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_receives_the_decoders_gradient_unchanged(kind, x):
    model = make(kind, commitment=0.0, mask_ratio=0.0).train()
    model.start(x, torch.Generator().manual_seed(0))
    kept = {}
    vectors = model.vectors

    def watched(*arguments):
        v = vectors(*arguments)
        v.retain_grad()
        kept["v"] = v
        return v

    model.vectors = watched
    model.loss(x, torch.Generator().manual_seed(0))["total"].backward()
    through = kept["v"].grad
    model.eval()
    with torch.no_grad():
        q = model.quantize(vectors(x))[0]
    q = q.detach().requires_grad_()
    (model.decoder(q if kind == "rq" else q.flatten(1)) - x).square().mean().backward()
    # the books have moved by one average in between, so the decoder's own gradient agrees only nearly
    assert torch.nn.functional.cosine_similarity(through.flatten(), q.grad.flatten(), dim=0) > 0.98
    assert float(through.norm() / q.grad.norm()) == pytest.approx(1, abs=0.2)  # the library's levels would pass 3 times
    assert all(p.grad.abs().sum() > 0 for p in model.encoders[0].parameters())


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_books_learn(codebook, x):
    model = make("vq", codebook=codebook)
    model.start(x, torch.Generator().manual_seed(0))
    before = model.books[0].codebook.detach().clone()
    train_tokenizer(model, x, seed=0)
    assert (model.books[0].codebook - before).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_dead_entries_come_back(kind, x):
    """Entries far from everything are of no use; resets bring them to the data. Without resets they stay."""
    used = {}
    for dead_share in (0.05, 0.0):
        model = make(kind, dead_share=dead_share, epochs=40, decay=0.95)
        model.batches = 1000  # past the warm-up of the averages
        model.start(x, torch.Generator().manual_seed(0))
        books = model.books.layers if kind == "rq" else model.books
        for book in books:
            with torch.no_grad():
                book._codebook.embed[:, 3:] = 100.0
                book._codebook.embed_avg[:, 3:] = 100.0
                book._codebook.cluster_size[:, 3:] = 1.0
        model.start = lambda *_: None
        train_tokenizer(model, x, seed=0)
        used[dead_share] = model.usage(x)["used"]
    assert used[0.05] >= 0.75 and used[0.0] <= 0.5  # measured: 0.75 to 1, and 3 of 8 entries


def test_usage_by_hand():
    model = make("mq", n_codes=2, n_entries=4)
    model.codes = lambda x: torch.tensor([[0, 0], [0, 0], [1, 0], [2, 0]])
    found = model.usage(torch.zeros(4, 6))
    assert found["used"] == (3 / 4 + 1 / 4) / 2 and found["collisions"] == 0.5
    entropy = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert found["perplexity"] == pytest.approx((math.exp(entropy) + 1) / 2)


def test_each_masked_head_has_its_own_mask_in_training(x):
    model, seen = make("mq", mask_ratio=0.4), []
    model.start(x, torch.Generator().manual_seed(0))
    for encoder in model.encoders:
        encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] == 0))
    model.loss(x, torch.Generator().manual_seed(0))
    assert [float(m.float().mean()) for m in seen] == pytest.approx([0.4] * 3, abs=0.05)  # s.d. of a share is .014
    assert float((seen[0] & seen[1]).float().mean()) == pytest.approx(0.16, abs=0.05)
    seen.clear()
    model.encode(x)
    assert not any(m.any() for m in seen)


def test_books_need_training_and_enough_rows(x):
    model = make("vq")
    with pytest.raises(ValueError, match="the books are empty before training"):
        model.encode(x)
    with pytest.raises(ValueError, match="n_entries must not exceed .* 8 entries for 6 vectors"):
        train_tokenizer(model, x[:2], seed=0)  # three vectors a row


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_reproduce_and_the_global_stream_is_left_alone(kind, x):
    states = []
    for disturbance in (1, 2):
        model = make(kind)
        torch.manual_seed(disturbance)
        train_tokenizer(model, x, seed=5)
        assert torch.initial_seed() == disturbance
        states.append(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


def test_saved_books_give_the_same_codes(trained, x, tmp_path):
    from safetensors.torch import load_file, save_file

    model, _ = trained
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, tmp_path / "w.safetensors")
    other = make(model.config.kind)
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert torch.equal(other.eval().codes(x), model.codes(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "pq"}, "kind must be one of 'vq', 'rq', 'mq', got 'pq'"),
        ({"n_codes": 0}, "n_codes must be a whole number of at least 1, got 0"),
        ({"decay": 1.5}, r"decay must lie in \[0, 1\], got 1.5"),
        ({"codebook": "gradient", "commitment": 0.0}, "commitment must be positive"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        QuantizerConfig(**settings)
