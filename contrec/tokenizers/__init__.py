"""Continuous tokenizers: (B, d) -> tokens (B, K, D) -> (B, d)."""

from contrec.tokenizers.sigma_vae import SigmaVAE, TokenizerConfig, train_tokenizer

__all__ = ["SigmaVAE", "TokenizerConfig", "train_tokenizer"]
