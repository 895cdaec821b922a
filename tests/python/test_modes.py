"""Every mode of ``ndpool.pool`` against the reference, and what all modes have in common.

The tests are stamped on every line of ``reference_modes.MODES``. What is particular to one mode is in
``test_mode_values.py``, masks are in ``test_masks.py``.
"""

import ndpool
import numpy as np
import pytest
import reference_modes as modes
import strategies as some
import strategies_modes as drawn
from checks import agrees, assert_selected
from checks_modes import assert_pooled, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

EVERY_MODE = pytest.mark.parametrize("name", drawn.NAMES)
SHAPE = (2, 6, 8)
X = np.random.default_rng(0).uniform(0.25, 4, SHAPE)
REFUSED = [(name, *bad) for name, mode in sorted(modes.MODES.items()) for bad in mode.bad]
FOREIGN = [
    (name, option) for name in drawn.NAMES for option in modes.OPTIONS if option not in modes.MODES[name].options
]
WITHOUT_DTYPE = [name for name, mode in modes.MODES.items() if not mode.dtype]
WITH_DTYPE = [name for name, mode in modes.MODES.items() if mode.dtype]


def options_of(name, shape=SHAPE):
    """Return options that the mode needs."""
    return drawn.settings_of(name, shape)


def pooled(name, x=X, window=2, **arguments):
    """Pool with the first setting of a mode."""
    return ndpool.pool(x, window, name, **{**options_of(name, np.shape(x)), **arguments})


@EVERY_MODE
@given(data=st.data())
def test_a_mode_is_that_of_the_reference(name, data):
    call = data.draw(drawn.calls(name))
    agrees(call.run, call.expect, assert_pooled)


@EVERY_MODE
@pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
def test_every_dtype_has_the_result_dtype_of_the_table(name, dtype):
    x = np.arange(24).reshape(2, 3, 4) % 2
    call = drawn.Call(name, x.astype(dtype), (1, 2), (2, 3), {"stride": 1}, {}, options_of(name, x.shape))
    got, want = call.run(), call.expect()
    assert got.dtype == modes.MODES[name].result(dtype, call.options)
    assert_pooled(got, want)


@EVERY_MODE
@pytest.mark.parametrize("memory", sorted(some.MEMORY))
def test_every_memory_layout_gives_the_same_bits(name, memory):
    for dtype in ("float64", "int16"):
        x = np.ceil(X * 10).astype(dtype)
        assert_selected(pooled(name, some.MEMORY[memory](x), (3, 3)), pooled(name, x, (3, 3)))


@pytest.mark.parametrize("name", ["max", "min"])
@given(data=st.data())
def test_extremes_have_indices(name, data):
    call = data.draw(drawn.calls(name, masked=True))

    def check(got, want):
        assert_pooled(got[0], want)
        assert_selected(got[1], want.indices)

    agrees(lambda: call.run(return_indices=True), call.expect, check)


@pytest.mark.parametrize("name", sorted({*modes.MODES} - {"max", "min"}))
def test_other_modes_have_no_indices(name):
    with pytest.raises(TypeError, match="return_indices"):
        pooled(name, return_indices=True)


@EVERY_MODE
def test_an_empty_batch_is_an_empty_result(name):
    x = np.ones((0, 6, 8), np.float32)
    got = ndpool.pool(x, (2, 4), name, **options_of(name, x.shape))
    assert got.shape == (0, 3, 2)
    assert got.dtype == modes.MODES[name].result(np.float32, {})
    with pytest.raises(ValueError):
        ndpool.pool(np.ones((3, 0)), (1,), name, **options_of(name, (3, 0)))


# ---------------------------------------------------------------------------------------------------------------------
# out, dtype, lists
# ---------------------------------------------------------------------------------------------------------------------


@EVERY_MODE
def test_out_is_written_and_returned(name):
    want = pooled(name)
    out = np.zeros_like(want)
    assert pooled(name, out=out) is out
    assert_selected(out, want)
    strided = np.zeros((*want.shape[:-1], 2 * want.shape[-1]), want.dtype)[..., ::2]
    assert pooled(name, out=strided) is strided
    assert_selected(strided, want)


def overlapping(like):
    """Return an input and an ``out`` of a result's shape and dtype in the same memory."""
    memory = np.ones(X.size + like.size, np.float64)
    out = memory[X.size - 1 :].view(like.dtype)[: like.size].reshape(like.shape)
    return memory[: X.size].reshape(SHAPE), out


@EVERY_MODE
def test_an_out_that_does_not_fit_is_refused_and_not_written(name):
    want = pooled(name)
    other = np.dtype(np.int16 if want.dtype != np.int16 else np.int32)
    read_only = np.ones_like(want)
    read_only.flags.writeable = False
    for out in (np.ones(want.shape, other), np.ones((*want.shape, 1), want.dtype), np.ones(1, want.dtype), read_only):
        with pytest.raises(ValueError):
            pooled(name, out=out)
        assert (out == 1).all()
    x, out = overlapping(want)
    before = x.copy()
    with pytest.raises(ValueError):
        pooled(name, x, out=out)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", WITH_DTYPE)
@pytest.mark.parametrize(
    ("given_dtype", "dtype"), [("float32", "float64"), ("float64", "float16"), ("uint8", "float32")]
)
def test_dtype_chooses_that_of_the_result(name, given_dtype, dtype):
    call = drawn.Call(name, np.ceil(X * 3).astype(given_dtype), (1, 2), (2, 3), {}, {"dtype": dtype}, options_of(name))
    got = call.run()
    assert got.dtype == dtype
    assert_pooled(got, call.expect())
    with pytest.raises(TypeError, match="dtype"):
        pooled(name, dtype=np.int64)


@pytest.mark.parametrize("name", WITHOUT_DTYPE)
def test_other_modes_have_no_dtype(name):
    with pytest.raises(TypeError, match="dtype"):
        pooled(name, dtype=np.float32)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64"])
def test_an_average_of_integers_in_integers_is_exact_and_goes_half_to_even(dtype):
    limits = np.iinfo(dtype)
    x = np.array([limits.max, limits.max, limits.max - 1, limits.max, 1, 2, 2, 3], dtype)
    call = drawn.Call("avg", x, (0,), 2, {}, {"dtype": dtype})
    want = [limits.max, limits.max - 1, 2, 2]
    assert call.run().tolist() == want
    assert [int(value) for value in np.vectorize(round)(call.expect().values)] == want


def test_a_list_of_modes_is_a_tuple_of_their_results():
    names = [name for name in drawn.NAMES if name not in ("lp", "gem")]
    options = {option: value for name in names for option, value in options_of(name).items()}
    got = ndpool.pool(X, (3, 2), names, stride=2, padding=1, **options)
    want = tuple(pooled(name, X, (3, 2), stride=2, padding=1) for name in names)
    assert_same_bits(got, want)


def test_options_of_a_list_go_to_the_modes_that_have_them():
    got = ndpool.pool(X, 2, ["std", "max", "lp", "gem", "var"], ddof=1, p=4)
    want = (
        ndpool.pool(X, 2, "std", ddof=1),
        ndpool.pool(X, 2),
        ndpool.pool(X, 2, "lp", p=4),
        ndpool.pool(X, 2, "gem", p=4),
        ndpool.pool(X, 2, "var", ddof=1),
    )
    assert_same_bits(got, want)
    with pytest.raises(TypeError, match="alpha"):
        ndpool.pool(X, 2, ["max", "lp"], alpha=0.5)
    with pytest.raises(TypeError, match="q"):
        ndpool.pool(X, 2, ["max", "quantile"])
    with pytest.raises(ValueError, match="nonsense"):
        ndpool.pool(X, 2, ["max", "nonsense"])
    with pytest.raises(TypeError, match="mode"):
        ndpool.pool(X, 2, ["max", 3])


def test_a_list_of_one_mode_is_a_tuple_of_one():
    assert_same_bits(ndpool.pool(X, 2, ["lse"]), (ndpool.pool(X, 2, "lse"),))


def test_out_of_a_list_is_a_tuple():
    names = ["avg", "count", "max"]
    want = ndpool.pool(X, 2, names)
    out = tuple(np.zeros_like(result) for result in want)
    got = ndpool.pool(X, 2, names, out=out)
    assert all(one is other for one, other in zip(got, out, strict=True))
    assert_same_bits(out, want)
    short = tuple(np.full_like(result, 9) for result in want[:2])
    shared = (out[0], np.full_like(out[1], 9), out[0])
    for bad in (short, short[0], shared):
        with pytest.raises((TypeError, ValueError)):
            ndpool.pool(X, 2, names, out=bad)
    assert all((result == 9).all() for result in (*short, shared[1]))


# ---------------------------------------------------------------------------------------------------------------------
# Options
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "option"), FOREIGN)
def test_an_option_of_another_mode_is_a_type_error_that_names_it(name, option):
    with pytest.raises(TypeError, match=option):
        pooled(name, **{option: 1})


@EVERY_MODE
def test_an_option_of_no_mode_is_a_type_error_that_names_it(name):
    with pytest.raises(TypeError, match="nonsense"):
        pooled(name, nonsense=1)
    if name != "avg":
        with pytest.raises(TypeError, match="count_include_pad"):
            pooled(name, count_include_pad=True)


@pytest.mark.parametrize(("name", "option", "value", "kind"), REFUSED, ids=repr)
def test_a_bad_value_of_an_option_is_refused_and_nothing_is_written(name, option, value, kind):
    out = np.full_like(pooled(name), 1)
    with pytest.raises(kind, match=option) as caught:
        pooled(name, out=out, **{option: value})
    assert caught.type is kind
    assert (out == 1).all()


@pytest.mark.parametrize(("name", "option"), [("lip", "g"), ("quantile", "q")])
def test_some_options_are_required(name, option):
    with pytest.raises(TypeError, match=option):
        ndpool.pool(X, 2, name)


@EVERY_MODE
def test_the_defaults_are_those_of_the_contract(name):
    defaults = {
        "var": {"ddof": 0},
        "std": {"ddof": 0},
        "lp": {"p": 2},
        "gem": {"p": 3, "eps": 1e-6},
        "lse": {"r": 1},
        "soft": {"beta": 1},
        "mixed": {"alpha": 0.5},
        "median": {"method": "linear"},
        "quantile": {"method": "linear"},
        "mode": {"ignore": None},
        "avg": {"count_include_pad": False},
    }
    explicit = {"where": None, "weights": None, "nan_policy": "propagate", "min_count": 1, "dtype": None, "out": None}
    assert_selected(pooled(name, **defaults.get(name, {}), **explicit), pooled(name))
    plain = np.sign(X - 2) * X
    call = drawn.Call(name, plain, (0, 1, 2), 2, {}, {}, options_of(name))
    if name != "stochastic":
        assert_pooled(call.run(), call.expect())


# ---------------------------------------------------------------------------------------------------------------------
# Determinism
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.thread_unsafe
@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_bits_do_not_depend_on_the_number_of_threads(name, dtype):
    generator = np.random.default_rng(1)
    x = np.ceil(generator.uniform(0, 50, (8, 96, 80)) * 10.0 ** generator.integers(-1, 3, (8, 96, 80))).astype(dtype)
    options = drawn.settings_of(name, x.shape)
    if np.dtype(dtype).kind == "f" and modes.MODES[name].infinities:
        x[::3, 5, ::7] = np.nan
    results = []
    for count in (1, 2, 5):
        with ndpool.threads(count):
            windows = [((3, 3), 1, 1), ((2, 2), 2, 0), ((17, 5), (3, 2), 2)]
            results.append(tuple(ndpool.pool(x, *w[:1], name, stride=w[1], padding=w[2], **options) for w in windows))
    for other in results[1:]:
        assert_same_bits(other, results[0])


@EVERY_MODE
def test_an_input_is_never_written(name):
    x = X.copy()
    x.flags.writeable = False
    options = options_of(name)
    for array in options.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    ndpool.pool(x, (3, 3), name, stride=1, padding=1, **options)
    np.testing.assert_array_equal(x, X)
    assert_same_bits(options.get("g"), options_of(name).get("g")) if name == "lip" else None
