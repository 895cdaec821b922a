"""PyTorch: as it comes and compiled, in the cell's layout and in channels last."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it

from ndpool.bench.peers import Job, blocks, channels_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

TASKS = ("pool", "omit", "unpool", "regions")


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Call the functions of ``torch.nn.functional``, and the backward operators that autograd would call."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    torch._dynamo.reset()  # noqa: SLF001 - or it refuses to compile after eight cells
    formats: list[tuple[str, Any]] = [("", None)]
    if cell.layout in ("NCHW", "NCDHW") and cell.step == 1:
        formats.append(("cl", torch.channels_last if cell.rank == 2 else torch.channels_last_3d))  # noqa: PLR2004 - planes, or else volumes
    compilers = [name for name in (os.environ.get("CXX"), "g++", "clang++") if name and shutil.which(name)]
    jobs = []
    for name, memory_format in formats:
        tensors = [_tensor(cell, array) for array in data.given]
        if memory_format is not None:
            tensors = [t.contiguous(memory_format=memory_format) if t.ndim == len(cell.layout) else t for t in tensors]
        function = _function(cell, tensors)
        if function is None:
            return []
        jobs.append(_job(cell, name, function, tensors))
        if compilers:
            variant = f"compiled:{name}" if name else "compiled"
            jobs.append(_job(cell, variant, torch.compile(function, dynamic=False), tensors))
    return jobs


def _job(cell: Cell, variant: str, function: Callable[..., Any], tensors: list[Any]) -> Job:
    args = tensors[-1:] if cell.direction == "pullback" else tensors
    return Job(variant, lambda: function(*args), lambda y: _arrays(cell, y), native=not variant.endswith("cl"))


def _function(cell: Cell, tensors: list[Any]) -> Callable[..., Any] | None:
    """Return what is called: with ``x``, with ``dy``, or with both."""
    window, rank, x = cell.window, cell.rank, tensors[0]
    geometry = (window.kernel, window.stride, window.padding)
    if cell.direction in ("forward", "indices", "unpool"):
        return _forward(cell) if cell.task == "pool" else _beyond(cell)
    if rank == 1:
        return None
    aten = torch.ops.aten
    if cell.mode == "max":
        name = f"max_pool{rank}d_with_indices"
        forward, backward = getattr(aten, name), getattr(aten, f"{name}_backward")
        rest = (*geometry, window.dilation, False)
        if cell.direction == "vjp":

            def both(x: Any, dy: Any) -> tuple[Any, Any]:
                y, indices = forward(x, *rest)
                return y, backward(dy, x, *rest, indices)

            return both
        indices = forward(x, *rest)[1]
        return lambda dy: backward(dy, x, *rest, indices)
    forward, backward = getattr(aten, f"avg_pool{rank}d"), getattr(aten, f"avg_pool{rank}d_backward")
    zeros_counted = (*geometry, False, True, None)
    if cell.direction == "vjp":
        return lambda x, dy: (forward(x, *zeros_counted), backward(dy, x, *zeros_counted))
    return lambda dy: backward(dy, x, *zeros_counted)


def _beyond(cell: Cell) -> Callable[..., Any] | None:
    """Return what is called for tasks other than pooling; torchvision has that of regions."""
    window = cell.window
    if cell.regions is not None:
        if find_spec("torchvision") is None:
            return None
        from torchvision.ops import roi_align

        args = (cell.regions.bins, cell.regions.scale, window.kernel[0])
        return lambda x, boxes: roi_align(x, boxes, *args)
    if cell.direction == "unpool":
        unpool, geometry = getattr(F, f"max_unpool{cell.rank}d"), (window.kernel, window.stride, window.padding)
        return lambda y, indices: unpool(y, indices, *geometry, cell.spatial)
    shape, within = blocks(cell)
    return lambda x: x.reshape(shape).nanmean(within)


def _forward(cell: Cell) -> Callable[[Any], Any]:
    rank, indices = cell.rank, cell.direction == "indices"
    if cell.layout == "NLC" and cell.reach == "global" and cell.mode == "avg":
        return lambda x: x.mean(-1)  # tokens, which _tensor has put last
    if cell.reach != "window":
        pool = getattr(F, f"adaptive_{cell.mode}_pool{rank}d")
        bins = cell.window.lengths(cell.spatial)
        return lambda x: pool(x, bins)
    if indices:
        pool = getattr(F, f"max_pool{rank}d_with_indices")
    else:  # what the functions of the same name in torch.nn.functional come to, without their Python
        pool = getattr(torch if cell.mode == "max" else F, f"{cell.mode}_pool{rank}d")

    def one(x: Any, window: Window) -> Any:
        geometry = (window.kernel, window.stride, window.padding)
        return pool(x, *geometry, window.dilation) if cell.mode == "max" else pool(x, *geometry)

    if cell.mode == "avg" and cell.kind.kind in "iu":
        kind = getattr(torch, cell.dtype)
        return lambda x: one(x.float(), cell.window).round().to(kind)
    if len(cell.windows) == 1:
        return lambda x: one(x, cell.window)
    return lambda x: tuple(one(x, window) for window in cell.windows)


def _tensor(cell: Cell, array: Array) -> Any:
    """Make a tensor of the same memory, channels first in its shape."""
    if cell.dtype == "bfloat16":
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    if cell.channels_last:
        tensor = tensor if tensor.ndim == cell.rank + 2 else tensor[None]
        return tensor.movedim(-1, 1)
    return tensor[(None,) * (len(channels_first(cell, array.shape)) - array.ndim)]


def _arrays(cell: Cell, returned: Any) -> tuple[Array, ...]:
    tensors = returned if isinstance(returned, tuple | list) else (returned,)
    found = []
    for tensor, shape in zip(tensors, cell.result_shapes, strict=True):
        moved = tensor.movedim(1, -1) if cell.channels_last else tensor
        half = moved.dtype == torch.bfloat16
        array = moved.contiguous().view(torch.int16).numpy().view(cell.kind) if half else moved.numpy()
        found.append(array.reshape(shape))
    return tuple(found)
