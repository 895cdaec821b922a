//! One tile: a box of the result, and all that is read for it.

use std::any::Any;
use std::cell::RefCell;

use super::axes::{Pass, pattern_reach};
use super::geometry::{At, Base, Geometry, Known, Straight};
use super::intake::Intake;
use super::plan::Plan;
use super::{Finishing, Job, Monoids, Reading, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::alternate::Alternate;
use crate::kernel::combine::{Combine, From, Into, Repeat};
use crate::kernel::dispatch::Level;
use crate::kernel::finish::OutRows;
use crate::kernel::runs::Runs;
use crate::kernel::sift::Sift;
use crate::kernel::stage::Rows;
use crate::parallel::Parallel;
use crate::reduce::Monoid;
use crate::spans::{Span, Spans};

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

/// Neighbouring spans that lie like one another, at equal distances: the first, how many, and the way from one to the next.
fn alike(spans: &[Span]) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (at, first) = (done, spans.get(done)?);
        // Dilation may lead back; such spans are taken one by one.
        let way = |from: &Span, to: &Span| to.start.checked_sub(from.start).filter(|_| to.len == from.len);
        let step = spans.get(at + 1).and_then(|next| way(first, next));
        let pairs = spans[at..].windows(2);
        let alike = 1 + pairs.take_while(|pair| step.is_some() && way(&pair[0], &pair[1]) == step).count();
        done += alike;
        Some((at, alike, step.unwrap_or(1)))
    })
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
        let special = self.direct(job, level);
        if special == Some(false) {
            return Ok(());
        }
        let last = self.geometry.axes.len() - 1;
        let mut cells: Vec<usize> = self.geometry.axes.iter().map(|axis| axis.cells).collect();
        let (special, passes) = match self.plan.intake {
            Intake::Staged => {
                if let Pass::Slide(pattern) = &self.plan.pooled[last].pass {
                    cells[last] = cells[last].next_multiple_of(pattern.inputs);
                }
                (self.stage(job, level, scratch)?, 0..last + 1)
            }
            intake => {
                let (special, row) = self.straight(job, special == Some(true), level, scratch)?;
                cells[last] = row / self.lanes;
                let axes = cells.iter_mut().zip(&self.geometry.axes).take(last);
                let passes = match intake {
                    Intake::Slid => 0..last,
                    Intake::Rows => last..last + 1,
                    _ => 0..0,
                };
                if intake != Intake::Slid {
                    axes.for_each(|(cells, axis)| *cells = axis.outputs.len());
                }
                (special, passes)
            }
        };
        for j in passes.rev() {
            let unsettled = if special {
                self.pass::<J::Plain, J::Exact>(j, &mut cells, level, scratch)?
            } else {
                self.pass::<J::Plain, J::Plain>(j, &mut cells, level, scratch)?
            };
            if unsettled {
                job.unsettled();
            }
        }
        self.finish(job, level, cells[last] * self.lanes, scratch);
        Ok(())
    }

    /// Reduces windows straight from the array to the result, where results of a row lie side by side and are divided alike.
    /// Returns whether they need the exact monoid, if it was done.
    fn direct<J: Job + ?Sized>(&self, job: &J, level: Level) -> Option<bool> {
        let Geometry { straight, outputs, divisors, .. } = self.geometry;
        let straight = straight.as_ref().filter(|_| self.plan.is_direct())?;
        let &Straight { rows, ends, segments, row, .. } = &straight;
        // Results that are one row for being single lie anyhow.
        if ends.len() != outputs[0].len() || !divisors[1].positions.is_empty() {
            return None;
        }
        let reading = Reading { base: self.base.input, rows, ends, segments, clipping: None, row: *row };
        job.direct(level, &reading, &self.finishing(*row))
    }

    /// Reduces rows straight from the array, which may be known to need the exact monoid. Returns whether that was taken, and the values from one row to the next.
    fn straight<J: Job + ?Sized>(
        &self,
        job: &J,
        known: bool,
        level: Level,
        scratch: &mut Scratch<J::Plain>,
    ) -> Result<(bool, usize)> {
        let Geometry { straight, axes, outputs, rows: all, .. } = self.geometry;
        let Some(Straight { rows, ends, segments, clipping, row, width }) = straight else { return Ok((false, 0)) };
        // Rows of a single result, of which there is but one list.
        scratch.now.resize(width * all.len().max(ends.len()).max(outputs[0].len()))?;
        if self.plan.intake == Intake::Rows {
            // What is left is reduced along rows, and their padding with them.
            let on_axis = axes[axes.len() - 1].on_axis();
            for row in scratch.now.values[..ends.len() * row].chunks_exact_mut((*row).max(1)) {
                row[..on_axis.start * self.lanes].fill(J::Plain::identity().0);
                row[on_axis.end * self.lanes..].fill(J::Plain::identity().0);
            }
        }
        let clipping = clipping.as_ref();
        let reading = Reading { base: self.base.input, rows, ends, segments, clipping, row: *row };
        let special = known || job.windows(level, &reading, Monoids::Plain, &mut scratch.now);
        if special {
            job.windows(level, &reading, Monoids::Exact, &mut scratch.now);
        }
        Ok((special, *width))
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

    /// Reduces along one axis, and puts the result where the input was; returns whether the result depends on an order that was
    /// not kept. `cells` are those of each axis, before and after.
    fn pass<P: Monoid, M: Monoid<Value = P::Value, Tag = P::Tag>>(
        &self,
        j: usize,
        cells: &mut [usize],
        level: Level,
        scratch: &mut Scratch<P>,
    ) -> Result<bool> {
        let mut unsettled = false;
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
        let mut combine = |taps: &[usize], to, n, to_step, again| {
            let into = Into { values: &mut next.values, tags: &mut next.tags };
            let runs = [Repeat { times: outer, from: cells[j] * inner, to: to_step }, again];
            level.run(Combine { from, taps, into, to, n, width: inner, runs });
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
                    combine(&taps, phase * run, run, outputs * lanes, Repeat::ONCE);
                }
            }
            Pass::Slide(pattern) | Pass::Sift(pattern) => {
                let len = pattern.taps[0].len();
                let taps = pooled.ladder.taps::<M>(len, total, step);
                let n = total.saturating_sub((len - 1) * step);
                let into = Into { values: &mut next.values, tags: &mut next.tags };
                level.run(Combine { from, taps: &taps, into, to: 0, n, width: n, runs: [Repeat::ONCE; 2] });
            }
            Pass::Fold => {
                for (first, alike, way) in alike(&axis.spans) {
                    let Span { start, len, .. } = axis.spans[first];
                    let taps = pooled.ladder.taps::<M>(len, total, step);
                    let taps: Vec<usize> = taps.iter().map(|tap| start * inner + tap).collect();
                    if way == 1 {
                        // Each a row further they are one long run.
                        combine(&taps, first * inner, alike * inner, outputs * inner, Repeat::ONCE);
                    } else {
                        let again = Repeat { times: alike, from: way * inner, to: inner };
                        combine(&taps, first * inner, inner, outputs * inner, again);
                    }
                }
            }
            Pass::Alternate(pattern) => {
                let into = Into { values: &mut next.values, tags: &mut next.tags };
                let (taps, cells, outputs) = (pattern.taps[0].len(), cells[j], axis.outputs.len());
                unsettled = level.run(Alternate { from, into, rows: outer, cells, outputs, taps, step });
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
            return Ok(false);
        }
        cells[j] = outputs;
        std::mem::swap(now, next);
        Ok(unsettled)
    }

    /// Writes the tile's results.
    fn finish<J: Job + ?Sized>(&self, job: &J, level: Level, row: usize, scratch: &mut Scratch<J::Plain>) {
        let Geometry { outputs, firsts, .. } = self.geometry;
        let mut finishing = self.finishing(row);
        if row == 1 && outputs[0].len() == self.batch && finishing.divisors.positions.is_empty() && firsts.is_empty() {
            // Rows of a single result, of one window each, are one row, by one divisor.
            finishing.rows = [0, 1].map(|r| OutRows {
                offsets: &outputs[r][..1],
                positions: self.batch,
                position_stride: self.plan.inner.strides_out[r],
                row: self.batch,
                ..finishing.rows[r]
            });
        }
        job.finish(level, &finishing, &mut scratch.now);
    }

    /// Where the tile's results go, of which each row has so many.
    fn finishing(&self, row: usize) -> Finishing<'_> {
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
            row,
        });
        Finishing {
            rows,
            divisors: divisors[1].divisors(),
            coded: self.plan.codes.is_some() && self.plan.intake == Intake::Windows,
            base: self.base.input.index,
            firsts,
            position_firsts,
        }
    }
}
