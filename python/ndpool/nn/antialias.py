"""Layers of anti-aliased pooling of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ndpool._docs import shared
from ndpool.nn._base import PlainLayer
from ndpool.nn._checks import Check, one_of, sizes

if TYPE_CHECKING:
    from typing import SupportsIndex

    from ndpool._types import Ints, Layout

Border = Literal["reflect", "zeros", "edge"]

_border = one_of("reflect", "zeros", "edge", "zero", "replicate")


def _mode(name: str, value: Any, rank: int | None) -> str | None:
    return None if value is None else one_of("max", "avg")(name, value, rank)


@shared
class BlurPool2d(PlainLayer):
    """Blur with a binomial filter, then take every other cell: `ndpool.blur_pool2d`.

    Parameters
    ----------
    filter_size : int
        Cells of the filter along each axis, from 2 to 7.
    stride : int or (int, int)
        Cells from one result to the next.
    padding : {"reflect", "zeros", "edge"}
        What lies past the image.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.BlurPool2d()
    >>> layer
    BlurPool2d(filter_size=3, stride=2, padding='reflect')
    >>> layer.output_shape((8, 64, 112, 112))
    (8, 64, 56, 56)
    """

    function = "blur_pool2d"
    rank = 2
    _shown = ("filter_size", "stride", "padding")
    _checks: ClassVar[dict[str, Check]] = {"padding": _border, "stride": sizes}

    filter_size: int

    def __init__(
        self,
        filter_size: SupportsIndex = 3,
        stride: Ints = 2,
        padding: Border = "reflect",
        *,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(filter_size=filter_size, stride=stride, padding=padding, layout=layout)

    def _try_options(self) -> None:
        self._try(0, 1, 8, 8, filter_size=self.filter_size)


@shared
class MaxBlurPool2d(PlainLayer):
    """Take maxima at stride 1, blur them, then take every other cell: `ndpool.max_blur_pool2d`.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Cells of a window of the maximum.
    filter_size : int
        Cells of the filter along each axis, from 2 to 7.
    stride : int or (int, int)
        Cells from one result to the next.
    padding : {"reflect", "zeros", "edge"}
        What lies past the maxima.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.MaxBlurPool2d(2)
    >>> layer
    MaxBlurPool2d(kernel_size=2, filter_size=3, stride=2)
    >>> layer.output_shape((8, 64, 113, 113))
    (8, 64, 56, 56)
    """

    function = "max_blur_pool2d"
    rank = 2
    _shown = ("kernel_size", "filter_size", "stride")
    _checks: ClassVar[dict[str, Check]] = {"padding": _border, "stride": sizes}

    filter_size: int

    def __init__(
        self,
        kernel_size: Ints,
        filter_size: SupportsIndex = 3,
        stride: Ints = 2,
        *,
        padding: Border = "reflect",
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(
            kernel_size=kernel_size, filter_size=filter_size, stride=stride, padding=padding, layout=layout
        )

    def _try_options(self) -> None:
        self._try(0, 1, 8, 8, kernel_size=1, filter_size=self.filter_size)


@shared
class APSPool2d(PlainLayer):
    """Pool at stride 1, then take the polyphase component of the largest norm: `ndpool.aps_pool2d`.

    Parameters
    ----------
    mode : {"max", "avg"} or None
        What a window is reduced to; with None the image itself is sampled.
    stride : int or (int, int)
        Cells from one result to the next, and of a window.
    return_phase : bool
        Return which component was taken too.
    <layout>

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.APSPool2d("avg")
    >>> layer
    APSPool2d(mode='avg', stride=2)
    >>> layer.output_shape((8, 64, 112, 112))
    (8, 64, 56, 56)
    """

    function = "aps_pool2d"
    rank = 2
    _shown = ("mode", "stride")
    _checks: ClassVar[dict[str, Check]] = {"mode": _mode, "stride": sizes}

    def __init__(
        self,
        mode: Literal["max", "avg"] | None = "max",
        stride: Ints = 2,
        *,
        return_phase: bool = False,
        layout: Layout = "channels_first",
    ) -> None:
        super().__init__(mode=mode, stride=stride, return_phase=return_phase, layout=layout)
