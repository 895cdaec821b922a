"""The checks of ``ndpool demo``: against NumPy's result, and of gradients against finite differences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ndpool

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]

STEP = 1e-6
ABSOLUTE, RELATIVE = 1e-5, 1e-3
ADJOINT = 1e-12


def difference(result: Array, expected: Array, dtype: np.dtype[Any]) -> tuple[float, bool]:
    """Return the largest difference from NumPy's result in float64 or integers, and whether ``result`` is right.

    Right means of this shape and of ``dtype``, and equal; a float may be off by the rounding of its own type.
    """
    if result.shape != expected.shape:
        return math.inf, False
    largest = float(np.max(np.abs(result.astype(np.float64) - expected)))
    rounding = 2 * float(np.finfo(dtype).eps) * float(np.max(np.abs(expected))) if dtype.kind == "f" else 0.0
    return largest, result.dtype == dtype and largest <= rounding


def gradient(function: Callable[..., Any], x: Array, *args: Any, **options: Any) -> tuple[float, bool]:
    """Return the largest difference between ``pullback(dy)`` and central differences, and whether it is right.

    Right means within 1e-5 + 1e-3 of the size of the derivative for every cell of ``x``, and that forwards and
    backwards are the same linear map: ``<J v, w> = <v, J' w>`` to 1e-12. Further arrays, such as weights, stand still.
    """
    rng = np.random.default_rng(7)
    y, pullback = ndpool.vjp(function, x, *args, **options)
    dy = rng.standard_normal(np.shape(y))
    slopes = pullback(dy)
    dx, *further = slopes if isinstance(slopes, tuple) else (slopes,)
    still = [np.zeros_like(slope) for slope in further]

    numeric = np.empty_like(x)
    moved = x.copy()
    for cell in np.ndindex(x.shape):
        moved[cell] = x[cell] + STEP
        above = np.vdot(dy, function(moved, *args, **options))
        moved[cell] = x[cell] - STEP
        below = np.vdot(dy, function(moved, *args, **options))
        moved[cell] = x[cell]
        numeric[cell] = (above - below) / (2 * STEP)
    distance = np.abs(dx - numeric)
    close = bool(np.all(distance <= ABSOLUTE + RELATIVE * np.abs(numeric)))

    v = rng.standard_normal(x.shape)
    forwards, backwards = float(np.vdot(pullback.jvp(v, *still), dy)), float(np.vdot(v, dx))
    scale = float(np.linalg.norm(v) * np.linalg.norm(dx)) or 1.0
    return float(np.max(distance)), close and abs(forwards - backwards) <= ADJOINT * scale
