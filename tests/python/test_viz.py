"""Pictures: that they draw, and that what they draw is what the library says."""

import io

import ndpool
import numpy as np
import pytest
import skimage.data
from ndpool import invariance, viz

PHOTO = skimage.data.camera()[::4, ::4] / 255.0


def drawn(figure):
    """Render a figure, without a window; return its pixels."""
    from matplotlib.image import imread

    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return imread(file)


def test_the_diagram_and_the_gallery_draw():
    for figure in (viz.diagram(), viz.gallery(PHOTO)):
        pixels = drawn(figure)
        assert pixels.std() > 0.05
        assert pixels.shape[0] > 200


def test_curves_are_those_of_the_measure():
    functions = {
        "max": lambda x: ndpool.pool(x, (4, 4), "max"),
        "average": lambda x: ndpool.pool(x, (4, 4), "avg"),
        "first": lambda x: ndpool.pool(x, (4, 4), "first"),
    }
    for border in ("wrap", "crop"):
        figure = viz.shift_plot(PHOTO, max_shift=5, border=border)
        lines = figure.axes[0].lines
        assert [line.get_label() for line in lines] == list(functions)
        for line, function in zip(lines, functions.values(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), range(6))
            np.testing.assert_array_equal(
                line.get_ydata(), invariance.shift_error(function, PHOTO, range(6), border=border)
            )
    assert drawn(figure).std() > 0.05


def test_any_functions_can_be_drawn():
    names = [f"function {number}" for number in range(8)]
    figure = viz.shift_plot(PHOTO, dict.fromkeys(names, np.sin), max_shift=0)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == names
    drawn(figure)


def test_modes_without_a_gradient_are_in_the_gallery_too():
    with_gradient, without = (len(viz.gallery(PHOTO, (2,), (mode,)).axes[3].images) for mode in ("max", "count"))
    assert (with_gradient, without) == (2, 0)
    drawn(viz.gallery(PHOTO, (2, 4), ("count", "avg", "mode", "any")))


def test_numbers_are_what_has_an_index():
    for size in (np.int64(2), (2, np.int8(2)), [np.uint8(2)], np.array([2, 2])):
        texts = [text.get_text() for text in viz.diagram(kernel_size=size).axes[0].texts]
        assert texts == [text.get_text() for text in viz.diagram().axes[0].texts]
    assert len(viz.gallery(PHOTO, np.array([2, 4]), focus=(np.int64(3), 3)).axes) == 11
    assert viz.shift_plot(PHOTO, max_shift=np.int64(2)).axes[0].lines[0].get_xdata().tolist() == [0, 1, 2]
    assert viz.shift_plot(PHOTO, max_shift=128, border="wrap").axes[0].lines[0].get_ydata()[-1] == 0


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: viz.diagram(np.ones(3)), ValueError, "x: shape (3,)"),
        (lambda: viz.diagram([[1, 2], [3]]), ValueError, "x: no array can be made of it"),
        (lambda: viz.diagram([["a"]]), TypeError, "x: an array of dtype <U1 must be of integers, floats or bool"),
        (lambda: viz.diagram(kernel_size=3), ValueError, "kernel_size: (3, 3) does not divide the shape (4, 4)"),
        (lambda: viz.diagram(kernel_size=0), ValueError, "kernel_size: 0 must be from 1"),
        (lambda: viz.diagram(kernel_size=2.0), TypeError, "kernel_size: 2.0 (float) must be an int"),
        (lambda: viz.diagram(kernel_size=(2, 2, 2)), ValueError, "kernel_size: (2, 2, 2) has 3 values; give one, or 2"),
        (lambda: viz.diagram(kernel_size=None), TypeError, "kernel_size: None (NoneType) must be an int"),
        (lambda: viz.diagram(modes="max"), TypeError, "modes: 'max' must be a sequence of names"),
        (lambda: viz.diagram(modes=()), ValueError, "modes: () must name at least one"),
        (lambda: viz.diagram(modes=("largest",)), ValueError, "modes: 'largest' must be one of max, min"),
        (lambda: viz.diagram(modes=(3,)), TypeError, "modes: 3 must be a str"),
        (lambda: viz.gallery(np.ones((4, 4))), ValueError, "photo: shape (4, 4); the largest window is 8"),
        (lambda: viz.gallery(np.ones((8, 8, 4))), ValueError, "photo: shape (8, 8, 4); a photograph is"),
        (lambda: viz.gallery(PHOTO * 1j), TypeError, "photo: an array of dtype complex128 must be"),
        (lambda: viz.gallery(PHOTO, (0,)), ValueError, "sizes: 0 must be from 1"),
        (lambda: viz.gallery(PHOTO, ()), ValueError, "sizes: () must hold at least one"),
        (lambda: viz.gallery(PHOTO, 2), TypeError, "sizes: 2 must be a sequence of ints"),
        (lambda: viz.gallery(PHOTO, (2.0,)), TypeError, "sizes: 2.0 (float) must be an int"),
        (lambda: viz.gallery(PHOTO, (2,), ()), ValueError, "modes: () must name at least one"),
        (lambda: viz.gallery(PHOTO, (2,), ("quantile",)), TypeError, "q: mode 'quantile' needs this option"),
        (lambda: viz.gallery(PHOTO, focus=3), ValueError, "focus: 3 must be a row and a column"),
        (lambda: viz.gallery(PHOTO, focus=(1, 2, 3)), ValueError, "focus: (1, 2, 3) must be a row and a column"),
        (lambda: viz.gallery(PHOTO, focus=(1, 2.5)), TypeError, "focus: 2.5 (float) must be an int"),
        (lambda: viz.shift_plot(PHOTO, {}), ValueError, "functions: must hold at least one"),
        (lambda: viz.shift_plot(PHOTO, [1]), TypeError, "functions: a list must be a mapping of names to functions"),
        (lambda: viz.shift_plot(PHOTO, {"a": 3}), TypeError, "functions: 'a' is 3, which must be callable"),
        (lambda: viz.shift_plot(PHOTO, max_shift=-1), ValueError, "max_shift: -1 must be from 0"),
        (lambda: viz.shift_plot(PHOTO, max_shift=2.0), TypeError, "max_shift: 2.0 (float) must be an int"),
        (lambda: viz.shift_plot(PHOTO, max_shift=128), ValueError, "max_shift: 128 is too much for the last axis"),
        (lambda: viz.shift_plot(PHOTO, max_shift=10**15), ValueError, "max_shift: 1000000000000000 is too much"),
        (lambda: viz.shift_plot(3.0), ValueError, "max_shift: 8 is too much for the last axis of an array of shape ()"),
        (lambda: viz.shift_plot(PHOTO, border="same"), ValueError, "border: 'same' must be"),
    ],
)
def test_pictures_that_cannot_be_drawn(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(says)
