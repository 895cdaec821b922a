"""Which dtype comes out, and integer and half-precision arithmetic that is exact where the contract says so."""

from fractions import Fraction

import ml_dtypes
import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import averaged_dtype, function, summed_dtype
from hypothesis import given
from hypothesis import strategies as st

DTYPES = pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
INTEGERS = pytest.mark.parametrize("dtype", some.INTEGERS, ids=some.dtype_name)


@DTYPES
def test_results_have_the_dtype_of_the_contract(dtype):
    x = np.ones((1, 2, 4, 4), dtype)
    for name in ("max", "min"):
        assert function(f"{name}_pool", 2)(x, 2).dtype == dtype
        assert ndpool.pool(x, (2, 2), name).dtype == dtype
    for result in (ndpool.adaptive_max_pool2d(x, 2), ndpool.global_max_pool(x)):
        assert result.dtype == dtype
    for result in (
        ndpool.avg_pool2d(x, 2),
        ndpool.adaptive_avg_pool2d(x, 2),
        ndpool.global_avg_pool(x),
        ndpool.pool(x, (2, 2), "avg"),
    ):
        assert result.dtype == averaged_dtype(dtype)
    assert ndpool.pool(x, (2, 2), "sum").dtype == summed_dtype(dtype)
    assert ndpool.pool(x, (2, 2), "count").dtype == np.int64


@pytest.mark.parametrize(
    "dtype",
    [complex, "complex64", object, "U3", "S3", "V4", "datetime64[s]", "timedelta64[s]", np.longdouble, [("a", "f4")]],
    ids=str,
)
def test_other_dtypes_are_a_type_error(dtype):
    if dtype is np.longdouble and np.dtype(dtype) == np.float64:
        dtype = complex
    x = np.zeros((1, 1, 4, 4), dtype)
    for call in (
        lambda: ndpool.max_pool2d(x, 2),
        lambda: ndpool.avg_pool2d(x, 2),
        lambda: ndpool.adaptive_avg_pool2d(x, 2),
        lambda: ndpool.pool(x, (2, 2), "sum"),
        lambda: ndpool.vjp(ndpool.avg_pool2d, x, 2),
    ):
        with pytest.raises(TypeError):
            call()


def test_other_small_floats_are_a_type_error():
    with pytest.raises(TypeError):
        ndpool.max_pool2d(np.zeros((1, 1, 4, 4), ml_dtypes.float8_e4m3fn), 2)


@INTEGERS
@given(data=st.data())
def test_integer_averages_in_float64_are_correctly_rounded(dtype, data):
    small = dtype.itemsize <= 4
    x = data.draw(some.arrays((1, 1, 7, 6), dtype, special=small))
    geometry = ref.windows(x.shape, (2, 3), (3, 2), 1, 1)
    want = ref.pool(x, geometry, (2, 3), "avg").values.astype(np.float64)
    got = ndpool.avg_pool2d(x, (3, 2), 1, 1, count_include_pad=False)
    np.testing.assert_array_equal(got, want, strict=True)


@INTEGERS
@given(data=st.data())
def test_integer_averages_in_integers_round_half_to_even(dtype, data):
    x = data.draw(some.arrays((1, 1, 7, 6), dtype, special=True))
    padding = data.draw(st.sampled_from([0, 1]))
    geometry = ref.windows(x.shape, (2, 3), (3, 2), 1, padding)
    exact = ref.pool(x, geometry, (2, 3), "avg", include_pad=True).values
    got = ndpool.avg_pool2d(x, (3, 2), 1, padding, dtype=dtype)
    assert got.dtype == dtype
    assert got.tolist() == np.vectorize(round, otypes=[object])(exact).tolist()


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_negative_halves_go_to_even(dtype):
    x = np.array([[[-1, 0, -3, -2, -5, -4, 1, 2, 3, 4]]], dtype)
    np.testing.assert_array_equal(ndpool.avg_pool1d(x, 2, dtype=dtype), np.array([[[0, -2, -4, 2, 4]]], dtype))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_averages_near_the_limit_do_not_wrap(dtype):
    x = np.full((1, 1, 4), 3 * 2**62 if dtype == "uint64" else 3 * 2**61, dtype)
    limits = np.iinfo(dtype)
    assert ndpool.avg_pool1d(x, 4)[0, 0, 0] == float(x[0, 0, 0])
    assert ndpool.avg_pool1d(x, 4, dtype=dtype)[0, 0, 0] == x[0, 0, 0]
    for value in (limits.min, limits.max):
        extreme = np.full((1, 1, 5), value, dtype)
        np.testing.assert_array_equal(ndpool.avg_pool1d(extreme, 5, dtype=dtype), extreme[..., :1])


def test_averages_of_opposite_extremes_are_exact():
    limits = np.iinfo(np.int64)
    x = np.array([[[limits.max, limits.min, limits.max, limits.min, 0, 3]]])
    want = round(Fraction(limits.max * 2 + limits.min * 2 + 3, 6))
    assert ndpool.avg_pool1d(x, 6, dtype=np.int64)[0, 0, 0] == want


def test_an_average_may_be_wider_than_its_input():
    x = np.full((1, 1, 1, 4), 200, np.uint8)
    got = ndpool.avg_pool2d(x, (1, 4), divisor_override=2, dtype=np.int16)
    np.testing.assert_array_equal(got, np.array([[[[400]]]], np.int16), strict=True)


@pytest.mark.parametrize("divisor", [3, 7])
@given(data=st.data())
def test_integer_averages_with_a_divisor_override(divisor, data):
    x = data.draw(some.arrays((1, 1, 6, 6), np.int16))
    exact = ref.pool(x, ref.windows(x.shape, (2, 3), 3), (2, 3), "avg", divisor=divisor).values
    got = ndpool.avg_pool2d(x, 3, divisor_override=divisor, dtype=np.int64)
    assert got.tolist() == np.vectorize(round, otypes=[object])(exact).tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool", "int32"])
def test_sums_follow_numpy_and_do_not_wrap_in_the_input_dtype(dtype):
    x = np.ones((1, 300), dtype) if dtype == "bool" else np.full((1, 300), np.iinfo(dtype).max, dtype)
    got = ndpool.pool(x, (300,), "sum")
    np.testing.assert_array_equal(got, x.sum(-1, keepdims=True), strict=True)


def test_dtype_chooses_the_accumulator():
    x = np.full((1, 1, 3), 0.1, np.float32)
    got = ndpool.avg_pool1d(x, 3, dtype=np.float64)
    assert got.dtype == np.float64
    assert got[0, 0, 0] == pytest.approx(float(np.float32(0.1)), rel=1e-15)
    assert ndpool.avg_pool1d(np.array([[[1, 2]]]), 2, dtype=np.float32).dtype == np.float32
    assert ndpool.pool(np.ones((4,), np.uint8), 4, "sum", dtype=np.float32).dtype == np.float32
    assert ndpool.pool(np.ones((4,), np.uint8), 4, "sum", dtype=np.int32)[0] == 4


@pytest.mark.parametrize("dtype", [complex, object, "U1", "no such dtype"])
def test_a_dtype_that_is_none_of_ours_is_a_type_error(dtype):
    with pytest.raises(TypeError):
        ndpool.avg_pool2d(np.ones((1, 1, 4, 4)), 2, dtype=dtype)


def test_the_half_precision_mean_of_many_ones_is_one():
    for dtype in (np.float16, some.BFLOAT16):
        x = np.ones((1, 1, 70_000), dtype)
        assert ndpool.avg_pool1d(x, 70_000)[0, 0, 0] == 1
        assert ndpool.global_avg_pool(x)[0, 0] == 1
        assert ndpool.adaptive_avg_pool1d(x, 1)[0, 0, 0] == 1


def test_the_mean_of_thirty_million_tenths_is_a_tenth():
    x = np.full((1, 1, 2**25), 0.1, np.float32)
    tenth = np.float32(0.1)
    for got in (ndpool.global_avg_pool(x)[0, 0], ndpool.avg_pool1d(x, 2**25)[0, 0, 0]):
        assert abs(got - tenth) <= np.spacing(tenth)


@pytest.mark.parametrize("dtype", ["float16", some.BFLOAT16], ids=some.dtype_name)
def test_half_precision_sums_are_rounded_once(dtype):
    """Accumulated in float32 or wider: a window of one large and many small values would stick in half precision."""
    x = np.array([[[256.0] + [0.25] * 31]], dtype)
    want = np.array((256 + 31 * 0.25) / 32).astype(dtype)
    assert ndpool.avg_pool1d(x, 32)[0, 0, 0] == want


@pytest.mark.parametrize("mode", ["max", "min"])
def test_integer_extremes_keep_all_their_digits(mode):
    x = np.array([[[2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]]])
    got = function(f"{mode}_pool", 1)(x, 2, 1)
    want = np.minimum if mode == "min" else np.maximum
    np.testing.assert_array_equal(got, want(x[..., 1:], x[..., :-1]), strict=True)


@pytest.mark.parametrize("value", [[[1, 2], [3, 4]], [[1.5, 2.5], [3.5, 4.5]], [[True, False], [False, True]]])
def test_lists_have_the_dtype_that_numpy_gives_them(value):
    got = ndpool.pool(value, 2)
    want = np.asarray(value).max(keepdims=True)
    np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_an_integer_average_of_no_cells_is_the_fill_value(dtype):
    x = np.array([1, 2], dtype)
    y = ndpool.pool(x, 1, "avg", padding=1, fill_value=9, dtype=dtype)
    np.testing.assert_array_equal(y, np.array([9, 1, 2, 9], dtype))


def test_sums_of_integers_as_floats_do_not_wrap():
    assert ndpool.pool(np.array([2**63], np.uint64), 1, "sum", dtype=np.float64) == 2.0**63
    assert ndpool.pool(np.full(4, 2**62), 4, "sum", dtype=np.float64) == 2.0**64


def test_a_half_precision_tie_goes_to_even():
    x = np.full(198, 1.673828125, np.float16)
    x[0] = 1.7705078125
    exact = x.astype(np.float64).sum() / 198
    assert ndpool.pool(x, 198, "avg") == np.float16(exact)


def test_a_divisor_may_be_negative_and_no_larger_than_floats_count():
    x = np.array([[[5, 6, 7, 8]]])
    np.testing.assert_array_equal(ndpool.avg_pool1d(x, 2, divisor_override=-2), [[[-5.5, -7.5]]])
    np.testing.assert_array_equal(ndpool.avg_pool1d(x, 2, divisor_override=-2, dtype=np.int64), [[[-6, -8]]])
    with pytest.raises(ValueError, match=f"divisor_override: {2**53 + 1} "):
        ndpool.avg_pool1d(x, 2, divisor_override=2**53 + 1)


def test_every_nan_that_a_sum_makes_is_the_same():
    x = np.tile(np.array([0x7E00, 0xFE00], np.uint16), 8).view(np.float16)
    for mode in ("sum", "avg"):
        assert set(ndpool.pool(x, 2, mode).view(np.uint16)) == {0x7E00}
    assert set(ndpool.pool(np.array([np.inf, -np.inf] * 4), 2, "sum").view(np.uint64)) == {0x7FF8_0000_0000_0000}
