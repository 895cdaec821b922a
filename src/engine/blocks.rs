//! Windows visited in blocks: neighbours along a row, a vector lane for each.

use std::ops::Range;

use super::visit::{At, Field, Visit};
use crate::error::Result;
use crate::kernel::dispatch::{Kernel, Level};
use crate::modes::{Block, InBlocks, LANES, Results};
use crate::parallel::Parallel;
use crate::spans::{Span, Spans};
use crate::vector::Vectors;

/// A block of cells, and scratch.
#[derive(Default)]
pub(crate) struct Scratch {
    block: Block,
    run: Vec<f64>,
    taps: Vec<usize>,
}

impl Visit<'_, f64> {
    /// Visits windows in blocks where they lie alike, and one by one where they do not. `blocks` is given the first window, the
    /// axis of the row, the number of the first window along it, and what the block gave; `single` one window.
    pub fn all_in_blocks<S>(
        &self,
        mode: &InBlocks,
        parallel: &Parallel<'_>,
        scratch: impl Fn() -> S + Sync,
        blocks: impl Fn(&mut S, &mut At, usize, usize, &Results) -> Result<()> + Sync,
        single: impl Fn(&mut S, &At) -> Result<()> + Sync,
    ) -> Result<()> {
        let level = Level::current();
        let both = || (scratch(), Scratch::default());
        self.all_rows(parallel, both, |(state, scratch), at, row, range| {
            let (inside, shift) = self.alike(row, &range);
            let taps: usize =
                at.spans.iter().enumerate().map(|(axis, span)| if axis == row { 1 } else { span.len }).product();
            let taps = taps * if inside.is_empty() { 0 } else { self.span(row, inside.start).len };
            let fits = inside.len() >= LANES && mode.fits(taps);
            let mut o = range.start;
            while o < range.end {
                if fits && inside.contains(&o) {
                    // The last block overlaps the one before instead of leaving a tail.
                    let first = o.min(inside.end - LANES);
                    self.step(at, row, first);
                    let results = level.run(Reduce { visit: self, at, row, shift, mode, scratch });
                    blocks(state, at, row, first, &results)?;
                    o = first + LANES;
                } else {
                    self.step(at, row, o);
                    single(state, at)?;
                    o += 1;
                }
            }
            Ok(())
        })
    }

    /// Of some windows along an axis those that nothing clips, and the way from one to the next.
    fn alike(&self, axis: usize, range: &Range<usize>) -> (Range<usize>, usize) {
        match &self.spans[axis] {
            None => (range.clone(), 1),
            Some(Spans::Regular(regular)) => {
                let whole = regular.whole();
                (range.start.max(whole.start)..range.end.min(whole.end), regular.stride)
            }
            Some(Spans::Groups { size, .. }) => (range.clone(), *size),
            Some(Spans::Bins(bins)) if bins.len_in % bins.len_out == 0 => (range.clone(), bins.len_in / bins.len_out),
            Some(_) => (0..0, 1),
        }
    }
}

/// Reads a block and reduces it.
struct Reduce<'a> {
    visit: &'a Visit<'a, f64>,
    at: &'a At,
    row: usize,
    shift: usize,
    mode: &'a InBlocks,
    scratch: &'a mut Scratch,
}

impl Kernel for Reduce<'_> {
    type Output = Results;

    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) -> Results {
        let Self { visit, at, row, shift, mode, scratch: Scratch { block, run, taps } } = self;
        let reading = Reading { at, row, shift };
        reading.read(vectors, visit.x, run, taps, &mut block.values);
        block.beside.clear();
        if visit.weighted {
            reading.read(vectors, visit.beside[0], run, taps, &mut block.beside);
        }
        block.valid.clear();
        if let Some(valid) = visit.valid {
            reading.read(vectors, valid, run, taps, &mut block.valid);
        } else if visit.omit {
            block.valid.resize(block.values.len(), [1.0; LANES]);
        }
        if !block.valid.is_empty() {
            for (t, (values, valid)) in block.values.iter_mut().zip(&mut block.valid).enumerate() {
                for l in 0..LANES {
                    let holds = (valid[l] != 0.0) & !(visit.omit & values[l].is_nan());
                    valid[l] = if holds { 1.0 } else { 0.0 };
                    values[l] = if holds { values[l] } else { 0.0 };
                }
                if let Some(beside) = block.beside.get_mut(t)
                    && mode.is_weighted()
                {
                    for l in 0..LANES {
                        beside[l] = if valid[l] == 0.0 { 0.0 } else { beside[l] };
                    }
                }
            }
        }
        mode.results(block)
    }
}

/// Where a block's cells lie.
struct Reading<'a> {
    at: &'a At,
    row: usize,
    shift: usize,
}

impl Reading<'_> {
    /// Reads the taps of all windows, in C order.
    #[inline(always)]
    fn read<V: Vectors>(
        &self,
        vectors: V,
        from: Field<'_, f64>,
        run: &mut Vec<f64>,
        taps: &mut Vec<usize>,
        into: &mut Vec<[f64; LANES]>,
    ) {
        /// The longest way between windows for which whole runs are read, and taps picked out of them.
        const NEAR: usize = 4;
        let Self { at, row, shift } = *self;
        into.clear();
        let last = at.spans.iter().rposition(|span| span.len > 1).unwrap_or(row);
        let runs = last <= row && shift <= NEAR && at.spans[row].step <= NEAR;
        let Span { len, step, .. } = at.spans[row];
        let stride = from.strides[row];
        taps.clear();
        taps.resize(at.spans.len(), 0);
        loop {
            let place = |(axis, stride): (usize, &isize)| {
                (at.spans[axis].start + taps[axis] * at.spans[axis].step) as isize * stride
            };
            let offset: isize = from.strides.iter().enumerate().map(place).sum();
            if runs {
                let n = (LANES - 1) * shift + (len - 1) * step + 1;
                run.resize(n.max(run.len()), 0.0);
                from.reader.read(offset, stride, &mut run[..n]);
                for tap in 0..len {
                    let run = &run[tap * step..][..=(LANES - 1) * shift];
                    let mut lanes = [0.0; LANES];
                    match shift {
                        1 => lanes.copy_from_slice(run),
                        2 => lanes = vectors.evens(run),
                        3 => (0..LANES).for_each(|l| lanes[l] = run[3 * l]),
                        shift => (0..LANES).for_each(|l| lanes[l] = run[shift * l]),
                    }
                    into.push(lanes);
                }
            } else {
                let mut lanes = [0.0; LANES];
                from.reader.read(offset, shift as isize * stride, &mut lanes);
                into.push(lanes);
            }
            let moves = |&axis: &usize| !(runs && axis == row) && taps[axis] + 1 < at.spans[axis].len;
            let Some(axis) = (0..at.spans.len()).rev().find(moves) else { return };
            taps[axis] += 1;
            taps[axis + 1..].fill(0);
        }
    }
}
