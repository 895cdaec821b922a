"""TensorFlow, which pools with the channels last alone: other cells are handed over in that layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from ndpool.bench.peers import Job, channels_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndpool.bench.cells import Array, Cell, Data, Window

PLANE = 2


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Call the operations of ``tf.nn``, and the operations that its gradients are made of."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    window = cell.window
    if set(window.dilation) != {1} or (cell.direction != "forward" and cell.rank != PLANE):
        return []
    if cell.direction == "indices" and _named(window) is None:
        return []
    native = cell.channels_last or "C" not in cell.layout or cell.shape[1] == 1
    call = _call(cell, *(tf.constant(_nhwc(cell, array)) for array in (data.base, data.dy) if array is not None))
    return [Job("" if native else "nhwc", call, lambda found: _arrays(cell, found), native=native)]


def _call(cell: Cell, x: Any, dy: Any = None) -> Callable[[], Any]:
    """Return what is timed."""
    window, y = cell.window, None
    if cell.direction == "pullback":
        y = _forward(cell, window, x)

    def forward() -> Any:
        viewed = _viewed(cell, x)
        return [_forward(cell, window, viewed) for window in cell.windows]

    def indices() -> Any:
        return tf.nn.max_pool_with_argmax(x, window.kernel, window.stride, _named(window))

    def pullback() -> Any:
        return [_backward(cell, x, y, dy)]

    def vjp() -> Any:
        y = _forward(cell, window, x)
        return [y, _backward(cell, x, y, dy)]

    return {"forward": forward, "indices": indices, "pullback": pullback, "vjp": vjp}[cell.direction]


def _named(window: Window) -> str | None:
    """Name the padding, if it has a name here."""
    if not any(window.padding):
        return "VALID"
    if set(window.stride) == {1} and all(k == 2 * p + 1 for k, p in zip(window.kernel, window.padding, strict=True)):
        return "SAME"
    return None


def _forward(cell: Cell, window: Window, x: Any) -> Any:
    if cell.reach == "global":
        reduction = tf.reduce_max if cell.mode == "max" else tf.reduce_mean
        return reduction(x, axis=range(1, 1 + cell.rank))
    maximum, named = cell.mode == "max", _named(window)
    pool = getattr(tf.nn, f"{'max' if maximum else 'avg'}_pool{cell.rank}d")
    if maximum and (named is not None or cell.rank == PLANE):
        return pool(x, window.kernel, window.stride, named or _paddings(window))
    if not maximum and cell.kind.kind in "iu":
        return tf.cast(tf.round(pool(tf.cast(x, tf.float32), window.kernel, window.stride, "VALID")), x.dtype)
    lowest = -np.inf if maximum else 0
    padded = tf.pad(x, _paddings(window), constant_values=lowest) if any(window.padding) else x
    return pool(padded, window.kernel, window.stride, "VALID")


def _backward(cell: Cell, x: Any, y: Any, dy: Any) -> Any:
    window, paddings = cell.window, _paddings(cell.window)
    geometry = {"ksize": [1, *window.kernel, 1], "strides": [1, *window.stride, 1]}
    if cell.mode == "max":
        padding: dict[str, Any] = {"padding": "VALID"}
        if any(window.padding):
            padding = {"padding": "EXPLICIT", "explicit_paddings": [p for pair in paddings for p in pair]}
        return tf.raw_ops.MaxPoolGrad(orig_input=x, orig_output=y, grad=dy, **geometry, **padding)
    shape = [length + low + high for length, (low, high) in zip(x.shape, paddings, strict=True)]
    dx = tf.raw_ops.AvgPoolGrad(orig_input_shape=shape, grad=dy, padding="VALID", **geometry)
    (top, left), (height, width) = window.padding, x.shape[1:3]
    return dx[:, top : top + height, left : left + width] if any(window.padding) else dx


def _paddings(window: Window) -> list[list[int]]:
    return [[0, 0], *([p, p] for p in window.padding), [0, 0]]


def _viewed(cell: Cell, x: Any) -> Any:
    steps = (slice(None), *(slice(None, None, cell.step) for _ in range(cell.rank)))
    return x[steps] if cell.step > 1 else x


def _nhwc(cell: Cell, array: Array) -> Array:
    if cell.layout == "NHW":
        return array[..., None]
    if cell.channels_last:
        return array if array.ndim == cell.rank + 2 else array[None]
    return np.moveaxis(array.reshape(channels_first(cell, array.shape)), 1, -1)


def _arrays(cell: Cell, found: Any) -> tuple[Array, ...]:
    results = []
    for number, (tensor, shape) in enumerate(zip(found, cell.result_shapes, strict=True)):
        array = tensor.numpy()
        if cell.direction == "indices" and number == 1:  # which count channels too
            array = array // array.shape[-1]
        if array.ndim > cell.rank + 1 and "C" in cell.layout and not cell.channels_last:
            array = np.moveaxis(array, -1, 1)
        results.append(array.reshape(shape))
    return tuple(results)
