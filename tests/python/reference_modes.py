"""Every mode of ``ndpool.pool`` as one line of a table: what it makes of a window, and what it promises.

The geometry and the order of the cells are those of ``reference.py``. A window is reduced from the list of its *valid*
cells as Python numbers in C order, either by a choice (the place of one of them, whose bits are the result) or by one
of the formulas of ``formulas.py``. A new mode is tested everywhere by one entry of ``MODES``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import formulas as of
import numpy as np
import reference as ref


class FillNeededError(ValueError):
    """A window holds fewer than ``min_count`` valid cells, and the result can hold neither NaN nor a given value."""


# ---------------------------------------------------------------------------------------------------------------------
# Result dtypes: (dtype of x, options) -> dtype
# ---------------------------------------------------------------------------------------------------------------------


def same(dtype, _):
    """Return the dtype of the input."""
    return np.dtype(dtype).newbyteorder("=")


def averaged(dtype, options):
    """Floats keep their dtype, the rest gives float64."""
    return np.dtype(np.float64) if np.dtype(dtype).kind in "iub" else same(dtype, options)


def summed(dtype, options):
    """NumPy's rule; weights make a sum one of floats."""
    if np.dtype(dtype).kind not in "iub" or options.get("weighted"):
        return averaged(dtype, options)
    return np.dtype(np.uint64 if np.dtype(dtype).kind == "u" else np.int64)


def median_dtype(dtype, options):
    """Integers stay integers where a cell is chosen."""
    return same(dtype, options) if options.get("method", "lower") in of.CHOOSING else averaged(dtype, options)


def always(dtype):
    """Return the same dtype for every input."""
    return lambda *_: np.dtype(dtype)


# ---------------------------------------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """What one mode does and has.

    Attributes
    ----------
    result : callable
        Dtype of the result from that of x and the options.
    choose, formula : callable
        One of the two: the place of the winner, or a number. (The centre is chosen by the geometry.)
    scale : callable
        What the rounding error is relative to, beside the result.
    settings : tuple of dict
        Options to try; the first are used where one setting is enough.
    bad : tuple of (str, object, type)
        Option, value, exception.
    domain : str
        What values to draw: any, plain, positive, mild, or wide (any integers, plain floats).
    infinities, nan_spreads, gradient, weights, dtype : bool
        Infinite values have a rule; NaN in gives NaN out; is differentiable; takes ``weights=``, ``dtype=``.
    scalar : str
        The option that is differentiable where it is given.
    """

    result: Callable
    choose: Callable | None = None
    formula: Callable | None = None
    scale: Callable = of.nothing
    settings: tuple = ({},)
    bad: tuple = ()
    domain: str = "plain"
    infinities: bool = True
    nan_spreads: bool = True
    gradient: bool = True
    weights: bool = False
    dtype: bool = False
    scalar: str = ""
    options: tuple = ()


def number(name, *wrong):
    """List what a real option refuses."""
    others = [(name, value, TypeError) for value in ("2", [2.0], 2j)]
    return (*((name, value, ValueError) for value in wrong), *others)


NAN, INF = math.nan, math.inf
OWN = {"domain": "any", "nan_spreads": False}
REAL = {"result": averaged, "dtype": True}
DDOF = {"settings": ({}, {"ddof": 1}, {"ddof": 4}), "options": ("ddof",), "bad": (("ddof", "1", TypeError),)}
METHOD = (("method", "nope", ValueError), ("method", 3, TypeError))
MEDIANS = ({}, *({"method": method} for method in of.METHODS))
QUANTILES = ({"q": 0.375}, *({"q": q, "method": method} for q in (0, 0.25, 0.75, 0.9, 1) for method in of.METHODS))
GEMS = ({}, {"p": 1}, {"p": 2.5, "eps": 0}, {"p": -1.5, "eps": 0.5}, {"p": 50})
SOFTS = ({}, {"beta": 0}, {"beta": -0.5}, {"beta": 3})
MIXES = tuple({"alpha": alpha} for alpha in (0.5, 0.25, -0.5, 1.5))
RNG = (*(("rng", value, TypeError) for value in (1.5, "1")), ("rng", -1, ValueError), ("training", 1, TypeError))
# Its random half, training=True, has tests of its own.
DRAWN = {"settings": ({"training": False},), "options": ("rng", "training"), "bad": RNG, "domain": "positive"}

MODES = {
    "max": Mode(same, choose=lambda values: ref.winner(values, "max"), **OWN),
    "min": Mode(same, choose=lambda values: ref.winner(values, "min"), **OWN),
    "sum": Mode(
        summed,
        formula=lambda values, weights, _: ref.total(of.weighted(values, weights)),
        scale=of.magnitudes,
        domain="wide",
        weights=True,
        dtype=True,
    ),
    "prod": Mode(summed, formula=lambda values, *_: math.prod(values), domain="mild", dtype=True),
    "avg": Mode(formula=of.mean, scale=of.mean_magnitude, weights=True, **REAL),
    "count": Mode(always(np.int64), formula=lambda values, *_: len(values), gradient=False, **OWN),
    "var": Mode(formula=of.variance, scale=of.variance_scale, **DDOF, **REAL),
    "std": Mode(formula=lambda *window: math.sqrt(of.variance(*window)), scale=of.deviation_scale, **DDOF, **REAL),
    "lp": Mode(
        formula=of.power_sum,
        settings=({}, {"p": 1}, {"p": 3.5}, {"p": 0.5}, {"p": 50}, {"p": INF}),
        options=("p",),
        bad=number("p", 0, -1, NAN, -INF),
        **REAL,
    ),
    "gem": Mode(
        formula=of.generalised_mean,
        settings=GEMS,
        options=("p", "eps"),
        scalar="p",
        bad=number("p", 0, NAN, INF) + number("eps", -1e-9, NAN, INF),
        **REAL,
    ),
    "lse": Mode(
        formula=of.log_mean_exp,
        scale=of.shifted_scale,
        settings=({}, {"r": 10}, {"r": -0.25}),
        options=("r",),
        scalar="r",
        bad=number("r", 0, NAN, INF),
        **REAL,
    ),
    "soft": Mode(
        formula=of.softmax_mean,
        scale=of.softmax_scale,
        settings=SOFTS,
        options=("beta",),
        scalar="beta",
        bad=number("beta"),
        **REAL,
    ),
    "lip": Mode(
        formula=of.importance_mean, scale=of.importance_scale, options=("g",), bad=(("g", "1", TypeError),), **REAL
    ),
    "mixed": Mode(
        formula=of.mixture,
        scale=lambda *window: (1 + abs(window[-1].get("alpha", 0.5))) * of.largest(*window),
        settings=({}, *MIXES),
        options=("alpha",),
        scalar="alpha",
        bad=number("alpha", NAN, INF),
        **REAL,
    ),
    "stochastic": Mode(averaged, formula=of.expected_draw, infinities=False, **DRAWN),
    "median": Mode(
        median_dtype,
        formula=of.quantile,
        scale=of.largest,
        settings=MEDIANS,
        options=("method",),
        bad=METHOD,
        infinities=False,
    ),
    "quantile": Mode(
        averaged,
        formula=of.quantile,
        scale=of.largest,
        settings=QUANTILES,
        options=("q", "method"),
        bad=(*number("q", -0.1, 1.1, NAN), *METHOD),
        infinities=False,
    ),
    "mode": Mode(
        same,
        formula=of.most_frequent,
        settings=({}, {"ignore": 1}, {"ignore": 0}),
        options=("ignore",),
        bad=(("ignore", "1", TypeError),),
        domain="any",
        gradient=False,
    ),
    "any": Mode(always(bool), formula=lambda values, *_: any(values), gradient=False, **OWN),
    "all": Mode(always(bool), formula=lambda values, *_: all(values), gradient=False, **OWN),
    "first": Mode(same, choose=lambda _: 0, **OWN),
    "center": Mode(same, **OWN),
}
OPTIONS = sorted({option for mode in MODES.values() for option in mode.options})


# ---------------------------------------------------------------------------------------------------------------------
# The loop
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What ``pool`` gives.

    Attributes
    ----------
    values : ndarray of object
        Cells of the array where one is chosen, otherwise Python numbers.
    indices : ndarray of int64
        Place of a chosen cell, flat within the pooled axes.
    scale : ndarray of float64
        What rounding errors are relative to, beside the values.
    dtype : dtype
        Of the result.
    """

    values: np.ndarray
    indices: np.ndarray
    scale: np.ndarray
    dtype: np.dtype


def centre(geometry, out):
    """Cell in the middle of the clipped span along each axis."""
    cells = [axis[place].cells for axis, place in zip(geometry, out, strict=True)]
    return tuple(along[len(along) // 2] for along in cells)


def is_nan(value):
    """Tell NaN from numbers and from flags."""
    return isinstance(value, float) and math.isnan(value)


def reduced(mode, values, weights, options):
    """Return ``(number, scale)`` of one window."""
    if mode.nan_spreads and any(map(is_nan, values)):
        return math.nan, 0.0
    scale = mode.scale(values, weights, options) if all(map(math.isfinite, values)) else 0.0
    return mode.formula(values, weights, options), scale


def pool(
    x,
    geometry,
    axes,
    name,
    *,
    where=None,
    weights=None,
    overlap=None,
    omit=False,
    min_count=1,
    fill=None,
    dtype=None,
    include_pad=False,
    **options,
):
    """Reduce every window of ``x`` by a mode; ``overlap`` gives the weight of a cell in an output."""
    mode, shape = MODES[name], ref.output_shape(geometry)
    extent = [x.shape[axis] for axis in sorted(axes)]
    logits = options.pop("g", None)
    factors = weights if logits is None else logits
    factors = None if factors is None else np.broadcast_to(factors, x.shape)
    given = {**options, "weighted": weights is not None or overlap is not None}
    given["median_of_integers"] = name == "median" and x.dtype.kind in "iub"
    result = mode.result(x.dtype, given) if dtype is None else np.dtype(dtype)
    values, scale, indices = np.empty(shape, object), np.zeros(shape), np.full(shape, -1, np.int64)
    if fill is None:
        ref.refuse_empty_windows(geometry)
    for out, cells, taps in ref.visits(geometry):
        valid = [cell for cell in cells if where is None or np.broadcast_to(where, x.shape)[cell]]
        valid = [cell for cell in valid if not (omit and is_nan(ref.number(x[cell])))]
        if len(valid) < min_count or (name == "center" and centre(geometry, out) not in valid):
            if fill is None and result.kind in "iub":
                raise FillNeededError(f"window {out} holds {len(valid)} valid cells")
            values[out] = math.nan if fill is None else fill
            continue
        numbers = [ref.number(x[cell]) for cell in valid]
        if mode.formula is None:
            won = centre(geometry, out) if name == "center" else valid[mode.choose(numbers)]
            values[out] = x[won]
            indices[out] = np.ravel_multi_index([won[axis] for axis in sorted(axes)], extent)
            continue
        of_cells = None if factors is None else [float(factors[cell]) for cell in valid]
        if overlap is not None:
            of_cells = [float(overlap(out, cell)) for cell in valid]
        divisor = {"taps": taps} if include_pad else {}
        values[out], scale[out] = reduced(mode, numbers, of_cells, given | divisor)
    return Result(values, indices, scale, result)
