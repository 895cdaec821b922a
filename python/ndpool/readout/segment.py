"""Pooling of rows to segments, by ids or offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool

if TYPE_CHECKING:
    from typing import SupportsIndex

    from ndpool._types import SegmentMode


def segment_pool(
    x: Any,
    segments: Any,
    mode: SegmentMode = "mean",
    *,
    num_segments: SupportsIndex | None = None,
    offsets: bool | None = None,
    fill_value: Any = None,
    out: Any = None,
) -> Any:
    """Pool the rows of an array to segments, by the id of each row's segment or by where each segment begins.

    Parameters
    ----------
    x : array_like
        Shape `(L, ...)`: `L` rows. Any dtype among float16, bfloat16, float32, float64, int8 to int64, uint8 to uint64,
        bool; any strides, read in place.
    segments : array_like of int
        An id for each row, from 0 on and in any order; or offsets, one more than there are segments: segment `s` is
        `x[segments[s]:segments[s + 1]]`, so that they begin with 0, never descend and end with `L`. An array of `L`
        numbers is taken as ids, one of any other length as offsets.
    mode : {"mean", "sum", "max", "min", "std", "lse", "softmax"}
        What the rows of a segment are reduced to, cell by cell: `"std"` has their number as its divisor, `"lse"` is
        `log(mean(exp(x)))`, and `"softmax"` the mean weighted by the softmax of the rows.
    num_segments : int, optional
        Number of segments; one more than the largest id if not given.
    offsets : bool, optional
        Whether `segments` are offsets, where their number does not tell.
    fill_value : scalar, optional
        Result of segments without a row: if not given 0 in mode `"sum"`, else NaN, or an error if the dtype of the
        result has no NaN.
    out : ndarray, optional
        Written and returned; of the result's shape and dtype, sharing no memory with `x` or `segments`.

    Returns
    -------
    ndarray
        Shape `(num_segments, ...)`. `"max"` and `"min"` keep the dtype (the first NaN of a segment wins). Sums are of
        floats as `x`, else int64 or uint64, modulo 2**64; all others of floats as `x`, else float64. In the memory
        order of `x`.

    Raises
    ------
    TypeError
        If an argument has a wrong type, `x` a dtype that is not supported, or `segments` are not integers.
    ValueError
        If an argument has a wrong value, an id is not from 0 to less than `num_segments`, or offsets are not as above;
        nothing is written.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
    >>> ndpool.segment_pool(x, [1, 0, 1])
    array([[2., 6.],
           [2., 6.]])
    >>> ndpool.segment_pool(x, [0, 1, 1, 3], "max", fill_value=-1)
    array([[ 1.,  5.],
           [-1., -1.],
           [ 3.,  7.]])
    >>> y, pullback = ndpool.vjp(ndpool.segment_pool, x, [1, 0, 1], "max")
    >>> pullback(np.ones((2, 2)))
    array([[0., 0.],
           [1., 1.],
           [1., 1.]])
    """
    return _ndpool.segment_pool(x, segments, mode, num_segments, offsets, fill_value, out)
