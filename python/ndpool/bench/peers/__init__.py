"""The libraries that are measured: a module for each, named after it, with one function ``prepare``."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data

#: What ndpool is compared with, by what has to be importable. ``loop`` is a plain loop compiled by numba.
PEERS = {
    "torch": "torch",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "jax": "jax",
    "tensorflow": "tensorflow",
    "opencv": "cv2",
    "scipy": "scipy",
    "skimage": "skimage",
    "pillow": "PIL",
    "bottleneck": "bottleneck",
    "numpy": "numpy",
    "loop": "numba",
}
#: These run always.
MODULES = {"ndpool": "ndpool", **PEERS, "copy": "numpy"}


@dataclass(frozen=True)
class Job:
    """One way in which a library does a cell.

    ``call()`` does what is timed and returns what the library gives, ``results`` makes NumPy arrays in the cell's
    layout of that. A job that is not ``native`` was handed the data in a layout of the library's own choice.
    """

    variant: str
    call: Callable[[], Any]
    results: Callable[[Any], tuple[Array, ...]]
    native: bool = True
    many: Callable[[int], object] | None = None

    def repeat(self, count: int) -> None:
        """Do it ``count`` times; every result is let go before the next is made."""
        if self.many is not None:
            self.many(count)
            return
        for _ in range(count):
            self.call()


def installed() -> list[str]:
    """Name the peers whose libraries are here, without importing them."""
    return [name for name, module in PEERS.items() if find_spec(module) is not None]


def version(name: str) -> str:
    """Return the version of a library, importing it."""
    if name == "ndpool":
        import ndpool

        return str(ndpool.show_config()["version"])
    return str(import_module(MODULES[name]).__version__).partition("-")[0]


def prepare(name: str, cell: Cell, data: Data, threads: int) -> list[Job]:
    """Make the jobs of a library for a cell: none if it cannot do it.

    A module that can do more than pool has a tuple of its ``TASKS``.
    """
    module = import_module(f"{__name__}.{name}")
    if cell.task not in getattr(module, "TASKS", ("pool",)):
        return []
    jobs: list[Job] = module.prepare(cell, data, threads)
    return jobs


def arrays(cell: Cell) -> Callable[[Any], tuple[Array, ...]]:
    """Return a function that shapes arrays, or one array, as the results of a cell."""

    def results(returned: Any) -> tuple[Array, ...]:
        parts = returned if isinstance(returned, tuple | list) else (returned,)
        return tuple(np.asarray(part).reshape(shape) for part, shape in zip(parts, cell.result_shapes, strict=True))

    return results


def blocks(cell: Cell) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape in which windows that lie side by side have axes of their own, and these axes."""
    shape: list[int] = []
    within: list[int] = []
    kernels = dict(zip(cell.axes, cell.window.kernel, strict=True))
    for axis, length in enumerate(cell.output_shapes[0]):
        shape.append(length)
        if axis in kernels:
            within.append(len(shape))
            shape.append(kernels[axis])
    return tuple(shape), tuple(within)


def parted(boxes: Array) -> tuple[Array, Array]:
    """Return the corners of boxes and the numbers of their images, where a library wants them as two arrays."""
    return boxes[:, 1:].copy(), boxes[:, 0].astype(np.int64)


def channels_first(cell: Cell, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of a cell's arrays with the batch and channel axes that its layout lacks, channels first."""
    missing = {"HW": 2, "NHW": 1}.get(cell.layout, 0)
    return (1,) * missing + shape
