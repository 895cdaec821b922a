//! From axes to a plan: which are pooled, by which pass, in tiles of what size.

use super::axes::{AxisRequest, Codes, Free, Pass, Pooled, coalesce, joined};
use super::intake::Intake;
use crate::kernel::ladder::Ladder;
use crate::spans::{Pattern, Pieces, Spans};

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

/// In which order cells are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// In any.
    Any,
    /// In C order, so that the first of equal ones wins.
    C,
    /// The same, and where that one was is wanted too.
    Placed,
    /// Straight from the array one after the other into each result; staged in any.
    OneByOne,
    /// All cells of a window at once, straight from the array: staged only where that cannot be.
    Whole,
    /// In any, but not straight from the array: what is merged is made from cells that were staged.
    Staged,
}

/// A solved call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Axes passed through, slowest first: a tile takes one cell of them.
    pub batch: Vec<Free>,
    /// The last of these, and how many of its cells a tile takes.
    pub inner: Free,
    pub inner_chunk: usize,
    /// Axes reduced along, in the order of the array: at least one.
    pub pooled: Vec<Pooled>,
    /// The fastest axis, if it is passed through; else one lane.
    pub lanes: Free,
    pub lanes_chunk: usize,
    /// How cells are first read.
    pub intake: Intake,
    pub order: Order,
    /// What cells are divided by on their way in, and results on their way out.
    pub divisors: [DivisorRule; 2],
    /// Whether tags are codes of cells within their windows, where these go straight.
    pub codes: Option<Codes>,
}

/// Lanes from which on an axis is folded rather than slid along: a vector of 4-byte values.
pub(super) const MANY_LANES: usize = 16;
/// The most taps and phases of a pattern, and the most cells of a window that is reduced straight from the array.
pub(super) const TAPS: usize = 32;
/// Cells a tile stages if it can: 32 KiB of 4-byte values; 2^11 to 2^15 are as fast.
const TILE: usize = 1 << 13;
/// Cells that a tile reads if it keeps none of them: 256 KiB of 4-byte values.
const DIRECT_TILE: usize = 1 << 16;
/// How often a cell may be staged, because tiles overlap, before tiles of eight times the size are taken: once they fill an L2
/// cache with their rungs and results, larger ones cost more than cells staged twice (31x31 windows of a 4096x4096 image: 36 ms
/// in tiles of 2^16, 57 ms in tiles of 2^19).
const REPEATED: f64 = 1.3;
const REPEATED_IN_L2: f64 = 2.0;
/// The most cells that a tile may stage so that huge windows share their work: 128 MiB of 4-byte values.
const HUGE_TILE: usize = 1 << 25;
/// Cells of a window above which it is reduced in pieces.
const PIECE: usize = 1 << 16;

impl Plan {
    pub fn new(
        axes: impl DoubleEndedIterator<Item = AxisRequest>,
        divisors: [DivisorRule; 2],
        codes: Option<Codes>,
        order: Order,
    ) -> Self {
        let (mut flat, mut code) = (1u64, 1u64);
        let rank = axes.size_hint().0;
        let (mut free, mut pooled) = (Vec::with_capacity(rank), Vec::<Pooled>::with_capacity(rank));
        for axis in axes.rev() {
            let AxisRequest { spans, len, stride_in, strides_out, counts } = axis;
            let step = if spans.is_some() { flat } else { 0 };
            let code_step = code;
            if let Some(spans) = &spans {
                flat = flat.wrapping_mul(len as u64);
                code = code.saturating_mul(counts.as_ref().unwrap_or(spans).taps() as u64);
            }
            match spans {
                Some(spans) if !spans.is_identity() || counts.as_ref().is_some_and(|c| !c.is_identity()) => {
                    let counts = counts.unwrap_or_else(|| spans.clone());
                    let axis = Pooled {
                        spans,
                        counts,
                        stride_in,
                        strides_out,
                        flat: step,
                        code: code_step,
                        pass: Pass::Fold,
                        ladder: Ladder::default(),
                        phases: 1,
                        alike: false,
                        chunk: 1,
                    };
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
                code: 1,
                pass: Pass::Fold,
                ladder: Ladder::default(),
                phases: 1,
                alike: false,
                chunk: 1,
            });
        }
        let lanes = coalesce(&mut free, &pooled);
        let inner = free.pop().unwrap_or(Free::ONE);
        let mut plan = Self {
            batch: free,
            inner,
            inner_chunk: 1,
            pooled,
            lanes,
            lanes_chunk: 1,
            intake: Intake::Staged,
            order,
            divisors,
            codes,
        };
        plan.intake = plan.intake();
        plan.choose_passes();
        plan.choose_tiles();
        plan
    }

    /// Whether no result is made of more than one cell.
    pub fn is_single(&self) -> bool {
        self.pooled.iter().all(|axis| axis.spans.max_len() <= 1)
    }

    /// Cells in all batch axes.
    pub fn batch_len(&self) -> usize {
        self.batch.iter().map(|axis| axis.len).product::<usize>() * self.inner.len
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> usize {
        let free = self.inner.len.div_ceil(self.inner_chunk) * self.lanes.len.div_ceil(self.lanes_chunk);
        let batch: usize = self.batch.iter().map(|axis| axis.len).product();
        self.pooled.iter().map(Pooled::chunks).fold(batch * free, |tiles, chunks| tiles * chunks)
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
            (axis.phases, axis.ladder) = (1, Ladder::default());
            let straight = match self.intake {
                Intake::Slid => j == last,
                Intake::Rows => j < last,
                intake => intake == Intake::Windows,
            };
            if straight {
                // Of the windows that cover every second cell, each begins one after the one before.
                if let Spans::Transposed(t) = &axis.spans
                    && j == last
                    && !many_lanes
                {
                    axis.phases = t.of.stride;
                }
                axis.pass = Pass::Fold;
                continue;
            }
            let sifted = if j == last { sifted(&axis.spans, self.intake, self.lanes.len) } else { None };
            let windows = if sifted.is_some() { axis.spans.len_in() } else { axis.spans.len_out() };
            let ladder = Ladder::new(axis.spans.max_len(), axis.spans.len_in(), windows);
            let second = |pattern: &Pattern| (pattern.outputs, pattern.inputs) == (1, 2);
            let alternate = axis.spans.pattern(TAPS, 2).filter(second);
            let alternate = alternate.filter(|_| self.intake == Intake::Rows && self.lanes.len == 1 && j == last);
            axis.pass = if let Some(pattern) = sifted {
                Pass::Sift(pattern)
            } else if let Some(pattern) = alternate {
                Pass::Alternate(pattern)
            } else if j < last || many_lanes {
                Pass::Fold
            } else if let Some(pattern) = slid(&axis.spans, self.intake, self.lanes.len) {
                axis.phases = pattern.outputs;
                Pass::Slide(pattern)
            } else if ladder != Ladder::default() && (self.lanes.len == 1 || axis.spans.max_len() > TAPS) {
                Pass::Fold
            } else {
                Pass::Runs
            };
            let in_order = match &axis.pass {
                Pass::Slide(pattern) => !pattern.is_single(),
                pass => matches!(pass, Pass::Runs | Pass::Alternate(_)),
            };
            if !in_order {
                axis.ladder = ladder;
            }
        }
        for (j, axis) in self.pooled.iter_mut().enumerate() {
            // Rows that are staged are clipped to their axis, position by position.
            axis.alike = self.divisors[0] == DivisorRule::None && (j < last || self.intake == Intake::Windows);
        }
    }

    /// Chooses the largest chunks, fastest axes first, whose staged cells fit a tile; of several row lengths the one that
    /// stages the fewest cells a result.
    fn choose_tiles(&mut self) {
        // A small call is one tile.
        (self.inner_chunk, self.lanes_chunk) = (self.inner.len.max(1), self.lanes.len);
        for axis in &mut self.pooled {
            axis.chunk = axis.spans.len_out();
        }
        let tile = if self.is_direct() { DIRECT_TILE } else { TILE };
        if self.staged() <= tile {
            return;
        }
        self.tile_within(tile);
        // Where windows overlap much, neighbouring tiles of this size repeat much of the work.
        let (mut cells, mut most) = (tile, REPEATED);
        while self.repeated() > most && cells < HUGE_TILE {
            (cells, most) = (cells * 8, REPEATED_IN_L2);
            self.tile_within(cells);
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
        self.inner_chunk = 1;
        self.lanes_chunk = 1;
        for axis in &mut self.pooled {
            axis.chunk = axis.phases;
        }
        let last = self.pooled.len() - 1;
        let lanes = match self.lanes.len {
            // As long as can be: they are read along, and nothing is staged.
            _ if self.intake == Intake::Windows && self.leaps() => cells,
            MANY_LANES.. => (cells / self.staged()).max(MANY_LANES),
            few => few,
        };
        self.lanes_chunk = even_chunk(self.lanes.len, lanes, 64);
        for j in (0..=last).rev() {
            let limit = if j == last { row_limit } else { self.pooled[j].spans.len_out() };
            let (mut fits, mut too_many) = (1, limit.div_ceil(self.pooled[j].phases) + 1);
            while fits + 1 < too_many {
                let middle = usize::midpoint(fits, too_many);
                self.pooled[j].chunk = middle * self.pooled[j].phases;
                if self.staged() <= cells { fits = middle } else { too_many = middle }
            }
            let axis = &mut self.pooled[j];
            axis.chunk = even_chunk(axis.spans.len_out(), fits * axis.phases, axis.phases);
        }
        self.inner_chunk = even_chunk(self.inner.len, cells / self.staged().max(1), 1);
    }

    /// Cells that a tile stages, or results that it holds where these are more.
    fn staged(&self) -> usize {
        let pooled = self.pooled.iter().map(|axis| axis.reach(axis.chunk).max(axis.chunk));
        pooled.fold(self.lanes_chunk * self.inner_chunk, usize::saturating_mul)
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
        if cells <= PIECE * 4 || self.pooled.iter().any(|axis| axis.ladder != Ladder::default()) {
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
        let batch = pieces.batch.iter_mut().zip(&mut whole.batch);
        for (piece, whole) in batch.chain([(&mut pieces.inner, &mut whole.inner)]).rev() {
            let step = place(piece.len);
            (piece.strides_out, whole.stride_in) = ([step; 2], step);
        }
        let straight = self.order != Order::Staged && pieces.codes.is_none() && pieces.goes_straight();
        pieces.intake = if straight { Intake::Windows } else { Intake::Staged };
        whole.intake = Intake::Staged;
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

/// The most cells of a window that rows are slid along by.
const LONG: usize = 1 << 10;

/// The pattern by which rows are slid along: of a few taps and phases; or of one output for each cell, and of any number of taps
/// that is not out of proportion to the axis, whose padding is staged too. Rows that were folded are not split into phases, nor
/// are those of a few lanes, which would be staged position by position.
fn slid(spans: &Spans, intake: Intake, lanes: usize) -> Option<Pattern> {
    let few = if intake == Intake::Rows || lanes > 1 { None } else { spans.pattern(TAPS, TAPS) };
    few.or_else(|| spans.pattern(LONG.min(spans.len_in()), 1).filter(Pattern::is_single))
}

/// The pattern of windows that are taken from every cell on, so that a few lanes, or one, are read as one long row: that costs
/// less than reading each window by itself, though most of the windows are not wanted.
fn sifted(spans: &Spans, intake: Intake, lanes: usize) -> Option<Pattern> {
    // Cells from one window to the next. Rows of one lane that were not folded are split into phases instead. 2x2 windows of an
    // 8-bit RGB image of 12 million pixels take 10 ms and not 15, 4x4 windows as long either way, and 8x8 windows of its `f32`
    // copy 30 ms and not 21; 3x3 means of a 16-bit plane of 4 million cells 1.3 ms and not 2.7, 8x8 means of its `f32` copy 1.2
    // and not 1.1.
    let every = match lanes {
        1 if intake == Intake::Rows => 3..=6,
        2..MANY_LANES => 2..=4,
        _ => return None,
    };
    let pattern = spans.pattern(LONG.min(spans.len_in()), *every.end())?;
    (pattern.outputs == 1 && every.contains(&pattern.inputs)).then_some(pattern)
}

/// Chunks of at most `most` (a multiple of `unit`, if any) that cut `len` evenly.
fn even_chunk(len: usize, most: usize, unit: usize) -> usize {
    if most >= len {
        return len.max(1);
    }
    let most = (most / unit * unit).max(unit);
    len.div_ceil(len.div_ceil(most)).next_multiple_of(unit)
}
