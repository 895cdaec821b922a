//! The inner loops: a bin of a box in sixteen channels at once.
//!
//! Cells lie in a tile with the channels of each side by side, so that a tap is one vector operation with one weight. A bin
//! sums the columns of a row, then the rows; where points of a bin share cells their weights were merged before, so that
//! this is as little work as to combine rows first, and needs no scratch.

use std::ops::{Add, Div, Mul};

use super::boxes::{Bin, Tap};
use crate::element::Ordered;
use crate::kernel::dispatch::{Kernel, Level};
use crate::vector::Vectors;

/// Channels that are worked on together: a vector of `f32` at the highest CPU level.
pub(super) const LANES: usize = 16;
/// The winner of a bin in which no cell won.
pub(super) const NOBODY: u32 = u32::MAX;

/// A type that regions are computed in.
pub(super) trait Lane: Ordered + Add<Output = Self> + Mul<Output = Self> + Div<Output = Self> {
    /// From a weight.
    fn of(weight: f64) -> Self;
    /// Back to a weight.
    fn to_weight(self) -> f64;
}

macro_rules! lane {
    ($($t:ty),*) => {$(
        impl Lane for $t {
            #[inline(always)]
            fn of(weight: f64) -> Self { weight as $t }
            #[inline(always)]
            fn to_weight(self) -> f64 { self as f64 }
        }
    )*};
}
lane!(f32, f64, i64);

/// The values of one cell, or of one bin, in neighbouring channels.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Lanes<W>(pub [W; LANES]);

/// Bins along both axes, of one box, and the tile that their taps lie in.
pub(super) struct Region<'a, W> {
    pub tile: &'a [Lanes<W>],
    pub rows: (&'a [Bin], &'a [Tap<W>]),
    pub columns: (&'a [Bin], &'a [Tap<W>]),
}

/// Which cell won each bin, and the weight it won with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Winner<W> {
    pub cells: [u32; LANES],
    pub weights: [W; LANES],
}

impl<W: Lane> Default for Winner<W> {
    fn default() -> Self {
        Self { cells: [NOBODY; LANES], weights: [W::default(); LANES] }
    }
}

/// What bins are reduced to.
pub(super) trait Reduction<W>: Sync {
    /// Continues the values of all bins, in C order.
    fn values(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>]);

    /// The same, and which cells won.
    fn winners(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>], winners: &mut [Winner<W>]);

    /// What is left to do when all cells were seen.
    fn finish(&self, _: Level, _: &Region<'_, W>, _: &mut [Lanes<W>]) {}
}

/// Sums of weighted cells.
pub(super) struct Sums;

/// The largest term `weight * cell`: ONNX's mode `max` of `RoiAlign`. Of all weights a cell has in a bin, either the largest
/// or the least makes the largest term.
pub(super) struct LargestTerm;

/// The largest cell.
pub(super) struct LargestCell;

impl<W: Lane> Reduction<W> for Sums {
    fn values(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>]) {
        level.run(Sum { region, values });
    }

    fn winners(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>], _: &mut [Winner<W>]) {
        self.values(level, region, values);
    }

    fn finish(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>]) {
        level.run(Divide { region, values });
    }
}

impl<W: Lane> Reduction<W> for LargestTerm {
    fn values(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>]) {
        level.run(Largest::<W, true, false> { region, values, winners: &mut [] });
    }

    fn winners(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>], winners: &mut [Winner<W>]) {
        level.run(Largest::<W, true, true> { region, values, winners });
    }
}

impl<W: Lane> Reduction<W> for LargestCell {
    fn values(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>]) {
        level.run(Largest::<W, false, false> { region, values, winners: &mut [] });
    }

    fn winners(&self, level: Level, region: &Region<'_, W>, values: &mut [Lanes<W>], winners: &mut [Winner<W>]) {
        level.run(Largest::<W, false, true> { region, values, winners });
    }
}

struct Sum<'a, W> {
    region: &'a Region<'a, W>,
    values: &'a mut [Lanes<W>],
}

impl<W: Lane> Kernel for Sum<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Region { tile, rows, columns } = *self.region;
        for (row_bin, values) in rows.0.iter().zip(self.values.chunks_exact_mut(columns.0.len())) {
            let rows = &rows.1[row_bin.start..row_bin.end];
            for (bin, value) in columns.0.iter().zip(values) {
                let columns = &columns.1[bin.start..bin.end];
                // Two points on an axis have two to four cells: loops of a known length take half the time.
                match *columns {
                    [a, b] => add(tile, rows, &[a, b], &mut value.0),
                    [a, b, c] => add(tile, rows, &[a, b, c], &mut value.0),
                    [a, b, c, d] => add(tile, rows, &[a, b, c, d], &mut value.0),
                    _ => add(tile, rows, columns, &mut value.0),
                }
            }
        }
    }
}

/// Adds a bin to a sum.
#[inline(always)]
fn add<W: Lane>(tile: &[Lanes<W>], rows: &[Tap<W>], columns: &(impl AsRef<[Tap<W>]> + ?Sized), total: &mut [W; LANES]) {
    let mut sums = *total;
    for row in rows {
        let mut sum = [W::default(); LANES];
        for column in columns.as_ref() {
            let cell = &tile[row.place + column.place].0;
            for l in 0..LANES {
                sum[l] = sum[l] + column.weight * cell[l];
            }
        }
        for l in 0..LANES {
            sums[l] = sums[l] + row.weight * sum[l];
        }
    }
    *total = sums;
}

struct Divide<'a, W> {
    region: &'a Region<'a, W>,
    values: &'a mut [Lanes<W>],
}

impl<W: Lane> Kernel for Divide<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Region { rows, columns, .. } = *self.region;
        let (mut last, mut reciprocal) = (1.0, 1.0);
        for (row, values) in rows.0.iter().zip(self.values.chunks_exact_mut(columns.0.len())) {
            for (column, value) in columns.0.iter().zip(values) {
                let divisor = divisor(row, column);
                if divisor != last {
                    (last, reciprocal) = (divisor, 1.0 / divisor);
                }
                // Where the reciprocal is exact, so is the product with it, and four times as fast.
                if reciprocal.to_bits().trailing_zeros() >= f64::MANTISSA_DIGITS - 1 {
                    let by = W::of(reciprocal);
                    value.0.iter_mut().for_each(|sum| *sum = *sum * by);
                } else {
                    let by = W::of(divisor);
                    value.0.iter_mut().for_each(|sum| *sum = *sum / by);
                }
            }
        }
    }
}

/// Puts the values of bins lane by lane, `into` so many lanes.
pub(super) struct Transpose<'a, W> {
    pub values: &'a [Lanes<W>],
    pub into: &'a mut [W],
}

impl<W: Lane> Kernel for Transpose<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) {
        // Square blocks, whose rows are vectors.
        match const { size_of::<W>() } {
            4 if self.values.len() >= 16 => self.blocks::<V, 16>(vectors),
            8 if self.values.len() >= 4 => self.blocks::<V, 4>(vectors),
            _ => self.blocks::<V, 1>(vectors),
        }
    }
}

impl<W: Lane> Transpose<'_, W> {
    /// Blocks of `N` bins and lanes, at least one. The last block overlaps the one before instead of leaving a tail.
    #[inline(always)]
    fn blocks<V: Vectors, const N: usize>(&mut self, vectors: V) {
        let bins = self.values.len();
        let lanes = self.into.len() / bins.max(1);
        for lane in (0..lanes).step_by(N) {
            for bin in (0..bins).step_by(N).map(|bin| bin.min(bins - N)) {
                let mut block = [[W::default(); N]; N];
                for (row, values) in block.iter_mut().zip(&self.values[bin..]) {
                    row.copy_from_slice(&values.0[lane..lane + N]);
                }
                // Rows and columns are exchanged bit by bit of their numbers.
                for _ in 0..N.ilog2() {
                    let rows = block;
                    for (row, turns) in block.chunks_exact_mut(2).enumerate() {
                        turns.copy_from_slice(&vectors.zip(rows[row], rows[row + N / 2]));
                    }
                }
                for (row, into) in block.iter().zip(self.into[lane * bins..].chunks_exact_mut(bins)) {
                    into[bin..bin + N].copy_from_slice(row);
                }
            }
        }
    }
}

/// What the sum of a bin is divided by; the sum of no cells is 0 whatever that is.
#[inline(always)]
pub(super) fn divisor(row: &Bin, column: &Bin) -> f64 {
    (row.divisor * column.divisor).max(1.0)
}

struct Largest<'a, W, const WEIGHED: bool, const RECORD: bool> {
    region: &'a Region<'a, W>,
    values: &'a mut [Lanes<W>],
    winners: &'a mut [Winner<W>],
}

impl<W: Lane, const WEIGHED: bool, const RECORD: bool> Kernel for Largest<'_, W, WEIGHED, RECORD> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Region { tile, rows, columns } = *self.region;
        let bins = rows.0.iter().flat_map(|row| columns.0.iter().map(move |column| (row, column)));
        for (number, ((row_bin, bin), value)) in bins.zip(self.values).enumerate() {
            let columns = &columns.1[bin.start..bin.end];
            let mut best = value.0;
            let mut winner = if RECORD { self.winners[number] } else { Winner { cells: [0; LANES], weights: best } };
            for row in &rows.1[row_bin.start..row_bin.end] {
                for column in columns {
                    let place = row.place + column.place;
                    let cell = &tile[place].0;
                    let (high, low) = (row.weight * column.weight, row.least * column.least);
                    for l in 0..LANES {
                        let (mut term, mut weight) = (cell[l], high);
                        if WEIGHED {
                            let (most, least) = (high * cell[l], low * cell[l]);
                            let take_least = !(most >= least || most.is_nan());
                            term = if take_least { least } else { most };
                            weight = if take_least { low } else { high };
                        }
                        let better = term > best[l] || term.is_nan() && !best[l].is_nan();
                        best[l] = if better { term } else { best[l] };
                        if RECORD {
                            winner.cells[l] = if better { place as u32 } else { winner.cells[l] };
                            winner.weights[l] = if better { weight } else { winner.weights[l] };
                        }
                    }
                }
            }
            value.0 = best;
            if RECORD {
                self.winners[number] = winner;
            }
        }
    }
}
