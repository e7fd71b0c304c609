"""Tokenizers behind one interface, :class:`Tokenizer`: (B, d) -> tokens (B, K, D) -> (B, d)."""

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


def make_tokenizer(dim: int, config: TokenizerConfig) -> Tokenizer:
    """The untrained tokenizer of a kind, for embeddings of ``dim`` dimensions."""
    kinds = {"sigma_vae": SigmaVAE, "masked_encoder": MaskedEncoder, "projection": Projection}
    return kinds[config.kind](dim, config)
