"""OpenCV: ``dilate``, ``boxFilter``, ``resize`` and ``reduce``, an image at a time."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

    Way = Callable[[Array, Window], Array]

PLANE = 2
#: Channels that ``resize`` takes, and that an image can have.
FEW, CHANNELS = 4, 128


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Filter at every pixel and keep every ``stride``-th; means of blocks and of all have functions of their own."""
    cv2.setNumThreads(threads)
    x, window, results = data.x, cell.window, arrays(cell)
    channels = x.shape[-1] if cell.channels_last else 1
    suited = cell.direction == "forward" and cell.dtype in ("float32", "uint8", "uint16") and cell.step == 1
    if suited and cell.reach == "global":
        return [Job("reduce", _reduced(cell, x), results)] if cell.mode == "avg" else []
    if not suited or cell.rank > PLANE or set(window.dilation) != {1} or channels > CHANNELS:
        return []
    ways: dict[str, Way] = {"": partial(_filter, cell)}
    divided = all(length % k == 0 for length, k in zip(cell.spatial, window.kernel, strict=True))
    if cell.mode == "avg" and window.tiled and divided and channels <= FEW:
        ways["resize"] = partial(_resize, cell)
    images = _images(cell, x)
    return [Job(variant, partial(_pooled, cell, images, way), results) for variant, way in ways.items()]


def _reduced(cell: Cell, x: Array) -> Callable[[], Any]:
    """Reduce rows, or with channels last the columns of one image after the other."""
    if not cell.channels_last:
        rows = x.reshape(-1, cell.window.count)
        return lambda: cv2.reduce(rows, 1, cv2.REDUCE_AVG)
    images = x.reshape(-1, cell.window.count, x.shape[-1])
    return partial(_pooled, cell, images, lambda image, _: cv2.reduce(image, 0, cv2.REDUCE_AVG))


def _images(cell: Cell, x: Array) -> Array:
    """Stack what is one image: a plane, or a plane of pixels; a row is an image of one line."""
    height, width = (1, *cell.spatial)[-PLANE:]
    return x.reshape((-1, height, width, x.shape[-1]) if cell.channels_last else (-1, height, width))


def _pooled(cell: Cell, images: Array, way: Way) -> list[Array]:
    if images.shape[0] == 1:  # the result is that of the image, not a copy of it
        return [way(images[0], window) for window in cell.windows]
    found = []
    for window in cell.windows:
        first = way(images[0], window)
        out = np.empty((images.shape[0], *first.shape), first.dtype)
        out[0] = first
        for image, target in zip(images[1:], out[1:], strict=True):
            target[...] = way(image, window)
        found.append(out)
    return found


def _resize(cell: Cell, image: Array, window: Window) -> Array:
    height, width = _lengths(cell, window)
    resized: Array = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return resized


def _filter(cell: Cell, image: Array, window: Window) -> Array:
    (kernel_h, kernel_w), (stride_h, stride_w) = (1, *window.kernel)[-PLANE:], (1, *window.stride)[-PLANE:]
    anchor: Any = (0, *window.padding)[-PLANE:][::-1]
    if cell.mode == "max":
        pooled = cv2.dilate(image, _ones(kernel_h, kernel_w), anchor=anchor)
    else:
        border = cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED
        pooled = cv2.boxFilter(image, -1, (kernel_w, kernel_h), anchor=anchor, borderType=border)
    height, width = _lengths(cell, window)
    return np.ascontiguousarray(pooled[: height * stride_h : stride_h, : width * stride_w : stride_w])


@cache
def _ones(height: int, width: int) -> Array:
    return np.ones((height, width), np.uint8)


def _lengths(cell: Cell, window: Window) -> tuple[int, int]:
    height, width = (1, *window.lengths(cell.spatial))[-PLANE:]
    return height, width
