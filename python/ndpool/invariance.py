"""How much of a result changes when the input is shifted: measures for any function.

A shift is a number of cells along the last axis, or one number for each of several axes. A positive one moves cells
towards higher indices. What comes in at the border is decided by `border`:

- `"wrap"`: what left at the other end, as by `numpy.roll`. Nothing is lost, so that theory holds to the last cell.
- `"crop"`: the function sees a part of `x`, the same size for every shift, and the part moves within `x`. So what comes
  in is what was there, as under a camera that moves; `x` has to be larger than the part by the shifts.

>>> import numpy as np
>>> import ndpool
>>> from ndpool import invariance
>>> x = np.zeros((1, 12))
>>> x[0, 4] = 1.0                                   # a lone pixel, the first cell of its window
>>> def pooled(x):
...     return ndpool.max_pool1d(x, 4)
>>> invariance.shift_consistency(pooled, x, 4)      # moves within its window, then into the next one
array([1.        , 1.        , 1.        , 1.        , 0.33333333])
>>> invariance.shift_error(pooled, x, [-1, 3]).round(3)
array([1.414, 0.   ])
>>> invariance.equivariance_error(pooled, x, [4, 8], stride=4)
array([0., 0.])
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ndpool._types import Ints

    Border = Literal["wrap", "crop"]
    Shifts = Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]] | NDArray[np.integer[Any]]

__all__ = ["equivariance_error", "shift_consistency", "shift_error"]


def shift_consistency(
    f: Callable[[Any], Any],
    x: ArrayLike,
    max_shift: SupportsIndex,
    *,
    axes: Ints = -1,
    border: Border = "wrap",
) -> NDArray[np.float64]:
    """Return for each shift the share of the results that do not change at all.

    If `f` returns labels this is the classification consistency of Zhang (2019).

    Parameters
    ----------
    f : callable
        Takes an array like `x` and returns an array, of one shape whatever the shift.
    x : array_like
        The input, not shifted.
    max_shift : int
        The largest shift, not negative.
    axes : int or sequence of int
        The axes that are shifted. With several, every combination of shifts is measured.
    border : {"wrap", "crop"}
        What comes in at the border: what left at the other end, or more of `x`, of which `f` then sees a part that is
        shorter by `max_shift` cells.

    Returns
    -------
    ndarray of float64
        Shape `(max_shift + 1,)`, and as many axes more as there are further axes: the share, from 0 to 1, for shifts of
        0 to `max_shift` cells. Two NaN are the same.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If an argument has a wrong value, `x` is too small to be cropped, or `f` returns arrays of different shapes or
        without a cell.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> from ndpool import invariance
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> invariance.shift_consistency(ndpool.global_max_pool, x, 2)
    array([1., 1., 1.])
    >>> invariance.shift_consistency(lambda x: ndpool.max_pool2d(x, 2), x, 1, axes=(-2, -1))
    array([[1., 0.],
           [0., 0.]])
    """
    array = np.asarray(x)
    numbers = _axes(axes, array.ndim)
    largest = _integer("max_shift", max_shift)
    if not 0 <= largest <= min(array.shape[number] for number in numbers):
        raise ValueError(f"max_shift: {largest} must be from 0 to the number of cells of each axis that is shifted")
    shifts = list(itertools.product(range(largest + 1), repeat=len(numbers)))
    shares = _measured(f, array, shifts, numbers, border, lambda _, result, rest: float(np.mean(_same(result, rest))))
    return shares.reshape((largest + 1,) * len(numbers))


def shift_error(
    f: Callable[[Any], Any],
    x: ArrayLike,
    shifts: Shifts,
    *,
    axes: Ints | None = None,
    border: Border = "wrap",
) -> NDArray[np.float64]:
    """Return for each shift how far the result moves: `|f(shifted x) - f(x)| / |f(x)|`, by Euclidean lengths.

    Parameters
    ----------
    f : callable
        Takes an array like `x` and returns an array, of one shape whatever the shift.
    x : array_like
        The input, not shifted.
    shifts : sequence of int, or of sequences of int
        Shifts along one axis, or along several.
    axes : int or sequence of int, optional
        The axes that are shifted; if not given the last ones, as many as a shift has numbers.
    border : {"wrap", "crop"}
        What comes in at the border: what left at the other end, or more of `x`, of which `f` then sees a part that is
        shorter by the shifts.

    Returns
    -------
    ndarray of float64
        A number for each shift: 0 if nothing changes, infinite if a result of nothing but zeros changes. NaN and
        infinities that stay are left out.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If an argument has a wrong value, `x` is too small to be cropped, or `f` returns arrays of different shapes or
        without a cell.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> from ndpool import invariance
    >>> x = np.arange(8.0).reshape(1, 8)
    >>> invariance.shift_error(lambda x: ndpool.avg_pool1d(x, 2), x, [0, 1, 2]).round(3)
    array([0.   , 0.417, 0.834])
    >>> invariance.shift_error(lambda x: ndpool.avg_pool1d(x, 2), x, [1, 2], border="crop").round(3)
    array([0.209, 0.418])
    """
    array = np.asarray(x)
    moves, numbers = _shifts(shifts, axes, array.ndim)
    return _measured(f, array, moves, numbers, border, lambda _, result, rest: _distance(result, rest))


def equivariance_error(
    f: Callable[[Any], Any],
    x: ArrayLike,
    shifts: Shifts,
    stride: Ints = 1,
    *,
    axes: Ints | None = None,
    border: Border = "wrap",
) -> NDArray[np.float64]:
    """Return for each shift how far the result is from the shifted result: `|f(shifted x) - shifted f(x)| / |f(x)|`.

    It is 0 where `f` commutes with the shift, as convolution does and every pooling does with shifts by its stride.

    Parameters
    ----------
    f : callable
        Takes an array like `x` and returns an array, of one shape whatever the shift, with the same axes.
    x : array_like
        The input, not shifted.
    shifts : sequence of int, or of sequences of int
        Shifts along one axis, or along several; multiples of the stride.
    stride : int or sequence of int
        By how many cells of `x` the windows of neighbouring results are apart, for all shifted axes or for each.
    axes : int or sequence of int, optional
        The axes that are shifted; if not given the last ones, as many as a shift has numbers.
    border : {"wrap", "crop"}
        What comes in at the border: what left at the other end, where both results are compared as a whole; or more of
        `x`, where results are compared that both have.

    Returns
    -------
    ndarray of float64
        A number for each shift, as from `shift_error`.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If an argument has a wrong value, a shift is no multiple of the stride, `x` is too small to be cropped, or `f`
        returns arrays of different shapes or without a cell to compare.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool
    >>> from ndpool import invariance
    >>> x = np.random.default_rng(0).random((16, 16))
    >>> invariance.equivariance_error(lambda x: ndpool.pool(x, 3, stride=1), x, [(1, 0), (2, 5)], border="crop")
    array([0., 0.])
    """
    array = np.asarray(x)
    moves, numbers = _shifts(shifts, axes, array.ndim)
    steps = _per_axis("stride", stride, len(numbers))
    for number in steps:
        if number < 1:
            raise ValueError(f"stride: {number} must be at least 1")
    for move in moves:
        if any(cells % step for cells, step in zip(move, steps, strict=True)):
            raise ValueError(f"shifts: {move} must be multiples of the stride {steps}")
    # Of the result, from behind, as it may have fewer or more axes before.
    behind = tuple(number - array.ndim for number in numbers)

    def measure(move: tuple[int, ...], result: NDArray[Any], rest: NDArray[Any]) -> float:
        if rest.ndim < -min(behind):
            raise ValueError(f"f: returned an array of shape {rest.shape}, which lacks axes that are shifted")
        cells = [cells // step for cells, step in zip(move, steps, strict=True)]
        if border == "wrap":
            return _distance(result, np.roll(rest, cells, behind))
        return _distance(_cut(result, cells, behind), _cut(rest, [-count for count in cells], behind))

    return _measured(f, array, moves, numbers, border, measure)


def _measured(
    f: Callable[[Any], Any],
    x: NDArray[Any],
    shifts: Sequence[tuple[int, ...]],
    axes: tuple[int, ...],
    border: str,
    measure: Callable[[tuple[int, ...], NDArray[Any], NDArray[Any]], float],
) -> NDArray[np.float64]:
    """Return the measure of each shift, of `f` of the shifted `x`, and of `f` of `x` where it is."""
    if not callable(f):
        raise TypeError(f"f: {f!r} ({type(f).__name__}) must be callable")
    views = _views(x, shifts, axes, border)
    rest = _array(f(next(views)))
    if rest.size == 0:
        raise ValueError(f"f: returned an array of shape {rest.shape}, which has no cell")
    measures = []
    for shift, view in zip(shifts, views, strict=True):
        result = _array(f(view))
        if result.shape != rest.shape:
            raise ValueError(f"f: returned arrays of shapes {rest.shape} and {result.shape}")
        measures.append(measure(shift, result, rest))
    return np.array(measures, np.float64)


def _array(returned: Any) -> NDArray[Any]:
    """Return what `f` returned as an array; a tuple is several results."""
    if isinstance(returned, tuple):
        raise TypeError(f"f: returned a tuple of {len(returned)}, and must return one array")
    try:
        return np.asarray(returned)
    except ValueError as error:
        raise ValueError(f"f: returned a {type(returned).__name__} of which no array can be made: {error}") from error


def _views(
    x: NDArray[Any], shifts: Sequence[tuple[int, ...]], axes: tuple[int, ...], border: str
) -> Iterator[NDArray[Any]]:
    """Yield what `f` sees: first where `x` is, then at each shift."""
    moves = [(0,) * len(axes), *shifts]
    if not isinstance(border, str):
        raise TypeError(f"border: {border!r} must be a str")
    if border == "wrap":
        yield from (np.roll(x, move, axes) for move in moves)
        return
    if border != "crop":
        raise ValueError(f"border: {border!r} must be 'wrap' or 'crop'")
    # How far the part may move to lower and to higher indices.
    before = [max(cells) for cells in zip(*moves, strict=True)]
    after = [-min(cells) for cells in zip(*moves, strict=True)]
    for axis, low, high in zip(axes, before, after, strict=True):
        if low + high >= x.shape[axis]:
            raise ValueError(f"shifts: take {low + high} of the {x.shape[axis]} cells of axis {axis}, and leave none")
    for move in moves:
        part = [slice(None)] * x.ndim
        for axis, low, high, cells in zip(axes, before, after, move, strict=True):
            part[axis] = slice(low - cells, x.shape[axis] - high - cells)
        yield x[tuple(part)]


def _cut(result: NDArray[Any], cells: Sequence[int], axes: Sequence[int]) -> NDArray[Any]:
    """Drop as many results at the front of each axis, or if the number is negative at its end."""
    part = [slice(None)] * result.ndim
    for axis, count in zip(axes, cells, strict=True):
        part[axis] = slice(count, None) if count >= 0 else slice(None, count)
    return result[tuple(part)]


def _same(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((one == other) | ((one != one) & (other != other)))  # noqa: PLR0124 - NaN alone differs from itself


def _distance(result: NDArray[Any], rest: NDArray[Any]) -> float:
    """Return the length of the difference in lengths of `rest`."""
    for array in (result, rest):
        if array.dtype.kind not in "biufV":
            raise TypeError(f"f: returned an array of dtype {array.dtype}, which must be real")
    if rest.size == 0:
        raise ValueError("shifts: leave no results that can be compared")
    moved, still = result.astype(np.float64), rest.astype(np.float64)
    # NaN and infinities that stay do not change, and have no length.
    stays = _same(moved, still) & ~np.isfinite(still)
    moved[stays] = still[stays] = 0
    # So that squares of the largest and smallest numbers stay numbers.
    scale = float(max(np.abs(moved).max(), np.abs(still).max()))
    if 0 < scale < math.inf:
        moved, still = moved / scale, still / scale
    with np.errstate(invalid="ignore"):
        change, length = float(np.linalg.norm(moved - still)), float(np.linalg.norm(still))
    if change == 0:
        return 0.0
    return change / length if length != 0 else math.inf


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {value!r} ({type(value).__name__}) must be an int") from None


def _items(name: str, value: Any) -> list[int]:
    """Return an int, or a sequence of ints, as a list."""
    if isinstance(value, str | bytes) or not (hasattr(value, "__len__") and np.ndim(value) == 1):
        return [_integer(name, value)]
    return [_integer(name, item) for item in value]


def _per_axis(name: str, value: Any, count: int) -> list[int]:
    items = _items(name, value)
    if len(items) not in (1, count):
        raise ValueError(f"{name}: {value!r} has {len(items)} values; give one, or {count}")
    return items if len(items) == count else items * count


def _axes(axes: Any, ndim: int) -> tuple[int, ...]:
    numbers = []
    for axis in _items("axes", axes):
        if not -ndim <= axis < ndim:
            raise ValueError(f"axes: {axis} is not an axis of an array of rank {ndim}")
        numbers.append(axis % ndim)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"axes: {axes!r} must name at least one axis, and none twice")
    return tuple(numbers)


def _shifts(shifts: Any, axes: Any, ndim: int) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """Return shifts as tuples of equal length, and the axes they are along."""
    if isinstance(shifts, str | bytes) or not hasattr(shifts, "__len__") or len(shifts) == 0:
        raise TypeError(f"shifts: {shifts!r} must be a sequence of shifts")
    moves = [tuple(_items("shifts", shift)) for shift in shifts]
    count = len(moves[0])
    if any(len(move) != count for move in moves):
        raise ValueError(f"shifts: {shifts!r} must all be along as many axes")
    numbers = _axes(range(-count, 0) if axes is None else axes, ndim)
    if len(numbers) != count:
        raise ValueError(f"shifts: {moves[0]} must have a number for each of the axes {axes!r}")
    return moves, numbers
