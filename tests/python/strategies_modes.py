"""Hypothesis strategies for calls of ``ndpool.pool`` in any mode, with masks, and the same call of the reference."""

from dataclasses import dataclass, field

import ndpool
import numpy as np
import reference as ref
import reference_modes as modes
import strategies as some
from hypothesis import strategies as st

NAMES = sorted(modes.MODES)
WINDOW_OF_LIBRARY = {"omit": "nan_policy", "fill": "fill_value", "include_pad": "count_include_pad"}


@dataclass
class Call:
    """One call, for the library and for the reference.

    Attributes
    ----------
    name : str
        Mode.
    x : ndarray
        Input.
    axes : tuple of int
        Pooled, possibly counted from the end.
    window : int or sequence
        Sizes.
    geometry : dict
        stride, padding, dilation, ceil_mode.
    masks : dict
        In the reference's words: where, weights, omit, min_count, fill, include_pad, dtype.
    options : dict
        Of the mode.
    """

    name: str
    x: np.ndarray
    axes: tuple
    window: object
    geometry: dict = field(default_factory=dict)
    masks: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    def arguments(self):
        """Keyword arguments of the library."""
        masks = {WINDOW_OF_LIBRARY.get(name, name): value for name, value in self.masks.items()}
        if "nan_policy" in masks:
            masks["nan_policy"] = "omit" if masks["nan_policy"] else "propagate"
        return {"axis": self.axes, **self.geometry, **masks, **self.options}

    def run(self, **more):
        """Call the library."""
        return ndpool.pool(self.x, self.window, self.name, **self.arguments(), **more)

    def expect(self):
        """Call the reference."""
        axes = tuple(axis % self.x.ndim for axis in self.axes)
        geometry = ref.windows(self.x.shape, axes, self.window, **self.geometry)
        return modes.pool(self.x, geometry, axes, self.name, **self.masks, **self.options)


@st.composite
def values(draw, domain, shape, dtype):
    """Draw an array of numbers that suit a mode; see ``Mode.domain``."""
    integers = np.dtype(dtype).kind in "iub"
    if domain == "any" or (integers and domain in ("wide", "mild")):
        return draw(some.arrays(shape, dtype, special=True))
    if domain == "mild":
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        return generator.choice([0.5, -0.5, 0.75, 1, -1, 1.25, -1.5, 2, 0], size=shape).astype(dtype)
    x = draw(some.arrays(shape, dtype))
    return np.maximum(x, np.zeros((), dtype)) if domain == "positive" else x


def sprinkled(x, seed, *, infinities):
    """Put NaN, and infinities if they have a rule, into some cells."""
    generator = np.random.default_rng(seed)
    special = [np.nan, np.inf, -np.inf] if infinities else [np.nan]
    chosen = generator.random(x.shape) < 0.15
    x = x.copy()
    x[chosen] = generator.choice(special, size=x.shape)[chosen]
    return x


@st.composite
def broadcastable(draw, shape):
    """Draw a shape that broadcasts to ``shape``."""
    lengths = [draw(st.sampled_from([length, length, 1])) for length in shape]
    return tuple(lengths[draw(st.sampled_from([0, 0, len(shape) - 1])) :])


@st.composite
def factors(draw, shape, palette, dtypes):
    """Draw weights or logits that broadcast to ``shape``."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = generator.choice(palette, size=draw(broadcastable(shape))).astype(draw(st.sampled_from(dtypes)))
    return draw(some.memory_layouts())(array) if array.ndim else array


def weights_for(shape):
    """Draw weights; some are 0."""
    return factors(shape, [0, 0.5, 1, 2, 3], ["float64", "float32"]) | factors(shape, [0, 1, 2], ["int64", "uint8"])


@st.composite
def options_of(draw, name, shape):
    """Draw options of a mode."""
    options = dict(draw(st.sampled_from(modes.MODES[name].settings)))
    if name == "lip":
        options["g"] = draw(factors(shape, [-3, -1.5, 0, 0.25, 2], ["float64", "float32"]))
    return options


@st.composite
def masks_of(draw, name, shape, dtype):
    """Draw ``where, weights, omit, min_count, fill``; each is absent now and then."""
    masks = {"omit": draw(st.booleans())} if np.dtype(dtype).kind not in "iub" else {}
    if draw(st.booleans()):
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        masks["where"] = generator.random(draw(broadcastable(shape))) < draw(st.sampled_from([0.3, 0.8]))
    if modes.MODES[name].weights and draw(st.booleans()):
        masks["weights"] = draw(weights_for(shape))
    masks["min_count"] = draw(st.sampled_from([1, 1, 2, 4]))
    masks["fill"] = draw(st.sampled_from([None, 0, 1]))
    return masks


@st.composite
def calls(draw, name, *, masked=False, dtypes=some.DTYPES):
    """Draw a call of a mode over any axes; paddings may leave windows without a cell."""
    mode = modes.MODES[name]
    dtype = draw(st.sampled_from(dtypes))
    shape, axes = draw(some.shapes_and_axes())
    x = draw(values(mode.domain, shape, dtype))
    if np.dtype(dtype).kind not in "iub" and draw(st.booleans()):
        x = sprinkled(x, draw(st.integers(0, 2**32 - 1)), infinities=mode.infinities)
    x = draw(some.memory_layouts())(x)
    if draw(st.integers(0, 9)) == 0:
        x = some.broadcast_along(x, draw(st.integers(0, x.ndim - 1)))
    geometry = draw(some.window_arguments(len(axes), [shape[axis] for axis in axes]))
    masks = draw(masks_of(name, shape, dtype)) if masked else {"fill": draw(st.sampled_from([None, 0, 1]))}
    if name == "avg" and not masked:
        masks["include_pad"] = draw(st.booleans())
    return Call(name, x, axes, geometry.pop("kernel_size"), geometry, masks, draw(options_of(name, shape)))


def settings_of(name, shape):
    """Return the options of the first setting, with logits where they are needed."""
    options = dict(modes.MODES[name].settings[0])
    if name == "lip":
        options["g"] = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    return options
