//! Sixteen neighbouring windows at once: the same statistics and choices, a lane for each window.
//!
//! Loops over lanes become vector instructions. A lane whose cells ask for special care (infinities, powers out of range, NaN
//! among order statistics) is *odd*: its window is visited by itself afterwards.
#![allow(clippy::needless_bitwise_bool, clippy::needless_range_loop)] // lazy operators are branches; lanes are vectors

use super::{Choice, Network, Rank, Statistic};
use crate::kernel::math::{cbrt, exp, ln};

/// Windows of a block.
pub(crate) const LANES: usize = 16;

/// A number for each window of a block.
pub(crate) type Lane = [f64; LANES];

/// The cells of a block of windows: one lane for each tap.
#[derive(Default)]
pub(crate) struct Block {
    pub values: Vec<Lane>,
    /// Weights or logits; none at all if there are none.
    pub beside: Vec<Lane>,
    /// 1 for valid cells, 0 for others, whose values are 0; none at all if every cell is valid.
    pub valid: Vec<Lane>,
}

/// The results of a block.
pub(crate) struct Results {
    pub values: Lane,
    /// Valid cells.
    pub counts: Lane,
    /// Not 0 where the window has to be visited by itself.
    pub odd: Lane,
}

/// A mode that can be computed in blocks, for windows of so many taps.
#[derive(Clone, Debug)]
pub(crate) struct InBlocks {
    mode: Mode,
    /// Of order statistics.
    network: Network,
    /// The number of taps that this is for, if it matters.
    taps: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Statistic(Statistic),
    Max,
    Min,
    Quantile,
}

/// The most taps of a window that is read in blocks.
const TAPS: usize = 128;

impl InBlocks {
    /// A statistic, if windows of `taps` cells can be computed in blocks.
    pub fn statistic(of: Statistic, taps: usize, masked: bool) -> Option<Self> {
        match of {
            Statistic::Quantile(rank) => Self::quantile(rank, taps, masked),
            Statistic::Norm { p } | Statistic::PowerMean { p, .. } if ![1.0, 2.0, 3.0].contains(&p) => None,
            of if taps <= TAPS && of.is_well_scaled() => Some(Self::plain(Mode::Statistic(of))),
            _ => None,
        }
    }

    /// A choice of which the value alone is wanted.
    pub fn choice(of: Choice, taps: usize, masked: bool) -> Option<Self> {
        match of {
            Choice::Quantile(rank) => Self::quantile(rank, taps, masked),
            Choice::Max if taps <= TAPS => Some(Self::plain(Mode::Max)),
            Choice::Min if taps <= TAPS => Some(Self::plain(Mode::Min)),
            _ => None,
        }
    }

    fn plain(mode: Mode) -> Self {
        Self { mode, network: Network::default(), taps: None }
    }

    fn quantile(rank: Rank, taps: usize, masked: bool) -> Option<Self> {
        let sorted = !masked && taps <= Network::TAPS;
        sorted.then(|| Self { mode: Mode::Quantile, network: Network::new(rank, taps), taps: Some(taps) })
    }

    /// Whether windows of so many taps are computed in blocks.
    pub fn fits(&self, taps: usize) -> bool {
        taps > 0 && self.taps.is_none_or(|own| own == taps)
    }

    /// Whether what is beside cells are weights, of which cells that are not valid have none.
    pub fn is_weighted(&self) -> bool {
        matches!(self.mode, Mode::Statistic(Statistic::Sum | Statistic::Mean))
    }

    /// The results of a block, whose values are used up.
    #[inline(always)]
    pub fn results(&self, block: &mut Block) -> Results {
        let masked = !block.valid.is_empty();
        let n = block.values.len() as f64;
        let counts = if masked { sum(&block.valid, |_, valid| valid) } else { [n; LANES] };
        let (values, odd) = match self.mode {
            Mode::Statistic(of) => {
                let (values, odd) = statistic(&of, block, &counts);
                // Of two NaNs, instructions keep the one or the other: all become one.
                (values.map(|value| if value.is_nan() { f64::NAN } else { value }), odd)
            }
            Mode::Max => (extreme(block, |later, best| later > best), [0.0; LANES]),
            Mode::Min => (extreme(block, |later, best| later < best), [0.0; LANES]),
            Mode::Quantile => self.sorted(block),
        };
        Results { values, counts, odd }
    }

    /// Order statistics by a network of comparisons.
    #[inline(always)]
    fn sorted(&self, block: &mut Block) -> (Lane, Lane) {
        let nan = sum(&block.values, |_, x| if x.is_nan() { 1.0 } else { 0.0 });
        self.network.sort(&mut block.values);
        let [a, b] = self.network.places().map(|place| block.values[place]);
        (map(|l| self.network.blend(a[l], b[l])), nan)
    }
}

#[inline(always)]
fn map(f: impl Fn(usize) -> f64) -> Lane {
    let mut result = [0.0; LANES];
    for l in 0..LANES {
        result[l] = f(l);
    }
    result
}

/// Sums over taps: of `f(lane, value)`.
#[inline(always)]
fn sum(taps: &[Lane], f: impl Fn(usize, f64) -> f64) -> Lane {
    let mut total = [0.0; LANES];
    for tap in taps {
        for l in 0..LANES {
            total[l] += f(l, tap[l]);
        }
    }
    total
}

/// Sums over two lists of taps, or of one with ones where the second is empty.
#[inline(always)]
fn sum_with(taps: &[Lane], with: &[Lane], f: impl Fn(usize, f64, f64) -> f64) -> Lane {
    if with.is_empty() {
        return sum(taps, |l, x| f(l, x, 1.0));
    }
    let mut total = [0.0; LANES];
    for (tap, with) in taps.iter().zip(with) {
        for l in 0..LANES {
            total[l] += f(l, tap[l], with[l]);
        }
    }
    total
}

/// The first of the largest valid values, or the first NaN. (Values that are not valid are passed over.)
#[inline(always)]
fn extreme(block: &Block, beats: impl Fn(f64, f64) -> bool) -> Lane {
    let mut best = block.values[0];
    if block.valid.is_empty() {
        for tap in &block.values[1..] {
            for l in 0..LANES {
                let (x, y) = (best[l], tap[l]);
                best[l] = if beats(y, x) | (y.is_nan() & !x.is_nan()) { y } else { x };
            }
        }
        return best;
    }
    let mut found = block.valid[0];
    for (tap, valid) in block.values.iter().zip(&block.valid).skip(1) {
        for l in 0..LANES {
            let (x, y) = (best[l], tap[l]);
            let better = (found[l] == 0.0) | beats(y, x) | (y.is_nan() & !x.is_nan());
            best[l] = if (valid[l] != 0.0) & better { y } else { x };
            found[l] = if valid[l] == 0.0 { found[l] } else { 1.0 };
        }
    }
    best
}

/// Shares of cells by a softmax of exponents: the largest exponents, and where they are not finite.
#[inline(always)]
fn largest(taps: &[Lane], valid: &[Lane], exponent: impl Fn(f64) -> f64) -> Lane {
    let mut most = [f64::NEG_INFINITY; LANES];
    for (t, tap) in taps.iter().enumerate() {
        for l in 0..LANES {
            let e = exponent(tap[l]);
            let holds = valid.is_empty() || valid[t][l] != 0.0;
            most[l] = if holds & ((e > most[l]) | e.is_nan()) { e } else { most[l] };
        }
    }
    most
}

/// `exp` of what is at most 0; far below, it is next to nothing.
#[inline(always)]
fn decayed(x: f64) -> f64 {
    exp(if x < -700.0 { -700.0 } else { x })
}

/// 1 for what is not finite.
#[inline(always)]
fn endless(x: f64) -> f64 {
    if x.abs() < f64::INFINITY { 0.0 } else { 1.0 }
}

#[inline(always)]
fn statistic(of: &Statistic, block: &Block, counts: &Lane) -> (Lane, Lane) {
    let Block { values, beside, valid } = block;
    let even = [0.0; LANES];
    match *of {
        Statistic::Sum => (sum_with(values, beside, |_, x, w| w * x), even),
        Statistic::Mean => {
            let total = sum_with(values, beside, |_, x, w| w * x);
            let weight = if beside.is_empty() { *counts } else { sum(beside, |_, w| w) };
            (map(|l| total[l] / weight[l]), even)
        }
        Statistic::Product => {
            let mut product = [1.0; LANES];
            for (t, tap) in values.iter().enumerate() {
                for l in 0..LANES {
                    let x = if valid.is_empty() || valid[t][l] != 0.0 { tap[l] } else { 1.0 };
                    product[l] *= x;
                }
            }
            (product, even)
        }
        Statistic::Count => (*counts, even),
        Statistic::Variance { ddof, root } => {
            let total = sum(values, |_, x| x);
            let mean = map(|l| total[l] / counts[l]);
            let squares =
                sum_with(values, valid, |l, x, valid| if valid == 0.0 { 0.0 } else { (x - mean[l]) * (x - mean[l]) });
            let rest = sum_with(values, valid, |l, x, valid| if valid == 0.0 { 0.0 } else { x - mean[l] });
            let variance = map(|l| {
                let squares = squares[l] - rest[l] * rest[l] / counts[l];
                let squares = if squares < 0.0 { 0.0 } else { squares };
                squares / if counts[l] > ddof { counts[l] - ddof } else { 0.0 }
            });
            (if root { map(|l| variance[l].sqrt()) } else { variance }, even)
        }
        Statistic::Norm { p } => powers(values, &[], p, f64::abs, |_| 1.0),
        Statistic::PowerMean { p, eps } => powers(values, valid, p, |x| if x < eps { eps } else { x }, |l| counts[l]),
        Statistic::LogMeanExp { r } => {
            let most = largest(values, valid, |x| r * x);
            let total = sum_with(values, valid, |l, x, valid| valid * decayed(r * x - most[l]));
            (map(|l| (most[l] + ln(total[l] / counts[l])) / r), map(|l| endless(most[l])))
        }
        Statistic::SoftMean { beta } => {
            let most = largest(values, valid, |x| beta * x);
            let weights = sum_with(values, valid, |l, x, valid| valid * decayed(beta * x - most[l]));
            let total = sum_with(values, valid, |l, x, valid| valid * decayed(beta * x - most[l]) * x);
            (map(|l| total[l] / weights[l]), map(|l| endless(most[l]) + endless(total[l])))
        }
        Statistic::LogitMean => {
            let most = largest(beside, valid, |g| g);
            let weights = sum_with(beside, valid, |l, g, valid| valid * decayed(g - most[l]));
            let mut total = [0.0; LANES];
            for (t, (tap, logits)) in values.iter().zip(beside).enumerate() {
                for l in 0..LANES {
                    let valid = if valid.is_empty() { 1.0 } else { valid[t][l] };
                    total[l] += valid * decayed(logits[l] - most[l]) * tap[l];
                }
            }
            (map(|l| total[l] / weights[l]), map(|l| endless(most[l]) + endless(total[l])))
        }
        Statistic::Mixed { alpha } => {
            let max = extreme(block, |later, best| later > best);
            let total = sum(values, |_, x| x);
            let value = map(|l| alpha * max[l] + (1.0 - alpha) * (total[l] / counts[l]));
            (value, map(|l| endless(value[l])))
        }
        Statistic::Expected => {
            let (total, squares) = (sum(values, |_, x| x), sum(values, |_, x| x * x));
            let value = map(|l| if total[l] == 0.0 { 0.0 } else { squares[l] / total[l] });
            (value, map(|l| if (squares[l] < 1e-280) & (total[l] != 0.0) { 1.0 } else { endless(squares[l]) }))
        }
        Statistic::Any => (sum(values, |_, x| if x == 0.0 { 0.0 } else { 1.0 }).map(|n| f64::from(n > 0.0)), even),
        Statistic::All => {
            let zeros = sum_with(values, valid, |_, x, valid| if x == 0.0 { valid } else { 0.0 });
            (zeros.map(|n| f64::from(n == 0.0)), even)
        }
        // Sorted by `InBlocks` itself.
        Statistic::Quantile(_) => (even, [1.0; LANES]),
    }
}

/// `(sum x^p / divisor)^(1/p)` for p of 1, 2 or 3; odd where powers may leave the range.
#[inline(always)]
fn powers(
    values: &[Lane],
    valid: &[Lane],
    p: f64,
    of: impl Fn(f64) -> f64,
    divisor: impl Fn(usize) -> f64,
) -> (Lane, Lane) {
    let power = |x: f64| {
        if p == 1.0 {
            x
        } else if p == 2.0 {
            x * x
        } else {
            x * x * x
        }
    };
    let total = sum_with(values, valid, |_, x, valid| if valid == 0.0 { 0.0 } else { power(of(x)) });
    let size = sum_with(values, valid, |_, x, valid| if valid == 0.0 { 0.0 } else { of(x) });
    // Powers that are too small may have vanished.
    let odd = map(|l| if (total[l] < 1e-250) & (size[l] != 0.0) { 1.0 } else { endless(total[l]) });
    let root = |x: f64| {
        if p == 1.0 {
            x
        } else if p == 2.0 {
            x.sqrt()
        } else {
            cbrt(x)
        }
    };
    (map(|l| root(total[l] / divisor(l))), odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::QuantileMethod;
    use crate::modes::statistic::tests::cells;

    #[test]
    fn blocks_are_windows() {
        let statistics = [
            Statistic::Sum,
            Statistic::Mean,
            Statistic::Product,
            Statistic::Count,
            Statistic::Variance { ddof: 1.0, root: true },
            Statistic::Norm { p: 1.0 },
            Statistic::Norm { p: 3.0 },
            Statistic::PowerMean { p: 2.0, eps: 0.1 },
            Statistic::LogMeanExp { r: -2.0 },
            Statistic::SoftMean { beta: 3.0 },
            Statistic::Mixed { alpha: 0.3 },
            Statistic::Expected,
            Statistic::Any,
            Statistic::All,
            Statistic::Quantile(Rank { q: 0.3, method: QuantileMethod::Linear }),
        ];
        let value = |t: usize, l: usize| ((t * 31 + l * 17) % 23) as f64 * 0.25 + 0.125;
        for masked in [false, true] {
            let valid = |t: usize, l: usize| !masked || !(t + l).is_multiple_of(3);
            for of in &statistics {
                let Some(blocks) = InBlocks::statistic(*of, 6, masked) else { continue };
                let lane = |t: usize| map(|l| if valid(t, l) { value(t, l) } else { 0.0 });
                let ones = |t: usize| map(|l| f64::from(valid(t, l)));
                let mut block = Block {
                    values: (0..6).map(lane).collect(),
                    beside: Vec::new(),
                    valid: if masked { (0..6).map(ones).collect() } else { Vec::new() },
                };
                let results = blocks.results(&mut block);
                for l in 0..LANES {
                    let kept: Vec<f64> = (0..6).filter(|&t| valid(t, l)).map(|t| value(t, l)).collect();
                    let expected = of.value(&cells(&kept, &[]), &mut Vec::new());
                    let got = results.values[l];
                    assert!(results.odd[l] == 0.0 && results.counts[l] == kept.len() as f64);
                    assert!((got - expected).abs() <= 1e-14 * expected.abs(), "{of:?} {masked} {got} {expected}");
                }
            }
        }
    }
}
