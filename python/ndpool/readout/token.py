"""Token pooling by a fixed rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    from ndpool._types import TokenMode


@shared
def token_pool(x: Any, mask: Any = None, mode: TokenMode = "mean", *, out: Any = None) -> Any:
    """Pool the tokens of each sample into one, channel by channel.

    Parameters
    ----------
    <tokens>
    <token_mask>
    mode : {"mean", "max", "cls", "last", "weighted_mean", "mean_sqrt_len", "std"}
        Of the tokens that take part: their mean; the largest value of each channel, the first NaN if there is one; the
        first or the last of them; their mean with the place of each in the sample, from 1 on, as its weight; their sum
        over the square root of their number; the standard deviation from their mean (`ddof=0`).
    <readout_out>

    Returns
    -------
    ndarray
        Shape `(N, D)`, or `(D,)` without an axis of samples. Zeros for a sample without valid tokens. `"max"`, `"cls"`
        and `"last"` keep the dtype; in the others floats keep theirs, and integers and bool give float64.

    Raises
    ------
    <readout_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[[1.0, 6.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> mask = [[True, True, False]]
    >>> ndpool.token_pool(x, mask)
    array([[2., 4.]])
    >>> ndpool.token_pool(x, mask, "max")
    array([[3., 6.]])
    >>> ndpool.token_pool(x, mask, "last")
    array([[3., 2.]])
    >>> y, pullback = ndpool.vjp(ndpool.token_pool, x, mask, "max")
    >>> pullback(np.ones_like(y))
    array([[[0., 1.],
            [1., 0.],
            [0., 0.]]])
    """
    return _ndpool.token_pool(x, mask, mode, out)
