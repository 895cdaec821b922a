//! The positions of a correlation, and the cells that they multiply, brought together as columns of a matrix.
//!
//! Positions are numbered in the order of memory, so that a tile of neighbouring numbers is a few runs along the fastest
//! axis. Where the channels vary fastest in memory (channels-last) a position's cells are read as a row of the matrix,
//! `lanes`; otherwise a weight's cells are, one run after the other.

use std::ops::Range;

use super::taps::Taps;
use crate::element::Real;
use crate::engine::{Field, fastest_last};

/// An array of a correlation: of its channels the stride and how many a group has, and the stride of each axis of the grid.
#[derive(Clone, Debug)]
pub(super) struct Strides {
    pub channel: isize,
    pub channels: usize,
    pub axes: Vec<isize>,
}

/// Runs of positions along the last axis of the grid, one after the other.
#[derive(Default)]
pub(super) struct Runs {
    /// Of each run its first position along every axis.
    places: Vec<usize>,
    lens: Vec<usize>,
}

/// The axes that positions run along: the batch, and the spatial ones; the fastest last.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub axes: Vec<Taps>,
    /// Whether columns hold the cells of a position side by side.
    pub lanes: bool,
}

impl Grid {
    /// The grid of the first of some arrays. The axes of all arrays, and the strides of weights along them, are put into its
    /// order, and axes that are passed through and lie one after the other in all arrays become one.
    pub fn new(axes: &[Taps], arrays: &mut [&mut Strides], weights: &mut [&mut Vec<isize>]) -> Self {
        let input = &*arrays[0];
        let mut order = fastest_last(&input.axes);
        // Axes of one position make no runs.
        order.sort_by_key(|&axis| axes[axis].positions > 1);
        let fastest = order.last().map_or(0, |&axis| input.axes[axis].unsigned_abs());
        let channel = input.channel.unsigned_abs();
        let lanes = input.channels > 1 && channel > 0 && (channel < fastest || fastest == 0);
        let mut grid = Self { axes: order.iter().map(|&axis| axes[axis]).collect(), lanes };
        let mut strides: Vec<&mut Vec<isize>> = arrays.iter_mut().map(|array| &mut array.axes).collect();
        let read = strides.len();
        strides.extend(weights.iter_mut().map(|weight| &mut **weight));
        for strides in &mut strides {
            **strides = order.iter().map(|&axis| strides[axis]).collect();
        }
        for axis in (1..grid.axes.len()).rev() {
            let len = grid.axes[axis].positions as isize;
            let through = grid.axes[axis].is_through() && grid.axes[axis - 1].is_through();
            if through && strides[..read].iter().all(|strides| strides[axis - 1] == strides[axis] * len) {
                grid.axes[axis - 1] = Taps::through(grid.axes[axis - 1].positions * grid.axes[axis].positions);
                grid.axes.remove(axis);
                for strides in &mut strides {
                    strides.remove(axis - 1);
                }
            }
        }
        grid
    }

    pub fn positions(&self) -> usize {
        self.axes.iter().map(|axis| axis.positions).product()
    }

    /// Weights of each channel.
    pub fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// The cells of a position along the axes of the columns, given the strides of channels and of taps along each axis;
    /// the order in which columns hold them.
    pub fn dims(&self, channels: (usize, isize), tap_strides: &[isize]) -> Vec<(usize, isize)> {
        let mut dims: Vec<_> = self.axes.iter().zip(tap_strides).map(|(axis, &stride)| (axis.kernel, stride)).collect();
        dims.insert(if self.lanes { dims.len() } else { 0 }, channels);
        dims
    }

    /// The runs that positions are made of.
    pub fn runs(&self, positions: Range<usize>, runs: &mut Runs) {
        runs.places.clear();
        runs.lens.clear();
        let rank = self.axes.len();
        let row = self.axes[rank - 1].positions;
        let mut position = positions.start;
        while position < positions.end {
            let first = runs.places.len();
            runs.places.resize(first + rank, 0);
            let mut rest = position;
            for (place, axis) in runs.places[first..].iter_mut().zip(&self.axes).rev() {
                *place = rest % axis.positions;
                rest /= axis.positions;
            }
            let len = (row - runs.places[first + rank - 1]).min(positions.end - position);
            runs.lens.push(len);
            position += len;
        }
    }

    /// Brings the cells that positions multiply with weights `weights` of a group together: for each weight a row of
    /// positions, or in lanes for each position a row of weights.
    pub fn columns<A: Real>(
        &self,
        x: (Field<'_, A>, &Strides),
        group: usize,
        weights: Range<usize>,
        runs: &Runs,
        into: &mut [A],
    ) {
        let columns = Columns { grid: self, x: x.0, strides: x.1, base: (group * x.1.channels) as isize * x.1.channel };
        if self.lanes { columns.lanes(weights, runs, into) } else { columns.rows(weights, runs, into) }
    }

    /// Calls `visit` with each run of the result: where it lies, given the strides of the result, the distance of its
    /// elements, its place among the positions and its length.
    pub fn results(&self, strides: &Strides, runs: &Runs, mut visit: impl FnMut(isize, isize, Range<usize>)) {
        let Some(last) = self.axes.last() else { return };
        let step = last.out_step as isize * strides.axes[self.axes.len() - 1];
        let mut at = 0;
        for (place, &len) in runs.places.chunks_exact(self.axes.len()).zip(&runs.lens) {
            let offset = place.iter().zip(&self.axes).zip(&strides.axes).map(|((place, axis), stride)| {
                let place = axis.out_first + place * axis.out_step;
                place as isize * stride
            });
            visit(offset.sum(), step, at..at + len);
            at += len;
        }
    }
}

impl Runs {
    /// The number of positions.
    pub fn len(&self) -> usize {
        self.lens.iter().sum()
    }
}

/// The columns of a group.
struct Columns<'a, A> {
    grid: &'a Grid,
    x: Field<'a, A>,
    strides: &'a Strides,
    base: isize,
}

/// A tap of every axis, as columns need it.
struct Tap {
    /// Where the cells of position 0 lie.
    offset: isize,
    /// Along each axis the positions whose cell lies on it.
    inside: Vec<(usize, usize)>,
}

impl<A: Real> Columns<'_, A> {
    /// The tap of a number along so many axes; the others have none.
    fn tap(&self, mut number: usize, axes: usize) -> Tap {
        let mut tap = Tap { offset: self.base, inside: vec![(0, usize::MAX); self.grid.axes.len()] };
        for (axis, taps) in self.grid.axes.iter().enumerate().take(axes).rev() {
            let j = number % taps.kernel;
            number /= taps.kernel;
            tap.offset += taps.shift(j) * self.strides.axes[axis];
            tap.inside[axis] = taps.inside(j);
        }
        tap
    }

    /// Calls `visit` with each run: whether its outer axes are inside, where position 0 of its last axis lies, its first
    /// position along that, its place, and its length.
    fn each(&self, tap: &Tap, runs: &Runs, mut visit: impl FnMut(bool, isize, usize, Range<usize>)) {
        let last = self.grid.axes.len() - 1;
        let mut at = 0;
        for (place, &len) in runs.places.chunks_exact(last + 1).zip(&runs.lens) {
            let (mut inside, mut offset) = (true, tap.offset);
            for (axis, &place) in place[..last].iter().enumerate() {
                let (begin, end) = tap.inside[axis];
                inside &= (begin..end).contains(&place);
                offset += place as isize * self.grid.axes[axis].step * self.strides.axes[axis];
            }
            visit(inside, offset, place[last], at..at + len);
            at += len;
        }
    }

    fn rows(&self, weights: Range<usize>, runs: &Runs, into: &mut [A]) {
        let (rank, taps) = (self.grid.axes.len(), self.grid.taps());
        let step = self.grid.axes[rank - 1].step * self.strides.axes[rank - 1];
        for (weight, row) in weights.zip(into.chunks_exact_mut(runs.len())) {
            let mut tap = self.tap(weight % taps, rank);
            tap.offset += (weight / taps) as isize * self.strides.channel;
            let (begin, end) = tap.inside[rank - 1];
            self.each(&tap, runs, |inside, offset, first, range| {
                let row = &mut row[range];
                if !inside {
                    row.fill(A::zero());
                    return;
                }
                let begin = begin.clamp(first, first + row.len());
                let end = end.clamp(begin, first + row.len());
                row[..begin - first].fill(A::zero());
                row[end - first..].fill(A::zero());
                if begin < end {
                    self.x.reader.read(offset + begin as isize * step, step, &mut row[begin - first..end - first]);
                }
            });
        }
    }

    fn lanes(&self, weights: Range<usize>, runs: &Runs, into: &mut [A]) {
        let last = self.grid.axes.len() - 1;
        let (taps, stride) = (self.grid.axes[last], self.strides.axes[last]);
        let channels = self.strides.channels;
        // Taps along the last axis whose channels lie one after the other are read together.
        let joined = taps.tap_step > 0 && taps.tap_step * stride == channels as isize * self.strides.channel;
        let (axes, unit) = if joined { (last, taps.kernel * channels) } else { (last + 1, channels) };
        let width = weights.len();
        let mut weight = weights.start;
        while weight < weights.end {
            let begin = weight % unit;
            let end = unit.min(begin + weights.end - weight);
            let column = weight - weights.start;
            let tap = self.tap(weight / unit, axes);
            self.each(&tap, runs, |inside, offset, first, range| {
                for (p, row) in (first..).zip(into[range.start * width..range.end * width].chunks_exact_mut(width)) {
                    let row = &mut row[column..column + end - begin];
                    let cell = p as isize * taps.step;
                    let (from, to) = match joined {
                        _ if !inside => (begin, begin),
                        true => {
                            let cell = cell + taps.first;
                            let until = |limit: isize| {
                                let room = limit - cell;
                                let taps_before = if room <= 0 { 0 } else { (room - 1) / taps.tap_step + 1 };
                                (taps_before.min(taps.kernel as isize) as usize * channels).clamp(begin, end)
                            };
                            (until(0), until(taps.cells as isize))
                        }
                        false if (tap.inside[last].0..tap.inside[last].1).contains(&p) => (begin, end),
                        false => (begin, begin),
                    };
                    let cell = if joined { cell + taps.first } else { cell };
                    row[..from - begin].fill(A::zero());
                    row[to - begin..].fill(A::zero());
                    if from < to {
                        let offset = offset + cell * stride + from as isize * self.strides.channel;
                        self.x.reader.read(offset, self.strides.channel, &mut row[from - begin..to - begin]);
                    }
                }
            });
            weight += end - begin;
        }
    }
}
