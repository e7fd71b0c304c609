import torch

from contrec.baselines.bsarec import Block, Filtered, low_pass


@torch.no_grad()
def test_the_filter_keeps_slow_waves_and_drops_fast_ones():
    # arXiv 2312.10325, Eq. 7: frequencies up to c // 2 are the slow ones
    places = torch.arange(20)
    keep = low_pass(20, 5)
    slow, fast = ((2 * torch.pi * k * places / 20).cos() for k in (2, 3))
    assert torch.allclose(keep @ slow, slow, atol=1e-5)
    assert torch.allclose(keep @ fast, torch.zeros(20), atol=1e-5)
    assert torch.allclose(keep @ keep, keep, atol=1e-5)


@torch.no_grad()
def test_alpha_decides_between_filter_and_attention():
    torch.manual_seed(0)
    x, mask = torch.randn(1, 6, 8), torch.nn.Transformer.generate_square_subsequent_mask(6)
    only_filter, only_attention = (Block(8, 2, alpha, 0.0).eval() for alpha in (1.0, 0.0))
    for block, other in ((only_filter, "attention"), (only_attention, "beta")):
        before = block(x, low_pass(6, 3), mask)
        part = getattr(block, other)
        (part.in_proj_weight if other == "attention" else part).mul_(3)
        assert torch.equal(block(x, low_pass(6, 3), mask), before)
    assert not torch.allclose(only_filter(x, low_pass(6, 3), mask), only_attention(x, low_pass(6, 3), mask), atol=0.1)


@torch.no_grad()
def test_padding_changes_no_state():
    torch.manual_seed(0)
    encoder = Filtered(8, 2, 2, 0.5, 3, 0.0, 10).eval()
    x = torch.randn(1, 4, 8)
    padded = torch.cat([x, torch.randn(1, 3, 8)], dim=1)
    alone, beside = encoder(x, torch.tensor([4])), encoder(padded, torch.tensor([4]))
    assert torch.allclose(beside[:, :4], alone, atol=1e-5)
    assert not beside[:, 4:].any()


@torch.no_grad()
def test_attention_looks_back_only_and_the_filter_looks_ahead():
    torch.manual_seed(0)
    x = torch.randn(1, 6, 8)
    changed = x.clone()
    changed[:, -1] = torch.randn(8)
    for alpha, looks_ahead in ((0.0, False), (1.0, True)):
        encoder = Filtered(8, 1, 2, alpha, 3, 0.0, 6).eval()
        lengths = torch.tensor([6])
        # the embeddings enter by norm and position, place by place: only the blocks mix places
        moved = (encoder(x, lengths) - encoder(changed, lengths))[:, :-1].abs().max() > 1e-5
        assert bool(moved) is looks_ahead
