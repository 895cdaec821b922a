"""What each mode makes of the cells of one window, in Python's ``int``, ``float``, ``fsum`` and ``Fraction``.

A formula takes ``(values, weights or logits or None, options)`` and returns a number; no value is NaN. Beside it
stands, where the result itself is not enough, what its rounding error is relative to.
"""

import math
from collections import Counter
from fractions import Fraction

import reference as ref

# ---------------------------------------------------------------------------------------------------------------------
# Formulas: (values, weights or logits or None, options) -> number. No value is NaN.
# ---------------------------------------------------------------------------------------------------------------------


def weighted(values, weights):
    """Multiply cell by cell."""
    return values if weights is None else [w * float(v) for v, w in zip(values, weights, strict=True)]


def quotient(numerator, divisor):
    """Divide exactly where both are integers, IEEE's way for floats."""
    if isinstance(numerator, int) and isinstance(divisor, int):
        return Fraction(numerator, divisor)
    return numerator / divisor if divisor else math.nan


def mean(values, weights, options):
    """Average; ``taps`` is the divisor that counts padding."""
    divisor = options.get("taps", len(values)) if weights is None else ref.total(weights)
    return quotient(ref.total(weighted(values, weights)), divisor)


def variance(values, _, options):
    """Exact until the last division."""
    if not all(map(math.isfinite, values)):
        return math.nan
    centre = sum(map(Fraction, values)) / len(values)
    squares = float(sum((Fraction(value) - centre) ** 2 for value in values))
    divisor = max(len(values) - options.get("ddof", 0), 0)
    return squares / divisor if divisor else (math.inf if squares else math.nan)


def power_sum(values, _, options):
    """Norm of the window, scaled by its largest magnitude."""
    p, sizes = options.get("p", 2), [float(abs(value)) for value in values]
    largest = max(sizes)
    if largest in (0, math.inf) or p == math.inf:
        return largest
    return largest * math.fsum((size / largest) ** p for size in sizes) ** (1 / p)


def generalised_mean(values, _, options):
    """Power mean of what is clipped from below, scaled by the cell that dominates."""
    p, eps = options.get("p", 3), options.get("eps", 1e-6)
    clipped = [max(float(value), eps) for value in values]
    dominant = max(clipped) if p > 0 else min(clipped)
    if dominant in (0, math.inf):
        return dominant
    return dominant * (math.fsum((value / dominant) ** p for value in clipped) / len(values)) ** (1 / p)


def log_mean_exp(values, _, options):
    """Log of the mean exponential, shifted by the largest exponent."""
    r = options.get("r", 1)
    exponents = [r * float(value) for value in values]
    top = max(exponents)
    if math.isinf(top):
        return top / r
    return (top + math.log(math.fsum(math.exp(e - top) for e in exponents) / len(values))) / r


def softmax_mean(values, _, options):
    """Mean weighted by the softmax of the values; a weight of 0 contributes 0."""
    beta = options.get("beta", 1)
    if beta == 0:
        return mean(values, None, {})
    exponents = [beta * float(value) for value in values]
    top = max(exponents)
    if math.isinf(top):
        return top / beta
    weights = [math.exp(e - top) for e in exponents]
    return ref.total([w * float(v) for v, w in zip(values, weights, strict=True) if w > 0]) / math.fsum(weights)


def importance_mean(values, logits, _):
    """Mean weighted by the exponentials of the logits."""
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return ref.total(weighted(values, weights)) / math.fsum(weights)


def mixture(values, _, options):
    """Largest and average, mixed."""
    alpha = options.get("alpha", 0.5)
    return alpha * float(max(values)) + (1 - alpha) * float(mean(values, None, {}))


def expected_draw(values, *_):
    """Return what drawing a cell with probability ``v / sum v`` gives on average."""
    total = ref.total(values)
    return quotient(ref.total([value * value for value in values]), total) if total else 0


INTERPOLATING = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
CHOOSING = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
METHODS = (*CHOOSING, *INTERPOLATING, "averaged_inverted_cdf", "linear", "midpoint")


def order_statistic(n, q, method):
    """Return ``(place, t)``: the quantile lies ``t`` of the way from this sorted value to the next."""
    if method in INTERPOLATING:
        alpha, beta = INTERPOLATING[method]
        place = n * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method == "averaged_inverted_cdf":
        exact = n * q - 1
        place = exact + 0.5 if exact == math.floor(exact) else math.ceil(exact)
    elif method == "closest_observation":
        exact = n * q - 1.5
        low = math.floor(exact)
        place = low if exact == low and low % 2 == 1 else low + 1
    elif method == "midpoint":
        place = (math.floor((n - 1) * q) + math.ceil((n - 1) * q)) / 2
    else:
        rounding = {"lower": math.floor, "higher": math.ceil, "nearest": round, "linear": float}
        place = math.ceil(n * q - 1) if method == "inverted_cdf" else rounding[method]((n - 1) * q)
    place = min(max(place, 0), n - 1)
    return math.floor(place), place - math.floor(place)


def quantile(values, _, options):
    """NumPy's thirteen methods; a value that is hit exactly is returned as it is."""
    method = options.get("method") or ("lower" if options["median_of_integers"] else "linear")
    ordered = sorted(values)
    place, t = order_statistic(len(ordered), options.get("q", 0.5), method)
    return ordered[place] if t == 0 else (1 - t) * float(ordered[place]) + t * float(ordered[place + 1])


def most_frequent(values, _, options):
    """Lowest of the most frequent values that are not ignored."""
    ignore = options.get("ignore")
    votes = Counter(value for value in values if value != ignore)
    return min(votes, key=lambda value: (-votes[value], value)) if votes else ignore


# ---------------------------------------------------------------------------------------------------------------------
# What a rounding error is relative to, apart from the result itself: (values, weights, options) -> number
# ---------------------------------------------------------------------------------------------------------------------


def nothing(*_):
    """Say that the result is accurate relative to itself."""
    return 0.0


def largest(values, *_):
    """Largest magnitude of the window."""
    return float(max(map(abs, values)))


def magnitudes(values, weights, _):
    """Sum of magnitudes."""
    return float(sum(map(abs, weighted(values, weights))))


def mean_magnitude(values, weights, options):
    """Sum of magnitudes over the divisor."""
    return float(mean(list(map(abs, values)), weights, options))


def deviation_scale(values, _, options):
    """Bound what rounding of the mean does to a deviation."""
    n = len(values)
    return largest(values) * math.sqrt(n / max(n - options.get("ddof", 0), 1))


def variance_scale(values, _, options):
    """Bound the same for its square."""
    scale, value = deviation_scale(values, None, options), variance(values, None, options)
    return 2 * math.sqrt(value) * scale + 1e-13 * scale**2 if math.isfinite(value) else 0.0


def shifted_scale(values, _, options):
    """Bound what rounding of the largest exponent does, divided again by the rate."""
    return largest(values) + 1 / abs(options.get("r", 1))


def softmax_scale(values, _, options):
    """Bound the change of a weight, which is in proportion to its exponent."""
    return largest(values) * (1 + abs(options.get("beta", 1)) * largest(values))


def importance_scale(values, logits, _):
    """Bound the same where the exponents are given."""
    return largest(values) * (1 + max(map(abs, logits)))
