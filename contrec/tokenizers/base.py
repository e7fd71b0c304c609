"""What every tokenizer answers: tokens of an embedding, the embedding of tokens, a loss, and the bits of the tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrec.training import evaluating


class Tokenizer(nn.Module):
    """An embedding (d) in, K tokens of D dimensions out, and back.

    Args:
        dim: width d of the embeddings.
        config: a frozen dataclass with at least ``lr``, ``weight_decay``, ``epochs`` and ``batch_size``.
    """

    def __init__(self, dim: int, config):
        super().__init__()
        self.dim, self.config = dim, config

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens of embeddings, never masked: x (B, d) -> (B, K, D).

        Without a generator nothing is random; with one, tokens that training disturbs by noise carry it.
        """
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Embeddings of tokens: z (B, K, D) -> (B, d)."""
        raise NotImplementedError

    def add_noise(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """The noise that training adds to tokens z (B, K, D); none unless overridden."""
        return z

    def loss(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalar losses of a training batch x (B, d): "total" is minimised, "reconstruction" is the mean of
        (x_hat - x)^2 over rows and dimensions, other names are the further terms, unweighted."""
        raise NotImplementedError

    def rate_bits(self, x: Tensor) -> float:
        """Bits that the tokens of one embedding carry, as a mean over the rows of x (n, d)."""
        raise NotImplementedError

    def start(self, x: Tensor, generator: torch.Generator) -> None:
        """Called once before training on x (n, d), for what depends on the data; nothing unless overridden."""

    def finish(self, x: Tensor) -> None:
        """Called once after training on x (n, d), in evaluation mode; nothing unless overridden."""

    @torch.no_grad()
    def reconstruct(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """decode(encode(x)) in evaluation mode and without gradients: x (B, d) -> (B, d)."""
        with evaluating(self):
            return self.decode(self.encode(x, generator))


class ContinuousTokenizer(Tokenizer):
    """A tokenizer whose tokens scatter around means that move smoothly with the input."""

    def means(self, x: Tensor) -> Tensor:
        """The tokens before noise or rounding: x (B, d) -> (B, K, D)."""
        raise NotImplementedError

    @torch.no_grad()
    def channel_variance(self, x: Tensor) -> Tensor:
        """Variance of the means over the rows of x, per token and channel, (K, D): near zero is a collapsed channel."""
        return self.means(x).var(dim=0, unbiased=False)


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with GELU between them; three layers are the "three-layer MLP" of Sect. 3.2."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        layers += [nn.GELU(), nn.Linear(a, b)] if i else [nn.Linear(a, b)]
    return nn.Sequential(*layers)


def masked(x: Tensor, ratio: float, generator: torch.Generator, shared: bool = False) -> Tensor:
    """x with each element set to 0 with probability ``ratio`` (Eq. 9, ContRec), in any shape.

    Args:
        shared: one mask for all rows, as the released codes draw it, instead of one for each element.
    """
    shape = x.shape[-1:] if shared else x.shape
    return x * (torch.rand(shape, generator=generator, device=x.device) >= ratio)
