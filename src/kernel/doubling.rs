//! Reduces along an axis by large overlapping windows, in a number of steps that grows with the logarithm of the window.
//!
//! Windows of 1, 2, 4, ... cells are made of two of half the size; a window of `k` cells is then put together by the
//! binary digits of `k`, first cells first. Nothing is ever subtracted, so a NaN stays in the windows that hold it and
//! nothing cancels. Each step is one pass over contiguous cells, whatever the axis, the dilation and the lanes.

use super::combine::{From, Into};
use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::vector::Vectors;

/// `[outer][cells][inner] -> [outer][outputs][inner]`, by way of the padded buffers `powers` and `windows`.
pub(crate) struct Doubling<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub into: Into<'a, M>,
    /// Windows of `2^i` cells from each position on; room for `padded` cells of `inner` values.
    pub powers: Into<'a, M>,
    /// The windows put together so far; of the same size.
    pub windows: Into<'a, M>,
    pub outer: usize,
    pub cells: usize,
    pub inner: usize,
    /// Where the first cell lies in the padded buffer.
    pub before: usize,
    /// Positions from the first window's start to the last window's end.
    pub padded: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub outputs: usize,
}

impl<M: Monoid> Kernel for Doubling<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        for outer in 0..self.outer {
            self.pad(outer);
            self.double();
            let size = self.inner;
            for o in 0..self.outputs {
                let (from, to) = (o * self.stride * size, (outer * self.outputs + o) * size);
                self.into.values[to..to + size].copy_from_slice(&self.windows.values[from..from + size]);
                self.into.tags[to..to + size].copy_from_slice(&self.windows.tags[from..from + size]);
            }
        }
    }
}

impl<M: Monoid> Doubling<'_, M> {
    /// Copies one row of cells between identities. Cells past the last window's end are left out.
    ///
    /// An identity before the first cell carries the tag of the next cell that its windows hold, so that the first cell
    /// wins even where no cell is above the identity.
    #[inline(always)]
    fn pad(&mut self, outer: usize) {
        let (value, tag) = M::identity();
        let n = self.inner;
        let before = self.before.min(self.padded);
        let held = self.cells.min(self.padded - before);
        let from = outer * self.cells * n;
        self.powers.values[..before * n].fill(value);
        self.powers.values[(before + held) * n..self.padded * n].fill(value);
        self.powers.tags[(before + held) * n..self.padded * n].fill(tag);
        self.powers.values[before * n..(before + held) * n].copy_from_slice(&self.from.values[from..from + held * n]);
        self.powers.tags[before * n..(before + held) * n].copy_from_slice(&self.from.tags[from..from + held * n]);
        for cell in 0..before {
            let next = next_cell(cell as isize - self.before as isize, self.dilation);
            let tags = &mut self.powers.tags[cell * n..(cell + 1) * n];
            if next < held {
                tags.copy_from_slice(&self.from.tags[from + next * n..from + (next + 1) * n]);
            } else {
                tags.fill(tag);
            }
        }
    }

    #[inline(always)]
    fn double(&mut self) {
        let cell = self.inner * self.dilation;
        let mut size = 1;
        let mut covered = 0;
        loop {
            // Positions at which a window of `size` cells ends within the buffer.
            let valid = self.padded * self.inner - (size - 1) * cell;
            if self.kernel & size != 0 {
                // Windows of `covered` cells, each followed by one of `size` cells.
                let n = valid - covered * cell;
                if covered == 0 {
                    self.windows.values[..n].copy_from_slice(&self.powers.values[..n]);
                    self.windows.tags[..n].copy_from_slice(&self.powers.tags[..n]);
                } else {
                    let later = From { values: &self.powers.values[..], tags: &self.powers.tags[..] };
                    merge_at::<M>(&mut self.windows, later, covered * cell, n);
                }
                covered += size;
            }
            if size > self.kernel / 2 {
                return;
            }
            double_at::<M>(&mut self.powers, size * cell, valid - size * cell);
            size *= 2;
        }
    }
}

/// The first cell at or after 0 that lies a whole number of dilations after a padding cell.
#[inline(always)]
pub(crate) fn next_cell(padding: isize, dilation: usize) -> usize {
    padding.rem_euclid(dilation as isize) as usize
}

/// `into[j] = merge(into[j], later[j + shift])` for `j < n`.
#[inline(always)]
fn merge_at<M: Monoid>(into: &mut Into<'_, M>, later: From<'_, M>, shift: usize, n: usize) {
    let values = into.values[..n].iter_mut().zip(&later.values[shift..shift + n]);
    let tags = into.tags[..n].iter_mut().zip(&later.tags[shift..shift + n]);
    for ((value, &later), (tag, &later_tag)) in values.zip(tags) {
        (*value, *tag) = M::merge((*value, *tag), (later, later_tag));
    }
}

/// `cells[j] = merge(cells[j], cells[j + shift])` for `j < n`, in ascending order: what is read was not yet written.
#[inline(always)]
fn double_at<M: Monoid>(cells: &mut Into<'_, M>, shift: usize, n: usize) {
    const N: usize = 16;
    let mut at = 0;
    while at < n {
        // Blocks are read before they are written, so that they vectorise although source and destination overlap.
        if at + N <= n && shift >= N {
            let (mut values, mut tags) = ([M::Value::default(); N], [M::Tag::default(); N]);
            values.copy_from_slice(&cells.values[at + shift..at + shift + N]);
            tags.copy_from_slice(&cells.tags[at + shift..at + shift + N]);
            let (first, first_tags) = (&mut cells.values[at..at + N], &mut cells.tags[at..at + N]);
            for l in 0..N {
                (first[l], first_tags[l]) = M::merge((first[l], first_tags[l]), (values[l], tags[l]));
            }
            at += N;
        } else {
            let later = (cells.values[at + shift], cells.tags[at + shift]);
            (cells.values[at], cells.tags[at]) = M::merge((cells.values[at], cells.tags[at]), later);
            at += 1;
        }
    }
}
