"""Pooling to segments: against a loop over segments, its gradients, and everything that can be wrong with ids."""

import threading

import ndpool
import numpy as np
import pytest
import strategies as some
from checks import assert_selected, averaged_dtype, summed_dtype, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from test_errors import FLOATS, OVERFLOWING, TEXTS, label, message_of

MODES = ["sum", "mean", "max", "min", "std", "lse", "softmax"]
X = np.arange(12.0).reshape(4, 3)
IDS = [1, 0, 1, 3]


# ---------------------------------------------------------------------------------------------------------------------
# The reference: a loop over segments
# ---------------------------------------------------------------------------------------------------------------------


def log_mean_exp(rows):
    """Shift by the largest; of exponents next to each other the logarithm is that of one plus a small number."""
    largest = rows.max(0)
    return largest + np.log1p(np.expm1(rows - largest).mean(0))


def soft_mean(rows):
    """Weigh by the exponentials of the rows themselves, shifted by the largest."""
    weights = np.exp(rows - rows.max(0))
    return (rows * weights).sum(0) / weights.sum(0)


REDUCTIONS = {
    "sum": lambda rows: rows.sum(0),
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0),
    "min": lambda rows: rows.min(0),
    "std": lambda rows: rows.std(0),
    "lse": log_mean_exp,
    "softmax": soft_mean,
}


def result_dtype(mode, dtype):
    """Return the dtype of the result."""
    if mode in {"max", "min"}:
        return np.dtype(dtype)
    return summed_dtype(dtype) if mode == "sum" else averaged_dtype(dtype)


def exact_dtype(mode, dtype):
    """Return the dtype in which the reference computes: exact for sums and extremes of integers."""
    if np.dtype(dtype).kind in "iub" and mode in {"sum", "max", "min"}:
        return result_dtype(mode, dtype)
    return np.dtype(np.float64)


def loop(x, ids, mode, count, fill):
    """Reduce the rows of each segment."""
    results = [REDUCTIONS[mode](x[ids == number]) if (ids == number).any() else None for number in range(count)]
    filled = [np.full(x.shape[1:], fill) if result is None else result for result in results]
    return np.stack(filled) if filled else np.zeros((0, *x.shape[1:]))


def assert_pooled(got, want, mode, dtype):
    """Compare extremes and integers exactly, and all else within what another order of summation may differ by."""
    wanted = result_dtype(mode, dtype)
    assert got.dtype == wanted
    assert got.shape == want.shape
    if mode in {"max", "min"} or wanted.kind in "iub":
        np.testing.assert_array_equal(got.astype(want.dtype), want)
        return
    scale = np.abs(want[np.isfinite(want)]).max(initial=1)
    with np.errstate(over="ignore"):
        want = want.astype(wanted).astype(np.float64)
    rounding = 2.0**-24 if wanted == np.float16 else 0
    np.testing.assert_allclose(
        got.astype(np.float64), want, rtol=2 * unit_roundoff(wanted), atol=1e-12 * scale + rounding
    )


@st.composite
def rows_and_ids(draw, dtype, *, distinct=False):
    """``(x, ids, count)``: rows of rank 1 to 3 in any memory order, ids in any order, some of them of no row."""
    rows = draw(st.integers(0, 30))
    inside = draw(st.sampled_from([(), (1,), (3,), (2, 3), (0,), (130,)]))
    x = draw(some.distinct_arrays((rows, *inside))) if distinct else draw(some.arrays((rows, *inside), dtype))
    count = draw(st.integers(1, 12))
    ids = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, count, rows)
    ids = np.sort(ids) if draw(st.booleans()) else ids
    return draw(some.memory_layouts())(x), ids, count


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_every_segment_is_reduced(mode, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, ids, count = data.draw(rows_and_ids(dtype))
    ids = ids.astype(data.draw(st.sampled_from(some.INTEGERS)))
    fill = data.draw(st.sampled_from([None, 0, 1]))
    missing = fill if fill is not None else 0 if mode == "sum" else np.nan
    wanted = result_dtype(mode, dtype)
    arguments = {"num_segments": count, "fill_value": fill}
    if fill is None and mode in {"max", "min"} and wanted.kind in "iub":
        if len(set(ids.tolist())) < count:
            assert "fill_value" in message_of(ValueError, lambda: ndpool.segment_pool(x, ids, mode, **arguments))
            return
        missing = 0
    want = loop(np.asarray(x, dtype).astype(exact_dtype(mode, dtype)), ids, mode, count, missing)
    got = ndpool.segment_pool(x, ids, mode, **arguments)
    assert_pooled(got, want, mode, dtype)
    out = np.full(want.shape, 7).astype(wanted)
    assert ndpool.segment_pool(x, ids, mode, out=out, **arguments) is out
    assert_selected(out, got)
    implied = ndpool.segment_pool(x, ids, mode, fill_value=fill) if x.size else None
    if implied is not None and int(ids.max()) + 1 == count:
        assert_selected(implied, got)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_offsets_are_ids_in_ascending_order(mode, data):
    x, ids, count = data.draw(rows_and_ids(np.dtype(np.float64)))
    ids = np.sort(ids)
    offsets = np.searchsorted(ids, np.arange(count + 1))
    want = ndpool.segment_pool(x, ids, mode, num_segments=count, offsets=False)
    assert_selected(ndpool.segment_pool(x, offsets, mode, offsets=True), want)
    if len(offsets) != len(x):
        assert_selected(ndpool.segment_pool(x, offsets, mode), want)
        assert_selected(ndpool.segment_pool(x, offsets.astype(np.uint8), mode, num_segments=count), want)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inside", [(), (5,), (300,), (7, 40)])
@pytest.mark.parametrize("memory", ["C", "F", "stepped", "reversed"])
def test_segments_that_lie_in_many_blocks(mode, inside, memory):
    rng = np.random.default_rng(0)
    rows = 60_000 if inside == () else 20_000 if inside == (5,) else 900
    x = some.MEMORY[memory](rng.standard_normal((rows, *inside)))
    for ids in (
        np.repeat([0, 1, 4, 5], [3, rows - 700, 690, 7]),
        np.where(rng.random(rows) < 0.9, 2, rng.integers(0, 6, rows)),
    ):
        want = loop(x, ids, mode, 6, np.nan if mode != "sum" else 0)
        assert_pooled(ndpool.segment_pool(x, ids, mode, num_segments=6), want, mode, np.float64)


def test_many_small_segments():
    ids = np.random.default_rng(0).permutation(np.repeat(np.arange(30_000), 2))
    x = np.random.default_rng(1).standard_normal((60_000, 2))
    want = np.zeros((30_000, 2))
    np.add.at(want, ids, x)
    np.testing.assert_allclose(ndpool.segment_pool(x, ids, "sum"), want, rtol=1e-15)
    want = np.full((30_000, 2), -np.inf)
    np.maximum.at(want, ids, x)
    assert_selected(ndpool.segment_pool(x, ids, "max"), want)


def test_few_rows_of_many_segments():
    y = ndpool.segment_pool(np.array([1.0, 2.0, 4.0]), [99_999, 5, 99_999], "sum")
    assert y.shape == (100_000,)
    assert (y[5], y[99_999], y.sum()) == (2.0, 5.0, 7.0)


@pytest.mark.parametrize("mode", MODES)
def test_numbers_that_overflow_or_cancel(mode):
    """What is special stays in its segment, and equal numbers have their own value, exactly."""
    x = np.array([np.nan, 1.0, np.inf, 3.0, 1e30, 1e30, -1e30, 0.1, 0.1, 0.1, -np.inf, 2.0])
    ids = [0, 0, 1, 1, 2, 2, 3, 4, 4, 4, 5, 5]
    y = ndpool.segment_pool(x, ids, mode).tolist()
    assert np.isnan(y[0])
    assert y[1] == {"min": 3.0}.get(mode, np.inf) or (mode == "std" and np.isnan(y[1]))
    assert y[2] == {"sum": 2e30, "std": 0.0}.get(mode, 1e30)
    assert y[3] == {"std": 0.0}.get(mode, -1e30)
    assert y[4] == {"sum": np.float64(0.1) * 3, "std": 0.0, "mean": np.float64(0.1) * 3 / 3}.get(mode, 0.1)
    lse = 2.0 - np.log(2)
    expected = {"max": 2.0, "softmax": 2.0, "lse": lse}.get(mode, -np.inf)
    assert y[5] == pytest.approx(expected, rel=1e-15) or (mode == "std" and np.isnan(y[5]))


def test_exponentials_that_hardly_differ():
    x = np.array([1e-9, 2e-9, 6e-9])
    np.testing.assert_allclose(ndpool.segment_pool(x, [0, 0, 0], "lse"), 3e-9, rtol=1e-8)
    many = np.repeat(x, 30_000)
    np.testing.assert_allclose(ndpool.segment_pool(many, np.zeros(90_000, int), "lse"), 3e-9, rtol=1e-8)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_first_of_equals_wins(mode):
    x = np.array([0.0, -0.0, -0.0, 0.0])
    assert np.signbit(ndpool.segment_pool(x, [0, 0, 1, 1], mode)).tolist() == [False, True]
    _, pullback = ndpool.vjp(ndpool.segment_pool, x, [1, 0, 0, 1], mode)
    assert pullback(np.array([3.0, 4.0])).tolist() == [4.0, 3.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_of_64_bits_are_exact(dtype):
    limits = np.iinfo(dtype)
    x = np.array([limits.max, limits.min, limits.max - 1, limits.max, 1], dtype)
    ids = [0, 1, 0, 1, 0]
    for mode, want in [("max", [limits.max, limits.max]), ("min", [1, limits.min])]:
        assert ndpool.segment_pool(x, ids, mode).tolist() == want
    sums = ndpool.segment_pool(x, ids, "sum")
    assert sums.dtype == dtype
    assert [int(total) % 2**64 for total in sums] == [2 * limits.max % 2**64, (limits.min + limits.max) % 2**64]


def test_a_mean_of_many_is_precise():
    assert ndpool.segment_pool(np.full(2**21, 0.1, np.float32), np.zeros(2**21, np.int8))[0] == np.float32(0.1)
    assert ndpool.segment_pool(np.ones(70_000, np.float16), np.zeros(70_000, int))[0] == 1


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_the_gradient_is_the_derivative(mode, data):
    x, ids, count = data.draw(rows_and_ids(None, distinct=True))
    rng = np.random.default_rng(0)
    y, pullback = ndpool.vjp(ndpool.segment_pool, x, ids, mode, num_segments=count)
    dx, dy = rng.standard_normal(x.shape), rng.standard_normal(y.shape)
    pushed, pulled = pullback.jvp(dx), pullback(dy)
    assert_selected(pullback(dy), pulled)
    rounding = 1e-12 * (1 + np.abs(dx * pulled).sum())
    np.testing.assert_allclose(np.vdot(dx, pulled), np.vdot(pushed, dy), rtol=0, atol=rounding)
    ends = [ndpool.segment_pool(x + step * dx, ids, mode, num_segments=count) for step in (1e-6, -1e-6)]
    with np.errstate(invalid="ignore"):
        slope = (ends[0] - ends[1]) / 2e-6
    # The deviation of one row is 0, where it has a corner.
    counted = np.bincount(ids, minlength=count)
    checked = counted > 1 if mode == "std" else counted > 0
    np.testing.assert_allclose(pushed[checked], slope[checked], rtol=1e-3, atol=1e-5)
    assert not pushed[counted == 0].any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inside", [(), (200,)])
def test_the_gradient_of_segments_in_many_blocks(mode, inside):
    rng = np.random.default_rng(0)
    rows = 50_000 if inside == () else 700
    x, ids = rng.standard_normal((rows, *inside)), rng.integers(0, 3, rows)
    y, pullback = ndpool.vjp(ndpool.segment_pool, x, ids, mode)
    dx, dy = rng.standard_normal(x.shape), rng.standard_normal(y.shape)
    pushed, pulled = pullback.jvp(dx), pullback(dy)
    np.testing.assert_allclose(np.vdot(dx, pulled), np.vdot(pushed, dy), rtol=1e-9)
    step = 1e-6
    ends = [ndpool.segment_pool(x + sign * step * dx, ids, mode) for sign in (1, -1)]
    np.testing.assert_allclose(pushed, (ends[0] - ends[1]) / (2 * step), rtol=1e-3, atol=1e-3)
    x[...] = 0
    assert_selected(pullback(dy), pulled)


@pytest.mark.parametrize("dtype", some.FLOATS, ids=some.dtype_name)
@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_in_every_dtype(mode, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3)).astype(dtype)
    ids = rng.integers(0, 4, 20)
    y, pullback = ndpool.vjp(ndpool.segment_pool, x, ids, mode)
    dy = rng.standard_normal(y.shape).astype(dtype)
    _, exact = ndpool.vjp(ndpool.segment_pool, x.astype(np.float64), ids, mode)
    got, want = pullback(dy), exact(dy.astype(np.float64))
    assert got.dtype == dtype
    rounding = 2 * unit_roundoff(dtype)
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=rounding, atol=rounding * 1e-3)


def test_the_deviation_of_equal_rows_has_gradient_0():
    _, pullback = ndpool.vjp(ndpool.segment_pool, np.full(5, 0.1), [0, 1, 0, 0, 1], "std")
    assert not pullback(np.ones(2)).any()


def test_an_extreme_has_one_winner_even_beside_infinity():
    x = np.array([np.inf, 1.0, 2.0, -np.inf])
    _, pullback = ndpool.vjp(ndpool.segment_pool, x, [0, 0, 1, 1], "max")
    assert pullback.jvp(np.array([1.0, np.nan, 2.0, np.inf])).tolist() == [1.0, 2.0]
    assert pullback(np.array([5.0, 6.0])).tolist() == [5.0, 0.0, 6.0, 0.0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_integers_have_no_gradient(mode, dtype):
    call = lambda: ndpool.vjp(ndpool.segment_pool, np.ones((2, 2), dtype), [0, 0], mode)  # noqa: E731
    assert "gradient" in message_of(TypeError, call)


# ---------------------------------------------------------------------------------------------------------------------
# Threads, memory, and what can be wrong
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_bits_do_not_depend_on_the_number_of_threads(mode):
    rng = np.random.default_rng(0)
    x, ids = rng.standard_normal((9000, 20)).astype(np.float32), rng.integers(0, 7, 9000)

    def everything():
        y, pullback = ndpool.vjp(ndpool.segment_pool, x, ids, mode)
        return y, ndpool.segment_pool(x, np.sort(ids), mode), pullback(y), pullback.jvp(x)

    with ndpool.threads(1):
        want = everything()
    for count in (2, 3, 8):
        with ndpool.threads(count):
            for got, expected in zip(everything(), want, strict=True):
                assert_selected(got, expected)


def test_the_memory_order_of_the_rows_is_kept():
    x = np.asfortranarray(np.ones((6, 4)))
    y, pullback = ndpool.vjp(ndpool.segment_pool, x, [0, 0, 1, 1, 2, 2])
    assert y.flags.f_contiguous
    assert pullback(y).flags.f_contiguous


def test_empty_arrays():
    assert ndpool.segment_pool(np.zeros((0, 3)), []).shape == (0, 3)
    assert ndpool.segment_pool(np.zeros((0, 3)), [0]).shape == (0, 3)
    assert ndpool.segment_pool(np.zeros((0, 3)), [], "sum", num_segments=2).tolist() == [[0, 0, 0]] * 2
    assert np.isnan(ndpool.segment_pool(np.zeros((0, 3)), [], num_segments=2)).all()
    y, pullback = ndpool.vjp(ndpool.segment_pool, np.zeros((5, 0)), [0, 1, 2, 3, 0])
    assert y.shape == (4, 0)
    assert pullback(y).shape == (5, 0)
    assert pullback.jvp(np.zeros((5, 0))).shape == (4, 0)


def test_a_giant_that_is_broadcast():
    x = np.broadcast_to(np.float32(2.0), (3, 2**40, 2**10))
    with pytest.raises((ValueError, MemoryError)):
        ndpool.segment_pool(x, [0, 0, 0])
    assert ndpool.segment_pool(np.broadcast_to(np.int8(1), 2**25), [0, 2**25], "sum").tolist() == [2**25]


@pytest.mark.parametrize("count", [2**40, 2**62, 2**63 - 1])
def test_more_segments_than_memory_are_refused(count):
    for call in (
        lambda: ndpool.segment_pool(X, IDS, num_segments=count),
        lambda: ndpool.segment_pool(X, [0, 1, 2, count - 1]),
    ):
        with pytest.raises((ValueError, MemoryError)):
            call()


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([0, 1, -1, 2], ["-1"]),
        ([0, 1, 2, -0x4000000], ["-67108864"]),
        ([0, 1, 2, 4], ["4", "segments"]),
        (np.array([0, 1, 2**64 - 1, 2], np.uint64), ["18446744073709551615"]),
        ([[0, 1, 2, 3]], ["axis"]),
        (0, ["axis"]),
    ],
)
def test_ids_that_make_no_sense_are_refused(ids, words):
    out = np.full((4, 3), -9.0)
    message = message_of(ValueError, lambda: ndpool.segment_pool(X, ids, num_segments=4, out=out))
    assert message.startswith("segments: ")
    assert all(word in message for word in words)
    assert (out == -9).all()


@pytest.mark.parametrize(
    "offsets", [[], [1, 4], [0, 3], [0, 5], [0, 3, 2, 4, 4], [0, 2, -2, 4, 4], [4, 0], [0, 2**62, 4]]
)
def test_offsets_that_make_no_sense_are_refused(offsets):
    offsets = np.array(offsets, np.int64)
    for options in ({}, {"offsets": True}):
        assert message_of(ValueError, lambda o=options: ndpool.segment_pool(X, offsets, **o)).startswith("segments: ")


def test_what_is_no_id_and_no_offset():
    for call in (
        lambda: ndpool.segment_pool(X, [0, 1, 2], offsets=False),
        lambda: ndpool.segment_pool(X, [0, 2, 4], num_segments=3),
        lambda: ndpool.segment_pool(X, [0, 4], num_segments=2**63 - 1),
    ):
        assert message_of(ValueError, call).startswith("segments: ")


@pytest.mark.parametrize(
    "ids", [[0.0, 1, 2, 3], [True, False, True, True], ["0", "1", "2", "3"], None, object()], ids=label
)
def test_ids_are_integers(ids):
    assert "segments" in message_of(TypeError, lambda: ndpool.segment_pool(X, ids))


def test_an_id_that_another_thread_changes():
    """The checked copy is used: whatever is written meanwhile, nothing is read or written outside."""
    x, ids = np.ones((20_000, 2)), np.zeros(20_000, np.int64)
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            ids[777] = 2**40
            ids[777] = 0

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(60):
            try:
                assert ndpool.segment_pool(x, ids, "sum", num_segments=1).tolist() == [[20_000] * 2]
            except ValueError as error:
                assert str(error).startswith("segments: ")  # noqa: PT017 - either is right
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, object(), (3,)], ids=label)
def test_the_number_of_segments_is_an_integer(value):
    assert "num_segments" in message_of(TypeError, lambda: ndpool.segment_pool(X, IDS, num_segments=value))


@pytest.mark.parametrize("value", [*OVERFLOWING, -1, 0, 3], ids=label)
def test_numbers_of_segments_that_make_no_sense_are_refused(value):
    message_of(ValueError, lambda: ndpool.segment_pool(X, IDS, num_segments=value))


@pytest.mark.parametrize(("mode", "error"), [("avg", ValueError), ("", ValueError), (0, TypeError), (None, TypeError)])
def test_modes(mode, error):
    assert "mode" in message_of(error, lambda: ndpool.segment_pool(X, IDS, mode))


@pytest.mark.parametrize("value", [0, 1, "yes", 2.0], ids=label)
def test_offsets_is_a_flag(value):
    assert "offsets" in message_of(TypeError, lambda: ndpool.segment_pool(X, IDS, offsets=value))


@pytest.mark.parametrize(("value", "error"), [("0", TypeError), ([0], TypeError), (300, ValueError), (0.5, ValueError)])
def test_a_fill_value_fits_the_dtype(value, error):
    x = np.ones(4, np.uint8)
    assert "fill_value" in message_of(error, lambda: ndpool.segment_pool(x, IDS, "max", fill_value=value))


def test_a_number_has_no_rows():
    assert message_of(ValueError, lambda: ndpool.segment_pool(1.0, [0])).startswith("x: ")


def test_an_out_that_does_not_fit_is_refused_and_not_written():
    for out in (np.full((4, 2), -9.0), np.full((4, 3), -9), np.full((4, 3), -9, np.float32)):
        assert "out" in message_of(ValueError, lambda out=out: ndpool.segment_pool(X, IDS, out=out))
        assert (out == -9).all()
    memory = np.zeros(24)
    x, out = memory[:12].reshape(4, 3), memory[3:15].reshape(4, 3)
    assert "out" in message_of(ValueError, lambda: ndpool.segment_pool(x, IDS, out=out))
    ids = np.array([0, 1, 0, 1])
    out = ids.view(np.float64)[:2]
    assert "out" in message_of(ValueError, lambda: ndpool.segment_pool(np.ones(4), ids, out=out))
    assert ids.tolist() == [0, 1, 0, 1]


def test_a_cotangent_of_another_shape_is_refused():
    y, pullback = ndpool.vjp(ndpool.segment_pool, X, IDS)
    for shape in [(), (0,), (4, 1), (*y.shape, 1), y.shape[::-1]]:
        assert message_of(ValueError, lambda shape=shape: pullback(np.ones(shape))).startswith("dy: ")
        assert message_of(ValueError, lambda shape=shape: pullback.jvp(np.ones(shape))).startswith("dx: ")
