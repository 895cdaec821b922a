//! The derivative of pooled regions in the image: means by their taps again, maxima by the cells that won.

use std::ops::Range;

use super::RegionCall;
use super::boxes::Axis;
use super::forward::{Forward, for_runs};
use super::frame::{Frame, Group, Patch, Strides, Wave};
use super::lanes::{LANES, NOBODY, Sums, divisor};
use crate::element::Element;
use crate::engine::{Reader, Writer, reserve};
use crate::error::{PoolError, Result, Shape, try_vec};
use crate::ops::gradient::expect_shape;
use crate::ops::solved::Solved;
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

/// The most bytes of a plane of cotangents, in as many channels as are worked on together.
const PLANE_BYTES: usize = 64 << 20;

/// For each bin the cell that won and, where cells were weighed, its weight: by box, channel and bin.
#[derive(Clone, Debug)]
pub(super) struct Winners {
    cells: Vec<u32>,
    weights: Option<Vec<f64>>,
}

impl Winners {
    pub fn new(solved: &Solved, frame: &Frame, weighed: bool) -> Result<Self> {
        if frame.cells() >= NOBODY as usize {
            let rule = format!("has planes of more than {} cells, too many for the gradient of a maximum", NOBODY - 1);
            return Err(PoolError::value("x", format!("an array of shape {}", Shape(solved.shape())), rule));
        }
        let len = solved.output_shape().iter().product();
        let mut cells = try_vec(len)?;
        cells.resize(len, NOBODY);
        let mut weights = None;
        if weighed {
            weights.insert(try_vec(len)?).resize(len, 0.0);
        }
        Ok(Self { cells, weights })
    }

    pub fn raw(&mut self) -> (Raw<u32>, Option<Raw<f64>>) {
        (Raw::of(&mut self.cells), self.weights.as_deref_mut().map(Raw::of))
    }

    /// The cell that won, and its weight.
    fn at(&self, entry: usize) -> Option<(usize, f64)> {
        let weight = self.weights.as_ref().map_or(1.0, |weights| weights[entry]);
        (self.cells[entry] != NOBODY).then_some((self.cells[entry] as usize, weight))
    }
}

/// The derivative of one call.
#[derive(Clone, Debug)]
pub(crate) struct RegionMap {
    call: RegionCall,
    winners: Option<Winners>,
}

/// The work buffers of a thread: a plane of cotangents cell by cell, and the cotangents of a patch lane by lane.
#[derive(Default)]
struct State {
    plane: Vec<f64>,
    flat: Vec<f64>,
}

/// Elements of an array, evenly spaced, and where they lie in a plane of a task.
struct Run {
    offset: isize,
    stride: isize,
    at: usize,
    step: usize,
    len: usize,
}

impl Run {
    fn places(&self) -> impl Iterator<Item = usize> {
        let (at, step) = (self.at, self.step);
        (0..self.len).map(move |number| at + number * step)
    }
}

impl RegionMap {
    pub(super) fn new(call: RegionCall, winners: Option<Winners>) -> Self {
        Self { call, winners }
    }

    pub fn solved(&self) -> &Solved {
        &self.call.solved
    }

    /// Writes the cotangent of `x`.
    pub fn pull<T: Element>(&self, dy: &View<'_, T>, dx: &ViewMut<'_, T>, parallel: &Parallel<'_>) -> Result<()> {
        expect_shape("dy", dy.shape(), self.solved().output_shape())?;
        let (dy_strides, dx_strides) = (self.call.strides(dy.strides()), self.call.strides(dx.strides()));
        let (from, into) = (dy.raw(), dx.raw());
        let dy: (&dyn Reader<f64>, Strides) = (&from, dy_strides);
        let dx: (&dyn Writer<f64>, Strides) = (&into, dx_strides);
        let frame = &self.call.frame;
        let [channels, _] = frame.channels;
        let (cells, width) = (frame.cells(), frame.lens[1]);
        if frame.channels[1] == 0 || frame.images == 0 {
            return Ok(());
        }
        // An image's cotangents are summed over all boxes; where these are too many for a wave, sums are kept between waves.
        let mut waves = frame.waves()?;
        if waves.is_empty() {
            waves.push(0..0);
        }
        let mut sums = Vec::new();
        if waves.len() > 1 {
            let len = frame.images.saturating_mul(channels).saturating_mul(cells);
            sums = try_vec(len)?;
            sums.resize(len, 0.0);
        }
        let kept = Raw::of(&mut sums);
        let strides = [(channels * cells) as isize, cells as isize, width as isize, 1];
        let last = waves.len() - 1;
        for (number, boxes) in waves.into_iter().enumerate() {
            let from = (number > 0).then_some((&kept as &dyn Reader<f64>, strides));
            let into = if number == last { dx } else { (&kept as &dyn Writer<f64>, strides) };
            self.pull_wave(boxes, dy, from, into, parallel)?;
            parallel.check()?;
        }
        Ok(())
    }

    /// Adds the cotangents of some boxes to sums, or to 0, and writes them.
    fn pull_wave(
        &self,
        boxes: Range<usize>,
        dy: (&dyn Reader<f64>, Strides),
        from: Option<(&dyn Reader<f64>, Strides)>,
        into: (&dyn Writer<f64>, Strides),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let frame = &self.call.frame;
        let wave = if self.winners.is_none() { Some(frame.wave::<f64>(boxes.clone(), parallel)?) } else { None };
        let cells = frame.cells();
        let lanes = (PLANE_BYTES / 8 / cells.max(1)).clamp(1, LANES);
        let groups = frame.groups(lanes);
        let task = |state: &mut State, index: usize| {
            let (image, group) = (index / groups, frame.group(index % groups, lanes));
            reserve(&mut state.plane, cells.saturating_mul(group.lanes))?;
            state.plane[..cells * group.lanes].fill(0.0);
            if let Some((from, strides)) = from {
                for run in self.runs(image, group, strides) {
                    let State { plane, flat } = state;
                    reserve(flat, run.len)?;
                    from.read(run.offset, run.stride, &mut flat[..run.len]);
                    for (at, &value) in run.places().zip(&*flat) {
                        plane[at] = value;
                    }
                }
            }
            let order = &frame.order[boxes.clone()];
            let first = order.partition_point(|&(other, _)| other < image);
            let end = order.partition_point(|&(other, _)| other <= image);
            for place in boxes.start + first..boxes.start + end {
                for patch in frame.patches(group) {
                    self.pull_patch(wave.as_ref(), place, group, &patch, dy, state)?;
                }
            }
            for run in self.runs(image, group, into.1) {
                let State { plane, flat } = state;
                reserve(flat, run.len)?;
                for (at, value) in run.places().zip(flat.iter_mut()) {
                    *value = plane[at];
                }
                into.0.write(run.offset, run.stride, &flat[..run.len]);
            }
            Ok(())
        };
        let moved = frame.images.saturating_mul(cells).saturating_add(boxes.len() * frame.bins[0] * frame.bins[1]);
        let traffic = moved.saturating_mul(frame.channels[0] * 8);
        parallel.run(frame.images * groups, traffic, State::default, task, drop)
    }

    /// The runs that the channels of a group are made of, in an array with the given strides.
    fn runs(&self, image: usize, group: Group, strides: Strides) -> impl Iterator<Item = Run> {
        let ([height, width], lanes) = (self.call.frame.lens, group.lanes);
        let lane_stride = group.step as isize * strides[1];
        let base = image as isize * strides[0] + group.channel as isize * strides[1];
        let side_by_side = lane_stride.unsigned_abs() < strides[3].unsigned_abs();
        let (runs, each) = if side_by_side { (width, lanes) } else { (lanes, width) };
        (0..height * runs).map(move |number| {
            let (row, number) = (number / runs, number % runs);
            let (offset, at) = (base + row as isize * strides[2], row * width * lanes);
            if side_by_side {
                let offset = offset + number as isize * strides[3];
                return Run { offset, stride: lane_stride, at: at + number * lanes, step: 1, len: each };
            }
            let offset = offset + number as isize * lane_stride;
            Run { offset, stride: strides[3], at: at + number, step: lanes, len: each }
        })
    }

    /// Adds the cotangents of a patch to the cells that they belong to.
    fn pull_patch(
        &self,
        wave: Option<&Wave<f64>>,
        place: usize,
        group: Group,
        patch: &Patch,
        (dy, strides): (&dyn Reader<f64>, Strides),
        state: &mut State,
    ) -> Result<()> {
        let frame = &self.call.frame;
        let number = frame.order[place].1;
        let (lens, lanes) = ([patch.rows.len(), patch.columns.len()], group.lanes);
        let bins = lens[0] * lens[1];
        let State { plane, flat } = state;
        reserve(flat, bins * lanes)?;
        let offset = |strides: &Strides| {
            let at = [number, group.channel_out, patch.rows.start, patch.columns.start];
            at.iter().zip(strides).map(|(&at, stride)| at as isize * stride).sum::<isize>()
        };
        for_runs(offset(&strides), &strides, lens, lanes, |offset, range| {
            dy.read(offset, strides[3], &mut flat[range]);
        });
        if let Some(winners) = &self.winners {
            let strides = frame.table_strides();
            for_runs(offset(&strides), &strides, lens, lanes, |offset, range| {
                for (entry, at) in (offset as usize..).zip(range) {
                    if let Some((cell, weight)) = winners.at(entry) {
                        plane[cell * lanes + at / bins] += weight * flat[at];
                    }
                }
            });
        }
        let Some(wave) = wave else { return Ok(()) };
        let rows = wave.bins(frame, place, Axis::Height, &patch.rows);
        let columns = wave.bins(frame, place, Axis::Width, &patch.columns);
        for (i, row_bin) in rows.0.iter().enumerate() {
            for (j, bin) in columns.0.iter().enumerate() {
                let mut part = [0.0; LANES];
                for (lane, part) in part.iter_mut().enumerate().take(lanes) {
                    *part = flat[lane * bins + i * lens[1] + j] / divisor(row_bin, bin);
                }
                for row in &rows.1[row_bin.start..row_bin.end] {
                    let part = part.map(|part| row.weight * part);
                    for column in &columns.1[bin.start..bin.end] {
                        let at = (row.place + column.place) * lanes;
                        for (sum, part) in plane[at..at + lanes].iter_mut().zip(part) {
                            *sum += column.weight * part;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the tangent of the result.
    pub fn push<T: Element>(&self, dx: &View<'_, T>, dy: &ViewMut<'_, T>, parallel: &Parallel<'_>) -> Result<()> {
        expect_shape("dx", dx.shape(), self.solved().shape())?;
        let strides = (self.call.strides(dx.strides()), self.call.strides(dy.strides()));
        let (from, into) = (dx.raw(), dy.raw());
        let (dx, dy): (&dyn Reader<f64>, &dyn Writer<f64>) = (&from, &into);
        let frame = &self.call.frame;
        let Some(winners) = &self.winners else {
            let (x, y) = ((dx, strides.0), (dy, strides.1));
            return Forward { frame, reduction: &Sums, zero: 0.0, extreme: false, x, y, winners: None }.run(parallel);
        };
        let ([channels, _], [height, width]) = (frame.channels, frame.bins);
        let (rows, across) = (frame.order.len() * channels * height, frame.lens[1]);
        let task = |(): &mut (), index: usize| {
            let (image, number) = frame.order[index / (channels * height)];
            let (channel, row) = (index / height % channels, index % height);
            let base = image as isize * strides.0[0] + channel as isize * strides.0[1];
            let entry = ((number * channels + channel) * height + row) * width;
            for column in 0..width {
                let mut value = [0.0];
                if let Some((cell, weight)) = winners.at(entry + column) {
                    let cell = (cell / across) as isize * strides.0[2] + (cell % across) as isize * strides.0[3];
                    dx.read(base + cell, 1, &mut value);
                    value[0] *= weight;
                }
                let at = [number, channel, row, column];
                let offset = at.iter().zip(strides.1).map(|(&at, stride)| at as isize * stride).sum();
                dy.write(offset, 1, &value);
            }
            Ok(())
        };
        parallel.run(rows, rows.saturating_mul(width * 64), || (), task, drop)
    }
}
