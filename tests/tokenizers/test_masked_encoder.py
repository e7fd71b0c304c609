"""DeftRec's encoder: its size, its mask, and that tokens are those of the formula."""

from __future__ import annotations

import pytest
import torch

from contrec.tokenizers import MaskedEncoder, Projection, SigmaVAE, TokenizerConfig, make_tokenizer

JOINT = {"kind": "masked_encoder", "train": "joint"}


def make(dim: int = 6, **settings) -> MaskedEncoder:
    torch.manual_seed(0)
    return MaskedEncoder(dim, TokenizerConfig(**{**JOINT, "token_dim": 5, "n_tokens": 2, **settings})).eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("k", "count"), [(1, 1_313_792), (2, 2_627_072), (3, 3_940_352)])
def test_it_has_as_many_parameters_as_the_released_one(k, count):
    # counted on the released module at d = 512, D = 2,048; its learned shift included
    with torch.device("meta"):
        config = TokenizerConfig(**JOINT, n_tokens=k, token_dim=2048, shift=True)
        assert sum(p.numel() for p in MaskedEncoder(512, config).parameters()) == count


def test_tokens_are_those_of_the_formula():
    encoder, x = make(), torch.randn(4, 6, generator=generator(1))
    tokens = encoder.encode(x)
    assert tokens.shape == (4, 2, 5) and (tokens >= 0).all()
    inner, outer = encoder.encoders[1].residual[2], encoder.encoders[1].out[2]
    u = x + x.relu() @ inner.weight.T + inner.bias
    torch.testing.assert_close(tokens[:, 1], (u.relu() @ outer.weight.T + outer.bias).relu())


def test_masks_hide_elements_in_training_only():
    x = torch.randn(400, 6, generator=generator(1))
    encoder = make(mask_ratio=1.0)
    torch.testing.assert_close(encoder.encode(x, generator()), encoder.encode(torch.zeros_like(x)))
    assert not torch.equal(encoder.encode(x), encoder.encode(torch.zeros_like(x)))
    assert torch.equal(make(mask_ratio=0.0).encode(x, generator()), make(mask_ratio=0.0).encode(x))
    seen = []
    for shared in (False, True):
        encoder = make(mask_ratio=0.5, mask_shared=shared)
        encoder.encoders = torch.nn.ModuleList([torch.nn.Identity()])
        hidden = encoder.encode(x, generator())[:, 0] == 0
        seen.append(len(hidden.unique(dim=0)))
        assert 0.2 < hidden.float().mean() < 0.8
    assert seen[0] > 30 and seen[1] == 1


def test_the_shift_fills_what_the_mask_has_hidden():
    encoder = make(mask_ratio=1.0, shift=True)
    encoder.encoders = torch.nn.ModuleList([torch.nn.Identity()])
    torch.testing.assert_close(encoder.encode(torch.randn(3, 6), generator())[:, 0], encoder.shift.expand(3, -1))
    assert encoder.shift.abs().max() <= 1 / 6


def test_a_projection_is_linear():
    torch.manual_seed(0)
    made = Projection(6, TokenizerConfig(kind="projection", train="joint", n_tokens=3, token_dim=5))
    x, y = torch.randn(2, 4, 6)
    torch.testing.assert_close(made.encode(x + y) + made.encode(torch.zeros(4, 6)), made.encode(x) + made.encode(y))
    assert made.encode(x, generator()).shape == (4, 3, 5)


def test_kinds_make_their_tokenizers():
    kinds = {"sigma_vae": SigmaVAE, "masked_encoder": MaskedEncoder, "projection": Projection}
    for kind, expected in kinds.items():
        assert type(make_tokenizer(6, TokenizerConfig(kind=kind, train="joint"))) is expected


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no decoder.*train='joint'"):
        TokenizerConfig(kind="masked_encoder")
    with pytest.raises(ValueError, match="mask_at_test=True needs train='joint'"):
        TokenizerConfig(mask_at_test=True)
    for name in ("kind", "train", "sigma_mode", "pool"):
        with pytest.raises(ValueError, match=f"^{name} must .*other"):
            TokenizerConfig(**{name: "other"})
