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


def test_pictures_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="functions: must hold at least one"):
        viz.shift_plot(PHOTO, {})
    with pytest.raises(ValueError, match="shifts: take 200 of the 128 cells"):
        viz.shift_plot(PHOTO, max_shift=200)
    with pytest.raises(ValueError, match="x: shape"):
        viz.diagram(np.ones(3))
    with pytest.raises(ValueError, match="photo: shape"):
        viz.gallery(np.ones((4, 4)))
