"""bottleneck: moving windows along one axis after the other, and means without NaN of blocks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bottleneck
import numpy as np

from ndpool.bench.peers import Job, arrays, blocks

if TYPE_CHECKING:
    from ndpool.bench.cells import Array, Cell, Data, Window

TASKS = ("pool", "omit")


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Move over padded arrays; bottleneck has one thread, floats of 32 or 64 bits, and for means a running sum."""
    del threads
    suited = cell.direction == "forward" and cell.dtype == "float32" and cell.reach == "window"
    if not suited or set(cell.window.dilation) != {1}:
        return []
    if cell.omit:
        return [Job("reshape", lambda: _omitted(cell, data.x), arrays(cell))] if cell.window.tiled else []
    return [Job("", lambda: [_moved(cell, window, data.x) for window in cell.windows], arrays(cell))]


def _omitted(cell: Cell, x: Array) -> Array:
    """Reduce one axis, as bottleneck does: that of the cells of a window, brought together."""
    shape, within = blocks(cell)
    together = np.moveaxis(x.reshape(shape), within, range(-len(within), 0))
    means: Array = bottleneck.nanmean(together.reshape(-1, cell.window.count), axis=1)
    return means


def _moved(cell: Cell, window: Window, x: Array) -> Array:
    move = bottleneck.move_max if cell.mode == "max" else bottleneck.move_mean
    if any(window.padding):
        paddings = dict(zip(cell.axes, window.padding, strict=True))
        widths = [(paddings.get(axis, 0),) * 2 for axis in range(x.ndim)]
        x = np.pad(x, widths, constant_values=-np.inf if cell.mode == "max" else 0)
    lengths = window.lengths(cell.spatial)
    for axis, k, s, length in zip(cell.axes, window.kernel, window.stride, lengths, strict=True):
        moved = move(x, k, axis=axis) if k > 1 else x
        x = moved[(slice(None),) * axis + (slice(k - 1, k + (length - 1) * s, s),)]
    return np.ascontiguousarray(x)
