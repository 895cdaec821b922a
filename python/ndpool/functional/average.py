"""Average pooling, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import DType, Ints, Layout, Padding


@shared
def avg_pool1d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    dtype: DType = None,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each window over one spatial axis.

    Parameters
    ----------
    <x>
    <geometry>
    <ceil_mode>
    count_include_pad : bool
        Count padding in the divisor: the window's cells within the padded axes, instead of its cells of data.
    divisor_override : int, optional
        Divide by this instead.
    <dilation>
    dtype : dtype, optional
        Dtype of the result; an integer dtype, for integers, is exact and rounds half to even.
    <layout>
    <out>

    Returns
    -------
    <mean>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.avg_pool1d(np.arange(6).reshape(1, 1, 6), 2)
    array([[[0.5, 2.5, 4.5]]])
    """
    return _ndpool.mean_pool(
        x,
        1,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        dtype,
        layout,
        out,
    )


@shared
def avg_pool2d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    dtype: DType = None,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each window over two spatial axes.

    Parameters
    ----------
    <x>
    <geometry>
    <ceil_mode>
    count_include_pad : bool
        Count padding in the divisor: the window's cells within the padded axes, instead of its cells of data.
    divisor_override : int, optional
        Divide by this instead.
    <dilation>
    dtype : dtype, optional
        Dtype of the result; an integer dtype, for integers, is exact and rounds half to even.
    <layout>
    <out>

    Returns
    -------
    <mean>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.avg_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    return _ndpool.mean_pool(
        x,
        2,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        dtype,
        layout,
        out,
    )


@shared
def avg_pool3d(
    x: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    dtype: DType = None,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each window over three spatial axes.

    Parameters
    ----------
    <x>
    <geometry>
    <ceil_mode>
    count_include_pad : bool
        Count padding in the divisor: the window's cells within the padded axes, instead of its cells of data.
    divisor_override : int, optional
        Divide by this instead.
    <dilation>
    dtype : dtype, optional
        Dtype of the result; an integer dtype, for integers, is exact and rounds half to even.
    <layout>
    <out>

    Returns
    -------
    <mean>

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.avg_pool3d(np.arange(16).reshape(1, 1, 2, 2, 4), 2)
    array([[[[[6.5, 8.5]]]]])
    """
    return _ndpool.mean_pool(
        x,
        3,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        dtype,
        layout,
        out,
    )
