//! One tile: a box of the result, and all that is read for it.

use std::any::Any;
use std::cell::RefCell;
use std::ops::Range;

use super::plan::{Free, Pass, Plan, Pooled, pattern_reach};
use super::{DivisorRule, Finishing, Job, Staging, cross, offset_of};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::combine::{From, Into};
use crate::kernel::dispatch::Level;
use crate::kernel::doubling::Doubling;
use crate::kernel::finish::{Divisors, OutRows};
use crate::kernel::fold::Fold;
use crate::kernel::runs::Runs;
use crate::kernel::slide::Slide;
use crate::kernel::stage::Rows;
use crate::parallel::Parallel;
use crate::reduce::Monoid;
use crate::spans::{Span, Spans};

/// Runs a job over all tiles of a plan.
pub(super) fn run<J: Job + ?Sized>(job: &J, plan: &Plan, parallel: &Parallel<'_>) -> Result<()> {
    let mut counts = vec![plan.batch_len().div_ceil(plan.batch_chunk)];
    counts.extend(plan.pooled.iter().map(|axis| axis.spans.len_out().div_ceil(axis.chunk)));
    counts.push(plan.lanes.len.div_ceil(plan.lanes_chunk));
    let level = Level::current();
    parallel.run(
        counts.iter().product(),
        plan.traffic(),
        Kept::<Scratch<J::Plain>>::take,
        |Kept(scratch), mut index| {
            let mut at = vec![0; counts.len()];
            for (at, count) in at.iter_mut().zip(&counts).rev() {
                (*at, index) = (index % count, index / count);
            }
            Tile::new(plan, &at).run(job, level, scratch)
        },
    )
}

thread_local! {
    /// The buffers of this thread's last call, by type: allocating them anew costs more than a small call.
    static KEPT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Buffers that return to their thread when a worker is done.
struct Kept<S: Buffers>(S);

trait Buffers: Any {
    fn new() -> Self;
    /// Whether they are small enough to keep.
    fn small(&self) -> bool;
}

impl<S: Buffers> Kept<S> {
    fn take() -> Self {
        let kept = KEPT.try_with(|kept| kept.try_borrow_mut().ok().and_then(|mut kept| kept.take())).ok().flatten();
        Self(kept.and_then(|kept| kept.downcast::<S>().ok()).map_or_else(S::new, |kept| *kept))
    }
}

impl<S: Buffers> Drop for Kept<S> {
    fn drop(&mut self) {
        if self.0.small() {
            let buffers = std::mem::replace(&mut self.0, S::new());
            // At the end of a thread there is nowhere to keep them.
            let _ = KEPT.try_with(|kept| kept.try_borrow_mut().map(|mut kept| *kept = Some(Box::new(buffers))));
        }
    }
}

/// The buffers of one worker.
struct Scratch<M: Monoid> {
    now: Cells<M>,
    next: Cells<M>,
    powers: Cells<M>,
    windows: Cells<M>,
}

impl<M: Monoid> Buffers for Scratch<M> {
    fn new() -> Self {
        Self { now: Cells::new(), next: Cells::new(), powers: Cells::new(), windows: Cells::new() }
    }

    fn small(&self) -> bool {
        let cells = [&self.now, &self.next, &self.powers, &self.windows].map(|cells| cells.values.len());
        cells.iter().sum::<usize>() * size_of::<(M::Value, M::Tag)>() <= 4 << 20
    }
}

struct Tile<'p> {
    plan: &'p Plan,
    batch: Range<usize>,
    lanes: Range<usize>,
    axes: Vec<TileAxis>,
}

/// The part of a pooled axis that a tile covers.
struct TileAxis {
    outputs: Range<usize>,
    /// Cells for each output, counted from `first`.
    spans: Vec<Span>,
    /// The first staged position (negative in padding that is staged) and how many are.
    first: isize,
    cells: usize,
}

impl TileAxis {
    fn new(axis: &Pooled, index: usize) -> Self {
        let start = index * axis.chunk;
        let outputs = start..(start + axis.chunk).min(axis.spans.len_out());
        if let Pass::Slide(pattern) = &axis.pass {
            let (first, cells) = pattern_reach(pattern, outputs.len());
            let first = first + (start / pattern.outputs * pattern.inputs) as isize;
            return Self { outputs, spans: Vec::new(), first, cells };
        }
        let mut spans: Vec<Span> = outputs.clone().map(|o| axis.spans.at(o)).collect();
        let held = || spans.iter().filter(|span| span.len > 0);
        let first = held().map(|span| span.start).min().unwrap_or(0);
        let end = held().map(Span::end).max().unwrap_or(first);
        for span in &mut spans {
            span.start = span.start.saturating_sub(first);
        }
        Self { outputs, spans, first: first as isize, cells: end - first }
    }
}

impl<'p> Tile<'p> {
    fn new(plan: &'p Plan, at: &[usize]) -> Self {
        let range = |index: usize, chunk: usize, len: usize| index * chunk..((index + 1) * chunk).min(len);
        let axes = plan.pooled.iter().zip(&at[1..]).map(|(axis, &index)| TileAxis::new(axis, index)).collect();
        let batch = range(at[0], plan.batch_chunk, plan.batch_len());
        Self { plan, batch, lanes: range(at[at.len() - 1], plan.lanes_chunk, plan.lanes.len), axes }
    }

    fn run<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<()> {
        let special = self.stage(job, level, scratch)?;
        let mut cells: Vec<usize> = self.axes.iter().map(|axis| axis.cells).collect();
        for j in (0..self.axes.len()).rev() {
            if special {
                self.pass::<J::Plain, J::Exact>(j, &mut cells, level, scratch)?;
            } else {
                self.pass::<J::Plain, J::Plain>(j, &mut cells, level, scratch)?;
            }
        }
        self.finish(job, level, scratch);
        Ok(())
    }

    fn stage<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) -> Result<bool> {
        let plan = self.plan;
        let last = self.axes.len() - 1;
        let (row_axis, lanes) = (&self.axes[last], &plan.lanes);
        let positions = |axis: &TileAxis| axis.first..axis.first + axis.cells as isize;
        let outer: Vec<_> = self.axes[..last].iter().map(positions).collect();
        let lane = self.lanes.start as isize;
        let offsets = self.rows(&outer, |axis| axis.stride_in, |axis| axis.stride_in, lane * lanes.stride_in);
        let flat = lane * lanes.flat as isize;
        let indices: Vec<isize> = if size_of::<<J::Plain as Monoid>::Tag>() > 0 {
            self.rows(&outer, |axis| axis.flat as isize, |axis| axis.flat as isize, flat)
        } else {
            Vec::new()
        };
        let indices: Vec<u64> = indices.into_iter().map(|index| index as u64).collect();
        let (phases, dilation) = match (&plan.pooled[last].pass, &plan.pooled[last].spans) {
            (Pass::Slide(pattern), Spans::Regular(regular)) => (pattern.inputs, regular.dilation),
            (Pass::Slide(pattern), _) => (pattern.inputs, 1),
            _ => (1, 1),
        };
        let rows = Rows {
            offsets: &offsets,
            first: row_axis.first,
            positions: row_axis.cells,
            len: plan.pooled[last].spans.len_in(),
            position_stride: plan.pooled[last].stride_in,
            lanes: self.lanes.len(),
            lane_stride: lanes.stride_in,
            phases,
        };
        scratch.now.resize(offsets.len() * rows.row())?;
        let table = self.divisor_table(plan.divisors[0], &outer, positions(row_axis), phases);
        let staging = Staging {
            rows,
            indices: &indices,
            position_step: plan.pooled[last].flat,
            lane_step: lanes.flat,
            dilation,
            divisors: table.divisors(),
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
        let axis = &self.axes[j];
        let lanes = self.lanes.len();
        let outer = self.batch.len() * cells[..j].iter().product::<usize>();
        let inner = cells[j + 1..].iter().product::<usize>() * lanes;
        let outputs = axis.outputs.len().next_multiple_of(plan.pooled[j].phases());
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

    fn finish<J: Job + ?Sized>(&self, job: &J, level: Level, scratch: &mut Scratch<J::Plain>) {
        let plan = self.plan;
        let last = self.axes.len() - 1;
        let lane = self.lanes.start as isize;
        let outputs = |axis: &TileAxis| axis.outputs.start as isize..axis.outputs.end as isize;
        let outer: Vec<_> = self.axes[..last].iter().map(outputs).collect();
        let row_axis = &plan.pooled[last];
        let phases = row_axis.phases();
        let offsets = [0, 1].map(|r| {
            let start =
                lane * plan.lanes.strides_out[r] + self.axes[last].outputs.start as isize * row_axis.strides_out[r];
            self.rows(&outer, |axis| axis.strides_out[r], |axis| axis.strides_out[r], start)
        });
        let rows = [0, 1].map(|r| OutRows {
            offsets: &offsets[r],
            positions: self.axes[last].outputs.len(),
            position_stride: row_axis.strides_out[r],
            lanes: self.lanes.len(),
            lane_stride: plan.lanes.strides_out[r],
            phases,
        });
        let table = self.divisor_table(plan.divisors[1], &outer, outputs(&self.axes[last]), 1);
        let (firsts, position_firsts) = if size_of::<<J::Plain as Monoid>::Tag>() > 0 {
            self.window_firsts(&outer)
        } else {
            (Vec::new(), Vec::new())
        };
        let divisors = table.divisors();
        let finishing = Finishing { rows, divisors, firsts: &firsts, position_firsts: &position_firsts };
        job.finish(level, &finishing, &mut scratch.now);
    }

    /// For each row of the tile (batch cell, then outer positions in order), `start` plus positions times strides.
    fn rows(
        &self,
        outer: &[Range<isize>],
        free: impl Fn(&Free) -> isize,
        pooled: impl Fn(&Pooled) -> isize,
        start: isize,
    ) -> Vec<isize> {
        let axes: Vec<_> = self.plan.batch.iter().map(|axis| (axis.len, free(axis))).collect();
        let mut rows: Vec<isize> = self.batch.clone().map(|index| start + offset_of(index, &axes)).collect();
        for (range, axis) in outer.iter().zip(&self.plan.pooled) {
            rows = cross(&rows, range, pooled(axis));
        }
        rows
    }

    /// The flat index of each window's first cell: the part that a row shares, and the rest.
    fn window_firsts(&self, outer: &[Range<isize>]) -> (Vec<u64>, Vec<u64>) {
        let plan = self.plan;
        let last = self.axes.len() - 1;
        let lane = self.lanes.start as isize * plan.lanes.flat as isize;
        let mut rows: Vec<u64> = Vec::new();
        let starts = |axis: &Pooled, range: &Range<isize>| -> Vec<u64> {
            range.clone().map(|o| (axis.spans.at(o as usize).start as u64).wrapping_mul(axis.flat)).collect()
        };
        let of_batch = self.rows(&[], |axis| axis.flat as isize, |_| 0, lane);
        let outer: Vec<Vec<u64>> = plan.pooled.iter().zip(outer).map(|(axis, range)| starts(axis, range)).collect();
        for base in of_batch {
            let mut bases = vec![base as u64];
            for starts in &outer {
                bases =
                    bases.iter().flat_map(|base| starts.iter().map(move |start| base.wrapping_add(*start))).collect();
            }
            rows.extend(bases);
        }
        // In the order of the work buffer: phases, cells, lanes.
        let (range, axis) = (&self.axes[last].outputs, &plan.pooled[last]);
        let phases = axis.phases();
        let cells = range.len().div_ceil(phases);
        let outputs = (0..phases).flat_map(|phase| (0..cells).map(move |cell| range.start + cell * phases + phase));
        let start = |o: usize| (axis.spans.at(o.min(range.end - 1)).start as u64).wrapping_mul(axis.flat);
        let positions: Vec<u64> = outputs.map(start).collect();
        let lanes = (0..self.lanes.len() as u64).map(|lane| lane * plan.lanes.flat);
        let positions = positions.iter().flat_map(|start| lanes.clone().map(move |lane| start.wrapping_add(lane)));
        (rows, positions.collect())
    }

    /// The divisors of rows at the given positions of the outer axes, and of the positions within a row.
    fn divisor_table(
        &self,
        rule: DivisorRule,
        outer: &[Range<isize>],
        row: Range<isize>,
        phases: usize,
    ) -> DivisorTable {
        let plan = self.plan;
        let include_pad = match rule {
            DivisorRule::None => return DivisorTable::default(),
            DivisorRule::Fixed(divisor) => {
                let rows = self.batch.len() * outer.iter().map(ExactSizeIterator::len).product::<usize>();
                return DivisorTable { rows: vec![divisor; rows], ..DivisorTable::default() };
            }
            DivisorRule::Cells => false,
            DivisorRule::Padded => true,
        };
        let count = |axis: &Pooled, at: isize| {
            let on_axis = at >= 0 && (at as usize) < axis.counts.len_out();
            if on_axis { axis.counts.count(at as usize, include_pad) as f64 } else { 1.0 }
        };
        let last = &plan.pooled[self.axes.len() - 1];
        let uniform = last.counts.uniform_count(include_pad);
        let mut of_outer = vec![if uniform { count(last, 0) } else { 1.0 }];
        for (axis, range) in plan.pooled.iter().zip(outer) {
            of_outer = of_outer.iter().flat_map(|c| range.clone().map(move |at| c * count(axis, at))).collect();
        }
        let rows = self.batch.clone().flat_map(|_| of_outer.iter().copied()).collect();
        if uniform {
            return DivisorTable { rows, ..DivisorTable::default() };
        }
        // In the order of the work buffer: phases, cells, lanes.
        let cells = row.len().div_ceil(phases);
        let positions = (0..phases).flat_map(|phase| (0..cells).map(move |cell| cell * phases + phase));
        let counts = positions.map(|position| count(last, row.start + position as isize));
        let positions: Vec<f64> = counts.flat_map(|count| std::iter::repeat_n(count, self.lanes.len())).collect();
        let reciprocals = positions.iter().map(|count| 1.0 / count).collect();
        DivisorTable { rows, positions, reciprocals }
    }
}

#[derive(Default)]
struct DivisorTable {
    rows: Vec<f64>,
    positions: Vec<f64>,
    reciprocals: Vec<f64>,
}

impl DivisorTable {
    fn divisors(&self) -> Divisors<'_> {
        Divisors { rows: &self.rows, positions: &self.positions, reciprocals: &self.reciprocals }
    }
}
