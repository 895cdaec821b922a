//! A blur of one shape: the map from rows to a row of results, and the transposed one.

use super::MOST;
use super::axis::{Axis, pascal};
use super::walk::{Cells, Part, Place, Walk, run};
use crate::engine::reserve;
use crate::error::Result;
use crate::kernel::blur::{AddScaled, Along, SLACK, Spread, Under};
use crate::kernel::dispatch::Level;
use crate::ops::solved::Solved;
use crate::parallel::Parallel;

/// A blur pooling solved for one shape.
#[derive(Clone, Debug)]
pub(crate) struct Blurring {
    pub solved: Solved,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
}

/// The work buffers of a thread.
struct State<T, R> {
    rows: [Vec<T>; MOST],
    /// For a row of zeros.
    zeros: Vec<T>,
    line: Vec<f64>,
    next_line: Vec<f64>,
    sums: Vec<f64>,
    results: Vec<R>,
    patches: Vec<(usize, Option<usize>)>,
    windows: Vec<(usize, f64)>,
}

impl<T, R> State<T, R> {
    fn new() -> Self {
        Self {
            rows: [const { Vec::new() }; MOST],
            zeros: Vec::new(),
            line: Vec::new(),
            next_line: Vec::new(),
            sums: Vec::new(),
            results: Vec::new(),
            patches: Vec::new(),
            windows: Vec::new(),
        }
    }
}

impl Blurring {
    /// What results are scaled by: the coefficients of each axis have a sum of `2^(filter - 1)`.
    fn scale(&self) -> f64 {
        1.0 / (1u64 << (2 * (self.rows.filter - 1))) as f64
    }

    /// Writes the result.
    pub fn blur<S: Cells, P: Place>(
        &self,
        x: (&S, &[isize]),
        y: (&P, &[isize]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        match self.rows.filter {
            2 => self.blur_by::<S, P, 2>(x, y, parallel),
            3 => self.blur_by::<S, P, 3>(x, y, parallel),
            4 => self.blur_by::<S, P, 4>(x, y, parallel),
            5 => self.blur_by::<S, P, 5>(x, y, parallel),
            6 => self.blur_by::<S, P, 6>(x, y, parallel),
            _ => self.blur_by::<S, P, MOST>(x, y, parallel),
        }
    }

    fn blur_by<S: Cells, P: Place, const F: usize>(
        &self,
        (x, x_strides): (&S, &[isize]),
        (y, y_strides): (&P, &[isize]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let (rows, columns) = (self.rows, self.columns);
        let walk = Walk::new(self, self.solved.output_shape(), [x_strides, y_strides], columns.stride, F);
        let (level, scale) = (Level::current(), self.scale());
        let work = |state: &mut State<S::Cell, P::Cell>, part: &Part| -> Result<()> {
            // The places that the windows cover, and one before them: where the filter is even, a border that is reflected
            // shows it again.
            let start = columns.start(part.columns.start) - 1;
            let places = start..columns.start(part.columns.end - 1) + F as isize;
            let cells = places.start.max(0) as usize..places.end.min(columns.len as isize) as usize;
            let n = cells.len() * part.lanes;
            for row in state.rows.iter_mut().take(F).chain([&mut state.zeros]) {
                reserve(row, n)?;
            }
            for line in [&mut state.line, &mut state.next_line] {
                reserve(line, places.clone().count() * part.lanes + SLACK)?;
            }
            reserve(&mut state.results, part.columns.len() * part.lanes + SLACK)?;
            columns.patches(&places, &mut state.patches);
            // Nothing is known of the place before, unless it is a cell.
            state.patches.retain(|patch| patch.0 > 0);
            let State { rows: buffers, zeros, line, next_line, results, patches, .. } = state;
            let along = |line: &[f64], results: &mut [P::Cell], row: usize| {
                let (stride, lanes, outputs) = (columns.stride, part.lanes, part.columns.len());
                level.run(Along::<_, F> { line, first: 1, stride, lanes, outputs, scale, into: results });
                y.write(&walk.patch(1, part, row, &part.columns), results);
            };
            let fresh = F.saturating_sub(rows.stride);
            let mut summed = None;
            for row in part.rows.clone() {
                let first = rows.start(row);
                let mut buffers = buffers.iter_mut();
                let under = std::array::from_fn::<&[S::Cell], F, _>(|k| {
                    match (rows.border.cell(first + k as isize, rows.len), buffers.next()) {
                        (Some(row), Some(buffer)) => x.cells(&walk.patch(0, part, row, &cells), buffer),
                        _ => &zeros[..n],
                    }
                });
                let at = (cells.start as isize - places.start) as usize;
                level.run(Under { rows: under, fresh, lanes: part.lanes, line: next_line, at, patches });
                // A line is read when the next one has been written: what is written waits a while for its cache.
                if let Some(row) = summed.replace(row) {
                    along(line, results, row);
                }
                std::mem::swap(line, next_line);
            }
            if let Some(row) = summed {
                along(line, results, row);
            }
            Ok(())
        };
        run(&walk, F, State::new, work, parallel)
    }

    /// Writes the cotangent of `x`.
    pub fn transposed<S: Cells, P: Place>(
        &self,
        (dy, dy_strides): (&S, &[isize]),
        (dx, dx_strides): (&P, &[isize]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let (rows, columns, filter) = (self.rows, self.columns, self.rows.filter);
        // A part of several has more columns than the padding, which therefore never shows the cells of another part.
        let walk = Walk::new(self, self.solved.shape(), [dy_strides, dx_strides], 1, 2 * MOST);
        let (level, scale, coefficients) = (Level::current(), self.scale(), pascal(filter));
        let work = |state: &mut State<S::Cell, P::Cell>, part: &Part| -> Result<()> {
            let (first, end) = (part.columns.start as isize, part.columns.end as isize);
            let start = if first == 0 { -columns.before() } else { first };
            let places = start..if part.columns.end == columns.len { end + columns.behind() } else { end };
            let windows = columns.touching(&places);
            let n = windows.len() * part.lanes;
            let all = places.clone().count() + filter - 1;
            reserve(&mut state.rows[0], n)?;
            reserve(&mut state.sums, n)?;
            reserve(&mut state.line, all * part.lanes + SLACK)?;
            reserve(&mut state.results, part.columns.len() * part.lanes)?;
            columns.patches(&places, &mut state.patches);
            let first_window = columns.start(windows.start) - places.start + filter as isize - 1;
            let State { rows: [buffer, ..], line, sums, results, patches, windows: over, .. } = state;
            let (sums, results) = (&mut sums[..n], &mut results[..part.columns.len() * part.lanes]);
            for row in part.rows.clone() {
                rows.windows_of(row, &coefficients, over);
                sums.fill(0.0);
                for &(o, factor) in over.iter() {
                    let row = dy.cells(&walk.patch(0, part, o, &windows), buffer);
                    level.run(AddScaled { row, factor, into: sums });
                }
                level.run(Spread {
                    from: sums,
                    line,
                    first: if windows.is_empty() { 0 } else { first_window as usize },
                    stride: columns.stride,
                    lanes: part.lanes,
                    filter,
                    columns: places.clone().count(),
                    patches,
                    scale,
                    at: (first - places.start) as usize,
                    into: results,
                });
                dx.write(&walk.patch(1, part, row, &part.columns), results);
            }
            Ok(())
        };
        run(&walk, filter, State::new, work, parallel)
    }
}
