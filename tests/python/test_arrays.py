"""The gate for arrays: what is read in place, copied or refused, and what ``out=`` may be.

Numbers under odd memory layouts are checked all over the suite; here are the kinds of object, and the promise that a
refused call has written nothing.
"""

import ndpool
import numpy as np
import pytest
import strategies as some
from checks import assert_selected, function
from hypothesis import given
from hypothesis import strategies as st

X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
WANT = ndpool.max_pool2d(X, 2)


@pytest.mark.parametrize("memory", sorted(some.MEMORY))
@pytest.mark.parametrize("dtype", some.DTYPES, ids=some.dtype_name)
def test_every_memory_layout_gives_a_native_result(dtype, memory):
    x = np.abs(X * 9).astype(dtype)
    arranged = some.MEMORY[memory](x)
    assert arranged.shape == x.shape
    assert_selected(ndpool.max_pool2d(arranged, 3, 2, 1), ndpool.max_pool2d(x, 3, 2, 1))
    assert_selected(ndpool.avg_pool2d(arranged, 3, 2, 1), ndpool.avg_pool2d(x, 3, 2, 1))
    if np.dtype(dtype).kind not in "iub":
        y, pullback = ndpool.vjp(ndpool.max_pool2d, arranged, 2)
        dy = (np.arange(y.size).reshape(y.shape) % 7).astype(dtype)
        want = ndpool.vjp(ndpool.max_pool2d, x, 2)[1](dy)
        assert_selected(pullback(some.MEMORY[memory](dy)), want)


def test_lists_and_tuples_are_arrays():
    np.testing.assert_array_equal(ndpool.max_pool1d([[[1, 4, 2, 3]]], 2), [[[4, 3]]])
    np.testing.assert_array_equal(ndpool.avg_pool1d((((1.0, 4.0, 2.0, 3.0),),), 2), [[[2.5, 2.5]]])


@pytest.mark.parametrize("x", [3.0, np.float32(3), np.array(3.0), 7, True])
def test_scalars_have_no_axis_to_pool(x):
    for call in (
        lambda: ndpool.pool(x, 1),
        lambda: ndpool.pool(x, (1,)),
        lambda: ndpool.pool(x, 1, axis=0),
        lambda: ndpool.max_pool2d(x, 1),
        lambda: ndpool.global_avg_pool(x),
    ):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize("x", [None, "text", object(), {}, {1, 2}, len, 3j, b"bytes", [[1, "a"]], [None]])
def test_things_that_are_no_arrays_are_a_type_error(x):
    for call in (lambda: ndpool.pool(x, 1), lambda: ndpool.max_pool1d(x, 1), lambda: ndpool.global_avg_pool(x)):
        with pytest.raises(TypeError):
            call()


def test_a_ragged_list_is_numpys_error():
    with pytest.raises(ValueError):
        ndpool.max_pool1d([[[1, 2], [3]]], 1)


def test_a_memmap_that_may_only_be_read(tmp_path):
    X.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, mode="r", shape=X.shape)
    assert_selected(ndpool.max_pool2d(mapped, 2), WANT)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_and_other_subclasses_give_arrays():
    class Tagged(np.ndarray):
        """A subclass without behaviour."""

    matrix = np.asmatrix(X[0, 0])
    got = ndpool.pool(matrix, 2)
    np.testing.assert_array_equal(got, WANT[0, 0])
    assert got.shape == (4, 4)
    np.testing.assert_array_equal(ndpool.max_pool2d(X.view(Tagged), 2), WANT)


def test_a_masked_array_is_never_read_through_its_mask():
    plain = np.ma.masked_array(X)
    np.testing.assert_array_equal(ndpool.max_pool2d(plain, 2), WANT)
    masked = np.ma.masked_array(X, mask=X > 1)
    for call in (
        lambda: ndpool.max_pool2d(masked, 2),
        lambda: ndpool.avg_pool2d(masked, 2),
        lambda: ndpool.vjp(ndpool.max_pool2d, masked, 2),
        lambda: ndpool.vjp(ndpool.max_pool2d, X, 2)[1](np.ma.masked_array(WANT, mask=WANT > 0)),
        lambda: ndpool.max_pool2d(X, 2, out=np.ma.masked_array(WANT.copy(), mask=WANT > 0)),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()
    with pytest.raises(TypeError, match="out: a masked array is not written to"):
        ndpool.max_pool2d(X, 2, out=np.ma.masked_array(WANT.copy()))


class Dlpack:
    """An array of a library that has nothing but DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_an_object_with_only_dlpack_is_read():
    np.testing.assert_array_equal(np.asarray(ndpool.max_pool2d(Dlpack(X), 2)), WANT)


class Raising:
    """Every protocol raises the caller's own exception."""

    class Error(Exception):
        """Nobody else raises this."""

    def raise_it(self, *args, **kwargs):
        """Stand in for any protocol method."""
        raise self.Error


def raising(*methods):
    """Make an object whose ``methods`` raise ``Raising.Error``."""
    return type("Raises", (Raising,), dict.fromkeys(methods, Raising.raise_it))()


@pytest.mark.parametrize("methods", [("__array__",), ("__dlpack__", "__dlpack_device__"), ("__array_interface__",)])
def test_an_exception_raised_by_the_array_passes_through(methods):
    x = raising(*methods)
    if methods == ("__array_interface__",):
        type(x).__array_interface__ = property(Raising.raise_it)
    with pytest.raises(Raising.Error):
        ndpool.max_pool2d(x, 2)
    with pytest.raises(Raising.Error):
        ndpool.vjp(ndpool.max_pool2d, X, 2)[1](x)


@pytest.mark.parametrize("argument", ["kernel_size", "stride", "padding", "dilation"])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: (value, value)], ids=["one", "per axis"])
def test_an_exception_raised_by_index_passes_through(wrap, argument):
    with pytest.raises(Raising.Error):
        ndpool.max_pool2d(X, **{"kernel_size": 2, argument: wrap(raising("__index__"))})


def test_an_exception_raised_by_index_passes_through_everywhere_else():
    bad = raising("__index__")
    for call in (
        lambda: ndpool.adaptive_avg_pool2d(X, bad),
        lambda: ndpool.avg_pool2d(X, 2, divisor_override=bad),
        lambda: ndpool.pool(X, bad),
        lambda: ndpool.pool(X, 2, axis=bad),
        lambda: ndpool.output_shape((bad, 4), (2,)),
        lambda: ndpool.set_num_threads(bad),
    ):
        with pytest.raises(Raising.Error):
            call()


def test_an_index_that_changes_its_argument_does_no_harm():
    class Clearing:
        """An ``__index__`` that empties the list that it stands in."""

        def __index__(self):
            sizes.clear()
            return 2

    sizes = [Clearing(), 2]
    try:
        assert ndpool.max_pool2d(X, sizes).shape[:2] == (2, 3)
    except (ValueError, TypeError):
        assert sizes == []


@given(data=st.data())
def test_out_is_written_in_place_and_returned(data):
    name = data.draw(st.sampled_from(["max_pool", "min_pool", "avg_pool"]))
    layouts = {key: some.MEMORY[key] for key in ("C", "F", "transposed", "stepped", "reversed", "channels_last")}
    out = layouts[data.draw(st.sampled_from(sorted(layouts)))](np.full((2, 3, 4, 4), -99, np.float32))
    got = function(name, 2)(X, 2, out=out)
    assert got is out
    np.testing.assert_array_equal(out, function(name, 2)(X, 2))


def test_every_function_writes_into_out():
    for call in (
        lambda **out: ndpool.adaptive_avg_pool2d(X, 4, **out),
        lambda **out: ndpool.adaptive_max_pool2d(X, 4, **out),
        lambda **out: ndpool.global_avg_pool(X, **out),
        lambda **out: ndpool.global_max_pool(X, keepdims=True, **out),
        lambda **out: ndpool.pool(X, (3, 3), "sum", **out),
        lambda **out: ndpool.pool(X, (2, 2), "count", **out),
        lambda **out: ndpool.avg_pool2d(X, 2, dtype=np.float64, **out),
    ):
        want = call()
        out = np.zeros_like(want)
        assert call(out=out) is out
        np.testing.assert_array_equal(out, want)


def test_out_may_be_a_pair_where_indices_are_wanted():
    want = ndpool.max_pool2d(X, 2, return_indices=True)
    out = np.zeros_like(want[0]), np.zeros_like(want[1])
    got = ndpool.max_pool2d(X, 2, return_indices=True, out=out)
    for one, other, expected in zip(got, out, want, strict=True):
        assert one is other
        np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("index_dtype", ["int32", "uint64", "float64"])
def test_a_pair_of_which_one_does_not_fit_is_refused_and_not_written(index_dtype):
    values, indices = np.full(WANT.shape, -99, np.float32), np.full(WANT.shape, 99, index_dtype)
    with pytest.raises(ValueError):
        ndpool.max_pool2d(X, 2, return_indices=True, out=(values, indices))
    assert (values == -99).all()
    assert (indices == 99).all()


def test_a_pair_that_overlaps_is_refused_and_not_written():
    base = np.zeros(WANT.size, np.int64)
    values = base.view(np.float32)[: WANT.size].reshape(WANT.shape)
    with pytest.raises(ValueError):
        ndpool.max_pool2d(X, 2, return_indices=True, out=(values, base.reshape(WANT.shape)))
    assert (base == 0).all()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_out_for_another_number_of_results_is_refused(count):
    out = tuple(np.full(WANT.shape, -99, np.float32) for _ in range(count))
    with pytest.raises(ValueError):
        ndpool.max_pool2d(X, 2, return_indices=True, out=out)
    with pytest.raises(ValueError):
        ndpool.max_pool2d(X, 2, out=out)
    assert all((array == -99).all() for array in out)


def test_a_single_out_takes_the_values_where_indices_are_wanted():
    out = np.zeros_like(WANT)
    values, indices = ndpool.max_pool2d(X, 2, return_indices=True, out=out)
    assert values is out
    np.testing.assert_array_equal(out, WANT)
    np.testing.assert_array_equal(indices, ndpool.max_pool2d(X, 2, return_indices=True)[1])


def read_only():
    """Make an array that may not be written."""
    out = np.full((2, 3, 4, 4), -99, np.float32)
    out.flags.writeable = False
    return out


REFUSED_OUTPUTS = {
    "wrong rank": lambda: np.full((2, 3, 16), -99, np.float32),
    "wrong length": lambda: np.full((2, 3, 4, 5), -99, np.float32),
    "length that would broadcast": lambda: np.full((2, 3, 4, 1), -99, np.float32),
    "wider dtype": lambda: np.full((2, 3, 4, 4), -99, np.float64),
    "integer dtype": lambda: np.full((2, 3, 4, 4), -99, np.int32),
    "read-only": read_only,
    "stride 0": lambda: np.lib.stride_tricks.as_strided(
        np.full(4, -99, np.float32), (2, 3, 4, 4), (0, 0, 0, 4), writeable=True
    ),
    "overlaps itself": lambda: np.lib.stride_tricks.as_strided(
        np.full(200, -99, np.float32), (2, 3, 4, 4), (200, 64, 8, 4), writeable=True
    ),
}


@pytest.mark.parametrize("reason", sorted(REFUSED_OUTPUTS))
@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_an_out_that_does_not_fit_is_refused_and_not_written(name, reason):
    out = REFUSED_OUTPUTS[reason]()
    with pytest.raises(ValueError):
        function(name, 2)(X, 2, out=out)
    assert (out == -99).all()


@pytest.mark.parametrize("memory", ["byte_swapped", "misaligned", "field"])
def test_an_out_of_odd_memory_is_written_rightly_or_refused(memory):
    out = some.MEMORY[memory](np.full((2, 3, 4, 4), -99, np.float32))
    try:
        ndpool.max_pool2d(X, 2, out=out)
    except ValueError:
        assert (out == -99).all()
    else:
        np.testing.assert_array_equal(out, WANT)


@pytest.mark.parametrize("out", [[[0.0] * 4] * 4, "out", 3, object(), np.float32(0)])
def test_an_out_that_is_no_array_is_a_type_error(out):
    with pytest.raises(TypeError):
        ndpool.max_pool2d(X, 2, out=out)


OVERLAPPING = {
    "itself": lambda base: (base[:256].reshape(1, 1, 16, 16),) * 2,
    "shifted": lambda base: (base[:256].reshape(1, 1, 16, 16), base[3:259].reshape(1, 1, 16, 16)),
    "reversed": lambda base: (base[:256].reshape(1, 1, 16, 16), base[255::-1].reshape(1, 1, 16, 16)),
    "transposed": lambda base: (base[:256].reshape(1, 1, 16, 16), base[:256].reshape(1, 1, 16, 16).swapaxes(2, 3)),
    "interleaved": lambda base: (base[:512:2].reshape(1, 1, 16, 16), base[1:512:2].reshape(1, 1, 16, 16)),
    "one cell shared": lambda base: (base[:256].reshape(1, 1, 16, 16), base[255:511].reshape(1, 1, 16, 16)),
}


@pytest.mark.parametrize("how", sorted(OVERLAPPING))
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_an_out_that_overlaps_the_input_is_refused_and_nothing_is_written(mode, how):
    base = np.random.default_rng(0).standard_normal(600)
    before = base.copy()
    x, out = OVERLAPPING[how](base)
    with pytest.raises(ValueError):
        function(f"{mode}_pool", 2)(x, 3, 1, 1, out=out)
    np.testing.assert_array_equal(base, before)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (lambda x, out: ndpool.max_pool2d(x, 2, return_indices=True, out=out), [(2, 4, 4), (2, 4, 4)]),
        (
            lambda x, out: ndpool.fractional_max_pool2d(x, 2, 4, return_indices=True, rng=0, out=out),
            [(2, 4, 4), (2, 4, 4)],
        ),
        (lambda x, out: ndpool.aps_pool2d(x, return_phase=True, out=out), [(2, 4, 4), (2,)]),
    ],
    ids=["max", "fractional", "aps"],
)
def test_arrays_of_an_out_that_overlap_each_other_are_refused(f, shapes):
    x, base = np.arange(128).reshape(2, 8, 8), np.full(64, -9)
    out = tuple(base[: np.prod(shape)].reshape(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"^out: two arrays of a tuple must not share memory with each other$"):
        f(x, out)
    assert (base == -9).all()


def test_an_out_beside_the_input_in_the_same_memory_is_fine():
    base = np.random.default_rng(0).standard_normal(512)
    x, out = base[:256].reshape(1, 1, 16, 16), base[256:].reshape(1, 1, 16, 16)
    want = ndpool.max_pool2d(x.copy(), 3, 1, 1)
    assert ndpool.max_pool2d(x, 3, 1, 1, out=out) is out
    np.testing.assert_array_equal(out, want)


def test_a_refused_window_leaves_out_alone():
    out = np.full((2, 3, 4, 4), -99, np.float32)
    for arguments in ({"kernel_size": 2, "stride": 0}, {"kernel_size": 2, "padding": 2}, {"kernel_size": 9}):
        with pytest.raises(ValueError):
            ndpool.max_pool2d(X, out=out, **arguments)
    assert (out == -99).all()


def test_results_are_new_writable_contiguous_arrays():
    y, index = ndpool.max_pool2d(X, 2, return_indices=True)
    dx = ndpool.vjp(ndpool.max_pool2d, X, 2)[1](y)
    for result in (y, index, dx, ndpool.avg_pool2d(X, 1), ndpool.max_pool2d(X, 1), ndpool.global_avg_pool(X)):
        assert type(result) is np.ndarray
        assert result.flags.writeable
        assert result.flags.aligned
        assert not np.shares_memory(result, X)


def test_masked_cells_inside_lists_and_behind_array_are_not_read():
    masked = np.ma.array([1.0, 9.0, 2.0], mask=[0, 1, 0])

    class Holder:
        def __array__(self, dtype=None, copy=None):
            return masked

    for x in ([masked], ((1.0, np.ma.masked, 2.0),), Holder()):
        with pytest.raises(ValueError, match=r"x: .*masked"):
            ndpool.pool(x, 1)
    with pytest.raises(TypeError, match="fill_value: masked"):
        ndpool.pool([1.0], 1, padding=1, fill_value=np.ma.masked)
