"""Pooling of boxes: everything that can be wrong with an argument."""

import ndpool
import numpy as np
import pytest
import strategies as some
from test_errors import FLOATS, OVERFLOWING, TEXTS, label, message_of

NAMES = ["roi_pool", "roi_align", "ps_roi_pool", "ps_roi_align"]
FUNCTIONS = pytest.mark.parametrize("name", NAMES)
ALIGN = pytest.mark.parametrize("name", ["roi_align", "ps_roi_align"])
X = np.arange(2 * 4 * 6 * 6, dtype=np.float32).reshape(2, 4, 6, 6)
BOXES = np.array([[0, 1, 1, 4, 4], [1, 0, 0, 5, 3]], np.float32)


def refused(kind, name, boxes=BOXES, bins=2, x=X, **arguments):
    """Return the message of the error; nothing was written, with and without a gradient."""
    f = getattr(ndpool, name)
    channels = x.shape[1] // 4 if name.startswith("ps") and x.ndim > 1 else 4
    out = np.full((2, channels, 2, 2), -99, np.float32)
    message = message_of(kind, lambda: f(x, boxes, bins, **arguments))
    assert message_of(kind, lambda: f(x, boxes, bins, out=out, **arguments))
    assert message_of(kind, lambda: ndpool.vjp(f, x, boxes, bins, out=out, **arguments))
    assert (out == -99).all()
    return message


@FUNCTIONS
@pytest.mark.parametrize("index", [-1, 2, 0.5, -0.5, 2**31, -(2**63), 1e30, np.nan, np.inf, -np.inf])
def test_a_box_is_in_an_image_that_exists(name, index):
    boxes = BOXES.astype(np.float64)
    boxes[1, 0] = index
    message = refused(ValueError, name, boxes)
    assert message.startswith("boxes: the batch index ")
    assert "of box 1 " in message
    assert "from 0 to 1" in message


def test_an_image_among_none():
    assert "no images" in message_of(ValueError, lambda: ndpool.roi_pool(X[:0], BOXES, 2))


@FUNCTIONS
@pytest.mark.parametrize("corner", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_coordinates_are_finite(name, value, corner):
    boxes = BOXES.copy()
    boxes[1, corner] = value
    message = refused(ValueError, name, boxes)
    assert "box 1" in message
    assert "finite" in message
    lists = [boxes[:1, 1:], boxes[1:, 1:]]
    assert "box 1" in refused(ValueError, name, lists)


@FUNCTIONS
@pytest.mark.parametrize("shape", [(), (5,), (4,), (2, 4), (2, 6), (2, 0), (5, 2), (1, 2, 5), (0, 4)])
def test_an_array_of_boxes_has_five_columns(name, shape):
    message = refused(ValueError, name, np.zeros(shape))
    assert message.startswith(f"boxes: an array of shape {shape} ")
    assert "5" in message


@FUNCTIONS
def test_a_list_has_an_array_of_four_columns_for_each_image(name):
    for lists in ([BOXES[:, 1:]], [BOXES[:, 1:]] * 3):
        assert f"a list of {len(lists)} arrays" in refused(ValueError, name, lists)
    for shape in ((2, 5), (1, 3), (2, 2, 4), ()):
        assert refused(ValueError, name, [BOXES[:, 1:], np.zeros(shape)]).startswith("boxes: ")
    assert refused(ValueError, name, [[0, 1, 1, 4, 4], [0, 1, 1, 4]]).startswith("boxes: ")


@FUNCTIONS
@pytest.mark.parametrize(
    "boxes",
    [BOXES.astype(bool), BOXES.astype(complex), BOXES.astype(str), BOXES.astype(object), None, "boxes", 3.0, {1: 2}],
    ids=label,
)
def test_boxes_are_of_numbers(name, boxes):
    f = getattr(ndpool, name)
    with pytest.raises((TypeError, ValueError), match=r"^boxes: "):
        f(X, boxes, 2)


@FUNCTIONS
def test_boxes_behind_a_mask_are_refused(name):
    boxes = np.ma.masked_array(BOXES, np.eye(2, 5, dtype=bool))
    assert refused(ValueError, name, boxes).startswith("boxes: ")


@FUNCTIONS
@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, None, object(), [2.0, 2], (None, 2)], ids=label)
def test_bins_are_integers(name, value):
    assert refused(TypeError, name, bins=value).startswith("output_size: ")


@FUNCTIONS
@pytest.mark.parametrize("value", [*OVERFLOWING, 0, -1, (2, 0), (0, 2), (-1, 2), (), (2, 2, 2)])
def test_bins_are_positive_and_two(name, value):
    assert refused(ValueError, name, bins=value).startswith("output_size: ")


@FUNCTIONS
@pytest.mark.parametrize("value", [2**31, 2**40, 2**62, (2**62, 2**62), (1, 2**63 - 1)])
def test_a_result_that_no_memory_holds_is_refused_at_once(name, value):
    with pytest.raises((ValueError, MemoryError)):
        getattr(ndpool, name)(X, BOXES, value)


@FUNCTIONS
def test_boxes_that_no_memory_holds_are_refused_at_once(name):
    with pytest.raises((ValueError, MemoryError)):
        getattr(ndpool, name)(X, np.broadcast_to(BOXES[0], (2**48, 5)), 2)


@FUNCTIONS
@pytest.mark.parametrize("value", [*TEXTS, None, object(), 2j, [1.0]], ids=label)
def test_the_scale_is_a_number(name, value):
    assert refused(TypeError, name, spatial_scale=value).startswith("spatial_scale: ")


@FUNCTIONS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 10**400])
def test_the_scale_is_finite(name, value):
    assert refused(ValueError, name, spatial_scale=value).startswith("spatial_scale: ")


@FUNCTIONS
@pytest.mark.parametrize("value", [0.0, -1.0, 1e300, 1e-300])
def test_any_finite_scale_will_do(name, value):
    y, pullback = ndpool.vjp(getattr(ndpool, name), X, BOXES, 2, value)
    assert np.isfinite(y).all()
    assert np.isfinite(pullback(y)).all()


@ALIGN
@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, None, object()], ids=label)
def test_points_are_integers(name, value):
    assert refused(TypeError, name, sampling_ratio=value).startswith("sampling_ratio: ")


@ALIGN
@pytest.mark.parametrize("value", [*OVERFLOWING, 1025, 2**62])
def test_points_are_not_too_many(name, value):
    assert refused(ValueError, name, sampling_ratio=value).startswith("sampling_ratio: ")


@ALIGN
@pytest.mark.parametrize("value", [0, -1, -5, np.int8(-1), -(2**63)])
def test_no_number_of_points_is_as_many_as_needed(name, value):
    f = getattr(ndpool, name)
    np.testing.assert_array_equal(f(X, BOXES, 2, sampling_ratio=value), f(X, BOXES, 2))


@pytest.mark.parametrize("value", [1, 0, "yes", None, 1.0], ids=label)
def test_aligned_is_a_flag(value):
    assert refused(TypeError, "roi_align", aligned=value).startswith("aligned: ")


def test_modes_are_two():
    for value in ("mean", "", "MAX", "sum"):
        message = refused(ValueError, "roi_align", mode=value)
        for word in ("mode", "avg", "max"):
            assert word in message
    for value in (None, 0, b"max"):
        assert refused(TypeError, "roi_align", mode=value).startswith("mode: ")


@FUNCTIONS
def test_layouts_are_two(name):
    assert refused(ValueError, name, layout="NCHW").startswith("layout: ")
    assert refused(TypeError, name, layout=None).startswith("layout: ")


@FUNCTIONS
@pytest.mark.parametrize("shape", [(), (4,), (4, 6, 6), (2, 4, 6, 6, 6), (2, 4, 0, 6), (2, 4, 6, 0)])
def test_an_array_of_another_rank_or_without_cells_is_refused(name, shape):
    message = message_of(ValueError, lambda: getattr(ndpool, name)(np.ones(shape), BOXES, 2))
    assert message.startswith(f"x: an array of shape {shape}")


@pytest.mark.parametrize("name", ["ps_roi_pool", "ps_roi_align"])
@pytest.mark.parametrize("bins", [3, (1, 3), (4, 2), 2**40])
def test_channels_are_shared_out_evenly(name, bins):
    assert refused(ValueError, name, bins=bins).startswith("x: an array of shape (2, 4, 6, 6) ")


@FUNCTIONS
@pytest.mark.parametrize("dtype", [complex, object, "U3", "datetime64[s]"])
def test_an_array_of_no_number_is_refused(name, dtype):
    assert message_of(TypeError, lambda: getattr(ndpool, name)(np.ones(X.shape).astype(dtype), BOXES, 2))


@FUNCTIONS
@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_only_floats_have_a_gradient(name, dtype):
    x = np.ones(X.shape, dtype)
    message = message_of(TypeError, lambda: ndpool.vjp(getattr(ndpool, name), x, BOXES, 2))
    assert message.startswith("x: ")


@FUNCTIONS
@pytest.mark.parametrize("shape", [(), (4,), (2, 4, 2, 3), (1, 2, 4, 2, 2), (0, 0, 0, 0)])
def test_a_cotangent_of_another_shape_is_refused(name, shape):
    _, pullback = ndpool.vjp(getattr(ndpool, name), X, BOXES, 2)
    with pytest.raises(ValueError, match="dy"):
        pullback(np.ones(shape))
    with pytest.raises(ValueError, match="dx"):
        pullback.jvp(np.ones(shape))


@FUNCTIONS
def test_an_out_that_does_not_fit_is_refused_and_not_written(name):
    f = getattr(ndpool, name)
    shape = f(X, BOXES, 2).shape
    for out in (
        np.full(shape, -99.0),
        np.full((*shape[:3], 3), -99, np.float32),
        np.full(shape, -99, np.int32),
        np.broadcast_to(np.float32(-99), shape),
    ):
        assert "out" in message_of(ValueError, lambda out=out: f(X, BOXES, 2, out=out))
        assert (out == -99).all()


@FUNCTIONS
def test_an_out_that_overlaps_an_input_is_refused(name):
    f = getattr(ndpool, name)
    memory = np.zeros(400, np.float32)
    x, boxes, more = memory[:288].reshape(2, 4, 6, 6), memory[300:310].reshape(2, 5), memory[320:324].reshape(1, 4)
    size = f(x, boxes, 2).size
    shape = f(x, boxes, 2).shape
    for start in (0, 287, 300 - size + 1, 309):
        out = memory[start : start + size].reshape(shape)
        assert "out" in message_of(ValueError, lambda out=out: f(x, boxes, 2, out=out))
    out = memory[323 : 323 + size].reshape(shape)
    assert "out" in message_of(ValueError, lambda: f(x, [np.zeros((1, 4)), more], 2, out=out))
    out = memory[330 : 330 + size].reshape(shape)
    assert f(x, boxes, 2, out=out) is out
