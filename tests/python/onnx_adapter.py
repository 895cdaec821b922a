"""A thin translation of ONNX's pooling and convolution into calls of ndpool, for the operators' published tests."""

import ndpool
import numpy as np
import onnx
from onnx import numpy_helper


def attributes_of(node):
    """Return the attributes of ``node`` as Python values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def padding_of(attributes, rank):
    """ONNX's ``auto_pad`` and ``pads`` (all begins, then all ends) as ndpool's ``padding``."""
    words = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto in words:
        return words[auto]
    pads = attributes.get("pads", [0] * 2 * rank)
    return list(zip(pads[:rank], pads[rank:], strict=True))


def window_of(attributes):
    """Keyword arguments that every operator with a kernel has; ONNX's default stride is 1."""
    kernel = tuple(attributes["kernel_shape"])
    rank = len(kernel)
    return rank, {
        "kernel_size": kernel,
        "stride": tuple(attributes.get("strides", [1] * rank)),
        "padding": padding_of(attributes, rank),
        "dilation": tuple(attributes.get("dilations", [1] * rank)),
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }


def onnx_indices(indices, shape, column_major):
    """Turn indices within a plane into indices into the whole tensor, planes in either order of their axes."""
    spatial = shape[2:]
    if column_major:
        places = np.unravel_index(indices, spatial)
        indices = np.ravel_multi_index(places[::-1], spatial[::-1])
    planes = np.arange(shape[0] * shape[1]).reshape(*shape[:2], *[1] * len(spatial))
    return indices + planes * np.prod(spatial)


def max_pool(node, x):
    """MaxPool with its optional second output."""
    attributes = attributes_of(node)
    rank, window = window_of(attributes)
    pool = getattr(ndpool, f"max_pool{rank}d")
    if len(node.output) == 1:
        return [pool(x, **window)]
    values, indices = pool(x, return_indices=True, **window)
    return [values, onnx_indices(indices, x.shape, attributes.get("storage_order", 0))]


def average_pool(node, x):
    """AveragePool, whose divisor leaves the padding out unless told otherwise."""
    attributes = attributes_of(node)
    rank, window = window_of(attributes)
    include_pad = bool(attributes.get("count_include_pad", 0))
    return [getattr(ndpool, f"avg_pool{rank}d")(x, count_include_pad=include_pad, **window)]


def lp_pool(node, x):
    """LpPool, whose norm is the Euclidean unless told otherwise."""
    attributes = attributes_of(node)
    rank, window = window_of(attributes)
    return [getattr(ndpool, f"lp_pool{rank}d")(x, attributes.get("p", 2), **window)]


def max_unpool(node, x, indices, output_shape=None):
    """MaxUnpool: indices run through the whole tensor of the usual size; a larger shape is filled up with zeros."""
    rank, window = window_of(attributes_of(node))
    window = {name: window[name] for name in ("kernel_size", "stride")}
    unpool = getattr(ndpool, f"max_unpool{rank}d")
    lengths = zip(x.shape[2:], window["kernel_size"], window["stride"], strict=True)
    cells = np.prod([(length - 1) * stride + kernel for length, kernel, stride in lengths])
    y = unpool(x, indices % cells, **window)
    if output_shape is None:
        return [y]
    return [np.pad(y, [(0, wanted - length) for wanted, length in zip(output_shape, y.shape, strict=True)])]


def conv(node, x, weight, bias=None):
    """Conv, whose kernel's shape is that of the weights."""
    attributes = attributes_of(node)
    rank = weight.ndim - 2
    window = {
        "stride": tuple(attributes.get("strides", [1] * rank)),
        "padding": padding_of(attributes, rank),
        "dilation": tuple(attributes.get("dilations", [1] * rank)),
        "groups": attributes.get("group", 1),
    }
    return [getattr(ndpool, f"conv{rank}d")(x, weight, bias, **window)]


def roi_align(node, x, rois, batch_indices):
    """RoiAlign, whose boxes and the images of these are two inputs."""
    attributes = attributes_of(node)
    y = ndpool.roi_align(
        x,
        np.column_stack([batch_indices, rois]),
        (attributes.get("output_height", 1), attributes.get("output_width", 1)),
        attributes.get("spatial_scale", 1.0),
        attributes.get("sampling_ratio", 0),
        attributes.get("coordinate_transformation_mode", b"half_pixel") == b"half_pixel",
        attributes.get("mode", b"avg").decode(),
    )
    return [y]


OPERATORS = {
    "Conv": conv,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "RoiAlign": roi_align,
    "GlobalLpPool": lambda node, x: [ndpool.global_pool(x, "lp", p=attributes_of(node).get("p", 2), keepdims=True)],
    "GlobalMaxPool": lambda node, x: [ndpool.global_max_pool(x, keepdims=True)],
    "GlobalAveragePool": lambda node, x: [ndpool.global_avg_pool(x, keepdims=True)],
    # The converted AvgPool1d models change the shape around the pooling.
    "Unsqueeze": lambda node, x: [np.expand_dims(x, tuple(attributes_of(node)["axes"]))],
    "Squeeze": lambda node, x: [np.squeeze(x, tuple(attributes_of(node)["axes"]))],
}


def run_model(model, inputs):
    """Run the nodes of ``model`` in order and return its outputs."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    free = [value.name for value in model.graph.input if value.name not in values]
    values |= dict(zip(free, inputs, strict=True))
    for node in model.graph.node:
        results = OPERATORS[node.op_type](node, *(values[name] for name in node.input))
        values |= dict(zip(node.output, results, strict=True))
    return [values[value.name] for value in model.graph.output]
