"""Convolution: against sums over taps in float64, its derivative in every argument, and all that can be wrong."""

import itertools

import ml_dtypes
import ndpool
import numpy as np
import pytest
import strategies as some
from checks import agrees, function, unit_roundoff
from hypothesis import given, settings
from hypothesis import strategies as st
from test_errors import OTHER_RANK, OVERFLOWING, TEXTS, WRONG_TYPES, label, message_of

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
X = np.arange(2 * 4 * 6 * 6, dtype=np.float32).reshape(2, 4, 6, 6)
WEIGHT = np.ones((6, 2, 3, 3), np.float32)
BIAS = np.arange(6, dtype=np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# The reference: a loop over groups and taps, of slices of the padded input
# ---------------------------------------------------------------------------------------------------------------------


def per_axis(value, rank):
    """Repeat a number for every axis."""
    return [value] * rank if isinstance(value, int) else list(value)


class Reference:
    """A convolution of channels-first arrays with a batch axis, in float64."""

    def __init__(self, x_shape, kernel, stride=1, padding=0, dilation=1, groups=1):
        self.rank, self.kernel, self.groups = len(kernel), kernel, groups
        self.stride, self.dilation = per_axis(stride, self.rank), per_axis(dilation, self.rank)
        self.lengths = x_shape[2:]
        self.padding = [self.padding_of(padding, axis) for axis in range(self.rank)]
        self.out = [
            (length + sum(pads) - d * (k - 1) - 1) // s + 1
            for length, pads, k, s, d in zip(
                self.lengths, self.padding, kernel, self.stride, self.dilation, strict=True
            )
        ]
        if min(self.out) < 1:
            raise ValueError("no window fits")

    def padding_of(self, padding, axis):
        """Return the zeros before and after an axis."""
        length, s = self.lengths[axis], self.stride[axis]
        if padding == "valid":
            return 0, 0
        if padding in ("same", "same_lower"):
            extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            total = max((-(-length // s) - 1) * s + extent - length, 0)
            pads = total // 2, total - total // 2
            return pads if padding == "same" else pads[::-1]
        pads = per_axis(padding, self.rank)[axis]
        return (pads, pads) if isinstance(pads, int) else tuple(pads)

    def padded(self, x):
        """Return the input with its zeros."""
        return np.pad(np.asarray(x, np.float64), [(0, 0), (0, 0), *self.padding])

    def taps(self):
        """Yield every tap, and the padded cells that windows have there."""
        for tap in np.ndindex(*self.kernel):
            spans = zip(tap, self.dilation, self.stride, self.out, strict=True)
            yield tap, tuple(slice(t * d, t * d + s * (o - 1) + 1, s) for t, d, s, o in spans)

    def channels(self, inputs, outputs):
        """Yield the channels of the result and of the input, group by group."""
        for group in range(self.groups):
            yield slice(group * outputs, (group + 1) * outputs), slice(group * inputs, (group + 1) * inputs)

    def values(self, x, weight, bias=None):
        """Return the convolution."""
        x, weight = self.padded(x), np.asarray(weight, np.float64)
        y = np.zeros((len(x), len(weight), *self.out))
        for tap, cells in self.taps():
            for out, into in self.channels(weight.shape[1], len(weight) // self.groups):
                y[:, out] += np.einsum(
                    "oi,ni...->no...", weight[(out, slice(None), *tap)], x[(slice(None), into, *cells)]
                )
        return y if bias is None else y + np.asarray(bias, np.float64).reshape(-1, *[1] * self.rank)

    def pulled(self, x, weight, dy):
        """Return the cotangents of the input, the weights and the bias."""
        x, weight, dy = self.padded(x), np.asarray(weight, np.float64), np.asarray(dy, np.float64)
        dx, dweight = np.zeros_like(x), np.zeros_like(weight)
        positions = (0, *range(2, dy.ndim))
        for tap, spans in self.taps():
            for out, into in self.channels(weight.shape[1], len(weight) // self.groups):
                here = (slice(None), into, *spans)
                dx[here] += np.einsum("oi,no...->ni...", weight[(out, slice(None), *tap)], dy[:, out])
                dweight[(out, slice(None), *tap)] = np.tensordot(dy[:, out], x[here], (positions, positions))
        spans = zip(self.padding, self.lengths, strict=True)
        inside = tuple(slice(before, before + length) for (before, _), length in spans)
        return dx[(slice(None), slice(None), *inside)], dweight, dy.sum(positions)


def channels_first(x, rank, layout):
    """View an array in either layout, with or without a batch axis, as ``(N, C, *spatial)``."""
    x = np.asarray(x)
    if layout == "channels_last":
        x = np.moveaxis(x, -1, -rank - 1)
    return x if x.ndim == rank + 2 else x[None]


def product_dtype(*dtypes):
    """Return what NumPy promotes the dtypes of floats to; integers count as float64."""
    native = [np.dtype(dtype).newbyteorder("=") for dtype in dtypes]
    floats = {np.dtype(np.float64) if dtype.kind in "iub" else dtype for dtype in native}
    if len(floats) == 1:
        return floats.pop()
    return np.dtype(np.float64 if np.dtype(np.float64) in floats else np.float32)


def assert_close(got, want, magnitude, terms, dtype):
    """Compare sums of products within the bound that holds for any order of summation, then rounded to ``dtype``."""
    assert got.dtype == dtype
    assert got.shape == want.shape
    accumulator = np.float64 if dtype == np.float64 else np.float32
    bound = (terms + 3) * unit_roundoff(accumulator) * magnitude
    bound += 2 * unit_roundoff(dtype) * (np.abs(want) + bound) + 2 * float(ml_dtypes.finfo(dtype).smallest_subnormal)
    assert (np.abs(got.astype(np.float64) - want) <= bound).all()


@st.composite
def calls(draw, rank, dtypes):
    """``(x, weight, bias or None, keyword arguments)`` that mostly give a result, in any memory order."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = draw(st.sampled_from([1, 1, 2, 3, 5])), draw(st.sampled_from([1, 1, 2, 5, 9]))
    batch = draw(st.sampled_from([(), (0,), (1,), (2,), (3,)]))
    extent = draw(some.extents(rank))
    kernel = tuple(draw(st.integers(1, min(length + 1, 5))) for length in extent)
    layout = draw(st.sampled_from(some.LAYOUTS))
    channels = (groups * inputs,)
    shape = (*batch, *channels, *extent) if layout == "channels_first" else (*batch, *extent, *channels)
    arrays = []
    for size in (shape, (groups * outputs, inputs, *kernel), (groups * outputs,)):
        values = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(-40, 40, size) / 8
        dtype = draw(dtypes)
        values = (np.abs(values) if dtype.kind in "ub" else values).astype(dtype)
        arrays.append(draw(some.memory_layouts())(values))
    arguments = {
        "stride": draw(some.one_or_per_axis(rank, st.integers(1, 4))),
        "padding": draw(st.just(0) | some.paddings(rank, 4)),
        "dilation": draw(st.just(1) | some.one_or_per_axis(rank, st.integers(1, 3))),
        "groups": groups,
        "layout": layout,
    }
    return arrays[0], arrays[1], arrays[2] if draw(st.booleans()) else None, arguments


def reference_of(x, weight, arguments):
    """Return the reference of a call, and the input as it takes it."""
    rank = weight.ndim - 2
    x = channels_first(x, rank, arguments["layout"])
    window = {name: arguments[name] for name in ("stride", "padding", "dilation", "groups")}
    return Reference(x.shape, weight.shape[2:], **window), x


def random_like(shape, seed, dtype=np.float64):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@RANKS
@given(data=st.data())
def test_values_are_those_of_the_loop(rank, data):
    x, weight, bias, arguments = data.draw(calls(rank, st.sampled_from(some.DTYPES)))
    given = [array.dtype for array in (x, weight, bias) if array is not None]
    dtype = product_dtype(*given)

    def oracle():
        reference, first = reference_of(x, weight, arguments)
        absolute = None if bias is None else np.abs(np.asarray(bias, np.float64))
        magnitude = reference.values(
            np.abs(np.asarray(first, np.float64)), np.abs(np.asarray(weight, np.float64)), absolute
        )
        return reference.values(first, weight, bias), magnitude

    def check(got, want):
        values, magnitude = want
        first = channels_first(got, rank, arguments["layout"])
        assert_close(first, values, magnitude, weight[0].size, dtype)
        out = np.full_like(got, 1)
        assert function("conv", rank)(x, weight, bias, out=out, **arguments) is out
        assert out.tobytes() == got.tobytes()

    agrees(lambda: function("conv", rank)(x, weight, bias, **arguments), oracle, check)


LARGE = {
    "several tiles, blocks of weights and of channels": ((2, 70, 31, 33), (600, 70, 3, 3), {"padding": 1}),
    "strided": ((3, 16, 57, 55), (24, 16, 3, 3), {"stride": 2, "padding": 1}),
    "depthwise": ((3, 24, 57, 55), (24, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 24}),
    "a multiple of depthwise": ((3, 6, 37, 35), (18, 1, 5, 3), {"dilation": 2, "groups": 6}),
    "groups": ((2, 12, 37, 35), (20, 3, 3, 3), {"padding": "same", "stride": 2, "groups": 4}),
    "1x1": ((2, 40, 30, 30), (50, 40, 1, 1), {}),
    "1x1 strided": ((2, 40, 30, 30), (50, 40, 1, 1), {"stride": 2}),
    "one position": ((5, 20, 9, 9), (30, 20, 9, 9), {}),
    "one channel from many": ((2, 600, 12, 12), (1, 600, 3, 3), {}),
    "many channels from one": ((2, 1, 40, 40), (64, 1, 3, 3), {"stride": 3}),
    "a long row": ((1, 2, 5000), (3, 2, 300), {"stride": 7, "padding": 100}),
    "volumes": ((2, 6, 11, 13, 12), (9, 6, 3, 3, 3), {"stride": 2, "padding": 1}),
    "steps wider than the kernel": ((2, 8, 50, 50), (8, 8, 2, 2), {"stride": 5}),
    "a stride and a dilation with a common divisor": ((2, 8, 50, 50), (8, 8, 3, 3), {"stride": 4, "dilation": 6}),
}


@pytest.mark.parametrize("case", sorted(LARGE))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("memory", ["C", "channels_last", "F"])
def test_large_calls_are_those_of_the_loop_for_any_number_of_threads(memory, dtype, case):
    shape, weight_shape, arguments = LARGE[case]
    x, weight, bias = (
        random_like(size, seed, dtype) for seed, size in enumerate((shape, weight_shape, weight_shape[:1]))
    )
    x, reference = some.MEMORY[memory](x), Reference(shape, weight_shape[2:], **arguments)
    results = []
    for threads in (1, 2, 3):
        with ndpool.threads(threads):
            y, pullback = ndpool.vjp(function("conv", len(shape) - 2), x, weight, bias, **arguments)
            dy = some.MEMORY[memory](random_like(y.shape, 3, dtype))
            results.append((y, *pullback(dy), pullback.jvp(x[::-1], weight[::-1], bias[::-1])))
    for others in results[1:]:
        assert [array.tobytes() for array in others] == [array.tobytes() for array in results[0]]
    y, dx, dweight, dbias, dy_dot = results[0]
    eps = unit_roundoff(dtype)
    want = [
        reference.values(x, weight, bias),
        *reference.pulled(x, weight, dy),
        reference.values(x[::-1], weight, bias[::-1]) + reference.values(x, weight[::-1]),
    ]
    for got, value in zip((y, dx, dweight, dbias, dy_dot), want, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, value, rtol=0, atol=400 * eps * np.abs(value).max())


@pytest.mark.parametrize("of_weight", some.DTYPES, ids=str)
@pytest.mark.parametrize("of_x", some.DTYPES, ids=str)
def test_dtypes_promote_as_in_numpy(of_x, of_weight):
    dtypes = (of_x, of_weight)
    x, weight = np.ones((1, 1, 3), dtypes[0]), np.ones((1, 1, 2), dtypes[1])
    assert ndpool.conv1d(x, weight).dtype == product_dtype(*dtypes)
    assert ndpool.conv1d(x, x[:, :, :2], weight[0, 0, :1]).dtype == product_dtype(*dtypes)


@pytest.mark.parametrize("memory", ["C", "F", "channels_last", "transposed"])
def test_a_result_keeps_the_memory_order_of_the_input(memory):
    x = some.MEMORY[memory](np.ones((2, 3, 8, 9)))
    y = ndpool.conv2d(x, np.ones((4, 3, 2, 2)), stride=2)
    assert np.argsort(y.strides).tolist() == np.argsort(x.strides).tolist()


def test_a_window_in_the_padding_gives_the_bias():
    y = ndpool.conv1d(np.ones((1, 1, 2)), np.ones((2, 1, 1)), [5.0, -7.0], padding=(2,))
    np.testing.assert_array_equal(y, [[[5, 5, 6, 6, 5, 5], [-7, -7, -6, -6, -7, -7]]])
    y = ndpool.conv1d(np.ones((1, 1, 1)), np.ones((1, 1, 1)), [5.0], padding=[(2**40, 2**40)], stride=2**39)
    np.testing.assert_array_equal(y, [[[5, 5, 6, 5, 5]]])


def test_padding_words_mean_what_they_mean_for_pooling():
    x = np.random.default_rng(0).integers(0, 9, (1, 1, 7, 8)).astype(np.float64)
    for padding in ("valid", "same", "same_lower"):
        for stride, kernel in itertools.product((1, 2, 3), (1, 2, 3, 4)):
            window = np.ones((1, 1, kernel, kernel))
            y = ndpool.conv2d(x, window, stride=stride, padding=padding)
            z = ndpool.pool(x, kernel, "sum", axis=(2, 3), stride=stride, padding=padding, fill_value=0)
            np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 8])
def test_nan_and_infinity_stay_in_their_windows(channels, special):
    x = np.ones((1, channels, 9, 9), np.float32)
    x[0, 0, 4, 4] = special
    y = ndpool.conv2d(x, np.ones((channels, channels, 3, 3), np.float32), stride=2)
    want = np.zeros((4, 4), bool)
    want[1:3, 1:3] = True
    for plane in y[0]:
        np.testing.assert_array_equal(plane != 9 * channels, want)
        np.testing.assert_array_equal(plane[want], [special] * 4)


def test_a_sum_of_many_halves_is_computed_wider():
    x = np.full((1, 4096, 1), 1, np.float16)
    assert ndpool.conv1d(x, np.full((1, 4096, 1), 0.5, np.float16)) == 2048
    _, pullback = ndpool.vjp(ndpool.conv1d, np.ones((1, 1, 50_000), np.float16), np.ones((1, 1, 1), np.float16), [0.0])
    dweight, dbias = pullback(np.ones((1, 1, 50_000)))[1:]
    assert dweight == np.float16(50_000)
    assert dbias == 50_000


def test_a_gradient_of_many_positions_loses_nothing():
    x = np.full((1, 1, 2**23), 0.1, np.float32)
    _, pullback = ndpool.vjp(ndpool.conv1d, x, np.ones((1, 1, 1), np.float32), np.zeros(1, np.float32))
    _, dweight, dbias = pullback(x)
    tenth = float(np.float32(0.1))
    np.testing.assert_allclose(dweight, tenth**2 * 2**23, rtol=1e-6)
    np.testing.assert_allclose(dbias, tenth * 2**23, rtol=1e-7)


def test_an_empty_batch_gives_an_empty_result():
    for layout, shape in (("channels_first", (0, 4, 6, 6)), ("channels_last", (0, 6, 6, 4))):
        x = np.ones(shape, np.float32)
        y, pullback = ndpool.vjp(ndpool.conv2d, x, WEIGHT, BIAS, groups=2, layout=layout)
        assert y.shape == ((0, 6, 4, 4) if layout == "channels_first" else (0, 4, 4, 6))
        dx, dweight, dbias = pullback(y)
        assert dx.shape == x.shape
        np.testing.assert_array_equal(dweight, np.zeros_like(WEIGHT))
        np.testing.assert_array_equal(dbias, np.zeros_like(BIAS))
        assert pullback.jvp(dx, dweight, dbias).shape == y.shape


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives
# ---------------------------------------------------------------------------------------------------------------------


@RANKS
@given(data=st.data())
def test_pullback_and_jvp_are_those_of_the_loop(rank, data):
    x, weight, bias, arguments = data.draw(calls(rank, st.sampled_from(some.FLOATS)))
    f = function("conv", rank)
    try:
        y, pullback = ndpool.vjp(f, x, weight, bias, **arguments)
    except ValueError:
        return
    reference, first = reference_of(x, weight, arguments)
    dy = data.draw(some.memory_layouts())(random_like(y.shape, 1, y.dtype))
    dy_first = channels_first(dy, rank, arguments["layout"])
    got = pullback(dy)
    absolute = [np.abs(np.asarray(array, np.float64)) for array in (first, weight, dy_first)]
    sizes = [weight.size, dy.size, dy.size]
    given = [array for array in (x, weight, bias) if array is not None]
    assert len(got) == len(given)
    got = (channels_first(got[0], rank, arguments["layout"]), *got[1:])
    # Without a bias the reference has one more.
    results = zip(
        got, given, reference.pulled(first, weight, dy_first), reference.pulled(*absolute), sizes, strict=False
    )
    for cotangent, array, want, magnitude, terms in results:
        assert cotangent.dtype.name == array.dtype.name
        assert cotangent.shape == want.shape
        wide = np.dtype(np.float64) if y.dtype == np.float64 else np.dtype(np.float32)
        bound = (terms + 4) * unit_roundoff(wide) * magnitude
        bound += 2 * unit_roundoff(array.dtype) * (np.abs(want) + bound) + 1e-7
        assert (np.abs(cotangent.astype(np.float64) - want) <= bound).all()
    tangents = [random_like(array.shape, seed, array.dtype) for seed, array in enumerate(given)]
    pushed = channels_first(pullback.jvp(*tangents), rank, arguments["layout"])
    dx = channels_first(tangents[0], rank, arguments["layout"])
    dbias = tangents[2] if bias is not None else None
    want = reference.values(dx, weight, dbias) + reference.values(first, tangents[1])
    magnitude = reference.values(np.abs(np.asarray(dx, np.float64)), absolute[1]) + reference.values(
        absolute[0], np.abs(np.asarray(tangents[1], np.float64))
    )
    assert_close(pushed, want, magnitude + 4, 2 * weight[0].size + 1, y.dtype)


@RANKS
@settings(max_examples=60)
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp_and_agrees_with_finite_differences(rank, data):
    x, weight, bias, arguments = data.draw(calls(rank, st.just(np.dtype(np.float64))))
    f = function("conv", rank)
    try:
        y, pullback = ndpool.vjp(f, x, weight, bias, **arguments)
    except ValueError:
        return
    given = [array for array in (x, weight, bias) if array is not None]
    tangents = [random_like(array.shape, seed) for seed, array in enumerate(given)]
    dy = random_like(y.shape, 9)
    forwards = np.vdot(pullback.jvp(*tangents), dy)
    backwards = [np.vdot(tangent, cotangent) for tangent, cotangent in zip(tangents, pullback(dy), strict=True)]
    size = max([1, *(abs(part) for part in backwards)]) * max(np.linalg.norm(dy), 1)
    assert abs(forwards - sum(backwards)) <= 1e-12 * size
    for number, tangent in enumerate(tangents):
        moved = []
        for step in (0.5, -0.5):
            # The result is linear in each argument: any step will do.
            arrays = [array + step * tangent if other == number else array for other, array in enumerate(given)]
            moved.append(f(*arrays, **arguments))
        assert np.vdot(moved[0] - moved[1], dy) == pytest.approx(backwards[number], rel=1e-9, abs=1e-9 * size)


def test_the_gradient_of_a_strided_convolution_by_hand():
    x, weight = np.array([[[1.0, 2.0, 3.0, 4.0, 5.0]]]), np.array([[[10.0, 1.0]]])
    y, pullback = ndpool.vjp(ndpool.conv1d, x, weight, [0.5], stride=2)
    np.testing.assert_array_equal(y, [[[12.5, 34.5]]])
    dx, dweight, dbias = pullback([[[1.0, 2.0]]])
    np.testing.assert_array_equal(dx, [[[10, 1, 20, 2, 0]]])
    np.testing.assert_array_equal(dweight, [[[7, 10]]])
    np.testing.assert_array_equal(dbias, [3])
    np.testing.assert_array_equal(pullback.jvp(x, weight, [1.0]), [[[25, 69]]] - np.array(0.0))


def test_arrays_that_are_no_floats_are_not_differentiable():
    y, pullback = ndpool.vjp(ndpool.conv2d, X, WEIGHT.astype(int), BIAS, groups=2)
    dx, dbias = pullback(y)
    assert (dx.dtype, dbias.dtype) == (np.float32, np.float32)
    assert pullback.jvp(dx, dbias).dtype == np.float64
    y, pullback = ndpool.vjp(ndpool.conv2d, X, WEIGHT.astype(int), groups=2)
    assert pullback(y).shape == X.shape
    for dtype in [*some.INTEGERS, some.BOOL]:
        message = message_of(
            TypeError, lambda dtype=dtype: ndpool.vjp(ndpool.conv2d, X.astype(dtype), WEIGHT.astype(int), groups=2)
        )
        assert message.startswith("x: ")


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_weights_of_integers_that_are_convolved_have_a_gradient(dtype, layout):
    x = np.moveaxis(X, 1, -1 if layout == "channels_last" else 1).astype(dtype)
    weight, bias = WEIGHT.astype(np.float64), BIAS.astype(np.float64)
    arguments = {"groups": 2, "stride": 2, "padding": 1, "layout": layout}
    y, pullback = ndpool.vjp(ndpool.conv2d, x, weight, bias, **arguments)
    want, of_floats = ndpool.vjp(ndpool.conv2d, x.astype(np.float64), weight, bias, **arguments)
    np.testing.assert_array_equal(y, want)
    assert of_floats.arguments == ("x", "weight", "bias")
    assert pullback.arguments == ("weight", "bias")
    for one, same in zip(pullback(y), of_floats(y)[1:], strict=True):
        np.testing.assert_array_equal(one, same, strict=True)
    still = np.zeros(x.shape)
    np.testing.assert_allclose(pullback.jvp(weight, bias), of_floats.jvp(still, weight, bias), rtol=1e-14)
    # One alone is no tuple.
    y, pullback = ndpool.vjp(ndpool.conv2d, x, weight.astype(int), bias, **arguments)
    axes = (0, 1, 2) if layout == "channels_last" else (0, 2, 3)
    np.testing.assert_allclose(pullback(np.ones_like(y)), np.ones_like(y).sum(axes))
    constant = np.ones_like(y) * (bias if layout == "channels_last" else bias[:, None, None])
    np.testing.assert_array_equal(pullback.jvp(bias), constant)
    assert message_of(TypeError, lambda: pullback.jvp(x, bias)).startswith("dx: 2 tangents")


@pytest.mark.parametrize("shape", [(0, 0, 0, 0), (), (4,), (2, 6, 4, 5), (2, 6, 4, 4, 1)])
def test_a_cotangent_of_another_shape_is_refused(shape):
    _, pullback = ndpool.vjp(ndpool.conv2d, X, WEIGHT, BIAS, groups=2)
    assert message_of(ValueError, lambda: pullback(np.ones(shape))).startswith("dy: ")
    given = {"dx": X, "dweight": WEIGHT, "dbias": BIAS}
    for name, right in given.items():
        if right.shape != shape:
            tangents = [np.ones(shape) if other == name else array for other, array in given.items()]
            assert message_of(ValueError, lambda t=tangents: pullback.jvp(*t)).startswith(f"{name}: ")
    message_of(TypeError, lambda: pullback.jvp(X, WEIGHT))


def test_a_pullback_does_not_look_at_its_inputs_again():
    x, weight, bias = random_like((2, 3, 9, 9), 0), random_like((4, 3, 3, 3), 1), random_like(4, 2)
    y, pullback = ndpool.vjp(ndpool.conv2d, x, weight, bias, stride=2)
    dy = random_like(y.shape, 3)
    first = pullback(dy)
    x[...] = weight[...] = bias[...] = np.nan
    for got, want in zip(pullback(dy), first, strict=True):
        np.testing.assert_array_equal(got, want)


# ---------------------------------------------------------------------------------------------------------------------
# Nonsense
# ---------------------------------------------------------------------------------------------------------------------


def conv2d(**arguments):
    """Call rightly but for ``arguments``."""
    return ndpool.conv2d(**{"x": X, "weight": WEIGHT, "bias": BIAS, "groups": 2, **arguments})


@pytest.mark.parametrize("value", [*WRONG_TYPES, *TEXTS], ids=label)
@pytest.mark.parametrize("argument", ["stride", "padding", "dilation", "groups"])
def test_sizes_are_integers(argument, value):
    kind = ValueError if argument == "padding" and isinstance(value, str) else TypeError
    assert argument in message_of(kind, lambda: conv2d(**{argument: value}))


@pytest.mark.parametrize("value", [*OVERFLOWING, -1, 2**63 - 1, 2**62])
@pytest.mark.parametrize("argument", ["stride", "padding", "dilation", "groups"])
def test_sizes_that_make_no_sense_are_refused(argument, value):
    if argument == "stride" and 0 < value < 2**63:
        np.testing.assert_array_equal(conv2d(stride=value), conv2d(stride=9))
    elif argument == "padding" and 0 < value < 2**63:
        with pytest.raises((ValueError, MemoryError)):
            conv2d(padding=value)
    else:
        message = message_of(ValueError, lambda: conv2d(**{argument: value}))
        assert argument in message


@pytest.mark.parametrize("argument", ["stride", "dilation", "groups"])
@pytest.mark.parametrize("value", [0, (0, 2), (2, 0)])
def test_no_size_is_zero(argument, value):
    kind = TypeError if argument == "groups" and value != 0 else ValueError
    assert argument in message_of(kind, lambda: conv2d(**{argument: value}))


@pytest.mark.parametrize("value", OTHER_RANK, ids=label)
@pytest.mark.parametrize("argument", ["stride", "padding", "dilation"])
def test_sequences_have_one_entry_per_axis(argument, value):
    assert argument in message_of(ValueError, lambda: conv2d(**{argument: value}))


@pytest.mark.parametrize(
    ("groups", "rule"),
    [
        (3, "groups: 3 must divide the 4 channels of x"),
        (10**9, "groups: 1000000000 must divide the 4 channels of x"),
        (4, "groups: 4 must divide the 6 channels of the result"),
        (1, "weight: an array of shape (6, 2, 3, 3) must have 4 channels on axis 1: x has 4, in groups: 1"),
    ],
)
def test_groups_fit_the_channels(groups, rule):
    assert message_of(ValueError, lambda: conv2d(groups=groups)) == rule


@pytest.mark.parametrize(
    "shape", [(), (6,), (6, 2, 3), (6, 2, 3, 3, 1), (0, 2, 3, 3), (6, 0, 3, 3), (6, 2, 0, 3), (6, 2, 3, 0)]
)
def test_weights_have_channels_and_a_kernel(shape):
    message = message_of(ValueError, lambda: conv2d(weight=np.ones(shape)))
    assert message.startswith("weight: an array of shape ")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (7,), (6, 1), (1, 6)])
def test_a_bias_has_a_value_for_each_channel(shape):
    message = message_of(ValueError, lambda: conv2d(bias=np.ones(shape)))
    assert message.startswith("bias: an array of shape ")
    assert "(6,)" in message


@pytest.mark.parametrize(
    "shape", [(), (4,), (6, 6), (1, 2, 4, 6, 6), (2, 4, 0, 6), (2, 4, 6, 0), (2, 0, 6, 6), (2, 3, 6, 6)]
)
def test_inputs_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"^(x|weight|groups): "):
        conv2d(x=np.ones(shape))


@pytest.mark.parametrize("arguments", [{"x": X[:, :, :2]}, {"dilation": 3}, {"dilation": (1, 3)}])
def test_a_kernel_larger_than_the_padded_input_is_refused(arguments):
    message = message_of(ValueError, lambda: conv2d(**arguments))
    assert message.startswith("weight: a kernel of 3 ")


@pytest.mark.parametrize("name", ["x", "weight", "bias"])
@pytest.mark.parametrize(
    "value", [np.ones(3, complex), np.array(["a"]), np.array([None]), np.ones(2, "M8[s]")], ids=str
)
def test_arrays_hold_real_numbers(name, value):
    assert message_of(TypeError, lambda: conv2d(**{name: value})).startswith(f"{name}: ")


def giant(*shape):
    """Return ones that take no memory."""
    return np.broadcast_to(np.float32(1), shape)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ndpool.conv1d(giant(2**31, 2**31), np.ones((1, 2**10, 1), np.float32)),
        lambda: ndpool.conv2d(giant(1, 2**30, 2**30), np.ones((1, 1, 3, 3), np.float32), padding=2**61),
        lambda: ndpool.conv1d(np.ones((1, 2**4, 8), np.float32), giant(2**60, 2**4, 1)),
        lambda: ndpool.conv1d(giant(1, 2**40, 2**20), giant(1, 2**40, 2**20)),
        lambda: ndpool.conv1d(np.ones((1, 1, 8), np.float32), giant(1, 1, 2**62), padding=2**61),
        lambda: ndpool.conv1d(
            np.ones((1, 1, 8), np.float32), np.ones((1, 1, 3), np.float32), dilation=2**62, padding=2**62
        ),
        lambda: ndpool.conv1d(np.ones((1, 1, 8), np.float32), np.ones((1, 1, 1), np.float32), padding=2**60),
    ],
)
def test_what_no_memory_holds_is_refused_at_once(call):
    with pytest.raises((ValueError, MemoryError)):
        call()


def test_broadcast_arrays_are_read_in_place():
    x, weight = giant(2, 3, 64, 64), giant(4, 3, 5, 5)
    y, pullback = ndpool.vjp(ndpool.conv2d, x, weight, giant(4), stride=3)
    np.testing.assert_array_equal(y, np.full((2, 4, 20, 20), 76))
    dx, dweight, dbias = pullback(giant(*y.shape))
    assert dx[0, 0, 2, 2] == 4
    np.testing.assert_array_equal(dweight, np.full(weight.shape, 800))
    np.testing.assert_array_equal(dbias, [800] * 4)


@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_out_shares_no_memory_with_an_input(name):
    memory = np.ones(4 * 4)
    arrays = {"x": np.ones((1, 4, 4)), "weight": np.ones((4, 4, 1)), "bias": np.ones(4)}
    arrays[name] = memory[: arrays[name].size].reshape(arrays[name].shape)
    message = message_of(ValueError, lambda: ndpool.conv1d(**arrays, out=memory.reshape(1, 4, 4)))
    assert message.startswith("out: ")
    assert (memory == 1).all()


def test_out_is_written_only_when_all_is_well():
    out = np.full((2, 6, 4, 4), -99, np.float32)
    for arguments in ({"groups": 3}, {"bias": np.ones(5)}, {"stride": 0}, {"dilation": 9}, {"padding": -1}):
        with pytest.raises(ValueError):
            conv2d(out=out, **arguments)
    for wrong in (out[:1], out.astype(np.float64), out[..., :3]):
        assert message_of(ValueError, lambda wrong=wrong: conv2d(out=wrong)).startswith("out: ")
    assert (out == -99).all()
    assert conv2d(out=out) is out
    np.testing.assert_array_equal(out, conv2d())
