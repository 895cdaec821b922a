"""The reference itself against drawings, SciPy and the contract's numbers: an oracle that is wrong proves nothing."""

import math

import numpy as np
import pytest
import reference as ref
from scipy import ndimage


def cells(*arguments, **options):
    """Return the cells that every window of one axis covers."""
    return [window.cells for window in ref.axis_windows(*arguments, **options)]


@pytest.mark.parametrize(
    ("arguments", "options", "drawing"),
    [
        ((4, 2, 2), {}, [(0, 1), (2, 3)]),
        ((5, 2, 2), {}, [(0, 1), (2, 3)]),
        ((5, 2, 2), {"ceil_mode": True}, [(0, 1), (2, 3), (4,)]),
        ((5, 3, 3, (1, 1)), {"ceil_mode": True}, [(0, 1), (2, 3, 4)]),
        ((4, 3, 1, (1, 1)), {}, [(0, 1), (0, 1, 2), (1, 2, 3), (2, 3)]),
        ((5, 3, 1), {"dilation": 2}, [(0, 2, 4)]),
        ((4, 3, 2, "same"), {}, [(0, 1, 2), (2, 3)]),
        ((4, 3, 2, "same_lower"), {}, [(0, 1), (1, 2, 3)]),
        ((5, 3, 2, "same"), {"ceil_mode": True}, [(0, 1), (1, 2, 3), (3, 4)]),
        ((5, 2, 4, "same"), {}, [(0, 1), (4,)]),
        ((3, 2, 1, (2, 0)), {}, [(), (0,), (0, 1), (1, 2)]),
        ((5, 7, 3), {"ceil_mode": True}, [(0, 1, 2, 3, 4)]),
    ],
)
def test_windows_of_one_axis_as_drawn(arguments, options, drawing):
    assert cells(*arguments, **options) == drawing


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 13])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 6])
@pytest.mark.parametrize("word", ["same", "same_lower"])
def test_same_gives_the_ceiling_of_length_over_stride(word, kernel, stride, length):
    windows = ref.axis_windows(length, kernel, stride, word)
    assert len(windows) == math.ceil(length / stride)
    assert all(window.cells for window in windows)


def test_divisors_are_clipped_to_the_padded_extent():
    taps = [window.taps for window in ref.axis_windows(5, 4, 3, (1, 1), ceil_mode=True)]
    assert taps == [4, 4]
    assert [window.taps for window in ref.axis_windows(6, 4, 3, (1, 1), ceil_mode=True)] == [4, 4, 2]


def test_adaptive_bins_as_drawn():
    assert [window.cells for window in ref.bin_windows(5, 3)] == [(0, 1), (1, 2, 3), (3, 4)]
    assert [window.cells for window in ref.bin_windows(2, 4)] == [(0,), (0,), (1,), (1,)]


@pytest.mark.parametrize(("length", "kernel"), [(0, 1), (3, 4)])
def test_impossible_windows_are_refused(length, kernel):
    with pytest.raises(ValueError):
        ref.axis_windows(length, kernel, 1)


def test_first_cell_wins_ties_and_first_nan_wins_all():
    assert ref.winner([1.0, 3.0, 3.0], "max") == 1
    assert ref.winner([0.0, -0.0], "min") == 0
    assert ref.winner([2.0, math.nan, math.inf, math.nan], "max") == 1


@pytest.mark.parametrize("mode", ["max", "min", "avg"])
def test_pooling_agrees_with_scipy(mode):
    x = np.random.default_rng(1).standard_normal((9, 8))
    got = ref.pool(x, ref.windows(x.shape, (0, 1), (3, 5), 1), (0, 1), mode).values.astype(float)
    filters = {"max": ndimage.maximum_filter, "min": ndimage.minimum_filter, "avg": ndimage.uniform_filter}
    np.testing.assert_allclose(got, filters[mode](x, (3, 5))[1:-1, 2:-2], rtol=1e-12)


@pytest.mark.parametrize("mode", ["max", "avg", "sum"])
def test_gradient_is_the_transpose_of_the_derivative(mode):
    rng = np.random.default_rng(2)
    x, v = rng.standard_normal((2, 3, 7, 6))
    geometry = ref.windows(x.shape, (1, 2), (3, 2), 2, (1, 1), ceil_mode=True)
    w = rng.standard_normal(ref.output_shape(geometry))
    forwards = np.vdot(ref.jvp(x, v, geometry, mode), w)
    assert forwards == pytest.approx(np.vdot(v, ref.pullback(x, w, geometry, mode)), rel=1e-13)
