//! The gradient of max and min, and its linear map forwards: values sent to, and read from, the cells that won.
//!
//! A tile is a band of the first pooled axis with all of the others, so that the flat order of cells is the order of the
//! work buffer. It takes every window that touches the band and keeps what falls inside: each gradient is summed by one
//! task, in ascending order of windows, and written once.

use std::ops::Range;

use super::{cross, offset_of};
use crate::element::{Element, Position};
use crate::error::{Result, try_vec};
use crate::kernel::dispatch::Level;
use crate::kernel::finish::{Divisors, Finish, OutRows, ToSum};
use crate::kernel::route::{Decode, Gather, Scatter};
use crate::kernel::stage::{Lift, Rows, Stage, ToAddend};
use crate::parallel::Parallel;
use crate::spans::Spans;
use crate::strided::Raw;

/// Cells of a band, if that is possible: 512 KiB of gradients, which stay in the L2 cache.
const BAND: usize = 1 << 16;

/// One axis of the pooled array.
#[derive(Clone, Debug)]
pub(crate) struct RoutedAxis {
    pub len: usize,
    pub spans: Option<Spans>,
    /// Strides of the input side, the output side, and the offsets.
    pub stride_in: isize,
    pub stride_out: isize,
    pub stride_offsets: isize,
}

impl RoutedAxis {
    fn outputs(&self) -> usize {
        self.spans.as_ref().map_or(self.len, Spans::len_out)
    }
}

/// Where winners are stored.
#[derive(Clone, Copy)]
pub(crate) enum Winners {
    U8(Raw<u8>),
    U16(Raw<u16>),
    U32(Raw<u32>),
    U64(Raw<u64>),
}

/// Winners, to read: with a table their codes, else their offsets.
#[derive(Clone, Copy)]
pub(crate) struct Offsets<'a> {
    pub winners: Winners,
    pub table: &'a [u64],
}

impl Offsets<'_> {
    fn coded(self) -> bool {
        !self.table.is_empty()
    }

    /// Fills the beginning of a buffer with offsets.
    fn stage(self, level: Level, rows: Rows<'_>, into: &mut [u64]) {
        match self.winners {
            Winners::U8(source) => level.run(Stage::<Widen<u8>> { source, rows, into }),
            Winners::U16(source) => level.run(Stage::<Widen<u16>> { source, rows, into }),
            Winners::U32(source) => level.run(Stage::<Widen<u32>> { source, rows, into }),
            Winners::U64(source) => level.run(Stage::<Widen<u64>> { source, rows, into }),
        };
        if self.coded() {
            let codes = &mut into[..rows.offsets.len() * rows.row()];
            level.run(Decode { codes, offsets: self.table });
        }
    }
}

/// A position as a 64-bit number.
#[derive(Clone, Copy)]
struct Widen<P>(std::marker::PhantomData<P>);

impl<P: Position> Lift for Widen<P> {
    type Element = P;
    type Value = u64;

    #[inline(always)]
    fn padding() -> u64 {
        0
    }

    #[inline(always)]
    fn lift(x: P) -> u64 {
        x.get()
    }

    type Watch = ();

    #[inline(always)]
    fn watch((): (), _: u64) {}

    #[inline(always)]
    fn special((): ()) -> bool {
        false
    }
}

/// Where values are routed: axes, split into those passed through, those pooled, and lanes.
pub(crate) struct Routed {
    free: Vec<RoutedAxis>,
    pooled: Vec<RoutedAxis>,
    /// Steps in the flat index, by pooled axis.
    flats: Vec<usize>,
    lanes: RoutedAxis,
    /// Cells of the first pooled axis in a band.
    band: usize,
    lanes_chunk: usize,
    batch_chunk: usize,
}

/// The first cell of a window without cells: far outside.
const OUTSIDE: i64 = i64::MIN;

/// The offset of the winner of a window that has none: far outside too, wherever its first cell is.
pub(crate) const NOWHERE: u64 = 1 << 62;

/// A band and what touches it.
struct Band {
    batch: Range<usize>,
    lanes: Range<usize>,
    cells: Range<usize>,
    windows: Range<usize>,
}

impl Routed {
    pub fn new(axes: Vec<RoutedAxis>) -> Self {
        let (mut pooled, mut free): (Vec<_>, Vec<_>) = axes.into_iter().partition(|axis| axis.spans.is_some());
        if pooled.is_empty() {
            pooled.push(RoutedAxis {
                len: 1,
                spans: Some(Spans::identity(1)),
                stride_in: 1,
                stride_out: 1,
                stride_offsets: 1,
            });
        }
        free.sort_by_key(|axis| std::cmp::Reverse(axis.stride_in.unsigned_abs()));
        let fastest = pooled.iter().map(|axis| axis.stride_in.unsigned_abs()).min().unwrap_or(0);
        let one = RoutedAxis { len: 1, spans: None, stride_in: 1, stride_out: 1, stride_offsets: 1 };
        let lanes = free.pop_if(|axis| axis.stride_in.unsigned_abs() < fastest && axis.len > 1).unwrap_or(one);
        let mut flats = vec![1; pooled.len()];
        for j in (1..pooled.len()).rev() {
            flats[j - 1] = flats[j] * pooled[j].len;
        }
        let lanes_chunk = lanes.len.min((BAND / flats[0].max(1)).max(16));
        let band = (BAND / (flats[0] * lanes_chunk).max(1)).clamp(1, pooled[0].len);
        let batch_chunk = (BAND / (flats[0] * band * lanes_chunk).max(1)).max(1);
        Self { free, pooled, flats, lanes, band, lanes_chunk, batch_chunk }
    }

    fn batch_len(&self) -> usize {
        self.free.iter().map(|axis| axis.len).product()
    }

    fn counts(&self) -> [usize; 3] {
        [
            self.batch_len().div_ceil(self.batch_chunk),
            self.pooled[0].len.div_ceil(self.band),
            self.lanes.len.div_ceil(self.lanes_chunk),
        ]
    }

    fn traffic(&self) -> usize {
        self.batch_len() * self.lanes.len * self.pooled[0].len * self.flats[0] * 8
    }

    fn band(&self, index: usize, transposed: &Spans) -> Band {
        let [_, bands, lanes] = self.counts();
        let range = |at: usize, chunk: usize, len: usize| at * chunk..((at + 1) * chunk).min(len);
        let cells = range(index / lanes % bands, self.band, self.pooled[0].len);
        let covering = || cells.clone().map(|i| transposed.at(i)).filter(|span| span.len > 0);
        let first = covering().map(|span| span.start).min().unwrap_or(0);
        let end = covering().map(|span| span.end()).max().unwrap_or(first);
        Band {
            batch: range(index / lanes / bands, self.batch_chunk, self.batch_len()),
            lanes: range(index % lanes, self.lanes_chunk, self.lanes.len),
            cells,
            windows: first..end,
        }
    }

    /// For each window of some windows of the first axis and all of the others, the flat index of its first cell: for codes,
    /// of the first that it would have if nothing clipped it. A window without cells points far outside.
    fn firsts(&self, windows: &Range<usize>, coded: bool) -> Result<Vec<i64>> {
        let mut firsts = vec![0];
        for (j, (axis, &flat)) in self.pooled.iter().zip(&self.flats).enumerate() {
            let range = if j == 0 { windows.clone() } else { 0..axis.outputs() };
            let start = |o: usize| match &axis.spans {
                Some(spans) if spans.at(o).len == 0 => OUTSIDE,
                Some(spans) if coded => (spans.first(o) as i64).wrapping_mul(flat as i64),
                Some(spans) => (spans.at(o).start * flat) as i64,
                None => (o * flat) as i64,
            };
            let add = |base: i64, start: i64| {
                if base == OUTSIDE || start == OUTSIDE { OUTSIDE } else { base.wrapping_add(start) }
            };
            let mut next = try_vec(firsts.len().saturating_mul(range.len()))?;
            next.extend(firsts.iter().flat_map(|&base| range.clone().map(move |o| add(base, start(o)))));
            firsts = next;
        }
        Ok(firsts)
    }

    /// Parts of some windows of the first axis, so that each with all of the others is not much larger than a band: bins
    /// may be many more than cells.
    fn parts(&self, windows: &Range<usize>, rows: usize) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let others = self.pooled[1..].iter().map(RoutedAxis::outputs).fold(rows, usize::saturating_mul);
        let (start, end, len) = (windows.start, windows.end, (2 * BAND / others.max(1)).max(1));
        (0..windows.len().div_ceil(len)).map(move |part| start + part * len..(start + (part + 1) * len).min(end))
    }

    /// Offsets of a band's rows along one side.
    fn rows(&self, band: &Band, first: &Range<usize>, side: impl Fn(&RoutedAxis) -> (usize, isize)) -> Vec<isize> {
        let last = self.pooled.len() - 1;
        let axes: Vec<_> = self.free.iter().map(|axis| (axis.len, side(axis).1)).collect();
        let lane = band.lanes.start as isize * side(&self.lanes).1;
        let mut rows: Vec<isize> = band.batch.clone().map(|index| lane + offset_of(index, &axes)).collect();
        for (j, axis) in self.pooled[..last].iter().enumerate() {
            let (len, stride) = side(axis);
            let range = if j == 0 { first.start as isize..first.end as isize } else { 0..len as isize };
            rows = cross(&rows, &range, stride);
        }
        rows
    }

    /// The positions of a band's rows along the last pooled axis.
    fn positions(&self, first: &Range<usize>, len: usize) -> Range<usize> {
        if self.pooled.len() == 1 { first.clone() } else { 0..len }
    }
}

/// Adds each cotangent to the cell that its window took its value from, and writes the sums.
pub(crate) fn scatter<T: Element>(
    routed: &Routed,
    cotangents: Raw<T>,
    offsets: Offsets<'_>,
    into: Raw<T>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let level = Level::current();
    let last = &routed.pooled[routed.pooled.len() - 1];
    let transposed = routed.pooled[0].spans.as_ref().map_or(Spans::identity(1), Spans::transposed);
    let buffers = || (Vec::new(), Vec::new(), Vec::new());
    let task = |(values, places, sums): &mut (Vec<f64>, Vec<u64>, Vec<f64>), index: usize| {
        let band = routed.band(index, &transposed);
        let lanes = band.lanes.len();
        let side_out = |axis: &RoutedAxis| (axis.outputs(), axis.stride_out);
        let cells = band.cells.len() * routed.flats[0];
        reserve(sums, band.batch.len() * cells * lanes)?;
        let sums = &mut sums[..band.batch.len() * cells * lanes];
        sums.fill(0.0);
        for part in routed.parts(&band.windows, band.batch.len() * lanes) {
            let windows = routed.positions(&part, last.outputs());
            let out_rows = routed.rows(&band, &part, side_out);
            let rows = Rows {
                base: 0,
                offsets: &out_rows,
                first: windows.start as isize,
                positions: windows.len(),
                len: last.outputs(),
                position_stride: last.stride_out,
                lanes,
                lane_stride: routed.lanes.stride_out,
                phases: 1,
            };
            let len = out_rows.len() * rows.row();
            reserve(values, len)?;
            reserve(places, len)?;
            level.run(Stage::<ToAddend<T, f64>> { source: cotangents, rows, into: values });
            let place_rows = routed.rows(&band, &part, |axis| (axis.outputs(), axis.stride_offsets));
            let rows = Rows {
                base: 0,
                offsets: &place_rows,
                position_stride: last.stride_offsets,
                lane_stride: routed.lanes.stride_offsets,
                ..rows
            };
            offsets.stage(level, rows, places);
            let mut firsts = routed.firsts(&part, offsets.coded())?;
            let base = (band.cells.start * routed.flats[0]) as i64;
            for first in firsts.iter_mut().filter(|first| **first != OUTSIDE) {
                *first = first.wrapping_sub(base);
            }
            let (cotangents, offsets) = (&values[..len], &places[..len]);
            level.run(Scatter { cotangents, offsets, firsts: &firsts, lanes, into: sums, cells });
        }
        let positions = routed.positions(&band.cells, last.len);
        let mut in_rows = routed.rows(&band, &band.cells, |axis| (axis.len, axis.stride_in));
        for row in &mut in_rows {
            *row += positions.start as isize * last.stride_in;
        }
        let rows = OutRows {
            base: 0,
            offsets: &in_rows,
            positions: positions.len(),
            position_stride: last.stride_in,
            lanes,
            lane_stride: routed.lanes.stride_in,
            phases: 1,
            row: positions.len() * lanes,
        };
        level.run(Finish::<ToSum<f64, T>> { from: sums, rows, divisors: Divisors::default(), target: into });
        Ok(())
    };
    parallel.run(routed.counts().iter().product(), routed.traffic(), buffers, task, drop)
}

/// Reads, for each window, the cell that its value came from. `tangents` holds planes of cells in flat order, one after the
/// other, in the order of the axes passed through; the result is written with the strides of the output side.
pub(crate) fn gather<T: Element>(
    routed: &Routed,
    tangents: Raw<T>,
    offsets: Offsets<'_>,
    into: Raw<T>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let level = Level::current();
    let last = &routed.pooled[routed.pooled.len() - 1];
    let parts: Vec<Range<usize>> = routed.parts(&(0..routed.pooled[0].outputs()), 1).collect();
    let planes = routed.batch_len() * routed.lanes.len;
    let buffers = || (Vec::new(), Vec::new());
    let task = |(places, values): &mut (Vec<u64>, Vec<T>), index: usize| {
        let (plane, part) = (index / parts.len(), &parts[index % parts.len()]);
        let (batch, lane) = (plane / routed.lanes.len, plane % routed.lanes.len);
        let band = Band { batch: batch..batch + 1, lanes: lane..lane + 1, cells: 0..0, windows: part.clone() };
        let windows = routed.positions(part, last.outputs());
        let firsts = routed.firsts(part, offsets.coded())?;
        reserve(places, firsts.len())?;
        reserve(values, firsts.len())?;
        let place_rows = routed.rows(&band, part, |axis| (axis.outputs(), axis.stride_offsets));
        let rows = Rows {
            base: 0,
            offsets: &place_rows,
            first: windows.start as isize,
            positions: windows.len(),
            len: last.outputs(),
            position_stride: last.stride_offsets,
            lanes: 1,
            lane_stride: 1,
            phases: 1,
        };
        offsets.stage(level, rows, places);
        let base = routed.plane_base(batch, lane);
        let (offsets, values) = (&places[..firsts.len()], &mut values[..firsts.len()]);
        let cells = (routed.pooled[0].len * routed.flats[0]) as u64;
        level.run(Gather { source: tangents, base, cells, firsts: &firsts, offsets, into: values });
        let out_rows = routed.rows(&band, part, |axis| (axis.outputs(), axis.stride_out));
        let rows = OutRows {
            base: windows.start as isize * last.stride_out,
            offsets: &out_rows,
            positions: windows.len(),
            position_stride: last.stride_out,
            lanes: 1,
            lane_stride: 1,
            phases: 1,
            row: windows.len(),
        };
        level.run(Finish::<super::Same<T>> { from: values, rows, divisors: Divisors::default(), target: into });
        Ok(())
    };
    parallel.run(planes * parts.len(), routed.traffic(), buffers, task, drop)
}

impl Routed {
    /// Where a plane begins; the input side's strides of the axes passed through are those of planes in flat order.
    fn plane_base(&self, batch: usize, lane: usize) -> isize {
        let axes: Vec<_> = self.free.iter().map(|axis| (axis.len, axis.stride_in)).collect();
        offset_of(batch, &axes) + lane as isize * self.lanes.stride_in
    }
}

/// Makes a buffer at least so long.
pub(crate) fn reserve<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> Result<()> {
    if buffer.len() < len {
        *buffer = try_vec(len)?;
        buffer.resize(len, T::default());
    }
    Ok(())
}
