"""``adaptive_pool`` by bins and by area, and ``global_pool``, in every mode."""

from fractions import Fraction

import ndpool
import numpy as np
import pytest
import reference as ref
import reference_modes as modes
import strategies as some
import strategies_modes as drawn
from checks import agrees, assert_selected
from checks_modes import assert_pooled, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

EVERY_MODE = pytest.mark.parametrize("name", drawn.NAMES)
AREA_MODES = pytest.mark.parametrize("name", ["sum", "avg"])


@st.composite
def adaptive_calls(draw, name, dtypes=some.DTYPES):
    """``(call, output size, axes from the start)``."""
    dtype = draw(st.sampled_from(dtypes))
    shape, axes = draw(some.shapes_and_axes())
    x = draw(some.memory_layouts())(draw(drawn.values(modes.MODES[name].domain, shape, dtype)))
    size = draw(some.one_or_per_axis(len(axes), st.integers(1, 6)))
    masks, options = draw(drawn.masks_of(name, shape, dtype)), draw(drawn.options_of(name, shape))
    return drawn.Call(name, x, axes, size, {}, masks, options), tuple(axis % len(shape) for axis in axes)


@EVERY_MODE
@given(data=st.data())
def test_bins_are_those_of_the_reference(name, data):
    call, axes = data.draw(adaptive_calls(name))
    geometry = ref.adaptive(call.x.shape, axes, call.window)
    agrees(
        lambda: ndpool.adaptive_pool(call.x, call.window, name, **call.arguments()),
        lambda: modes.pool(call.x, geometry, axes, name, **call.masks, **call.options),
        assert_pooled,
    )


def area_weight(shape, axes, size):
    """Return the function that gives the overlap of a cell with a bin, exactly."""
    sizes = dict(zip(axes, ref.per_axis(size, len(axes)), strict=True))

    def overlap(out, cell):
        """Multiply the lengths of the overlaps along the pooled axes."""
        product = Fraction(1)
        for axis, count in sizes.items():
            start, stop = (Fraction(edge * shape[axis], count) for edge in (out[axis], out[axis] + 1))
            product *= min(stop, cell[axis] + 1) - max(start, cell[axis])
        return product

    return overlap


@AREA_MODES
@given(data=st.data())
def test_areas_are_those_of_the_reference(name, data):
    call, axes = data.draw(adaptive_calls(name))
    call.masks.pop("weights", None)
    geometry = ref.adaptive(call.x.shape, axes, call.window)
    overlap = area_weight(call.x.shape, axes, call.window)
    agrees(
        lambda: ndpool.adaptive_pool(call.x, call.window, name, method="area", **call.arguments()),
        lambda: modes.pool(call.x, geometry, axes, name, overlap=overlap, **call.masks),
        assert_pooled,
    )


def test_areas_as_calculated_by_hand():
    x = np.array([3, 6, 9])
    np.testing.assert_allclose(ndpool.adaptive_pool(x, 2, "sum", method="area"), [6, 12], rtol=1e-14)
    np.testing.assert_allclose(ndpool.adaptive_pool(x, 2, "avg", method="area"), [4, 8], rtol=1e-14)
    np.testing.assert_allclose(ndpool.adaptive_pool(x, 6, "sum", method="area"), [1.5, 1.5, 3, 3, 4.5, 4.5], rtol=1e-14)
    got = ndpool.adaptive_pool(x.astype(float), 2, "avg", method="area", where=np.array([True, False, True]))
    np.testing.assert_allclose(got, [3, 9], rtol=1e-14)


@AREA_MODES
def test_areas_keep_the_whole(name):
    x = np.random.default_rng(0).standard_normal((3, 7, 11))
    got = ndpool.adaptive_pool(x, (5, 4), name, method="area")
    want = x.sum((1, 2)) if name == "sum" else x.mean((1, 2))
    np.testing.assert_allclose(got.sum((1, 2)) if name == "sum" else got.mean((1, 2)), want, rtol=1e-12)
    np.testing.assert_allclose(ndpool.adaptive_pool(x, (7, 11), name, method="area"), x, rtol=1e-14)


@AREA_MODES
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [(2, 3), (5, 4), (7, 9)])
def test_gradients_of_areas(name, size, masked):
    generator = np.random.default_rng(0)
    x, kwargs = generator.standard_normal((2, 5, 6)), {"where": generator.random((5, 6)) < 0.8} if masked else {}
    overlap = area_weight(x.shape, (1, 2), size)
    y, pullback = ndpool.vjp(ndpool.adaptive_pool, x, size, name, method="area", fill_value=0, **kwargs)
    dy, direction = generator.standard_normal(y.shape), generator.standard_normal(x.shape)
    dx, tangent = np.zeros_like(x), np.zeros_like(y)
    for out, cells, _ in ref.visits(ref.adaptive(x.shape, (1, 2), size)):
        valid = [cell for cell in cells if not masked or kwargs["where"][cell[1:]]]
        total = sum(overlap(out, cell) for cell in valid) if name == "avg" else 1
        for cell in valid:
            dx[cell] += float(overlap(out, cell) / total) * dy[out]
            tangent[out] += float(overlap(out, cell) / total) * direction[cell]
    np.testing.assert_allclose(pullback(dy), dx, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pullback.jvp(direction), tangent, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", sorted({*modes.MODES} - {"sum", "avg"}))
def test_other_modes_have_no_areas(name):
    with pytest.raises((TypeError, ValueError), match="method"):
        ndpool.adaptive_pool(np.ones((4, 4)), 2, name, method="area", **drawn.settings_of(name, (4, 4)))


@pytest.mark.parametrize(
    ("arguments", "kind", "name"),
    [
        ({"method": "areas"}, ValueError, "method"),
        ({"method": 3}, TypeError, "method"),
        ({"output_size": -1}, ValueError, "output_size"),
        ({"output_size": 2.0}, TypeError, "output_size"),
        ({"output_size": (2, 2, 2)}, ValueError, "output_size"),
        ({"output_size": 2, "axis": 2}, ValueError, "axis"),
        ({"stride": 1}, TypeError, "stride"),
        ({"padding": 1}, TypeError, "padding"),
        ({"ddof": 1}, TypeError, "ddof"),
    ],
)
def test_bad_arguments_are_refused(arguments, kind, name):
    with pytest.raises(kind, match=name):
        ndpool.adaptive_pool(np.ones((4, 4)), **{"output_size": 2, **arguments})


def test_the_named_functions_are_modes_of_this_one():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8))
    assert_selected(ndpool.adaptive_pool(x, (3, 2)), ndpool.adaptive_avg_pool2d(x, (3, 2)))
    assert_selected(ndpool.adaptive_pool(x, (3, 2), "max"), ndpool.adaptive_max_pool2d(x, (3, 2)))
    got = ndpool.adaptive_pool(x, (3, 2), "max", return_indices=True)
    assert_same_bits(got, ndpool.adaptive_max_pool2d(x, (3, 2), return_indices=True))
    assert ndpool.adaptive_pool(x, 2).shape == (2, 2, 2, 2)
    assert_same_bits(
        ndpool.adaptive_pool(x, (3, 2), ["lse", "median"]),
        (ndpool.adaptive_pool(x, (3, 2), "lse"), ndpool.adaptive_pool(x, (3, 2), "median")),
    )


@EVERY_MODE
def test_out_is_written_and_returned(name):
    x = np.random.default_rng(0).uniform(0.25, 4, (5, 7))
    options = drawn.settings_of(name, x.shape)
    want = ndpool.adaptive_pool(x, 3, name, **options)
    out = np.zeros_like(want)
    assert ndpool.adaptive_pool(x, 3, name, out=out, **options) is out
    assert_selected(out, want)


# ---------------------------------------------------------------------------------------------------------------------
# Global pooling
# ---------------------------------------------------------------------------------------------------------------------


@EVERY_MODE
@pytest.mark.parametrize("layout", some.LAYOUTS)
@given(data=st.data())
def test_global_pooling_is_that_of_the_reference(name, layout, data):
    dtype, rank = data.draw(st.sampled_from(some.DTYPES)), data.draw(st.integers(1, 3))
    spatial = data.draw(some.extents(rank))
    shape = (2, 2, *spatial) if layout == "channels_first" else (2, *spatial, 2)
    x = data.draw(some.memory_layouts())(data.draw(drawn.values(modes.MODES[name].domain, shape, dtype)))
    axes = ref.spatial_axes(len(shape), rank, layout)
    masks, options = data.draw(drawn.masks_of(name, shape, dtype)), data.draw(drawn.options_of(name, shape))
    arguments = drawn.Call(name, x, (), None, {}, masks, options).arguments()
    del arguments["axis"]

    def oracle():
        return modes.pool(x, ref.whole(shape, axes), axes, name, **masks, **options)

    agrees(
        lambda: ndpool.global_pool(x, name, layout=layout, keepdims=True, **arguments),
        oracle,
        assert_pooled,
    )
    agrees(
        lambda: ndpool.global_pool(x, name, layout=layout, **arguments),
        oracle,
        lambda got, want: assert_pooled(got.reshape(want.values.shape), want),
    )


@EVERY_MODE
def test_global_pooling_drops_the_pooled_axes(name):
    x = np.random.default_rng(0).uniform(0.25, 4, (2, 3, 4, 5))
    options = drawn.settings_of(name, x.shape)
    kept = ndpool.global_pool(x, name, keepdims=True, **options)
    assert kept.shape == (2, 3, 1, 1)
    flat = ndpool.global_pool(x, name, **options)
    assert_selected(flat, kept.reshape(2, 3))
    assert_selected(kept, ndpool.pool(x, (4, 5), name, **options))
    last = ndpool.global_pool(x, name, layout="channels_last", **options)
    assert last.shape == (2, 5)
    out = np.zeros_like(flat)
    assert ndpool.global_pool(x, name, out=out, **options) is out
    assert_selected(out, flat)


def test_a_list_of_modes_is_a_tuple():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    got = ndpool.global_pool(x, ["avg", "gem", "max"], p=2)
    want = ndpool.global_pool(x), ndpool.global_pool(x, "gem", p=2), ndpool.global_pool(x, "max")
    assert_same_bits(got, want)
