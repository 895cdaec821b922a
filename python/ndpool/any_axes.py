"""Functions for any axes and every mode: `pool`, `coarsen`, `adaptive_pool`, `global_pool`, `output_shape`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import Bins, DType, Ints, Layout, Padding

Mode = Literal[
    "max", "min", "sum", "prod", "avg", "count", "var", "std", "lp", "gem", "lse", "soft", "lip", "mixed", "stochastic",
    "median", "quantile", "mode", "any", "all", "first", "center",
]  # fmt: skip
Modes = Mode | list[Mode] | tuple[Mode, ...]
NanPolicy = Literal["propagate", "omit", "raise"]


def _options(mode_options: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Return the options that were given: those that only some modes have."""
    switches = ("count_include_pad", "return_indices")
    mode_options.update(
        (name, value)
        for name, value in given.items()
        if value is not None and (value is not False or name not in switches)
    )
    return mode_options


@shared
def pool(
    x: Any,
    window: Ints,
    mode: Modes = "max",
    *,
    axis: Ints | None = None,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    where: Any = None,
    weights: Any = None,
    nan_policy: NanPolicy = "propagate",
    min_count: SupportsIndex = 1,
    fill_value: float | None = None,
    return_indices: bool = False,
    dtype: DType = None,
    out: Any = None,
    **mode_options: Any,
) -> Any:
    """Pool any axes of an array, by any mode.

    Parameters
    ----------
    x : array_like
        Any shape, any strides, any supported dtype.
    window : int or sequence of int
        Cells of a window along each pooled axis.
    mode : str or list of str
        What the valid cells of a window are reduced to; a list gives a tuple of results.

        ============== =================================================== =======================
        mode           result                                              options
        ============== =================================================== =======================
        `"max"`        the largest cell, `"min"` the smallest              return_indices
        `"sum"`        their sum, `"prod"` their product                   dtype, weights (sum)
        `"avg"`        their mean                                          weights, dtype
        `"count"`      their number
        `"var"`        their variance, `"std"` its root                    ddof=0
        `"lp"`         `(sum |x|^p)^(1/p)`                                 p=2 (inf is allowed)
        `"gem"`        `(mean max(x, eps)^p)^(1/p)`                        p=3, eps=1e-6
        `"lse"`        `log(mean exp(r x)) / r`                            r=1
        `"soft"`       `sum w x` with `w = softmax(beta x)`                beta=1
        `"lip"`        `sum w x` with `w = softmax(g)`                     g: logits
        `"mixed"`      `alpha max + (1 - alpha) avg`                       alpha=0.5
        `"stochastic"` a cell drawn with probability `x / sum x`; with     rng, training=True
                       `training=False` the mean of such draws
        `"median"`     the median; of integers the lower one               method
        `"quantile"`   the part `q` of the cells lies below it             q, method="linear"
        `"mode"`       the most frequent value, the lowest of these        ignore=None
        `"any"`        whether a cell is not 0, `"all"` whether none is
        `"first"`      the first cell, `"center"` the middle one
        ============== =================================================== =======================
    axis : int or sequence of int, optional
        The axes to pool; if not given, the last ones, as many as `window` has numbers, or all for an int.
    stride, padding, dilation, ceil_mode
        As in `max_pool2d`, one value or one for each pooled axis.
    <cells>
    <return_indices>
    dtype : dtype, optional
        Dtype of the result of modes that compute: `"sum"`, `"prod"`, `"avg"` to `"mixed"`.
    out : ndarray or tuple of ndarray, optional
        Written and returned.
    **mode_options
        Options of the mode, by name. `method` is one of those of `numpy.quantile`. `rng` is a seed, a
        `numpy.random.Generator`, or None; a seed (below 2**64) gives the same draws on any number of threads.

    Returns
    -------
    <pooled>

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
    >>> ndpool.pool(x, 2, ["median", "std"], axis=1)
    (array([[ 0,  2],
           [ 4,  6],
           [ 8, 10]]), array([[0.5, 0.5],
           [0.5, 0.5],
           [0.5, 0.5]]))
    >>> ndpool.pool([1.0, np.nan, 3.0, np.nan], 2, "avg", nan_policy="omit")
    array([1., 3.])
    """
    options = _options(
        mode_options, count_include_pad=count_include_pad, weights=weights, return_indices=return_indices, dtype=dtype
    )
    cells = (where, nan_policy, min_count, fill_value)
    return _ndpool.pool(x, window, mode, axis, stride, padding, dilation, ceil_mode, cells, options, out)


@shared
def coarsen(
    x: Any,
    factor: Ints,
    mode: Modes = "avg",
    *,
    axis: Ints | None = None,
    boundary: Literal["exact", "trim", "pad", "partial"] = "partial",
    side: Literal["left", "right"] = "left",
    count_include_pad: bool = False,
    where: Any = None,
    weights: Any = None,
    nan_policy: NanPolicy = "propagate",
    min_count: SupportsIndex = 1,
    fill_value: float | None = None,
    return_indices: bool = False,
    dtype: DType = None,
    out: Any = None,
    **mode_options: Any,
) -> Any:
    """Reduce an array by blocks that do not overlap.

    Parameters
    ----------
    x : array_like
        Any shape, any strides, any supported dtype.
    factor : int or sequence of int
        Cells of a block along each axis.
    mode : str or list of str
        What a block is reduced to: see `pool`.
    axis : int or sequence of int, optional
        The axes to reduce; if not given, the last ones, as many as `factor` has numbers, or all for an int.
    boundary : {"exact", "trim", "pad", "partial"}
        What becomes of cells that fill no block. `"exact"` refuses them, `"trim"` drops them, `"pad"` completes their
        block with padding, which holds no data, `"partial"` makes a smaller block of them.
    side : {"left", "right"}
        Where blocks are counted from: cells that fill no block are at the other end of the axis.
    <cells>
    <return_indices>
    dtype : dtype, optional
        As in `pool`.
    out : ndarray or tuple of ndarray, optional
        Written and returned.
    **mode_options
        Options of the mode, as in `pool`.

    Returns
    -------
    <pooled>

    Raises
    ------
    TypeError
        As in `pool`.
    ValueError
        As in `pool`; also if an axis is no multiple of its factor and `boundary` is `"exact"`.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.arange(5.0)
    >>> ndpool.coarsen(x, 2)
    array([0.5, 2.5, 4. ])
    >>> ndpool.coarsen(x, 2, boundary="trim", side="right")
    array([1.5, 3.5])
    >>> ndpool.coarsen(x, 2, boundary="pad", count_include_pad=True)
    array([0.5, 2.5, 2. ])
    """
    options = _options(
        mode_options, count_include_pad=count_include_pad, weights=weights, return_indices=return_indices, dtype=dtype
    )
    cells = (where, nan_policy, min_count, fill_value)
    return _ndpool.coarsen(x, factor, mode, axis, boundary, side, cells, options, out)


@shared
def adaptive_pool(
    x: Any,
    output_size: Bins,
    mode: Modes = "avg",
    *,
    axis: Ints | None = None,
    method: str = "bins",
    where: Any = None,
    weights: Any = None,
    nan_policy: NanPolicy = "propagate",
    min_count: SupportsIndex = 1,
    fill_value: float | None = None,
    return_indices: bool = False,
    dtype: DType = None,
    out: Any = None,
    **mode_options: Any,
) -> Any:
    """Pool any axes to a given number of bins.

    Parameters
    ----------
    x : array_like
        Any shape, any strides, any supported dtype.
    output_size : int or sequence of int or None
        Number of bins along each pooled axis; None keeps an axis.
    mode : str or list of str
        What a bin is reduced to: see `pool`.
    axis : int or sequence of int, optional
        The axes to pool; if not given, the last ones, as many as `output_size` has numbers, or all for an int.
    method : {"bins", "area"} or str
        Bin `o` of `O` on an axis of `L` cells covers the cells from `floor(o L / O)` to `ceil((o + 1) L / O)`; with
        `"area"` from `o L / O` to `(o + 1) L / O` exactly, and cells that it covers in part count in part. Areas are
        for modes `"sum"` and `"avg"`. For `"median"` and `"quantile"` also a method of `numpy.quantile`, over bins.
    <cells_without_padding>
    <return_indices>
    dtype : dtype, optional
        As in `pool`.
    out : ndarray or tuple of ndarray, optional
        Written and returned.
    **mode_options
        Options of the mode, as in `pool`.

    Returns
    -------
    <pooled>

    Raises
    ------
    TypeError, ValueError
        As in `pool`.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    >>> ndpool.adaptive_pool(x, 2, "max")
    array([ 4., 16.])
    >>> ndpool.adaptive_pool(x, 2, method="area")
    array([ 2. , 10.4])
    """
    options = _options(mode_options, weights=weights, return_indices=return_indices, dtype=dtype)
    modes = mode if isinstance(mode, list | tuple) else [mode]
    ordered = any(isinstance(name, str) and name in ("median", "quantile") for name in modes)
    if ordered and not (isinstance(method, str) and method in ("bins", "area")):
        # The contract gives two options one name.
        options["method"], method = method, "bins"
    cells = (where, nan_policy, min_count, fill_value)
    return _ndpool.adaptive_bins(x, output_size, mode, axis, method, cells, options, out)


@shared
def global_pool(
    x: Any,
    mode: Modes = "avg",
    *,
    layout: Layout = "channels_first",
    keepdims: bool = False,
    where: Any = None,
    weights: Any = None,
    nan_policy: NanPolicy = "propagate",
    min_count: SupportsIndex = 1,
    fill_value: float | None = None,
    return_indices: bool = False,
    dtype: DType = None,
    out: Any = None,
    **mode_options: Any,
) -> Any:
    """Pool all spatial axes to one cell.

    Parameters
    ----------
    x : array_like
        Shape `(N, C, *spatial)`, or `(N, *spatial, C)` with `layout="channels_last"`.
    mode : str or list of str
        What the cells are reduced to: see `pool`.
    <layout>
    keepdims : bool
        Keep the spatial axes, with length 1.
    <cells_without_padding>
    <return_indices>
    dtype : dtype, optional
        As in `pool`.
    out : ndarray or tuple of ndarray, optional
        Written and returned.
    **mode_options
        Options of the mode, as in `pool`.

    Returns
    -------
    ndarray, or (ndarray, ndarray of int64), or a tuple of these
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
    >>> ndpool.global_pool(np.arange(8.0).reshape(1, 2, 2, 2), "gem", p=1)
    array([[1.50000025, 5.5       ]])
    """
    options = _options(mode_options, weights=weights, return_indices=return_indices, dtype=dtype)
    cells = (where, nan_policy, min_count, fill_value)
    return _ndpool.global_pool(x, mode, layout, keepdims, cells, options, out)


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
    return global_pool(x, "avg", layout=layout, keepdims=keepdims, dtype=dtype, out=out)


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
    return global_pool(x, "max", layout=layout, keepdims=keepdims, return_indices=return_indices, out=out)


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
