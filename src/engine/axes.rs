//! The axes of a plan: passed through or pooled, joined where their cells lie one after the other.

use crate::kernel::ladder::Ladder;
use crate::kernel::source::Place;
use crate::spans::{Bins, Pattern, Span, Spans};

/// One axis of a request, in the order of the array.
#[derive(Clone, Debug)]
pub(crate) struct AxisRequest {
    /// How the axis is pooled; `None` passes it through.
    pub spans: Option<Spans>,
    pub len: usize,
    pub stride_in: isize,
    /// Strides of the first and the second result.
    pub strides_out: [isize; 2],
    /// Spans whose counts are the divisors along this axis.
    pub counts: Option<Spans>,
}

/// An axis that is passed through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Free {
    pub len: usize,
    pub stride_in: isize,
    pub strides_out: [isize; 2],
    /// Step in the flat index of the pooled axes: not 0 for a pooled axis whose window is one cell.
    pub flat: u64,
}

impl Free {
    /// No axis at all.
    pub const ONE: Self = Self { len: 1, stride_in: 1, strides_out: [1, 1], flat: 0 };
}

/// An axis that is reduced along.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pooled {
    pub spans: Spans,
    pub counts: Spans,
    pub stride_in: isize,
    pub strides_out: [isize; 2],
    pub flat: u64,
    /// What one cell more adds to a code.
    pub code: u64,
    pub pass: Pass,
    /// How large windows are put together, where they are folded or slid along.
    pub ladder: Ladder,
    /// Outputs come in groups of as many, interleaved when they are finished.
    pub phases: usize,
    /// Whether chunks inside the axis all lie alike.
    pub alike: bool,
    /// Outputs in one tile.
    pub chunk: usize,
}

/// Whose codes are meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Codes {
    /// Those of the cells of each window.
    Won,
    /// On transposed spans, those that one cell has in the windows that cover it.
    Sought,
}

/// How an axis is reduced along. The first that fits is taken, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pass {
    /// Short repeating windows along rows.
    Slide(Pattern),
    /// Windows that begin at every second cell, along rows that were folded.
    Alternate(Pattern),
    /// Windows from every cell on, of which those that are wanted are kept.
    Sift(Pattern),
    /// Any windows along rows.
    Runs,
    /// Any windows over whole runs of cells.
    Fold,
}

impl Pooled {
    /// How many chunks there are.
    pub fn chunks(&self) -> usize {
        self.spans.len_out().div_ceil(self.chunk)
    }

    /// The position that a chunk's spans are counted from, if they are those of every other chunk that has such a position.
    pub fn origin(&self, chunk: usize) -> Option<usize> {
        let (start, end) = (chunk * self.chunk, (chunk + 1) * self.chunk);
        if !self.alike || end > self.spans.len_out() {
            return None;
        }
        match &self.spans {
            Spans::Regular(r) => {
                let first = usize::try_from(r.first(start)).ok()?;
                let last = r.first(end - 1) as usize;
                (last + r.extent() <= r.len_in).then_some(first)
            }
            Spans::Groups { size, .. } => Some(start * size),
            Spans::Bins(b) if b.len_in % b.len_out == 0 => Some(start * (b.len_in / b.len_out)),
            _ => None,
        }
    }

    /// The first cell of output `o` and the way to its next, counted from an origin; tagged with codes, if they are wanted.
    pub fn taps(&self, o: usize, origin: usize, codes: Option<Codes>) -> (Place, Place, usize) {
        let Span { start, len, step } = self.spans.at(o);
        let (first, tap_step) = (self.place(start.saturating_sub(origin)), self.place(step));
        let Some(codes) = codes else { return (first, tap_step, len) };
        let (code, code_step) = match (codes, &self.spans) {
            (Codes::Won, spans) => ((start as isize - spans.first(o)) as usize / step, 1),
            // Of the windows that cover a cell, later ones have it earlier.
            (Codes::Sought, Spans::Transposed(t)) => (t.tap(o, start), t.tap_step()),
            (Codes::Sought, _) => (0, 0),
        };
        let times = |taps: isize| self.code.wrapping_mul(taps as u64);
        let (code, code_step) = if len == 0 { (0, 0) } else { (times(code as isize), times(code_step)) };
        (Place { index: code, ..first }, Place { index: code_step, ..tap_step }, len)
    }

    /// Where a position of this axis lies.
    pub fn place(&self, position: usize) -> Place {
        Place { offset: position as isize * self.stride_in, index: (position as u64).wrapping_mul(self.flat) }
    }

    /// Cells from one output to the next, where that is regular.
    pub fn stride(&self) -> usize {
        match &self.spans {
            Spans::Regular(regular) => regular.stride,
            spans => (spans.len_in() / spans.len_out()).max(1),
        }
    }

    /// Cells that are staged for `chunk` outputs.
    pub fn reach(&self, chunk: usize) -> usize {
        match &self.pass {
            Pass::Slide(pattern) | Pass::Alternate(pattern) | Pass::Sift(pattern) => pattern_reach(pattern, chunk).1,
            _ => self.spans.reach(chunk),
        }
    }
}

/// The first tap of a pattern's first cycle, and the positions up to the last tap of `outputs` outputs.
pub(crate) fn pattern_reach(pattern: &Pattern, outputs: usize) -> (isize, usize) {
    let taps = || pattern.taps.iter().flatten().copied();
    let (first, last) = (taps().min().unwrap_or(0), taps().max().unwrap_or(0));
    let cycles = outputs.div_ceil(pattern.outputs);
    (first, (last - first) as usize + 1 + (cycles - 1) * pattern.inputs)
}

/// Two global axes whose cells lie one after the other are one axis.
pub(super) fn joined(outer: &Pooled, inner: &Pooled) -> Option<Pooled> {
    let whole = |axis: &Pooled| {
        let uniform = |spans: &Spans| spans.is_global() && spans.count(0, true) == spans.len_in();
        uniform(&axis.spans) && uniform(&axis.counts)
    };
    let n = inner.spans.len_in();
    let follows = |outer: u64, inner: u64| outer == inner.wrapping_mul(n as u64);
    let adjacent = outer.stride_in == inner.stride_in * n as isize
        && follows(outer.flat, inner.flat)
        && follows(outer.code, inner.code);
    (whole(outer) && whole(inner) && adjacent).then(|| {
        let spans = Spans::Bins(Bins { len_in: outer.spans.len_in() * n, len_out: 1 });
        Pooled { counts: spans.clone(), spans, ..inner.clone() }
    })
}

/// Joins free axes whose cells lie one after the other, and takes the fastest out if it is faster than every pooled axis.
pub(super) fn coalesce(free: &mut Vec<Free>, pooled: &[Pooled]) -> Free {
    // A broadcast axis has no order in memory; it goes first.
    free.sort_by_key(|axis| {
        std::cmp::Reverse(if axis.stride_in == 0 { usize::MAX } else { axis.stride_in.unsigned_abs() })
    });
    free.dedup_by(|inner, outer| {
        let n = inner.len as isize;
        let follows = |step: isize, inner: isize| step == inner * n;
        let joins = follows(outer.stride_in, inner.stride_in)
            && follows(outer.strides_out[0], inner.strides_out[0])
            && follows(outer.strides_out[1], inner.strides_out[1])
            && outer.flat == inner.flat.wrapping_mul(n as u64);
        if joins {
            *outer = Free { len: outer.len * inner.len, ..*inner };
        }
        joins
    });
    let fastest = pooled.iter().map(|axis| axis.stride_in.unsigned_abs()).min().unwrap_or(usize::MAX);
    match free.last() {
        Some(axis) if axis.stride_in != 0 && axis.stride_in.unsigned_abs() < fastest => free.pop().unwrap_or(Free::ONE),
        _ => Free::ONE,
    }
}
