//! Arrays as planes: the axes that an operation looks at together, in C order whatever their strides, and a way to work
//! through all planes in parallel.
//!
//! Operations that address cells by number (a flat index within the plane) have no windows that slide, so the engine's
//! tiles do not fit them. Here a plane is the unit: its cells are read in C order into a buffer, worked on in cache, and
//! written once. No plane is worked on by two tasks, so nothing depends on the number of threads.

use std::ops::Range;

use crate::engine::offset_of;
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::strided::Raw;

/// What a task moves, in bytes, where planes are small: enough to make the cost of a task vanish, little enough for cache.
const TASK_BYTES: usize = 256 << 10;
/// Planes of more bytes are worked on in parts, by the calling thread alone, so that a call can end between two parts: a
/// plane of so many takes about 30 ms.
const GIANT_BYTES: usize = 64 << 20;
/// Cells of such a part.
const PART_CELLS: usize = 1 << 20;
/// Planes whose neighbours lie between their cells are taken so many at a time: a cache line of floats.
const SIDE_BY_SIDE: usize = 16;

/// How the planes of one array lie in memory.
#[derive(Clone, Debug)]
pub(crate) struct Planes {
    /// Length and stride of the axes that number the planes.
    free: Vec<(usize, isize)>,
    /// Those of the axes of a plane but the last; axes that lie one after the other are joined.
    outer: Vec<(usize, isize)>,
    row: (usize, isize),
}

impl Planes {
    /// The planes along the given axes, in ascending order.
    pub fn new(shape: &[usize], strides: &[isize], axes: &[usize]) -> Self {
        let (inside, free): (Vec<_>, Vec<_>) = (0..shape.len()).partition(|axis| axes.contains(axis));
        let axis = |axis: usize| (shape[axis], strides[axis]);
        let free = free.into_iter().map(axis).collect();
        let mut outer: Vec<(usize, isize)> = Vec::new();
        for (len, stride) in inside.into_iter().map(axis) {
            match outer.last_mut() {
                _ if len == 1 => {}
                Some(before) if before.1 == stride * len as isize => *before = (before.0 * len, stride),
                _ => outer.push((len, stride)),
            }
        }
        let row = outer.pop().unwrap_or((1, 1));
        Self { free, outer, row }
    }

    /// The number of planes.
    pub fn count(&self) -> usize {
        self.free.iter().map(|axis| axis.0).product()
    }

    /// The number of cells of each.
    pub fn cells(&self) -> usize {
        self.outer.iter().map(|axis| axis.0).product::<usize>() * self.row.0
    }

    /// Where a plane begins.
    pub fn base(&self, plane: usize) -> isize {
        offset_of(plane, &self.free)
    }

    /// The distance from each cell to the next, if it is the same for all.
    pub fn step(&self) -> Option<isize> {
        self.outer.is_empty().then_some(self.row.1)
    }

    /// Calls `visit` with offset, and place and length within the range, of each row that a range of cells is made of.
    #[inline(always)]
    fn rows(&self, plane: usize, range: Range<usize>, mut visit: impl FnMut(isize, usize, usize)) {
        let (len, stride) = self.row;
        let (base, mut cell) = (self.base(plane), range.start);
        while cell < range.end {
            let (row, column) = (cell / len, cell % len);
            let n = (len - column).min(range.end - cell);
            visit(base + offset_of(row, &self.outer) + column as isize * stride, cell - range.start, n);
            cell += n;
        }
    }

    /// Reads a range of a plane's cells.
    #[inline(always)]
    pub fn read<T: Copy, U>(
        &self,
        from: Raw<T>,
        plane: usize,
        range: Range<usize>,
        into: &mut [U],
        map: impl Fn(T) -> U,
    ) {
        self.rows(plane, range, |offset, at, n| match self.row.1 {
            1 => into[at..at + n].iter_mut().zip(from.row(offset, n)).for_each(|(into, &cell)| *into = map(cell)),
            stride => from.gather(offset, stride, &mut into[at..at + n], &map),
        });
    }

    /// Writes a range of a plane's cells from as many values.
    #[inline(always)]
    pub fn write<T: Copy, U>(
        &self,
        into: Raw<T>,
        plane: usize,
        range: Range<usize>,
        from: &[U],
        map: impl Fn(&U) -> T,
    ) {
        self.rows(plane, range, |offset, at, n| {
            // A slice as long as the row, so that the loop needs no check.
            let from = &from[at..at + n];
            into.scatter(offset, self.row.1, n, |j| map(&from[j]));
        });
    }

    /// Writes one value to a range of a plane's cells.
    #[inline(always)]
    pub fn fill<T: Copy>(&self, into: Raw<T>, plane: usize, range: Range<usize>, value: T) {
        self.rows(plane, range, |offset, _, n| into.scatter(offset, self.row.1, n, |_| value));
    }
}

/// Work on a range of one plane's cells.
type Work<'a, S> = dyn Fn(&mut S, usize, Range<usize>) -> Result<()> + Sync + 'a;

/// One of the steps that every plane goes through.
pub(crate) struct Step<'a, S> {
    /// Cells to work on: those of the smaller or of the larger plane.
    pub cells: usize,
    /// Works on a range of these of one plane, always in ascending order.
    pub run: &'a Work<'a, S>,
}

/// Takes every plane through all steps; `bytes` is what one plane reads and writes. `like` says how planes lie beside each
/// other.
pub(crate) fn run<S>(
    like: &Planes,
    bytes: usize,
    parallel: &Parallel<'_>,
    state: impl Fn() -> S + Sync,
    steps: &[Step<'_, S>],
) -> Result<()> {
    let planes = like.count();
    if bytes > GIANT_BYTES {
        let parts: Vec<usize> = steps.iter().map(|step| step.cells.div_ceil(PART_CELLS)).collect();
        let all: usize = parts.iter().sum();
        let task = |state: &mut S, index: usize| {
            let (plane, mut part) = (index / all, index % all);
            for (step, &parts) in steps.iter().zip(&parts) {
                if part < parts {
                    let start = part * PART_CELLS;
                    return (step.run)(state, plane, start..step.cells.min(start + PART_CELLS));
                }
                part -= parts;
            }
            Ok(())
        };
        // No traffic is claimed: every part is taken in order, by one thread.
        return parallel.run(planes * all, 0, state, task, drop);
    }
    let side_by_side = if like.row.1.unsigned_abs() == 1 { 1 } else { SIDE_BY_SIDE };
    let group = (TASK_BYTES / bytes.max(1)).max(side_by_side);
    let task = |state: &mut S, index: usize| {
        for plane in index * group..planes.min((index + 1) * group) {
            for step in steps {
                (step.run)(state, plane, 0..step.cells)?;
            }
        }
        Ok(())
    };
    parallel.run(planes.div_ceil(group), planes.saturating_mul(bytes), state, task, drop)
}

/// The axes of a call, each once and in ascending order with the place it was given in: those named, else the last ones.
pub(crate) fn spatial_axes(axes: Option<&[usize]>, n: usize, shape: &[usize]) -> Result<Vec<(usize, usize)>> {
    let rank = shape.len();
    let first = rank.checked_sub(n).ok_or_else(|| {
        let rule = format!("has fewer axes than the {n} of a plane");
        PoolError::value("x", format!("an array of shape {}", Shape(shape)), rule)
    })?;
    let mut places: Vec<(usize, usize)> = match axes {
        None => (first..rank).zip(0..n).collect(),
        Some(axes) if axes.len() == n => axes.iter().copied().zip(0..n).collect(),
        Some(axes) => return Err(PoolError::value("axis", Shape(axes), format!("must name {n} axes"))),
    };
    places.sort_unstable();
    if let Some(&(axis, _)) = places.iter().find(|&&(axis, _)| axis >= rank) {
        return Err(PoolError::value("axis", axis, format!("is not an axis of an array of rank {rank}")));
    }
    if let Some(pair) = places.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(PoolError::value("axis", pair[0].0, "is given twice"));
    }
    if let Some((axis, _)) = places.iter().find(|place| shape[place.0] == 0) {
        let rule = format!("has an axis {axis} of length 0: a pooled axis needs a cell");
        return Err(PoolError::value("x", format!("an array of shape {}", Shape(shape)), rule));
    }
    Ok(places)
}
