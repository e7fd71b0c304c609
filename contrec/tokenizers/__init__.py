"""Tokenizers behind one interface, :class:`Tokenizer`: (B, d) -> tokens (B, K, D) -> (B, d).

One's own is a class, given beside the config:

    import torch
    from contrec.recommender import Recommender
    from contrec.tokenizers import Tokenizer, TokenizerConfig, make_tokenizer, train_tokenizer

    class Linear(Tokenizer):
        # one matrix in, another out, and no noise
        def __init__(self, dim, config):
            super().__init__(dim, config)
            self.shape = config.n_tokens, config.token_dim
            self.into = torch.nn.Linear(dim, config.n_tokens * config.token_dim)
            self.back = torch.nn.Linear(config.n_tokens * config.token_dim, dim)

        def encode(self, x, generator=None):
            return self.into(x).unflatten(1, self.shape)

        def decode(self, z):
            return self.back(z.flatten(1))

        def loss(self, x, generator):
            error = (self.decode(self.encode(x)) - x).square().mean()
            return {"total": error, "reconstruction": error}

    tokenizer = make_tokenizer(8, TokenizerConfig(n_tokens=2, token_dim=4, epochs=20), Linear)
    losses = train_tokenizer(tokenizer, torch.randn(200, 8), seed=0)
    model = Recommender(tokenizer=Linear)  # then fit(split): one for items, one for users
"""

from copy import deepcopy

from torch import nn

from contrec.checks import of_kind
from contrec.tokenizers.base import ContinuousTokenizer, Tokenizer
from contrec.tokenizers.config import TokenizerConfig
from contrec.tokenizers.masked_encoder import MaskedEncoder, Projection
from contrec.tokenizers.quantized import QuantizedVAE, QuantizerConfig
from contrec.tokenizers.sigma_vae import SigmaVAE
from contrec.tokenizers.training import train_tokenizer
from contrec.tokenizers.vae import Autoencoder, AutoencoderConfig, GaussianVAE, VAEConfig

__all__ = [
    "Autoencoder",
    "AutoencoderConfig",
    "ContinuousTokenizer",
    "GaussianVAE",
    "MaskedEncoder",
    "Projection",
    "QuantizedVAE",
    "QuantizerConfig",
    "SigmaVAE",
    "Tokenizer",
    "TokenizerConfig",
    "VAEConfig",
    "make_tokenizer",
    "train_tokenizer",
]


def make_tokenizer(dim: int, config: TokenizerConfig, own=None) -> Tokenizer:
    """The untrained tokenizer of ``config.kind``, for embeddings of ``dim`` dimensions.

    Args:
        own: in the place of that kind a class or function of (dim, config), or a module, of which a copy is taken.

    Raises:
        TypeError: if ``own`` is or gives no :class:`Tokenizer`.
    """
    kinds = {"sigma_vae": SigmaVAE, "masked_encoder": MaskedEncoder, "projection": Projection}
    if isinstance(own, nn.Module):
        made = deepcopy(own)
    else:
        made = (own or kinds[config.kind])(dim, config)
    of_kind("tokenizer", made, Tokenizer, "derive it from contrec.tokenizers.Tokenizer")
    return made
