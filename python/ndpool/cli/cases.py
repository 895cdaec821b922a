"""What ``ndpool demo`` runs: each operation once, on a photograph, with the shortest way to say it in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import skimage.data
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ndpool.any_axes import Mode

Array = NDArray[Any]
Reduction = Callable[..., Any]


#: Filters for edges across and along rows, by Sobel.
SOBEL = np.array([[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]], [[[-1, -2, -1], [0, 0, 0], [1, 2, 1]]]], np.float32)
#: Image, left, top, right and bottom of boxes.
BOXES = np.array([[0, 1, 1, 6, 8], [0, 0, 2, 9, 7], [0, 100, 60, 299, 319]])
#: Pixels of a token, and queries that look for them.
TOKEN = 16
QUERIES = np.random.default_rng(5).standard_normal((2, TOKEN)).astype(np.float32)
#: The segment of each row.
SEGMENTS = 5 * np.arange(64) % 7


@dataclass(frozen=True)
class Case:
    """One operation of the package, its arguments, and the same result by NumPy."""

    group: str
    function: str
    label: str
    data: str
    args: tuple[Any, ...]
    numpy: Callable[[Array], Array]
    options: Mapping[str, Any] = field(default_factory=dict)
    differentiable: bool = True

    @property
    def name(self) -> str:
        """The function and its arguments, as a reader would say them."""
        return f"{self.function} {self.label}".rstrip()


def photograph(name: str) -> Array:
    """Read one of the photographs inside the scikit-image package, as bytes; no network is needed."""
    return np.asarray(getattr(skimage.data, name)())


def photographs() -> dict[str, Array]:
    """Make the arrays that the cases run on.

    ``lines`` are the 512 rows of a grey photograph, ``image`` is a colour photograph with the channels first, ``batch``
    is the same as a batch of one, ``pan`` is a pan of 16 frames across another, as a view with overlapping memory, and
    ``photo`` is one as it was read: bytes, the channels last. ``grey`` is a batch of one grey photograph, ``tokens``
    are its pieces of 4 by 4 pixels, and ``rows`` every eighth row. Floats are from 0 to 1.
    """

    def scaled(name: str) -> Array:
        return photograph(name).astype(np.float32) / np.float32(255)

    astronaut = np.ascontiguousarray(scaled("astronaut").transpose(2, 0, 1))
    rocket = scaled("rocket").transpose(2, 0, 1)
    camera = scaled("camera")
    pieces = camera.reshape(128, 4, 128, 4).transpose(0, 2, 1, 3)
    frames = sliding_window_view(rocket, 384, axis=2)[:, :384, ::16]
    return {
        "lines": camera,
        "image": astronaut,
        "batch": astronaut[None],
        "pan": frames.transpose(0, 2, 1, 3)[:, :16],
        "photo": photograph("coffee"),
        "grey": camera[None, None],
        "tokens": pieces.reshape(1, 128 * 128, TOKEN),
        "rows": camera[:: 512 // len(SEGMENTS)],
    }


def crops(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Cut a small float64 piece out of each array, for finite differences.

    Neighbouring pixels of a photograph are often equal, and a maximum has no derivative where two cells tie: a ramp of
    less than one grey level, in a fixed random order, sets them apart.
    """
    pieces = {
        "lines": arrays["lines"][200:202, 200:224],
        "image": arrays["image"][:2, 100:110, 230:241],
        "batch": arrays["batch"][:, :2, 100:110, 230:241],
        "pan": arrays["pan"][:2, :5, 180:189, 150:158],
        "photo": arrays["photo"][100:110, 280:291, :2] / 255.0,
        "grey": arrays["grey"][:, :, 100:110, 230:241],
        "tokens": arrays["tokens"][:, 8000:8006],
        "rows": arrays["rows"][:, 230:233],
    }
    rng = np.random.default_rng(2)
    return {
        name: piece.astype(np.float64) + rng.permutation(piece.size).reshape(piece.shape) / (256.0 * piece.size)
        for name, piece in pieces.items()
    }


def cases() -> list[Case]:
    """List what there is in its usual forms; the windows, strides and paddings vary."""
    found: list[Case] = []
    for dims, data, bins in ((1, "lines", 12), (2, "image", 7), (3, "pan", 4)):
        group, axes = f"{dims}d", tuple(range(-dims, 0))
        highest = _windows(np.max, axes, 3, 2, padding=1, fill=-np.inf)
        lowest = _windows(np.min, axes, 3, 2, padding=1, fill=np.inf)
        mean, to = _windows(np.mean, axes, 2, 2), f"to {bins}"
        found += [
            Case(group, f"max_pool{dims}d", "k3 s2 p1", data, (3, 2, 1), highest),
            Case(group, f"min_pool{dims}d", "k3 s2 p1", data, (3, 2, 1), lowest),
            Case(group, f"avg_pool{dims}d", "k2", data, (2,), mean),
            Case(group, f"lp_pool{dims}d", "p2 k2", data, (2, 2), _windows(_norm, axes, 2, 2)),
            Case(group, f"adaptive_avg_pool{dims}d", to, data, (bins,), _bins(np.mean, axes, bins)),
            Case(group, f"adaptive_max_pool{dims}d", to, data, (bins,), _bins(np.max, axes, bins)),
        ]
    found += [
        Case("global", "global_pool", "avg", "batch", ("avg",), lambda x: x.mean((2, 3))),
        Case("global", "global_avg_pool", "", "batch", (), lambda x: x.mean((2, 3))),
        Case("global", "global_max_pool", "", "batch", (), lambda x: x.max((2, 3))),
    ]
    plane = {"axis": (0, 1), "stride": 2}
    for mode, reduction in (("max", np.max), ("min", np.min), ("sum", np.sum), ("avg", np.mean)):
        way = _windows(reduction, (0, 1), 4, 2)
        found.append(Case("pool", "pool", f"{mode} k4 s2", "photo", (4, mode), way, plane))
    padded = {**plane, "padding": 1}
    found.append(Case("pool", "pool", "count k4 s2 p1", "photo", (4, "count"), _count, padded, differentiable=False))
    for mode, reduction in MODES.items():
        way = _windows(reduction, (1, 2), 3, 2)
        found.append(Case("modes", "pool", f"{mode} k3 s2", "image", ((3, 3), mode), way, {"stride": 2}))
    found += [
        Case("blocks", "coarsen", "max 7", "image", ((7, 7), "max"), _blocks(np.maximum, 7)),
        Case("blocks", "adaptive_pool", "min to 9", "image", ((9, 9), "min"), _bins(np.min, (1, 2), 9)),
        Case("further", "conv2d", "3x3 s2", "grey", (SOBEL, None, 2), _edges),
        Case("further", "blur_pool2d", "3x3 s2", "image", (), _blurred),
        Case("further", "roi_pool", "to 2", "batch", (BOXES, 2), _boxes),
        Case("further", "attention_pool", "2 queries", "tokens", (QUERIES,), _attended),
        Case("further", "segment_pool", "7 means", "rows", (SEGMENTS,), _segments),
    ]
    return found


def _norm(cells: Array, axis: tuple[int, ...]) -> Array:
    return np.asarray(np.sqrt(np.sum(cells * cells, axis=axis)))


def _soft(cells: Array, axis: tuple[int, ...]) -> Array:
    weights = np.exp(cells)
    return np.asarray(np.sum(weights * cells, axis=axis) / np.sum(weights, axis=axis))


#: Modes that compute, as NumPy computes them on cells from 0 to 1.
MODES: dict[Mode, Reduction] = {
    "var": np.var,
    "std": np.std,
    "median": np.median,
    "lp": _norm,
    "gem": lambda cells, axis: np.cbrt(np.mean(np.maximum(cells, 1e-6) ** 3, axis=axis)),
    "lse": lambda cells, axis: np.log(np.mean(np.exp(cells), axis=axis)),
    "soft": _soft,
}


def _count(x: Array) -> Array:
    """Count the real cells of every window of the last case."""
    return _windows(np.sum, (0, 1), 4, 2, padding=1)(np.ones(x.shape, np.int64))


def _edges(x: Array) -> Array:
    """Convolve by the filters of Sobel, at stride 2."""
    windows = sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    return np.asarray(np.einsum("nchwij,ocij->nohw", windows, SOBEL))


def _blurred(x: Array) -> Array:
    """Take weighted means of 3x3 cells, at stride 2; past the border comes the mirrored image."""
    windows = sliding_window_view(np.pad(x, [(0, 0), (1, 1), (1, 1)], mode="reflect"), (3, 3), axis=(1, 2))
    weights = np.outer([1, 2, 1], [1, 2, 1]).astype(x.dtype) / 16
    return np.asarray(np.einsum("chwij,ij->chw", windows[:, ::2, ::2], weights))


def _boxes(x: Array) -> Array:
    """Cut out every box, the last row and column included, and take the maxima of its bins."""
    cut = [x[image, :, top : bottom + 1, left : right + 1] for image, left, top, right, bottom in BOXES]
    return np.stack([_bins(np.max, (1, 2), 2)(cells) for cells in cut])


def _attended(x: Array) -> Array:
    """Weight tokens by the softmax of their scores, for each query."""
    weights = np.exp(x @ QUERIES.T / np.sqrt(x.dtype.type(TOKEN)))
    return np.asarray((weights / weights.sum(1, keepdims=True)).transpose(0, 2, 1) @ x)


def _segments(x: Array) -> Array:
    return np.stack([x[segment == SEGMENTS].mean(0) for segment in range(SEGMENTS.max() + 1)])


def _blocks(reduction: np.ufunc, size: int) -> Callable[[Array], Array]:
    """Reduce the last two axes by blocks, of which the last ones may be smaller."""

    def pooled(x: Array) -> Array:
        for axis in (-2, -1):
            x = reduction.reduceat(x, range(0, x.shape[axis], size), axis)
        return x

    return pooled


def _windows(
    reduction: Reduction, axes: tuple[int, ...], kernel: int, stride: int, *, padding: int = 0, fill: float = 0.0
) -> Callable[[Array], Array]:
    """Take windows as a strided view and reduce over the axes that the view adds."""

    def pooled(x: Array) -> Array:
        own = [axis % x.ndim for axis in axes]
        if padding:
            widths = [(padding, padding) if axis in own else (0, 0) for axis in range(x.ndim)]
            x = np.pad(x, widths, constant_values=fill)
        windows = sliding_window_view(x, (kernel,) * len(own), axis=tuple(own))
        steps = tuple(slice(None, None, stride if axis in own else None) for axis in range(x.ndim))
        return np.asarray(reduction(windows[steps], axis=tuple(range(-len(own), 0))))

    return pooled


def _bins(reduction: Reduction, axes: tuple[int, ...], count: int) -> Callable[[Array], Array]:
    """Take bins along one axis after the other; the mean of a box is the mean of the means along its edges."""

    def pooled(x: Array) -> Array:
        for axis in axes:
            length = x.shape[axis]
            edges = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
            parts = [reduction(x.take(range(low, high), axis), axis=axis) for low, high in edges]
            x = np.stack(parts, axis)
        return x

    return pooled
