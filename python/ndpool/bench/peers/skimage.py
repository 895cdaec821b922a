"""scikit-image: ``block_reduce``, for windows side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import block_reduce

from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from ndpool.bench.cells import Cell, Data

TASKS = ("pool", "omit")


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Reduce blocks; scikit-image has one thread and completes blocks that are not whole, so these are left out."""
    del threads
    window = cell.window
    whole = all(length % k == 0 for length, k in zip(cell.spatial, window.kernel, strict=True))
    if cell.direction != "forward" or not window.tiled or not whole:
        return []
    kernels = dict(zip(cell.axes, window.kernel, strict=True))
    blocks = tuple(kernels.get(axis, 1) for axis in range(data.x.ndim))
    if cell.mode == "max":
        return [Job("", lambda: block_reduce(data.x, blocks, np.max), arrays(cell))]
    if cell.omit:
        return [Job("", lambda: block_reduce(data.x, blocks, np.nanmean), arrays(cell))]
    if cell.kind.kind in "iu":
        return [Job("", lambda: np.rint(block_reduce(data.x, blocks, np.mean)).astype(cell.kind), arrays(cell))]
    return [Job("", lambda: block_reduce(data.x, blocks, np.mean), arrays(cell))]
