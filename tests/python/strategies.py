"""Hypothesis strategies: arrays of every dtype, memory layout and awkward value, and windows of every form.

Values come from a small palette that is drawn first and then scattered by a seeded generator: ties are common, special
values meet each other inside one window, and a failing example still shrinks to a few numbers.
"""

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")] + [BFLOAT16]
INTEGERS = [np.dtype(sign + width) for sign in ("int", "uint") for width in ("8", "16", "32", "64")]
BOOL = np.dtype(bool)
DTYPES = FLOATS + INTEGERS + [BOOL]
LAYOUTS = ["channels_first", "channels_last"]


def dtype_name(dtype):
    """Name a dtype in a test id."""
    return np.dtype(dtype).name


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


def special_values(dtype):
    """List values that break kernels: NaN, infinities, signed zeros, denormals, the extremes of integers."""
    dtype = np.dtype(dtype)
    if dtype == BOOL:
        return [False, True]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return [limits.min, limits.min + 1, 0, 1, limits.max - 1, limits.max]
    limits = ml_dtypes.finfo(dtype)
    tiny, largest = float(limits.smallest_subnormal), float(limits.max)
    return [np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -3 * tiny, float(limits.tiny), largest, -largest]


def plain_values(dtype):
    """Values on which sums neither overflow nor lose everything."""
    dtype = np.dtype(dtype)
    if dtype == BOOL:
        return st.booleans()
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return st.integers(max(limits.min, -1000), min(limits.max, 1000))
    return st.floats(-1000, 1000, width=16)


def palette(dtype, *, special):
    """Draw a few values of ``dtype``, with or without the special ones."""
    values = st.sampled_from(special_values(dtype)) | plain_values(dtype) if special else plain_values(dtype)
    return st.lists(values, min_size=1, max_size=8)


@st.composite
def arrays(draw, shape, dtype, *, special=False):
    """Draw an array of ``shape`` whose cells are scattered from a small palette."""
    values = draw(palette(dtype, special=special))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.array(values, dtype)[generator.integers(len(values), size=shape)]


@st.composite
def distinct_arrays(draw, shape):
    """Draw a float64 array without ties or near-ties, where max and min are differentiable."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.permutation(np.arange(np.prod(shape, dtype=int))).reshape(shape) / 8.0 - 3.0


# ---------------------------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------------------------


def stepped(x):
    """Every second cell of a larger array, along every axis."""
    big = np.zeros([2 * length + 1 for length in x.shape], x.dtype)
    view = big[tuple(slice(1, 1 + 2 * length, 2) for length in x.shape)]
    view[...] = x
    return view


def reversed_axes(x):
    """Negative strides along every axis."""
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[flip])[flip]


def channels_last_memory(x):
    """Channels-first shape, channels-last memory: the second axis (of two or more) varies fastest."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, min(1, x.ndim - 1), -1)), -1, min(1, x.ndim - 1))


def transposed(x):
    """Memory in the order of the axes shifted by one."""
    order = (*range(1, x.ndim), 0)
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def byte_swapped(x):
    """Use the other byte order (for dtypes that have one)."""
    return x if x.dtype == BFLOAT16 else x.astype(x.dtype.newbyteorder())


def misaligned(x):
    """Put the same cells at an odd address."""
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def structured_field(x):
    """Make ``x`` a field of a packed record half as large again: float64 with a stride of 12 bytes."""
    rest = max(x.dtype.itemsize // 2, 1)
    record = np.zeros(x.shape, [("value", x.dtype), ("rest", np.uint8, (rest,))])
    record["value"] = x
    return record["value"]


MEMORY = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "transposed": transposed,
    "stepped": stepped,
    "reversed": reversed_axes,
    "channels_last": channels_last_memory,
    "byte_swapped": byte_swapped,
    "misaligned": misaligned,
    "field": structured_field,
}


def memory_layouts():
    """Draw a function that lays the cells of an array out in memory in some way; shape and values stay."""
    return st.sampled_from(sorted(MEMORY)).map(MEMORY.get)


def broadcast_along(x, axis):
    """``x`` with its first slice repeated along ``axis`` by a stride of 0."""
    return np.broadcast_to(np.take(x, [0], axis), x.shape)


# ---------------------------------------------------------------------------------------------------------------------
# Shapes and windows
# ---------------------------------------------------------------------------------------------------------------------


def one_or_per_axis(rank, entries):
    """Draw an argument as one value for all axes or as a sequence with one per axis."""
    each = st.lists(entries, min_size=rank, max_size=rank)
    return entries | each.map(tuple) | each


def extents(rank):
    """Lengths of the pooled axes; smaller where there are more of them."""
    return st.lists(st.integers(1, {1: 24, 2: 9}.get(rank, 5)), min_size=rank, max_size=rank).map(tuple)


def paddings(rank, largest):
    """Every form: int, per axis, pairs, words."""
    ints = st.integers(0, largest)
    pairs = st.lists(st.tuples(ints, ints), min_size=rank, max_size=rank)
    return one_or_per_axis(rank, ints) | pairs | st.sampled_from(["valid", "same", "same_lower"])


@st.composite
def window_arguments(draw, rank, extent, *, dilated=True):
    """Keyword arguments ``kernel_size, stride, padding, dilation, ceil_mode`` that mostly give a result.

    The kernel fits the padded axes more often than not; paddings reach past half the kernel, so that now and then a
    window holds no cell at all.
    """
    each = st.tuples(*(st.integers(1, min(length + 1, 6)) for length in extent))
    kernels = draw(each | each.map(list) | st.integers(1, min(*extent, 5) + 1))
    arguments = {
        "kernel_size": kernels,
        "stride": draw(st.none() | one_or_per_axis(rank, st.integers(1, 5))),
        "ceil_mode": draw(st.booleans()),
    }
    reach = (kernels if isinstance(kernels, int) else min(kernels)) - 1
    arguments["padding"] = draw(st.just(0) | paddings(rank, reach) | paddings(rank, reach + 2))
    if dilated:
        arguments["dilation"] = draw(st.just(1) | one_or_per_axis(rank, st.integers(1, 3)))
    return arguments


@st.composite
def batched_shapes(draw, rank, layout="channels_first"):
    """Draw ``(N, C, *spatial)`` or ``(C, *spatial)`` (or channels last); batch and channels may be 0."""
    batch = draw(st.sampled_from([(), (0,), (1,), (2,), (3,)]))
    channels = (draw(st.sampled_from([0, 1, 1, 2, 3])),)
    spatial = draw(extents(rank))
    return (*batch, *channels, *spatial) if layout == "channels_first" else (*batch, *spatial, *channels)


@st.composite
def shapes_and_axes(draw):
    """Draw a shape of rank 1 to 4 and some of its axes, ascending, written from either end."""
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.integers(1, 7 if rank < 3 else 4), min_size=rank, max_size=rank)))
    chosen = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True).map(sorted))
    from_the_end = draw(st.booleans())
    return shape, tuple(axis - rank if from_the_end else axis for axis in chosen)
