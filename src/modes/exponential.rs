//! Exponentials, shifted by the largest exponent: the log of the mean of exponentials, the mean weighted by a softmax of the
//! cells, and the mean weighted by exponentials of given logits (Gao, Wang and Wu, "LIP: local importance-based pooling", 2019).

use super::{Cells, Slopes, largest, sum};

/// Softmax weights of `n` exponents that are not normalised: the largest exponent, and their sum.
#[derive(Clone, Copy)]
struct Shifted {
    largest: f64,
    total: f64,
}

impl Shifted {
    fn new(n: usize, exponent: impl Fn(usize) -> f64 + Copy) -> Self {
        let largest = largest((0..n).map(exponent));
        Self { largest, total: sum(n, |i| weight(exponent(i), largest)) }
    }

    /// The share of an exponent.
    fn share(self, exponent: f64) -> f64 {
        weight(exponent, self.largest) / self.total
    }
}

/// `exp(exponent - largest)`; an infinite largest exponent leaves the cells that have it.
#[inline(always)]
fn weight(exponent: f64, largest: f64) -> f64 {
    if exponent == largest { 1.0 } else { (exponent - largest).exp() }
}

/// `share x`, where no share of an infinity is nothing.
#[inline(always)]
fn part(share: f64, x: f64) -> f64 {
    if share == 0.0 && !x.is_nan() { 0.0 } else { share * x }
}

pub(super) fn log_mean_exp(cells: &Cells<'_, f64>, r: f64) -> f64 {
    let shifted = Shifted::new(cells.len(), |i| r * cells.values[i]);
    if shifted.largest.is_infinite() {
        return shifted.largest / r;
    }
    let n = cells.len();
    let mean = shifted.total / n as f64;
    // Of exponents that hardly differ, the mean is next to 1, where its logarithm has few digits.
    let logarithm = if mean < 0.5 {
        mean.ln()
    } else {
        (sum(n, |i| (r * cells.values[i] - shifted.largest).exp_m1()) / n as f64).ln_1p()
    };
    (shifted.largest + logarithm) / r
}

pub(super) fn log_mean_exp_slopes(cells: &Cells<'_, f64>, r: f64, slopes: &mut Slopes) {
    let shifted = Shifted::new(cells.len(), |i| r * cells.values[i]);
    let share = |i: usize| shifted.share(r * cells.values[i]);
    slopes.set(cells, share, |_| 0.0);
    let mean = sum(cells.len(), |i| part(share(i), cells.values[i]));
    slopes.parameter = (mean - log_mean_exp(cells, r)) / r;
}

/// The exponent of a cell: without a slope all are alike.
#[inline(always)]
fn exponent(beta: f64, x: f64) -> f64 {
    if beta == 0.0 && !x.is_nan() { 0.0 } else { beta * x }
}

fn mean(cells: &Cells<'_, f64>, exponent: impl Fn(usize) -> f64 + Copy) -> (Shifted, f64) {
    let shifted = Shifted::new(cells.len(), exponent);
    (shifted, sum(cells.len(), |i| part(shifted.share(exponent(i)), cells.values[i])))
}

pub(super) fn soft_mean(cells: &Cells<'_, f64>, beta: f64) -> f64 {
    mean(cells, |i| exponent(beta, cells.values[i])).1
}

pub(super) fn soft_mean_slopes(cells: &Cells<'_, f64>, beta: f64, slopes: &mut Slopes) {
    let x = |i: usize| cells.values[i];
    let (shifted, mean) = mean(cells, |i| exponent(beta, x(i)));
    let share = |i: usize| shifted.share(exponent(beta, x(i)));
    slopes.set(cells, |i| part(share(i), 1.0 + beta * (x(i) - mean)), |_| 0.0);
    slopes.parameter = sum(cells.len(), |i| part(share(i), x(i) * (x(i) - mean)));
}

pub(super) fn logit_mean(cells: &Cells<'_, f64>) -> f64 {
    mean(cells, |i| cells.beside[i]).1
}

pub(super) fn logit_mean_slopes(cells: &Cells<'_, f64>, slopes: &mut Slopes) {
    let (shifted, mean) = mean(cells, |i| cells.beside[i]);
    let share = |i: usize| shifted.share(cells.beside[i]);
    slopes.set(cells, share, |i| part(share(i), cells.values[i] - mean));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::Statistic;
    use crate::modes::statistic::tests::{cells, check_slopes};

    #[test]
    fn slopes_are_derivatives() {
        let x = [0.5, -2.0, 0.25, 1.5];
        for r in [-3.0, 0.5, 2.0] {
            check_slopes(&Statistic::LogMeanExp { r }, &x, &[]);
            check_slopes(&Statistic::SoftMean { beta: r }, &x, &[]);
        }
        check_slopes(&Statistic::LogitMean, &x, &[1.0, -1.0, 0.5, 0.0]);
    }

    #[test]
    fn exponentials_stay_in_range() {
        assert_eq!(log_mean_exp(&cells(&[1e6, 1e6], &[]), 10.0), 1e6);
        let mean = log_mean_exp(&cells(&[1e-9, 2e-9, 6e-9], &[]), 1e-6);
        assert!((mean / 3e-9 - 1.0).abs() < 1e-12, "{mean}");
        assert_eq!(log_mean_exp(&cells(&[f64::INFINITY, 1.0], &[]), 1.0), f64::INFINITY);
        assert_eq!(soft_mean(&cells(&[1e6, -1e6], &[]), 10.0), 1e6);
        assert_eq!(soft_mean(&cells(&[f64::NEG_INFINITY, 2.0], &[]), 1.0), 2.0);
        assert_eq!(soft_mean(&cells(&[1.0, 2.0], &[]), 0.0), 1.5);
        assert_eq!(logit_mean(&cells(&[3.0, 7.0], &[1e30, -1e30])), 3.0);
        assert_eq!(logit_mean(&cells(&[3.0, f64::INFINITY], &[0.0, f64::NEG_INFINITY])), 3.0);
    }
}
