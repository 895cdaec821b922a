"""Arrays that reach the fast paths: vector tails of every width, tiles, threads, scans for large windows.

The nested loops are too slow here, so the oracle is NumPy's own sliding windows over a padded copy: every window is
still written out in full, and ``argmax`` has the contract's rules (first of equals, first NaN).
"""

import time

import ndpool
import numpy as np
import pytest
import strategies as some
from checks import assert_selected, averaged_dtype, rounding_bound, unit_roundoff
from reference import Pooled

DTYPES = pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)


def lowest(dtype):
    """Return what padding holds in a maximum."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def written_out(x, kernel, stride, padding, fill):
    """Every 2-D window of ``(N, C, H, W)`` as the last axis of the result."""
    (top, bottom), (left, right) = padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1]]
    return windows.reshape(*windows.shape[:4], -1)


def random_array(shape, dtype, seed=0):
    """Small integers, so that ties are common, with NaN now and then."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 100, shape).astype(dtype)
    if np.dtype(dtype).kind not in "iub":
        x[rng.random(shape) < 1e-3] = np.nan
    return x


@DTYPES
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8])
def test_every_width_has_a_right_tail(kernel, stride, dtype):
    x = random_array((1, 1, 2 * kernel + 3, 150), dtype, seed=kernel)
    comparable = x.astype(np.float64)
    for width in [*range(kernel, 75), 127, 128, 129, 150]:
        view = x[..., -width:]
        got = ndpool.max_pool2d(view, kernel, stride)
        windows = written_out(comparable[..., -width:], (kernel, kernel), (stride, stride), [(0, 0)] * 2, 0)
        assert_selected(got, windows.max(-1).astype(dtype))


CASES = [
    ((2, 3, 64, 65), (3, 3), (2, 2), [(1, 1), (1, 1)]),
    ((1, 2, 97, 133), (2, 2), (2, 2), [(0, 0), (0, 0)]),
    ((1, 1, 120, 90), (9, 7), (1, 1), [(4, 4), (3, 3)]),
    ((1, 1, 60, 130), (31, 31), (1, 1), [(15, 15), (15, 15)]),
    ((1, 2, 70, 66), (17, 16), (3, 5), [(0, 16), (15, 2)]),
    ((3, 5, 19, 300), (1, 75), (1, 15), [(0, 0), (0, 0)]),
    ((2, 2, 300, 17), (40, 1), (1, 1), [(39, 0), (0, 0)]),
]


@DTYPES
@pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case[0])))
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_maxima_and_their_places_in_windows_of_every_size(layout, case, dtype):
    shape, kernel, stride, padding = case
    x = random_array(shape, dtype)
    windows = written_out(x.astype(np.float64), kernel, stride, padding, -np.inf)
    place = windows.argmax(-1)
    row = np.arange(place.shape[2])[:, None] * stride[0] - padding[0][0] + place // kernel[1]
    column = np.arange(place.shape[3]) * stride[1] - padding[1][0] + place % kernel[1]
    want = np.take_along_axis(windows, place[..., None], -1)[..., 0].astype(dtype)
    given, back = x, np.asarray
    if layout == "channels_last":
        given, back = np.ascontiguousarray(np.moveaxis(x, 1, -1)), lambda y: np.moveaxis(y, -1, 1)
    values, index = ndpool.max_pool2d(given, kernel, stride, padding, return_indices=True, layout=layout)
    assert_selected(back(values), want)
    np.testing.assert_array_equal(back(index), row * shape[3] + column)
    assert_selected(back(ndpool.max_pool2d(given, kernel, stride, padding, layout=layout)), want)


@DTYPES
@pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case[0])))
@pytest.mark.parametrize("include_pad", [False, True])
def test_averages_in_windows_of_every_size(include_pad, case, dtype):
    shape, kernel, stride, padding = case
    x = random_array(shape, dtype)
    windows = written_out(x.astype(np.float64), kernel, stride, padding, 0)
    real = written_out(np.ones(shape), kernel, stride, padding, 0).sum(-1)
    divisor = float(np.prod(kernel)) if include_pad else real
    want, magnitude = windows.sum(-1) / divisor, np.abs(windows).sum(-1) / divisor
    got = ndpool.avg_pool2d(x, kernel, stride, padding, count_include_pad=include_pad)
    result = averaged_dtype(dtype)
    assert got.dtype == result
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    held = ~np.isnan(want)
    bound = rounding_bound(want, Pooled(None, None, magnitude, real), result)
    assert (np.abs(got[held].astype(np.float64) - want[held]) <= bound[held]).all()


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@pytest.mark.parametrize("kernel", [2, 3, 5, 16, 64])
def test_one_nan_reaches_its_own_windows_and_no_other(kernel, dtype):
    length = 500
    for place in (0, 1, 63, 64, 250, 499):
        x = np.ones((1, 1, length), dtype)
        x[..., place] = np.nan
        hit = (np.arange(length - kernel + 1) <= place) & (np.arange(length - kernel + 1) + kernel > place)
        for name in ("max", "min", "avg"):
            got = getattr(ndpool, f"{name}_pool1d")(x, kernel, 1)[0, 0]
            np.testing.assert_array_equal(np.isnan(got), hit)
            assert (got[~hit] == 1).all()


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@pytest.mark.parametrize("kernel", [2, 3, 7, 40])
def test_the_first_of_two_equal_zeros_wins_in_every_lane(kernel, dtype, mode):
    signs = np.random.default_rng(kernel).random((2, 2, 50, 131)) < 0.5
    x = np.where(signs, np.array(-0.0, dtype), np.array(0.0, dtype))
    got, index = getattr(ndpool, f"{mode}_pool2d")(x, kernel, 1, return_indices=True)
    first = x[:, :, : got.shape[2], : got.shape[3]]
    assert_selected(got, first)
    assert_selected(getattr(ndpool, f"{mode}_pool2d")(x, kernel, 1), first)
    rows, columns = np.indices(got.shape[2:])
    np.testing.assert_array_equal(index, np.broadcast_to(rows * 131 + columns, got.shape))


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("dilation", [2, 3, 7])
def test_dilated_windows_of_long_rows(dilation, dtype):
    x = random_array((2, 3, 500), dtype)
    span = 4 * dilation + 1
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), span, axis=2)[..., ::2, ::dilation]
    assert_selected(ndpool.max_pool1d(x, 5, 2, dilation=dilation), windows.max(-1).astype(dtype))


@pytest.mark.parametrize(
    ("extent", "size"),
    [((5877, 3697), (2855, 1)), ((4757, 560), (3527, 2219)), ((97, 89), (13, 11)), ((7, 9), (20, 30))],
)
def test_adaptive_borders_are_integers_at_any_size(extent, size):
    """pytorch#81409: borders computed in float32 are off by one for these sizes."""
    x = np.random.default_rng(0).integers(0, 16, (1, *extent)).astype(np.float32)
    sums = np.zeros((extent[0] + 1, extent[1] + 1), np.int64)
    sums[1:, 1:] = x[0].astype(np.int64).cumsum(0).cumsum(1)
    (top, bottom), (left, right) = (
        (np.arange(bins) * length // bins, -(-(np.arange(bins) + 1) * length // bins))
        for length, bins in zip(extent, size, strict=True)
    )
    block = sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left] + sums[top][:, left]
    want = block / np.outer(bottom - top, right - left)
    got = ndpool.adaptive_avg_pool2d(x, size)
    np.testing.assert_allclose(got[0], want, rtol=1e-6)


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_window_of_half_a_million_cells_takes_linear_time(mode):
    x = np.random.default_rng(0).random((1, 1, 10**6), np.float32)
    started = time.perf_counter()
    got = getattr(ndpool, f"{mode}_pool1d")(x, 500_001, 1)
    assert time.perf_counter() - started < 10
    for place in (0, 1, 250_000, 499_999):
        window = x[0, 0, place : place + 500_001].astype(np.float64)
        assert got[0, 0, place] == pytest.approx(window.max() if mode == "max" else window.mean(), rel=1e-6)


def test_a_window_of_a_million_cells_inside_its_padding_takes_linear_time():
    x = np.random.default_rng(0).random((1, 1, 10**6), np.float32)
    started = time.perf_counter()
    got = ndpool.max_pool1d(x, 10**6, 1, padding=499_999)
    assert time.perf_counter() - started < 10
    prefix = np.maximum.accumulate(x[0, 0])
    np.testing.assert_array_equal(got[0, 0, :500_000], prefix[500_000:])


@pytest.mark.parametrize("dtype", ["float16", "float32", some.BFLOAT16, "float64"], ids=some.dtype_name)
def test_large_means_keep_their_digits(dtype):
    x = np.random.default_rng(0).random((3, 2**16 + 5)).astype(dtype)
    want = x.astype(np.float64).mean(-1)
    got = ndpool.pool(x, (x.shape[1],), "avg")[:, 0].astype(np.float64)
    accumulated = 64 * unit_roundoff(np.float64 if x.dtype == np.float64 else np.float32)
    np.testing.assert_allclose(got, want, rtol=unit_roundoff(dtype) + accumulated)


def first_winners(x, mode, kernel, stride, padding):
    """Return the cell of each window that wins: of equal ones, and of NaN, the first in C order."""
    away = np.inf if mode == "min" else -np.inf
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], constant_values=away)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
    windows = windows.reshape(*windows.shape[:4], -1)
    winner = windows.argmin(-1) if mode == "min" else windows.argmax(-1)
    return np.take_along_axis(windows, winner[..., None], -1)[..., 0]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [28, 112, 300])
def test_the_first_of_equal_cells_wins_in_rows_of_every_length(width, stride, dtype, mode):
    rng = np.random.default_rng(width + stride)
    for zeros in ([-0.0, 0.0], [-0.0], [0.0], [-0.0, 0.0, 1.0, -1.0]):
        x = rng.choice(np.array([*zeros, -2.0, 2.0], dtype), (2, 3, 40, width))
        x[rng.random(x.shape) < 0.6] = zeros[0]
        if zeros == [-0.0]:
            x[1, 2, 30, width - 1] = 0.0  # the only one of its sign
        got = getattr(ndpool, f"{mode}_pool2d")(x, 3, stride, 1)
        want = first_winners(x, mode, 3, stride, 1)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [28, 112, 300])
def test_the_first_nan_wins_in_rows_of_every_length(width, stride, mode):
    x = random_array((2, 3, 40, width), np.float32)
    for place in [(0, 0, 0, 0), (1, 2, 39, width - 1), (1, 0, 20, width - 1), (0, 1, 21, 0), (1, 1, 7, 13)]:
        x[place] = np.nan
    x[1, 1, 8, 12] = -np.float32(np.nan)  # a NaN of the other sign, which comes second
    got = getattr(ndpool, f"{mode}_pool2d")(x, 3, stride, 1)
    want = first_winners(x, mode, 3, stride, 1)
    np.testing.assert_array_equal(got, want)
    assert not np.signbit(got[np.isnan(got)][:-1]).all()
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize("width", [5, 16, 20, 70])
def test_windows_over_rows_without_a_cell_are_filled(width, padding, mode):
    x = random_array((3, 1, width), np.float64)
    got = ndpool.pool(x, (2, 3), mode, stride=1, padding=((1, 1), (padding, padding)), dilation=(2, 1), fill_value=7.0)
    assert got.shape == (3, 1, width + 2 * padding - 2)
    assert (got == 7.0).all()  # the one row lies between the two of each window


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("dtype", [*some.FLOATS, np.dtype(np.uint8), np.dtype(np.int64)], ids=some.dtype_name)
def test_views_that_skip_cells_are_pooled_like_their_copies(dtype, step):
    x = random_array((2, 2, 150, 190), dtype)[:, :, ::step, ::step]
    for kernel, stride in ((2, 2), (3, 1), (3, 2), (4, 4)):
        for pool in (ndpool.max_pool2d, ndpool.avg_pool2d):
            got, want = pool(x, kernel, stride), pool(x.copy(), kernel, stride)
            np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))
