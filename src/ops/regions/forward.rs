//! The forward pass: how cells come into a tile, are reduced there, and how results go out.

use std::ops::Range;

use super::boxes::{Axis, Bin, Tap};
use super::frame::{Frame, Group, Patch, Strides, Wave};
use super::lanes::{LANES, Lane, Lanes, NOBODY, Reduction, Region, Transpose, Winner};
use crate::engine::{Reader, Writer, reserve};
use crate::error::Result;
use crate::kernel::dispatch::Level;
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Planes of a larger tile are not brought in as a whole.
const TILE_BYTES: usize = 64 << 20;
/// Cells that are brought in together.
const CELLS: usize = 512;
/// Values of a patch, at most, whose memory is asked for before they are computed.
const NEAR: usize = 4096;

/// A forward pass.
pub(super) struct Forward<'a, W> {
    pub frame: &'a Frame,
    pub reduction: &'a dyn Reduction<W>,
    /// What bins begin with; if there is no such value, with the first cell.
    pub zero: W,
    pub extreme: bool,
    pub x: (&'a dyn Reader<W>, Strides),
    pub y: (&'a dyn Writer<W>, Strides),
    /// Where winners are written, by box, channel and bin: cells, and weights if they have any.
    pub winners: Option<(Raw<u32>, Option<Raw<f64>>)>,
}

/// The work buffers of a thread.
struct State<W> {
    tile: Vec<Lanes<W>>,
    /// Image and group whose plane is in the tile.
    held: Option<(usize, usize)>,
    values: Vec<Lanes<W>>,
    winners: Vec<Winner<W>>,
    /// Values in the order of the result; those of winners.
    flat: Vec<W>,
    numbers: Vec<u32>,
}

impl<W: Lane> Forward<'_, W> {
    pub fn run(&self, parallel: &Parallel<'_>) -> Result<()> {
        if self.frame.channels[1] == 0 {
            return Ok(());
        }
        for boxes in self.frame.waves()? {
            self.run_wave(&self.frame.wave(boxes, parallel)?, parallel)?;
            parallel.check()?;
        }
        Ok(())
    }

    fn run_wave(&self, wave: &Wave<W>, parallel: &Parallel<'_>) -> Result<()> {
        let frame = self.frame;
        let (pieces, groups) = (frame.pieces(wave), frame.groups(LANES));
        let fits = frame.cells().saturating_mul(size_of::<Lanes<W>>()) <= TILE_BYTES;
        let state = || State {
            tile: Vec::new(),
            held: None,
            values: Vec::new(),
            winners: Vec::new(),
            flat: Vec::new(),
            numbers: Vec::new(),
        };
        let task = |state: &mut State<W>, index: usize| {
            let (piece, group) = (&pieces[index % pieces.len()], frame.group(index / pieces.len(), LANES));
            let whole = piece.whole && fits;
            if whole && state.held != Some((piece.image, group.number)) {
                self.bring_plane(piece.image, group, state)?;
            }
            for place in piece.boxes.clone() {
                for patch in frame.patches(group) {
                    self.patch(wave, place, group, &patch, whole, state)?;
                }
            }
            Ok(())
        };
        let work: usize = wave.boxes.clone().map(|place| frame.work(place)).fold(0, usize::saturating_add);
        let traffic = work.saturating_mul(groups).saturating_mul(LANES * size_of::<W>());
        parallel.run(pieces.len() * groups, traffic, state, task, drop)
    }

    /// The bins of a patch, from the cells to the result.
    fn patch(
        &self,
        wave: &Wave<W>,
        place: usize,
        group: Group,
        patch: &Patch,
        whole: bool,
        state: &mut State<W>,
    ) -> Result<()> {
        let (image, number) = self.frame.order[place];
        let rows = wave.bins(self.frame, place, Axis::Height, &patch.rows);
        let columns = wave.bins(self.frame, place, Axis::Width, &patch.columns);
        let bins = self.begin(rows, columns, state)?;
        if bins * group.lanes <= NEAR {
            let (strides, lens) = (self.y.1, [patch.rows.len(), patch.columns.len()]);
            for_runs(patch.offset(number, group, &strides), &strides, lens, group.lanes, |offset, range| {
                self.y.0.announce(offset, range.len());
            });
        }
        let level = Level::current();
        if whole {
            let region = Region { tile: &state.tile, rows, columns };
            if self.winners.is_some() {
                self.reduction.winners(level, &region, &mut state.values[..bins], &mut state.winners[..bins]);
            } else {
                self.reduction.values(level, &region, &mut state.values[..bins]);
            }
        } else {
            state.held = None;
            for (i, row) in rows.0.iter().enumerate() {
                for (j, column) in columns.0.iter().enumerate() {
                    let bin = (&rows.1[row.start..row.end], &columns.1[column.start..column.end]);
                    self.bin(image, group, bin, i * columns.0.len() + j, state)?;
                }
            }
        }
        self.reduction.finish(level, &Region { tile: &[], rows, columns }, &mut state.values[..bins]);
        self.write(number, group, patch, state)
    }

    /// Sets the bins of a patch to what they begin with; returns how many they are.
    fn begin(&self, rows: (&[Bin], &[Tap<W>]), columns: (&[Bin], &[Tap<W>]), state: &mut State<W>) -> Result<usize> {
        let bins = rows.0.len() * columns.0.len();
        reserve(&mut state.values, bins)?;
        state.values[..bins].fill(Lanes([self.zero; LANES]));
        if !self.extreme {
            return Ok(bins);
        }
        if self.winners.is_some() {
            reserve(&mut state.winners, bins)?;
            state.winners[..bins].fill(Winner::default());
        }
        let pairs = rows.0.iter().flat_map(|row| columns.0.iter().map(move |column| (row, column)));
        for (bin, (row, column)) in pairs.enumerate() {
            // Points outside take part with the value 0, and a bin that looks at nothing is 0.
            if row.outside || column.outside || row.start == row.end || column.start == column.end {
                continue;
            }
            state.values[bin] = Lanes([W::LOWEST; LANES]);
            if let Some(winner) = state.winners.get_mut(bin) {
                let (row, column) = (rows.1[row.start], columns.1[column.start]);
                winner.cells = [(row.place + column.place) as u32; LANES];
                winner.weights = [row.weight * column.weight; LANES];
            }
        }
        Ok(bins)
    }

    /// Reduces one bin, of cells that are brought in for it.
    fn bin(
        &self,
        image: usize,
        group: Group,
        (rows, columns): (&[Tap<W>], &[Tap<W>]),
        number: usize,
        state: &mut State<W>,
    ) -> Result<()> {
        let strides = self.x.1;
        let base = image as isize * strides[0] + group.channel as isize * strides[1];
        let width = self.frame.lens[1];
        for columns in columns.chunks(CELLS) {
            for rows in rows.chunks((CELLS / columns.len()).max(1)) {
                reserve(&mut state.tile, rows.len() * columns.len())?;
                let across: Vec<Tap<W>> =
                    columns.iter().enumerate().map(|(at, tap)| Tap { place: at, ..*tap }).collect();
                let down: Vec<Tap<W>> =
                    rows.iter().enumerate().map(|(at, tap)| Tap { place: at * columns.len(), ..*tap }).collect();
                for (row, tile) in rows.iter().zip(state.tile.chunks_exact_mut(columns.len())) {
                    let base = base + (row.place / width) as isize * strides[2];
                    let mut at = 0;
                    for run in columns.chunk_by(|one, next| next.place == one.place + 1) {
                        let offset = base + run[0].place as isize * strides[3];
                        let lanes = (group.step as isize * strides[1], group.lanes);
                        bring(self.x.0, offset, strides[3], lanes, &mut tile[at..at + run.len()], &mut state.flat)?;
                        at += run.len();
                    }
                }
                let whole = |end| [Bin { end, ..Bin::default() }];
                let region = Region {
                    tile: &state.tile,
                    rows: (&whole(down.len()), &down),
                    columns: (&whole(across.len()), &across),
                };
                let values = &mut state.values[number..=number];
                if self.winners.is_none() {
                    self.reduction.values(Level::current(), &region, values);
                    continue;
                }
                let mut fresh = [Winner::default()];
                self.reduction.winners(Level::current(), &region, values, &mut fresh);
                let winner = &mut state.winners[number];
                for (lane, &cell) in fresh[0].cells.iter().enumerate() {
                    if cell != NOBODY {
                        let (row, column) = (cell as usize / columns.len(), cell as usize % columns.len());
                        winner.cells[lane] = (rows[row].place + columns[column].place) as u32;
                        winner.weights[lane] = fresh[0].weights[lane];
                    }
                }
            }
        }
        Ok(())
    }

    /// Brings the plane of an image into the tile.
    fn bring_plane(&self, image: usize, group: Group, state: &mut State<W>) -> Result<()> {
        let (strides, [height, width]) = (self.x.1, self.frame.lens);
        state.held = None;
        reserve(&mut state.tile, height * width)?;
        let base = image as isize * strides[0] + group.channel as isize * strides[1];
        let lanes = (group.step as isize * strides[1], group.lanes);
        let (run, runs) = if strides[2] == width as isize * strides[3] { (height * width, 1) } else { (width, height) };
        for (row, tile) in state.tile.chunks_exact_mut(run).take(runs).enumerate() {
            for (part, tile) in tile.chunks_mut(CELLS).enumerate() {
                let offset = base + row as isize * strides[2] + (part * CELLS) as isize * strides[3];
                bring(self.x.0, offset, strides[3], lanes, tile, &mut state.flat)?;
            }
        }
        state.held = Some((image, group.number));
        Ok(())
    }

    /// Writes the values of a patch, and its winners.
    fn write(&self, number: usize, group: Group, patch: &Patch, state: &mut State<W>) -> Result<()> {
        let State { values, winners, flat, numbers, .. } = state;
        let strides = self.y.1;
        let (lens, base) = ([patch.rows.len(), patch.columns.len()], patch.offset(number, group, &strides));
        let bins = lens[0] * lens[1];
        let (values, lanes) = (&values[..bins], group.lanes);
        if strides[1].unsigned_abs() < strides[3].unsigned_abs() {
            for (bin, values) in values.iter().enumerate() {
                let (row, column) = ((bin / lens[1]) as isize, (bin % lens[1]) as isize);
                let offset = base + row * strides[2] + column * strides[3];
                self.y.0.write(offset, strides[1], &values.0[..lanes]);
            }
        } else {
            reserve(flat, bins * lanes)?;
            Level::current().run(Transpose { values, into: &mut flat[..bins * lanes] });
            for_runs(base, &strides, lens, lanes, |offset, range| {
                self.y.0.write(offset, strides[3], &flat[range]);
            });
        }
        let Some((cells, weights)) = self.winners else { return Ok(()) };
        let strides = self.frame.table_strides();
        let base = patch.offset(number, group, &strides);
        reserve(numbers, bins * lanes)?;
        for (lane, numbers) in numbers.chunks_exact_mut(bins).enumerate().take(lanes) {
            for (number, winner) in numbers.iter_mut().zip(&*winners) {
                *number = winner.cells[lane];
            }
        }
        for_runs(base, &strides, lens, lanes, |offset, range| {
            let numbers = &numbers[range];
            cells.scatter(offset, 1, numbers.len(), |at| numbers[at]);
        });
        if let Some(weights) = weights {
            for_runs(base, &strides, lens, lanes, |offset, range| {
                weights.scatter(offset, 1, range.len(), |at| {
                    winners[(range.start + at) % bins].weights[(range.start + at) / bins].to_weight()
                });
            });
        }
        Ok(())
    }
}

/// Calls `each` with an offset in an array and a range of values, which lie lane by lane and in each in the order of bins:
/// as many at a time as lie evenly in the array.
pub(super) fn for_runs(
    base: isize,
    strides: &Strides,
    [height, width]: [usize; 2],
    lanes: usize,
    mut each: impl FnMut(isize, Range<usize>),
) {
    let bins = height * width;
    let joined = height == 1 || strides[2] == width as isize * strides[3];
    if joined && strides[1] == bins as isize * strides[3] {
        return each(base, 0..lanes * bins);
    }
    let (runs, run) = if joined { (1, bins) } else { (height, width) };
    for lane in 0..lanes {
        for row in 0..runs {
            let start = lane * bins + row * run;
            each(base + lane as isize * strides[1] + row as isize * strides[2], start..start + run);
        }
    }
}

/// Brings cells in, `stride` apart, with as many lanes as are told and the stride from one to the next.
fn bring<W: Lane>(
    from: &dyn Reader<W>,
    offset: isize,
    stride: isize,
    (lane_stride, lanes): (isize, usize),
    into: &mut [Lanes<W>],
    scratch: &mut Vec<W>,
) -> Result<()> {
    if lane_stride.unsigned_abs() < stride.unsigned_abs() || into.len() == 1 {
        for (cell, into) in into.iter_mut().enumerate() {
            from.read(offset + cell as isize * stride, lane_stride, &mut into.0[..lanes]);
        }
        return Ok(());
    }
    reserve(scratch, into.len())?;
    let scratch = &mut scratch[..into.len()];
    for lane in 0..lanes {
        from.read(offset + lane as isize * lane_stride, stride, scratch);
        for (into, &value) in into.iter_mut().zip(&*scratch) {
            into.0[lane] = value;
        }
    }
    Ok(())
}
