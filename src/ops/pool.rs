//! Pooling of any axes: the geometry of a call, and the operations that share it.

use ndarray::{ArrayD, ArrayView, ArrayViewMut, Dimension, IxDyn};

use super::extreme::{Second, extreme};
use super::gradient::{Differentiable, MeanMap, Pullback, RouteMap};
use super::sum::{Lowering, count, sum};
use crate::element::{Element, Kind};
use crate::engine::{AxisRequest, DivisorRule, Plan};
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::spans::{Bins, Spans};
use crate::strided::{View, ViewMut};
use crate::window::Window;

/// How one axis is pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Window(Window),
    Adaptive(usize),
    Global,
}

/// A pooling operation over any axes of an array: what is pooled, not yet by which mode.
///
/// The axes are the last ones of the array unless [`Pool::axes`] says otherwise; every other axis is passed through.
///
/// ```
/// use ndarray::array;
/// use ndpool::Pool;
///
/// let x = array![[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]];
/// let pool = Pool::blocks(&[2, 2]);
/// assert_eq!(pool.max(&x.view())?, array![[4.0, 5.0]].into_dyn());
/// assert_eq!(pool.avg(&x.view())?, array![[1.75, 2.75]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pool {
    extents: Vec<Extent>,
    axes: Option<Vec<usize>>,
    count_include_pad: bool,
    divisor: Option<usize>,
    fill_value: Option<f64>,
}

impl Pool {
    /// Pools with one window for each axis.
    #[must_use]
    pub fn windows(windows: &[Window]) -> Self {
        Self::of(windows.iter().copied().map(Extent::Window).collect())
    }

    /// Pools blocks of the given sizes that do not overlap; cells that fill no block are left out.
    #[must_use]
    pub fn blocks(sizes: &[usize]) -> Self {
        Self::of(sizes.iter().map(|&size| Extent::Window(Window::new(size))).collect())
    }

    /// Pools to the given output sizes: bin `o` of `m` on an axis of `n` covers `floor(o n / m) .. ceil((o + 1) n / m)`.
    #[must_use]
    pub fn adaptive(sizes: &[usize]) -> Self {
        Self::of(sizes.iter().map(|&size| Extent::Adaptive(size)).collect())
    }

    /// Pools the whole of so many axes; they stay, with length 1.
    #[must_use]
    pub fn global(axes: usize) -> Self {
        Self::of(vec![Extent::Global; axes])
    }

    fn of(extents: Vec<Extent>) -> Self {
        Self { extents, axes: None, count_include_pad: false, divisor: None, fill_value: None }
    }

    /// Sets the axes to pool, one for each window.
    #[must_use]
    pub fn axes(mut self, axes: &[usize]) -> Self {
        self.axes = Some(axes.to_vec());
        self
    }

    /// Lets padding count as cells in the divisor of averages.
    #[must_use]
    pub fn count_include_pad(mut self, include: bool) -> Self {
        self.count_include_pad = include;
        self
    }

    /// Sets the divisor of averages.
    #[must_use]
    pub fn divisor(mut self, divisor: usize) -> Self {
        self.divisor = Some(divisor);
        self
    }

    /// Sets the value of windows without a real cell, which are an error otherwise. Their index is -1, their gradient 0. An
    /// integer result takes the nearest integer toward zero that it can hold.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Pool, Window};
    ///
    /// let pool = Pool::windows(&[Window::new(2).padding(2, 0)]).fill_value(-1.0);
    /// assert_eq!(pool.max(&array![4, 7, 5].view())?, array![-1, 7].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn fill_value(mut self, value: f64) -> Self {
        self.fill_value = Some(value);
        self
    }

    /// Solves the operation for an array of the given shape: all checks happen here.
    ///
    /// # Errors
    /// [`PoolError::Value`] if an axis does not exist or is given twice, a size is zero or does not fit, or a window has no
    /// real cell.
    pub fn solve(&self, shape: &[usize]) -> Result<Solved> {
        let solved = self.solve_axes(shape)?;
        if self.fill_value.is_none() {
            solved.expect_cells()?;
        }
        Ok(solved)
    }

    fn solve_axes(&self, shape: &[usize]) -> Result<Solved> {
        let rank = shape.len();
        let axes = if let Some(axes) = &self.axes {
            axes.clone()
        } else {
            let first = rank.checked_sub(self.extents.len()).ok_or_else(|| {
                let rule = format!("has fewer axes than the {} that are pooled", self.extents.len());
                PoolError::value("x", format!("an array of shape {}", Shape(shape)), rule)
            })?;
            (first..rank).collect()
        };
        if axes.len() != self.extents.len() {
            let rule = format!("must name one axis for each of the {} windows", self.extents.len());
            return Err(PoolError::value("axis", Shape(&axes), rule));
        }
        let mut spans = vec![None; rank];
        for (&axis, &extent) in axes.iter().zip(&self.extents) {
            if axis >= rank {
                return Err(PoolError::value("axis", axis, format!("is not an axis of an array of rank {rank}")));
            }
            if spans[axis].is_some() {
                return Err(PoolError::value("axis", axis, "is given twice"));
            }
            spans[axis] = Some(solve_extent(extent, shape[axis])?);
        }
        if self.divisor == Some(0) {
            return Err(PoolError::value("divisor_override", 0, "must not be zero"));
        }
        let solved = Solved {
            shape: shape.to_vec(),
            spans,
            fill_value: self.fill_value,
            rule: match self.divisor {
                Some(divisor) => DivisorRule::Fixed(divisor as f64),
                None if self.count_include_pad => DivisorRule::Padded,
                None => DivisorRule::Cells,
            },
        };
        solved.expect_fit()?;
        Ok(solved)
    }

    /// The shape of the result for an array of the given shape.
    ///
    /// # Errors
    /// As [`Pool::solve`], but windows may be empty.
    pub fn output_shape(&self, shape: &[usize]) -> Result<Vec<usize>> {
        Ok(self.solve_axes(shape)?.output_shape())
    }

    /// The largest value of each window. The first NaN wins; of equal values, the first.
    ///
    /// # Errors
    /// As [`Pool::solve`]; [`PoolError::Memory`] if there is no memory for work buffers.
    pub fn max<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        self.extreme(x, false)
    }

    /// The smallest value of each window. The first NaN wins; of equal values, the first.
    ///
    /// # Errors
    /// As [`Pool::max`].
    pub fn min<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        self.extreme(x, true)
    }

    fn extreme<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>, reversed: bool) -> Result<ArrayD<T>> {
        let solved = self.solve(x.shape())?;
        filled(&solved, |y| extreme(&View::from(x.clone()), &solved, reversed, y, &Second::None, &Parallel::default()))
    }

    /// The largest value of each window, written to `y`.
    ///
    /// # Errors
    /// As [`Pool::max`], or `y` has another shape than [`Pool::output_shape`].
    pub fn max_into<T: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        y: ArrayViewMut<'_, T, E>,
    ) -> Result<()> {
        let solved = self.solve(x.shape())?;
        let y = solved.target(y)?;
        extreme(&View::from(x.clone()), &solved, false, &y, &Second::None, &Parallel::default())?;
        solved.fill_empty(&y);
        Ok(())
    }

    /// The largest value of each window and its flat index within the pooled axes.
    ///
    /// # Errors
    /// As [`Pool::max`].
    pub fn max_with_indices<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
    ) -> Result<(ArrayD<T>, ArrayD<i64>)> {
        self.extreme_with_indices(x, false)
    }

    /// The smallest value of each window and its flat index within the pooled axes.
    ///
    /// # Errors
    /// As [`Pool::max`].
    pub fn min_with_indices<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
    ) -> Result<(ArrayD<T>, ArrayD<i64>)> {
        self.extreme_with_indices(x, true)
    }

    fn extreme_with_indices<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        reversed: bool,
    ) -> Result<(ArrayD<T>, ArrayD<i64>)> {
        let solved = self.solve(x.shape())?;
        let mut indices = zeros(&solved.output_shape())?;
        let place = ViewMut::from(indices.view_mut());
        let second = Second::Indices(&place);
        let x = View::from(x.clone());
        let y = filled(&solved, |y| extreme(&x, &solved, reversed, y, &second, &Parallel::default()))?;
        if solved.fill_value.is_some() {
            solved.fill(&place, -1, 1);
        }
        Ok((y, indices))
    }

    /// The sum of each window: floats in `f64`, integers modulo 2^64.
    ///
    /// # Errors
    /// As [`Pool::max`].
    pub fn sum<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T::Total>> {
        self.summed(x, |_| Lowering::Sum)
    }

    /// The mean of each window: floats keep their type, others give `f64`.
    ///
    /// # Errors
    /// As [`Pool::max`].
    pub fn avg<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T::Mean>> {
        self.summed(x, |solved| Lowering::Mean(solved.rule))
    }

    /// The mean of each window, written to `y` of any element type; an integer type rounds half to even.
    ///
    /// # Errors
    /// As [`Pool::max`]; also if `y` has another shape than [`Pool::output_shape`], or is of integers and `x` of floats.
    pub fn avg_into<T: Element, Y: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        y: ArrayViewMut<'_, Y, E>,
    ) -> Result<()> {
        if T::KIND == Kind::Float && Y::KIND != Kind::Float || Y::KIND == Kind::Bool {
            return Err(PoolError::wrong_type("y", Y::NAME, format!("cannot hold the mean of {}", T::NAME)));
        }
        let solved = self.solve(x.shape())?;
        let y = solved.target(y)?;
        sum(&View::from(x.clone()), &solved, Lowering::Mean(solved.rule), &y, &Parallel::default())?;
        solved.fill_empty(&y);
        Ok(())
    }

    fn summed<T: Element, Y: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        lowering: impl Fn(&Solved) -> Lowering,
    ) -> Result<ArrayD<Y>> {
        let solved = self.solve(x.shape())?;
        filled(&solved, |y| sum(&View::from(x.clone()), &solved, lowering(&solved), y, &Parallel::default()))
    }

    /// The number of real cells of each window.
    ///
    /// # Errors
    /// As [`Pool::max`].
    pub fn count(&self, shape: &[usize]) -> Result<ArrayD<i64>> {
        let solved = self.solve(shape)?;
        filled(&solved, |y| count(&solved, y, &Parallel::default()))
    }

    /// [`Pool::max`] and the map of its gradient.
    ///
    /// # Errors
    /// As [`Pool::max`]; [`PoolError::Type`] for integers, which have no gradient.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::Pool;
    ///
    /// let x = array![[1.0f32, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]];
    /// let (y, pullback) = Pool::blocks(&[2, 2]).max_vjp(&x.view())?;
    /// let dx = pullback.pull(&y.view())?;
    /// assert_eq!(dx, array![[0.0, 0.0, 5.0, 0.0], [4.0, 0.0, 0.0, 0.0]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn max_vjp<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<(ArrayD<T>, Pullback<T>)> {
        self.extreme_vjp(x, false)
    }

    /// [`Pool::min`] and the map of its gradient.
    ///
    /// # Errors
    /// As [`Pool::max_vjp`].
    pub fn min_vjp<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<(ArrayD<T>, Pullback<T>)> {
        self.extreme_vjp(x, true)
    }

    fn extreme_vjp<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        reversed: bool,
    ) -> Result<(ArrayD<T>, Pullback<T>)> {
        let solved = self.solve(x.shape())?;
        let x = View::from(x.clone());
        let mut map = RouteMap::new::<T>(&solved, x.strides())?;
        let y = filled(&solved, |y| map.record(&x, reversed, y, &Parallel::default()))?;
        Ok((y, Pullback::new(Differentiable::Route(map))))
    }

    /// [`Pool::avg`] and the map of its gradient.
    ///
    /// # Errors
    /// As [`Pool::max_vjp`].
    pub fn avg_vjp<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<(ArrayD<T::Mean>, Pullback<T>)> {
        let solved = self.solve(x.shape())?;
        let lowering = Lowering::Mean(solved.rule);
        let map = MeanMap::new::<T>(&solved, lowering)?;
        Ok((self.avg(x)?, Pullback::new(Differentiable::Mean(map))))
    }

    /// [`Pool::sum`] and the map of its gradient.
    ///
    /// # Errors
    /// As [`Pool::max_vjp`].
    pub fn sum_vjp<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
    ) -> Result<(ArrayD<T::Total>, Pullback<T>)> {
        let solved = self.solve(x.shape())?;
        let map = MeanMap::new::<T>(&solved, Lowering::Sum)?;
        Ok((self.sum(x)?, Pullback::new(Differentiable::Mean(map))))
    }
}

fn solve_extent(extent: Extent, len: usize) -> Result<Spans> {
    let empty = || PoolError::value("x", "an axis of length 0", "cannot be pooled: a pooled axis needs a cell");
    match extent {
        Extent::Window(window) => window.solve(len),
        _ if len == 0 => Err(empty()),
        Extent::Adaptive(0) => Err(PoolError::value("output_size", 0, "must be at least 1")),
        Extent::Adaptive(size) if size > isize::MAX as usize => {
            Err(PoolError::value("output_size", size, "is more than an array can hold"))
        }
        Extent::Adaptive(len_out) => Ok(Spans::Bins(Bins { len_in: len, len_out })),
        Extent::Global => Ok(Spans::Bins(Bins { len_in: len, len_out: 1 })),
    }
}

/// An operation solved for one shape.
#[derive(Clone, Debug)]
pub struct Solved {
    shape: Vec<usize>,
    spans: Vec<Option<Spans>>,
    fill_value: Option<f64>,
    pub(crate) rule: DivisorRule,
}

impl Solved {
    /// The shape it was solved for.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape of the result.
    #[must_use]
    pub fn output_shape(&self) -> Vec<usize> {
        let len = |(&len, spans): (&usize, &Option<Spans>)| spans.as_ref().map_or(len, Spans::len_out);
        self.shape.iter().zip(&self.spans).map(len).collect()
    }

    pub(crate) fn spans(&self) -> &[Option<Spans>] {
        &self.spans
    }

    /// The product of the lengths of the pooled axes: one past the largest index.
    pub(crate) fn plane_cells(&self) -> usize {
        let pooled = self.shape.iter().zip(&self.spans).filter(|(_, spans)| spans.is_some());
        pooled.fold(1, |cells, (&len, _)| cells.saturating_mul(len))
    }

    /// The most cells of a window.
    pub(crate) fn window_cells(&self) -> usize {
        self.spans.iter().flatten().map(Spans::max_len).fold(1, usize::saturating_mul)
    }

    /// Refuses results that no array can hold.
    fn expect_fit(&self) -> Result<()> {
        let shape = self.output_shape();
        let cells = shape.iter().try_fold(1usize, |cells, &len| cells.checked_mul(len));
        if cells.is_none_or(|cells| cells > isize::MAX as usize / 8) {
            return Err(PoolError::value("output shape", Shape(&shape), "is more than an array can hold"));
        }
        Ok(())
    }

    /// Refuses windows without a real cell.
    fn expect_cells(&self) -> Result<()> {
        let empty = |spans: &Option<Spans>| spans.as_ref().is_some_and(Spans::any_empty);
        let Some(axis) = self.spans.iter().position(empty) else { return Ok(()) };
        let rule = format!("leaves a window of axis {axis} without a real cell: give fill_value, or pad less");
        Err(PoolError::value("padding", format!("on an axis of {} cells", self.shape[axis]), rule))
    }

    /// Writes the fill value, if there is one, to every output without a real cell.
    fn fill_empty<T: Element>(&self, y: &ViewMut<'_, T>) {
        if let Some(value) = self.fill_value {
            self.fill(y, T::from_f64(value), 1);
        }
    }

    /// Writes `value` to every output with fewer than `least` real cells.
    pub(crate) fn fill<T: Copy>(&self, y: &ViewMut<'_, T>, value: T, least: usize) {
        let lens = self.output_shape();
        let counts: Vec<Vec<usize>> = self
            .spans
            .iter()
            .zip(&lens)
            .map(|(spans, &len)| (0..len).map(|o| spans.as_ref().map_or(1, |spans| spans.at(o).len)).collect())
            .collect();
        if counts.iter().all(|counts| counts.iter().all(|&count| count >= least)) || lens.contains(&0) {
            return;
        }
        // An odometer over all outputs.
        let mut at = vec![0; lens.len()];
        loop {
            let cells = at.iter().zip(&counts).fold(1usize, |cells, (&o, counts)| cells.saturating_mul(counts[o]));
            if cells < least {
                let offset = at.iter().zip(y.strides()).map(|(&o, stride)| o as isize * stride).sum();
                y.raw().scatter(offset, 1, 1, |_| value);
            }
            let Some(axis) = (0..lens.len()).rev().find(|&axis| at[axis] + 1 < lens[axis]) else { return };
            at[axis] += 1;
            at[axis + 1..].fill(0);
        }
    }

    /// The plan of the forward pass.
    pub(crate) fn plan(&self, x: &[isize], y: [&[isize]; 2], divisor: DivisorRule, codes: bool) -> Plan {
        let axis = |j: usize| AxisRequest {
            spans: self.spans[j].clone(),
            len: self.shape[j],
            stride_in: x[j],
            strides_out: [y[0][j], y[1][j]],
            counts: self.spans[j].clone(),
        };
        Plan::new((0..self.shape.len()).map(axis).collect(), [DivisorRule::None, divisor], codes)
    }

    /// The plan of the gradient of a mean: cotangents, summed over transposed spans, and divided: where they come in, or if
    /// all divisors are the same, when they are summed.
    pub(crate) fn transposed_plan(&self, cotangents: &[isize], dx: &[isize], divisor: DivisorRule) -> Plan {
        let axis = |j: usize| AxisRequest {
            spans: self.spans[j].as_ref().map(Spans::transposed),
            len: self.spans[j].as_ref().map_or(self.shape[j], Spans::len_out),
            stride_in: cotangents[j],
            strides_out: [dx[j]; 2],
            counts: self.spans[j].clone(),
        };
        let divisors = match self.uniform_divisor(divisor) {
            Some(number) => [DivisorRule::None, DivisorRule::Fixed(number)],
            None => [divisor, DivisorRule::None],
        };
        Plan::new((0..self.shape.len()).map(axis).collect(), divisors, false)
    }

    /// The divisor of every window, if they have the same.
    fn uniform_divisor(&self, rule: DivisorRule) -> Option<f64> {
        let include_pad = match rule {
            DivisorRule::None => return None,
            DivisorRule::Fixed(divisor) => return Some(divisor),
            DivisorRule::Cells => false,
            DivisorRule::Padded => true,
        };
        let mut pooled = self.spans.iter().flatten();
        let count = |spans: &Spans| spans.uniform_count(include_pad).then(|| spans.count(0, include_pad) as f64);
        pooled.try_fold(1.0, |product, spans| Some(product * count(spans)?))
    }

    /// Checks the shape of a result array.
    fn target<'a, T: Copy, D: Dimension>(&self, y: ArrayViewMut<'a, T, D>) -> Result<ViewMut<'a, T>> {
        if y.shape() == self.output_shape() {
            return Ok(ViewMut::from(y));
        }
        let rule = format!("must have the shape of the result, {}", Shape(&self.output_shape()));
        Err(PoolError::value("y", format!("an array of shape {}", Shape(y.shape())), rule))
    }
}

/// A new array of the result's shape, filled by `fill`.
fn filled<T: Element>(solved: &Solved, fill: impl FnOnce(&ViewMut<'_, T>) -> Result<()>) -> Result<ArrayD<T>> {
    let mut y = zeros(&solved.output_shape())?;
    let place = ViewMut::from(y.view_mut());
    fill(&place)?;
    solved.fill_empty(&place);
    Ok(y)
}

/// A new array of zeros, or [`PoolError::Memory`].
pub(super) fn zeros<T: Copy + Default>(shape: &[usize]) -> Result<ArrayD<T>> {
    let len = shape.iter().product();
    let mut values = crate::error::try_vec(len)?;
    values.resize(len, T::default());
    let memory = |_| PoolError::Memory { bytes: len * size_of::<T>() };
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(memory)
}
