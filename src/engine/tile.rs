//! One tile: a box of the result, and all that is read for it.

use std::any::Any;
use std::cell::RefCell;

use super::axes::{Pass, pattern_reach};
use super::geometry::{At, Base, Geometry, Known};
use super::plan::{Intake, Plan};
use super::{Finishing, Job, Monoids, Reading, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::combine::{Combine, From, Into};
use crate::kernel::dispatch::Level;
use crate::kernel::finish::OutRows;
use crate::kernel::runs::Runs;
use crate::kernel::sift::Sift;
use crate::kernel::stage::Rows;
use crate::parallel::Parallel;
use crate::reduce::Monoid;
use crate::spans::Spans;

/// Runs a job over all tiles of a plan.
pub(super) fn run<J: Job + ?Sized>(job: &J, plan: &Plan, parallel: &Parallel<'_>) -> Result<()> {
    let level = Level::current();
    parallel.run(
        plan.tiles(),
        plan.traffic(),
        || Worker::<J::Plain>::take(plan),
        |worker, index| {
            let Worker { at, known, scratch, .. } = worker.as_mut();
            at.locate(plan, index);
            let geometry = known.get(plan, at, size_of::<<J::Plain as Monoid>::Tag>() > 0);
            let tile = Tile { plan, geometry, base: at.base(plan), batch: at.inner.len(), lanes: at.lanes.len() };
            tile.run(job, level, scratch)
        },
        Worker::keep,
    )
}

/// What a worker keeps from tile to tile, and its thread from call to call.
struct Worker<M: Monoid> {
    /// The plan that the geometries are of.
    plan: Option<Plan>,
    known: Known,
    at: At,
    scratch: Scratch<M>,
}

thread_local! {
    /// The worker of this thread's last call: making a new one costs more than a small call.
    static KEPT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

impl<M: Monoid> Worker<M> {
    /// This thread's worker, for a plan.
    fn take(plan: &Plan) -> Box<Self> {
        let kept = KEPT.try_with(|kept| kept.try_borrow_mut().ok().and_then(|mut kept| kept.take())).ok().flatten();
        let mut worker = kept.and_then(|kept| kept.downcast::<Self>().ok()).unwrap_or_default();
        if worker.plan.as_ref() != Some(plan) {
            worker.known.forget();
            worker.plan = Some(plan.clone());
        }
        worker
    }

    /// Leaves the worker to this thread, if it is small.
    fn keep(self: Box<Self>) {
        const BYTES: usize = 4 << 20;
        if self.scratch.bytes() + self.known.bytes() <= BYTES {
            // At the end of a thread there is nowhere to keep it.
            let _ = KEPT.try_with(|kept| kept.try_borrow_mut().map(|mut kept| *kept = Some(self)));
        }
    }
}

impl<M: Monoid> Default for Worker<M> {
    fn default() -> Self {
        Self { plan: None, known: Known::default(), at: At::default(), scratch: Scratch::new() }
    }
}

/// The buffers of a worker.
struct Scratch<M: Monoid> {
    now: Cells<M>,
    next: Cells<M>,
}

impl<M: Monoid> Scratch<M> {
    fn new() -> Self {
        Self { now: Cells::new(), next: Cells::new() }
    }

    fn bytes(&self) -> usize {
        (self.now.values.len() + self.next.values.len()) * size_of::<(M::Value, M::Tag)>()
    }
}

struct Tile<'a> {
    plan: &'a Plan,
    geometry: &'a Geometry,
    base: Base,
    /// Cells of the axes that are passed through.
    batch: usize,
    lanes: usize,
}

impl Tile<'_> {
    fn run<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<()> {
        let last = self.geometry.axes.len() - 1;
        let row = if self.plan.intake == Intake::Windows {
            self.windows(job, level, scratch)?
        } else {
            let mut cells: Vec<usize> = self.geometry.axes.iter().map(|axis| axis.cells).collect();
            if let Pass::Slide(pattern) = &self.plan.pooled[last].pass {
                cells[last] = cells[last].next_multiple_of(pattern.inputs);
            }
            let (special, passes) = if self.plan.intake == Intake::Rows {
                (self.rows(job, level, &mut cells, scratch)?, last..last + 1)
            } else {
                (self.stage(job, level, scratch)?, 0..last + 1)
            };
            for j in passes.rev() {
                if special {
                    self.pass::<J::Plain, J::Exact>(j, &mut cells, level, scratch)?;
                } else {
                    self.pass::<J::Plain, J::Plain>(j, &mut cells, level, scratch)?;
                }
            }
            cells[last] * self.lanes
        };
        self.finish(job, level, row, scratch);
        Ok(())
    }

    /// Reduces small windows straight from the array. Returns the values of a row of results.
    fn windows<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<usize> {
        let Geometry { window_rows, ends, segments, axes, outputs, .. } = self.geometry;
        let last = axes.len() - 1;
        let row = axes[last].outputs.len().next_multiple_of(self.plan.pooled[last].phases) * self.lanes;
        scratch.now.resize(outputs[0].len() * row)?;
        let reading = Reading { base: self.base.input, rows: window_rows, ends, segments, row };
        if job.windows(level, &reading, Monoids::Plain, &mut scratch.now) {
            job.windows(level, &reading, Monoids::Exact, &mut scratch.now);
        }
        Ok(row)
    }

    /// Folds rows straight from the array, across the outer axes; returns whether the rest needs the exact monoid.
    fn rows<J: Job + ?Sized>(
        &self,
        job: &J,
        level: Level,
        cells: &mut [usize],
        scratch: &mut Scratch<J::Plain>,
    ) -> Result<bool> {
        let Geometry { window_rows, ends, segments, axes, .. } = self.geometry;
        let last = axes.len() - 1;
        for (cells, axis) in cells.iter_mut().zip(&axes[..last]) {
            *cells = axis.outputs.len();
        }
        let row = cells[last] * self.lanes;
        scratch.now.resize(ends.len() * row)?;
        let on_axis = axes[last].on_axis();
        for row in scratch.now.values[..ends.len() * row].chunks_exact_mut(row.max(1)) {
            row[..on_axis.start * self.lanes].fill(J::Plain::identity().0);
            row[on_axis.end * self.lanes..].fill(J::Plain::identity().0);
        }
        let reading = Reading { base: self.base.input, rows: window_rows, ends, segments, row };
        let special = job.windows(level, &reading, Monoids::Plain, &mut scratch.now);
        if special {
            job.windows(level, &reading, Monoids::Exact, &mut scratch.now);
        }
        Ok(special)
    }

    /// Brings the tile's cells into the work buffer.
    fn stage<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<bool> {
        let Geometry { axes, rows, indices, divisors, .. } = self.geometry;
        let (row_axis, pooled) = (&axes[axes.len() - 1], &self.plan.pooled[axes.len() - 1]);
        let (phases, dilation) = match (&pooled.pass, &pooled.spans) {
            (Pass::Slide(pattern), Spans::Regular(regular)) => (pattern.inputs, regular.dilation),
            (Pass::Slide(pattern), _) => (pattern.inputs, 1),
            (_, Spans::Regular(regular)) => (1, regular.dilation),
            _ => (1, 1),
        };
        let rows = Rows {
            base: self.base.input.offset,
            offsets: rows,
            first: row_axis.first,
            positions: row_axis.cells,
            len: pooled.spans.len_in(),
            position_stride: pooled.stride_in,
            lanes: self.lanes,
            lane_stride: self.plan.lanes.stride_in,
            phases,
        };
        scratch.now.resize(rows.offsets.len() * rows.row())?;
        let staging = Staging {
            rows,
            base: self.base.input.index,
            indices,
            position_step: pooled.flat,
            lane_step: self.plan.lanes.flat,
            dilation,
            divisors: divisors[0].divisors(),
        };
        Ok(job.stage(level, &staging, &mut scratch.now))
    }

    /// Reduces along one axis, and puts the result where the input was. `cells` are those of each axis, before and after.
    fn pass<P: Monoid, M: Monoid<Value = P::Value, Tag = P::Tag>>(
        &self,
        j: usize,
        cells: &mut [usize],
        level: Level,
        scratch: &mut Scratch<P>,
    ) -> Result<()> {
        let (pooled, axis, lanes) = (&self.plan.pooled[j], &self.geometry.axes[j], self.lanes);
        let outer = self.batch * cells[..j].iter().product::<usize>();
        let inner = cells[j + 1..].iter().product::<usize>() * lanes;
        let outputs = match &pooled.pass {
            // Without phases, all rows are one: results of windows that reach into the next row stand at the ends of rows.
            Pass::Sift(_) => cells[j],
            Pass::Slide(pattern) if pattern.is_single() => cells[j],
            _ => axis.outputs.len().next_multiple_of(pooled.phases),
        };
        scratch.now.resize((outer * cells[j] * inner).saturating_mul(pooled.ladder.height()))?;
        scratch.next.resize(outer * outputs * inner)?;
        let Scratch { now, next } = scratch;
        let total = outer * cells[j] * inner;
        let step = pooled.spans.step() * inner;
        pooled.ladder.climb(level, &mut Into::<M> { values: &mut now.values, tags: &mut now.tags }, total, step);
        let from = From::<M> { values: &now.values, tags: &now.tags };
        let mut combine = |taps: &[usize], to, n, to_step| {
            let into = Into { values: &mut next.values, tags: &mut next.tags };
            let from_step = cells[j] * inner;
            level.run(Combine { from, taps, into, to, n, width: inner, runs: outer, from_step, to_step });
        };
        match &pooled.pass {
            Pass::Slide(pattern) if !pattern.is_single() => {
                // The cells of one tap are contiguous, phase by phase, and so are outputs.
                let cell_count = cells[j] / pattern.inputs;
                let first = pattern_reach(pattern, 1).0;
                let place = |&tap: &isize| {
                    let position = (tap - first) as usize;
                    (position % pattern.inputs * cell_count + position / pattern.inputs) * lanes
                };
                let run = outputs / pattern.outputs * lanes;
                for (phase, taps) in pattern.taps.iter().enumerate() {
                    let taps: Vec<usize> = taps.iter().map(place).collect();
                    combine(&taps, phase * run, run, outputs * lanes);
                }
            }
            Pass::Slide(pattern) | Pass::Sift(pattern) => {
                let len = pattern.taps[0].len();
                let taps = pooled.ladder.taps::<M>(len, total, step);
                let n = total.saturating_sub((len - 1) * step);
                let into = Into { values: &mut next.values, tags: &mut next.tags };
                level.run(Combine { from, taps: &taps, into, to: 0, n, width: n, runs: 1, from_step: 0, to_step: 0 });
            }
            Pass::Fold => {
                let mut done = 0;
                // Neighbours that lie like one another, each a cell further, are one long run.
                for alike in axis.spans.chunk_by(|a, b| b.len == a.len && b.start == a.start + 1) {
                    let taps = pooled.ladder.taps::<M>(alike[0].len, total, step);
                    let taps: Vec<usize> = taps.iter().map(|tap| alike[0].start * inner + tap).collect();
                    combine(&taps, done * inner, alike.len() * inner, outputs * inner);
                    done += alike.len();
                }
            }
            Pass::Runs => {
                let into = Into { values: &mut next.values, tags: &mut next.tags };
                level.run(Runs { from, into, rows: outer, cells: cells[j], lanes, spans: &axis.spans });
            }
        }
        if let Pass::Sift(pattern) = &pooled.pass {
            let outputs = axis.outputs.len();
            let from = From::<M> { values: &next.values, tags: &next.tags };
            let into = Into { values: &mut now.values, tags: &mut now.tags };
            level.run(Sift { from, into, rows: outer, cells: cells[j], lanes, every: pattern.inputs, outputs });
            cells[j] = outputs;
            return Ok(());
        }
        cells[j] = outputs;
        std::mem::swap(now, next);
        Ok(())
    }

    /// Writes the tile's results.
    fn finish<J: Job + ?Sized>(&self, job: &J, level: Level, row: usize, scratch: &mut Scratch<J::Plain>) {
        let Geometry { axes, outputs, firsts, position_firsts, divisors, .. } = self.geometry;
        let row_axis = &self.plan.pooled[axes.len() - 1];
        let mut rows = [0, 1].map(|r| OutRows {
            base: self.base.outputs[r],
            offsets: &outputs[r],
            positions: axes[axes.len() - 1].outputs.len(),
            position_stride: row_axis.strides_out[r],
            lanes: self.lanes,
            lane_stride: self.plan.lanes.strides_out[r],
            phases: row_axis.phases,
            row,
        });
        let divisors = divisors[1].divisors();
        if row == 1 && outputs[0].len() == self.batch && divisors.positions.is_empty() && firsts.is_empty() {
            // Rows of a single result, of one window each, are one row, by one divisor.
            rows = [0, 1].map(|r| {
                let stride = self.plan.inner.strides_out[r];
                OutRows {
                    offsets: &outputs[r][..1],
                    positions: self.batch,
                    position_stride: stride,
                    row: self.batch,
                    ..rows[r]
                }
            });
        }
        let finishing = Finishing {
            rows,
            divisors,
            coded: self.plan.codes.is_some() && self.plan.intake == Intake::Windows,
            base: self.base.input.index,
            firsts,
            position_firsts,
        };
        job.finish(level, &finishing, &mut scratch.now);
    }
}
