//! Correlations as products of matrices: a tile of positions at a time, the cells of its columns brought together in cache
//! and multiplied with the weights of a group.
//!
//! The way a call is cut into tasks depends on its shapes alone, and no sum is shared by two tasks: the same bits for any
//! number of threads.

use std::ops::Range;

use ndarray::linalg::{general_mat_mul, general_mat_vec_mul};
use ndarray::{ArrayView2, ArrayViewMut1, ArrayViewMut2, s};

use super::grid::{Grid, Runs, Strides};
use super::taps::Taps;
use crate::element::Real;
use crate::engine::{Field, Writer, offset_of, reserve};
use crate::error::{PoolError, Result};
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Positions of a tile: with [`DEPTH`] weights 512 KiB of `f32`, within the L2 cache of a core.
pub(super) const TILE: usize = 256;
/// Weights of a position that are multiplied at a time.
pub(super) const DEPTH: usize = 512;
/// Products of a task, at most: about 15 ms.
const PRODUCTS: usize = 1 << 30;
/// Tasks to be had, if tiles are not made too small by it: enough for the cores of most machines.
pub(super) const TASKS: usize = 8;
/// Products that take as long as a byte from memory.
pub(super) const PRODUCTS_PER_BYTE: usize = 4;

/// Weights as an operation reads them.
#[derive(Clone, Debug)]
pub(super) struct WeightStrides {
    /// From group to group, from one channel of the result to the next, and from one of the input to the next.
    pub group: isize,
    pub output: isize,
    pub input: isize,
    /// Along each axis of the grid from one cell of the kernel to the next.
    pub axes: Vec<isize>,
}

impl WeightStrides {
    /// Where the first weight of a position lies, and the lengths and strides that lead to the others, in the order of
    /// columns; what lies one after the other is joined.
    pub fn of_position(&self, grid: &Grid, inputs: usize) -> (isize, Vec<(usize, isize)>) {
        let axes = || grid.axes.iter().zip(&self.axes);
        let steps: Vec<isize> = axes().map(|(axis, stride)| axis.kernel_step as isize * stride).collect();
        let mut dims: Vec<(usize, isize)> = Vec::new();
        for (len, stride) in grid.dims((inputs, self.input), &steps) {
            match dims.last_mut() {
                _ if len == 1 => {}
                Some(outer) if outer.1 == stride * len as isize => *outer = (outer.0 * len, stride),
                _ => dims.push((len, stride)),
            }
        }
        (axes().map(|(axis, stride)| axis.kernel_first as isize * stride).sum(), dims)
    }
}

/// An input and the weights that it is correlated with.
pub(super) struct Term<'a, A> {
    pub x: Field<'a, A>,
    pub strides: Strides,
    pub weight: Field<'a, A>,
    pub weights: WeightStrides,
}

/// A sum of correlations, and a bias for each channel.
pub(super) struct Correlation<'a, A> {
    pub groups: usize,
    pub axes: Vec<Taps>,
    pub terms: Vec<Term<'a, A>>,
    pub bias: Option<Field<'a, A>>,
    pub y: &'a dyn Writer<A>,
    pub y_strides: Strides,
}

/// The work buffers of a thread.
struct Scratch<A> {
    runs: Runs,
    columns: Vec<A>,
    sums: Vec<A>,
}

/// How a call is cut into tasks.
struct Cut {
    tile: usize,
    tiles: usize,
    /// Channels of the result.
    block: usize,
    blocks: usize,
}

impl Cut {
    fn new(groups: usize, positions: usize, outputs: usize, weights: usize) -> Self {
        let (mut tile, mut block) = (TILE.min(positions), outputs.min(DEPTH));
        while tile < positions && tile < 4 * TILE && tile.saturating_mul(weights) < 1 << 14 {
            tile *= 2;
        }
        let products = |tile: usize, block: usize| weights.saturating_mul(tile).saturating_mul(block);
        while products(tile, block) > PRODUCTS && (tile > 1 || block > 1) {
            if tile > block { tile = tile.div_ceil(2) } else { block = block.div_ceil(2) }
        }
        let tasks = |tile, block| groups * positions.div_ceil(tile) * outputs.div_ceil(block);
        while tasks(tile, block) < TASKS && tile.max(block) > 64 {
            if tile > 64 { tile = tile.div_ceil(2) } else { block = block.div_ceil(2) }
        }
        Self { tile, tiles: positions.div_ceil(tile), block, blocks: outputs.div_ceil(block) }
    }
}

impl<A: Real> Correlation<'_, A> {
    /// Writes the result.
    pub fn run(mut self, parallel: &Parallel<'_>) -> Result<()> {
        let mut arrays = Vec::new();
        let mut weights = Vec::new();
        for term in &mut self.terms {
            arrays.push(&mut term.strides);
            weights.push(&mut term.weights.axes);
        }
        arrays.push(&mut self.y_strides);
        let grid = Grid::new(&self.axes, &mut arrays, &mut weights);
        let (positions, outputs) = (grid.positions(), self.y_strides.channels);
        if self.groups * positions * outputs == 0 {
            return Ok(());
        }
        let packed = self.terms.iter().map(|term| self.pack(&grid, term, parallel)).collect::<Result<Vec<_>>>()?;
        let mut bias = Vec::new();
        reserve(&mut bias, self.groups * outputs)?;
        if let Some(given) = self.bias {
            given.reader.read(0, given.strides[0], &mut bias);
        }
        let depth = self.terms.iter().map(|term| term.strides.channels * grid.taps()).sum();
        let cut = Cut::new(self.groups, positions, outputs, depth);
        let task = |scratch: &mut Scratch<A>, index: usize| {
            let (group, block, tile) =
                (index / cut.tiles / cut.blocks, index / cut.tiles % cut.blocks, index % cut.tiles);
            let channels = block * cut.block..outputs.min((block + 1) * cut.block);
            let positions = tile * cut.tile..positions.min((tile + 1) * cut.tile);
            self.tile(&grid, &packed, &bias, scratch, group, channels, positions)
        };
        let products = depth.saturating_mul(positions).saturating_mul(self.groups * outputs);
        let traffic = (products / PRODUCTS_PER_BYTE).saturating_add(positions * outputs * size_of::<A>());
        let scratch = || Scratch { runs: Runs::default(), columns: Vec::new(), sums: Vec::new() };
        parallel.run(self.groups * cut.tiles * cut.blocks, traffic, scratch, task, drop)
    }

    /// The weights of a term, for each group a matrix: a row for each weight of a position, a column for each channel of the
    /// result.
    fn pack(&self, grid: &Grid, term: &Term<'_, A>, parallel: &Parallel<'_>) -> Result<Vec<A>> {
        /// Channels of the result that a task packs.
        const BLOCK: usize = 32;
        let (outputs, inputs) = (self.y_strides.channels, term.strides.channels);
        let depth = inputs * grid.taps();
        let cells = depth.checked_mul(self.groups * outputs).ok_or(PoolError::Memory { bytes: usize::MAX })?;
        let mut packed = Vec::new();
        reserve(&mut packed, cells)?;
        let into = Raw::of(&mut packed);
        let strides = &term.weights;
        let (first, mut dims) = strides.of_position(grid, inputs);
        let (run, step) = dims.pop().unwrap_or((1, 1));
        // Long rows of a channel's weights are read as such, others across the channels.
        let along_weights = run >= 8 && step.unsigned_abs() < strides.output.unsigned_abs();
        let blocks = outputs.div_ceil(BLOCK);
        let task = |(block, line): &mut (Vec<A>, Vec<A>), index: usize| {
            let (group, first_output) = (index / blocks, index % blocks * BLOCK);
            let width = BLOCK.min(outputs - first_output);
            let base = first + group as isize * strides.group + first_output as isize * strides.output;
            reserve(block, depth * width)?;
            reserve(line, run)?;
            for (row, start) in (0..depth).step_by(run).enumerate() {
                let base = base + offset_of(row, &dims);
                if along_weights {
                    for output in 0..width {
                        term.weight.reader.read(base + output as isize * strides.output, step, &mut line[..run]);
                        for (weight, &value) in line[..run].iter().enumerate() {
                            block[(start + weight) * width + output] = value;
                        }
                    }
                } else {
                    for weight in 0..run {
                        let into = &mut block[(start + weight) * width..][..width];
                        term.weight.reader.read(base + weight as isize * step, strides.output, into);
                    }
                }
            }
            for (weight, row) in block[..depth * width].chunks_exact(width).enumerate() {
                let offset = (group * depth + weight) * outputs + first_output;
                into.scatter(offset as isize, 1, width, |output| row[output]);
            }
            Ok(())
        };
        parallel.run(self.groups * blocks, cells.saturating_mul(size_of::<A>()), Default::default, task, drop)?;
        Ok(packed)
    }

    #[allow(clippy::too_many_arguments)] // what a call is solved into, and which part of it
    fn tile(
        &self,
        grid: &Grid,
        packed: &[Vec<A>],
        bias: &[A],
        scratch: &mut Scratch<A>,
        group: usize,
        channels: Range<usize>,
        positions: Range<usize>,
    ) -> Result<()> {
        let Scratch { runs, columns, sums } = scratch;
        grid.runs(positions.clone(), runs);
        let (outputs, n) = (self.y_strides.channels, positions.len());
        let width = channels.len();
        reserve(sums, n * width)?;
        let sums = &mut sums[..n * width];
        let bias = &bias[group * outputs + channels.start..][..width];
        if grid.lanes {
            sums.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        } else {
            sums.chunks_exact_mut(n).zip(bias).for_each(|(row, &bias)| row.fill(bias));
        }
        for (term, packed) in self.terms.iter().zip(packed) {
            let depth = term.strides.channels * grid.taps();
            let matrix = matrix(depth, outputs, &packed[group * depth * outputs..][..depth * outputs]);
            for start in (0..depth).step_by(DEPTH) {
                let weights = start..depth.min(start + DEPTH);
                reserve(columns, n * weights.len())?;
                let columns = &mut columns[..n * weights.len()];
                grid.columns((term.x, &term.strides), group, weights.clone(), runs, columns);
                let matrix = matrix.slice(s![weights, channels.clone()]);
                if grid.lanes { multiply_lanes(columns, &matrix, sums) } else { multiply_rows(columns, &matrix, sums) }
            }
        }
        let base = (group * outputs + channels.start) as isize * self.y_strides.channel;
        grid.results(&self.y_strides, runs, |offset, step, range| {
            if grid.lanes {
                for (position, row) in sums.chunks_exact(width).skip(range.start).take(range.len()).enumerate() {
                    self.y.write(base + offset + position as isize * step, self.y_strides.channel, row);
                }
            } else {
                for (channel, row) in sums.chunks_exact(n).enumerate() {
                    let offset = base + offset + channel as isize * self.y_strides.channel;
                    self.y.write(offset, step, &row[range.clone()]);
                }
            }
        });
        Ok(())
    }
}

/// Adds products to sums: `columns` has a row of positions for each weight, `sums` one for each channel.
fn multiply_rows<A: Real>(columns: &[A], weights: &ArrayView2<'_, A>, sums: &mut [A]) {
    /// Channels up to which a loop is faster than a product of matrices, whose blocks are 8 or 16 wide.
    const FEW: usize = 4;
    let (depth, channels) = weights.dim();
    let n = sums.len() / channels;
    if n == 1 {
        for (&cell, weights) in columns.iter().zip(weights.rows()) {
            sums.iter_mut().zip(weights).for_each(|(sum, &weight)| *sum += weight * cell);
        }
    } else if channels <= FEW {
        for (sums, weights) in sums.chunks_exact_mut(n).zip(weights.columns()) {
            for (row, &weight) in columns.chunks_exact(n).zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &cell)| *sum += weight * cell);
            }
        }
    } else {
        general_mat_mul(
            A::one(),
            &weights.t(),
            &matrix(depth, n, columns),
            A::one(),
            &mut matrix_mut(channels, n, sums),
        );
    }
}

/// Adds products to sums: `columns` has a row of weights for each position, `sums` one of channels.
fn multiply_lanes<A: Real>(columns: &[A], weights: &ArrayView2<'_, A>, sums: &mut [A]) {
    let (depth, channels) = weights.dim();
    let n = sums.len() / channels;
    if n == 1 {
        multiply_rows(columns, weights, sums);
    } else if channels == 1 {
        let (columns, mut sums) = (matrix(n, depth, columns), ArrayViewMut1::from(sums));
        general_mat_vec_mul(A::one(), &columns, &weights.column(0), A::one(), &mut sums);
    } else {
        general_mat_mul(A::one(), &matrix(n, depth, columns), weights, A::one(), &mut matrix_mut(n, channels, sums));
    }
}

/// A slice as the rows of a matrix.
pub(super) fn matrix<A>(rows: usize, columns: usize, cells: &[A]) -> ArrayView2<'_, A> {
    ArrayView2::from_shape((rows, columns), cells).expect("a slice of so many cells")
}

/// A slice as the rows of a matrix to write to.
pub(super) fn matrix_mut<A>(rows: usize, columns: usize, cells: &mut [A]) -> ArrayViewMut2<'_, A> {
    ArrayViewMut2::from_shape((rows, columns), cells).expect("a slice of so many cells")
}
