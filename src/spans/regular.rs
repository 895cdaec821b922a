//! A window that slides with a stride.

use super::arithmetic::count_residues;
use super::{Pattern, Span};

/// Window `o` covers the cells `o * stride - before + t * dilation` for `t < kernel` that lie on the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Regular {
    pub len_in: usize,
    pub len_out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding before the axis; if negative, so many cells at its beginning belong to no window.
    pub before: isize,
    pub after: usize,
}

impl Regular {
    /// Cells from the first to the last of one window.
    pub fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Where window `o` begins, in the padding or not.
    pub fn first(&self, o: usize) -> isize {
        o as isize * self.stride as isize - self.before
    }

    /// The windows that lie on the axis from their first tap to their last.
    pub fn whole(&self) -> std::ops::Range<usize> {
        let Some(room) = self.len_in.checked_sub(self.extent()) else { return 0..0 };
        let start = (self.before.max(0) as usize).div_ceil(self.stride);
        let last = room as isize + self.before;
        let end = if last < 0 { 0 } else { (last as usize / self.stride + 1).min(self.len_out) };
        start..end.max(start)
    }

    /// Taps of window `o` that lie before cell `end` of the axis.
    fn taps_before(&self, o: usize, end: isize) -> usize {
        let room = end - 1 - self.first(o);
        if room < 0 { 0 } else { self.kernel.min(room as usize / self.dilation + 1) }
    }

    pub fn at(&self, o: usize) -> Span {
        let first = self.first(o);
        let skipped = if first < 0 { first.unsigned_abs().div_ceil(self.dilation) } else { 0 };
        let len = self.taps_before(o, self.len_in as isize).saturating_sub(skipped);
        let start = if len == 0 { 0 } else { (first + (skipped * self.dilation) as isize) as usize };
        Span { start, len, step: self.dilation }
    }

    /// Taps of window `o` within the padded axis.
    pub fn padded_count(&self, o: usize) -> usize {
        self.taps_before(o, (self.len_in + self.after) as isize)
    }

    /// Whether some window lies wholly in the padding.
    pub fn any_empty(&self) -> bool {
        // Windows that start past the axis have no cell, those that start on it have one, and of those that start before
        // it the first ends first. Others miss the axis only if their dilation steps over all of it.
        let past = self.len_in.saturating_add_signed(self.before).div_ceil(self.stride);
        if self.len_out > past || self.at(0).len == 0 {
            return true;
        }
        // The first cell that is not before the axis is at the window's distance from it, modulo the dilation.
        let padding = self.before.max(0) as usize;
        let before = padding.div_ceil(self.stride).min(self.len_out);
        let distance = (self.dilation - padding % self.dilation) % self.dilation;
        count_residues(before, distance, self.stride, self.dilation, self.len_in) > 0
    }

    pub fn pattern(&self) -> Pattern {
        let taps = (0..self.kernel).map(|t| (t * self.dilation) as isize - self.before).collect();
        Pattern { outputs: 1, inputs: self.stride, taps: vec![taps] }
    }
}
