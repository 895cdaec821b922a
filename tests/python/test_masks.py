"""``where``, ``weights``, ``nan_policy``, ``min_count`` and ``fill_value`` in every mode."""

import math

import ndpool
import numpy as np
import pytest
import reference_modes as modes
import strategies as some
import strategies_modes as drawn
from checks import agrees, assert_selected
from checks_modes import assert_near, assert_pooled
from hypothesis import given
from hypothesis import strategies as st

EVERY_MODE = pytest.mark.parametrize("name", drawn.NAMES)
WEIGHTED = pytest.mark.parametrize("name", [name for name in drawn.NAMES if modes.MODES[name].weights])
UNWEIGHTED = pytest.mark.parametrize("name", [name for name in drawn.NAMES if not modes.MODES[name].weights])
SHAPE = (2, 6, 8)
X = np.random.default_rng(0).uniform(0.25, 4, SHAPE)
OUT_OF_INTEGERS = [name for name in drawn.NAMES if modes.MODES[name].result(np.int16, {}).kind in "iub"]
OUT_OF_FLOATS = [name for name in drawn.NAMES if modes.MODES[name].result(np.float32, {}).kind not in "iub"]


def pooled(name, x=X, window=2, **arguments):
    """Pool with the first setting of a mode."""
    return ndpool.pool(x, window, name, **{**drawn.settings_of(name, np.shape(x)), **arguments})


def refused(name, kind, argument, **arguments):
    """Assert that a call is refused with a message that names the argument, and that ``out`` stays what it was."""
    x = arguments.pop("x", X)
    out = np.full_like(pooled(name, np.ones_like(x)), 1)
    with pytest.raises(kind, match=argument) as caught:
        pooled(name, x, out=out, **arguments)
    assert caught.type is kind
    assert (out == 1).all()


@EVERY_MODE
@given(data=st.data())
def test_masked_windows_are_those_of_the_reference(name, data):
    call = data.draw(drawn.calls(name, masked=True))
    agrees(call.run, call.expect, assert_pooled)


@EVERY_MODE
def test_nothing_of_x_or_the_masks_is_written(name):
    x, where = X.copy(), X > 1
    x[0, 0, 0] = np.nan
    weights = {"weights": np.ones(SHAPE)} if modes.MODES[name].weights else {}
    arrays = [x, where, *weights.values()]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    pooled(name, x, (3, 3), stride=1, where=where, nan_policy="omit", fill_value=1, **weights)
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


# ---------------------------------------------------------------------------------------------------------------------
# where
# ---------------------------------------------------------------------------------------------------------------------


@EVERY_MODE
def test_a_mask_that_admits_everything_changes_no_bit(name):
    for where in (True, np.True_, np.ones(SHAPE, bool), np.ones(8, bool), np.ones((6, 1), bool), [[[True]]]):
        assert_selected(pooled(name, where=where), pooled(name))


@EVERY_MODE
def test_what_a_mask_hides_does_not_matter(name):
    where = np.random.default_rng(1).random(SHAPE) < 0.7
    where[:, 1::2, 1::2] = True  # also the centre
    hidden = X.copy()
    hidden[~where] = np.nan
    want = pooled(name, where=where)
    for policy in ("propagate", "omit", "raise"):
        assert_selected(pooled(name, hidden, where=where, nan_policy=policy), want)
    hidden[~where] = -1e300
    assert_selected(pooled(name, hidden, where=where), want)


@EVERY_MODE
@pytest.mark.parametrize("memory", sorted({*some.MEMORY} - {"byte_swapped", "misaligned"}))
def test_a_mask_of_any_memory_layout(name, memory):
    where = np.random.default_rng(1).random(SHAPE) < 0.7
    want = pooled(name, where=where, fill_value=1)
    assert_selected(pooled(name, where=some.MEMORY[memory](where), fill_value=1), want)


@EVERY_MODE
@pytest.mark.parametrize("where", [(2, 6, 7), (3, 1, 1), (2, 2, 6, 8), (1, 2, 6, 8), (0,)])
def test_a_mask_that_does_not_broadcast_is_refused(name, where):
    refused(name, ValueError, "where", where=np.ones(where, bool))


@EVERY_MODE
@pytest.mark.parametrize("where", [1, "yes", np.ones(SHAPE), np.ones(SHAPE, np.uint8), [[[1]]]], ids=repr)
def test_a_mask_is_of_bools(name, where):
    refused(name, TypeError, "where", where=where)


def test_indices_under_a_mask_are_those_of_the_array():
    x = np.array([[5, 9, 1, 3], [7, 8, 2, 4]])
    where = np.array([[True, False, True, True], [True, False, False, False]])
    values, indices = ndpool.pool(x, 2, where=where, return_indices=True)
    assert (values.tolist(), indices.tolist()) == ([[7, 3]], [[4, 3]])
    values, indices = ndpool.pool(x, 2, "min", where=where[:1] & False, fill_value=-1, return_indices=True)
    assert (values.tolist(), indices.tolist()) == ([[-1, -1]], [[-1, -1]])


# ---------------------------------------------------------------------------------------------------------------------
# weights
# ---------------------------------------------------------------------------------------------------------------------


@WEIGHTED
def test_weights_of_one_change_nothing_but_the_dtype_of_integer_sums(name):
    np.testing.assert_allclose(pooled(name, weights=1), pooled(name), rtol=1e-14)
    integers = np.ceil(X).astype(np.int16)
    got = pooled(name, integers, weights=np.ones(8, np.uint8))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, pooled(name, integers))


def test_weights_as_calculated_by_hand():
    x, weights = np.array([1.0, 2, 3, 4, 5, 6]), np.array([0.5, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(ndpool.pool(x, 2, "sum", weights=weights), [0.5, 7, 0])
    np.testing.assert_array_equal(ndpool.pool(x, 2, "avg", weights=weights), [1, 3.5, np.nan])
    where = np.array([True, True, True, False, True, True])
    np.testing.assert_array_equal(ndpool.pool(x, 2, "avg", weights=weights, where=where), [1, 3, np.nan])


@WEIGHTED
@pytest.mark.parametrize("value", [-1.0, -1e-300, math.nan, -math.inf])
def test_negative_weights_are_refused(name, value):
    weights = np.ones(SHAPE)
    weights[1, 5, 7] = value
    refused(name, ValueError, "weights", weights=weights)
    refused(name, ValueError, "weights", weights=value)


@WEIGHTED
def test_weights_are_real_and_broadcast(name):
    refused(name, ValueError, "weights", weights=np.ones((2, 6, 7)))
    refused(name, ValueError, "weights", weights=np.ones((1, 2, 6, 8)))
    for wrong in (np.ones(SHAPE, complex), "1", np.full(SHAPE, "1"), object()):
        refused(name, TypeError, "weights", weights=wrong)
    per_row = np.arange(6)[:, None]
    want = pooled(name, weights=np.broadcast_to(per_row, SHAPE).astype(np.float64))
    assert_selected(pooled(name, weights=per_row), want)


@UNWEIGHTED
def test_other_modes_have_no_weights(name):
    refused(name, TypeError, "weights", weights=np.ones(SHAPE))


@pytest.mark.parametrize("masks", [{"where": True}, {"weights": 1}, {"nan_policy": "omit"}], ids=repr)
def test_padding_is_not_counted_where_cells_are_chosen(masks):
    refused("avg", ValueError, "count_include_pad", count_include_pad=True, **masks)


# ---------------------------------------------------------------------------------------------------------------------
# nan_policy
# ---------------------------------------------------------------------------------------------------------------------


def with_nan(dtype=np.float64, places=((0, 0, 1), (1, 3, 3))):
    """Put NaN into a few cells."""
    x = X.astype(dtype)
    for place in places:
        x[place] = np.nan
    return x


@EVERY_MODE
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_omitted_cells_are_masked_cells(name, dtype):
    x = with_nan(dtype)
    want = pooled(name, np.nan_to_num(x.astype(np.float64)).astype(dtype), where=~np.isnan(x), fill_value=1)
    # Sums may be made in another order, and rounded otherwise.
    assert_near(pooled(name, x, nan_policy="omit", fill_value=1), want)


@EVERY_MODE
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_nan_is_refused_where_it_should_be(name, dtype):
    refused(name, ValueError, "x", x=with_nan(dtype), nan_policy="raise")
    assert_selected(pooled(name, X.astype(dtype), nan_policy="raise"), pooled(name, X.astype(dtype)))
    outside = with_nan(dtype, [(1, 5, 7)])
    with pytest.raises(ValueError, match="x"):
        pooled(name, outside, (2, 5, 7), nan_policy="raise")


@pytest.mark.parametrize("infinities", [(), (-np.inf,), (np.inf,), (-np.inf, np.inf)], ids=repr)
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@pytest.mark.parametrize(("name", "larger"), [("max", np.fmax), ("min", np.fmin)])
def test_extremes_of_numbers_among_nan(name, larger, dtype, infinities):
    random = np.random.default_rng(0)
    x = random.integers(-9, 9, (3, 40, 41)).astype(dtype)
    x[random.random(x.shape) < 0.3] = np.nan
    x[:, 3:17, 5:30] = np.nan
    for place, infinity in enumerate(infinities):
        x[0, 25:, 20 * place : 20 * place + 15] = infinity
    for window, stride in [(2, 2), (3, 1), (3, 2), (5, 5), (12, 1), (40, 1)]:
        windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (window, window), (1, 2))
        want = larger.reduce(windows[:, ::stride, ::stride].reshape(*windows[:, ::stride, ::stride].shape[:3], -1), 3)
        for layout in (x, np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, 2)), 2, 0), x[:, ::-1].copy()[:, ::-1]):
            got = ndpool.pool(layout, (window, window), name, stride=stride, nan_policy="omit")
            assert got.dtype == dtype
            np.testing.assert_array_equal(got.astype(np.float64), want)
            filled = ndpool.pool(layout, (window, window), name, stride=stride, nan_policy="omit", fill_value=3)
            np.testing.assert_array_equal(filled.astype(np.float64), np.where(np.isnan(want), 3, want))


@EVERY_MODE
@pytest.mark.parametrize("policy", ["omit", "raise", "propagate"])
def test_integers_hold_no_nan(name, policy):
    x = np.ceil(X).astype(np.int16)
    assert_selected(pooled(name, x, nan_policy=policy), pooled(name, x))


@EVERY_MODE
def test_policies_are_three(name):
    refused(name, ValueError, "nan_policy", nan_policy="ignore")
    refused(name, TypeError, "nan_policy", nan_policy=None)


@pytest.mark.parametrize("name", sorted({*OUT_OF_FLOATS} - {"first", "center"}))
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_nan_stays_in_its_windows(name, dtype):
    got = pooled(name, with_nan(dtype, [(0, 0, 0), (1, 3, 3)]), (1, 2, 2))
    want = np.zeros(got.shape, bool)
    want[0, 0, 0] = want[1, 1, 1] = True
    np.testing.assert_array_equal(np.isnan(got), want)


# ---------------------------------------------------------------------------------------------------------------------
# min_count and fill_value
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OUT_OF_FLOATS)
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_nothing_valid_gives_nan_in_floats(name, dtype):
    x = np.full((2, 4), np.nan, dtype)
    got = pooled(name, x, nan_policy="omit")
    assert got.dtype == dtype
    assert np.isnan(got).all()
    assert np.isnan(pooled(name, np.ones((2, 4), dtype), where=False)).all()
    assert (pooled(name, x, nan_policy="omit", fill_value=0.5) == 0.5).all()
    assert np.isinf(pooled(name, x, nan_policy="omit", fill_value=-math.inf)).all()


@pytest.mark.parametrize("name", OUT_OF_INTEGERS)
def test_nothing_valid_needs_a_fill_value_in_integers(name):
    x = np.ceil(X).astype(np.int16)
    where = np.ones(SHAPE, bool)
    where[1, 4:6, 6:8] = False
    out = np.full_like(pooled(name, x, (1, 2, 2)), 1)
    with pytest.raises(ValueError, match="fill_value"):
        pooled(name, x, (1, 2, 2), where=where, out=out)
    assert (out == 1).all()
    got = pooled(name, x, (1, 2, 2), where=where, fill_value=0)
    assert got[1, 2, 3] == 0
    want = pooled(name, x, (1, 2, 2))
    want[1, 2, 3] = 0
    assert_selected(got, want)


@EVERY_MODE
@pytest.mark.parametrize("min_count", [1, 2, 3, 4])
def test_too_few_valid_cells_give_the_fill_value(name, min_count):
    x = np.array([[2.0, 1, 2, 1, 2, 1, 2, 1], [3, 1, 3, 1, 3, 1, 3, 1]])
    where = np.array([[1, 1, 0, 0, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1, 0, 1]], bool)  # 4, 2, 2 and 2 of each window's 4
    options = drawn.settings_of(name, x.shape)
    got = ndpool.pool(x, (2, 2), name, where=where, min_count=min_count, fill_value=1, **options)
    free = ndpool.pool(x, (2, 2), name, where=where, fill_value=1, **options)
    want = np.where([[min_count <= 4, *[min_count <= 2] * 3]], free, np.ones((), free.dtype))
    assert_selected(got, want)


@EVERY_MODE
def test_a_window_in_the_padding_is_an_error_or_filled(name):
    for dtype in ("float64", "int32"):
        x = np.ones((3, 4), dtype)
        with pytest.raises(ValueError):
            pooled(name, x, 1, padding=2)
        got = pooled(name, x, 1, padding=2, fill_value=0)
        want = np.zeros((7, 8), got.dtype)
        want[2:-2, 2:-2] = pooled(name, x, 1)
        assert_selected(got, want)


@EVERY_MODE
def test_counts_and_fill_values_are_numbers_that_fit(name):
    refused(name, ValueError, "min_count", min_count=0)
    refused(name, ValueError, "min_count", min_count=-1)
    refused(name, TypeError, "min_count", min_count=1.0)
    for wrong in ("1", [1], 1j, np.ones(2)):
        refused(name, TypeError, "fill_value", fill_value=wrong, where=False)
    if name in OUT_OF_INTEGERS:
        x = np.ceil(X).astype(np.int16)
        refused(name, ValueError, "fill_value", x=x, fill_value=0.5, where=False)
        refused(name, ValueError, "fill_value", x=x, fill_value=math.nan, where=False)


def test_a_centre_that_is_not_valid_gives_the_fill_value():
    x = np.array([1.0, 2, np.nan, 4, 5, 6])
    assert ndpool.pool(x, 3, "center").tolist() == [2, 5]
    np.testing.assert_array_equal(ndpool.pool(x, 3, "center", where=x != 2), [np.nan, 5])
    assert ndpool.pool(x, 3, "center", stride=1, nan_policy="omit", fill_value=-1).tolist() == [2, -1, 4, 5]
    with pytest.raises(ValueError, match="fill_value"):
        ndpool.pool(np.arange(3), 3, "center", where=np.array([True, False, True]))


@pytest.mark.parametrize("kwargs", [{}, {"padding": 1}, {"padding": (1, 2), "dilation": 2}, {"ceil_mode": True}])
def test_the_centre_is_that_of_the_span_inside_the_array(kwargs):
    x = np.arange(5 * 7).reshape(5, 7)
    call = drawn.Call("center", x, (0, 1), (3, 2), {"stride": (1, 2), **kwargs})
    assert_pooled(call.run(), call.expect())


def test_masks_of_a_list_of_modes_hold_for_each():
    x, where = with_nan(), np.random.default_rng(2).random(SHAPE) < 0.6
    names = ["max", "median", "avg", "count"]
    masks = {"where": where, "nan_policy": "omit", "min_count": 2, "fill_value": 0}
    for name, got in zip(names, ndpool.pool(x, 2, names, **masks), strict=True):
        assert_selected(got, ndpool.pool(x, 2, name, **masks))
