"""A plain loop compiled by numba, as somebody would write it who needs just this pooling."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

TASKS = ("pool", "omit", "unpool")
PLANE = 2


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Loop over planes, or over tokens; other layouts would be other loops."""
    numba.set_num_threads(threads)
    dtypes = ("float32", "uint8") if cell.mode == "max" else ("float32",)
    if cell.layout == "NLC" and cell.reach == "global" and cell.mode == "avg":
        return [_job(cell, _tokens, data.x)]
    if cell.direction == "unpool" and not cell.channels_last:
        flat = [array.reshape(-1, math.prod(array.shape[-cell.rank :])) for array in data.given]
        return [_job(cell, _unpool, *flat, math.prod(cell.spatial))]
    suited = cell.direction == "forward" and cell.dtype in dtypes and cell.rank <= PLANE
    if not suited or cell.channels_last or cell.step > 1 or cell.reach != "window":
        return []
    planes = data.x.reshape(-1, *(1, *cell.spatial)[-PLANE:])
    loop = _compiled(_omit if cell.omit else {"max": _max, "avg": _avg}[cell.mode])
    geometries = [_geometry(cell, window) for window in cell.windows]
    loop(planes[:0], *geometries[0])
    return [Job("", lambda: [loop(planes, *geometry) for geometry in geometries], arrays(cell))]


def _job(cell: Cell, function: Callable[..., Array], *args: Any) -> Job:
    loop = _compiled(function)
    loop(*args)
    return Job("", lambda: loop(*args), arrays(cell))


def _geometry(cell: Cell, window: Window) -> tuple[tuple[int, ...], ...]:
    """Return lengths of the result, kernel, stride, padding and dilation of a plane; a row is a plane of one."""
    rows = ((1, window.lengths(cell.spatial)), (1, window.kernel), (1, window.stride), (0, window.padding))
    return tuple((missing, *values)[-PLANE:] for missing, values in (*rows, (1, window.dilation)))


@cache
def _compiled(function: Callable[..., Array]) -> Callable[..., Array]:
    loop: Callable[..., Array] = numba.njit(parallel=True)(function)
    return loop


def _max(x: Array, lengths: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    planes, height, width = x.shape
    rows, columns = lengths
    y = np.empty((planes, rows, columns), x.dtype)
    for at in numba.prange(planes * rows):
        plane, row = at // rows, at % rows
        for column in range(columns):
            top, left = row * stride[0] - padding[0], column * stride[1] - padding[1]
            largest = x[plane, max(top, top % dilation[0]), max(left, left % dilation[1])]
            for i in range(kernel[0]):
                h = top + i * dilation[0]
                if 0 <= h < height:
                    for j in range(kernel[1]):
                        w = left + j * dilation[1]
                        if 0 <= w < width:
                            largest = max(largest, x[plane, h, w])
            y[plane, row, column] = largest
    return y


def _avg(x: Array, lengths: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    planes, height, width = x.shape
    rows, columns = lengths
    y = np.empty((planes, rows, columns), x.dtype)
    for at in numba.prange(planes * rows):
        plane, row = at // rows, at % rows
        for column in range(columns):
            total = 0.0
            for i in range(kernel[0]):
                h = row * stride[0] - padding[0] + i * dilation[0]
                if 0 <= h < height:
                    for j in range(kernel[1]):
                        w = column * stride[1] - padding[1] + j * dilation[1]
                        if 0 <= w < width:
                            total += x[plane, h, w]
            y[plane, row, column] = total / (kernel[0] * kernel[1])
    return y


def _omit(x: Array, lengths: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    planes, height, width = x.shape
    rows, columns = lengths
    y = np.empty((planes, rows, columns), x.dtype)
    for at in numba.prange(planes * rows):
        plane, row = at // rows, at % rows
        for column in range(columns):
            total, count = 0.0, 0
            for i in range(kernel[0]):
                h = row * stride[0] - padding[0] + i * dilation[0]
                if 0 <= h < height:
                    for j in range(kernel[1]):
                        w = column * stride[1] - padding[1] + j * dilation[1]
                        if 0 <= w < width and not np.isnan(x[plane, h, w]):
                            total += x[plane, h, w]
                            count += 1
            y[plane, row, column] = total / count if count else np.nan
    return y


def _unpool(values: Array, indices: Array, size: int) -> Array:
    planes, count = values.shape
    x = np.empty((planes, size), values.dtype)
    for plane in numba.prange(planes):
        x[plane] = 0
        for at in range(count):
            x[plane, indices[plane, at]] = values[plane, at]
    return x


def _tokens(x: Array) -> Array:
    batch, tokens, channels = x.shape
    y = np.empty((batch, channels), x.dtype)
    for sample in numba.prange(batch):
        y[sample] = 0
        for token in range(tokens):
            for channel in range(channels):
                y[sample, channel] += x[sample, token, channel]
        for channel in range(channels):
            y[sample, channel] /= tokens
    return y
