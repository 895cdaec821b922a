//! Sends values to and from the cells that won: the gradient of max and min, and its linear map forwards.
//!
//! Each output keeps the *code* of its winner: its number among the cells that a window of full size has, in C order. It
//! fits one byte for windows of up to 256 cells, two for up to 65536. A table leads from codes to *offsets*: distances from
//! the first cell of the window, in the flat order of the pooled axes. (Larger windows keep the offsets themselves.)

use super::dispatch::Kernel;
use crate::element::Position;
use crate::strided::Raw;
use crate::vector::Vectors;

/// The first cell of a window: its flat index, and its code, which is not 0 where cells before it are clipped off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct First {
    pub index: u64,
    pub code: u64,
}

impl First {
    /// The first cell of a window over two groups of axes.
    #[inline(always)]
    pub fn with(self, other: Self) -> Self {
        Self { index: self.index.wrapping_add(other.index), code: self.code + other.code }
    }
}

/// Turns flat indices into offsets, by subtracting the index of each window's first cell, and these into codes.
pub(crate) struct Encode<'a, P> {
    pub tags: &'a mut [P],
    /// Values from one row to the next.
    pub row: usize,
    /// For each pooled axis, outer ones first: the offset from one cell of a window to the next, and what that adds to the
    /// code. None at all leaves offsets as they are. Offsets are below 2^51.
    pub digits: &'a [(f64, f64)],
    /// For each row, the part of its first cells that all its windows share, their indices counted from a base.
    pub base: u64,
    pub rows: &'a [First],
    /// For each value of a row, the rest.
    pub positions: &'a [First],
}

impl<P: Position> Kernel for Encode<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for (tags, &row) in self.tags.chunks_exact_mut(self.row).zip(self.rows) {
            let row = First { index: self.base.wrapping_add(row.index), ..row };
            for (tag, &position) in tags.iter_mut().zip(self.positions) {
                *tag = P::new(tag.get().wrapping_sub(row.with(position).index));
            }
            if self.digits.is_empty() {
                continue;
            }
            for (tag, &position) in tags.iter_mut().zip(self.positions) {
                let (mut offset, mut code) = (tag.get() as f64, row.with(position).code as f64);
                for &(step, taps) in self.digits {
                    // Half a cell more keeps the quotient of whole numbers clear of the integers, where it is rounded.
                    let digit = ((offset + 0.5) / step).trunc();
                    offset -= digit * step;
                    code += digit * taps;
                }
                *tag = P::new(code as u64);
            }
        }
    }
}

/// Turns codes into offsets.
pub(crate) struct Decode<'a> {
    pub codes: &'a mut [u64],
    pub offsets: &'a [u64],
}

impl Kernel for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for code in self.codes {
            // A window without cells has no code; whatever stands there, it leads nowhere.
            *code = self.offsets.get(*code as usize).copied().unwrap_or(0);
        }
    }
}

/// Adds each cotangent to the cell that its window took its value from, in ascending order of windows.
pub(crate) struct Scatter<'a> {
    /// `[planes][windows][lanes]`.
    pub cotangents: &'a [f64],
    pub offsets: &'a [u64],
    /// For each window, the flat index of its first cell, less that of the first cell of `into`.
    pub firsts: &'a [i64],
    pub lanes: usize,
    /// `[planes][cells][lanes]`.
    pub into: &'a mut [f64],
    pub cells: usize,
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let (windows, cells) = (self.firsts.len() * self.lanes, self.cells * self.lanes);
        let planes = self.cotangents.chunks_exact(windows).zip(self.offsets.chunks_exact(windows));
        for ((cotangents, offsets), into) in planes.zip(self.into.chunks_exact_mut(cells)) {
            let values = cotangents.chunks_exact(self.lanes).zip(offsets.chunks_exact(self.lanes));
            for ((cotangents, offsets), &first) in values.zip(self.firsts) {
                for (lane, (&cotangent, &offset)) in cotangents.iter().zip(offsets).enumerate() {
                    // Windows of a neighbouring tile may point outside; as unsigned numbers these are all too large.
                    let cell = first.wrapping_add(offset as i64) as usize;
                    if cell < self.cells {
                        into[cell * self.lanes + lane] += cotangent;
                    }
                }
            }
        }
    }
}

/// Reads, for each window, the cell that its value came from.
pub(crate) struct Gather<'a, T> {
    /// An array in the flat order of the pooled axes.
    pub source: Raw<T>,
    /// Where the first cell of the pooled axes lies in it.
    pub base: isize,
    /// Cells of a plane; a window without cells points past them.
    pub cells: u64,
    pub firsts: &'a [i64],
    pub offsets: &'a [u64],
    pub into: &'a mut [T],
}

impl<T: Copy + Default> Kernel for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for ((into, &first), &offset) in self.into.iter_mut().zip(self.firsts).zip(self.offsets) {
            let cell = (first as u64).wrapping_add(offset);
            *into = if cell < self.cells { self.source.row(self.base + cell as isize, 1)[0] } else { T::default() };
        }
    }
}
