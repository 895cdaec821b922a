//! Writes rows of results: divided where they are means, lowered into the element type, phases interleaved.

use super::dispatch::Kernel;
use super::stage::Ranking;
use crate::element::{Element, Ordered, Position};
use crate::reduce::Addend;
use crate::strided::{Ahead, Raw};
use crate::vector::Vectors;

/// Values that are lowered together: a vector of 4-byte elements.
const BLOCK: usize = 16;

/// How finished rows relate to the rows of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutRows<'a> {
    /// Offset in the array of the row's first position, lane 0, counted from a base.
    pub base: isize,
    pub offsets: &'a [isize],
    pub positions: usize,
    pub position_stride: isize,
    pub lanes: usize,
    pub lane_stride: isize,
    /// Position `m * phases + p` is cell `m` of phase `p`.
    pub phases: usize,
    /// Values from one row to the next in the work buffer.
    pub row: usize,
}

impl OutRows<'_> {
    /// Where each value of the work buffer is written.
    pub fn places<V: Copy>(self, from: &[V]) -> impl Iterator<Item = (isize, V)> {
        let Self { base, offsets, positions, position_stride, lanes, lane_stride, phases, row } = self;
        let cells = positions.div_ceil(phases);
        offsets.iter().enumerate().flat_map(move |(at, offset)| {
            (0..positions * lanes).map(move |index| {
                let (position, lane) = (index / lanes, index % lanes);
                let value = at * row + (position % phases * cells + position / phases) * lanes + lane;
                (base + offset + position as isize * position_stride + lane as isize * lane_stride, from[value])
            })
        })
    }
}

/// The divisors of a tile's results: that of a row times that of a position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Divisors<'a> {
    /// One for each row; none at all where nothing is divided.
    pub rows: &'a [f64],
    /// One for each position and lane, in the order of the array; none where all are 1.
    pub positions: &'a [f64],
}

impl Divisors<'_> {
    /// Whether nothing is divided.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The largest divisor by which a quotient is made without a division: 2^49.
pub(crate) const LARGEST_DIVISOR: f64 = 562_949_953_421_312.0;

/// A map from work values to array elements.
pub(crate) trait Lower: Copy + Send + Sync + 'static {
    type Value: Copy;
    type Element: Copy;
    fn lower(value: Self::Value, divisor: f64) -> Self::Element;
    /// The same by a divisor of [`LARGEST_DIVISOR`] at most, whose reciprocal is known.
    #[inline(always)]
    fn lower_by<V: Vectors>(value: Self::Value, _: V, divisor: f64, _: f64) -> Self::Element {
        Self::lower(value, divisor)
    }
    /// The exponent of the divisor, if values are lowered by shifting them.
    fn shift(_: f64) -> Option<u32> {
        None
    }
    /// The same by a divisor of `2^shift`.
    #[inline(always)]
    fn lower_shifted(value: Self::Value, shift: u32) -> Self::Element {
        Self::lower(value, (1u64 << shift) as f64)
    }
    /// The divisor, if quotients in `f32` are as good as any.
    fn short_divisor(_: f64) -> Option<f32> {
        None
    }
    /// The same by such a divisor.
    #[inline(always)]
    fn lower_short(value: Self::Value, divisor: f32) -> Self::Element {
        Self::lower(value, f64::from(divisor))
    }
}

/// Writes a buffer of results into rows of an array.
pub(crate) struct Finish<'a, L: Lower> {
    pub from: &'a [L::Value],
    pub rows: OutRows<'a>,
    pub divisors: Divisors<'a>,
    pub target: Raw<L::Element>,
}

impl<L: Lower> Kernel for Finish<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let OutRows { base, offsets, positions, position_stride, lanes, lane_stride, phases, row: step } = self.rows;
        let contiguous = lane_stride == 1 && position_stride == lanes as isize || lanes == 1 && position_stride == 1;
        let len = positions * lanes;
        let (ahead, joins) = (Ahead::new::<L::Element>(len), phases == 1 && contiguous && step == len);
        let divisor_of = |row: usize| self.divisors.rows.get(row).copied().unwrap_or(1.0);
        let (mut row, mut by) = (0, RowWriting::default());
        while row < offsets.len() {
            let (offset, from) = (base + offsets[row], &self.from[row * step..]);
            let divisor = divisor_of(row);
            if divisor != by.divisor {
                (by.divisor, by.reciprocal) = (divisor, 1.0 / divisor);
            }
            (by.positions, by.ahead) = (self.divisors.positions, ahead.from(offsets, row));
            let mut end = row + 1;
            if phases == 2
                && lanes == 1
                && position_stride == 1
                && by.positions.is_empty()
                && by.divisor.abs() <= LARGEST_DIVISOR
            {
                self.take_turns(vectors, from, offset, by);
                row = end;
                continue;
            }
            // Runs of values that lie evenly, here and there: a row, or its lanes.
            let (mut runs, mut run) = (positions, Run { n: lanes, stride: lane_stride });
            if phases == 1 && contiguous {
                // Rows that follow each other, here and there, are one.
                let next = |end: usize| offsets[end] == offsets[end - 1] + len as isize && divisor_of(end) == divisor;
                while joins && by.positions.is_empty() && end < offsets.len() && next(end) {
                    end += 1;
                }
                (runs, run) = (1, Run { n: (end - row) * len, stride: 1 });
            } else if phases == 1 && lanes == 1 {
                (runs, run) = (1, Run { n: positions, stride: position_stride });
            }
            let cells = positions.div_ceil(phases);
            for position in 0..runs {
                let from = &from[(position % phases * cells + position / phases) * lanes..];
                let offset = offset + position as isize * position_stride;
                // In one place only: each would be compiled in full.
                self.write(vectors, from, offset, run, by.from(position * lanes));
            }
            row = end;
        }
    }
}

/// So many values, `stride` apart.
#[derive(Clone, Copy)]
struct Run {
    n: usize,
    stride: isize,
}

/// What becomes of one row: its divisors, and the memory it is written to.
#[derive(Clone, Copy, Default)]
struct RowWriting<'a> {
    divisor: f64,
    reciprocal: f64,
    positions: &'a [f64],
    /// The way to what is written somewhat later.
    ahead: isize,
}

impl RowWriting<'_> {
    #[inline(always)]
    fn from(mut self, at: usize) -> Self {
        self.positions = self.positions.get(at..).unwrap_or(&[]);
        self
    }
}

impl<L: Lower> Finish<'_, L> {
    #[inline(always)]
    fn write<V: Vectors>(
        &self,
        vectors: V,
        from: &[L::Value],
        offset: isize,
        Run { n, stride }: Run,
        by: RowWriting<'_>,
    ) {
        let from = &from[..n];
        if let Some(shift) = L::shift(by.divisor)
            && by.positions.is_empty()
        {
            self.write_with(from, from, |value, _| L::lower_shifted(value, shift), offset, stride, by.ahead);
        } else if let Some(divisor) = L::short_divisor(by.divisor)
            && by.positions.is_empty()
        {
            self.write_with(from, from, |value, _| L::lower_short(value, divisor), offset, stride, by.ahead);
        } else if by.positions.is_empty() && by.divisor.abs() <= LARGEST_DIVISOR {
            let lower = |value, _| L::lower_by(value, vectors, by.divisor, by.reciprocal);
            self.write_with(from, from, lower, offset, stride, by.ahead);
        } else if by.positions.is_empty() {
            self.target.scatter(offset, stride, n, |j| L::lower(from[j], by.divisor));
        } else {
            let positions = &by.positions[..n];
            self.target.scatter(offset, stride, n, |j| L::lower(from[j], by.divisor * positions[j]));
        }
    }

    /// Values, each with what stands beside it.
    #[inline(always)]
    fn write_with<P: Copy>(
        &self,
        from: &[L::Value],
        beside: &[P],
        lower: impl Fn(L::Value, P) -> L::Element,
        offset: isize,
        stride: isize,
        ahead: isize,
    ) {
        let n = from.len();
        if stride != 1 || n < BLOCK {
            return self.target.scatter(offset, stride, n, |j| lower(from[j], beside[j]));
        }
        let mut at = 0;
        while at < n {
            // The last block overlaps the one before instead of leaving a tail.
            let begin = at.min(n - BLOCK);
            let (from, beside) = (&from[begin..][..BLOCK], &beside[begin..][..BLOCK]);
            let mut block = [lower(from[0], beside[0]); BLOCK];
            for l in 1..BLOCK {
                block[l] = lower(from[l], beside[l]);
            }
            let offset = offset + begin as isize;
            // Memory that is written is asked for as early as memory that is read.
            self.target.prefetch::<true>(offset + ahead, BLOCK);
            self.target.store(offset, block);
            at += BLOCK;
        }
    }

    /// Two phases, a vector of 32 bytes of each at a time.
    #[inline(always)]
    fn in_turns<V: Vectors, const N: usize>(
        &self,
        vectors: V,
        even: &[L::Value],
        odd: &[L::Value],
        offset: isize,
        by: RowWriting<'_>,
    ) {
        let lower = |value| L::lower_by(value, vectors, by.divisor, by.reciprocal);
        let pairs = self.rows.positions / 2;
        let mut at = 0;
        while at + N <= pairs {
            self.target.prefetch::<true>(offset + 2 * at as isize + by.ahead, 2 * N);
            let (mut a, mut b) = ([lower(even[at]); N], [lower(odd[at]); N]);
            for l in 0..N {
                (a[l], b[l]) = (lower(even[at + l]), lower(odd[at + l]));
            }
            for (half, elements) in vectors.zip(a, b).into_iter().enumerate() {
                self.target.store(offset + (2 * at + half * N) as isize, elements);
            }
            at += N;
        }
        let rest = self.rows.positions - 2 * at;
        self.target.scatter(offset + 2 * at as isize, 1, rest, |j| {
            lower(if j % 2 == 0 { even[at + j / 2] } else { odd[at + j / 2] })
        });
    }

    /// Two phases, as vectors of their elements.
    #[inline(always)]
    fn take_turns<V: Vectors>(&self, vectors: V, from: &[L::Value], offset: isize, by: RowWriting<'_>) {
        let cells = self.rows.positions.div_ceil(2);
        let (even, odd) = (&from[..cells], &from[cells..2 * cells]);
        match const { size_of::<L::Element>() } {
            2 => self.in_turns::<V, 16>(vectors, even, odd, offset, by),
            4 => self.in_turns::<V, 8>(vectors, even, odd, offset, by),
            _ => self.in_turns::<V, 4>(vectors, even, odd, offset, by),
        }
    }
}

/// Lowers the order of max, or with `REVERSED` of min.
#[derive(Clone, Copy)]
pub(crate) struct FromOrder<T, const REVERSED: bool>(std::marker::PhantomData<T>);

impl<T: Element, const REVERSED: bool> Lower for FromOrder<T, REVERSED> {
    type Value = T::Order;
    type Element = T;

    #[inline(always)]
    fn lower(value: T::Order, _: f64) -> T {
        T::from_order(if REVERSED { value.reversed() } else { value })
    }
}

/// Lowers the wider order of max, or with `REVERSED` of min.
#[derive(Clone, Copy)]
pub(crate) struct FromRanked<T, R, const REVERSED: bool>(std::marker::PhantomData<(T, R)>);

impl<T: Element, R: Ranking<T>, const REVERSED: bool> Lower for FromRanked<T, R, REVERSED> {
    type Value = R::Value;
    type Element = T;

    #[inline(always)]
    fn lower(value: R::Value, _: f64) -> T {
        R::unrank(if REVERSED { value.reversed() } else { value })
    }
}

/// Writes positions as 64-bit indices.
#[derive(Clone, Copy)]
pub(crate) struct ToIndex<P>(std::marker::PhantomData<P>);

impl<P: Position> Lower for ToIndex<P> {
    type Value = P;
    type Element = i64;

    #[inline(always)]
    fn lower(position: P, _: f64) -> i64 {
        position.get() as i64
    }
}

/// Writes sums.
#[derive(Clone, Copy)]
pub(crate) struct ToSum<V, T>(std::marker::PhantomData<(V, T)>);

impl<V: Addend, T: Element> Lower for ToSum<V, T> {
    type Value = V;
    type Element = T;

    #[inline(always)]
    fn lower(sum: V, _: f64) -> T {
        sum.to_sum()
    }
}

/// Writes means.
#[derive(Clone, Copy)]
pub(crate) struct ToMean<V, T>(std::marker::PhantomData<(V, T)>);

impl<V: Addend, T: Element> Lower for ToMean<V, T> {
    type Value = V;
    type Element = T;

    #[inline(always)]
    fn lower(sum: V, divisor: f64) -> T {
        sum.to_mean(divisor)
    }

    #[inline(always)]
    fn lower_by<W: Vectors>(sum: V, vectors: W, divisor: f64, reciprocal: f64) -> T {
        sum.to_mean_by(vectors, divisor, reciprocal)
    }

    #[inline(always)]
    fn shift(divisor: f64) -> Option<u32> {
        /// Half of a larger divisor might carry a sum past its type.
        const MOST: u32 = 14;
        let powers = 2.0..=f64::from(1u32 << MOST);
        let shift = (divisor as u32).trailing_zeros();
        (V::shifts::<T>() && powers.contains(&divisor) && (1u32 << shift) as f64 == divisor).then_some(shift)
    }

    #[inline(always)]
    fn lower_shifted(sum: V, shift: u32) -> T {
        sum.to_mean_shifted(shift)
    }

    #[inline(always)]
    fn short_divisor(divisor: f64) -> Option<f32> {
        let whole = divisor == divisor.trunc() && (1.0..=32768.0).contains(&divisor);
        (V::divides_short::<T>() && whole).then_some(divisor as f32)
    }

    #[inline(always)]
    fn lower_short(sum: V, divisor: f32) -> T {
        sum.to_mean_short(divisor)
    }
}

/// Divides staged cotangents by the divisors of the means they belong to.
pub(crate) struct Divide<'a> {
    pub values: &'a mut [f64],
    /// Values of one row; positions and lanes as in the divisors, split into `phases`.
    pub row: usize,
    pub divisors: Divisors<'a>,
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        // Cells that no window covers make rows of no cotangents.
        for (row, values) in self.values.chunks_exact_mut(self.row.max(1)).enumerate() {
            let divisor = self.divisors.rows.get(row).copied().unwrap_or(1.0);
            if self.divisors.positions.is_empty() {
                for value in values {
                    *value /= divisor;
                }
            } else {
                for (value, by) in values.iter_mut().zip(self.divisors.positions) {
                    *value /= divisor * by;
                }
            }
        }
    }
}
