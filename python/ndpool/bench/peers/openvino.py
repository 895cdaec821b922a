"""OpenVINO: a compiled model of one pooling for each window; its results stay in its own memory, which is quicker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
from openvino import opset14 as ops

from ndpool.bench.peers import Job, arrays, channels_first, parted

if TYPE_CHECKING:
    from ndpool.bench.cells import Cell, Data, Window

TASKS = ("pool", "regions")


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Compile a model for the processor; channels come last where all is reduced."""
    reduced = cell.reach == "global" and cell.mode == "avg"
    if cell.direction not in ("forward", "indices") or cell.dtype == "bfloat16" or (cell.channels_last and not reduced):
        return []
    shape = channels_first(cell, cell.input_shape)
    source = ops.parameter(shape, cell.kind)
    wide = ops.convert(source, "f32") if cell.mode == "avg" and cell.kind.kind in "iu" else source
    results: list[Any] = []
    boxes = () if data.boxes is None else parted(data.boxes)
    sources = [source, *(ops.parameter(array.shape, array.dtype) for array in boxes)]
    for window in cell.windows:
        pooled = _pooled(cell, window, wide, *sources[1:])
        if wide is not source:
            pooled = ops.convert(ops.round(pooled, "half_to_even"), openvino.Type(cell.kind))
        results += pooled.outputs() if cell.direction == "indices" else [pooled.output(0)]
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f16" if cell.dtype == "float16" else "f32",
    }
    compiled = openvino.Core().compile_model(openvino.Model(results, sources), "CPU", settings)
    x, viewed = data.x.reshape(shape), cell.step > 1

    def call() -> Any:
        inputs = [np.ascontiguousarray(x) if viewed else x, *boxes]
        return compiled(inputs, share_inputs=True, share_outputs=True)

    convert = arrays(cell)
    return [Job("", call, lambda found: convert([found[number] for number in range(len(results))]))]


def _pooled(cell: Cell, window: Window, source: Any, *boxes: Any) -> Any:
    if cell.regions is not None:
        bins = (cell.regions.bins,) * cell.rank
        return ops.roi_align(source, *boxes, *bins, window.kernel[0], cell.regions.scale, cell.mode)
    if cell.reach != "window":
        if cell.mode == "max":
            return ops.adaptive_max_pool(source, np.array(window.lengths(cell.spatial)), "i64")
        if cell.reach == "global":
            return ops.reduce_mean(source, np.array([axis - len(cell.layout) for axis in cell.axes]), keep_dims=True)
        return ops.adaptive_avg_pool(source, np.array(window.lengths(cell.spatial)))
    pads = (list(window.padding),) * 2
    kernel, stride = list(window.kernel), list(window.stride)
    if cell.mode == "avg":
        return ops.avg_pool(source, stride, *pads, kernel, exclude_pad=False)
    return ops.max_pool(source, stride, list(window.dilation), *pads, kernel, index_element_type="i64", axis=2)
