//! Rows of a binomial blur, and of its transposed map.
//!
//! Row `f` of Pascal's triangle is what `f - 1` sums of neighbours make of a single 1. Kernels therefore never multiply by
//! a coefficient: they add neighbours as often as that, and scale by a power of two in the end. The sum of two equal numbers
//! is exact, and so a constant comes out as it went in, whatever the size of the filter.
//!
//! A line is a row of positions of so many lanes each, in `f64`, with [`SLACK`] cells more than are used: blocks may run over
//! its end, and what they leave there is never read as a result.

use super::dispatch::Kernel;
use crate::element::Element;
use crate::strided::{AHEAD, Raw};
use crate::vector::Vectors;

/// Cells of a block: a vector of 64 bytes.
const BLOCK: usize = 8;
/// Cells that a line has beyond those that are used.
pub(crate) const SLACK: usize = 4 * BLOCK;

/// `F` rows of the array summed to a line.
pub(crate) struct Under<'a, T, const F: usize> {
    /// Cells of the array under each other, of `lanes` for each position.
    pub rows: [&'a [T]; F],
    /// The first row that the windows before do not cover.
    pub fresh: usize,
    pub lanes: usize,
    pub line: &'a mut [f64],
    /// Where in the line the sums of rows are put.
    pub at: usize,
    /// Positions of the line beyond the border of the array, and those that stand in for them, if any do.
    pub patches: &'a [(usize, Option<usize>)],
}

impl<T: Element, const F: usize> Kernel for Under<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Self { rows, fresh, lanes, line, at, patches } = self;
        fold(rows, fresh, &mut line[at * lanes..]);
        for &(to, from) in patches {
            match from {
                Some(from) => line.copy_within(from * lanes..(from + 1) * lanes, to * lanes),
                None => line[to * lanes..(to + 1) * lanes].fill(0.0),
            }
        }
    }
}

/// Neighbours of a line summed to results: windows of `F` positions.
pub(crate) struct Along<'a, R, const F: usize> {
    pub line: &'a [f64],
    /// The position where the first window begins, and the way from each to the next.
    pub first: usize,
    pub stride: usize,
    pub lanes: usize,
    pub outputs: usize,
    /// The reciprocal of the sum of all coefficients.
    pub scale: f64,
    pub into: &'a mut [R],
}

impl<R: Element, const F: usize> Kernel for Along<'_, R, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let Self { line, first, stride, lanes, outputs, scale, into } = self;
        let line = &line[first * lanes..];
        match (stride, lanes) {
            (1, _) => blocks::<R, F>(line, lanes, scale, &mut into[..], outputs * lanes),
            (2, 1) => {
                for at in (0..outputs).step_by(BLOCK) {
                    let mut taps = [[0.0; BLOCK]; F];
                    for (k, tap) in taps.iter_mut().enumerate() {
                        *tap = vectors.evens::<f64, BLOCK>(&line[2 * at + k..2 * at + k + 2 * BLOCK - 1]);
                    }
                    put(taps, scale, &mut into[at..]);
                }
            }
            (_, 1) => {
                for (o, result) in into[..outputs].iter_mut().enumerate() {
                    let mut taps = [[0.0]; F];
                    for (k, tap) in taps.iter_mut().enumerate() {
                        *tap = [line[o * stride + k]];
                    }
                    *result = R::from_f64(folded(taps)[0] * scale);
                }
            }
            // In ascending order, so that what a block writes too far is written again.
            _ => (0..outputs).for_each(|o| {
                blocks::<R, F>(&line[o * stride * lanes..], lanes, scale, &mut into[o * lanes..], lanes);
            }),
        }
    }
}

/// The first `n` results of windows whose cells are `distance` apart.
#[inline(always)]
fn blocks<R: Element, const F: usize>(line: &[f64], distance: usize, scale: f64, into: &mut [R], n: usize) {
    for at in (0..n).step_by(BLOCK) {
        let mut taps = [[0.0; BLOCK]; F];
        for (k, tap) in taps.iter_mut().enumerate() {
            *tap = block(line, at + k * distance);
        }
        put(taps, scale, &mut into[at..]);
    }
}

/// Writes a block of results, given all of their cells.
#[inline(always)]
fn put<R: Element, const F: usize>(taps: [[f64; BLOCK]; F], scale: f64, into: &mut [R]) {
    let sums = folded(taps);
    let mut results = [R::default(); BLOCK];
    for l in 0..BLOCK {
        results[l] = R::from_f64(sums[l] * scale);
    }
    into[..BLOCK].copy_from_slice(&results);
}

/// Sums rows to a line. What lies behind fresh rows is asked for on the way, so that sums are made while memory is read.
#[inline(always)]
fn fold<T: Element, const F: usize>(rows: [&[T]; F], fresh: usize, into: &mut [f64]) {
    let ahead = (AHEAD / size_of::<T>().max(1)) as isize;
    let n = rows[0].len();
    if n < BLOCK {
        for (at, sum) in into[..n].iter_mut().enumerate() {
            *sum = folded(rows.map(|row| [row[at].to_f64()]))[0];
        }
        return;
    }
    for at in (0..n).step_by(BLOCK) {
        // The last block overlaps the one before instead of leaving a tail.
        let at = at.min(n - BLOCK);
        let mut cells = [[0.0; BLOCK]; F];
        for k in 0..F {
            let row = &rows[k][at..at + BLOCK];
            if k >= fresh {
                Raw::from_ref(row).prefetch::<false>(ahead, BLOCK);
            }
            for l in 0..BLOCK {
                cells[k][l] = row[l].to_f64();
            }
        }
        into[at..at + BLOCK].copy_from_slice(&folded(cells));
    }
}

/// Sums neighbours, and neighbouring sums, until one is left.
#[inline(always)]
fn folded<const F: usize, const N: usize>(mut rows: [[f64; N]; F]) -> [f64; N] {
    for last in (1..F).rev() {
        for k in 0..last {
            let next = rows[k + 1];
            for (sum, cell) in rows[k].iter_mut().zip(next) {
                *sum += cell;
            }
        }
    }
    rows[0]
}

/// Adds to each of the first `n` cells the one that is `distance` further along.
#[inline(always)]
fn add_neighbours(line: &mut [f64], n: usize, distance: usize) {
    for at in (0..n).step_by(BLOCK) {
        let (mut sums, later) = (block(line, at), block(line, at + distance));
        for l in 0..BLOCK {
            sums[l] += later[l];
        }
        line[at..at + BLOCK].copy_from_slice(&sums);
    }
}

#[inline(always)]
fn block(line: &[f64], at: usize) -> [f64; BLOCK] {
    let mut cells = [0.0; BLOCK];
    cells.copy_from_slice(&line[at..at + BLOCK]);
    cells
}

/// Adds a multiple of a row to a line.
pub(crate) struct AddScaled<'a, T> {
    pub row: &'a [T],
    pub factor: f64,
    pub into: &'a mut [f64],
}

impl<T: Element> Kernel for AddScaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for (sum, cell) in self.into.iter_mut().zip(self.row) {
            *sum += cell.to_f64() * self.factor;
        }
    }
}

/// Results spread along a line and summed: what a row of cotangents gives to each position.
pub(crate) struct Spread<'a, R> {
    /// A row of cotangents, of `lanes` for each position.
    pub from: &'a [f64],
    pub line: &'a mut [f64],
    /// The position of the first of them, and the way from each to the next.
    pub first: usize,
    pub stride: usize,
    pub lanes: usize,
    /// The size of the filter, and of the line that is left in the end.
    pub filter: usize,
    pub columns: usize,
    /// Positions beyond the border of the array, and those that get what comes to them, if any do.
    pub patches: &'a [(usize, Option<usize>)],
    pub scale: f64,
    /// The cells of the line from this position on.
    pub at: usize,
    pub into: &'a mut [R],
}

impl<R: Element> Kernel for Spread<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Self { from, line, first, stride, lanes, filter, columns, patches, scale, at, into } = self;
        let all = columns + filter - 1;
        line[..all * lanes].fill(0.0);
        match (stride, lanes) {
            (1, _) => line[first * lanes..first * lanes + from.len()].copy_from_slice(from),
            (_, 1) => line[first..].iter_mut().step_by(stride).zip(from).for_each(|(to, cell)| *to = *cell),
            _ => {
                for (o, cells) in from.chunks_exact(lanes).enumerate() {
                    line[(first + o * stride) * lanes..][..lanes].copy_from_slice(cells);
                }
            }
        }
        for pass in 1..filter {
            add_neighbours(line, (all - pass) * lanes, lanes);
        }
        for &(from, to) in patches {
            if let Some(to) = to {
                for lane in 0..lanes {
                    line[to * lanes + lane] += line[from * lanes + lane];
                }
            }
        }
        for (result, sum) in into.iter_mut().zip(&line[at * lanes..columns * lanes]) {
            *result = R::from_f64(sum * scale);
        }
    }
}
