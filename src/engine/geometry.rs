//! Where a tile's cells lie, counted from a base: tiles that lie alike, most of them, share it.

use std::ops::Range;

use super::axes::{Codes, Free, Pass, Pooled, pattern_reach};
use super::plan::{Intake, Plan};
use super::{DivisorRule, cross};
use crate::kernel::finish::Divisors;
use crate::kernel::route::First;
use crate::kernel::windows::{Clipping, Place, Segment};
use crate::spans::Span;

/// Which tile: what it takes of each axis.
#[derive(Default)]
pub(super) struct At {
    /// The cell of the outer batch axes, and the cells of the inner one.
    pub batch: usize,
    pub inner: Range<usize>,
    /// The chunk of each pooled axis.
    pub chunks: Vec<usize>,
    pub lanes: Range<usize>,
}

impl At {
    /// Sets this to the tile of the given number.
    pub fn locate(&mut self, plan: &Plan, mut index: usize) {
        let mut take = |chunks: usize| {
            let at = index % chunks;
            index /= chunks;
            at
        };
        let range = |at: usize, chunk: usize, len: usize| at * chunk..((at + 1) * chunk).min(len);
        self.lanes = range(take(plan.lanes.len.div_ceil(plan.lanes_chunk)), plan.lanes_chunk, plan.lanes.len);
        self.chunks.clear();
        self.chunks.extend(plan.pooled.iter().rev().map(|axis| take(axis.chunks())));
        self.chunks.reverse();
        self.inner = range(take(plan.inner.len.div_ceil(plan.inner_chunk)), plan.inner_chunk, plan.inner.len);
        self.batch = index;
    }

    /// Sets `key` to what tells tiles apart that do not lie alike.
    fn key(&self, plan: &Plan, key: &mut Vec<usize>) {
        key.clear();
        key.extend([self.inner.len(), self.lanes.len()]);
        key.extend(
            plan.pooled.iter().zip(&self.chunks).map(
                |(axis, &chunk)| {
                    if axis.origin(chunk).is_some() { usize::MAX } else { chunk }
                },
            ),
        );
    }

    /// Where the tile's geometry is counted from.
    pub fn base(&self, plan: &Plan) -> Base {
        let mut base = Base::default();
        let mut cell = self.batch;
        for axis in plan.batch.iter().rev() {
            base.walk(axis, cell % axis.len);
            cell /= axis.len;
        }
        base.walk(&plan.inner, self.inner.start);
        base.walk(&plan.lanes, self.lanes.start);
        for (axis, &chunk) in plan.pooled.iter().zip(&self.chunks) {
            base.input = axis.place(axis.origin(chunk).unwrap_or(0)).after(base.input);
            for (output, stride) in base.outputs.iter_mut().zip(axis.strides_out) {
                *output += (chunk * axis.chunk) as isize * stride;
            }
        }
        if plan.intake == Intake::Windows && plan.codes.is_some() {
            base.input.index = 0;
        }
        base
    }
}

/// Geometries that a worker has met.
#[derive(Default)]
pub(super) struct Known {
    key: Vec<usize>,
    geometries: Vec<(Vec<usize>, Geometry)>,
}

impl Known {
    /// The geometry of a tile. `tagged` results need flat indices.
    pub fn get(&mut self, plan: &Plan, at: &At, tagged: bool) -> &Geometry {
        /// The corners, edges and insides of two axes, and some.
        const MANY: usize = 16;
        at.key(plan, &mut self.key);
        let place = self.geometries.iter().position(|(key, _)| *key == self.key).unwrap_or_else(|| {
            if self.geometries.len() == MANY {
                self.geometries.clear();
            }
            self.geometries.push((self.key.clone(), Geometry::new(plan, at, tagged)));
            self.geometries.len() - 1
        });
        &self.geometries[place].1
    }

    /// Forgets all geometries.
    pub fn forget(&mut self) {
        self.geometries.clear();
    }

    /// The memory that they take, roughly.
    pub fn bytes(&self) -> usize {
        let entries = |(_, g): &(_, Geometry)| {
            let tables = [g.rows.len(), g.indices.len(), g.outputs[0].len(), g.outputs[1].len()];
            let tags = [2 * g.firsts.len(), 2 * g.position_firsts.len()];
            let straight = g.straight.iter().map(|s| 2 * s.rows.len() + s.ends.len() + 10 * s.segments.len());
            tables.into_iter().chain(tags).chain(straight).sum::<usize>()
        };
        self.geometries.iter().map(entries).sum::<usize>() * size_of::<usize>()
    }
}

/// What the offsets of a geometry are counted from.
#[derive(Clone, Copy, Default)]
pub(super) struct Base {
    pub input: Place,
    pub outputs: [isize; 2],
}

impl Base {
    fn walk(&mut self, axis: &Free, steps: usize) {
        let step = Place { offset: axis.stride_in, index: axis.flat };
        self.input = step.times(steps).after(self.input);
        for (output, stride) in self.outputs.iter_mut().zip(axis.strides_out) {
            *output += steps as isize * stride;
        }
    }
}

/// The tables of a tile.
pub(super) struct Geometry {
    pub axes: Vec<TileAxis>,
    /// Rows to stage, and the flat index of their position 0.
    pub rows: Vec<isize>,
    pub indices: Vec<u64>,
    /// What is reduced straight from the array.
    pub straight: Option<Straight>,
    /// Rows of the two results.
    pub outputs: [Vec<isize>; 2],
    /// Each window's first cell: the part that a row shares, and the rest.
    pub firsts: Vec<First>,
    pub position_firsts: Vec<First>,
    /// Divisors of staged cells, and of results.
    pub divisors: [DivisorTable; 2],
}

/// Rows of the array that are reduced straight to rows of results.
pub(super) struct Straight {
    /// The rows that each row of results is made of, one list after the other, and where each list ends.
    pub rows: Vec<Place>,
    pub ends: Vec<usize>,
    pub segments: Vec<Segment>,
    pub clipping: Option<Clipping>,
    /// Results of a list.
    pub row: usize,
    /// Results of a row of the tile: a list may be that of several.
    pub width: usize,
}

/// The part of a pooled axis that a tile covers.
pub(super) struct TileAxis {
    pub outputs: Range<usize>,
    /// Staged cells for each output, counted from `first`.
    pub spans: Vec<Span>,
    /// The first staged position (negative in padding that is staged) and how many are.
    pub first: isize,
    pub cells: usize,
    /// Cells of the whole axis.
    len: usize,
    /// The position that offsets are counted from.
    origin: usize,
}

impl TileAxis {
    fn new(axis: &Pooled, chunk: usize, staged: bool) -> Self {
        let start = chunk * axis.chunk;
        let outputs = start..(start + axis.chunk).min(axis.spans.len_out());
        let origin = axis.origin(chunk).unwrap_or(0);
        let tile = Self { outputs, spans: Vec::new(), first: 0, cells: 0, len: axis.spans.len_in(), origin };
        if !staged {
            return tile;
        }
        if let Pass::Slide(pattern) | Pass::Alternate(pattern) | Pass::Sift(pattern) = &axis.pass {
            let (first, cells) = pattern_reach(pattern, tile.outputs.len());
            let first = first + (start / pattern.outputs * pattern.inputs) as isize;
            return Self { first, cells, ..tile };
        }
        let mut spans: Vec<Span> = tile.outputs.clone().map(|o| axis.spans.at(o)).collect();
        let held = || spans.iter().filter(|span| span.len > 0);
        let first = held().map(|span| span.start).min().unwrap_or(0);
        let end = held().map(Span::end).max().unwrap_or(first);
        for span in &mut spans {
            span.start = span.start.saturating_sub(first);
        }
        Self { spans, first: first as isize, cells: end - first, ..tile }
    }

    /// The staged cells that are no padding.
    pub fn on_axis(&self) -> Range<usize> {
        let begin = (-self.first).clamp(0, self.cells as isize);
        let end = (self.len as isize - self.first).clamp(begin, self.cells as isize);
        begin as usize..end as usize
    }

    fn positions(&self) -> Range<isize> {
        self.first..self.first + self.cells as isize
    }

    fn output_positions(&self) -> Range<isize> {
        self.outputs.start as isize..self.outputs.end as isize
    }
}

impl Geometry {
    fn new(plan: &Plan, at: &At, tagged: bool) -> Self {
        let last = plan.pooled.len() - 1;
        let axis = |(j, (axis, &chunk)): (usize, (&Pooled, &usize))| {
            let staged = match plan.intake {
                Intake::Staged => true,
                Intake::Slid => j < last,
                Intake::Rows => j == last,
                Intake::Windows => false,
            };
            TileAxis::new(axis, chunk, staged)
        };
        let axes: Vec<_> = plan.pooled.iter().zip(&at.chunks).enumerate().map(axis).collect();
        let mut geometry = Self {
            axes,
            rows: Vec::new(),
            indices: Vec::new(),
            straight: None,
            outputs: [Vec::new(), Vec::new()],
            firsts: Vec::new(),
            position_firsts: Vec::new(),
            divisors: [DivisorTable::default(), DivisorTable::default()],
        };
        let cut = Cut { plan, inner: at.inner.len(), lanes: at.lanes.len() };
        let axes = &geometry.axes;
        let (outer, last) = (&axes[..axes.len() - 1], &axes[axes.len() - 1]);
        if matches!(plan.intake, Intake::Staged | Intake::Slid) {
            let from_origin = |axis: &TileAxis| {
                let Range { start, end } = axis.positions();
                start - axis.origin as isize..end - axis.origin as isize
            };
            let places: Vec<_> = outer.iter().map(from_origin).collect();
            geometry.rows = cut.rows(&places, |axis| axis.stride_in, |axis| axis.stride_in);
            if tagged {
                let indices = cut.rows(&places, |axis| axis.flat as isize, |axis| axis.flat as isize);
                geometry.indices = indices.into_iter().map(|index| index as u64).collect();
            }
        }
        match plan.intake {
            Intake::Staged => {
                let positions: Vec<_> = outer.iter().map(TileAxis::positions).collect();
                let phases = if let Pass::Slide(pattern) = &cut.last().pass { pattern.inputs } else { 1 };
                geometry.divisors[0] = cut.divisors(plan.divisors[0], &positions, last.positions(), phases);
            }
            Intake::Slid => geometry.straight = Some(cut.slid(&geometry.rows, last)),
            Intake::Rows => {
                let (rows, ends) = cut.window_rows(outer);
                let (segments, row) = (cut.row(last), last.cells * cut.lanes);
                geometry.straight = Some(Straight { rows, ends, segments, clipping: None, row, width: row });
            }
            Intake::Windows => {
                let (mut rows, mut ends) = cut.window_rows(outer);
                let mut segments = cut.segments(last);
                if let [only] = &mut segments[..]
                    && (only.len, cut.last().phases) == (1, 1)
                    && ends.len() == cut.inner
                {
                    // Rows of a single result, of one window each, are one row.
                    (only.len, only.step) = (cut.inner, cut.inner_step());
                    ends.truncate(1);
                    rows.truncate(ends[0]);
                }
                let row = last.outputs.len().next_multiple_of(cut.last().phases) * cut.lanes;
                geometry.straight = Some(Straight { rows, ends, segments, clipping: None, row, width: row });
            }
        }
        let outputs: Vec<_> = outer.iter().map(|axis| 0..axis.outputs.len() as isize).collect();
        geometry.outputs = [0, 1].map(|r| cut.rows(&outputs, |axis| axis.strides_out[r], |axis| axis.strides_out[r]));
        let positions: Vec<_> = outer.iter().map(TileAxis::output_positions).collect();
        geometry.divisors[1] = cut.divisors(plan.divisors[1], &positions, last.output_positions(), 1);
        if tagged {
            (geometry.firsts, geometry.position_firsts) = cut.window_firsts(outer, last);
        }
        geometry
    }
}

/// What a tile takes of the axes that are passed through.
struct Cut<'p> {
    plan: &'p Plan,
    inner: usize,
    lanes: usize,
}

impl Cut<'_> {
    /// The pooled axis that rows run along.
    fn last(&self) -> &Pooled {
        &self.plan.pooled[self.plan.pooled.len() - 1]
    }

    /// For each row of the tile (batch cell, then outer positions in order), positions times strides.
    fn rows(
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
    fn window_rows(&self, outer: &[TileAxis]) -> (Vec<Place>, Vec<usize>) {
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
    fn inner_step(&self) -> Place {
        self.tagged(Place { offset: self.plan.inner.stride_in, index: self.plan.inner.flat })
    }

    /// A step along an axis that is passed through: it does not change codes.
    fn tagged(&self, step: Place) -> Place {
        if self.plan.codes.is_some() { Place { index: 0, ..step } } else { step }
    }

    /// The results of a row, neighbours whose cells lie at equal distances (and seek the same codes) taken together, phase by
    /// phase.
    fn segments(&self, tile: &TileAxis) -> Vec<Segment> {
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
    fn slid(&self, offsets: &[isize], tile: &TileAxis) -> Straight {
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
    fn row(&self, tile: &TileAxis) -> Vec<Segment> {
        let (axis, on_axis) = (self.last(), tile.on_axis());
        let first = axis.place((tile.first + on_axis.start as isize) as usize);
        let step = Place { offset: 1, ..Place::default() };
        let (to, len) = (on_axis.start * self.lanes, on_axis.len() * self.lanes);
        vec![Segment { to, len, first, step, taps: 1, tap_step: Place::default() }]
    }

    /// Each window's first cell: the part that a row shares, and the rest.
    fn window_firsts(&self, outer: &[TileAxis], last: &TileAxis) -> (Vec<First>, Vec<First>) {
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
    fn divisors(&self, rule: DivisorRule, outer: &[Range<isize>], row: Range<isize>, phases: usize) -> DivisorTable {
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

#[derive(Default)]
pub(super) struct DivisorTable {
    rows: Vec<f64>,
    positions: Vec<f64>,
}

impl DivisorTable {
    pub fn divisors(&self) -> Divisors<'_> {
        Divisors { rows: &self.rows, positions: &self.positions }
    }
}
