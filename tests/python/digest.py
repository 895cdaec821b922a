"""A fingerprint of results over every dtype, kernel and direction: two runs agree bit for bit when these agree.

The sums are of numbers of very different size, so that another order of summation shows. The arrays are large enough
for several threads and for every strategy (direct, doubling, scans). Run as a program it prints its findings as JSON.
"""

import hashlib
import json

import ml_dtypes
import ndpool
import numpy as np

FLOATS = ["float16", "float32", "float64", ml_dtypes.bfloat16]
INTEGERS = ["uint8", "int32", "uint64"]

CORNERS = np.sort(np.random.default_rng(6).uniform(-5, 140, (60, 2, 2)), axis=1).reshape(60, 4)
BOXES = np.column_stack([np.arange(60) % 2, CORNERS])

CASES = {
    "max 3/2/1": ("max_pool2d", (2, 8, 97, 131), (3, 2, 1)),
    "max 2/2 rows of even length": ("max_pool2d", (2, 8, 128, 128), (2,)),
    "max 5/1/2 dilated": ("max_pool2d", (2, 8, 97, 131), (5, 1, 2, 2)),
    "max 31/1/15": ("max_pool2d", (1, 4, 97, 131), (31, 1, 15)),
    "min 3/1": ("min_pool2d", (2, 8, 97, 131), (3, 1)),
    "avg 3/2/1": ("avg_pool2d", (2, 8, 97, 131), (3, 2, 1)),
    "avg 2/2": ("avg_pool2d", (2, 8, 128, 128), (2,)),
    "avg 31/1/15": ("avg_pool2d", (1, 4, 97, 131), (31, 1, 15)),
    "avg 75/15 of rows": ("avg_pool1d", (4, 8, 4001), (75, 15)),
    "avg 500/1 of one row": ("avg_pool1d", (1, 1, 100_003), (500, 1)),
    "max 3/2/1 of volumes": ("max_pool3d", (2, 3, 17, 33, 47), (3, 2, 1)),
    "avg 2/1 of volumes": ("avg_pool3d", (2, 3, 17, 33, 47), (2, 1)),
    "adaptive avg": ("adaptive_avg_pool2d", (2, 8, 97, 131), ((13, 7),)),
    "adaptive max": ("adaptive_max_pool2d", (2, 8, 97, 131), ((13, 7),)),
    "global avg": ("global_avg_pool", (2, 16, 97, 131), ()),
    "global avg of one plane": ("global_avg_pool", (1, 1, 601, 1001), ()),
    "regions, largest cell": ("roi_pool", (2, 24, 97, 131), (BOXES, 5)),
    "regions, points": ("roi_align", (2, 24, 97, 131), (BOXES, 7, 1, 2)),
    "regions, largest term": ("roi_align", (2, 8, 97, 131), (BOXES, 3, 1, -1, True, "max")),
    "regions, cells of other channels": ("ps_roi_pool", (2, 24, 97, 131), (BOXES, 2)),
    "regions, points of other channels": ("ps_roi_align", (2, 24, 97, 131), (BOXES, 2)),
    "pyramid": ("spatial_pyramid_pool", (2, 8, 97, 131), ((1, 2, 5),)),
}


RNG = np.random.default_rng(20)
RANDOM = RNG.standard_normal(2**20) * 10.0 ** RNG.integers(-3, 4, 2**20)


def numbers(shape, dtype):
    """Numbers whose sum depends on its order; a NaN and an infinity among the floats."""
    x = RANDOM[: np.prod(shape)].reshape(shape)
    if np.dtype(dtype).kind in "iub":
        return np.abs(x).clip(0, 127).astype(dtype)
    x = x.astype(dtype)
    x.flat[x.size // 3], x.flat[x.size // 2] = np.nan, np.inf
    return x


def fingerprint(*arrays):
    """Hash shape, dtype and bits."""
    state = hashlib.sha256()
    for x in arrays:
        state.update(f"{x.shape} {x.dtype}".encode())
        state.update(np.ascontiguousarray(x).view(np.uint8))
    return state.hexdigest()


def results(name, shape, arguments, dtype, layout):
    """Everything that one function computes: values, indices, gradient and derivative."""
    x = numbers(shape, dtype)
    if layout == "channels_last":
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    function = getattr(ndpool, name)
    indices = {"return_indices": True} if "max" in name or "min" in name else {}
    if np.dtype(dtype).kind in "iub":
        y = function(x, *arguments, layout=layout, **indices)
        return y if indices else (y,)
    y, pullback = ndpool.vjp(function, x, *arguments, layout=layout, **indices)
    y = y if indices else (y,)
    return (*y, pullback(numbers(y[0].shape, dtype)), pullback.jvp(numbers(x.shape, dtype)))


def fingerprints(dtypes=(*FLOATS, *INTEGERS), layouts=("channels_first", "channels_last")):
    """Return the fingerprint of every case, by a readable name."""
    return {
        f"{case}, {np.dtype(dtype).name}, {layout}": fingerprint(*results(*CASES[case], dtype, layout))
        for case in CASES
        for dtype in dtypes
        for layout in layouts
    }


if __name__ == "__main__":
    print(json.dumps({"cpu_level": ndpool.show_config()["cpu_level"], "fingerprints": fingerprints()}))
