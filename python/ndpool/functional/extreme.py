"""Max and min pooling, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import Ints, Layout, Padding


@shared
def max_pool1d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each window over one spatial axis.

    Parameters
    ----------
    <x>
    <geometry>
    <dilation>
    <ceil_mode>
    <return_indices>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.max_pool1d(np.arange(6).reshape(1, 1, 6), 2)
    array([[[1, 3, 5]]])
    """
    return _ndpool.extreme_pool(
        x, 1, False, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


@shared
def max_pool2d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each window over two spatial axes.

    Parameters
    ----------
    <x>
    <geometry>
    <dilation>
    <ceil_mode>
    <return_indices>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.max_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2)
    array([[[[ 5,  7],
             [13, 15]]]])
    """
    return _ndpool.extreme_pool(
        x, 2, False, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


@shared
def max_pool3d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each window over three spatial axes.

    Parameters
    ----------
    <x>
    <geometry>
    <dilation>
    <ceil_mode>
    <return_indices>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.max_pool3d(np.arange(16).reshape(1, 1, 2, 2, 4), 2)
    array([[[[[13, 15]]]]])
    """
    return _ndpool.extreme_pool(
        x, 3, False, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


@shared
def min_pool1d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the smallest value of each window over one spatial axis.

    Parameters
    ----------
    <x>
    <geometry>
    <dilation>
    <ceil_mode>
    <return_indices>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.min_pool1d(np.arange(6).reshape(1, 1, 6), 2)
    array([[[0, 2, 4]]])
    """
    return _ndpool.extreme_pool(
        x, 1, True, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


@shared
def min_pool2d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the smallest value of each window over two spatial axes.

    Parameters
    ----------
    <x>
    <geometry>
    <dilation>
    <ceil_mode>
    <return_indices>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.min_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2)
    array([[[[ 0,  2],
             [ 8, 10]]]])
    """
    return _ndpool.extreme_pool(
        x, 2, True, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


@shared
def min_pool3d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the smallest value of each window over three spatial axes.

    Parameters
    ----------
    <x>
    <geometry>
    <dilation>
    <ceil_mode>
    <return_indices>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.min_pool3d(np.arange(16).reshape(1, 1, 2, 2, 4), 2)
    array([[[[[0, 2]]]]])
    """
    return _ndpool.extreme_pool(
        x, 3, True, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )
