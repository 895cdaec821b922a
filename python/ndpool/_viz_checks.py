"""What the arguments of pictures may be: each check returns the argument, or says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ndpool._interop import as_ndarray
from ndpool.any_axes import Mode
from ndpool.nn._checks import index, one_of, sequence, sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["edges", "expect_functions", "index", "known", "numbers", "pair", "window"]


def known(modes: Any) -> tuple[Any, ...]:
    """Check names of modes; return them."""
    names = sequence("modes", modes)
    if names is None:
        raise TypeError(f"modes: {modes!r} must be a sequence of names")
    if not names:
        raise ValueError(f"modes: {modes!r} must name at least one")
    return tuple(one_of(*get_args(Mode))("modes", name, None) for name in names)


def edges(values: Any) -> list[int]:
    """Check the edges of windows; return them."""
    items = sequence("sizes", values)
    if items is None:
        raise TypeError(f"sizes: {values!r} must be a sequence of ints")
    if not items:
        raise ValueError(f"sizes: {values!r} must hold at least one")
    return [index("sizes", item, 1) for item in items]


def window(name: str, value: Any) -> tuple[int, int]:
    """Check the rows and columns of a window, or one number for both; return them."""
    rows, columns = np.broadcast_to(np.array(sizes(name, value, 2)), 2).tolist()
    return rows, columns


def pair(name: str, value: Any) -> tuple[int, int]:
    """Check a row and a column; return them."""
    match sequence(name, value):
        case (row, column):
            return index(name, row), index(name, column)
        case _:
            raise ValueError(f"{name}: {value!r} must be a row and a column")


def numbers(name: str, value: Any) -> NDArray[Any]:
    """Return an array of real numbers."""
    array, _ = as_ndarray(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: an array of dtype {array.dtype} must be of integers, floats or bool")
    return array


def expect_functions(functions: Any) -> None:
    """Check functions by name."""
    if not isinstance(functions, Mapping):
        raise TypeError(f"functions: a {type(functions).__name__} must be a mapping of names to functions")
    if not functions:
        raise ValueError("functions: must hold at least one")
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"functions: {name!r} is {function!r}, which must be callable")
