"""Functions named as in PyTorch: signatures and documentation; each body is one call of the extension module."""

from ndpool.functional.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from ndpool.functional.average import avg_pool1d, avg_pool2d, avg_pool3d
from ndpool.functional.conv import conv1d, conv2d, conv3d
from ndpool.functional.extreme import max_pool1d, max_pool2d, max_pool3d, min_pool1d, min_pool2d, min_pool3d
from ndpool.functional.fractional import fractional_max_pool2d, fractional_max_pool3d
from ndpool.functional.power import lp_pool1d, lp_pool2d, lp_pool3d
from ndpool.functional.unpool import max_unpool1d, max_unpool2d, max_unpool3d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "min_pool1d",
    "min_pool2d",
    "min_pool3d",
]
