//! Windows of a few cells whose results are written as soon as they are made: nothing lies between an array and its result.

use std::marker::PhantomData;

use super::dispatch::Kernel;
use super::finish::{Lower, OutRows};
use super::source::{Place, Source, Value};
use super::stage::Lift;
use super::windows::{Segment, rows_ahead, rows_later, take_note};
use crate::reduce::Monoid;
use crate::strided::{Ahead, Raw};
use crate::vector::Vectors;

/// `rows of the array -> rows of results`, as [`super::windows::Windows`] reads and [`super::finish::Finish`] writes them:
/// results of a row lie side by side, and one divisor is that of all.
pub(crate) struct Direct<'a, S, M, L: Lower> {
    pub source: S,
    pub base: Place,
    pub rows: &'a [Place],
    pub ends: &'a [usize],
    pub segments: &'a [Segment],
    pub target: Raw<L::Element>,
    pub results: OutRows<'a>,
    /// The divisor of each row, if there is any.
    pub divisors: &'a [f64],
    pub monoid: PhantomData<M>,
}

/// How values are lowered.
#[derive(Clone, Copy)]
struct Lowering {
    divisor: f64,
    reciprocal: f64,
    shift: Option<u32>,
    short: Option<f32>,
}

impl Lowering {
    #[inline(always)]
    fn new<L: Lower>(divisor: f64) -> Self {
        let (shift, short) = (L::shift(divisor), L::short_divisor(divisor));
        Self { divisor, reciprocal: 1.0 / divisor, shift, short }
    }
}

/// The most cells of a window: more are better read along fewer streams.
pub(crate) const CELLS: usize = 16;

impl<S, M, L> Kernel for Direct<'_, S, M, L>
where
    S: Source<Lift: Lift<Value = M::Value>>,
    M: Monoid,
    L: Lower<Value = M::Value, Element: Default>,
{
    /// Whether a special value is among the cells, so that the results are not good.
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) -> bool {
        // Two vectors of values a block.
        match const { size_of::<M::Value>() } {
            1 | 2 => self.all::<V, 64, 16>(vectors),
            4 => self.all::<V, 32, 8>(vectors),
            _ => self.all::<V, 16, 4>(vectors),
        }
    }
}

impl<S, M, L> Direct<'_, S, M, L>
where
    S: Source<Lift: Lift<Value = M::Value>>,
    M: Monoid,
    L: Lower<Value = M::Value, Element: Default>,
{
    #[inline(always)]
    fn all<V: Vectors, const LONG: usize, const SHORT: usize>(&self, vectors: V) -> bool {
        let mut seen = [<S::Lift as Lift>::Watch::default(); LONG];
        let (further, ahead) = (rows_ahead::<S>(self.segments, self.ends), Ahead::new::<L::Element>(self.results.row));
        let mut by = Lowering::new::<L>(1.0);
        let mut begin = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let rows = &self.rows[begin..end];
            begin = end;
            let later = rows_later(self.rows, end, rows.len(), further);
            let divisor = self.divisors.get(row).copied().unwrap_or(1.0);
            if divisor != by.divisor {
                by = Lowering::new::<L>(divisor);
            }
            let to = [self.results.base + self.results.offsets[row], ahead.from(self.results.offsets, row)];
            for segment in self.segments {
                let (seen, n, rows) = (&mut seen[..], segment.len, [rows, later]);
                match segment.step.offset {
                    1 if n >= LONG => self.blocks::<V, 1, LONG>(vectors, rows, segment, to, by, seen),
                    2 if n >= LONG => self.blocks::<V, 2, LONG>(vectors, rows, segment, to, by, seen),
                    1 if n >= SHORT => self.blocks::<V, 1, SHORT>(vectors, rows, segment, to, by, seen),
                    2 if n >= SHORT => self.blocks::<V, 2, SHORT>(vectors, rows, segment, to, by, seen),
                    _ => self.blocks::<V, 0, 1>(vectors, rows, segment, to, by, seen),
                }
            }
        }
        <S::Lift as Lift>::special(seen.into_iter().fold(Default::default(), Ord::max))
    }

    /// At least one block of results whose first cells are `STEP` apart, or any distance if it is 0. The last block overlaps the
    /// one before instead of leaving a tail.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // what a segment is made of
    fn blocks<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        [rows, later]: [&[Place]; 2],
        segment: &Segment,
        [to, ahead]: [isize; 2],
        by: Lowering,
        seen: &mut [<S::Lift as Lift>::Watch],
    ) {
        let &Segment { to: first_result, len, first, step, taps, tap_step } = segment;
        // Whether taps read what the first of them asks for.
        let near = tap_step.offset.unsigned_abs() < N;
        let mut at = 0;
        while at < len {
            let result = at.min(len - N);
            let base = self.base.offset + first.offset + result as isize * step.offset;
            let (mut values, mut own) = ([M::identity().0; N], [<S::Lift as Lift>::Watch::default(); N]);
            for (r, row) in rows.iter().enumerate() {
                let mut offset = base + row.offset;
                if const { STEP > 0 } && near {
                    match later.get(r) {
                        Some(later) => self.source.prefetch::<false>(base + later.offset, N * STEP),
                        None => self.source.prefetch::<true>(offset, N * STEP),
                    }
                }
                for _ in 0..taps {
                    if const { STEP > 0 } && !near {
                        self.source.prefetch::<true>(offset, N * STEP);
                    }
                    let cells: [Value<S>; N] =
                        self.source.load::<V, STEP, N>(vectors, Place { offset, index: 0 }, step);
                    for l in 0..N {
                        own[l] = S::Lift::watch(own[l], cells[l]);
                    }
                    for l in 0..N {
                        values[l] = M::merge((values[l], M::Tag::default()), (cells[l], M::Tag::default())).0;
                    }
                    offset += tap_step.offset;
                }
            }
            take_note(seen, own);
            let to = to + (first_result + result) as isize;
            self.target.prefetch::<true>(to + ahead, N);
            self.write(vectors, to, &values, by);
            at += N;
        }
    }

    #[inline(always)]
    fn write<V: Vectors, const N: usize>(&self, vectors: V, to: isize, values: &[M::Value; N], by: Lowering) {
        let mut results = [L::Element::default(); N];
        if let Some(shift) = by.shift {
            for l in 0..N {
                results[l] = L::lower_shifted(values[l], shift);
            }
        } else if let Some(divisor) = by.short {
            for l in 0..N {
                results[l] = L::lower_short(values[l], divisor);
            }
        } else {
            for l in 0..N {
                results[l] = L::lower_by(values[l], vectors, by.divisor, by.reciprocal);
            }
        }
        self.target.store(to, results);
    }
}
