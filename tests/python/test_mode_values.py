"""What is particular to single modes: numerical care, infinite values, choices, drawing, and other libraries."""

import itertools
import math

import formulas as of
import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
import strategies_modes as drawn
from checks import assert_selected
from checks_modes import assert_pooled
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 6, 8))
NAN, INF = math.nan, math.inf


def one(mode, values, dtype=np.float64, **options):
    """Pool a single window and return its value as a Python number."""
    x = np.array(values, dtype)
    return ndpool.pool(x, x.size, mode, **options)[0].item()


# ---------------------------------------------------------------------------------------------------------------------
# Numerical care
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e-320, 1.0])
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 50, INF])
def test_a_norm_does_not_overflow_or_underflow_inside(p, size):
    values = [3 * size, -4 * size, 2 * size, 0]
    parts = [(value / 4) ** p if p < INF else 0 for value in (3, 4, 2, 0)]
    want = 4 * size * (math.fsum(parts) ** (1 / p) if p < INF else 1)
    assert one("lp", values, p=p) == pytest.approx(want, rel=1e-13 if size > 1e-300 else 1e-3)


@pytest.mark.parametrize("size", [1e200, 1e-200, 1.0])
@pytest.mark.parametrize("p", [-50, -3, 0.5, 3, 50, 200])
def test_a_generalised_mean_does_not_overflow_or_underflow_inside(p, size):
    values = [3, 4, 2, 2.5]
    want = size * 4 * (math.fsum((value / 4) ** p for value in values) / 4) ** (1 / p)
    assert one("gem", [value * size for value in values], p=p, eps=0) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", some.BFLOAT16], ids=some.dtype_name)
def test_a_norm_of_narrow_floats_is_rounded_once(dtype):
    largest = np.array(30000 if dtype == "float16" else 2.0**126, dtype)
    values = np.array([largest, largest / 2, 0, largest / 4], dtype)
    want = np.sqrt((values.astype(np.float64) ** 2).sum()).astype(dtype)
    assert abs(one("lp", values, dtype) - float(want)) <= float(np.spacing(want))


@pytest.mark.parametrize("shift", [1e4, -1e4, 0.0, 1e300])
@pytest.mark.parametrize("r", [10, -10, 1, 1e-3])
def test_a_log_mean_exp_is_shifted(r, shift):
    want = shift + math.log((1 + math.exp(-r) + math.exp(-2 * r)) / 3) / r
    assert one("lse", [shift, shift - 1, shift - 2], r=r) == pytest.approx(want, rel=1e-12)
    assert one("lse", [shift] * 5, r=r) == pytest.approx(shift, rel=1e-15)


@pytest.mark.parametrize("beta", [10, -10, 1])
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_a_softmax_is_shifted(shift, beta):
    weights = np.exp(beta * np.array([0.0, -1, -2]) - max(0, -2 * beta))
    want = shift - (weights * [0, 1, 2]).sum() / weights.sum()
    assert one("soft", [shift, shift - 1, shift - 2], beta=beta) == pytest.approx(want, rel=1e-12)
    assert one("soft", [1e4, -1e4], beta=10) == 1e4
    assert one("soft", [1e4, -1e4], beta=-10) == -1e4


@pytest.mark.parametrize("shift", [1e4, -1e4, 700.0])
def test_logits_are_shifted(shift):
    logits = shift + np.array([0.0, -1, -2])
    weights = np.exp([0.0, -1, -2])
    want = (weights * [5, 7, 9]).sum() / weights.sum()
    assert one("lip", [5, 7, 9], g=logits) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize(("mode", "want"), [("var", 2 / 3), ("std", math.sqrt(2 / 3))])
def test_moments_of_large_numbers_that_differ_little(mode, want):
    assert one(mode, [1e8, 1e8 + 1, 1e8 + 2]) == pytest.approx(want, rel=1e-7)
    assert one(mode, [10_000_000, 10_000_001, 10_000_002], np.int32) == pytest.approx(want, rel=1e-8)
    assert one(mode, [2.0**23, 2.0**23 + 1, 2.0**23 + 2], np.float32) == pytest.approx(want, rel=1e-6)
    assert one(mode, [0.1] * 7) == pytest.approx(0, abs=1e-16)


@pytest.mark.parametrize("mode", ["var", "std"])
def test_moments_of_many_cells_are_merged(mode):
    x = 1e6 + np.random.default_rng(3).standard_normal((3, 50, 40))
    got = ndpool.pool(x, (50, 40), mode, ddof=1)[:, 0, 0]
    np.testing.assert_allclose(got, getattr(np, mode)(x.astype(np.longdouble), axis=(1, 2), ddof=1), rtol=1e-9)


def test_an_average_of_narrow_floats_is_accumulated_wider():
    x = np.full(20_000, 0.1, np.float32)
    assert abs(one("avg", x, np.float32) - float(np.float32(0.1))) <= 1e-8
    assert one("avg", [256.0] + [0.25] * 31, np.float16) == float(np.float16((256 + 31 * 0.25) / 32))
    assert one("sum", [2.0**24] + [1.0] * 64, np.float32) == 2.0**24 + 64
    assert one("prod", [1e30, 1e30, 1e-30, 1e-30], np.float32) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int8", "uint8", "bool"])
def test_products_and_sums_of_integers_are_modulo_two_to_the_64(dtype):
    x = np.arange(3, 60).astype(dtype)
    wide = np.uint64 if np.dtype(dtype).kind == "u" else np.int64
    assert one("prod", x, dtype) == np.multiply.reduce(x.astype(wide)).item()
    assert one("sum", np.full(5, x.max()), dtype) == np.add.reduce(np.full(5, x.max()).astype(wide)).item()


# ---------------------------------------------------------------------------------------------------------------------
# Choices, infinities, ends of the range of an option
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "values", "options", "want"),
    [
        ("lp", [1, -INF], {}, INF),
        ("lp", [0, 0], {"p": 0.5}, 0),
        ("gem", [1, INF], {}, INF),
        ("gem", [-INF, -3, 0], {"eps": 0.25}, 0.25),
        ("gem", [0, 4], {"p": -1, "eps": 0}, 0),
        ("lse", [1, INF, -INF], {}, INF),
        ("lse", [1, -INF], {}, 1 - math.log(2)),
        ("lse", [-INF, -INF], {}, -INF),
        ("lse", [1, -INF], {"r": -2}, -INF),
        ("soft", [1, -INF], {}, 1),
        ("soft", [1, INF], {}, INF),
        ("soft", [1, INF], {"beta": -1}, 1),
        ("soft", [-INF, -INF], {}, -INF),
        ("mixed", [1, -INF], {}, -INF),
        ("mixed", [1, 2, INF], {"alpha": 0.25}, INF),
        ("mixed", [1, 2, 6], {"alpha": 1}, 6),
        ("mixed", [1, 2, 6], {"alpha": 0}, 3),
        ("var", [1, INF], {}, NAN),
        ("std", [3], {"ddof": 1}, NAN),
        ("var", [3, 4], {"ddof": 2}, INF),
        ("var", [3, 3], {"ddof": 5}, NAN),
        ("prod", [INF, 0], {}, NAN),
        ("sum", [INF, -INF], {}, NAN),
        ("median", [INF, -INF, 4], {}, 4),
        ("median", [INF, 2, 4, -INF], {"method": "lower"}, 2),
        ("quantile", [INF, 2, 4], {"q": 0.5}, 4),
        ("quantile", [INF, 2, 4], {"q": 1, "method": "higher"}, INF),
        ("mode", [INF, 2, INF, -INF, 2], {}, 2),
        ("mode", [3, 3, 1, 1, 1], {"ignore": 1}, 3),
        ("mode", [255, 255, 255], {"ignore": 255}, 255),
        ("stochastic", [0, 0, 0], {"training": False}, 0),
        ("stochastic", [1, 3], {"training": False}, 2.5),
        ("any", [0.0, -0.0], {}, False),
        ("any", [0, NAN], {}, True),
        ("all", [NAN, INF, 1], {}, True),
        ("all", [1, -0.0], {}, False),
        ("count", [NAN, INF, 1], {}, 3),
        ("first", [NAN, INF, 1], {}, NAN),
        ("center", [1, NAN, 1], {}, NAN),
        ("center", [1, 2, 3, 4], {}, 3),
        ("mode", [NAN, 1, 1], {}, NAN),
        ("median", [NAN, 1, 1], {}, NAN),
        ("gem", [NAN, 1, 1], {}, NAN),
        ("max", [1, NAN, INF], {}, NAN),
    ],
)
def test_a_window_as_calculated_by_hand(mode, values, options, want):
    assert one(mode, values, **options) == pytest.approx(want, nan_ok=True, rel=1e-14)


def test_integers_choose_the_lower_median_and_keep_their_dtype():
    x = np.array([[9, 1, 4, 7], [-5, -5, 0, 1]], np.int8)
    assert_selected(ndpool.pool(x, (4,), "median"), np.array([[4], [-5]], np.int8))
    assert_selected(ndpool.pool(x, (4,), "median", method="higher"), np.array([[7], [0]], np.int8))
    assert_selected(ndpool.pool(x, (4,), "median", method="linear"), np.array([[5.5], [-2.5]]))
    assert_selected(ndpool.pool(x, (4,), "quantile", q=0.5, method="lower"), np.array([[4.0], [-5.0]]))
    large = np.array([2**63 - 1, 2**63 - 2, 2**63 - 3])
    assert one("median", large, np.int64) == 2**63 - 2


@pytest.mark.parametrize("method", of.CHOOSING)
@given(data=st.data())
def test_a_method_that_chooses_gives_the_bits_of_a_cell(method, data):
    x = data.draw(some.arrays((3, 7), data.draw(st.sampled_from(some.FLOATS))))
    q = data.draw(st.integers(0, 16)) / 16
    want = np.empty((3, 1), x.dtype)
    for row, cells in enumerate(x):
        place, t = of.order_statistic(7, q, method)
        assert t == 0
        want[row] = sorted(cells.tolist(), key=float)[place]
    assert (ndpool.pool(x, (7,), "quantile", q=q, method=method) == want).all()


# ---------------------------------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------------------------------


def draw(x, window, rng, **arguments):
    """Draw a cell of every window."""
    return ndpool.pool(x, window, "stochastic", rng=rng, **arguments)


@given(data=st.data())
def test_what_is_drawn_is_a_valid_cell_with_a_probability(data):
    call = data.draw(drawn.calls("stochastic", masked=True))
    call.options = {"rng": data.draw(st.integers(0, 2**64 - 1))}
    x, masks = call.x, call.masks
    axes = tuple(axis % x.ndim for axis in call.axes)
    try:
        got = call.run()
    except ValueError:
        with pytest.raises(ValueError):
            drawn.Call("first", x, call.axes, call.window, call.geometry, masks).expect()
        return
    assert got.dtype == x.dtype.newbyteorder("=")
    where = np.broadcast_to(masks.get("where", True), x.shape)
    for out, cells, _ in ref.visits(ref.windows(x.shape, axes, call.window, **call.geometry)):
        valid = [float(x[cell]) for cell in cells if where[cell]]
        valid = [value for value in valid if not (masks.get("omit") and math.isnan(value))]
        if len(valid) < masks["min_count"]:
            allowed = [NAN if masks["fill"] is None else masks["fill"]]
        elif any(map(math.isnan, valid)):
            allowed = [NAN]
        else:
            allowed = [value for value in valid if value > 0] or valid[:1]
        drew = float(got[out])
        assert drew in allowed or (math.isnan(drew) and math.isnan(allowed[0]))


def test_cells_are_drawn_as_often_as_their_values_say():
    windows = 40_000
    x = np.tile(np.array([1.0, 2.0, 0.0, 5.0]), windows)
    got = draw(x, 4, 12345)
    frequency = [(got == value).mean() for value in (1, 2, 0, 5)]
    np.testing.assert_allclose(frequency, [1 / 8, 2 / 8, 0, 5 / 8], atol=0.012)
    repeats = (got[1:] == got[:-1]).mean()
    assert repeats == pytest.approx(30 / 64, abs=0.015)


@pytest.mark.thread_unsafe
def test_a_seed_gives_the_same_cells_for_any_number_of_threads():
    x = np.random.default_rng(5).uniform(0, 1, (4, 90, 120)).astype(np.float32)
    results = []
    for count in (1, 2, 5):
        with ndpool.threads(count):
            results.append(draw(x, (3, 3), 7, stride=1, padding=1))
    assert_selected(results[1], results[0])
    assert_selected(results[2], results[0])
    assert (draw(x, (3, 3), 8, stride=1, padding=1) != results[0]).mean() > 0.5


def test_random_generators():
    x = np.random.default_rng(5).uniform(0, 1, (40, 40))
    generator, twin = np.random.default_rng(3), np.random.default_rng(3)
    first, second = draw(x, 4, generator), draw(x, 4, generator)
    assert (first != second).mean() > 0.5
    assert_selected(draw(x, 4, twin), first)
    assert_selected(draw(x, 4, twin), second)
    assert (draw(x, 4, None) != draw(x, 4, None)).any()
    assert_selected(draw(x, 4, np.uint64(2**63)), draw(x, 4, 2**63))
    assert_selected(draw(x, 4, 3, training=True), draw(x, 4, 3))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_negative_probabilities_are_refused_before_anything_is_written(dtype, training):
    x = np.ones((4, 4), dtype)
    x[3, 3] = -1
    out = np.full((2, 2), 9, dtype if training else {"int8": "float64"}.get(dtype, dtype))
    with pytest.raises(ValueError, match="x"):
        ndpool.pool(x, 2, "stochastic", rng=1, training=training, out=out)
    assert (out == 9).all()


# ---------------------------------------------------------------------------------------------------------------------
# Other libraries
# ---------------------------------------------------------------------------------------------------------------------


def sliding(x, window):
    """All windows of stride 1, each as one last axis."""
    view = np.lib.stride_tricks.sliding_window_view(x, window)
    return view.reshape(*view.shape[: x.ndim], -1)


@pytest.mark.parametrize("method", of.METHODS)
def test_quantiles_agree_with_numpy(method):
    if method == "closest_observation" and int(np.__version__.split(".")[0]) < 2:
        pytest.skip("NumPy 1 rounded ties to the other order statistic")
    x = np.round(np.random.default_rng(2).standard_normal((11, 9)), 1)
    for window, q in itertools.product([(2, 2), (3, 3), (1, 5)], [0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1]):
        got = ndpool.pool(x, window, "quantile", stride=1, q=q, method=method)
        want = np.quantile(sliding(x, window), q, axis=-1, method=method)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)
        got = ndpool.pool(x, window, "median", stride=1)
        np.testing.assert_allclose(got, np.median(sliding(x, window), axis=-1), rtol=1e-15)


@pytest.mark.parametrize("name", ["max", "min", "sum", "prod", "var", "std", "any", "all", "avg"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
def test_reductions_agree_with_numpy(name, dtype):
    x = np.round(X * 2).astype(dtype)
    reduce = np.mean if name == "avg" else getattr(np, name)
    want = reduce(sliding(x, (2, 3, 2)).astype(np.float64 if name in ("var", "std") else dtype), axis=-1)
    got = ndpool.pool(x, (2, 3, 2), name, stride=1)
    np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "theirs"), [("median", "median_filter"), ("avg", "uniform_filter"), ("max", "maximum_filter")]
)
def test_filters_agree_with_scipy(name, theirs):
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is an optional second opinion")
    want = getattr(ndimage, theirs)(X, size=(1, 3, 5))[:, 1:-1, 2:-2]
    np.testing.assert_allclose(ndpool.pool(X, (3, 5), name, stride=1), want, rtol=1e-12, atol=1e-14)


def test_the_most_frequent_value_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is an optional second opinion")
    x = np.random.default_rng(4).integers(0, 5, (20, 30))
    got = ndpool.pool(x, (4, 3), "mode", stride=1)
    np.testing.assert_array_equal(got, stats.mode(sliding(x, (4, 3)), axis=-1).mode)


def test_log_sum_exp_agrees_with_scipy():
    special = pytest.importorskip("scipy.special", reason="SciPy is an optional second opinion")
    want = (special.logsumexp(3 * sliding(X, (1, 3, 3)), axis=-1) - math.log(9)) / 3
    np.testing.assert_allclose(ndpool.pool(X, (3, 3), "lse", stride=1, r=3), want, rtol=1e-12, atol=1e-14)


def test_a_generalised_mean_of_power_one_and_a_soft_one_of_beta_zero_are_averages():
    x = np.abs(X) + 1
    average = ndpool.pool(x, 2, "avg")
    for name, options in [("gem", {"p": 1}), ("soft", {"beta": 0}), ("lip", {"g": 3.0}), ("mixed", {"alpha": 0})]:
        np.testing.assert_allclose(ndpool.pool(x, 2, name, **options), average, rtol=1e-13)
    assert_pooled(average, drawn.Call("avg", x, (0, 1, 2), 2).expect())
