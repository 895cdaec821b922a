//! Adaptive bins: the axis cut into a given number of nearly equal, possibly overlapping parts.

use super::arithmetic::gcd;
use super::{Pattern, Span};

/// Bin `o` covers the cells `floor(o * len_in / len_out) .. ceil((o + 1) * len_in / len_out)`, in integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bins {
    pub len_in: usize,
    pub len_out: usize,
}

impl Bins {
    pub fn at(&self, o: usize) -> Span {
        let (n, m, o) = (self.len_in as u128, self.len_out as u128, o as u128);
        let start = (o * n / m) as usize;
        let end = ((o + 1) * n).div_ceil(m) as usize;
        Span { start, len: end - start, step: 1 }
    }

    /// After how many inputs and outputs the bins repeat.
    pub fn period(&self) -> (usize, usize) {
        let common = gcd(self.len_in, self.len_out);
        (self.len_in / common, self.len_out / common)
    }

    pub fn pattern(&self) -> Pattern {
        let (inputs, outputs) = self.period();
        let taps = (0..outputs)
            .map(|o| {
                let span = self.at(o);
                (span.start as isize..span.end() as isize).collect()
            })
            .collect();
        Pattern { outputs, inputs, taps }
    }
}
