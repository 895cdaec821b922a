//! Blur pooling: a binomial filter along each of two axes, then every so many-th result (Zhang, "Making Convolutional Networks
//! Shift-Invariant Again", 2019).
//!
//! The map is linear and the same in every plane, so its gradient is its transposed map, which is written here beside it. A
//! task owns parts of rows of what is written, and reads what it needs: the rows under each other are summed first, then
//! the positions of the line that is left. That order is the same for every array, however it lies in memory.

mod axis;
mod map;
mod walk;

use ndarray::{ArrayD, ArrayView, Dimension};

use self::axis::Axis;
use super::gradient::{expect_float, expect_shape};
use super::planes::spatial_axes;
use super::solved::{Solved, zeros};
use crate::element::Element;
use crate::error::{PoolError, Result};
use crate::parallel::Parallel;
use crate::strided::{View, ViewMut};

pub use self::axis::Border;
pub(crate) use self::map::Blurring;

/// The largest filter.
const MOST: usize = 7;

/// Blur pooling over two axes.
///
/// ```
/// use ndarray::array;
/// use ndpool::{BlurPool, Border};
///
/// let x = array![[0.0, 4.0, 0.0, 0.0], [4.0, 8.0, 4.0, 0.0], [0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]];
/// let y = BlurPool::new(3).border(Border::Zero).blur(&x.view())?;
/// assert_eq!(y, array![[1.5, 1.5], [1.5, 1.5]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BlurPool {
    filter: usize,
    stride: [usize; 2],
    border: Border,
    axes: Option<[usize; 2]>,
}

impl BlurPool {
    /// Blurs by a filter of the given size, 2 to 7, and keeps every second result along each axis.
    #[must_use]
    pub fn new(filter: usize) -> Self {
        Self { filter, stride: [2; 2], border: Border::default(), axes: None }
    }

    /// Sets the step between results.
    #[must_use]
    pub fn stride(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Sets what stands beyond the border: `(filter - 1) / 2` cells before each axis, and `filter / 2` behind it.
    #[must_use]
    pub fn border(mut self, border: Border) -> Self {
        self.border = border;
        self
    }

    /// Sets the axes of a plane; the last two otherwise.
    #[must_use]
    pub fn axes(mut self, axes: [usize; 2]) -> Self {
        self.axes = Some(axes);
        self
    }

    /// Solves the operation for an array of the given shape: all checks happen here.
    pub(crate) fn solve(&self, shape: &[usize]) -> Result<Blurring> {
        if !(2..=MOST).contains(&self.filter) {
            return Err(PoolError::value("filter_size", self.filter, format!("must be from 2 to {MOST}")));
        }
        if let Some(&zero) = self.stride.iter().find(|&&stride| stride == 0) {
            return Err(PoolError::value("stride", zero, "must be at least 1"));
        }
        let places = spatial_axes(self.axes.as_ref().map(|axes| &axes[..]), 2, shape)?;
        let axis = |place: usize| {
            let (axis, given) = places[place];
            let (len, stride) = (shape[axis], self.stride[given]);
            let (filter, border) = (self.filter, self.border);
            // The padding is one less than the filter, so that there are as many windows as with no filter at all.
            Axis { at: axis, len, out: (len - 1) / stride + 1, stride, filter, border }
        };
        let (rows, columns) = (axis(0), axis(1));
        let mut output_shape = shape.to_vec();
        output_shape[rows.at] = rows.out;
        output_shape[columns.at] = columns.out;
        Ok(Blurring { solved: Solved::of_shapes(shape, output_shape)?, rows, columns })
    }

    /// The shape of the result for an array of the given shape.
    ///
    /// # Errors
    /// [`PoolError::Value`] if the filter or a stride has no such size, or an axis does not exist, is given twice or has no
    /// cell.
    pub fn output_shape(&self, shape: &[usize]) -> Result<Vec<usize>> {
        Ok(self.solve(shape)?.solved.output_shape().to_vec())
    }

    /// The blurred array, sampled: floats keep their type, integers give `f64`. Sums are in `f64`.
    ///
    /// # Errors
    /// As [`BlurPool::output_shape`].
    pub fn blur<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T::Mean>> {
        let call = self.solve(x.shape())?;
        let mut y = zeros(call.solved.output_shape())?;
        let (x, place) = (View::from(x), ViewMut::from(&mut y));
        call.blur((&x.raw(), x.strides()), (&place.raw(), place.strides()), &Parallel::default())?;
        Ok(y)
    }

    /// The transposed map, for arrays of the given shape: what a cotangent of the result gives to each cell.
    ///
    /// # Errors
    /// As [`BlurPool::output_shape`]; [`PoolError::Value`] if `dy` has not the shape of the result, [`PoolError::Type`] for
    /// integers.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::BlurPool;
    ///
    /// let dx = BlurPool::new(3).transposed(&array![[16.0]].view(), &[2, 2])?;
    /// assert_eq!(dx, array![[4.0, 4.0], [4.0, 4.0]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn transposed<T: Element, D: Dimension>(&self, dy: &ArrayView<'_, T, D>, shape: &[usize]) -> Result<ArrayD<T>> {
        expect_float::<T>()?;
        let call = self.solve(shape)?;
        expect_shape("dy", dy.shape(), call.solved.output_shape())?;
        let mut dx = zeros(shape)?;
        let (dy, place) = (View::from(dy), ViewMut::from(&mut dx));
        call.transposed((&dy.raw(), dy.strides()), (&place.raw(), place.strides()), &Parallel::default())?;
        Ok(dx)
    }
}
