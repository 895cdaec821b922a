"""Places of the winners: int64, flat within the pooled plane, first in C order, never in the padding."""

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import agrees, assert_selected, function, oracle
from hypothesis import given
from hypothesis import strategies as st

RANKS = st.integers(1, 3)
DTYPES = pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
MODES = pytest.mark.parametrize("mode", ["max", "min"])


def assert_places(got, want):
    """Values and indices of a call with ``return_indices=True``."""
    assert isinstance(got, tuple)
    values, indices = got
    assert_selected(values, want.values)
    assert_selected(indices, want.indices)


@DTYPES
@MODES
@given(data=st.data())
def test_places_are_those_of_the_reference(mode, dtype, data):
    rank, layout = data.draw(RANKS), data.draw(st.sampled_from(some.LAYOUTS))
    shape = data.draw(some.batched_shapes(rank, layout))
    extent = [shape[axis] for axis in ref.spatial_axes(len(shape), rank, layout)]
    x = data.draw(some.memory_layouts())(data.draw(some.arrays(shape, dtype, special=True)))
    arguments = data.draw(some.window_arguments(rank, extent))
    agrees(
        lambda: function(f"{mode}_pool", rank)(x, layout=layout, return_indices=True, **arguments),
        lambda: oracle(x, rank, mode, layout, arguments),
        assert_places,
    )


@DTYPES
@given(data=st.data())
def test_places_of_adaptive_maxima_are_those_of_the_reference(dtype, data):
    rank, layout = data.draw(RANKS), data.draw(st.sampled_from(some.LAYOUTS))
    x = data.draw(some.arrays(data.draw(some.batched_shapes(rank, layout)), dtype, special=True))
    size = data.draw(some.one_or_per_axis(rank, st.integers(1, 6)))
    axes = ref.spatial_axes(x.ndim, rank, layout)
    want = ref.pool(x, ref.adaptive(x.shape, axes, size), axes, "max")
    assert_places(function("adaptive_max_pool", rank)(x, size, return_indices=True, layout=layout), want)


@DTYPES
@given(data=st.data())
def test_places_over_any_axes_are_flat_over_the_pooled_ones(dtype, data):
    mode = data.draw(st.sampled_from(["max", "min"]))
    shape, axes = data.draw(some.shapes_and_axes())
    x = data.draw(some.memory_layouts())(data.draw(some.arrays(shape, dtype, special=True)))
    arguments = data.draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    window = arguments.pop("kernel_size")
    positive = tuple(axis % len(shape) for axis in axes)
    agrees(
        lambda: ndpool.pool(x, window, mode, axis=axes, return_indices=True, **arguments),
        lambda: ref.pool(x, ref.windows(shape, positive, window, **arguments), positive, mode),
        assert_places,
    )


@MODES
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_places_of_global_extremes(mode, layout):
    x = np.random.default_rng(0).integers(0, 9, (2, 3, 4, 5)).astype(np.float32)
    axes = ref.spatial_axes(4, 2, layout)
    want = ref.pool(x, ref.whole(x.shape, axes), axes, mode)
    got = ndpool.global_pool(x, mode, layout=layout, keepdims=True, return_indices=True)
    assert_places(got, want)


@pytest.mark.parametrize("rank", [1, 2, 3])
@MODES
def test_places_gather_the_values(mode, rank):
    x = np.random.default_rng(rank).standard_normal((2, 3, *[11] * rank)).astype(np.float32)
    values, indices = function(f"{mode}_pool", rank)(x, 3, 2, 1, return_indices=True)
    gathered = np.take_along_axis(x.reshape(2, 3, -1), indices.reshape(2, 3, -1), -1)
    np.testing.assert_array_equal(gathered.reshape(values.shape), values)


@DTYPES
@MODES
def test_all_equal_cells_give_the_first_valid_one(mode, dtype):
    x = np.ones((1, 1, 6, 70), dtype)
    _, indices = function(f"{mode}_pool", 2)(x, 3, 1, 1, return_indices=True)
    rows, columns = np.indices((6, 70))
    np.testing.assert_array_equal(indices[0, 0], np.maximum(rows - 1, 0) * 70 + np.maximum(columns - 1, 0))


@pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
def test_padding_never_wins(dtype):
    lowest = np.array(some.special_values(dtype), dtype)
    lowest = lowest[~np.isnan(lowest)].min() if np.dtype(dtype).kind not in "iub" else lowest.min()
    x = np.full((1, 1, 5, 5), lowest, dtype)
    values, indices = ndpool.max_pool2d(x, 3, 2, padding=((2, 1), (1, 2)), return_indices=True)
    assert_selected(values, np.full(values.shape, lowest, dtype))
    assert indices.min() >= 0
    assert indices.max() < 25


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@MODES
def test_the_first_nan_is_the_place(mode, dtype):
    x = np.array([[[np.inf, np.nan, 1, np.nan, -np.inf, 2, 3, 4]]], dtype)
    values, indices = function(f"{mode}_pool", 1)(x, 4, 2, return_indices=True)
    np.testing.assert_array_equal(indices, [[[1, 3, 4 if mode == "min" else 7]]])
    np.testing.assert_array_equal(np.isnan(values), [[[True, True, False]]])


def test_places_are_flat_in_the_order_of_the_array_however_the_axes_are_named():
    x = np.random.default_rng(0).integers(0, 5, (4, 3, 6))
    ascending = ndpool.pool(x, (2, 3), axis=(0, 2), return_indices=True)
    descending = ndpool.pool(x, (3, 2), axis=(-1, 0), return_indices=True)
    np.testing.assert_array_equal(ascending, descending)


def test_a_window_without_a_cell_has_no_place():
    values, indices = ndpool.pool(np.arange(4.0), 2, padding=3, fill_value=-7, return_indices=True)
    np.testing.assert_array_equal(values, [-7, 0, 2, 3, -7])
    np.testing.assert_array_equal(indices, [-1, 0, 2, 3, -1])


@pytest.mark.parametrize("kernel", [16, 17, 255, 256, 257, 300])
@MODES
def test_windows_with_more_cells_than_a_byte_or_two_can_name(mode, kernel):
    x = np.random.default_rng(kernel).standard_normal((1, 2, kernel + 3, kernel + 2))
    values, indices = function(f"{mode}_pool", 2)(x, kernel, 2, return_indices=True)
    for plane, row, column in np.ndindex(2, 2, 2):
        window = x[0, plane, 2 * row :, 2 * column :][:kernel, :kernel]
        place = np.unravel_index(window.argmax() if mode == "max" else window.argmin(), window.shape)
        assert indices[0, plane, row, column] == (place[0] + 2 * row) * (kernel + 2) + place[1] + 2 * column
        assert values[0, plane, row, column] == window[place]
