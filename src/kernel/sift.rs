//! Keeps some positions of rows that were slid along from every cell on.

use super::combine::{From, Into};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::vector::Vectors;

/// `[rows][cells][lanes] -> [rows][outputs][lanes]`: of each row the first position and every so-manyth after it, for a few
/// lanes.
pub(crate) struct Sift<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub into: Into<'a, M>,
    pub rows: usize,
    pub cells: usize,
    pub lanes: usize,
    pub every: usize,
    pub outputs: usize,
}

impl<M: Monoid> Kernel for Sift<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        match self.lanes {
            ..=2 => self.keep::<2>(),
            3 | 4 => self.keep::<4>(),
            5..=8 => self.keep::<8>(),
            _ => self.keep::<16>(),
        }
    }
}

impl<M: Monoid> Sift<'_, M> {
    /// Copies `N` values for each position: those beyond its lanes are those of the next, and are written again.
    #[inline(always)]
    fn keep<const N: usize>(&mut self) {
        let Self { rows, cells, lanes, every, outputs, .. } = *self;
        let (from_end, into_end) = (self.from.values.len(), self.into.values.len());
        for row in 0..rows {
            let (mut at, mut to) = (row * cells * lanes, row * outputs * lanes);
            for _ in 0..outputs {
                if at + N <= from_end && to + N <= into_end {
                    let (values, tags) = self.from.load::<N>(at);
                    self.into.store(to, &values, &tags);
                } else {
                    self.into.values[to..to + lanes].copy_from_slice(&self.from.values[at..at + lanes]);
                    self.into.tags[to..to + lanes].copy_from_slice(&self.from.tags[at..at + lanes]);
                }
                (at, to) = (at + every * lanes, to + lanes);
            }
        }
    }
}
