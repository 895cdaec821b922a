//! Unpooling: every value back to the cell of the larger plane that its index names; cells without a value are 0.
//!
//! A plane's indices are copied, checked and used from the copy, since another thread may write their array meanwhile.
//! Where a result is new, all that happens plane by plane while the plane is in cache, and an index that is refused leaves
//! nothing behind. Where it is the caller's, all planes are checked before. Where a derivative is wanted, or an index must not
//! be repeated, they are checked into the table of the derivative's [`IndexMap`], and values are placed by that.

mod sides;

use ndarray::{ArrayD, ArrayView, Dimension};

use self::sides::Sides;
use super::gradient::{Differentiable, Pullback, expect_float};
use super::indexed::{IndexMap, Larger, with_cells};
use super::indices::{Given, Indices, Kept};
use super::planes::{Planes, spatial_axes};
use super::solved::{Solved, zeros};
use crate::element::{Element, Kind};
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

/// What a cell holds whose index is given more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The last value, in C order of the plane that is unpooled.
    #[default]
    Last,
    /// Their sum: floats in `f64`, integers modulo 2 to the number of their bits.
    Sum,
    /// The largest; the first NaN wins.
    Max,
    /// An index that is repeated is an error.
    Error,
}

/// The partial inverse of max pooling, over any axes.
///
/// ```
/// use ndarray::array;
/// use ndpool::{Pool, Unpool};
///
/// let x = array![[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]];
/// let (y, indices) = Pool::blocks(&[2, 2]).max_with_indices(&x.view())?;
/// let back = Unpool::new(&[2, 2]).unpool(&y.view(), &indices.view())?;
/// assert_eq!(back, array![[0.0, 0.0, 5.0, 0.0], [4.0, 0.0, 0.0, 0.0]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Unpool {
    kernel: Vec<usize>,
    stride: Option<Vec<usize>>,
    padding: Option<Vec<usize>>,
    output_size: Option<Vec<usize>>,
    axes: Option<Vec<usize>>,
    duplicates: Duplicates,
}

/// An unpooling solved for one shape.
pub(crate) struct Unpooling {
    pub solved: Solved,
    axes: Vec<usize>,
    duplicates: Duplicates,
}

impl Unpool {
    /// Undoes a pooling by windows of the given sizes, with a stride of as many.
    #[must_use]
    pub fn new(kernel: &[usize]) -> Self {
        Self {
            kernel: kernel.to_vec(),
            stride: None,
            padding: None,
            output_size: None,
            axes: None,
            duplicates: Duplicates::default(),
        }
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(mut self, stride: &[usize]) -> Self {
        self.stride = Some(stride.to_vec());
        self
    }

    /// Sets the padding, on either side.
    #[must_use]
    pub fn padding(mut self, padding: &[usize]) -> Self {
        self.padding = Some(padding.to_vec());
        self
    }

    /// Sets the size of the larger plane, less than a stride away from `(len - 1) * stride - 2 * padding + kernel`, which it
    /// is otherwise.
    ///
    /// ```
    /// # use ndpool::Unpool;
    /// let unpool = Unpool::new(&[2]);
    /// assert_eq!(unpool.output_shape(&[3, 4])?, [3, 8]);
    /// assert_eq!(unpool.output_size(&[9]).output_shape(&[3, 4])?, [3, 9]);
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn output_size(mut self, size: &[usize]) -> Self {
        self.output_size = Some(size.to_vec());
        self
    }

    /// Sets the axes of a plane, one for each window; the last ones otherwise.
    #[must_use]
    pub fn axes(mut self, axes: &[usize]) -> Self {
        self.axes = Some(axes.to_vec());
        self
    }

    /// Sets what a cell holds whose index is given more than once.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Duplicates, Unpool};
    ///
    /// let (x, indices) = (array![5, 1], array![3, 3]);
    /// let unpool = |duplicates| Unpool::new(&[2]).duplicates(duplicates).unpool(&x.view(), &indices.view());
    /// assert_eq!(unpool(Duplicates::Last)?, array![0, 0, 0, 1].into_dyn());
    /// assert_eq!(unpool(Duplicates::Sum)?, array![0, 0, 0, 6].into_dyn());
    /// assert!(unpool(Duplicates::Error).is_err());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Solves the operation for an array of the given shape: all checks but those of the indices happen here.
    pub(crate) fn solve(&self, shape: &[usize]) -> Result<Unpooling> {
        let n = self.kernel.len();
        let stride = self.stride.as_ref().unwrap_or(&self.kernel);
        let none = vec![0; n];
        let padding = self.padding.as_ref().unwrap_or(&none);
        for (argument, sizes) in
            [("stride", stride), ("padding", padding), ("output_size", self.output_size.as_ref().unwrap_or(&none))]
        {
            if sizes.len() != n {
                return Err(PoolError::value(argument, Shape(sizes), format!("must have {n} values")));
            }
        }
        let mut output_shape = shape.to_vec();
        let places = spatial_axes(self.axes.as_deref(), n, shape)?;
        for &(axis, j) in &places {
            for (argument, size) in [("kernel_size", self.kernel[j]), ("stride", stride[j])] {
                if size == 0 {
                    return Err(PoolError::value(argument, size, "must be at least 1"));
                }
            }
            // Products of numbers below 2^64 do not leave 128 bits.
            let (len, s) = (shape[axis] as i128, stride[j] as i128);
            let usual = (len - 1).saturating_mul(s).saturating_add(self.kernel[j] as i128) - 2 * padding[j] as i128;
            let size = self.output_size.as_ref().map_or(usual, |size| size[j] as i128);
            if self.output_size.is_some() && (size - usual).abs() >= s {
                let rule =
                    format!("of axis {axis} must be more than {} and less than {}", usual - s, usual.saturating_add(s));
                return Err(PoolError::value("output_size", size, rule));
            }
            if size < 1 {
                let (argument, value) =
                    if self.output_size.is_some() { ("output_size", size) } else { ("padding", padding[j] as i128) };
                let rule = format!("leaves {size} cells of axis {axis}, which needs at least 1");
                return Err(PoolError::value(argument, value, rule));
            }
            if size > isize::MAX as i128 {
                let rule = format!("makes {size} cells of axis {axis}, more than an array can hold");
                return Err(PoolError::value("stride", s, rule));
            }
            output_shape[axis] = size as usize;
        }
        let axes = places.iter().map(|place| place.0).collect();
        Ok(Unpooling { solved: Solved::of_shapes(shape, output_shape)?, axes, duplicates: self.duplicates })
    }

    /// The shape of the result for an array of the given shape.
    ///
    /// # Errors
    /// [`PoolError::Value`] if an axis does not exist, is given twice or has no cell, a size is zero or does not fit, or the
    /// output size is a stride or more away from the usual one.
    pub fn output_shape(&self, shape: &[usize]) -> Result<Vec<usize>> {
        Ok(self.solve(shape)?.solved.output_shape().to_vec())
    }

    /// The values at their cells. Indices are flat within the plane of the result, in C order of its axes.
    ///
    /// # Errors
    /// As [`Unpool::output_shape`]; [`PoolError::Value`] if the indices have another shape than `x`, one is not that of a
    /// cell, or one is repeated where that is an error; [`PoolError::Type`] if they are not integers.
    pub fn unpool<T: Element, I: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        indices: &ArrayView<'_, I, E>,
    ) -> Result<ArrayD<T>> {
        let call = self.solve(x.shape())?;
        let mut y = zeros(call.solved.output_shape())?;
        let indices = call.indices(&View::from(indices))?;
        call.place(&View::from(x), &indices, &ViewMut::from(&mut y), &Parallel::default())?;
        Ok(y)
    }

    /// [`Unpool::unpool`] and the map of its gradient: 0 for a value whose cell holds another.
    ///
    /// # Errors
    /// As [`Unpool::unpool`]; [`PoolError::Type`] for integers, which have no gradient.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::Unpool;
    ///
    /// let (x, indices) = (array![5.0, 1.0, 2.0], array![3, 3, 4]);
    /// let (y, pullback) = Unpool::new(&[2]).vjp(&x.view(), &indices.view())?;
    /// assert_eq!(y, array![0.0, 0.0, 0.0, 1.0, 2.0, 0.0].into_dyn());
    /// assert_eq!(pullback.pull(&array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0].view())?, array![0.0, 4.0, 5.0].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn vjp<T: Element, I: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        indices: &ArrayView<'_, I, E>,
    ) -> Result<(ArrayD<T>, Pullback<T>)> {
        expect_float::<T>()?;
        let call = self.solve(x.shape())?;
        let mut y = zeros(call.solved.output_shape())?;
        let indices = call.indices(&View::from(indices))?;
        let map = call.record(&View::from(x), &indices, &ViewMut::from(&mut y), &Parallel::default())?;
        Ok((y, Pullback::new(Differentiable::Index(map))))
    }
}

impl Unpooling {
    /// The indices of a call, if they are integers and of the right shape.
    pub fn indices<I: Element>(&self, indices: &View<'_, I>) -> Result<Given<I>> {
        if !matches!(I::KIND, Kind::Signed | Kind::Unsigned) {
            return Err(PoolError::wrong_type("indices", format!("an array of {}", I::NAME), "must be of integers"));
        }
        if indices.shape() != self.solved.shape() {
            let rule = format!("must have the shape of x, {}", Shape(self.solved.shape()));
            return Err(PoolError::value("indices", format!("an array of shape {}", Shape(indices.shape())), rule));
        }
        Ok(Given::new(indices, &self.axes))
    }

    /// Writes the result; after an error it may be written in part.
    pub fn place<T: Element>(
        &self,
        x: &View<'_, T>,
        indices: &dyn Indices,
        y: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let sides = self.sides(x, y);
        // A table without room, which says how wide numbers are.
        let map = IndexMap::new(&self.solved, &self.axes, Larger::Result, false)?;
        with_cells!(&map.cells, _cells: P => sides.place::<P>(indices, false, parallel))
    }

    /// Checks everything, then writes the result.
    #[cfg(feature = "python")]
    pub fn place_checked<T: Element>(
        &self,
        x: &View<'_, T>,
        indices: &dyn Indices,
        y: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        if self.duplicates == Duplicates::Error {
            return self.record(x, indices, y, parallel).map(drop);
        }
        let sides = self.sides(x, y);
        let map = IndexMap::new(&self.solved, &self.axes, Larger::Result, false)?;
        with_cells!(&map.cells, _cells: P => sides.look_through::<P>(indices, parallel)?);
        self.place(x, indices, y, parallel)
    }

    /// Checks everything, then writes the result; returns the map of the gradient.
    pub fn record<T: Element>(
        &self,
        x: &View<'_, T>,
        indices: &dyn Indices,
        y: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<IndexMap> {
        let sides = self.sides(x, y);
        let mut map = IndexMap::new(&self.solved, &self.axes, Larger::Result, true)?;
        with_cells!(&mut map.cells, cells: P => {
            sides.check::<P>(indices, Raw::of(cells), parallel)?;
            sides.place::<P>(&Kept::new(cells, sides.small.cells()), true, parallel)?;
        });
        Ok(map)
    }

    fn sides<T: Element>(&self, x: &View<'_, T>, y: &ViewMut<'_, T>) -> Sides<'_, T> {
        let small = Planes::new(x.shape(), x.strides(), &self.axes);
        let large = Planes::new(y.shape(), y.strides(), &self.axes);
        Sides { call: self, x: x.raw(), small, y: y.raw(), large }
    }
}
