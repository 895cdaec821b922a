"""Every layer, as it is written, with an input and the call that it stands for; used by the tests of layers."""

from typing import NamedTuple

import numpy as np
import pytest
from ndpool import nn

LAYERS = [getattr(nn, name) for name in nn.__all__ if name not in ("Layer", "Sequential")]


class Case(NamedTuple):
    """A layer as it is written, the shape of its input, what else a pass is given, and the call that it stands for."""

    layer: str
    shape: tuple
    inputs: dict
    call: dict

    def __str__(self):
        return self.layer


def case(layer, shape, inputs=None, **call):
    return Case(layer, shape, inputs or {}, call)


def indices(*shape):
    """Return different cells of a plane of twice the lengths."""
    spatial = shape[2:]
    at = np.meshgrid(*(2 * np.arange(length) for length in spatial), indexing="ij")
    flat = np.ravel_multi_index(at, [2 * length for length in spatial])
    return np.broadcast_to(flat, shape)


MASK = np.arange(12).reshape(2, 6) % 5 > 0
BOXES = np.array([[0, 0.0, 0.0, 4.0, 5.0], [1, 1.0, 1.5, 6.0, 7.0], [1, 2.0, 0.0, 3.0, 3.0]])

CASES = [
    *(case(f"Max{r}".replace("Max", "MaxPool") + "d(2)", (2, 3, 9, 8, 7)[: 2 + r], kernel_size=2) for r in (1, 2, 3)),
    *(
        case(
            f"MinPool{r}d(3, 2, 1, 1, False, True)",
            (2, 3, 6, 8, 7)[: 2 + r],
            kernel_size=3,
            stride=2,
            padding=1,
            dilation=1,
            return_indices=False,
            ceil_mode=True,
        )
        for r in (1, 2, 3)
    ),
    *(
        case(
            f"AvgPool{r}d(3, 2, 1, True, False)",
            (2, 3, 6, 8, 7)[: 2 + r],
            kernel_size=3,
            stride=2,
            padding=1,
            ceil_mode=True,
            count_include_pad=False,
        )
        for r in (1, 2, 3)
    ),
    *(
        case(f"LPPool{r}d(2, 3, stride=2)", (2, 3, 6, 8, 7)[: 2 + r], norm_type=2, kernel_size=3, stride=2)
        for r in (1, 2, 3)
    ),
    *(case(f"AdaptiveAvgPool{r}d(3)", (2, 3, 6, 8, 7)[: 2 + r], output_size=3) for r in (1, 2, 3)),
    *(
        case(f"AdaptiveMaxPool{r}d(3, True)", (2, 3, 6, 8, 7)[: 2 + r], output_size=3, return_indices=True)
        for r in (1, 2, 3)
    ),
    *(
        case(
            f"FractionalMaxPool{r}d(2, output_ratio=0.6, rng=3)",
            (2, 3, 6, 8, 7)[: 2 + r],
            kernel_size=2,
            output_ratio=0.6,
            rng=3,
        )
        for r in (2, 3)
    ),
    case("FractionalMaxPool2d(2, 3)", (1, 1, 6, 8), {"samples": [[[0.25, 0.5]]]}, kernel_size=2, output_size=3),
    *(
        case(
            f"MaxUnpool{r}d(2)",
            (2, 3, 4, 5, 3)[: 2 + r],
            {"indices": indices(*(2, 3, 4, 5, 3)[: 2 + r])},
            kernel_size=2,
        )
        for r in (1, 2, 3)
    ),
    case("MaxUnpool1d(2)", (1, 2, 3), {"indices": np.array([[[0, 2, 6], [1, 3, 5]]]), "output_size": 7}, kernel_size=2),
    case("MaxPool2d((2, 3), layout='channels_last')", (2, 6, 8, 3), kernel_size=(2, 3), layout="channels_last"),
    case(
        "MaxPool2d(2, padding=((0, 1), (1, 0)), return_indices=True)",
        (3, 7, 7),
        kernel_size=2,
        padding=((0, 1), (1, 0)),
        return_indices=True,
    ),
    case("AvgPool2d(2, dtype='float32')", (3, 7, 7), kernel_size=2, dtype="float32"),
    case("AvgPool2d(2, padding='same', dilation=2)", (3, 7, 7), kernel_size=2, padding="same", dilation=2),
    case("Pool(2)", (4, 6), window=2),
    case("Pool((3, 2), 'sum', axis=(0, -1), stride=1)", (4, 2, 6), window=(3, 2), mode="sum", axis=(0, -1), stride=1),
    case("Pool(2, 'avg')", (4, 6), {"weights": np.linspace(0.1, 1, 24).reshape(4, 6)}, window=2, mode="avg"),
    case(
        "Pool(2, 'avg', nan_policy='omit')",
        (4, 6),
        {"where": np.arange(24).reshape(4, 6) % 4 > 0},
        window=2,
        mode="avg",
        nan_policy="omit",
    ),
    case("Pool(2, 'lip')", (4, 6), {"g": np.linspace(-1, 1, 24).reshape(4, 6)}, window=2, mode="lip"),
    case("Pool(2, 'gem', p=2.5)", (4, 6), window=2, mode="gem", p=2.5),
    case("Pool(2, ['max', 'soft'], beta=0.5)", (4, 6), window=2, mode=["max", "soft"], beta=0.5),
    case("Pool(2, 'stochastic', rng=5)", (4, 6), window=2, mode="stochastic", rng=5),
    case("Pool(2, 'quantile', q=0.25)", (4, 6), window=2, mode="quantile", q=0.25),
    case(
        "Coarsen(4, 'max', axis=1, boundary='trim', side='right')",
        (3, 9),
        factor=4,
        mode="max",
        axis=1,
        boundary="trim",
        side="right",
    ),
    case("Coarsen((2, 4), 'lse', r=2.0)", (3, 5, 9), factor=(2, 4), mode="lse", r=2.0),
    case("AdaptivePool((3, None), method='area')", (2, 5, 4), output_size=(3, None), method="area"),
    case("AdaptivePool(3, 'median')", (5, 4), output_size=3, mode="median"),
    case("GlobalPool('mixed', alpha=0.25)", (2, 3, 4, 5), mode="mixed", alpha=0.25),
    case(
        "GlobalPool('max', layout='channels_last', keepdims=True)",
        (2, 4, 5, 3),
        mode="max",
        layout="channels_last",
        keepdims=True,
    ),
    case("GlobalAvgPool(keepdims=True)", (2, 3, 4), keepdims=True),
    case("GlobalMaxPool(return_indices=True)", (2, 3, 4, 2), return_indices=True),
    *(
        case(
            f"Conv{r}d(4, 6, 3, stride=2, padding=1, groups=2, dtype='float64', rng=0)",
            (2, 4, 6, 8, 7)[: 2 + r],
            stride=2,
            padding=1,
            groups=2,
        )
        for r in (1, 2, 3)
    ),
    case(
        "Conv2d(4, 6, 3, bias=False, dtype='float64', rng=0, layout='channels_last')", (6, 8, 4), layout="channels_last"
    ),
    case("AttentionPool(8, 3, num_heads=2, dtype='float64', rng=0)", (2, 6, 8), {"mask": MASK}, num_heads=2),
    case(
        "AttentionPool(8, key_dim=4, value_dim=6, dtype='float64', rng=0, return_weights=True)",
        (2, 6, 8),
        return_weights=True,
    ),
    case("GatedAttentionPool(8, 5, dtype='float64', rng=0)", (2, 6, 8), {"mask": MASK}),
    case("TokenPool('std')", (2, 6, 8), {"mask": MASK}, mode="std"),
    case("TokenPool('cls')", (2, 6, 8), mode="cls"),
    case("TokenPool('max')", (6, 8), mode="max"),
    case(
        "SegmentPool('max', num_segments=4)",
        (6, 8),
        {"segments": np.array([3, 0, 0, 2, 3, 1])},
        mode="max",
        num_segments=4,
    ),
    case(
        "SegmentPool(num_segments=3, offsets=True, fill_value=-1.0)",
        (6, 8),
        {"segments": np.array([0, 2, 2, 6])},
        num_segments=3,
        offsets=True,
        fill_value=-1.0,
    ),
    case("SpatialPyramidPool([1, 2], layout='channels_last')", (6, 7, 3), levels=(1, 2), layout="channels_last"),
    case("SpatialPyramidPool((1, 2, 4), 'avg')", (2, 3, 6, 7), levels=(1, 2, 4), mode="avg"),
    case("RoIPool(2, 0.5)", (2, 3, 8, 9), {"boxes": BOXES}, output_size=2, spatial_scale=0.5),
    case(
        "RoIPool(2, layout='channels_last')",
        (2, 8, 9, 3),
        {"boxes": BOXES},
        output_size=2,
        layout="channels_last",
    ),
    case(
        "RoIAlign((2, 3), 0.5, 2, True)",
        (2, 3, 8, 9),
        {"boxes": BOXES},
        output_size=(2, 3),
        spatial_scale=0.5,
        sampling_ratio=2,
        aligned=True,
    ),
    case("PSRoIPool(2)", (2, 8, 8, 9), {"boxes": BOXES}, output_size=2),
    case("PSRoIAlign(2, sampling_ratio=1)", (2, 8, 8, 9), {"boxes": BOXES}, output_size=2, sampling_ratio=1),
    case("BlurPool2d(5, padding='edge')", (2, 3, 8, 9), filter_size=5, padding="edge"),
    case("BlurPool2d(layout='channels_last')", (8, 9, 3), layout="channels_last"),
    case("MaxBlurPool2d(2)", (2, 3, 8, 9), kernel_size=2),
    case("MaxBlurPool2d((2, 3), 4, padding='zeros')", (3, 8, 9), kernel_size=(2, 3), filter_size=4, padding="zeros"),
    case("APSPool2d('avg')", (2, 3, 8, 8), mode="avg"),
    case("APSPool2d(None, (2, 1), return_phase=True)", (3, 8, 7), mode=None, stride=(2, 1), return_phase=True),
]
EVERY_CASE = pytest.mark.parametrize("one", CASES, ids=str)


def made(one):
    return eval(f"nn.{one.layer}", {"nn": nn})


def drawn(shape):
    return np.random.default_rng(0).uniform(0.1, 2, shape)


def values(y):
    """Return the values of a result: of several modes, or with indices or weights, the first."""
    return y[0] if isinstance(y, tuple) else y


def flat(result):
    return [array for item in result for array in flat(item)] if isinstance(result, tuple) else [result]


def assert_same(got, want):
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def cotangent(layer, y):
    """Return a cotangent of what is differentiable in a result."""
    ones = tuple(np.linspace(-1, 1, part.size).reshape(part.shape) for part in flat(y))
    return ones if isinstance(getattr(layer, "mode", None), list) else ones[0]
