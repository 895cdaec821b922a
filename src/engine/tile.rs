//! One tile: a box of the result, and all that is read for it.

use std::any::Any;
use std::cell::RefCell;

use super::axes::{Pass, pattern_reach};
use super::geometry::{At, Base, Geometry, Known};
use super::plan::Plan;
use super::{Finishing, Job, Monoids, Reading, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::combine::{From, Into};
use crate::kernel::dispatch::Level;
use crate::kernel::doubling::Doubling;
use crate::kernel::finish::OutRows;
use crate::kernel::fold::Fold;
use crate::kernel::runs::Runs;
use crate::kernel::slide::Slide;
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
    powers: Cells<M>,
    windows: Cells<M>,
}

impl<M: Monoid> Scratch<M> {
    fn new() -> Self {
        Self { now: Cells::new(), next: Cells::new(), powers: Cells::new(), windows: Cells::new() }
    }

    fn bytes(&self) -> usize {
        let cells = [&self.now, &self.next, &self.powers, &self.windows].map(|cells| cells.values.len());
        cells.iter().sum::<usize>() * size_of::<(M::Value, M::Tag)>()
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
        if self.plan.straight {
            self.windows(job, level, scratch)?;
        } else {
            let special = self.stage(job, level, scratch)?;
            let mut cells: Vec<usize> = self.geometry.axes.iter().map(|axis| axis.cells).collect();
            for j in (0..cells.len()).rev() {
                if special {
                    self.pass::<J::Plain, J::Exact>(j, &mut cells, level, scratch)?;
                } else {
                    self.pass::<J::Plain, J::Plain>(j, &mut cells, level, scratch)?;
                }
            }
        }
        self.finish(job, level, scratch);
        Ok(())
    }

    /// Reduces small windows straight from the array.
    fn windows<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<()> {
        let Geometry { window_rows, ends, segments, axes, .. } = self.geometry;
        let last = axes.len() - 1;
        let row = axes[last].outputs.len().next_multiple_of(self.plan.pooled[last].phases) * self.lanes;
        scratch.now.resize(ends.len() * row)?;
        let reading = Reading { base: self.base.input, rows: window_rows, ends, segments, row };
        if job.windows(level, &reading, Monoids::Plain, &mut scratch.now) {
            job.windows(level, &reading, Monoids::Exact, &mut scratch.now);
        }
        Ok(())
    }

    /// Brings the tile's cells into the work buffer.
    fn stage<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<bool> {
        let Geometry { axes, rows, indices, divisors, .. } = self.geometry;
        let (row_axis, pooled) = (&axes[axes.len() - 1], &self.plan.pooled[axes.len() - 1]);
        let (phases, dilation) = match (&pooled.pass, &pooled.spans) {
            (Pass::Slide(pattern), Spans::Regular(regular)) => (pattern.inputs, regular.dilation),
            (Pass::Slide(pattern), _) => (pattern.inputs, 1),
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

    /// Reduces along one axis, and puts the result where the input was.
    fn pass<P: Monoid, M: Monoid<Value = P::Value, Tag = P::Tag>>(
        &self,
        j: usize,
        cells: &mut [usize],
        level: Level,
        scratch: &mut Scratch<P>,
    ) -> Result<()> {
        let plan = self.plan;
        let axis = &self.geometry.axes[j];
        let lanes = self.lanes;
        let outer = self.batch * cells[..j].iter().product::<usize>();
        let inner = cells[j + 1..].iter().product::<usize>() * lanes;
        let outputs = axis.outputs.len().next_multiple_of(plan.pooled[j].phases);
        scratch.next.resize(outer * outputs * inner)?;
        let Scratch { now, next, powers, windows } = scratch;
        let from = From::<M> { values: &now.values, tags: &now.tags };
        let into = Into::<M> { values: &mut next.values, tags: &mut next.tags };
        match &plan.pooled[j].pass {
            Pass::Doubling(regular) => {
                let start = (axis.outputs.start * regular.stride) as isize - regular.before as isize;
                let padded = (axis.outputs.len() - 1) * regular.stride + regular.extent();
                powers.resize(padded * inner)?;
                windows.resize(padded * inner)?;
                level.run(Doubling {
                    from,
                    into,
                    powers: Into { values: &mut powers.values, tags: &mut powers.tags },
                    windows: Into { values: &mut windows.values, tags: &mut windows.tags },
                    outer,
                    cells: cells[j],
                    inner,
                    before: (axis.first - start).max(0) as usize,
                    padded,
                    kernel: regular.kernel,
                    stride: regular.stride,
                    dilation: regular.dilation,
                    outputs,
                });
            }
            Pass::Slide(pattern) => {
                let cell_count = axis.cells.div_ceil(pattern.inputs);
                let first = pattern_reach(pattern, 1).0;
                let place = |&tap: &isize| {
                    let position = (tap - first) as usize;
                    (position % pattern.inputs * cell_count + position / pattern.inputs) * lanes
                };
                let taps: Vec<Vec<usize>> = pattern.taps.iter().map(|taps| taps.iter().map(place).collect()).collect();
                let run = outputs / pattern.outputs * lanes;
                level.run(Slide {
                    from,
                    into,
                    rows: outer,
                    row: cell_count * pattern.inputs * lanes,
                    taps: &taps,
                    run,
                });
            }
            Pass::Runs => level.run(Runs { from, into, rows: outer, cells: cells[j], lanes, spans: &axis.spans }),
            Pass::Fold => level.run(Fold { from, into, outer, cells: cells[j], inner, spans: &axis.spans }),
        }
        cells[j] = outputs;
        std::mem::swap(&mut scratch.now, &mut scratch.next);
        Ok(())
    }

    /// Writes the tile's results.
    fn finish<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) {
        let Geometry { axes, outputs, firsts, position_firsts, divisors, .. } = self.geometry;
        let row_axis = &self.plan.pooled[axes.len() - 1];
        let rows = [0, 1].map(|r| OutRows {
            base: self.base.outputs[r],
            offsets: &outputs[r],
            positions: axes[axes.len() - 1].outputs.len(),
            position_stride: row_axis.strides_out[r],
            lanes: self.lanes,
            lane_stride: self.plan.lanes.strides_out[r],
            phases: row_axis.phases,
        });
        let finishing = Finishing {
            rows,
            divisors: divisors[1].divisors(),
            coded: self.plan.codes.is_some() && self.plan.straight,
            base: self.base.input.index,
            firsts,
            position_firsts,
        };
        job.finish(level, &finishing, &mut scratch.now);
    }
}
