//! One long window, whose cells lie side by side: several at a time.

use super::source::{Place, Source, Value, Values};
use super::stage::Lift;
use crate::reduce::{Monoid, Tag};
use crate::vector::Vectors;

/// The most cells of a block of [`Across`], and which of a block are new: the last ones, so many as the table is read further on.
const MOST: usize = 16;
const FRESH: [bool; 2 * MOST] = {
    let mut fresh = [false; 2 * MOST];
    let mut at = MOST;
    while at < 2 * MOST {
        fresh[at] = true;
        at += 1;
    }
    fresh
};

/// The first `N` of some cells as work values, of which note is taken.
#[inline(always)]
fn lifted<S: Source, const N: usize>(
    source: &S,
    cells: &[<S::Lift as Lift>::Element],
    seen: &mut [<S::Lift as Lift>::Watch; N],
) -> Values<S, N> {
    let (mut block, mut values) = ([cells[0]; N], [S::Lift::padding(); N]);
    block.copy_from_slice(&cells[..N]);
    for l in 0..N {
        values[l] = source.lift(block[l]);
    }
    for l in 0..N {
        seen[l] = S::Lift::watch(seen[l], values[l]);
    }
    values
}

/// The cells of one long window.
pub(crate) struct Across<'a, S, V> {
    pub source: S,
    pub vectors: V,
    pub rows: &'a [Place],
    pub taps: usize,
    pub tap_step: Place,
}

impl<S: Source, V: Vectors> Across<'_, S, V> {
    /// In lanes, the results of some windows that are not long: block by block of all of them, so that none waits for another.
    #[inline(always)]
    pub fn together<M: Monoid<Value = Value<S>>, const N: usize, const R: usize>(
        &self,
        bases: [Place; R],
        seen: &mut [<S::Lift as Lift>::Watch; N],
    ) -> [Values<S, N>; R] {
        let merge = |a, b| M::merge((a, M::Tag::default()), (b, M::Tag::default())).0;
        let mut lanes = [[M::identity().0; N]; R];
        let fresh = &FRESH[MOST - N + self.taps % N..][..N];
        for row in self.rows {
            let mut cells: [&[_]; R] = [&[]; R];
            for (cells, base) in cells.iter_mut().zip(bases) {
                let offset = base.offset + row.offset;
                *cells = self.source.row(offset, self.taps);
                self.source.prefetch::<true>(offset, self.taps);
            }
            let mut at = 0;
            while at + N <= self.taps {
                for (cells, lanes) in cells.iter().zip(&mut lanes) {
                    let values = lifted::<S, N>(&self.source, &cells[at..at + N], seen);
                    for l in 0..N {
                        lanes[l] = merge(lanes[l], values[l]);
                    }
                }
                at += N;
            }
            if at < self.taps {
                for (cells, lanes) in cells.iter().zip(&mut lanes) {
                    let values = lifted::<S, N>(&self.source, &cells[self.taps - N..], seen);
                    for l in 0..N {
                        lanes[l] = merge(lanes[l], if fresh[l] { values[l] } else { M::identity().0 });
                    }
                }
            }
        }
        lanes
    }

    /// `N` cells of a row from a tap on.
    #[inline(always)]
    fn load<const N: usize>(&self, row: Place, tap: usize) -> Values<S, N> {
        self.source.load::<V, 1, N>(self.vectors, self.tap_step.times(tap).after(row), self.tap_step)
    }

    /// In lanes, first of four vectors each, then of one. The last block of a row overlaps the one before and leaves out what
    /// that has had.
    #[inline(always)]
    pub fn in_lanes<M: Monoid<Value = Value<S>>, const N: usize>(
        &self,
        base: Place,
        seen: &mut [<S::Lift as Lift>::Watch; N],
    ) -> Values<S, N> {
        let merge = |a, b| M::merge((a, M::Tag::default()), (b, M::Tag::default())).0;
        let mut lanes = [M::identity().0; N];
        for row in self.rows {
            let offset = base.offset + row.offset;
            let cells = self.source.row(offset, self.taps);
            let mut rest = cells;
            if self.taps >= 8 * N {
                let mut wide = [[M::identity().0; N]; 4];
                let blocks = cells.chunks_exact(4 * N);
                rest = blocks.remainder();
                for (at, block) in (offset..).step_by(4 * N).zip(blocks) {
                    self.source.prefetch::<true>(at, 4 * N);
                    for (part, wide) in wide.iter_mut().enumerate() {
                        let values = lifted::<S, N>(&self.source, &block[part * N..], seen);
                        for l in 0..N {
                            wide[l] = merge(wide[l], values[l]);
                        }
                    }
                }
                for wide in wide {
                    for l in 0..N {
                        lanes[l] = merge(lanes[l], wide[l]);
                    }
                }
            }
            self.source.prefetch::<true>(offset + (self.taps - rest.len()) as isize, rest.len());
            let (blocks, rest) = rest.as_chunks::<N>();
            for cells in blocks {
                let values = lifted::<S, N>(&self.source, cells, seen);
                for l in 0..N {
                    lanes[l] = merge(lanes[l], values[l]);
                }
            }
            if !rest.is_empty() {
                let values = lifted::<S, N>(&self.source, &cells[self.taps - N..], seen);
                let fresh = &FRESH[MOST - N + rest.len()..][..N];
                for l in 0..N {
                    lanes[l] = merge(lanes[l], if fresh[l] { values[l] } else { M::identity().0 });
                }
            }
        }
        lanes
    }

    /// The first cell that equals the result; if there is none, because a special value hides it, the first of all.
    #[inline(always)]
    pub fn first<M: Monoid<Value = Value<S>>, const N: usize>(
        &self,
        base: Place,
        result: M::Value,
    ) -> (M::Value, M::Tag) {
        for row in self.rows {
            let row = base.after(*row);
            for at in (0..self.taps).step_by(N) {
                let begin = at.min(self.taps - N);
                let cells = self.load::<N>(row, begin);
                if let Some(l) = cells.iter().position(|&cell| M::is_same(cell, result)) {
                    return (cells[l], M::Tag::of(self.tap_step.times(begin + l).after(row).index));
                }
            }
        }
        self.in_order_of::<M>(base, 1)
    }

    /// One cell after the other.
    #[inline(always)]
    pub fn in_order<M: Monoid<Value = Value<S>>>(&self, base: Place) -> (M::Value, M::Tag) {
        self.in_order_of::<M>(base, self.taps)
    }

    #[inline(always)]
    fn in_order_of<M: Monoid<Value = Value<S>>>(&self, base: Place, taps: usize) -> (M::Value, M::Tag) {
        let mut result = None;
        for row in self.rows {
            for tap in 0..taps {
                let row = base.after(*row);
                let cell = (self.load::<1>(row, tap)[0], M::Tag::of(self.tap_step.times(tap).after(row).index));
                result = Some(M::merge(result.unwrap_or(M::start(cell.1)), cell));
            }
        }
        result.unwrap_or(M::identity())
    }
}
