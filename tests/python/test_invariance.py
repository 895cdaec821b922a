"""Measures of shifts: what theory says of pooling, on constructed arrays and on photographs, and wrong arguments."""

import ndpool
import numpy as np
import pytest
import skimage.data
from ndpool.invariance import equivariance_error, shift_consistency, shift_error

WINDOW = 4
MODES = ["max", "min", "avg", "median", "lp", "first"]


def photograph(name="camera"):
    """Return a grey photograph of 512x512 pixels from 0 to 1."""
    photo = getattr(skimage.data, name)() / 255.0
    return photo if photo.ndim == 2 else photo.mean(axis=2)


def pooled(mode, window=WINDOW, **options):
    return lambda x: ndpool.pool(x, (window, window), mode, **options)


PHOTO = photograph()
#: The maximum of each window of the photograph.
MAXIMA = PHOTO.reshape(128, WINDOW, 128, WINDOW).max(axis=(1, 3))
#: How many windows have the same maximum as the one to the left.
REPEATED = np.mean(np.roll(MAXIMA, 1, axis=1) == MAXIMA)


def relative(result, rest):
    return np.linalg.norm(result - rest) / np.linalg.norm(rest)


# ---------------------------------------------------------------------------------------------------------------------
# What theory says
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("border", ["wrap", "crop"])
def test_nothing_changes_without_a_shift_nor_in_a_picture_of_one_colour(mode, border):
    f = pooled(mode)
    assert shift_error(f, PHOTO, [0], border=border)[0] == 0
    assert shift_consistency(f, PHOTO, 0, border=border).tolist() == [1]
    colour = np.full((16, 24), 0.3)
    assert shift_error(f, colour, range(-5, 6)).tolist() == [0] * 11
    assert shift_consistency(f, colour, 8, border="crop").tolist() == [1] * 9


def test_a_lone_pixel_is_absorbed_inside_its_window_and_not_beyond():
    for start in range(WINDOW):
        x = np.zeros((8, 40))
        x[5, 16 + start] = 1
        shifts = np.arange(-8, 9)
        inside = (start + shifts) // WINDOW == 0
        # One result becomes 0 and another 1.
        want = np.where(inside, 0, np.sqrt(2))
        np.testing.assert_allclose(shift_error(pooled("max"), x, shifts), want, rtol=1e-15)
        np.testing.assert_allclose(shift_error(pooled("avg"), x, shifts), want, rtol=1e-15)
        strided = shift_error(pooled("first"), np.roll(x, 3, axis=0), shifts)  # into the first row of its window
        # Taking the first cell sees the pixel in one place of four: from nothing to something is infinitely far.
        seen = (start + shifts) % WINDOW == 0
        want = np.where(seen, np.inf, 0) if start else np.where(shifts == 0, 0, np.where(seen, np.sqrt(2), 1))
        np.testing.assert_allclose(strided, want, rtol=1e-15)


@pytest.mark.parametrize("offset", range(WINDOW))
def test_max_pooling_of_a_photograph_absorbs_shifts_within_windows_and_no_others(offset):
    # The maxima of the photograph, each alone in its window, `offset` cells from the left.
    peaks = np.zeros_like(PHOTO)
    peaks[1::WINDOW, offset::WINDOW] = MAXIMA
    assert 0 < REPEATED < 0.5
    shifts = np.arange(-WINDOW, WINDOW + 1)
    absorbed = (offset + shifts >= 0) & (offset + shifts < WINDOW)
    neighbour = relative(np.roll(MAXIMA, 1, axis=1), MAXIMA)
    errors = shift_error(pooled("max"), peaks, shifts)
    assert errors[absorbed].tolist() == [0] * WINDOW
    np.testing.assert_allclose(errors[~absorbed & (abs(shifts) < WINDOW)], neighbour, rtol=1e-12)
    consistency = shift_consistency(pooled("max"), peaks, WINDOW)
    np.testing.assert_array_equal(consistency, np.where(absorbed[WINDOW:], 1, REPEATED))


def test_on_a_photograph_as_it_is_max_pooling_changes_less_often_than_other_ways():
    for name in ("camera", "astronaut", "coffee"):
        photo = photograph(name)
        share = {mode: shift_consistency(pooled(mode), photo, WINDOW, border="crop") for mode in MODES}
        assert share["max"][0] == 1
        assert (np.diff(share["max"]) < 0).all()
        assert (share["max"][1:WINDOW] > 1.3 * share["avg"][1:WINDOW]).all()
        assert (share["max"][1:WINDOW] > 1.3 * share["first"][1:WINDOW]).all()
        # What does change, changes less in a mean than in a sample.
        error = {mode: shift_error(pooled(mode), photo, [1, 2, 3], border="crop") for mode in ("avg", "first")}
        assert (error["avg"] < error["first"]).all()


def test_what_windows_of_one_colour_do_when_they_are_shifted():
    # Each window of the photograph filled with its maximum: what a shift does to it can be said exactly.
    blocks = np.repeat(np.repeat(MAXIMA, WINDOW, axis=0), WINDOW, axis=1)
    left = np.roll(MAXIMA, 1, axis=1)
    inside = [1, 2, 3]
    errors = shift_error(pooled("max"), blocks, inside)
    np.testing.assert_allclose(errors, relative(np.maximum(MAXIMA, left), MAXIMA), rtol=1e-12)
    # A mean slides over to the neighbour in equal steps, a sample jumps there at once.
    whole = relative(left, MAXIMA)
    np.testing.assert_allclose(shift_error(pooled("avg"), blocks, [1, 2, 3, 4]), whole * np.arange(1, 5) / 4, rtol=1e-9)
    np.testing.assert_allclose(shift_error(pooled("first"), blocks, [1, 2, 3, 4]), whole, rtol=1e-12)


def test_global_maxima_do_not_change_at_all():
    x = PHOTO[None, None]
    for axes in (-1, -2):
        assert shift_consistency(ndpool.global_max_pool, x, 32, axes=axes).tolist() == [1] * 33
    bytes_ = skimage.data.camera()[None, None]
    assert (shift_consistency(ndpool.global_avg_pool, bytes_, 3, axes=(-2, -1)) == np.ones((4, 4))).all()
    assert (shift_error(ndpool.global_avg_pool, x, [(3, -5), (100, 7)]) < 1e-12).all()


@pytest.mark.parametrize("mode", MODES)
def test_pooling_commutes_with_shifts_by_its_stride(mode):
    shifts = [(4, 0), (0, -8), (-12, 20)]
    assert equivariance_error(pooled(mode), PHOTO, shifts, stride=WINDOW).tolist() == [0, 0, 0]
    assert equivariance_error(pooled(mode), PHOTO, shifts, stride=WINDOW, border="crop").tolist() == [0, 0, 0]
    assert (shift_error(pooled(mode), PHOTO, shifts) > 0.1).all()
    dense = pooled(mode, stride=(2, 1))
    assert equivariance_error(dense, PHOTO, [(2, 1), (-4, 3)], stride=(2, 1), border="crop").tolist() == [0, 0]


def test_convolution_is_equivariant():
    weight = np.random.default_rng(0).standard_normal((2, 1, 3, 3))
    x = PHOTO[None]
    shifts = [(2, 0), (0, 4), (-6, 8)]
    for stride in (1, 2):
        errors = equivariance_error(
            lambda x, stride=stride: ndpool.conv2d(x, weight, stride=stride), x, shifts, stride, border="crop"
        )
        assert (errors < 1e-14).all()
    # Not with shifts that are no multiple of the stride: there it changes, as pooling does.
    strided = lambda x: ndpool.conv2d(x, weight, stride=2)  # noqa: E731
    moved, rest = strided(np.roll(x, 1, axis=-1)), strided(x)
    assert min(relative(moved, np.roll(rest, cells, axis=-1)) for cells in (0, 1)) > 0.05


def test_blurring_before_taking_samples_makes_them_change_less():
    shifts = [1, 3]
    blurred = shift_error(lambda x: ndpool.blur_pool2d(x, 5), PHOTO[None], shifts, border="crop")
    sampled = shift_error(pooled("first", window=2), PHOTO, shifts, border="crop")
    assert (blurred < 0.8 * sampled).all()


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_polyphase_sampling_gives_the_same_up_to_a_shift(mode):
    rest = ndpool.aps_pool2d(PHOTO[None], mode)
    for move in ((0, 1), (1, 0), (3, 5)):
        result = ndpool.aps_pool2d(np.roll(PHOTO, move, (0, 1))[None], mode)
        candidates = [np.roll(rest, (dy, dx), (-2, -1)) for dy in (0, 1, 2) for dx in (0, 1, 2, 3)]
        assert min(relative(result, candidate) for candidate in candidates) < 1e-12


# ---------------------------------------------------------------------------------------------------------------------
# What the measures do
# ---------------------------------------------------------------------------------------------------------------------


def test_measures_follow_their_definitions():
    rng = np.random.default_rng(0)
    x = rng.random((6, 9))
    f = pooled("max", window=3)
    shifts = [(1, 0), (-2, 3), (0, -4)]
    want = [relative(f(np.roll(x, shift, (0, 1))), f(x)) for shift in shifts]
    np.testing.assert_allclose(shift_error(f, x, shifts), want, rtol=1e-14)
    want = [[np.mean(f(np.roll(x, (dy, dx), (0, 1))) == f(x)) for dx in range(3)] for dy in range(3)]
    np.testing.assert_array_equal(shift_consistency(f, x, 2, axes=(0, 1)), want)
    np.testing.assert_array_equal(shift_consistency(f, x, 2, axes=0), np.array(want)[:, 0])
    # Cropped: rows 2 to 5 are seen where nothing is shifted, as shifts reach from -1 to 2.
    parts = {shift: x[2 - shift : 5 - shift] for shift in (-1, 2)}
    want = [relative(f(part), f(x[2:5])) for part in parts.values()]
    np.testing.assert_allclose(shift_error(f, x, list(parts), axes=0, border="crop"), want, rtol=1e-14)


def test_labels_are_counted():
    images = np.random.default_rng(0).random((10, 8, 8))
    label = lambda x: (x[:, :, :4].sum((1, 2)) > x[:, :, 4:].sum((1, 2))).astype(int)  # noqa: E731
    got = shift_consistency(label, images, 4)
    want = [np.mean(label(np.roll(images, shift, 2)) == label(images)) for shift in range(5)]
    np.testing.assert_array_equal(got, want)
    assert got[4] == 0
    names = lambda x: np.where(label(x), "left", "right")  # noqa: E731
    np.testing.assert_array_equal(shift_consistency(names, images, 4), want)


def test_numbers_at_the_edge():
    x = np.arange(4.0)
    assert shift_error(lambda x: x * 0, x, [1]).tolist() == [0]
    assert shift_error(lambda x: x == x[0], np.zeros(4), [1]).tolist() == [0]
    assert shift_error(lambda x: np.maximum(x[:2] - 1, 0), np.array([0.0, 0, 0, 9]), [1]).tolist() == [np.inf]
    for scale in (1e300, 1e-300):
        np.testing.assert_allclose(
            shift_error(lambda y, s=scale: y * s, x, [1]), relative(np.roll(x, 1), x), rtol=1e-12
        )
    broken = np.array([np.nan, 1.0, np.nan, 1.0])
    assert shift_consistency(lambda x: x, broken, 2).tolist() == [1, 0, 1]
    np.testing.assert_array_equal(shift_error(lambda x: x, broken, [0, 1, 2]), [0, np.nan, 0])
    assert equivariance_error(lambda x: x, broken, [0, 1, 2]).tolist() == [0, 0, 0]
    assert shift_error(lambda x: x, np.array([0, 255], np.uint8), [1])[0] == np.sqrt(2)
    assert shift_error(lambda x: x, x, [1]).dtype == shift_consistency(lambda x: x, x, 1).dtype == np.float64


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_and_stays_does_not_change(value):
    x = np.array([1.0, value, 2.0])
    assert shift_error(lambda a: a, x, [0]).tolist() == [0]
    assert shift_error(lambda a: a * value, np.ones(3), [0, 1]).tolist() == [0, 0]
    # The others change as if they were alone.
    alone = shift_error(lambda a: a, np.array([1.0, 2.0]), [1])
    beside = lambda a: np.append(a, value)  # noqa: E731
    np.testing.assert_array_equal(shift_error(beside, np.array([1.0, 2.0]), [1]), alone)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda f, x: shift_error(f, x, 1), TypeError, "shifts: 1 must be a sequence"),
        (lambda f, x: shift_error(f, x, "12"), TypeError, "shifts: '12' must be a sequence"),
        (lambda f, x: shift_error(f, x, []), TypeError, "shifts: [] must be a sequence"),
        (lambda f, x: shift_error(f, x, [1.0]), TypeError, "shifts: 1.0 (float) must be an int"),
        (lambda f, x: shift_error(f, x, [(1, 2), (1,)]), ValueError, "shifts: [(1, 2), (1,)] must all"),
        (lambda f, x: shift_error(f, x, [(1, 2, 3)]), ValueError, "axes: -3 is not an axis"),
        (lambda f, x: shift_error(f, x, [1], axes=2), ValueError, "axes: 2 is not an axis"),
        (lambda f, x: shift_error(f, x, [1], axes=(0, 1)), ValueError, "shifts: (1,) must have a number for each"),
        (lambda f, x: shift_error(f, x, [(1, 1)], axes=(0, 0)), ValueError, "axes: (0, 0) must name"),
        (lambda f, x: shift_error(f, x, [1], border="same"), ValueError, "border: 'same' must be"),
        (lambda f, x: shift_error(f, x, [1], border=None), TypeError, "border: None must be a str"),
        (lambda f, x: shift_error(f, x, [5, -3], border="crop"), ValueError, "shifts: take 8 of the 8 cells of axis 1"),
        (lambda f, x: shift_error(lambda x: x[:, :0], x, [1]), ValueError, "f: returned an array of shape (4, 0)"),
        (
            lambda f, x: shift_error(lambda x: x[x > 20], x, [1], border="crop"),
            ValueError,
            "f: returned arrays of shapes",
        ),
        (lambda f, x: shift_error(lambda x: x * 1j, x, [1]), TypeError, "f: returned an array of dtype complex128"),
        (lambda f, x: shift_error(3, x, [1]), TypeError, "f: 3 (int) must be callable"),
        (lambda f, x: shift_consistency(None, x, 1), TypeError, "f: None (NoneType) must be callable"),
        (lambda f, x: equivariance_error("f", x, [1]), TypeError, "f: 'f' (str) must be callable"),
        (lambda f, x: shift_error(lambda x: (x, 1), x, [1]), TypeError, "f: returned a tuple of 2, and must return"),
        (lambda f, x: shift_error(lambda x: (x, x), x, [1]), TypeError, "f: returned a tuple of 2, and must return"),
        (lambda f, x: shift_error(lambda x: [x, 1], x, [1]), ValueError, "f: returned a list of which no array"),
        (lambda f, x: shift_error(f, np.float64(1), [1]), ValueError, "axes: -1 is not an axis"),
        (lambda f, x: shift_consistency(f, x, -1), ValueError, "max_shift: -1 must be from 0"),
        (lambda f, x: shift_consistency(f, x, 10**12), ValueError, "max_shift: 1000000000000 must be from 0"),
        (lambda f, x: shift_consistency(f, x, 1.0), TypeError, "max_shift: 1.0 (float) must be an int"),
        (lambda f, x: shift_consistency(f, x, 1, axes=()), ValueError, "axes: () must name at least one axis"),
        (lambda f, x: equivariance_error(f, x, [3], 2), ValueError, "shifts: (3,) must be multiples"),
        (lambda f, x: equivariance_error(f, x, [3], 0), ValueError, "stride: 0 must be at least 1"),
        (lambda f, x: equivariance_error(f, x, [2], (1, 2)), ValueError, "stride: (1, 2) has 2 values"),
        (lambda f, x: equivariance_error(np.sum, x, [2]), ValueError, "f: returned an array of shape (), which lacks"),
        (lambda f, x: equivariance_error(f, x, [4], 2, border="crop"), ValueError, "shifts: leave no results"),
    ],
)
def test_wrong_arguments(call, error, says):
    with pytest.raises(error) as caught:
        call(lambda x: ndpool.pool(x, 2), np.arange(32.0).reshape(4, 8))
    assert str(caught.value).startswith(says)


def test_what_the_function_raises_passes_through():
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        shift_error(broken, np.ones(4), [1])
