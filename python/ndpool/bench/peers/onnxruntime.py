"""ONNX Runtime: a graph of one node for each window, or for all maxima or boxes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from ndpool.bench.peers import Job, arrays, channels_first, parted

if TYPE_CHECKING:
    from ndpool.bench.cells import Array, Cell, Data, Window

TASKS = ("pool", "unpool", "regions")
TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
}
OPSET, IR = 17, 8


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Build a session; a graph has no gradients, and channels come last for bytes alone and where all is reduced."""
    nhwc = cell.layout == "NHWC" and cell.dtype == "uint8" and cell.mode == "max"
    suited = cell.direction in ("forward", "indices", "unpool") and cell.dtype in TYPES
    if not suited or (cell.channels_last and not nhwc and not _reduced(cell)):
        return []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model, inputs = _model(cell, nhwc=nhwc), _inputs(cell, data)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [Job("", lambda: session.run(None, inputs), lambda found: _results(cell, found))]


def _reduced(cell: Cell) -> bool:
    """Whether a cell is a mean of all that has its channels last."""
    return cell.reach == "global" and cell.mode == "avg" and cell.channels_last


def _inputs(cell: Cell, data: Data) -> dict[str, Array]:
    """Name the arrays; indices count through the whole tensor."""
    if data.indices is not None and data.dy is not None:
        size = math.prod(cell.spatial)
        planes = np.arange(math.prod(cell.shape) // size) * size
        return {"x": data.dy, "indices": data.indices + planes.reshape(*cell.shape[: -cell.rank], *(1,) * cell.rank)}
    x = data.x.reshape(channels_first(cell, data.x.shape))
    if data.boxes is None:
        return {"x": x}
    boxes, images = parted(data.boxes)
    return {"x": x, "boxes": boxes, "images": images}


def _results(cell: Cell, found: list[Array]) -> tuple[Array, ...]:
    results = arrays(cell)(found)
    if cell.direction == "indices":  # which count through the whole tensor
        return results[0], results[1] % math.prod(cell.spatial)
    return results


def _model(cell: Cell, *, nhwc: bool) -> bytes:
    if cell.task != "pool":
        return _beyond(cell)
    kind, pooled = TYPES[cell.dtype], [f"y{number}" for number in range(len(cell.windows))]
    shape = channels_first(cell, cell.input_shape)
    outputs = [
        helper.make_tensor_value_info(name, kind, channels_first(cell, result))
        for name, result in zip(pooled, cell.output_shapes, strict=True)
    ]
    nodes = []
    if cell.mode == "avg" and kind in (TensorProto.UINT8, TensorProto.UINT16):
        nodes = [
            helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
            _node(cell, cell.window, "wide", ["mean"], nhwc=False),
            helper.make_node("Round", ["mean"], ["rounded"]),
            helper.make_node("Cast", ["rounded"], pooled, to=kind),
        ]
    elif cell.direction == "indices":
        nodes = [_node(cell, cell.window, "x", [*pooled, "indices"], nhwc=nhwc)]
        result = channels_first(cell, cell.output_shapes[0])
        outputs.append(helper.make_tensor_value_info("indices", TensorProto.INT64, result))
    else:
        for window, name in zip(cell.windows, pooled, strict=True):
            nodes.append(_node(cell, window, "x", [name], nhwc=nhwc))
    return _serialized(nodes, [helper.make_tensor_value_info("x", kind, shape)], outputs)


def _serialized(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> bytes:
    graph = helper.make_graph(nodes, "pooling", inputs, outputs)
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model: bytes = helper.make_model(graph, opset_imports=domains, ir_version=IR).SerializeToString()
    return model


def _beyond(cell: Cell) -> bytes:
    """Return the graph of a task other than pooling."""
    kind, window = TYPES[cell.dtype], cell.window
    shapes: dict[str, tuple[int, tuple[int, ...]]]
    if cell.regions is not None:
        options: dict[str, Any] = {
            "coordinate_transformation_mode": "output_half_pixel",
            "output_height": cell.regions.bins,
            "output_width": cell.regions.bins,
            "sampling_ratio": window.kernel[0],
            "spatial_scale": cell.regions.scale,
        }
        name, count = "RoiAlign", cell.regions.count
        shapes = {"x": (kind, cell.shape), "boxes": (kind, (count, 4)), "images": (TensorProto.INT64, (count,))}
    else:
        options = {"kernel_shape": window.kernel, "strides": window.stride, "pads": window.padding * 2}
        name, given = "MaxUnpool", cell.output_shapes[0]
        shapes = {"x": (kind, given), "indices": (TensorProto.INT64, given)}
    inputs = [helper.make_tensor_value_info(name, *info) for name, info in shapes.items()]
    output = helper.make_tensor_value_info("y", kind, cell.result_shapes[0])
    return _serialized([helper.make_node(name, [*shapes], ["y"], **options)], inputs, [output])


def _node(cell: Cell, window: Window, source: str, targets: list[str], *, nhwc: bool) -> Any:
    if _reduced(cell):
        return helper.make_node("ReduceMean", [source], targets, axes=cell.axes, keepdims=1)
    if cell.reach == "global":
        kinds = {"max": "GlobalMaxPool", "avg": "GlobalAveragePool"}
        return helper.make_node(kinds[cell.mode], [source], targets)
    geometry: dict[str, Any] = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "pads": window.padding * 2,
    }
    if cell.mode == "avg":
        return helper.make_node("AveragePool", [source], targets, count_include_pad=1, **geometry)
    geometry["dilations"] = window.dilation
    if nhwc:
        return helper.make_node("NhwcMaxPool", [source], targets, domain="com.microsoft", **geometry)
    return helper.make_node("MaxPool", [source], targets, **geometry)
