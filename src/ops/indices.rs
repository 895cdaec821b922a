//! Where the values of a plane go: indices as the caller gave them, or as they were kept when they had been checked.
//!
//! Both are copied plane by plane before they are used, and only the copy is checked.

use std::cell::Cell;
use std::ops::Range;

use super::planes::Planes;
use crate::element::{Element, Kind, Position};
use crate::kernel::dispatch::{Kernel, Level};
use crate::strided::{Raw, View};
use crate::vector::Vectors;

/// Indices of some type, copied into numbers of another.
pub(crate) trait Copied<P>: Sync {
    /// Copies some of a plane's indices; returns the largest, a negative one counting as larger than all others.
    fn copy(&self, plane: usize, range: Range<usize>, into: &mut [P]) -> u64;

    /// An index that was returned, as it was given.
    fn shown(&self, index: u64) -> String;
}

/// Indices of any type: kernels do not see which, so that none is compiled for every pair of types.
pub(crate) trait Indices: Copied<u16> + Copied<u32> + Copied<u64> {}

impl<T: Copied<u16> + Copied<u32> + Copied<u64>> Indices for T {}

/// The caller's indices.
pub(crate) struct Given<I> {
    indices: Raw<I>,
    planes: Planes,
}

impl<I: Element> Given<I> {
    pub fn new(indices: &View<'_, I>, axes: &[usize]) -> Self {
        Self { indices: indices.raw(), planes: Planes::new(indices.shape(), indices.strides(), axes) }
    }
}

impl<I: Element, P: Position> Copied<P> for Given<I> {
    fn copy(&self, plane: usize, range: Range<usize>, into: &mut [P]) -> u64 {
        Level::current().run(Copying { from: self, plane, range, into })
    }

    fn shown(&self, index: u64) -> String {
        if I::KIND == Kind::Signed { (index as i64).to_string() } else { index.to_string() }
    }
}

/// [`Copied::copy`] of the caller's indices, for each CPU level.
struct Copying<'a, I, P> {
    from: &'a Given<I>,
    plane: usize,
    range: Range<usize>,
    into: &'a mut [P],
}

impl<I: Element, P: Position> Kernel for Copying<'_, I, P> {
    type Output = u64;

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) -> u64 {
        let worst = Cell::new(0);
        self.from.planes.read(self.from.indices, self.plane, self.range, self.into, |index: I| {
            let index = index.to_i64() as u64;
            worst.set(index.max(worst.get()));
            P::new(index)
        });
        worst.get()
    }
}

/// Cells that were checked.
pub(super) struct Kept<P> {
    cells: Raw<P>,
    plane: usize,
}

impl<P: Position> Kept<P> {
    /// A table with so many cells for each plane.
    pub fn new(cells: &[P], plane: usize) -> Self {
        Self { cells: Raw::from_ref(cells), plane }
    }
}

impl<P: Position> Copied<P> for Kept<P> {
    fn copy(&self, plane: usize, range: Range<usize>, into: &mut [P]) -> u64 {
        into[..range.len()].copy_from_slice(self.cells.row((plane * self.plane + range.start) as isize, range.len()));
        0
    }

    fn shown(&self, index: u64) -> String {
        index.to_string()
    }
}
