//! Reduces along rows by spans of any length and shape, one output at a time: long blocks, adaptive bins, whole rows.

use super::combine::{From, Into};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::spans::Span;
use crate::vector::Vectors;

/// `[rows][cells][lanes] -> [rows][spans][lanes]`, for fewer than 16 lanes.
pub(crate) struct Runs<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub into: Into<'a, M>,
    pub rows: usize,
    pub cells: usize,
    pub lanes: usize,
    pub spans: &'a [Span],
}

impl<M: Monoid> Kernel for Runs<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        match self.lanes {
            1 => self.spans::<1>(),
            2 => self.spans::<2>(),
            3 | 4 => self.spans::<4>(),
            5..=8 => self.spans::<8>(),
            _ => self.spans::<16>(),
        }
    }
}

impl<M: Monoid> Runs<'_, M> {
    /// Lanes are reduced `N` at a time; those that a result does not have are those of the next, and are written again.
    #[inline(always)]
    fn spans<const N: usize>(&mut self) {
        let mut to = 0;
        for row in 0..self.rows {
            for &Span { start, len, step } in self.spans {
                let (base, step) = ((row * self.cells + start) * self.lanes, step * self.lanes);
                let end = base + len.saturating_sub(1) * step + N;
                if end <= self.from.values.len() && to + N <= self.into.values.len() {
                    let (values, tags) = self.span::<N>(base, len, step);
                    self.into.store(to, &values, &tags);
                } else {
                    for lane in 0..self.lanes {
                        let (values, tags) = self.span::<1>(base + lane, len, step);
                        (self.into.values[to + lane], self.into.tags[to + lane]) = (values[0], tags[0]);
                    }
                }
                to += self.lanes;
            }
        }
    }

    #[inline(always)]
    fn span<const N: usize>(&self, base: usize, len: usize, step: usize) -> ([M::Value; N], [M::Tag; N]) {
        if len == 0 {
            return ([M::identity().0; N], [M::identity().1; N]);
        }
        if const { N == 1 } && step == 1 {
            let (value, tag) = M::run(&self.from.values[base..base + len], &self.from.tags[base..base + len]);
            return ([value; N], [tag; N]);
        }
        let (mut values, mut tags) = self.from.load::<N>(base);
        for t in 1..len {
            let (later, later_tags) = self.from.load::<N>(base + t * step);
            for l in 0..N {
                (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
            }
        }
        (values, tags)
    }
}
