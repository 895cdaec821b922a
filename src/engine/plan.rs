//! From axes and strides to a plan: which axes are pooled, by which pass, in tiles of what size.

use crate::spans::{Bins, Pattern, Pieces, Regular, Spans};

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

/// What means are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DivisorRule {
    /// Nothing is divided.
    None,
    /// The real cells of each window.
    Cells,
    /// The cells of each window within the padded axes.
    Padded,
    /// A given number.
    Fixed(f64),
}

/// An axis that is passed through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Free {
    pub len: usize,
    pub stride_in: isize,
    pub strides_out: [isize; 2],
    /// Step in the flat index of the pooled axes: not 0 for a pooled axis whose window is one cell.
    pub flat: u64,
}

/// An axis that is reduced along.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub spans: Spans,
    pub counts: Spans,
    pub stride_in: isize,
    pub strides_out: [isize; 2],
    pub flat: u64,
    pub pass: Pass,
    /// Outputs in one tile.
    pub chunk: usize,
}

/// How an axis is reduced along. The first that fits is taken, in this order.
#[derive(Clone, Debug)]
pub(crate) enum Pass {
    /// Large windows that overlap much.
    Doubling(Regular),
    /// Short repeating windows along rows.
    Slide(Pattern),
    /// Any windows along rows.
    Runs,
    /// Any windows over whole runs of cells.
    Fold,
}

/// A solved call.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Axes passed through, slowest first, and how many of their cells a tile takes.
    pub batch: Vec<Free>,
    pub batch_chunk: usize,
    /// Axes reduced along, in the order of the array: at least one.
    pub pooled: Vec<Pooled>,
    /// The fastest axis, if it is passed through; else one lane.
    pub lanes: Free,
    pub lanes_chunk: usize,
    /// What cells are divided by on their way in, and results on their way out.
    pub divisors: [DivisorRule; 2],
}

/// Lanes from which on an axis is folded rather than slid along: a vector of 4-byte values.
const MANY_LANES: usize = 16;
/// The most taps and phases of a pattern.
const TAPS: usize = 32;
/// Cells a tile stages if it can: 128 KiB of 4-byte values, an eighth of a usual L2 cache and its double buffer.
const TILE: usize = 1 << 13;
/// Cells a tile may stage where windows overlap much, so that neighbouring tiles do not repeat most of the work.
const LARGE_TILE: usize = 1 << 18;
/// The most cells that a tile may stage so that huge windows share their work: 128 MiB of 4-byte values.
const HUGE_TILE: usize = 1 << 25;
/// Cells of a window above which it is reduced in pieces.
const PIECE: usize = 1 << 16;

impl Plan {
    pub fn new(axes: Vec<AxisRequest>, divisors: [DivisorRule; 2]) -> Self {
        let mut flat = 1u64;
        let (mut free, mut pooled) = (Vec::new(), Vec::<Pooled>::new());
        for axis in axes.into_iter().rev() {
            let AxisRequest { spans, len, stride_in, strides_out, counts } = axis;
            let step = if spans.is_some() { flat } else { 0 };
            if spans.is_some() {
                flat = flat.wrapping_mul(len as u64);
            }
            match spans {
                Some(spans) if !spans.is_identity() || counts.as_ref().is_some_and(|c| !c.is_identity()) => {
                    let counts = counts.unwrap_or_else(|| spans.clone());
                    let axis = Pooled { spans, counts, stride_in, strides_out, flat: step, pass: Pass::Fold, chunk: 1 };
                    if let Some(both) = pooled.last().and_then(|inner| joined(&axis, inner)) {
                        pooled.pop();
                        pooled.push(both);
                    } else {
                        pooled.push(axis);
                    }
                }
                _ if len == 1 => {}
                _ => free.push(Free { len, stride_in, strides_out, flat: step }),
            }
        }
        pooled.reverse();
        free.reverse();
        if pooled.is_empty() {
            let spans = Spans::identity(1);
            let counts = spans.clone();
            pooled.push(Pooled {
                spans,
                counts,
                stride_in: 1,
                strides_out: [1, 1],
                flat: 0,
                pass: Pass::Fold,
                chunk: 1,
            });
        }
        let lanes = coalesce(&mut free, &pooled);
        let mut plan = Self { batch: free, batch_chunk: 1, pooled, lanes, lanes_chunk: 1, divisors };
        plan.choose_passes();
        plan.choose_tiles();
        plan
    }

    /// Cells in all batch axes.
    pub fn batch_len(&self) -> usize {
        self.batch.iter().map(|axis| axis.len).product()
    }

    /// Bytes that a call moves, roughly: what decides whether to wake other threads.
    pub fn traffic(&self) -> usize {
        let cells = |axis: &Pooled| axis.spans.len_in().saturating_add(axis.spans.len_out());
        let pooled = self.pooled.iter().map(cells);
        pooled.fold(self.batch_len() * self.lanes.len * 4, usize::saturating_mul)
    }

    fn choose_passes(&mut self) {
        let many_lanes = self.lanes.len >= MANY_LANES;
        let last = self.pooled.len() - 1;
        for (j, axis) in self.pooled.iter_mut().enumerate() {
            axis.pass = if let Some(regular) = doubles(&axis.spans) {
                Pass::Doubling(regular)
            } else if j < last || many_lanes {
                Pass::Fold
            } else if let Some(pattern) = axis.spans.pattern(TAPS, TAPS) {
                Pass::Slide(pattern)
            } else {
                Pass::Runs
            };
        }
    }

    /// Chooses the largest chunks, fastest axes first, whose staged cells fit a tile; of several row lengths the one that
    /// stages the fewest cells a result.
    fn choose_tiles(&mut self) {
        // A small call is one tile.
        (self.batch_chunk, self.lanes_chunk) = (self.batch_len().max(1), self.lanes.len);
        for axis in &mut self.pooled {
            axis.chunk = axis.spans.len_out();
        }
        if self.staged() <= TILE {
            return;
        }
        self.tile_within(TILE);
        if self.repeated() > 1.3 {
            self.tile_within(LARGE_TILE);
        }
        if self.repeated() > 2.0 {
            // Windows larger than any cache: tiles of a few windows, so that the work stays linear, if memory allows.
            let mut smallest = self.clone();
            smallest.fill(1, 1);
            let cells = smallest.staged().saturating_mul(4);
            if cells <= HUGE_TILE {
                self.tile_within(cells);
            }
        }
    }

    fn tile_within(&mut self, cells: usize) {
        let last = self.pooled.len() - 1;
        let row = self.pooled[last].spans.len_out();
        let mut best: Option<(f64, Self)> = None;
        let mut limit = row;
        loop {
            let mut plan = self.clone();
            plan.fill(cells, limit);
            let repeated = plan.repeated();
            if best.as_ref().is_none_or(|(least, _)| repeated < least * 0.98) {
                best = Some((repeated, plan));
            }
            if last == 0 || limit * self.lanes.len.min(cells) <= 512 || row <= 512 {
                break;
            }
            limit = limit.div_ceil(2);
        }
        if let Some((_, plan)) = best {
            *self = plan;
        }
    }

    fn fill(&mut self, cells: usize, row_limit: usize) {
        self.batch_chunk = 1;
        self.lanes_chunk = 1;
        for axis in &mut self.pooled {
            axis.chunk = axis.phases();
        }
        let last = self.pooled.len() - 1;
        let lanes = if self.lanes.len >= MANY_LANES { (cells / self.staged()).max(MANY_LANES) } else { self.lanes.len };
        self.lanes_chunk = even_chunk(self.lanes.len, lanes, 64);
        for j in (0..=last).rev() {
            let limit = if j == last { row_limit } else { self.pooled[j].spans.len_out() };
            let (mut fits, mut too_many) = (1, limit.div_ceil(self.pooled[j].phases()) + 1);
            while fits + 1 < too_many {
                let middle = usize::midpoint(fits, too_many);
                self.pooled[j].chunk = middle * self.pooled[j].phases();
                if self.staged() <= cells { fits = middle } else { too_many = middle }
            }
            let axis = &mut self.pooled[j];
            axis.chunk = even_chunk(axis.spans.len_out(), fits * axis.phases(), axis.phases());
        }
        self.batch_chunk = even_chunk(self.batch_len(), cells / self.staged().max(1), 1);
    }

    /// Cells that a tile stages.
    fn staged(&self) -> usize {
        let pooled = self.pooled.iter().map(|axis| axis.reach(axis.chunk));
        pooled.fold(self.lanes_chunk * self.batch_chunk, usize::saturating_mul)
    }

    /// How often a cell is staged, on average over tiles.
    fn repeated(&self) -> f64 {
        let axis = |axis: &Pooled| {
            let tiles = axis.spans.len_out().div_ceil(axis.chunk) as f64;
            (tiles * axis.reach(axis.chunk) as f64 / axis.spans.len_in() as f64).max(1.0)
        };
        self.pooled.iter().map(axis).product()
    }

    /// For windows larger than a tile: the plan of their pieces and the plan that puts the pieces together.
    pub fn split(&self) -> Option<(Self, Self)> {
        let window = |axis: &Pooled| axis.spans.max_len();
        let cells: usize = self.pooled.iter().map(window).fold(1, usize::saturating_mul);
        if cells <= PIECE * 4 || self.pooled.iter().any(|axis| matches!(axis.pass, Pass::Doubling(_))) {
            return None;
        }
        let (mut pieces, mut whole) = (self.clone(), self.clone());
        let mut budget = PIECE;
        for (piece, whole) in pieces.pooled.iter_mut().zip(&mut whole.pooled).rev() {
            let size = window(piece).min(budget);
            budget = (budget / size).max(1);
            if size < window(piece) {
                let cut = Pieces::new(piece.spans.clone(), size);
                whole.spans = Spans::Groups { groups: cut.of.len_out(), size: cut.per };
                piece.spans = Spans::Pieces(cut);
            } else {
                whole.spans = Spans::identity(piece.spans.len_out());
            }
        }
        // Partial results lie in C order: batch, pieces, lanes.
        let mut stride = 1;
        let mut place = |len: usize| {
            stride *= len as isize;
            stride / len as isize
        };
        let lane = place(self.lanes.len);
        (pieces.lanes.strides_out, whole.lanes.stride_in) = ([lane; 2], lane);
        for (piece, whole) in pieces.pooled.iter_mut().zip(&mut whole.pooled).rev() {
            let step = place(piece.spans.len_out());
            (piece.strides_out, whole.stride_in) = ([step; 2], step);
        }
        for (piece, whole) in pieces.batch.iter_mut().zip(&mut whole.batch).rev() {
            let step = place(piece.len);
            (piece.strides_out, whole.stride_in) = ([step; 2], step);
        }
        for plan in [&mut pieces, &mut whole] {
            plan.choose_passes();
            plan.choose_tiles();
        }
        Some((pieces, whole))
    }

    /// Partial results of a plan of pieces.
    pub fn partials(&self) -> usize {
        self.batch_len() * self.lanes.len * self.pooled.iter().map(|axis| axis.spans.len_out()).product::<usize>()
    }
}

impl Pooled {
    /// Outputs come in groups of as many, interleaved when they are finished.
    pub fn phases(&self) -> usize {
        if let Pass::Slide(pattern) = &self.pass { pattern.outputs } else { 1 }
    }

    /// Cells that are staged for `chunk` outputs.
    fn reach(&self, chunk: usize) -> usize {
        match &self.pass {
            Pass::Slide(pattern) => pattern_reach(pattern, chunk).1,
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
fn joined(outer: &Pooled, inner: &Pooled) -> Option<Pooled> {
    let whole = |axis: &Pooled| {
        let uniform = |spans: &Spans| spans.is_global() && spans.count(0, true) == spans.len_in();
        uniform(&axis.spans) && uniform(&axis.counts)
    };
    let n = inner.spans.len_in();
    let adjacent = outer.stride_in == inner.stride_in * n as isize && outer.flat == inner.flat * n as u64;
    (whole(outer) && whole(inner) && adjacent).then(|| {
        let spans = Spans::Bins(Bins { len_in: outer.spans.len_in() * n, len_out: 1 });
        Pooled { counts: spans.clone(), spans, ..inner.clone() }
    })
}

/// Joins free axes whose cells lie one after the other, and takes the fastest out if it is faster than every pooled axis.
fn coalesce(free: &mut Vec<Free>, pooled: &[Pooled]) -> Free {
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
    let one = Free { len: 1, stride_in: 1, strides_out: [1, 1], flat: 0 };
    let fastest = pooled.iter().map(|axis| axis.stride_in.unsigned_abs()).min().unwrap_or(usize::MAX);
    match free.last() {
        Some(axis) if axis.stride_in != 0 && axis.stride_in.unsigned_abs() < fastest => free.pop().unwrap_or(one),
        _ => one,
    }
}

/// Whether doubling costs less than combining every tap; counted in loads and stores of a cell.
fn doubles(spans: &Spans) -> Option<Regular> {
    let Spans::Regular(regular) = spans else { return None };
    let direct = regular.len_out as u128 * spans.max_len() as u128;
    let padded = (regular.len_out as u128 - 1) * regular.stride as u128 + regular.extent() as u128;
    let steps = regular.kernel.ilog2() + regular.kernel.count_ones();
    (padded * 3 * (steps as u128 + 1) < direct).then_some(*regular)
}

/// Chunks of at most `most` (a multiple of `unit`, if any) that cut `len` evenly.
fn even_chunk(len: usize, most: usize, unit: usize) -> usize {
    if most >= len {
        return len.max(1);
    }
    let most = (most / unit * unit).max(unit);
    len.div_ceil(len.div_ceil(most)).next_multiple_of(unit)
}
