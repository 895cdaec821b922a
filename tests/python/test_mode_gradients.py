"""Derivatives of every differentiable mode with respect to x, weights, logits and the scalars that are given.

Every component of a pullback is compared with a central finite difference of the library's own forward result (which
the other tests compare with the reference), on values without ties; ties, NaN and zeros have tests of their own.
"""

import itertools
import math

import ndpool
import numpy as np
import pytest
import reference_modes as modes
import strategies as some
import strategies_modes as drawn
from checks import assert_selected
from checks_modes import assert_same_bits
from hypothesis import assume, given
from hypothesis import strategies as st

DIFFERENTIABLE = [name for name in drawn.NAMES if modes.MODES[name].gradient]
SCALARS = {"gem": {"p": 2.5}, "mixed": {"alpha": 0.3}, "lse": {"r": 1.5}, "soft": {"beta": 0.75}}
EVERY_MODE = pytest.mark.parametrize("name", DIFFERENTIABLE)
SHAPE = (2, 4, 5)
EPS = 1e-6

# Options in which a derivative differs in kind. Clipping of gem starts between the cells.
SETTINGS = {
    "std": [{}, {"ddof": 1}],
    "var": [{}, {"ddof": 1}],
    "lp": [{}, {"p": 1}, {"p": 3.5}, {"p": math.inf}],
    "gem": [{}, {"p": -1.5, "eps": 0.1}, *[SCALARS["gem"]]],
    "lse": [{}, {"r": -2}, SCALARS["lse"]],
    "soft": [{}, {"beta": 0}, SCALARS["soft"]],
    "mixed": [{}, {"alpha": 0}, SCALARS["mixed"]],
    "stochastic": [{"training": False}, {"rng": 3}],
    "median": [{}, {"method": "lower"}, {"method": "weibull"}],
    "quantile": [{"q": 0.3}, {"q": 0.9, "method": "hazen"}, {"q": 0, "method": "midpoint"}, {"q": 1}],
}
CASES = [(name, options) for name in DIFFERENTIABLE for options in SETTINGS.get(name, [{}])]
EVERY_CASE = pytest.mark.parametrize(("name", "options"), CASES, ids=str)

WINDOWS = {
    "blocks": ((2, 2), {"axis": (1, 2)}),
    "overlap and padding": ((3, 2), {"axis": (1, 2), "stride": 1, "padding": [(1, 0), (1, 1)]}),
    "dilation": ((2, 2), {"axis": (1, 2), "stride": 1, "dilation": (1, 3), "ceil_mode": True}),
    "channels last": ((2, 3), {"axis": (0, 1), "stride": (1, 2), "padding": (0, 1)}),
    "where": ((3, 3), {"axis": (1, 2), "stride": 1, "where": "mask"}),
    "omit": ((3, 3), {"axis": (1, 2), "stride": 2, "padding": 1, "nan_policy": "omit"}),
    "min_count and fill": (3, {"axis": 2, "stride": 1, "padding": 2, "where": "mask", "min_count": 2, "fill_value": 9}),
}


def distinct(shape, seed, *, positive=False):
    """Draw numbers of size 0.2 to 2 no two of which have nearly the same magnitude."""
    generator, size = np.random.default_rng(seed), int(np.prod(shape))
    magnitude = 0.2 + 1.8 * (generator.permutation(size) + 0.5) / size
    return (magnitude if positive else magnitude * generator.choice([-1, 1], size)).reshape(shape)


def random_like(array, seed):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(np.shape(array))


def case(name, options, window="blocks", *, weighted=False):
    """``(positional arguments, keyword arguments, names of the differentiable inputs)`` of ``ndpool.pool``."""
    x = distinct(SHAPE, 1, positive=name == "stochastic")
    size, kwargs = WINDOWS[window]
    kwargs = {**kwargs, **options}
    if "where" in kwargs:
        kwargs["where"] = np.random.default_rng(2).random(SHAPE[1:]) < 0.7
    if kwargs.get("nan_policy") == "omit":
        x[0, 1, ::3] = np.nan
    inputs = ["x"]
    if weighted:
        kwargs["weights"] = distinct((4, 1), 4, positive=True)
        inputs.append("weights")
    if name == "lip":
        kwargs["g"] = distinct(SHAPE[1:], 5)
        inputs.append("g")
    inputs += [option for option in options if option == modes.MODES[name].scalar]
    kwargs.setdefault("fill_value", 0.5)
    return x, size, name, kwargs, inputs


def evaluated(x, size, name, kwargs, /, **changed):
    """Return the forward result with some inputs changed."""
    arguments = {**kwargs, **changed}
    return ndpool.pool(arguments.pop("x", x), size, name, **arguments)


def finite_difference(x, size, name, kwargs, argument):
    """Yield ``(place in the argument, derivative of the result)``."""
    value = np.asarray(x if argument == "x" else kwargs[argument], np.float64)
    for place in np.ndindex(value.shape):
        sides = []
        for sign in (1, -1):
            moved = value.copy()
            moved[place] += sign * EPS
            moved = moved if moved.ndim else float(moved)
            sides.append(evaluated(x, size, name, kwargs, **{argument: moved}))
        yield place, (sides[0] - sides[1]) / (2 * EPS)


def as_tuple(gradients):
    """Return a single gradient as a tuple of one."""
    return gradients if isinstance(gradients, tuple) else (gradients,)


def assert_gradients(x, size, name, kwargs, inputs):
    """Compare pullback and jvp with finite differences, and with each other."""
    y, pullback = ndpool.vjp(ndpool.pool, x, size, name, **kwargs)
    assert_selected(y, evaluated(x, size, name, kwargs))
    dy = random_like(y, 6)
    gradients = pullback(dy)
    assert isinstance(gradients, tuple) == (len(inputs) > 1)
    gradients = as_tuple(gradients)
    assert len(gradients) == len(inputs)
    tangents, pushed = [], np.zeros(y.shape)
    for argument, gradient in zip(inputs, gradients, strict=True):
        value = x if argument == "x" else kwargs[argument]
        assert gradient.shape == np.shape(value)
        assert gradient.dtype == np.float64
        tangents.append(random_like(value, 7))
        for place, slope in finite_difference(x, size, name, kwargs, argument):
            assert gradient[place] == pytest.approx(np.vdot(slope, dy), rel=1e-5, abs=2e-7), (argument, place)
            pushed += slope * tangents[-1][place]
    forwards = pullback.jvp(*tangents)
    assert forwards.dtype == y.dtype
    np.testing.assert_allclose(forwards, pushed, rtol=1e-5, atol=1e-6)
    backwards = sum(np.vdot(v, gradient) for v, gradient in zip(tangents, gradients, strict=True))
    scale = np.linalg.norm(forwards) * np.linalg.norm(dy) + sum(map(np.linalg.norm, tangents))
    assert abs(np.vdot(forwards, dy) - backwards) <= 1e-12 * scale


@EVERY_CASE
@pytest.mark.parametrize("window", sorted(WINDOWS))
def test_gradients_agree_with_finite_differences(name, options, window):
    assert_gradients(*case(name, options, window))


@pytest.mark.parametrize("window", sorted(WINDOWS))
@pytest.mark.parametrize("name", ["sum", "avg"])
def test_gradients_of_weights_agree_with_finite_differences(name, window):
    assert_gradients(*case(name, {}, window, weighted=True))


@pytest.mark.parametrize("shape", [(), (5,), (1, 5), (4, 1), (2, 1, 1), SHAPE])
@pytest.mark.parametrize(("name", "argument"), [("sum", "weights"), ("avg", "weights"), ("lip", "g")])
def test_gradients_of_broadcast_arguments_have_their_shape(name, argument, shape):
    x = distinct(SHAPE, 1)
    kwargs = {"axis": (1, 2), "stride": 1, argument: distinct(shape, 2, positive=True)}
    assert_gradients(x, (2, 3), name, kwargs, ["x", argument])


@EVERY_MODE
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp(name, data):
    shape, axes = data.draw(some.shapes_and_axes())
    x = distinct(shape, data.draw(st.integers(0, 99)), positive=name == "stochastic")
    arguments = data.draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    window, kwargs = arguments.pop("kernel_size"), {"axis": axes, "fill_value": 0.25, **arguments}
    kwargs |= data.draw(st.sampled_from(SETTINGS.get(name, [{}])))
    masks = data.draw(drawn.masks_of(name, shape, np.float64))
    for ours, theirs in (("where", "where"), ("weights", "weights"), ("min_count", "min_count")):
        if ours in masks:
            kwargs[theirs] = np.asarray(masks[ours], np.float64) if ours == "weights" else masks[ours]
    kwargs |= {"g": distinct(shape, 5)} if name == "lip" else {}
    if "ddof" in kwargs:
        kwargs["min_count"] = 2
    try:
        y, pullback = ndpool.vjp(ndpool.pool, x, window, name, **kwargs)
    except ValueError:
        assume(False)
    w = random_like(y, 3)
    gradients = as_tuple(pullback(w))
    assume(all(np.isfinite(gradient).all() for gradient in gradients))  # a weighted mean of no weight has none
    v = [random_like(gradient, 4) for gradient in gradients]
    forwards, backwards = np.vdot(pullback.jvp(*v), w), sum(map(np.vdot, v, gradients))
    scale = sum(np.linalg.norm(a) * np.linalg.norm(b) for a, b in zip(v, gradients, strict=True))
    assert abs(forwards - backwards) <= 1e-12 * max(scale, np.linalg.norm(pullback.jvp(*v)) * np.linalg.norm(w), 1)


# ---------------------------------------------------------------------------------------------------------------------
# Ties, zeros, NaN
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "values", "want"),
    [
        ("max", {}, [1, 3, 3, 2], [0, 1, 0, 0]),
        ("min", {}, [4, 3, 3, 4], [0, 1, 0, 0]),
        ("max", {}, [1, math.nan, 3, math.nan], [0, 1, 0, 0]),
        ("median", {"method": "lower"}, [2, 1, 1, 1], [0, 1, 0, 0]),
        ("median", {}, [5, 1, 1, 7], [0.5, 0.5, 0, 0]),
        ("quantile", {"q": 0.25}, [9, 4, 8, 5], [0, 0.25, 0, 0.75]),
        ("first", {}, [9, 4, 8, 5], [1, 0, 0, 0]),
        ("center", {}, [9, 4, 8, 5], [0, 0, 1, 0]),
        ("sum", {}, [9, 4, 8, 5], [1, 1, 1, 1]),
        ("avg", {}, [9, 4, 8, 5], [0.25, 0.25, 0.25, 0.25]),
        ("prod", {}, [2, 0, 3, 5], [0, 30, 0, 0]),
        ("prod", {}, [2, 0, 3, 0], [0, 0, 0, 0]),
        ("std", {}, [3, 3, 3, 3], [0, 0, 0, 0]),
        ("var", {}, [1, 2, 3, 4], [-0.75, -0.25, 0.25, 0.75]),
        ("lp", {}, [0, 0, 0, 0], [0, 0, 0, 0]),
        ("lp", {}, [3, 0, -4, 0], [0.6, 0, -0.8, 0]),
        ("lp", {"p": 1}, [3, 0, -4, 2], [1, 0, -1, 1]),
        ("lp", {"p": math.inf}, [3, -4, 4, 0], [0, -1, 0, 0]),
        ("lp", {"p": 50}, [1e200, 0, 0, 0], [1, 0, 0, 0]),
        ("gem", {"p": 1, "eps": 1}, [3, 1, -4, 2], [0.25, 0, 0, 0.25]),
        ("mixed", {}, [3, 1, 3, 1], [0.625, 0.125, 0.125, 0.125]),
        ("stochastic", {"training": False}, [1, 3, 0, 0], [-0.125, 0.875, -0.625, -0.625]),
        ("stochastic", {"rng": 0}, [0, 3, 0, 0], [0, 1, 0, 0]),
        ("stochastic", {"rng": 0}, [0, 0, 0, 0], [1, 0, 0, 0]),
        ("soft", {"beta": 1e4}, [1, 3, 2, 0], [0, 1, 0, 0]),
        ("lse", {"r": 1e4}, [1, 3, 2, 0], [0, 1, 0, 0]),
    ],
)
def test_a_gradient_as_calculated_by_hand(name, options, values, want):
    x = np.array(values, np.float64)
    y, pullback = ndpool.vjp(ndpool.pool, x, 4, name, **options)
    dx = as_tuple(pullback(np.full(y.shape, 2.0)))[0]
    np.testing.assert_allclose(dx, 2 * np.array(want), rtol=1e-12, atol=1e-12)
    scalar = [0.0] * (modes.MODES[name].scalar in options)
    np.testing.assert_allclose(pullback.jvp(np.arange(4.0), *scalar), [np.dot(want, np.arange(4))], atol=1e-11)


@EVERY_MODE
def test_windows_that_are_filled_have_a_gradient_of_zero(name):
    x, options = distinct((3, 4), 1, positive=True), dict(drawn.settings_of(name, (3, 4)))
    y, pullback = ndpool.vjp(ndpool.pool, x, (3, 2), name, where=False, fill_value=7.0, **options)
    np.testing.assert_array_equal(y, [[7.0, 7.0]])
    for gradient in as_tuple(pullback(np.ones_like(y))):
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@EVERY_MODE
def test_cells_that_are_not_valid_have_a_gradient_of_zero(name):
    x = distinct((4, 6), 1, positive=True)
    hidden = np.zeros((4, 6), bool)
    hidden[0, ::2] = hidden[3, 1] = True
    options = drawn.settings_of(name, (4, 6))
    want = as_tuple(ndpool.vjp(ndpool.pool, x, (4, 3), name, where=~hidden, **options)[1](np.ones((1, 2))))
    assert (want[0][hidden] == 0).all()
    x[hidden] = np.nan
    got = as_tuple(ndpool.vjp(ndpool.pool, x, (4, 3), name, nan_policy="omit", **options)[1](np.ones((1, 2))))
    assert_same_bits(got, want)


# ---------------------------------------------------------------------------------------------------------------------
# Types, shapes, life of a pullback
# ---------------------------------------------------------------------------------------------------------------------


@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float16", "float32", some.BFLOAT16], ids=some.dtype_name)
def test_narrow_floats_keep_their_dtype_and_are_near_the_wide_gradient(name, dtype):
    x = distinct((3, 4, 6), 1, positive=True).astype(dtype)
    options = drawn.settings_of(name, x.shape)
    wide, widely = ndpool.vjp(ndpool.pool, x.astype(np.float64), (2, 3), name, **options)
    y, pullback = ndpool.vjp(ndpool.pool, x, (2, 3), name, **options)
    dy = np.ceil(random_like(y, 1) * 4).astype(dtype)
    tolerance = 2e-5 if dtype == "float32" else 2e-2
    gradients, wanted = as_tuple(pullback(dy)), as_tuple(widely(dy.astype(np.float64)))
    assert (y.dtype, gradients[0].dtype) == (dtype, dtype)
    for gradient, want in zip(gradients, wanted, strict=True):
        assert gradient.shape == want.shape
        np.testing.assert_allclose(gradient.astype(np.float64), want, rtol=tolerance, atol=tolerance * 8)
    tangents = [np.ones_like(gradient) for gradient in gradients]
    tangent = pullback.jvp(*tangents)
    assert (tangent.dtype, tangent.shape) == (dtype, y.shape)
    want = widely.jvp(*[np.ones_like(gradient) for gradient in wanted])
    np.testing.assert_allclose(tangent.astype(np.float64), want, rtol=tolerance, atol=tolerance * 8)
    assert wide.shape == y.shape


@EVERY_MODE
@pytest.mark.parametrize("dtype", ["int8", "uint64", "bool"])
def test_integers_have_no_gradient(name, dtype):
    with pytest.raises(TypeError, match="x"):
        ndpool.vjp(ndpool.pool, np.ones((2, 4), dtype), 2, name, **drawn.settings_of(name, (2, 4)))


@pytest.mark.parametrize("name", sorted({*modes.MODES} - {*DIFFERENTIABLE}))
def test_some_modes_have_no_gradient(name):
    for mode in (name, ["avg", name]):
        with pytest.raises(TypeError, match=name):
            ndpool.vjp(ndpool.pool, np.ones((2, 4)), 2, mode)


@EVERY_CASE
def test_a_pullback_may_be_called_again_after_its_inputs_have_changed(name, options):
    x, size, _, kwargs, inputs = case(name, options, "where")
    y, pullback = ndpool.vjp(ndpool.pool, x, size, name, **kwargs)
    dy, tangents = random_like(y, 1), [random_like(x if one == "x" else kwargs[one], 2) for one in inputs]
    before = as_tuple(pullback(dy)), pullback.jvp(*tangents)
    for array in (x, y, *(value for value in kwargs.values() if isinstance(value, np.ndarray))):
        array[...] = 0
    assert_same_bits(as_tuple(pullback(dy)), before[0])
    assert_selected(pullback.jvp(*tangents), before[1])


@pytest.mark.thread_unsafe
@EVERY_MODE
def test_bits_of_gradients_do_not_depend_on_the_number_of_threads(name):
    x = np.random.default_rng(0).uniform(0.1, 5, (6, 80, 70))
    options = drawn.settings_of(name, x.shape) | SCALARS.get(name, {})
    results = []
    for count in (1, 2, 5):
        with ndpool.threads(count):
            y, pullback = ndpool.vjp(ndpool.pool, x, (3, 3), name, stride=2, padding=1, **options)
            gradients = as_tuple(pullback(random_like(y, 1)))
            tangent = pullback.jvp(*[random_like(gradient, 2) for gradient in gradients])
            results.append((y, *gradients, tangent))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


def test_a_pullback_of_several_inputs_takes_as_many_tangents():
    x, w = distinct(SHAPE, 1), distinct((5,), 2, positive=True)
    y, pullback = ndpool.vjp(ndpool.pool, x, 2, "avg", weights=w)
    for wrong in ((), (x,), (x, w, 1.0)):
        with pytest.raises(TypeError):
            pullback.jvp(*wrong)
    for wrong in ((x, w[:1]), (x[:1], w)):
        with pytest.raises(ValueError):
            pullback.jvp(*wrong)
    with pytest.raises(ValueError):
        pullback(y[:, :1])


@pytest.mark.parametrize(("name", "options"), [(name, SCALARS[name]) for name in sorted(SCALARS)])
def test_a_scalar_is_differentiable_only_where_it_is_given(name, options):
    x = distinct(SHAPE, 1)
    y, pullback = ndpool.vjp(ndpool.pool, x, 2, name)
    assert isinstance(pullback(y), np.ndarray)
    dx, slope = ndpool.vjp(ndpool.pool, x, 2, name, **options)[1](y)
    assert (dx.shape, slope.shape, slope.dtype) == (x.shape, (), np.float64)
    assert isinstance(slope, np.ndarray)


def test_a_list_of_modes_takes_a_tuple_of_cotangents():
    x, names = distinct(SHAPE, 1), ["max", "std", "soft", "first"]
    y, pullback = ndpool.vjp(ndpool.pool, x, 2, names)
    dy = tuple(random_like(one, seed) for seed, one in enumerate(y))
    alone = [ndpool.vjp(ndpool.pool, x, 2, name)[1] for name in names]
    want = sum(one(cotangent) for one, cotangent in zip(alone, dy, strict=True))
    np.testing.assert_allclose(pullback(dy), want, rtol=1e-13, atol=1e-14)
    tangent = random_like(x, 9)
    pushed = pullback.jvp(tangent)
    assert isinstance(pushed, tuple)
    for got, one in zip(pushed, alone, strict=True):
        np.testing.assert_allclose(got, one.jvp(tangent), rtol=1e-13, atol=1e-14)
    for wrong in (dy[:3], dy[0]):
        with pytest.raises((TypeError, ValueError)):
            pullback(wrong)


@pytest.mark.parametrize("f", ["coarsen", "adaptive_pool", "global_pool"])
def test_the_relatives_of_pool_have_gradients_of_every_mode(f):
    x, first = distinct((2, 3, 4, 5), 1, positive=True), {"global_pool": ()}.get(f, (2,))
    function = getattr(ndpool, f)
    for name, transposed in itertools.product(DIFFERENTIABLE, [False, True]):
        given = x.transpose(0, 2, 3, 1) if transposed else x
        options = drawn.settings_of(name, given.shape)
        y, pullback = ndpool.vjp(function, given, *first, name, **options)
        direction, dy = random_like(given, 3), random_like(y, 4)
        sides = [function(given + sign * EPS * direction, *first, name, **options) for sign in (1, -1)]
        slope = np.vdot(sides[0] - sides[1], dy) / (2 * EPS)
        assert np.vdot(as_tuple(pullback(dy))[0], direction) == pytest.approx(slope, rel=1e-5, abs=1e-7), name
