"""Power pooling, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import Ints, Layout, Padding


@shared
def lp_pool1d(
    x: Any,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Ints = 1,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the p-norm of each window over one spatial axis: `(sum |x|^p)^(1/p)` over its cells of data.

    Parameters
    ----------
    <x>
    norm_type : float
        The exponent p, above 0; inf gives the largest `|x|`.
    <geometry>
    <ceil_mode>
    <dilation>
    <layout>
    <out>

    Returns
    -------
    <norm>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.lp_pool1d(np.array([[[3.0, -4.0, 6.0, 8.0]]]), 2, 2)
    array([[[ 5., 10.]]])
    """
    return _ndpool.norm_pool(x, 1, norm_type, kernel_size, stride, padding, ceil_mode, dilation, layout, out)


@shared
def lp_pool2d(
    x: Any,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Ints = 1,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the p-norm of each window over two spatial axes: `(sum |x|^p)^(1/p)` over its cells of data.

    Parameters
    ----------
    <x>
    norm_type : float
        The exponent p, above 0; inf gives the largest `|x|`.
    <geometry>
    <ceil_mode>
    <dilation>
    <layout>
    <out>

    Returns
    -------
    <norm>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.lp_pool2d(np.full((1, 2, 2), 3.0), 2, 2)
    array([[[6.]]])
    """
    return _ndpool.norm_pool(x, 2, norm_type, kernel_size, stride, padding, ceil_mode, dilation, layout, out)


@shared
def lp_pool3d(
    x: Any,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Ints = 1,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the p-norm of each window over three spatial axes: `(sum |x|^p)^(1/p)` over its cells of data.

    Parameters
    ----------
    <x>
    norm_type : float
        The exponent p, above 0; inf gives the largest `|x|`.
    <geometry>
    <ceil_mode>
    <dilation>
    <layout>
    <out>

    Returns
    -------
    <norm>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.lp_pool3d(np.full((1, 2, 2, 2), 3.0), float("inf"), 2)
    array([[[[3.]]]])
    """
    return _ndpool.norm_pool(x, 3, norm_type, kernel_size, stride, padding, ceil_mode, dilation, layout, out)
