"""Pooling that keeps shifts: blurred before it is sampled, or sampled where the image says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from typing import Literal, SupportsIndex

    from ndpool._types import Border, Ints, Layout


@shared
def blur_pool2d(
    x: Any,
    filter_size: SupportsIndex = 3,
    stride: Ints = 2,
    padding: Border = "reflect",
    *,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Blur each channel by a binomial filter, then keep every `stride`-th row and column.

    Parameters
    ----------
    <x>
    <blur>
    <layout>
    <out>

    Returns
    -------
    ndarray
        Of spatial lengths `ceil(L / stride)`. Floats keep their dtype; integers and bool give float64. Sums are in
        float64, and an image of one value of up to 4e304 gives that value. In the memory order of `x`.

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.zeros((1, 4, 4))
    >>> x[0, 2, 1] = 16
    >>> ndpool.blur_pool2d(x)
    array([[[0., 0.],
            [4., 2.]]])
    >>> ndpool.blur_pool2d(np.full((1, 5, 7), 0.1), 6, stride=(2, 3))
    array([[[0.1, 0.1, 0.1],
            [0.1, 0.1, 0.1],
            [0.1, 0.1, 0.1]]])
    """
    return _ndpool.blur_pool(x, filter_size, stride, padding, layout, out)


@shared
def max_blur_pool2d(
    x: Any,
    kernel_size: Ints,
    filter_size: SupportsIndex = 3,
    stride: Ints = 2,
    *,
    padding: Border = "reflect",
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the maximum of every window, at stride 1 and without padding, then `blur_pool2d` of the maxima.

    Parameters
    ----------
    <x>
    kernel_size : int or sequence of int
        Cells of a window of the maximum along each spatial axis.
    <blur>
    <layout>
    <out>

    Returns
    -------
    ndarray
        Of spatial lengths `ceil((L - kernel_size + 1) / stride)`. Floats keep their dtype; integers and bool give
        float64. In the memory order of `x`.

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.zeros((1, 5, 5))
    >>> x[0, 2, 1] = 16
    >>> ndpool.max_blur_pool2d(x, 2)
    array([[[ 8.,  2.],
            [12.,  3.]]])
    """
    return _ndpool.max_blur_pool(x, kernel_size, filter_size, stride, padding, layout, out)


@shared
def aps_pool2d(
    x: Any,
    mode: Literal["max", "avg"] | None = "max",
    stride: Ints = 2,
    *,
    return_phase: bool = False,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Pool every window at stride 1, then keep those rows and columns, `stride` apart, that hold the most.

    There are `stride * stride` ways to keep every `stride`-th row and column. Each sample takes the one with the
    largest sum of squares over all channels; of equal ones, the first in C order. A sample that is shifted round
    therefore gives a result that is shifted round.

    Parameters
    ----------
    <x>
    mode : {"max", "avg"} or None
        What windows of `stride` cells, which go round at the border, are reduced to before they are sampled. With None
        `x` itself is sampled.
    stride : int or sequence of int
        Rows and columns from one that is kept to the next; each must divide its axis.
    return_phase : bool
        Return the first row and column that were kept too.
    <layout>
    out : ndarray, optional
        Written and returned; of the result's shape and dtype, sharing no memory with `x`. With `return_phase` a pair.

    Returns
    -------
    values : ndarray
        Of spatial lengths `L / stride`. Of the dtype of `x`; averages of integers and bool are float64. In the memory
        order of `x`.
    phase : ndarray of int64
        Only with `return_phase`: shape `(N, 2)`, or `(2,)` without a batch axis.

    Raises
    ------
    <errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2], [3, 0, 0, 0]]])
    >>> ndpool.aps_pool2d(x, None, return_phase=True)
    (array([[[0, 0],
            [3, 0]]]), array([1, 0]))
    >>> y, shifted = ndpool.aps_pool2d(x), ndpool.aps_pool2d(np.roll(x, 1, axis=2))
    >>> bool(np.array_equal(shifted, y) or np.array_equal(shifted, np.roll(y, 1, axis=2)))
    True
    """
    return _ndpool.aps_pool(x, mode, stride, return_phase, layout, out)
