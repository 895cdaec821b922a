"""Layers of windows: max, min, average and power pooling, named and called as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ndpool._docs import shared
from ndpool.nn._base import PlainLayer

if TYPE_CHECKING:
    import numpy as np

    from ndpool._types import DType, Ints, Layout, Padding


class ExtremePool(PlainLayer):
    """What `MaxPool1d` to `MinPool3d` share."""

    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            return_indices=return_indices,
            ceil_mode=ceil_mode,
            layout=layout,
        )


class AveragePool(PlainLayer):
    """What `AvgPool1d` to `AvgPool3d` share."""

    _shown = ("kernel_size", "stride", "padding")

    rank: ClassVar[int]
    dtype: np.dtype[Any] | None

    def __init__(
        self,
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
    ) -> None:
        super().__init__(
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
            dilation=dilation,
            dtype=dtype,
            layout=layout,
        )

    def _try_options(self) -> None:
        if self.dtype is not None and self.dtype.kind not in "iu":  # which are for integers only, and all fine
            self._try(0, *(1,) * (self.rank + 1), kernel_size=1, dtype=self.dtype)


class PowerPool(PlainLayer):
    """What `LPPool1d` to `LPPool3d` share."""

    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    rank: ClassVar[int]
    norm_type: float

    def __init__(
        self,
        norm_type: float,
        kernel_size: Ints,
        stride: Ints | None = None,
        ceil_mode: bool = False,
        *,
        padding: Padding = 0,
        dilation: Ints = 1,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(
            norm_type=norm_type,
            kernel_size=kernel_size,
            stride=stride,
            ceil_mode=ceil_mode,
            padding=padding,
            dilation=dilation,
            layout=layout,
        )

    def _try_options(self) -> None:
        self._try(0, *(1,) * (self.rank + 1), kernel_size=1, norm_type=self.norm_type)


@shared
class MaxPool1d(ExtremePool):
    """Take the largest value of each window over one spatial axis: `ndpool.max_pool1d`.

    Parameters
    ----------
    <geometry>
    <dilation>
    <return_indices>
    <ceil_mode>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.MaxPool1d(2)
    >>> layer(np.arange(6.0).reshape(1, 1, 6))
    array([[[1., 3., 5.]]])
    >>> layer.output_shape((8, 3, 9))
    (8, 3, 4)
    """

    function = "max_pool1d"
    rank = 1


@shared
class MaxPool2d(ExtremePool):
    """Take the largest value of each window over two spatial axes: `ndpool.max_pool2d`.

    Parameters
    ----------
    <geometry>
    <dilation>
    <return_indices>
    <ceil_mode>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.MaxPool2d(2)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 4, 4)
    """

    function = "max_pool2d"
    rank = 2


@shared
class MaxPool3d(ExtremePool):
    """Take the largest value of each window over three spatial axes: `ndpool.max_pool3d`.

    Parameters
    ----------
    <geometry>
    <dilation>
    <return_indices>
    <ceil_mode>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.MaxPool3d(2)
    >>> layer(np.arange(16.0).reshape(1, 1, 2, 2, 4))
    array([[[[[13., 15.]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 4, 4, 4)
    """

    function = "max_pool3d"
    rank = 3


@shared
class MinPool1d(ExtremePool):
    """Take the smallest value of each window over one spatial axis: `ndpool.min_pool1d`.

    Parameters
    ----------
    <geometry>
    <dilation>
    <return_indices>
    <ceil_mode>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.MinPool1d(2)
    >>> layer(np.arange(6.0).reshape(1, 1, 6))
    array([[[0., 2., 4.]]])
    >>> layer.output_shape((8, 3, 9))
    (8, 3, 4)
    """

    function = "min_pool1d"
    rank = 1


@shared
class MinPool2d(ExtremePool):
    """Take the smallest value of each window over two spatial axes: `ndpool.min_pool2d`.

    Parameters
    ----------
    <geometry>
    <dilation>
    <return_indices>
    <ceil_mode>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.MinPool2d(2)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 0.,  2.],
             [ 8., 10.]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 4, 4)
    """

    function = "min_pool2d"
    rank = 2


@shared
class MinPool3d(ExtremePool):
    """Take the smallest value of each window over three spatial axes: `ndpool.min_pool3d`.

    Parameters
    ----------
    <geometry>
    <dilation>
    <return_indices>
    <ceil_mode>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.MinPool3d(2)
    >>> layer(np.arange(16.0).reshape(1, 1, 2, 2, 4))
    array([[[[[0., 2.]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 4, 4, 4)
    """

    function = "min_pool3d"
    rank = 3


@shared
class AvgPool1d(AveragePool):
    """Average each window over one spatial axis: `ndpool.avg_pool1d`.

    Parameters
    ----------
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

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AvgPool1d(2)
    >>> layer(np.arange(6.0).reshape(1, 1, 6))
    array([[[0.5, 2.5, 4.5]]])
    >>> layer.output_shape((8, 3, 9))
    (8, 3, 4)
    """

    function = "avg_pool1d"
    rank = 1
    _per_axis = ("kernel_size", "stride", "padding")


@shared
class AvgPool2d(AveragePool):
    """Average each window over two spatial axes: `ndpool.avg_pool2d`.

    Parameters
    ----------
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

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AvgPool2d(2)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 4, 4)
    """

    function = "avg_pool2d"
    rank = 2


@shared
class AvgPool3d(AveragePool):
    """Average each window over three spatial axes: `ndpool.avg_pool3d`.

    Parameters
    ----------
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

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AvgPool3d(2)
    >>> layer(np.arange(16.0).reshape(1, 1, 2, 2, 4))
    array([[[[[6.5, 8.5]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 4, 4, 4)
    """

    function = "avg_pool3d"
    rank = 3


@shared
class LPPool1d(PowerPool):
    """Take the p-norm of each window over one spatial axis: `ndpool.lp_pool1d`.

    Parameters
    ----------
    norm_type : float
        The exponent p, above 0; inf gives the largest `|x|`.
    <geometry>
    <ceil_mode>
    <dilation>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.LPPool1d(float("inf"), 2)
    >>> layer(np.arange(6.0).reshape(1, 1, 6))
    array([[[1., 3., 5.]]])
    >>> layer.output_shape((8, 3, 9))
    (8, 3, 4)
    """

    function = "lp_pool1d"
    rank = 1


@shared
class LPPool2d(PowerPool):
    """Take the p-norm of each window over two spatial axes: `ndpool.lp_pool2d`.

    Parameters
    ----------
    norm_type : float
        The exponent p, above 0; inf gives the largest `|x|`.
    <geometry>
    <ceil_mode>
    <dilation>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.LPPool2d(float("inf"), 2)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 4, 4)
    """

    function = "lp_pool2d"
    rank = 2


@shared
class LPPool3d(PowerPool):
    """Take the p-norm of each window over three spatial axes: `ndpool.lp_pool3d`.

    Parameters
    ----------
    norm_type : float
        The exponent p, above 0; inf gives the largest `|x|`.
    <geometry>
    <ceil_mode>
    <dilation>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.LPPool3d(float("inf"), 2)
    >>> layer(np.arange(16.0).reshape(1, 1, 2, 2, 4))
    array([[[[[13., 15.]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 4, 4, 4)
    """

    function = "lp_pool3d"
    rank = 3
