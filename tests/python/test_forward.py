"""Forward results of every function against the reference, over dtypes, layouts, memory orders and windows.

Small arrays, all combinations: what is drawn here is read by the nested loops of ``reference.py``. Arrays large enough
for threads, tiles and vectors are in ``test_large.py``.
"""

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import agrees, assert_selected, assert_summed, averaged_dtype, function, oracle, summed_dtype
from hypothesis import given
from hypothesis import strategies as st

RANKS = st.integers(1, 3)
DTYPES = pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)


@st.composite
def windowed(draw, rank, dtype, *, special, dilated=True):
    """``(x, layout, window arguments)`` for a function that is named as in PyTorch."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    shape = draw(some.batched_shapes(rank, layout))
    extent = [shape[axis] for axis in ref.spatial_axes(len(shape), rank, layout)]
    x = draw(some.arrays(shape, dtype, special=special))
    arranged = draw(some.memory_layouts())(x)
    return arranged, layout, draw(some.window_arguments(rank, extent, dilated=dilated))


@DTYPES
@given(data=st.data())
def test_extremes_are_those_of_the_reference_bit_for_bit(dtype, data):
    rank, mode = data.draw(RANKS), data.draw(st.sampled_from(["max", "min"]))
    x, layout, arguments = data.draw(windowed(rank, dtype, special=True))
    agrees(
        lambda: function(f"{mode}_pool", rank)(x, layout=layout, **arguments),
        lambda: oracle(x, rank, mode, layout, arguments),
        lambda got, want: assert_selected(got, want.values),
    )


@DTYPES
@given(data=st.data())
def test_averages_are_within_rounding_of_the_reference(dtype, data):
    rank = data.draw(RANKS)
    x, layout, arguments = data.draw(windowed(rank, dtype, special=False))
    include_pad = data.draw(st.booleans())
    divisor = data.draw(st.none() | st.integers(1, 9))
    agrees(
        lambda: function("avg_pool", rank)(
            x, layout=layout, count_include_pad=include_pad, divisor_override=divisor, **arguments
        ),
        lambda: oracle(x, rank, "avg", layout, arguments, include_pad=include_pad, divisor=divisor),
        lambda got, want: assert_summed(got, want, averaged_dtype(dtype)),
    )


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@given(data=st.data())
def test_nan_and_infinity_stay_inside_the_windows_that_hold_them(dtype, data):
    shape = data.draw(some.batched_shapes(2))
    x = data.draw(some.arrays(shape, dtype))
    places = np.array([0, 0, 0, 0, 0, 0, np.nan, np.inf, -np.inf], dtype)
    x = x + places[np.random.default_rng(data.draw(st.integers(0, 99))).integers(9, size=shape)]
    arguments = data.draw(some.window_arguments(2, shape[-2:]))
    agrees(
        lambda: ndpool.avg_pool2d(x, **arguments),
        lambda: oracle(x, 2, "avg", "channels_first", arguments, include_pad=True),
        lambda got, want: assert_summed(got, want, dtype),
    )


@DTYPES
@given(data=st.data())
def test_adaptive_bins_are_those_of_the_reference(dtype, data):
    rank, layout = data.draw(RANKS), data.draw(st.sampled_from(some.LAYOUTS))
    shape = data.draw(some.batched_shapes(rank, layout))
    x = data.draw(some.memory_layouts())(data.draw(some.arrays(shape, dtype)))
    size = data.draw(some.one_or_per_axis(rank, st.integers(1, 9 if rank < 3 else 6)))
    axes = ref.spatial_axes(x.ndim, rank, layout)
    geometry = ref.adaptive(x.shape, axes, size)
    largest = function("adaptive_max_pool", rank)(x, size, layout=layout)
    assert_selected(largest, ref.pool(x, geometry, axes, "max").values)
    average = function("adaptive_avg_pool", rank)(x, size, layout=layout)
    assert_summed(average, ref.pool(x, geometry, axes, "avg"), averaged_dtype(dtype))


@st.composite
def pooled_any_axes(draw, dtype, *, special):
    """``(x, axes, arguments)`` of ``ndpool.pool``; paddings may leave windows without a cell."""
    shape, axes = draw(some.shapes_and_axes())
    x = draw(some.memory_layouts())(draw(some.arrays(shape, dtype, special=special)))
    arguments = draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    window = arguments.pop("kernel_size")
    return x, axes, window, arguments


def pool_oracle(x, axes, window, mode, arguments, **options):
    """Run the reference for ``ndpool.pool``."""
    axes = tuple(axis % x.ndim for axis in axes)
    return ref.pool(x, ref.windows(x.shape, axes, window, **arguments), axes, mode, **options)


@DTYPES
@given(data=st.data())
def test_pool_takes_extremes_over_any_axes(dtype, data):
    mode = data.draw(st.sampled_from(["max", "min"]))
    x, axes, window, arguments = data.draw(pooled_any_axes(dtype, special=True))
    fill = data.draw(st.sampled_from([None, 0, 1]))
    agrees(
        lambda: ndpool.pool(x, window, mode, axis=axes, fill_value=fill, **arguments),
        lambda: pool_oracle(x, axes, window, mode, arguments, fill=fill),
        lambda got, want: assert_selected(got, want.values),
    )


@DTYPES
@given(data=st.data())
def test_pool_sums_averages_and_counts_over_any_axes(dtype, data):
    mode = data.draw(st.sampled_from(["sum", "avg", "count"]))
    x, axes, window, arguments = data.draw(pooled_any_axes(dtype, special=False))
    result = {"sum": summed_dtype, "avg": averaged_dtype, "count": lambda _: np.int64}[mode](dtype)
    options = {"include_pad": data.draw(st.booleans())} if mode == "avg" else {}
    agrees(
        lambda: ndpool.pool(
            x, window, mode, axis=axes, **arguments, **{f"count_{name}": value for name, value in options.items()}
        ),
        lambda: pool_oracle(x, axes, window, mode, arguments, **options),
        lambda got, want: assert_summed(got, want, result),
    )


@pytest.mark.parametrize("mode", ["sum", "avg"])
@given(data=st.data())
def test_a_window_without_a_cell_gives_the_fill_value(mode, data):
    x, axes, window, arguments = data.draw(pooled_any_axes(np.float64, special=False))
    agrees(
        lambda: ndpool.pool(x, window, mode, axis=axes, fill_value=-7.5, **arguments),
        lambda: pool_oracle(x, axes, window, mode, arguments, fill=-7.5),
        lambda got, want: assert_summed(got, want, np.float64),
    )


def test_pool_without_axes_takes_the_last_ones_of_a_tuple_and_all_for_an_int():
    x = np.arange(4 * 6 * 8.0).reshape(4, 6, 8)
    np.testing.assert_array_equal(ndpool.pool(x, (2, 4)), ndpool.pool(x, (2, 4), axis=(1, 2)))
    np.testing.assert_array_equal(ndpool.pool(x, 2), ndpool.pool(x, (2, 2, 2), axis=(0, 1, 2)))
    assert ndpool.pool(x, (2, 4)).shape == (4, 3, 2)
    assert ndpool.pool(x, 2).shape == (2, 3, 4)


def test_the_order_in_which_axes_are_named_does_not_change_the_values():
    x = np.random.default_rng(0).standard_normal((6, 5, 7))
    ascending = ndpool.pool(x, (2, 3), "max", axis=(0, 2), stride=(1, 2), padding=((0, 1), (1, 0)))
    descending = ndpool.pool(x, (3, 2), "max", axis=(2, 0), stride=(2, 1), padding=((1, 0), (0, 1)))
    np.testing.assert_array_equal(ascending, descending)


@DTYPES
@given(data=st.data())
def test_global_pooling_reduces_every_spatial_axis(dtype, data):
    rank, layout = data.draw(RANKS), data.draw(st.sampled_from(some.LAYOUTS))
    spatial = data.draw(some.extents(rank))
    shape = (2, 3, *spatial) if layout == "channels_first" else (2, *spatial, 3)
    axes = ref.spatial_axes(rank + 2, rank, layout)
    x = data.draw(some.memory_layouts())(data.draw(some.arrays(shape, dtype)))
    geometry = ref.whole(shape, axes)
    average, largest = ref.pool(x, geometry, axes, "avg"), ref.pool(x, geometry, axes, "max")
    assert_summed(ndpool.global_avg_pool(x, layout=layout, keepdims=True), average, averaged_dtype(dtype))
    assert_selected(ndpool.global_max_pool(x, layout=layout, keepdims=True), largest.values)
    flat = ndpool.global_max_pool(x, layout=layout)
    assert_selected(flat, largest.values.reshape(2, 3))
    assert_selected(ndpool.global_pool(x, "max", layout=layout), flat)
    assert_selected(ndpool.global_pool(x, layout=layout), ndpool.global_avg_pool(x, layout=layout))


@DTYPES
@given(data=st.data())
def test_stride_zero_inputs_are_read(dtype, data):
    mode = data.draw(st.sampled_from(["max", "avg"]))
    x = data.draw(some.arrays((2, 3, 6, 7), dtype))
    broadcast = some.broadcast_along(x, data.draw(st.integers(0, 3)))
    arguments = {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0)}
    got = function(f"{mode}_pool", 2)(broadcast, **arguments)
    want = oracle(broadcast, 2, mode, "channels_first", arguments, include_pad=True)
    if mode == "max":
        assert_selected(got, want.values)
    else:
        assert_summed(got, want, averaged_dtype(dtype))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["max_pool", "min_pool", "avg_pool"])
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_positional_arguments_stand_in_the_order_of_pytorch(name, rank, layout):
    x = np.random.default_rng(rank).standard_normal((2, *[8] * rank, 3))
    if layout == "channels_first":
        x = np.moveaxis(x, -1, 1)
    pool = function(name, rank)
    if name == "avg_pool":
        positional = pool(x, 3, 2, 1, True, False, 5, layout=layout)
        named = pool(
            x,
            kernel_size=3,
            stride=2,
            padding=1,
            ceil_mode=True,
            count_include_pad=False,
            divisor_override=5,
            layout=layout,
        )
    else:
        positional, index = pool(x, 3, 2, 1, 2, True, True, layout=layout)
        named = pool(x, kernel_size=3, stride=2, padding=1, dilation=2, ceil_mode=True, layout=layout)
        assert index.dtype == np.int64
    np.testing.assert_array_equal(positional, named)


@pytest.mark.parametrize("mode", ["max", "min", "sum", "avg"])
def test_denormals_survive(mode):
    tiny = np.full((1, 1, 8, 8), 1e-40, np.float32)
    want = tiny[0, 0, 0, 0] * np.float32(4 if mode == "sum" else 1)
    got = ndpool.pool(tiny, (2, 2), mode)
    assert want != 0
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-45)


def test_a_mean_of_large_values_that_cancel_does_not_leak_into_the_next_window():
    x = np.tile(np.array([1e8, 1, -1e8, 0.5, 0.25], np.float32), 400).reshape(1, 1, -1)
    got = ndpool.avg_pool1d(x, 2, 1)[0, 0]
    want = (x[0, 0, 1:].astype(np.float64) + x[0, 0, :-1]) / 2
    np.testing.assert_allclose(got, want, rtol=2e-7)


def test_inputs_are_never_written():
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9))
    before = x.copy()
    x.flags.writeable = False
    for name in ("max_pool", "min_pool", "avg_pool"):
        _, pullback = ndpool.vjp(function(name, 2), x, 2)
        pullback(np.ones((2, 3, 4, 4)))
    ndpool.global_avg_pool(x)
    ndpool.adaptive_max_pool2d(x, 3)
    np.testing.assert_array_equal(x, before)
