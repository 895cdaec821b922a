//! Powers: the p-norm, and the generalised mean (Radenović, Tolias and Chum, 2018).
//!
//! Where a power would leave the range of floats, cells are divided by the one that decides the sum, and the root is
//! multiplied by it again.

use super::{Cells, Slopes, largest, sum};

#[inline(always)]
fn power(x: f64, p: f64) -> f64 {
    if p == 1.0 {
        x
    } else if p == 2.0 {
        x * x
    } else if p == 3.0 {
        x * x * x
    } else {
        x.powf(p)
    }
}

fn root(x: f64, p: f64) -> f64 {
    if p == 1.0 {
        x
    } else if p == 2.0 {
        x.sqrt()
    } else if p == 3.0 {
        x.cbrt()
    } else {
        x.powf(p.recip())
    }
}

/// What `n` cells of at least 0 are divided by: 1 if their powers are in range, else the one that decides their sum.
fn scale(n: usize, p: f64, x: impl Fn(usize) -> f64 + Copy) -> f64 {
    let decides = if p > 0.0 { largest((0..n).map(x)) } else { -largest((0..n).map(|i| -x(i))) };
    let power = power(decides, p);
    if (1e-200..1e200).contains(&power) && n < 1 << 50 { 1.0 } else { decides }
}

/// `(sum x^p / divisor)^(1/p)` over cells of at least 0.
fn mean(n: usize, p: f64, divisor: f64, x: impl Fn(usize) -> f64 + Copy) -> f64 {
    let scale = scale(n, p, x);
    if scale == 0.0 || !scale.is_finite() {
        return scale;
    }
    if scale == 1.0 {
        return root(sum(n, |i| power(x(i), p)) / divisor, p);
    }
    scale * root(sum(n, |i| power(x(i) / scale, p)) / divisor, p)
}

pub(super) fn norm(cells: &Cells<'_, f64>, p: f64) -> f64 {
    let size = |i: usize| cells.values[i].abs();
    if p == f64::INFINITY { largest((0..cells.len()).map(size)) } else { mean(cells.len(), p, 1.0, size) }
}

pub(super) fn norm_slopes(cells: &Cells<'_, f64>, p: f64, slopes: &mut Slopes) {
    let norm = norm(cells, p);
    let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
    if p == f64::INFINITY {
        let winner = cells.values.iter().position(|x| x.abs() == norm || x.is_nan());
        slopes.set(cells, |i| if Some(i) == winner { sign(cells.values[i]) } else { 0.0 }, |_| 0.0);
        return;
    }
    let slope = |x: f64| if norm == 0.0 || x == 0.0 { 0.0 } else { sign(x) * power(x.abs() / norm, p - 1.0) };
    slopes.set(cells, |i| slope(cells.values[i]), |_| 0.0);
}

/// `max(x, eps)`, NaN if `x` is.
#[inline(always)]
fn floored(x: f64, eps: f64) -> f64 {
    if x < eps { eps } else { x }
}

pub(super) fn generalised_mean(cells: &Cells<'_, f64>, p: f64, eps: f64) -> f64 {
    mean(cells.len(), p, cells.len() as f64, |i| floored(cells.values[i], eps))
}

pub(super) fn generalised_mean_slopes(cells: &Cells<'_, f64>, p: f64, eps: f64, slopes: &mut Slopes) {
    let (n, x) = (cells.len(), |i: usize| floored(cells.values[i], eps));
    let mean = generalised_mean(cells, p, eps);
    let slope = |i: usize| {
        if mean == 0.0 || cells.values[i] <= eps { 0.0 } else { power(x(i) / mean, p - 1.0) / n as f64 }
    };
    slopes.set(cells, slope, |_| 0.0);
    // d/dp of exp(log(mean x^p) / p), with weights x^p: (y / p) (mean of log x - log y).
    let scale = scale(n, p, x);
    let weight = |i: usize| power(x(i) / scale, p);
    let logarithm = |i: usize| if weight(i) == 0.0 { 0.0 } else { weight(i) * (x(i) / mean).ln() };
    let flat = mean == 0.0 || !mean.is_finite();
    slopes.parameter = if flat { 0.0 } else { mean / p * (sum(n, logarithm) / sum(n, weight)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::Statistic;
    use crate::modes::statistic::tests::{cells, check_slopes};

    #[test]
    fn slopes_are_derivatives() {
        let x = [0.5, -2.0, 0.25, 1.5];
        for p in [0.7, 1.0, 2.0, 3.0, 4.5, f64::INFINITY] {
            check_slopes(&Statistic::Norm { p }, &x, &[]);
        }
        for p in [-1.5, 0.5, 1.0, 3.0] {
            check_slopes(&Statistic::PowerMean { p, eps: 1e-6 }, &x.map(f64::abs), &[]);
        }
    }

    #[test]
    fn powers_stay_in_range() {
        for size in [1e-300, 1e-200, 1.0, 1e200, 1e300] {
            for p in [0.5, 2.0, 3.0, 50.0, 1000.0] {
                let norm = norm(&cells(&[size, size, -size], &[]), p);
                assert!((norm / (size * 3f64.powf(1.0 / p)) - 1.0).abs() < 1e-13, "{size} {p} {norm}");
            }
        }
        assert_eq!(generalised_mean(&cells(&[0.0, 1.0], &[]), -2.0, 0.0), 0.0);
        assert_eq!(norm(&cells(&[f64::INFINITY, 1.0], &[]), 2.0), f64::INFINITY);
        assert!(norm(&cells(&[f64::NAN, 1.0], &[]), 2.0).is_nan());
    }
}
