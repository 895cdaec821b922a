"""The parts that docstrings share, said once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

PARTS = {
    "x": """
x : array_like
    Shape `(N, C, {axes})` or `(C, {axes})`; with `layout="channels_last"` `(N, {axes}, C)` or `({axes}, C)`. Any dtype
    among float16, bfloat16, float32, float64, int8 to int64, uint8 to uint64, bool; any strides, read in place.""",
    "geometry": """
kernel_size : int or sequence of int
    Cells of a window along each spatial axis.
stride : int or sequence of int, optional
    Cells from one window to the next; the kernel size if not given.
padding : int, sequence of int, sequence of (int, int), or str
    Cells before and after each axis, of any number; or `"valid"`, `"same"` (`ceil(L / stride)` windows, the odd cell at
    the end) or `"same_lower"`. Padding holds no data.""",
    "dilation": """
dilation : int or sequence of int
    Cells from one cell of a window to the next.""",
    "ceil_mode": """
ceil_mode : bool
    Round the number of windows up; a last window that would start past the data is dropped.""",
    "output_size": """
output_size : int or sequence of int or None
    Number of bins along each spatial axis; None keeps an axis. Bin `o` of `O` on an axis of `L` cells covers
    `floor(o L / O)` to `ceil((o + 1) L / O)`.""",
    "return_indices": """
return_indices : bool
    Return the place of each value too.""",
    "layout": """
layout : {{"channels_first", "channels_last"}}
    Where the channel axis is.""",
    "out": """
out : ndarray, optional
    Written and returned; of the result's shape and dtype, sharing no memory with `x`.""",
    "extreme": """
values : ndarray
    Of the dtype of `x`, and in its memory order. The first NaN of a window wins; of equal values, the first.
indices : ndarray of int64
    Only with `return_indices`: flat within the spatial plane, as in PyTorch.""",
    "mean": """
ndarray
    Floats keep their dtype and are summed in float64; integers and bool give float64. In the memory order of `x`.""",
    "errors": """
TypeError
    If an argument has a wrong type, or `x` a dtype that is not supported.
ValueError
    If an argument has a wrong value, a spatial axis is empty, or a window would have no cell.""",
}


def shared(function: F) -> F:
    """Replace the lines `<name>` of a docstring by the parts of those names."""
    rank = re.search(r"([123])d$", function.__name__)
    axes = {"1": "L", "2": "H, W", "3": "D, H, W"}.get(rank[1] if rank else "", "*spatial")

    def part(match: re.Match[str]) -> str:
        text = PARTS[match[2]].format(axes=axes).lstrip("\n")
        return "\n".join(match[1] + line for line in text.split("\n"))

    function.__doc__ = re.sub(r"^( *)<(\w+)>$", part, function.__doc__ or "", flags=re.MULTILINE)
    return function
