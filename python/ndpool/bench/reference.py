"""What is right: windows computed one by one in float64, at places that are sampled."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ndpool.bench.cells import Array, Cell, Data, Regions, Window

PLACES = 200
#: Cells compared at a time, so that a check needs little memory of its own.
CHUNK = 1 << 20
#: What a library may be off, in units of rounding of the largest value: some keep running sums of float32.
ROUNDINGS = 64
#: What ndpool may be off: a gradient is the sum of several cotangents, larger than each.
EXACT = 4

Place = tuple[int, ...]


def tolerance(cell: Cell, *, exact: bool = False) -> float:
    """Return how far a value may be off; maxima and, with ``exact``, integers may not be off at all."""
    if cell.mode == "max" and cell.direction in ("forward", "indices", "unpool"):
        return 0.0
    if cell.kind.kind in "iu":
        return 0.0 if exact else 1.0  # halves are rounded up by some, to even by others
    rounding = 2.0**-7 if cell.dtype == "bfloat16" else float(np.finfo(cell.kind).eps)
    return (EXACT if exact else ROUNDINGS) * rounding  # no value is larger than 1


def misplaced(cell: Cell, data: Data, results: tuple[Array, ...], *, exact: bool = False) -> str | None:
    """Compare results with the windows at sampled places; say what is wrong.

    With ``exact``, values have to be rounded correctly and indices to be those of the first of equal cells.
    """
    shapes = cell.result_shapes
    if len(results) != len(shapes):
        return f"{len(results)} results, not {len(shapes)}"
    for result, shape in zip(results, shapes, strict=True):
        if result.shape != shape:
            return f"shape {result.shape}, not {shape}"
    room = tolerance(cell, exact=exact)
    rows = zip(results, _expected(cell, data), strict=False)  # what is left are indices
    found = [_misplaced_values(values, expected, room) for values, expected in rows]
    if cell.direction == "indices":
        found.append(_misplaced_index(cell, data, results[1], exact=exact))
    return next((message for message in found if message is not None), None)


def different(cell: Cell, data: Data, results: tuple[Array, ...], others: tuple[Array, ...]) -> str | None:
    """Compare two libraries' results as wholes; indices may differ where the cells are equal."""
    room = tolerance(cell)
    for number, (result, other) in enumerate(zip(results, others, strict=True)):
        indices = cell.direction == "indices" and number == 1
        mine, theirs = (_at(cell, data, result), _at(cell, data, other)) if indices else (result, other)
        mine, theirs = np.ravel(mine), np.ravel(theirs)
        for start in range(0, mine.size, CHUNK):
            part = slice(start, start + CHUNK)
            off = np.abs(mine[part].astype(np.float64) - theirs[part])
            wrong = ~(off <= (0.0 if indices else room))
            if cell.omit:
                wrong &= ~(np.isnan(mine[part]) & np.isnan(theirs[part]))
            if wrong.any():
                at = start + int(np.argmax(wrong))
                return f"{mine[at]} at {np.unravel_index(at, result.shape)} where ndpool has {theirs[at]}"
    return None


def _places(shape: tuple[int, ...]) -> Iterator[Place]:
    """Sample places, the first and the last among them."""
    rng = np.random.default_rng(3)
    yield (0,) * len(shape)
    yield tuple(length - 1 for length in shape)
    for numbers in rng.integers(0, shape, (PLACES - 2, len(shape))):
        yield tuple(map(int, numbers))


def _expected(cell: Cell, data: Data) -> list[Callable[[Place], float]]:
    """Return for each result, but indices, what computes a value of it."""
    if cell.regions is not None:
        return [partial(_region, cell, data, cell.regions)]
    values: list[Callable[[Place], float]] = [partial(_value, cell, data, window) for window in cell.windows]
    match cell.direction:
        case "forward" | "indices":
            return values
        case "pullback" | "unpool":
            return [partial(_gradient, cell, data)]
        case "vjp":
            return [*values, partial(_gradient, cell, data)]


def _misplaced_values(values: Array, expected: Callable[[Place], float], room: float) -> str | None:
    for place in _places(values.shape):
        value, right = float(values[place]), expected(place)
        if not (abs(value - right) <= room or (math.isnan(value) and math.isnan(right))):
            return f"{values[place]} at {place}, not {right}"
    return None


def _misplaced_index(cell: Cell, data: Data, indices: Array, *, exact: bool) -> str | None:
    for place in _places(indices.shape):
        index, first = int(indices[place]), _first(cell, data, place)
        if index != first and (exact or not _ties(cell, data, place, index)):
            return f"index {index} at {place}, not {first}"
    return None


def _covered(cell: Cell, window: Window, place: Place) -> tuple[Any, ...]:
    """Index the input cells of the window at ``place``: a range along pooled axes, the place itself along others."""
    index: list[Any] = list(place)
    rows = zip(cell.axes, window.kernel, window.stride, window.padding, window.dilation, strict=True)
    for axis, k, s, p, d in rows:
        start = place[axis] * s - p
        first, last = max(0, -(start // d)), (cell.input_shape[axis] - 1 - start) // d
        index[axis] = slice(start + first * d, start + min(k - 1, last) * d + 1, d)
    return tuple(index)


def _value(cell: Cell, data: Data, window: Window, place: Place) -> float:
    covered = data.x[_covered(cell, window, place)].astype(np.float64)
    if cell.mode == "max":
        return float(covered.max())
    if cell.omit:
        covered = covered[~np.isnan(covered)]
        return float(covered.mean()) if covered.size else math.nan
    mean = float(covered.sum()) / window.count
    return float(np.rint(mean)) if cell.kind.kind in "iu" else mean


def _region(cell: Cell, data: Data, regions: Regions, place: Place) -> float:
    """Average the points of a bin; beyond the middle of the outer cells an image goes on with their values."""
    if data.boxes is None:
        raise ValueError(f"{cell.name} has no boxes")
    number, channel, *bins = place
    image, *corners = data.boxes[number].astype(np.float64)
    lows, highs = corners[cell.rank - 1 :: -1], corners[: cell.rank - 1 : -1]  # of x and y, wanted of y and x
    mean = data.x[int(image), channel].astype(np.float64)
    rows = zip(bins, lows, highs, cell.window.kernel, cell.spatial, strict=True)
    for bin_, low, high, points, length in rows:
        within = (bin_ + (np.arange(points) + 0.5) / points) / regions.bins
        at = np.clip(regions.scale * (low + (high - low) * within), 0, length - 1)
        weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(length))).mean(0)
        mean = np.tensordot(weights, mean, 1)
    return float(mean)


def _first(cell: Cell, data: Data, place: Place) -> int:
    """Return the index within the spatial axes of the first largest cell of a window."""
    index = _covered(cell, cell.window, place)
    covered = data.x[index]
    within = np.unravel_index(int(np.argmax(covered)), covered.shape)
    cells = [index[axis].start + int(w) * index[axis].step for axis, w in zip(cell.axes, within, strict=True)]
    return int(np.ravel_multi_index(cells, cell.spatial))


def _ties(cell: Cell, data: Data, place: Place, index: int) -> bool:
    """Whether an index points into the window at ``place``, at a cell that is equal to the maximum."""
    if not 0 <= index < math.prod(cell.spatial):
        return False
    covered, other = _covered(cell, cell.window, place), list(place)
    for axis, position in zip(cell.axes, np.unravel_index(index, cell.spatial), strict=True):
        if int(position) not in range(covered[axis].start, covered[axis].stop, covered[axis].step):
            return False
        other[axis] = int(position)
    return bool(data.x[tuple(other)] == data.x[covered].max())


def _gradient(cell: Cell, data: Data, place: Place) -> float:
    """Sum the cotangents of the windows that the cell at ``place`` won, or its shares of those that it is in.

    Maxima that are put back are cotangents of windows that lie side by side.
    """
    if data.dy is None:
        raise ValueError(f"{cell.name} has no cotangent")
    window, ranges = cell.window, []
    lengths = window.lengths(cell.spatial)
    rows = zip(cell.axes, window.kernel, window.stride, window.padding, window.dilation, lengths, strict=True)
    for axis, k, s, p, d, length in rows:
        taps = (place[axis] + p - d * tap for tap in range(k))
        ranges.append([at // s for at in taps if at % s == 0 and 0 <= at // s < length])
    own = int(np.ravel_multi_index([place[axis] for axis in cell.axes], cell.spatial))
    total = 0.0
    for outputs in itertools.product(*ranges):
        output = list(place)
        for axis, position in zip(cell.axes, outputs, strict=True):
            output[axis] = position
        if cell.mode == "avg":
            total += float(data.dy[tuple(output)]) / window.count
        elif _first(cell, data, tuple(output)) == own:
            total += float(data.dy[tuple(output)])
    return total


def _at(cell: Cell, data: Data, indices: Array) -> Array:
    """Gather the cells that indices point at; one out of range gives a NaN."""
    planes = math.prod(cell.spatial)
    own = tuple(range(-cell.rank, 0))
    flat = np.moveaxis(data.x, cell.axes, own).reshape(-1, planes)
    chosen = np.moveaxis(indices, cell.axes, own).reshape(flat.shape[0], -1)
    valid = (chosen >= 0) & (chosen < planes)
    values = np.take_along_axis(flat, np.where(valid, chosen, 0), 1)
    return values if valid.all() else np.where(valid, values.astype(np.float64), np.nan)
