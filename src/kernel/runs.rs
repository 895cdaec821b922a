//! Reduces along rows by spans of any length and shape, one output at a time: long blocks, adaptive bins, whole rows.

use super::combine::{From, Into};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::spans::Span;
use crate::vector::Vectors;

/// `[rows][cells][lanes] -> [rows][spans][lanes]`, for few lanes.
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
        // Pixels of two, three and four channels, so that their lanes stay in registers; all others lane by lane.
        match self.lanes {
            2 => self.spans::<2>(),
            3 => self.spans::<3>(),
            4 => self.spans::<4>(),
            _ => self.spans::<1>(),
        }
    }
}

impl<M: Monoid> Runs<'_, M> {
    #[inline(always)]
    fn spans<const LANES: usize>(&mut self) {
        let mut to = 0;
        for row in 0..self.rows {
            for &Span { start, len, step } in self.spans {
                let base = (row * self.cells + start) * self.lanes;
                for lane in (0..self.lanes).step_by(LANES) {
                    let (values, tags) = self.span::<LANES>(base + lane, len, step * self.lanes);
                    self.into.values[to..to + LANES].copy_from_slice(&values);
                    self.into.tags[to..to + LANES].copy_from_slice(&tags);
                    to += LANES;
                }
            }
        }
    }

    #[inline(always)]
    fn span<const LANES: usize>(&self, base: usize, len: usize, step: usize) -> ([M::Value; LANES], [M::Tag; LANES]) {
        if len == 0 {
            return ([M::identity().0; LANES], [M::identity().1; LANES]);
        }
        if step == 1 {
            let (value, tag) = M::run(&self.from.values[base..base + len], &self.from.tags[base..base + len]);
            return ([value; LANES], [tag; LANES]);
        }
        let (mut values, mut tags) = self.from.load::<LANES>(base);
        for t in 1..len {
            let (later, later_tags) = self.from.load::<LANES>(base + t * step);
            for l in 0..LANES {
                (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
            }
        }
        (values, tags)
    }
}
