"""``ndpool apply``: pool the array or picture in a file into another file, in parts that a progress bar can count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

import ndpool
from ndpool.cli import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

#: Bytes of the input that are pooled at once, between two steps of the progress bar.
PART = 32 << 20
#: Height and width of a picture.
PICTURE = (0, 1)
#: Modes whose results depend on where a window is, and not on its cells alone.
PLACED = ("stochastic",)


@dataclass(frozen=True)
class Request:
    """What the command line asks for: numbers for all axes, or one for each, as `ndpool.pool` takes them."""

    mode: Any
    window: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    axis: Any = None
    ceil_mode: bool = False
    dtype: np.dtype[Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Axis(NamedTuple):
    """The windows along one axis."""

    number: int
    window: int
    stride: int
    before: int
    after: int
    dilation: int

    @property
    def extent(self) -> int:
        """From the first to the last cell of a window."""
        return self.dilation * (self.window - 1) + 1


def run(source: Path, target: Path, request: Request, console: Console) -> int:
    """Pool `source` into `target`; the exit code is 0.

    Raises
    ------
    FileError
        When a file cannot be read or written.
    TypeError, ValueError
        When an option is wrong, by itself or for what the file holds.
    """
    for path in (source, target):
        files.kind(path)
    content = files.read(source)
    x = content.array
    if x.ndim == 0:
        raise ValueError(f"{source}: holds a single number, which has no axes to pool")
    axes = windows(request, x.shape, PICTURE if content.picture and request.axis is None else request.axis)
    shape = ndpool.output_shape(x.shape, **geometry(axes), ceil_mode=request.ceil_mode)

    misfits = 0
    with files.result(target, shape, content.save) as write, _progress(console) as progress:
        task = progress.add_task(target.name, total=shape[0])
        for rows, part in parts(request, x, axes, shape[0]):
            like_source = content.picture and files.is_picture(target) and part.dtype != np.bool_
            dtype = request.dtype or (x.dtype.newbyteorder("=") if like_source else part.dtype)
            numbers, count = files.converted(part, dtype)
            write(numbers)
            misfits += count
            progress.update(task, completed=rows.stop)
    console.print(f"wrote {target}: shape {shape}, {dtype}", highlight=False, soft_wrap=True)
    if misfits:
        console.print(f"{misfits} results did not fit {dtype} and were clipped", style="yellow", highlight=False)
    return 0


def windows(request: Request, shape: tuple[int, ...], axis: Any) -> list[Axis]:
    """Say what the windows are along each pooled axis of an array."""
    arguments = {name: getattr(request, name) for name in ("window", "stride", "padding", "dilation", "ceil_mode")}
    results = ndpool.output_shape(shape, axis=axis, **arguments)  # which checks everything
    if axis is None:
        count = len(request.window) if isinstance(request.window, tuple) else len(shape)
        axis = range(len(shape) - count, len(shape))
    numbers = [number % len(shape) for number in (axis if isinstance(axis, range | tuple) else (axis,))]
    axes = []
    for place, number in enumerate(numbers):
        window, dilation = _at(request.window, place), _at(request.dilation, place)
        stride = window if request.stride is None else _at(request.stride, place)
        plain = Axis(number, window, stride, 0, 0, dilation)
        if isinstance(request.padding, str):
            lacking = max(0, (results[number] - 1) * stride + plain.extent - shape[number])
            lacking *= request.padding != "valid"
            small, large = lacking // 2, (lacking + 1) // 2
            pair = (large, small) if request.padding == "same_lower" else (small, large)
        else:
            padding = _at(request.padding, place)
            pair = padding if isinstance(padding, tuple) else (padding, padding)
        axes.append(plain._replace(before=pair[0], after=pair[1]))
    return axes


def geometry(axes: list[Axis]) -> dict[str, Any]:
    """Return windows as arguments of `ndpool.pool`."""
    return {
        "axis": [axis.number for axis in axes],
        "window": [axis.window for axis in axes],
        "stride": [axis.stride for axis in axes],
        "padding": [(axis.before, axis.after) for axis in axes],
        "dilation": [axis.dilation for axis in axes],
    }


def parts(request: Request, x: NDArray[Any], axes: list[Axis], length: int) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Pool some results along the first axis at a time; yield which, and these."""
    options = {"mode": request.mode, "ceil_mode": request.ceil_mode} | request.options
    if length == 0 or x.nbytes <= PART or request.mode in PLACED or not _can_be_cut(axes):
        yield slice(0, length), np.asarray(ndpool.pool(x, **geometry(axes), **options))
        return
    at_once = max(1, PART * length // x.nbytes)
    for start in range(0, length, at_once):
        rows = slice(start, min(start + at_once, length))
        cells, cut = _cells(axes, rows, len(x))
        yield rows, np.asarray(ndpool.pool(x[cells], **geometry(cut), **options))


def _can_be_cut(axes: list[Axis]) -> bool:
    """Whether every window along the first axis has a cell of data.

    Then every part has one, and no part has a last window that starts past its data, which `ceil_mode` would drop.
    """
    return all(axis.number != 0 or max(axis.before, axis.after) < axis.extent for axis in axes)


def _cells(axes: list[Axis], rows: slice, length: int) -> tuple[slice, list[Axis]]:
    """Return the cells along the first axis that some results need, and the windows with the padding of these.

    Every window has to have a cell of data.
    """
    cut = list(axes)
    for place, axis in enumerate(axes):
        if axis.number != 0:
            continue
        start = rows.start * axis.stride - axis.before
        # With ceil_mode the last window reaches past the padding.
        stop = min((rows.stop - 1) * axis.stride - axis.before + axis.extent, length + axis.after)
        cut[place] = axis._replace(before=max(0, -start), after=max(0, stop - length))
        return slice(max(0, start), min(stop, length)), cut
    return rows, cut


def _at(value: Any, place: int) -> Any:
    """Return the number of an axis: its own, or that of all."""
    if not isinstance(value, tuple):
        return value
    return value[place] if len(value) > 1 else value[0]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
