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
    fn run<V: Vectors>(self, _: V) {
        let mut to = 0;
        for row in 0..self.rows {
            for &Span { start, len, step } in self.spans {
                let base = (row * self.cells + start) * self.lanes;
                for lane in 0..self.lanes {
                    let result = if len == 0 {
                        M::identity()
                    } else if step * self.lanes == 1 {
                        M::run(&self.from.values[base..base + len], &self.from.tags[base..base + len])
                    } else {
                        let cell = |t: usize| {
                            let at = base + t * step * self.lanes + lane;
                            (self.from.values[at], self.from.tags[at])
                        };
                        (1..len).fold(cell(0), |result, t| M::merge(result, cell(t)))
                    };
                    (self.into.values[to], self.into.tags[to]) = result;
                    to += 1;
                }
            }
        }
    }
}
