"""How parameters of new layers are drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ndpool.nn._base import Array


def uniform(rng: np.random.Generator, limit: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Draw numbers from `-limit` to `limit`; the same ones for each dtype, but for rounding."""
    return rng.uniform(-limit, limit, shape).astype(dtype)


def glorot(rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Draw a matrix that keeps variances forwards and backwards: Glorot and Bengio (2010)."""
    return uniform(rng, math.sqrt(6 / sum(shape)), shape, dtype)
