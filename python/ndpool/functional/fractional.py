"""Fractional max pooling, named as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import Ints, Layout, Ratios, Rng


@shared
def fractional_max_pool2d(
    x: Any,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    *,
    samples: Any = None,
    rng: Rng = None,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each of a given number of windows, placed at random, over two spatial axes.

    Parameters
    ----------
    <x>
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    <fractional>
    <return_indices>
    <samples>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <fractional_errors>

    Notes
    -----
    On an axis of `L` cells with sample `u`, window `i` of `O` starts at `int((i + u) * a) - int(u * a)`, where
    `a = (L - k) / (O - 1)`, and the last one at `L - k`: with the same samples, the windows are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(25).reshape(1, 1, 5, 5)
    >>> ndpool.fractional_max_pool2d(x, 2, 3, samples=[[[0.0, 0.5]]])
    array([[[[ 6,  7,  9],
             [16, 17, 19],
             [21, 22, 24]]]])
    >>> ndpool.fractional_max_pool2d(x, 2, output_ratio=0.5, rng=1)
    array([[[[ 6,  9],
             [21, 24]]]])
    """
    return _ndpool.fractional_max_pool(
        x, 2, kernel_size, output_size, output_ratio, return_indices, samples, rng, layout, out
    )


@shared
def fractional_max_pool3d(
    x: Any,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    *,
    samples: Any = None,
    rng: Rng = None,
    layout: Layout = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest value of each of a given number of windows, placed at random, over three spatial axes.

    Parameters
    ----------
    <x>
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    <fractional>
    <return_indices>
    <samples>
    <layout>
    <out>

    Returns
    -------
    <extreme>

    Raises
    ------
    <fractional_errors>

    Notes
    -----
    On an axis of `L` cells with sample `u`, window `i` of `O` starts at `int((i + u) * a) - int(u * a)`, where
    `a = (L - k) / (O - 1)`, and the last one at `L - k`: with the same samples, the windows are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(48).reshape(1, 1, 3, 4, 4)
    >>> ndpool.fractional_max_pool3d(x, 2, (1, 2, 3), samples=[[[0.0, 0.0, 0.0]]])
    array([[[[[37, 38, 39],
              [45, 46, 47]]]]])
    """
    return _ndpool.fractional_max_pool(
        x, 3, kernel_size, output_size, output_ratio, return_indices, samples, rng, layout, out
    )
