"""Token pooling: its seven modes against their definitions, their gradients, and what is refused."""

import ml_dtypes
import ndpool
import numpy as np
import pytest
import reference_readout as ref
import strategies as some
from checks import assert_selected, averaged_dtype, unit_roundoff
from checks_readout import assert_gradients, assert_threads_do_not_matter, normal
from hypothesis import given
from hypothesis import strategies as st
from test_errors import message_of

CHOSEN = ["max", "cls", "last"]
AVERAGED = ["mean", "weighted_mean", "mean_sqrt_len", "std"]
MODES = CHOSEN + AVERAGED
EVERY_MODE = pytest.mark.parametrize("mode", MODES)
X = np.arange(24.0).reshape(2, 3, 4)


@st.composite
def masks(draw, shape):
    """Draw a mask for tokens of ``shape``, of any form that is allowed; or None."""
    kind = draw(st.sampled_from(["none", "bool", "int", "row", "all", "nothing"]))
    if kind == "none":
        return None
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = generator.random(shape[:-1]) < 0.6
    if kind == "int":
        return draw(some.memory_layouts())(mask.astype(draw(st.sampled_from(some.INTEGERS))))
    if kind == "row":
        return mask.reshape(-1, shape[-2])[0] if mask.size else mask
    if kind in {"all", "nothing"}:
        return np.full(mask.shape, kind == "all")
    return draw(some.memory_layouts())(mask)


@st.composite
def calls(draw, dtype, *, special=False):
    """``(x, mask)``."""
    batch = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    shape = (*batch, draw(st.integers(1, 9)), draw(st.sampled_from([0, 1, 2, 5])))
    return draw(some.memory_layouts())(draw(some.arrays(shape, dtype, special=special))), draw(masks(shape))


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CHOSEN)
@pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
@given(data=st.data())
def test_chosen_tokens_are_those_of_the_definition_bit_for_bit(dtype, mode, data):
    x, mask = data.draw(calls(dtype, special=dtype.kind not in "iu"))
    want = ref.token_pool(x.astype(dtype), mask, mode)
    assert_selected(ndpool.token_pool(x, mask, mode), want)
    out = np.ones_like(want)
    assert ndpool.token_pool(x, mask, mode, out=out) is out
    assert_selected(out, want)


@pytest.mark.parametrize("mode", AVERAGED)
@pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
@given(data=st.data())
def test_averages_are_those_of_the_definition(dtype, mode, data):
    x, mask = data.draw(calls(dtype))
    want = ref.token_pool(x, mask, mode)
    result = averaged_dtype(dtype)
    got = ndpool.token_pool(x, mask, mode)
    assert got.dtype == result
    assert got.shape == want.shape
    scale = np.abs(x.astype(np.float64)).max(initial=1)
    error = 2 * unit_roundoff(result) * np.abs(want) + float(ml_dtypes.finfo(result).smallest_subnormal)
    assert (np.abs(got.astype(np.float64) - want) <= error + 1e-13 * scale).all()
    out = np.ones(want.shape, result)
    assert ndpool.token_pool(x, mask, mode, out=out) is out
    np.testing.assert_array_equal(out, got)


def test_what_each_mode_gives():
    x = np.array([[1.0, 4.0], [3.0, 2.0], [5.0, 0.0], [99.0, 99.0]])
    mask = [True, True, True, False]
    for mode, want in {
        "mean": [3, 2],
        "max": [5, 4],
        "cls": [1, 4],
        "last": [5, 0],
        "weighted_mean": [22 / 6, 8 / 6],
        "mean_sqrt_len": [9 / 3**0.5, 6 / 3**0.5],
        "std": [(8 / 3) ** 0.5, (8 / 3) ** 0.5],
    }.items():
        np.testing.assert_allclose(ndpool.token_pool(x, mask, mode), want, rtol=1e-15)
    np.testing.assert_array_equal(ndpool.token_pool(x, mask), [3, 2])
    # The mask may leave out tokens anywhere; places are those in the sample.
    mask = [[0, 1, 0, 1]]
    np.testing.assert_array_equal(ndpool.token_pool(x[None], mask, "cls"), x[[1]])
    np.testing.assert_array_equal(ndpool.token_pool(x[None], mask, "last"), x[[3]])
    np.testing.assert_array_equal(ndpool.token_pool(x[None], mask, "weighted_mean"), (2 * x[[1]] + 4 * x[[3]]) / 6)


@EVERY_MODE
def test_a_sample_without_valid_tokens_gives_zeros_and_no_gradient(mode):
    x = np.full((2, 3, 4), np.nan)
    x[1] = X[1]
    y, pullback = ndpool.vjp(ndpool.token_pool, x, [[0, 0, 0], [1, 0, 1]], mode)
    assert (y[0] == 0).all()
    assert np.isfinite(y).all()
    dx = pullback(np.ones_like(y))
    assert (dx[0] == 0).all()
    assert (dx[1, 1] == 0).all()
    assert np.isfinite(pullback.jvp(np.ones_like(x))).all()


@EVERY_MODE
def test_what_is_masked_out_is_never_looked_at(mode):
    x = normal((4, 50, 7), 0)
    mask = normal((4, 50), 1) < 0.5
    spoiled = np.where(mask[..., None], x, np.nan)
    y, pullback = ndpool.vjp(ndpool.token_pool, x, mask, mode)
    z, spoiled_pullback = ndpool.vjp(ndpool.token_pool, spoiled, mask, mode)
    np.testing.assert_array_equal(y, z)
    np.testing.assert_array_equal(pullback(y), spoiled_pullback(y))
    np.testing.assert_array_equal(pullback.jvp(x), spoiled_pullback.jvp(spoiled))


def test_nan_stays_in_its_channel_and_ties_go_to_the_first():
    x = X.copy()
    x[0, 1, 2] = np.nan
    for mode in ["mean", "max", "weighted_mean", "mean_sqrt_len", "std"]:
        assert np.argwhere(np.isnan(ndpool.token_pool(x, mode=mode))).tolist() == [[0, 2]]
    _, pullback = ndpool.vjp(ndpool.token_pool, np.array([[1.0, np.nan], [2.0, 3.0], [2.0, np.nan]]), mode="max")
    np.testing.assert_array_equal(pullback([5.0, 7.0]), [[0, 7], [5, 0], [0, 0]])


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_equal_tokens_deviate_by_exactly_0_and_have_no_gradient(dtype):
    x = np.full((2, 5, 3), 0.1, dtype)
    y, pullback = ndpool.vjp(ndpool.token_pool, x, mode="std")
    assert (y == 0).all()
    assert (pullback(np.ones_like(y)) == 0).all()
    assert (pullback.jvp(normal(x.shape, 0, dtype)) == 0).all()
    assert (ndpool.token_pool(x[:, :1], mode="std") == 0).all()


def test_a_deviation_far_from_zero_keeps_its_digits():
    x = normal((3, 1000, 4), 0)
    np.testing.assert_allclose(ndpool.token_pool(x + 1e9, mode="std"), np.std(x + 1e9, axis=1), rtol=1e-9)
    assert ndpool.token_pool(np.array([[1e200], [1e200]]), mode="std") == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EVERY_MODE
def test_samples_that_are_cut_into_parts(mode, dtype):
    """More numbers than one task takes, and more channels than one strip; masked in places."""
    for shape in [(1, 9000, 1030), (2, 5_000_000, 1)]:
        x = normal(shape, 0, np.float32).astype(dtype)
        mask = np.ones(shape[:2], bool)
        mask[0, : shape[1] // 2 + 3] = False
        valid = x[0, shape[1] // 2 + 3 :].astype(np.float64)
        place = np.arange(shape[1] // 2 + 4, shape[1] + 1.0)[:, None]
        want = {
            "mean": lambda v=valid: v.mean(0),
            "max": lambda v=valid: v.max(0),
            "cls": lambda v=valid: v[0],
            "last": lambda v=valid: v[-1],
            "weighted_mean": lambda v=valid, p=place: (v * p).sum(0) / p.sum(),
            "mean_sqrt_len": lambda v=valid: v.sum(0) / len(v) ** 0.5,
            "std": lambda v=valid: v.std(0),
        }[mode]()
        y, pullback = ndpool.vjp(ndpool.token_pool, x, mask, mode)
        np.testing.assert_allclose(y[0], want, rtol=1e-6 if dtype == "float32" else 1e-10, atol=1e-8)
        dx = pullback(np.ones_like(y))
        assert not dx[~mask].any()
        if mode != "std":
            whole = {"mean_sqrt_len": mask.sum(1, keepdims=True) ** 0.5}.get(mode, 1)
            np.testing.assert_allclose(dx.sum(1, dtype=np.float64) - whole, 0, atol=1e-4)
        np.testing.assert_allclose(
            np.vdot(pullback.jvp(x), np.ones_like(y)),
            np.vdot(x, dx),
            rtol=1e-4,
            atol=1e-2 if dtype == "float32" else 1e-8,
        )


@EVERY_MODE
def test_threads_do_not_matter(mode):
    x = normal((5, 300, 200), 0, np.float32)
    assert_threads_do_not_matter(ndpool.token_pool, x, normal((5, 300), 1) < 1, mode)


@pytest.mark.parametrize("mode", ["mean", "max", "std"])
def test_threads_do_not_matter_to_a_sample_in_parts(mode):
    assert_threads_do_not_matter(ndpool.token_pool, normal((5000, 1100), 0, np.float32), None, mode)


def test_broadcast_tokens_are_read_in_place():
    x = np.broadcast_to(np.arange(3, dtype=np.float32), (2, 1 << 20, 3))
    for mode in ["mean", "max", "cls", "last", "weighted_mean"]:
        np.testing.assert_allclose(ndpool.token_pool(x, mode=mode), [[0, 1, 2]] * 2, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


@EVERY_MODE
@given(data=st.data())
def test_gradients(mode, data):
    x, mask = data.draw(calls(np.dtype(np.float64)))
    x = data.draw(some.memory_layouts())(data.draw(some.distinct_arrays(x.shape)))
    if mode == "std":
        x = x + normal(x.shape, 9) / 4
    assert_gradients(ndpool.token_pool, {"x": x}, 1e-4, mask=mask, mode=mode)


@EVERY_MODE
@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
def test_cotangents_have_the_dtype_and_memory_order_of_tokens(dtype, mode):
    x = normal((3, 4, 5), 0).astype(dtype).transpose(2, 0, 1)
    y, pullback = ndpool.vjp(ndpool.token_pool, x, mode=mode)
    wide, wide_pullback = ndpool.vjp(ndpool.token_pool, x.astype(np.float64), mode=mode)
    dx = pullback(np.ones_like(y))
    assert (dx.dtype, dx.strides) == (dtype, x.strides)
    assert pullback.jvp(x).dtype == dtype
    tolerance = 8 * unit_roundoff(dtype)
    want = wide_pullback(np.ones_like(wide))
    np.testing.assert_allclose(dx.astype(np.float64), want, rtol=tolerance, atol=tolerance)


@EVERY_MODE
def test_a_pullback_does_not_look_at_its_inputs_again(mode):
    x, mask = X.copy(), np.array([[1, 1, 0], [1, 1, 1]])
    y, pullback = ndpool.vjp(ndpool.token_pool, x, mask, mode)
    first = pullback(y)
    x[...], mask[...] = -1, 0
    np.testing.assert_array_equal(pullback(y), first)


@EVERY_MODE
def test_empty_results_have_empty_gradients(mode):
    for shape in [(0, 3, 4), (2, 3, 0), (3, 0)]:
        y, pullback = ndpool.vjp(ndpool.token_pool, np.ones(shape), mode=mode)
        assert y.shape == (*shape[:-2], shape[-1])
        assert pullback(y).shape == shape
        assert pullback.jvp(np.ones(shape)).shape == y.shape


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (ValueError, {"mode": "avg"}, "mode: 'avg' must be 'mean', "),
        (TypeError, {"mode": None}, "mode: None must be a str"),
        (TypeError, {"mode": ["mean"]}, "mode: ['mean'] must be a str"),
        (ValueError, {"x": np.ones(3)}, "x: an array of shape (3,) must have 3 axes"),
        (ValueError, {"x": 1.0}, "x: an array of shape () must have 3 axes"),
        (ValueError, {"x": np.ones((1, 2, 3, 4))}, "x: an array of shape (1, 2, 3, 4) must have 3 axes"),
        (ValueError, {"x": np.ones((2, 0, 4))}, "x: an array of shape (2, 0, 4) must have a token"),
        (TypeError, {"x": np.ones((2, 3, 4), complex)}, "x: "),
        (TypeError, {"x": "text"}, "x: "),
        (TypeError, {"mask": np.ones((2, 3))}, "mask: an array of float64 must be of bool"),
        (ValueError, {"mask": np.full((2, 3), 2)}, "mask: 2 must be 0 or 1"),
        (ValueError, {"mask": np.full((2, 3), -1)}, "mask: -1 must be 0 or 1"),
        (ValueError, {"mask": np.ones((3, 2), bool)}, "mask: an array of shape (3, 2) must have the shape of x"),
        (ValueError, {"mask": np.ones((2, 3, 4), bool)}, "mask: an array of shape (2, 3, 4) must have the shape of x"),
        (ValueError, {"mask": np.ones((2, 3, 1), bool)}, "mask: an array of shape (2, 3, 1) must have the shape of x"),
        (TypeError, {"mask": "text"}, "mask: "),
        (ValueError, {"out": np.full((2, 4), -9.0, np.float32)}, "out: an array of dtype float32"),
        (ValueError, {"out": np.full((4, 2), -9.0)}, "out: an array of shape (4, 2)"),
        (ValueError, {"out": (np.full((2, 4), -9.0),) * 2}, "out: a tuple of 2"),
        (TypeError, {"out": "text"}, "out: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(kind, arguments, message):
    out = np.full((2, 4), -9.0)
    arguments = {"x": X, "out": out, **arguments}
    assert message_of(kind, lambda: ndpool.token_pool(**arguments)).startswith(message)
    assert (out == -9).all()


def test_out_may_share_memory_with_no_input():
    x, mask = np.arange(8).reshape(2, 2, 2), np.zeros((2, 2), np.int64)
    for out in [x[:, 0], mask]:
        message = message_of(ValueError, lambda o=out: ndpool.token_pool(x, mask, "max", out=o))
        assert message == "out: an array must not share memory with an input"
    np.testing.assert_array_equal(x, np.arange(8).reshape(2, 2, 2))
    assert (mask == 0).all()


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
@EVERY_MODE
def test_only_floats_have_a_gradient(mode, dtype):
    assert "x: " in message_of(TypeError, lambda: ndpool.vjp(ndpool.token_pool, X.astype(dtype), mode=mode))


def test_absurd_sizes_fail_at_once():
    x = np.broadcast_to(np.float32(1), (2, 2**33, 2))
    message = message_of(ValueError, lambda: ndpool.vjp(ndpool.token_pool, x, mode="max"))
    assert message.startswith(f"x: {2**33} tokens are too many")
    # Before a mask of as many is looked at, which would take seconds.
    x, mask = np.broadcast_to(np.float32(1), (2**34, 2)), np.broadcast_to(True, 2**34)
    for mode in ("max", "cls", "last"):
        message = message_of(ValueError, lambda m=mode: ndpool.token_pool(x, mask, m))
        assert message.startswith(f"x: {2**34} tokens are too many")
    x = np.broadcast_to(np.int8(1), (2**40, 1, 2**20))
    for mode in MODES:
        with pytest.raises((MemoryError, ValueError)):
            ndpool.token_pool(x, mode=mode)
    x = np.broadcast_to(np.int8(1), (2**31, 2**31, 1))
    with pytest.raises((MemoryError, ValueError)):
        ndpool.token_pool(x, np.broadcast_to(True, (2**31, 2**31)))
