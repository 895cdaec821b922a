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
    "indices": """
indices : array_like of int
    The cell of each value, flat within the spatial plane of the result, as `return_indices` gives them; of the shape of
    `x` and any integer dtype.""",
    "unpool_geometry": """
kernel_size : int or sequence of int
    Cells of a window of the pooling that is undone, along each spatial axis.
stride : int or sequence of int, optional
    Cells from one window to the next; the kernel size if not given.
padding : int or sequence of int
    Cells before and after each axis.
output_size : sequence of int, optional
    The result's spatial shape, or its whole shape, of which the spatial lengths are used. Each must be less than a
    stride away from `(L - 1) * stride - 2 * padding + kernel_size`, which it is if not given.""",
    "duplicates": """
duplicates : {{"last", "sum", "max", "error"}}
    What a cell holds whose index is given more than once: the last value in C order of the spatial plane, the sum, the
    largest (the first NaN wins); or it is an error.""",
    "fractional": """
output_size : int or sequence of int, optional
    Number of windows along each spatial axis.
output_ratio : float or sequence of float, optional
    Give this instead: `int(L * output_ratio)` windows along an axis of `L` cells; between 0 and 1.""",
    "samples": """
samples : array_like of float, optional
    Numbers from 0 to less than 1, of shape `(N, C, {rank})` in either layout, or `(1, C, {rank})` or `(C, {rank})`
    without a batch axis: {sampled}. Where windows start is computed in their dtype.
rng : int or numpy.random.Generator, optional
    Where samples are drawn from if none are given: a seed, which gives the same result every time, or a generator.""",
    "conv": """
weight : array_like
    Shape `(C_out, C / groups, {kernel})`, in either layout. No axis may be of length 0.
bias : array_like, optional
    Shape `(C_out,)`: added to every result of a channel.
stride : int or sequence of int
    Cells from one window to the next.
padding : int, sequence of int, sequence of (int, int), or str
    Zeros before and after each axis, of any number; or `"valid"`, `"same"` (`ceil(L / stride)` windows, the odd zero at
    the end) or `"same_lower"`. A window that lies wholly in the padding gives the bias.
dilation : int or sequence of int
    Cells from one cell of a window to the next.
groups : int
    Cuts channels into so many groups; results see the channels of their own group alone. As many as there are channels:
    a depthwise convolution.""",
    "blur": """
filter_size : int
    Size of the filter along both axes, 2 to 7: 3 is `[1, 2, 1] / 4`, a row of Pascal's triangle.
stride : int or sequence of int
    Rows and columns from one result to the next.
padding : {{"reflect", "zeros", "edge"}}
    What stands beyond the border, `(filter_size - 1) // 2` cells before an axis and `filter_size // 2` behind: the
    cells inside, mirrored at the outermost, which is not repeated (shorter axes are mirrored again); zeros; or the
    outermost cell. `"zero"` and `"replicate"` are other names of the last two.""",
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
    "unpooled": """
ndarray
    Of the dtype of `x`, and in its memory order.""",
    "mean": """
ndarray
    Floats keep their dtype and are summed in float64; integers and bool give float64. In the memory order of `x`.""",
    "cells": """
count_include_pad : bool
    Count padding in the divisor. Mode `"avg"` only, and not with other rules for cells.
where : array_like of bool, optional
    Which cells are valid; broadcast to the shape of `x`. Others are as if they were not there.
weights : array_like, optional
    Weights of cells, not negative; broadcast to the shape of `x`. Modes `"sum"` and `"avg"` only.
nan_policy : {{"propagate", "omit", "raise"}}
    A NaN in a window makes its result NaN (and is the window's maximum and minimum), or is not valid, or is an error.
min_count : int
    Windows with fewer valid cells give `fill_value`.
fill_value : scalar, optional
    Result of windows with fewer than `min_count` valid cells (their index is -1): if not given NaN, or an error if the
    dtype of the result has no NaN. A window that lies wholly in padding is an error without it.""",
    "layer_cells": """
count_include_pad : bool
    Count padding in the divisor. Mode `"avg"` only, and not with other rules for cells.
nan_policy : {{"propagate", "omit", "raise"}}
    A NaN in a window makes its result NaN (and is the window's maximum and minimum), or is not valid, or is an error.
min_count : int
    Windows with fewer valid cells give `fill_value`.
fill_value : scalar, optional
    Result of windows with fewer than `min_count` valid cells; NaN if not given.""",
    "layer_cells_without_padding": """
nan_policy : {{"propagate", "omit", "raise"}}
    A NaN in a window makes its result NaN (and is the window's maximum and minimum), or is not valid, or is an error.
min_count : int
    Windows with fewer valid cells give `fill_value`.
fill_value : scalar, optional
    Result of windows with fewer than `min_count` valid cells; NaN if not given.""",
    "cells_without_padding": """
where : array_like of bool, optional
    Which cells are valid; broadcast to the shape of `x`. Others are as if they were not there.
weights : array_like, optional
    Weights of cells, not negative; broadcast to the shape of `x`. Modes `"sum"` and `"avg"` only.
nan_policy : {{"propagate", "omit", "raise"}}
    A NaN in a window makes its result NaN (and is the window's maximum and minimum), or is not valid, or is an error.
min_count : int
    Windows with fewer valid cells give `fill_value`.
fill_value : scalar, optional
    Result of windows with fewer than `min_count` valid cells (their index is -1): if not given NaN, or an error if the
    dtype of the result has no NaN. A window that lies wholly in padding is an error without it.""",
    "pooled": """
ndarray, or (ndarray, ndarray of int64), or a tuple of these
    One result for each mode of a list. Modes that choose a cell (`"max"`, `"min"`, `"median"`, `"mode"`, `"first"`,
    `"center"`, draws) have the dtype of `x`; sums and products are of floats as `x`, else int64 or uint64, modulo
    2**64; counts int64; `"any"` and `"all"` bool; all others of floats as `x`, else float64.""",
    "norm": """
ndarray
    Floats keep their dtype; integers and bool give float64. In the memory order of `x`. Powers are scaled, so that
    nothing overflows that the result itself does not.""",
    "convolved": """
ndarray
    Of the dtype that NumPy would promote the arrays to, where integers and bool count as float64; in the memory order
    of `x`. Sums of float64 are computed in float64, others in float32.""",
    "conv_errors": """
TypeError
    If an argument has a wrong type, or an array a dtype that is not supported.
ValueError
    If an argument has a wrong value, `groups` does not divide the channels, an array has a wrong shape, a spatial axis
    is empty, or no window fits.""",
    "tokens": """
x : array_like
    Shape `(N, L, D)`: `N` samples of `L` tokens with `D` channels; or `(L, D)`. Any dtype, any strides.""",
    "token_mask": """
mask : array_like of bool or int, optional
    Which tokens take part: those of True or 1. Of shape `(N, L)`, or one that broadcasts to it. The others are never
    looked at.""",
    "readout_out": """
out : ndarray, optional
    Written and returned; of the result's shape and dtype, sharing no memory with an input. For two results a pair.""",
    "readout_errors": """
TypeError
    If an argument has a wrong type, or an array a dtype that is not supported.
ValueError
    If an argument has a wrong value, shapes do not fit each other, or there is no token.""",
    "errors": """
TypeError
    If an argument has a wrong type, or `x` a dtype that is not supported.
ValueError
    If an argument has a wrong value, a spatial axis is empty, or a window would have no cell.""",
    "unpool_errors": """
TypeError
    If an argument has a wrong type, `x` a dtype that is not supported, or `indices` are not integers.
ValueError
    If an argument has a wrong value, a spatial axis is empty, or an index is not a cell's; nothing is written.""",
    "fractional_errors": """
TypeError
    If an argument has a wrong type, or `x` a dtype that is not supported.
ValueError
    If an argument has a wrong value, a spatial axis is empty or has no or not so many windows, or a sample is not in
    its range.""",
    "images": """
x : array_like
    Of shape `(N, C, H, W)`, or `(N, H, W, C)` with `layout="channels_last"`.""",
    "sensitive_x": """
x : array_like
    Of shape `(N, C * oh * ow, H, W)`, or `(N, H, W, C * oh * ow)` with `layout="channels_last"`: bin `(i, j)` of
    channel `c` is that of channel `(c * oh + i) * ow + j`.""",
    "boxes": """
boxes : array_like, or list or tuple of array_like
    Of shape `(K, 5)`: the index of the image and the corners `x1, y1, x2, y2` of each box. Or for each image an
    array of shape `(L, 4)`: the corners of its boxes.""",
    "region_bins": """
output_size : int or tuple of int
    Bins along height and width.""",
    "sensitive_bins": """
output_size : int or tuple of int
    Bins along height and width, `oh` and `ow`.""",
    "spatial_scale": """
spatial_scale : float
    What corners are multiplied with: cells of `x` for each unit of the boxes.""",
    "sampling_ratio": """
sampling_ratio : int
    Points along each axis of a bin, at most 1024. If it is 0 or less, as many as a bin is long in cells,
    rounded up.""",
    "region_out": """
out : ndarray, optional
    Written and returned; of the result's shape and dtype, sharing no memory with `x` or `boxes`.""",
    "aligned_regions": """
ndarray
    Of shape `(K, C, *output_size)`, or `(K, *output_size, C)`. Floats keep their dtype; integers and bool give
    float64. Points more than a cell outside of the image are 0, and so is a bin without points.""",
    "region_errors": """
TypeError
    If an argument has a wrong type.
ValueError
    If an argument has a wrong value: an image is empty, a coordinate is not finite, or an image does not exist.""",
    "sensitive_errors": """
TypeError
    If an argument has a wrong type.
ValueError
    If an argument has a wrong value: an image is empty, a coordinate is not finite, an image does not exist, or
    channels cannot be shared out.""",
}


def shared(function: F) -> F:
    """Replace the lines `<name>` of a docstring by the parts of those names."""
    rank = re.search(r"([123])d$", function.__name__)
    number = rank[1] if rank else ""
    axes = {"1": "L", "2": "H, W", "3": "D, H, W"}.get(number, "*spatial")
    kernel = {"1": "K", "2": "KH, KW", "3": "KD, KH, KW"}.get(number, "*kernel")
    sampled = "for the width, then for the height" if number == "2" else "for depth, height and width"

    def part(match: re.Match[str]) -> str:
        text = PARTS[match[2]].format(axes=axes, kernel=kernel, rank=number, sampled=sampled).lstrip("\n")
        return "\n".join(match[1] + line for line in text.split("\n"))

    function.__doc__ = re.sub(r"^( *)<(\w+)>$", part, function.__doc__ or "", flags=re.MULTILINE)
    return function
