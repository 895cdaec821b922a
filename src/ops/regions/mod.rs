//! Pooling of regions: boxes of an image, each cut into bins, as in torchvision and ONNX.
//!
//! Two questions tell the four operations apart: what a bin looks at (whole cells, or points between them), and whether
//! each bin has channels of its own. [`boxes`] answers the first, axis by axis; [`frame`] the second, as a matter of where
//! channels begin and how far apart they are. [`forward`] brings cells in and takes results out, and [`lanes`] has the
//! inner loops.

mod boxes;
mod forward;
mod frame;
mod gradient;
mod lanes;

use ndarray::{ArrayD, ArrayView, Dimension};

use self::boxes::{Cover, Grid, Merge};
use self::forward::Forward;
use self::frame::{Frame, Strides};
use self::gradient::Winners;
use self::lanes::{Lane, LargestCell, LargestTerm, Reduction, Sums};
use super::gradient::{Differentiable, Pullback, expect_float};
use super::solved::{Solved, zeros};
use crate::element::{Element, Kind};
use crate::engine::{Reader, Writer};
use crate::error::{PoolError, Result, Shape};
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

pub(crate) use self::boxes::Boxes;
pub(crate) use self::gradient::RegionMap;

/// The most points along an axis of a bin that can be asked for.
const MOST_POINTS: u64 = 1024;
/// Bins of more cells along an axis than these are summed in `f64`, so that errors stay as small as those of a few cells.
const SHORT: usize = 64;

/// What is computed of a bin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    /// The largest of its cells, or if it is position-sensitive their mean.
    Pool,
    /// The mean of points, or their largest term.
    Align { ratio: u64, half_pixel: bool, largest: bool },
}

/// Pooling of boxes in the images of an array of shape `(N, C, H, W)`, to bins of a fixed number.
///
/// Boxes are rows of five numbers: the index of the image, and the corners `x1, y1, x2, y2`.
///
/// ```
/// use ndarray::{Array, array};
/// use ndpool::Regions;
///
/// let x = Array::range(0.0, 16.0, 1.0).into_shape_with_order((1, 1, 4, 4)).unwrap();
/// let boxes = array![[0.0, 0.0, 0.0, 3.0, 3.0]];
/// let largest = Regions::pool([2, 2]).apply(&x.view(), &boxes.view())?;
/// assert_eq!(largest, array![[[[5.0, 7.0], [13.0, 15.0]]]].into_dyn());
/// let mean = Regions::align([2, 2]).apply(&x.view(), &boxes.view())?;
/// assert_eq!(mean, array![[[[3.75, 5.25], [9.75, 11.25]]]].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Regions {
    method: Method,
    bins: [usize; 2],
    scale: f64,
    sensitive: bool,
    channels_last: bool,
}

/// A pooling of regions solved for one shape.
#[derive(Clone, Debug)]
pub(crate) struct RegionCall {
    pub solved: Solved,
    method: Method,
    /// Batch, channel, height and width among the axes of both arrays.
    axes: [usize; 4],
    frame: Frame,
}

impl Regions {
    fn new(method: Method, bins: [usize; 2]) -> Self {
        Self { method, bins, scale: 1.0, sensitive: false, channels_last: false }
    }

    /// The largest cell of each bin, corners rounded to cells: `roi_pool`. A bin without a cell is 0.
    #[must_use]
    pub fn pool(output_size: [usize; 2]) -> Self {
        Self::new(Method::Pool, output_size)
    }

    /// The mean of points in each bin, interpolated between cells: `roi_align`. Points outside of the image are 0.
    #[must_use]
    pub fn align(output_size: [usize; 2]) -> Self {
        Self::new(Method::Align { ratio: 0, half_pixel: false, largest: false }, output_size)
    }

    /// Sets the number that corners are multiplied with.
    #[must_use]
    pub fn spatial_scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the number of points along each axis of a bin; 0 for as many as a bin is long in cells, rounded up.
    #[must_use]
    pub fn sampling_ratio(mut self, points: u64) -> Self {
        if let Method::Align { ratio, .. } = &mut self.method {
            *ratio = points;
        }
        self
    }

    /// Sets whether the centre of the first cell is at a half, as it should be, and boxes may be smaller than a cell.
    #[must_use]
    pub fn aligned(mut self, aligned: bool) -> Self {
        if let Method::Align { half_pixel, .. } = &mut self.method {
            *half_pixel = aligned;
        }
        self
    }

    /// Sets whether the result of an alignment is not the mean, but the largest product of a cell and its weight: ONNX's
    /// `RoiAlign` of mode `max`.
    #[must_use]
    pub fn largest(mut self, maximum: bool) -> Self {
        if let Method::Align { largest, .. } = &mut self.method {
            *largest = maximum;
        }
        self
    }

    /// Gives each bin channels of its own: with `oh * ow` bins, bin `(i, j)` of channel `c` of the result is that of channel
    /// `(c * oh + i) * ow + j` of the array. Cells are then averaged and not compared, the last corner is no part of a box, and
    /// points are those of [`Regions::aligned`].
    ///
    /// ```
    /// use ndarray::{Array, array};
    /// use ndpool::Regions;
    ///
    /// let x = Array::range(0.0, 64.0, 1.0).into_shape_with_order((1, 4, 4, 4)).unwrap();
    /// let y = Regions::pool([2, 2]).position_sensitive().apply(&x.view(), &array![[0, 0, 0, 3, 3]].view())?;
    /// assert_eq!(y, array![[[[2.5, 19.5], [38.5, 55.5]]]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    #[must_use]
    pub fn position_sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Sets whether channels are the last axis, of both arrays.
    #[must_use]
    pub fn channels_last(mut self, last: bool) -> Self {
        self.channels_last = last;
        self
    }

    /// Whether the result is a cell of the array, and so of its type.
    pub(crate) fn chooses(&self) -> bool {
        self.method == Method::Pool && !self.sensitive
    }

    /// Solves the operation for an array of the given shape and element type: all checks but those of boxes happen here.
    pub(crate) fn solve<T: Element>(&self, shape: &[usize], boxes: Boxes) -> Result<RegionCall> {
        let axes = if self.channels_last { [0, 3, 1, 2] } else { [0, 1, 2, 3] };
        let images = Self::images(shape)?;
        let [_, channels, height, width] = axes.map(|axis| shape[axis]);
        let array = || format!("an array of shape {}", Shape(shape));
        if height == 0 || width == 0 {
            return Err(PoolError::value("x", array(), "has an empty spatial axis: a pooled axis needs a cell"));
        }
        if !self.scale.is_finite() {
            return Err(PoolError::value("spatial_scale", self.scale, "must be finite"));
        }
        if self.bins.contains(&0) {
            return Err(PoolError::value("output_size", 0, "must be at least 1"));
        }
        if let Method::Align { ratio, .. } = self.method
            && ratio > MOST_POINTS
        {
            return Err(PoolError::value("sampling_ratio", ratio, format!("must be at most {MOST_POINTS}")));
        }
        let mut channels_out = channels;
        if self.sensitive {
            let parts = self.bins[0].checked_mul(self.bins[1]).filter(|parts| channels.is_multiple_of(*parts));
            let Some(parts) = parts else {
                let rule = format!("must have a multiple of {} * {} channels", self.bins[0], self.bins[1]);
                return Err(PoolError::value("x", array(), rule));
            };
            channels_out = channels / parts;
        }
        let mut output_shape = vec![0; 4];
        for (axis, len) in axes.into_iter().zip([boxes.len(), channels_out, self.bins[0], self.bins[1]]) {
            output_shape[axis] = len;
        }
        let (cover, merge) = match self.method {
            Method::Pool => (Cover::Cells { inclusive: !self.sensitive }, Merge::Sum),
            Method::Align { ratio, half_pixel, largest } => {
                let half_pixel = half_pixel || self.sensitive;
                let cover = Cover::Points { ratio, half_pixel, at_least_a_cell: !half_pixel };
                (cover, if largest { Merge::Extremes } else { Merge::Sum })
            }
        };
        let single = T::KIND == Kind::Float && size_of::<T>() <= 4;
        let grid = |cells, step, bins| Grid { cover, merge, scale: self.scale, cells, step, bins, single };
        let (rows, columns) = (grid(height, width, self.bins[0]), grid(width, 1, self.bins[1]));
        let frame = Frame {
            images,
            channels: [channels, channels_out],
            lens: [height, width],
            bins: self.bins,
            rows,
            columns,
            sensitive: self.sensitive,
            order: boxes.by_image()?,
            boxes,
        };
        Ok(RegionCall { solved: Solved::of_shapes(shape, output_shape)?, method: self.method, axes, frame })
    }

    /// How many images an array of the given shape has.
    pub(crate) fn images(shape: &[usize]) -> Result<usize> {
        if let &[images, _, _, _] = shape {
            return Ok(images);
        }
        let array = format!("an array of shape {}", Shape(shape));
        Err(PoolError::value("x", array, "must have 4 axes: batch, channels, height and width"))
    }

    fn expect_type<T: Element>(&self) -> Result<()> {
        if self.chooses() || T::KIND == Kind::Float {
            return Ok(());
        }
        Err(PoolError::wrong_type("x", format!("an array of {}", T::NAME), "must be of floats: a mean is no integer"))
    }

    /// The bins of all boxes, `(K, C, oh, ow)` for `K` boxes. Boxes may be of any real type.
    ///
    /// # Errors
    /// [`PoolError::Value`] if `x` is not of four axes or has an empty image, boxes are not rows of five finite numbers that
    /// begin with the index of an image, there is no bin, or channels cannot be shared out; [`PoolError::Type`] for the mean of
    /// integers, which is none.
    pub fn apply<T: Element, B: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        boxes: &ArrayView<'_, B, E>,
    ) -> Result<ArrayD<T>> {
        self.expect_type::<T>()?;
        let call = self.solve::<T>(x.shape(), Boxes::of(boxes, Self::images(x.shape())?)?)?;
        let mut y = zeros(call.solved.output_shape())?;
        call.run(&View::from(x), &ViewMut::from(&mut y), &Parallel::default())?;
        Ok(y)
    }

    /// [`Regions::apply`] and the map of its gradient in `x`.
    ///
    /// # Errors
    /// As [`Regions::apply`]; [`PoolError::Type`] for integers, which have no gradient.
    ///
    /// ```
    /// use ndarray::{Array, array};
    /// use ndpool::Regions;
    ///
    /// let x = Array::range(0.0, 9.0, 1.0).into_shape_with_order((1, 1, 3, 3)).unwrap();
    /// let (y, pullback) = Regions::pool([1, 1]).vjp(&x.view(), &array![[0, 0, 0, 1, 1]].view())?;
    /// let dx = pullback.pull(&y.view())?;
    /// assert_eq!(dx, array![[[[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn vjp<T: Element, B: Element, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        boxes: &ArrayView<'_, B, E>,
    ) -> Result<(ArrayD<T>, Pullback<T>)> {
        expect_float::<T>()?;
        let call = self.solve::<T>(x.shape(), Boxes::of(boxes, Self::images(x.shape())?)?)?;
        let mut y = zeros(call.solved.output_shape())?;
        let map = call.record(&View::from(x), &ViewMut::from(&mut y), &Parallel::default())?;
        Ok((y, Pullback::new(Differentiable::Region(map))))
    }
}

impl RegionCall {
    /// Strides by batch, channel, height and width.
    fn strides(&self, strides: &[isize]) -> Strides {
        self.axes.map(|axis| strides[axis])
    }

    /// Whether no cells are summed, but one wins.
    fn chooses(&self) -> bool {
        match self.method {
            Method::Pool => !self.frame.sensitive,
            Method::Align { largest, .. } => largest,
        }
    }

    /// Whether `f32` is wide enough.
    fn is_single(&self) -> bool {
        let frame = &self.frame;
        let few = |axis: usize| match self.method {
            Method::Align { ratio, .. } if ratio > 0 && 2 * ratio as usize <= SHORT => true,
            _ => frame.lens[axis] / frame.bins[axis] <= SHORT,
        };
        frame.rows.single && (self.chooses() || few(0) && few(1))
    }

    /// Writes the result.
    pub fn run<T: Element, Y: Element>(
        &self,
        x: &View<'_, T>,
        y: &ViewMut<'_, Y>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        self.reduce(x, y, None, parallel)
    }

    /// Writes the result, and the winners where they are wanted.
    fn reduce<T: Element, Y: Element>(
        &self,
        x: &View<'_, T>,
        y: &ViewMut<'_, Y>,
        winners: Option<&mut Winners>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let (from, into) = (x.raw(), y.raw());
        let strides = (self.strides(x.strides()), self.strides(y.strides()));
        let pool = self.method == Method::Pool && !self.frame.sensitive;
        if pool && T::KIND != Kind::Float {
            let zero = Whole::<T>::ZERO;
            return self.forward(
                &LargestCell,
                zero,
                (&Whole(from), strides.0),
                (&Whole(into), strides.1),
                None,
                parallel,
            );
        }
        if self.is_single() {
            let (x, y) = ((&from as &dyn Reader<f32>, strides.0), (&into as &dyn Writer<f32>, strides.1));
            return self.forward(self.reduction(), 0.0, x, y, winners, parallel);
        }
        let (x, y) = ((&from as &dyn Reader<f64>, strides.0), (&into as &dyn Writer<f64>, strides.1));
        self.forward(self.reduction(), 0.0, x, y, winners, parallel)
    }

    /// Writes the result; returns the map of the gradient.
    pub fn record<T: Element>(
        &self,
        x: &View<'_, T>,
        y: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<RegionMap> {
        let mut winners = None;
        if self.chooses() {
            winners = Some(Winners::new(&self.solved, &self.frame, self.method != Method::Pool)?);
        }
        self.reduce(x, y, winners.as_mut(), parallel)?;
        Ok(RegionMap::new(self.clone(), winners))
    }

    fn reduction<W: Lane>(&self) -> &'static dyn Reduction<W> {
        match self.method {
            Method::Align { largest: true, .. } => &LargestTerm,
            Method::Pool if !self.frame.sensitive => &LargestCell,
            _ => &Sums,
        }
    }

    fn forward<W: Lane>(
        &self,
        reduction: &dyn Reduction<W>,
        zero: W,
        x: (&dyn Reader<W>, Strides),
        y: (&dyn Writer<W>, Strides),
        winners: Option<&mut Winners>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let winners = winners.map(Winners::raw);
        Forward { frame: &self.frame, reduction, zero, extreme: self.chooses(), x, y, winners }.run(parallel)
    }
}

/// Integers in an order of 64 bits: those without a sign with their top bit flipped.
struct Whole<T>(Raw<T>);

impl<T: Element> Whole<T> {
    const ZERO: i64 = if matches!(T::KIND, Kind::Unsigned) { i64::MIN } else { 0 };
}

impl<T: Element> Reader<i64> for Whole<T> {
    fn read(&self, offset: isize, stride: isize, into: &mut [i64]) {
        self.0.gather(offset, stride, into, |value| value.to_i64() ^ Self::ZERO);
    }
}

impl<T: Element> Writer<i64> for Whole<T> {
    fn write(&self, offset: isize, stride: isize, values: &[i64]) {
        self.0.scatter(offset, stride, values.len(), |at| T::from_i64(values[at] ^ Self::ZERO));
    }
}
