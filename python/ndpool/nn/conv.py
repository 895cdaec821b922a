"""Convolutions, called as in PyTorch: downsampling that is learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from ndpool._docs import shared
from ndpool.nn._base import Array, PlainLayer
from ndpool.nn._checks import float_dtype, sizes
from ndpool.nn._draw import uniform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from ndpool._types import DType, Ints, Layout, Padding, Rng


class Convolution(PlainLayer):
    """What `Conv1d` to `Conv3d` share."""

    _unnamed = ("in_channels", "out_channels")
    _shown = ("kernel_size", "stride")
    _per_axis = ("kernel_size", "stride", "padding", "dilation")
    _transient = ("rng",)
    _checks: ClassVar = {"dtype": float_dtype, "stride": sizes}

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    groups: int
    bias: bool
    dtype: np.dtype[Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: DType = "float32",
        layout: Layout = "channels_first",
        rng: Rng = None,
    ) -> None:
        super().__init__(
            rng,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            dtype=dtype,
            layout=layout,
        )

    def _set_options(self, options: Mapping[str, Any]) -> None:
        super()._set_options(options)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"groups: {self.groups} must divide {name}, which are {getattr(self, name)}")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        weight = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def _drawn(self, rng: np.random.Generator) -> dict[str, Array]:
        shapes = self._shapes()
        limit = 1 / math.sqrt(math.prod(shapes["weight"][1:]))
        return {name: uniform(rng, limit, shape, self.dtype) for name, shape in shapes.items()}

    def _arguments(self) -> dict[str, Any]:
        names = ("stride", "padding", "dilation", "groups", "layout")
        return {name: getattr(self, name) for name in names} | self.params


@shared
class Conv1d(Convolution):
    """Convolve over one spatial axis, by default with a stride of 1: `ndpool.conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the result.
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    stride : int or sequence of int
        Cells from one window to the next; 2 to halve the input.
    padding : int, sequence of int, sequence of (int, int), or str
        Zeros before and after each axis, as for pooling.
    <dilation>
    groups : int
        Groups of channels that do not mix; as many as `in_channels` for a depthwise convolution.
    bias : bool
        Whether there is a bias.
    dtype : dtype
        Of the parameters; a dtype of floats.
    <layout>
    rng : int or numpy.random.Generator, optional
        What the parameters are drawn from.

    Notes
    -----
    As in PyTorch, `weight`, of shape `(out_channels, in_channels / groups, k)`, and `bias` are
    drawn uniformly from `-b` to `b` with `b = 1 / sqrt(n)`, where `n` numbers of the input go into one of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.Conv1d(3, 8, 3, stride=2, padding=1, rng=0)
    >>> layer
    Conv1d(3, 8, kernel_size=(3,), stride=(2,), padding=(1,))
    >>> {name: array.shape for name, array in layer.params.items()}
    {'weight': (8, 3, 3), 'bias': (8,)}
    >>> layer.output_shape((8, 3, 9))
    (8, 8, 5)
    """

    function = "conv1d"
    rank = 1


@shared
class Conv2d(Convolution):
    """Convolve over two spatial axes, by default with a stride of 1: `ndpool.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the result.
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    stride : int or sequence of int
        Cells from one window to the next; 2 to halve the input.
    padding : int, sequence of int, sequence of (int, int), or str
        Zeros before and after each axis, as for pooling.
    <dilation>
    groups : int
        Groups of channels that do not mix; as many as `in_channels` for a depthwise convolution.
    bias : bool
        Whether there is a bias.
    dtype : dtype
        Of the parameters; a dtype of floats.
    <layout>
    rng : int or numpy.random.Generator, optional
        What the parameters are drawn from.

    Notes
    -----
    As in PyTorch, `weight`, of shape `(out_channels, in_channels / groups, k_h, k_w)`, and `bias` are
    drawn uniformly from `-b` to `b` with `b = 1 / sqrt(n)`, where `n` numbers of the input go into one of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.Conv2d(3, 8, 3, stride=2, padding=1, rng=0)
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
    >>> {name: array.shape for name, array in layer.params.items()}
    {'weight': (8, 3, 3, 3), 'bias': (8,)}
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 8, 5, 5)
    """

    function = "conv2d"
    rank = 2


@shared
class Conv3d(Convolution):
    """Convolve over three spatial axes, by default with a stride of 1: `ndpool.conv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the result.
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    stride : int or sequence of int
        Cells from one window to the next; 2 to halve the input.
    padding : int, sequence of int, sequence of (int, int), or str
        Zeros before and after each axis, as for pooling.
    <dilation>
    groups : int
        Groups of channels that do not mix; as many as `in_channels` for a depthwise convolution.
    bias : bool
        Whether there is a bias.
    dtype : dtype
        Of the parameters; a dtype of floats.
    <layout>
    rng : int or numpy.random.Generator, optional
        What the parameters are drawn from.

    Notes
    -----
    As in PyTorch, `weight`, of shape `(out_channels, in_channels / groups, k_d, k_h, k_w)`, and `bias` are
    drawn uniformly from `-b` to `b` with `b = 1 / sqrt(n)`, where `n` numbers of the input go into one of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.Conv3d(3, 8, 3, stride=2, padding=1, rng=0)
    >>> layer
    Conv3d(3, 8, kernel_size=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1))
    >>> {name: array.shape for name, array in layer.params.items()}
    {'weight': (8, 3, 3, 3, 3), 'bias': (8,)}
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 8, 5, 5, 5)
    """

    function = "conv3d"
    rank = 3
