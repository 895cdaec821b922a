//! The slower primitive: windows visited one by one, the valid cells of each brought together.
//!
//! What no monoid can say goes this way: order statistics, draws, masks and weights of any shape. A window is read row by row
//! straight from the arrays, each with strides of its own, so that nothing is copied; what became of it is the caller's.

use std::ops::Range;

use crate::element::{Element, Kind, Real};
use crate::error::{PoolError, Result};
use crate::modes::{Cells, Number};
use crate::parallel::Parallel;
use crate::spans::{Span, Spans};
use crate::strided::Raw;

/// Elements of any type, read as numbers.
pub(crate) trait Reader<V>: Send + Sync {
    /// Reads `into.len()` elements, `stride` apart.
    fn read(&self, offset: isize, stride: isize, into: &mut [V]);
}

/// Elements of any type, written from numbers.
pub(crate) trait Writer<V>: Sync {
    /// Writes elements, `stride` apart.
    fn write(&self, offset: isize, stride: isize, values: &[V]);

    /// Asks for the memory of `n` neighbouring elements that are soon written; there may be nothing to ask for.
    fn announce(&self, _: isize, _: usize) {}
}

impl<T: Element, A: Real> Reader<A> for Raw<T> {
    fn read(&self, offset: isize, stride: isize, into: &mut [A]) {
        if stride == 2 && !into.is_empty() {
            // A loop that vectorises, for windows that go by two.
            let pairs = self.row(offset, 2 * into.len() - 1).chunks(2);
            into.iter_mut().zip(pairs).for_each(|(value, pair)| *value = A::lift(pair[0]));
            return;
        }
        self.gather(offset, stride, into, A::lift);
    }
}

impl<T: Element> Reader<i128> for Raw<T> {
    fn read(&self, offset: isize, stride: isize, into: &mut [i128]) {
        self.gather(offset, stride, into, T::to_i128);
    }
}

/// An array of the caller's that was copied.
pub(crate) struct Owned<T>(pub Vec<T>);

impl<T: Element, A: Real> Reader<A> for Owned<T> {
    fn read(&self, offset: isize, stride: isize, into: &mut [A]) {
        Raw::from_ref(&self.0).read(offset, stride, into);
    }
}

impl<T: Element, A: Real> Writer<A> for Raw<T> {
    fn write(&self, offset: isize, stride: isize, values: &[A]) {
        self.scatter(offset, stride, values.len(), |j| values[j].lower());
    }

    fn announce(&self, offset: isize, n: usize) {
        self.prefetch::<true>(offset, n);
    }
}

impl<T: Element> Writer<i128> for Raw<T> {
    /// Integers are written modulo 2^64.
    fn write(&self, offset: isize, stride: isize, values: &[i128]) {
        let float = T::KIND == Kind::Float;
        let number = |value: i128| if float { T::from_i128(value) } else { T::from_i64(value as i64) };
        self.scatter(offset, stride, values.len(), |j| number(values[j]));
    }

    fn announce(&self, offset: isize, n: usize) {
        self.prefetch::<true>(offset, n);
    }
}

/// An array to read, and its strides.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a, V> {
    pub reader: &'a dyn Reader<V>,
    pub strides: &'a [isize],
}

/// What windows are made of.
#[derive(Clone)]
pub(crate) struct Visit<'a, V> {
    /// Of each axis its length and how it is pooled.
    pub shape: &'a [usize],
    pub spans: &'a [Option<Spans>],
    pub x: Field<'a, V>,
    /// Cells that are not 0 here are valid.
    pub valid: Option<Field<'a, f64>>,
    /// Whether cells that are NaN are not.
    pub omit: bool,
    /// What is read beside the cells: weights or logits first, if they are `weighted`.
    pub beside: Vec<Field<'a, f64>>,
    pub weighted: bool,
    /// Whether cells weigh as much as the part of them that lies in their bin, whose borders may lie within cells.
    pub overlap: bool,
}

/// A window: its number along each axis, and the cells that it covers there.
pub(crate) struct At {
    pub index: Vec<usize>,
    pub spans: Vec<Span>,
}

impl At {
    /// Where the window's result lies in an array with the given strides.
    pub fn offset(&self, strides: &[isize]) -> isize {
        self.index.iter().zip(strides).map(|(&o, stride)| o as isize * stride).sum()
    }
}

/// The valid cells of a window, and scratch.
#[derive(Default)]
pub(crate) struct Gathered<V> {
    pub values: Vec<V>,
    pub positions: Vec<u64>,
    /// As [`Visit::beside`]; weights are multiplied by the parts.
    pub beside: Vec<Vec<f64>>,
    /// The parts of cells that lie in their bin; none if that is not asked.
    pub parts: Vec<f64>,
    /// Scratch of modes.
    pub order: Vec<usize>,
    center: u64,
    valid: Vec<f64>,
    taps: Vec<usize>,
}

impl<V: Number> Gathered<V> {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// What modes see of the window of a number.
    pub fn cells(&self, weighted: bool, window: u64) -> Cells<'_, V> {
        Cells {
            values: &self.values,
            beside: if weighted { &self.beside[0] } else { &self.parts },
            positions: &self.positions,
            center: self.center,
            window,
        }
    }

    fn resize(&mut self, len: usize, beside: usize) -> Result<()> {
        fn grow<T: Copy + Default>(vec: &mut Vec<T>, len: usize) -> Result<()> {
            let memory = |_| PoolError::Memory { bytes: len.saturating_mul(size_of::<T>()) };
            vec.try_reserve(len.saturating_sub(vec.len())).map_err(memory)?;
            vec.resize(len, T::default());
            Ok(())
        }
        grow(&mut self.values, len)?;
        grow(&mut self.positions, len)?;
        self.beside.resize_with(beside, Vec::new);
        self.beside.iter_mut().try_for_each(|beside| grow(beside, len))
    }
}

impl<V: Number> Visit<'_, V> {
    /// The shape of the result.
    pub fn lens_out(&self) -> Vec<usize> {
        self.shape.iter().zip(self.spans).map(|(&len, spans)| spans.as_ref().map_or(len, Spans::len_out)).collect()
    }

    pub fn span(&self, axis: usize, o: usize) -> Span {
        self.spans[axis].as_ref().map_or(Span { start: o, len: 1, step: 1 }, |spans| spans.at(o))
    }

    /// The step of each axis in the flat index of the pooled axes; 0 for axes that are passed through.
    pub fn flats(&self) -> Vec<u64> {
        let mut flats = vec![0; self.shape.len()];
        let mut flat = 1u64;
        for axis in (0..self.shape.len()).rev() {
            if self.spans[axis].is_some() {
                flats[axis] = flat;
                flat = flat.wrapping_mul(self.shape[axis] as u64);
            }
        }
        flats
    }

    /// Visits the windows of a box, the axes of `order` from the slowest to the fastest.
    pub fn windows(
        &self,
        ranges: &[Range<usize>],
        order: &[usize],
        mut visit: impl FnMut(&At) -> Result<()>,
    ) -> Result<()> {
        if ranges.iter().any(Range::is_empty) {
            return Ok(());
        }
        let index: Vec<usize> = ranges.iter().map(|range| range.start).collect();
        let spans = index.iter().enumerate().map(|(axis, &o)| self.span(axis, o)).collect();
        let mut at = At { index, spans };
        loop {
            visit(&at)?;
            let next = order.iter().rposition(|&axis| at.index[axis] + 1 < ranges[axis].end);
            let Some(place) = next else { return Ok(()) };
            for &axis in &order[place + 1..] {
                at.index[axis] = ranges[axis].start;
                at.spans[axis] = self.span(axis, at.index[axis]);
            }
            let axis = order[place];
            at.index[axis] += 1;
            at.spans[axis] = self.span(axis, at.index[axis]);
        }
    }

    /// Visits all windows, on as many threads as there are.
    pub fn all_windows<S>(
        &self,
        parallel: &Parallel<'_>,
        scratch: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, &At) -> Result<()> + Sync,
    ) -> Result<()> {
        self.all_rows(parallel, scratch, |state, at, row, range| {
            for o in range {
                self.step(at, row, o);
                visit(state, at)?;
            }
            Ok(())
        })
    }

    /// Visits all rows of windows along the fastest axis of `x`, or parts of long ones: `visit` is given the first window, the
    /// axis, and the windows. A task is some rows.
    pub fn all_rows<S>(
        &self,
        parallel: &Parallel<'_>,
        scratch: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, &mut At, usize, Range<usize>) -> Result<()> + Sync,
    ) -> Result<()> {
        /// Cells that a task reads, roughly.
        const CELLS: usize = 1 << 16;
        let lens = self.lens_out();
        let mut order = fastest_last(self.x.strides);
        let Some(row) = order.pop() else {
            let at = || At { index: Vec::new(), spans: Vec::new() };
            return parallel.run(1, 0, scratch, |state, _| visit(state, &mut at(), 0, 0..1), drop);
        };
        let window: usize = self.spans.iter().flatten().map(Spans::max_len).fold(1, usize::saturating_mul);
        let most = (CELLS / window).max(1);
        let chunk = lens[row].min(most).max(1);
        let (chunks, rows) = (lens[row].div_ceil(chunk), order.iter().map(|&axis| lens[axis]).product::<usize>());
        let group = if chunks == 1 { (most / chunk).max(1) } else { 1 };
        let cells: usize = lens.iter().product();
        let task = |state: &mut S, index: usize| {
            let range = index % chunks * chunk..((index % chunks + 1) * chunk).min(lens[row]);
            let mut at = At { index: vec![0; lens.len()], spans: vec![Span::default(); lens.len()] };
            let group = index / chunks * group..((index / chunks + 1) * group).min(rows);
            for mut number in group {
                for &axis in order.iter().rev() {
                    self.step(&mut at, axis, number % lens[axis]);
                    number /= lens[axis];
                }
                self.step(&mut at, row, range.start);
                visit(state, &mut at, row, range.clone())?;
            }
            Ok(())
        };
        let traffic = cells.saturating_mul(window).saturating_mul(8);
        parallel.run(rows.div_ceil(group) * chunks, traffic, scratch, task, drop)
    }

    /// Goes to window `o` along an axis.
    pub fn step(&self, at: &mut At, axis: usize, o: usize) {
        if let (Some(index), Some(span)) = (at.index.get_mut(axis), at.spans.get_mut(axis)) {
            (*index, *span) = (o, self.span(axis, o));
        }
    }

    /// Brings the valid cells of a window together.
    pub fn gather(&self, at: &At, flats: &[u64], into: &mut Gathered<V>) -> Result<()> {
        let cells = at.spans.iter().map(|span| span.len).fold(1, usize::saturating_mul);
        into.resize(cells, self.beside.len())?;
        if cells == 0 {
            return Ok(());
        }
        into.center = 0;
        for (span, flat) in at.spans.iter().zip(flats) {
            into.center += (span.start + span.len / 2 * span.step) as u64 * flat;
        }
        if self.valid.is_some() {
            into.valid.resize(cells, 0.0);
        }
        self.rows(at, flats, into);
        if self.overlap {
            self.weigh(at, into);
        }
        if self.valid.is_some() || self.omit {
            self.leave_out(into);
        }
        Ok(())
    }

    /// Reads all cells of a window, in C order.
    fn rows(&self, at: &At, flats: &[u64], into: &mut Gathered<V>) {
        // Rows run along the last axis with more than one cell, if there is one.
        let row = at.spans.iter().rposition(|span| span.len > 1);
        let (n, row_step) = row.map_or((1, 0), |row| (at.spans[row].len, at.spans[row].step as isize));
        let outer = row.unwrap_or(0);
        let stride = |strides: &[isize]| row.map_or(0, |row| row_step * strides[row]);
        into.taps.clear();
        into.taps.resize(outer, 0);
        let mut done = 0;
        loop {
            let position =
                |axis: usize| at.spans[axis].start + into.taps.get(axis).map_or(0, |tap| tap * at.spans[axis].step);
            let offset = |strides: &[isize]| -> isize {
                strides.iter().enumerate().map(|(axis, stride)| position(axis) as isize * stride).sum()
            };
            let range = done..done + n;
            let first: u64 = flats.iter().enumerate().map(|(axis, flat)| position(axis) as u64 * flat).sum();
            let step = row.map_or(0, |row| row_step as u64 * flats[row]);
            for (tap, position) in into.positions[range.clone()].iter_mut().enumerate() {
                *position = first + tap as u64 * step;
            }
            self.x.reader.read(offset(self.x.strides), stride(self.x.strides), &mut into.values[range.clone()]);
            if let Some(valid) = self.valid {
                valid.reader.read(offset(valid.strides), stride(valid.strides), &mut into.valid[range.clone()]);
            }
            for (field, values) in self.beside.iter().zip(&mut into.beside) {
                field.reader.read(offset(field.strides), stride(field.strides), &mut values[range.clone()]);
            }
            done += n;
            let Some(axis) = (0..outer).rev().find(|&axis| into.taps[axis] + 1 < at.spans[axis].len) else { return };
            into.taps[axis] += 1;
            into.taps[axis + 1..].fill(0);
        }
    }

    /// Weighs cells by the part of them that lies in their bin, from `o n / m` to `(o + 1) n / m`.
    fn weigh(&self, at: &At, into: &mut Gathered<V>) {
        into.parts.clear();
        into.parts.push(1.0);
        for (axis, span) in at.spans.iter().enumerate() {
            let Some(spans) = &self.spans[axis] else { continue };
            let (n, m, o) = (spans.len_in() as u128, spans.len_out() as u128, at.index[axis] as u128);
            let part = |cell: usize| {
                let (begin, end) = (cell as u128 * m, (cell as u128 + 1) * m);
                (end.min((o + 1) * n) - begin.max(o * n)) as f64 / m as f64
            };
            let along: Vec<f64> = (span.start..span.end()).map(part).collect();
            into.parts = into.parts.iter().flat_map(|outer| along.iter().map(move |part| outer * part)).collect();
        }
        if self.weighted {
            for (weight, part) in into.beside[0].iter_mut().zip(&into.parts) {
                *weight *= part;
            }
        }
    }

    /// Leaves out the cells that are not valid.
    fn leave_out(&self, into: &mut Gathered<V>) {
        let masked = self.valid.is_some();
        let mut kept = 0;
        for i in 0..into.values.len() {
            if masked && into.valid[i] == 0.0 || self.omit && into.values[i].is_nan() {
                continue;
            }
            into.values[kept] = into.values[i];
            into.positions[kept] = into.positions[i];
            for beside in &mut into.beside {
                beside[kept] = beside[i];
            }
            if self.overlap {
                into.parts[kept] = into.parts[i];
            }
            kept += 1;
        }
        into.values.truncate(kept);
        into.positions.truncate(kept);
        into.beside.iter_mut().for_each(|beside| beside.truncate(kept));
        into.parts.truncate(kept);
    }
}

/// The axes of an array from the slowest to the fastest.
pub(crate) fn fastest_last(strides: &[isize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..strides.len()).collect();
    let reach = |axis: usize| if strides[axis] == 0 { usize::MAX } else { strides[axis].unsigned_abs() };
    order.sort_by_key(|&axis| (std::cmp::Reverse(reach(axis)), axis));
    order
}
