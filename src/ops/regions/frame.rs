//! The traversal: which boxes and channels a task takes.
//!
//! A task takes the boxes of one image, sixteen channels at a time. Where these boxes look at enough of the image, its plane
//! is brought into a tile as a whole, and stays there for all of them; else the cells that a bin looks at are brought in bin
//! by bin. How boxes are shared out depends on the shapes and the boxes alone, so no result depends on the threads.

use std::ops::Range;
use std::sync::OnceLock;

use super::boxes::{Axis, Bin, Bins, Boxes, Grid, Tap};
use super::lanes::{LANES, Lane};
use crate::error::{PoolError, Result, try_vec};
use crate::parallel::Parallel;

/// Boxes whose taps are found by one task.
const CHUNK: usize = 32;
/// Taps that are kept at a time: about 50 MB of them.
const TAPS: usize = 1 << 21;
/// Cells that the bins of a task look at, in sixteen channels each: 3 to 10 ms.
const WORK: usize = 1 << 22;
/// Tasks that work is shared out into, if there is enough of it.
const TASKS: usize = 16;
/// Bins that are worked on together.
const BINS: usize = 4096;

/// The lengths of the axes of `x` and of the result, and the boxes.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub images: usize,
    /// Channels of `x`, and of the result.
    pub channels: [usize; 2],
    pub lens: [usize; 2],
    pub bins: [usize; 2],
    pub rows: Grid,
    pub columns: Grid,
    /// Whether each bin has channels of its own.
    pub sensitive: bool,
    pub boxes: Boxes,
    /// Image and number of each box, in the order in which they are taken.
    pub order: Vec<(usize, usize)>,
}

/// Strides of batch (or box), channel, row and column.
pub(super) type Strides = [isize; 4];

/// Channels of a task: of the result, one after the other; of `x`, `step` apart.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub number: usize,
    pub channel: usize,
    pub step: usize,
    pub channel_out: usize,
    pub lanes: usize,
    /// The one bin that has these channels of `x`.
    bin: Option<usize>,
}

/// Bins that are worked on together, of one box: a range of rows and one of columns.
pub(super) struct Patch {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Patch {
    /// Where its first bin lies, of the first channel of a group and a box's number.
    pub fn offset(&self, number: usize, group: Group, strides: &Strides) -> isize {
        let at = [number, group.channel_out, self.rows.start, self.columns.start];
        at.iter().zip(strides).map(|(&at, stride)| at as isize * stride).sum()
    }
}

/// Boxes of one image, by their places in the order.
pub(super) struct Piece {
    pub image: usize,
    pub boxes: Range<usize>,
    /// Whether the plane is brought in as a whole.
    pub whole: bool,
}

/// The taps of some boxes.
pub(super) struct Wave<W> {
    pub boxes: Range<usize>,
    chunks: Vec<[Bins<W>; 2]>,
}

impl<W> Wave<W> {
    /// The rows, or the columns, of the bins of a patch.
    pub fn bins(&self, frame: &Frame, place: usize, axis: Axis, range: &Range<usize>) -> (&[Bin], &[Tap<W>]) {
        let (at, axis) = (place - self.boxes.start, axis as usize);
        let bins = &self.chunks[at / CHUNK][axis];
        let first = at % CHUNK * frame.bins[axis];
        (&bins.bins[first + range.start..first + range.end], &bins.taps)
    }
}

impl Frame {
    /// The cells of a plane.
    pub fn cells(&self) -> usize {
        self.lens[0].saturating_mul(self.lens[1])
    }

    /// How many groups there are, of so many channels.
    pub fn groups(&self, lanes: usize) -> usize {
        let bins = if self.sensitive { self.bins[0] * self.bins[1] } else { 1 };
        self.channels[1].div_ceil(lanes) * bins
    }

    pub fn group(&self, number: usize, lanes: usize) -> Group {
        let blocks = self.channels[1].div_ceil(lanes);
        let channel_out = number % blocks * lanes;
        let step = if self.sensitive { self.bins[0] * self.bins[1] } else { 1 };
        let bin = self.sensitive.then_some(number / blocks);
        let channel = channel_out * step + bin.unwrap_or(0);
        Group { number, channel, step, channel_out, lanes: lanes.min(self.channels[1] - channel_out), bin }
    }

    /// The patches that all bins of a group are cut into.
    pub fn patches(&self, group: Group) -> impl Iterator<Item = Patch> {
        let [height, width] = self.bins;
        let (rows, columns) = match group.bin {
            Some(bin) => (bin / width..bin / width + 1, bin % width..bin % width + 1),
            None => (0..height, 0..width),
        };
        let across = columns.len().clamp(1, BINS);
        let down = (BINS / across).max(1);
        rows.clone().step_by(down).flat_map(move |row| {
            let rows = row..(row + down).min(rows.end);
            let end = columns.end;
            let columns = columns.clone().step_by(across).map(move |column| column..(column + across).min(end));
            columns.map(move |columns| Patch { rows: rows.clone(), columns })
        })
    }

    /// Runs of boxes with so few taps and so little work that their taps can be kept, and a task can take them all.
    pub fn waves(&self) -> Result<Vec<Range<usize>>> {
        let mut waves = try_vec(1)?;
        let (mut start, mut taps, mut work) = (0, 0usize, 0usize);
        for (place, &(_, number)) in self.order.iter().enumerate() {
            let [rows, columns] = self.reach(number);
            if place > start && (taps > TAPS || work > WORK) {
                waves.push(start..place);
                (start, taps, work) = (place, 0, 0);
            }
            taps = taps.saturating_add(rows + columns);
            work = work.saturating_add(rows.saturating_mul(columns));
        }
        if start < self.order.len() {
            waves.push(start..self.order.len());
        }
        Ok(waves)
    }

    fn reach(&self, number: usize) -> [usize; 2] {
        [(Axis::Height, &self.rows), (Axis::Width, &self.columns)]
            .map(|(axis, grid)| grid.reach(self.boxes.along(number, axis)))
    }

    /// Cells that the bins of a box look at, roughly.
    pub fn work(&self, place: usize) -> usize {
        let [rows, columns] = self.reach(self.order[place].1);
        rows.saturating_mul(columns)
    }

    /// Finds the taps of some boxes.
    pub fn wave<W: Lane>(&self, boxes: Range<usize>, parallel: &Parallel<'_>) -> Result<Wave<W>> {
        let mut slots = try_vec(boxes.len().div_ceil(CHUNK))?;
        slots.resize_with(boxes.len().div_ceil(CHUNK), OnceLock::new);
        let task = |(): &mut (), chunk: usize| {
            let first = boxes.start + chunk * CHUNK;
            let mut found = [Bins::default(), Bins::default()];
            for &(_, number) in &self.order[first..boxes.end.min(first + CHUNK)] {
                self.rows.add(self.boxes.along(number, Axis::Height), &mut found[0])?;
                self.columns.add(self.boxes.along(number, Axis::Width), &mut found[1])?;
            }
            // A task has a slot of its own, so it is empty.
            slots[chunk].set(found).map_err(|_| PoolError::Interrupted)
        };
        // A bin costs as much as a kilobyte moved.
        let traffic = boxes.len().saturating_mul(self.bins[0] + self.bins[1]).saturating_mul(1 << 10);
        parallel.run(slots.len(), traffic, || (), task, drop)?;
        Ok(Wave { boxes, chunks: slots.into_iter().filter_map(OnceLock::into_inner).collect() })
    }

    /// The pieces that the boxes of a wave are cut into.
    pub fn pieces<W>(&self, wave: &Wave<W>) -> Vec<Piece> {
        let total: usize = wave.boxes.clone().map(|place| self.work(place)).fold(0, usize::saturating_add);
        let cells = self.cells();
        // A plane that is brought in has to be worth it.
        let least = total / TASKS.div_ceil(self.groups(LANES).max(1));
        let most = least.clamp(cells.saturating_mul(4).min(WORK), WORK);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut work = 0usize;
        for place in wave.boxes.clone() {
            let image = self.order[place].0;
            match pieces.last_mut() {
                Some(piece) if piece.image == image && work < most => piece.boxes.end = place + 1,
                _ => {
                    work = 0;
                    pieces.push(Piece { image, boxes: place..place + 1, whole: false });
                }
            }
            work = work.saturating_add(self.work(place));
            if let Some(piece) = pieces.last_mut() {
                piece.whole = work >= cells / 2;
            }
        }
        pieces
    }

    /// The strides of a table with an entry for each element of the result: boxes, channels, bins.
    pub fn table_strides(&self) -> Strides {
        let [height, width] = self.bins.map(|len| len as isize);
        [self.channels[1] as isize * height * width, height * width, width, 1]
    }
}
