"""Layers of regions: spatial pyramids, and boxes of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, SupportsIndex

import numpy as np

from ndpool._docs import shared
from ndpool.nn._base import FunctionLayer, PlainLayer
from ndpool.nn._checks import Check, index, lengths, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndpool._types import Ints, Layout


@shared
class SpatialPyramidPool(PlainLayer):
    """Pool an image to several numbers of bins, one after the other in one vector: `ndpool.spatial_pyramid_pool`.

    Parameters
    ----------
    levels : sequence of int
        Bins along each axis, for each level.
    mode : {"max", "avg"}
        What a bin is reduced to.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.SpatialPyramidPool([1, 2, 4])
    >>> layer
    SpatialPyramidPool(levels=(1, 2, 4), mode='max')
    >>> layer.output_shape((8, 64, 13, 13))
    (8, 1344)
    """

    function = "spatial_pyramid_pool"
    rank = 2
    _shown = ("levels", "mode")
    _checks: ClassVar[dict[str, Check]] = {"mode": one_of("max", "avg")}

    def __init__(
        self,
        levels: Sequence[SupportsIndex],
        mode: Literal["max", "avg"] = "max",
        *,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(levels=levels, mode=mode, layout=layout)


NO_BOXES = np.zeros((0, 5), np.float32)


class BoxLayer(FunctionLayer):
    """What layers share that pool boxes of an image."""

    _shown: ClassVar[tuple[str, ...]] = ("output_size", "spatial_scale")
    _checks: ClassVar[dict[str, Check]] = {"mode": one_of("avg", "max")}

    def forward(self, x: Any, boxes: Any) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            Images `(N, C, H, W)`, or `(N, H, W, C)`.
        boxes : array_like, or sequence of these
            `(K, 5)`: image, x1, y1, x2, y2; or for each image `(K, 4)`.

        Returns
        -------
        array
            `(K, C', height, width)`, or `(K, height, width, C')`.
        """
        return self._call(x, boxes=boxes)

    def output_shape(self, shape: Any, num_boxes: SupportsIndex | None = None) -> tuple[int, ...]:
        """Return the shape of the result for images of the given shape, without computing it.

        Parameters
        ----------
        shape : sequence of int
            Shape of the images.
        num_boxes : int
            How many boxes there are.

        Returns
        -------
        tuple of int
            The shape that `forward` gives.

        Raises
        ------
        TypeError
            If the shape is no sequence of ints, or the number of boxes no int.
        ValueError
            If `forward` would refuse images of this shape.
        """
        count = index("num_boxes", num_boxes)
        return (count, *self._shape_without_batch((0, *lengths(shape)[1:]), boxes=NO_BOXES))

    def _try_options(self) -> None:
        options = self._options() | {"output_size": 1, "layout": "channels_first"}
        self._try(0, 1, 1, 1, boxes=NO_BOXES, **options)


@shared
class RoIPool(BoxLayer):
    """Take the largest cell of each bin of each box: `ndpool.roi_pool`.

    Parameters
    ----------
    output_size : int or (int, int)
        Bins of a box, by height and width.
    spatial_scale : float
        What coordinates of boxes are multiplied with.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.RoIPool(7, spatial_scale=0.25)
    >>> layer
    RoIPool(output_size=7, spatial_scale=0.25)
    >>> layer.output_shape((2, 64, 50, 50), num_boxes=10)
    (10, 64, 7, 7)
    """

    function = "roi_pool"

    def __init__(self, output_size: Ints, spatial_scale: float = 1.0, *, layout: Layout = "channels_first") -> None:
        super().__init__(output_size=output_size, spatial_scale=spatial_scale, layout=layout)


@shared
class RoIAlign(BoxLayer):
    """Pool each bin of each box by interpolated samples: `ndpool.roi_align`.

    Parameters
    ----------
    output_size : int or (int, int)
        Bins of a box, by height and width.
    spatial_scale : float
        What coordinates of boxes are multiplied with.
    sampling_ratio : int
        Samples of a bin along each axis; as many as there are cells if not above 0.
    aligned : bool
        Shift coordinates by half a cell.
    mode : {"avg", "max"}
        What the samples of a bin are reduced to.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.RoIAlign((7, 5), 0.25, sampling_ratio=2)
    >>> layer
    RoIAlign(output_size=(7, 5), spatial_scale=0.25, sampling_ratio=2)
    >>> layer.output_shape((2, 64, 50, 50), num_boxes=10)
    (10, 64, 7, 5)
    """

    function = "roi_align"
    _shown = ("output_size", "spatial_scale", "sampling_ratio")

    def __init__(
        self,
        output_size: Ints,
        spatial_scale: float = 1.0,
        sampling_ratio: SupportsIndex = -1,
        aligned: bool = False,
        mode: Literal["avg", "max"] = "avg",
        *,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(
            output_size=output_size,
            spatial_scale=spatial_scale,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
            mode=mode,
            layout=layout,
        )


@shared
class PSRoIPool(BoxLayer):
    """Average the bins of each box, each in channels of its own: `ndpool.ps_roi_pool`.

    Parameters
    ----------
    output_size : int or (int, int)
        Bins of a box, by height and width; their product divides the number of channels.
    spatial_scale : float
        What coordinates of boxes are multiplied with.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.PSRoIPool(3, spatial_scale=0.25)
    >>> layer
    PSRoIPool(output_size=3, spatial_scale=0.25)
    >>> layer.output_shape((2, 18, 50, 50), num_boxes=10)
    (10, 2, 3, 3)
    """

    function = "ps_roi_pool"

    def __init__(self, output_size: Ints, spatial_scale: float = 1.0, *, layout: Layout = "channels_first") -> None:
        super().__init__(output_size=output_size, spatial_scale=spatial_scale, layout=layout)


@shared
class PSRoIAlign(BoxLayer):
    """Pool the bins of each box by interpolated samples, each bin in channels of its own: `ndpool.ps_roi_align`.

    Parameters
    ----------
    output_size : int or (int, int)
        Bins of a box, by height and width; their product divides the number of channels.
    spatial_scale : float
        What coordinates of boxes are multiplied with.
    sampling_ratio : int
        Samples of a bin along each axis; as many as there are cells if not above 0.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.PSRoIAlign(3, spatial_scale=0.25, sampling_ratio=2)
    >>> layer
    PSRoIAlign(output_size=3, spatial_scale=0.25, sampling_ratio=2)
    >>> layer.output_shape((2, 18, 50, 50), num_boxes=10)
    (10, 2, 3, 3)
    """

    function = "ps_roi_align"
    _shown = ("output_size", "spatial_scale", "sampling_ratio")

    def __init__(
        self,
        output_size: Ints,
        spatial_scale: float = 1.0,
        sampling_ratio: SupportsIndex = -1,
        *,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(
            output_size=output_size, spatial_scale=spatial_scale, sampling_ratio=sampling_ratio, layout=layout
        )
