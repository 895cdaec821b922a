//! Fractional max pooling (Graham, 2014): windows of one size whose starts advance by steps of two lengths, pseudo-random
//! in each plane, so that the output may have any number of cells.
//!
//! Starts depend on the plane, so the engine, whose spans are those of an axis, does not serve: bands of a plane's outputs
//! are tasks of their own, each of which copies the rows that its windows cover and looks at every window.

use ndarray::{ArrayD, ArrayView, Dimension};

use super::gradient::{Differentiable, Pullback, expect_float};
use super::indexed::{Cells, IndexMap, Larger};
use super::planes::{Planes, spatial_axes};
use super::solved::{Solved, zeros};
use crate::element::{Element, Kind, Ordered};
use crate::engine::reserve;
use crate::error::{PoolError, Result, Shape, try_vec};
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

/// Cells that a task reads, and windows that it looks at, or a few more.
const TASK_CELLS: usize = 1 << 15;

/// Fractional max pooling over any axes.
///
/// ```
/// use ndarray::array;
/// use ndpool::FractionalPool;
///
/// let x = array![3, 1, 4, 1, 5, 9, 2];
/// // Windows of 2 cells that start at 0, 2, 4 and 5: at 0.5, 1.5 and 2.5 times 5/3, rounded down, and as late as can be.
/// let y = FractionalPool::new(&[2]).output_size(&[4]).max(&x.view(), &array![0.5].view())?;
/// assert_eq!(y, array![3, 4, 9, 9].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FractionalPool {
    kernel: Vec<usize>,
    output: Output,
    axes: Option<Vec<usize>>,
}

#[derive(Clone, Debug)]
enum Output {
    Unknown,
    Size(Vec<usize>),
    Ratio(Vec<f64>),
}

/// A fractional pooling solved for one shape.
pub(crate) struct Fractional {
    pub solved: Solved,
    axes: Vec<usize>,
    /// Of each axis, in ascending order, the window and the place of its sample.
    windows: Vec<(usize, usize)>,
}

impl FractionalPool {
    /// Pools by windows of the given sizes.
    #[must_use]
    pub fn new(kernel: &[usize]) -> Self {
        Self { kernel: kernel.to_vec(), output: Output::Unknown, axes: None }
    }

    /// Sets the number of windows along each axis.
    #[must_use]
    pub fn output_size(mut self, size: &[usize]) -> Self {
        self.output = Output::Size(size.to_vec());
        self
    }

    /// Sets the number of windows along each axis, as a part of its cells, rounded down.
    #[must_use]
    pub fn output_ratio(mut self, ratio: &[f64]) -> Self {
        self.output = Output::Ratio(ratio.to_vec());
        self
    }

    /// Sets the axes to pool, one for each window; the last ones otherwise.
    #[must_use]
    pub fn axes(mut self, axes: &[usize]) -> Self {
        self.axes = Some(axes.to_vec());
        self
    }

    /// Solves the operation for an array of the given shape: all checks but those of the samples happen here.
    pub(crate) fn solve(&self, shape: &[usize]) -> Result<Fractional> {
        let n = self.kernel.len();
        let (argument, given) = match &self.output {
            Output::Unknown => {
                return Err(PoolError::value("output_size", "None", "must be given, or else output_ratio"));
            }
            Output::Size(size) => ("output_size", size.len()),
            Output::Ratio(ratio) => ("output_ratio", ratio.len()),
        };
        if n == 0 || given != n {
            let n = n.max(1);
            return Err(PoolError::value(argument, format!("a list of {given}"), format!("must have {n} values")));
        }
        let mut output_shape = shape.to_vec();
        let places = spatial_axes(self.axes.as_deref(), n, shape)?;
        for &(axis, j) in &places {
            let (len, kernel) = (shape[axis], self.kernel[j]);
            if kernel == 0 {
                return Err(PoolError::value("kernel_size", kernel, "must be at least 1"));
            }
            let (size, shown) = match &self.output {
                Output::Ratio(ratio) if !(ratio[j] > 0.0 && ratio[j] < 1.0) => {
                    return Err(PoolError::value(argument, ratio[j], "must be between 0 and 1"));
                }
                Output::Ratio(ratio) => ((len as f64 * ratio[j]) as usize, ratio[j].to_string()),
                Output::Size(size) => (size[j], size[j].to_string()),
                Output::Unknown => (0, String::new()),
            };
            if size == 0 {
                return Err(PoolError::value(argument, shown, format!("of {len} cells must be at least 1 window")));
            }
            if size.saturating_add(kernel - 1) > len {
                let rule = format!("of {len} cells is too many: {size} windows of {kernel} start at different cells");
                return Err(PoolError::value(argument, shown, rule));
            }
            output_shape[axis] = size;
        }
        // As in PyTorch, of two axes the last one has the first sample; of three, each has its own.
        let sample = |j: usize| if n == 2 { 1 - j } else { j };
        let windows = places.iter().map(|&(_, j)| (self.kernel[j], sample(j))).collect();
        let axes = places.iter().map(|place| place.0).collect();
        Ok(Fractional { solved: Solved::of_shapes(shape, output_shape)?, axes, windows })
    }

    /// The shape of the result for an array of the given shape.
    ///
    /// # Errors
    /// [`PoolError::Value`] if an axis does not exist, is given twice or has no cell, a size is zero, a ratio is not between
    /// 0 and 1, or an axis has not so many windows.
    pub fn output_shape(&self, shape: &[usize]) -> Result<Vec<usize>> {
        Ok(self.solve(shape)?.solved.output_shape().to_vec())
    }

    /// The largest value of each window. The first NaN wins; of equal values, the first.
    ///
    /// `samples` are numbers from 0 to less than 1. They have the axes that are not pooled, and one more with a number for
    /// each pooled axis; for two of these that of the last axis comes first, as in PyTorch. With `u` its sample, window `o`
    /// of `O` on an axis of `L` cells starts at `int((o + u) * a) - int(u * a)`, where `a = (L - k) / (O - 1)`, computed in
    /// the type of the samples, and the last one at `L - k`.
    ///
    /// # Errors
    /// As [`FractionalPool::output_shape`]; also if the samples have another shape, or one is not in that range;
    /// [`PoolError::Type`] if they are no floats.
    pub fn max<T: Element, S: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        samples: &ArrayView<'_, S, E>,
    ) -> Result<ArrayD<T>> {
        let call = self.solve(x.shape())?;
        let mut y = zeros(call.solved.output_shape())?;
        let samples = call.samples(&View::from(samples))?;
        call.run(&View::from(x), &samples, &ViewMut::from(&mut y), None, None, &Parallel::default())?;
        Ok(y)
    }

    /// The largest value of each window and its flat index within the pooled axes.
    ///
    /// # Errors
    /// As [`FractionalPool::max`].
    pub fn max_with_indices<T: Element, S: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        samples: &ArrayView<'_, S, E>,
    ) -> Result<(ArrayD<T>, ArrayD<i64>)> {
        let call = self.solve(x.shape())?;
        let (mut y, mut indices) = (zeros(call.solved.output_shape())?, zeros(call.solved.output_shape())?);
        let samples = call.samples(&View::from(samples))?;
        let place = ViewMut::from(&mut indices);
        call.run(&View::from(x), &samples, &ViewMut::from(&mut y), Some(&place), None, &Parallel::default())?;
        Ok((y, indices))
    }

    /// [`FractionalPool::max`] and the map of its gradient.
    ///
    /// # Errors
    /// As [`FractionalPool::max`]; [`PoolError::Type`] for integers, which have no gradient.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::FractionalPool;
    ///
    /// let x = array![3.0, 1.0, 4.0, 1.0, 5.0];
    /// let pool = FractionalPool::new(&[3]).output_ratio(&[0.5]);
    /// let (y, pullback) = pool.max_vjp(&x.view(), &array![0.5].view())?;
    /// assert_eq!(y, array![4.0, 5.0].into_dyn());
    /// assert_eq!(pullback.pull(&array![1.0, 2.0].view())?, array![0.0, 0.0, 1.0, 0.0, 2.0].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn max_vjp<T: Element, S: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        samples: &ArrayView<'_, S, E>,
    ) -> Result<(ArrayD<T>, Pullback<T>)> {
        let call = self.solve(x.shape())?;
        let mut y = zeros(call.solved.output_shape())?;
        let samples = call.samples(&View::from(samples))?;
        let mut map = call.map::<T>()?;
        call.run(&View::from(x), &samples, &ViewMut::from(&mut y), None, Some(&mut map), &Parallel::default())?;
        Ok((y, Pullback::new(Differentiable::Index(map))))
    }
}

/// Checked samples: of each plane, one for each axis.
pub(crate) struct Samples {
    values: Vec<f64>,
    /// Rounds to the type of the samples: an operation in `f64` and this is the operation in that type, as `f64` has more
    /// than twice its digits.
    round: fn(f64) -> f64,
}

/// Where the windows of a plane start, along each axis.
type Starts = Vec<Vec<usize>>;

/// The work buffers of a thread.
struct State<T> {
    cells: Vec<T>,
    starts: Starts,
    values: Vec<T>,
    winners: Vec<usize>,
}

/// The largest of a window's cells, and its place: the first NaN, of equal values the first. `rows` are the starts of the
/// window's rows, of `len` cells each.
#[inline(always)]
fn winner<T: Element>(cells: &[T], first: usize, rows: &[usize], len: usize) -> usize {
    let (mut place, mut best) = (first, cells[first].to_order());
    let mut nan = best.is_nan();
    for row in rows {
        for (j, cell) in cells[first + row..][..len].iter().enumerate() {
            let value = cell.to_order();
            nan |= value.is_nan();
            // Selections, not branches: which of random cells is larger cannot be predicted.
            let larger = value > best;
            place = if larger { first + row + j } else { place };
            best = if larger { value } else { best };
        }
    }
    if nan {
        let places = rows.iter().flat_map(|row| first + row..first + row + len);
        place = places.into_iter().find(|&place| cells[place].to_order().is_nan()).unwrap_or(place);
    }
    place
}

impl Fractional {
    /// The shape of the samples: the axes that are not pooled, and one more.
    pub fn samples_shape(&self) -> Vec<usize> {
        let shape = self.solved.shape();
        let free = (0..shape.len()).filter(|axis| !self.axes.contains(axis)).map(|axis| shape[axis]);
        free.chain([self.axes.len()]).collect()
    }

    /// Copies and checks samples.
    pub fn samples<S: Element>(&self, samples: &View<'_, S>) -> Result<Samples> {
        if S::KIND != Kind::Float {
            let given = format!("an array of {}", S::NAME);
            return Err(PoolError::wrong_type("samples", given, "must be of floats"));
        }
        let (given, wanted) = (samples.shape(), self.samples_shape());
        if given != wanted {
            let rule = format!("must have the shape {}", Shape(&wanted));
            return Err(PoolError::value("samples", format!("an array of shape {}", Shape(given)), rule));
        }
        let order: Vec<usize> = (0..given.len()).collect();
        let given = samples.in_order(&order)?;
        let mut values = try_vec(given.len())?;
        values.extend(given.into_iter().map(Element::to_f64));
        if let Some(value) = values.iter().find(|value| !(0.0..1.0).contains(*value)) {
            return Err(PoolError::value("samples", value, "must be at least 0 and less than 1"));
        }
        Ok(Samples { values, round: |value| S::from_f64(value).to_f64() })
    }

    /// Room for the winners of a call.
    pub fn map<T: Element>(&self) -> Result<IndexMap> {
        expect_float::<T>()?;
        IndexMap::new(&self.solved, &self.axes, Larger::Input, true)
    }

    /// Where windows start along pooled axis `j` of a plane.
    fn starts(&self, samples: &Samples, plane: usize, j: usize, into: &mut Vec<usize>) -> Result<()> {
        let (axis, (kernel, sample)) = (self.axes[j], self.windows[j]);
        let (free, windows) = (self.solved.shape()[axis] - kernel, self.solved.output_shape()[axis]);
        let (u, round) = (samples.values[plane * self.axes.len() + sample], samples.round);
        if into.len() != windows {
            *into = try_vec(windows)?;
        }
        into.clear();
        let step = round(round(free as f64) / round((windows.max(2) - 1) as f64));
        let before = round(u * step) as usize;
        // Rounding may lead past the end in types of few digits; numbers too large for any integer saturate.
        let start = |o: usize| (round(round(round(o as f64) + u) * step) as usize).saturating_sub(before).min(free);
        into.extend((0..windows - 1).map(start));
        into.push(free);
        Ok(())
    }

    /// Writes the largest value of each window, and where it is wanted its index.
    pub fn run<T: Element>(
        &self,
        x: &View<'_, T>,
        samples: &Samples,
        y: &ViewMut<'_, T>,
        indices: Option<&ViewMut<'_, i64>>,
        map: Option<&mut IndexMap>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let planes = |shape: &[usize], strides: &[isize]| Planes::new(shape, strides, &self.axes);
        let (from, into) = (planes(x.shape(), x.strides()), planes(y.shape(), y.strides()));
        let (source, target) = (x.raw(), y.raw());
        let indices = indices.map(|indices| (planes(indices.shape(), indices.strides()), indices.raw()));
        let table = map.map(|map| match &mut map.cells {
            Cells::U16(cells) => Table::U16(Raw::of(cells)),
            Cells::U32(cells) => Table::U32(Raw::of(cells)),
            Cells::U64(cells) => Table::U64(Raw::of(cells)),
        });
        let len = |shape: &[usize], j: usize| shape[self.axes[j]];
        let flats: Vec<usize> = (0..self.axes.len())
            .map(|j| (j + 1..self.axes.len()).map(|inner| len(x.shape(), inner)).product())
            .collect();
        // Rows of a window, counted from its first cell.
        let mut rows = vec![0];
        for (&(kernel, _), &flat) in self.windows.iter().zip(&flats[..self.axes.len() - 1]) {
            let mut next = try_vec(rows.len().saturating_mul(kernel))?;
            next.extend(rows.iter().flat_map(|row| (0..kernel).map(move |tap| row + tap * flat)));
            rows = next;
        }
        let last = self.axes.len() - 1;
        let (outputs, kernel) = (len(y.shape(), 0), self.windows[last].0);
        // Bands of a plane's outputs along its first axis.
        let windows = into.cells() / outputs;
        let work = (from.cells() / outputs).max(windows.saturating_mul(rows.len()).saturating_mul(kernel)).max(1);
        let band = (TASK_CELLS / work).clamp(1, outputs);
        let bands = outputs.div_ceil(band);
        let group = (TASK_CELLS / work.saturating_mul(band)).max(1);
        let one = |state: &mut State<T>, index: usize| {
            let (plane, band) = (index / bands, index % bands * band..outputs.min((index % bands + 1) * band));
            state.starts.resize_with(self.axes.len(), Vec::new);
            for (j, starts) in state.starts.iter_mut().enumerate() {
                self.starts(samples, plane, j, starts)?;
            }
            let State { cells, starts, values, winners } = state;
            let outer = &starts[0][band.clone()];
            let (least, most) = outer.iter().fold((usize::MAX, 0), |(a, b), &start| (a.min(start), b.max(start)));
            let read = least * flats[0]..(most + self.windows[0].0) * flats[0];
            reserve(cells, read.len())?;
            let cells = &mut cells[..read.len()];
            from.read(source, plane, read.clone(), cells, |value| value);
            let written = band.start * windows..band.end * windows;
            reserve(values, written.len())?;
            reserve(winners, written.len())?;
            let mut firsts: Vec<usize> = outer.iter().map(|start| (start - least) * flats[0]).collect();
            for j in 1..=last {
                let flat = flats[j];
                let mut next = try_vec(firsts.len().saturating_mul(starts[j].len()))?;
                next.extend(firsts.iter().flat_map(|first| starts[j].iter().map(move |start| first + start * flat)));
                firsts = next;
            }
            for ((value, place), &first) in values.iter_mut().zip(&mut *winners).zip(&firsts) {
                *place = winner(cells, first, &rows, kernel);
                *value = cells[*place];
            }
            into.write(target, plane, written.clone(), values, |&value| value);
            if let Some((into, target)) = &indices {
                into.write(*target, plane, written.clone(), winners, |winner| (read.start + winner) as i64);
            }
            if let Some(table) = &table {
                table.write(plane * into.cells() + written.start, &winners[..written.len()], read.start);
            }
            Ok(())
        };
        let units = from.count() * bands;
        let task = |state: &mut State<T>, index: usize| {
            for unit in index * group..units.min((index + 1) * group) {
                one(state, unit)?;
            }
            Ok(())
        };
        let state = || State { cells: Vec::new(), starts: Vec::new(), values: Vec::new(), winners: Vec::new() };
        let traffic = from.count().saturating_mul(from.cells()).saturating_mul(size_of::<T>());
        parallel.run(units.div_ceil(group), traffic, state, task, drop)
    }
}

/// A table of winners, to write.
#[derive(Clone, Copy)]
enum Table {
    U16(Raw<u16>),
    U32(Raw<u32>),
    U64(Raw<u64>),
}

impl Table {
    /// Writes winners from a place on, each further by `base`.
    fn write(&self, at: usize, winners: &[usize], base: usize) {
        let (at, len) = (at as isize, winners.len());
        match self {
            Self::U16(table) => table.scatter(at, 1, len, |j| (base + winners[j]) as u16),
            Self::U32(table) => table.scatter(at, 1, len, |j| (base + winners[j]) as u32),
            Self::U64(table) => table.scatter(at, 1, len, |j| (base + winners[j]) as u64),
        }
    }
}
