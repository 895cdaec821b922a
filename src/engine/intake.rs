//! How a plan reads its cells: the ways in, and when each is taken.

use super::axes::{Codes, Pooled};
use super::plan::{DivisorRule, MANY_LANES, Order, Plan, TAPS};
use crate::kernel::direct;
use crate::kernel::finish::LARGEST_DIVISOR;

/// How cells are first read. The first that fits is taken, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Intake {
    /// Rows are slid along straight from the array; what is left is folded across them.
    Slid,
    /// Rows are folded straight from the array, across the outer axes; what is left is reduced along.
    Rows,
    /// Whole windows are reduced straight from the array.
    Windows,
    /// Cells are staged.
    Staged,
}

/// The most cells of a window that is reduced straight from the array where neighbours share cells: of 2x2 windows reading a
/// cell again costs less than keeping it; of 3x3 windows it costs as much in rows of 112 and twice as much in rows of 28.
const SHARED_TAPS: usize = 8;
/// The same where neighbours begin two cells apart, or lie in lanes: 3x3 windows cost half of what staging them does.
const SHARED_TAPS_APART: usize = 12;
/// The fewest cells side by side that are reduced a vector at a time, and how many of such windows may share a cell.
const ACROSS: usize = 8;
const SHARED_ACROSS: usize = 5;
/// The most cells of a window along rows that are slid along straight from the array.
const SLID_TAPS: usize = 8;
/// The most rows that are folded straight from the array where neighbours share rows.
const SHARED_ROWS: usize = 4;

impl Plan {
    /// Whether the same call would be done faster if cells could be merged in any order, and is large enough for trying that.
    pub fn hurries(&self) -> bool {
        const LARGE: usize = 32 << 10;
        /// Results of a row from which on that is faster: 3x3 windows over rows of 112 take 0.14 ms and not 0.16, over rows of 55
        /// they take 4.5 ms and not 4.1.
        const LONG: usize = 48;
        let last = &self.pooled[self.pooled.len() - 1];
        let reads_whole = self.intake == Intake::Windows && self.codes.is_none() && last.stride() == 2;
        reads_whole && last.spans.len_out() >= LONG && self.traffic() >= LARGE && self.folds_rows()
    }

    /// Whether windows of a few cells can be reduced straight from the array to the result: rows of results lie side by side.
    pub fn is_direct(&self) -> bool {
        let last = &self.pooled[self.pooled.len() - 1];
        let side_by_side = match [self.lanes.strides_out[0], last.strides_out[0]] {
            [_, 1] if self.lanes.len == 1 => [1, 2].contains(&last.stride_in.saturating_mul(last.stride() as isize)),
            [1, position] => position == self.lanes.len as isize && [1, 2].contains(&self.lanes.stride_in),
            _ => false,
        };
        let few = self.codes.is_none() && last.phases == 1 && self.taps() <= direct::CELLS;
        let across = last.spans.max_len() >= ACROSS && last.stride_in == 1;
        let by = if let DivisorRule::Fixed(divisor) = self.divisors[1] { divisor.abs() } else { 1.0 };
        self.intake == Intake::Windows && side_by_side && few && !across && by <= LARGEST_DIVISOR
    }

    /// How cells are read: a divisor before the sum has to be staged.
    pub(super) fn intake(&self) -> Intake {
        if self.divisors[0] != DivisorRule::None || self.order == Order::Staged {
            Intake::Staged
        } else if self.order == Order::Whole {
            let straight = self.goes_along_rows() && self.taps() <= TAPS;
            if straight { Intake::Windows } else { Intake::Staged }
        } else if self.order != Order::OneByOne && self.order != Order::Placed && self.slides() {
            Intake::Slid
        } else if self.order == Order::Any && self.codes.is_none() && self.folds_rows() {
            Intake::Rows
        } else if self.goes_straight() {
            Intake::Windows
        } else {
            Intake::Staged
        }
    }

    /// Whether rows can be slid along straight from the array: by windows of a few cells that begin at every cell.
    fn slides(&self) -> bool {
        let last = &self.pooled[self.pooled.len() - 1];
        let shared = last.spans.sliding().is_some_and(|window| window.stride == 1);
        let few = (2..=SLID_TAPS).contains(&last.spans.max_len()) && self.codes.is_none();
        few && shared && self.lanes.len == 1 && last.stride_in == 1
    }

    /// Whether rows can be folded straight from the array: few of them, most of which neighbours do not share. (Windows that
    /// begin at every second cell are read whole as fast, if neighbours share no rows.)
    fn folds_rows(&self) -> bool {
        let (outer, last) = self.pooled.split_at(self.pooled.len() - 1);
        let taps: usize = outer.iter().map(|axis| axis.spans.max_len()).fold(1, usize::saturating_mul);
        let rows: usize = outer.iter().map(Pooled::stride).fold(1, usize::saturating_mul);
        let one = self.lanes.len == 1 && last[0].stride_in == 1 && (last[0].stride() != 2 || taps > rows);
        let few = (2..MANY_LANES).contains(&self.lanes.len)
            && (self.lanes.stride_in, last[0].stride_in) == (1, self.lanes.len as isize);
        let along_rows = one || few;
        let wide = last[0].spans.max_len() > 1;
        along_rows && wide && (2..=TAPS).contains(&taps) && taps <= rows.saturating_mul(2).max(SHARED_ROWS)
    }

    /// Whether every result can stay in registers over all its cells: few cells, most of which neighbours do not share, or long
    /// runs of cells side by side.
    pub(super) fn goes_straight(&self) -> bool {
        let last = &self.pooled[self.pooled.len() - 1];
        let taps = self.taps();
        let cells: usize = self.pooled.iter().map(Pooled::stride).fold(1, usize::saturating_mul);
        let many_lanes = self.lanes.len >= MANY_LANES;
        let long = self.codes != Some(Codes::Sought)
            && self.lanes.len == 1
            && last.stride_in == 1
            && last.spans.step() == 1
            && last.stride() > 2;
        if long && last.spans.max_len() >= ACROSS {
            return self.order != Order::OneByOne && taps <= cells.saturating_mul(SHARED_ACROSS);
        }
        if self.leaps() {
            return true;
        }
        let shared = match (many_lanes, self.lanes.stride_in, last.stride_in.saturating_mul(last.stride() as isize)) {
            (false, _, 1) => SHARED_TAPS,
            (false, _, 2) | (true, 1 | 2, _) => SHARED_TAPS_APART,
            _ => cells,
        };
        self.goes_along_rows() && taps <= TAPS && taps <= shared.max(cells)
    }

    /// Cells of a window, at most.
    fn taps(&self) -> usize {
        self.pooled.iter().map(|axis| axis.spans.max_len()).fold(1, usize::saturating_mul)
    }

    /// Whether windows make long segments: in many lanes, or along rows that are not lanes.
    fn goes_along_rows(&self) -> bool {
        let last = &self.pooled[self.pooled.len() - 1];
        self.lanes.len >= MANY_LANES || self.lanes.len == 1 && last.spans.is_periodic(TAPS)
    }

    /// Whether windows have many cells in many lanes, none of which neighbours share: each cell a long way from the one before.
    pub(super) fn leaps(&self) -> bool {
        let alone = self.pooled.iter().all(|axis| axis.spans.len_out() == 1 || axis.spans.max_len() <= axis.stride());
        self.lanes.len >= MANY_LANES && self.lanes.stride_in == 1 && self.taps() > TAPS && alone
    }
}
