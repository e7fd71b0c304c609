"""Tokenizers at equal rates: VQ, RQ, MQ, VAE, sigma-VAE and diffusion (02_reconstruction)."""
