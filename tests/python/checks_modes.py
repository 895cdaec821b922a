"""How results of the modes are compared with the reference, in one place.

Choices are compared bit for bit, integers exactly. A formula may be off by two units in the last place of its dtype,
and by what rounding in the accumulator does (float64 where the result is float64, else float32 at least), relative to
the scale that the reference gives: a failure is an error of the library and never of the tolerance.
"""

import ml_dtypes
import numpy as np
from checks import assert_selected, unit_roundoff

SLACK = {np.dtype(np.float64): 1e-13}
SLACK_OF_NARROW = 16 * unit_roundoff(np.float32)


def wrapped(number, dtype):
    """Round half to even, then take an integer modulo the size of its dtype."""
    limits = np.iinfo(dtype)
    return (round(number) - int(limits.min)) % 2 ** (8 * np.dtype(dtype).itemsize) + int(limits.min)


def cells(want):
    """Turn the reference's values into an array of the result's dtype."""
    if want.dtype.kind in "iu":
        exact = [wrapped(int(v) if isinstance(v, np.generic) else v, want.dtype) for v in want.values.flat]
        return np.array(exact, want.dtype).reshape(want.values.shape)
    with np.errstate(all="ignore"):
        array = np.empty(want.values.shape, want.dtype)
        for place, value in enumerate(want.values.flat):
            array.flat[place] = value if isinstance(value, np.generic) else np.float64(float(value)).astype(want.dtype)
    return array


def assert_pooled(got, want):
    """Compare dtype, shape and values with a ``Result`` of the reference."""
    assert isinstance(got, np.ndarray)
    assert got.dtype == want.dtype
    assert got.dtype.isnative
    assert got.shape == want.values.shape
    rounded = cells(want)
    if want.dtype.kind in "iub" or (want.indices >= 0).any():
        assert_selected(got, rounded)
        return
    exact = np.array([float(value) for value in want.values.flat]).reshape(got.shape)
    with np.errstate(all="ignore"):
        close = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        error = np.abs(got.astype(np.float64) - exact)
        bound = 2 * unit_roundoff(want.dtype) * np.abs(exact) + float(ml_dtypes.finfo(want.dtype).smallest_subnormal)
        slack = SLACK.get(want.dtype, SLACK_OF_NARROW) * (np.abs(exact) + want.scale)
        close |= error <= bound + slack
    assert close.all(), f"\ngot  {got[~close]}\nwant {exact[~close]}\nat   {np.argwhere(~close).tolist()}"


def assert_same_bits(got, want):
    """Compare tuples of arrays, or arrays, bit for bit."""
    if isinstance(want, tuple):
        assert isinstance(got, tuple)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_selected(one, other)
    else:
        assert_selected(got, want)


def assert_near(got, want):
    """Compare dtype and shape, and values to a few units in the last place."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype.kind in "iub":
        np.testing.assert_array_equal(got, want)
        return
    rtol = 16 * unit_roundoff(want.dtype)
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=rtol)
