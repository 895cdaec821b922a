"""Layers whose result has a given size: adaptive and fractional pooling, named and called as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ndpool._docs import shared
from ndpool.nn._base import FunctionLayer, PlainLayer
from ndpool.nn._checks import Check, optional, sizes

if TYPE_CHECKING:
    from ndpool._types import Bins, Ints, Layout, Ratios, Rng


class AdaptiveAveragePool(PlainLayer):
    """What `AdaptiveAvgPool1d` to `AdaptiveAvgPool3d` share."""

    _shown = ("output_size",)

    def __init__(self, output_size: Bins, *, layout: Layout = "channels_first") -> None:
        super().__init__(output_size=output_size, layout=layout)


class AdaptiveExtremePool(PlainLayer):
    """What `AdaptiveMaxPool1d` to `AdaptiveMaxPool3d` share."""

    _shown = ("output_size",)

    def __init__(self, output_size: Bins, return_indices: bool = False, *, layout: Layout = "channels_first") -> None:
        super().__init__(output_size=output_size, return_indices=return_indices, layout=layout)


class FractionalPool(FunctionLayer):
    """What `FractionalMaxPool2d` and `FractionalMaxPool3d` share."""

    _shown = ("kernel_size",)
    _checks: ClassVar[dict[str, Check]] = {"output_size": optional(sizes)}

    rank: ClassVar[int]
    output_ratio: float | tuple[float, ...] | None

    def __init__(
        self,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: Ratios | None = None,
        return_indices: bool = False,
        *,
        rng: Rng = None,
        layout: Layout = "channels_first",
    ) -> None:
        if (output_size is None) == (output_ratio is None):
            raise ValueError("output_size: give it, or output_ratio, and not both")
        super().__init__(
            kernel_size=kernel_size,
            output_size=output_size,
            output_ratio=output_ratio,
            return_indices=return_indices,
            rng=rng,
            layout=layout,
        )

    def _try_options(self) -> None:
        if self.output_ratio is not None:
            long = (2**20,) * self.rank  # so that small ratios give a window
            self._try(0, 1, *long, kernel_size=1, output_ratio=self.output_ratio)

    def forward(self, x: Any, samples: Any = None) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            The input.
        samples : array_like of float, optional
            Where the windows start, as in the function; drawn from `rng` if not given.

        Returns
        -------
        values : array
            The largest value of each window.
        indices : array of int64
            Only with `return_indices`.
        """
        return self._call(x, samples=samples)


@shared
class AdaptiveAvgPool1d(AdaptiveAveragePool):
    """Average each of a given number of bins over one spatial axis: `ndpool.adaptive_avg_pool1d`.

    Parameters
    ----------
    <output_size>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptiveAvgPool1d(3)
    >>> layer(np.arange(6.0).reshape(1, 1, 6))
    array([[[0.5, 2.5, 4.5]]])
    >>> layer.output_shape((8, 3, 9))
    (8, 3, 3)
    """

    function = "adaptive_avg_pool1d"
    rank = 1


@shared
class AdaptiveAvgPool2d(AdaptiveAveragePool):
    """Average each of a given number of bins over two spatial axes: `ndpool.adaptive_avg_pool2d`.

    Parameters
    ----------
    <output_size>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptiveAvgPool2d(3)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  3.5,  4.5],
             [ 6.5,  7.5,  8.5],
             [10.5, 11.5, 12.5]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 3, 3)
    """

    function = "adaptive_avg_pool2d"
    rank = 2


@shared
class AdaptiveAvgPool3d(AdaptiveAveragePool):
    """Average each of a given number of bins over three spatial axes: `ndpool.adaptive_avg_pool3d`.

    Parameters
    ----------
    <output_size>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptiveAvgPool3d((1, 2, 3))
    >>> layer(np.arange(16.0).reshape(1, 1, 2, 2, 4))
    array([[[[[ 4.5,  5.5,  6.5],
              [ 8.5,  9.5, 10.5]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 1, 2, 3)
    """

    function = "adaptive_avg_pool3d"
    rank = 3


@shared
class AdaptiveMaxPool1d(AdaptiveExtremePool):
    """Take the largest value of each of a given number of bins over one spatial axis: `ndpool.adaptive_max_pool1d`.

    Parameters
    ----------
    <output_size>
    <return_indices>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptiveMaxPool1d(3)
    >>> layer(np.arange(6.0).reshape(1, 1, 6))
    array([[[1., 3., 5.]]])
    >>> layer.output_shape((8, 3, 9))
    (8, 3, 3)
    """

    function = "adaptive_max_pool1d"
    rank = 1


@shared
class AdaptiveMaxPool2d(AdaptiveExtremePool):
    """Take the largest value of each of a given number of bins over two spatial axes: `ndpool.adaptive_max_pool2d`.

    Parameters
    ----------
    <output_size>
    <return_indices>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptiveMaxPool2d(3)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  6.,  7.],
             [ 9., 10., 11.],
             [13., 14., 15.]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 3, 3)
    """

    function = "adaptive_max_pool2d"
    rank = 2


@shared
class AdaptiveMaxPool3d(AdaptiveExtremePool):
    """Take the largest value of each of a given number of bins over three spatial axes: `ndpool.adaptive_max_pool3d`.

    Parameters
    ----------
    <output_size>
    <return_indices>
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptiveMaxPool3d((1, 2, 3))
    >>> layer(np.arange(16.0).reshape(1, 1, 2, 2, 4))
    array([[[[[ 9., 10., 11.],
              [13., 14., 15.]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 1, 2, 3)
    """

    function = "adaptive_max_pool3d"
    rank = 3


@shared
class FractionalMaxPool2d(FractionalPool):
    """Take the largest value of windows placed at random, over two spatial axes: `ndpool.fractional_max_pool2d`.

    Parameters
    ----------
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    <fractional>
    <return_indices>
    rng : int or numpy.random.Generator, optional
        Where the windows are drawn from: a seed, which gives the same ones at every pass, or a generator.
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.FractionalMaxPool2d(2, output_size=3, rng=0)
    >>> layer(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  6.,  7.],
             [ 9., 10., 11.],
             [13., 14., 15.]]]])
    >>> layer.output_shape((8, 3, 9, 9))
    (8, 3, 3, 3)
    """

    function = "fractional_max_pool2d"
    rank = 2


@shared
class FractionalMaxPool3d(FractionalPool):
    """Take the largest value of windows placed at random, over three spatial axes: `ndpool.fractional_max_pool3d`.

    Parameters
    ----------
    kernel_size : int or sequence of int
        Cells of a window along each spatial axis.
    <fractional>
    <return_indices>
    rng : int or numpy.random.Generator, optional
        Where the windows are drawn from: a seed, which gives the same ones at every pass, or a generator.
    <layout>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.FractionalMaxPool3d(2, output_size=(1, 2, 3), rng=0)
    >>> layer(np.arange(48.0).reshape(1, 1, 3, 4, 4))
    array([[[[[37., 38., 39.],
              [45., 46., 47.]]]]])
    >>> layer.output_shape((8, 3, 9, 9, 9))
    (8, 3, 1, 2, 3)
    """

    function = "fractional_max_pool3d"
    rank = 3
