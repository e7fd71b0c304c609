"""Tokenizers behind one interface, :class:`Tokenizer`: (B, d) -> tokens (B, K, D) -> (B, d)."""

from contrec.tokenizers.base import ContinuousTokenizer, Tokenizer
from contrec.tokenizers.quantized import QuantizedVAE, QuantizerConfig
from contrec.tokenizers.sigma_vae import SigmaVAE, TokenizerConfig
from contrec.tokenizers.training import train_tokenizer
from contrec.tokenizers.vae import Autoencoder, AutoencoderConfig, GaussianVAE, VAEConfig

__all__ = [
    "Autoencoder",
    "AutoencoderConfig",
    "ContinuousTokenizer",
    "GaussianVAE",
    "QuantizedVAE",
    "QuantizerConfig",
    "SigmaVAE",
    "Tokenizer",
    "TokenizerConfig",
    "VAEConfig",
    "train_tokenizer",
]
