"""OpenCV: ``dilate``, ``boxFilter``, ``resize`` and ``reduce``, an image at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

PLANE = 2
#: Channels that ``resize`` takes, and that an image can have.
FEW, CHANNELS = 4, 128


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Filter at every pixel and keep every ``stride``-th; means of blocks and of all have functions of their own."""
    cv2.setNumThreads(threads)
    x, window, results = data.x, cell.window, arrays(cell)
    suited = cell.direction == "forward" and cell.dtype in ("float32", "uint8", "uint16") and cell.step == 1
    if not suited or cell.rank > PLANE or set(window.dilation) != {1}:
        return []
    if cell.channels_last and x.shape[-1] > CHANNELS:
        return []
    if cell.reach == "global":
        if cell.channels_last or cell.mode == "max":
            return []
        rows = x.reshape(-1, window.count)
        return [Job("reduce", lambda: cv2.reduce(rows, 1, cv2.REDUCE_AVG), results)]
    images = _images(cell, x)
    ways: list[tuple[str, Callable[[Array, Window], Array]]]
    ways = [("", lambda image, window: _filter(cell, window, image))]
    blocks = (
        window.tiled
        and cell.mode == "avg"
        and all(length % k == 0 for length, k in zip(cell.spatial, window.kernel, strict=True))
    )
    if blocks and (not cell.channels_last or x.shape[-1] <= FEW):
        height, width = _image_shape(cell, window)
        ways.append(("resize", lambda image, _: cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)))

    def job(variant: str, way: Callable[[Array, Window], Array]) -> Job:
        if images.shape[0] == 1:  # the result is the image, not a copy of it
            return Job(variant, lambda: [way(images[0], window) for window in cell.windows], results)

        def call() -> list[Array]:
            found = []
            for window in cell.windows:
                first = way(images[0], window)
                out = np.empty((images.shape[0], *first.shape), first.dtype)
                out[0] = first
                for image, target in zip(images[1:], out[1:], strict=True):
                    target[...] = way(image, window)
                found.append(out)
            return found

        return Job(variant, call, results)

    return [job(*way) for way in ways]


def _images(cell: Cell, x: Array) -> Array:
    """Stack what is one image: a plane, or a plane of pixels; a row is an image of one line."""
    height, width = (1, *cell.spatial)[-PLANE:]
    return x.reshape((-1, height, width, x.shape[-1]) if cell.channels_last else (-1, height, width))


def _image_shape(cell: Cell, window: Window) -> tuple[int, int]:
    height, width = (1, *window.lengths(cell.spatial))[-PLANE:]
    return height, width


def _filter(cell: Cell, window: Window, image: Array) -> Array:
    (kernel_h, kernel_w), (stride_h, stride_w) = (1, *window.kernel)[-PLANE:], (1, *window.stride)[-PLANE:]
    anchor: Any = (0, *window.padding)[-PLANE:][::-1]
    if cell.mode == "max":
        pooled = cv2.dilate(image, np.ones((kernel_h, kernel_w), np.uint8), anchor=anchor)
    else:
        border = cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED
        pooled = cv2.boxFilter(image, -1, (kernel_w, kernel_h), anchor=anchor, borderType=border)
    height, width = _image_shape(cell, window)
    kept = pooled[: height * stride_h : stride_h, : width * stride_w : stride_w]
    return np.ascontiguousarray(kept)
