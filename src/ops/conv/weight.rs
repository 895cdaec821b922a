//! The gradient of a correlation in its weights: for each weight the sum, over all positions, of the cell that it is
//! multiplied with times the position's cotangent.
//!
//! A task owns some weights of a group, and sums over positions in their order. Where there are few weights, positions are
//! also cut into parts, whose sums are added in order. Either depends on the shapes alone.

use ndarray::linalg::{general_mat_mul, general_mat_vec_mul};
use ndarray::{ArrayViewMut1, aview1};

use super::grid::{Grid, Runs, Strides};
use super::product::{PRODUCTS_PER_BYTE, TASKS, TILE, WeightStrides, matrix, matrix_mut};
use super::taps::Taps;
use crate::element::Real;
use crate::engine::{Field, Writer, offset_of, reserve};
use crate::error::{PoolError, Result};
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Weights of a task, for each of some channels of the result.
const DEPTH: usize = 256;
const CHANNELS: usize = 512;
/// Tiles that are summed in the type of the products, before the sum is added to others in `f64`. All tasks do as many
/// before they go on, so that a call can end.
const ROUND: usize = 8;
/// Weights that a task writes, for every channel of the result.
const ROWS: usize = 64;

pub(super) struct WeightGradient<'a, A> {
    pub groups: usize,
    pub axes: Vec<Taps>,
    pub x: Field<'a, A>,
    pub x_strides: Strides,
    pub dy: Field<'a, A>,
    pub dy_strides: Strides,
    pub dw: &'a dyn Writer<f64>,
    pub dw_strides: WeightStrides,
}

/// The work buffers of a thread.
struct Scratch<A> {
    runs: Runs,
    columns: Vec<A>,
    cotangents: Vec<A>,
    sums: Vec<A>,
    line: Vec<f64>,
}

impl<A: Real> WeightGradient<'_, A> {
    /// Writes the cotangents of the weights.
    pub fn run(mut self, parallel: &Parallel<'_>) -> Result<()> {
        let arrays = &mut [&mut self.x_strides, &mut self.dy_strides];
        let grid = Grid::new(&self.axes, arrays, &mut [&mut self.dw_strides.axes]);
        let (positions, outputs) = (grid.positions(), self.dy_strides.channels);
        let depth = self.x_strides.channels * grid.taps();
        let (blocks, stripes) = (depth.div_ceil(DEPTH), outputs.div_ceil(CHANNELS));
        let tiles = positions.div_ceil(TILE);
        let owners = self.groups * blocks * stripes;
        let parts = (TASKS / owners).clamp(1, tiles.max(1));
        let cells = self.groups * depth * outputs;
        let memory = || PoolError::Memory { bytes: usize::MAX };
        let mut sums = Vec::new();
        reserve(&mut sums, cells.checked_mul(parts).ok_or_else(memory)?)?;
        let into = Raw::of(&mut sums);
        let of_part = tiles.div_ceil(parts);
        for round in 0..of_part.div_ceil(ROUND) {
            let task = |scratch: &mut Scratch<A>, index: usize| {
                let (part, owned) = (index / owners, index % owners);
                let (group, block, stripe) = (owned / stripes / blocks, owned / stripes % blocks, owned % stripes);
                let weights = block * DEPTH..depth.min((block + 1) * DEPTH);
                let channels = stripe * CHANNELS..outputs.min((stripe + 1) * CHANNELS);
                let (width, height) = (channels.len(), weights.len());
                reserve(&mut scratch.sums, width * height)?;
                scratch.sums[..width * height].fill(A::zero());
                let first = part * of_part + round * ROUND;
                for tile in first..tiles.min((part + 1) * of_part).min(first + ROUND) {
                    let Scratch { runs, columns, cotangents, sums, .. } = &mut *scratch;
                    grid.runs(tile * TILE..positions.min((tile + 1) * TILE), runs);
                    let n = runs.len();
                    reserve(columns, n * height)?;
                    let columns = &mut columns[..n * height];
                    grid.columns((self.x, &self.x_strides), group, weights.clone(), runs, columns);
                    reserve(cotangents, n * width)?;
                    let cotangents = &mut cotangents[..n * width];
                    self.cotangents(&grid, runs, group * outputs + channels.start, cotangents);
                    multiply(&grid, columns, cotangents, n, &mut sums[..width * height]);
                }
                reserve(&mut scratch.line, width)?;
                let line = &mut scratch.line[..width];
                for (weight, row) in weights.zip(scratch.sums.chunks_exact(width)) {
                    let offset = ((part * self.groups + group) * depth + weight) * outputs + channels.start;
                    into.gather(offset as isize, 1, line, |sum| sum);
                    line.iter_mut().zip(row).for_each(|(sum, &product)| *sum += product.lower::<f64>());
                    into.scatter(offset as isize, 1, width, |channel| line[channel]);
                }
                Ok(())
            };
            let products = cells.saturating_mul(TILE * ROUND * parts);
            let scratch = || Scratch {
                runs: Runs::default(),
                columns: Vec::new(),
                cotangents: Vec::new(),
                sums: Vec::new(),
                line: Vec::new(),
            };
            parallel.run(parts * owners, products / PRODUCTS_PER_BYTE, scratch, task, drop)?;
        }
        self.write(&grid, &sums, parts, parallel)
    }

    /// Reads the cotangents of positions, of some channels of the result: a row for each channel, or in lanes for each
    /// position.
    fn cotangents(&self, grid: &Grid, runs: &Runs, channel: usize, into: &mut [A]) {
        let (n, stride) = (runs.len(), self.dy_strides.channel);
        let width = into.len() / n;
        let base = channel as isize * stride;
        grid.results(&self.dy_strides, runs, |offset, step, range| {
            if grid.lanes {
                for (position, row) in into.chunks_exact_mut(width).skip(range.start).take(range.len()).enumerate() {
                    self.dy.reader.read(base + offset + position as isize * step, stride, row);
                }
            } else {
                for (channel, row) in into.chunks_exact_mut(n).enumerate() {
                    self.dy.reader.read(base + offset + channel as isize * stride, step, &mut row[range.clone()]);
                }
            }
        });
    }

    /// Adds the sums of parts and writes them.
    fn write(&self, grid: &Grid, sums: &[f64], parts: usize, parallel: &Parallel<'_>) -> Result<()> {
        let (inputs, outputs) = (self.x_strides.channels, self.dy_strides.channels);
        let rows = self.groups * inputs * grid.taps();
        let (first, mut dims) = self.dw_strides.of_position(grid, inputs);
        dims.insert(0, (self.groups, self.dw_strides.group));
        let task = |total: &mut Vec<f64>, index: usize| {
            reserve(total, outputs)?;
            let total = &mut total[..outputs];
            for row in index * ROWS..rows.min((index + 1) * ROWS) {
                total.fill(0.0);
                for part in 0..parts {
                    let part = &sums[(part * rows + row) * outputs..][..outputs];
                    total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
                }
                self.dw.write(first + offset_of(row, &dims), self.dw_strides.output, total);
            }
            Ok(())
        };
        parallel.run(rows.div_ceil(ROWS), size_of_val(sums), Vec::new, task, drop)
    }
}

/// Adds the products of columns and cotangents of `n` positions to sums, a row of channels for each weight.
fn multiply<A: Real>(grid: &Grid, columns: &[A], cotangents: &[A], n: usize, sums: &mut [A]) {
    let (height, width) = (columns.len() / n, cotangents.len() / n);
    let one = A::one();
    match (grid.lanes, width) {
        (false, 1) => {
            let mut sums = ArrayViewMut1::from(sums);
            general_mat_vec_mul(one, &matrix(height, n, columns), &aview1(cotangents), one, &mut sums);
        }
        (true, 1) => {
            for (row, &cotangent) in columns.chunks_exact(height).zip(cotangents) {
                sums.iter_mut().zip(row).for_each(|(sum, &cell)| *sum += cell * cotangent);
            }
        }
        (false, _) => {
            let cotangents = matrix(width, n, cotangents);
            general_mat_mul(
                one,
                &matrix(height, n, columns),
                &cotangents.t(),
                one,
                &mut matrix_mut(height, width, sums),
            );
        }
        (true, _) => {
            let (columns, cotangents) = (matrix(n, height, columns), matrix(n, width, cotangents));
            general_mat_mul(one, &columns.t(), &cotangents, one, &mut matrix_mut(height, width, sums));
        }
    }
}
