import math

import pytest
import torch
from torch import nn

from contrec.baselines.esasrec import LiGR


@pytest.fixture
def block():
    torch.manual_seed(0)
    return LiGR(8, 2, dropout=0.3, widen=3).eval()


@torch.no_grad()
def test_a_block_by_hand(block):
    # arXiv 2502.03417: x + sigmoid(W x) * F(norm(x)) twice, with attention and with SwiGLU
    torch.manual_seed(1)
    x = torch.randn(1, 5, 8)
    q, k, v = (block.norms[0](x)[0] @ block.attention.in_proj_weight.T + block.attention.in_proj_bias).chunk(3, dim=1)
    heads = []
    for own in (slice(0, 4), slice(4, 8)):
        weights = (q[:, own] @ k[:, own].T / math.sqrt(4)).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
        heads.append(weights.softmax(1) @ v[:, own])
    sigmoid = lambda gate, y: 1 / (1 + torch.exp(-(y @ gate.weight.T + gate.bias)))  # noqa: E731
    y = x[0] + sigmoid(block.gates[0], x[0]) * block.attention.out_proj(torch.cat(heads, dim=1))
    inner = block.norms[1](y)
    up = inner @ block.up.weight.T
    swiglu = (up / (1 + torch.exp(-up)) * (inner @ block.side.weight.T)) @ block.down.weight.T
    expected = y + sigmoid(block.gates[1], y) * swiglu
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    assert torch.allclose(block(x, src_mask=mask, is_causal=True)[0], expected, atol=1e-5)
    assert block.up.out_features == 24


@torch.no_grad()
def test_a_closed_gate_lets_nothing_through(block):
    for gate in block.gates:
        gate.bias.fill_(-50.0)
    x = torch.randn(2, 4, 8)
    assert torch.allclose(block(x, nn.Transformer.generate_square_subsequent_mask(4), True), x, atol=1e-6)
