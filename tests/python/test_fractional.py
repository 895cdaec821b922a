"""Fractional max pooling: against plain loops over PyTorch's interval sequence, its gradients, and wrong arguments."""

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import assert_selected, function, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from test_errors import FLOATS, OVERFLOWING, TEXTS, label, message_of

RANKS = pytest.mark.parametrize("rank", [2, 3])
X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
SAMPLES = np.random.default_rng(1).random((2, 3, 2)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# The reference: where windows start, and a loop over them
# ---------------------------------------------------------------------------------------------------------------------


def starts(length, kernel, size, sample):
    """PyTorch's ``generate_intervals``, step by step in the dtype of the sample."""
    dtype = sample.dtype.type
    if size == 1:
        return [length - kernel]
    step = dtype(dtype(length - kernel) / dtype(size - 1))
    with np.errstate(all="ignore"):
        places = [int(dtype(dtype(dtype(i) + sample) * step)) - int(dtype(sample * step)) for i in range(size - 1)]
    return [*(min(place, length - kernel) for place in places), length - kernel]


def loop(x, rank, kernel, size, samples, layout="channels_first"):
    """Values and indices; samples are one row for each plane, one number for each axis, the last of two first."""
    axes = ref.spatial_axes(x.ndim, rank, layout)
    moved = np.moveaxis(x, axes, range(-rank, 0))
    free, spatial = moved.shape[:-rank], moved.shape[-rank:]
    values, indices = np.zeros((*free, *size), x.dtype), np.zeros((*free, *size), np.int64)
    flat = np.arange(np.prod(spatial, dtype=int)).reshape(spatial)
    for plane in np.ndindex(*free):
        row = samples.reshape(*free, rank)[plane]
        row = row[::-1] if rank == 2 else row
        where = [starts(*geometry) for geometry in zip(spatial, kernel, size, row, strict=True)]
        for out in np.ndindex(*size):
            window = tuple(slice(w[o], w[o] + k) for w, o, k in zip(where, out, kernel, strict=True))
            cells, places = moved[plane][window].ravel(), flat[window].ravel()
            best = 0
            for number, cell in enumerate(cells):
                if not np.isnan(cells[best]) and (cell > cells[best] or np.isnan(cell)):
                    best = number
            values[(*plane, *out)], indices[(*plane, *out)] = cells[best], places[best]
    back = tuple(range(-rank, 0))
    return np.moveaxis(values, back, axes), np.moveaxis(indices, back, axes)


@st.composite
def calls(draw, rank, dtype, *, special=False):
    """``(x, keyword arguments, size, layout)``."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    shape = draw(some.batched_shapes(rank, layout))
    lengths = [shape[axis] for axis in ref.spatial_axes(len(shape), rank, layout)]
    kernel = [draw(st.integers(1, length)) for length in lengths]
    size = [draw(st.integers(1, n - k + 1)) for n, k in zip(lengths, kernel, strict=True)]
    x = draw(some.memory_layouts())(draw(some.arrays(shape, dtype, special=special)))
    planes = shape[:-rank] if layout == "channels_first" else (*shape[: -rank - 1], shape[-1])
    sampled = draw(st.sampled_from(some.FLOATS))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples = (generator.random((*planes, rank)) * 0.99).astype(sampled)
    return x, {"kernel_size": kernel, "output_size": size, "samples": samples, "layout": layout}


def random_like(shape, seed, dtype=np.float64):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@RANKS
@given(data=st.data())
def test_values_and_indices_are_those_of_the_loop(rank, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, arguments = data.draw(calls(rank, dtype, special=True))
    f = function("fractional_max_pool", rank)
    kernel, size, samples, layout = arguments.values()
    want, places = loop(x.astype(dtype), rank, kernel, size, samples, layout)
    got, indices = f(x, return_indices=True, **arguments)
    assert_selected(got, want)
    np.testing.assert_array_equal(indices, places, strict=True)
    assert_selected(f(x, **arguments), want)
    out = np.full_like(want, 1), np.full_like(places, 1)
    got = f(x, return_indices=True, out=out, **arguments)
    assert got[0] is out[0]
    assert got[1] is out[1]
    assert_selected(out[0], want)
    np.testing.assert_array_equal(out[1], places)


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@given(
    length=st.integers(2, 3000),
    kernel=st.integers(1, 40),
    ratio=st.floats(0.01, 0.99),
    sample=st.floats(0, 0.875, width=16),
)
def test_starts_are_computed_in_the_dtype_of_the_samples(dtype, length, kernel, ratio, sample):
    kernel = min(kernel, length)
    size = max(1, int((length - kernel + 1) * ratio))
    sample = dtype.type(sample)
    x = np.arange(float(length))[None, None, None]
    y = ndpool.fractional_max_pool2d(x, (1, kernel), (1, size), samples=np.array([[[sample, 0]]], dtype))
    np.testing.assert_array_equal(y[0, 0, 0] - kernel + 1, starts(length, kernel, size, sample))


def test_a_ratio_is_a_size_rounded_down():
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 11))
    for ratio in (0.5, (0.5, 0.5), [np.float32(0.5), 0.5], np.array([0.5, 0.5])):
        got = ndpool.fractional_max_pool2d(x, 2, output_ratio=ratio, rng=0)
        np.testing.assert_array_equal(got, ndpool.fractional_max_pool2d(x, 2, (3, 5), rng=0))
    assert ndpool.fractional_max_pool2d(x, 2, output_ratio=(0.3, 0.7), rng=0).shape == (1, 2, 2, 7)
    # As Python computes it: 29 * 0.1 is 2.9000000000000004, and 100 * 0.29 is 28.999999999999996.
    assert ndpool.fractional_max_pool2d(np.ones((1, 100, 29)), 1, output_ratio=(0.29, 0.1), rng=0).shape == (1, 28, 2)


def test_as_many_windows_as_fit_and_one():
    x = np.arange(2 * 25).reshape(2, 5, 5)
    np.testing.assert_array_equal(ndpool.fractional_max_pool2d(x, 1, 5, rng=0), x)
    np.testing.assert_array_equal(ndpool.fractional_max_pool2d(x, 3, 3, rng=0), x[:, 2:, 2:])
    np.testing.assert_array_equal(ndpool.fractional_max_pool2d(x, 5, 1, rng=0), x[:, -1:, -1:])


def test_samples_without_a_batch_axis_may_have_one():
    f = ndpool.fractional_max_pool2d
    want = f(X[:1], 2, 4, samples=SAMPLES[:1])[0]
    np.testing.assert_array_equal(f(X[0], 2, 4, samples=SAMPLES[:1]), want)
    np.testing.assert_array_equal(f(X[0], 2, 4, samples=SAMPLES[0]), want)
    np.testing.assert_array_equal(f(X[0], 2, 4, samples=SAMPLES[0].tolist()).shape, want.shape)
    last = f(np.moveaxis(X, 1, -1), 2, 4, samples=SAMPLES, layout="channels_last")
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), f(X, 2, 4, samples=SAMPLES))


@pytest.mark.parametrize("memory", ["C", "F", "channels_last", "transposed"])
def test_results_keep_the_memory_order_of_the_input(memory):
    x = some.MEMORY[memory](np.ones((2, 3, 4, 5)))
    for result in ndpool.fractional_max_pool2d(x, 2, 3, return_indices=True, rng=0):
        assert np.argsort(result.strides).tolist() == np.argsort(x.strides).tolist()


def test_an_empty_batch_gives_an_empty_result():
    y, pullback = ndpool.vjp(ndpool.fractional_max_pool2d, np.ones((0, 3, 8, 8)), 2, 4)
    assert y.shape == (0, 3, 4, 4)
    assert pullback(y).shape == (0, 3, 8, 8)


def test_a_large_plane_is_cut_into_bands():
    x = np.random.default_rng(0).standard_normal((1, 1, 700, 900)).astype(np.float32)
    samples = np.array([[[0.3, 0.8]]])
    want, places = loop(x, 2, (3, 2), (311, 500), samples)
    (y, indices), pullback = ndpool.vjp(
        ndpool.fractional_max_pool2d, x, (3, 2), (311, 500), return_indices=True, samples=samples
    )
    assert_selected(y, want)
    np.testing.assert_array_equal(indices, places)
    dy = random_like(y.shape, 1)
    dx = np.bincount(places.ravel(), dy.astype(np.float32).astype(float).ravel(), 700 * 900).reshape(x.shape)
    np.testing.assert_array_equal(pullback(dy), dx.astype(np.float32))


# ---------------------------------------------------------------------------------------------------------------------
# Random samples
# ---------------------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_windows_every_time():
    f = ndpool.fractional_max_pool2d
    first = f(X, 2, 5, rng=7)
    for seed in (7, np.int64(7), np.uint8(7)):
        np.testing.assert_array_equal(f(X, 2, 5, rng=seed), first)
    samples = np.random.default_rng(7).random((2, 3, 2))
    np.testing.assert_array_equal(f(X, 2, 5, samples=samples), first)
    np.testing.assert_array_equal(f(X, 2, 5, rng=np.random.default_rng(7)), first)
    assert any((f(X, 2, 5, rng=seed) != first).any() for seed in range(7))


def test_a_generator_advances_but_not_in_a_call_that_is_refused():
    generator = np.random.default_rng(3)
    state = generator.bit_generator.state
    for call in (
        lambda: ndpool.fractional_max_pool2d(X, 2, 8, rng=generator),
        lambda: ndpool.fractional_max_pool2d(X, 2, 4, rng=generator, out=X),
        lambda: ndpool.vjp(ndpool.fractional_max_pool2d, np.ones((1, 4, 4), int), 2, 2, rng=generator),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()
    assert generator.bit_generator.state == state
    ndpool.fractional_max_pool2d(X, 2, 4, rng=generator)
    assert generator.bit_generator.state != state


def test_without_a_seed_windows_vary():
    x = np.arange(1000.0)[None, None, None]
    results = [ndpool.fractional_max_pool2d(x, 1, (1, 300)) for _ in range(20)]
    assert any((result != results[0]).any() for result in results)


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


def planes(x, rank, layout):
    """Shape ``x`` as ``(planes, cells)``; the cells of each in C order."""
    axes = ref.spatial_axes(x.ndim, rank, layout)
    moved = np.moveaxis(x, axes, range(-rank, 0))
    return moved.reshape(int(np.prod(moved.shape[:-rank], dtype=int)), int(np.prod(moved.shape[-rank:], dtype=int)))


@RANKS
@given(data=st.data())
def test_pullback_and_jvp_follow_the_indices(rank, data):
    dtype = data.draw(st.sampled_from(some.FLOATS))
    x, arguments = data.draw(calls(rank, dtype))
    f = function("fractional_max_pool", rank)
    (y, indices), pullback = ndpool.vjp(f, x, return_indices=True, **arguments)
    assert_selected(y, f(x, **arguments))
    dy = data.draw(some.memory_layouts())(random_like(y.shape, 1, dtype))
    layout, places = arguments["layout"], planes(indices, rank, arguments["layout"])
    want = np.zeros(planes(x, rank, layout).shape)
    np.add.at(want, (np.arange(len(want))[:, None], places), planes(dy, rank, layout).astype(np.float64))
    dx = random_like(x.shape, 2, dtype)
    assert pullback(dy).shape == x.shape
    rtol = 2 * unit_roundoff(dtype)
    np.testing.assert_allclose(planes(pullback(dy), rank, layout).astype(np.float64), want, rtol=rtol, atol=1e-9)
    assert_selected(planes(pullback.jvp(dx), rank, layout), np.take_along_axis(planes(dx, rank, layout), places, 1))


@RANKS
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp_and_agrees_with_finite_differences(rank, data):
    x, arguments = data.draw(calls(rank, np.dtype(np.float64)))
    x = data.draw(some.distinct_arrays(x.shape))
    f = function("fractional_max_pool", rank)
    y, pullback = ndpool.vjp(f, x, **arguments)
    v, w = random_like(x.shape, 3), random_like(y.shape, 4)
    forwards, backwards = np.vdot(pullback.jvp(v), w), np.vdot(v, pullback(w))
    assert abs(forwards - backwards) <= 1e-12 * max(np.linalg.norm(v) * np.linalg.norm(w), 1)
    slope = np.vdot(f(x + 1e-6 * v, **arguments) - f(x - 1e-6 * v, **arguments), w) / 2e-6
    assert backwards == pytest.approx(slope, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_only_floats_have_a_gradient(dtype):
    x = np.ones((1, 1, 4, 4), dtype)
    assert "x: " in message_of(TypeError, lambda: ndpool.vjp(ndpool.fractional_max_pool2d, x, 2, 2))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (0, 0, 0, 0), (2, 3, 4, 5), (2, 3, 16), ()])
def test_a_cotangent_of_another_shape_is_refused(shape):
    """CVE-2021-29578: a gradient of shape (1, 1, 1, 1)."""
    _, pullback = ndpool.vjp(ndpool.fractional_max_pool2d, X, 2, 4)
    with pytest.raises(ValueError, match="dy"):
        pullback(np.ones(shape))


def test_indices_lead_back():
    y, indices = ndpool.fractional_max_pool2d(X, 2, 4, return_indices=True, rng=0)
    back = ndpool.max_unpool2d(y, indices, 2, output_size=X.shape[2:])
    np.testing.assert_array_equal(back, np.where(np.isin(X, y), X, 0))


# ---------------------------------------------------------------------------------------------------------------------
# Wrong arguments
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(2, 3), (2, 3, 1), (2, 2, 2), (1, 3, 2), (3, 2), (6, 2), (2, 3, 3), (2, 3, 2, 1), (0,)]
)
def test_samples_of_another_shape_are_refused(shape):
    """CVE-2021-29578: too short a set of random samples."""
    message = message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, samples=np.zeros(shape)))
    assert message.startswith("samples: ")
    assert "(2, 3, 2)" in message


@pytest.mark.parametrize("value", [1.0, -1e-9, np.nan, np.inf, -np.inf, 1e30, -0x4000000])
def test_samples_out_of_range_are_refused(value):
    """CVE-2022-41897: borders that start at -0x4000000."""
    samples = np.zeros((2, 3, 2))
    samples[1, 2, 1] = value
    message = message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, samples=samples))
    assert message.startswith("samples: ")


@pytest.mark.parametrize("dtype", [np.int64, bool, complex, object])
def test_samples_are_floats(dtype):
    samples = np.zeros((2, 3, 2), dtype)
    assert "samples: " in message_of(TypeError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, samples=samples))


@pytest.mark.parametrize("value", [0, -1, (4, 0), 8, (4, 8), 9, 10**9, *OVERFLOWING, (), (4, 4, 4)])
def test_an_output_size_that_does_not_fit_is_refused(value):
    """CVE-2022-41900: more windows than there are cells."""
    message = message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2, value))
    assert message.startswith("output_size: ")


@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, object(), (2.0, 2), (None, 2)], ids=label)
@pytest.mark.parametrize("argument", ["kernel_size", "output_size"])
def test_sizes_are_integers(argument, value):
    arguments = {"kernel_size": 2, "output_size": 4, argument: value}
    assert argument in message_of(TypeError, lambda: ndpool.fractional_max_pool2d(X, **arguments))


@pytest.mark.parametrize("value", [0, -1, 9, (2, 0), *OVERFLOWING, (), (2, 2, 2)])
def test_a_kernel_that_does_not_fit_is_refused(value):
    message = message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, value, 1))
    assert str(message).startswith(("kernel_size: ", "output_size: "))


@pytest.mark.parametrize(
    "value", [0.0, 1.0, -0.5, 1.5, np.nan, np.inf, 0, 1, 0.1, (0.5, 1e-9), (0.5,) * 3, (0.99, 0.5)]
)
def test_a_ratio_that_does_not_fit_is_refused(value):
    """CVE-2021-29550: an output of 0 cells; CVE-2022-41900: more than there are."""
    message = message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 3, output_ratio=value))
    assert message.startswith("output_ratio: ")


@pytest.mark.parametrize("value", ["0.5", b"0.5", object(), 0.5j, (0.5, "0.5"), (None, 0.5)], ids=label)
def test_a_ratio_is_a_number(value):
    assert "output_ratio: " in message_of(TypeError, lambda: ndpool.fractional_max_pool2d(X, 2, output_ratio=value))


def test_one_of_size_and_ratio_is_given():
    assert "output_size" in message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2))
    assert "output_ratio" in message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, 0.5))


@pytest.mark.parametrize("value", [-1, np.int8(-1), -(10**30)])
def test_a_seed_is_not_negative(value):
    assert message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, rng=value)).startswith("rng: -1")


@pytest.mark.parametrize("value", ["7", 7.0, object(), np.random.RandomState(0), np.arange(3), [1, 2]], ids=label)
def test_an_rng_is_a_seed_or_a_generator(value):
    assert message_of(TypeError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, rng=value)).startswith("rng: ")


def test_samples_and_rng_are_not_given_together():
    assert "rng" in message_of(ValueError, lambda: ndpool.fractional_max_pool2d(X, 2, 4, samples=SAMPLES, rng=0))


@pytest.mark.parametrize("shape", [(), (4,), (4, 4), (1,) * 5, (1, 1, 0, 4), (1, 1, 4, 0)])
def test_an_array_of_another_rank_or_without_cells_is_refused(shape):
    assert message_of(ValueError, lambda: ndpool.fractional_max_pool2d(np.ones(shape), 1, 1)).startswith("x: ")


def test_an_out_that_does_not_fit_is_refused_and_not_written():
    values, indices = np.full((2, 3, 4, 4), -99, np.float32), np.full((2, 3, 4, 4), -99)
    for out in (values.astype(float), values[:1], (values, indices.astype(np.int32)), (values, values), values.T):
        message = message_of(
            ValueError, lambda out=out: ndpool.fractional_max_pool2d(X, 2, 4, return_indices=True, out=out, rng=0)
        )
        assert message.startswith("out: ")
    with pytest.raises(ValueError):
        ndpool.fractional_max_pool2d(X, 2, 4, samples=np.full((2, 3, 2), 1.0), out=values)
    assert (values == -99).all()
    assert (indices == -99).all()


@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_bits_do_not_depend_on_the_number_of_threads(layout):
    x = random_like((4, 24, 60, 16), 0, np.float32)

    def everything():
        (y, indices), pullback = ndpool.vjp(
            ndpool.fractional_max_pool2d, x, 3, 7, return_indices=True, rng=0, layout=layout
        )
        return y, indices, pullback(y), pullback.jvp(x)

    with ndpool.threads(1):
        want = everything()
    for count in (2, 3, 8):
        with ndpool.threads(count):
            for got, expected in zip(everything(), want, strict=True):
                assert_selected(got, expected)
