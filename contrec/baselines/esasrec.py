"""eSASRec: SASRec's objective, LiGR blocks and a sampled softmax (Tikhonovich et al., RecSys 2025)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from contrec.baselines.sasrec import CausalTransformer, SASRec
from contrec.checks import positive


class ESASRec(SASRec):
    """SASRec with gated blocks, told from the next item at every position.

    Published settings (arXiv 2508.06450): softmax over the target and 256 uniform negatives, rate 1e-3, length 50 (200
    on ML-1M), one head; Amazon's Beauty one block, 64-d, dropout .2, 200 epochs; ML-1M two blocks, dropout .1. Here a
    batch shares its negatives, each of which stands for its share of the items, and the states end in a layer norm.

    Args:
        widen: the feed-forward layer's width over d; 4, on smaller sets 1 and 2, as published.
        dim, layers, heads, dropout, length, loss, negatives, **loop: see :class:`~contrec.baselines.sasrec.SASRec`.
    """

    def __init__(
        self, dim: int = 64, layers: int = 1, heads: int = 1, widen: int = 4, dropout: float = 0.2, length: int = 50,
        loss: str = "sampled", negatives: int = 256, **loop,
    ):  # fmt: skip
        super().__init__(dim, layers, heads, dropout, length, loss, negatives, **loop)
        positive("widen", widen)
        self.widen = widen

    def encoder(self) -> nn.Module:
        block = partial(LiGR, widen=self.widen)
        return CausalTransformer(self.dim, self.layers, self.heads, self.dropout, self.length, block)


class LiGR(nn.Module):
    """x + sigmoid(W x) * F(norm(x)), F attention, then SwiGLU: what a block adds passes a gate (arXiv 2502.03417)."""

    def __init__(self, dim: int, heads: int, dropout: float, widen: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2))
        self.up, self.side = (nn.Linear(dim, widen * dim, bias=False) for _ in range(2))
        self.down = nn.Linear(widen * dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, src_mask: Tensor, is_causal: bool) -> Tensor:
        """x (B, L, d), src_mask (L, L) -> (B, L, d)."""
        told = self.norms[0](x)
        told = self.attention(told, told, told, attn_mask=src_mask, is_causal=is_causal, need_weights=False)[0]
        x = x + self.gates[0](x).sigmoid() * self.dropout(told)
        inner = self.norms[1](x)
        inner = self.down(self.dropout(F.silu(self.up(inner)) * self.side(inner)))
        return x + self.gates[1](x).sigmoid() * self.dropout(inner)
