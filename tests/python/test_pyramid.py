"""Spatial pyramid pooling: adaptive pooling to several numbers of bins, side by side."""

import math

import ndpool
import numpy as np
import pytest
import strategies as some
from checks import assert_selected, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from test_errors import FLOATS, OVERFLOWING, TEXTS, label, message_of

MODES = pytest.mark.parametrize("mode", ["max", "avg"])
X = np.arange(2 * 3 * 8 * 7, dtype=np.float32).reshape(2, 3, 8, 7)


def joined(x, levels, mode, layout):
    """Join the levels as the literature does: each is flattened channel by channel."""
    pool = ndpool.adaptive_max_pool2d if mode == "max" else ndpool.adaptive_avg_pool2d
    parts = [pool(x, level, layout=layout) for level in levels]
    if layout == "channels_last":
        parts = [np.moveaxis(part, -1, -3) for part in parts]
    return np.concatenate([part.reshape(*part.shape[:-3], math.prod(part.shape[-3:])) for part in parts], axis=-1)


@st.composite
def calls(draw, dtype, *, special=False):
    """``(x, levels, layout)``."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    x = draw(some.arrays(draw(some.batched_shapes(2, layout)), dtype, special=special))
    levels = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return draw(some.memory_layouts())(x), draw(st.sampled_from([levels, tuple(levels), np.array(levels)])), layout


def random_like(shape, seed):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


@MODES
@given(data=st.data())
def test_levels_are_those_of_adaptive_pooling_side_by_side(mode, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, levels, layout = data.draw(calls(dtype, special=True))
    want = joined(x, levels, mode, layout)
    got = ndpool.spatial_pyramid_pool(x, levels, mode, layout=layout)
    assert_selected(got, want)
    out = data.draw(st.sampled_from([np.empty_like(want), some.stepped(want), some.reversed_axes(want)]))
    assert ndpool.spatial_pyramid_pool(x, levels, mode, layout=layout, out=out) is out
    assert_selected(np.array(out), want)


def test_a_pyramid_by_hand():
    x = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]]
    y = ndpool.spatial_pyramid_pool(x, [1, 2, 3])
    assert y.tolist() == [9, 9, 5, 6, 8, 9, 9, 8, 6, 5, *range(1, 10), *range(9, 0, -1)]


def test_images_of_any_size_give_vectors_of_one_length():
    lengths = {ndpool.spatial_pyramid_pool(np.ones((1, 5, h, w)), (4, 2, 1)).shape for h in (1, 7, 30) for w in (3, 13)}
    assert lengths == {(1, 5 * 21)}


@MODES
@given(data=st.data())
def test_the_gradient_is_the_sum_of_those_of_the_levels(mode, data):
    dtype = data.draw(st.sampled_from(some.FLOATS))
    x, levels, layout = data.draw(calls(dtype))
    y, pullback = ndpool.vjp(ndpool.spatial_pyramid_pool, x, levels, mode, layout=layout)
    assert_selected(y, joined(x, levels, mode, layout))
    dy = data.draw(some.memory_layouts())(random_like(y.shape, 1).astype(dtype))
    pool = ndpool.adaptive_max_pool2d if mode == "max" else ndpool.adaptive_avg_pool2d
    channels = x.shape[-1 if layout == "channels_last" else -3]
    want, start = np.zeros(x.shape), 0
    for level in levels:
        end = start + channels * int(level) ** 2
        part = dy[..., start:end].reshape(*y.shape[:-1], channels, level, level)
        start = end
        _, of_level = ndpool.vjp(pool, x.astype(np.float64), level, layout=layout)
        want += of_level(np.moveaxis(part, -3, -1) if layout == "channels_last" else part)
    dx = pullback(dy)
    assert dx.dtype == dtype
    size = max(np.abs(dy.astype(float)).max(initial=0), 1) * 36 * len(levels)
    np.testing.assert_allclose(dx.astype(float), want, rtol=0, atol=4 * unit_roundoff(dtype) * size)


@MODES
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp_and_agrees_with_finite_differences(mode, data):
    x, levels, layout = data.draw(calls(np.dtype(np.float64)))
    x = data.draw(some.distinct_arrays(x.shape))
    y, pullback = ndpool.vjp(ndpool.spatial_pyramid_pool, x, levels, mode, layout=layout)
    v, w = random_like(x.shape, 3), random_like(y.shape, 4)
    forwards, backwards = np.vdot(pullback.jvp(v), w), np.vdot(v, pullback(w))
    assert abs(forwards - backwards) <= 1e-12 * max(np.linalg.norm(v) * np.linalg.norm(w), 1)
    moved = [ndpool.spatial_pyramid_pool(x + eps * v, levels, mode, layout=layout) for eps in (1e-6, -1e-6)]
    assert backwards == pytest.approx(np.vdot(moved[0] - moved[1], w) / 2e-6, rel=1e-3, abs=1e-5)


def test_a_pullback_may_be_called_again_and_does_not_look_at_its_inputs():
    x = random_like((2, 3, 6, 6), 0)
    y, pullback = ndpool.vjp(ndpool.spatial_pyramid_pool, x, (1, 2, 3))
    dy = random_like(y.shape, 1)
    first = pullback(dy)
    kept = first.copy()
    x[...] = 0
    np.testing.assert_array_equal(pullback(dy), kept)
    np.testing.assert_array_equal(first, kept)
    assert repr(pullback) == "<pullback from (2, 42) to (2, 3, 6, 6)>"


def test_nothing_warns_where_cotangents_overflow():
    x = np.ones((1, 1, 2, 2), np.float16)
    y, pullback = ndpool.vjp(ndpool.spatial_pyramid_pool, x, (1, 1))
    with np.errstate(all="raise"):
        dx = pullback(np.full(y.shape, 6e4, np.float16))
    assert np.isinf(dx[0, 0, 0, 0])


@pytest.mark.thread_unsafe
@MODES
def test_bits_do_not_depend_on_the_number_of_threads(mode):
    x = random_like((4, 16, 61, 47), 0).astype(np.float32)

    def everything():
        y, pullback = ndpool.vjp(ndpool.spatial_pyramid_pool, x, (1, 3, 6), mode)
        return y, ndpool.spatial_pyramid_pool(x, (1, 3, 6), mode), pullback(y), pullback.jvp(x)

    with ndpool.threads(1):
        want = everything()
    for count in (2, 3):
        with ndpool.threads(count):
            for got, expected in zip(everything(), want, strict=True):
                assert_selected(got, expected)


# ---------------------------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, None, 2, object(), [2.0], [1, "2"], [None], [[1, 2]]], ids=label)
def test_levels_are_a_sequence_of_integers(value):
    assert message_of(TypeError, lambda: ndpool.spatial_pyramid_pool(X, value)).startswith("levels: ")


@pytest.mark.parametrize("value", [[], (), [0], [1, -1], *[[1, level] for level in OVERFLOWING], [3 * 10**8] * 40])
def test_levels_that_make_no_sense_are_refused(value):
    assert message_of(ValueError, lambda: ndpool.spatial_pyramid_pool(X, value)).startswith("levels: ")


@pytest.mark.parametrize("value", [[2**24], [2**28, 2**28], [1, 2**30], [2**32], [2**62]])
def test_a_result_that_no_memory_holds_is_refused_at_once(value):
    with pytest.raises((ValueError, MemoryError)):
        ndpool.spatial_pyramid_pool(X, value)


def test_modes_are_two():
    for value in ("mean", "", "MAX", "sum"):
        message = message_of(ValueError, lambda value=value: ndpool.spatial_pyramid_pool(X, [1], value))
        for word in ("mode", "avg", "max"):
            assert word in message
    for value in (None, 0, b"max"):
        message = message_of(TypeError, lambda value=value: ndpool.spatial_pyramid_pool(X, [1], value))
        assert message.startswith("mode: ")


@pytest.mark.parametrize("shape", [(), (4,), (4, 6), (2, 4, 6, 6, 6), (2, 4, 0, 6), (2, 4, 6, 0)])
def test_an_array_of_another_rank_or_without_cells_is_refused(shape):
    assert message_of(ValueError, lambda: ndpool.spatial_pyramid_pool(np.ones(shape), [1])).startswith("x: ")


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
@MODES
def test_only_floats_have_a_gradient(mode, dtype):
    x = X.astype(dtype)
    out = np.full((2, 15), 9, dtype if mode == "max" else np.float64)
    call = lambda: ndpool.vjp(ndpool.spatial_pyramid_pool, x, [1, 2], mode, out=out)  # noqa: E731
    assert message_of(TypeError, call).startswith("x: ")
    assert (out == out.flat[0]).all()


@pytest.mark.parametrize("shape", [(), (15,), (2, 14), (2, 3, 5)])
def test_a_cotangent_of_another_shape_is_refused(shape):
    _, pullback = ndpool.vjp(ndpool.spatial_pyramid_pool, X, [1, 2])
    with pytest.raises(ValueError, match="dy"):
        pullback(np.ones(shape))
    with pytest.raises(ValueError, match="dx"):
        pullback.jvp(np.ones(shape))


def test_an_out_that_does_not_fit_or_overlaps_is_refused_and_not_written():
    memory = np.arange(400, dtype=np.float32)
    x = memory[:336].reshape(2, 3, 8, 7)
    for out in (np.full((2, 16), -99, np.float32), np.full((2, 15), -99.0), memory[310:340].reshape(2, 15)):
        before = out.copy()
        assert "out" in message_of(ValueError, lambda out=out: ndpool.spatial_pyramid_pool(x, [1, 2], out=out))
        np.testing.assert_array_equal(out, before)
    out = memory[336:366].reshape(2, 15)
    y, _ = ndpool.vjp(ndpool.spatial_pyramid_pool, x, [1, 2], out=out)
    assert y is out


def test_there_are_at_most_64_levels():
    x = np.ones((1, 1, 3, 3))
    assert ndpool.spatial_pyramid_pool(x, [1] * 64).shape == (1, 64)
    with pytest.raises(ValueError, match="levels: a sequence of 1000000 values must have at most 64"):
        ndpool.spatial_pyramid_pool(x, [1] * 10**6)
