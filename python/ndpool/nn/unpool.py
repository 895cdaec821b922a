"""Layers that undo max pooling, named and called as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndpool._docs import shared
from ndpool.nn._base import FunctionLayer
from ndpool.nn._checks import lengths

if TYPE_CHECKING:
    from ndpool._types import Duplicates, Ints, Layout


class Unpool(FunctionLayer):
    """What `MaxUnpool1d` to `MaxUnpool3d` share."""

    _shown = ("kernel_size", "stride", "padding")
    _per_axis = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        *,
        duplicates: Duplicates = "last",
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(kernel_size=kernel_size, stride=stride, padding=padding, duplicates=duplicates, layout=layout)

    def forward(self, x: Any, indices: Any, output_size: Ints | None = None) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            The values.
        indices : array_like of int
            Where they came from, as the pooling layer returned them.
        output_size : sequence of int, optional
            The result's spatial shape, or its whole shape.

        Returns
        -------
        array
            The values at their places, 0 elsewhere.
        """
        return self._call(x, indices=indices, output_size=output_size)

    def output_shape(self, shape: Any, output_size: Ints | None = None) -> tuple[int, ...]:
        """Return the shape of the result for an input of the given shape, without computing it.

        Parameters
        ----------
        shape : sequence of int
            With or without a batch axis, as in `forward`.
        output_size : sequence of int, optional
            As in `forward`.

        Returns
        -------
        tuple of int
            The shape that `forward` gives.

        Raises
        ------
        TypeError
            If the shape is no sequence of ints.
        ValueError
            If `forward` would refuse an array of this shape.
        """
        return self._batched_shape(lengths(shape), output_size=output_size)

    def _empty_result(self, shape: tuple[int, ...], **inputs: Any) -> tuple[int, ...]:
        return super()._empty_result(shape, indices=np.broadcast_to(np.int64(0), shape), **inputs)


@shared
class MaxUnpool1d(Unpool):
    """Put each value back where max pooling over one spatial axis found it: `ndpool.max_unpool1d`.

    Parameters
    ----------
    kernel_size : int or sequence of int
        Cells of a window of the pooling that is undone, along each spatial axis.
    stride : int or sequence of int, optional
        Cells from one window to the next; the kernel size if not given.
    padding : int or sequence of int
        Cells before and after each axis.
    <duplicates>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> pool, unpool = nn.MaxPool1d(2, return_indices=True), nn.MaxUnpool1d(2)
    >>> values, indices = pool(np.array([[[1.0, 3.0, 2.0, 5.0]]]))
    >>> unpool(values, indices)
    array([[[0., 3., 0., 5.]]])
    >>> unpool.output_shape((8, 3, 4))
    (8, 3, 8)
    """

    function = "max_unpool1d"
    rank = 1


@shared
class MaxUnpool2d(Unpool):
    """Put each value back where max pooling over two spatial axes found it: `ndpool.max_unpool2d`.

    Parameters
    ----------
    kernel_size : int or sequence of int
        Cells of a window of the pooling that is undone, along each spatial axis.
    stride : int or sequence of int, optional
        Cells from one window to the next; the kernel size if not given.
    padding : int or sequence of int
        Cells before and after each axis.
    <duplicates>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    >>> values, indices = pool(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> unpool(values, indices)
    array([[[[0., 0.],
             [0., 4.]]]])
    >>> unpool.output_shape((8, 3, 4, 4))
    (8, 3, 8, 8)
    """

    function = "max_unpool2d"
    rank = 2


@shared
class MaxUnpool3d(Unpool):
    """Put each value back where max pooling over three spatial axes found it: `ndpool.max_unpool3d`.

    Parameters
    ----------
    kernel_size : int or sequence of int
        Cells of a window of the pooling that is undone, along each spatial axis.
    stride : int or sequence of int, optional
        Cells from one window to the next; the kernel size if not given.
    padding : int or sequence of int
        Cells before and after each axis.
    <duplicates>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> pool, unpool = nn.MaxPool3d(2, return_indices=True), nn.MaxUnpool3d(2)
    >>> values, indices = pool(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    >>> unpool(values, indices)[0, 0, 1]
    array([[0., 0.],
           [0., 7.]])
    >>> unpool.output_shape((8, 3, 4, 4, 4))
    (8, 3, 8, 8, 8)
    """

    function = "max_unpool3d"
    rank = 3
