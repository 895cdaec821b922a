//! The derivative of a statistic: from copies of what it was computed from, window by window.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::solved::Solved;
use super::statistic::Rules;
use crate::element::{Element, Real};
use crate::engine::{Field, Gathered, Owned, Reader, Visit, Writer, fastest_last};
use crate::error::{Result, try_vec};
use crate::modes::{Slopes, Statistic};
use crate::parallel::Parallel;
use crate::spans::Spans;
use crate::strided::{Raw, View};

/// A copy of an array of the caller's, who may write to it after the call.
#[derive(Clone)]
pub(crate) struct Kept<A = f64> {
    reader: Arc<dyn Reader<A>>,
    strides: Vec<isize>,
}

impl<A> fmt::Debug for Kept<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("strides", &self.strides).finish_non_exhaustive()
    }
}

impl<A: Real> Kept<A> {
    /// Copies an array, in the order of its memory; broadcast axes stay so.
    pub fn copy<T: Element>(array: &View<'_, T>) -> Result<Self> {
        let order = fastest_last(array.strides());
        let mut strides = vec![0; order.len()];
        let mut step = 1;
        for &axis in order.iter().rev() {
            if array.strides()[axis] != 0 {
                strides[axis] = step;
                step *= array.shape()[axis] as isize;
            }
        }
        Ok(Self { reader: Arc::new(Owned(array.without_repeats(&order)?)), strides })
    }

    pub fn field(&self) -> Field<'_, A> {
        Field { reader: &*self.reader, strides: &self.strides }
    }
}

/// The derivative of a statistic: what it was computed from.
#[derive(Clone, Debug)]
pub struct StatisticMap {
    pub(super) solved: Solved,
    statistic: Statistic,
    x: Kept,
    valid: Option<Kept>,
    beside: Option<Kept>,
    omit: bool,
    overlap: bool,
    least: usize,
}

/// Cells of a band of sums: 512 KiB of `f64`.
const BAND: usize = 1 << 16;

/// An array to write to, and its strides.
pub(crate) type Outlet<'a> = (&'a dyn Writer<f64>, &'a [isize]);

impl StatisticMap {
    pub(crate) fn new(
        solved: &Solved,
        statistic: Statistic,
        x: Kept,
        [valid, beside]: [Option<Kept>; 2],
        rules: &Rules<'_>,
    ) -> Self {
        let &Rules { omit, overlap, least, .. } = rules;
        Self { solved: solved.clone(), statistic, x, valid, beside, omit, overlap, least: least.max(1) }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            valid: self.valid.as_ref().map(Kept::field),
            beside: self.beside.as_ref().map(Kept::field),
            omit: self.omit,
            overlap: self.overlap,
            least: self.least,
        }
    }

    /// Writes the cotangents of `x` and of what is beside it (of the shape of `x`), and returns that of the parameter.
    pub(crate) fn pull(
        &self,
        dy: Field<'_, f64>,
        dx: Outlet<'_>,
        d_beside: Option<Outlet<'_>>,
        parallel: &Parallel<'_>,
    ) -> Result<f64> {
        let visit = self.solved.visit(self.x.field(), &self.rules());
        let bands = Bands::new(&visit);
        let mut parameters = try_vec(bands.tasks())?;
        parameters.resize(bands.tasks(), 0.0);
        let parts = Raw::of(&mut parameters);
        let flats = visit.flats();
        let scratch = || (Gathered::default(), Slopes::default(), [Vec::new(), Vec::new()]);
        let task = |(gathered, slopes, [by_x, by_beside]): &mut (Gathered<f64>, Slopes, [Vec<f64>; 2]),
                    index: usize| {
            let band = bands.at(&visit, index);
            let (begin, len) = (band.cells.start as u64 * bands.flat, band.cells.len() * bands.flat as usize);
            for sums in [&mut *by_x, &mut *by_beside] {
                sums.clear();
                sums.try_reserve(len).map_err(|_| crate::PoolError::Memory { bytes: len * 8 })?;
            }
            by_x.resize(len, 0.0);
            by_beside.resize(if d_beside.is_some() { len } else { 0 }, 0.0);
            let mut parameter = 0.0;
            visit.windows(&band.windows, &bands.order, |at| {
                visit.gather(at, &flats, gathered)?;
                if gathered.len() < self.least {
                    return Ok(());
                }
                let mut cotangent = [0.0];
                dy.reader.read(at.offset(dy.strides), 1, &mut cotangent);
                let [cotangent] = cotangent;
                self.statistic.slopes(&gathered.cells(visit.weighted, 0), slopes);
                for (&position, slope) in gathered.positions.iter().zip(&slopes.x) {
                    if let Some(sum) = by_x.get_mut(position.wrapping_sub(begin) as usize) {
                        *sum += cotangent * slope;
                    }
                }
                if d_beside.is_some() {
                    for (i, &position) in gathered.positions.iter().enumerate() {
                        if let Some(sum) = by_beside.get_mut(position.wrapping_sub(begin) as usize) {
                            *sum += cotangent * slopes.beside[i] * gathered.parts.get(i).copied().unwrap_or(1.0);
                        }
                    }
                }
                // A window that reaches into several bands belongs to the one that its first cell is in.
                if at.spans.get(bands.axis).is_none_or(|span| band.cells.contains(&span.start)) {
                    parameter += cotangent * slopes.parameter;
                }
                Ok(())
            })?;
            parts.scatter(index as isize, 1, 1, |_| parameter);
            bands.write(&visit, &band, by_x, dx);
            if let Some(outlet) = d_beside {
                bands.write(&visit, &band, by_beside, outlet);
            }
            Ok(())
        };
        let traffic = self.solved.shape().iter().product::<usize>().saturating_mul(64);
        parallel.run(bands.tasks(), traffic, scratch, task, drop)?;
        Ok(parameters.iter().sum())
    }

    /// Writes the tangent of the result from those of `x`, of what is beside it and of the parameter.
    pub(crate) fn push(
        &self,
        dx: Field<'_, f64>,
        d_beside: Option<Field<'_, f64>>,
        d_parameter: f64,
        dy: Outlet<'_>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let mut visit = self.solved.visit(self.x.field(), &self.rules());
        let given = visit.beside.len();
        visit.beside.push(dx);
        visit.beside.extend(d_beside);
        let flats = visit.flats();
        let scratch = || (Gathered::default(), Slopes::default());
        visit.all_windows(parallel, scratch, |(gathered, slopes): &mut (Gathered<f64>, Slopes), at| {
            visit.gather(at, &flats, gathered)?;
            let mut tangent = 0.0;
            if gathered.len() >= self.least {
                self.statistic.slopes(&gathered.cells(visit.weighted, 0), slopes);
                for (slope, dx) in slopes.x.iter().zip(&gathered.beside[given]) {
                    tangent += slope * dx;
                }
                if let Some(d_beside) = gathered.beside.get(given + 1) {
                    for (i, d) in d_beside.iter().enumerate() {
                        tangent += slopes.beside[i] * gathered.parts.get(i).copied().unwrap_or(1.0) * d;
                    }
                }
                if d_parameter != 0.0 {
                    tangent += slopes.parameter * d_parameter;
                }
            }
            dy.0.write(at.offset(dy.1), 1, &[tangent]);
            Ok(())
        })
    }
}

/// Planes of the input cut into bands along their first axis, each with the windows that touch it: every input is written
/// once, by one task, and adds up its windows in their order.
struct Bands {
    /// Axes that are passed through, and their number of cells.
    free: Vec<usize>,
    pooled: Vec<usize>,
    planes: usize,
    /// The first pooled axis, its length, its step in the flat index, and cells of it in a band.
    axis: usize,
    len: usize,
    flat: u64,
    band: usize,
    transposed: Spans,
    order: Vec<usize>,
}

/// A band: its cells along the first pooled axis, the plane it is in, and its windows.
struct Band {
    cells: Range<usize>,
    windows: Vec<Range<usize>>,
}

impl Bands {
    fn new(visit: &Visit<'_, f64>) -> Self {
        let rank = visit.shape.len();
        let (pooled, free): (Vec<usize>, Vec<usize>) = (0..rank).partition(|&axis| visit.spans[axis].is_some());
        let planes = free.iter().map(|&axis| visit.shape[axis]).product();
        let axis = pooled.first().copied().unwrap_or(rank);
        let (len, flat) = visit.shape.get(axis).map_or((1, 1), |&len| (len, visit.flats()[axis]));
        let spans = visit.spans.get(axis).cloned().flatten().unwrap_or(Spans::identity(1));
        // Windows that reach into two bands are computed for both: most should not.
        let reach = spans.max_len().saturating_mul(spans.step()).saturating_mul(4);
        let band = (BAND / (flat as usize).max(1)).max(reach).clamp(1, len.max(1));
        let transposed = spans.transposed();
        Self { free, pooled, planes, axis, len, flat, band, transposed, order: (0..rank).collect() }
    }

    fn tasks(&self) -> usize {
        self.planes * self.len.div_ceil(self.band)
    }

    fn at(&self, visit: &Visit<'_, f64>, index: usize) -> Band {
        let bands = self.len.div_ceil(self.band);
        let cells = index % bands * self.band..((index % bands + 1) * self.band).min(self.len);
        let covering = || cells.clone().map(|cell| self.transposed.at(cell)).filter(|span| span.len > 0);
        let first = covering().map(|span| span.start).min().unwrap_or(0);
        let end = covering().map(|span| span.end()).max().unwrap_or(first);
        let mut windows: Vec<Range<usize>> = visit.lens_out().into_iter().map(|len| 0..len).collect();
        if let Some(range) = windows.get_mut(self.axis) {
            *range = first..end;
        }
        let mut plane = index / bands;
        for &axis in self.free.iter().rev() {
            windows[axis] = plane % visit.shape[axis]..plane % visit.shape[axis] + 1;
            plane /= visit.shape[axis];
        }
        Band { cells, windows }
    }

    /// Writes the sums of a band.
    fn write(&self, visit: &Visit<'_, f64>, band: &Band, sums: &[f64], (into, strides): Outlet<'_>) {
        let plane: isize = self.free.iter().map(|&axis| band.windows[axis].start as isize * strides[axis]).sum();
        let Some((&last, outer)) = self.pooled.split_last() else { return into.write(plane, 1, sums) };
        let row = if outer.is_empty() { band.cells.len() } else { visit.shape[last] };
        for (mut index, sums) in sums.chunks_exact(row.max(1)).enumerate() {
            let mut offset = plane;
            for &axis in outer.iter().rev() {
                let len = if axis == self.axis { band.cells.len() } else { visit.shape[axis] };
                let start = if axis == self.axis { band.cells.start } else { 0 };
                offset += (start + index % len) as isize * strides[axis];
                index /= len;
            }
            if outer.is_empty() {
                offset += band.cells.start as isize * strides[last];
            }
            into.write(offset, strides[last], sums);
        }
    }
}
