"""The one oracle of the Python tests: pooling as loops over Python numbers.

Every fast path of the library is compared with what stands here, so this file has to be right by reading it. There is
one geometry (for each axis and each output position, the list of cells it covers) and one loop (for each output cell,
the cells of its window in C order); the reductions are Python's own ``math.fsum``, ``int`` and ``Fraction``.

Any axes may be pooled. An axis that is not pooled has windows of a single cell each, and so needs no case of its own.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


class EmptyWindowError(ValueError):
    """A window holds no cell of the array, and no ``fill`` was given."""


@dataclass(frozen=True)
class Window:
    """What one output position covers along one axis.

    Attributes
    ----------
    cells : tuple of int
        Positions inside the array, ascending.
    taps : int
        How many positions lie inside the padded extent: the divisor of an average that includes the padding.
    """

    cells: tuple
    taps: int


# ---------------------------------------------------------------------------------------------------------------------
# Geometry, one axis at a time
# ---------------------------------------------------------------------------------------------------------------------


def same_padding(length, kernel, stride, dilation, odd_at_end):
    """Return the ``(lo, hi)`` with which the output has ``ceil(length / stride)`` cells."""
    size = -(-length // stride)
    total = max((size - 1) * stride + dilation * (kernel - 1) + 1 - length, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if odd_at_end else (large, small)


def output_size(length, kernel, stride, padding, *, dilation, ceil_mode):
    """Count the windows: the formula of the contract, then the drop rule of ``ceil_mode``."""
    lo, hi = padding
    room = length + lo + hi - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    size = -(-room // stride) + 1
    if size > 0 and (size - 1) * stride >= length + lo:
        size -= 1
    return size


def axis_windows(length, kernel, stride, padding=(0, 0), *, dilation=1, ceil_mode=False):
    """Windows of one pooled axis; ``padding`` is ``(lo, hi)``, ``"valid"``, ``"same"`` or ``"same_lower"``."""
    if length < 1:
        raise ValueError("a pooled axis of length 0")
    if padding == "valid":
        padding = (0, 0)
    if padding in ("same", "same_lower"):
        lo, hi = same_padding(length, kernel, stride, dilation, odd_at_end=padding == "same")
        size = -(-length // stride)
    else:
        lo, hi = padding
        size = output_size(length, kernel, stride, (lo, hi), dilation=dilation, ceil_mode=ceil_mode)
    if size < 1:
        raise ValueError("the window is larger than the padded axis")
    windows = []
    for out in range(size):
        taps = [out * stride - lo + dilation * tap for tap in range(kernel)]
        cells = tuple(position for position in taps if 0 <= position < length)
        windows.append(Window(cells, sum(-lo <= position < length + hi for position in taps)))
    return windows


def bin_windows(length, size):
    """Adaptive bins ``[floor(i*L/O), ceil((i+1)*L/O))``, in integers."""
    bins = [range(out * length // size, -(-(out + 1) * length // size)) for out in range(size)]
    return [Window(tuple(cells), len(cells)) for cells in bins]


def per_axis(value, rank):
    """Return one value per axis of an argument that may be one for all."""
    return list(value) if isinstance(value, (tuple, list)) else [value] * rank


def padding_per_axis(padding, rank):
    """Every form that the contract allows, as ``(lo, hi)`` or a word per axis."""
    return [(entry, entry) if isinstance(entry, int) else entry for entry in per_axis(padding, rank)]


def untouched(shape):
    """Windows of axes that are not pooled."""
    return [[Window((position,), 1) for position in range(length)] for length in shape]


def windows(shape, axes, kernel, stride=None, padding=0, *, dilation=1, ceil_mode=False):
    """Windows of every axis of ``shape`` where ``axes`` are pooled with a kernel."""
    rank = len(axes)
    kernels = per_axis(kernel, rank)
    strides = kernels if stride is None else per_axis(stride, rank)
    paddings, dilations = padding_per_axis(padding, rank), per_axis(dilation, rank)
    result = untouched(shape)
    for axis, *window, apart in zip(axes, kernels, strides, paddings, dilations, strict=True):
        result[axis] = axis_windows(shape[axis], *window, dilation=apart, ceil_mode=ceil_mode)
    return result


def adaptive(shape, axes, size):
    """Windows of every axis of ``shape`` where ``axes`` are pooled to ``size`` bins."""
    result = untouched(shape)
    for axis, bins in zip(axes, per_axis(size, len(axes)), strict=True):
        result[axis] = bin_windows(shape[axis], bins)
    return result


def whole(shape, axes):
    """Windows of every axis of ``shape`` where ``axes`` are pooled to one cell: global pooling."""
    return adaptive(shape, axes, 1)


def output_shape(geometry):
    """Shape of the result."""
    return tuple(len(axis) for axis in geometry)


def spatial_axes(ndim, spatial, layout="channels_first"):
    """Return the pooled axes of the functions that are named as in PyTorch."""
    stop = ndim - 1 if layout == "channels_last" else ndim
    return tuple(range(stop - spatial, stop))


# ---------------------------------------------------------------------------------------------------------------------
# Reductions
# ---------------------------------------------------------------------------------------------------------------------


def visits(geometry):
    """Yield ``(output index, indices of its cells in C order, taps)`` for every output cell, in C order."""
    for out in np.ndindex(*output_shape(geometry)):
        covered = [axis[position] for axis, position in zip(geometry, out, strict=True)]
        cells = list(itertools.product(*(window.cells for window in covered)))
        yield out, cells, math.prod(window.taps for window in covered)


def refuse_empty_windows(geometry):
    """Geometry alone decides: the error does not depend on how many planes the array has."""
    for axis, along in enumerate(geometry):
        for out, window in enumerate(along):
            if not window.cells:
                raise EmptyWindowError(f"window {out} of axis {axis} holds no cell")


def number(cell):
    """Turn a cell into a Python number, exactly for every dtype of the contract."""
    return int(cell) if cell.dtype.kind in "iub" else float(cell)


def total(numbers):
    """Add up: exactly for integers, correctly rounded for finite floats, IEEE's way for the rest."""
    if all(isinstance(value, int) for value in numbers):
        return sum(numbers)
    return math.fsum(numbers) if all(map(math.isfinite, numbers)) else sum(numbers)


def winner(numbers, mode):
    """Place of the extreme: the first NaN, otherwise the first of the equal best (0.0 and -0.0 are equal)."""
    best = 0
    for place, value in enumerate(numbers):
        if math.isnan(value):
            return place
        if value > numbers[best] if mode == "max" else value < numbers[best]:
            best = place
    return best


def divisor_of(cells, taps, include_pad, divisor):
    """Return what an average divides by."""
    if divisor is not None:
        return divisor
    return taps if include_pad else len(cells)


@dataclass
class Pooled:
    """A forward result.

    Attributes
    ----------
    values : ndarray
        max, min: the dtype of the input (in native byte order), bit for bit. Otherwise objects: ``int`` and
        ``Fraction`` for integers (exact), ``float`` for floats.
    indices : ndarray of int64
        Place of the winner, flat over the pooled axes (-1 where a window is empty).
    magnitude : ndarray of float64
        ``sum(abs(cell)) / abs(divisor)`` per output: the scale of the rounding error of any order of summation.
    cells : ndarray of int64
        Cells of the array per output.
    """

    values: np.ndarray
    indices: np.ndarray
    magnitude: np.ndarray
    cells: np.ndarray


def pool(x, geometry, axes, mode, *, include_pad=False, divisor=None, fill=None):
    """Reduce every window of ``x`` by ``mode``: max, min, sum, avg or count."""
    shape = output_shape(geometry)
    extent = [x.shape[axis] for axis in sorted(axes)]
    values = np.empty(shape, x.dtype.newbyteorder("=") if mode in ("max", "min") else object)
    indices, counts = np.full(shape, -1, np.int64), np.zeros(shape, np.int64)
    magnitude = np.zeros(shape, np.float64)
    if fill is None:
        refuse_empty_windows(geometry)
    for out, cells, taps in visits(geometry):
        counts[out] = len(cells)
        if not cells:
            values[out] = fill
            continue
        numbers = [number(x[cell]) for cell in cells]
        if mode in ("max", "min"):
            won = cells[winner(numbers, mode)]
            values[out] = x[won]
            indices[out] = np.ravel_multi_index([won[axis] for axis in sorted(axes)], extent)
        elif mode == "count":
            values[out] = len(cells)
        else:
            by = divisor_of(cells, taps, include_pad, divisor) if mode == "avg" else 1
            summed = total(numbers)
            values[out] = Fraction(summed, by) if isinstance(summed, int) else summed / by
            magnitude[out] = sum(map(abs, numbers)) / abs(by)
    return Pooled(values, indices, magnitude, counts)


# ---------------------------------------------------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------------------------------------------------


def jacobian(x, geometry, mode, *, include_pad=False, divisor=None):
    """Yield ``(output index, cell, weight)`` for every non-zero of the linearised map.

    Max and min route to the winner, an average spreads over its divisor.
    """
    for out, cells, taps in visits(geometry):
        if mode in ("max", "min"):
            if cells:
                yield out, cells[winner([number(x[cell]) for cell in cells], mode)], 1.0
        else:
            by = divisor_of(cells, taps, include_pad, divisor) if mode == "avg" else 1
            for cell in cells:
                yield out, cell, 1.0 / by


def pullback(x, dy, geometry, mode, **options):
    """Return the gradient at ``x`` of ``<dy, pool(x)>``, in float64."""
    dx = np.zeros(x.shape, np.float64)
    for out, cell, weight in jacobian(x, geometry, mode, **options):
        dx[cell] += weight * float(dy[out])
    return dx


def jvp(x, dx, geometry, mode, **options):
    """Return the derivative of ``pool`` at ``x`` along ``dx``, in float64."""
    dy = np.zeros(output_shape(geometry), np.float64)
    for out, cell, weight in jacobian(x, geometry, mode, **options):
        dy[out] += weight * float(dx[cell])
    return dy
