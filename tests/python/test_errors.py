"""Every argument with every kind of nonsense: the exception's type, and a message that names argument and value."""

import contextlib
import decimal
import fractions

import ndpool
import numpy as np
import pytest
from checks import function

X = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)

FLOATS = [2.0, 2.5, float("nan"), float("inf"), np.float32(2), np.array(2.0), fractions.Fraction(2), decimal.Decimal(2)]
TEXTS = ["2", "two"]
WRONG_TYPES = [*FLOATS, b"2", object(), 2j, [2.0, 2], (2, "2"), (None, 2), {1, 2}]
OVERFLOWING = [2**63, 2**64, 2**64 + 2, 10**30, -(2**63) - 1]
OTHER_RANK = [(), [], (2, 2, 2), [2] * 9]


class Index:
    """Nothing but an ``__index__``."""

    def __index__(self):
        return 2


def label(value):
    """Name a value in a test id, the same way in every run."""
    return type(value).__name__ if type(value).__repr__ is object.__repr__ else repr(value)


def message_of(kind, call):
    """Return the message of the exception that ``call`` raises; of exactly that kind, no subclass."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    return str(caught.value)


def pool2d(**arguments):
    """Call rightly but for ``arguments``; of all functions the average has the most of them."""
    return ndpool.avg_pool2d(X, **{"kernel_size": 2, **arguments})


SIZES = ["kernel_size", "stride", "padding", "dilation", "divisor_override"]
WINDOW_SIZES = SIZES[:-1]


@pytest.mark.parametrize("value", WRONG_TYPES, ids=label)
@pytest.mark.parametrize("argument", SIZES)
def test_sizes_are_integers_and_nothing_else(argument, value):
    assert argument in message_of(TypeError, lambda: pool2d(**{argument: value}))
    if argument != "divisor_override":
        arguments = {"kernel_size": 2, argument: value}
        assert argument in message_of(TypeError, lambda: ndpool.max_pool2d(X, **arguments))


@pytest.mark.parametrize("value", TEXTS)
@pytest.mark.parametrize("argument", sorted({*SIZES} - {"padding"}))
def test_digits_in_a_string_are_no_number(argument, value):
    assert argument in message_of(TypeError, lambda: pool2d(**{argument: value}))


@pytest.mark.parametrize("value", [np.int8(2), np.uint64(2), np.array(2), Index()], ids=label)
@pytest.mark.parametrize("argument", SIZES)
def test_whatever_has_an_index_is_an_integer(argument, value):
    arguments = {"kernel_size": 3, "padding": 1}
    np.testing.assert_array_equal(pool2d(**{**arguments, argument: value}), pool2d(**{**arguments, argument: 2}))


@pytest.mark.parametrize("value", [0, -1, -(2**31), -(2**63)])
@pytest.mark.parametrize("argument", ["kernel_size", "stride", "dilation"])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: (1, value), lambda value: [value, 1]])
def test_sizes_are_positive(argument, wrap, value):
    """CVE-2021-29586, CVE-2022-21725, CVE-2025-2953: one zero among good numbers became a divisor."""
    for name in ("max_pool2d", "min_pool2d", "avg_pool2d"):
        arguments = {"kernel_size": 2, argument: wrap(value)}
        message = message_of(ValueError, lambda name=name, kw=arguments: getattr(ndpool, name)(X, **kw))
        assert argument in message
        assert str(value) in message


def test_the_reported_crash_of_stride_zero():
    """pytorch#149274: SIGFPE."""
    message_of(ValueError, lambda: ndpool.max_pool2d(np.zeros((2, 64, 32, 32)), 3, 0))


@pytest.mark.parametrize("value", [-1, (-1, 0), [0, -5], [(0, 0), (0, -1)], [(-(2**62), 0), (0, 0)]])
def test_padding_is_not_negative(value):
    message = message_of(ValueError, lambda: pool2d(padding=value))
    assert "padding" in message
    assert "-" in message


@pytest.mark.parametrize("value", ["full", "SAME", "same_upper", "reflect", "same ", *TEXTS])
def test_padding_words_are_three(value):
    message = message_of(ValueError, lambda: pool2d(padding=value))
    assert "padding" in message
    assert value in message
    for word in ("valid", "same", "same_lower"):
        assert word in message


@pytest.mark.parametrize("value", [[(1, 1, 1), (1, 1)], [(1,), (1, 1)], [(1, 1)] * 3, [[(1, 1), (1, 1)]], [(), ()]])
def test_padding_pairs_are_pairs(value):
    with pytest.raises((ValueError, TypeError), match="padding"):
        pool2d(padding=value)


@pytest.mark.parametrize("value", OTHER_RANK, ids=label)
@pytest.mark.parametrize("argument", WINDOW_SIZES)
def test_sequences_have_one_entry_per_axis(argument, value):
    """See onnx PR 6195, onnxruntime PR 21507: more kernel sizes than dilations."""
    message = message_of(ValueError, lambda: pool2d(**{argument: value}))
    assert argument in message


@pytest.mark.parametrize("value", OVERFLOWING)
@pytest.mark.parametrize("argument", SIZES)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: (1, value)], ids=["one", "per axis"])
def test_numbers_that_do_not_fit_are_a_value_error(argument, wrap, value):
    wrapped = wrap(value)
    kind = TypeError if argument == "divisor_override" and isinstance(wrapped, tuple) else ValueError
    assert argument in message_of(kind, lambda: pool2d(**{argument: wrapped}))


@pytest.mark.parametrize("value", [0, -0])
def test_a_divisor_of_zero_is_refused(value):
    message = message_of(ValueError, lambda: pool2d(divisor_override=value))
    assert "divisor_override" in message
    assert "0" in message


@pytest.mark.parametrize("value", [-1, -7, -(2**31), -(2**63) - 1, (), (2,), 2**63])
def test_an_odd_adaptive_size_is_refused(value):
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        message = message_of(ValueError, lambda name=name: getattr(ndpool, name)(X, value))
        assert "output_size" in message


@pytest.mark.parametrize("value", [*FLOATS, "2", object(), (2, 2.0)], ids=label)
def test_an_adaptive_size_is_an_integer(value):
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        assert "output_size" in message_of(TypeError, lambda name=name: getattr(ndpool, name)(X, value))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("axes", [0, 1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("name", ["max_pool", "min_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool"])
def test_an_array_of_another_rank_is_refused(name, axes, rank):
    x = np.zeros((2,) * axes)
    if axes in (rank + 1, rank + 2):
        assert function(name, rank)(x, 1).ndim == axes
    else:
        message = message_of(ValueError, lambda: function(name, rank)(x, 1))
        assert message.startswith("x: ")
        assert f"has {axes} axes" in message
        assert f"must have {rank + 1} axes, or {rank + 2} with a batch" in message


@pytest.mark.parametrize("arguments", [{"kernel_size": 9}, {"kernel_size": (2, 9)}, {"kernel_size": 5, "dilation": 2}])
def test_a_window_larger_than_the_array_is_refused(arguments):
    assert "8" in message_of(ValueError, lambda: pool2d(**arguments))


@pytest.mark.parametrize("padding", [2, (0, 2), [(0, 0), (2, 0)], [(0, 0), (0, 3)]])
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "min_pool2d"])
def test_a_window_wholly_inside_the_padding_is_refused(name, padding):
    message = message_of(ValueError, lambda: getattr(ndpool, name)(X, 2, 1, padding))
    assert "padding" in message


@pytest.mark.parametrize("layout", ["NCHW", "", "channels", "channels_last "])
def test_layouts_are_two(layout):
    message = message_of(ValueError, lambda: pool2d(layout=layout))
    assert "layout" in message
    assert "channels_first" in message
    assert "channels_last" in message


@pytest.mark.parametrize("layout", [None, 0, b"channels_last", ["channels_last"]])
def test_a_layout_is_a_string(layout):
    assert "layout" in message_of(TypeError, lambda: pool2d(layout=layout))


@pytest.mark.parametrize("mode", ["maximum", "", "MAX", "mean"])
def test_modes_are_named(mode):
    message = message_of(ValueError, lambda: ndpool.pool(X, 2, mode))
    assert "mode" in message
    assert "max" in message


@pytest.mark.parametrize("mode", [None, 3, b"max"])
def test_a_mode_is_a_string(mode):
    assert "mode" in message_of(TypeError, lambda: ndpool.pool(X, 2, mode))


@pytest.mark.parametrize("axis", [4, -5, (0, 4), (1, 1), (0, -4), 2**31, 2**63, -(2**63) - 1])
def test_axes_exist_once(axis):
    window = 2 if not isinstance(axis, tuple) else (2, 2)
    assert "axis" in message_of(ValueError, lambda: ndpool.pool(X, window, axis=axis))
    assert "axis" in message_of(ValueError, lambda: ndpool.output_shape(X.shape, window, axis=axis))


@pytest.mark.parametrize("axis", [1.0, "1", (0, 1.0), object()])
def test_an_axis_is_an_integer(axis):
    window = 2 if not isinstance(axis, tuple) else (2, 2)
    assert "axis" in message_of(TypeError, lambda: ndpool.pool(X, window, axis=axis))


def test_a_window_and_its_axes_have_the_same_number():
    for window, axis in [((2, 2), 1), ((2, 2), (0, 1, 2)), ((2,), (0, 1)), ((2,) * 5, None), ((), 0), ((2,), ())]:
        message_of(ValueError, lambda window=window, axis=axis: ndpool.pool(X, window, axis=axis))


@pytest.mark.parametrize(
    ("dtype", "value", "kind"),
    [
        ("uint8", 300, ValueError),
        ("uint8", -1, ValueError),
        ("int64", float("nan"), ValueError),
        ("int64", 0.5, ValueError),
        ("bool", 2, ValueError),
        ("float64", "x", TypeError),
        ("float64", [0.0], TypeError),
        ("float64", 1j, TypeError),
    ],
)
def test_a_fill_value_is_a_number_that_the_result_can_hold(dtype, value, kind):
    x = np.zeros(4, dtype)
    assert "fill_value" in message_of(kind, lambda: ndpool.pool(x, 2, padding=3, fill_value=value))


@pytest.mark.parametrize("mode", ["sum", "avg", "count"])
def test_only_extremes_have_indices(mode):
    assert "return_indices" in message_of(TypeError, lambda: ndpool.pool(X, 2, mode, return_indices=True))


@pytest.mark.parametrize("option", ["ddof", "p", "nonsense"])
def test_an_option_that_the_mode_does_not_have_is_a_type_error(option):
    assert option in message_of(TypeError, lambda: ndpool.pool(X, 2, "max", **{option: 1}))


def test_unknown_missing_and_doubled_arguments_are_type_errors():
    for call in (
        lambda: ndpool.max_pool2d(X),
        ndpool.max_pool2d,
        lambda: ndpool.max_pool2d(X, 2, kernel_size=2),
        lambda: ndpool.max_pool2d(X, 2, sride=2),
        lambda: ndpool.avg_pool2d(X, 2, 2, 0, False, True, None, 1),
        lambda: ndpool.max_pool2d(X, 2, 2, 0, 1, False, False, "channels_last"),
        lambda: ndpool.pool(X, 2, "max", 0),
    ):
        message_of(TypeError, call)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((4.0, 4), TypeError),
        (("4", 4), TypeError),
        (None, TypeError),
        ("44", TypeError),
        ((4, -4), ValueError),
        ((4, 0), ValueError),
        ((2**63, 4), ValueError),
        ((4, 10**30), ValueError),
        ((), ValueError),
        ((4,), ValueError),
    ],
)
def test_an_odd_shape_is_refused(shape, kind):
    message_of(kind, lambda: ndpool.output_shape(shape, (2, 2)))


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("value", [0, -1, -(2**63), -(10**30)])
def test_a_number_of_threads_is_positive(value):
    before = ndpool.get_num_threads()
    assert str(value) in message_of(ValueError, lambda: ndpool.set_num_threads(value))
    message_of(ValueError, lambda: ndpool.threads(value).__enter__())
    assert ndpool.get_num_threads() == before


@pytest.mark.parametrize("value", [1.0, "2", None, object(), (2,)])
def test_a_number_of_threads_is_an_integer(value):
    message_of(TypeError, lambda: ndpool.set_num_threads(value))
    message_of(TypeError, lambda: ndpool.threads(value).__enter__())


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("value", [2**16, 2**31, 2**63 - 1, 2**64, 10**30])
def test_a_huge_number_of_threads_is_refused_or_clamped(value):
    before = ndpool.get_num_threads()
    with contextlib.suppress(ValueError):
        ndpool.set_num_threads(value)
    try:
        np.testing.assert_array_equal(ndpool.max_pool2d(X, 1), X)
        assert ndpool.get_num_threads() <= 2**16
    finally:
        ndpool.set_num_threads(before)


def test_no_error_writes_to_stderr(capfd):
    for call in (
        lambda: ndpool.max_pool2d(X, 0),
        lambda: ndpool.max_pool2d(X, 2**62, dilation=2**62),
        lambda: ndpool.adaptive_avg_pool2d(X, 2**62),
        lambda: ndpool.vjp(ndpool.max_pool2d, X, 2)[1](np.zeros(3)),
    ):
        with pytest.raises((ValueError, MemoryError)):
            call()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


@pytest.mark.parametrize("value", [1, 0, "no", None, 1.0], ids=repr)
def test_flags_are_bools(value):
    for call, argument in [
        (lambda: ndpool.max_pool2d(X, 2, ceil_mode=value), "ceil_mode"),
        (lambda: ndpool.max_pool2d(X, 2, return_indices=value), "return_indices"),
        (lambda: ndpool.avg_pool2d(X, 2, count_include_pad=value), "count_include_pad"),
        (lambda: ndpool.global_pool(X, keepdims=value), "keepdims"),
    ]:
        assert message_of(TypeError, call).startswith(f"{argument}: {value!r} ")
    assert ndpool.max_pool2d(X, 2, ceil_mode=np.True_).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("value", ["(2,", "\ud800", "no such", 3.5, {"names": 1}, "1(f4"], ids=ascii)
def test_a_dtype_that_is_none_is_named(value):
    assert message_of(TypeError, lambda: ndpool.pool(X, 2, "sum", dtype=value)).startswith("dtype: ")


@pytest.mark.parametrize("value", [bytearray(b"\2\2"), memoryview(b"\2\2"), b"\2\2", {2, 3}, {2: 2}], ids=repr)
def test_no_size_is_read_from_bytes_or_without_an_order(value):
    assert "kernel_size" in message_of(TypeError, lambda: ndpool.max_pool2d(X, value))
    assert "output_size" in message_of(TypeError, lambda: ndpool.adaptive_max_pool2d(X, value))


def test_the_window_of_pool_is_called_a_window():
    assert message_of(ValueError, lambda: ndpool.pool(X, 99)).startswith("window: 99 ")
    assert message_of(ValueError, lambda: ndpool.output_shape((4, 4), 99)).startswith("window: 99 ")
    assert message_of(ValueError, lambda: ndpool.max_pool2d(X, 99)).startswith("kernel_size: 99 ")


def test_min_count_asks_for_a_fill_value_only_where_a_window_is_short():
    x = np.arange(4)
    np.testing.assert_array_equal(ndpool.pool(x, 2, min_count=2), [1, 3])
    np.testing.assert_array_equal(ndpool.pool(x, 2, "count", min_count=2), [2, 2])
    assert message_of(ValueError, lambda: ndpool.pool(x, 2, padding=1, min_count=2)).startswith("fill_value: ")
    assert ndpool.global_pool(X, min_count=65, fill_value=-1.0).tolist() == [[-1.0] * 3] * 2


def test_nan_policies():
    np.testing.assert_array_equal(ndpool.pool(X, 2, nan_policy="propagate"), ndpool.pool(X, 2))
    assert "nan_policy: 'no'" in message_of(ValueError, lambda: ndpool.pool(X, 2, nan_policy="no"))
    assert "nan_policy: 3" in message_of(TypeError, lambda: ndpool.global_pool(X, nan_policy=3))


def test_a_function_without_a_gradient_is_named():
    assert "output_shape" in message_of(TypeError, lambda: ndpool.vjp(ndpool.output_shape, (4, 4), 2))
