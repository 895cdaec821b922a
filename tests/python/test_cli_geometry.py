"""The command `apply` pools in parts: whatever the windows, the parts are what `pool` gives at once."""

import itertools

import ndpool
import numpy as np
import pytest
from command import failed, succeeded, written
from ndpool.cli import apply, files

PADDINGS = [0, 1, 2, 5, ((2, 0),), ((0, 3),), "same", "same_lower"]


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "parts"])
@pytest.mark.parametrize("ceil_mode", [True, False], ids=["ceil", "floor"])
def test_parts_of_small_geometries_are_what_pool_gives(monkeypatch, whole, ceil_mode):
    if not whole:
        monkeypatch.setattr(apply, "PART", 8)
    checked = 0
    for length, window, stride, dilation, padding in itertools.product(
        (1, 2, 5, 7), (1, 2, 3), (1, 2, 3, 5), (1, 2), PADDINGS
    ):
        x = np.arange(1.0, length + 1)
        given = {"window": (window,), "stride": stride, "dilation": dilation, "padding": padding}
        given["ceil_mode"] = ceil_mode
        try:
            want = ndpool.pool(x, mode="avg", fill_value=-7, count_include_pad=False, **given)
        except ValueError:  # the window is larger than what there is
            continue
        request = apply.Request(mode="avg", options={"fill_value": -7}, **given)
        axes = apply.windows(request, x.shape, None)
        shape = ndpool.output_shape(x.shape, **apply.geometry(axes), ceil_mode=ceil_mode)
        assert shape == want.shape, given
        parts = list(apply.parts(request, x, axes, shape[0]))
        assert [rows.stop for rows, _ in parts] == list(np.cumsum([len(part) for _, part in parts])), given
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), want, str(given))
        checked += 1
    assert checked > 500


def test_a_last_window_wholly_in_padding_is_written(tmp_path):
    source, target = written(tmp_path, "x.npy", np.arange(7.0)), tmp_path / "y.npy"
    succeeded("apply", source, target, "-w", 1, "--stride", 3, "--padding", 2, "--ceil-mode", "--fill-value", -7)
    assert np.load(target).tolist() == [-7, 1, 4, -7]


@pytest.mark.parametrize("name", ["y.npy", "y.png"])
@pytest.mark.parametrize("shape", [(2, 4), (4, 3)])
def test_results_of_another_shape_than_announced_are_no_file(monkeypatch, tmp_path, name, shape):
    source, target = written(tmp_path, "x.npy", np.ones((8, 8), np.uint8)), tmp_path / name
    monkeypatch.setattr(apply, "parts", lambda *_: iter([(slice(0, 4), np.ones(shape, np.uint8))]))
    assert f"results of shape {shape} came where (4, 4) was" in failed(1, "apply", source, target, "-w", 2)
    with pytest.raises(files.FileError), files.result(target, (1,), {}) as write:
        write(np.ones(2, np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
