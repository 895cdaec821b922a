"""Adaptive pooling, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import Bins, Layout


@shared
def adaptive_avg_pool1d(
    x: Any,
    output_size: Bins,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each of a given number of bins over one spatial axis.

    Parameters
    ----------
    <x>
    <output_size>
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
    >>> ndpool.adaptive_avg_pool1d(np.arange(6).reshape(1, 1, 6), 4)
    array([[[0.5, 1.5, 3.5, 4.5]]])
    """
    return _ndpool.adaptive_pool(x, 1, False, output_size, False, layout, out)


@shared
def adaptive_avg_pool2d(
    x: Any,
    output_size: Bins,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each of a given number of bins over two spatial axes.

    Parameters
    ----------
    <x>
    <output_size>
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
    >>> ndpool.adaptive_avg_pool2d(np.arange(16).reshape(1, 1, 4, 4), 3)
    array([[[[ 2.5,  3.5,  4.5],
             [ 6.5,  7.5,  8.5],
             [10.5, 11.5, 12.5]]]])
    """
    return _ndpool.adaptive_pool(x, 2, False, output_size, False, layout, out)


@shared
def adaptive_avg_pool3d(
    x: Any,
    output_size: Bins,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each of a given number of bins over three spatial axes.

    Parameters
    ----------
    <x>
    <output_size>
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
    >>> ndpool.adaptive_avg_pool3d(np.arange(16).reshape(1, 1, 2, 2, 4), (1, 2, 3))
    array([[[[[ 4.5,  5.5,  6.5],
              [ 8.5,  9.5, 10.5]]]]])
    """
    return _ndpool.adaptive_pool(x, 3, False, output_size, False, layout, out)


@shared
def adaptive_max_pool1d(
    x: Any,
    output_size: Bins,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each of a given number of bins over one spatial axis.

    Parameters
    ----------
    <x>
    <output_size>
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
    >>> ndpool.adaptive_max_pool1d(np.arange(6).reshape(1, 1, 6), 4)
    array([[[1, 2, 4, 5]]])
    """
    return _ndpool.adaptive_pool(x, 1, True, output_size, return_indices, layout, out)


@shared
def adaptive_max_pool2d(
    x: Any,
    output_size: Bins,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each of a given number of bins over two spatial axes.

    Parameters
    ----------
    <x>
    <output_size>
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
    >>> ndpool.adaptive_max_pool2d(np.arange(16).reshape(1, 1, 4, 4), 3)
    array([[[[ 5,  6,  7],
             [ 9, 10, 11],
             [13, 14, 15]]]])
    """
    return _ndpool.adaptive_pool(x, 2, True, output_size, return_indices, layout, out)


@shared
def adaptive_max_pool3d(
    x: Any,
    output_size: Bins,
    return_indices: bool = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each of a given number of bins over three spatial axes.

    Parameters
    ----------
    <x>
    <output_size>
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
    >>> ndpool.adaptive_max_pool3d(np.arange(16).reshape(1, 1, 2, 2, 4), (1, 2, 3))
    array([[[[[ 9, 10, 11],
              [13, 14, 15]]]]])
    """
    return _ndpool.adaptive_pool(x, 3, True, output_size, return_indices, layout, out)
