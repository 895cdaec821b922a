"""The reference of the modes itself against NumPy and by hand: an oracle that is wrong proves nothing."""

import math
from fractions import Fraction

import checks_modes
import formulas as of
import numpy as np
import pytest
import reference as ref
import reference_modes as modes
import strategies as some

X = np.random.default_rng(0).uniform(-3, 3, (4, 6))


def pooled(name, x=X, window=(2, 3), **options):
    """Pool blocks and return an array of the result's dtype."""
    geometry = ref.windows(x.shape, (0, 1), window)
    return checks_modes.cells(modes.pool(x, geometry, (0, 1), name, **options))


def tiled(x, window=(2, 3)):
    """Blocks as last axes."""
    rows, columns = x.shape[0] // window[0], x.shape[1] // window[1]
    return x.reshape(rows, window[0], columns, window[1]).swapaxes(1, 2).reshape(rows, columns, -1)


@pytest.mark.parametrize("name", ["max", "min", "sum", "prod", "avg", "var", "std", "median", "any", "all"])
@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool"])
def test_reductions_agree_with_numpy(name, dtype):
    x = np.abs(X).astype(dtype) if dtype != "float64" else X
    method = {"method": "linear"} if name == "median" else {}
    got = pooled(name, x, **method)
    reduce = np.mean if name == "avg" else getattr(np, name)
    want = reduce(tiled(x), axis=-1)
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-15)
    if (name, dtype) not in (("max", "bool"), ("min", "bool")):
        assert got.dtype == want.dtype


@pytest.mark.parametrize(
    ("name", "options", "want"),
    [
        ("lp", {"p": 3}, lambda t: (abs(t) ** 3).sum(-1) ** (1 / 3)),
        ("lp", {"p": math.inf}, lambda t: abs(t).max(-1)),
        ("gem", {"p": 2, "eps": 0.1}, lambda t: np.sqrt((np.maximum(t, 0.1) ** 2).mean(-1))),
        ("gem", {"p": -1, "eps": 0.1}, lambda t: 1 / (1 / np.maximum(t, 0.1)).mean(-1)),
        ("lse", {"r": -2}, lambda t: np.log(np.exp(-2 * t).mean(-1)) / -2),
        ("soft", {"beta": 2}, lambda t: (t * np.exp(2 * t)).sum(-1) / np.exp(2 * t).sum(-1)),
        ("soft", {"beta": 0}, lambda t: t.mean(-1)),
        ("lip", {"g": X / 2}, lambda t: (t * np.exp(t / 2)).sum(-1) / np.exp(t / 2).sum(-1)),
        ("mixed", {"alpha": 0.25}, lambda t: 0.25 * t.max(-1) + 0.75 * t.mean(-1)),
        ("sum", {"weights": X**2}, lambda t: (t**3).sum(-1)),
        ("avg", {"weights": X**2}, lambda t: (t**3).sum(-1) / (t**2).sum(-1)),
        ("std", {"ddof": 2}, lambda t: t.std(-1, ddof=2)),
        ("first", {}, lambda t: t[..., 0]),
        ("center", {}, lambda t: t[..., 4]),
        ("count", {}, lambda t: np.full(t.shape[:2], 6)),
        ("count", {"where": X > 0, "fill": 0}, lambda t: (t > 0).sum(-1)),
        ("sum", {"where": X > 0}, lambda t: np.maximum(t, 0).sum(-1)),
    ],
)
def test_formulas_agree_with_numpy(name, options, want):
    np.testing.assert_allclose(pooled(name, **options), want(tiled(X)), rtol=1e-13)


def test_an_expected_draw():
    x = abs(X)
    want = (tiled(x) ** 2).sum(-1) / tiled(x).sum(-1)
    np.testing.assert_allclose(pooled("stochastic", x, training=False), want, rtol=1e-13)


@pytest.mark.parametrize("method", of.METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 10])
def test_quantiles_agree_with_numpy(n, method):
    if method == "closest_observation" and int(np.__version__.split(".")[0]) < 2:
        pytest.skip("NumPy 1 rounded ties to the other order statistic")
    values = np.random.default_rng(n).permutation(n) * 1.25
    for q in (0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.75, 0.9, 1):
        got = of.quantile(values.tolist(), None, {"q": q, "method": method, "median_of_integers": False})
        assert got == pytest.approx(np.quantile(values, q, method=method), rel=1e-13, abs=1e-13)


def test_the_most_frequent_value_is_the_lowest_that_votes():
    x = np.array([[3, 1, 1, 3, 2, 0], [0, 0, 0, 5, 5, 5]], np.uint8)
    assert pooled("mode", x, (1, 6)).tolist() == [[1], [0]]
    assert pooled("mode", x, (1, 6), ignore=0).tolist() == [[1], [5]]
    assert pooled("mode", x[1:, :3], (1, 3), ignore=0).tolist() == [[0]]


def test_nan_and_masks():
    x = np.array([[1.0, np.nan, 2, 4, np.nan, np.nan]])
    nan = math.nan
    for name, want in [("max", nan), ("sum", nan), ("median", nan), ("any", True), ("count", 2), ("first", 1)]:
        assert pooled(name, x, (1, 2))[0, 0] == pytest.approx(want, nan_ok=True)
    for name, want in [("max", [1, 4, nan]), ("avg", [1, 3, nan]), ("center", [nan, 4, nan])]:
        np.testing.assert_array_equal(pooled(name, x, (1, 2), omit=True), [want])
    np.testing.assert_array_equal(pooled("sum", x, (1, 3), omit=True, min_count=2, fill=9), [[3, 9]])
    with pytest.raises(modes.FillNeededError):
        pooled("count", x, (1, 2), omit=True)
    result = modes.pool(x, ref.windows(x.shape, (1,), 2), (1,), "max", omit=True)
    assert result.indices.tolist() == [[0, 3, -1]]


def test_overlaps_are_weights():
    x = np.array([3, 6, 9])
    overlap = {((0,), (0,)): Fraction(1), ((0,), (1,)): Fraction(1, 2), ((1,), (1,)): Fraction(1, 2), ((1,), (2,)): 1}
    for name, want in [("sum", [6, 12]), ("avg", [4, 8])]:
        result = modes.pool(x, ref.adaptive((3,), (0,), 2), (0,), name, overlap=lambda out, cell: overlap[out, cell])
        assert result.dtype == np.float64
        assert checks_modes.cells(result).tolist() == want


@pytest.mark.parametrize("name", sorted(modes.MODES))
def test_every_line_of_the_table_is_complete(name):
    mode = modes.MODES[name]
    assert (mode.choose is None) != (mode.formula is None) or name == "center"
    assert {option for setting in mode.settings for option in setting} <= {*mode.options}
    assert {option for option, _, _ in mode.bad} <= {*mode.options}
    assert mode.scalar in ("", *mode.options)
    assert not (mode.weights or mode.dtype) or mode.formula
    for dtype in some.DTYPES:
        assert isinstance(mode.result(dtype, {}), np.dtype)


def test_a_wrong_result_is_found():
    geometry = ref.windows(X.shape, (0, 1), (2, 3))
    for name, dtype in [
        ("avg", "float64"),
        ("avg", "float16"),
        ("max", "float32"),
        ("count", "int8"),
        ("var", "float32"),
    ]:
        want = modes.pool(X.astype(dtype), geometry, (0, 1), name)
        right = checks_modes.cells(want)
        checks_modes.assert_pooled(right, want)
        step = {"avg": 1e-2 if dtype == "float16" else 1e-11, "var": 1e-4}.get(name, 1)
        for wrong in (
            right + np.asarray(step, right.dtype),
            right.astype(np.longdouble),
            right[:1],
            np.full_like(right, 7),
        ):
            with pytest.raises(AssertionError):
                checks_modes.assert_pooled(wrong, want)
