"""Pooling of regions: boxes of an image, each cut into bins, named as in torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndpool._types import Ints, Layout


@shared
def roi_pool(
    x: Any,
    boxes: Any,
    output_size: Ints,
    spatial_scale: SupportsFloat = 1.0,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each bin of each box, corners rounded to cells.

    Parameters
    ----------
    <images>
    <boxes>
    <region_bins>
    <spatial_scale>
    <layout>
    <region_out>

    Returns
    -------
    ndarray
        Of shape `(K, C, *output_size)`, or `(K, *output_size, C)`, and of the dtype of `x`. The first NaN of a bin
        wins, and a bin without a cell is 0.

    Raises
    ------
    <region_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(36).reshape(1, 1, 6, 6)
    >>> ndpool.roi_pool(x, [[0, 1, 1, 4, 4]], 2)
    array([[[[14, 16],
             [26, 28]]]])
    """
    return _ndpool.region_pool(x, boxes, output_size, spatial_scale, False, layout, out)


@shared
def roi_align(
    x: Any,
    boxes: Any,
    output_size: Ints,
    spatial_scale: SupportsFloat = 1.0,
    sampling_ratio: SupportsIndex = -1,
    aligned: bool = False,
    mode: Literal["avg", "max"] = "avg",
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average points in each bin of each box, interpolated between cells.

    Parameters
    ----------
    <images>
    <boxes>
    <region_bins>
    <spatial_scale>
    <sampling_ratio>
    aligned : bool
        Whether the centre of the first cell is at a half, as in images (`half_pixel` in ONNX). Otherwise boxes are
        half a cell off, and enlarged to at least one cell.
    mode : {"avg", "max"}
        The mean of the points, or as in ONNX the largest product of a cell and its weight in a point.
    <layout>
    <region_out>

    Returns
    -------
    <aligned_regions>

    Raises
    ------
    <region_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(36.0).reshape(1, 1, 6, 6)
    >>> ndpool.roi_align(x, [[0, 1, 1, 4, 4]], 2, aligned=True)
    array([[[[ 8.75, 10.25],
             [17.75, 19.25]]]])
    """
    return _ndpool.region_align(x, boxes, output_size, spatial_scale, sampling_ratio, aligned, mode, False, layout, out)


@shared
def ps_roi_pool(
    x: Any,
    boxes: Any,
    output_size: Ints,
    spatial_scale: SupportsFloat = 1.0,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average each bin of each box, corners rounded to cells, each bin in channels of its own.

    Parameters
    ----------
    <sensitive_x>
    <boxes>
    <sensitive_bins>
    <spatial_scale>
    <layout>
    <region_out>

    Returns
    -------
    ndarray
        Of shape `(K, C, *output_size)`, or `(K, *output_size, C)`. Floats keep their dtype; integers and bool give
        float64. As in torchvision the last corner is no part of a box, the last row and column of the image are no part
        of any bin, and a bin without a cell is 0.

    Raises
    ------
    <sensitive_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(4.0).reshape(1, 4, 1, 1) * np.ones((1, 4, 6, 6))
    >>> ndpool.ps_roi_pool(x, [[0, 1, 1, 4, 4]], 2)
    array([[[[0., 1.],
             [2., 3.]]]])
    """
    return _ndpool.region_pool(x, boxes, output_size, spatial_scale, True, layout, out)


@shared
def ps_roi_align(
    x: Any,
    boxes: Any,
    output_size: Ints,
    spatial_scale: SupportsFloat = 1.0,
    sampling_ratio: SupportsIndex = -1,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Average points in each bin of each box, interpolated between cells, each bin in channels of its own.

    Parameters
    ----------
    <sensitive_x>
    <boxes>
    <sensitive_bins>
    <spatial_scale>
    <sampling_ratio>
    <layout>
    <region_out>

    Returns
    -------
    <aligned_regions>

    Raises
    ------
    <sensitive_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(4.0).reshape(1, 4, 1, 1) * np.ones((1, 4, 6, 6))
    >>> ndpool.ps_roi_align(x, [[0, 1, 1, 4, 4]], 2)
    array([[[[0., 1.],
             [2., 3.]]]])
    """
    return _ndpool.region_align(x, boxes, output_size, spatial_scale, sampling_ratio, False, "avg", True, layout, out)


@shared
def spatial_pyramid_pool(
    x: Any,
    levels: Sequence[SupportsIndex],
    mode: Literal["max", "avg"] = "max",
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Pool images of any size to a vector of features of one length: adaptive bins of several numbers, side by side.

    Parameters
    ----------
    x : array_like
        Of shape `(N, C, H, W)` or `(C, H, W)`; with `layout="channels_last"` `(N, H, W, C)` or `(H, W, C)`.
    levels : sequence of int
        Bins along height and width of each of at most 64 levels. Bins are those of `adaptive_max_pool2d`.
    mode : {"max", "avg"}
        The largest cell of a bin, or the mean.
    layout : {"channels_first", "channels_last"}
        Where the channel axis of `x` is.
    out : ndarray, optional
        Written and returned; of the result's shape and dtype, sharing no memory with `x`.

    Returns
    -------
    ndarray
        Of shape `(N, C * sum(l * l))`, or without a batch `(C * sum(l * l),)`: one level after the other, in each
        channel by channel, and in each bin by bin, whatever the layout. Maxima have the dtype of `x`; means of integers
        and bool are float64.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If an argument has a wrong value, or a spatial axis is empty.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(16).reshape(1, 1, 4, 4)
    >>> ndpool.spatial_pyramid_pool(x, (1, 2))
    array([[15,  5,  7, 13, 15]])
    """
    return _ndpool.spatial_pyramid_pool(x, levels, mode, layout, out)
