//! Sums, means and products; of integers, exactly.

use super::{Cells, Slopes, largest, sum};
#[cfg(feature = "python")]
use crate::reduce::Addend;

/// The weight of a cell: cells without weights weigh 1.
#[inline(always)]
fn weight(cells: &Cells<'_, f64>, i: usize) -> f64 {
    if cells.beside.is_empty() { 1.0 } else { cells.beside[i] }
}

fn weights(cells: &Cells<'_, f64>) -> f64 {
    if cells.beside.is_empty() { cells.len() as f64 } else { sum(cells.len(), |i| cells.beside[i]) }
}

/// `sum w x`.
pub(super) fn total(cells: &Cells<'_, f64>) -> f64 {
    if cells.beside.is_empty() {
        return sum(cells.len(), |i| cells.values[i]);
    }
    sum(cells.len(), |i| cells.beside[i] * cells.values[i])
}

pub(super) fn total_slopes(cells: &Cells<'_, f64>, slopes: &mut Slopes) {
    slopes.set(cells, |i| weight(cells, i), |i| cells.values[i]);
}

/// `sum w x / sum w`.
pub(super) fn mean(cells: &Cells<'_, f64>) -> f64 {
    total(cells) / weights(cells)
}

pub(super) fn mean_slopes(cells: &Cells<'_, f64>, slopes: &mut Slopes) {
    let (mean, weights) = (mean(cells), weights(cells));
    slopes.set(cells, |i| weight(cells, i) / weights, |i| (cells.values[i] - mean) / weights);
}

pub(super) fn product(cells: &Cells<'_, f64>) -> f64 {
    cells.values.iter().product()
}

/// Each slope is the product of the other cells: of those before and of those after, so that zeros need no division.
pub(super) fn product_slopes(cells: &Cells<'_, f64>, slopes: &mut Slopes) {
    slopes.x.clear();
    let mut before = 1.0;
    for &value in cells.values {
        slopes.x.push(before);
        before *= value;
    }
    let mut after = 1.0;
    for (slope, &value) in slopes.x.iter_mut().zip(cells.values).rev() {
        *slope *= after;
        after *= value;
    }
}

/// `alpha max + (1 - alpha) mean`: Lee, Gallagher and Tu, "Generalizing pooling functions", 2016.
pub(super) fn mixed(cells: &Cells<'_, f64>, alpha: f64) -> f64 {
    let max = largest(cells.values.iter().copied());
    let part = |share: f64, of: f64| if share == 0.0 && !of.is_nan() { 0.0 } else { share * of };
    part(alpha, max) + part(1.0 - alpha, mean(cells))
}

pub(super) fn mixed_slopes(cells: &Cells<'_, f64>, alpha: f64, slopes: &mut Slopes) {
    let max = largest(cells.values.iter().copied());
    let winner = cells.values.iter().position(|&value| value == max || value.is_nan());
    let share = (1.0 - alpha) / cells.len() as f64;
    slopes.set(cells, |_| share, |_| 0.0);
    if let Some(winner) = winner {
        slopes.x[winner] += alpha;
    }
    slopes.parameter = max - mean(cells);
}

/// `sum p x` with `p = x / sum x`: what stochastic pooling gives on average (Zeiler and Fergus, 2013).
pub(super) fn expected(cells: &Cells<'_, f64>) -> f64 {
    let total = sum(cells.len(), |i| cells.values[i]);
    let most = largest(cells.values.iter().copied());
    if total == f64::INFINITY && most < f64::INFINITY {
        let (total, x) = (sum(cells.len(), |i| cells.values[i] / most), |i: usize| cells.values[i] / most);
        return most * sum(cells.len(), |i| x(i) * (x(i) / total));
    }
    if total == 0.0 { 0.0 } else { sum(cells.len(), |i| cells.values[i] * (cells.values[i] / total)) }
}

pub(super) fn expected_slopes(cells: &Cells<'_, f64>, slopes: &mut Slopes) {
    let (total, mean) = (sum(cells.len(), |i| cells.values[i]), expected(cells));
    slopes.set(cells, |i| if total == 0.0 { 0.0 } else { (2.0 * cells.values[i] - mean) / total }, |_| 0.0);
}

/// Totals of integers: exact, or modulo 2^64 where they are written so.
#[cfg(feature = "python")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Exact {
    /// `sum x`.
    Sum,
    /// `sum x / n`, rounded half to even, and no further from 0 than these.
    Mean {
        /// The least integer that can be written.
        least: i128,
        /// The largest.
        most: i128,
    },
    /// `prod x`.
    Product,
}

#[cfg(feature = "python")]
impl Exact {
    /// The total, modulo 2^128.
    pub fn value(self, cells: &Cells<'_, i128>) -> i128 {
        let values = cells.values.iter().copied();
        match self {
            Self::Sum => values.fold(0, i128::plus),
            Self::Mean { least, most } => {
                let (sum, n) = (values.fold(0, i128::plus), cells.len() as i128);
                let (quotient, rest) = (sum.div_euclid(n), sum.rem_euclid(n));
                let up = rest > n - rest || rest == n - rest && quotient & 1 == 1;
                (quotient + i128::from(up)).clamp(least, most)
            }
            Self::Product => values.fold(1, i128::wrapping_mul),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::Statistic;
    use crate::modes::statistic::tests::{cells, check_slopes};

    #[test]
    fn slopes_are_derivatives() {
        let (x, w) = ([0.5, 2.0, 0.25, 1.5], [1.0, 0.5, 2.0, 0.0]);
        for statistic in [Statistic::Sum, Statistic::Mean] {
            check_slopes(&statistic, &x, &[]);
            check_slopes(&statistic, &x, &w);
        }
        check_slopes(&Statistic::Product, &x, &[]);
        check_slopes(&Statistic::Mixed { alpha: 0.3 }, &x, &[]);
        check_slopes(&Statistic::Expected, &x, &[]);
    }

    #[cfg(feature = "python")]
    #[test]
    fn integer_means_round_half_to_even() {
        let mean = Exact::Mean { least: 0, most: 255 };
        for (values, expected) in [(&[1, 2][..], 2), (&[2, 3], 2), (&[1, 1, 2], 1), (&[-9, -9], 0), (&[300, 400], 255)]
        {
            let cells = Cells { values, beside: &[], positions: &[], center: 0, window: 0 };
            assert_eq!(mean.value(&cells), expected, "{values:?}");
        }
    }

    #[test]
    fn products_with_zeros_have_slopes() {
        let mut slopes = Slopes::default();
        product_slopes(&cells(&[2.0, 0.0, 3.0], &[]), &mut slopes);
        assert_eq!(slopes.x, [0.0, 6.0, 0.0]);
        product_slopes(&cells(&[0.0, 0.0, 3.0], &[]), &mut slopes);
        assert_eq!(slopes.x, [0.0, 0.0, 0.0]);
    }
}
