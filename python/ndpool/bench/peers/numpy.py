"""NumPy: the idioms that people write when they have nothing else."""

from __future__ import annotations

import warnings
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ndpool.bench.peers import Job, arrays, blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

TASKS = ("pool", "omit", "unpool")
#: Longest window that is taken cell by cell: each is a pass over the array.
LONGEST = 80
#: Most cells of a window of which indices are found: as many copies of the array are made.
MOST = 25


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Reshape and reduce where windows lie side by side; else combine shifted slices, axis after axis."""
    del threads  # NumPy has one
    x, window, results = data.x, cell.window, arrays(cell)
    if cell.direction == "indices":
        return [Job("", lambda: _indices(cell, x), results)] if window.count <= MOST else []
    if cell.direction == "pullback":
        return _pullback(cell, data)
    if cell.direction == "unpool":
        return [] if cell.channels_last else [Job("", lambda: _unpool(cell, *data.given), results)]
    if cell.direction == "vjp":
        return []
    if cell.reach == "global":
        return [Job("", lambda: getattr(x, _REDUCTION[cell.mode])(cell.axes), results)]
    jobs = []
    if max(max(w.kernel) for w in cell.windows) <= LONGEST and not cell.omit:
        ways = [_slices(cell, w) for w in cell.windows]
        jobs.append(Job("", lambda: [way(x) for way in ways], results))
    if window.tiled:
        way = _reshape(cell)
        jobs.append(Job("reshape", lambda: way(x), results))
    return jobs


_REDUCTION = {"max": "max", "avg": "mean"}


def _reshape(cell: Cell) -> Callable[[Array], Array]:
    """Split every pooled axis in two and reduce the second."""
    shape, within = blocks(cell)
    kernels = dict(zip(cell.axes, cell.window.kernel, strict=True))
    kept = tuple(slice(length * kernels.get(axis, 1)) for axis, length in enumerate(cell.output_shapes[0]))
    if cell.omit:
        return lambda x: _omit(x[kept].reshape(shape), within)
    reduction = _REDUCTION[cell.mode]
    return lambda x: _rounded(cell, getattr(x[kept].reshape(shape), reduction)(within))


def _omit(x: Array, axes: tuple[int, ...]) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of windows of nothing but NaN
        means: Array = np.nanmean(x, axes)
    return means


def _slices(cell: Cell, window: Window) -> Callable[[Array], Array]:
    """Combine the shifted slices of one axis after the other."""
    summed, integers = cell.mode == "avg", cell.kind.kind in "iu"
    combine = np.add if summed else np.maximum
    passes = []
    lengths = window.lengths(cell.spatial)
    for axis, k, s, d, length in zip(cell.axes, window.kernel, window.stride, window.dilation, lengths, strict=True):
        before = (slice(None),) * axis
        passes.append([(*before, slice(tap * d, tap * d + (length - 1) * s + 1, s)) for tap in range(k)])

    def combined(x: Array) -> Array:
        if summed and integers:
            x = x.astype(np.uint32)
        x = _padded(cell, window, x)
        for first, *others in passes:
            taps = x
            x = combine(taps[first], taps[others[0]]) if others else taps[first]
            for tap in others[1:]:
                combine(x, taps[tap], out=x)
        return _rounded(cell, x / x.dtype.type(window.count)) if summed else x

    return combined


def _padded(cell: Cell, window: Window, x: Array) -> Array:
    if not any(window.padding):
        return x
    lowest: Any = 0 if cell.mode == "avg" or cell.kind.kind == "u" else -np.inf
    paddings = dict(zip(cell.axes, window.padding, strict=True))
    return np.pad(x, [(paddings.get(axis, 0),) * 2 for axis in range(x.ndim)], constant_values=lowest)


def _rounded(cell: Cell, mean: Array) -> Array:
    return np.rint(mean).astype(cell.kind) if cell.mode == "avg" and cell.kind.kind in "iu" else mean


def _indices(cell: Cell, x: Array) -> tuple[Array, Array]:
    """Find the largest cell of every window and make places in the plane of places in the window."""
    window = cell.window
    steps: list[slice] = [slice(None)] * x.ndim
    for axis, s in zip(cell.axes, window.stride, strict=True):
        steps[axis] = slice(None, None, s)
    windows = sliding_window_view(_padded(cell, window, x), window.kernel, cell.axes)[tuple(steps)]
    flat = windows.reshape(*windows.shape[: x.ndim], -1)
    best = flat.argmax(-1)
    within = np.unravel_index(best, window.kernel)
    places = []
    for axis, tap, s, p in zip(cell.axes, within, window.stride, window.padding, strict=True):
        start = np.arange(best.shape[axis]) * s - p
        places.append(tap + start.reshape([-1 if other == axis else 1 for other in range(x.ndim)]))
    rows = zip(places[1:], cell.spatial[1:], strict=True)
    index: Array = reduce(lambda flat, row: flat * row[1] + row[0], rows, places[0])
    return np.take_along_axis(flat, best[..., None], -1)[..., 0], index


def _unpool(cell: Cell, values: Array, indices: Array) -> Array:
    """Put maxima at their places in planes of zeros."""
    x = np.zeros(cell.input_shape, values.dtype)
    planes = values.shape[: -cell.rank]
    np.put_along_axis(x.reshape(*planes, -1), indices.reshape(*planes, -1), values.reshape(*planes, -1), -1)
    return x


def _pullback(cell: Cell, data: Data) -> list[Job]:
    """Repeat the shares of means that do not overlap; add the cotangents of maxima at the places that won."""
    window, dy, results = cell.window, data.dy, arrays(cell)
    if dy is None or any(letter not in "NCHW" for letter in cell.layout) or cell.channels_last:
        return []
    if cell.mode == "max" and window.count <= MOST:
        places = _indices(cell, data.x)[1].reshape(-1, *dy.shape[-cell.rank :])
        planes = np.arange(places.shape[0]).reshape(-1, *(1,) * cell.rank)
        size = int(np.prod(cell.spatial))
        flat = (places + planes * size).ravel()

        def route() -> Array:
            dx = np.zeros(data.x.size, dy.dtype)
            if window.tiled:
                dx[flat] = dy.ravel()
            else:
                np.add.at(dx, flat, dy.ravel())
            return dx

        return [Job("", route, results)]
    if (
        cell.mode == "avg"
        and window.tiled
        and window.lengths(cell.spatial)
        == tuple(length // k for length, k in zip(cell.spatial, window.kernel, strict=True) if length % k == 0)
    ):

        def share() -> Array:
            dx: Array = dy / dy.dtype.type(window.count)
            for axis, k in zip(cell.axes, window.kernel, strict=True):
                dx = np.repeat(dx, k, axis)
            return dx

        return [Job("", share, results)]
    return []
