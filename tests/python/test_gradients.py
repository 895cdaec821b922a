"""Pullbacks: against the reference, against finite differences, and as the transpose of ``pullback.jvp``."""

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import agrees, assert_selected, attempt, function, oracle, unit_roundoff
from hypothesis import assume, given
from hypothesis import strategies as st

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
MODES = pytest.mark.parametrize("mode", ["max", "min", "avg"])


@st.composite
def differentiable_calls(draw, rank, mode):
    """``(f, keyword arguments, layout, shape, geometry, options of the reference)`` with at least one window."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    shape = draw(some.batched_shapes(rank, layout))
    axes = ref.spatial_axes(len(shape), rank, layout)
    arguments = draw(some.window_arguments(rank, [shape[axis] for axis in axes]))
    options, extra = {}, {}
    if mode == "avg":
        options = {"include_pad": draw(st.booleans()), "divisor": draw(st.none() | st.integers(1, 5))}
        extra = {"count_include_pad": options["include_pad"], "divisor_override": options["divisor"]}
    want = attempt(lambda: oracle(np.zeros(shape), rank, mode, layout, arguments, **options))
    assume(want is not None)
    window = dict(arguments)
    geometry = ref.windows(shape, axes, window.pop("kernel_size"), **window)
    return function(f"{mode}_pool", rank), {**arguments, **extra, "layout": layout}, shape, geometry, options


def random_like(shape, seed, dtype=np.float64):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@RANKS
@MODES
@given(data=st.data())
def test_pullback_and_jvp_are_those_of_the_reference(mode, rank, data):
    f, arguments, shape, geometry, options = data.draw(differentiable_calls(rank, mode))
    x = data.draw(some.memory_layouts())(data.draw(some.arrays(shape, np.float64)))
    y, pullback = ndpool.vjp(f, x, **arguments)
    np.testing.assert_array_equal(y, f(x, **arguments))
    dy = data.draw(some.memory_layouts())(random_like(y.shape, 1))
    dx = data.draw(some.memory_layouts())(random_like(shape, 2))
    np.testing.assert_allclose(pullback(dy), ref.pullback(x, dy, geometry, mode, **options), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pullback.jvp(dx), ref.jvp(x, dx, geometry, mode, **options), rtol=1e-12, atol=1e-13)


@RANKS
@MODES
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp(mode, rank, data):
    f, arguments, shape, _, _ = data.draw(differentiable_calls(rank, mode))
    x = data.draw(some.arrays(shape, np.float64))
    y, pullback = ndpool.vjp(f, x, **arguments)
    v, w = random_like(shape, 3), random_like(y.shape, 4)
    forwards, backwards = np.vdot(pullback.jvp(v), w), np.vdot(v, pullback(w))
    scale = np.linalg.norm(v) * np.linalg.norm(w)
    assert abs(forwards - backwards) <= 1e-12 * max(scale, 1)


@RANKS
@MODES
@given(data=st.data())
def test_pullback_agrees_with_finite_differences(mode, rank, data):
    f, arguments, shape, _, _ = data.draw(differentiable_calls(rank, mode))
    x = data.draw(some.distinct_arrays(shape))
    y, pullback = ndpool.vjp(f, x, **arguments)
    direction, dy = random_like(shape, 5), random_like(y.shape, 6)
    eps = 1e-6
    slope = np.vdot(f(x + eps * direction, **arguments) - f(x - eps * direction, **arguments), dy) / (2 * eps)
    assert np.vdot(pullback(dy), direction) == pytest.approx(slope, rel=1e-3, abs=1e-5)


@RANKS
@pytest.mark.parametrize("mode", ["max", "avg"])
@given(data=st.data())
def test_gradients_of_adaptive_bins(mode, rank, data):
    layout = data.draw(st.sampled_from(some.LAYOUTS))
    shape = data.draw(some.batched_shapes(rank, layout))
    size = data.draw(some.one_or_per_axis(rank, st.integers(1, 6)))
    x = data.draw(some.arrays(shape, np.float64))
    geometry = ref.adaptive(shape, ref.spatial_axes(len(shape), rank, layout), size)
    y, pullback = ndpool.vjp(function(f"adaptive_{mode}_pool", rank), x, size, layout=layout)
    dy, dx = random_like(y.shape, 1), random_like(shape, 2)
    np.testing.assert_allclose(pullback(dy), ref.pullback(x, dy, geometry, mode), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pullback.jvp(dx), ref.jvp(x, dx, geometry, mode), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mode", ["max", "min", "sum", "avg"])
@given(data=st.data())
def test_gradients_over_any_axes(mode, data):
    shape, axes = data.draw(some.shapes_and_axes())
    arguments = data.draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    window = arguments.pop("kernel_size")
    x = data.draw(some.arrays(shape, np.float64))
    geometry = attempt(lambda: ref.windows(shape, [axis % len(shape) for axis in axes], window, **arguments))
    assume(geometry is not None)
    y, pullback = ndpool.vjp(ndpool.pool, x, window, mode, axis=axes, fill_value=0.0, **arguments)
    dy, dx = random_like(y.shape, 1), random_like(shape, 2)
    np.testing.assert_allclose(pullback(dy), ref.pullback(x, dy, geometry, mode), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pullback.jvp(dx), ref.jvp(x, dx, geometry, mode), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("layout", some.LAYOUTS)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("mode", ["max", "min", "sum", "avg"])
def test_gradients_of_global_pooling(mode, keepdims, layout):
    x = random_like((2, 3, 4, 5), 0)
    geometry = ref.whole(x.shape, ref.spatial_axes(4, 2, layout))
    y, pullback = ndpool.vjp(ndpool.global_pool, x, mode, layout=layout, keepdims=keepdims)
    dy, dx = random_like(y.shape, 1), random_like(x.shape, 2)
    full = dy.reshape(ref.output_shape(geometry))
    np.testing.assert_allclose(pullback(dy), ref.pullback(x, full, geometry, mode), rtol=1e-12)
    np.testing.assert_allclose(pullback.jvp(dx), ref.jvp(x, dx, geometry, mode).reshape(y.shape), rtol=1e-12)


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@MODES
@given(data=st.data())
def test_gradients_keep_the_dtype_of_the_input(mode, dtype, data):
    f, arguments, shape, geometry, options = data.draw(differentiable_calls(2, mode))
    x = data.draw(some.arrays(shape, dtype))
    y, pullback = ndpool.vjp(f, x, **arguments)
    dy, dx = random_like(y.shape, 1, dtype), random_like(shape, 2, dtype)
    accumulator = unit_roundoff(np.float64 if dtype == np.float64 else np.float32)
    for got, want in [
        (pullback(dy), ref.pullback(x, dy, geometry, mode, **options)),
        (pullback.jvp(dx), ref.jvp(x, dx, geometry, mode, **options)),
    ]:
        assert got.dtype == dtype
        np.testing.assert_allclose(got.astype(np.float64), want, rtol=2 * unit_roundoff(dtype), atol=1000 * accumulator)


@pytest.mark.parametrize("name", ["max_pool2d", "min_pool2d", "adaptive_max_pool2d"])
def test_with_indices_the_cotangent_is_that_of_the_values_alone(name):
    x = random_like((2, 3, 8, 8), 0)
    f = getattr(ndpool, name)
    (y, index), pullback = ndpool.vjp(f, x, 2, return_indices=True)
    plain, plainly = ndpool.vjp(f, x, 2)
    np.testing.assert_array_equal(y, plain)
    assert index.dtype == np.int64
    dy = random_like(y.shape, 1)
    assert_selected(pullback(dy), plainly(dy))
    scattered = np.zeros((2, 3, 64))
    np.put_along_axis(scattered, index.reshape(2, 3, -1), dy.reshape(2, 3, -1), -1)
    np.testing.assert_array_equal(pullback(dy), scattered.reshape(x.shape))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_nan_takes_the_gradient_of_the_windows_that_it_wins(mode):
    x = np.array([[[1.0, np.nan, 2.0, np.nan, 3.0, 4.0]]])
    _, pullback = ndpool.vjp(function(f"{mode}_pool", 1), x, 3, 1)
    np.testing.assert_array_equal(pullback(np.array([[[1.0, 2.0, 4.0, 8.0]]])), [[[0, 3, 0, 12, 0, 0]]])


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("kernel", [16, 17, 256, 257, 300])
def test_gradients_of_windows_with_more_cells_than_a_byte_or_two_can_name(kernel, mode):
    x = random_like((1, 2, kernel + 1, kernel + 2), kernel)
    y, pullback = ndpool.vjp(function(f"{mode}_pool", 2), x, kernel, 1)
    dy = random_like(y.shape, 1)
    want = np.zeros_like(x)
    for out in np.ndindex(*y.shape):
        block = (*out[:2], slice(out[2], out[2] + kernel), slice(out[3], out[3] + kernel))
        if mode == "avg":
            want[block] += dy[out] / kernel**2
        else:
            place = np.unravel_index(x[block].argmax(), (kernel, kernel))
            want[(*out[:2], out[2] + place[0], out[3] + place[1])] += dy[out]
    np.testing.assert_allclose(pullback(dy), want, rtol=1e-12, atol=1e-13)


def test_a_mean_in_another_dtype_pulls_back_to_the_dtype_of_the_input():
    x = random_like((1, 2, 4, 4), 0, np.float32)
    y, pullback = ndpool.vjp(ndpool.avg_pool2d, x, 2, dtype=np.float64)
    assert (y.dtype, pullback(y).dtype, pullback.jvp(x).dtype) == (np.float64, np.float32, np.float64)


def test_cotangents_and_tangents_are_array_likes():
    x = np.array([[[1.0, 3.0, 2.0, 5.0]]], np.float32)
    _, pullback = ndpool.vjp(ndpool.max_pool1d, x, 2)
    want = np.array([[[0, 10, 0, 20]]], np.float32)
    for dy in ([[[10, 20]]], np.array([[[10.0, 20.0]]]), np.array([[[10, 20]]], np.uint8)):
        np.testing.assert_array_equal(pullback(dy), want, strict=True)
    np.testing.assert_array_equal(pullback.jvp([[[1, 2, 3, 4]]]), np.array([[[2, 4]]], np.float32), strict=True)


def test_vjp_writes_its_result_into_out():
    x, out = random_like((1, 2, 4, 4), 0), np.zeros((1, 2, 2, 2))
    y, pullback = ndpool.vjp(ndpool.max_pool2d, x, 2, out=out)
    assert y is out
    np.testing.assert_array_equal(pullback.jvp(x), out)


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_only_floats_have_a_gradient(dtype):
    for f in (ndpool.max_pool2d, ndpool.avg_pool2d):
        with pytest.raises(TypeError):
            ndpool.vjp(f, np.ones((1, 1, 4, 4), dtype), 2)


def test_a_count_has_no_gradient():
    with pytest.raises(TypeError):
        ndpool.vjp(ndpool.pool, np.ones((4, 4)), 2, "count")


def test_a_pullback_may_be_called_again_and_does_not_look_at_the_input_again():
    x = random_like((2, 3, 8, 8), 0)
    y, pullback = ndpool.vjp(ndpool.max_pool2d, x, 3, 2, 1)
    dy = random_like(y.shape, 1)
    first = pullback(dy)
    x[...] = 0
    y[...] = 0
    assert_selected(pullback(dy), first)
    assert_selected(pullback(2 * dy), 2 * first)


@pytest.mark.parametrize(
    "shape", [(0, 0, 0, 0), (), (1,), (1, 1, 1), (1, 1, 2, 1), (1, 2, 1, 1), (1, 1, 1, 1, 1), (1, 1, 1, 0)]
)
@pytest.mark.parametrize("mode", ["max", "min", "avg"])
def test_a_cotangent_of_another_shape_is_refused(mode, shape):
    """CVE-2021-29579 and CVE-2021-37674: a gradient of shape (0, 0, 0, 0) read out of bounds."""
    _, pullback = ndpool.vjp(function(f"{mode}_pool", 2), np.ones((1, 1, 1, 1)), 1)
    with pytest.raises(ValueError):
        pullback(np.ones(shape))
    with pytest.raises(ValueError):
        pullback.jvp(np.ones(shape))


@pytest.mark.parametrize("bad", ["text", None, object(), np.ones((1, 1, 1, 1), complex)])
def test_a_cotangent_of_another_type_is_refused(bad):
    _, pullback = ndpool.vjp(ndpool.max_pool2d, np.ones((1, 1, 1, 1)), 1)
    with pytest.raises(TypeError):
        pullback(bad)


@pytest.mark.parametrize("f", [None, 3, "max_pool2d", np.max, lambda x: x])
def test_only_functions_of_this_package_are_differentiated(f):
    with pytest.raises(TypeError):
        ndpool.vjp(f, np.ones((1, 1, 4, 4)), 2)


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_an_empty_batch_has_an_empty_gradient(mode):
    y, pullback = ndpool.vjp(function(f"{mode}_pool", 2), np.ones((0, 3, 8, 8)), 2)
    assert y.shape == (0, 3, 4, 4)
    assert pullback(y).shape == (0, 3, 8, 8)
    assert pullback.jvp(np.ones((0, 3, 8, 8))).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("lanes", [1, 20])
@pytest.mark.parametrize("mode", ["max", "min", "sum", "avg"])
def test_windows_that_all_miss_the_array_have_a_gradient_of_zeros(mode, lanes):
    x = np.ones((2, lanes))
    y, pullback = ndpool.vjp(ndpool.pool, x, 1, mode, axis=0, stride=8, padding=6, fill_value=7.0)
    np.testing.assert_array_equal(y, np.full((2, lanes), 7.0))
    np.testing.assert_array_equal(pullback(np.ones_like(y)), np.zeros_like(x))
    np.testing.assert_array_equal(pullback.jvp(x), np.zeros_like(y))


@pytest.mark.parametrize("mode", ["max", "min", "avg"])
@given(data=st.data())
def test_every_refused_window_is_refused_by_vjp_too(mode, data):
    shape = data.draw(some.batched_shapes(2))
    arguments = data.draw(some.window_arguments(2, shape[-2:]))
    x = np.zeros(shape)
    agrees(
        lambda: ndpool.vjp(function(f"{mode}_pool", 2), x, **arguments)[0],
        lambda: oracle(x, 2, mode, "channels_first", arguments, include_pad=True),
        lambda got, want: np.testing.assert_array_equal(got, np.zeros(want.values.shape), strict=True),
    )


@pytest.mark.parametrize(("x_dtype", "y_dtype"), [(np.float64, np.float16), (np.float16, np.float64)])
def test_a_gradient_is_rounded_to_the_dtype_of_the_input_alone(x_dtype, y_dtype):
    x = np.ones(3, x_dtype)
    _, pullback = ndpool.vjp(ndpool.pool, x, 3, "avg", dtype=y_dtype)
    dx = pullback(np.ones(1))
    assert dx.dtype == x_dtype
    np.testing.assert_array_equal(dx, np.full(3, 1 / 3).astype(x_dtype))
    tangent = pullback.jvp(np.full(3, 0.1))
    assert tangent.dtype == y_dtype
    mean = np.full(3, x_dtype(0.1)).astype(np.float64).sum() / 3
    np.testing.assert_array_equal(tangent, np.array([mean]).astype(y_dtype))


def test_an_adaptive_size_of_zero_has_an_empty_result_and_a_gradient_of_zeros():
    x = np.ones((1, 2, 4, 5))
    for f in (ndpool.adaptive_avg_pool2d, ndpool.adaptive_max_pool2d):
        y, pullback = ndpool.vjp(f, x, (0, 3))
        assert y.shape == (1, 2, 0, 3)
        np.testing.assert_array_equal(pullback(y), np.zeros_like(x))
        assert pullback.jvp(x).shape == y.shape
