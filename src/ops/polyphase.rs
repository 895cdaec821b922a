//! Adaptive polyphase sampling (Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks", 2021): of the
//! ways to keep every `s`-th row and column, the one that keeps the most.
//!
//! An image that is shifted round has the same ways, numbered differently. If the choice goes by what they hold and not by
//! their number, the result is shifted and otherwise the same. So the choice must not depend on the order in which numbers are
//! summed: squares are turned into whole numbers first, whose sum does not.

use std::sync::Mutex;

use ndarray::{ArrayD, ArrayView, Dimension};

use super::planes::spatial_axes;
use super::solved::{Solved, zeros};
use crate::element::Element;
use crate::engine::{Reader, fastest_last, reserve};
use crate::error::{PoolError, Result, Shape, try_vec};
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

/// Cells that a task copies or squares.
const TASK_CELLS: usize = 1 << 15;
/// The longest run of cells that is read at once.
const RUN: usize = 1 << 12;

/// A row and a column: where a polyphase component begins.
pub(crate) type Phase = [usize; 2];

/// Polyphase sampling of two axes, one phase for each sample.
///
/// ```
/// use ndarray::array;
/// use ndpool::Polyphase;
///
/// let x = array![[[[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]]];
/// let (y, phases) = Polyphase::new([2, 2]).batch(true).sample(&x.view())?;
/// assert_eq!(phases, [[0, 1]]);
/// assert_eq!(y, array![[[[1.0, 2.0]]]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Polyphase {
    stride: [usize; 2],
    axes: Option<[usize; 2]>,
    batch: bool,
}

impl Polyphase {
    /// Keeps every so many-th row and column; their numbers must be multiples of that.
    #[must_use]
    pub fn new(stride: [usize; 2]) -> Self {
        Self { stride, axes: None, batch: false }
    }

    /// Sets the axes of rows and columns; the last two otherwise.
    #[must_use]
    pub fn axes(mut self, axes: [usize; 2]) -> Self {
        self.axes = Some(axes);
        self
    }

    /// Sets whether the first axis numbers samples, each with a phase of its own. Otherwise the array is one sample.
    #[must_use]
    pub fn batch(mut self, batch: bool) -> Self {
        self.batch = batch;
        self
    }

    /// Solves the operation for an array of the given shape: all checks happen here.
    pub(crate) fn solve(&self, shape: &[usize]) -> Result<Sampling> {
        let places = spatial_axes(self.axes.as_ref().map(|axes| &axes[..]), 2, shape)?;
        let (mut axes, mut stride, mut output_shape) = ([0; 2], [0; 2], shape.to_vec());
        for (place, &(axis, given)) in places.iter().enumerate() {
            let (len, step) = (shape[axis], self.stride[given]);
            if step == 0 {
                return Err(PoolError::value("stride", step, "must be at least 1"));
            }
            if len % step != 0 {
                let rule = format!("has {len} cells along axis {axis}: no multiple of the stride, {step}");
                return Err(PoolError::value("x", format!("an array of shape {}", Shape(shape)), rule));
            }
            (axes[place], stride[place], output_shape[axis]) = (axis, step, len / step);
        }
        if self.batch && axes[0] == 0 {
            return Err(PoolError::value("axis", 0, "numbers the samples of a batch: it cannot be sampled"));
        }
        Ok(Sampling { solved: Solved::of_shapes(shape, output_shape)?, axes, stride, batch: self.batch })
    }

    /// The components with the largest sum of squares, the first in C order of equal ones, and their phases.
    ///
    /// # Errors
    /// [`PoolError::Value`] if a stride is 0 or divides its axis with a remainder, or an axis does not exist, is given twice or
    /// has no cell.
    pub fn sample<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<(ArrayD<T>, Vec<[usize; 2]>)> {
        let call = self.solve(x.shape())?;
        let (x, parallel) = (View::from(x), Parallel::default());
        let phases = call.phases(&x.raw(), x.strides(), &parallel)?;
        let mut y = zeros(call.solved.output_shape())?;
        call.sample(&x, &phases, &ViewMut::from(&mut y), &parallel)?;
        Ok((y, phases))
    }
}

/// A polyphase sampling solved for one shape.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub solved: Solved,
    axes: [usize; 2],
    stride: [usize; 2],
    batch: bool,
}

/// What is known of a component of a sample.
#[derive(Clone, Copy, Default)]
struct Norm {
    /// The sum of its squares, each rounded down to a whole number of units.
    sum: u64,
    infinite: bool,
    nan: bool,
}

impl Norm {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.infinite |= other.infinite;
        self.nan |= other.nan;
    }

    /// By what norms are compared: NaN is above infinity, and both are above all numbers.
    fn rank(self) -> (bool, bool, u64) {
        if self.nan || self.infinite { (self.nan, self.infinite, 0) } else { (false, false, self.sum) }
    }
}

impl Sampling {
    /// The axes of a sample, with their lengths and strides in two arrays.
    fn inside(&self, shape: &[usize], strides: [&[isize]; 2]) -> Vec<Axis> {
        let axes = self.batch as usize..shape.len();
        axes.map(|at| Axis { at, len: shape[at], steps: strides.map(|strides| strides[at]) }).collect()
    }

    /// The number of samples, and where they begin.
    fn samples(&self) -> usize {
        if self.batch { self.solved.shape()[0] } else { 1 }
    }

    fn base(&self, sample: usize, strides: &[isize]) -> isize {
        if self.batch { sample as isize * strides[0] } else { 0 }
    }

    /// Where the component of a phase begins.
    fn first(&self, [row, column]: Phase, strides: &[isize]) -> isize {
        row as isize * strides[self.axes[0]] + column as isize * strides[self.axes[1]]
    }

    /// The phase that each sample is sampled with.
    pub fn phases(&self, x: &dyn Reader<f64>, strides: &[isize], parallel: &Parallel<'_>) -> Result<Vec<Phase>> {
        let mut phases = try_vec(self.samples())?;
        for sample in 0..self.samples() {
            phases.push(self.phase(x, self.base(sample, strides), strides, parallel)?);
        }
        Ok(phases)
    }

    /// The phase of the sample that begins at `base`.
    fn phase(&self, x: &dyn Reader<f64>, base: isize, strides: &[isize], parallel: &Parallel<'_>) -> Result<Phase> {
        let rows = Rows::new(&self.inside(self.solved.shape(), [strides; 2]));
        let largest = Mutex::new(0.0f64);
        rows.run(
            1,
            &|_| [base; 2],
            parallel,
            |buffer: &mut Vec<f64>, run| {
                reserve(buffer, RUN)?;
                let cells = &mut buffer[..run.len];
                x.read(run.offsets[0], run.steps[0], cells);
                let finite = cells.iter().filter(|cell| cell.is_finite());
                let most = finite.fold(0.0f64, |most, cell| most.max(cell.abs()));
                if let Ok(mut largest) = largest.lock() {
                    *largest = largest.max(most);
                }
                Ok(())
            },
            drop,
        )?;
        // Cells are scaled to below 1, and the unit is such that the sum of all squares fits 64 bits.
        let largest = largest.into_inner().unwrap_or(0.0);
        let exponent = if largest == 0.0 { 0 } else { largest.log2().floor() as i32 + 1 };
        // The reciprocal of the smallest power of two is not a number of its own.
        let (half, other) = (2f64.powi(-(exponent / 2)), 2f64.powi(-(exponent - exponent / 2)));
        let unit = 2f64.powi(61 - (usize::BITS - rows.cells().leading_zeros()) as i32);
        let [_, across] = self.stride;
        let components = self.stride[0].saturating_mul(across);
        let norms = Mutex::new(Vec::new());
        rows.run(
            1,
            &|_| [base; 2],
            parallel,
            |(buffer, own): &mut (Vec<f64>, Vec<Norm>), run| {
                reserve(buffer, RUN)?;
                reserve(own, components)?;
                let cells = &mut buffer[..run.len];
                x.read(run.offsets[0], run.steps[0], cells);
                // Along an axis that is sampled, neighbours belong to components in turns.
                let along = self.axes.iter().position(|&axis| axis == run.axis);
                let turns = along.map_or(1, |along| self.stride[along]);
                for turn in 0..turns.min(cells.len()) {
                    let place = |axis: usize| run.place(self.axes[axis]) + if along == Some(axis) { turn } else { 0 };
                    let [row, column] = [0, 1].map(|axis| place(axis) % self.stride[axis]);
                    let mut norm = Norm::default();
                    for cell in cells[turn..].iter().step_by(turns) {
                        let scaled = cell * half * other;
                        // What is not finite is noted, and adds nothing: a cast would make of it the largest number.
                        norm.sum += if cell.is_finite() { (scaled * scaled * unit) as u64 } else { 0 };
                        norm.nan |= cell.is_nan();
                        norm.infinite |= cell.is_infinite();
                    }
                    own[row * across + column].add(norm);
                }
                Ok(())
            },
            |(_, own)| {
                if let Ok(mut norms) = norms.lock() {
                    if norms.is_empty() {
                        *norms = own;
                    } else {
                        norms.iter_mut().zip(own).for_each(|(norm, own)| norm.add(own));
                    }
                }
            },
        )?;
        let norms = norms.into_inner().unwrap_or_default();
        let better = |best: usize, at: usize| if norms[at].rank() > norms[best].rank() { at } else { best };
        let best = (0..norms.len()).fold(0, better);
        Ok([best / across, best % across])
    }

    /// Writes the components of the given phases.
    pub fn sample<T: Element>(
        &self,
        x: &View<'_, T>,
        phases: &[Phase],
        y: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let steps = self.sampled(x.strides());
        let rows = Rows::new(&self.inside(y.shape(), [&steps, y.strides()]));
        let bases = |sample: usize| {
            let first = self.base(sample, x.strides()) + self.first(phases[sample], x.strides());
            [first, self.base(sample, y.strides())]
        };
        rows.copy(self.samples(), &bases, x.raw(), y.raw(), parallel)
    }

    /// Writes the cotangent of `x`: that of the result in the component that was chosen, 0 elsewhere.
    #[cfg(feature = "python")]
    pub fn transposed<T: Element>(
        &self,
        dy: &View<'_, T>,
        phases: &[Phase],
        dx: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        dx.fill(T::default());
        let steps = self.sampled(dx.strides());
        let rows = Rows::new(&self.inside(dy.shape(), [dy.strides(), &steps]));
        let bases = |sample: usize| {
            let first = self.base(sample, dx.strides()) + self.first(phases[sample], dx.strides());
            [self.base(sample, dy.strides()), first]
        };
        rows.copy(self.samples(), &bases, dy.raw(), dx.raw(), parallel)
    }

    /// Strides of a component.
    fn sampled(&self, strides: &[isize]) -> Vec<isize> {
        let mut strides = strides.to_vec();
        for (&axis, &step) in self.axes.iter().zip(&self.stride) {
            strides[axis] *= step as isize;
        }
        strides
    }
}

/// Two axes continued by their first cells, so that windows at stride 1 go round.
#[cfg(feature = "python")]
#[derive(Clone, Debug)]
pub(crate) struct Wrap {
    pub solved: Solved,
    axes: [usize; 2],
    more: [usize; 2],
}

#[cfg(feature = "python")]
impl Wrap {
    /// For windows of as many cells as the stride of a sampling.
    pub fn before(sampling: &Sampling) -> Result<Self> {
        let (shape, axes, more) = (sampling.solved.shape(), sampling.axes, sampling.stride.map(|step| step - 1));
        let mut output_shape = shape.to_vec();
        for (axis, more) in axes.into_iter().zip(more) {
            let rule =
                || PoolError::value("x", format!("an array of shape {}", Shape(shape)), "is too large to go round");
            output_shape[axis] = shape[axis].checked_add(more).ok_or_else(rule)?;
        }
        Ok(Self { solved: Solved::of_shapes(shape, output_shape)?, axes, more })
    }

    /// The parts that the longer array is made of: the rows of each, and where it begins there.
    fn parts(&self, shorter: &[isize], longer: &[isize], from_shorter: bool) -> Vec<(Rows, isize)> {
        let part = |beyond: [bool; 2]| {
            let (mut shape, mut first) = (self.solved.shape().to_vec(), 0);
            for ((&axis, &more), beyond) in self.axes.iter().zip(&self.more).zip(beyond) {
                if beyond {
                    first += shape[axis] as isize * longer[axis];
                    shape[axis] = more;
                }
            }
            let steps = |at: usize| if from_shorter { [shorter[at], longer[at]] } else { [longer[at], shorter[at]] };
            let axes: Vec<Axis> = (0..shape.len()).map(|at| Axis { at, len: shape[at], steps: steps(at) }).collect();
            (Rows::new(&axes), first)
        };
        [[false, false], [false, true], [true, false], [true, true]].map(part).into()
    }

    pub fn wrap<T: Element>(&self, x: &View<'_, T>, y: &ViewMut<'_, T>, parallel: &Parallel<'_>) -> Result<()> {
        for (rows, first) in self.parts(x.strides(), y.strides(), true) {
            rows.copy(1, &|_| [0, first], x.raw(), y.raw(), parallel)?;
        }
        Ok(())
    }

    /// Writes the cotangent of `x`. Parts are added one after the other. Where one component was sampled, at most one of the
    /// cotangents of a cell is not 0, so that a sum is exact even in half precision.
    pub fn transposed<T: Element>(&self, dy: &View<'_, T>, dx: &ViewMut<'_, T>, parallel: &Parallel<'_>) -> Result<()> {
        for (place, (rows, first)) in self.parts(dx.strides(), dy.strides(), false).into_iter().enumerate() {
            let write = if place == 0 { Rows::copy } else { Rows::add };
            write(&rows, 1, &|_| [first, 0], dy.raw(), dx.raw(), parallel)?;
        }
        Ok(())
    }
}

/// An axis of two arrays.
#[derive(Clone, Copy)]
struct Axis {
    /// Its number.
    at: usize,
    len: usize,
    /// The distance of neighbours in the array that is read and in the one that is written.
    steps: [isize; 2],
}

/// Boxes of cells in two arrays, walked through in runs along the axis that is the fastest in the second.
struct Rows {
    outer: Vec<Axis>,
    along: Axis,
}

/// Cells beside each other along an axis.
struct Run<'a> {
    offsets: [isize; 2],
    steps: [isize; 2],
    len: usize,
    /// Which axis it runs along, and the place of its first cell there.
    axis: usize,
    start: usize,
    /// Its places along the other axes.
    places: &'a [(usize, usize)],
}

impl Run<'_> {
    /// The place of the first cell along an axis.
    fn place(&self, axis: usize) -> usize {
        self.places.iter().find(|place| place.0 == axis).map_or(self.start, |place| place.1)
    }
}

impl Rows {
    fn new(axes: &[Axis]) -> Self {
        let steps: Vec<isize> = axes.iter().map(|axis| axis.steps[1]).collect();
        let mut outer: Vec<Axis> = fastest_last(&steps).into_iter().map(|place| axes[place]).collect();
        let along = outer.pop().unwrap_or(Axis { at: 0, len: 1, steps: [1; 2] });
        Self { outer, along }
    }

    /// Cells of a box.
    fn cells(&self) -> usize {
        self.outer.iter().map(|axis| axis.len).product::<usize>() * self.along.len
    }

    /// Takes every run of every box, which begin at `bases`, to `work`.
    fn run<S: Default>(
        &self,
        boxes: usize,
        bases: &(dyn Fn(usize) -> [isize; 2] + Sync),
        parallel: &Parallel<'_>,
        work: impl Fn(&mut S, &Run<'_>) -> Result<()> + Sync,
        done: impl Fn(S) + Sync,
    ) -> Result<()> {
        let Axis { at, len, steps } = self.along;
        let (rows, parts) = (self.outer.iter().map(|axis| axis.len).product::<usize>(), len.div_ceil(RUN));
        let count = boxes * rows * parts;
        let group = (TASK_CELLS / len.clamp(1, RUN)).max(1);
        let task = |state: &mut S, task: usize| {
            let mut places = Vec::with_capacity(self.outer.len());
            for index in task * group..count.min((task + 1) * group) {
                let (mut rest, start) = (index / parts, index % parts * RUN);
                let mut inside = steps.map(|step| start as isize * step);
                places.clear();
                for axis in self.outer.iter().rev() {
                    let place = rest % axis.len;
                    rest /= axis.len;
                    places.push((axis.at, place));
                    inside = [0, 1].map(|of| inside[of] + place as isize * axis.steps[of]);
                }
                let base = bases(rest);
                let offsets = [base[0] + inside[0], base[1] + inside[1]];
                work(state, &Run { offsets, steps, len: RUN.min(len - start), axis: at, start, places: &places })?;
            }
            Ok(())
        };
        let traffic = count.saturating_mul(len.min(RUN)).saturating_mul(16);
        parallel.run(count.div_ceil(group), traffic, S::default, task, done)
    }

    /// Copies the cells of every box.
    fn copy<T: Element>(
        &self,
        boxes: usize,
        bases: &(dyn Fn(usize) -> [isize; 2] + Sync),
        from: Raw<T>,
        into: Raw<T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let copy = |buffer: &mut Vec<T>, run: &Run<'_>| {
            reserve(buffer, RUN)?;
            let cells = &mut buffer[..run.len];
            from.gather(run.offsets[0], run.steps[0], cells, |cell| cell);
            into.scatter(run.offsets[1], run.steps[1], cells.len(), |j| cells[j]);
            Ok(())
        };
        self.run(boxes, bases, parallel, copy, drop)
    }

    /// Adds the cells of every box to those that are there.
    #[cfg(feature = "python")]
    fn add<T: Element>(
        &self,
        boxes: usize,
        bases: &(dyn Fn(usize) -> [isize; 2] + Sync),
        from: Raw<T>,
        into: Raw<T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let add = |[one, other]: &mut [Vec<f64>; 2], run: &Run<'_>| {
            reserve(one, RUN)?;
            reserve(other, RUN)?;
            let (one, other) = (&mut one[..run.len], &mut other[..run.len]);
            from.gather(run.offsets[0], run.steps[0], one, T::to_f64);
            into.gather(run.offsets[1], run.steps[1], other, T::to_f64);
            into.scatter(run.offsets[1], run.steps[1], one.len(), |j| T::from_f64(one[j] + other[j]));
            Ok(())
        };
        self.run(boxes, bases, parallel, add, drop)
    }
}
