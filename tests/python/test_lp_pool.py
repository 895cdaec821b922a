"""``lp_pool1d``, ``lp_pool2d``, ``lp_pool3d``: norms of windows, over magnitudes and real cells only."""

import itertools
import math

import ndpool
import numpy as np
import pytest
import reference as ref
import reference_modes as modes
import strategies as some
from checks import agrees, assert_selected, function
from checks_modes import assert_pooled
from hypothesis import given
from hypothesis import strategies as st

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
POWERS = [1, 2, 3.5, 0.5, 17, math.inf]


def pool(x, p, kernel, rank, **arguments):
    """Call the function of a rank."""
    return function("lp_pool", rank)(x, p, kernel, **arguments)


@RANKS
@pytest.mark.parametrize("p", POWERS)
@given(data=st.data())
def test_powers_are_those_of_the_reference(p, rank, data):
    dtype, layout = data.draw(st.sampled_from(some.DTYPES)), data.draw(st.sampled_from(some.LAYOUTS))
    shape = data.draw(some.batched_shapes(rank, layout))
    x = data.draw(some.memory_layouts())(data.draw(some.arrays(shape, dtype)))
    axes = ref.spatial_axes(len(shape), rank, layout)
    arguments = data.draw(some.window_arguments(rank, [shape[axis] for axis in axes]))
    kernel = arguments.pop("kernel_size")
    agrees(
        lambda: pool(x, p, kernel, rank, layout=layout, **arguments),
        lambda: modes.pool(x, ref.windows(shape, axes, kernel, **arguments), axes, "lp", p=p),
        assert_pooled,
    )


@RANKS
@pytest.mark.parametrize("layout", some.LAYOUTS)
def test_positional_arguments_stand_in_the_order_of_pytorch(rank, layout):
    x = np.random.default_rng(rank).standard_normal((2, *[7] * rank, 3))
    x = np.moveaxis(x, -1, 1) if layout == "channels_first" else x
    f = function("lp_pool", rank)
    named = f(x, norm_type=3, kernel_size=2, stride=3, ceil_mode=True, layout=layout)
    assert_selected(f(x, 3, 2, 3, True, layout=layout), named)
    assert named.shape != f(x, 3, 2, 3, False, layout=layout).shape
    with pytest.raises(TypeError):
        f(x, 3, 2, 3, True, 1)
    out = np.zeros_like(named)
    assert f(x, 3, 2, 3, True, layout=layout, out=out) is out
    assert_selected(out, named)


def test_norms_as_calculated_by_hand():
    x = np.array([[[3.0, -4, 0, 0, -5]]])
    assert ndpool.lp_pool1d(x, 2, 2).tolist() == [[[5, 0]]]
    assert ndpool.lp_pool1d(x, 2, 2, ceil_mode=True).tolist() == [[[5, 0, 5]]]
    assert ndpool.lp_pool1d(x, 1, 2, padding=1).tolist() == [[[3, 4, 5]]]
    assert ndpool.lp_pool1d(x, math.inf, 2, dilation=4, stride=1).tolist() == [[[5]]]
    assert ndpool.lp_pool1d(x.astype(np.int8), 1, 5).tolist() == [[[12]]]
    assert ndpool.lp_pool1d(x.astype(np.int8), 1, 5).dtype == np.float64


@RANKS
def test_a_norm_is_a_mode_of_pool(rank):
    x = np.random.default_rng(0).standard_normal((2, 3, *[6] * rank))
    want = ndpool.pool(x, (3,) * rank, "lp", stride=2, padding=1, p=3.5)
    assert_selected(pool(x, 3.5, 3, rank, stride=2, padding=1), want)


@RANKS
@pytest.mark.parametrize("layout", some.LAYOUTS)
@pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
def test_gradients_agree_with_finite_differences(p, layout, rank):
    generator = np.random.default_rng(0)
    shape = (2, *[4] * rank, 2) if layout == "channels_last" else (2, 2, *[4] * rank)
    x = (generator.permutation(int(np.prod(shape))) + 1).reshape(shape) / 40 * generator.choice([-1, 1], shape)
    kwargs = {"stride": 2, "padding": 1, "dilation": 1, "layout": layout}
    f = function("lp_pool", rank)
    y, pullback = ndpool.vjp(f, x, p, 3, **kwargs)
    dy, direction = generator.standard_normal(y.shape), generator.standard_normal(x.shape)
    sides = [f(x + sign * 1e-6 * direction, p, 3, **kwargs) for sign in (1, -1)]
    slope = (sides[0] - sides[1]) / 2e-6
    np.testing.assert_allclose(pullback.jvp(direction), slope, rtol=1e-5, atol=1e-7)
    backwards = np.vdot(pullback(dy), direction)
    assert backwards == pytest.approx(np.vdot(dy, pullback.jvp(direction)), rel=1e-12, abs=1e-12)


def test_the_gradient_of_a_norm_of_zero_is_zero():
    for p in POWERS:
        y, pullback = ndpool.vjp(ndpool.lp_pool2d, np.zeros((1, 1, 4, 4)), p, 2)
        assert (y == 0).all()
        assert (pullback(np.ones_like(y)) == 0).all()
        assert (pullback.jvp(np.ones((1, 1, 4, 4))) == 0).all()


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, ValueError), (-1, ValueError), (math.nan, ValueError), (-math.inf, ValueError)]
    + [(value, TypeError) for value in ("2", None, [2], 2j)],
    ids=repr,
)
def test_a_power_is_a_positive_number(value, kind):
    with pytest.raises(kind, match="norm_type"):
        ndpool.lp_pool2d(np.ones((1, 1, 4, 4)), value, 2)


@pytest.mark.parametrize(
    ("arguments", "kind", "name"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size"),
        ({"kernel_size": 2.0}, TypeError, "kernel_size"),
        ({"stride": 0}, ValueError, "stride"),
        ({"padding": -1}, ValueError, "padding"),
        ({"padding": 2}, ValueError, "padding"),
        ({"dilation": 0}, ValueError, "dilation"),
        ({"ceil_mode": 1}, TypeError, "ceil_mode"),
        ({"layout": "NCHW"}, ValueError, "layout"),
    ],
)
def test_bad_arguments_are_refused(arguments, kind, name):
    with pytest.raises(kind, match=name):
        ndpool.lp_pool2d(np.ones((1, 1, 4, 4)), 2, **{"kernel_size": 2, **arguments})


@RANKS
@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_values_and_gradients_agree_with_pytorch(p, rank):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional second opinion")
    theirs = getattr(torch.nn.functional, f"lp_pool{rank}d")
    x = np.random.default_rng(rank).uniform(0.1, 3, (2, 3, *[7] * rank))
    for kernel, stride in itertools.product([2, 3], [None, 1, 2]):
        tensor = torch.tensor(x, requires_grad=True)
        want = theirs(tensor, p, kernel, stride)
        y, pullback = ndpool.vjp(function("lp_pool", rank), x, p, kernel, stride)
        np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-12)
        want.backward(torch.ones_like(want))
        np.testing.assert_allclose(pullback(np.ones_like(y)), tensor.grad.numpy(), rtol=1e-11)
