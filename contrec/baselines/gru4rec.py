"""GRU4Rec: a recurrent network over the history (Hidasi et al., ICLR 2016; Hidasi and Karatzoglou, CIKM 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from contrec.baselines.sequences import SequenceModel
from contrec.checks import positive


class GRU4Rec(SequenceModel):
    """One layer of gated recurrent units with tied ("constrained") item embeddings; states are brought back to d.

    Args:
        hidden: units of the layer, 100 to 224 as published.
        dim, length, dropout, negatives, **loop: see :class:`~contrec.baselines.sequences.SequenceModel`.
        loss: "softmax" (its cross-entropy) | "sampled" | "bce".
    """

    LOOP = {"epochs": 60, "batch_size": 128, "lr": 2e-3}

    def __init__(
        self, dim: int = 64, hidden: int = 128, dropout: float = 0.3, length: int = 50, loss: str = "softmax",
        negatives: int = 256, **loop,
    ):  # fmt: skip
        super().__init__(dim, length, dropout, loss, negatives, **loop)
        positive("hidden", hidden)
        self.hidden = hidden

    def encoder(self) -> nn.Module:
        return Recurrent(self.dim, self.hidden, self.dropout)


class Recurrent(nn.Module):
    """Encoder of :class:`~contrec.baselines.sequences.NextItem`: a state never sees the padding on its right."""

    def __init__(self, dim: int, hidden: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.back = nn.Sequential(nn.Linear(hidden, dim), nn.LayerNorm(dim))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, L, d), lengths (B,) -> (B, L, d)."""
        states, _ = self.gru(self.dropout(x * x.shape[2] ** 0.5))
        return self.back(self.dropout(states))
