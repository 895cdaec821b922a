//! Reduces windows of a few cells straight from the array: nothing is staged, every block of results stays in registers
//! over all of its cells, and memory is read while earlier cells are still being merged.

use super::across::Across;
use super::combine::Into;
use super::dispatch::Kernel;
use super::source::{Place, Source};
use super::stage::Lift;
use crate::reduce::{Monoid, Tag, in_pairs};
use crate::strided::AHEAD;
use crate::vector::Vectors;

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

/// Which cells belong to windows, where rows of the array that follow each other are reduced as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clipping {
    /// Results in one of these rows.
    pub row: usize,
    /// For each tap, whether that of each result of a row lies on the axis, and so on for [`Clipping::MOST`] results more.
    pub on_axis: Vec<bool>,
}

impl Clipping {
    /// The most results that are reduced together, and the fewest that are worth it.
    pub const MOST: usize = 64;
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
    /// What the segments that are not short are clipped by, if anything.
    pub clipping: Option<&'a Clipping>,
    /// Results in a row.
    pub row: usize,
    pub into: Into<'a, M>,
}

impl<S: Source<Lift: Lift<Value = M::Value>>, M: Monoid> Kernel for Windows<'_, S, M> {
    /// Whether a special value is among the cells.
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) -> bool {
        // Two vectors of values a block, so that one is merged while the other waits; one where tags wait too, and where cells
        // have to be merged in order, which is rare; less for rows too short for it.
        match const { (size_of::<M::Value>(), M::IN_LANES && size_of::<M::Tag>() == 0) } {
            (1 | 2, _) => self.all::<V, 64, 32, 8, 16>(vectors),
            (4, true) => self.all::<V, 32, 16, 4, 8>(vectors),
            (4, false) => self.all::<V, 16, 16, 4, 8>(vectors),
            (_, true) => self.all::<V, 16, 8, 4, 8>(vectors),
            (_, false) => self.all::<V, 8, 8, 4, 8>(vectors),
        }
    }
}

impl<S: Source<Lift: Lift<Value = M::Value>>, M: Monoid> Windows<'_, S, M> {
    #[inline(always)]
    fn all<V: Vectors, const LONG: usize, const MIDDLE: usize, const SHORT: usize, const ACROSS: usize>(
        &mut self,
        vectors: V,
    ) -> bool {
        let mut seen = [<S::Lift as Lift>::Watch::default(); LONG];
        let across =
            |segment: &Segment| const { S::SIDE_BY_SIDE } && segment.tap_step.offset == 1 && segment.taps >= ACROSS;
        let ahead = rows_ahead::<S>(self.segments, self.ends);
        let few = |segment: &&Segment| segment.len < SHORT && !across(segment);
        let mut begin = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let rows = &self.rows[begin..end];
            begin = end;
            let later = rows_later(self.rows, end, rows.len(), ahead);
            for segment in self.segments.iter().filter(|segment| !few(segment)) {
                let to = row * self.row + segment.to;
                let seen = &mut seen[..];
                let n = segment.len;
                let middle = const { MIDDLE < LONG } && n >= MIDDLE;
                let short = const { M::IN_LANES } && n >= SHORT;
                if const { size_of::<M::Tag>() == 0 && LONG <= Clipping::MOST }
                    && let Some(clipping) = self.clipping
                {
                    self.clipped::<V, LONG>(vectors, clipping, rows, segment, to, seen);
                    continue;
                }
                match segment.step.offset {
                    1 if n >= LONG => self.blocks::<V, 1, LONG>(vectors, [rows, later], segment, to, seen),
                    2 if n >= LONG => self.blocks::<V, 2, LONG>(vectors, [rows, later], segment, to, seen),
                    1 if middle => self.blocks::<V, 1, MIDDLE>(vectors, [rows, later], segment, to, seen),
                    2 if middle => self.blocks::<V, 2, MIDDLE>(vectors, [rows, later], segment, to, seen),
                    1 if short => self.blocks::<V, 1, SHORT>(vectors, [rows, later], segment, to, seen),
                    2 if short => self.blocks::<V, 2, SHORT>(vectors, [rows, later], segment, to, seen),
                    4 if const { size_of::<M::Value>() == 4 } && n >= MIDDLE => {
                        self.blocks::<V, 4, MIDDLE>(vectors, [rows, later], segment, to, seen);
                    }
                    _ if across(segment) => self.across::<V, ACROSS>(vectors, rows, segment, to, seen),
                    _ => self.blocks::<V, 0, SHORT>(vectors, [rows, later], segment, to, seen),
                }
            }
        }
        let mut of_few = <S::Lift as Lift>::Watch::default();
        for segment in self.segments.iter().filter(few) {
            self.few(vectors, segment, &mut of_few);
        }
        <S::Lift as Lift>::special(seen.iter().fold(of_few, |most, &seen| most.max(seen)))
    }

    /// Long windows whose cells lie side by side: one result after the other, `N` cells at a time.
    #[inline(always)]
    fn across<V: Vectors, const N: usize>(
        &mut self,
        vectors: V,
        rows: &[Place],
        segment: &Segment,
        to: usize,
        seen: &mut [<S::Lift as Lift>::Watch],
    ) {
        let cells = Across { source: self.source, vectors, rows, taps: segment.taps, tap_step: segment.tap_step };
        let base = |result| segment.step.times(result).after(segment.first).after(self.base);
        let values = &mut self.into.values[to..to + segment.len];
        let tags = &mut self.into.tags[to..to + segment.len];
        if const { !M::IN_LANES } {
            for result in 0..segment.len {
                (values[result], tags[result]) = cells.in_order::<M>(base(result));
            }
            return;
        }
        let mut own = [<S::Lift as Lift>::Watch::default(); N];
        let mut lanes = [[M::identity().0; N]; TOGETHER];
        for begin in (0..segment.len).step_by(TOGETHER) {
            let lanes = &mut lanes[..TOGETHER.min(segment.len - begin)];
            if segment.taps < LONG_WINDOW * N && lanes.len() == TOGETHER {
                for (lanes, result) in lanes.chunks_exact_mut(AT_A_TIME).zip((begin..).step_by(AT_A_TIME)) {
                    let mut bases = [Place::default(); AT_A_TIME];
                    bases.iter_mut().zip(result..).for_each(|(place, result)| *place = base(result));
                    lanes.copy_from_slice(&cells.together::<M, N, AT_A_TIME>(bases, &mut own));
                }
            } else {
                for (lanes, result) in lanes.iter_mut().zip(begin..) {
                    *lanes = cells.in_lanes::<M, N>(base(result), &mut own);
                }
            }
            for (lanes, result) in std::hint::black_box(lanes).iter().zip(begin..) {
                let value = in_pairs(*lanes, |a, b| M::merge((a, M::Tag::default()), (b, M::Tag::default())).0);
                (values[result], tags[result]) = if M::is_settled(value) {
                    (value, M::Tag::default())
                } else {
                    cells.first::<M, N>(base(result), value)
                };
            }
        }
        take_note(seen, own);
    }

    /// Blocks of results side by side of rows that follow each other.
    #[inline(always)]
    fn clipped<V: Vectors, const N: usize>(
        &mut self,
        vectors: V,
        clipping: &Clipping,
        rows: &[Place],
        &Segment { to: start, len, first, step, taps, tap_step }: &Segment,
        to: usize,
        seen: &mut [<S::Lift as Lift>::Watch],
    ) {
        let stride = clipping.row + Clipping::MOST;
        let mut at = 0;
        while at < len {
            let begin = at.min(len - N);
            let phase = (start + begin) % clipping.row;
            let mut values = [M::identity().0; N];
            let mut own = [<S::Lift as Lift>::Watch::default(); N];
            for &row in rows {
                let mut place = step.times(begin).after(first).after(self.base).after(row);
                self.source.prefetch::<true>(place.offset, N);
                // The first taps see what all do, but for the end of the last block.
                let watched = if at + N < len { 1 } else { taps };
                for tap in 0..taps {
                    let later = self.source.load::<V, 1, N>(vectors, place, step);
                    let on_axis = &clipping.on_axis[tap * stride + phase..][..N];
                    if tap < watched {
                        for l in 0..N {
                            own[l] = S::Lift::watch(own[l], later[l]);
                        }
                    }
                    for l in 0..N {
                        let merged = M::merge((values[l], M::Tag::default()), (later[l], M::Tag::default())).0;
                        values[l] = if on_axis[l] { merged } else { values[l] };
                    }
                    place = place.after(tap_step);
                }
            }
            take_note(seen, own);
            self.into.values[to + begin..to + begin + N].copy_from_slice(&values);
            at += N;
        }
    }

    /// A few results of every row, one by one.
    #[inline(always)]
    fn few<V: Vectors>(&mut self, vectors: V, segment: &Segment, seen: &mut <S::Lift as Lift>::Watch) {
        let &Segment { to, len, first, step, taps, tap_step } = segment;
        let mut begin = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let rows = &self.rows[begin..end];
            begin = end;
            for at in 0..len {
                let base = step.times(at).after(first).after(self.base);
                let mut result = M::start(M::Tag::of(rows.first().map_or(base, |row| base.after(*row)).index));
                for &row in rows {
                    let mut place = base.after(row);
                    for _ in 0..taps {
                        let [cell] = self.source.load::<V, 1, 1>(vectors, place, tap_step);
                        *seen = S::Lift::watch(*seen, cell);
                        result = M::merge(result, (cell, M::Tag::of(place.index)));
                        place = place.after(tap_step);
                    }
                }
                let to = row * self.row + to + at;
                (self.into.values[to], self.into.tags[to]) = result;
            }
        }
    }

    /// At least one block of results whose first cells are `STEP` apart, or any distance if it is 0. The last block overlaps
    /// the one before instead of leaving a tail.
    #[inline(always)]
    fn blocks<V: Vectors, const STEP: usize, const N: usize>(
        &mut self,
        vectors: V,
        [rows, later]: [&[Place]; 2],
        segment: &Segment,
        to: usize,
        seen: &mut [<S::Lift as Lift>::Watch],
    ) {
        let mut at = 0;
        if const { STEP == 1 } && rows.len() * segment.taps > STREAMS && segment.len >= LONG_RUN * N {
            at = segment.len / N * N;
            self.streams::<V, N>(vectors, rows, segment, to, at, seen);
        }
        while at < segment.len {
            self.block::<V, STEP, N, true>(vectors, [rows, later], segment, to, at.min(segment.len - N), seen, true);
            at += N;
        }
    }

    /// Windows of many cells, and long runs of results side by side: a few cells of every window at a time, for all results up
    /// to `end`, so that memory is read along a few streams, as the hardware foresees it, and not in leaps.
    #[inline(always)]
    fn streams<V: Vectors, const N: usize>(
        &mut self,
        vectors: V,
        rows: &[Place],
        segment: &Segment,
        to: usize,
        end: usize,
        seen: &mut [<S::Lift as Lift>::Watch],
    ) {
        let one = Segment { taps: 1, ..*segment };
        let cells = rows.len() * segment.taps;
        let mut streams = [Place::default(); STREAMS];
        for begin in (0..cells).step_by(STREAMS) {
            let streams = &mut streams[..STREAMS.min(cells - begin)];
            for (cell, stream) in (begin..).zip(&mut *streams) {
                *stream = segment.tap_step.times(cell % segment.taps).after(rows[cell / segment.taps]);
            }
            for at in (0..end).step_by(N) {
                self.block::<V, 1, N, false>(vectors, [streams, &[]], &one, to, at, seen, begin == 0);
            }
        }
    }

    /// One block of results; or if it is not `fresh`, of more cells than those that made what is there.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // what a block is made of
    fn block<V: Vectors, const STEP: usize, const N: usize, const PREFETCH: bool>(
        &mut self,
        vectors: V,
        [rows, later]: [&[Place]; 2],
        &Segment { first, step, taps, tap_step, .. }: &Segment,
        to: usize,
        at: usize,
        seen: &mut [<S::Lift as Lift>::Watch],
        fresh: bool,
    ) {
        let (base, to) = (step.times(at).after(first).after(self.base), to + at);
        let mut own = [<S::Lift as Lift>::Watch::default(); N];
        // Whether taps read what the first of them asks for.
        let near = tap_step.offset.unsigned_abs() < N;
        let mut tags = tags_of::<M, N>(rows.first().map_or(base, |row| base.after(*row)), step);
        let mut values = [M::identity().0; N];
        for l in 0..N {
            (values[l], tags[l]) = M::start(tags[l]);
        }
        if !fresh {
            values.copy_from_slice(&self.into.values[to..to + N]);
            tags.copy_from_slice(&self.into.tags[to..to + N]);
        }
        for (r, &row) in rows.iter().enumerate() {
            let mut place = base.after(row);
            if const { PREFETCH && STEP > 0 } && near {
                match later.get(r) {
                    Some(later) => self.source.prefetch::<false>(base.offset + later.offset, N * STEP),
                    None => self.source.prefetch::<true>(place.offset, N * STEP),
                }
            }
            for _ in 0..taps {
                if const { PREFETCH && STEP > 0 } && !near {
                    self.source.prefetch::<true>(place.offset, N * STEP);
                }
                let later = self.source.load::<V, STEP, N>(vectors, place, step);
                let later_tags = tags_of::<M, N>(place, step);
                for l in 0..N {
                    own[l] = S::Lift::watch(own[l], later[l]);
                    (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
                }
                place = place.after(tap_step);
            }
        }
        take_note(seen, own);
        self.into.store(to, &values, &tags);
    }
}

/// The cells of a window that are read side by side, and the blocks of results from which on that pays: the mean of a matrix of
/// 4096x4096 along its first axis takes 42 ms without, 3.4 with 4 streams, 2.9 with 8 and 2.6 with 16, on one core.
const STREAMS: usize = 16;
const LONG_RUN: usize = 4;

/// Results whose lanes wait in memory to be merged with each other. Lanes that are merged at once the compiler takes two by two
/// from the beginning, to suit the pairs; lanes that are written and read at once are waited for: the mean of a row of 49 takes
/// 10 ns and not 9.
const TOGETHER: usize = 8;
/// Of these, as many as are read block by block in turns, and how many blocks make a window too long for that.
const AT_A_TIME: usize = 4;
const LONG_WINDOW: usize = 8;

/// Adds what was seen of a block to what was seen before: once for each block, since it lies in memory.
#[inline(always)]
pub(super) fn take_note<W: Ord + Copy, const N: usize>(seen: &mut [W], own: [W; N]) {
    let seen = &mut seen[..N];
    for l in 0..N {
        seen[l] = seen[l].max(own[l]);
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

/// How many rows of results later cells are that are [`AHEAD`] bytes further on.
#[inline(always)]
pub(super) fn rows_ahead<S: Source>(segments: &[Segment], ends: &[usize]) -> usize {
    let cells: usize =
        segments.iter().map(|s| s.len.saturating_mul(s.step.offset.unsigned_abs())).fold(0, usize::saturating_add);
    let rows = ends.first().map_or(1, |&rows| rows.max(1));
    AHEAD / cells.saturating_mul(rows * size_of::<<S::Lift as Lift>::Element>()).max(1)
}

/// The rows that are read somewhat later than so many up to `end`: none if what comes is further along these.
#[inline(always)]
pub(super) fn rows_later(rows: &[Place], end: usize, count: usize, ahead: usize) -> &[Place] {
    let begin = end + ahead * count;
    rows.get(begin..begin + count).filter(|_| ahead > 0).unwrap_or(&[])
}
