//! The traversal: rows in the order of their segments, cut into blocks, each of which is read once and reduced in cache.
//!
//! A segment that lies in one block is finished there. The states of one that lies in several are put together when all
//! blocks are done, in the order of its rows. How blocks are cut depends on the shape alone.

use std::ops::Range;

use super::groups::Groups;
use super::rows::RowsMut;
use super::states::Reduction;
use crate::engine::reserve;
use crate::error::{Result, try_vec};
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Lanes of a block: a line of them stays in the nearest cache.
const LANES: usize = 128;
/// Cells of a block: 128 KiB of `f64`.
const CELLS: usize = 1 << 14;

/// How rows are cut into blocks.
pub(super) struct Blocks<'a> {
    groups: &'a Groups,
    lanes: usize,
    /// Rows and lanes of a block, and the number of blocks that share the same rows.
    rows_each: usize,
    lanes_each: usize,
    beside: usize,
}

/// A part of the order of rows that is reduced together, some lanes of it.
pub(super) struct Block<'a> {
    pub part: Range<usize>,
    pub rows: &'a [usize],
    pub lanes: Range<usize>,
    /// The segments that have rows in it, by their places among those that have one.
    pub runs: Range<usize>,
}

impl Block<'_> {
    /// Which of its rows a segment has.
    pub fn rows_of(&self, groups: &Groups, place: usize) -> Range<usize> {
        let run = groups.run(place);
        run.start.max(self.part.start) - self.part.start..run.end.min(self.part.end) - self.part.start
    }
}

impl<'a> Blocks<'a> {
    pub fn new(groups: &'a Groups, lanes: usize) -> Self {
        let beside = lanes.div_ceil(LANES).max(1);
        let lanes_each = lanes.div_ceil(beside).max(1);
        Self { groups, lanes, rows_each: CELLS / lanes_each, lanes_each, beside }
    }

    /// The number of different parts that rows are cut into.
    fn parts(&self) -> usize {
        self.groups.rows().div_ceil(self.rows_each)
    }

    fn part(&self, number: usize) -> Range<usize> {
        number * self.rows_each..self.groups.rows().min((number + 1) * self.rows_each)
    }

    fn lanes(&self, number: usize) -> Range<usize> {
        number * self.lanes_each..self.lanes.min((number + 1) * self.lanes_each)
    }

    /// Takes every block to `work`. `arrays` is how many numbers are read and written for each cell, for the choice of threads.
    pub fn run<S: Default>(
        &self,
        arrays: usize,
        parallel: &Parallel<'_>,
        work: impl Fn(&mut S, &Block<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        if self.lanes == 0 {
            return Ok(());
        }
        let task = |(state, rows): &mut (S, Vec<usize>), index: usize| {
            let (part, lanes) = (self.part(index / self.beside), self.lanes(index % self.beside));
            let runs = self.groups.runs(&part);
            work(state, &Block { rows: self.groups.rows_at(&part, rows), part, lanes, runs })
        };
        let traffic = self.groups.rows().saturating_mul(self.lanes).saturating_mul(8 * arrays);
        parallel.run(self.parts() * self.beside, traffic, Default::default, task, drop)
    }
}

/// The work buffers of a thread.
struct Scratch<V> {
    cells: Vec<V>,
    states: Vec<V>,
    results: Vec<V>,
}

impl<V> Default for Scratch<V> {
    fn default() -> Self {
        Self { cells: Vec::new(), states: Vec::new(), results: Vec::new() }
    }
}

/// States by their numbers, line by line, each of all lanes.
#[derive(Clone, Copy)]
pub(super) struct States<V> {
    pub place: Raw<V>,
    pub lines: usize,
    pub lanes: usize,
}

impl<V: Copy + Default> States<V> {
    fn offset(&self, number: usize, line: usize, lanes: &Range<usize>) -> isize {
        ((number * self.lines + line) * self.lanes + lanes.start) as isize
    }

    /// Writes some lanes of a state.
    fn put(&self, number: usize, lanes: &Range<usize>, state: &[V]) {
        for (line, values) in state.chunks_exact(lanes.len()).enumerate() {
            self.place.scatter(self.offset(number, line, lanes), 1, values.len(), |lane| values[lane]);
        }
    }

    /// Reads some lanes of a state.
    pub fn take(&self, number: usize, lanes: &Range<usize>, into: &mut [V]) {
        for (line, values) in into.chunks_exact_mut(lanes.len()).enumerate() {
            self.place.gather(self.offset(number, line, lanes), 1, values, |value| value);
        }
    }
}

/// Where results go.
pub(super) struct Sink<'a, V> {
    pub y: &'a dyn RowsMut<V>,
    /// What segments without a row get.
    pub fill: V,
    /// Where the states of all other segments are kept, if they are, by their places.
    pub kept: Option<States<V>>,
}

impl<V: Copy + Default> Sink<'_, V> {
    fn keep(&self, place: usize, lanes: &Range<usize>, state: &[V]) {
        if let Some(kept) = &self.kept {
            kept.put(place, lanes, state);
        }
    }
}

/// Reduces all segments. `read` brings the cells of a block together, one row after the other.
pub(super) fn fold<V: Copy + Default + Send + Sync>(
    groups: &Groups,
    lanes: usize,
    reduction: &impl Reduction<V>,
    read: &(dyn Fn(&Block<'_>, &mut [V]) -> Result<()> + Sync),
    sink: &Sink<'_, V>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    if lanes == 0 {
        return Ok(());
    }
    if groups.numbers().len() < groups.segments() {
        fill(groups.segments(), lanes, sink, parallel)?;
    }
    let (blocks, lines) = (Blocks::new(groups, lanes), reduction.lines());
    // Of each part two states: of the rows that continue a segment, and of those that begin one which goes on.
    let mut unfinished: Vec<V> = try_vec(blocks.parts() * 2 * lines * lanes)?;
    unfinished.resize(blocks.parts() * 2 * lines * lanes, V::default());
    let unfinished = States { place: Raw::of(&mut unfinished), lines, lanes };
    blocks.run(2, parallel, |Scratch { cells, states, results }: &mut Scratch<V>, block| {
        let n = block.lanes.len();
        reserve(cells, block.rows.len() * n)?;
        reserve(states, lines * n)?;
        reserve(results, block.runs.len() * n)?;
        let (cells, state) = (&mut cells[..block.rows.len() * n], &mut states[..lines * n]);
        read(block, cells)?;
        let mut whole = block.runs.clone();
        for place in block.runs.clone() {
            let (run, rows) = (groups.run(place), block.rows_of(groups, place));
            reduction.reduce(&block.rows[rows.clone()], &cells[rows.start * n..rows.end * n], n, state);
            let number = block.part.start / blocks.rows_each * 2;
            if run.start < block.part.start {
                unfinished.put(number, &block.lanes, state);
                whole.start += 1;
            } else if run.end > block.part.end {
                unfinished.put(number + 1, &block.lanes, state);
                whole.end -= 1;
            } else {
                let result = &mut results[(place - whole.start) * n..][..n];
                reduction.finish(state, run.len(), result);
                sink.keep(place, &block.lanes, state);
            }
        }
        sink.y.write(&groups.numbers()[whole.clone()], &block.lanes, &results[..whole.len() * n]);
        Ok(())
    })?;
    put_together(&blocks, reduction, unfinished, sink, parallel)
}

/// Merges the states of segments that lie in several parts, and finishes them.
fn put_together<V: Copy + Default + Send + Sync>(
    blocks: &Blocks<'_>,
    reduction: &impl Reduction<V>,
    unfinished: States<V>,
    sink: &Sink<'_, V>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let (groups, lines) = (blocks.groups, unfinished.lines);
    // The parts in which such a segment begins.
    let mut firsts: Vec<usize> = try_vec(blocks.parts())?;
    firsts.extend((0..blocks.parts()).filter(|&number| {
        let part = blocks.part(number);
        let last = groups.run(groups.runs(&part).end - 1);
        last.start >= part.start && last.end > part.end
    }));
    let task = |Scratch { cells: later, states, results }: &mut Scratch<V>, index: usize| {
        let (first, lanes) = (firsts[index / blocks.beside], blocks.lanes(index % blocks.beside));
        let n = lanes.len();
        reserve(states, lines * n)?;
        reserve(later, lines * n)?;
        reserve(results, n)?;
        let (state, later, results) = (&mut states[..lines * n], &mut later[..lines * n], &mut results[..n]);
        unfinished.take(first * 2 + 1, &lanes, state);
        let place = groups.runs(&blocks.part(first)).end - 1;
        let run = groups.run(place);
        let mut count = blocks.part(first).end - run.start;
        for number in first + 1..run.end.div_ceil(blocks.rows_each) {
            let more = run.end.min(blocks.part(number).end) - blocks.part(number).start;
            unfinished.take(number * 2, &lanes, later);
            reduction.merge(state, later, [count, more], n);
            count += more;
        }
        reduction.finish(state, count, results);
        sink.keep(place, &lanes, state);
        sink.y.write(&groups.numbers()[place..=place], &lanes, results);
        Ok(())
    };
    let traffic = blocks.parts().saturating_mul(unfinished.lanes).saturating_mul(16 * lines);
    parallel.run(firsts.len() * blocks.beside, traffic, Scratch::default, task, drop)
}

/// Writes the value of segments without a row to all segments.
fn fill<V: Copy + Default + Send + Sync>(
    segments: usize,
    lanes: usize,
    sink: &Sink<'_, V>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let (columns, each) = (lanes.min(CELLS), CELLS / lanes.clamp(1, CELLS));
    let mut values: Vec<V> = try_vec(columns * each)?;
    values.resize(columns * each, sink.fill);
    let beside = lanes.div_ceil(columns.max(1));
    let task = |rows: &mut Vec<usize>, index: usize| {
        let first = index / beside * each;
        rows.clear();
        rows.extend(first..segments.min(first + each));
        let lanes = index % beside * columns..lanes.min((index % beside + 1) * columns);
        sink.y.write(rows, &lanes, &values[..rows.len() * lanes.len()]);
        Ok(())
    };
    let traffic = segments.saturating_mul(lanes).saturating_mul(8);
    parallel.run(segments.div_ceil(each) * beside, traffic, Vec::new, task, drop)
}
