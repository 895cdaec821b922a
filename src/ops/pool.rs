//! Pooling of any axes: the geometry of a call, and the operations that share it.

use ndarray::{ArrayD, ArrayView, ArrayViewMut, Dimension};

use super::extreme::{Second, extreme};
use super::gradient::{Differentiable, MeanMap, Pullback, RouteMap};
use super::solved::{Solved, zeros};
use super::sum::{Lowering, count, sum};
use crate::element::{Element, Kind};
use crate::engine::DivisorRule;
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::spans::{Bins, Spans};
use crate::strided::{View, ViewMut};
use crate::window::{Blocks, Boundary, Side, Window};

/// How one axis is pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Window(Window),
    Blocks(Blocks),
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
    divisor: Option<i64>,
    fill_value: Option<f64>,
    pub(super) omit_nan: bool,
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

    /// Pools blocks of the given sizes; what becomes of cells that fill no block is up to `boundary`, and where they are to
    /// `side`.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Boundary, Pool, Side};
    ///
    /// let pool = Pool::coarse(&[2], Boundary::Partial, Side::Right);
    /// assert_eq!(pool.max(&array![4, 7, 5].view())?, array![4, 7].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn coarse(factors: &[usize], boundary: Boundary, side: Side) -> Self {
        Self::of(factors.iter().map(|&factor| Extent::Blocks(Blocks { factor, boundary, side })).collect())
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
        Self { extents, axes: None, count_include_pad: false, divisor: None, fill_value: None, omit_nan: false }
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

    /// Sets the divisor of averages: not 0, and at most 2^53 either way.
    #[must_use]
    pub fn divisor(mut self, divisor: i64) -> Self {
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

    /// Leaves NaN out of [`Pool::statistic`] and [`Pool::choice`]. Windows of nothing else have the fill value, or NaN.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Pool, Statistic};
    ///
    /// let pool = Pool::blocks(&[2]).omit_nan(true);
    /// let y = pool.statistic(&array![4.0, f64::NAN, 1.0, 2.0].view(), &Statistic::Mean)?;
    /// assert_eq!(y, array![4.0, 1.5].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn omit_nan(mut self, omit: bool) -> Self {
        self.omit_nan = omit;
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
        let pooled = self.extents.len();
        let first = match &self.axes {
            Some(axes) if axes.len() == pooled => 0,
            Some(axes) => {
                let rule = format!("must name one axis for each of the {pooled} windows");
                return Err(PoolError::value("axis", Shape(axes), rule));
            }
            None => rank.checked_sub(pooled).ok_or_else(|| {
                let rule = format!("has fewer axes than the {pooled} that are pooled");
                PoolError::value("x", format!("an array of shape {}", Shape(shape)), rule)
            })?,
        };
        let mut spans = vec![None; rank];
        for (j, &extent) in self.extents.iter().enumerate() {
            let axis = self.axes.as_ref().map_or(first + j, |axes| axes[j]);
            if axis >= rank {
                return Err(PoolError::value("axis", axis, format!("is not an axis of an array of rank {rank}")));
            }
            if spans[axis].is_some() {
                return Err(PoolError::value("axis", axis, "is given twice"));
            }
            spans[axis] = Some(solve_extent(extent, shape[axis])?);
        }
        match self.divisor {
            Some(0) => return Err(PoolError::value("divisor_override", 0, "must not be zero")),
            Some(divisor) if divisor.unsigned_abs() > 1 << 53 => {
                return Err(PoolError::value("divisor_override", divisor, "must be at most 2**53"));
            }
            _ => {}
        }
        let rule = match self.divisor {
            Some(divisor) => DivisorRule::Fixed(divisor as f64),
            None if self.count_include_pad => DivisorRule::Padded,
            None => DivisorRule::Cells,
        };
        Solved::new(shape, spans, self.fill_value, rule)
    }

    /// The shape of the result for an array of the given shape.
    ///
    /// # Errors
    /// As [`Pool::solve`], but windows may be empty.
    pub fn output_shape(&self, shape: &[usize]) -> Result<Vec<usize>> {
        Ok(self.solve_axes(shape)?.output_shape().to_vec())
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
        filled(&solved, |y| extreme(&View::from(x), &solved, reversed, y, &Second::None, &Parallel::default()))
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
        let mut y = y;
        let y = solved.target(&mut y)?;
        extreme(&View::from(x), &solved, false, &y, &Second::None, &Parallel::default())?;
        solved.fill_empty(&y)
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
        let mut indices = zeros(solved.output_shape())?;
        let place = ViewMut::from(&mut indices);
        let second = Second::Indices(&place);
        let x = View::from(x);
        let y = filled(&solved, |y| extreme(&x, &solved, reversed, y, &second, &Parallel::default()))?;
        if solved.fill_value.is_some() {
            solved.fill(&place, -1, 1, &Parallel::default())?;
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
        let mut y = y;
        let y = solved.target(&mut y)?;
        sum(&View::from(x), &solved, Lowering::Mean(solved.rule), &y, &Parallel::default())?;
        solved.fill_empty(&y)
    }

    fn summed<T: Element, Y: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        lowering: impl Fn(&Solved) -> Lowering,
    ) -> Result<ArrayD<Y>> {
        let solved = self.solve(x.shape())?;
        filled(&solved, |y| sum(&View::from(x), &solved, lowering(&solved), y, &Parallel::default()))
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
        let x = View::from(x);
        let mut map = RouteMap::new::<T>(&solved, x.strides(), false)?;
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
        Extent::Blocks(blocks) => blocks.solve(len),
        _ if len == 0 => Err(empty()),
        Extent::Adaptive(size) if size > isize::MAX as usize => {
            Err(PoolError::value("output_size", size, "is more than an array can hold"))
        }
        Extent::Adaptive(len_out) => Ok(Spans::Bins(Bins { len_in: len, len_out })),
        Extent::Global => Ok(Spans::Bins(Bins { len_in: len, len_out: 1 })),
    }
}

/// A new array of the result's shape, filled by `fill`.
pub(super) fn filled<T: Element>(
    solved: &Solved,
    fill: impl FnOnce(&ViewMut<'_, T>) -> Result<()>,
) -> Result<ArrayD<T>> {
    let mut y = zeros(solved.output_shape())?;
    let place = ViewMut::from(&mut y);
    fill(&place)?;
    solved.fill_empty(&place)?;
    Ok(y)
}
