//! The tables of a tile: which rows it reads, in what segments, and what its results are divided by.

use std::ops::Range;

use super::axes::{Codes, Free, Pooled};
use super::geometry::{DivisorTable, Straight, TileAxis};
use super::plan::Plan;
use super::{DivisorRule, cross};
use crate::kernel::route::First;
use crate::kernel::source::Place;
use crate::kernel::windows::{Clipping, Segment};
use crate::spans::Span;

/// What a tile takes of the axes that are passed through.
pub(super) struct Cut<'p> {
    pub plan: &'p Plan,
    pub inner: usize,
    pub lanes: usize,
}

impl Cut<'_> {
    /// The pooled axis that rows run along.
    pub fn last(&self) -> &Pooled {
        &self.plan.pooled[self.plan.pooled.len() - 1]
    }

    /// For each row of the tile (batch cell, then outer positions in order), positions times strides.
    pub fn rows(
        &self,
        outer: &[Range<isize>],
        free: impl Fn(&Free) -> isize,
        pooled: impl Fn(&Pooled) -> isize,
    ) -> Vec<isize> {
        let mut rows: Vec<isize> = (0..self.inner as isize).map(|cell| cell * free(&self.plan.inner)).collect();
        for (range, axis) in outer.iter().zip(&self.plan.pooled) {
            rows = cross(&rows, range, pooled(axis));
        }
        rows
    }

    /// The rows of the array that each row of results is made of, and where the list of each ends.
    pub fn window_rows(&self, outer: &[TileAxis]) -> (Vec<Place>, Vec<usize>) {
        let inner = self.inner_step();
        let mut rows: Vec<Place> = (0..self.inner).map(|cell| inner.times(cell)).collect();
        let mut ends: Vec<usize> = (1..=rows.len()).collect();
        for (axis, tile) in self.plan.pooled.iter().zip(outer) {
            let (before, before_ends) = (std::mem::take(&mut rows), std::mem::take(&mut ends));
            let taps: Vec<_> = tile.outputs.clone().map(|o| axis.taps(o, tile.origin, self.plan.codes)).collect();
            let mut begin = 0;
            for end in before_ends {
                for &(first, step, len) in &taps {
                    for row in &before[begin..end] {
                        rows.extend((0..len).map(|t| first.after(step.times(t)).after(*row)));
                    }
                    ends.push(rows.len());
                }
                begin = end;
            }
        }
        (rows, ends)
    }

    /// From one cell of the inner axis to the next.
    pub fn inner_step(&self) -> Place {
        self.tagged(Place { offset: self.plan.inner.stride_in, index: self.plan.inner.flat })
    }

    /// A step along an axis that is passed through: it does not change codes.
    pub fn tagged(&self, step: Place) -> Place {
        if self.plan.codes.is_some() { Place { index: 0, ..step } } else { step }
    }

    /// The results of a row, neighbours whose cells lie at equal distances (and seek the same codes) taken together, phase by
    /// phase.
    pub fn segments(&self, tile: &TileAxis) -> Vec<Segment> {
        let (axis, lanes) = (self.last(), &self.plan.lanes);
        let lane_step = self.tagged(Place { offset: lanes.stride_in, index: lanes.flat });
        let phases = axis.phases;
        let cells = tile.outputs.len().div_ceil(phases);
        let mut segments: Vec<Segment> = Vec::new();
        for phase in 0..phases {
            let begin = segments.len();
            for (cell, o) in tile.outputs.clone().skip(phase).step_by(phases).enumerate() {
                let (first, tap_step, taps) = axis.taps(o, tile.origin, self.plan.codes);
                let to = (phase * cells + cell) * self.lanes;
                if self.lanes > 1 {
                    segments.push(Segment { to, len: self.lanes, first, step: lane_step, taps, tap_step });
                    continue;
                }
                if segments.len() > begin
                    && let Some(segment) = segments.last_mut()
                    && segment.taps == taps
                    && (self.plan.codes != Some(Codes::Sought) || first.index == segment.first.index)
                {
                    let step = first.since(segment.first);
                    if segment.len == 1 {
                        segment.step = step;
                    }
                    if step == segment.step.times(segment.len) {
                        segment.len += 1;
                        continue;
                    }
                }
                segments.push(Segment { to, len: 1, first, step: Place::default(), taps, tap_step });
            }
        }
        segments
    }

    /// Rows that are slid along. Short ones that follow each other in the array, as whole rows do, are one.
    pub fn slid(&self, offsets: &[isize], tile: &TileAxis) -> Straight {
        /// Results of a row from which on clipping it costs more than its ends do.
        const SHORT: usize = 256;
        let places = offsets.iter().map(|&offset| Place { offset, index: 0 });
        let axis = self.last();
        let follows = |row: usize| offsets[row] - offsets[row - 1] == axis.place(tile.len).offset;
        // So many rows follow each other, again and again.
        let together = 1 + (1..offsets.len()).take_while(|&row| follows(row)).count();
        let again = offsets.len().is_multiple_of(together)
            && (1..offsets.len()).all(|row| row.is_multiple_of(together) || follows(row));
        let window = axis.spans.sliding().filter(|window| {
            let whole = window.stride == 1 && window.len_out <= window.len_in && window.len_in < SHORT;
            let all = again && tile.outputs.len() == window.len_out;
            all && whole
                && (together - 1) * window.len_in + window.whole().len() >= Clipping::MOST
                && !window.whole().is_empty()
        });
        let Some(window) = window else {
            let (ends, row) = ((1..=offsets.len()).collect(), tile.outputs.len());
            return Straight {
                rows: places.collect(),
                ends,
                segments: self.segments(tile),
                clipping: None,
                row,
                width: row,
            };
        };
        let (row, whole) = (window.len_in, window.whole());
        let (first, tap_step, taps) = axis.taps(whole.start, 0, None);
        let (to, len) = (whole.start, (together - 1) * row + whole.len());
        let mut segments = vec![Segment { to, len, first, step: axis.place(1), taps, tap_step }];
        // What would read before the first row and behind the last.
        let clipped = (0..whole.start).map(|o| (0, o)).chain((whole.end..window.len_out).map(|o| (together - 1, o)));
        segments.extend(clipped.map(|(r, o)| {
            let (first, tap_step, taps) = axis.taps(o, 0, None);
            let first = first.after(axis.place(row).times(r));
            Segment { to: r * row + o, len: 1, first, step: Place::default(), taps, tap_step }
        }));
        let cells = |tap: usize| (0..row + Clipping::MOST).map(move |o| (o % row, tap));
        let on_axis = |(o, tap): (usize, usize)| {
            let cell = window.first(o) + (tap * window.dilation) as isize;
            (0..window.len_in as isize).contains(&cell)
        };
        let clipping = Some(Clipping { row, on_axis: (0..taps).flat_map(cells).map(on_axis).collect() });
        let rows: Vec<Place> = places.step_by(together).collect();
        Straight { ends: (1..=rows.len()).collect(), rows, segments, clipping, row: together * row, width: row }
    }

    /// The cells of a row that lie on its axis.
    pub fn row(&self, tile: &TileAxis) -> Vec<Segment> {
        let (axis, on_axis) = (self.last(), tile.on_axis());
        let first = axis.place((tile.first + on_axis.start as isize) as usize);
        let step = Place { offset: 1, ..Place::default() };
        let (to, len) = (on_axis.start * self.lanes, on_axis.len() * self.lanes);
        vec![Segment { to, len, first, step, taps: 1, tap_step: Place::default() }]
    }

    /// Each window's first cell: the part that a row shares, and the rest.
    pub fn window_firsts(&self, outer: &[TileAxis], last: &TileAxis) -> (Vec<First>, Vec<First>) {
        let first = |axis: &Pooled, tile: &TileAxis, o: usize| {
            let Span { start, len, step } = axis.spans.at(o);
            let clipped = if len == 0 { 0 } else { (start as isize - axis.spans.first(o)) as usize / step };
            let index = axis.place(start.saturating_sub(tile.origin)).index;
            First { index, code: clipped as u64 * axis.code }
        };
        let inner = Place { offset: 0, index: self.plan.inner.flat };
        let mut rows: Vec<First> =
            (0..self.inner).map(|cell| First { index: inner.times(cell).index, code: 0 }).collect();
        for (axis, tile) in self.plan.pooled.iter().zip(outer) {
            let firsts: Vec<First> = tile.outputs.clone().map(|o| first(axis, tile, o)).collect();
            rows = rows.iter().flat_map(|row| firsts.iter().map(move |first| row.with(*first))).collect();
        }
        // In the order of the work buffer: phases, cells, lanes.
        let (axis, range) = (self.last(), &last.outputs);
        let phases = axis.phases;
        let cells = range.len().div_ceil(phases);
        let outputs = (0..phases).flat_map(|phase| (0..cells).map(move |cell| range.start + cell * phases + phase));
        let positions: Vec<First> = outputs.map(|o| first(axis, last, o.min(range.end - 1))).collect();
        let lanes = (0..self.lanes as u64).map(|lane| First { index: lane * self.plan.lanes.flat, code: 0 });
        let positions = positions.iter().flat_map(|first| lanes.clone().map(move |lane| first.with(lane)));
        (rows, positions.collect())
    }

    /// The divisors of rows at the given positions of the outer axes, and of the positions within a row.
    pub fn divisors(
        &self,
        rule: DivisorRule,
        outer: &[Range<isize>],
        row: Range<isize>,
        phases: usize,
    ) -> DivisorTable {
        let include_pad = match rule {
            DivisorRule::None => return DivisorTable::default(),
            DivisorRule::Fixed(divisor) => {
                let rows = self.inner * outer.iter().map(ExactSizeIterator::len).product::<usize>();
                return DivisorTable { rows: vec![divisor; rows], ..DivisorTable::default() };
            }
            DivisorRule::Cells => false,
            DivisorRule::Padded => true,
        };
        let count = |axis: &Pooled, at: isize| {
            let on_axis = at >= 0 && (at as usize) < axis.counts.len_out();
            if on_axis { axis.counts.count(at as usize, include_pad) as f64 } else { 1.0 }
        };
        let last = self.last();
        let uniform = last.counts.uniform_count(include_pad);
        let mut of_outer = vec![if uniform { count(last, 0) } else { 1.0 }];
        for (axis, range) in self.plan.pooled.iter().zip(outer) {
            of_outer = of_outer.iter().flat_map(|c| range.clone().map(move |at| c * count(axis, at))).collect();
        }
        let rows = (0..self.inner).flat_map(|_| of_outer.iter().copied()).collect();
        if uniform {
            return DivisorTable { rows, ..DivisorTable::default() };
        }
        // In the order of the work buffer: phases, cells, lanes.
        let cells = row.len().div_ceil(phases);
        let positions = (0..phases).flat_map(|phase| (0..cells).map(move |cell| cell * phases + phase));
        let counts = positions.map(|position| count(last, row.start + position as isize));
        let positions = counts.flat_map(|count| std::iter::repeat_n(count, self.lanes)).collect();
        DivisorTable { rows, positions }
    }
}
