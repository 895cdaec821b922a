"""What reviewers found in the modes, each as they reported it."""

import ndpool
import numpy as np
import pytest


def window_values(x, kernel, stride, padding, dilation):
    """Yield the real cells of every window along one axis."""
    count = (len(x) + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    for out in range(count):
        cells = (out * stride + tap * dilation - padding for tap in range(kernel))
        yield [x[cell] for cell in cells if 0 <= cell < len(x)]


@pytest.mark.parametrize("masked", [False, True])
def test_windows_that_no_axis_holds_whole(masked):
    """Clipped windows with dilation have as many cells as any, but not at the same places."""
    rng = np.random.default_rng(0)
    modes = {"median": np.median, "prod": np.prod, "std": np.std, "max": np.max}
    for _ in range(300):
        length, kernel, dilation = (int(rng.integers(1, end)) for end in (60, 6, 40))
        padding, stride = int(rng.integers(0, 90)), int(rng.integers(1, 4))
        if length + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        x = rng.standard_normal(length)
        where = rng.random(length) < 0.7 if masked else None
        seen = np.where(where, x, np.nan) if masked else x
        for name, formula in modes.items():
            got = ndpool.pool(
                x, kernel, name, stride=stride, padding=padding, dilation=dilation, where=where, fill_value=-7
            )
            windows = window_values(seen, kernel, stride, padding, dilation)
            valid = ([cell for cell in cells if not np.isnan(cell)] for cells in windows)
            want = [formula(cells) if cells else -7 for cells in valid]
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("mode", ["lse", "soft", "lp", "gem"])
def test_a_tile_that_lies_in_the_padding(mode):
    y = ndpool.pool(np.ones(3), 1, mode, padding=[(34_000_000, 0)], stride=1, fill_value=0)
    assert y.shape == (34_000_003,)
    assert y[:-3].max() == 0
    np.testing.assert_allclose(y[-3:], 1)


def test_nothing_is_written_where_one_mode_of_a_list_refuses():
    x = np.arange(8.0)
    for modes, second, options in [
        (["max", "quantile"], np.empty(4), {"q": 5}),
        (["max", "avg"], np.empty(3), {}),
        (["max", "avg"], x[:4], {}),
        (["sum", "stochastic"], np.empty(4), {"rng": 1}),
    ]:
        out = np.full(4, -7.0)
        with pytest.raises(ValueError):
            ndpool.pool(x - 3 if "stochastic" in modes else x, 2, modes, out=(out, second), **options)
        assert (out == -7).all()


def test_labels_are_compared_exactly():
    top = 2**64 - 1
    assert ndpool.pool(np.array([top, top, 5], np.uint64), 3, "mode", ignore=top) == [5]
    assert ndpool.pool(np.array([2**53, 2**53, 2**53 + 1]), 3, "mode", ignore=2**53 + 1) == [2**53]
    assert ndpool.pool(np.array([1, 1, 2]), 3, "mode", ignore=1.5) == [1]
    assert ndpool.pool(np.array([0, 0, 2]), 3, "mode", ignore=np.nan) == [0]
    assert ndpool.pool(np.array([0.1, 0.1, 3], np.float32), 3, "mode", ignore=0.1) == [np.float32(3)]


def test_a_mask_of_nothing_but_true_is_an_input_too():
    mask = np.ones(8, bool)
    with pytest.raises(ValueError, match="out"):
        ndpool.pool(np.zeros(8), 2, "any", where=mask, out=mask[:4])
    assert mask.all()


def test_sums_of_huge_cells_do_not_decide_draws():
    x = np.array([1e308, 1e308, 1e300])
    np.testing.assert_allclose(ndpool.pool(x, 3, "stochastic", training=False), 1e308)
    drawn = {float(ndpool.pool(x * [1, 0.5, 1], 3, "stochastic", rng=seed)[0]) for seed in range(40)}
    assert drawn == {1e308, 5e307}


@pytest.mark.parametrize("argument", ["window", "axis"])
def test_an_endless_sequence_is_refused_at_once(argument):
    arguments = {"window": 2, argument: range(2**40)}
    with pytest.raises(ValueError, match=argument):
        ndpool.pool(np.ones((5, 5)), mode="max", **arguments)


def test_broadcast_masks_are_not_read_in_full():
    shape = (2**31, 2**31)
    x, mask = np.broadcast_to(np.uint8(1), shape), np.broadcast_to(True, shape)
    with pytest.raises((ValueError, MemoryError)):
        ndpool.pool(x, 2, "max", where=mask)


@pytest.mark.parametrize("option", ["weights", "dtype"])
def test_false_is_a_value_that_a_mode_may_not_have(option):
    with pytest.raises(TypeError, match=option):
        ndpool.pool(np.ones(4), 2, "max", **{option: False})


def test_codes_of_windows_beyond_all_numbers():
    """The number of taps does not fit 64 bits; neither may one more than that."""
    x = np.arange(9.0).reshape(3, 3)
    y, pullback = ndpool.vjp(ndpool.pool, x, (2**32, 2**32), "first", padding=2**31)
    assert y.shape == (1, 1)
    np.testing.assert_array_equal(pullback(np.ones((1, 1))), np.eye(1, 9).reshape(3, 3))


def test_seeds_of_any_size_and_nothing_else():
    x = np.ones(64)

    def draw(rng):
        return ndpool.pool(np.arange(1.0, 65.0), 8, "stochastic", rng=rng)

    np.testing.assert_array_equal(draw(2**64), draw(2**64))
    assert not np.array_equal(draw(2**64), draw(0))
    for rng in (True, np.array([1, 2]), 1.0):
        with pytest.raises(TypeError, match=r"^rng: .* must be None, an int or a numpy.random.Generator"):
            ndpool.pool(x, 8, "stochastic", rng=rng)
        with pytest.raises(TypeError, match=r"^rng: "):
            ndpool.fractional_max_pool2d(x.reshape(1, 1, 8, 8), 2, 4, rng=rng)


def test_messages_name_the_argument():
    with pytest.raises(TypeError, match=r"^fill_value: \[\[1\], \[1, 2\]\] must be a number"):
        ndpool.pool(np.ones(4), 2, fill_value=[[1], [1, 2]])
    _, pullback = ndpool.vjp(ndpool.pool, np.ones(4), 2, "gem", p=2.0)
    with pytest.raises(TypeError, match=r"^dp: 'a' \(str\) must be a number"):
        pullback.jvp(np.ones(4), "a")
