"""Pillow: ``Image.reduce`` and ``MaxFilter``, of grey and colour images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from ndpool.bench.cells import Cell, Data

Image.MAX_IMAGE_PIXELS = None
RGB = 3


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Pool an image; Pillow has one thread, and a float image only for means."""
    del threads
    window, mean = cell.window, cell.mode == "avg"
    colour = cell.layout == "HWC" and cell.shape[-1] == RGB
    dtypes = ("uint8", "float32") if mean and not colour else ("uint8",)
    if cell.direction != "forward" or cell.dtype not in dtypes or not (colour or cell.layout == "HW"):
        return []
    image = Image.fromarray(np.ascontiguousarray(data.x))
    whole = all(length % k == 0 for length, k in zip(cell.spatial, window.kernel, strict=True))
    height, width = window.kernel
    if mean and window.tiled and whole:
        return [Job("", lambda: image.reduce((width, height)), arrays(cell))]
    around = (height // 2,) * 2
    square = height == width and height % 2 and window.padding == around and {*window.stride, *window.dilation} == {1}
    if not mean and square:  # borders are repeated, which changes no maximum
        return [Job("", lambda: image.filter(ImageFilter.MaxFilter(height)), arrays(cell))]
    return []
