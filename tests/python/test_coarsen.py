"""``coarsen``: blocks of equal size, and what happens to the cells that fill none."""

import math

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

BOUNDARIES = ["exact", "trim", "pad", "partial"]
SIDES = ["left", "right"]
EVERY_MODE = pytest.mark.parametrize("name", drawn.NAMES)


def block_windows(length, factor, boundary, side):
    """Blocks of one axis as windows; ``side`` is where the whole blocks begin."""
    rest = length % factor
    if boundary == "exact" and rest:
        raise ValueError("the axis is no multiple of the factor")
    count = length // factor if boundary == "trim" else -(-length // factor)
    if count == 0:
        raise ValueError("no block is whole")
    first = 0
    if side == "right":
        first = rest if boundary == "trim" else length - count * factor
    blocks = [range(first + out * factor, first + (out + 1) * factor) for out in range(count)]
    cells = [tuple(cell for cell in block if 0 <= cell < length) for block in blocks]
    return [ref.Window(inside, factor if boundary == "pad" else len(inside)) for inside in cells]


def blocks(shape, axes, factor, boundary, side):
    """Blocks of every axis of ``shape``."""
    geometry = ref.untouched(shape)
    for axis, size in zip(axes, ref.per_axis(factor, len(axes)), strict=True):
        geometry[axis] = block_windows(shape[axis], size, boundary, side)
    return geometry


@pytest.mark.parametrize(
    ("arguments", "drawing"),
    [
        ((6, 3, "exact", "left"), [(0, 1, 2), (3, 4, 5)]),
        ((7, 3, "trim", "left"), [(0, 1, 2), (3, 4, 5)]),
        ((7, 3, "trim", "right"), [(1, 2, 3), (4, 5, 6)]),
        ((7, 3, "pad", "left"), [(0, 1, 2), (3, 4, 5), (6,)]),
        ((7, 3, "partial", "right"), [(0,), (1, 2, 3), (4, 5, 6)]),
        ((2, 3, "partial", "right"), [(0, 1)]),
    ],
)
def test_blocks_as_drawn(arguments, drawing):
    assert [window.cells for window in block_windows(*arguments)] == drawing
    length, factor, boundary, side = arguments
    got = ndpool.coarsen(np.arange(length), factor, "first", boundary=boundary, side=side)
    assert got.tolist() == [cells[0] for cells in drawing]
    got = ndpool.coarsen(np.arange(length), factor, "count", boundary=boundary, side=side)
    assert got.tolist() == [len(cells) for cells in drawing]


@EVERY_MODE
@given(data=st.data())
def test_blocks_are_those_of_the_reference(name, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    shape, axes = data.draw(some.shapes_and_axes())
    x = data.draw(some.memory_layouts())(data.draw(drawn.values(modes.MODES[name].domain, shape, dtype)))
    factor = data.draw(st.tuples(*[st.integers(1, 5)] * len(axes)) | st.integers(1, 4))
    boundary, side = data.draw(st.sampled_from(BOUNDARIES)), data.draw(st.sampled_from(SIDES))
    masks, options = data.draw(drawn.masks_of(name, shape, dtype)), data.draw(drawn.options_of(name, shape))
    if name == "avg" and boundary == "pad" and data.draw(st.booleans()):
        masks = {"include_pad": True}
    positive = tuple(axis % x.ndim for axis in axes)
    arguments = drawn.Call(name, x, axes, factor, {}, masks, options).arguments()
    agrees(
        lambda: ndpool.coarsen(x, factor, name, boundary=boundary, side=side, **arguments),
        lambda: modes.pool(x, blocks(shape, positive, factor, boundary, side), positive, name, **masks, **options),
        assert_pooled,
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["max", "min"])
def test_indices_are_those_of_the_array(name, side, boundary):
    x = np.random.default_rng(0).permutation(6 * 9).reshape(6, 9)
    shape = (6, 9) if boundary == "exact" else (5, 7)
    x = x[: shape[0], : shape[1]]
    values, indices = ndpool.coarsen(x, 3, name, boundary=boundary, side=side, return_indices=True)
    want = modes.pool(x, blocks(shape, (0, 1), 3, boundary, side), (0, 1), name)
    assert_selected(indices, want.indices)
    assert_selected(values, x.ravel()[indices])


def test_the_defaults():
    x = np.random.default_rng(0).standard_normal((2, 5, 7))
    want = ndpool.coarsen(x, (2, 3), "avg", axis=(1, 2), boundary="partial", side="left", count_include_pad=False)
    assert_selected(ndpool.coarsen(x, (2, 3)), want)
    assert ndpool.coarsen(x, 2).shape == (1, 3, 4)
    assert_selected(ndpool.coarsen(x, (2, 3), "max"), ndpool.pool(x, (2, 3), "max", padding=[(0, 1), (0, 2)]))


def test_padding_is_counted_only_where_it_is_wanted():
    x = np.array([2.0, 4, 6, 8, 9])
    assert ndpool.coarsen(x, 2, boundary="pad").tolist() == [3, 7, 9]
    assert ndpool.coarsen(x, 2, boundary="pad", count_include_pad=True).tolist() == [3, 7, 4.5]
    assert ndpool.coarsen(x, 2, boundary="pad", side="right", count_include_pad=True).tolist() == [1, 5, 8.5]


def test_lists_out_and_masks_pass_through():
    x, where = np.random.default_rng(0).standard_normal((5, 7)), np.random.default_rng(1).random((5, 7)) < 0.8
    got = ndpool.coarsen(x, 2, ["max", "std"], where=where, fill_value=0, ddof=1)
    want = tuple(
        ndpool.coarsen(x, 2, name, where=where, fill_value=0, **o) for name, o in [("max", {}), ("std", {"ddof": 1})]
    )
    assert_same_bits(got, want)
    out = np.zeros((3, 4))
    assert ndpool.coarsen(x, 2, "median", out=out) is out
    assert_selected(out, ndpool.coarsen(x, 2, "median"))
    with pytest.raises(ValueError):
        ndpool.coarsen(x, 2, "median", out=np.zeros((2, 3)))


@EVERY_MODE
@pytest.mark.parametrize("axis", [0, 1])
def test_an_axis_that_is_no_multiple_is_refused_where_it_must_be_exact(name, axis):
    x = np.ones((5, 6) if axis == 0 else (6, 5))
    options = drawn.settings_of(name, x.shape)
    with pytest.raises(ValueError, match="5"):
        ndpool.coarsen(x, (3, 3), name, boundary="exact", **options)
    assert ndpool.coarsen(x, (3, 5) if axis else (5, 3), name, boundary="exact", **options).size == 2


@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "ceil_mode"])
def test_blocks_have_no_other_geometry(name):
    with pytest.raises(TypeError, match=name):
        ndpool.coarsen(np.ones((4, 4)), 2, **{name: 1})


@pytest.mark.parametrize(
    ("arguments", "kind", "name"),
    [
        ({"boundary": "wrap"}, ValueError, "boundary"),
        ({"boundary": None}, TypeError, "boundary"),
        ({"side": "top"}, ValueError, "side"),
        ({"side": 0}, TypeError, "side"),
        ({"factor": 0}, ValueError, "factor"),
        ({"factor": -2}, ValueError, "factor"),
        ({"factor": 2.0}, TypeError, "factor"),
        ({"factor": (2, 2, 2)}, ValueError, "factor"),
        ({"factor": 2**63}, ValueError, "factor"),
        ({"axis": 2, "factor": 2}, ValueError, "axis"),
        ({"ddof": 1}, TypeError, "ddof"),
    ],
)
def test_bad_arguments_are_refused(arguments, kind, name):
    with pytest.raises(kind, match=name):
        ndpool.coarsen(np.ones((4, 4)), **{"factor": 2, **arguments})


@pytest.mark.parametrize("name", ["max", "min", "sum", "avg", "median", "var", "prod", "all"])
def test_blocks_agree_with_scikit_image(name):
    block_reduce = pytest.importorskip(
        "skimage.measure", reason="scikit-image is an optional second opinion"
    ).block_reduce
    x = np.random.default_rng(3).standard_normal((6, 8, 9)) * (name != "all")
    function = np.mean if name == "avg" else getattr(np, name)
    want = block_reduce(x, (2, 4, 3), function)
    np.testing.assert_allclose(ndpool.coarsen(x, (2, 4, 3), name, boundary="exact"), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("boundary", "theirs"), [("exact", "exact"), ("trim", "trim"), ("pad", "pad")])
@pytest.mark.parametrize("name", ["max", "min", "sum", "avg", "median", "std", "count"])
def test_blocks_agree_with_xarray(name, boundary, theirs, side):
    xarray = pytest.importorskip("xarray", reason="xarray is an optional second opinion")
    x = np.random.default_rng(3).standard_normal((6, 8) if boundary == "exact" else (7, 9))
    array = xarray.DataArray(x, dims=["a", "b"])
    coarse = array.coarsen(a=3, b=2, boundary=theirs, side=side)
    want = getattr(coarse, "mean" if name == "avg" else name)().values
    np.testing.assert_allclose(ndpool.coarsen(x, (3, 2), name, boundary=boundary, side=side), want, rtol=1e-12)


def test_a_fill_value_stands_for_a_block_without_valid_cells():
    x = np.arange(10.0).reshape(2, 5)
    got = ndpool.coarsen(x, (2, 2), "max", where=x < 4, fill_value=math.inf)
    assert got.tolist() == [[1, 3, math.inf]]
