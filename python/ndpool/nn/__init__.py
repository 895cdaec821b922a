"""Layers: the functions of the package as objects with options, parameters and a memory of their last pass.

>>> import numpy as np
>>> from ndpool import nn
>>> net = nn.Sequential(nn.MaxPool2d(2), nn.GlobalAvgPool())
>>> x = np.arange(16.0).reshape(1, 1, 4, 4)
>>> net(x)
array([[10.]])
>>> net.backward(np.array([[1.0]]))[0, 0]
array([[0.  , 0.  , 0.  , 0.  ],
       [0.  , 0.25, 0.  , 0.25],
       [0.  , 0.  , 0.  , 0.  ],
       [0.  , 0.25, 0.  , 0.25]])
>>> net.output_shape((8, 64, 112, 112))
(8, 64)
"""

from ndpool.nn._base import Layer
from ndpool.nn.adaptive import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    FractionalMaxPool2d,
    FractionalMaxPool3d,
)
from ndpool.nn.antialias import APSPool2d, BlurPool2d, MaxBlurPool2d
from ndpool.nn.any_axes import AdaptivePool, Coarsen, GlobalAvgPool, GlobalMaxPool, GlobalPool, Pool
from ndpool.nn.conv import Conv1d, Conv2d, Conv3d
from ndpool.nn.readout import AttentionPool, GatedAttentionPool, SegmentPool, TokenPool
from ndpool.nn.regions import PSRoIAlign, PSRoIPool, RoIAlign, RoIPool, SpatialPyramidPool
from ndpool.nn.sequential import Sequential
from ndpool.nn.unpool import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from ndpool.nn.windows import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MinPool1d,
    MinPool2d,
    MinPool3d,
)

__all__ = [
    "APSPool2d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptivePool",
    "AttentionPool",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BlurPool2d",
    "Coarsen",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "GatedAttentionPool",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalPool",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "Layer",
    "MaxBlurPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "MinPool1d",
    "MinPool2d",
    "MinPool3d",
    "PSRoIAlign",
    "PSRoIPool",
    "Pool",
    "RoIAlign",
    "RoIPool",
    "SegmentPool",
    "Sequential",
    "SpatialPyramidPool",
    "TokenPool",
]
