"""What travels when layers are copied and pickled, states that were tampered with, and layers made wrongly."""

import copy
import io
import pickle

import ndpool
import numpy as np
import pytest
from layers import EVERY_CASE, assert_same, cotangent, drawn, made
from ndpool import nn


def state(layer):
    return layer.__getstate__()


def assert_twin(twin, layer):
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    assert twin.training == layer.training
    assert_same(tuple(twin.params.values()), tuple(layer.params.values()))


@EVERY_CASE
def test_a_layer_travels_also_after_use_and_is_small(one):
    layer = made(one)
    x = drawn(one.shape)
    layer.backward(cotangent(layer, layer(x, **one.inputs)))
    fresh = sum(array.nbytes for array in layer.params.values())
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(layer, protocol)
        assert len(data) < 4 * fresh + 2000
        assert len(data) == len(pickle.dumps(made(one), protocol))
        assert_twin(pickle.loads(data), layer)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_twin(twin, layer)
        assert not any(np.any(grad) for grad in twin.grads.values())
        with pytest.raises(RuntimeError):
            twin.backward(x)
        assert_same(twin(x, **one.inputs), layer(x, **one.inputs))
    assert_twin(pickle.loads(pickle.dumps(layer.eval())), layer)


def test_a_deep_copy_has_parameters_of_its_own():
    layer = nn.Sequential(nn.Pool(2, "gem", p=2.0))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        twin.params["0.p"] += 1
        assert layer.params["0.p"] == 2
        assert twin.params["0.p"] == 3


def restored(layer, **changed):
    twin = type(layer).__new__(type(layer))
    twin.__setstate__({**state(layer), **changed})
    return twin


def with_options(layer, **changed):
    return {"options": {**state(layer)["options"], **changed}}


MAX, GEM, CONV = nn.MaxPool2d(2), nn.Pool(2, "gem", p=2.0), nn.Conv2d(2, 4, 3, rng=0)
WEIGHT, BIAS = CONV.params["weight"], CONV.params["bias"]


@pytest.mark.parametrize(
    ("layer", "changed", "error"),
    [
        (MAX, {"options": {}}, ValueError),
        (MAX, {"options": None}, ValueError),
        (MAX, {"more": 1}, ValueError),
        (MAX, {"training": 1}, TypeError),
        (MAX, {"params": None}, TypeError),
        (MAX, {"params": {"weight": np.ones(1)}}, ValueError),
        (MAX, with_options(MAX, more=1), ValueError),
        (MAX, with_options(MAX, kernel_size=0), ValueError),
        (MAX, with_options(MAX, kernel_size=2.0), TypeError),
        (MAX, with_options(MAX, kernel_size="2"), TypeError),
        (MAX, with_options(MAX, kernel_size=2**63), ValueError),
        (MAX, with_options(MAX, kernel_size=(2, 2, 2)), ValueError),
        (MAX, with_options(MAX, kernel_size=[1] * 10**6), ValueError),
        (MAX, with_options(MAX, kernel_size=None), TypeError),
        (MAX, with_options(MAX, padding="none"), ValueError),
        (MAX, with_options(MAX, padding=-1), ValueError),
        (MAX, with_options(MAX, padding=((1, 2, 3), 1)), ValueError),
        (MAX, with_options(MAX, ceil_mode=0), TypeError),
        (MAX, with_options(MAX, layout="nchw"), ValueError),
        (MAX, with_options(MAX, layout=b"channels_first"), TypeError),
        (GEM, with_options(GEM, mode="maxx"), ValueError),
        (GEM, with_options(GEM, mode=None), TypeError),
        (GEM, with_options(GEM, mode_options={"p": 2.0, "q": 1}), TypeError),
        (GEM, with_options(GEM, mode_options={"p": "2"}), TypeError),
        (GEM, with_options(GEM, mode_options={"p": 2.0, "out": np.ones(1)}), TypeError),
        (GEM, with_options(GEM, mode_options={}), ValueError),
        (GEM, with_options(GEM, mode_options=None), TypeError),
        (GEM, with_options(GEM, dtype="no dtype"), TypeError),
        (GEM, with_options(GEM, fill_value="0"), TypeError),
        (GEM, {"params": {"p": 2.0}}, TypeError),
        (GEM, {"params": {"p": np.ones(1)}}, ValueError),
        (GEM, {"params": {}}, ValueError),
        (CONV, {"params": {"weight": WEIGHT}}, ValueError),
        (CONV, {"params": {"weight": WEIGHT[1:], "bias": BIAS}}, ValueError),
        (CONV, {"params": {"weight": WEIGHT.astype(int), "bias": BIAS}}, TypeError),
        (CONV, {"params": {"weight": WEIGHT.astype(object), "bias": BIAS}}, TypeError),
        (CONV, {"params": {"weight": WEIGHT.tolist(), "bias": BIAS}}, TypeError),
        (CONV, {"params": {"weight": np.ma.MaskedArray(WEIGHT), "bias": BIAS}}, TypeError),
        (CONV, with_options(CONV, out_channels=2**62), ValueError),
        (CONV, with_options(CONV, groups=3), ValueError),
        (CONV, with_options(CONV, dtype="int8"), TypeError),
        (CONV, with_options(CONV, stride=None), TypeError),
    ],
)
def test_a_state_that_was_tampered_with_is_an_error(layer, changed, error):
    assert_twin(restored(layer), layer)
    with pytest.raises(error):
        restored(layer, **changed)


@pytest.mark.parametrize("bad", [None, 3, {}, {"layers": (), "training": 1}, {"layers": [], "training": True}])
def test_a_state_of_another_kind_is_an_error(bad):
    for kind in (nn.MaxPool2d, nn.Sequential):
        with pytest.raises((TypeError, ValueError)):
            kind.__new__(kind).__setstate__(bad)


def test_layers_may_only_hold_layers():
    with pytest.raises(TypeError, match="must be a Layer"):
        nn.Sequential(nn.MaxPool2d(2), max)
    with pytest.raises(TypeError, match="must be a Layer"):
        nn.Sequential.__new__(nn.Sequential).__setstate__({"layers": (max,), "training": True})


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.MaxPool2d(0), ValueError, "kernel_size: 0 must be from 1"),
        (lambda: nn.MaxPool2d(2.0), TypeError, "kernel_size: 2.0 (float) must be an int"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "stride: 0 must be from 1"),
        (lambda: nn.MaxPool1d((2, 2)), ValueError, "kernel_size: (2, 2) has 2 values; give one, or 1"),
        (lambda: nn.AvgPool2d(2, ceil_mode=1), TypeError, "ceil_mode: 1 (int) must be a bool"),
        (lambda: nn.LPPool2d(0, 2), ValueError, "norm_type: 0 must be above 0"),
        (lambda: nn.LPPool2d(float("nan"), 2), ValueError, "norm_type: nan must be above 0"),
        (lambda: nn.FractionalMaxPool2d(2), ValueError, "output_size: give it, or output_ratio"),
        (lambda: nn.FractionalMaxPool2d(2, 3, rng=1.5), TypeError, "rng: 1.5 (float) must be an int"),
        (lambda: nn.Pool(2, "avg", p=3), TypeError, "p: only mode"),
        (lambda: nn.Pool(2, where=[True]), TypeError, "where: is given to each forward pass"),
        (lambda: nn.Pool(2, "stochastic", training=False), TypeError, "training: is set by"),
        (lambda: nn.Pool(2, "quantile"), TypeError, "q: "),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "groups: 2 must divide in_channels, which are 3"),
        (lambda: nn.Conv2d(3, 4, 3, rng="seed"), TypeError, "rng: 'seed' (str) must be an int"),
        (lambda: nn.AttentionPool(6, num_heads=4), ValueError, "num_heads: 4 must divide key_dim, which is 6"),
        (lambda: nn.SpatialPyramidPool(3), TypeError, "levels: 3 must be a sequence of ints"),
        (lambda: nn.SpatialPyramidPool([]), ValueError, "levels: [] must not be empty"),
        (lambda: nn.TokenPool("sum"), ValueError, "mode: 'sum' must be one of mean, max"),
        (
            lambda: nn.SpatialPyramidPool([1] * 10**6),
            ValueError,
            "levels: a sequence of 1000000 values must",
        ),
        (lambda: nn.RoIPool(7, "1"), TypeError, "spatial_scale: '1' (str) must be a number"),
        (lambda: nn.RoIAlign(7, sampling_ratio=2.0), TypeError, "sampling_ratio: 2.0 (float) must be an int"),
        (lambda: nn.FractionalMaxPool2d(2, (None, 3)), TypeError, "output_size: None (NoneType) must be an int"),
    ],
)
def test_a_mistake_is_found_where_the_layer_is_made(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("layer", "changed", "error"),
    [
        (nn.BlurPool2d(), {"filter_size": 9}, ValueError),
        (nn.BlurPool2d(), {"filter_size": 1}, ValueError),
        (nn.MaxBlurPool2d(2), {"filter_size": 9}, ValueError),
        (nn.RoIPool(2), {"spatial_scale": np.nan}, ValueError),
        (nn.RoIAlign(2), {"spatial_scale": np.inf}, ValueError),
        (nn.RoIAlign(2), {"sampling_ratio": 10**9}, ValueError),
        (nn.PSRoIAlign(2), {"sampling_ratio": 10**9}, ValueError),
        (nn.PSRoIPool(2), {"spatial_scale": -np.inf}, ValueError),
        (nn.AttentionPool(4), {"scale": np.nan}, ValueError),
        (nn.AttentionPool(4), {"scale": 10**400}, ValueError),
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), {"output_ratio": 5.0}, ValueError),
        (nn.FractionalMaxPool3d(2, output_ratio=0.5), {"output_ratio": (0.5, 1.0, 0.5)}, ValueError),
        (nn.LPPool2d(2, 2), {"norm_type": 10**400}, ValueError),
        (nn.AvgPool2d(2), {"dtype": "S3"}, TypeError),
        (nn.AvgPool1d(2), {"dtype": "bool"}, TypeError),
    ],
    ids=str,
)
def test_what_the_function_refuses_the_layer_does(layer, changed, error):
    (name,) = changed
    arguments = {key: value for key, value in state(layer)["options"].items() if value is not None}
    for make in (
        lambda: type(layer)(**{**arguments, **changed}),
        lambda: restored(layer, **with_options(layer, **changed)),
    ):
        with pytest.raises(error, match=f"^{name}: "):
            make()


@pytest.mark.parametrize("scale", [0, 0.0, -1, -0.5])
def test_what_the_function_takes_the_layer_does(scale):
    x, boxes = drawn((1, 4, 6, 6)), [[0, 1, 1, 4, 4]]
    for name in ("RoIPool", "RoIAlign", "PSRoIPool", "PSRoIAlign"):
        layer = getattr(nn, name)(2, scale)
        assert_same(layer(x, boxes), getattr(ndpool, layer.function)(x, boxes, 2, scale))
    assert_same(nn.RoIAlign(2, sampling_ratio=-5)(x, boxes), ndpool.roi_align(x, boxes, 2, sampling_ratio=-5))


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_cut_pickle_is_an_ordinary_error(cut):
    data = pickle.dumps(CONV)
    with pytest.raises((EOFError, pickle.UnpicklingError, ValueError, TypeError)):
        pickle.load(io.BytesIO(data[: int(cut * len(data))]))
