"""Layers for any axes and every mode: `Pool`, `Coarsen`, `AdaptivePool` and global pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, SupportsIndex

import numpy as np

import ndpool
from ndpool._docs import shared
from ndpool.nn._base import Array, FunctionLayer, PlainLayer
from ndpool.nn._checks import CHECKS, lengths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ndpool._types import Bins, DType, Ints, Layout, Padding
    from ndpool.any_axes import Modes, NanPolicy

#: The parameters of modes that are learned if they are given.
_LEARNED = ("p", "alpha", "r", "beta")
_MODES_THAT_LEARN = {"gem": "p", "mixed": "alpha", "lse": "r", "soft": "beta"}


class ModeLayer(FunctionLayer):
    """What layers with modes share: options by name, of which some are learned; masks and weights at each pass."""

    #: Options that say where windows are; the others say what a window gives.
    _geometry: ClassVar[tuple[str, ...]] = ()

    mode: str | list[str]
    dtype: np.dtype[Any] | None
    mode_options: dict[str, Any]

    def forward(self, x: Any, *, where: Any = None, weights: Any = None, g: Any = None) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            The input.
        where : array_like of bool, optional
            Which cells are valid.
        weights : array_like, optional
            Weights of cells, for sums and means.
        g : array_like, optional
            Logits, for mode `"lip"`.

        Returns
        -------
        array or tuple of arrays
            One result for each mode of a list, each with its indices if they are asked for.
        """
        return self._call(x, where=where, weights=weights, g=g)

    def _modes(self) -> list[str]:
        return [self.mode] if isinstance(self.mode, str) else self.mode

    def _repr_parts(self) -> list[str]:
        shown = [part for part in super()._repr_parts() if not part.startswith("mode_options=")]
        return shown + [f"{name}={value!r}" for name, value in self.mode_options.items()]

    def _set_options(self, options: Mapping[str, Any]) -> None:
        super()._set_options(options)
        for name in self.mode_options:
            if name in ("where", "weights", "g", "out"):
                raise TypeError(f"{name}: is given to each forward pass, not to the layer")
            if name == "training":
                raise TypeError("training: is set by the layer's train() and eval()")
        if "rng" in self.mode_options:
            self.mode_options["rng"] = CHECKS["rng"]("rng", self.mode_options["rng"], None)

    def _try_options(self) -> None:
        """Pool a single cell, so that the function says what is wrong with modes and their options."""
        whole = self.dtype is not None and self.dtype.kind in "iu"
        x = np.ones((1, 1, 1), self.dtype if whole else np.float64)
        arguments = {name: value for name, value in self._arguments().items() if name not in self._geometry}
        if "rng" in arguments:
            arguments["rng"] = 0  # a generator would go on
        if "lip" in self._modes():
            arguments["g"] = x
        sizes = (1,) if self._geometry else ()
        getattr(ndpool, self.function)(x, *sizes, **arguments)

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        arguments = {**arguments.pop("mode_options"), **arguments}
        if "stochastic" in self._modes():
            arguments["training"] = self.training
        return arguments

    def _empty_result(self, shape: tuple[int, ...], **inputs: Any) -> tuple[int, ...]:
        if "lip" in self._modes():
            inputs["g"] = np.broadcast_to(np.float32(0), shape)
        return super()._empty_result(shape, **inputs)

    def _learned(self) -> list[str]:
        used = [_MODES_THAT_LEARN.get(mode) for mode in self._modes()]
        return [name for name in _LEARNED if name in used and name in self.mode_options]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(self._learned(), ())

    def _drawn(self, _rng: np.random.Generator) -> dict[str, Array]:
        return {name: np.array(float(self.mode_options[name])) for name in self._learned()}


class AxesLayer(ModeLayer):
    """What `Pool`, `Coarsen` and `AdaptivePool` share: any axes of any array."""

    axis: int | tuple[int, ...] | None

    def output_shape(self, shape: Any) -> tuple[int, ...]:
        """Return the shape of the result's values for an input of the given shape, without computing them.

        Parameters
        ----------
        shape : sequence of int
            Shape of the input.

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
        shape = lengths(shape)
        # Of a batch without samples, which comes before all axes that are meant.
        return self._shape_without_batch((0, *shape), axis=self._axes_from_behind(len(shape)))

    def _axes_from_behind(self, ndim: int) -> tuple[int, ...]:
        if self.axis is None:
            size = getattr(self, self._geometry[0])
            count = len(size) if isinstance(size, tuple) else ndim
            if not 0 < count <= ndim:
                raise ValueError(f"{self._geometry[0]}: {size} does not fit an array of {ndim} axes")
            return tuple(range(-count, 0))
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        for axis in axes:
            if not -ndim <= axis < ndim:
                raise ValueError(f"axis: {axis} is not an axis of an array of rank {ndim}")
        return tuple(axis if axis < 0 else axis - ndim for axis in axes)


@shared
class Pool(AxesLayer):
    """Pool any axes, by any mode: `ndpool.pool`.

    Parameters
    ----------
    window : int or sequence of int
        Cells of a window along each pooled axis.
    mode : str or list of str
        What the valid cells of a window are reduced to: see `ndpool.pool`.
    axis : int or sequence of int, optional
        The axes to pool; if not given, the last ones, as many as `window` has numbers, or all for an int.
    stride, padding, dilation, ceil_mode
        As in `ndpool.max_pool2d`, one value or one for each pooled axis.
    <layer_cells>
    <return_indices>
    dtype : dtype, optional
        Dtype of the result of modes that compute.
    **mode_options
        Options of the mode, by name. If `p` of gem, `alpha`, `r` or `beta` are given they are learned: `params` holds
        them. Stochastic pooling draws in training mode and gives the mean of draws otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.Pool((2, 2), "gem", p=2.0)
    >>> layer
    Pool(window=(2, 2), mode='gem', p=2.0)
    >>> y = layer(np.arange(16.0).reshape(4, 4))
    >>> dx = layer.backward(np.ones_like(y))
    >>> layer.params, layer.grads["p"].round(3)
    ({'p': array(2.)}, np.float64(1.263))
    >>> nn.Pool(3, "median", axis=0, stride=1).output_shape((5, 7))
    (3, 7)
    """

    function = "pool"
    _shown = ("window", "mode")
    _geometry = ("window", "axis", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        window: Ints,
        mode: Modes = "max",
        *,
        axis: Ints | None = None,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        nan_policy: NanPolicy = "propagate",
        min_count: SupportsIndex = 1,
        fill_value: float | None = None,
        return_indices: bool = False,
        dtype: DType = None,
        **mode_options: Any,
    ) -> None:
        super().__init__(
            window=window,
            mode=mode,
            axis=axis,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            nan_policy=nan_policy,
            min_count=min_count,
            fill_value=fill_value,
            return_indices=return_indices,
            dtype=dtype,
            mode_options=mode_options,
        )


@shared
class Coarsen(AxesLayer):
    """Reduce by blocks that do not overlap: `ndpool.coarsen`.

    Parameters
    ----------
    factor : int or sequence of int
        Cells of a block along each axis.
    mode : str or list of str
        What a block is reduced to: see `ndpool.pool`.
    axis : int or sequence of int, optional
        The axes to reduce; if not given, the last ones, as many as `factor` has numbers, or all for an int.
    boundary : {"exact", "trim", "pad", "partial"}
        What becomes of cells that fill no block: refused, dropped, completed with padding, or a smaller block.
    side : {"left", "right"}
        Where blocks are counted from.
    <layer_cells>
    <return_indices>
    dtype : dtype, optional
        Dtype of the result of modes that compute.
    **mode_options
        As in `Pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.Coarsen(2, "avg", boundary="trim")
    >>> layer(np.arange(5.0))
    array([0.5, 2.5])
    >>> layer.output_shape((5, 7))
    (2, 3)
    """

    function = "coarsen"
    _shown = ("factor", "mode")
    _geometry = ("factor", "axis", "boundary", "side")

    def __init__(
        self,
        factor: Ints,
        mode: Modes = "avg",
        *,
        axis: Ints | None = None,
        boundary: Literal["exact", "trim", "pad", "partial"] = "partial",
        side: Literal["left", "right"] = "left",
        count_include_pad: bool = False,
        nan_policy: NanPolicy = "propagate",
        min_count: SupportsIndex = 1,
        fill_value: float | None = None,
        return_indices: bool = False,
        dtype: DType = None,
        **mode_options: Any,
    ) -> None:
        super().__init__(
            factor=factor,
            mode=mode,
            axis=axis,
            boundary=boundary,
            side=side,
            count_include_pad=count_include_pad,
            nan_policy=nan_policy,
            min_count=min_count,
            fill_value=fill_value,
            return_indices=return_indices,
            dtype=dtype,
            mode_options=mode_options,
        )


@shared
class AdaptivePool(AxesLayer):
    """Pool to a given number of bins: `ndpool.adaptive_pool`.

    Parameters
    ----------
    output_size : int or sequence of int or None
        Number of bins along each pooled axis; None keeps an axis.
    mode : str or list of str
        What a bin is reduced to: see `ndpool.pool`.
    axis : int or sequence of int, optional
        The axes to pool; if not given, the last ones, as many as `output_size` has numbers, or all for an int.
    method : {"bins", "area"} or str
        Whether cells count whole or in part: see `ndpool.adaptive_pool`.
    <layer_cells_without_padding>
    <return_indices>
    dtype : dtype, optional
        Dtype of the result of modes that compute.
    **mode_options
        As in `Pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.AdaptivePool(2, method="area")
    >>> layer(np.array([1.0, 2.0, 4.0, 8.0, 16.0]))
    array([ 2. , 10.4])
    >>> layer.output_shape((5, 7))
    (2, 2)
    """

    function = "adaptive_pool"
    _shown = ("output_size", "mode")
    _geometry = ("output_size", "axis")

    def __init__(
        self,
        output_size: Bins,
        mode: Modes = "avg",
        *,
        axis: Ints | None = None,
        method: str = "bins",
        nan_policy: NanPolicy = "propagate",
        min_count: SupportsIndex = 1,
        fill_value: float | None = None,
        return_indices: bool = False,
        dtype: DType = None,
        **mode_options: Any,
    ) -> None:
        super().__init__(
            output_size=output_size,
            mode=mode,
            axis=axis,
            method=method,
            nan_policy=nan_policy,
            min_count=min_count,
            fill_value=fill_value,
            return_indices=return_indices,
            dtype=dtype,
            mode_options=mode_options,
        )


@shared
class GlobalPool(ModeLayer):
    """Pool all spatial axes to one cell: `ndpool.global_pool`.

    Parameters
    ----------
    mode : str or list of str
        What the cells are reduced to: see `ndpool.pool`.
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    <layer_cells_without_padding>
    <return_indices>
    dtype : dtype, optional
        Dtype of the result of modes that compute.
    **mode_options
        As in `Pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.GlobalPool("gem", p=3.0)
    >>> layer(np.ones((1, 2, 4, 4)))
    array([[1., 1.]])
    >>> layer.output_shape((8, 64, 7, 7))
    (8, 64)
    """

    function = "global_pool"
    _shown = ("mode",)

    def __init__(
        self,
        mode: Modes = "avg",
        *,
        layout: Layout = "channels_first",
        keepdims: bool = False,
        nan_policy: NanPolicy = "propagate",
        min_count: SupportsIndex = 1,
        fill_value: float | None = None,
        return_indices: bool = False,
        dtype: DType = None,
        **mode_options: Any,
    ) -> None:
        super().__init__(
            mode=mode,
            layout=layout,
            keepdims=keepdims,
            nan_policy=nan_policy,
            min_count=min_count,
            fill_value=fill_value,
            return_indices=return_indices,
            dtype=dtype,
            mode_options=mode_options,
        )


@shared
class GlobalAvgPool(PlainLayer):
    """Average all spatial axes: `ndpool.global_avg_pool`.

    Parameters
    ----------
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    dtype : dtype, optional
        Dtype of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.GlobalAvgPool()
    >>> layer(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    >>> layer.output_shape((8, 64, 7, 7))
    (8, 64)
    """

    function = "global_avg_pool"

    def __init__(self, *, layout: Layout = "channels_first", keepdims: bool = False, dtype: DType = None) -> None:
        super().__init__(layout=layout, keepdims=keepdims, dtype=dtype)


@shared
class GlobalMaxPool(PlainLayer):
    """Take the largest value over all spatial axes: `ndpool.global_max_pool`.

    Parameters
    ----------
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    <return_indices>

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> layer = nn.GlobalMaxPool()
    >>> layer(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 7.]])
    >>> layer.output_shape((8, 64, 7, 7))
    (8, 64)
    """

    function = "global_max_pool"

    def __init__(
        self, *, layout: Layout = "channels_first", keepdims: bool = False, return_indices: bool = False
    ) -> None:
        super().__init__(layout=layout, keepdims=keepdims, return_indices=return_indices)
