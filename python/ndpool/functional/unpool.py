"""Max unpooling, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import Duplicates, Ints, Layout


@shared
def max_unpool1d(
    x: Any,
    indices: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Ints | None = None,
    *,
    duplicates: Duplicates = "last",
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Put each value back where max pooling over one spatial axis found it; other cells are 0.

    Parameters
    ----------
    <x>
    <indices>
    <unpool_geometry>
    <duplicates>
    <layout>
    <out>

    Returns
    -------
    <unpooled>

    Raises
    ------
    <unpool_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[[1, 3, 2, 5, 4]]])
    >>> y, indices = ndpool.max_pool1d(x, 2, return_indices=True)
    >>> ndpool.max_unpool1d(y, indices, 2)
    array([[[0, 3, 0, 5]]])
    >>> ndpool.max_unpool1d(y, indices, 2, output_size=x.shape)
    array([[[0, 3, 0, 5, 0]]])
    >>> ndpool.max_unpool1d(y, [[[2, 2]]], 2, duplicates="sum")
    array([[[0, 0, 8, 0]]])
    """
    return _ndpool.max_unpool(x, indices, 1, kernel_size, stride, padding, output_size, duplicates, layout, out)


@shared
def max_unpool2d(
    x: Any,
    indices: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Ints | None = None,
    *,
    duplicates: Duplicates = "last",
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Put each value back where max pooling over two spatial axes found it; other cells are 0.

    Parameters
    ----------
    <x>
    <indices>
    <unpool_geometry>
    <duplicates>
    <layout>
    <out>

    Returns
    -------
    <unpooled>

    Raises
    ------
    <unpool_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> y, indices = ndpool.max_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> ndpool.max_unpool2d(y, indices, 2)
    array([[[[ 0,  0,  0,  0],
             [ 0,  5,  0,  7],
             [ 0,  0,  0,  0],
             [ 0, 13,  0, 15]]]])
    """
    return _ndpool.max_unpool(x, indices, 2, kernel_size, stride, padding, output_size, duplicates, layout, out)


@shared
def max_unpool3d(
    x: Any,
    indices: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Ints | None = None,
    *,
    duplicates: Duplicates = "last",
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Put each value back where max pooling over three spatial axes found it; other cells are 0.

    Parameters
    ----------
    <x>
    <indices>
    <unpool_geometry>
    <duplicates>
    <layout>
    <out>

    Returns
    -------
    <unpooled>

    Raises
    ------
    <unpool_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> y, indices = ndpool.max_pool3d(np.arange(16).reshape(1, 1, 2, 2, 4), 2, return_indices=True)
    >>> ndpool.max_unpool3d(y, indices, 2)[0, 0, 1]
    array([[ 0,  0,  0,  0],
           [ 0, 13,  0, 15]])
    """
    return _ndpool.max_unpool(x, indices, 3, kernel_size, stride, padding, output_size, duplicates, layout, out)
