"""How results of the library are compared with the reference, in one place.

Selections (max, min) are compared bit for bit, NaN apart. Sums are compared within the bound that holds for *any* order
of summation, so that a failure is an error of the library and never of the tolerance.
"""

import ml_dtypes
import ndpool
import numpy as np
import pytest
import reference as ref


def function(name, rank):
    """``ndpool.max_pool2d`` from ``"max_pool"`` and 2."""
    return getattr(ndpool, f"{name}{rank}d")


def attempt(oracle):
    """Return what ``oracle`` does, or None where it refuses the arguments."""
    try:
        return oracle()
    except ValueError:
        return None


def agrees(call, oracle, check):
    """``call`` passes ``check`` against what ``oracle`` gives, and is a ValueError where the oracle refuses."""
    want = attempt(oracle)
    if want is None:
        with pytest.raises(ValueError):
            call()
    else:
        check(call(), want)


def bits(x):
    """View the cells as unsigned integers."""
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def assert_selected(got, want):
    """Compare dtype, shape and bits (-0.0 is not 0.0); one NaN is as good as another."""
    assert isinstance(got, np.ndarray)
    assert got.dtype == want.dtype
    assert got.dtype.isnative
    assert got.shape == want.shape
    same = bits(got) == bits(want)
    if want.dtype.kind not in "iub":
        same |= np.isnan(got) & np.isnan(want)
    assert same.all(), f"\ngot  {got[~same]}\nwant {want[~same]}\nat   {np.argwhere(~same).tolist()}"


def unit_roundoff(dtype):
    """Half the distance from 1 to the next number."""
    return float(ml_dtypes.finfo(dtype).eps) / 2


def rounding_bound(want, pooled, dtype):
    """Largest error of a sum or mean in ``dtype``, halves accumulating in float32, whatever the order of summation."""
    accumulator = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    accumulated = (pooled.cells + 2) * unit_roundoff(accumulator) * pooled.magnitude
    rounded = unit_roundoff(dtype) * (np.abs(want) + accumulated)
    return accumulated + rounded + float(ml_dtypes.finfo(dtype).smallest_subnormal)


def assert_summed(got, pooled, dtype):
    """Compare a sum, mean or count: exactly for integers, within the bound above for floats."""
    dtype = np.dtype(dtype)
    assert isinstance(got, np.ndarray)
    assert got.dtype == dtype
    assert got.shape == pooled.values.shape
    if dtype.kind in "iu":
        assert got.tolist() == np.vectorize(int, otypes=[object])(pooled.values).tolist()
        return
    want = pooled.values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = want.astype(dtype).astype(np.float64)
        got = got.astype(np.float64)
        close = (got == rounded) | (np.isnan(got) & np.isnan(want))
        close |= np.abs(got - want) <= rounding_bound(want, pooled, dtype)
    assert close.all(), f"\ngot  {got[~close]}\nwant {want[~close]}\nat   {np.argwhere(~close).tolist()}"


def averaged_dtype(dtype):
    """Return what a mean of ``dtype`` is: floats keep their dtype, integers and bool give float64."""
    return np.dtype(np.float64) if np.dtype(dtype).kind in "iub" else np.dtype(dtype)


def summed_dtype(dtype):
    """Return what a sum of ``dtype`` is: NumPy's rule."""
    dtype = np.dtype(dtype)
    return dtype if dtype.kind not in "iub" else np.zeros(1, dtype).sum().dtype


def oracle(x, rank, mode, layout, arguments, **options):
    """Run the reference for a function that takes a kernel: ``arguments`` are the library's."""
    axes = ref.spatial_axes(x.ndim, rank, layout)
    names = {"kernel_size": "kernel"}
    window = {names.get(name, name): value for name, value in arguments.items()}
    return ref.pool(x, ref.windows(x.shape, axes, **window), axes, mode, **options)
