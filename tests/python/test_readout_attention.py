"""Attention pooling and gated attention pooling against their definitions, their gradients, and extremes."""

import ndpool
import numpy as np
import pytest
import reference_readout as ref
import strategies as some
from checks import averaged_dtype, unit_roundoff
from checks_readout import assert_gradients, assert_threads_do_not_matter, normal
from hypothesis import given
from hypothesis import strategies as st

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@st.composite
def attention_calls(draw, dtypes=(FLOAT64,)):
    """Draw ``(arrays by name, options)``, each array of one of ``dtypes`` and in any memory order."""
    heads = draw(st.integers(1, 3))
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    length, queries = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    with_key, with_value = draw(st.booleans()), draw(st.booleans())
    d = draw(st.integers(1, 3)) * (1 if with_key and with_value else heads)
    e = draw(st.integers(1, 3)) * heads if with_key else d
    own = batch if draw(st.booleans()) else ()
    shapes = {"x": (*batch, length, d), "query": (*own, queries, e)}
    if with_key:
        shapes["key_weight"] = (d, e)
    if with_value:
        shapes["value_weight"] = (d, draw(st.integers(1, 3)) * heads)
    seed = draw(st.integers(0, 2**32 - 1))
    arrays = {}
    for number, (name, shape) in enumerate(shapes.items()):
        dtype = draw(st.sampled_from(list(dtypes)))
        scaled = normal(shape, [seed, number]) * (1 if dtype.kind not in "iub" else 2)
        arrays[name] = draw(some.memory_layouts())(scaled.astype(dtype))
    mask = normal((*batch, length), [seed, 9]) < 0.5 if draw(st.booleans()) else None
    options = {"num_heads": heads, "mask": mask}
    if draw(st.booleans()):
        options["scale"] = draw(st.sampled_from([0, 0.3, -2.0, np.float32(0.5), 3]))
    return arrays, options


@st.composite
def gated_calls(draw, dtypes=(FLOAT64,)):
    """Draw ``(arrays by name, options)``."""
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    length, d, m = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    scores = draw(st.sampled_from([(), (1,), (3,)]))
    shapes = {"x": (*batch, length, d), "v": (d, m), "u": (d, m), "w": (m, *scores)}
    seed = draw(st.integers(0, 2**32 - 1))
    arrays = {}
    for number, (name, shape) in enumerate(shapes.items()):
        dtype = draw(st.sampled_from(list(dtypes)))
        arrays[name] = draw(some.memory_layouts())((normal(shape, [seed, number]) * 1.5).astype(dtype))
    mask = normal((*batch, length), [seed, 9]) < 0.5 if draw(st.booleans()) else None
    return arrays, {"mask": mask}


def promoted(arrays):
    """Return the dtype of the result: what NumPy promotes floats to; integers count as float64."""
    dtypes = {averaged_dtype(array.dtype).newbyteorder("=") for array in arrays}
    if len(dtypes) == 1:
        return dtypes.pop()
    return FLOAT64 if FLOAT64 in dtypes else FLOAT32


def assert_close(got, want, dtype):
    """Compare with float64: computed in float32 at least, rounded once."""
    assert got.dtype == dtype
    assert got.shape == want.shape
    error = unit_roundoff(dtype) + 100 * unit_roundoff(FLOAT64 if dtype == FLOAT64 else FLOAT32)
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=2 * error, atol=40 * error)


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_attention_is_that_of_the_definition(data):
    arrays, options = data.draw(attention_calls(some.FLOATS + some.INTEGERS[:2] + [some.BOOL]))
    want, want_weights = ref.attention_pool(**arrays, **options)
    dtype = promoted(list(arrays.values()))
    values, weights = ndpool.attention_pool(**arrays, **options, return_weights=True)
    assert_close(values, want, dtype)
    assert_close(weights, want_weights, dtype)
    np.testing.assert_array_equal(ndpool.attention_pool(**arrays, **options), values)
    out = np.ones_like(values), np.ones_like(weights)
    got = ndpool.attention_pool(**arrays, **options, return_weights=True, out=out)
    assert got[0] is out[0]
    assert got[1] is out[1]
    np.testing.assert_array_equal(out[0], values)
    np.testing.assert_array_equal(out[1], weights)


@given(data=st.data())
def test_gated_attention_is_that_of_the_definition(data):
    arrays, options = data.draw(gated_calls(some.FLOATS + some.INTEGERS[:2] + [some.BOOL]))
    got = ndpool.gated_attention_pool(**arrays, **options)
    assert_close(got, ref.gated_attention_pool(**arrays, **options), promoted(list(arrays.values())))
    out = np.ones_like(got)
    assert ndpool.gated_attention_pool(*arrays.values(), **options, out=out) is out
    np.testing.assert_array_equal(out, got)


@pytest.mark.parametrize("kinds", [(a, b) for a in some.FLOATS for b in some.FLOATS], ids=str)
def test_the_dtype_is_what_numpy_promotes_to(kinds):
    x, query = normal((2, 3, 4), 0).astype(kinds[0]), normal((1, 4), 1).astype(kinds[1])
    y, pullback = ndpool.vjp(ndpool.attention_pool, x, query)
    assert y.dtype == promoted([x, query])
    assert [cotangent.dtype for cotangent in pullback(y)] == list(kinds)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_tokens_are_read_in_blocks_and_segments(dtype, weighted, heads):
    """The largest score comes late in some samples and early in others; blocks and segments end in the middle."""
    n, length, d = 2, 70_000, 8
    x = normal((n, length, d), 0).astype(dtype)
    x[0, -3] *= 9
    x[1, 5] *= 9
    mask = normal((n, length), 1) < 1
    arrays = {"x": x, "query": normal((2, d), 2).astype(dtype)}
    if weighted:
        arrays |= {
            "key_weight": normal((d, d), 3).astype(dtype),
            "value_weight": normal((d, 2 * heads), 4).astype(dtype),
        }
    want, want_weights = ref.attention_pool(**arrays, num_heads=heads, mask=mask)
    got, weights = ndpool.attention_pool(**arrays, num_heads=heads, mask=mask, return_weights=True)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(weights, want_weights, rtol=1e-3 if dtype == "float32" else 1e-11, atol=tolerance)
    assert (weights.swapaxes(1, -1)[~mask] == 0).all()
    if dtype == "float64":
        _, pullback = ndpool.vjp(ndpool.attention_pool, **arrays, num_heads=heads, mask=mask)
        tangents = [normal(array.shape, seed) for seed, array in enumerate(arrays.values(), 5)]
        dy = normal(got.shape, 9)
        cotangents = pullback(dy)
        assert (cotangents[0][~mask] == 0).all()
        backwards = sum(np.vdot(t, c) for t, c in zip(tangents, cotangents, strict=True))
        np.testing.assert_allclose(np.vdot(pullback.jvp(*tangents), dy), backwards, rtol=1e-9)


def test_many_tokens_of_gated_attention():
    x, v, u, w = normal((1, 70_000, 6), 0), normal((6, 5), 1), normal((6, 5), 2), normal((5, 2), 3) * 4
    mask = normal((1, 70_000), 4) < 1
    y, pullback = ndpool.vjp(ndpool.gated_attention_pool, x, v, u, w, mask=mask)
    np.testing.assert_allclose(y, ref.gated_attention_pool(x, v, u, w, mask), rtol=1e-11, atol=1e-12)
    tangents = [normal(array.shape, seed) for seed, array in enumerate((x, v, u, w), 5)]
    cotangents = pullback(y)
    assert (cotangents[0][~mask] == 0).all()
    backwards = sum(np.vdot(t, c) for t, c in zip(tangents, cotangents, strict=True))
    np.testing.assert_allclose(np.vdot(pullback.jvp(*tangents), y), backwards, rtol=1e-9)


def test_the_readout_of_a_vision_transformer():
    """CLIP's shape of arguments: tokens of 768 channels, 8 heads."""
    x, query = normal((4, 196, 768), 0, np.float32), normal((1, 768), 1, np.float32)
    weights = [normal((768, 768), seed, np.float32) / 28 for seed in (2, 3)]
    got = ndpool.attention_pool(x, query, key_weight=weights[0], value_weight=weights[1], num_heads=8)
    keys, values = ((x.astype(np.float64) @ w).reshape(4, 196, 8, 96) for w in weights)
    scores = np.einsum("nlhe,he->nhl", keys, query.astype(np.float64).reshape(8, 96)) / 96**0.5
    e = np.exp(scores - scores.max(-1, keepdims=True))
    want = np.einsum("nhl,nlhe->nhe", e / e.sum(-1, keepdims=True), values).reshape(4, 1, 768)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Extremes
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=some.dtype_name)
def test_scores_of_1e30_give_the_largest_token(dtype):
    x = np.array([[[1e30, 1], [-1e30, 2], [5, 3]]], dtype)
    query = np.array([[1, 0], [-1, 0], [0, 1]], dtype)
    got, weights = ndpool.attention_pool(x, query, scale=1.0, return_weights=True)
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(weights[0, 0, :2], [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(got[0, :2], x[0, :2])
    y, pullback = ndpool.vjp(ndpool.attention_pool, x, query[:2], scale=1.0)
    assert all(np.isfinite(cotangent).all() for cotangent in pullback(np.ones_like(y)))
    equal = ndpool.attention_pool(np.array([[[1e30], [1e30]]], dtype), np.ones((1, 1), dtype), scale=-1)
    np.testing.assert_array_equal(equal, np.array([[[1e30]]], dtype))


def assert_as_in_float64(arrays, rtol, **options):
    """Compare values, cotangents and tangents of float32 arrays with those of float64, of which none overflows."""
    got, pullback = ndpool.vjp(ndpool.attention_pool, **arrays, **options)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    want, of_wide = ndpool.vjp(ndpool.attention_pool, **wide, **options)
    assert got.dtype == np.float32

    def compare(one, same):
        np.testing.assert_allclose(one, same, rtol=rtol, atol=rtol * np.abs(same).max())

    compare(got, want)
    tangents = [normal(array.shape, seed).astype(np.float32) for seed, array in enumerate(arrays.values(), 5)]
    for one, same in zip(pullback(np.ones_like(got)), of_wide(np.ones_like(want)), strict=True):
        compare(one, same)
    compare(pullback.jvp(*tangents), of_wide.jvp(*tangents))


def test_queries_times_keys_beyond_float32_give_the_largest_token():
    x, query, key = (np.array(array, np.float32) for array in ([[[1e-10], [2e-10]]], [[1e20]], [[1e20]]))
    got, pullback = ndpool.vjp(ndpool.attention_pool, x, query, key_weight=key)
    np.testing.assert_array_equal(got, x[:, 1:])
    np.testing.assert_array_equal(pullback(np.ones_like(got))[0], [[[0], [1]]])
    assert not any(cotangent.any() for cotangent in pullback(np.ones_like(got))[1:])
    np.testing.assert_array_equal(pullback.jvp(x + 5, query, key), x[:, 1:] + 5)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (1e20, 1e20, 1e-8), (1e30, 1e25, 1e3), (1e-3, 1e3, 1e34), (1e38, 1, 1e-8)], ids=str
)
def test_scores_of_any_size_are_those_of_float64(sizes, queries, own):
    shapes = {"query": (*[3] * own, queries, 6), "key_weight": (8, 6), "x": (3, 7, 8)}
    numbers = [normal(shape, seed, np.float32) for seed, shape in enumerate(shapes.values())]
    query, key, x = (array.astype(np.float32) * np.float32(size) for array, size in zip(numbers, sizes, strict=True))
    if queries > 1:
        query[..., 0, :] /= sizes[0]  # one of ordinary size beside them
    arrays = {"x": x, "query": query, "key_weight": key, "value_weight": normal((8, 4), 3, np.float32)}
    assert_as_in_float64(arrays, 2e-4, num_heads=2)
    got, weights = ndpool.attention_pool(**arrays, num_heads=2, return_weights=True, mask=normal((3, 7), 9) < 1)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_scores_that_differ_little_are_kept_where_their_rows_overflow():
    arrays = {
        "x": np.array([[[3e-38], [2e-38], [1.5e-38]]], np.float32),
        "query": np.array([[2e19], [1e19]], np.float32),
        "key_weight": np.array([[2e19]], np.float32),
    }
    got, weights = ndpool.attention_pool(**arrays, return_weights=True)
    want = ndpool.attention_pool(**{name: array.astype(float) for name, array in arrays.items()}, return_weights=True)
    np.testing.assert_allclose(got, want[0], rtol=1e-5)
    np.testing.assert_allclose(weights, want[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "x", "query", "key", "scale"),
    [
        (FLOAT64, 1e-280, 1e200, 1e200, 1.0),
        (FLOAT64, 1e300, 1e10, 1e-3, 1.0),
        (FLOAT64, 1e-100, 1e-10, 1e-10, 1e300),
        (FLOAT32, 1e-20, 1.0, 1.0, 1e300),
        (FLOAT32, 1e38, 1e20, 1e-20, -1e30),
    ],
)
def test_scores_near_the_limits(dtype, x, query, key, scale):
    x = np.array([[[x, 0], [2 * x, 1], [-x, 2]]], dtype)
    query, key = np.array([[query]], dtype), np.array([[key], [0]], dtype)
    got, pullback = ndpool.vjp(ndpool.attention_pool, x, query, key_weight=key, scale=scale)
    winner = 1 if scale > 0 else 2
    np.testing.assert_array_equal(got[0, 0], x[0, winner])
    dx, *others = pullback(np.ones_like(got))
    np.testing.assert_array_equal(dx[0], np.arange(3)[:, None] == [winner] * 2)
    assert not any(cotangent.any() for cotangent in others)
    tangent = np.ones_like(x)
    np.testing.assert_array_equal(pullback.jvp(tangent, query, key)[0, 0], [1, 1])


def test_infinity_and_nan_that_are_given_stay():
    x, key = np.array([[[1, 2], [3, 1]]], np.float32), np.eye(2, dtype=np.float32)
    for value in (np.inf, np.nan):
        got = ndpool.attention_pool(x, np.array([[value, 1], [0, 1e30]], np.float32), key_weight=key)
        assert np.isnan(got[0, 0]).all()
        np.testing.assert_array_equal(got[0, 1], x[0, 0])


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=some.dtype_name)
def test_gates_saturate_without_overflow(dtype):
    x = np.array([[[1e30], [-1e30], [0]]], dtype)
    one = np.ones((1, 1), dtype)
    # The first token has tanh 1 and gate 1, so score 1e30; the second and the third have gate or tanh 0.
    got, pullback = ndpool.vjp(ndpool.gated_attention_pool, x, one, one, np.array([1e30], dtype))
    np.testing.assert_array_equal(got, x[:, 0])
    assert all(np.isfinite(cotangent).all() for cotangent in pullback(np.ones_like(got)))
    # Seen from the other side, the second has gate 1 and tanh 1.
    got = ndpool.gated_attention_pool(x, -one, -one, np.array([1e30], dtype))
    np.testing.assert_array_equal(got, x[:, 1])


def test_a_sample_without_valid_tokens_gives_zeros_and_no_gradient():
    x = np.full((2, 3, 4), np.nan)
    x[1] = normal((3, 4), 0)
    mask = [[0, 0, 0], [1, 0, 1]]
    query, v, w = normal((2, 4), 1), normal((4, 3), 2), normal(3, 3)
    values, weights = ndpool.attention_pool(x, query, mask=mask, return_weights=True)
    assert (values[0] == 0).all()
    assert (weights[0] == 0).all()
    assert (weights[1, :, :, 1] == 0).all()
    for f, others in [(ndpool.attention_pool, [query]), (ndpool.gated_attention_pool, [v, v, w])]:
        y, pullback = ndpool.vjp(f, x, *others, mask=mask)
        assert (y[0] == 0).all()
        cotangents = pullback(np.ones_like(y))
        assert all(np.isfinite(cotangent).all() for cotangent in cotangents)
        assert (cotangents[0][0] == 0).all()
        assert (cotangents[0][1, 1] == 0).all()
        assert (pullback.jvp(np.nan_to_num(x), *others)[0] == 0).all()


def test_a_nan_stays_in_its_sample():
    x = normal((3, 5, 4), 0)
    x[1, 2, 3] = np.nan
    got = ndpool.attention_pool(x, normal((2, 4), 1), num_heads=2)
    assert np.argwhere(np.isnan(got)).tolist() == [[1, q, c] for q in (0, 1) for c in (2, 3)]
    got = ndpool.gated_attention_pool(x, normal((4, 3), 1), normal((4, 3), 2), normal(3, 3))
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[[0, 2]]).all()


def test_sizes_of_zero_that_are_not_reduced():
    x = normal((2, 3, 4), 0)
    y, pullback = ndpool.vjp(ndpool.attention_pool, x, np.ones((0, 4)))
    assert y.shape == (2, 0, 4)
    assert [c.shape for c in pullback(y)] == [(2, 3, 4), (0, 4)]
    assert not pullback(y)[0].any()
    assert pullback.jvp(x, np.ones((0, 4))).shape == y.shape
    y, pullback = ndpool.vjp(ndpool.attention_pool, np.ones((0, 3, 4)), np.ones((2, 4)))
    assert y.shape == (0, 2, 4)
    assert [c.any() for c in pullback(y)] == [False, False]
    y, pullback = ndpool.vjp(ndpool.gated_attention_pool, x, np.ones((4, 2)), np.ones((4, 2)), np.ones((2, 0)))
    assert y.shape == (2, 0, 4)
    assert [c.shape for c in pullback(y)] == [(2, 3, 4), (4, 2), (4, 2), (2, 0)]
    y, pullback = ndpool.vjp(ndpool.gated_attention_pool, x[:0], np.ones((4, 2)), np.ones((4, 2)), np.ones(2))
    assert y.shape == (0, 4)
    assert [c.any() for c in pullback(y)] == [False] * 4


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_gradients_of_attention(data):
    arrays, options = data.draw(attention_calls())
    assert_gradients(ndpool.attention_pool, arrays, 1e-4, **options)


@given(data=st.data())
def test_gradients_of_gated_attention(data):
    arrays, options = data.draw(gated_calls())
    assert_gradients(ndpool.gated_attention_pool, arrays, 1e-4, **options)


def test_the_cotangent_is_that_of_the_values_alone():
    x, query = normal((2, 5, 4), 0), normal((1, 4), 1)
    (values, weights), pullback = ndpool.vjp(ndpool.attention_pool, x, query, return_weights=True)
    alone, same = ndpool.vjp(ndpool.attention_pool, x, query)
    assert weights.shape == (2, 1, 1, 5)
    np.testing.assert_array_equal(values, alone)
    for a, b in zip(pullback(values), same(values), strict=True):
        np.testing.assert_array_equal(a, b)


def test_arrays_of_integers_have_no_cotangent():
    x = normal((2, 5, 4), 0)
    y, pullback = ndpool.vjp(ndpool.attention_pool, x, np.ones((1, 4), int), value_weight=normal((4, 2), 1))
    dx, dvalue = pullback(y)
    assert (dx.shape, dvalue.shape) == (x.shape, (4, 2))
    assert pullback.jvp(x, dvalue).shape == y.shape


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_tokens_of_integers_leave_the_gradients_of_the_others(dtype):
    x, mask = (4 * normal((2, 5, 4), 0)).astype(dtype), normal((2, 5), 5) < 1
    query, key, value = normal((1, 4), 1), normal((4, 4), 2), normal((4, 2), 3)
    others = [
        (ndpool.attention_pool, {"query": query}, {"mask": mask}),
        (ndpool.attention_pool, {"query": query, "key_weight": key, "value_weight": value}, {"num_heads": 2}),
        (ndpool.gated_attention_pool, {"v": value, "u": value, "w": normal(2, 4)}, {"mask": mask}),
    ]
    for f, arrays, options in others:
        y, pullback = ndpool.vjp(f, x, **arrays, **options)
        want, of_floats = ndpool.vjp(f, x.astype(np.float64), **arrays, **options)
        np.testing.assert_array_equal(y, want, strict=True)
        assert pullback.arguments == tuple(arrays)
        cotangents = pullback(y) if len(arrays) > 1 else (pullback(y),)
        for one, same in zip(cotangents, of_floats(y)[1:], strict=True):
            np.testing.assert_array_equal(one, same, strict=True)
        tangents = [normal(array.shape, seed) for seed, array in enumerate(arrays.values(), 6)]
        np.testing.assert_array_equal(pullback.jvp(*tangents), of_floats.jvp(np.zeros(x.shape), *tangents))


def test_threads_do_not_matter():
    x, query = normal((6, 500, 96), 0, np.float32), normal((3, 96), 1, np.float32)
    weights = {"key_weight": normal((96, 96), 2, np.float32) / 9, "value_weight": normal((96, 64), 3, np.float32)}
    mask = normal((6, 500), 4) < 1
    assert_threads_do_not_matter(ndpool.attention_pool, x, query, num_heads=8, mask=mask)
    assert_threads_do_not_matter(ndpool.attention_pool, x, query, num_heads=8, **weights)
    assert_threads_do_not_matter(ndpool.attention_pool, normal((1, 80_000, 16), 0), normal((2, 16), 1), num_heads=4)
    v, u, w = normal((96, 32), 5, np.float32), normal((96, 32), 6, np.float32), normal(32, 7, np.float32)
    assert_threads_do_not_matter(ndpool.gated_attention_pool, x, v, u, w, mask=mask)


def test_a_pullback_does_not_look_at_its_inputs_again():
    arrays = [normal((2, 5, 4), 0), normal((1, 4), 1), normal((4, 4), 2), normal((4, 4), 3)]
    mask = np.ones((2, 5), bool)
    x, query, key, value = arrays
    y, pullback = ndpool.vjp(
        ndpool.attention_pool, x, query, key_weight=key, value_weight=value, num_heads=2, mask=mask
    )
    _, gated = ndpool.vjp(ndpool.gated_attention_pool, x, key, value, query[0], mask=mask)
    before = [*pullback(y), *gated(y[:, 0])]
    for array in (*arrays, mask):
        array[...] = 0
    for one, same in zip(before, [*pullback(y), *gated(y[:, 0])], strict=True):
        np.testing.assert_array_equal(one, same)
