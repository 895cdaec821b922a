//! What the cells of a window give when they are brought together: statistics and choices, one family a file.
//!
//! A [`Statistic`] is a number computed from the cells, with its derivatives; a [`Choice`] is one of the cells. Both see the
//! valid cells of a window alone, in C order, as `f64`, or as `i128` where integers have to stay exact. Nothing here knows of
//! windows, masks or arrays.

mod block;
mod choice;
mod draw;
mod exponential;
mod moments;
mod network;
mod power;
mod rank;
mod statistic;
mod total;

pub use choice::{Choice, Label};
pub use rank::{QuantileMethod, Rank};
pub use statistic::Statistic;

pub(crate) use block::{Block, InBlocks, LANES, Results};
pub(crate) use network::{Network, Networks};
pub(crate) use statistic::Slopes;
#[cfg(feature = "python")]
pub(crate) use total::Exact;

/// A number type that cells are read in.
pub(crate) trait Number: Copy + Default + PartialOrd + Send + Sync + 'static {
    fn is_nan(self) -> bool;
    /// The nearest float.
    fn to_f64(self) -> f64;
    /// Whether this is the value of a label.
    fn has(self, label: Label) -> bool;
}

impl Number for f64 {
    #[inline(always)]
    fn is_nan(self) -> bool {
        Self::is_nan(self)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    fn has(self, label: Label) -> bool {
        match label {
            Label::Real(value) => self == value,
            Label::Whole(value) => self == value as Self && self as i128 == value,
        }
    }
}

impl Number for i128 {
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }

    fn has(self, label: Label) -> bool {
        match label {
            Label::Real(value) => value.fract() == 0.0 && self == value as Self,
            Label::Whole(value) => self == value,
        }
    }
}

/// The valid cells of one window, in C order.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a, V> {
    pub values: &'a [V],
    /// Weights or logits of the cells; none at all if there are none.
    pub beside: &'a [f64],
    /// Where the cells lie: flat indices within the pooled axes.
    pub positions: &'a [u64],
    /// The position of the cell in the middle of the window.
    pub center: u64,
    /// The number of the window, for draws.
    pub window: u64,
}

impl<V> Cells<'_, V> {
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// The sum of `f(i)` for `i < n`, in eight lanes and by halves: its error does not grow with `n` but with its logarithm.
#[inline(always)]
pub(crate) fn sum(n: usize, f: impl Fn(usize) -> f64 + Copy) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 256;
    fn halves(start: usize, n: usize, f: impl Fn(usize) -> f64 + Copy) -> f64 {
        if n > BLOCK {
            let half = (n / 2).next_multiple_of(LANES);
            return halves(start, half, f) + halves(start + half, n - half, f);
        }
        let mut lanes = [0.0; LANES];
        let whole = n / LANES * LANES;
        for i in (0..whole).step_by(LANES) {
            for (l, lane) in lanes.iter_mut().enumerate() {
                *lane += f(start + i + l);
            }
        }
        let rest = (whole..n).fold(0.0, |sum, i| sum + f(start + i));
        crate::reduce::in_pairs(lanes, |a, b| a + b) + rest
    }
    halves(0, n, f)
}

/// The largest of some values, NaN if one of them is NaN.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    let beats = |value: f64, best: f64| value > best || value.is_nan();
    values.fold(f64::NEG_INFINITY, |best, value| if !best.is_nan() && beats(value, best) { value } else { best })
}

#[cfg(test)]
mod tests {
    use super::{largest, sum};

    #[test]
    fn sums_are_exact_to_the_last_bits() {
        for n in [0, 1, 7, 8, 255, 256, 257, 1000, 100_003] {
            let values: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin()).collect();
            let plain: f64 = values.iter().sum();
            assert!((sum(n, |i| values[i]) - plain).abs() <= 1e-12 * n as f64, "{n}");
        }
        let tenths = sum(1 << 20, |_| 0.1);
        assert!((tenths / f64::from(1 << 20) - 0.1).abs() < 1e-16);
    }

    #[test]
    fn the_largest_is_nan_if_one_is() {
        assert_eq!(largest([1.0, 3.0, 2.0].into_iter()), 3.0);
        assert!(largest([1.0, f64::NAN, 2.0].into_iter()).is_nan());
        assert_eq!(largest([].into_iter()), f64::NEG_INFINITY);
    }
}
