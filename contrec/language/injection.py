"""Continuous tokens enter the prompt: one gather from the token table, one scatter into the embeddings (Sect. 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenInjector(nn.Module):
    """Gives tokens the backbone's width and size, and puts them into their slots.

    Args:
        token_dim: width D of a token.
        hidden: width H of the backbone.
        project: a trained linear map D -> H; without it D must equal H.

    Attributes:
        scale: fixed factor that matches the RMS of the tokens to that of the backbone's embeddings.
    """

    def __init__(self, token_dim: int, hidden: int, project: bool):
        super().__init__()
        if not project and token_dim != hidden:
            raise ValueError(
                f"token_dim {token_dim} differs from the backbone's width {hidden}: "
                f"set token_dim={hidden} or project_tokens=True"
            )
        self.project = nn.Linear(token_dim, hidden) if project else nn.Identity()
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def match(self, tokens: Tensor, embeddings: Tensor) -> None:
        """Set ``scale`` from all item tokens (m, K, D) and the backbone's embedding rows (V, H)."""
        self.scale.copy_(embeddings.float().square().mean().sqrt() / tokens.square().mean().sqrt().clamp_min(1e-8))

    def forward(self, embeds: Tensor, tokens: Tensor, slots: Tensor) -> Tensor:
        """Overwrite ``embeds`` (B, L, H) in place at flat positions ``slots`` (N,) with ``tokens`` (N, D)."""
        embeds.flatten(0, 1).index_copy_(0, slots, self.project(tokens * self.scale).to(embeds.dtype))
        return embeds
