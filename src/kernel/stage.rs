//! Brings rows of an array into a work buffer: lifted into the work type, split into phases, padded, NaN noticed.

use super::dispatch::Kernel;
use crate::element::{Element, Ordered, Position};
use crate::reduce::Addend;
use crate::strided::{Ahead, Raw};
use crate::vector::Vectors;

/// How staged rows relate to the rows of an array. Positions are those of the axis that the first pass reduces along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// Offset in the array of position 0, lane 0 of each row, counted from a base.
    pub base: isize,
    pub offsets: &'a [isize],
    /// The first position staged; negative in the padding.
    pub first: isize,
    /// Positions staged.
    pub positions: usize,
    /// Length of the axis.
    pub len: usize,
    pub position_stride: isize,
    pub lanes: usize,
    pub lane_stride: isize,
    /// Position `first + m * phases + q` becomes cell `m` of phase `q`.
    pub phases: usize,
}

impl Rows<'_> {
    /// Cells of one phase, in positions.
    pub fn cells(&self) -> usize {
        self.positions.div_ceil(self.phases)
    }

    /// Values of one staged row.
    pub fn row(&self) -> usize {
        self.cells() * self.phases * self.lanes
    }

    /// The cells of a phase that lie on the axis.
    #[inline(always)]
    pub fn on_axis_of(&self, phase: usize) -> std::ops::Range<usize> {
        let (begin, held) = self.on_axis();
        let cell = |position: usize| position.saturating_sub(phase).div_ceil(self.phases);
        cell(begin)..cell(begin + held)
    }

    /// Positions that lie on the axis: the first of them, counted from the first staged, and their number.
    #[inline(always)]
    fn on_axis(&self) -> (usize, usize) {
        // A tile may lie in the padding as a whole.
        let begin = (-self.first).clamp(0, self.positions as isize);
        let end = (self.len as isize - self.first).min(self.positions as isize);
        (begin as usize, (end - begin).max(0) as usize)
    }
}

/// A map from array elements to work values.
pub(crate) trait Lift: Copy + Send + Sync + 'static {
    type Element: Copy + Default;
    type Value: Copy + Default;
    /// What padding holds.
    fn padding() -> Self::Value;
    fn lift(x: Self::Element) -> Self::Value;
    /// What is kept of the values seen, to tell whether a tile needs the exact monoid.
    type Watch: Copy + Default + Ord;
    fn watch(seen: Self::Watch, value: Self::Value) -> Self::Watch;
    /// Whether the tile needs it.
    fn special(seen: Self::Watch) -> bool;
}

/// Fills a buffer with staged rows; returns whether a special value is among them.
pub(crate) struct Stage<'a, L: Lift> {
    pub source: Raw<L::Element>,
    pub rows: Rows<'a>,
    pub into: &'a mut [L::Value],
}

impl<L: Lift> Kernel for Stage<'_, L> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) -> bool {
        let Rows { first, lanes, position_stride, lane_stride, phases, .. } = self.rows;
        let (begin, held) = self.rows.on_axis();
        let row_len = self.rows.row();
        let cells = self.rows.cells();
        let contiguous =
            lane_stride == 1 && (held <= 1 || position_stride == lanes as isize) || lanes == 1 && position_stride == 1;
        let mut seen = [L::Watch::default(); LONG];
        let ahead = Ahead::new::<L::Element>(held * lanes);
        let rows = self.rows.offsets.iter().zip(self.into.chunks_exact_mut(row_len.max(1))).enumerate();
        for (row, (&offset, into)) in rows {
            let offset = self.rows.base + offset + (first + begin as isize) * position_stride;
            let source = Reads { source: self.source, ahead: ahead.from(self.rows.offsets, row) };
            if phases == 1 {
                into[..begin * lanes].fill(L::padding());
                into[(begin + held) * lanes..].fill(L::padding());
            } else if held < cells * phases {
                into.fill(L::padding());
            }
            if contiguous && phases == 1 {
                let into = &mut into[begin * lanes..(begin + held) * lanes];
                lift_row::<L>(source, offset, into, &mut seen);
            } else if contiguous && lanes == 1 && phases == 2 {
                let (even, odd) = into.split_at_mut(cells);
                let (evens, odds) = (begin.div_ceil(2), begin / 2);
                let skip = (begin % 2) as isize;
                let even = &mut even[evens..(begin + held).div_ceil(2)];
                every_second::<L, V>(source, vectors, offset + skip, even, &mut seen);
                let odd = &mut odd[odds..usize::midpoint(begin, held)];
                every_second::<L, V>(source, vectors, offset + 1 - skip, odd, &mut seen);
            } else if lanes == 1 {
                for phase in 0..phases.min(held) {
                    let at = begin + phase;
                    let into = &mut into[at % phases * cells + at / phases..][..(held - phase).div_ceil(phases)];
                    let stride = phases as isize * position_stride;
                    self.source.gather(offset + phase as isize * position_stride, stride, into, L::lift);
                    watch_row::<L>(into, &mut seen);
                }
            } else {
                for position in 0..held {
                    let at = begin + position;
                    let to = (at % phases * cells + at / phases) * lanes;
                    let into = &mut into[to..to + lanes];
                    let offset = offset + position as isize * position_stride;
                    if lane_stride == 1 {
                        lift_row::<L>(source, offset, into, &mut seen);
                    } else {
                        self.source.gather(offset, lane_stride, into, L::lift);
                        watch_row::<L>(into, &mut seen);
                    }
                }
            }
        }
        L::special(seen.iter().fold(L::Watch::default(), |most, &seen| most.max(seen)))
    }
}

/// Values that are lifted together: a vector of 4-byte values, and what is left of rows too short for it.
const LONG: usize = 16;
const SHORT: usize = 4;

/// Where rows are read, and the way to what is read somewhat later.
#[derive(Clone, Copy)]
struct Reads<T> {
    source: Raw<T>,
    ahead: isize,
}

/// Every second element from an offset on.
#[inline(always)]
fn every_second<L: Lift, V: Vectors>(
    Reads { source, ahead }: Reads<L::Element>,
    vectors: V,
    offset: isize,
    into: &mut [L::Value],
    seen: &mut [L::Watch; LONG],
) {
    if into.len() < LONG {
        source.gather(offset, 2, into, L::lift);
        return watch_row::<L>(into, seen);
    }
    let mut at = 0;
    while at < into.len() {
        let begin = at.min(into.len() - LONG);
        let offset = offset + 2 * begin as isize;
        source.prefetch::<false>(offset + ahead, 2 * LONG);
        lift_block::<L, LONG>(&source.evens(vectors, offset), &mut into[begin..], seen);
        at += LONG;
    }
}

/// A row from an offset on, in blocks, the last of which overlaps the one before instead of leaving a tail.
#[inline(always)]
fn lift_row<L: Lift>(source: Reads<L::Element>, offset: isize, into: &mut [L::Value], seen: &mut [L::Watch; LONG]) {
    if into.len() >= LONG {
        lift_blocks::<L, LONG>(source, offset, into, seen);
    } else if into.len() >= SHORT {
        lift_blocks::<L, SHORT>(source, offset, into, seen);
    } else if !into.is_empty() {
        lift_blocks::<L, 1>(source, offset, into, seen);
    }
}

#[inline(always)]
fn lift_blocks<L: Lift, const N: usize>(
    Reads { source, ahead }: Reads<L::Element>,
    offset: isize,
    into: &mut [L::Value],
    seen: &mut [L::Watch; LONG],
) {
    let (row, mut at) = (source.row(offset, into.len()), 0);
    while at < into.len() {
        let begin = at.min(into.len() - N);
        source.prefetch::<false>(offset + begin as isize + ahead, N);
        let mut elements = [L::Element::default(); N];
        elements.copy_from_slice(&row[begin..begin + N]);
        lift_block::<L, N>(&elements, &mut into[begin..], seen);
        at += N;
    }
}

#[inline(always)]
fn lift_block<L: Lift, const N: usize>(elements: &[L::Element; N], into: &mut [L::Value], seen: &mut [L::Watch; LONG]) {
    let mut values = [L::padding(); N];
    for l in 0..N {
        values[l] = L::lift(elements[l]);
        seen[l] = L::watch(seen[l], values[l]);
    }
    into[..N].copy_from_slice(&values);
}

#[inline(always)]
fn watch_row<L: Lift>(values: &[L::Value], seen: &mut [L::Watch; LONG]) {
    let (blocks, rest) = values.as_chunks::<LONG>();
    for block in blocks {
        for l in 0..LONG {
            seen[l] = L::watch(seen[l], block[l]);
        }
    }
    for (seen, &value) in seen.iter_mut().zip(rest) {
        *seen = L::watch(*seen, value);
    }
}

/// The first cell at or after 0 that lies a whole number of dilations after a padding cell.
#[inline(always)]
fn next_cell(padding: isize, dilation: usize) -> usize {
    padding.rem_euclid(dilation as isize) as usize
}

/// Fills a buffer with the positions of the staged cells: their indices within the pooled axes.
pub(crate) struct Number<'a, P> {
    pub rows: Rows<'a>,
    /// Index of position 0, lane 0 of each row, counted from a base.
    pub base: u64,
    pub indices: &'a [u64],
    pub position_step: u64,
    pub lane_step: u64,
    /// Distance between the taps of a window, which padding passes on to the next cell.
    pub dilation: usize,
    pub into: &'a mut [P],
}

impl<P: Position> Kernel for Number<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Rows { first, lanes, phases, .. } = self.rows;
        let (row_len, cells) = (self.rows.row(), self.rows.cells());
        for (row, &index) in self.indices.iter().enumerate() {
            let into = &mut self.into[row * row_len..(row + 1) * row_len];
            for phase in 0..phases {
                for cell in 0..cells {
                    let position = first + (cell * phases + phase) as isize;
                    let on_axis = if position < 0 { next_cell(position, self.dilation) } else { position as usize };
                    let to = (phase * cells + cell) * lanes;
                    let index = self.base.wrapping_add(index).wrapping_add(on_axis as u64 * self.position_step);
                    for (lane, tag) in into[to..to + lanes].iter_mut().enumerate() {
                        *tag = P::new(index + lane as u64 * self.lane_step);
                    }
                }
            }
        }
    }
}

/// Lifts into the order of max, or with `REVERSED` of min.
#[derive(Clone, Copy)]
pub(crate) struct ToOrder<T, const REVERSED: bool>(std::marker::PhantomData<T>);

impl<T: Element, const REVERSED: bool> Lift for ToOrder<T, REVERSED> {
    type Element = T;
    type Value = T::Order;

    #[inline(always)]
    fn padding() -> T::Order {
        T::Order::LOWEST
    }

    #[inline(always)]
    fn lift(x: T) -> T::Order {
        if REVERSED { x.to_order().reversed() } else { x.to_order() }
    }

    type Watch = <T::Order as Ordered>::Watch;

    #[inline(always)]
    fn watch(seen: Self::Watch, value: T::Order) -> Self::Watch {
        value.watch(seen)
    }

    #[inline(always)]
    fn special(seen: Self::Watch) -> bool {
        T::Order::saw_nan(seen)
    }
}

/// Lifts into the order of max, or with `REVERSED` of min, where a NaN is as good as no cell.
#[derive(Clone, Copy)]
pub(crate) struct ToOrderOfNumbers<T, const REVERSED: bool>(std::marker::PhantomData<T>);

impl<T: Element, const REVERSED: bool> Lift for ToOrderOfNumbers<T, REVERSED> {
    type Element = T;
    type Value = T::Order;

    #[inline(always)]
    fn padding() -> T::Order {
        T::Order::LOWEST
    }

    #[inline(always)]
    fn lift(x: T) -> T::Order {
        let value = ToOrder::<T, REVERSED>::lift(x);
        if value.is_nan() { T::Order::LOWEST } else { value }
    }

    type Watch = ();

    #[inline(always)]
    fn watch((): (), _: T::Order) {}

    #[inline(always)]
    fn special((): ()) -> bool {
        false
    }
}

/// Lifts into the order of max, or with `REVERSED` of min, wide enough for a position beside it.
#[derive(Clone, Copy)]
pub(crate) struct ToRanked<T, R, const REVERSED: bool>(std::marker::PhantomData<(T, R)>);

impl<T: Element, R: Ranking<T>, const REVERSED: bool> Lift for ToRanked<T, R, REVERSED> {
    type Element = T;
    type Value = R::Value;

    #[inline(always)]
    fn padding() -> R::Value {
        R::Value::LOWEST
    }

    #[inline(always)]
    fn lift(x: T) -> R::Value {
        if REVERSED { R::rank(x).reversed() } else { R::rank(x) }
    }

    type Watch = <R::Value as Ordered>::Watch;

    #[inline(always)]
    fn watch(seen: Self::Watch, value: R::Value) -> Self::Watch {
        value.watch(seen)
    }

    #[inline(always)]
    fn special(seen: Self::Watch) -> bool {
        R::Value::saw_nan(seen)
    }
}

/// How wide the order and the position of a winner are.
pub(crate) trait Ranking<T: Element>: Copy + Send + Sync + 'static {
    type Value: Ordered;
    type Position: Position;
    fn rank(x: T) -> Self::Value;
    fn unrank(order: Self::Value) -> T;
}

/// As wide as the element type asks for.
#[derive(Clone, Copy)]
pub(crate) struct Usual;

impl<T: Element> Ranking<T> for Usual {
    type Value = T::Ranked;
    type Position = T::Position;

    #[inline(always)]
    fn rank(x: T) -> T::Ranked {
        x.to_ranked()
    }

    #[inline(always)]
    fn unrank(order: T::Ranked) -> T {
        T::from_ranked(order)
    }
}

/// For planes of more cells than the usual position can count.
#[derive(Clone, Copy)]
pub(crate) struct Wide;

impl<T: Element> Ranking<T> for Wide {
    type Value = T::Wide;
    type Position = u64;

    #[inline(always)]
    fn rank(x: T) -> T::Wide {
        x.to_wide()
    }

    #[inline(always)]
    fn unrank(order: T::Wide) -> T {
        T::from_wide(order)
    }
}

/// Lifts into the type that a sum is kept in.
#[derive(Clone, Copy)]
pub(crate) struct ToAddend<T, V>(std::marker::PhantomData<(T, V)>);

impl<T: Element, V: Addend> Lift for ToAddend<T, V> {
    type Element = T;
    type Value = V;

    #[inline(always)]
    fn padding() -> V {
        V::default()
    }

    #[inline(always)]
    fn lift(x: T) -> V {
        V::of(x)
    }

    type Watch = ();

    #[inline(always)]
    fn watch((): (), _: V) {}

    #[inline(always)]
    fn special((): ()) -> bool {
        false
    }
}
