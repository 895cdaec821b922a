//! Reduces windows of a few cells straight from the array: nothing is staged, every block of results stays in registers
//! over all of its cells, and memory is read while earlier cells are still being merged.

use super::combine::Into;
use super::dispatch::Kernel;
use super::stage::Lift;
use crate::element::Position;
use crate::reduce::{Monoid, Tag};
use crate::strided::Raw;
use crate::vector::Vectors;

/// How far ahead of what is read memory is asked for, in bytes: what a core moves while memory answers. Without it the
/// pooling of 100 MB by 2x2 takes 11.0 ms instead of 6.0 on two cores with a far L3 cache; 2 KiB and 8 KiB are 10 % slower.
pub(crate) const AHEAD: isize = 4096;

/// Neighbouring results of a row whose cells lie at equal distances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where in the row of results they begin, and how many they are.
    pub to: usize,
    pub len: usize,
    /// The first cell of the first result, from the first cell of the row on, and the distance to that of the next result.
    pub first: Place,
    pub step: Place,
    /// How many cells each result has in a row, and the distance between them.
    pub taps: usize,
    pub tap_step: Place,
}

/// Where a cell lies in the array, and its flat index within the pooled axes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    pub offset: isize,
    pub index: u64,
}

impl Place {
    /// This place, counted from another.
    pub fn after(self, other: Self) -> Self {
        Self { offset: self.offset + other.offset, index: self.index.wrapping_add(other.index) }
    }

    /// The way from another place to this.
    pub fn since(self, other: Self) -> Self {
        Self { offset: self.offset - other.offset, index: self.index.wrapping_sub(other.index) }
    }

    /// So many times this way.
    pub fn times(self, n: usize) -> Self {
        Self { offset: self.offset * n as isize, index: self.index.wrapping_mul(n as u64) }
    }
}

/// Where cells come from.
pub(crate) trait Source: Copy {
    /// How they become work values.
    type Lift: Lift;

    /// Cells of `N` results, from a place on and so many steps further.
    fn load<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        place: Place,
        step: Place,
    ) -> Values<Self, N>;

    /// Asks for memory that is wanted soon: `cells` from an offset on.
    fn prefetch(&self, offset: isize, cells: usize);
}

type Values<S, const N: usize> = [<<S as Source>::Lift as Lift>::Value; N];

/// `N` elements, `STEP` apart, or any distance if it is 0.
#[inline(always)]
fn elements<T: Copy + Default, V: Vectors, const STEP: usize, const N: usize>(
    source: Raw<T>,
    vectors: V,
    place: Place,
    step: Place,
) -> [T; N] {
    match const { STEP } {
        1 => source.block(place.offset),
        2 => source.evens(vectors, place.offset),
        _ => source.spread(place.offset, step.offset),
    }
}

/// The cells of an array.
#[derive(Clone, Copy)]
pub(crate) struct Whole<L: Lift>(pub Raw<L::Element>);

impl<L: Lift> Source for Whole<L> {
    type Lift = L;

    #[inline(always)]
    fn load<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        place: Place,
        step: Place,
    ) -> Values<Self, N> {
        let elements = elements::<_, V, STEP, N>(self.0, vectors, place, step);
        let mut values = [L::padding(); N];
        for l in 0..N {
            values[l] = L::lift(elements[l]);
        }
        values
    }

    #[inline(always)]
    fn prefetch(&self, offset: isize, cells: usize) {
        self.0.prefetch::<false>(offset + AHEAD / size_of::<L::Element>() as isize, cells);
    }
}

/// The cells of an array beside which the code stands that is sought, one for all results of a segment; of all others, the
/// identity.
#[derive(Clone, Copy)]
pub(crate) struct Matching<L: Lift, P> {
    pub cells: Whole<L>,
    /// Codes, with the strides of the array.
    pub codes: Raw<P>,
}

impl<L: Lift, P: Position> Source for Matching<L, P> {
    type Lift = L;

    #[inline(always)]
    fn load<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        place: Place,
        step: Place,
    ) -> Values<Self, N> {
        let values = self.cells.load::<V, STEP, N>(vectors, place, step);
        let codes = elements::<_, V, STEP, N>(self.codes, vectors, place, step);
        let sought = P::new(place.index);
        let mut held = [L::padding(); N];
        for l in 0..N {
            held[l] = if codes[l] == sought { values[l] } else { L::padding() };
        }
        held
    }

    #[inline(always)]
    fn prefetch(&self, offset: isize, cells: usize) {
        self.cells.prefetch(offset, cells);
        self.codes.prefetch::<false>(offset + AHEAD / size_of::<P>() as isize, cells);
    }
}

/// `rows of the array -> [rows][results]`.
pub(crate) struct Windows<'a, S, M: Monoid> {
    pub source: S,
    /// What the rows are counted from.
    pub base: Place,
    /// The rows of the array that each row of results is made of, one list after the other, and where each list ends.
    pub rows: &'a [Place],
    pub ends: &'a [usize],
    pub segments: &'a [Segment],
    /// Results in a row.
    pub row: usize,
    pub into: Into<'a, M>,
}

impl<S: Source<Lift: Lift<Value = M::Value>>, M: Monoid> Kernel for Windows<'_, S, M> {
    /// Whether a special value is among the cells.
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) -> bool {
        // Two vectors of values a block, so that one is merged while the other waits; less for rows too short for it.
        match const { size_of::<M::Value>() } {
            1 | 2 => self.all::<V, 64, 32, 8>(vectors),
            4 => self.all::<V, 32, 16, 4>(vectors),
            _ => self.all::<V, 16, 8, 4>(vectors),
        }
    }
}

impl<S: Source<Lift: Lift<Value = M::Value>>, M: Monoid> Windows<'_, S, M> {
    #[inline(always)]
    fn all<V: Vectors, const LONG: usize, const MIDDLE: usize, const SHORT: usize>(&mut self, vectors: V) -> bool {
        let mut special = false;
        let mut begin = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let rows = &self.rows[begin..end];
            begin = end;
            for segment in self.segments {
                let to = row * self.row + segment.to;
                special |= match (segment.step.offset, segment.len) {
                    (1, n) if n >= LONG => self.blocks::<V, 1, LONG>(vectors, rows, segment, to),
                    (2, n) if n >= LONG => self.blocks::<V, 2, LONG>(vectors, rows, segment, to),
                    (1, n) if n >= MIDDLE => self.blocks::<V, 1, MIDDLE>(vectors, rows, segment, to),
                    (2, n) if n >= MIDDLE => self.blocks::<V, 2, MIDDLE>(vectors, rows, segment, to),
                    (1, n) if n >= SHORT => self.blocks::<V, 1, SHORT>(vectors, rows, segment, to),
                    (2, n) if n >= SHORT => self.blocks::<V, 2, SHORT>(vectors, rows, segment, to),
                    (_, n) if n >= SHORT => self.blocks::<V, 0, SHORT>(vectors, rows, segment, to),
                    _ => self.blocks::<V, 0, 1>(vectors, rows, segment, to),
                };
            }
        }
        special
    }

    /// At least one block of results whose first cells are `STEP` apart, or any distance if it is 0. The last block overlaps
    /// the one before instead of leaving a tail.
    #[inline(always)]
    fn blocks<V: Vectors, const STEP: usize, const N: usize>(
        &mut self,
        vectors: V,
        rows: &[Place],
        segment: &Segment,
        to: usize,
    ) -> bool {
        let mut special = false;
        let mut at = 0;
        while at < segment.len {
            special |= self.block::<V, STEP, N>(vectors, rows, segment, to, at.min(segment.len - N));
            at += N;
        }
        special
    }

    #[inline(always)]
    fn block<V: Vectors, const STEP: usize, const N: usize>(
        &mut self,
        vectors: V,
        rows: &[Place],
        &Segment { first, step, taps, tap_step, .. }: &Segment,
        to: usize,
        at: usize,
    ) -> bool {
        let base = step.times(at).after(first).after(self.base);
        let mut values = [M::identity().0; N];
        let mut seen = [<S::Lift as Lift>::Watch::default(); N];
        // The first cell wins even where no cell is above the identity.
        let mut tags = tags_of::<M, N>(rows.first().map_or(base, |row| base.after(*row)), step);
        for &row in rows {
            let mut place = base.after(row);
            if const { STEP > 0 } {
                self.source.prefetch(place.offset, N * STEP);
            }
            for _ in 0..taps {
                let later = self.source.load::<V, STEP, N>(vectors, place, step);
                let later_tags = tags_of::<M, N>(place, step);
                for l in 0..N {
                    seen[l] = S::Lift::watch(seen[l], later[l]);
                    (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
                }
                place = place.after(tap_step);
            }
        }
        let to = to + at;
        self.into.values[to..to + N].copy_from_slice(&values);
        self.into.tags[to..to + N].copy_from_slice(&tags);
        let most = seen.iter().fold(<S::Lift as Lift>::Watch::default(), |most, &seen| most.max(seen));
        S::Lift::special(most)
    }
}

/// The tags of the cells at a place and so many steps on.
#[inline(always)]
fn tags_of<M: Monoid, const N: usize>(place: Place, step: Place) -> [M::Tag; N] {
    let mut tags = [M::Tag::default(); N];
    for (l, tag) in tags.iter_mut().enumerate() {
        *tag = M::Tag::of(step.times(l).after(place).index);
    }
    tags
}
