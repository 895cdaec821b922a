"""ONNX Runtime: a graph of one pooling node for each window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import onnxruntime
from onnx import TensorProto, helper

from ndpool.bench.peers import Job, arrays, channels_first

if TYPE_CHECKING:
    from ndpool.bench.cells import Array, Cell, Data, Window

TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
}
OPSET, IR = 17, 8


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Build a session; a graph has no gradients, and channels come last for bytes alone."""
    nhwc = cell.layout == "NHWC" and cell.dtype == "uint8" and cell.mode == "max"
    if cell.direction not in ("forward", "indices") or cell.dtype not in TYPES or (cell.channels_last and not nhwc):
        return []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = _model(cell, nhwc=nhwc)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    x = data.x.reshape(channels_first(cell, data.x.shape))
    return [Job("", lambda: session.run(None, {"x": x}), lambda found: _results(cell, found))]


def _results(cell: Cell, found: list[Array]) -> tuple[Array, ...]:
    results = arrays(cell)(found)
    if cell.direction == "indices":  # which count through the whole tensor
        return results[0], results[1] % math.prod(cell.spatial)
    return results


def _model(cell: Cell, *, nhwc: bool) -> bytes:
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
    graph = helper.make_graph(nodes, "pooling", [helper.make_tensor_value_info("x", kind, shape)], outputs)
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model: bytes = helper.make_model(graph, opset_imports=domains, ir_version=IR).SerializeToString()
    return model


def _node(cell: Cell, window: Window, source: str, targets: list[str], *, nhwc: bool) -> Any:
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
