//! Variance and standard deviation: the mean first, then the squares of what differs from it, so that nothing cancels.

use super::{Cells, Slopes, sum};

/// The mean, and the sum of squared differences from it.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len();
    let mean = sum(n, |i| values[i]) / n as f64;
    let squares = sum(n, |i| (values[i] - mean) * (values[i] - mean));
    // The mean is rounded; what that adds is taken off again (Chan, Golub and LeVeque, 1983).
    let rest = sum(n, |i| values[i] - mean);
    (mean, (squares - rest * rest / n as f64).max(if squares.is_nan() { f64::NAN } else { 0.0 }))
}

fn divisor(n: usize, ddof: f64) -> f64 {
    (n as f64 - ddof).max(0.0)
}

pub(super) fn variance(cells: &Cells<'_, f64>, ddof: f64) -> f64 {
    let (_, squares) = moments(cells.values);
    if squares.is_nan() { f64::NAN } else { squares / divisor(cells.len(), ddof) }
}

pub(super) fn variance_slopes(cells: &Cells<'_, f64>, ddof: f64, slopes: &mut Slopes) {
    let (mean, _) = moments(cells.values);
    let divisor = divisor(cells.len(), ddof);
    slopes.set(cells, |i| 2.0 * (cells.values[i] - mean) / divisor, |_| 0.0);
}

pub(super) fn deviation_slopes(cells: &Cells<'_, f64>, ddof: f64, slopes: &mut Slopes) {
    let (mean, squares) = moments(cells.values);
    let divisor = divisor(cells.len(), ddof);
    let deviation = (squares / divisor).sqrt();
    let slope = |i: usize| if deviation == 0.0 { 0.0 } else { (cells.values[i] - mean) / (divisor * deviation) };
    slopes.set(cells, slope, |_| 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::Statistic;
    use crate::modes::statistic::tests::{cells, check_slopes};

    #[test]
    fn slopes_are_derivatives() {
        for root in [false, true] {
            check_slopes(&Statistic::Variance { ddof: 0.5, root }, &[0.5, 2.0, 0.25, 1.5], &[]);
        }
    }

    #[test]
    fn nothing_cancels() {
        let values = [1e8 + 1.0, 1e8 + 2.0, 1e8 + 3.0];
        assert_eq!(variance(&cells(&values, &[]), 1.0), 1.0);
        assert_eq!(variance(&cells(&[7.3; 5], &[]), 0.0), 0.0);
        assert!(variance(&cells(&[7.0], &[]), 1.0).is_nan());
    }
}
