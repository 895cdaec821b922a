"""Strided convolution, the downsampling that is learned, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from typing import SupportsIndex

    from ndpool._types import Ints, Layout, Padding


@shared
def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: SupportsIndex = 1,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Convolve over one spatial axis: the weighted sums of windows, over all channels of a group.

    As in neural networks the kernel is not flipped (a cross-correlation).

    Parameters
    ----------
    <x>
    <conv>
    <layout>
    <out>

    Returns
    -------
    <convolved>

    Raises
    ------
    <conv_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[[1.0, 2.0, 4.0, 8.0, 16.0]]])
    >>> ndpool.conv1d(x, np.array([[[-1.0, 1.0]]]), stride=2)
    array([[[1., 4.]]])
    >>> ndpool.conv1d(x, np.ones((1, 1, 3)), np.array([100.0]), padding=1)
    array([[[103., 107., 114., 128., 124.]]])
    >>> y, pullback = ndpool.vjp(ndpool.conv1d, x, np.array([[[-1.0, 1.0]]]), stride=2)
    >>> dx, dweight = pullback(np.ones_like(y))
    >>> dx
    array([[[-1.,  1., -1.,  1.,  0.]]])
    >>> dweight
    array([[[ 5., 10.]]])
    """
    return _ndpool.conv(x, weight, bias, 1, stride, padding, dilation, groups, layout, out)


@shared
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: SupportsIndex = 1,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Convolve over two spatial axes: the weighted sums of windows, over all channels of a group.

    As in neural networks the kernel is not flipped (a cross-correlation).

    Parameters
    ----------
    <x>
    <conv>
    <layout>
    <out>

    Returns
    -------
    <convolved>

    Raises
    ------
    <conv_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> ndpool.conv2d(x, np.full((1, 1, 2, 2), 0.25), stride=2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    >>> x = np.ones((1, 8, 56, 56), np.float32)
    >>> ndpool.conv2d(x, np.ones((16, 8, 3, 3), np.float32), stride=2, padding=1).shape
    (1, 16, 28, 28)
    >>> ndpool.conv2d(x, np.ones((8, 1, 3, 3), np.float32), stride=2, padding="same", groups=8).shape
    (1, 8, 28, 28)
    """
    return _ndpool.conv(x, weight, bias, 2, stride, padding, dilation, groups, layout, out)


@shared
def conv3d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: SupportsIndex = 1,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Convolve over three spatial axes: the weighted sums of windows, over all channels of a group.

    As in neural networks the kernel is not flipped (a cross-correlation).

    Parameters
    ----------
    <x>
    <conv>
    <layout>
    <out>

    Returns
    -------
    <convolved>

    Raises
    ------
    <conv_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(16.0).reshape(1, 1, 2, 2, 4)
    >>> ndpool.conv3d(x, np.full((1, 1, 2, 2, 2), 0.125), stride=2)
    array([[[[[6.5, 8.5]]]]])
    """
    return _ndpool.conv(x, weight, bias, 3, stride, padding, dilation, groups, layout, out)
