"""Shapes that layers promise, against those that they give, over generated windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import BOXES, EVERY_CASE, drawn, made, values
from ndpool import nn


@EVERY_CASE
def test_the_shape_is_known_before(one):
    layer = made(one)
    named = {}
    if "boxes" in one.inputs:
        named["num_boxes"] = len(BOXES)
    if "output_size" in one.inputs:
        named["output_size"] = one.inputs["output_size"]
    assert layer.output_shape(one.shape, **named) == values(layer(drawn(one.shape), **one.inputs)).shape
    with pytest.raises(TypeError):
        layer.output_shape([float(length) for length in one.shape], **named)
    for wrong in ([-1, *one.shape[1:]], [2**63, *one.shape[1:]], ()):
        with pytest.raises(ValueError):
            layer.output_shape(wrong, **named)


SIZES = st.integers(1, 4)
PADDINGS = st.one_of(st.integers(0, 4), st.sampled_from(["valid", "same", "same_lower"]))


def assert_shape_is_known(layer, shape):
    """`output_shape` says what `forward` gives, and refuses what it refuses."""
    x = np.zeros(shape, np.float32)
    try:
        want = values(layer(x)).shape
    except ValueError:
        with pytest.raises(ValueError):
            layer.output_shape(shape)
    else:
        assert layer.output_shape(shape) == want


@given(
    layer=st.sampled_from(["MaxPool", "MinPool", "AvgPool", "LPPool"]),
    rank=st.integers(1, 3),
    window=st.fixed_dictionaries(
        {"kernel_size": SIZES, "padding": PADDINGS},
        optional={"stride": SIZES, "dilation": st.integers(1, 3), "ceil_mode": st.booleans()},
    ),
    layout=st.sampled_from(["channels_first", "channels_last"]),
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=6),
)
def test_shapes_of_windows(layer, rank, window, layout, shape):
    before = (2,) if layer == "LPPool" else ()
    assert_shape_is_known(getattr(nn, f"{layer}{rank}d")(*before, **window, layout=layout), shape)


@given(
    rank=st.integers(1, 3),
    sizes=st.lists(st.one_of(st.none(), st.integers(1, 12)), min_size=3, max_size=3),
    maximum=st.booleans(),
    layout=st.sampled_from(["channels_first", "channels_last"]),
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=6),
)
def test_shapes_of_adaptive_pooling(rank, sizes, maximum, layout, shape):
    name = f"Adaptive{'Max' if maximum else 'Avg'}Pool{rank}d"
    assert_shape_is_known(getattr(nn, name)(sizes[:rank], layout=layout), shape)


@given(
    window=st.one_of(SIZES, st.lists(SIZES, min_size=1, max_size=3)),
    axis=st.one_of(st.none(), st.integers(-4, 3), st.lists(st.integers(-4, 3), min_size=1, max_size=3)),
    options=st.fixed_dictionaries(
        {}, optional={"stride": SIZES, "padding": PADDINGS, "dilation": SIZES, "ceil_mode": st.booleans()}
    ),
    shape=st.lists(st.integers(0, 7), max_size=4),
)
def test_shapes_for_any_axes(window, axis, options, shape):
    assert_shape_is_known(nn.Pool(window, axis=axis, **options), shape)


@given(
    factor=st.one_of(SIZES, st.lists(SIZES, min_size=1, max_size=3)),
    boundary=st.sampled_from(["exact", "trim", "pad", "partial"]),
    shape=st.lists(st.integers(0, 7), max_size=4),
)
def test_shapes_of_blocks(factor, boundary, shape):
    assert_shape_is_known(nn.Coarsen(factor, boundary=boundary), shape)
    assert_shape_is_known(nn.AdaptivePool(factor, "max"), shape)
    assert_shape_is_known(nn.GlobalMaxPool(), shape)


def test_the_shape_of_an_array_that_no_memory_holds():
    assert nn.MaxPool2d(2).output_shape((2**20, 8, 2**16, 2**16)) == (2**20, 8, 2**15, 2**15)
    assert nn.Pool(2, "median").output_shape((2**30, 2**30)) == (2**29, 2**29)
    assert nn.RoIAlign(2).output_shape((2**30, 4, 2**29, 2**29), 3) == (3, 4, 2, 2)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.MaxPool2d(2), (2, 4, 2**40, 2**40)),
        (nn.MaxPool2d(2), (4, 2**40, 2**40)),
        (nn.Conv2d(4, 4, 3), (2, 4, 2**40, 2**40)),
        (nn.Conv2d(1, 2**20, 1), (1, 1, 2**30, 2**28)),
        (nn.MaxUnpool2d(2), (2, 4, 2**40, 2**40)),
        (nn.MaxUnpool2d(2, stride=2**40), (2, 4, 3, 3)),
        (nn.AdaptiveAvgPool2d(2**40), (2, 4, 3, 3)),
        (nn.TokenPool(), (2, 2**40, 2**40)),
        (nn.Pool(2, "lip"), (2**40, 2**40)),
        (nn.GlobalAvgPool(), (2, 4, 2**40, 2**40)),
        (nn.BlurPool2d(), (2, 4, 2**40, 2**40)),
    ],
    ids=repr,
)
def test_a_shape_that_no_array_has_is_an_error(layer, shape):
    with pytest.raises(ValueError, match=r"^shape: \(.*\) or its result is larger than any array can be"):
        layer.output_shape(shape)


def test_parameters_that_no_array_holds_are_an_error():
    for make, name in (
        (lambda: nn.Conv2d(2**40, 2**40, 3), "weight"),
        (lambda: nn.AttentionPool(2**40), "key_weight"),
        (lambda: nn.GatedAttentionPool(2**40, 2**40), "v"),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: shape \(.*\) must be that of at most 2\*\*60 - 1 numbers"):
            make()


def test_a_layer_of_integers_knows_its_shape():
    x = np.arange(16).reshape(1, 1, 4, 4)
    for layer in (
        nn.AvgPool2d(2, dtype="int32"),
        nn.Pool((2, 2), "avg", dtype="int32"),
        nn.GlobalAvgPool(dtype="int32"),
        nn.GlobalPool(["avg", "max"], dtype="int32"),
    ):
        y = values(layer(x))
        assert y.dtype == np.int32
        assert layer.output_shape(x.shape) == y.shape
