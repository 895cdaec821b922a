"""Pictures drawn when the documentation is built: every mode on a photograph, and what shifts of one change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import ndpool
import numpy as np
import skimage.data
from matplotlib.figure import Figure
from ndpool.any_axes import Mode
from ndpool.viz import _INK, _TIMES, _heat, _picture, _window_lines, shift_plot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

MODES = get_args(Mode)
#: Edges of the windows that do not overlap; the edge of those that slide, at stride 1.
BLOCKS = (4, 12)
SLIDING = 9
#: The part of the photograph whose gradient is shown, in pixels.
DETAIL = (slice(84, 132), slice(120, 192))


class Subject(NamedTuple):
    """What a mode is shown on: an array from 0 to 1, the options of the call, and whether results are scaled."""

    x: NDArray[Any]
    options: dict[str, Any]
    scaled: bool = False


def photograph() -> NDArray[np.float64]:
    """Read the cat of scikit-image, 288x432 pixels of it, as floats from 0 to 1."""
    return np.asarray(skimage.data.chelsea())[6:294, 10:442] / 255.0


def subjects() -> dict[str, Subject]:
    """Say what each mode is shown on."""
    photo = photograph()
    grey = photo.mean(axis=2)
    bright = grey > np.median(grey)
    detail = np.abs(grey - ndpool.pool(grey, 7, "avg", stride=1, padding=3))
    scaled = dict.fromkeys(("sum", "var", "std", "lp"), Subject(photo, {}, scaled=True))
    return (
        dict.fromkeys(MODES, Subject(photo, {}))
        | scaled
        | {
            "count": Subject(grey, {"where": bright, "fill_value": 0}, scaled=True),
            "any": Subject(bright, {}),
            "all": Subject(bright, {}),
            # Six steps, so that many pixels are equal.
            "mode": Subject(np.floor(grey * 7) / 5, {}),
            # A root, so that products of many pixels do not vanish.
            "prod": Subject(np.maximum(photo, 1 / 255) ** (1 / 64), {}, scaled=True),
            # Strong enough to be seen on values from 0 to 1.
            "lse": Subject(photo, {"r": 10.0}),
            "soft": Subject(photo, {"beta": 10.0}),
            "lip": Subject(photo, {"g": 40 * detail[..., np.newaxis]}),
            "quantile": Subject(photo, {"q": 0.1}),
            "stochastic": Subject(grey, {"rng": 0}),
        }
    )


def in_grey(x: NDArray[Any]) -> NDArray[np.float64]:
    """Take the colours out."""
    return np.asarray(x.reshape(*x.shape[:2], -1).mean(axis=2))


def gradient(mode: str, of: Subject) -> NDArray[np.float64] | None:
    """Differentiate the sum of the grey photograph, pooled by the largest blocks; None if there is no gradient."""
    options = {name: in_grey(value) if name == "g" else value for name, value in of.options.items()}
    try:
        y, pullback = ndpool.vjp(ndpool.pool, in_grey(of.x), BLOCKS[-1], mode, **options)
    except TypeError:
        return None
    slopes = pullback(np.ones_like(y))
    return np.abs(np.asarray(slopes[0] if isinstance(slopes, tuple) else slopes))


def picture(mode: str, of: Subject) -> Figure:
    """Draw the photograph, three poolings of it, and the gradient of a part of it."""
    height, width = of.x.shape[:2]
    slopes = gradient(mode, of)
    calls = [(f"{size}{_TIMES}{size}", {"stride": size, "window": size}) for size in BLOCKS]
    calls.append((f"{SLIDING}{_TIMES}{SLIDING}, stride 1", {"stride": 1, "window": SLIDING}))

    panel = 2.4
    columns = 5 if slopes is not None else 4
    figure = Figure(figsize=(columns * panel, panel * height / width + 0.42), dpi=110, facecolor="white")
    axes = figure.subplots(1, columns)
    figure.subplots_adjust(left=0.045, right=0.995, top=0.86, bottom=0.02, wspace=0.05)
    _picture(axes[0], np.asarray(of.x, np.float64), f"{height}{_TIMES}{width}")
    axes[0].set_ylabel(mode, fontsize=15, color=_INK, weight="bold", labelpad=6)
    for place, (title, call) in zip(axes[1:4], calls, strict=True):
        pooled = np.asarray(ndpool.pool(of.x, mode=mode, axis=(0, 1), **call, **of.options), np.float64)
        _picture(place, pooled / pooled.max() if of.scaled else pooled, title)
    if slopes is not None:
        part = slopes[DETAIL]
        _picture(axes[4], 0.4 + 0.6 * in_grey(of.x)[DETAIL], f"gradient, {BLOCKS[-1]}{_TIMES}{BLOCKS[-1]}")
        _heat(axes[4], part / max(part.max(), 1.0))
        _window_lines(axes[4], part.shape, BLOCKS[-1])
    return figure


def shifts() -> Figure:
    """Draw what shifts of a photograph change, for ways to halve it."""

    def blocks(mode: Mode) -> Callable[[NDArray[Any]], NDArray[Any]]:
        return lambda x: ndpool.pool(x, (2, 2), mode)

    functions = {
        "strided": blocks("first"),
        "max": blocks("max"),
        "average": blocks("avg"),
        "blurred": lambda x: ndpool.blur_pool2d(x[np.newaxis], 5),
        "max, blurred": lambda x: ndpool.max_blur_pool2d(x[np.newaxis], 2, 5),
        "polyphase": lambda x: ndpool.aps_pool2d(x[np.newaxis], "max"),
    }
    return shift_plot(skimage.data.camera() / 255.0, functions, max_shift=6)


def draw(folder: Path) -> None:
    """Write the picture of each mode, and that of shifts, into a folder."""
    (folder / "modes").mkdir(parents=True, exist_ok=True)
    for mode, of in subjects().items():
        picture(mode, of).savefig(folder / "modes" / f"{mode}.png")
    shifts().savefig(folder / "shifts.png")
