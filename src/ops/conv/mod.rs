//! Strided convolution, the downsampling that is learned: each result is the sum of a window's cells, of all channels of a
//! group, times the weights of its channel. As everywhere in neural networks the kernel is not flipped.
//!
//! Sums of products are no monoid of single cells, so this does not run on the engine. It shares the windows (and so the one
//! checked arithmetic of sizes), the arrays and the threads; the products of matrices are those of `matrixmultiply`, through
//! `ndarray`.

mod grid;
mod product;
mod taps;
mod weight;

use ndarray::{ArrayD, ArrayView, Dimension, IxDyn};

use self::grid::Strides;
use self::product::{Correlation, Term, WeightStrides};
use self::taps::Taps;
use self::weight::WeightGradient;
use super::gradient::expect_float;
use super::pool::Pool;
use super::solved::{Solved, zeros};
use crate::element::{Element, Real, is_wide, with_real};
use crate::engine::{Field, Writer};
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::spans::{Regular, Spans};
use crate::strided::{View, ViewMut};
use crate::window::Window;

/// A convolution over the last axes of `(N, C, *spatial)` or `(C, *spatial)`, with weights `(C_out, C / groups, *kernel)`.
///
/// ```
/// use ndarray::{Array4, array};
/// use ndpool::{Conv, Window};
///
/// let x = Array4::from_shape_fn((1, 1, 4, 4), |(_, _, i, j)| (4 * i + j) as f32);
/// let weight = Array4::from_elem((1, 1, 2, 2), 0.25);
/// let y = Conv::new(&[Window::new(2); 2]).run(&x.view(), &weight.view(), Some(&array![100.0].view()))?;
/// assert_eq!(y, array![[[[102.5, 104.5], [110.5, 112.5]]]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv {
    windows: Vec<Window>,
    groups: usize,
    channels_last: bool,
}

/// What [`Conv::gradient`] gives: the cotangents of all arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvGradient<T> {
    /// Of the input.
    pub x: ArrayD<T>,
    /// Of the weights.
    pub weight: ArrayD<T>,
    /// Of the bias.
    pub bias: ArrayD<T>,
}

/// A convolution solved for the shapes of its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    windows: Vec<Regular>,
    groups: usize,
    /// Axes of the input.
    batch: Option<usize>,
    channel: usize,
    spatial: usize,
    x_shape: Vec<usize>,
    weight_shape: Vec<usize>,
    output_shape: Vec<usize>,
}

impl Conv {
    /// A convolution by windows of the sizes of the kernel, one for each spatial axis. Padding holds zeros; the ceil mode of
    /// a window is that of pooling.
    #[must_use]
    pub fn new(windows: &[Window]) -> Self {
        Self { windows: windows.to_vec(), groups: 1, channels_last: false }
    }

    /// Cuts the channels into so many groups: results see the input's channels of their own group alone.
    ///
    /// ```
    /// use ndarray::{Array3, array};
    /// use ndpool::{Conv, Window};
    ///
    /// let (x, weight) = (array![[1, 2, 3], [4, 5, 6]], array![[[1, 1]], [[1, -1]]]);
    /// let each = Conv::new(&[Window::new(2).stride(1)]).groups(2).run(&x.view(), &weight.view(), None)?;
    /// assert_eq!(each, array![[3.0, 5.0], [-1.0, -1.0]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Expects, and gives, `(N, *spatial, C)` or `(*spatial, C)`; weights stay as they are.
    #[must_use]
    pub fn channels_last(mut self) -> Self {
        self.channels_last = true;
        self
    }

    /// Solves the operation for arguments of the given shapes: all checks happen here.
    pub(crate) fn solve(&self, x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<Convolution> {
        let (spatial, groups) = (self.windows.len(), self.groups);
        let array = |shape: &[usize]| format!("an array of shape {}", Shape(shape));
        if x.len() != spatial + 1 && x.len() != spatial + 2 {
            let rule = format!(
                "must have {} axes, or {} with a batch axis: channels and {spatial} spatial",
                spatial + 1,
                spatial + 2
            );
            return Err(PoolError::value("x", array(x), rule));
        }
        let batch = (x.len() == spatial + 2).then_some(0);
        let first = batch.map_or(0, |axis| axis + 1);
        let (channel, first) = if self.channels_last { (first + spatial, first) } else { (first, first + 1) };
        if weight.len() != spatial + 2 {
            let rule = format!("must have {} axes: (C_out, C_in / groups, *kernel)", spatial + 2);
            return Err(PoolError::value("weight", array(weight), rule));
        }
        if weight.contains(&0) {
            return Err(PoolError::value("weight", array(weight), "must have no axis of length 0"));
        }
        let cells = weight.iter().try_fold(1usize, |cells, &len| cells.checked_mul(len));
        if cells.is_none_or(|cells| cells > isize::MAX as usize / 8) {
            return Err(PoolError::value("weight", array(weight), "has more cells than memory can hold"));
        }
        if groups == 0 {
            return Err(PoolError::value("groups", groups, "must be at least 1"));
        }
        for (what, channels) in [("channels of x", x[channel]), ("channels of the result", weight[0])] {
            if channels % groups != 0 {
                return Err(PoolError::value("groups", groups, format!("must divide the {channels} {what}")));
            }
        }
        if weight[1] != x[channel] / groups {
            let rule = format!(
                "must have {} channels on axis 1: x has {}, in groups: {groups}",
                x[channel] / groups,
                x[channel]
            );
            return Err(PoolError::value("weight", array(weight), rule));
        }
        if let Some(bias) = bias
            && bias != [weight[0]]
        {
            let rule = format!("must have the shape ({},): one value for each channel of the result", weight[0]);
            return Err(PoolError::value("bias", array(bias), rule));
        }
        let mut output_shape = x.to_vec();
        output_shape[channel] = weight[0];
        let mut windows = Vec::with_capacity(spatial);
        for (j, window) in self.windows.iter().enumerate() {
            let Spans::Regular(window) = window.solve(x[first + j]).map_err(of_kernel)? else { continue };
            if window.kernel != weight[2 + j] {
                let rule = format!("must have a kernel of {} cells on axis {}, as its window", window.kernel, 2 + j);
                return Err(PoolError::value("weight", array(weight), rule));
            }
            output_shape[first + j] = window.len_out;
            windows.push(window);
        }
        let output_shape = Solved::of_shapes(x, output_shape)?.output_shape().to_vec();
        Ok(Convolution {
            windows,
            groups,
            batch,
            channel,
            spatial: first,
            x_shape: x.to_vec(),
            weight_shape: weight.to_vec(),
            output_shape,
        })
    }

    /// The shape of the result for an input and weights of the given shapes.
    ///
    /// # Errors
    /// [`PoolError::Value`] if a shape has another number of axes or an axis of length 0 (the batch may be empty), the
    /// channels do not fit, no window fits, or a number does not fit.
    pub fn output_shape(&self, x: &[usize], weight: &[usize]) -> Result<Vec<usize>> {
        Ok(self.solve(x, weight, None)?.output_shape)
    }

    /// The convolution, in `f64` for elements of more than 32 bits and for integers, in `f32` for others.
    ///
    /// # Errors
    /// As [`Conv::output_shape`]; [`PoolError::Value`] if the bias has another length than the result has channels.
    pub fn run<T: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        weight: &ArrayView<'_, T, E>,
        bias: Option<&ArrayView<'_, T, ndarray::Ix1>>,
    ) -> Result<ArrayD<T::Mean>> {
        let call = self.solve(x.shape(), weight.shape(), bias.map(ArrayView::shape))?;
        let mut y = zeros(&call.output_shape)?;
        let (x, weight, bias) = (View::from(x), View::from(weight), bias.map(View::from));
        with_real!(is_wide::<T>(), A => call.run_views::<A, T>(&x, &weight, bias.as_ref(), &ViewMut::from(&mut y))?);
        Ok(y)
    }

    /// The cotangents of the input, the weights and a bias, from that of the result.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Conv, Window};
    ///
    /// let conv = Conv::new(&[Window::new(2)]);
    /// let (x, weight) = (array![[1.0, 2.0, 3.0, 4.0]], array![[[10.0, 1.0]]]);
    /// let gradient = conv.gradient(&x.view(), &weight.view(), &array![[1.0, 2.0]].view())?;
    /// assert_eq!(gradient.x, array![[10.0, 1.0, 20.0, 2.0]].into_dyn());
    /// assert_eq!(gradient.weight, array![[[7.0, 10.0]]].into_dyn());
    /// assert_eq!(gradient.bias, array![3.0].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Conv::output_shape`]; [`PoolError::Value`] if `dy` has not the shape of the result; [`PoolError::Type`] for
    /// integers, which have no gradient.
    pub fn gradient<T: Element, D: Dimension, E: Dimension, F: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        weight: &ArrayView<'_, T, E>,
        dy: &ArrayView<'_, T, F>,
    ) -> Result<ConvGradient<T>> {
        expect_float::<T>()?;
        let call = self.solve(x.shape(), weight.shape(), None)?;
        if dy.shape() != call.output_shape {
            let rule = format!("must have the shape of the result, {}", Shape(&call.output_shape));
            return Err(PoolError::value("dy", format!("an array of shape {}", Shape(dy.shape())), rule));
        }
        let outputs = weight.shape()[0];
        let mut gradient = ConvGradient {
            x: zeros(x.shape())?,
            weight: zeros(weight.shape())?,
            bias: ArrayD::from_elem(IxDyn(&[outputs]), T::default()),
        };
        if let Some(total) = call.bias_total() {
            let bias = total.sum(dy)?;
            for (into, &sum) in gradient.bias.iter_mut().zip(&bias) {
                *into = T::from_f64(sum.to_f64());
            }
        }
        let (x, weight, dy) = (View::from(x), View::from(weight), View::from(dy));
        with_real!(is_wide::<T>(), A => call.pull_views::<A, T>(&x, &weight, &dy, &mut gradient)?);
        Ok(gradient)
    }
}

/// An error of a window, in words of a convolution.
fn of_kernel(error: PoolError) -> PoolError {
    match error {
        PoolError::Value { argument: "kernel_size", value, rule } => {
            PoolError::value("weight", format!("a kernel of {value}"), rule)
        }
        PoolError::Value { argument: "kernel_size, stride, padding and dilation", value, rule } => {
            PoolError::value("stride, padding and dilation", format!("with kernel first, {value}"), rule)
        }
        error => error,
    }
}

impl Convolution {
    /// The sum of cotangents that is that of the bias; none if there is no cotangent.
    pub fn bias_total(&self) -> Option<Pool> {
        let axes: Vec<usize> = (0..self.output_shape.len()).filter(|&axis| axis != self.channel).collect();
        let empty = self.output_shape.contains(&0);
        (!empty).then(|| Pool::global(axes.len()).axes(&axes))
    }

    fn groups_of(&self) -> (usize, usize) {
        (self.weight_shape[1], self.weight_shape[0] / self.groups)
    }

    /// The strides of the input or the result, whose groups have so many channels.
    fn strides(&self, strides: &[isize], channels: usize) -> Strides {
        let batch = self.batch.map(|axis| strides[axis]);
        let spatial = &strides[self.spatial..self.spatial + self.windows.len()];
        Strides { channel: strides[self.channel], channels, axes: batch.iter().chain(spatial).copied().collect() }
    }

    /// The strides of the weights, for results that are those of the convolution.
    fn weights(&self, strides: &[isize]) -> WeightStrides {
        let (_, outputs) = self.groups_of();
        WeightStrides {
            group: outputs as isize * strides[0],
            output: strides[0],
            input: strides[1],
            axes: self.kernel_strides(strides),
        }
    }

    /// One for each axis of the grid: the batch has no weights.
    fn kernel_strides(&self, strides: &[isize]) -> Vec<isize> {
        self.batch.iter().map(|_| 0).chain(strides[2..].iter().copied()).collect()
    }

    /// The axes of the grid, given those of the windows.
    fn axes(&self, windows: impl Iterator<Item = Taps>) -> Vec<Taps> {
        self.batch.iter().map(|&axis| Taps::through(self.x_shape[axis])).chain(windows).collect()
    }

    /// Writes the sum of some convolutions, and of a bias.
    pub fn run<'a, A: Real>(
        &self,
        terms: &[(Field<'a, A>, Field<'a, A>)],
        bias: Option<Field<'a, A>>,
        y: (&'a dyn Writer<A>, &[isize]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let (inputs, outputs) = self.groups_of();
        let term = |&(x, weight): &(Field<'a, A>, Field<'a, A>)| Term {
            x,
            strides: self.strides(x.strides, inputs),
            weight,
            weights: self.weights(weight.strides),
        };
        let correlation = Correlation {
            groups: self.groups,
            axes: self.axes(self.windows.iter().map(Taps::forward)),
            terms: terms.iter().map(term).collect(),
            bias,
            y: y.0,
            y_strides: self.strides(y.1, outputs),
        };
        correlation.run(parallel)
    }

    /// Writes the cotangent of the input, which holds zeros.
    pub fn pull_x<A: Real>(
        &self,
        dy: Field<'_, A>,
        weight: Field<'_, A>,
        dx: (&dyn Writer<A>, &[isize]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let (inputs, outputs) = self.groups_of();
        // The correlation goes the other way: from channels of the result to those of the input.
        let forwards = self.weights(weight.strides);
        let weights = WeightStrides { output: forwards.input, input: forwards.output, ..forwards };
        let phases: Vec<Vec<Taps>> = self.windows.iter().map(Taps::transposed).collect();
        // An odometer over the phases of all axes.
        let mut at = vec![0; phases.len()];
        if phases.iter().any(Vec::is_empty) {
            return Ok(());
        }
        loop {
            let correlation = Correlation {
                groups: self.groups,
                axes: self.axes(at.iter().zip(&phases).map(|(&at, phases)| phases[at])),
                terms: vec![Term {
                    x: dy,
                    strides: self.strides(dy.strides, outputs),
                    weight,
                    weights: weights.clone(),
                }],
                bias: None,
                y: dx.0,
                y_strides: self.strides(dx.1, inputs),
            };
            correlation.run(parallel)?;
            let Some(axis) = (0..at.len()).rev().find(|&axis| at[axis] + 1 < phases[axis].len()) else { return Ok(()) };
            at[axis] += 1;
            at[axis + 1..].fill(0);
        }
    }

    /// Writes the cotangent of the weights.
    pub fn pull_weight<A: Real>(
        &self,
        x: Field<'_, A>,
        dy: Field<'_, A>,
        dw: (&dyn Writer<f64>, &[isize]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let (inputs, outputs) = self.groups_of();
        let gradient = WeightGradient {
            groups: self.groups,
            axes: self.axes(self.windows.iter().map(Taps::forward)),
            x,
            x_strides: self.strides(x.strides, inputs),
            dy,
            dy_strides: self.strides(dy.strides, outputs),
            dw: dw.0,
            dw_strides: self.weights(dw.1),
        };
        gradient.run(parallel)
    }

    fn run_views<A: Real, T: Element>(
        &self,
        x: &View<'_, T>,
        weight: &View<'_, T>,
        bias: Option<&View<'_, T>>,
        y: &ViewMut<'_, T::Mean>,
    ) -> Result<()> {
        let readers = (x.raw(), weight.raw(), bias.map(View::raw));
        let term = (
            Field { reader: &readers.0, strides: x.strides() },
            Field { reader: &readers.1, strides: weight.strides() },
        );
        let bias = readers.2.as_ref().zip(bias);
        let bias = bias.map(|(reader, bias)| Field { reader, strides: bias.strides() } as Field<'_, A>);
        self.run(&[term], bias, (&y.raw(), y.strides()), &Parallel::default())
    }

    fn pull_views<A: Real, T: Element>(
        &self,
        x: &View<'_, T>,
        weight: &View<'_, T>,
        dy: &View<'_, T>,
        gradient: &mut ConvGradient<T>,
    ) -> Result<()> {
        let readers = (x.raw(), weight.raw(), dy.raw());
        let x: Field<'_, A> = Field { reader: &readers.0, strides: x.strides() };
        let weight = Field { reader: &readers.1, strides: weight.strides() };
        let dy = Field { reader: &readers.2, strides: dy.strides() };
        let (dx, dw) = (ViewMut::from(&mut gradient.x), ViewMut::from(&mut gradient.weight));
        self.pull_x(dy, weight, (&dx.raw(), dx.strides()), &Parallel::default())?;
        self.pull_weight(x, dy, (&dw.raw(), dw.strides()), &Parallel::default())
    }
}

#[cfg(feature = "python")]
impl Convolution {
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    pub fn x_shape(&self) -> &[usize] {
        &self.x_shape
    }

    /// Products of a call: the work that it is.
    pub fn products(&self) -> usize {
        let position = self.weight_shape[1..].iter().product::<usize>();
        self.output_shape.iter().fold(position, |products, &len| products.saturating_mul(len))
    }

    /// Whether some cells of the input take part in no window, so that [`Convolution::pull_x`] writes nothing there.
    pub fn leaves_out(&self) -> bool {
        let all = |window: &Regular| Taps::transposed(window).len() == window.stride.min(window.len_in);
        !self.windows.iter().all(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where only a bias moves, the tangent of the result is that of the bias.
    #[test]
    fn a_sum_of_no_terms_is_the_bias() {
        for last in [false, true] {
            let (x, conv) = ([2, 3, 7, 5], Conv::new(&[Window::new(3).stride(2).padding(1, 1); 2]));
            let (x, conv) = if last { ([2, 7, 5, 3], conv.channels_last()) } else { (x, conv) };
            let call = conv.solve(&x, &[4, 3, 3, 3], Some(&[4])).unwrap();
            let (mut y, bias) = (zeros::<f64>(&call.output_shape).unwrap(), ndarray::array![1.0, -2.0, 3.0, 0.5]);
            let (place, given) = (ViewMut::from(&mut y), View::from(&bias));
            let reader = given.raw();
            let bias_of_call = Some(Field { reader: &reader, strides: given.strides() } as Field<'_, f64>);
            call.run(&[], bias_of_call, (&place.raw(), place.strides()), &Parallel::default()).unwrap();
            let channel = if last { 3 } else { 1 };
            assert!(y.indexed_iter().all(|(index, &value)| value == bias[index[channel]]));
        }
    }
}
