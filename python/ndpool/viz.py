"""Pictures of pooling: the textbook diagram, a gallery of a photograph, and what shifts of it change.

All functions return a :class:`matplotlib.figure.Figure` that belongs to no window and no global state; save it with
``figure.savefig(path)`` or show it as the last line of a notebook cell. Matplotlib is imported when a picture is drawn,
so ``import ndpool.viz`` costs nothing; the extra ``ndpool[demo]`` installs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

import ndpool
from ndpool import _viz_checks as checks
from ndpool import invariance
from ndpool._interop import as_ndarray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from ndpool._types import Ints
    from ndpool.any_axes import Mode

__all__ = ["diagram", "gallery", "shift_plot"]

#: The array of the textbook diagram.
TEXTBOOK = ((1, 1, 2, 4), (5, 6, 7, 8), (3, 2, 1, 0), (1, 2, 3, 4))

# The Okabe-Ito colours that stay apart for every kind of colour vision, one per window, used in turn.
_WINDOW_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00")
# The same without the yellow, which is too light for a line.
_LINE_COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_INK = "#22262B"
_QUIET = "#6B7480"
_HEAT = (0.93, 0.30, 0.0)
_TIMES = "\N{MULTIPLICATION SIGN}"
_TITLES = {"max": "max", "min": "min", "avg": "average", "sum": "sum"}


class _Box(NamedTuple):
    """A rectangle in the coordinates of an axes; ``y`` grows downwards."""

    x: float
    y: float
    width: float
    height: float


def diagram(
    x: ArrayLike | None = None,
    kernel_size: Ints = 2,
    modes: Sequence[Mode] = ("max", "avg"),
) -> Figure:
    """Draw a small array, its windows in colour, and what pooling makes of them.

    Parameters
    ----------
    x : array_like, optional
        The two-dimensional array to draw; by default the 4x4 array of the textbooks.
    kernel_size : int or pair of int
        Rows and columns of a window. The windows do not overlap; the array has to be a whole number of them.
    modes : sequence of str
        What to draw beside the array: names that :func:`ndpool.pool` knows, of modes that need no option.

    Returns
    -------
    matplotlib.figure.Figure
        The array on the left, one result per mode on the right, a window and its result in the same colour. The cells
        that win a maximum or a minimum are set in bold and framed when only one of these modes is drawn.

    Raises
    ------
    TypeError
        When an argument has a wrong type.
    ValueError
        When ``x`` is not two-dimensional or not a whole number of windows, or a mode is not known.

    Examples
    --------
    >>> import ndpool.viz
    >>> figure = ndpool.viz.diagram([[1, 2, 3, 4], [5, 6, 7, 8]], kernel_size=2)
    >>> [text.get_text() for text in figure.axes[0].texts][-6:]
    ['max', '6', '8', 'average', '3.5', '5.5']
    """
    modes = checks.known(modes)
    cells = checks.numbers("x", TEXTBOOK if x is None else x)
    match cells.shape:
        case (height, width):
            pass
        case _:
            raise ValueError(f"x: shape {cells.shape}; a diagram needs two dimensions")
    rows, columns = checks.window("kernel_size", kernel_size)
    if height % rows or width % columns:
        raise ValueError(f"kernel_size: {(rows, columns)} does not divide the shape {cells.shape} into whole windows")

    gap = 2.0  # between the array and the results, in cells
    size = 1.35  # edge of a result's cell, in cells of the array
    out_rows, out_columns = height // rows, width // columns
    span = out_columns * size
    total = width + gap + len(modes) * span + (len(modes) - 1) * 0.9
    middle = height / 2
    top = middle - out_rows * size / 2
    figure, axes = _canvas(total, min(0.0, top - 0.85), max(height, middle + out_rows * size / 2))

    extremes = [mode for mode in modes if mode in ("max", "min")]
    winners = _winners(cells, (rows, columns), extremes[0]) if len(extremes) == 1 else np.zeros(cells.shape, bool)
    for (row, column), value in np.ndenumerate(cells):
        colour = _colour(row // rows * out_columns + column // columns)
        _cell(axes, _Box(column, row, 1.0, 1.0), colour, value, bold=bool(winners[row, column]))
    for row in range(out_rows):
        for column in range(out_columns):
            colour = _colour(row * out_columns + column)
            _frame(axes, _Box(column * columns, row * rows, columns, rows), colour)

    axes.annotate(
        "",
        xy=(width + gap - 0.45, middle),
        xytext=(width + 0.45, middle),
        arrowprops={"arrowstyle": "-|>,head_width=0.35,head_length=0.6", "color": _INK, "linewidth": 2.0},
    )
    kernel = f"{rows}{_TIMES}{columns}"
    axes.text(width + gap / 2, middle - 0.32, kernel, ha="center", va="bottom", fontsize=15, color=_QUIET)
    left = width + gap
    for mode in modes:
        pooled = np.asarray(ndpool.pool(cells, (rows, columns), mode))
        title = _TITLES.get(mode, mode)
        axes.text(left + span / 2, top - 0.3, title, ha="center", va="bottom", fontsize=18, color=_INK, weight="bold")
        for (row, column), value in np.ndenumerate(pooled):
            colour = _colour(row * out_columns + column)
            box = _Box(left + column * size, top + row * size, size, size)
            _cell(axes, box, colour, value)
            _frame(axes, box, colour)
        left += span + 0.9
    return figure


def gallery(
    photo: ArrayLike,
    sizes: Sequence[int] = (2, 4, 8),
    modes: Sequence[Mode] = ("max", "min", "avg"),
    focus: tuple[int, int] | None = None,
) -> Figure:
    """Show a photograph pooled with several windows, and the pixels that its gradient reaches.

    Parameters
    ----------
    photo : array_like
        A photograph, ``(height, width)`` grey or ``(height, width, 3)`` in colour: ``uint8``, or floats from 0 to 1.
    sizes : sequence of int
        Edges of the square windows, one column each. The windows do not overlap.
    modes : sequence of str
        One row each: names that :func:`ndpool.pool` knows, of modes that need no option.
    focus : pair of int, optional
        Row and column in the middle of the part whose gradient is shown; by default the middle of the photograph.

    Returns
    -------
    matplotlib.figure.Figure
        The photograph on the left, with a framed part of it below; a row per mode with the pooled photograph at every
        size and, in the last column, a gradient map of the framed part: the gradient of the sum of the grey photograph
        pooled at the largest size, the stronger the more orange. A maximum or a minimum hands the gradient of a window
        to the one pixel that won, an average shares it out among all. A mode without a gradient has no map.

    Raises
    ------
    TypeError
        When an argument has a wrong type.
    ValueError
        When ``photo`` has neither of the two forms, or is smaller than the largest window; or when a size is below 1, a
        mode is not known, or there are none of either.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool.viz
    >>> figure = ndpool.viz.gallery(np.linspace(0, 1, 64 * 64).reshape(64, 64))
    >>> len(figure.axes)
    14
    """
    modes, edges = checks.known(modes), checks.edges(sizes)
    image = checks.numbers("photo", photo)
    match image.shape:
        case (height, width) | (height, width, 3):
            pass
        case _:
            raise ValueError(f"photo: shape {image.shape}; a photograph is (height, width) or (height, width, 3)")
    largest = max(edges)
    if min(height, width) < largest:
        raise ValueError(f"photo: shape {image.shape}; the largest window is {largest}{_TIMES}{largest}")
    centre = (height // 2, width // 2) if focus is None else checks.pair("focus", focus)
    pixels = image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)

    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

    panel = 2.4  # width of a pooled photograph, in inches
    gap, row_gap, head = 0.12, 0.12, 0.42
    row_height = panel * height / width
    block = len(modes) * (row_height + row_gap) - row_gap  # the height of all rows
    between = 0.45  # between the photograph and its part, for the part's title
    left = (block - between) / 2 * width / height
    columns = len(edges) + 1
    total_width = left + columns * (panel + gap) + 0.75
    total_height = head + block + row_gap
    figure = Figure(figsize=(total_width, total_height), dpi=150, facecolor="white")
    ends = {"top": 1 - head / total_height, "bottom": row_gap / total_height}
    whole = GridSpec(
        2,
        1,
        figure,
        left=0.1 / total_width,
        right=(left + 0.1) / total_width,
        hspace=2 * between / (block - between),
        **ends,
    )
    grid = GridSpec(
        len(modes),
        columns,
        figure,
        left=(left + 0.65) / total_width,
        right=1 - 0.1 / total_width,
        wspace=gap / panel,
        hspace=row_gap / row_height,
        **ends,
    )

    rows, cols = _detail((height, width), largest, centre)
    axes = figure.add_subplot(whole[0])
    _picture(axes, pixels, f"photograph, {height}{_TIMES}{width}")
    framed = _Box(cols.start - 0.5, rows.start - 0.5, cols.stop - cols.start, rows.stop - rows.start)
    for colour, line in (("white", 3.4), (_INK, 1.5)):
        _outline(axes, framed, colour, line)
    axes = figure.add_subplot(whole[1])
    part = pixels[rows, cols]
    _picture(axes, part, f"framed part, {part.shape[0]}{_TIMES}{part.shape[1]}")
    _window_lines(axes, part.shape[:2], largest)

    grey = pixels.reshape(height, width, -1).mean(axis=2)
    for row, mode in enumerate(modes):
        for column, size in enumerate(edges):
            axes = figure.add_subplot(grid[row, column])
            pooled = np.asarray(ndpool.pool(pixels, (size, size), mode, axis=(0, 1)))
            _picture(axes, pooled, f"{size}{_TIMES}{size}" if row == 0 else "")
            if column == 0:
                axes.set_ylabel(_TITLES.get(mode, mode), fontsize=15, color=_INK, weight="bold", labelpad=8)
        axes = figure.add_subplot(grid[row, columns - 1])
        _gradient_map(axes, grey, (rows, cols), largest, mode)
        _bare(axes, f"gradient, {largest}{_TIMES}{largest}" if row == 0 else "")
    return figure


def shift_plot(
    photo: ArrayLike,
    functions: Mapping[str, Callable[[Any], Any]] | None = None,
    max_shift: int = 8,
    *,
    border: Literal["wrap", "crop"] = "crop",
) -> Figure:
    """Draw how far results move when a photograph is shifted to the right, a curve for each function.

    Parameters
    ----------
    photo : array_like
        A photograph, or any array whose last axis can be shifted.
    functions : mapping of str to callable, optional
        What to draw, by name: functions of an array that return an array. If not given, the maximum, the mean and the
        first cell (which is a stride and nothing else) of windows of 4x4.
    max_shift : int
        The largest shift, in pixels: not negative, and for ``"crop"`` less than the last axis has cells.
    border : {"wrap", "crop"}
        What comes in at the border: see :mod:`ndpool.invariance`.

    Returns
    -------
    matplotlib.figure.Figure
        :func:`ndpool.invariance.shift_error` of shifts from 0 to ``max_shift``.

    Raises
    ------
    TypeError
        When an argument has a wrong type.
    ValueError
        When ``functions`` holds none, or the photograph is too small for the largest shift.

    Examples
    --------
    >>> import numpy as np
    >>> import ndpool.viz
    >>> photo = np.random.default_rng(0).random((32, 64))
    >>> figure = ndpool.viz.shift_plot(photo, max_shift=6)
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['max', 'average', 'first']
    >>> figure.axes[0].lines[0].get_xdata()
    array([0, 1, 2, 3, 4, 5, 6])
    """
    x, _ = as_ndarray("photo", photo)
    if functions is None:
        functions = {"max": _blocks("max"), "average": _blocks("avg"), "first": _blocks("first")}
    checks.expect_functions(functions)
    largest, length = checks.index("max_shift", max_shift), x.shape[-1] if x.ndim else 0
    if largest > length - (border == "crop"):
        raise ValueError(f"max_shift: {largest} is too much for the last axis of an array of shape {x.shape}")
    shifts = np.arange(largest + 1)

    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 4.2), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for number, (name, function) in enumerate(functions.items()):
        errors = invariance.shift_error(function, x, shifts, border=border)
        colour = _LINE_COLOURS[number % len(_LINE_COLOURS)]
        axes.plot(shifts, errors, label=name, color=colour, linewidth=2.2, marker="o", clip_on=False)
    axes.set_xlabel("shift to the right, in pixels", fontsize=12, color=_QUIET)
    axes.set_ylabel("change of the result", fontsize=12, color=_QUIET)
    axes.set_xlim(0, max(largest, 1))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=_QUIET)
    axes.grid(axis="y", color=_QUIET, alpha=0.2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_QUIET)
    axes.legend(frameon=False, fontsize=12, labelcolor=_INK)
    return figure


def _blocks(mode: Mode) -> Callable[[Any], Any]:
    """Return what pools the last two axes by windows of 4x4."""
    return lambda x: ndpool.pool(x, (4, 4), mode)


def _canvas(width: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """Make a white figure whose one axes counts in cells, with the row axis downwards."""
    from matplotlib.figure import Figure

    margin = 0.25
    inch = 0.72  # per cell
    size = ((width + 2 * margin) * inch, (bottom - top + 2 * margin) * inch)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(-margin, width + margin)
    axes.set_ylim(bottom + margin, top - margin)
    axes.set_axis_off()
    return figure, axes


def _colour(index: int) -> str:
    return _WINDOW_COLOURS[index % len(_WINDOW_COLOURS)]


def _cell(axes: Axes, box: _Box, colour: str, value: Any, *, bold: bool = False) -> None:
    """Draw a cell: a tint of the window's colour and the number in it."""
    from matplotlib.patches import Rectangle

    corner, (width, height) = box[:2], box[2:]
    axes.add_patch(Rectangle(corner, width, height, facecolor=colour, alpha=0.72 if bold else 0.30, edgecolor="none"))
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=1.5))
    axes.text(
        box.x + width / 2,
        box.y + height / 2,
        f"{float(value):.4g}",
        ha="center",
        va="center_baseline",
        fontsize=19,
        color=_INK,
        weight="bold" if bold else "normal",
    )


def _frame(axes: Axes, box: _Box, colour: str) -> None:
    """Draw the border of a window or of its result, just inside the cells so that neighbours do not overlap."""
    inset = 0.035
    inside = _Box(box.x + inset, box.y + inset, box.width - 2 * inset, box.height - 2 * inset)
    _outline(axes, inside, colour, 3.0)


def _winners(cells: NDArray[Any], kernel: tuple[int, int], mode: Mode) -> NDArray[np.bool_]:
    """Find the cells that win their window: where the gradient of the pooled array's sum arrives."""
    y, pullback = ndpool.vjp(ndpool.pool, cells.astype(np.float64), kernel, mode)
    return np.asarray(pullback(np.ones_like(y))).astype(bool)


def _detail(shape: tuple[int, int], size: int, focus: tuple[int, int]) -> tuple[slice, slice]:
    """Choose whole windows around ``focus``: at most eight high, with about the photograph's proportions."""
    high = min(8, shape[0] // size)
    counts = (high, min(max(1, round(high * shape[1] / shape[0])), shape[1] // size))
    slices = []
    for length, count, centre in zip(shape, counts, focus, strict=True):
        first = min(max(0, round(centre / size - count / 2)), length // size - count)
        slices.append(slice(first * size, (first + count) * size))
    return slices[0], slices[1]


def _picture(axes: Axes, pixels: NDArray[Any], title: str) -> None:
    shown = np.clip(pixels, 0.0, 1.0)
    axes.imshow(shown, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    _bare(axes, title)


def _gradient_map(axes: Axes, grey: NDArray[Any], part: tuple[slice, slice], size: int, mode: Mode) -> None:
    """Draw the gradient of the sum of a pooled picture over a part of it, or say that the mode has none."""
    try:
        y, pullback = ndpool.vjp(ndpool.pool, grey, (size, size), mode)
    except TypeError:  # pooling itself has succeeded
        axes.text(0.5, 0.5, "no gradient", ha="center", va="center", transform=axes.transAxes, color=_QUIET)
        return
    gradient = np.abs(np.asarray(pullback(np.ones_like(y))))
    _picture(axes, 0.4 + 0.6 * grey[part], "")
    _heat(axes, gradient[part])
    _window_lines(axes, grey[part].shape, size)


def _heat(axes: Axes, gradient: NDArray[Any]) -> None:
    """Lay a gradient from 0 to 1 in orange over the picture; the cube root lets small values be seen."""
    layer = np.empty((*gradient.shape, 4))
    layer[..., :3] = _HEAT
    layer[..., 3] = np.cbrt(np.clip(gradient, 0.0, 1.0))
    axes.imshow(layer, interpolation="nearest")


def _window_lines(axes: Axes, shape: tuple[int, ...], size: int) -> None:
    """Draw thin lines between the windows of a picture."""
    height, width = shape
    axes.hlines(np.arange(size, height, size) - 0.5, -0.5, width - 0.5, colors="white", linewidth=0.5, alpha=0.8)
    axes.vlines(np.arange(size, width, size) - 0.5, -0.5, height - 0.5, colors="white", linewidth=0.5, alpha=0.8)


def _outline(axes: Axes, box: _Box, colour: str, line: float) -> None:
    from matplotlib.patches import Rectangle

    border = Rectangle(box[:2], box.width, box.height, fill=False, edgecolor=colour, linewidth=line, joinstyle="round")
    axes.add_patch(border)


def _bare(axes: Axes, title: str) -> None:
    """Take ticks and frame away and set a quiet title."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(title, fontsize=12, color=_QUIET, pad=6)
