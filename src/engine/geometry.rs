//! Where a tile's cells lie, counted from a base: tiles that lie alike, most of them, share it.

use std::ops::Range;

use super::axes::{Free, Pass, Pooled, pattern_reach};
use super::cut::Cut;
use super::intake::Intake;
use super::plan::Plan;
use crate::kernel::finish::Divisors;
use crate::kernel::route::First;
use crate::kernel::source::Place;
use crate::kernel::windows::{Clipping, Segment};
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
    pub len: usize,
    /// The position that offsets are counted from.
    pub origin: usize,
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

#[derive(Default)]
pub(super) struct DivisorTable {
    pub rows: Vec<f64>,
    pub positions: Vec<f64>,
}

impl DivisorTable {
    pub fn divisors(&self) -> Divisors<'_> {
        Divisors { rows: &self.rows, positions: &self.positions }
    }
}
