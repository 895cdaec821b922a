//! Reduces along rows that were folded, by windows that begin at every second cell.

use super::combine::{From, Into};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::vector::Vectors;

/// `[rows][cells] -> [rows][outputs]`: window `o` holds `taps` cells from `2 o` on, `step` apart.
///
/// Runs to the knowledge whether cells that are equal and not the same are among them, so that the result depends on the order
/// in which rows were folded: zeros of both signs. (Of a column of zeros the first is what is left, and what it hides would come
/// after it in C order too.)
pub(crate) struct Alternate<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub into: Into<'a, M>,
    pub rows: usize,
    pub cells: usize,
    pub outputs: usize,
    pub taps: usize,
    pub step: usize,
}

impl<M: Monoid> Kernel for Alternate<'_, M> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) -> bool {
        match const { size_of::<M::Value>() } {
            1 => self.blocks::<V, 64, 8>(vectors),
            2 => self.blocks::<V, 32, 8>(vectors),
            4 => self.blocks::<V, 16, 4>(vectors),
            _ => self.blocks::<V, 8, 2>(vectors),
        }
    }
}

impl<M: Monoid> Alternate<'_, M> {
    /// The last block of a row overlaps the one before instead of leaving a tail.
    #[inline(always)]
    fn blocks<V: Vectors, const LONG: usize, const SHORT: usize>(&mut self, vectors: V) -> bool {
        let mut seen = [[M::Watch::default(); LONG]; 2];
        for row in 0..self.rows {
            let (from, to) = (row * self.cells, row * self.outputs);
            let mut at = 0;
            while at < self.outputs {
                if self.outputs >= LONG {
                    let begin = at.min(self.outputs - LONG);
                    self.block::<V, LONG, LONG>(vectors, from + 2 * begin, to + begin, &mut seen);
                    at += LONG;
                } else if self.outputs >= SHORT {
                    let begin = at.min(self.outputs - SHORT);
                    self.block::<V, SHORT, LONG>(vectors, from + 2 * begin, to + begin, &mut seen);
                    at += SHORT;
                } else {
                    self.block::<V, 1, LONG>(vectors, from + 2 * at, to + at, &mut seen);
                    at += 1;
                }
            }
        }
        let [first, second] = seen.map(|seen| seen.into_iter().fold(Default::default(), Ord::max));
        M::depends_on_order([first, second])
    }

    #[inline(always)]
    fn block<V: Vectors, const N: usize, const LONG: usize>(
        &mut self,
        vectors: V,
        from: usize,
        to: usize,
        [first, second]: &mut [[M::Watch; LONG]; 2],
    ) {
        let (first, second) = (&mut first[..N], &mut second[..N]);
        let (mut values, mut tags) = ([M::identity().0; N], [M::identity().1; N]);
        for tap in 0..self.taps {
            let at = from + tap * self.step;
            let later: [M::Value; N] = vectors.evens(&self.from.values[at..at + 2 * N - 1]);
            let later_tags: [M::Tag; N] = vectors.evens(&self.from.tags[at..at + 2 * N - 1]);
            for l in 0..N {
                [first[l], second[l]] = M::watch([first[l], second[l]], later[l]);
                (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
            }
        }
        self.into.store(to, &values, &tags);
    }
}
