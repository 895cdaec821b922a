//! What is known of some rows of a segment, lane by lane, and how it is put together with what is known of others.
//!
//! A state is some lines, each of a number for every lane. Rows that lie in one block give a state; the states of a segment
//! that lies in several are merged in the order of its rows. So nothing depends on who computed which.

use crate::kernel::dispatch::{Kernel, Level};
use crate::kernel::math;
use crate::modes::sum;
use crate::vector::Vectors;

/// What a segment is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentMode {
    /// The sum; 0 for no row.
    Sum,
    /// The mean.
    Mean,
    /// The largest cell: the first NaN, if there is one; of equal ones, the first.
    Max,
    /// The smallest cell, in the same way.
    Min,
    /// The standard deviation, of all rows and no sample: the divisor is their number.
    Std,
    /// The log of the mean of exponentials.
    LogMeanExp,
    /// The mean weighted by the softmax of the cells themselves.
    Softmax,
}

/// A way to reduce rows of numbers of a type.
pub(crate) trait Reduction<V>: Sync {
    /// Lines of a state.
    fn lines(&self) -> usize;

    /// The state of some rows, of which there is at least one; `cells` are theirs, one row after the other.
    fn reduce(&self, rows: &[usize], cells: &[V], lanes: usize, state: &mut [V]);

    /// Adds to the state of so many rows that of so many later ones.
    fn merge(&self, state: &mut [V], later: &[V], counts: [usize; 2], lanes: usize);

    /// The results of a state of so many rows.
    fn finish(&self, state: &[V], count: usize, into: &mut [V]);
}

/// Reductions of floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats {
    pub mode: SegmentMode,
    /// Whether the place of an extreme is kept.
    pub placed: bool,
}

/// Whether a cell takes the place of an extreme, which came before it.
#[inline(always)]
fn beats(cell: f64, best: f64, min: bool) -> bool {
    let above = if min { cell < best } else { cell > best };
    (above || cell.is_nan()) && !best.is_nan()
}

/// `exp(x - largest)`: 1 for the largest, even if that is infinite.
#[inline(always)]
fn weight(x: f64, largest: f64) -> f64 {
    /// Below, the exponential is so close to 0 that beside the largest it adds nothing.
    const LEAST: f64 = -700.0;
    let difference = if x == largest { 0.0 } else { x - largest };
    let power = math::exp(if difference < LEAST { LEAST } else { difference });
    if difference < LEAST { 0.0 } else { power }
}

/// `factor x`, where nothing of an infinity is nothing.
#[inline(always)]
fn part(factor: f64, x: f64) -> f64 {
    if factor == 0.0 && !x.is_nan() { 0.0 } else { factor * x }
}

impl Reduction<f64> for Floats {
    fn lines(&self) -> usize {
        match self.mode {
            SegmentMode::Sum | SegmentMode::Mean => 1,
            SegmentMode::Max | SegmentMode::Min => 1 + self.placed as usize,
            SegmentMode::Std => 2,
            SegmentMode::LogMeanExp | SegmentMode::Softmax => 3,
        }
    }

    fn reduce(&self, rows: &[usize], cells: &[f64], lanes: usize, state: &mut [f64]) {
        Level::current().run(Reduce { of: *self, rows, cells, lanes, state });
    }

    fn merge(&self, state: &mut [f64], later: &[f64], [count, more]: [usize; 2], lanes: usize) {
        for lane in 0..lanes {
            let line = |at: usize| at * lanes + lane;
            match self.mode {
                SegmentMode::Sum | SegmentMode::Mean => state[lane] += later[lane],
                SegmentMode::Max | SegmentMode::Min => {
                    if beats(later[lane], state[lane], self.mode == SegmentMode::Min) {
                        (0..self.lines()).for_each(|at| state[line(at)] = later[line(at)]);
                    }
                }
                // Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
                SegmentMode::Std => {
                    let (n, m) = (count as f64, more as f64);
                    let difference = later[lane] - state[lane];
                    state[lane] += difference * (m / (n + m));
                    state[line(1)] += later[line(1)] + difference * difference * (n * m / (n + m));
                }
                SegmentMode::LogMeanExp | SegmentMode::Softmax => {
                    let largest = if beats(later[lane], state[lane], false) { later[lane] } else { state[lane] };
                    let of = |state: &[f64], count: usize| {
                        let (factor, [largest_there, total, rest]) =
                            (weight(state[lane], largest), [0, 1, 2].map(|at| state[line(at)]));
                        let moved = if largest_there == largest { 0.0 } else { largest_there - largest };
                        let rest = match self.mode {
                            SegmentMode::Softmax => part(factor, rest) + part(factor * total, moved),
                            _ => factor * rest + count as f64 * moved.exp_m1(),
                        };
                        (factor * total, rest)
                    };
                    let ((total, rest), (more_total, more_rest)) = (of(state, count), of(later, more));
                    state[lane] = largest;
                    state[line(1)] = total + more_total;
                    state[line(2)] = rest + more_rest;
                }
            }
        }
    }

    fn finish(&self, state: &[f64], count: usize, into: &mut [f64]) {
        let (lanes, n) = (into.len(), count as f64);
        for (lane, result) in into.iter_mut().enumerate() {
            *result = match self.mode {
                SegmentMode::Sum | SegmentMode::Max | SegmentMode::Min => state[lane],
                SegmentMode::Mean => state[lane] / n,
                SegmentMode::Std => (state[lanes + lane] / n).sqrt(),
                SegmentMode::LogMeanExp => log_mean(state[lane], state[lanes + lane] / n, state[2 * lanes + lane] / n),
                SegmentMode::Softmax => soft_mean(state[lane], state[lanes + lane], state[2 * lanes + lane]),
            };
        }
    }
}

/// The log of the mean of exponentials from the largest exponent, the mean of the exponentials that are shifted by it, and
/// the mean of what they differ from 1 by.
fn log_mean(largest: f64, mean: f64, rest: f64) -> f64 {
    if largest.is_infinite() {
        return largest;
    }
    // Of exponents that hardly differ, the mean is next to 1, where its logarithm has few digits.
    largest + if mean < 0.5 { mean.ln() } else { rest.ln_1p() }
}

/// The weighted mean from the largest cell, the sum of weights, and that of weighted differences from the largest.
#[inline(always)]
fn soft_mean(largest: f64, total: f64, rest: f64) -> f64 {
    if rest == 0.0 { largest } else { largest + rest / total }
}

impl Floats {
    /// How the result of a segment of `count` rows changes with each cell of some of them, times a factor for each lane.
    pub fn slopes(self, rows: &[usize], cells: &[f64], state: &[f64], count: usize, factors: &[f64], into: &mut [f64]) {
        let (lanes, n) = (factors.len(), count as f64);
        for (place, (row, into)) in rows.iter().zip(into.chunks_exact_mut(lanes)).enumerate() {
            let cell = |lane: usize| cells[place * lanes + lane];
            for (lane, (slope, &factor)) in into.iter_mut().zip(factors).enumerate() {
                let line = |at: usize| state[at * lanes + lane];
                *slope = match self.mode {
                    SegmentMode::Sum => factor,
                    SegmentMode::Mean => factor / n,
                    SegmentMode::Max | SegmentMode::Min => {
                        if line(1) == *row as f64 {
                            factor
                        } else {
                            0.0
                        }
                    }
                    SegmentMode::Std => {
                        let deviation = (line(1) / n).sqrt();
                        if deviation == 0.0 { 0.0 } else { factor * ((cell(lane) - line(0)) / (n * deviation)) }
                    }
                    SegmentMode::LogMeanExp => factor * (weight(cell(lane), line(0)) / line(1)),
                    SegmentMode::Softmax => {
                        let mean = soft_mean(line(0), line(1), line(2));
                        factor * part(weight(cell(lane), line(0)) / line(1), 1.0 + (cell(lane) - mean))
                    }
                };
            }
        }
    }

    /// Whether slopes depend on the cells.
    pub fn reads_cells(self) -> bool {
        matches!(self.mode, SegmentMode::Std | SegmentMode::LogMeanExp | SegmentMode::Softmax)
    }
}

/// [`Floats::reduce`], compiled for a CPU level.
struct Reduce<'a> {
    of: Floats,
    rows: &'a [usize],
    cells: &'a [f64],
    lanes: usize,
    state: &'a mut [f64],
}

impl Kernel for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Self { of, rows, cells, lanes, state } = self;
        let (first, rest) = state.split_at_mut(lanes);
        match of.mode {
            SegmentMode::Sum | SegmentMode::Mean => totals(cells, first, |cell, _| cell, &cells[..lanes]),
            SegmentMode::Max | SegmentMode::Min => {
                let min = of.mode == SegmentMode::Min;
                first.copy_from_slice(&cells[..lanes]);
                if of.placed {
                    rest.fill(rows[0] as f64);
                    for (row, cells) in rows.iter().zip(cells.chunks_exact(lanes)).skip(1) {
                        for ((best, place), &cell) in first.iter_mut().zip(&mut *rest).zip(cells) {
                            let better = beats(cell, *best, min);
                            *best = if better { cell } else { *best };
                            *place = if better { *row as f64 } else { *place };
                        }
                    }
                } else if min {
                    extremes(cells, first, true);
                } else {
                    extremes(cells, first, false);
                }
            }
            SegmentMode::Std => {
                let n = rows.len() as f64;
                // Differences from the first cell: the mean of equal cells is that cell, and their deviation 0.
                let origin = &cells[..lanes];
                totals(cells, first, |cell, origin| cell - origin, origin);
                for (mean, origin) in first.iter_mut().zip(origin) {
                    *mean = origin + *mean / n;
                }
                totals(cells, rest, |cell, mean| (cell - mean) * (cell - mean), first);
            }
            SegmentMode::LogMeanExp | SegmentMode::Softmax => {
                first.copy_from_slice(&cells[..lanes]);
                extremes(cells, first, false);
                let (total, last) = rest.split_at_mut(lanes);
                totals(cells, total, weight, first);
                if of.mode == SegmentMode::Softmax {
                    let shifted = |cell: f64, largest: f64| if cell == largest { 0.0 } else { cell - largest };
                    totals(cells, last, |cell, largest| part(weight(cell, largest), shifted(cell, largest)), first);
                } else {
                    totals(cells, last, difference_from_1, first);
                }
            }
        }
    }
}

/// `exp(x - largest) - 1`.
#[inline(always)]
fn difference_from_1(x: f64, largest: f64) -> f64 {
    let difference = if x == largest { 0.0 } else { x - largest };
    if difference > -0.5 { difference.exp_m1() } else { weight(x, largest) - 1.0 }
}

/// For each lane, the sum of a function of its cells and of a number of its own.
#[inline(always)]
fn totals(cells: &[f64], into: &mut [f64], f: impl Fn(f64, f64) -> f64 + Copy, beside: &[f64]) {
    if let ([into], [beside]) = (&mut *into, beside) {
        *into = sum(cells.len(), |i| f(cells[i], *beside));
        return;
    }
    into.fill(0.0);
    for cells in cells.chunks_exact(into.len()) {
        for ((total, &cell), &beside) in into.iter_mut().zip(cells).zip(beside) {
            *total += f(cell, beside);
        }
    }
}

#[inline(always)]
fn extremes(cells: &[f64], into: &mut [f64], min: bool) {
    for cells in cells.chunks_exact(into.len()) {
        for (best, &cell) in into.iter_mut().zip(cells) {
            *best = if beats(cell, *best, min) { cell } else { *best };
        }
    }
}

/// Reductions of integers, which stay exact: sums are modulo 2^64.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whole {
    Sum,
    /// An extreme. Numbers are compared after these bits are flipped: the top one, if they stand for unsigned ones.
    Max(i64),
    Min(i64),
}

impl Whole {
    #[inline(always)]
    fn step(self, state: i64, later: i64) -> i64 {
        match self {
            Self::Sum => state.wrapping_add(later),
            Self::Max(flip) => ((state ^ flip).max(later ^ flip)) ^ flip,
            Self::Min(flip) => ((state ^ flip).min(later ^ flip)) ^ flip,
        }
    }
}

impl Reduction<i64> for Whole {
    fn lines(&self) -> usize {
        1
    }

    fn reduce(&self, _: &[usize], cells: &[i64], lanes: usize, state: &mut [i64]) {
        state.copy_from_slice(&cells[..lanes]);
        for cells in cells[lanes..].chunks_exact(lanes) {
            state.iter_mut().zip(cells).for_each(|(state, &cell)| *state = self.step(*state, cell));
        }
    }

    fn merge(&self, state: &mut [i64], later: &[i64], _: [usize; 2], _: usize) {
        state.iter_mut().zip(later).for_each(|(state, &later)| *state = self.step(*state, later));
    }

    fn finish(&self, state: &[i64], _: usize, into: &mut [i64]) {
        into.copy_from_slice(state);
    }
}
