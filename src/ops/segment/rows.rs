//! Arrays as rows of lanes: a row for each place along the first axis, a lane for each cell of a row, in C order.
//!
//! A block of rows is brought together in one call, so that the kernels see no types and no strides.

use std::ops::Range;

use crate::element::Element;
use crate::ops::planes::Planes;
use crate::strided::Raw;

/// Rows to read.
pub(crate) trait Rows<V>: Send + Sync {
    /// Reads some lanes of some rows, one row after the other.
    fn read(&self, rows: &[usize], lanes: &Range<usize>, into: &mut [V]);
}

/// Rows to write.
pub(crate) trait RowsMut<V>: Sync {
    /// Writes some lanes of some rows, one row after the other.
    fn write(&self, rows: &[usize], lanes: &Range<usize>, from: &[V]);
}

/// An array.
pub(crate) struct Table<T> {
    cells: Raw<T>,
    planes: Planes,
}

impl<T: Element> Table<T> {
    pub fn new(cells: Raw<T>, shape: &[usize], strides: &[isize]) -> Self {
        let inside: Vec<usize> = (1..shape.len()).collect();
        Self { cells, planes: Planes::new(shape, strides, &inside) }
    }
}

/// An array that was copied, without gaps.
pub(crate) struct OwnedTable<T> {
    pub cells: Vec<T>,
    pub planes: Planes,
}

impl<T: Element> OwnedTable<T> {
    pub fn new(cells: Vec<T>, rows: usize, lanes: usize) -> Self {
        Self { cells, planes: Planes::new(&[rows, lanes], &[lanes as isize, 1], &[1]) }
    }
}

impl<T: Element> Rows<f64> for Table<T> {
    fn read(&self, rows: &[usize], lanes: &Range<usize>, into: &mut [f64]) {
        read(self.cells, &self.planes, rows, lanes, into, T::to_f64);
    }
}

impl<T: Element> Rows<f64> for OwnedTable<T> {
    fn read(&self, rows: &[usize], lanes: &Range<usize>, into: &mut [f64]) {
        read(Raw::from_ref(&self.cells), &self.planes, rows, lanes, into, T::to_f64);
    }
}

/// Integers, modulo 2^64.
impl<T: Element> Rows<i64> for Table<T> {
    fn read(&self, rows: &[usize], lanes: &Range<usize>, into: &mut [i64]) {
        read(self.cells, &self.planes, rows, lanes, into, T::to_i64);
    }
}

impl<T: Element> RowsMut<f64> for Table<T> {
    fn write(&self, rows: &[usize], lanes: &Range<usize>, from: &[f64]) {
        write(self.cells, &self.planes, rows, lanes, from, T::from_f64);
    }
}

impl<T: Element> RowsMut<i64> for Table<T> {
    fn write(&self, rows: &[usize], lanes: &Range<usize>, from: &[i64]) {
        write(self.cells, &self.planes, rows, lanes, from, T::from_i64);
    }
}

/// How the cells of a block lie in memory.
enum Walk {
    /// One after the other, so far apart.
    Run(isize),
    /// Neighbours in a lane are closer to each other than neighbours in a row, so far apart in each.
    Columns { lane: isize, row: isize },
    /// Row by row.
    Rows,
}

impl Walk {
    fn new(planes: &Planes, rows: &[usize], lanes: usize) -> Self {
        let neighbours = rows.len() > 1 && rows.windows(2).all(|two| two[1] == two[0] + 1);
        let Some(lane) = planes.step().filter(|_| neighbours) else { return Self::Rows };
        let row = planes.base(rows[1]) - planes.base(rows[0]);
        match () {
            () if lanes == 1 => Self::Run(row),
            () if row == lane * lanes as isize => Self::Run(lane),
            () if row.unsigned_abs() < lane.unsigned_abs() => Self::Columns { lane, row },
            () => Self::Rows,
        }
    }
}

#[inline(always)]
fn read<T: Copy, V: Copy + Default>(
    from: Raw<T>,
    planes: &Planes,
    rows: &[usize],
    lanes: &Range<usize>,
    into: &mut [V],
    map: impl Fn(T) -> V + Copy,
) {
    /// Cells of a column that are read before they are put into their rows.
    const COLUMN: usize = 64;
    let n = lanes.len();
    match Walk::new(planes, rows, n) {
        Walk::Run(step) => {
            let first = planes.base(rows[0]) + lanes.start as isize * planes.step().unwrap_or(0);
            from.gather(first, step, &mut into[..rows.len() * n], map);
        }
        Walk::Columns { lane, row } => {
            for (rows, into) in rows.chunks(COLUMN).zip(into.chunks_mut(COLUMN * n)) {
                let mut column = [V::default(); COLUMN];
                let column = &mut column[..rows.len()];
                for (place, l) in lanes.clone().enumerate() {
                    from.gather(planes.base(rows[0]) + l as isize * lane, row, column, map);
                    into[place..].iter_mut().step_by(n).zip(&*column).for_each(|(into, cell)| *into = *cell);
                }
            }
        }
        Walk::Rows => {
            for (&row, into) in rows.iter().zip(into.chunks_exact_mut(n)) {
                planes.read(from, row, lanes.clone(), into, map);
            }
        }
    }
}

#[inline(always)]
fn write<T: Copy, V: Copy>(
    into: Raw<T>,
    planes: &Planes,
    rows: &[usize],
    lanes: &Range<usize>,
    from: &[V],
    map: impl Fn(V) -> T + Copy,
) {
    let n = lanes.len();
    match Walk::new(planes, rows, n) {
        Walk::Run(step) => {
            let first = planes.base(rows[0]) + lanes.start as isize * planes.step().unwrap_or(0);
            let from = &from[..rows.len() * n];
            into.scatter(first, step, from.len(), |j| map(from[j]));
        }
        Walk::Columns { lane, row } => {
            for (place, l) in lanes.clone().enumerate() {
                let first = planes.base(rows[0]) + l as isize * lane;
                into.scatter(first, row, rows.len(), |j| map(from[j * n + place]));
            }
        }
        Walk::Rows => {
            for (&row, from) in rows.iter().zip(from.chunks_exact(n)) {
                planes.write(into, row, lanes.clone(), from, |&value| map(value));
            }
        }
    }
}
