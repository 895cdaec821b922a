"""Max unpooling: against plain loops, its gradients, and everything that can be wrong with indices."""

import threading

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import assert_selected, function, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from test_errors import FLOATS, OTHER_RANK, OVERFLOWING, TEXTS, label, message_of

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
DUPLICATES = ["last", "sum", "max"]
X = np.array([[[[1.0, 2.0], [3.0, 4.0]]]], np.float32)
INDICES = np.array([[[[0, 3], [9, 14]]]])


# ---------------------------------------------------------------------------------------------------------------------
# The reference: a loop over planes, a loop over cells
# ---------------------------------------------------------------------------------------------------------------------


def planes(x, axes):
    """View ``x`` as ``(planes, cells)``; the cells of each in C order."""
    moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    return moved.reshape(-1, int(np.prod(moved.shape[x.ndim - len(axes) :], dtype=int)))


def unplanes(flat, shape, axes):
    """Undo ``planes`` for an array of ``shape``."""
    rest = [length for axis, length in enumerate(shape) if axis not in axes]
    return np.moveaxis(flat.reshape(*rest, *(shape[axis] for axis in axes)), range(-len(axes), 0), axes)


def holder_of(values, numbers, duplicates):
    """Return which of the ``numbers`` holds their common cell."""
    if duplicates == "last":
        return numbers[-1]
    best = numbers[0]
    for number in numbers[1:]:
        old, new = values[best], values[number]
        if not np.isnan(old) and (new > old or np.isnan(new)):
            best = number
    return best


def loop(x, indices, size, axes, duplicates="last"):
    """Return the result, and for each value whether its cell holds it."""
    shape = list(x.shape)
    for axis, length in zip(axes, size, strict=True):
        shape[axis] = length
    values, cells = planes(x, axes), planes(indices, axes)
    result = np.zeros((len(values), int(np.prod(size))), x.dtype)
    held = np.zeros(values.shape, bool)
    for plane in range(len(values)):
        numbers = {}
        for number, cell in enumerate(cells[plane].tolist()):
            numbers.setdefault(cell, []).append(number)
        for cell, those in numbers.items():
            if duplicates == "sum":
                held[plane, those] = True
                summed = values[plane, those]
                with np.errstate(all="ignore"):
                    wide = np.float64 if x.dtype.kind not in "iub" else np.uint64
                    result[plane, cell] = summed.astype(wide).sum().astype(x.dtype)
            else:
                best = holder_of(values[plane], those, duplicates)
                held[plane, best] = True
                result[plane, cell] = values[plane, best]
    return unplanes(result, shape, axes), unplanes(held, x.shape, axes)


@st.composite
def calls(draw, rank, dtype, *, special=False):
    """``(x, indices, keyword arguments, size, axes)`` with indices that are often repeated."""
    layout = draw(st.sampled_from(some.LAYOUTS))
    shape = draw(some.batched_shapes(rank, layout))
    axes = ref.spatial_axes(len(shape), rank, layout)
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    stride = draw(st.none() | st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    steps = stride or kernel
    usual = [(shape[axis] - 1) * s + k for axis, s, k in zip(axes, steps, kernel, strict=True)]
    padding = [draw(st.integers(0, (length - 1) // 2)) for length in usual]
    usual = [length - 2 * pad for length, pad in zip(usual, padding, strict=True)]
    arguments = {"kernel_size": kernel, "stride": stride, "padding": padding, "layout": layout}
    size = usual
    if draw(st.booleans()):
        size = [draw(st.integers(max(1, n - s + 1), n + s - 1)) for n, s in zip(usual, steps, strict=True)]
        whole = list(shape)
        for axis, length in zip(axes, size, strict=True):
            whole[axis] = length
        arguments["output_size"] = draw(st.sampled_from([tuple(size), whole]))
    x = draw(some.memory_layouts())(draw(some.arrays(shape, dtype, special=special)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from([1, 3, int(np.prod(size))]))
    integer = draw(st.sampled_from([np.dtype(np.int64), *(t for t in some.INTEGERS if np.iinfo(t).max >= 126)]))
    indices = generator.integers(min(largest, int(np.prod(size)), 126), size=shape).astype(integer)
    return x, draw(some.memory_layouts())(indices), arguments, size, axes


def assert_added(got, want):
    """Compare sums: integers exactly, floats rounded once or, as NumPy does with halves, twice."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype.kind in "iub":
        np.testing.assert_array_equal(got, want)
    else:
        rtol = 2 * unit_roundoff(want.dtype)
        np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=1e-9)


def random_like(shape, seed, dtype=np.float64):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


@RANKS
@pytest.mark.parametrize("duplicates", DUPLICATES)
@given(data=st.data())
def test_values_are_those_of_the_loop(duplicates, rank, data):
    dtype = data.draw(st.sampled_from(some.DTYPES))
    x, indices, arguments, size, axes = data.draw(calls(rank, dtype, special=duplicates != "sum"))
    want, _ = loop(x.astype(dtype), indices, size, axes, duplicates)
    got = function("max_unpool", rank)(x, indices, duplicates=duplicates, **arguments)
    if duplicates == "sum":
        assert_added(got, want)
    else:
        assert_selected(got, want)
    out = np.full_like(want, 1)
    assert function("max_unpool", rank)(x, indices, duplicates=duplicates, out=out, **arguments) is out
    assert_selected(out, got)


@RANKS
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_what_max_pooling_found_goes_back_to_where_it_was(rank, layout):
    x = np.random.default_rng(0).permutation(2 * 3 * 8**rank).reshape(2, 3, *[8] * rank) + 1.0
    if layout == "channels_last":
        x = np.moveaxis(x, 1, -1)
    y, indices = function("max_pool", rank)(x, 2, return_indices=True, layout=layout)
    back = function("max_unpool", rank)(y, indices, 2, layout=layout)
    np.testing.assert_array_equal(back, np.where(np.isin(x, y), x, 0))


@pytest.mark.parametrize("memory", ["C", "F", "channels_last", "transposed"])
def test_a_result_keeps_the_memory_order_of_the_input(memory):
    x = some.MEMORY[memory](np.ones((2, 3, 4, 5)))
    y = ndpool.max_unpool2d(x, np.zeros(x.shape, int), 2)
    assert np.argsort(y.strides).tolist() == np.argsort(x.strides).tolist()


def test_an_empty_batch_gives_an_empty_result():
    y, pullback = ndpool.vjp(ndpool.max_unpool2d, np.ones((0, 3, 4, 4)), np.ones((0, 3, 4, 4), int), 2)
    assert y.shape == (0, 3, 8, 8)
    assert pullback(y).shape == (0, 3, 4, 4)
    assert ndpool.max_unpool2d(np.ones((2, 0, 4, 4)), np.ones((2, 0, 4, 4), int), 2).shape == (2, 0, 8, 8)


def test_large_planes_are_worked_on_in_parts():
    """Planes of more than 32 MiB, in every direction."""
    x = np.arange(2 * 1500 * 1500, dtype=np.float64).reshape(2, 1500, 1500)
    y, indices = ndpool.max_pool2d(np.pad(x, ((0, 0), (0, 1500), (0, 1500))), 2, return_indices=True)
    want = np.zeros((2, 3000, 3000))
    want.reshape(2, -1)[np.arange(2)[:, None], indices.reshape(2, -1)] = y.reshape(2, -1)
    np.testing.assert_array_equal(ndpool.max_unpool2d(y, indices, 2), want)
    z, pullback = ndpool.vjp(ndpool.max_unpool2d, y, indices.astype(np.uint32), 2, duplicates="max")
    np.testing.assert_array_equal(z, want)
    dy = random_like(z.shape, 1)
    np.testing.assert_array_equal(
        pullback(dy).reshape(2, -1), np.take_along_axis(dy.reshape(2, -1), indices.reshape(2, -1), 1)
    )
    np.testing.assert_array_equal(pullback.jvp(y), want)


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


@RANKS
@pytest.mark.parametrize("duplicates", DUPLICATES)
@given(data=st.data())
def test_pullback_and_jvp_are_those_of_the_loop(duplicates, rank, data):
    dtype = data.draw(st.sampled_from(some.FLOATS))
    x, indices, arguments, size, axes = data.draw(calls(rank, dtype))
    want, held = loop(x.astype(dtype), indices, size, axes, duplicates)
    y, pullback = ndpool.vjp(function("max_unpool", rank), x, indices, duplicates=duplicates, **arguments)
    assert_added(y, want)
    dy = data.draw(some.memory_layouts())(random_like(y.shape, 1, dtype))
    read = np.take_along_axis(planes(dy.astype(dtype), axes), planes(indices, axes).astype(np.int64), 1)
    assert_selected(pullback(dy), np.where(held, unplanes(read, x.shape, axes), dtype.type(0)))
    dx = random_like(x.shape, 2, dtype)
    pushed, _ = loop(np.where(held, dx, dtype.type(0)), indices, size, axes, "sum")
    assert_added(pullback.jvp(dx), pushed)


@RANKS
@pytest.mark.parametrize("duplicates", DUPLICATES)
@given(data=st.data())
def test_pullback_is_the_transpose_of_jvp_and_agrees_with_finite_differences(duplicates, rank, data):
    x, indices, arguments, _, _ = data.draw(calls(rank, np.dtype(np.float64)))
    x = data.draw(some.distinct_arrays(x.shape))
    f = function("max_unpool", rank)
    y, pullback = ndpool.vjp(f, x, indices, duplicates=duplicates, **arguments)
    v, w = random_like(x.shape, 3), random_like(y.shape, 4)
    forwards, backwards = np.vdot(pullback.jvp(v), w), np.vdot(v, pullback(w))
    assert abs(forwards - backwards) <= 1e-12 * max(np.linalg.norm(v) * np.linalg.norm(w), 1)
    moved = [f(x + eps * v, indices, duplicates=duplicates, **arguments) for eps in (1e-6, -1e-6)]
    assert backwards == pytest.approx(np.vdot(moved[0] - moved[1], w) / 2e-6, rel=1e-3, abs=1e-5)


def test_a_value_that_was_overwritten_has_gradient_0():
    x, indices = np.array([[[5.0, 9.0, 9.0]]]), [[[1, 1, 1]]]
    for duplicates, want in [("last", [0, 0, 2]), ("max", [0, 2, 0]), ("sum", [2, 2, 2])]:
        _, pullback = ndpool.vjp(ndpool.max_unpool1d, x, indices, 2, duplicates=duplicates)
        np.testing.assert_array_equal(pullback([[[1.0, 2, 3, 4, 5, 6]]]), [[want]])


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_only_floats_have_a_gradient(dtype):
    assert "x: " in message_of(
        TypeError, lambda: ndpool.vjp(ndpool.max_unpool2d, np.ones((1, 1, 2, 2), dtype), INDICES, 2)
    )


@pytest.mark.parametrize("shape", [(0, 0, 0, 0), (), (4,), (1, 1, 4, 5), (1, 1, 1, 4, 4)])
def test_a_cotangent_of_another_shape_is_refused(shape):
    _, pullback = ndpool.vjp(ndpool.max_unpool2d, X, INDICES, 2)
    with pytest.raises(ValueError, match="dy"):
        pullback(np.ones(shape))
    with pytest.raises(ValueError, match="dx"):
        pullback.jvp(np.ones(shape))


def test_a_pullback_does_not_look_at_its_inputs_again():
    x, indices = random_like((2, 3, 4, 4), 0), np.arange(96).reshape(2, 3, 4, 4) % 64
    y, pullback = ndpool.vjp(ndpool.max_unpool2d, x, indices, 2)
    dy = random_like(y.shape, 1)
    first = pullback(dy)
    x[...] = indices[...] = -1
    np.testing.assert_array_equal(pullback(dy), first)


# ---------------------------------------------------------------------------------------------------------------------
# Indices that are wrong, repeated, or written meanwhile
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 16, 2**32 + 3, -(2**63), 2**63 - 1, -16])
@pytest.mark.parametrize("duplicates", [*DUPLICATES, "error"])
@pytest.mark.parametrize("how", ["fresh", "out", "vjp"])
def test_an_index_of_no_cell_is_refused_before_anything_is_written(how, duplicates, index):
    """pytorch#88032, #152913, #197409, onnxruntime PR 27432, XNNPACK PR 10454."""
    x, indices = np.ones((3, 2, 2, 2)), np.zeros((3, 2, 2, 2), np.int64)
    indices[...] = np.arange(4).reshape(2, 2)
    indices[2, 1, 1, 1] = index
    out = np.full((3, 2, 4, 4), -99.0)
    call = {
        "fresh": lambda: ndpool.max_unpool2d(x, indices, 2, duplicates=duplicates),
        "out": lambda: ndpool.max_unpool2d(x, indices, 2, duplicates=duplicates, out=out),
        "vjp": lambda: ndpool.vjp(ndpool.max_unpool2d, x, indices, 2, duplicates=duplicates, out=out),
    }[how]
    message = message_of(ValueError, call)
    assert message.startswith(f"indices: {index} ")
    assert "from 0 to 15" in message
    assert (out == -99).all()


def test_an_index_that_only_uint64_can_hold_is_named():
    for dtype, index in [(np.uint64, 2**64 - 1), (np.uint64, 16), (np.uint8, 255), (np.int8, -1)]:
        indices = np.full(X.shape, index, dtype)
        assert message_of(ValueError, lambda i=indices: ndpool.max_unpool2d(X, i, 2)).startswith(f"indices: {index} ")


@pytest.mark.parametrize("dtype", [*some.FLOATS, some.BOOL, np.dtype(complex)], ids=some.dtype_name)
def test_indices_are_integers(dtype):
    message = message_of(TypeError, lambda: ndpool.max_unpool2d(X, np.zeros(X.shape, dtype), 2))
    assert message.startswith("indices: ")


@pytest.mark.parametrize("dtype", some.INTEGERS, ids=some.dtype_name)
@pytest.mark.parametrize("memory", sorted(some.MEMORY))
def test_indices_of_every_integer_dtype_and_memory(memory, dtype):
    indices = some.MEMORY[memory](INDICES.astype(dtype))
    np.testing.assert_array_equal(ndpool.max_unpool2d(X, indices, 2), ndpool.max_unpool2d(X, INDICES, 2))


@pytest.mark.parametrize("shape", [(1, 1, 2, 1), (1, 1, 2, 3), (2, 2), (1, 1, 1, 2, 2), (), (0,), (4,), (1, 1, 4)])
def test_indices_of_another_shape_are_refused(shape):
    """CVE-2021-29570: indices and values of different sizes."""
    message = message_of(ValueError, lambda: ndpool.max_unpool2d(X, np.zeros(shape, int), 2))
    assert message.startswith("indices: ")
    assert "(1, 1, 2, 2)" in message


def test_a_repeated_index_is_an_error_if_that_is_asked_for():
    x, out = np.ones((2, 2, 2)), np.full((2, 4, 4), -99.0)
    indices = np.array([[[0, 1], [2, 3]], [[0, 1], [7, 7]]])
    for call in (
        lambda: ndpool.max_unpool2d(x, indices, 2, duplicates="error"),
        lambda: ndpool.max_unpool2d(x, indices, 2, duplicates="error", out=out),
        lambda: ndpool.vjp(ndpool.max_unpool2d, x, indices, 2, duplicates="error", out=out),
    ):
        message = message_of(ValueError, call)
        assert message.startswith("indices: 7 ")
        assert "twice" in message
    assert (out == -99).all()
    np.testing.assert_array_equal(
        ndpool.max_unpool2d(x[:1], indices[:1], 2, duplicates="error"), ndpool.max_unpool2d(x[:1], indices[:1], 2)
    )


def test_what_a_repeated_index_means():
    x = np.array([[[1, 250, 7]]], np.uint8)
    for duplicates, want in [("last", 7), ("sum", 2), ("max", 250)]:
        assert ndpool.max_unpool1d(x, [[[4, 4, 4]]], 2, duplicates=duplicates).tolist() == [[[0, 0, 0, 0, want, 0]]]
    x = np.array([[[1.0, np.nan, 7.0]]])
    assert np.isnan(ndpool.max_unpool1d(x, [[[4, 4, 4]]], 2, duplicates="max")[0, 0, 4])
    ones = np.ones((1, 1, 35000), np.float16)
    assert ndpool.max_unpool1d(ones, np.zeros(ones.shape, int), 1, duplicates="sum")[0, 0, 0] == np.float16(35000)


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("how", ["fresh", "out", "vjp"])
def test_indices_that_are_written_meanwhile_are_used_as_they_were_checked(how):
    """Every call ends in an error or in a result that some state of the indices gives."""
    x, indices = np.ones((4, 8, 64, 64), np.float32), np.zeros((4, 8, 64, 64), np.int64)
    stop = threading.Event()

    def keep_writing():
        """Change every index again and again, to wild ones as well."""
        rng = np.random.default_rng(0)
        while not stop.is_set():
            indices[...] = rng.integers(0, 128 * 128, indices.shape)
            indices[0, 0, 0, :4] = [2**40, -1, 2**63 - 1, -(2**63)]
            indices[0, 0, 0, :4] = 0

    writer = threading.Thread(target=keep_writing)
    writer.start()
    done = 0
    try:
        for _ in range(150):
            out = np.full((4, 8, 128, 128), -1, np.float32)
            try:
                if how == "vjp":
                    y, pullback = ndpool.vjp(ndpool.max_unpool2d, x, indices, 2)
                    assert pullback(y).sum() == y.sum()
                else:
                    y = ndpool.max_unpool2d(x, indices, 2, out=out if how == "out" else None)
            except ValueError:
                assert (out == -1).all()
            else:
                assert set(np.unique(y)) <= {0, 1}
                done += 1
    finally:
        stop.set()
        writer.join()
    assert done > 0


# ---------------------------------------------------------------------------------------------------------------------
# Other arguments
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*FLOATS, *TEXTS, b"2", object(), [2.0, 2], (None, 2)], ids=label)
@pytest.mark.parametrize("argument", ["kernel_size", "stride", "padding", "output_size"])
def test_sizes_are_integers(argument, value):
    arguments = {"kernel_size": 2, argument: value}
    assert argument in message_of(TypeError, lambda: ndpool.max_unpool2d(X, INDICES, **arguments))


@pytest.mark.parametrize("value", [*OVERFLOWING, -1, (2, -1), *OTHER_RANK])
@pytest.mark.parametrize("argument", ["kernel_size", "stride", "padding", "output_size"])
def test_sizes_that_make_no_sense_are_refused(argument, value):
    if argument == "output_size" and value == (2, 2, 2):
        value = (2, 2)
    arguments = {"kernel_size": 2, argument: value}
    assert argument in message_of(ValueError, lambda: ndpool.max_unpool2d(X, INDICES, **arguments))


@pytest.mark.parametrize("argument", ["kernel_size", "stride"])
@pytest.mark.parametrize("value", [0, (0, 2), (2, 0)])
def test_no_size_is_zero(argument, value):
    arguments = {"kernel_size": 2, argument: value}
    assert argument in message_of(ValueError, lambda: ndpool.max_unpool2d(X, INDICES, **arguments))


@pytest.mark.parametrize("arguments", [{"kernel_size": 2**62}, {"kernel_size": 2, "stride": 2**63 - 1}])
def test_a_result_that_no_memory_holds_is_refused_at_once(arguments):
    with pytest.raises((ValueError, MemoryError)):
        ndpool.max_unpool2d(X, INDICES, **arguments)


def test_padding_leaves_a_cell():
    assert "padding: 2 " in message_of(ValueError, lambda: ndpool.max_unpool2d(X, INDICES, 2, padding=2))
    assert ndpool.max_unpool2d(X, INDICES * 0, 2, padding=1).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("size", [(2, 4), (4, 6), (1, 1, 4, 6), (6, 6), (0, 4), (2**62, 4)])
def test_an_output_size_a_stride_or_more_away_is_refused(size):
    message = message_of(ValueError, lambda: ndpool.max_unpool2d(X, INDICES * 0, 2, output_size=size))
    assert message.startswith("output_size: ")


@pytest.mark.parametrize("size", [(3, 4), (5, 5), [1, 1, 5, 3], (9, 9, 4, 4), np.array([5, 3]), 5, (1, 5, 5)])
def test_an_output_size_less_than_a_stride_away_is_fine(size):
    y = ndpool.max_unpool2d(X, INDICES * 0, 2, output_size=size)
    lengths = np.ravel(size)[-2:] if np.ndim(size) else (size, size)
    assert y.shape[2:] == tuple(lengths)


def test_the_whole_shape_of_a_channels_last_result():
    x, indices = np.ones((2, 3, 4, 5)), np.zeros((2, 3, 4, 5), int)
    y = ndpool.max_unpool2d(x, indices, 2, output_size=(2, 7, 8, 5), layout="channels_last")
    assert y.shape == (2, 7, 8, 5)
    y = ndpool.max_unpool2d(x[0], indices[0], 2, output_size=(7, 8, 5), layout="channels_last")
    assert y.shape == (7, 8, 5)


@pytest.mark.parametrize("value", ["first", "", "LAST", "mean"])
def test_duplicates_are_four(value):
    message = message_of(ValueError, lambda: ndpool.max_unpool2d(X, INDICES, 2, duplicates=value))
    for word in ("duplicates", "last", "sum", "max", "error"):
        assert word in message


@pytest.mark.parametrize("value", [None, 0, b"last", ["last"]])
def test_duplicates_is_a_string(value):
    assert "duplicates" in message_of(TypeError, lambda: ndpool.max_unpool2d(X, INDICES, 2, duplicates=value))


@pytest.mark.parametrize("shape", [(), (2,), (2, 2), (1,) * 5, (1, 1, 0, 2), (1, 1, 2, 0)])
def test_an_array_of_another_rank_or_without_cells_is_refused(shape):
    message = message_of(ValueError, lambda: ndpool.max_unpool2d(np.ones(shape), np.zeros(shape, int), 2))
    assert message.startswith("x: ")


@pytest.mark.parametrize(
    "out",
    [
        np.full((1, 1, 4, 5), -99, np.float32),
        np.full((1, 1, 4, 4), -99, np.float64),
        np.full((1, 1, 1, 4), -99, np.float32).repeat(4, 2)[..., ::-1].astype(np.int32),
    ],
)
def test_an_out_that_does_not_fit_is_refused_and_not_written(out):
    assert "out" in message_of(ValueError, lambda: ndpool.max_unpool2d(X, INDICES, 2, out=out))
    assert (out == -99).all()


def test_an_out_that_overlaps_an_input_is_refused():
    memory = np.zeros(64)
    x, indices = memory[:4].reshape(1, 2, 2), memory[8:12].view(np.int64).reshape(1, 2, 2)
    for start in (0, 3, 8, 11):
        out = memory[start : start + 16].reshape(1, 4, 4)
        assert "out" in message_of(ValueError, lambda out=out: ndpool.max_unpool2d(x, indices, 2, out=out))
    out = memory[16:32].reshape(1, 4, 4)
    assert ndpool.max_unpool2d(x, indices, 2, out=out) is out


def test_masked_arrays_are_never_read_through_their_mask():
    masked = np.ma.masked_array(INDICES, INDICES > 3)
    assert "indices" in message_of(ValueError, lambda: ndpool.max_unpool2d(X, masked, 2))


@pytest.mark.parametrize("duplicates", DUPLICATES)
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_bits_do_not_depend_on_the_number_of_threads(layout, duplicates):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 24, 32, 16)).astype(np.float32)
    indices = rng.integers(0, 24 * 2, x.shape)
    dx = rng.standard_normal(x.shape).astype(np.float32)

    def everything():
        y, pullback = ndpool.vjp(ndpool.max_unpool2d, x, indices, 2, duplicates=duplicates, layout=layout)
        plain = ndpool.max_unpool2d(x, indices, 2, duplicates=duplicates, layout=layout)
        return y, plain, pullback(y), pullback.jvp(dx)

    with ndpool.threads(1):
        want = everything()
    for count in (2, 3, 8):
        with ndpool.threads(count):
            for got, expected in zip(everything(), want, strict=True):
                assert_selected(got, expected)
