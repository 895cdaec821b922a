"""ndpool: with a fresh result, and with ``out=``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import ndpool
from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

    Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

TASKS = ("pool", "omit", "unpool", "regions")


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Call the function of the cell by its name in the package."""
    ndpool.set_num_threads(threads)
    calls = [_call(cell, data, window) for window in cell.windows]
    results, dy = arrays(cell), data.dy
    if cell.direction in ("pullback", "vjp"):
        function, args, options = calls[0]
        if cell.direction == "pullback":
            _, pullback = ndpool.vjp(function, *args, **options)
            return [Job("", lambda: pullback(dy), results)]

        def both() -> tuple[Any, Any]:
            y, pullback = ndpool.vjp(function, *args, **options)
            return y, pullback(dy)

        return [Job("", both, results)]
    if len(calls) == 1:
        function, args, options = calls[0]
        out = _out(cell, function(*args, **options))
        return [
            Job("", lambda: function(*args, **options), results),
            Job("out", lambda: function(*args, **options, out=out), results),
        ]
    outs = [_out(cell, function(*args, **options)) for function, args, options in calls]
    return [
        Job("", lambda: [function(*args, **options) for function, args, options in calls], results),
        Job(
            "out",
            lambda: [
                function(*args, **options, out=out) for (function, args, options), out in zip(calls, outs, strict=True)
            ],
            results,
        ),
    ]


def _call(cell: Cell, data: Data, window: Window) -> Call:
    """Return the function, what it is given, and its options."""
    if cell.regions is not None:
        bins = (cell.regions.bins,) * cell.rank
        return ndpool.roi_align, (*data.given, bins, cell.regions.scale, window.kernel[0]), {}
    if cell.direction == "unpool":
        geometry = (window.kernel, window.stride, window.padding, cell.spatial)
        return getattr(ndpool, f"max_unpool{cell.rank}d"), (*data.given, *geometry), {}
    if cell.omit:
        options = {"axis": cell.axes, "stride": window.stride, "padding": window.padding, "nan_policy": "omit"}
        return ndpool.pool, (data.x, window.kernel, cell.mode), options
    return _pool(cell, data.x if cell.layout != "HW" else data.x[None], window)


def _pool(cell: Cell, x: Array, window: Window) -> Call:
    """Name the function of a pooling in the package."""
    options: dict[str, Any] = {}
    if cell.channels_last:
        options["layout"] = "channels_last"
    if cell.direction == "indices":
        options["return_indices"] = True
    if cell.mode == "avg" and cell.kind.kind in "iu":
        options["dtype"] = cell.kind
    match cell.reach:
        case "global":
            if cell.layout == "NLC":
                return ndpool.token_pool, (x,), {"mode": {"avg": "mean"}.get(cell.mode, cell.mode)}
            return getattr(ndpool, f"global_{cell.mode}_pool"), (x,), options
        case "adaptive":
            bins = window.lengths(cell.spatial)
            return getattr(ndpool, f"adaptive_{cell.mode}_pool{cell.rank}d"), (x, bins), options
        case "window":
            if set(window.dilation) != {1}:
                options["dilation"] = window.dilation
            geometry = (window.kernel, window.stride, window.padding)
            return getattr(ndpool, f"{cell.mode}_pool{cell.rank}d"), (x, *geometry), options


def _out(cell: Cell, result: Any) -> Any:
    """Make arrays like a result whose memory is there already."""

    def resident(array: Array) -> Array:
        return np.full_like(array, 1)

    return tuple(map(resident, result)) if cell.direction == "indices" else resident(result)
