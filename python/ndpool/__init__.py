"""Pooling of n-dimensional arrays and its gradients: fast, exact, over any axes, of any dtype, in any memory layout.

>>> import numpy as np
>>> import ndpool
>>> x = np.arange(16.0).reshape(1, 1, 4, 4)
>>> ndpool.max_pool2d(x, 2)
array([[[[ 5.,  7.],
         [13., 15.]]]])
>>> y, pullback = ndpool.vjp(ndpool.avg_pool2d, x, 2)
>>> pullback(np.ones_like(y))[0, 0, 0]
array([0.25, 0.25, 0.25, 0.25])
"""

from typing import TYPE_CHECKING

from ndpool._control import get_num_threads, set_num_threads, show_config, threads
from ndpool._ndpool import __version__
from ndpool._vjp import Pullback, vjp
from ndpool.antialias import aps_pool2d, blur_pool2d, max_blur_pool2d
from ndpool.any_axes import adaptive_pool, coarsen, global_avg_pool, global_max_pool, global_pool, output_shape, pool
from ndpool.functional import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    conv1d,
    conv2d,
    conv3d,
    fractional_max_pool2d,
    fractional_max_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    min_pool1d,
    min_pool2d,
    min_pool3d,
)
from ndpool.readout import attention_pool, gated_attention_pool, segment_pool, token_pool
from ndpool.regions import ps_roi_align, ps_roi_pool, roi_align, roi_pool, spatial_pyramid_pool

if TYPE_CHECKING:
    from ndpool import invariance as invariance
    from ndpool import nn as nn
    from ndpool import viz as viz
else:

    def __getattr__(name):  # noqa: ANN001, ANN202 - type checkers are not to take every name for a module
        """Import `nn`, `invariance` and `viz` when they are asked for."""
        if name in ("invariance", "nn", "viz"):
            from importlib import import_module

            return import_module(f"ndpool.{name}")
        raise AttributeError(f"module 'ndpool' has no attribute {name!r}")


__all__ = [
    "Pullback",
    "__version__",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "adaptive_pool",
    "aps_pool2d",
    "attention_pool",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "blur_pool2d",
    "coarsen",
    "conv1d",
    "conv2d",
    "conv3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "gated_attention_pool",
    "get_num_threads",
    "global_avg_pool",
    "global_max_pool",
    "global_pool",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_blur_pool2d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "min_pool1d",
    "min_pool2d",
    "min_pool3d",
    "output_shape",
    "pool",
    "ps_roi_align",
    "ps_roi_pool",
    "roi_align",
    "roi_pool",
    "segment_pool",
    "set_num_threads",
    "show_config",
    "spatial_pyramid_pool",
    "threads",
    "token_pool",
    "vjp",
]
