"""Blur pooling and adaptive polyphase sampling: against their definitions, their gradients, and what can be wrong."""

import functools
import itertools

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import assert_selected, averaged_dtype, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from test_errors import FLOATS, OVERFLOWING, TEXTS, label, message_of

BORDERS = {"reflect": "reflect", "zeros": "constant", "edge": "edge"}
SIZES = range(2, 8)
X = np.arange(48, dtype=np.float32).reshape(1, 1, 6, 8)


# ---------------------------------------------------------------------------------------------------------------------
# References
# ---------------------------------------------------------------------------------------------------------------------


def binomial(size):
    """Return a row of Pascal's triangle whose sum is 1."""
    row = np.ones(1)
    for _ in range(size - 1):
        row = np.convolve(row, [0.5, 0.5])
    return row


def blurred(x, size, stride, padding, axes):
    """Pad as NumPy does, then sum a window times the filter at every step."""
    x = np.asarray(x, np.float64)
    for axis, step in zip(axes, stride, strict=True):
        widths = [(0, 0)] * x.ndim
        widths[axis] = ((size - 1) // 2, size // 2)
        padded = np.pad(x, widths, mode=BORDERS[padding])
        count = (padded.shape[axis] - size) // step + 1
        cells = [np.take(padded, range(o * step, o * step + size), axis) for o in range(count)]
        x = np.stack([np.tensordot(cell, binomial(size), (axis, 0)) for cell in cells], axis)
    return x


def as_pair(value):
    """Write a number for each of two axes."""
    return (value, value) if isinstance(value, int) else tuple(value)


def sampled(x, mode, stride, axes, dtype):
    """Pool windows that go round and keep of each sample the component with the largest norm; return the phases too.

    Means are rounded to `dtype` before their norms are compared: a result is as large as what it holds.
    """
    windows = [
        np.roll(x, (-row, -column), axes) for row, column in itertools.product(range(stride[0]), range(stride[1]))
    ]
    if mode == "max":
        x = np.max(windows, axis=0)
    elif mode == "avg":
        x = np.mean(windows, axis=0, dtype=np.float64).astype(dtype)
    samples = x if x.ndim == 4 else x[None]
    inside = tuple(axis - x.ndim for axis in axes)
    results, phases = [], []
    for sample in samples:
        best, largest = None, -1.0
        for phase in itertools.product(range(stride[0]), range(stride[1])):
            kept = [slice(None)] * sample.ndim
            for axis, first, step in zip(inside, phase, stride, strict=True):
                kept[axis] = slice(first, None, step)
            component = sample[tuple(kept)]
            norm = (component.astype(np.float64) ** 2).sum()
            if norm > largest:
                best, largest = (component, phase), norm
        results.append(best[0])
        phases.append(best[1])
    if x.ndim == 4:
        return np.stack(results), np.array(phases)
    return results[0], np.array(phases[0])


@st.composite
def images(draw, dtype):
    """``(array, layout)``: a batch of images or one, of short axes, in any memory order."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    shape = draw(some.batched_shapes(2, layout))
    return draw(some.memory_layouts())(draw(some.arrays(shape, dtype))), layout


STRIDES = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4))


def random_like(shape, seed, dtype=np.float64):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(got, want, dtype):
    """Compare with a result in float64: rounded once, and what sums in another order may differ by."""
    assert got.dtype == dtype
    assert got.shape == want.shape
    scale = float(np.abs(want).max(initial=1))
    np.testing.assert_allclose(
        got.astype(np.float64),
        want,
        rtol=2 * unit_roundoff(dtype),
        atol=1e-13 * scale + 2.0**-24 * (dtype == np.float16),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Blur
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", BORDERS)
@given(data=st.data())
def test_blur_is_the_padded_filter(padding, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, layout = data.draw(images(dtype))
    size, stride = data.draw(st.sampled_from(SIZES)), data.draw(STRIDES)
    axes = ref.spatial_axes(x.ndim, 2, layout)
    want = blurred(x.astype(dtype), size, as_pair(stride), padding, axes)
    got = ndpool.blur_pool2d(x, size, stride, padding, layout=layout)
    assert_close(got, want, averaged_dtype(dtype))
    out = np.full(want.shape, 7, averaged_dtype(dtype))
    assert ndpool.blur_pool2d(x, size, stride, padding, layout=layout, out=out) is out
    assert_selected(out, got)


@pytest.mark.parametrize("layout", some.LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_blur_of_long_rows_and_many_lanes(layout, dtype, size, stride):
    """Rows that are cut into parts, more lanes than a part has, and ends of every length."""
    shape = (1, 2, 9, 4111) if layout == "channels_first" else (1, 6, 83, 301)
    x = random_like(shape, 0, dtype)
    want = blurred(x, size, (stride, stride), "reflect", ref.spatial_axes(4, 2, layout))
    y, pullback = ndpool.vjp(ndpool.blur_pool2d, x, size, stride, layout=layout)
    assert_close(y, want, np.dtype(dtype))
    dy = random_like(y.shape, 1, dtype)
    product = np.vdot(y.astype(np.float64), dy.astype(np.float64))
    dx = pullback(dy).astype(np.float64)
    np.testing.assert_allclose(np.vdot(x.astype(np.float64), dx), product, rtol=1e-4 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("value", [0.1, 1e-310, 4e304, 3e38, -7.3e-42, np.float32(1 / 3)])
@pytest.mark.parametrize("padding", ["reflect", "edge"])
@pytest.mark.parametrize("size", SIZES)
def test_a_constant_stays_as_it_is(value, padding, size):
    for dtype in (np.float32, np.float64):
        with np.errstate(under="ignore", over="ignore"):
            x = np.full((2, 11, 13), value, dtype)
        y = ndpool.blur_pool2d(x, size, 1, padding)
        assert (y == x).all()


def test_the_examples_that_kornia_publishes():
    x = np.eye(5)[None]
    want = [[0.3125, 0.0625, 0.0], [0.0625, 0.3750, 0.0625], [0.0, 0.0625, 0.3125]]
    assert ndpool.blur_pool2d(x, 3, padding="zeros")[0].tolist() == want
    assert ndpool.max_blur_pool2d(x, 2, 3, padding="zeros")[0].tolist() == [[0.5625, 0.3125], [0.3125, 0.8750]]


def test_the_names_of_borders():
    for name, other in [("zeros", "zero"), ("edge", "replicate")]:
        assert_selected(ndpool.blur_pool2d(X, 5, 2, name), ndpool.blur_pool2d(X, 5, 2, other))


def test_blur_of_one_cell():
    x = np.array([[[3.0]]])
    for size in SIZES:
        assert ndpool.blur_pool2d(x, size).item() == 3.0
        assert ndpool.blur_pool2d(x, size, padding="edge").item() == 3.0
        assert ndpool.blur_pool2d(x, size, padding="zeros").item() == 3.0 * binomial(size).max() ** 2


def test_nan_and_infinity_stay_in_their_windows():
    x = np.ones((1, 1, 12, 12))
    x[0, 0, 5, 5], x[0, 0, 0, 0] = np.nan, np.inf
    y = ndpool.blur_pool2d(x, 3, 1)[0, 0]
    assert np.isnan(y[4:7, 4:7]).all()
    assert np.isposinf(y[:2, :2]).all()
    assert np.isfinite(y).sum() == 144 - 9 - 4


@pytest.mark.parametrize("padding", BORDERS)
@given(data=st.data())
def test_the_gradient_of_blur_is_its_transpose(padding, data):
    x, layout = data.draw(images(np.dtype(np.float64)))
    size, stride = data.draw(st.sampled_from(SIZES)), data.draw(STRIDES)
    y, pullback = ndpool.vjp(ndpool.blur_pool2d, x, size, stride, padding, layout=layout)
    dx, dy = random_like(x.shape, 1), random_like(y.shape, 2)
    pushed, pulled = pullback.jvp(dx), pullback(dy)
    assert_selected(pushed, ndpool.blur_pool2d(dx, size, stride, padding, layout=layout))
    assert pulled.shape == x.shape
    np.testing.assert_allclose(np.vdot(dx, pulled), np.vdot(pushed, dy), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_the_gradient_of_blur_in_every_dtype(dtype):
    x = random_like((2, 3, 7, 6), 0).astype(dtype)
    y, pullback = ndpool.vjp(ndpool.blur_pool2d, x, 4)
    dy = random_like(y.shape, 1).astype(dtype)
    _, exact = ndpool.vjp(ndpool.blur_pool2d, x.astype(np.float64), 4)
    assert_close(pullback(dy), exact(dy.astype(np.float64)), dtype)


def test_a_stride_longer_than_the_filter():
    x = random_like((1, 1, 40, 9000), 0)
    y, pullback = ndpool.vjp(ndpool.blur_pool2d, x, 3, (17, 4500))
    assert_close(y, blurred(x, 3, (17, 4500), "reflect", (2, 3)), np.dtype(np.float64))
    dy = random_like(y.shape, 1)
    np.testing.assert_allclose(np.vdot(x, pullback(dy)), np.vdot(y, dy), rtol=1e-12)


def test_a_giant_that_is_broadcast():
    x = np.broadcast_to(np.int8(2), (1, 2**31, 2**31))
    assert (ndpool.blur_pool2d(x, 5, 2**30) == 2).all()
    with pytest.raises((ValueError, MemoryError)):
        ndpool.blur_pool2d(x)


# ---------------------------------------------------------------------------------------------------------------------
# Max and blur
# ---------------------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_max_blur_is_max_then_blur(data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, layout = data.draw(images(dtype))
    axes = ref.spatial_axes(x.ndim, 2, layout)
    kernel = data.draw(st.tuples(*(st.integers(1, x.shape[axis]) for axis in axes)))
    size, stride = data.draw(st.sampled_from(SIZES)), data.draw(STRIDES)
    padding = data.draw(st.sampled_from(list(BORDERS)))
    maxima = ndpool.max_pool2d(x, kernel, 1, layout=layout)
    want = ndpool.blur_pool2d(maxima, size, stride, padding, layout=layout)
    got = ndpool.max_blur_pool2d(x, kernel, size, stride, padding=padding, layout=layout)
    assert_selected(got, want)
    out = np.full_like(want, 7)
    assert ndpool.max_blur_pool2d(x, kernel, size, stride, padding=padding, layout=layout, out=out) is out
    assert_selected(out, want)


@given(data=st.data())
def test_the_gradient_of_max_blur(data):
    x = data.draw(some.distinct_arrays((2, 2, 6, 5)))
    y, pullback = ndpool.vjp(ndpool.max_blur_pool2d, x, 2, 4)
    dx, dy = random_like(x.shape, 1), random_like(y.shape, 2)
    step = 1e-6
    difference = ndpool.max_blur_pool2d(x + step * dx, 2, 4) - ndpool.max_blur_pool2d(x - step * dx, 2, 4)
    np.testing.assert_allclose(pullback.jvp(dx), difference / (2 * step), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.vdot(dx, pullback(dy)), np.vdot(pullback.jvp(dx), dy), rtol=1e-12, atol=1e-12)
    assert_selected(pullback(dy), pullback(dy))


def test_max_blur_writes_nothing_that_overlaps():
    memory = np.zeros(200)
    x, out = memory[:100].reshape(1, 10, 10), memory[90:115].reshape(1, 5, 5)
    message = message_of(ValueError, lambda: ndpool.max_blur_pool2d(x, 1, out=out))
    assert message.startswith("out: ")
    assert (memory == 0).all()


# ---------------------------------------------------------------------------------------------------------------------
# Adaptive polyphase sampling
# ---------------------------------------------------------------------------------------------------------------------


@st.composite
def divisible(draw, dtype, *, distinct=False):
    """``(array, stride, layout)`` whose spatial axes are multiples of the stride."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    spatial = [step * draw(st.integers(1, 4)) for step in stride]
    batch, channels = draw(st.sampled_from([(), (0,), (1,), (3,)])), (draw(st.sampled_from([0, 1, 3])),)
    shape = (*batch, *channels, *spatial) if layout == "channels_first" else (*batch, *spatial, *channels)
    x = draw(some.distinct_arrays(shape)) if distinct else draw(some.arrays(shape, dtype))
    return draw(some.memory_layouts())(x), stride, layout


@pytest.mark.parametrize("mode", ["max", "avg", None])
@given(data=st.data())
def test_aps_is_its_definition(mode, data):
    dtype = data.draw(st.sampled_from([*some.FLOATS, np.dtype(np.uint8), np.dtype(np.int64)]))
    # Whole numbers, whose squares are summed exactly in any order: ties are ties.
    x, stride, layout = data.draw(divisible(np.dtype(np.int8)))
    x = x.astype(np.int8).astype(dtype)
    axes = ref.spatial_axes(x.ndim, 2, layout)
    y, phase = ndpool.aps_pool2d(x, mode, stride, return_phase=True, layout=layout)
    kept = averaged_dtype(dtype) if mode == "avg" else dtype
    assert phase.dtype == np.int64
    assert y.dtype == kept
    if x.size == 0:
        assert phase.shape == ((x.shape[0], 2) if x.ndim == 4 else (2,))
        return
    if mode == "avg" and np.prod(stride) not in {1, 2, 4}:
        # Thirds are rounded: the order of sums decides between equals.
        return
    want, wanted = sampled(x, mode, stride, axes, kept)
    np.testing.assert_array_equal(phase, wanted)
    np.testing.assert_array_equal(y.astype(np.float64), want.astype(np.float64))
    out = (np.full_like(y, 1), np.full_like(phase, 9))
    ndpool.aps_pool2d(x, mode, stride, return_phase=True, layout=layout, out=out)
    assert_selected(out[0], y)
    assert_selected(out[1], phase)
    assert_selected(ndpool.aps_pool2d(x, mode, stride, layout=layout), y)


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@pytest.mark.parametrize("layout", some.LAYOUTS)
@pytest.mark.parametrize("mode", ["max", "avg", None])
@pytest.mark.parametrize("stride", [2, 3, (2, 1), (3, 2)])
def test_an_image_shifted_round_gives_a_result_shifted_round(stride, mode, layout, dtype):
    """Exactly, bit for bit, for every shift: the choice depends on no order of summation."""
    rng = np.random.default_rng(0)
    shape = (2, 3, 6, 12) if layout == "channels_first" else (2, 6, 12, 3)
    x = rng.standard_normal(shape).astype(dtype)
    axes = ref.spatial_axes(4, 2, layout)
    stride = as_pair(stride)
    y, phase = ndpool.aps_pool2d(x, mode, stride, return_phase=True, layout=layout)
    for shift in itertools.product(range(6), range(12)):
        got, moved = ndpool.aps_pool2d(np.roll(x, shift, axes), mode, stride, return_phase=True, layout=layout)
        for sample in range(2):
            reached = [p + s for p, s in zip(phase[sample], shift, strict=True)]
            assert moved[sample].tolist() == [r % step for r, step in zip(reached, stride, strict=True)]
            whole = [r // step for r, step in zip(reached, stride, strict=True)]
            assert_selected(got[sample], np.roll(y[sample], whole, [axis - 1 for axis in axes]))


def test_large_samples_are_shifted_too():
    x = random_like((1, 5, 64, 96), 0, np.float32)
    y = ndpool.aps_pool2d(x)
    shifted = ndpool.aps_pool2d(np.roll(x, (3, 5), (2, 3)))
    rolled = [np.roll(y, shift, (2, 3)) for shift in itertools.product((1, 2), (2, 3))]
    assert sum(np.array_equal(shifted, one) for one in rolled) == 1


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-30, 1.0, 1e200, 1e307])
def test_numbers_of_any_size_are_compared(scale):
    x = np.array([[[1.0, 2.0, 1.0, 0.0], [0.0, 3.0, 0.0, 2.0]]]) * scale
    y, phase = ndpool.aps_pool2d(x, None, return_phase=True)
    assert phase.tolist() == [1, 1]
    assert_selected(y, x[:, 1:, 1::2])


def test_nan_counts_more_than_infinity_and_that_more_than_numbers():
    x = np.array([[[1e300, -np.inf], [np.nan, 5.0]]])
    assert ndpool.aps_pool2d(x, None, return_phase=True)[1].tolist() == [1, 0]
    assert ndpool.aps_pool2d(x[:, :, ::-1], None, return_phase=True)[1].tolist() == [1, 1]
    x[0, 1, 0] = 0
    assert ndpool.aps_pool2d(x, None, return_phase=True)[1].tolist() == [0, 1]
    assert ndpool.aps_pool2d(np.zeros((1, 2, 2)), None, return_phase=True)[1].tolist() == [0, 0]


def test_integers_of_64_bits_are_kept():
    x = np.array([[[2**62 + 1, 2**62 + 3], [0, -5]]])
    assert ndpool.aps_pool2d(x).item() == 2**62 + 3


@pytest.mark.parametrize("mode", ["max", "avg", None])
@given(data=st.data())
def test_the_gradient_of_aps_leads_through_the_component(mode, data):
    x, stride, layout = data.draw(divisible(np.dtype(np.float64), distinct=True))
    y, pullback = ndpool.vjp(ndpool.aps_pool2d, x, mode, stride, layout=layout)
    dx, dy = random_like(x.shape, 1), random_like(y.shape, 2)
    pushed, pulled = pullback.jvp(dx), pullback(dy)
    np.testing.assert_allclose(np.vdot(dx, pulled), np.vdot(pushed, dy), rtol=1e-12, atol=1e-12)
    if mode is None:
        assert sorted(pulled[pulled != 0]) == sorted(dy.ravel())
    if mode == "avg":
        np.testing.assert_allclose(pulled.sum(), dy.sum(), rtol=1e-9, atol=1e-9)
    # The step is below any difference of norms of distinct eighths.
    step = 1e-7
    ends = [ndpool.aps_pool2d(x + sign * step * dx, mode, stride, return_phase=True, layout=layout) for sign in (1, -1)]
    if np.array_equal(ends[0][1], ends[1][1]):
        np.testing.assert_allclose(pushed, (ends[0][0] - ends[1][0]) / (2 * step), rtol=1e-3, atol=1e-5)


def test_a_pair_of_results_has_the_gradient_of_the_values():
    x = random_like((2, 1, 4, 4), 0)
    (y, phase), pullback = ndpool.vjp(ndpool.aps_pool2d, x, return_phase=True)
    assert phase.shape == (2, 2)
    assert np.count_nonzero(pullback(np.ones_like(y))) == 2 * 4 or pullback(np.ones_like(y)).sum() == 8


# ---------------------------------------------------------------------------------------------------------------------
# All of them
# ---------------------------------------------------------------------------------------------------------------------

CALLS = {
    "blur": ndpool.blur_pool2d,
    "max_blur": functools.partial(ndpool.max_blur_pool2d, kernel_size=2),
    "aps": ndpool.aps_pool2d,
}
ALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@ALL
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_bits_do_not_depend_on_the_number_of_threads(call, layout):
    x = random_like((3, 24, 36, 20), 0, np.float32)

    def everything():
        y, pullback = ndpool.vjp(call, x, layout=layout)
        return y, call(x, layout=layout), pullback(y), pullback.jvp(x)

    with ndpool.threads(1):
        want = everything()
    for count in (2, 3, 8):
        with ndpool.threads(count):
            for got, expected in zip(everything(), want, strict=True):
                assert_selected(got, expected)


@ALL
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_integers_have_no_gradient(call, dtype):
    assert "gradient" in message_of(TypeError, lambda: ndpool.vjp(call, np.ones((1, 4, 4), dtype)))


@ALL
@pytest.mark.parametrize("shape", [(), (4,), (4, 4), (1,) * 5, (1, 1, 0, 4), (1, 1, 4, 0)])
def test_an_array_of_another_rank_or_without_cells_is_refused(call, shape):
    assert message_of(ValueError, lambda: call(np.ones(shape))).startswith("x: ")


@ALL
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (0, 4, 4)])
def test_an_empty_batch_gives_an_empty_result(call, shape):
    y, pullback = ndpool.vjp(call, np.ones(shape))
    assert y.size == 0
    assert y.shape[:-2] == shape[:-2]
    assert pullback(y).shape == shape


@ALL
@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, None, object(), [2.0, 2]], ids=label)
def test_strides_are_integers(call, value):
    assert "stride" in message_of(TypeError, lambda: call(X, stride=value))


@ALL
@pytest.mark.parametrize("value", [*OVERFLOWING, -1, 0, (2, 0), (1, 2, 3), ()], ids=label)
def test_strides_that_make_no_sense_are_refused(call, value):
    message_of(ValueError, lambda: call(X, stride=value))


@pytest.mark.parametrize("value", [1, 0, -3, 8, 2**62, 2**63, 2**64])
def test_filters_have_2_to_7_cells(value):
    for call in (CALLS["blur"], CALLS["max_blur"]):
        assert "filter_size" in message_of(ValueError, lambda call=call: call(X, filter_size=value))


@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, None, (3, 3)], ids=label)
def test_the_size_of_a_filter_is_an_integer(value):
    assert "filter_size" in message_of(TypeError, lambda: ndpool.blur_pool2d(X, value))


@pytest.mark.parametrize("value", ["", "REFLECT", "wrap", "same", "constant"])
def test_other_borders_are_refused(value):
    message = message_of(ValueError, lambda: ndpool.blur_pool2d(X, padding=value))
    for word in ("padding", "reflect", "zeros", "edge"):
        assert word in message


@pytest.mark.parametrize("value", [None, 0, 1, b"edge", ("edge", "edge")])
def test_a_border_is_a_string(value):
    assert "padding" in message_of(TypeError, lambda: ndpool.blur_pool2d(X, padding=value))


@pytest.mark.parametrize("value", [0, (2, 0), 9, 2**62, 2**63])
def test_windows_of_max_blur_fit(value):
    message_of(ValueError, lambda: ndpool.max_blur_pool2d(X, value))


@pytest.mark.parametrize(
    ("mode", "error"), [("min", ValueError), ("", ValueError), (0, TypeError), (b"max", TypeError)]
)
def test_modes_of_aps(mode, error):
    assert "mode" in message_of(error, lambda: ndpool.aps_pool2d(X, mode))


@pytest.mark.parametrize("stride", [4, (1, 3), (6, 16), 2**40])
def test_strides_of_aps_divide_the_axes(stride):
    message = message_of(ValueError, lambda: ndpool.aps_pool2d(X, stride=stride))
    assert message.startswith("x: ")
    assert "stride" in message


@ALL
def test_an_out_that_does_not_fit_is_refused_and_not_written(call):
    y = call(X)
    for out in (np.full((1, 1, 3, 5), -9, np.float32), np.full(y.shape, -9, np.float64), np.full(y.shape, -9)):
        assert "out" in message_of(ValueError, lambda out=out: call(X, out=out))
        assert (out == -9).all()


def test_both_results_of_aps_are_checked_before_anything_is_written():
    values, phase = np.full((1, 1, 3, 4), -9, np.float32), np.full((2, 2), -9)
    assert "out" in message_of(ValueError, lambda: ndpool.aps_pool2d(X, return_phase=True, out=(values, phase)))
    assert (values == -9).all()
    assert (phase == -9).all()
    memory = np.full(12, -9, np.int64)
    values, phase = memory.view(np.float32)[:12].reshape(1, 1, 3, 4), memory[4:6].reshape(1, 2)
    assert "out" in message_of(ValueError, lambda: ndpool.aps_pool2d(X, return_phase=True, out=(values, phase)))
    assert (memory == -9).all()


@ALL
def test_a_cotangent_of_another_shape_is_refused(call):
    y, pullback = ndpool.vjp(call, X)
    for shape in [(), (0,), (1, 1, 1, 1), (*y.shape, 1), y.shape[::-1]]:
        assert message_of(ValueError, lambda shape=shape: pullback(np.ones(shape))).startswith("dy: ")
        assert message_of(ValueError, lambda shape=shape: pullback.jvp(np.ones(shape))).startswith("dx: ")
