"""Users drawn with replacement: what the means of their values would be in another sample."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from contrec.checks import positive

KEPT = 2**24  # numbers of two bytes, at most so many for each of four sets of draws


def bootstrap_means(values, n_boot: int = 1000, seed: int = 0) -> np.ndarray:
    """Means over users drawn with replacement; every column sees the same draws.

    Args:
        values: one row per user, float, shape (n_users, c).
        n_boot: number of draws, at least 1.
        seed: of the draws.

    Returns:
        Float64, shape (n_boot, c).
    """
    positive("n_boot", n_boot)
    values = np.asarray(values, np.float64)
    n = len(values)
    # how often each user was drawn times the values, draw by draw
    draws = _kept_draws(n, n_boot, seed) if n * n_boot <= KEPT else _draws(n, n_boot, seed)
    return np.stack([times @ values for times in draws]) / n


def _draws(n: int, n_boot: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n users is drawn, (n,), draw by draw: the memory of one, whatever n_boot is."""
    rng = np.random.default_rng(seed)
    return (np.bincount(rng.integers(n, size=n), minlength=n).astype(np.uint16) for _ in range(n_boot))


@lru_cache(maxsize=4)
def _kept_draws(n: int, n_boot: int, seed: int) -> np.ndarray:
    """All of them, (n_boot, n): tables ask the same users about many differences, and drawing takes the most time."""
    return np.stack(list(_draws(n, n_boot, seed)))
