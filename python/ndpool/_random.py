"""Random numbers for the functions that draw them."""

from __future__ import annotations

import operator
import secrets
from typing import Any

import numpy as np

from ndpool._interop import shown


def draw(rng: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Draw float64 numbers from 0 to less than 1: the same ones for the same seed, on every machine.

    A generator advances; a seed gives the same numbers on every call; None gives others each time.
    """
    return np.random.default_rng(_source(rng)).random(shape)


def seed(rng: Any) -> int:
    """Return 64 bits for a counter-based generator: a seed of as many is itself, a generator advances."""
    source = _source(rng)
    if source is None:
        return secrets.randbits(64)
    if isinstance(source, np.random.Generator):
        return int(source.integers(1 << 64, dtype=np.uint64))
    return source if source < 1 << 64 else int(np.random.SeedSequence(source).generate_state(1, np.uint64)[0])


def _source(rng: Any) -> np.random.Generator | int | None:
    """Return what random numbers come from, or say why they cannot."""
    if rng is None or isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not hasattr(rng, "__index__"):
        raise TypeError(f"rng: {shown(rng)} must be None, an int or a numpy.random.Generator")
    try:
        seed = operator.index(rng)
    except TypeError as error:
        if hasattr(rng, "__array__"):  # every array has the method and most refuse it
            raise TypeError(f"rng: {shown(rng)} must be None, an int or a numpy.random.Generator") from error
        raise
    if seed < 0:
        raise ValueError(f"rng: {shown(seed)} must be at least 0")
    return seed
