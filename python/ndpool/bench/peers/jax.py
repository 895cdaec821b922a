"""JAX: ``lax.reduce_window`` compiled by XLA, and for windows side by side a reshaped reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ndpool.bench.peers import Job, arrays, blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Cell, Data, Window

TASKS = ("pool", "omit")


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Compile the cell; it takes as many threads as the process has processors."""
    del threads
    if cell.direction == "indices":
        return []  # XLA has no operation that gives them
    ways: list[tuple[str, Callable[[Any], Any]]] = [("", lambda x: _forward(cell, x))]
    if all(length % k == 0 for length, k in zip(cell.spatial, cell.window.kernel, strict=True)) and cell.window.tiled:
        ways.append(("reshape", lambda x: _reshape(cell, x)))
    if cell.omit:
        ways.pop(0)  # no window leaves cells out
    return [_job(cell, data, variant, forward) for variant, forward in ways]


def _job(cell: Cell, data: Data, variant: str, forward: Callable[[Any], Any]) -> Job:
    x = jax.device_put(data.base)
    compiled: Callable[..., Any]
    args: tuple[Any, ...]
    if cell.direction == "forward":
        compiled, args = jax.jit(forward), (x,)
    else:
        dy = jax.device_put(data.dy)
        if cell.direction == "pullback":
            _, pullback = jax.vjp(forward, x)
            compiled, args = jax.jit(lambda pullback, dy: pullback(dy)[0]), (pullback, dy)
        else:

            def both(x: Any, dy: Any) -> tuple[Any, Any]:
                y, pullback = jax.vjp(forward, x)
                return y, pullback(dy)[0]

            compiled, args = jax.jit(both), (x, dy)
    jax.block_until_ready(compiled(*args))
    return Job(variant, lambda: jax.block_until_ready(compiled(*args)), arrays(cell))


def _viewed(cell: Cell, x: Any) -> Any:
    steps = tuple(slice(None, None, cell.step if axis in cell.axes else 1) for axis in range(x.ndim))
    return x[steps] if cell.step > 1 else x


def _forward(cell: Cell, x: Any) -> Any:
    x = _viewed(cell, x)
    if cell.reach == "global":
        return x.max(cell.axes) if cell.mode == "max" else x.mean(cell.axes)
    found = tuple(_windows(cell, window, x) for window in cell.windows)
    return found if len(found) > 1 else found[0]


def _windows(cell: Cell, window: Window, x: Any) -> Any:
    def each(values: tuple[int, ...], other: int) -> tuple[int, ...]:
        own = dict(zip(cell.axes, values, strict=True))
        return tuple(own.get(axis, other) for axis in range(x.ndim))

    padding = tuple((p, p) for p in each(window.padding, 0))
    geometry = (each(window.kernel, 1), each(window.stride, 1), padding)
    options: dict[str, Any] = {"window_dilation": each(window.dilation, 1)}
    if cell.mode == "max":
        lowest = np.array(0 if cell.kind.kind == "u" else -np.inf, cell.kind)
        return lax.reduce_window(x, lowest, lax.max, *geometry, **options)
    wide = x.astype(jnp.float32) if cell.kind.kind in "iu" else x
    total = lax.reduce_window(wide, np.array(0, wide.dtype), lax.add, *geometry, **options)
    return _rounded(cell, total / wide.dtype.type(window.count))


def _reshape(cell: Cell, x: Any) -> Any:
    shape, within = blocks(cell)
    split = _viewed(cell, x).reshape(shape)
    if cell.mode == "max":
        return split.max(within)
    if cell.omit:
        return jnp.nanmean(split, within)
    wide = split.astype(jnp.float32) if cell.kind.kind in "iu" else split
    return _rounded(cell, wide.mean(within))


def _rounded(cell: Cell, mean: Any) -> Any:
    return jnp.round(mean).astype(cell.kind) if cell.kind.kind in "iu" else mean
