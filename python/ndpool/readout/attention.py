"""Attention pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex

from ndpool import _ndpool
from ndpool._docs import shared

if TYPE_CHECKING:
    import numpy as np


@shared
def attention_pool(
    x: Any,
    query: Any,
    *,
    key_weight: Any = None,
    value_weight: Any = None,
    num_heads: SupportsIndex = 1,
    mask: Any = None,
    scale: SupportsFloat | None = None,
    return_weights: bool | np.bool_ = False,
    out: Any = None,
) -> Any:
    """Pool tokens by attention: each query takes the mean of the tokens, weighted by how well they answer it.

    With keys `k = x @ key_weight` and values `v = x @ value_weight`, the result of a head is
    `softmax(scale * query @ k.T) @ v`. Tokens are read once, a block at a time; no array of all keys, values or scores
    is made.

    Parameters
    ----------
    <tokens>
    query : array_like
        Shape `(Q, E)`, or `(N, Q, E)` for queries of each sample's own.
    key_weight : array_like, optional
        Shape `(D, E)`. Keys are the tokens themselves, and `E` is `D`, if it is not given.
    value_weight : array_like, optional
        Shape `(D, F)`. Values are the tokens themselves, and `F` is `D`, if it is not given.
    num_heads : int
        Query, keys and values are split along their last axis into so many equal consecutive parts; each is an
        attention of its own, and their results are joined.
    <token_mask>
    scale : float, optional
        What the products of query and keys are multiplied with; `1 / sqrt(E / num_heads)` if it is not given.
    return_weights : bool
        Return the weights of the tokens too.
    <readout_out>

    Returns
    -------
    values : ndarray
        Shape `(N, Q, F)`, or `(Q, F)` without an axis of samples. Zeros for a sample without valid tokens. Of
        the dtype that NumPy promotes the arrays to; integers and bool count as float64.
    weights : ndarray
        Only with `return_weights`: shape `(N, num_heads, Q, L)`, of the same dtype. Those of a query sum to 1, or are
        zeros if the sample has no valid token. `pullback` of `vjp` takes the cotangent of the values alone.

    Raises
    ------
    <readout_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    >>> query = np.array([[0.0, 2.0]])
    >>> ndpool.attention_pool(x, query, mask=[[True, True, False]]).round(3)
    array([[[0.196, 0.804]]])
    >>> values, weights = ndpool.attention_pool(x, query, scale=1e30, return_weights=True)
    >>> weights
    array([[[[0., 0., 1.]]]])
    >>> y, pullback = ndpool.vjp(ndpool.attention_pool, x, query)
    >>> dx, dquery = pullback(np.ones_like(y))
    >>> dx.shape, dquery.shape
    ((1, 3, 2), (1, 2))
    """
    return _ndpool.attention_pool(x, query, key_weight, value_weight, num_heads, mask, scale, return_weights, out)


@shared
def gated_attention_pool(x: Any, v: Any, u: Any, w: Any, *, mask: Any = None, out: Any = None) -> Any:
    """Pool tokens by gated attention: a small network scores each, as in multiple-instance learning.

    The weights are `softmax((tanh(x @ v) * sigmoid(x @ u)) @ w)` over the tokens of a sample (Ilse, Tomczak and
    Welling, 2018, equation 9; their `V` and `U` are the transposes of `v` and `u`).

    Parameters
    ----------
    <tokens>
    v, u : array_like
        Shape `(D, M)`, for `M` hidden units.
    w : array_like
        Shape `(M,)`; or `(M, K)` for `K` scores of each token, each of which pools all tokens.
    <token_mask>
    <readout_out>

    Returns
    -------
    ndarray
        Shape `(N, D)`, or `(N, K, D)` where `w` has two axes; without the axis of samples if `x` has none. Zeros for a
        sample without valid tokens. Of the dtype that NumPy promotes the arrays to; integers and bool count as float64.

    Raises
    ------
    <readout_errors>

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> v, u, w = np.array([[2.0], [0.0]]), np.zeros((2, 1)), np.array([3.0])
    >>> ndpool.gated_attention_pool(x, v, u, w).round(3)
    array([0.809, 0.191])
    """
    return _ndpool.gated_attention_pool(x, v, u, w, mask, out)
