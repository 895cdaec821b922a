//! Reduces along an axis whose cells are whole runs: height, depth, or any axis of a channels-last array.

use super::combine::{From, Into, combine};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::spans::Span;
use crate::vector::Vectors;

/// `[outer][cells][inner] -> [outer][spans][inner]`.
pub(crate) struct Fold<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub into: Into<'a, M>,
    pub outer: usize,
    pub cells: usize,
    pub inner: usize,
    /// Positions within the buffer, which starts at the tile's first cell.
    pub spans: &'a [Span],
}

impl<M: Monoid> Kernel for Fold<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        let mut to = 0;
        for outer in 0..self.outer {
            let base = outer * self.cells;
            for &Span { start, len, step } in self.spans {
                let taps = (0..len).map(|t| (base + start + t * step) * self.inner);
                combine(self.from, taps, &mut self.into, to, self.inner);
                to += self.inner;
            }
        }
    }
}
