"""Layers: each against its function, in training and in evaluation, with parameters and in a row."""

import inspect
import pickle
import re
import subprocess
import sys
import textwrap
import threading

import ndpool
import numpy as np
import pytest
from layers import CASES, EVERY_CASE, LAYERS, assert_same, cotangent, drawn, flat, made
from ndpool import nn

CONTROL = {"Pullback", "get_num_threads", "output_shape", "set_num_threads", "show_config", "threads", "vjp"}


# ---------------------------------------------------------------------------------------------------------------------
# Layers and their functions
# ---------------------------------------------------------------------------------------------------------------------


def test_every_function_has_a_layer_and_every_layer_a_case():
    functions = {name for name in ndpool.__all__ if callable(getattr(ndpool, name))} - CONTROL
    assert functions <= {layer.function for layer in LAYERS}
    assert {type(made(one)) for one in CASES} == set(LAYERS)


@EVERY_CASE
def test_a_layer_gives_what_its_function_gives(one):
    x, layer = drawn(one.shape), made(one)
    want, pullback = ndpool.vjp(
        getattr(ndpool, layer.function), x, **one.inputs, **one.call, **one_parameters(layer, one)
    )
    for _ in range(2):
        assert_same(layer(x, **one.inputs), want)
    assert_same(layer.eval()(x, **one.inputs) if "stochastic" not in one.layer else want, want)

    layer.train()(x, **one.inputs)
    dy = cotangent(layer, want)
    slopes = flat(pullback(dy))
    got = layer.backward(dy)
    count = len(slopes) - len(layer.params)
    of_inputs, of_params = (
        [slope for slope, name in zip(slopes, order(layer, one), strict=True) if (name in layer.params) == wanted]
        for wanted in (False, True)
    )
    assert_same(got, tuple(of_inputs) if count > 1 else of_inputs[0])
    assert_same(tuple(layer.grads.values()), tuple(of_params))
    layer.backward(dy)
    for grad, slope in zip(layer.grads.values(), of_params, strict=True):
        np.testing.assert_array_equal(grad, 2 * slope)
    layer.zero_grad()
    assert not any(np.any(grad) for grad in layer.grads.values())


def one_parameters(layer, one):
    """Return the parameters that are arrays, as arguments; those of modes are among the options of the call already."""
    return {name: array for name, array in layer.params.items() if name not in one.call}


def order(layer, one):
    """Return the differentiable arguments of a pass, in the order of the signature."""
    given = {**one.inputs, **layer.params}
    further = [name for name in ("weights", "g", *layer.params) if name in given]
    return ["x", *further]


@EVERY_CASE
def test_repr_is_how_the_layer_is_made(one):
    layer = made(one)
    again = eval(f"nn.{layer!r}", {"nn": nn})
    assert repr(again) == repr(layer)
    for name, array in layer.params.items():
        again.params[name][...] = array  # which were drawn
    x = drawn(one.shape)
    assert_same(again(x, **one.inputs), layer(x, **one.inputs))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("MaxPool2d(2)", "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (
            "MaxPool2d((2, 3), padding=1)",
            "MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=1, dilation=1, ceil_mode=False)",
        ),
        ("AvgPool1d(3)", "AvgPool1d(kernel_size=(3,), stride=(3,), padding=(0,))"),
        ("AvgPool2d(3)", "AvgPool2d(kernel_size=3, stride=3, padding=0)"),
        ("AdaptiveAvgPool2d((1, None))", "AdaptiveAvgPool2d(output_size=(1, None))"),
        ("MaxUnpool2d(2)", "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"),
        ("AvgPool2d(3, dtype='float32')", "AvgPool2d(kernel_size=3, stride=3, padding=0, dtype='float32')"),
        (
            "AttentionPool(8, dtype='float64')",
            "AttentionPool(dim=8, num_queries=1, num_heads=1, dtype='float64')",
        ),
        ("GatedAttentionPool(8, 4, dtype=float)", "GatedAttentionPool(dim=8, hidden_dim=4, dtype='float64')"),
        (
            "Conv2d(3, 8, 1, dtype='float16')",
            "Conv2d(3, 8, kernel_size=(1, 1), stride=(1, 1), dtype='float16')",
        ),
        ("Conv2d(3, 8, 3, stride=2)", "Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2))"),
        (
            "Conv1d(3, 8, 3, padding=1, bias=False)",
            "Conv1d(3, 8, kernel_size=(3,), stride=(1,), padding=(1,), bias=False)",
        ),
        (
            "Sequential(nn.MaxPool2d(2), nn.Sequential(nn.AdaptiveAvgPool2d(1)))",
            (
                "Sequential(\n  (0): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)\n"
                "  (1): Sequential(\n    (0): AdaptiveAvgPool2d(output_size=1)\n  )\n)"
            ),
        ),
    ],
)
def test_repr_is_that_of_pytorch(written, shown):
    assert repr(eval(f"nn.{written}", {"nn": nn})) == shown


#: Arrays that a function is given and its layer has.
LEARNED = {
    "Conv": {"weight", "bias"},
    "AttentionPool": {"query", "key_weight", "value_weight"},
    "GatedAttentionPool": {"v", "u", "w"},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_options_of_a_layer_are_those_of_its_function(layer):
    of_layer = inspect.signature(layer).parameters
    of_pass = inspect.signature(layer.forward).parameters
    own = {"in_channels", "out_channels", "dim", "hidden_dim", "num_queries", "key_dim", "value_dim", "rng", "dtype"}
    of_params = LEARNED.get(family(layer), set())
    of_function = set(inspect.signature(getattr(ndpool, layer.function)).parameters) - {"out"}
    assert of_function <= {*of_layer, *of_pass, *of_params}
    assert set(of_layer) - of_function <= own | ({"kernel_size", "bias"} if "weight" in of_params else set())


def family(layer):
    """Return the name of a layer without its number of axes."""
    return re.sub(r"[123]d$", "", layer.__name__)


# The order of arguments in torch.nn and torchvision.ops, as documented.
ORDER = {
    "MaxPool": ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"],
    "AvgPool": ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"],
    "LPPool": ["norm_type", "kernel_size", "stride", "ceil_mode"],
    "AdaptiveAvgPool": ["output_size"],
    "AdaptiveMaxPool": ["output_size", "return_indices"],
    "FractionalMaxPool": ["kernel_size", "output_size", "output_ratio", "return_indices"],
    "MaxUnpool": ["kernel_size", "stride", "padding"],
    "Conv": ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"],
    "RoIPool": ["output_size", "spatial_scale"],
    "RoIAlign": ["output_size", "spatial_scale", "sampling_ratio", "aligned"],
    "PSRoIPool": ["output_size", "spatial_scale"],
    "PSRoIAlign": ["output_size", "spatial_scale", "sampling_ratio"],
}


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if family(layer) in ORDER])
def test_arguments_are_in_the_order_of_pytorch(layer):
    positional = [
        parameter.name
        for parameter in inspect.signature(layer).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    want = ORDER[family(layer)]
    assert positional[: len(want)] == want


# ---------------------------------------------------------------------------------------------------------------------
# Training mode
# ---------------------------------------------------------------------------------------------------------------------


def test_backward_needs_a_forward():
    layer = nn.MaxPool1d(2)
    with pytest.raises(RuntimeError, match="MaxPool1d: backward needs a forward pass"):
        layer.backward(np.ones((1, 2)))
    layer(np.ones((1, 4)))
    layer.backward(np.ones((1, 2)))
    layer.eval()
    with pytest.raises(RuntimeError):
        layer.backward(np.ones((1, 2)))
    layer(np.ones((1, 4)))
    with pytest.raises(RuntimeError):
        layer.backward(np.ones((1, 2)))


def test_integers_pool_in_training_mode_and_have_no_gradient():
    layer = nn.MaxPool1d(2)
    np.testing.assert_array_equal(layer(np.arange(4).reshape(1, 4)), [[1, 3]], strict=True)
    with pytest.raises(TypeError, match="int64 has no gradient"):
        layer.backward(np.ones((1, 2)))
    layer = nn.Pool(2, "mode")
    np.testing.assert_array_equal(layer(np.array([1.0, 1.0, 3.0, 2.0])), [1.0, 2.0])
    with pytest.raises(TypeError, match="not differentiable"):
        layer.backward(np.ones(2))


def test_weights_learn_from_integers():
    image = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 8), np.uint8)
    layer = nn.Conv2d(3, 4, 3, stride=2, rng=0)
    y = layer(image)
    assert layer.backward(y) is None
    got = {name: grad.copy() for name, grad in layer.grads.items()}
    layer.zero_grad()
    assert layer.backward(layer(image.astype(np.float64))).shape == image.shape
    for name, grad in layer.grads.items():
        np.testing.assert_allclose(got[name], grad, rtol=1e-5)
    # What comes before the weights has no gradient either.
    net = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, rng=0), nn.AvgPool2d(2))
    assert net.backward(net(image)) is None
    assert all(grad.any() for grad in net.grads.values())
    for layer in (nn.AttentionPool(8, rng=0), nn.GatedAttentionPool(8, 4, rng=0)):
        assert layer.backward(layer(image[:, 0] > 127)) is None
        assert all(grad.any() for grad in layer.grads.values())


def test_a_wrong_call_is_an_error_and_the_last_pass_stays():
    layer = nn.MaxPool1d(2)
    layer(np.array([[1.0, 2.0]]))
    with pytest.raises(TypeError, match=r"^x: "):
        layer(np.array(["a"]))
    with pytest.raises(ValueError, match=r"^kernel_size: "):
        layer(np.ones((1, 1)))
    np.testing.assert_array_equal(layer.backward(np.array([[3.0]])), [[0.0, 3.0]])
    with pytest.raises(ValueError, match=r"^dy: "):
        layer.backward(np.ones((1, 2)))
    with pytest.raises(TypeError):
        layer(np.ones((1, 2)), 2)


def test_stochastic_pooling_draws_in_training_mode_only():
    x = drawn((8, 8))
    layer = nn.Pool(4, "stochastic", rng=np.random.default_rng(1))
    assert not np.array_equal(layer(x), layer(x))
    want = ndpool.pool(x, 4, "stochastic", training=False)
    np.testing.assert_array_equal(layer.eval()(x), want)


def test_shapes_draw_nothing():
    rng = np.random.default_rng(1)
    for layer in (nn.Pool(2, "stochastic", rng=rng), nn.FractionalMaxPool2d(2, 2, rng=rng)):
        assert layer.output_shape((2, 2, 4, 4))[-1] == 2
    assert rng.random() == np.random.default_rng(1).random()


def test_a_parameter_of_a_mode_is_learned():
    x = drawn((3, 4, 5))
    target = ndpool.global_pool(x[None], "gem", p=4.0)
    layer = nn.GlobalPool("gem", p=1.0)
    for _ in range(200):
        y = layer(x[None])
        layer.zero_grad()
        layer.backward(y - target)
        layer.params["p"] -= 20 * layer.grads["p"]
    assert abs(layer.params["p"] - 4) < 1e-3
    assert repr(layer) == "GlobalPool(mode='gem', p=1.0)"
    assert nn.GlobalPool("gem").params == {}


def test_arrays_of_a_pass_have_gradients_beside_that_of_x():
    x, weights = drawn((4, 6)), drawn((4, 6))
    layer = nn.Pool(2, "avg")
    y = layer(x, weights=weights)
    dx, dweights = layer.backward(np.ones_like(y))
    _, pullback = ndpool.vjp(ndpool.pool, x, 2, "avg", weights=weights)
    assert_same((dx, dweights), pullback(np.ones_like(y)))
    layer(x, weights=np.ones((4, 6), int))
    got = layer.backward(np.ones_like(y))
    _, pullback = ndpool.vjp(ndpool.pool, x, 2, "avg", weights=np.ones((4, 6), int))
    assert_same(got, pullback(np.ones_like(y)))


def test_threads_may_share_a_layer():
    layer = nn.Pool((2, 2), "gem", p=2.0)
    errors = []

    def work(seed):
        x = np.random.default_rng(seed).random((3, 16, 16))
        want = ndpool.pool(x, (2, 2), "gem", p=2.0)
        try:
            for _ in range(200):
                np.testing.assert_array_equal(layer(x), want)
                assert layer.backward(np.ones_like(want)).shape == x.shape
                pickle.dumps(layer)
                layer.zero_grad()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# ---------------------------------------------------------------------------------------------------------------------
# Parameters, and layers in a row
# ---------------------------------------------------------------------------------------------------------------------


def test_parameters_are_drawn_as_documented():
    layer = nn.Conv2d(8, 64, (3, 5), groups=2, rng=0)
    limit = 1 / np.sqrt(4 * 15)
    for array, shape in zip(layer.params.values(), [(64, 4, 3, 5), (64,)], strict=True):
        assert array.shape == shape
        assert array.dtype == np.float32
        assert 0.9 * limit < np.abs(array).max() <= limit
        assert abs(array.mean()) < 0.2 * limit
    attention = nn.AttentionPool(100, 50, key_dim=60, rng=0)
    limit = np.sqrt(6 / 160)
    assert 0.99 * limit < np.abs(attention.params["key_weight"]).max() <= limit
    assert abs(attention.params["query"].std() - 1) < 0.05
    again = nn.Conv2d(8, 64, (3, 5), groups=2, rng=np.random.default_rng(0))
    assert_same(tuple(again.params.values()), tuple(layer.params.values()))
    assert not np.array_equal(nn.Conv2d(8, 64, 3).params["weight"], nn.Conv2d(8, 64, 3).params["weight"])


def test_layers_in_a_row():
    net = nn.Sequential(nn.AvgPool2d(2), nn.Pool((2, 2), "gem", p=3.0), nn.GlobalAvgPool())
    x = drawn((2, 3, 8, 9))
    y = net(x)
    assert net.output_shape(x.shape) == y.shape == (2, 3)
    dx = net.backward(np.ones_like(y))
    moved, step = x.copy(), 1e-6
    moved[0, 1, 3, 4] += step
    assert abs((net.eval()(moved) - y).sum() / step - dx[0, 1, 3, 4]) < 1e-6
    with pytest.raises(RuntimeError):
        net.backward(np.ones_like(y))
    assert list(net.params) == list(net.grads) == ["1.p"]
    assert net.grads["1.p"] is net[1].grads["p"]
    net.zero_grad()
    assert net.grads["1.p"] == 0
    assert (len(net), next(iter(net)), net[-1]) == (3, net[0], net.layers[2])
    assert [layer.training for layer in net.train()] == [True] * 3
    with pytest.raises(ValueError):
        net.output_shape((2, 3, 2, 2))
    assert repr(nn.Sequential()) == "Sequential()"


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(2, return_indices=True),
        nn.APSPool2d(return_phase=True),
        nn.AttentionPool(8, return_weights=True),
        nn.Pool(2, ["max", "min"]),
        nn.Sequential(nn.MinPool2d(1), nn.MaxPool2d(2, return_indices=True)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_only_the_last_layer_may_give_a_tuple(layer):
    says = f"layers: number 1, {type(layer).__name__}, gives a tuple, which only the last one may"
    with pytest.raises(ValueError) as caught:
        nn.Sequential(nn.MaxPool2d(1), layer, nn.MaxPool2d(2))
    assert str(caught.value) == says
    assert len(nn.Sequential(nn.MaxPool2d(1), layer)) == 2


def test_a_layer_that_gives_a_tuple_after_all_is_named():
    class Twins(nn.Layer):
        def forward(self, x):
            return x, x

        def backward(self, dy):
            return dy

        def output_shape(self, shape):
            return shape

    x = drawn((1, 1, 4, 4))
    net = nn.Sequential(Twins(), nn.MaxPool2d(2))
    with pytest.raises(ValueError, match="layers: number 0, Twins, gives a tuple"):
        net(x)
    values, _ = nn.Sequential(nn.MaxPool2d(2), Twins())(x)
    assert values.shape == (1, 1, 2, 2)
    net = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2))
    net[0].return_indices = True
    for call in (lambda: net(x), lambda: net.output_shape(x.shape)):
        with pytest.raises(ValueError, match="layers: number 0, MaxPool2d, gives a tuple"):
            call()


def test_modules_are_there_when_they_are_asked_for():
    code = """
        import sys, ndpool
        assert "ndpool.nn" not in sys.modules
        ndpool.nn.MaxPool2d(2), ndpool.invariance.shift_error, ndpool.viz.diagram
        assert not hasattr(ndpool, "nothing")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
