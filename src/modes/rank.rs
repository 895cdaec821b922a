//! Order statistics: medians and quantiles, by the methods of `numpy.quantile` (Hyndman and Fan, 1996).

use std::cmp::Ordering;

use super::{Cells, Number, Slopes};

/// How a quantile that lies between two cells is made of them: the methods of `numpy.quantile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // NumPy documents each
pub enum QuantileMethod {
    InvertedCdf,
    AveragedInvertedCdf,
    ClosestObservation,
    InterpolatedInvertedCdf,
    Hazen,
    Weibull,
    Linear,
    MedianUnbiased,
    NormalUnbiased,
    Lower,
    Higher,
    Midpoint,
    Nearest,
}

impl QuantileMethod {
    /// Every method, by its name in NumPy.
    pub const ALL: [(&'static str, Self); 13] = [
        ("inverted_cdf", Self::InvertedCdf),
        ("averaged_inverted_cdf", Self::AveragedInvertedCdf),
        ("closest_observation", Self::ClosestObservation),
        ("interpolated_inverted_cdf", Self::InterpolatedInvertedCdf),
        ("hazen", Self::Hazen),
        ("weibull", Self::Weibull),
        ("linear", Self::Linear),
        ("median_unbiased", Self::MedianUnbiased),
        ("normal_unbiased", Self::NormalUnbiased),
        ("lower", Self::Lower),
        ("higher", Self::Higher),
        ("midpoint", Self::Midpoint),
        ("nearest", Self::Nearest),
    ];

    /// Whether the result is always one of the cells.
    #[must_use]
    pub fn chooses(self) -> bool {
        matches!(self, Self::InvertedCdf | Self::ClosestObservation | Self::Lower | Self::Higher | Self::Nearest)
    }
}

/// A quantile: which part of the cells lies below it, and how it is made of two of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// From 0 (the minimum) to 1 (the maximum).
    pub q: f64,
    /// What lies between two cells.
    pub method: QuantileMethod,
}

/// Two neighbours in order, and how far the quantile is from the first to the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Between {
    pub lower: usize,
    pub upper: usize,
    pub part: f64,
}

impl Rank {
    /// The places, in order, of the cells that the quantile of `n` cells is made of.
    pub(super) fn between(self, n: usize) -> Between {
        use QuantileMethod as M;
        let (count, q) = (n as f64, self.q);
        let index = |alpha: f64, beta: f64| count * q + (alpha + q * (1.0 - alpha - beta)) - 1.0;
        let exactly =
            |place: f64| Between { lower: place.max(0.0) as usize, upper: place.max(0.0) as usize, part: 0.0 };
        let boundary = |at: f64, stays: bool| exactly(if stays { at.floor() } else { at.floor() + 1.0 });
        let last = (count - 1.0) * q;
        let (at, part): (f64, fn(f64) -> f64) = match self.method {
            M::InvertedCdf => {
                let at = count * q - 1.0;
                return boundary(at, at.fract() == 0.0);
            }
            M::ClosestObservation => {
                let at = count * q - 1.5;
                return boundary(at, at.fract() == 0.0 && at.floor().rem_euclid(2.0) == 1.0);
            }
            M::Lower => return exactly(last.floor()),
            M::Higher => return exactly(last.ceil()),
            M::Nearest => return exactly(last.round_ties_even()),
            M::AveragedInvertedCdf => (count * q - 1.0, |part| if part == 0.0 { 0.5 } else { 1.0 }),
            M::InterpolatedInvertedCdf => (index(0.0, 1.0), |part| part),
            M::Hazen => (index(0.5, 0.5), |part| part),
            M::Weibull => (index(0.0, 0.0), |part| part),
            M::MedianUnbiased => (index(1.0 / 3.0, 1.0 / 3.0), |part| part),
            M::NormalUnbiased => (index(3.0 / 8.0, 3.0 / 8.0), |part| part),
            M::Linear => (last, |part| part),
            M::Midpoint => (0.5 * (last.floor() + last.ceil()), |part| if part == 0.0 { 0.0 } else { 0.5 }),
        };
        if at >= count - 1.0 {
            return exactly(count - 1.0);
        }
        if at < 0.0 {
            return exactly(0.0);
        }
        let lower = at.floor();
        Between { lower: lower as usize, upper: lower as usize + 1, part: part(at - lower) }
    }

    /// The places of the two cells, and how far the quantile is from the first to the second. Of equal cells, the first is
    /// taken.
    fn find<V: Number>(self, values: &[V], order: &mut Vec<usize>) -> (usize, usize, f64) {
        if let Some(nan) = values.iter().position(|value| value.is_nan()) {
            return (nan, nan, 0.0);
        }
        let Between { lower, upper, part } = self.between(values.len());
        let compare = |&a: &usize, &b: &usize| values[a].partial_cmp(&values[b]).unwrap_or(Ordering::Equal);
        let first_alike = |place: usize| values.iter().position(|&value| value == values[place]).unwrap_or(place);
        order.clear();
        order.extend(0..values.len());
        let (_, &mut first, above) = order.select_nth_unstable_by(lower, compare);
        if part == 0.0 || upper == lower {
            return (first_alike(first), first_alike(first), 0.0);
        }
        let second = above.iter().copied().min_by(compare).unwrap_or(first);
        (first_alike(first), first_alike(second), part)
    }

    /// The place of the cell that a method which chooses one chooses.
    pub(super) fn choose<V: Number>(self, values: &[V], order: &mut Vec<usize>) -> usize {
        self.find(values, order).0
    }

    pub(super) fn value(self, cells: &Cells<'_, f64>, order: &mut Vec<usize>) -> f64 {
        let (first, second, t) = self.find(cells.values, order);
        Self::blend(cells.values[first], cells.values[second], t)
    }

    /// What lies between two cells, a part `t` of the way from the first.
    #[inline(always)]
    pub(super) fn blend(a: f64, b: f64, t: f64) -> f64 {
        if a == b || t == 0.0 {
            a
        } else if t == 1.0 {
            b
        } else if t < 0.5 {
            a + (b - a) * t
        } else {
            // As in NumPy: exact at the nearer end. Halves are added, so that the difference of huge cells cannot overflow.
            if t == 0.5 { 0.5 * a + 0.5 * b } else { b - (b - a) * (1.0 - t) }
        }
    }

    pub(super) fn slopes(self, cells: &Cells<'_, f64>, slopes: &mut Slopes) {
        let mut order = std::mem::take(&mut slopes.order);
        let (first, second, t) = self.find(cells.values, &mut order);
        slopes.order = order;
        slopes.set(cells, |_| 0.0, |_| 0.0);
        slopes.x[first] += 1.0 - t;
        slopes.x[second] += t;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::statistic::tests::cells;

    #[test]
    fn quantiles_as_numpy_has_them() {
        use QuantileMethod as M;
        // numpy.quantile([3, 1, 2, 4], 0.4, method=...)
        for (method, expected) in [
            (M::InvertedCdf, 2.0),
            (M::AveragedInvertedCdf, 2.0),
            (M::ClosestObservation, 2.0),
            (M::InterpolatedInvertedCdf, 1.6),
            (M::Hazen, 2.1),
            (M::Weibull, 2.0),
            (M::Linear, 2.2),
            (M::MedianUnbiased, 6.2 / 3.0),
            (M::NormalUnbiased, 2.075),
            (M::Lower, 2.0),
            (M::Higher, 3.0),
            (M::Midpoint, 2.5),
            (M::Nearest, 2.0),
        ] {
            let value = Rank { q: 0.4, method }.value(&cells(&[3.0, 1.0, 2.0, 4.0], &[]), &mut Vec::new());
            assert!((value - expected).abs() < 1e-15, "{method:?} {value}");
        }
    }

    #[test]
    fn of_equal_cells_the_first_is_chosen() {
        let median = Rank { q: 0.5, method: QuantileMethod::Lower };
        assert_eq!(median.choose(&[2i128, 1, 2, 2], &mut Vec::new()), 0);
        assert_eq!(median.choose(&[1.0, f64::NAN, 0.0], &mut Vec::new()), 1);
    }
}
