"""ndpool: with a fresh result, and with ``out=``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import ndpool
from ndpool.bench.peers import Job, arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Call the function of the cell by its name in the package."""
    ndpool.set_num_threads(threads)
    x, dy = data.x if cell.layout != "HW" else data.x[None], data.dy
    calls = [_call(cell, window) for window in cell.windows]
    results = arrays(cell)
    if dy is not None:
        function, args, options = calls[0]
        if cell.direction == "pullback":
            _, pullback = ndpool.vjp(function, x, *args, **options)
            return [Job("", lambda: pullback(dy), results)]

        def both() -> tuple[Any, Any]:
            y, pullback = ndpool.vjp(function, x, *args, **options)
            return y, pullback(dy)

        return [Job("", both, results)]
    if len(calls) == 1:
        function, args, options = calls[0]
        out = _out(cell, function(x, *args, **options))
        return [
            Job("", lambda: function(x, *args, **options), results),
            Job("out", lambda: function(x, *args, **options, out=out), results),
        ]
    outs = [_out(cell, function(x, *args, **options)) for function, args, options in calls]
    return [
        Job("", lambda: [function(x, *args, **options) for function, args, options in calls], results),
        Job(
            "out",
            lambda: [
                function(x, *args, **options, out=out)
                for (function, args, options), out in zip(calls, outs, strict=True)
            ],
            results,
        ),
    ]


def _call(cell: Cell, window: Window) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return the function, what it is given after the array, and its options."""
    options: dict[str, Any] = {}
    if cell.channels_last:
        options["layout"] = "channels_last"
    if cell.direction == "indices":
        options["return_indices"] = True
    if cell.mode == "avg" and cell.kind.kind in "iu":
        options["dtype"] = cell.kind
    match cell.reach:
        case "global":
            return getattr(ndpool, f"global_{cell.mode}_pool"), (), options
        case "adaptive":
            bins = window.lengths(cell.spatial)
            return getattr(ndpool, f"adaptive_{cell.mode}_pool{cell.rank}d"), (bins,), options
        case "window":
            if set(window.dilation) != {1}:
                options["dilation"] = window.dilation
            geometry = (window.kernel, window.stride, window.padding)
            return getattr(ndpool, f"{cell.mode}_pool{cell.rank}d"), geometry, options


def _out(cell: Cell, result: Any) -> Any:
    """Make arrays like a result whose memory is there already."""

    def resident(array: Array) -> Array:
        return np.full_like(array, 1)

    return tuple(map(resident, result)) if cell.direction == "indices" else resident(result)
