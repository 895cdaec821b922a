//! Rows reduced to segments: by the id of each row's segment, in any order, or by where each segment begins.
//!
//! Rows are first grouped by their segment ([`groups`]). Then the rows are read once, in that order, and reduced in blocks
//! ([`fold`]) to a few lines of numbers for each segment ([`states`]), from which the result follows, and its derivative
//! ([`map`]).

mod fold;
mod groups;
mod map;
mod rows;
mod states;

use ndarray::{ArrayD, ArrayView, Dimension};

use self::fold::{Sink, States, fold};
use self::rows::OwnedTable;
use self::states::{Floats, Reduction, Whole};
use super::gradient::{expect_float, expect_shape};
use super::solved::{Solved, zeros};
use crate::element::{Element, Kind};
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

pub(crate) use self::groups::Groups;
pub(crate) use self::map::SegmentMap;
pub(crate) use self::rows::{Rows, RowsMut, Table};
pub use self::states::SegmentMode;

/// Pooling of the rows of an array, which are its places along the first axis, to segments.
///
/// ```
/// use ndarray::array;
/// use ndpool::{SegmentMode, SegmentPool};
///
/// let x = array![[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]];
/// let pool = SegmentPool::by_ids(&[1, 0, 1], None)?;
/// assert_eq!(pool.max(&x.view())?, array![[2.0, 6.0], [3.0, 7.0]].into_dyn());
/// assert_eq!(pool.pool(&x.view(), SegmentMode::Mean)?, array![[2.0, 6.0], [2.0, 6.0]].into_dyn());
/// assert_eq!(SegmentPool::by_offsets(&[0, 1, 3], 3)?.sum(&x.view())?, array![[1.0, 5.0], [5.0, 13.0]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SegmentPool {
    groups: Groups,
    fill_value: Option<f64>,
}

impl SegmentPool {
    /// Segments by the id of each row, in any order. There are as many as are given, or as the largest id asks for.
    ///
    /// # Errors
    /// [`PoolError::Value`] if an id is not below the number of segments.
    pub fn by_ids(ids: &[usize], segments: Option<usize>) -> Result<Self> {
        Ok(Self { groups: Groups::of_ids(ids, segments, &Parallel::default())?, fill_value: None })
    }

    /// Segments of neighbouring rows, by where each begins, and where the last one ends, which is the number of rows.
    ///
    /// # Errors
    /// [`PoolError::Value`] if offsets descend, do not begin with 0 or do not end with the number of rows.
    pub fn by_offsets(offsets: &[usize], rows: usize) -> Result<Self> {
        Ok(Self { groups: Groups::of_offsets(offsets, rows)?, fill_value: None })
    }

    /// Sets the result of segments without a row. Otherwise it is 0 for sums and NaN for all else, which integers lack.
    #[must_use]
    pub fn fill_value(mut self, value: f64) -> Self {
        self.fill_value = Some(value);
        self
    }

    /// The largest cell of each segment: the first NaN, if there is one.
    ///
    /// # Errors
    /// [`PoolError::Value`] if `x` has not as many rows, or is of integers and a segment has none.
    pub fn max<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        self.any(x, SegmentMode::Max)
    }

    /// The smallest cell of each segment: the first NaN, if there is one.
    ///
    /// # Errors
    /// As [`SegmentPool::max`].
    pub fn min<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        self.any(x, SegmentMode::Min)
    }

    /// The sum of each segment: floats keep their type, integers give 64 bits, modulo 2^64.
    ///
    /// # Errors
    /// [`PoolError::Value`] if `x` has not as many rows.
    pub fn sum<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T::Total>> {
        self.any(x, SegmentMode::Sum)
    }

    /// Any mode, in floats: floats keep their type, integers give `f64`.
    ///
    /// # Errors
    /// [`PoolError::Value`] if `x` has not as many rows.
    pub fn pool<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        mode: SegmentMode,
    ) -> Result<ArrayD<T::Mean>> {
        self.any(x, mode)
    }

    /// The gradient in `x` of a mode, from the cotangent of its result.
    ///
    /// # Errors
    /// [`PoolError::Value`] if `x` has not as many rows or `dy` not the shape of the result, [`PoolError::Type`] for integers.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{SegmentMode, SegmentPool};
    ///
    /// let pool = SegmentPool::by_ids(&[1, 0, 1], None)?;
    /// let x = array![4.0, 2.0, 3.0];
    /// let dx = pool.gradient(&x.view(), SegmentMode::Max, &array![1.0, 10.0].view())?;
    /// assert_eq!(dx, array![10.0, 1.0, 0.0].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn gradient<T: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        mode: SegmentMode,
        dy: &ArrayView<'_, T, E>,
    ) -> Result<ArrayD<T>> {
        expect_float::<T>()?;
        let call = Segmenting::new(x.shape(), self.groups.clone(), mode)?;
        expect_shape("dy", dy.shape(), call.solved.output_shape())?;
        let mut y = zeros::<T>(call.solved.output_shape())?;
        let mut dx = zeros::<T>(x.shape())?;
        let (x, dy) = (View::from(x), View::from(dy));
        let map = call.record(&x, &table_mut(&ViewMut::from(&mut y)), 0.0, &Parallel::default())?;
        map.pull(&table(&dy), &table_mut(&ViewMut::from(&mut dx)), &Parallel::default())?;
        Ok(dx)
    }

    fn any<T: Element, Y: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        mode: SegmentMode,
    ) -> Result<ArrayD<Y>> {
        let call = Segmenting::new(x.shape(), self.groups.clone(), mode)?;
        let fill = match self.fill_value {
            Some(value) => Y::from_f64(value),
            None if mode == SegmentMode::Sum => Y::default(),
            None if Y::KIND == Kind::Float => Y::from_f64(f64::NAN),
            None => call.expect_rows(Y::NAME).map(|()| Y::default())?,
        };
        let mut y = zeros::<Y>(call.solved.output_shape())?;
        let (x, into, parallel) = (View::from(x), table_mut(&ViewMut::from(&mut y)), Parallel::default());
        let kind = if Y::KIND == Kind::Float { Kind::Float } else { T::KIND };
        match call.whole(kind) {
            Some(whole) => call.fold(&whole, &table(&x), &into, fill.to_i64(), &parallel)?,
            None => call.fold(&call.floats(false), &table(&x), &into, fill.to_f64(), &parallel)?,
        }
        Ok(y)
    }
}

/// The rows of an array.
pub(crate) fn table<T: Element>(array: &View<'_, T>) -> Table<T> {
    Table::new(array.raw(), array.shape(), array.strides())
}

/// The rows of an array, to write.
pub(crate) fn table_mut<T: Element>(array: &ViewMut<'_, T>) -> Table<T> {
    Table::new(array.raw(), array.shape(), array.strides())
}

/// A reduction to segments, solved for one shape.
pub(crate) struct Segmenting {
    pub solved: Solved,
    groups: Groups,
    lanes: usize,
    mode: SegmentMode,
}

impl Segmenting {
    pub fn new(shape: &[usize], groups: Groups, mode: SegmentMode) -> Result<Self> {
        let refuse = |rule: String| PoolError::value("x", format!("an array of shape {}", Shape(shape)), rule);
        let Some((&rows, inside)) = shape.split_first() else {
            return Err(refuse("has no axis, and its rows are places along the first".to_owned()));
        };
        if rows != groups.rows() {
            return Err(refuse(format!("must have as many rows as there are ids, {}", groups.rows())));
        }
        let output_shape = [&[groups.segments()], inside].concat();
        let lanes = inside.iter().product();
        Ok(Self { solved: Solved::of_shapes(shape, output_shape)?, groups, lanes, mode })
    }

    /// Refuses segments without a row, whose value a dtype cannot hold.
    pub fn expect_rows(&self, dtype: &str) -> Result<()> {
        let Some(empty) = self.groups.first_empty() else { return Ok(()) };
        let rule = format!("must be a number: segment {empty} has no row, and {dtype} has no NaN");
        Err(PoolError::value("fill_value", "None", rule))
    }

    /// How cells of a kind are reduced, if they are integers and stay such.
    pub fn whole(&self, kind: Kind) -> Option<Whole> {
        let flip = if kind == Kind::Unsigned { i64::MIN } else { 0 };
        match self.mode {
            _ if kind == Kind::Float => None,
            SegmentMode::Sum => Some(Whole::Sum),
            SegmentMode::Max => Some(Whole::Max(flip)),
            SegmentMode::Min => Some(Whole::Min(flip)),
            _ => None,
        }
    }

    /// How cells are reduced as floats; for a gradient with the places of extremes.
    pub fn floats(&self, placed: bool) -> Floats {
        let placed = placed && matches!(self.mode, SegmentMode::Max | SegmentMode::Min);
        Floats { mode: self.mode, placed }
    }

    /// Writes the results; `fill` is that of segments without a row.
    pub fn fold<V: Copy + Default + Send + Sync>(
        &self,
        reduction: &impl Reduction<V>,
        x: &dyn Rows<V>,
        y: &dyn RowsMut<V>,
        fill: V,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        self.keep(reduction, x, &Sink { y, fill, kept: None }, parallel)
    }

    fn keep<V: Copy + Default + Send + Sync>(
        &self,
        reduction: &impl Reduction<V>,
        x: &dyn Rows<V>,
        sink: &Sink<'_, V>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let read = |block: &fold::Block<'_>, into: &mut [V]| {
            x.read(block.rows, &block.lanes, into);
            Ok(())
        };
        fold(&self.groups, self.lanes, reduction, &read, sink, parallel)
    }

    /// Writes the results, and returns the derivative.
    pub fn record<T: Element>(
        self,
        x: &View<'_, T>,
        y: &dyn RowsMut<f64>,
        fill: f64,
        parallel: &Parallel<'_>,
    ) -> Result<SegmentMap> {
        let of = self.floats(true);
        let copy = || -> Result<Box<dyn Rows<f64>>> {
            let order: Vec<usize> = (0..x.shape().len()).collect();
            Ok(Box::new(OwnedTable::new(x.in_order(&order)?, x.shape()[0], self.lanes)))
        };
        let cells = if of.reads_cells() { Some(copy()?) } else { None };
        let mut states = SegmentMap::room(&self.groups, self.lanes, of)?;
        let (lines, lanes) = (of.lines(), self.lanes);
        let kept = (!states.is_empty()).then(|| States { place: Raw::of(&mut states), lines, lanes });
        self.keep(&of, &table(x), &Sink { y, fill, kept }, parallel)?;
        Ok(SegmentMap { solved: self.solved, groups: self.groups, lanes: self.lanes, of, states, x: cells })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, array};

    use super::*;

    #[test]
    fn segments_that_lie_in_several_blocks_are_put_together() {
        let n = 40_000;
        let x = Array2::from_shape_fn((n, 3), |(row, lane)| ((row * 7 + lane * 3) % 101) as f64);
        let offsets = [0, 5, 30_000, 30_000, n];
        let pool = SegmentPool::by_offsets(&offsets, n).unwrap();
        let sums = pool.sum(&x.view()).unwrap();
        let deviations = pool.pool(&x.view(), SegmentMode::Std).unwrap();
        for segment in 0..4 {
            for lane in 0..3 {
                let cells = x.slice(ndarray::s![offsets[segment]..offsets[segment + 1], lane]);
                assert_eq!(sums[[segment, lane]], cells.sum());
                if segment != 2 {
                    let mean = cells.sum() / cells.len() as f64;
                    let variance = cells.fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / cells.len() as f64;
                    assert!((deviations[[segment, lane]] - variance.sqrt()).abs() < 1e-10);
                }
            }
        }
        assert!(deviations[[2, 0]].is_nan());
    }

    #[test]
    fn integers_stay_exact() {
        let x = array![u64::MAX, 1, u64::MAX - 1];
        let pool = SegmentPool::by_ids(&[0, 1, 0], None).unwrap();
        assert_eq!(pool.max(&x.view()).unwrap(), array![u64::MAX, 1].into_dyn());
        assert_eq!(pool.min(&x.view()).unwrap(), array![u64::MAX - 1, 1].into_dyn());
        assert_eq!(pool.sum(&x.view()).unwrap(), array![u64::MAX - 2, 1].into_dyn());
        let empty = SegmentPool::by_ids(&[0, 2, 0], None).unwrap();
        assert!(empty.max(&x.view()).is_err());
        assert_eq!(empty.fill_value(7.0).max(&x.view()).unwrap(), array![u64::MAX, 7, 1].into_dyn());
    }

    #[test]
    fn gradients_are_derivatives() {
        let x = Array1::from_iter([0.5, -2.0, 0.25, 1.5, 3.0]);
        let pool = SegmentPool::by_ids(&[1, 0, 1, 1, 0], None).unwrap();
        let dy = array![0.75, -2.0];
        for mode in [
            SegmentMode::Sum,
            SegmentMode::Mean,
            SegmentMode::Max,
            SegmentMode::Min,
            SegmentMode::Std,
            SegmentMode::LogMeanExp,
            SegmentMode::Softmax,
        ] {
            let dx = pool.gradient(&x.view(), mode, &dy.view()).unwrap();
            for row in 0..x.len() {
                let at = |step: f64| {
                    let mut x = x.clone();
                    x[row] += step;
                    let y = pool.pool(&x.view(), mode).unwrap();
                    y[0] * dy[0] + y[1] * dy[1]
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((dx[row] - slope).abs() < 1e-8, "{mode:?} {row}: {} {slope}", dx[row]);
            }
        }
    }
}
