"""Functions for any axes: `pool`, `global_pool`, `output_shape`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import DType, Ints, Layout, Padding

Mode = Literal["max", "min", "sum", "avg", "count"]


def pool(
    x: Any,
    window: Ints,
    mode: Mode = "max",
    *,
    axis: Ints | None = None,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    nan_policy: Literal["propagate"] = "propagate",
    min_count: SupportsIndex = 1,
    fill_value: float | None = None,
    return_indices: bool = False,
    dtype: DType = None,
    out: Any = None,
) -> Any:
    """Pool any axes of an array.

    Parameters
    ----------
    x : array_like
        Any shape, any strides, any supported dtype.
    window : int or sequence of int
        Cells of a window along each pooled axis.
    mode : {"max", "min", "sum", "avg", "count"}
        What a window is reduced to; `"count"` is the number of its cells that are data.
    axis : int or sequence of int, optional
        The axes to pool; if not given, the last ones, as many as `window` has numbers, or all for an int.
    stride, padding, dilation, ceil_mode
        As in `max_pool2d`, one value or one for each pooled axis.
    count_include_pad : bool
        Count padding in the divisor. Mode `"avg"` only.
    nan_policy : {"propagate"}
        A NaN in a window is its maximum, minimum, sum and average.
    min_count : int
        Windows with fewer cells of data give `fill_value`.
    fill_value : scalar, optional
        Result of windows with fewer than `min_count` cells of data (their index is -1). Without it a window that
        holds no data is an error, and one with too few gives NaN, or is an error if the dtype has no NaN.
    return_indices : bool
        Return the place of each value too, flat within the pooled axes. Modes `"max"` and `"min"` only.
    dtype : dtype, optional
        Dtype of the result. Modes `"sum"` and `"avg"` only.
    out : ndarray or (ndarray, ndarray), optional
        Written and returned.

    Returns
    -------
    ndarray or (ndarray, ndarray of int64)
        Max and min have the dtype of `x`; sums are of floats as `x`, else int64 or uint64, modulo 2**64; averages
        of floats as `x`, else float64; counts int64.

    Raises
    ------
    TypeError
        If an argument has a wrong type, or is an option that the mode does not have.
    ValueError
        If an argument has a wrong value, a pooled axis is empty, or a window holds no data and there is no
        `fill_value`.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(12).reshape(3, 4)
    >>> ndpool.pool(x, (3, 2), "sum")
    array([[27, 39]])
    >>> ndpool.pool(x, 2, "avg", axis=1)
    array([[ 0.5,  2.5],
           [ 4.5,  6.5],
           [ 8.5, 10.5]])
    """
    return _ndpool.pool(
        x,
        window,
        mode,
        axis,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        nan_policy,
        min_count,
        fill_value,
        return_indices,
        dtype,
        out,
    )


@shared
def global_pool(
    x: Any,
    mode: Mode = "avg",
    *,
    layout: Layout = "channels_first",
    keepdims: bool = False,
    nan_policy: Literal["propagate"] = "propagate",
    min_count: SupportsIndex = 1,
    fill_value: float | None = None,
    return_indices: bool = False,
    dtype: DType = None,
    out: Any = None,
) -> Any:
    """Pool all spatial axes to one cell.

    Parameters
    ----------
    x : array_like
        Shape `(N, C, *spatial)`, or `(N, *spatial, C)` with `layout="channels_last"`.
    mode : {"max", "min", "sum", "avg", "count"}
        What the cells are reduced to.
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    nan_policy, min_count, fill_value
        As in `pool`.
    <return_indices>
    dtype : dtype, optional
        Dtype of the result. Modes `"sum"` and `"avg"` only.
    <out>

    Returns
    -------
    ndarray or (ndarray, ndarray of int64)
        Shape `(N, C)`; dtypes as in `pool`.

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> ndpool.global_pool(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    """
    return _ndpool.global_pool(x, mode, layout, keepdims, nan_policy, min_count, fill_value, return_indices, dtype, out)


@shared
def global_avg_pool(
    x: Any, *, layout: Layout = "channels_first", keepdims: bool = False, dtype: DType = None, out: Any = None
) -> Any:
    """Average all spatial axes: `global_pool` with mode `"avg"`.

    Parameters
    ----------
    x : array_like
        Shape `(N, C, *spatial)`, or `(N, *spatial, C)` with `layout="channels_last"`.
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    dtype : dtype, optional
        Dtype of the result.
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
    >>> ndpool.global_avg_pool(np.arange(8).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    """
    return _ndpool.global_pool(x, "avg", layout, keepdims, "propagate", 1, None, False, dtype, out)


@shared
def global_max_pool(
    x: Any,
    *,
    layout: Layout = "channels_first",
    keepdims: bool = False,
    return_indices: bool = False,
    out: Any = None,
) -> Any:
    """Take the largest value over all spatial axes: `global_pool` with mode `"max"`.

    Parameters
    ----------
    x : array_like
        Shape `(N, C, *spatial)`, or `(N, *spatial, C)` with `layout="channels_last"`.
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    <return_indices>
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
    >>> ndpool.global_max_pool(np.arange(8).reshape(1, 2, 2, 2), return_indices=True)
    (array([[3, 7]]), array([[3, 3]]))
    """
    return _ndpool.global_pool(x, "max", layout, keepdims, "propagate", 1, None, return_indices, None, out)


def output_shape(
    shape: Ints,
    window: Ints,
    *,
    axis: Ints | None = None,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """Return the shape that `pool` gives for an array of the given shape.

    Along each pooled axis there are `floor((L + lo + hi - d (k - 1) - 1) / s) + 1` windows.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    window, axis, stride, padding, dilation, ceil_mode
        As in `pool`.

    Returns
    -------
    tuple of int
        Shape of the result.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If no window fits, or a size does not fit 63 bits.

    Examples
    --------
    >>> import ndpool
    >>> ndpool.output_shape((32, 64, 112, 112), (3, 3), stride=2, padding=1)
    (32, 64, 56, 56)
    """
    return _ndpool.output_shape(shape, window, axis, stride, padding, dilation, ceil_mode)
