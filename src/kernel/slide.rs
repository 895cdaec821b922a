//! Reduces along rows by a short repeating pattern of taps, many outputs at a time.
//!
//! Staging has split each row into as many phases as the pattern advances (stride 2: even and odd cells), so that the
//! cells of one tap are contiguous. Outputs come in phases as well, one for each output of the pattern; `finish`
//! interleaves them.

use super::combine::{From, Into, combine};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::vector::Vectors;

/// `[rows][input phases][cells] -> [rows][output phases][run]`.
pub(crate) struct Slide<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub into: Into<'a, M>,
    pub rows: usize,
    /// Cells of one staged row, over all phases.
    pub row: usize,
    /// For each output phase, where in a staged row its taps begin.
    pub taps: &'a [Vec<usize>],
    /// Cells of one output phase.
    pub run: usize,
}

impl<M: Monoid> Kernel for Slide<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        let mut to = 0;
        for row in 0..self.rows {
            for taps in self.taps {
                combine(self.from, taps.iter().map(|tap| row * self.row + tap), &mut self.into, to, self.run);
                to += self.run;
            }
        }
    }
}
