"""SASRec: self-attention over the history, causal (Kang and McAuley, ICDM 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from contrec.baselines.sequences import NextItem, SequenceModel
from contrec.baselines.text import text_vectors
from contrec.checks import one_of, positive
from contrec.data.interactions import Split


class SASRec(SequenceModel):
    """Pre-norm causal Transformer blocks with learned positions, counted back from the newest item.

    Args:
        layers, heads: 2 and 1 as published; the feed-forward layer is as wide as the states, as published.
        dim, length, dropout: 50, 50 (200 on ML-1M) and .5 (.2 on ML-1M) as published.
        loss: "bce" as published; "softmax" ranks 20 to 50 % better.
        start: of the item table, "random" | "text": :func:`~contrec.baselines.text.text_vectors` at the same scale, so
            that items of like texts start near each other and one that few took need not be learned from them alone.
        negatives, **loop: see :class:`~contrec.baselines.sequences.SequenceModel`.
    """

    LOOP = {"epochs": 60, "batch_size": 128, "lr": 1e-3}

    def __init__(
        self, dim: int = 64, layers: int = 2, heads: int = 1, dropout: float = 0.3, length: int = 50,
        loss: str = "softmax", negatives: int = 256, start: str = "random", **loop,
    ):  # fmt: skip
        super().__init__(dim, length, dropout, loss, negatives, **loop)
        one_of("start", start, ("random", "text"))
        positive("layers", layers)
        positive("heads", heads)
        if dim % heads:
            raise ValueError(f"dim must be a multiple of heads, got dim {dim} and {heads} heads")
        self.layers, self.heads, self.start = layers, heads, start

    def encoder(self) -> nn.Module:
        return CausalTransformer(self.dim, self.layers, self.heads, self.dropout, self.length)

    def build(self, split: Split) -> NextItem:
        module = super().build(split)
        if self.start == "text":
            vectors = text_vectors(split, self.dim) * self.dim**-0.5
            module.table.weight.data.copy_(torch.from_numpy(vectors))
        return module


def pre_norm(dim: int, heads: int, dropout: float) -> nn.Module:
    """SASRec's block: the feed-forward layer is as wide as the states."""
    return nn.TransformerEncoderLayer(dim, heads, dim, dropout, batch_first=True, norm_first=True)


class CausalTransformer(nn.Module):
    """Encoder of :class:`~contrec.baselines.sequences.NextItem`; none looks ahead, so right padding needs no mask.

    Args:
        block: (dim, heads, dropout) -> a block, called with states, ``src_mask`` and ``is_causal``.
    """

    def __init__(
        self, dim: int, layers: int, heads: int, dropout: float, length: int, block: Callable[..., nn.Module] = pre_norm
    ):
        super().__init__()
        self.position = nn.Parameter(torch.randn(length, dim) * dim**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, L, d), lengths (B,) -> (B, L, d)."""
        return self.norm(self._through(self.blocks, x, lengths))

    def newest(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The state at the newest item of each row alone, (B, d): the last block, SASRec's, is computed there only.

        Args:
            x, lengths: as in :meth:`forward`; of a row of length 0, the state at its padding.
        """
        x, block = self._through(self.blocks[:-1], x, lengths), self.blocks[-1]
        row, place = torch.arange(len(x), device=x.device), (lengths - 1).clamp_min(0)
        told, beyond = block.norm1(x), torch.arange(x.shape[1], device=x.device) > place[:, None]
        x = x[row, place] + block.dropout1(
            block.self_attn(told[row, place][:, None], told, told, key_padding_mask=beyond, need_weights=False)[0][:, 0]
        )
        inner = block.dropout(block.activation(block.linear1(block.norm2(x))))
        return self.norm(x + block.dropout2(block.linear2(inner)))

    def _through(self, blocks, x: Tensor, lengths: Tensor) -> Tensor:
        place = torch.arange(x.shape[1], device=x.device)
        from_newest = (lengths[:, None] - 1 - place).clamp_min(0)
        x = self.dropout(x * x.shape[2] ** 0.5 + self.position[from_newest])
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        for block in blocks:
            x = block(x, src_mask=mask, is_causal=True)
        return x
