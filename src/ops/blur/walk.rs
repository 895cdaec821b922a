//! How two arrays are walked through together: planes, in them rows, and parts of rows.

use std::ops::Range;

use super::map::Blurring;
use crate::element::Element;
#[cfg(feature = "python")]
use crate::engine::{Reader, Writer};
use crate::engine::{fastest_last, offset_of};
use crate::error::Result;
use crate::parallel::Parallel;
use crate::strided::{AHEAD, Raw};

/// Cells of a line: 32 KiB, which stay in the nearest cache.
const LINE_CELLS: usize = 4096;
/// Lanes that a line has at most, so that its windows are more than its ends.
const LANES: usize = 128;
/// Cells that a task writes: little enough to share evenly, enough to make the cost of a task vanish.
const TASK_CELLS: usize = 1 << 15;

/// How the two arrays of a call are walked through together: planes, in them rows, and parts of rows. Where another axis is
/// faster than the columns, planes that lie side by side are its lanes.
pub(super) struct Walk {
    /// The other axes: their lengths, and strides of the array that is read and the one that is written.
    free: [Vec<(usize, isize)>; 2],
    /// Stride of a row, a column and a lane of each.
    row: [isize; 2],
    column: [isize; 2],
    lane: [isize; 2],
    lanes: usize,
    /// Lanes of a part; how many parts the lanes and the columns are cut into.
    lanes_each: usize,
    parts: [usize; 2],
    bands: usize,
    rows: usize,
    columns: usize,
}

/// A part of some rows that a task writes.
pub(super) struct Part {
    /// Where its plane and first lane begin in the array that is read and the one that is written.
    pub base: [isize; 2],
    pub lanes: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Walk {
    /// `shape` is that of the array that is written. A part that is written has `step` columns of the line for each column,
    /// and `more` besides.
    pub fn new(call: &Blurring, shape: &[usize], strides: [&[isize]; 2], step: usize, more: usize) -> Self {
        let (rows, columns) = (call.rows.at, call.columns.at);
        // What the array that is read has as its fastest axis.
        let lane = fastest_last(strides[0]).into_iter().rev().find(|&axis| shape[axis] > 1 || axis == columns);
        let lane = lane.filter(|&axis| axis != rows && axis != columns);
        let free = |of: usize| {
            let others = (0..shape.len()).filter(|&axis| axis != rows && axis != columns && Some(axis) != lane);
            others.map(|axis| (shape[axis], strides[of][axis])).collect()
        };
        let lanes = lane.map_or(1, |lane| shape[lane]);
        let lanes_each = lanes.div_ceil(lanes.div_ceil(LANES).max(1));
        let most = (LINE_CELLS / lanes_each.max(1)).saturating_sub(more) / step.min(LINE_CELLS);
        let parts = [lanes.div_ceil(lanes_each.max(1)), shape[columns].div_ceil(most.max(1))];
        let cells = shape[columns].div_ceil(parts[1].max(1)) * lanes_each;
        Self {
            free: [free(0), free(1)],
            row: [0, 1].map(|of| strides[of][rows]),
            column: [0, 1].map(|of| strides[of][columns]),
            lane: [0, 1].map(|of| lane.map_or(0, |lane| strides[of][lane])),
            lanes,
            lanes_each,
            parts,
            bands: shape[rows].div_ceil((TASK_CELLS / cells.max(1)).max(1)),
            rows: shape[rows],
            columns: shape[columns],
        }
    }

    /// The number of parts, and of cells that the largest of them writes.
    fn count(&self) -> (usize, usize) {
        let planes: usize = self.free[0].iter().map(|axis| axis.0).product();
        let cells = self.columns.div_ceil(self.parts[1]) * self.lanes_each * self.rows.div_ceil(self.bands);
        (planes * self.parts[0] * self.bands * self.parts[1], cells)
    }

    fn part(&self, index: usize) -> Part {
        // Even parts: all have the same number of rows or columns, or one more.
        let even = |len: usize, parts: usize, part: usize| {
            let border = |part: usize| part * (len / parts) + part.min(len % parts);
            border(part)..border(part + 1)
        };
        let columns = even(self.columns, self.parts[1], index % self.parts[1]);
        let index = index / self.parts[1];
        let rows = even(self.rows, self.bands, index % self.bands);
        let index = index / self.bands;
        let (plane, lane) = (index / self.parts[0], index % self.parts[0] * self.lanes_each);
        let base = [0, 1].map(|of| offset_of(plane, &self.free[of]) + lane as isize * self.lane[of]);
        Part { base, lanes: self.lanes_each.min(self.lanes - lane), rows, columns }
    }

    /// Some columns of a row of the array that is read (0) or written (1).
    #[inline(always)]
    pub fn patch(&self, of: usize, part: &Part, row: usize, columns: &Range<usize>) -> Patch {
        let offset = part.base[of] + row as isize * self.row[of] + columns.start as isize * self.column[of];
        let (lanes, columns) = (part.lanes, columns.len());
        Patch { offset, columns, column: self.column[of], lanes, lane: self.lane[of] }
    }
}

/// Rows of an array, as kernels read them.
pub(crate) trait Cells: Sync {
    type Cell: Element;

    /// The cells of some columns, of some lanes each: in place if they lie side by side, else copied.
    fn cells<'a>(&'a self, from: &Patch, into: &'a mut [Self::Cell]) -> &'a [Self::Cell];
}

impl<T: Element> Cells for Raw<T> {
    type Cell = T;

    #[inline(always)]
    fn cells<'a>(&'a self, from: &Patch, into: &'a mut [T]) -> &'a [T] {
        match from.run() {
            Some((1, n)) => self.row(from.offset, n),
            Some((step, n)) => {
                self.gather(from.offset, step, &mut into[..n], |cell| cell);
                &into[..n]
            }
            None => {
                for (offset, range) in from.columns() {
                    self.gather(offset, from.lane, &mut into[range], |cell| cell);
                }
                &into[..from.cells()]
            }
        }
    }
}

/// Cells of any type are read as `f64`.
#[cfg(feature = "python")]
impl Cells for &dyn Reader<f64> {
    type Cell = f64;

    fn cells<'a>(&'a self, from: &Patch, into: &'a mut [f64]) -> &'a [f64] {
        match from.run() {
            Some((step, n)) => self.read(from.offset, step, &mut into[..n]),
            None => from.columns().for_each(|(offset, range)| self.read(offset, from.lane, &mut into[range])),
        }
        &into[..from.cells()]
    }
}

/// Where results are written.
pub(crate) trait Place: Sync {
    type Cell: Element;

    /// Writes the cells of some columns, of some lanes each.
    fn write(&self, to: &Patch, from: &[Self::Cell]);
}

impl<T: Element> Place for Raw<T> {
    type Cell = T;

    #[inline(always)]
    fn write(&self, to: &Patch, from: &[T]) {
        to.write(from, |offset, stride, from| {
            self.prefetch::<true>(
                offset + (AHEAD / size_of::<T>().max(1)) as isize,
                if stride == 1 { from.len() } else { 0 },
            );
            self.scatter(offset, stride, from.len(), |at| from[at]);
        });
    }
}

/// Results of any type are written from `f64`.
#[cfg(feature = "python")]
impl Place for &dyn Writer<f64> {
    type Cell = f64;

    fn write(&self, to: &Patch, from: &[f64]) {
        to.write(from, |offset, stride, from| Writer::write(*self, offset, stride, from));
    }
}

/// Where some columns of a row lie, of some lanes each.
pub(crate) struct Patch {
    offset: isize,
    columns: usize,
    column: isize,
    lanes: usize,
    lane: isize,
}

impl Patch {
    fn cells(&self) -> usize {
        self.columns * self.lanes
    }

    /// The distance from each cell to the next, if it is the same for all, and their number.
    fn run(&self) -> Option<(isize, usize)> {
        if self.lanes == 1 {
            return Some((self.column, self.columns));
        }
        (self.columns == 1 || self.column == self.lane * self.lanes as isize).then(|| (self.lane, self.cells()))
    }

    /// Where each column begins, and its place among the cells.
    fn columns(&self) -> impl Iterator<Item = (isize, Range<usize>)> {
        let (offset, step, lanes) = (self.offset, self.column, self.lanes);
        (0..self.columns).map(move |at| (offset + at as isize * step, at * lanes..(at + 1) * lanes))
    }

    #[inline(always)]
    fn write<V>(&self, from: &[V], write: impl Fn(isize, isize, &[V])) {
        match self.run() {
            Some((step, n)) => write(self.offset, step, &from[..n]),
            None => self.columns().for_each(|(offset, range)| write(offset, self.lane, &from[range])),
        }
    }
}

/// Works through all parts in parallel. Each is written by one task, so that nothing depends on the number of threads.
pub(super) fn run<S>(
    walk: &Walk,
    filter: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &Part) -> Result<()> + Sync,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let (count, cells) = walk.count();
    let group = (TASK_CELLS / cells.max(1)).max(1);
    let task = |state: &mut S, index: usize| {
        (index * group..count.min((index + 1) * group)).try_for_each(|part| work(state, &walk.part(part)))
    };
    let traffic = count.saturating_mul(cells).saturating_mul(8 * filter);
    parallel.run(count.div_ceil(group), traffic, state, task, drop)
}
