"""Shapes: ``output_shape`` and the functions against the reference, hand-written cases, and sizes that do not fit.

The calls named by a CVE or an issue number crashed, hung or corrupted other libraries; here each one ends in the
documented result or in an ordinary exception, and at once.
"""

import time

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import agrees, function
from hypothesis import given
from hypothesis import strategies as st

NAMES = pytest.mark.parametrize("name", ["max_pool", "min_pool", "avg_pool"])
HUGE = [2**31 - 1, 2**31, 2**32 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 10**20, 10**400]


def check_equal(got, want):
    """Compare plain tuples of plain ints."""
    assert got == want
    assert type(got) is tuple
    assert all(type(length) is int for length in got)


@given(data=st.data())
def test_output_shape_is_that_of_the_reference(data):
    shape, axes = data.draw(some.shapes_and_axes())
    arguments = data.draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    window = arguments.pop("kernel_size")
    positive = [axis % len(shape) for axis in axes]
    agrees(
        lambda: ndpool.output_shape(shape, window, axis=axes, **arguments),
        lambda: ref.output_shape(ref.windows(shape, positive, window, **arguments)),
        check_equal,
    )


@given(data=st.data())
def test_output_shape_is_the_shape_of_the_result(data):
    shape, axes = data.draw(some.shapes_and_axes())
    arguments = data.draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    window = arguments.pop("kernel_size")
    agrees(
        lambda: ndpool.pool(np.zeros(shape), window, axis=axes, fill_value=0, **arguments).shape,
        lambda: ndpool.output_shape(shape, window, axis=axes, **arguments),
        check_equal,
    )


@pytest.mark.parametrize(
    ("shape", "window", "arguments", "want"),
    [
        ((32, 64, 112, 112), (3, 3), {"stride": 2, "padding": 1}, (32, 64, 56, 56)),
        ((32, 64, 112, 112), (2, 2), {}, (32, 64, 56, 56)),
        ((1, 1, 5), (3,), {"stride": 3, "padding": 1, "ceil_mode": True}, (1, 1, 2)),
        ((7,), 2, {"ceil_mode": True}, (4,)),
        ((7, 7), 2, {}, (3, 3)),
        ((7, 8), (3,), {"axis": 0}, (3 - 1, 8)),
        ((7, 8), (3, 2), {"axis": (1, 0), "stride": 1}, (6, 6)),
        ((2, 10), (3,), {"padding": "same", "stride": 4}, (2, 3)),
        ((2, 10), (3,), {"padding": "same_lower", "stride": 4}, (2, 3)),
        ((2, 10), (3,), {"padding": [(5, 0)], "stride": 1}, (2, 13)),
        ((5,), 7, {"ceil_mode": True, "stride": 3}, (1,)),
        ((10,), 1, {"dilation": 2**31 - 1, "ceil_mode": True}, (10,)),
        ((0, 4, 4), (2, 2), {}, (0, 2, 2)),
        ([6, 6], [2, 3], {"stride": [1, 2]}, (5, 2)),
    ],
)
def test_output_shape_by_hand(shape, window, arguments, want):
    check_equal(ndpool.output_shape(shape, window, **arguments), want)


@pytest.mark.parametrize(("length", "kernel", "stride"), [(5, 6, 1), (5, 6, 2), (5, 7, 3), (1, 2, 5)])
def test_a_window_larger_than_the_axis_is_refused_whatever_the_stride(length, kernel, stride):
    """Division that truncates towards zero would find one window here."""
    with pytest.raises(ValueError):
        ndpool.output_shape((length,), kernel, stride=stride)
    with pytest.raises(ValueError):
        ndpool.max_pool1d(np.zeros((1, 1, length)), kernel, stride)


@NAMES
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_without_a_batch_the_result_has_none(name, rank, layout):
    batched = (2, 3, *[6] * rank) if layout == "channels_first" else (2, *[6] * rank, 3)
    x = np.random.default_rng(0).standard_normal(batched)
    pool = function(name, rank)
    np.testing.assert_array_equal(pool(x[0], 2, layout=layout), pool(x, 2, layout=layout)[0])


@NAMES
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 0, 8, 8), (0, 0, 8, 8), (0, 8, 8)])
def test_an_empty_batch_gives_an_empty_result(name, shape):
    assert function(name, 2)(np.zeros(shape, np.float32), 2).shape == (*shape[:-2], 4, 4)
    assert ndpool.adaptive_avg_pool2d(np.zeros(shape), 3).shape == (*shape[:-2], 3, 3)


@pytest.mark.parametrize("shape", [(1, 1, 0, 8), (1, 1, 8, 0), (1, 1, 0, 0), (0, 0, 0)])
def test_a_spatial_axis_of_length_zero_is_refused(shape):
    x = np.zeros(shape)
    for call in (
        lambda: ndpool.max_pool2d(x, 1),
        lambda: ndpool.avg_pool2d(x, 2, padding=3),
        lambda: ndpool.adaptive_avg_pool2d(x, 1),
        lambda: ndpool.adaptive_max_pool2d(x, 1),
        lambda: ndpool.pool(x, (1, 1)),
        lambda: ndpool.output_shape(shape, (1, 1)),
    ):
        with pytest.raises(ValueError):
            call()


def test_none_in_an_adaptive_size_keeps_the_axis():
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 9))
    np.testing.assert_array_equal(ndpool.adaptive_avg_pool2d(x, (None, 3)), ndpool.adaptive_avg_pool2d(x, (6, 3)))


@NAMES
@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("argument", ["kernel_size", "stride", "padding", "dilation"])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_huge_numbers_end_at_once(argument, ceil_mode, value, name):
    """CVE-2022-35941, pytorch#94696: the answer where there is one, otherwise ValueError or MemoryError."""
    x = np.arange(16.0).reshape(1, 1, 16)
    arguments = {"kernel_size": 2, "ceil_mode": ceil_mode, argument: value}
    one_window_holds_all = (argument == "stride" and value < 2**63) or (
        argument == "kernel_size" and ceil_mode and value <= 2**62
    )
    started = time.perf_counter()
    if one_window_holds_all:
        assert function(name, 1)(x, **arguments).shape == (1, 1, 1)
    else:
        with pytest.raises((ValueError, MemoryError)):
            function(name, 1)(x, **arguments)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 8608480567731124087, "padding": 1250999896764, "dilation": 1250999896764, "ceil_mode": True},
        {"kernel_size": 2**62, "padding": 2**62},
        {"kernel_size": 3, "dilation": 2**62},
        {"kernel_size": 2**32 + 1, "dilation": 2**32 + 1},
        {"kernel_size": 2, "padding": 2**63 - 2},
        {"kernel_size": 2**63 - 1, "padding": 2**63 - 1, "stride": 2**63 - 1, "ceil_mode": True},
        {"kernel_size": 1, "padding": [(2**63 - 1, 2**63 - 1)]},
    ],
)
def test_sizes_that_overflow_only_together_are_refused(arguments):
    """pytorch#94696, #142454: products and sums wrapped around to something plausible."""
    x = np.zeros((1, 1, 8))
    for name in ("max_pool", "avg_pool"):
        with pytest.raises((ValueError, MemoryError)):
            function(name, 1)(x, **arguments)


def test_a_huge_dilation_of_a_single_tap_changes_nothing():
    """pytorch#189664."""
    x = np.random.default_rng(0).standard_normal((1, 1, 5, 5))
    got = ndpool.max_pool2d(x, 1, dilation=2147483647, ceil_mode=True)
    np.testing.assert_array_equal(got, x)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("size", [9132760301568586890, 1879048192, 125091515651, 2**63 - 1, 2**64, 10**30])
def test_huge_adaptive_sizes_are_refused(rank, size):
    """pytorch#42582, #50960, #73183, #91553."""
    x = np.zeros((1, 64, *[2] * rank))
    for mode in ("avg", "max"):
        with pytest.raises((ValueError, MemoryError)):
            function(f"adaptive_{mode}_pool", rank)(x, (size,) * rank)


GIANT = np.broadcast_to(np.uint8(7), (1, 1, 2**31, 2**31))
GIANT_FLOATS = np.broadcast_to(np.float32(7), (1, 1, 2**30, 2**30))


def test_a_giant_that_takes_no_memory_is_read_where_the_result_is_small():
    got, index = ndpool.max_pool2d(GIANT, 3, 2**30, return_indices=True)
    np.testing.assert_array_equal(got, np.full((1, 1, 2, 2), 7, np.uint8))
    np.testing.assert_array_equal(index[0, 0], [[0, 2**30], [2**61, 2**61 + 2**30]])


@pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
def test_places_beyond_two_to_the_32_are_not_cut(dtype):
    width = 2**31 if dtype.itemsize <= 4 else 2**29
    column = (np.arange(9) == 8).astype(dtype).reshape(1, 1, 9, 1)
    x = np.broadcast_to(column, (1, 1, 9, width))
    _, index = ndpool.max_pool2d(x, (9, 1), (9, width // 2), return_indices=True)
    np.testing.assert_array_equal(index, [[[[8 * width, 8 * width + width // 2]]]])
    _, index = ndpool.max_pool2d(x, 1, (4, width // 2), return_indices=True)
    np.testing.assert_array_equal(index[0, 0, :, 1], np.array([0, 4, 8]) * width + width // 2)


@pytest.mark.parametrize("call", [ndpool.max_pool2d, ndpool.avg_pool2d])
def test_a_giant_with_a_giant_result_is_refused_at_once(call):
    started = time.perf_counter()
    with pytest.raises((ValueError, MemoryError)):
        call(GIANT, 3, 1)
    with pytest.raises((ValueError, MemoryError)):
        ndpool.vjp(call, GIANT_FLOATS, 3, 1)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("call", [ndpool.max_pool2d, ndpool.avg_pool2d])
def test_a_giant_gradient_of_a_small_result_is_refused(call):
    y, pullback = ndpool.vjp(call, GIANT_FLOATS, 3, 2**29)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 7, np.float32))
    with pytest.raises((ValueError, MemoryError)):
        pullback(y)


def test_as_many_axes_as_numpy_has():
    x = np.zeros((1,) * 62 + (4, 4), np.float32)
    try:
        shape = ndpool.pool(x, (2, 2)).shape
    except ValueError:
        return
    assert shape == (1,) * 62 + (2, 2)


def test_an_empty_array_with_negative_strides():
    x = np.zeros((0, 3, 8, 8))[::-1, :, ::-1, ::-1]
    assert ndpool.max_pool2d(x, 2).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("kernel", [2**24, 2**40])
def test_a_window_far_from_the_array_is_judged_at_once(kernel):
    # Every window starts in the padding, and whether its dilation steps over the two cells takes no walk to tell.
    arguments = {"stride": 1, "padding": [((kernel - 1) * 2, kernel)], "dilation": 2}
    if kernel > 2**30:
        with pytest.raises((ValueError, MemoryError)):
            ndpool.max_pool1d(np.zeros((1, 1, 2), np.uint8), kernel, **arguments)
    else:
        y = ndpool.max_pool1d(np.ones((1, 1, 2), np.uint8), kernel, **arguments)
        assert y.shape == ndpool.output_shape((1, 1, 2), kernel, axis=2, **arguments)
        assert y.all()


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_bins_may_be_many_more_than_cells(mode):
    x = np.array([[[1.0, 3.0]]])
    y, pullback = ndpool.vjp(function(f"adaptive_{mode}_pool", 1), x, 10**6)
    assert y[0, 0, 0] == 1
    assert y[0, 0, -1] == 3
    np.testing.assert_array_equal(pullback(np.ones_like(y)), [[[5e5, 5e5]]])
    np.testing.assert_array_equal(pullback.jvp(x), y)
