"""Random numbers for the functions that draw them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def draw(rng: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Draw float64 numbers from 0 to less than 1: the same ones for the same seed, on every machine.

    A generator advances; a seed gives the same numbers on every call; None gives others each time.
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng).random(shape)
    if not hasattr(rng, "__index__"):
        raise TypeError(f"rng: {rng!r} must be None, an int or a numpy.random.Generator")
    try:
        seed = operator.index(rng)
    except TypeError as error:
        if hasattr(rng, "__array__"):  # every array has the method and most refuse it
            raise TypeError(f"rng: {rng!r} must be None, an int or a numpy.random.Generator") from error
        raise
    if seed < 0:
        raise ValueError(f"rng: {seed} must be at least 0")
    return np.random.default_rng(seed).random(shape)
