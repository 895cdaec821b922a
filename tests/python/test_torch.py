"""PyTorch as the second opinion: forward, indices and gradients over random geometry, and tensors in, tensors out.

Section 9 of the contract lists where ndpool differs on purpose. Only geometry that PyTorch accepts is drawn here (no
padding over half the kernel), no NaN is (its index is the first, not the last), and a dilated window without any cell,
which PyTorch answers with -inf, is left to the other tests.
"""

import ndpool
import numpy as np
import pytest
import reference as ref
import strategies as some
from checks import function
from hypothesis import assume, given
from hypothesis import strategies as st

# PyTorch is far larger than everything else that the tests need, and the reference covers the same ground without it.
torch = pytest.importorskip("torch", reason="PyTorch is an optional second opinion")
functional = torch.nn.functional

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@st.composite
def torch_windows(draw, rank, extent, *, dilated):
    """Keyword arguments that PyTorch takes as well: one number per axis, padding at most half the kernel."""
    beyond = 1 if rank < 3 else 0  # avg_pool3d refuses a kernel larger than the axis, padded or not
    kernel = [draw(st.integers(1, min(length + beyond, 5))) for length in extent]
    arguments = {
        "kernel_size": kernel,
        "stride": draw(st.none() | st.lists(st.integers(1, 4), min_size=rank, max_size=rank)),
        "padding": [draw(st.integers(0, size // 2)) for size in kernel],
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        arguments["dilation"] = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    try:
        geometry = ref.windows(extent, range(rank), arguments["kernel_size"], **window_of(arguments))
        ref.refuse_empty_windows(geometry)
    except ValueError:
        assume(False)
    return arguments


def window_of(arguments):
    """Leave the kernel out: the reference has another name for it."""
    return {name: value for name, value in arguments.items() if name != "kernel_size"}


@st.composite
def tensors(draw, rank, dtype):
    """Draw a tensor ``(N, C, *spatial)`` with many ties, in either memory format."""
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *draw(some.extents(rank)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randint(-9, 9, shape, generator=generator).to(dtype) / 4
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    if rank in formats and draw(st.booleans()):
        x = x.contiguous(memory_format=formats[rank])
    return x


def given_to_torch(name, rank, arguments):
    """PyTorch's function with its arguments bound; its 1-d and 3-d forms do not all take the same names."""
    pool = getattr(functional, f"{name}{rank}d")
    return lambda x: pool(x, **arguments)


def differentiated_by_torch(pool, x):
    """``(y, dy, dx)`` with a random cotangent, computed in float64 and rounded once."""
    wide = x.double().clone(memory_format=torch.preserve_format).requires_grad_()
    y = pool(wide)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(x.dtype)
    y.backward(dy.double())
    return y.detach().to(x.dtype), dy, wide.grad.to(x.dtype)


def assert_close(got, want):
    """Compare library, dtype, shape; values within the dtype's rounding."""
    assert isinstance(got, torch.Tensor)
    tolerance = TOLERANCE.get(want.dtype, 0)
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def compare(pool, ours, x, arguments):
    """Forward and backward of both libraries on the same tensor."""
    want, dy, gradient = differentiated_by_torch(pool, x)
    got, pullback = ndpool.vjp(ours, x, **arguments)
    assert_close(got, want)
    assert_close(pullback(dy), gradient)


@RANKS
@DTYPES
@given(data=st.data())
def test_max_pool_agrees(dtype, rank, data):
    x = data.draw(tensors(rank, dtype))
    arguments = data.draw(torch_windows(rank, x.shape[2:], dilated=True))
    compare(given_to_torch("max_pool", rank, arguments), function("max_pool", rank), x, arguments)
    want, places = getattr(functional, f"max_pool{rank}d")(x, return_indices=True, **arguments)
    got, indices = function("max_pool", rank)(x, return_indices=True, **arguments)
    assert torch.equal(got, want)
    assert torch.equal(indices, places)


@RANKS
@DTYPES
@given(data=st.data())
def test_avg_pool_agrees(dtype, rank, data):
    x = data.draw(tensors(rank, dtype))
    arguments = data.draw(torch_windows(rank, x.shape[2:], dilated=False))
    arguments["count_include_pad"] = data.draw(st.booleans())
    if rank > 1:
        arguments["divisor_override"] = data.draw(st.none() | st.integers(1, 7))
    compare(given_to_torch("avg_pool", rank, arguments), function("avg_pool", rank), x, arguments)


@RANKS
@pytest.mark.parametrize("mode", ["avg", "max"])
@given(data=st.data())
def test_adaptive_pools_agree(mode, rank, data):
    x = data.draw(tensors(rank, torch.float64))
    size = tuple(data.draw(st.integers(1, 7)) for _ in range(rank))
    name = f"adaptive_{mode}_pool"
    pool = getattr(functional, f"{name}{rank}d")
    compare(lambda x: pool(x, size), function(name, rank), x, {"output_size": size})
    if mode == "max":
        want, places = pool(x, size, return_indices=True)
        got, indices = function(name, rank)(x, size, return_indices=True)
        assert torch.equal(got, want)
        assert torch.equal(indices, places)


@RANKS
@given(data=st.data())
def test_min_pool_is_the_negative_of_max_pool(rank, data):
    x = data.draw(tensors(rank, torch.float64))
    arguments = data.draw(torch_windows(rank, x.shape[2:], dilated=True))
    want, places = getattr(functional, f"max_pool{rank}d")(-x, return_indices=True, **arguments)
    got, indices = function("min_pool", rank)(x, return_indices=True, **arguments)
    assert torch.equal(got, -want)
    assert torch.equal(indices, places)


@RANKS
@DTYPES
@given(data=st.data())
def test_max_unpool_agrees(dtype, rank, data):
    x = data.draw(tensors(rank, dtype))
    arguments = data.draw(torch_windows(rank, x.shape[2:], dilated=False))
    arguments["ceil_mode"] = False
    assume(
        all(n + 2 * p >= k for n, p, k in zip(x.shape[2:], arguments["padding"], arguments["kernel_size"], strict=True))
    )
    y, indices = getattr(functional, f"max_pool{rank}d")(x, return_indices=True, **arguments)
    arguments.pop("ceil_mode")
    strides = arguments["stride"] or arguments["kernel_size"]
    arguments["output_size"] = list(x.shape)
    unpool = getattr(functional, f"max_unpool{rank}d")
    got = function("max_unpool", rank)(y, indices, **arguments)
    assert torch.equal(got, unpool(y, indices, **arguments))
    if all(stride >= kernel for stride, kernel in zip(strides, arguments["kernel_size"], strict=True)):
        # Windows that share cells name some twice; which of the values PyTorch then differentiates is not said.
        compare(
            lambda y: unpool(y, indices, **arguments), function("max_unpool", rank), y, {"indices": indices} | arguments
        )


@pytest.mark.parametrize("rank", [2, 3])
@DTYPES
@given(data=st.data())
def test_fractional_max_pool_agrees(dtype, rank, data):
    shape = [
        data.draw(st.integers(1, 2)),
        data.draw(st.integers(1, 3)),
        *(data.draw(st.integers(2, 8)) for _ in range(rank)),
    ]
    x = torch.randint(-9, 9, shape, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))).to(dtype)
    kernel = tuple(data.draw(st.integers(1, length - 1)) for length in x.shape[2:])
    # In three dimensions PyTorch refuses as many windows as there are places for them.
    size = [data.draw(st.integers(1, n - k + (rank == 2))) for n, k in zip(x.shape[2:], kernel, strict=True)]
    seed = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    samples = torch.rand(*x.shape[:2], rank, generator=seed, dtype=dtype)
    name = f"fractional_max_pool{rank}d"
    want, places = getattr(functional, name)(x, kernel, size, return_indices=True, _random_samples=samples)
    got, indices = getattr(ndpool, name)(x, kernel, size, return_indices=True, samples=samples)
    assert torch.equal(got, want)
    assert torch.equal(indices, places)
    last = getattr(ndpool, name)(x.movedim(1, -1), kernel, size, samples=samples, layout="channels_last")
    assert torch.equal(last, want.movedim(1, -1))
    one = getattr(functional, name)(x[0], kernel, size, _random_samples=samples[:1])
    assert torch.equal(getattr(ndpool, name)(x[0], kernel, size, samples=samples[:1]), one)
    if dtype == torch.float64:
        dy = torch.randn(want.shape, dtype=dtype)
        wide = x.clone().requires_grad_()
        getattr(functional, name)(wide, kernel, size, _random_samples=samples).backward(dy)
        _, pullback = ndpool.vjp(getattr(ndpool, name), x, kernel, size, samples=samples)
        assert_close(pullback(dy), wide.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("length", [300, 1001, 2500])
def test_fractional_windows_agree_on_long_axes(dtype, length):
    """In half types PyTorch's windows leave such axes, which it reports as a bug of its own."""
    x = torch.rand(1, 64, 1, length).to(dtype)
    samples = torch.rand(1, 64, 2, dtype=dtype)
    for ratio in (0.9, 0.61, 0.3):
        arguments = {"kernel_size": (1, 2), "output_size": (1, int(length * ratio))}
        want, places = functional.fractional_max_pool2d(x, **arguments, return_indices=True, _random_samples=samples)
        got, indices = ndpool.fractional_max_pool2d(x, **arguments, return_indices=True, samples=samples)
        assert torch.equal(got, want)
        assert torch.equal(indices, places)


@DTYPES
@given(data=st.data())
def test_global_pools_agree(dtype, data):
    x = data.draw(tensors(2, dtype))
    compare(lambda x: x.mean((2, 3)), ndpool.global_avg_pool, x, {})
    assert_close(ndpool.global_max_pool(x), x.amax((2, 3)))
    assert_close(ndpool.global_avg_pool(x, keepdims=True), functional.adaptive_avg_pool2d(x, 1))


@RANKS
@given(data=st.data())
def test_channels_last_layout_is_the_permuted_result(rank, data):
    x = data.draw(tensors(rank, torch.float32))
    arguments = data.draw(torch_windows(rank, x.shape[2:], dilated=True))
    want = getattr(functional, f"max_pool{rank}d")(x, **arguments).movedim(1, -1)
    assert torch.equal(function("max_pool", rank)(x.movedim(1, -1), layout="channels_last", **arguments), want)


@RANKS
@given(data=st.data())
def test_an_unbatched_tensor_agrees(rank, data):
    x = data.draw(tensors(rank, torch.float32))[0]
    arguments = data.draw(torch_windows(rank, x.shape[1:], dilated=False))
    assert torch.equal(function("max_pool", rank)(x, **arguments), given_to_torch("max_pool", rank, arguments)(x))


def test_none_as_adaptive_size_agrees():
    x = torch.randn(1, 2, 6, 9)
    assert_close(ndpool.adaptive_avg_pool2d(x, (None, 4)), functional.adaptive_avg_pool2d(x, (None, 4)))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, :, ::2, 1::3],
        lambda x: x.permute(0, 3, 1, 2),
        lambda x: x[:1].expand(4, -1, -1, -1),
        lambda x: x[0],
        lambda x: x[:0],
    ],
)
def test_views_are_read_in_place_and_give_tensors(view):
    x = view(torch.randn(2, 6, 12, 12))
    got = ndpool.max_pool2d(x, 2)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_array_equal(got.numpy(), ndpool.max_pool2d(x.numpy(), 2))


def test_a_tensor_that_requires_grad_is_refused_with_torchs_own_words():
    with pytest.raises(Exception, match="grad") as caught:
        ndpool.max_pool2d(torch.ones(1, 1, 4, 4, requires_grad=True), 2)
    assert isinstance(caught.value, (BufferError, RuntimeError, TypeError, ValueError))


def test_a_tensor_may_be_the_target():
    x, out = torch.randn(1, 2, 6, 6), torch.zeros(1, 2, 3, 3)
    assert ndpool.max_pool2d(x, 2, out=out) is out
    assert torch.equal(out, functional.max_pool2d(x, 2))
    with pytest.raises(ValueError):
        ndpool.max_pool2d(x, 3, 1, 1, out=x)


def test_pullbacks_take_and_give_tensors():
    x = torch.randn(1, 2, 6, 6)
    y, pullback = ndpool.vjp(ndpool.avg_pool2d, x, 3)
    assert isinstance(y, torch.Tensor)
    assert isinstance(pullback(y), torch.Tensor)
    assert isinstance(pullback.jvp(x), torch.Tensor)
