"""Pooling of regions by plain loops, in float64 but for coordinates: what torchvision and ONNX say in as many words."""

import math

import numpy as np


def rounded(value):
    """Round as C does: halves away from zero."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def is_nan(value):
    """Whether a cell, of any dtype, is NaN."""
    return bool(value != value)  # noqa: PLR0124


def bilinear(plane, y, x):
    """Cells and weights of a point; none more than a cell outside."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return []
    y, x = max(y, 0), max(x, 0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    down = 0 if top == height - 1 else y - top
    right = 0 if left == width - 1 else x - left
    below, beside = min(top + 1, height - 1), min(left + 1, width - 1)
    return [
        (top, left, (1 - down) * (1 - right)),
        (top, beside, (1 - down) * right),
        (below, left, down * (1 - right)),
        (below, beside, down * right),
    ]


def points(box, bins, cells, scale, ratio, *, aligned, single):
    """Coordinates of the points of each bin, along height and width, in the type that torchvision uses."""
    real = np.float32 if single else np.float64
    with np.errstate(all="ignore"):
        x1, y1, x2, y2 = (real(corner) * real(scale) - real(0.5 if aligned else 0) for corner in box)
        result = []
        for begin, end, count in ((y1, y2, bins[0]), (x1, x2, bins[1])):
            length = real(end - begin) if aligned else max(real(end - begin), real(1))
            size = real(length / real(count))
            grid = ratio if ratio > 0 else math.ceil(size)
            result.append(
                [
                    [begin + real(b) * size + real(i + 0.5) * size / real(grid) for i in range(max(grid, 0))]
                    for b in range(count)
                ]
            )
    return result


def borders(box, bins, cells, scale, *, inclusive, single):
    """First and last cell of each bin, along height and width."""
    real = np.float32 if single else np.float64
    x1, y1, x2, y2 = (rounded(float(real(corner) * real(scale))) for corner in box)
    result = []
    for begin, end, count, length in ((y1, y2, bins[0], cells[0]), (x1, x2, bins[1], cells[1])):
        size = real(max(end - begin + inclusive, 1)) / real(count)
        limit = length if inclusive else length - 1
        result.append(
            [
                (
                    min(max(math.floor(real(b) * size) + begin, 0), limit),
                    min(max(math.ceil(real(b + 1) * size) + begin, 0), limit),
                )
                for b in range(count)
            ]
        )
    return result


def channel_of(channel, ph, pw, bins, sensitive):
    """Channel of ``x`` that a bin of a channel of the result looks at."""
    return (channel * bins[0] + ph) * bins[1] + pw if sensitive else channel


def regions(x, boxes, bins, scale, reduce, cover, sensitive):
    """Loop over boxes, channels and bins; ``reduce(plane, part of the height, part of the width)`` is a bin's value."""
    channels = x.shape[1] // (bins[0] * bins[1]) if sensitive else x.shape[1]
    result = np.zeros((len(boxes), channels, *bins), np.float64 if x.dtype.kind == "f" else object)
    for k, (image, *box) in enumerate(boxes):
        rows, columns = cover(box)
        for channel in range(channels):
            for ph in range(bins[0]):
                for pw in range(bins[1]):
                    plane = x[int(image), channel_of(channel, ph, pw, bins, sensitive)]
                    result[k, channel, ph, pw] = reduce(plane, rows[ph], columns[pw])
    return result


def mean_of_points(plane, ys, xs):
    """Average points; outside of the image they are 0."""
    if not (len(ys) and len(xs)):
        return 0.0
    terms = [w * plane[r, c] for y in ys for x in xs for r, c, w in bilinear(plane, y, x)]
    return sum(terms, 0.0) / (len(ys) * len(xs))


def largest_term(plane, ys, xs):
    """Take the largest product of a cell and its weight in a point; a point outside of the image gives 0."""
    best = None
    for y in ys:
        for x in xs:
            for term in [w * plane[r, c] for r, c, w in bilinear(plane, y, x)] or [0.0]:
                if best is None or term > best or (np.isnan(term) and not np.isnan(best)):
                    best = term
    return 0.0 if best is None else best


def largest_cell(plane, rows, columns):
    """Take the largest cell, of NaNs the first."""
    best = None
    for r in range(*rows):
        for c in range(*columns):
            if best is None or plane[r, c] > best or (is_nan(plane[r, c]) and not is_nan(best)):
                best = plane[r, c]
    return 0 if best is None else best


def mean_of_cells(plane, rows, columns):
    """Average cells, if there are any."""
    cells = plane[slice(*rows), slice(*columns)]
    return cells.sum() / cells.size if cells.size else 0.0


def roi_pool(x, boxes, bins, scale=1.0, *, single):
    """Run the loops of ``ndpool.roi_pool``."""
    return regions(x, boxes, bins, scale, largest_cell, _cells(x, bins, scale, True, single), False)


def ps_roi_pool(x, boxes, bins, scale=1.0, *, single):
    """Run the loops of ``ndpool.ps_roi_pool``."""
    return regions(x, boxes, bins, scale, mean_of_cells, _cells(x, bins, scale, False, single), True)


def roi_align(x, boxes, bins, scale=1.0, ratio=-1, aligned=False, mode="avg", *, single):
    """Run the loops of ``ndpool.roi_align``."""
    reduce = mean_of_points if mode == "avg" else largest_term
    return regions(x, boxes, bins, scale, reduce, _points(x, bins, scale, ratio, aligned, single), False)


def ps_roi_align(x, boxes, bins, scale=1.0, ratio=-1, *, single):
    """Run the loops of ``ndpool.ps_roi_align``."""
    return regions(x, boxes, bins, scale, mean_of_points, _points(x, bins, scale, ratio, True, single), True)


def _cells(x, bins, scale, inclusive, single):
    return lambda box: borders(box, bins, x.shape[2:], scale, inclusive=inclusive, single=single)


def _points(x, bins, scale, ratio, aligned, single):
    return lambda box: points(box, bins, x.shape[2:], scale, ratio, aligned=aligned, single=single)
