"""The tests that the ONNX project publishes for pooling and convolution: someone else's idea of the right answer."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx_adapter import OPERATORS, run_model

POOLING = {
    "MaxPool",
    "MaxUnpool",
    "AveragePool",
    "LpPool",
    "GlobalMaxPool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "RoiAlign",
}


def with_pooling(cases):
    """Yield the cases whose model pools, or does nothing but convolve."""
    for case in cases:
        model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
        operators = {node.op_type for node in model.graph.node}
        if operators & POOLING or operators == {"Conv"}:
            yield case, model


def load_cases():
    """Every published case with such an operator, generated and converted, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators of other operators overflow on purpose
        kinds = {kind: load_model_tests(kind=kind) for kind in ("node", "pytorch-converted", "pytorch-operator")}
    return {
        f"{kind}: {case.name}": (case, model) for kind, cases in kinds.items() for case, model in with_pooling(cases)
    }


CASES = load_cases()


def data_sets(case):
    """Yield inputs and expected outputs, from memory or from the files beside the model."""
    if case.data_sets is not None:
        yield from case.data_sets
        return
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        yield tuple(
            [numpy_helper.to_array(onnx.load_tensor(path)) for path in sorted(folder.glob(f"{kind}_*.pb"))]
            for kind in ("input", "output")
        )


@pytest.mark.parametrize("name", sorted(CASES))
def test_published_case(name):
    case, model = CASES[name]
    assert {node.op_type for node in model.graph.node} <= OPERATORS.keys()
    ran = 0
    for inputs, outputs in data_sets(case):
        results = run_model(model, inputs)
        for got, want in zip(results, outputs, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=case.rtol, atol=case.atol)
        ran += 1
    assert ran > 0


def test_no_operator_was_left_out():
    """The loader still finds the cases: a changed package would otherwise empty this file silently."""
    names = " ".join(CASES)
    for part in (
        "maxpool_with_argmax",
        "maxunpool_export",
        "averagepool_3d",
        "lppool_2d_dilations",
        "globalmaxpool",
        "globalaveragepool",
        "roialign_aligned_false",
        "roialign_aligned_true",
        "roialign_mode_max",
        "MaxPool3d",
        "AvgPool1d",
        "conv_with_autopad_same",
        "Conv2d_depthwise_with_multiplier",
        "Conv3d_dilated_strided",
    ):
        assert part in names
    assert len(CASES) >= 90
