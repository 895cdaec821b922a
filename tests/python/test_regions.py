"""Pooling of boxes: against plain loops, its gradients, and boxes that lie anywhere."""

import time

import ndpool
import numpy as np
import pytest
import reference_regions as ref
import strategies as some
from checks import assert_selected, averaged_dtype, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st

NAMES = ["roi_pool", "roi_align", "ps_roi_pool", "ps_roi_align"]
FUNCTIONS = pytest.mark.parametrize("name", NAMES)
CORNERS = st.one_of(
    st.integers(-3, 12),
    st.integers(-20, 60).map(lambda quarters: quarters / 4),
    st.floats(-4, 12, width=32),
    st.sampled_from([0.0, -0.0, -1.0, 1e-3, -100.0, 300.0]),
)


def is_single(dtype):
    """Whether coordinates are computed in float32: for arrays of float32 and narrower ones."""
    return dtype.kind not in "iub" and dtype.itemsize <= 4


@st.composite
def calls(draw, name, dtype, *, special=False, distinct=False):
    """``(x, boxes as rows of five, bins, further arguments)``, channels first."""
    bins = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    channels = draw(st.sampled_from([0, 1, 1, 2, 3, 17]))
    if name.startswith("ps"):
        channels = min(channels, 2) * bins[0] * bins[1]
    shape = (draw(st.integers(1, 3)), channels, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    x = draw(some.distinct_arrays(shape)) if distinct else draw(some.arrays(shape, dtype, special=special))
    box = st.tuples(st.integers(0, shape[0] - 1), *[CORNERS] * 4)
    boxes = draw(st.lists(box, max_size=5))
    arguments = {"spatial_scale": draw(st.sampled_from([1.0, 0.5, 1 / 16, 2, 1.3]))}
    if name.endswith("align"):
        arguments["sampling_ratio"] = draw(st.sampled_from([-1, 0, 1, 2, 3, 5]))
    if name == "roi_align":
        arguments["aligned"] = draw(st.booleans())
        arguments["mode"] = draw(st.sampled_from(["avg", "max"]))
    return x, np.array(boxes, np.float64).reshape(-1, 5), bins, arguments


def loop(name, x, boxes, bins, arguments, single):
    """Call the reference, whose arguments have shorter names."""
    names = {"spatial_scale": "scale", "sampling_ratio": "ratio"}
    short = {names.get(key, key): value for key, value in arguments.items()}
    wide = x if x.dtype.kind in "iub" and name == "roi_pool" else x.astype(np.float64)
    with np.errstate(all="ignore"):
        return getattr(ref, name)(wide, boxes, bins, single=single, **short)


def assert_close(got, want, x, dtype):
    """Compare terms of which each has a few roundings, in float32 at the least."""
    assert got.dtype == dtype
    assert got.shape == want.shape
    largest = np.abs(x.astype(np.float64)).max(initial=0, where=np.isfinite(x.astype(np.float64)))
    rounding = unit_roundoff(dtype) + 40 * unit_roundoff(np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=2 * unit_roundoff(dtype), atol=rounding * largest)


def to_last(x):
    """Channels last, in shape and memory."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def random_like(shape, seed):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@FUNCTIONS
@given(data=st.data())
def test_values_are_those_of_the_loop(name, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, boxes, bins, arguments = data.draw(calls(name, dtype))
    want = loop(name, x, boxes, bins, arguments, is_single(dtype))
    f = getattr(ndpool, name)
    laid_out = data.draw(some.memory_layouts())(x)
    got = f(laid_out, boxes, bins, **arguments)
    if name == "roi_pool":
        assert_selected(got, want.astype(dtype))
    else:
        assert_close(got, want, x, averaged_dtype(dtype))
    last = f(to_last(x), boxes, bins, layout="channels_last", **arguments)
    assert_selected(np.moveaxis(last, -1, 1), got)
    out = np.full_like(got, 1)
    assert f(laid_out, boxes, bins, out=out, **arguments) is out
    assert_selected(out, got)


@pytest.mark.parametrize("name", ["roi_pool", "roi_align"])
@given(data=st.data())
def test_special_values_stay_in_the_bins_that_look_at_them(name, data):
    dtype = data.draw(st.sampled_from(some.DTYPES if name == "roi_pool" else some.FLOATS))
    x, boxes, bins, arguments = data.draw(calls(name, dtype, special=name == "roi_pool"))
    if name == "roi_align":
        x[data.draw(some.arrays(x.shape, some.BOOL))] = np.nan
    want = loop(name, x, boxes, bins, arguments, is_single(dtype))
    got = getattr(ndpool, name)(x, boxes, bins, **arguments)
    if name == "roi_pool":
        assert_selected(got + dtype.type(0), want.astype(dtype) + dtype.type(0))
    else:
        assert_close(got, want, x, dtype)


@FUNCTIONS
@given(data=st.data())
def test_boxes_in_every_form_are_the_same_boxes(name, data):
    x, boxes, bins, arguments = data.draw(calls(name, np.dtype(np.float64)))
    boxes[:, 1:] = np.round(boxes[:, 1:])
    f = getattr(ndpool, name)
    order = np.argsort(boxes[:, 0], kind="stable")
    want = f(x, boxes[order], bins, **arguments)
    each = [boxes[boxes[:, 0] == image, 1:] for image in range(len(x))]
    for given_boxes in (
        each,
        tuple(each),
        [part.tolist() for part in each],
        [part.astype(np.int16) for part in each],
        boxes[order].astype(np.float32),
        boxes[order].astype(np.int64),
        data.draw(some.memory_layouts())(boxes[order]),
        boxes[order].tolist() or boxes,
    ):
        assert_selected(f(x, given_boxes, bins, **arguments), want)


def test_a_list_of_one_row_and_a_list_of_one_array():
    x = np.arange(36.0).reshape(1, 1, 6, 6)
    row = [0, 1, 1, 4, 4]
    want = ndpool.roi_pool(x, [row], 2)
    for boxes in ([np.array(row)], [np.array([row[1:]])], [[row[1:]]], (tuple(row),), np.array([row])):
        assert_selected(ndpool.roi_pool(x, boxes, 2), want)
    assert ndpool.roi_pool(x, [[]], 2).shape == (0, 1, 2, 2)
    assert ndpool.roi_pool(x, [], 2).shape == (0, 1, 2, 2)


def test_bins_share_cells_where_they_have_to():
    """A box of 5 by 7 cells in 2 by 2 bins."""
    x = np.arange(64).reshape(1, 1, 8, 8)
    y = ndpool.roi_pool(x, [[0, 0, 3, 6, 7]], 2)
    assert y.tolist() == [[[[5 * 8 + 3, 5 * 8 + 6], [7 * 8 + 3, 7 * 8 + 6]]]]


def test_a_linear_image_is_sampled_exactly_where_it_is_asked():
    """Interpolation reproduces a plane, so that the mean of a bin is the value at its centre."""
    rows, columns = np.mgrid[:40, :50]
    x = (3.0 * rows - 2.0 * columns + 1)[None, None]
    x1, y1, x2, y2 = 5.3, 7.1, 30.9, 28.2
    for ratio in (-1, 1, 2, 7):
        y = ndpool.roi_align(x, [[0, x1, y1, x2, y2]], (3, 4), sampling_ratio=ratio, aligned=True)
        at_y = y1 - 0.5 + (np.arange(3) + 0.5) * (y2 - y1) / 3
        at_x = x1 - 0.5 + (np.arange(4) + 0.5) * (x2 - x1) / 4
        np.testing.assert_allclose(y[0, 0], 3 * at_y[:, None] - 2 * at_x + 1, rtol=1e-12)


@FUNCTIONS
def test_the_result_is_in_the_memory_order_of_the_input(name):
    x = np.ones((2, 8, 5, 6))
    for memory in ("C", "channels_last"):
        y = getattr(ndpool, name)(some.MEMORY[memory](x), [[0, 1, 1, 4, 4], [1, 0, 0, 3, 3]], 2)
        assert y.shape == (2, 2 if name.startswith("ps") else 8, 2, 2)
        strides = np.argsort(y.strides)[::-1].tolist()
        assert strides == ([0, 1, 2, 3] if memory == "C" else [0, 2, 3, 1])


@FUNCTIONS
def test_nothing_comes_of_nothing(name):
    f = getattr(ndpool, name)
    assert f(np.ones((0, 4, 5, 5)), np.ones((0, 5)), 2).shape[0] == 0
    assert f(np.ones((0, 4, 5, 5)), [], 2).shape[0] == 0
    assert f(np.ones((2, 4, 5, 5)), np.ones((0, 5)), 2).shape[0] == 0
    assert f(np.ones((2, 4, 5, 5)), [np.ones((0, 4))] * 2, 2).shape[0] == 0
    y, pullback = ndpool.vjp(f, np.ones((2, 0, 5, 5)), [[0, 1, 1, 4, 4]], 2)
    assert y.shape == (1, 0, 2, 2)
    assert pullback(y).shape == (2, 0, 5, 5)
    _, pullback = ndpool.vjp(f, np.ones((2, 4, 5, 5)), [np.ones((0, 4))] * 2, 2)
    dx = pullback(np.ones((0, 1 if name.startswith("ps") else 4, 2, 2)))
    np.testing.assert_array_equal(dx, np.zeros((2, 4, 5, 5)))


# ---------------------------------------------------------------------------------------------------------------------
# Boxes of awkward places and sizes
# ---------------------------------------------------------------------------------------------------------------------


@FUNCTIONS
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e9, 1e18, 1e30, 1e300])
@pytest.mark.parametrize("inverted", [False, True])
def test_the_work_is_bounded_by_the_image_and_not_by_the_box(name, dtype, size, inverted):
    """Without a number of points, a box of 1e9 by 1e9 cells has 1e18 of them."""
    x = np.ones((1, 4, 16, 16), dtype)
    box = [0, size, size, -size, -size] if inverted else [0, -size, -size, size, size]
    started = time.perf_counter()
    y, pullback = ndpool.vjp(getattr(ndpool, name), x, [box] * 4, 2)
    pullback(y)
    assert time.perf_counter() - started < 2
    assert np.isfinite(y).all()


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_boxes_out_of_the_image_are_zero(mode):
    x = np.ones((1, 2, 8, 8))
    boxes = [[0, 20, 20, 30, 30], [0, -30, 0, -20, 8], [0, 0, 1e20, 8, 2e20]]
    assert (ndpool.roi_align(x, boxes, 3, mode=mode) == 0).all()
    assert (ndpool.ps_roi_align(x, boxes, (1, 2)) == 0).all()
    assert (ndpool.roi_pool(x, boxes, 3) == 0).all()
    assert (ndpool.ps_roi_pool(x, boxes, (2, 1)) == 0).all()


def test_a_box_is_clipped_by_points_that_count():
    """Points outside are 0 and are counted: half of a box of ones is a half."""
    x = np.ones((1, 1, 10, 10))
    y = ndpool.roi_align(x, [[0, -10.0, 0, 10, 10]], 1, sampling_ratio=20, aligned=True)
    np.testing.assert_allclose(y[0, 0, 0, 0], 0.55, rtol=1e-12)  # within a cell of the border there is still a value


@FUNCTIONS
def test_many_boxes_are_worked_on_in_parts(name):
    """More cells than one task looks at, and bins of more than are brought in together."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 30, 1400))
    corners = rng.uniform(0, 1, (900, 2, 2)) * [1400, 30]
    boxes = np.column_stack([rng.integers(0, 2, 900), corners.min(1), corners.max(1)])
    f = getattr(ndpool, name)
    y, pullback = ndpool.vjp(f, x, boxes, 2)
    some_boxes = rng.integers(0, 900, 5)
    want = loop(name, x, boxes[some_boxes], (2, 2), {}, False)
    np.testing.assert_allclose(y[some_boxes].astype(float), want.astype(float), rtol=1e-11, atol=1e-13)
    assert_selected(f(x, boxes, 2), y)
    v, w = random_like(x.shape, 1), random_like(y.shape, 2)
    forwards, backwards = np.vdot(pullback.jvp(v), w), np.vdot(v, pullback(w))
    assert abs(forwards - backwards) <= 1e-12 * np.linalg.norm(v) * np.linalg.norm(w) * 30


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


@FUNCTIONS
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp_and_agrees_with_finite_differences(name, data):
    x, boxes, bins, arguments = data.draw(calls(name, np.dtype(np.float64), distinct=True))
    f = getattr(ndpool, name)
    y, pullback = ndpool.vjp(f, data.draw(some.memory_layouts())(x), boxes, bins, **arguments)
    assert_selected(y, f(x, boxes, bins, **arguments))
    v, w = random_like(x.shape, 3), random_like(y.shape, 4)
    forwards, backwards = np.vdot(pullback.jvp(v), w), np.vdot(v, pullback(data.draw(some.memory_layouts())(w)))
    assert abs(forwards - backwards) <= 1e-12 * max(np.linalg.norm(v) * np.linalg.norm(w), 1)
    if arguments.get("mode") == "max":
        return  # products tie where cells do not
    moved = [f(x + eps * v, boxes, bins, **arguments) for eps in (1e-6, -1e-6)]
    assert backwards == pytest.approx(np.vdot(moved[0] - moved[1], w) / 2e-6, rel=1e-3, abs=1e-5)


@given(data=st.data())
def test_the_gradient_of_the_largest_term(data):
    """The reference's own derivative, by a step along one cell at a time, where no two terms are near one another."""
    x = data.draw(some.distinct_arrays((1, 1, 4, 5)))
    box = data.draw(st.tuples(*[st.floats(-1, 6, width=16)] * 4))
    boxes = np.array([[0, *box]])
    step = 1e-4
    base = ndpool.roi_align(x, boxes, 2, mode="max")
    _, pullback = ndpool.vjp(ndpool.roi_align, x, boxes, 2, mode="max")
    dy = random_like(base.shape, 5)
    dx = pullback(dy)
    for cell in np.ndindex(x.shape):
        steps = []
        for sign in (1, -1):
            moved = x.copy()
            moved[cell] += sign * step
            steps.append(sign * (ndpool.roi_align(moved, boxes, 2, mode="max") - base) / step)
        smooth = np.abs(steps[0] - steps[1]) < 1e-9
        if smooth.all():
            np.testing.assert_allclose(dx[cell], (dy * steps[0]).sum(), rtol=1e-6, atol=1e-8)


@FUNCTIONS
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_gradients_of_every_dtype_and_layout(layout, dtype, name):
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 8, (2, 8, 9, 7)).astype(dtype)
    boxes = np.array([[1, 0, 0, 6, 8], [0, 1, 1, 3, 4], [1, 2, 2, 4, 6]])
    f, arguments = getattr(ndpool, name), {"sampling_ratio": 2} if name.endswith("align") else {}
    _, exact = ndpool.vjp(f, x.astype(np.float64), boxes, 2, **arguments)
    given_x = to_last(x) if layout == "channels_last" else x
    y, pullback = ndpool.vjp(f, given_x, boxes, 2, layout=layout, **arguments)
    dy = rng.integers(-4, 5, y.shape).astype(dtype)
    dx, pushed = pullback(dy), pullback.jvp(given_x)
    assert dx.dtype == pushed.dtype == dtype
    if layout == "channels_last":
        dx, pushed, dy = (np.moveaxis(array, -1, 1) for array in (dx, pushed, dy))
    tolerance = {"rtol": 4 * unit_roundoff(dtype), "atol": 40 * unit_roundoff(dtype)}
    np.testing.assert_allclose(dx.astype(float), exact(dy.astype(float)), **tolerance)
    np.testing.assert_allclose(pushed.astype(float), exact.jvp(x.astype(float)), **tolerance)


def test_the_first_of_equal_cells_has_the_gradient():
    _, pullback = ndpool.vjp(ndpool.roi_pool, np.ones((1, 1, 4, 4)), [[0, 0, 0, 3, 3]], 2)
    dx = pullback([[[[1.0, 2], [3, 4]]]])
    assert dx.tolist() == [[[[1, 0, 2, 0], [0] * 4, [3, 0, 4, 0], [0] * 4]]]


@FUNCTIONS
def test_a_pullback_does_not_look_at_its_inputs_again(name):
    x, boxes = random_like((2, 4, 6, 6), 0), np.array([[0.0, 1, 1, 4, 4], [1, 0, 0, 5, 3]])
    y, pullback = ndpool.vjp(getattr(ndpool, name), x, boxes, 2)
    dy = random_like(y.shape, 1)
    first = pullback(dy)
    x[...] = boxes[...] = np.nan
    np.testing.assert_array_equal(pullback(dy), first)


# ---------------------------------------------------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.thread_unsafe
@FUNCTIONS
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_bits_do_not_depend_on_the_number_of_threads(layout, dtype, name):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 36, 40, 36)).astype(dtype)
    corners = rng.uniform(-2, 42, (200, 2, 2))
    boxes = np.column_stack([rng.integers(0, 2, 200), corners.min(1), corners.max(1)])
    f = getattr(ndpool, name)

    def everything():
        modes = [{"mode": "avg"}, {"mode": "max"}] if name == "roi_align" else [{}]
        for arguments in modes:
            y, pullback = ndpool.vjp(f, x, boxes, 3, layout=layout, **arguments)
            yield from (y, f(x, boxes, 3, layout=layout, **arguments), pullback(y), pullback.jvp(x))

    with ndpool.threads(1):
        want = list(everything())
    for count in (2, 3):
        with ndpool.threads(count):
            for got, expected in zip(everything(), want, strict=True):
                assert_selected(got, expected)
