"""Gradients of arrays that reach the fast paths: tiles, threads, overlapping windows, every memory layout of planes.

The oracle writes the scatter out with NumPy: maxima go to the places that ``test_large.py`` has checked, means are
spread tap by tap. Cotangents are small integers, so that sums of them are exact in any order and results can be equal.
"""

import ndpool
import numpy as np
import pytest
import strategies as some
from checks import unit_roundoff
from test_large import CASES

DTYPES = pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case[0])))
LAYOUT = pytest.mark.parametrize("layout", some.LAYOUTS)


def cotangent(shape, dtype):
    """Draw integers that are few enough to add up without rounding in half precision."""
    return np.random.default_rng(1).integers(-1, 2, shape).astype(dtype)


def arranged(x, layout):
    """Move the channels to where the layout has them, in memory too."""
    return x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, 1, -1))


def back(x, layout):
    """Undo ``arranged``."""
    return x if layout == "channels_first" else np.moveaxis(x, -1, 1)


@CASE
@DTYPES
@LAYOUT
@pytest.mark.parametrize("mode", ["max", "min"])
def test_gradients_of_extremes_are_scattered_to_their_places(mode, layout, dtype, case):
    shape, kernel, stride, padding = case
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    pool = getattr(ndpool, f"{mode}_pool2d")
    (_, index), pullback = ndpool.vjp(
        pool, arranged(x, layout), kernel, stride, padding, return_indices=True, layout=layout
    )
    places = back(index, layout).reshape(*shape[:2], -1)
    dy = cotangent(back(index, layout).shape, dtype)
    want = np.zeros((*shape[:2], shape[2] * shape[3]))
    planes = np.ix_(*map(np.arange, shape[:2]))
    np.add.at(want, (*(plane[..., None] for plane in planes), places), dy.reshape(places.shape).astype(np.float64))
    got = back(pullback(arranged(dy, layout)), layout)
    np.testing.assert_array_equal(got, want.reshape(shape).astype(dtype), strict=True)
    taken = np.take_along_axis(x.reshape(*shape[:2], -1), places, -1).reshape(dy.shape)
    np.testing.assert_array_equal(back(pullback.jvp(arranged(x, layout)), layout), taken, strict=True)


@CASE
@DTYPES
@LAYOUT
@pytest.mark.parametrize("include_pad", [False, True])
def test_gradients_of_means_are_spread_over_their_windows(include_pad, layout, dtype, case):
    shape, kernel, stride, padding = case
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    options = {"count_include_pad": include_pad, "layout": layout}
    y, pullback = ndpool.vjp(ndpool.avg_pool2d, arranged(x, layout), kernel, stride, padding, **options)
    dy = cotangent(back(y, layout).shape, dtype)
    (top, bottom), (left, right) = padding
    rows, columns = (slice(0, size * step, step) for size, step in zip(dy.shape[2:], stride, strict=True))
    real = np.zeros((shape[2] + top + bottom + kernel[0], shape[3] + left + right + kernel[1]))
    real[top : top + shape[2], left : left + shape[3]] = 1
    taps = list(np.ndindex(*kernel))
    count = sum(real[row:, column:][rows, columns] for row, column in taps)
    share = dy.astype(np.float64) / (len(taps) if include_pad else count)
    spread = np.zeros((*shape[:2], *real.shape))
    weight = np.zeros_like(spread)
    for row, column in taps:
        spread[..., row:, column:][..., rows, columns] += share
        weight[..., row:, column:][..., rows, columns] += np.abs(share)
    inside = (..., slice(top, top + shape[2]), slice(left, left + shape[3]))
    got = back(pullback(arranged(dy, layout)), layout)
    assert got.dtype == dtype
    accumulator = unit_roundoff(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
    bound = (len(taps) + 2) * accumulator * weight[inside] + unit_roundoff(dtype) * np.abs(spread[inside])
    tiny = float(some.special_values(dtype)[5])
    assert (np.abs(got.astype(np.float64) - spread[inside]) <= 2 * bound + tiny).all()
    np.testing.assert_array_equal(pullback.jvp(arranged(x, layout)), y, strict=True)
