"""What is measured: one cell for each pooling, with its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Mode = Literal["max", "avg"]
Reach = Literal["window", "adaptive", "global"]
Direction = Literal["forward", "indices", "pullback", "vjp", "unpool"]
Task = Literal["pool", "omit", "unpool", "regions"]
Size = Literal["latency", "L2", "L3", "DRAM"]

SPATIAL = "DHWL"
ENDINGS: dict[Direction, str] = {
    "forward": "",
    "indices": ", indices",
    "pullback": ", pullback",
    "vjp": ", vjp + pullback",
    "unpool": ", unpool",
}
#: Distinct floats: values repeat only this far apart, so no window of the cells meets a tie.
PERIOD = 1 << 22
#: The share of NaN among the cells where NaN are omitted: some windows are left without a cell.
NANS = 0.1
#: Numbers of a box: which image, and two corners.
BOX = 5


@dataclass(frozen=True)
class Window:
    """The geometry along every spatial axis, as in ``max_pool2d``."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def tiled(self) -> bool:
        """Whether windows lie side by side, without overlap, gaps or padding."""
        return self.kernel == self.stride and not any(self.padding) and set(self.dilation) == {1}

    @property
    def count(self) -> int:
        """Cells of a window."""
        return math.prod(self.kernel)

    def lengths(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Results along every spatial axis."""
        return tuple(
            (length + 2 * p - d * (k - 1) - 1) // s + 1
            for length, k, s, p, d in zip(spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def __str__(self) -> str:
        parts = [("", self.kernel), ("/", self.stride)]
        if any(self.padding):
            parts.append(("p", self.padding))
        if set(self.dilation) != {1}:
            parts.append(("d", self.dilation))
        return " ".join(f"{mark}{_numbers(values)}" for mark, values in parts)


@dataclass(frozen=True)
class Regions:
    """Boxes in an image that is ``1 / scale`` times as large, each cut into ``bins`` along every spatial axis."""

    count: int
    bins: int
    scale: float


@dataclass(frozen=True)
class Data:
    """The arrays of a cell: ``x`` is ``base`` or a view of it, ``dy`` the cotangent if one is needed.

    Where maxima are put back, ``dy`` holds those of ``x`` and ``indices`` their places in the plane. ``boxes`` are rows
    of the number of an image and the corners x1, y1, x2, y2.
    """

    base: Array
    x: Array
    dy: Array | None = None
    indices: Array | None = None
    boxes: Array | None = None

    @property
    def given(self) -> tuple[Array, ...]:
        """What a library is given: ``x`` and what else there is, or maxima and their indices."""
        if self.indices is not None and self.dy is not None:
            return self.dy, self.indices
        return tuple(array for array in (self.x, self.dy, self.boxes) if array is not None)


@dataclass(frozen=True)
class Cell:
    """One pooling: ``shape`` has an axis for each letter of ``layout``, of which D, H, W and L are pooled.

    There are several windows only where several results of one input are wanted. ``step`` other than 1 means that the
    input is a view that takes every ``step``-th cell along the spatial axes of an array of the given shape. Means count
    padding as zeros, as they do by default in PyTorch; means of integers are rounded to the integers' dtype. With
    ``omit`` some cells are NaN and left out. The window of ``regions`` is of the points of a bin, which lie between
    cells. ``unpool`` makes an array of the given shape of the maxima of its windows, which do not overlap.
    """

    name: str
    mode: Mode
    shape: tuple[int, ...]
    layout: str
    windows: tuple[Window, ...]
    dtype: str
    direction: Direction
    size: Size
    reach: Reach = "window"
    step: int = 1
    omit: bool = False
    regions: Regions | None = None

    @property
    def task(self) -> Task:
        """What a library has to be able to do."""
        if self.regions is not None:
            return "regions"
        if self.direction == "unpool":
            return "unpool"
        return "omit" if self.omit else "pool"

    @property
    def window(self) -> Window:
        """The only window, or the first of several."""
        return self.windows[0]

    @property
    def axes(self) -> tuple[int, ...]:
        """The pooled axes."""
        return tuple(axis for axis, letter in enumerate(self.layout) if letter in SPATIAL)

    @property
    def rank(self) -> int:
        """Number of pooled axes."""
        return len(self.axes)

    @property
    def channels_last(self) -> bool:
        """Whether the channels are the fastest axis."""
        return self.layout.endswith("C")

    @property
    def kind(self) -> np.dtype[Any]:
        """The dtype of the data and of the result."""
        if self.dtype == "bfloat16":
            import ml_dtypes

            kind: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return kind
        return np.dtype(self.dtype)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of ``x``."""
        return tuple(-(-length // self.step) if axis in self.axes else length for axis, length in enumerate(self.shape))

    @property
    def spatial(self) -> tuple[int, ...]:
        """Lengths of the pooled axes of ``x``."""
        return tuple(self.input_shape[axis] for axis in self.axes)

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of the values, for each window."""
        if self.regions is not None:
            return ((self.regions.count, self.shape[1], *(self.regions.bins,) * self.rank),)
        shapes = []
        for window in self.windows:
            shape = list(self.input_shape)
            for axis, length in zip(self.axes, window.lengths(self.spatial), strict=True):
                shape[axis] = length
            shapes.append(tuple(shape))
        return tuple(shapes)

    @property
    def result_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of what a call gives: values, values and indices, an array like ``x``, or values and gradient."""
        match self.direction:
            case "forward":
                return self.output_shapes
            case "indices":
                return self.output_shapes * 2
            case "pullback" | "unpool":
                return (self.input_shape,)
            case "vjp":
                return (*self.output_shapes, self.input_shape)

    @property
    def traffic(self) -> int:
        """Bytes that have to be read and written; what a library keeps for its gradient is not counted."""
        values, size = sum(map(math.prod, self.output_shapes)), self.kind.itemsize
        cells = math.prod(self.input_shape)
        if self.regions is not None:
            cells += self.regions.count * BOX
        match self.direction:
            case "forward":
                return (cells + values) * size
            case "indices" | "unpool":
                return (cells + values) * size + values * 8
            case "pullback":
                return (values + cells) * size
            case "vjp":
                return 2 * (cells + values) * size

    @property
    def what(self) -> str:
        """The cell in words: ``max 1x64x112x112 float32 NCHW, 3 /2 p1``."""
        count = f"{len(self.windows)} x " if len(self.windows) > 1 else ""
        shape = "x".join(map(str, self.output_shapes[0] if self.direction == "unpool" else self.shape))
        view = f"[::{self.step}]" if self.step > 1 else ""
        match self.reach:
            case "window":
                windows = ", ".join(map(str, self.windows))
            case "adaptive":
                windows = f"to {_numbers(self.window.lengths(self.spatial))}"
            case "global":
                windows = "all"
        if self.regions is not None:
            windows = f"{self.regions.count} boxes to {self.regions.bins}, {_numbers(self.window.kernel)} points"
        omitted = ", NaN omitted" if self.omit else ""
        ending = ENDINGS[self.direction]
        return f"{count}{self.mode} {shape}{view} {self.dtype} {self.layout}, {windows}{omitted}{ending}"

    def data(self) -> Data:
        """Make the arrays, the same in every process."""
        base = _random(self.shape, self.kind, 1)
        if self.omit:
            base[np.random.default_rng(3).random(self.shape) < NANS] = np.nan
        steps = tuple(slice(None, None, self.step if axis in self.axes else 1) for axis in range(base.ndim))
        x = base[steps] if self.step > 1 else base
        if self.direction in ("pullback", "vjp"):
            return Data(base, x, dy=_random(self.output_shapes[0], self.kind, 2))
        if self.direction == "unpool":
            return Data(base, x, *_maxima(self, x))
        if self.regions is not None:
            return Data(base, x, boxes=_boxes(self, self.regions))
        return Data(base, x)


def _numbers(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else ",".join(map(str, values))


def _random(shape: tuple[int, ...], kind: np.dtype[Any], seed: int) -> Array:
    """Fill an array with integers of the whole range of their dtype, or with floats from -1 to 1 in a random order."""
    count, rng = math.prod(shape), np.random.default_rng(seed)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    period = min(count, PERIOD)
    values = rng.permutation(period).astype(np.float64) * (2 / period) - 1
    return np.resize(values.astype(kind), shape)


def _maxima(cell: Cell, x: Array) -> tuple[Array, Array]:
    """Find the largest cell of every window and its place in the plane; windows are not padded."""
    window, steps = cell.window, [slice(None)] * x.ndim
    for axis, s in zip(cell.axes, window.stride, strict=True):
        steps[axis] = slice(None, None, s)

    def windows(array: Array) -> Array:
        covered = sliding_window_view(array, window.kernel, cell.axes)[tuple(steps)]
        return covered.reshape(*covered.shape[: array.ndim], window.count)

    lengths = [length if axis in cell.axes else 1 for axis, length in enumerate(x.shape)]
    places = np.broadcast_to(np.arange(math.prod(lengths)).reshape(lengths), x.shape)
    best = windows(x).argmax(-1, keepdims=True)
    values, indices = (np.take_along_axis(windows(array), best, -1)[..., 0] for array in (x, places))
    return values, indices


def _boxes(cell: Cell, regions: Regions) -> Array:
    """Draw boxes of any size within the image.

    Corners are at whole pixels and sides are multiples of the bins, so that float32 holds points and weights exactly.
    """
    rng = np.random.default_rng(4)
    limits = np.array([int(length / regions.scale) for length in reversed(cell.spatial)])
    least = math.ceil(1 / (regions.scale * regions.bins))  # a box is at least as large as a cell
    sides = regions.bins * rng.integers(least, limits // regions.bins, (regions.count, cell.rank), endpoint=True)
    corners = rng.integers(0, limits - sides, endpoint=True)
    images = rng.integers(cell.shape[0], size=regions.count)
    return np.column_stack([images, corners, corners + sides]).astype(cell.kind)


@cache
def cells() -> tuple[Cell, ...]:
    """Return all cells, in the order of the networks and fields that they come from."""
    return (
        # ResNet, SqueezeNet and their like
        _cell("R1", "max", "1x64x112x112", "NCHW", "3 2 1", size="L3"),
        _cell("R2", "max", "32x64x112x112", "NCHW", "3 2 1"),
        _cell("R3", "max", "32x112x112x64", "NHWC", "3 2 1"),
        _cell("R4", "max", "32x64x112x112", "NCHW", "3 2 1", "bfloat16"),
        _cell("R5", "max", "32x64x112x112", "NCHW", "3 2 1", direction="indices"),
        _cell("R6", "max", "16x64x112x112", "NCHW", "3 2 1", direction="pullback"),
        _cell("G1", "avg", "32x2048x7x7", "NCHW", "7 7 0", size="L3", reach="global"),
        _cell("S1", "avg", "32x49x768", "NLC", "49 49 0", size="L3", reach="global"),
        _cell("P1", "avg", "1x2048x60x60", "NCHW", "10 10 0", size="L3", reach="adaptive"),
        _cell("A1", "max", "64x96x55x55", "NCHW", "3 2 0"),
        # VGG
        _cell("V1", "max", "8x64x224x224", "NCHW", "2 2 0"),
        _cell("V2", "max", "8x224x224x64", "NHWC", "2 2 0"),
        _cell("V4", "max", "8x64x224x224", "NCHW", "2 2 0", direction="indices"),
        _cell("V5", "max", "8x64x224x224", "NCHW", "2 2 0", direction="vjp"),
        _cell("V6", "max", "8x64x224x224", "NCHW", "2 2 0", direction="pullback"),
        # Inception and DenseNet
        _cell("I1", "max", "32x192x28x28", "NCHW", "3 1 1", size="L3"),
        _cell("I2", "avg", "32x288x35x35", "NCHW", "3 1 1"),
        _cell("I4", "avg", "32x288x35x35", "NCHW", "3 1 1", direction="pullback"),
        _cell("D1", "avg", "32x128x56x56", "NCHW", "2 2 0"),
        _cell("D2", "avg", "32x128x56x56", "NCHW", "2 2 0", direction="pullback"),
        # YOLO
        _cell("Y1", "max", "1x512x20x20", "NCHW", "5 1 2", size="L2"),
        _cell("Y3", "max", "16x512x20x20", "NCHW", "5 1 2, 9 1 4, 13 1 6"),
        _cell("Y4", "max", "16x256x40x40", "NCHW", "5 1 2", direction="indices"),
        # segmentation and detection
        _cell("U2", "max", "4x64x256x256", "NCHW", "2 2 0", direction="unpool"),
        _cell("Q1", "avg", "1x256x50x68", "NCHW", "2 2 0", regions=Regions(1000, 7, 1 / 16)),
        # signals
        _cell("E1", "max", "64x22x1000", "NCL", "4 4 0", size="L3"),
        _cell("E2", "avg", "64x40x1000", "NCL", "75 15 0", size="L3"),
        _cell("E3", "max", "16x12x100000", "NCL", "501 1 250"),
        # video and volumes
        _cell("T1", "max", "1x64x16x112x112", "NCDHW", "1,3,3 1,2,2 0,1,1"),
        _cell("T2", "max", "2x64x32x56x56", "NCDHW", "2 2 0"),
        _cell("T3", "avg", "1x64x32x56x56", "NCDHW", "3 1 1"),
        # satellites, microscopes, photographs
        _cell("H1", "avg", "5490x10980", "HW", "2 2 0", "uint16"),
        _cell("H3", "max", "10980x10980", "HW", "2 2 0", "uint8"),
        _cell("H4", "avg", "5490x5490", "HW", "2 2 0", omit=True),
        _cell("X1", "avg", "64x1024x1024", "NHW", "2 2 0", "uint16"),
        _cell("X2", "max", "64x512x512", "NHW", "3 1 1"),
        _cell("X3", "max", "4096x4096", "HW", "31 1 15"),
        _cell("X4", "avg", "4096x4096", "HW", "31 1 15"),
        _cell("X6", "max", "1024x1024", "HW", "31 1 15", size="L3"),
        _cell("J1", "avg", "3000x4000x3", "HWC", "2 2 0", "uint8", size="L3"),
        # narrow types, dilation, views, small calls
        _cell("N1", "max", "1x56x56x256", "NHWC", "3 2 1", "uint8", size="L2"),
        _cell("F2", "max", "32x64x112x112", "NCHW", "3 2 1", "float16"),
        _cell("Z1", "max", "8x64x128x128", "NCHW", "3 1 1 2"),
        _cell("W1", "max", "8x64x224x224", "NCHW", "2 2 0", step=2),
        _cell("L1", "max", "1x1x8x8", "NCHW", "2 2 0", size="latency"),
    )


def _cell(
    name: str,
    mode: Mode,
    shape: str,
    layout: str,
    windows: str,
    dtype: str = "float32",
    *,
    direction: Direction = "forward",
    size: Size = "DRAM",
    reach: Reach = "window",
    step: int = 1,
    omit: bool = False,
    regions: Regions | None = None,
) -> Cell:
    """Make a cell of a row; a window is ``kernel stride padding [dilation]``, each for all axes or one by one."""
    rank = sum(letter in SPATIAL for letter in layout)

    def each(numbers: str) -> tuple[int, ...]:
        values = tuple(map(int, numbers.split(",")))
        return values * rank if len(values) == 1 else values

    geometry = tuple(Window(*map(each, [*window.split(" "), "1"][:4])) for window in windows.split(", "))
    sizes = tuple(map(int, shape.split("x")))
    return Cell(name, mode, sizes, layout, geometry, dtype, direction, size, reach, step, omit, regions)
