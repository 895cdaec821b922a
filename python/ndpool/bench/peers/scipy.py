"""SciPy: the filters of ``ndimage`` at every cell, of which every ``stride``-th is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from ndpool.bench.cells import Array, Cell, Data, Window


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Filter along the pooled axes; SciPy has one thread."""
    del threads
    suited = cell.direction == "forward" and cell.dtype in ("float32", "uint8", "uint16") and cell.reach == "window"
    if not suited or set(cell.window.dilation) != {1}:
        return []
    return [Job("", lambda: [_filter(cell, window, data.x) for window in cell.windows], arrays(cell))]


def _filter(cell: Cell, window: Window, x: Array) -> Array:
    origin = tuple(p - k // 2 for k, p in zip(window.kernel, window.padding, strict=True))
    # Cells beyond the border are never larger than those inside.
    lowest = -np.inf if cell.mode == "max" and cell.kind.kind == "f" else 0
    options: dict[str, Any] = {"origin": origin, "mode": "constant", "cval": lowest, "axes": cell.axes}
    if cell.mode == "max":
        filtered = ndimage.maximum_filter(x, window.kernel, **options)
    else:
        filtered = ndimage.uniform_filter(x, window.kernel, output=np.float32, **options)
    kept: list[slice] = [slice(None)] * x.ndim
    for axis, s, length in zip(cell.axes, window.stride, window.lengths(cell.spatial), strict=True):
        kept[axis] = slice(None, length * s, s)
    found = filtered[tuple(kept)]
    if cell.kind.kind in "iu" and cell.mode == "avg":
        found = np.rint(found).astype(cell.kind)
    return np.ascontiguousarray(found)
