//! Maps in which each value of a smaller plane belongs to one cell of a larger one: the derivatives of operations whose
//! cells are named by number, unpooling and fractional pooling.
//!
//! Towards the larger plane values are added to their cells, in C order of the smaller plane; towards the smaller plane
//! each value is read from its cell. The two are each other's transposes, so one table serves `vjp` and `jvp` of both kinds
//! of operation. The table has two bytes for each value where planes have up to 65,535 cells, else four or eight.

use std::ops::Range;

use super::gradient::{expect_float, expect_shape};
use super::planes::{self, Planes, Step};
use super::solved::Solved;
use crate::element::{Element, Position};
use crate::engine::reserve;
use crate::error::{Result, try_vec};
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

/// For each value of the smaller planes, its cell in the larger one, or the type's largest number for none.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

/// Runs an expression with `$cells` as the table and `$P` as the type of its numbers.
macro_rules! with_cells {
    ($from:expr, $cells:ident: $P:ident => $body:expr) => {
        match $from {
            $crate::ops::indexed::Cells::U16($cells) => {
                type $P = u16;
                $body
            }
            $crate::ops::indexed::Cells::U32($cells) => {
                type $P = u32;
                $body
            }
            $crate::ops::indexed::Cells::U64($cells) => {
                type $P = u64;
                $body
            }
        }
    };
}
pub(super) use with_cells;

impl Cells {
    /// Room for `len` numbers, if none is above `largest`.
    pub fn new(len: usize, largest: usize) -> Result<Self> {
        fn zeros<P: Copy + Default>(len: usize) -> Result<Vec<P>> {
            let mut vec = try_vec(len)?;
            vec.resize(len, P::default());
            Ok(vec)
        }
        Ok(match largest as u64 {
            0..=0xffff => Self::U16(zeros(len)?),
            0x1_0000..=0xffff_ffff => Self::U32(zeros(len)?),
            _ => Self::U64(zeros(len)?),
        })
    }
}

/// Which side has the larger planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Larger {
    Input,
    Result,
}

/// The derivative of an unpooling or a fractional pooling.
#[derive(Clone, Debug)]
pub struct IndexMap {
    pub(super) solved: Solved,
    /// The axes of a plane, in ascending order.
    pub(super) axes: Vec<usize>,
    larger: Larger,
    pub(super) cells: Cells,
}

/// The work buffers of a thread.
struct State<T> {
    values: Vec<T>,
    sums: Vec<f64>,
}

impl<T> State<T> {
    fn new() -> Self {
        Self { values: Vec::new(), sums: Vec::new() }
    }
}

impl IndexMap {
    /// Room for the cells of a call; none at all unless they are `kept`, but numbers as wide as they would be.
    pub(super) fn new(solved: &Solved, axes: &[usize], larger: Larger, kept: bool) -> Result<Self> {
        let (small, large) = match larger {
            Larger::Input => (solved.output_shape(), solved.shape()),
            Larger::Result => (solved.shape(), solved.output_shape()),
        };
        let plane = |shape: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
        // Operations number the values of the smaller plane by the same type.
        let cells = Cells::new(if kept { small.iter().product() } else { 0 }, plane(small).max(plane(large)))?;
        Ok(Self { solved: solved.clone(), axes: axes.to_vec(), larger, cells })
    }

    /// The call that this is the derivative of.
    pub(super) fn solved(&self) -> &Solved {
        &self.solved
    }

    /// Writes the cotangent of `x`.
    pub(crate) fn pull<T: Element>(
        &self,
        dy: &View<'_, T>,
        dx: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        expect_float::<T>()?;
        expect_shape("dy", dy.shape(), self.solved.output_shape())?;
        match self.larger {
            Larger::Input => self.add(dy, dx, parallel),
            Larger::Result => self.look_up(dy, dx, parallel),
        }
    }

    /// Writes the tangent of the result.
    pub(crate) fn push<T: Element>(
        &self,
        dx: &View<'_, T>,
        dy: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        expect_float::<T>()?;
        expect_shape("dx", dx.shape(), self.solved.shape())?;
        match self.larger {
            Larger::Input => self.look_up(dx, dy, parallel),
            Larger::Result => self.add(dx, dy, parallel),
        }
    }

    /// Adds each value to its cell; the others are 0.
    fn add<T: Element>(&self, small: &View<'_, T>, large: &ViewMut<'_, T>, parallel: &Parallel<'_>) -> Result<()> {
        let from = Planes::new(small.shape(), small.strides(), &self.axes);
        let into = Planes::new(large.shape(), large.strides(), &self.axes);
        let (values, target) = (small.raw(), large.raw());
        with_cells!(&self.cells, cells: P => {
            let table = Raw::from_ref(cells);
            let clear = |state: &mut State<T>, _, range: Range<usize>| {
                reserve(&mut state.sums, into.cells())?;
                state.sums[range].fill(0.0);
                Ok(())
            };
            let add = |state: &mut State<T>, plane, range: Range<usize>| {
                reserve(&mut state.values, range.len())?;
                let State { values: buffer, sums } = state;
                from.read(values, plane, range.clone(), buffer, |value| value);
                let cells: &[P] = table.row((plane * from.cells() + range.start) as isize, range.len());
                for (cell, value) in cells.iter().zip(&*buffer) {
                    // The number of a value without a cell is no cell's.
                    if let Some(sum) = sums.get_mut(cell.get() as usize) {
                        *sum += value.to_f64();
                    }
                }
                Ok(())
            };
            let write = |state: &mut State<T>, plane, range: Range<usize>| {
                into.write(target, plane, range.clone(), &state.sums[range], |&sum| T::from_f64(sum));
                Ok(())
            };
            let steps = [
                Step { cells: into.cells(), run: &clear },
                Step { cells: from.cells(), run: &add },
                Step { cells: into.cells(), run: &write },
            ];
            planes::run(&into, bytes::<T, P>(&from, &into), parallel, State::new, &steps)
        })
    }

    /// Reads each value from its cell; what has none is 0.
    fn look_up<T: Element>(&self, large: &View<'_, T>, small: &ViewMut<'_, T>, parallel: &Parallel<'_>) -> Result<()> {
        let from = Planes::new(large.shape(), large.strides(), &self.axes);
        let into = Planes::new(small.shape(), small.strides(), &self.axes);
        let (source, target) = (large.raw(), small.raw());
        with_cells!(&self.cells, cells: P => {
            let table = Raw::from_ref(cells);
            let read = |state: &mut State<T>, plane, range: Range<usize>| {
                reserve(&mut state.values, from.cells())?;
                from.read(source, plane, range.clone(), &mut state.values[range], |value| value);
                Ok(())
            };
            let write = |state: &mut State<T>, plane, range: Range<usize>| {
                let cells: &[P] = table.row((plane * into.cells() + range.start) as isize, range.len());
                let values = &state.values[..from.cells()];
                into.write(target, plane, range, cells, |cell| {
                    values.get(cell.get() as usize).copied().unwrap_or_default()
                });
                Ok(())
            };
            let steps = [Step { cells: from.cells(), run: &read }, Step { cells: into.cells(), run: &write }];
            planes::run(&from, bytes::<T, P>(&into, &from), parallel, State::new, &steps)
        })
    }
}

/// What a smaller and a larger plane of `T`, and the numbers of the smaller one's cells, have in bytes.
pub(super) fn bytes<T, P>(small: &Planes, large: &Planes) -> usize {
    // A broadcast array may have more cells than memory has bytes.
    let small = small.cells().saturating_mul(size_of::<T>() + size_of::<P>());
    small.saturating_add(large.cells().saturating_mul(size_of::<T>()))
}
