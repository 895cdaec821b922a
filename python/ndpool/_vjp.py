"""Derivatives: any function of this package, with the linear map that pulls cotangents back and pushes tangents on."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ndpool._ndpool import Pullback, Tape

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pullback", "vjp"]


def vjp(f: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
    """Call `f(x, *args, **kwargs)` and return what it returns, with the map of its gradient.

    Parameters
    ----------
    f : callable
        A differentiable function of this package.
    x : array_like
        A floating-point array; of integers, where others are differentiable (`query`, the weights of attention and
        convolution).
    *args, **kwargs
        Further arguments of `f`.

    Returns
    -------
    y : array or tuple
        What `f` returns.
    pullback : Pullback
        `pullback(dy)` is the cotangent of `x` from that of the values, `pullback.jvp(dx)` the tangent of the values
        from that of `x`. Where more arguments are differentiable (`weights`, `g`, and `p` of gem, `alpha`, `r` and
        `beta` if they are passed), `pullback(dy)` is a tuple in the order of the signature, and `jvp` takes as many
        tangents. `pullback.arguments` are the names of them all; arrays of integers are not among them. For a list of
        modes `dy` is a tuple. It may be called again, and keeps what it needs and no more: for max, min and other
        choices of a cell one or two bytes for each value (more for windows that span more than 65,536 cells), for sums
        and means nothing, for other modes a copy of `x` and of what was given beside it.

    Raises
    ------
    TypeError
        If `f` is not a differentiable function of this package, or nothing that it is given is differentiable.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> x = np.array([[[1.0, 3.0, 2.0, 5.0]]])
    >>> y, pullback = ndpool.vjp(ndpool.max_pool1d, x, 2)
    >>> y
    array([[[3., 5.]]])
    >>> pullback(np.array([[[10.0, 20.0]]]))
    array([[[ 0., 10.,  0., 20.]]])
    >>> pullback.jvp(x)
    array([[[3., 5.]]])
    """
    tape = Tape(kwargs.pop("out", None))
    try:
        y = f(x, *args, out=tape, **kwargs)
    except TypeError:
        if _takes_out(f):
            raise
        name = getattr(f, "__name__", type(f).__name__)
        raise TypeError(f"f: {name} must be a differentiable function of ndpool") from None
    return y, tape.pullback()


def _takes_out(f: Any) -> bool:
    """Whether an object is a function with an argument `out`."""
    try:
        return "out" in inspect.signature(f).parameters
    except (TypeError, ValueError):
        return False
