//! One plane after the other: indices copied and checked, holders found, values written.

use std::ops::Range;

use super::{Duplicates, Unpooling};
use crate::element::{Element, Kind, Ordered, Position};
use crate::engine::reserve;
use crate::error::{PoolError, Result, Shape};
use crate::ops::indexed::bytes;
use crate::ops::indices::Copied;
use crate::ops::planes::{self, Planes, Step};
use crate::parallel::Parallel;
use crate::strided::Raw;

/// The work buffers of a thread.
struct State<T, P> {
    /// Of the smaller plane: the cell of each value, and the values.
    cells: Vec<P>,
    values: Vec<T>,
    /// Of the larger plane: the number of the value that holds each cell, the cells, and their sums.
    holders: Vec<P>,
    plane: Vec<T>,
    floats: Vec<f64>,
    integers: Vec<i64>,
}

impl<T, P> State<T, P> {
    fn new() -> Self {
        Self {
            cells: Vec::new(),
            values: Vec::new(),
            holders: Vec::new(),
            plane: Vec::new(),
            floats: Vec::new(),
            integers: Vec::new(),
        }
    }
}

/// The two arrays of a call.
pub(super) struct Sides<'a, T> {
    pub call: &'a Unpooling,
    pub x: Raw<T>,
    pub small: Planes,
    pub y: Raw<T>,
    pub large: Planes,
}

impl<T: Element> Sides<'_, T> {
    /// Copies indices and refuses those of no cell.
    fn copy<P: Position>(
        &self,
        indices: &dyn Copied<P>,
        state: &mut State<T, P>,
        plane: usize,
        range: Range<usize>,
    ) -> Result<()> {
        reserve(&mut state.cells, self.small.cells())?;
        let worst = indices.copy(plane, range.clone(), &mut state.cells[range]);
        if worst < self.large.cells() as u64 {
            return Ok(());
        }
        let shape = self.call.solved.output_shape();
        let lens: Vec<usize> = self.call.axes.iter().map(|&axis| shape[axis]).collect();
        let rule = format!("must be from 0 to {}: the result has planes of {}", self.large.cells() - 1, Shape(&lens));
        Err(PoolError::value("indices", indices.shown(worst), rule))
    }

    fn read<P>(&self, state: &mut State<T, P>, plane: usize, range: Range<usize>) -> Result<()> {
        reserve(&mut state.values, self.small.cells())?;
        self.small.read(self.x, plane, range.clone(), &mut state.values[range], |value| value);
        Ok(())
    }

    /// Makes room for the holders of cells, and empties those that are named.
    fn release<P: Position>(&self, state: &mut State<T, P>, range: Range<usize>) -> Result<()> {
        reserve(&mut state.holders, self.large.cells())?;
        for cell in &state.cells[range] {
            state.holders[cell.get() as usize] = P::new(P::LIMIT);
        }
        Ok(())
    }

    /// Finds the value that holds each cell.
    fn hold<P: Position>(&self, state: &mut State<T, P>, range: Range<usize>) -> Result<()> {
        let State { cells, values, holders, .. } = state;
        for value in range {
            let cell = cells[value].get();
            let holder = &mut holders[cell as usize];
            let held = holder.get() != P::LIMIT;
            match self.call.duplicates {
                Duplicates::Error if held => {
                    let rule = "is given twice in a plane, which duplicates='error' forbids";
                    return Err(PoolError::value("indices", cell, rule));
                }
                Duplicates::Max if held => {
                    let (old, new) = (values[holder.get() as usize].to_order(), values[value].to_order());
                    if !old.is_nan() && (new > old || new.is_nan()) {
                        *holder = P::new(value as u64);
                    }
                }
                _ => *holder = P::new(value as u64),
            }
        }
        Ok(())
    }

    /// Takes its cell from each value that does not hold it.
    fn dismiss<P: Position>(state: &mut State<T, P>, range: Range<usize>) {
        for value in range {
            let cell = &mut state.cells[value];
            if state.holders[cell.get() as usize].get() != value as u64 {
                *cell = P::new(P::LIMIT);
            }
        }
    }

    /// Refuses indices of no cell.
    #[cfg(feature = "python")]
    pub fn look_through<P: Position>(&self, indices: &dyn Copied<P>, parallel: &Parallel<'_>) -> Result<()> {
        let copy = |state: &mut State<T, P>, plane, range| self.copy(indices, state, plane, range);
        let (cells, bytes) = (self.small.cells(), self.small.cells().saturating_mul(size_of::<P>()));
        planes::run(&self.small, bytes, parallel, State::new, &[Step { cells, run: &copy }])
    }

    /// Checks all indices into a table, in which values that do not hold their cell have none.
    pub fn check<P: Position>(&self, indices: &dyn Copied<P>, table: Raw<P>, parallel: &Parallel<'_>) -> Result<()> {
        let small = self.small.cells();
        let copy = |state: &mut State<T, P>, plane, range| self.copy(indices, state, plane, range);
        let read = |state: &mut State<T, P>, plane, range| self.read(state, plane, range);
        let release = |state: &mut State<T, P>, _, range| self.release(state, range);
        let hold = |state: &mut State<T, P>, _, range| self.hold(state, range);
        let keep = |state: &mut State<T, P>, plane: usize, range: Range<usize>| {
            if self.call.duplicates != Duplicates::Sum {
                Self::dismiss(state, range.clone());
            }
            let first = (plane * small + range.start) as isize;
            table.scatter(first, 1, range.len(), |j| state.cells[range.start + j]);
            Ok(())
        };
        let step = |run| Step { cells: small, run };
        let steps: &[Step<'_, State<T, P>>] = match self.call.duplicates {
            Duplicates::Sum => &[step(&copy), step(&keep)],
            Duplicates::Max => &[step(&copy), step(&read), step(&release), step(&hold), step(&keep)],
            Duplicates::Last | Duplicates::Error => &[step(&copy), step(&release), step(&hold), step(&keep)],
        };
        planes::run(&self.small, bytes::<T, P>(&self.small, &self.large), parallel, State::new, steps)
    }

    /// Writes each plane: zeros, and the values in their cells. Of values with the same cell the last one stays.
    pub fn place<P: Position>(&self, indices: &dyn Copied<P>, checked: bool, parallel: &Parallel<'_>) -> Result<()> {
        let (small, large) = (self.small.cells(), self.large.cells());
        let copy = |state: &mut State<T, P>, plane, range| self.copy(indices, state, plane, range);
        let read = |state: &mut State<T, P>, plane, range| self.read(state, plane, range);
        let release = |state: &mut State<T, P>, _, range| self.release(state, range);
        let hold = |state: &mut State<T, P>, _, range| self.hold(state, range);
        let dismiss = |state: &mut State<T, P>, _, range| {
            Self::dismiss(state, range);
            Ok(())
        };
        let step = |cells, run| Step { cells, run };
        let mut steps: Vec<Step<'_, State<T, P>>> = vec![step(small, &copy), step(small, &read)];
        if !checked && matches!(self.call.duplicates, Duplicates::Max | Duplicates::Error) {
            steps.extend([step(small, &release), step(small, &hold), step(small, &dismiss)]);
        }
        let clear = |state: &mut State<T, P>, plane, range| self.clear(state, plane, range);
        let put = |state: &mut State<T, P>, plane, range| {
            self.put(state, plane, range);
            Ok(())
        };
        let write = |state: &mut State<T, P>, plane, range| {
            self.write(state, plane, range);
            Ok(())
        };
        steps.extend([step(large, &clear), step(small, &put)]);
        if self.call.duplicates == Duplicates::Sum || self.large.step().is_none() {
            steps.push(step(large, &write));
        }
        planes::run(&self.large, bytes::<T, P>(&self.small, &self.large), parallel, State::new, &steps)
    }

    /// Zeros: of sums, of a buffer, or where cells are evenly spaced, of the result itself.
    fn clear<P>(&self, state: &mut State<T, P>, plane: usize, range: Range<usize>) -> Result<()> {
        if self.call.duplicates == Duplicates::Sum {
            if T::KIND == Kind::Float {
                reserve(&mut state.floats, self.large.cells())?;
                state.floats[range].fill(0.0);
            } else {
                reserve(&mut state.integers, self.large.cells())?;
                state.integers[range].fill(0);
            }
        } else if self.large.step().is_some() {
            self.large.fill(self.y, plane, range, T::default());
        } else {
            reserve(&mut state.plane, self.large.cells())?;
            state.plane[range].fill(T::default());
        }
        Ok(())
    }

    fn put<P: Position>(&self, state: &mut State<T, P>, plane: usize, range: Range<usize>) {
        let State { cells, values, plane: buffer, floats, integers, .. } = state;
        let values = cells[range.clone()].iter().zip(&values[range]).filter(|(cell, _)| cell.get() != P::LIMIT);
        let values = values.map(|(cell, &value)| (cell.get() as usize, value));
        if self.call.duplicates == Duplicates::Sum {
            if T::KIND == Kind::Float {
                values.for_each(|(cell, value)| floats[cell] += value.to_f64());
            } else {
                values.for_each(|(cell, value)| integers[cell] = integers[cell].wrapping_add(value.to_i64()));
            }
        } else if let Some(step) = self.large.step() {
            let base = self.large.base(plane);
            values.for_each(|(cell, value)| self.y.scatter(base + cell as isize * step, 1, 1, |_| value));
        } else {
            values.for_each(|(cell, value)| buffer[cell] = value);
        }
    }

    fn write<P>(&self, state: &State<T, P>, plane: usize, range: Range<usize>) {
        let (large, y) = (&self.large, self.y);
        if self.call.duplicates != Duplicates::Sum {
            large.write(y, plane, range.clone(), &state.plane[range], |&value| value);
        } else if T::KIND == Kind::Float {
            large.write(y, plane, range.clone(), &state.floats[range], |&sum| T::from_f64(sum));
        } else {
            large.write(y, plane, range.clone(), &state.integers[range], |&sum| T::from_i64(sum));
        }
    }
}
