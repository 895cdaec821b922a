//! [`TokenPool`]: the tokens of a sample pooled into one by a fixed rule, channel by channel.

use ndarray::{ArrayD, ArrayView, ArrayViewD, Axis, Dimension};

use super::To;
use super::average::Average;
use super::call::numbers;
use super::choice::{Choose, Chosen};
use super::deviation::Deviation;
use super::samples::{Samples, with_samples};
use super::tokens::{Layout, Tokens};
use crate::element::{Element, Real, is_wide, with_real};
use crate::error::Result;
use crate::ops::gradient::expect_shape;
use crate::ops::pool::Pool;
use crate::ops::solved::zeros;
use crate::parallel::Parallel;
use crate::strided::{Raw, View, ViewMut};

/// What the tokens of a sample that take part are reduced to, channel by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenMode {
    /// Their mean.
    Mean,
    /// The largest value: the first NaN, if there is one; of equal ones, the first.
    Max,
    /// The first of them.
    Cls,
    /// The last of them.
    Last,
    /// Their mean with the place of each in the sample, from 1 on, as its weight.
    WeightedMean,
    /// Their sum, divided by the square root of their number.
    MeanSqrtLen,
    /// The standard deviation: the divisor is their number.
    Std,
}

impl TokenMode {
    /// Whether the result is one of the tokens for each channel, and so of their type.
    pub(crate) fn chooses(self) -> bool {
        matches!(self, Self::Max | Self::Cls | Self::Last)
    }

    /// Refuses what has more tokens than can be told apart, before a mask of as many is looked at.
    pub(crate) fn expect_few(self, x: &Samples) -> Result<()> {
        if self.chooses() && !x.shape.contains(&0) { Chosen::expect_few(x.shape[1]) } else { Ok(()) }
    }
}

/// Token pooling: the tokens of each sample reduced to one, channel by channel.
///
/// Tokens `x` have shape `(N, L, D)`, or `(L, D)` for one sample, and any element type; the result has shape `(N, D)`,
/// or `(D,)`. A sample in which no token takes part gives zeros.
///
/// ```
/// use ndarray::array;
/// use ndpool::{TokenMode, TokenPool};
///
/// let x = array![[[1.0, 6.0], [3.0, 2.0], [9.0, 9.0]]];
/// let mask = array![[true, true, false]];
/// let pool = TokenPool::new().mask(&mask.view());
/// assert_eq!(pool.pool(&x.view(), TokenMode::Mean)?, array![[2.0, 4.0]].into_dyn());
/// assert_eq!(pool.max(&x.view())?, array![[3.0, 6.0]].into_dyn());
/// assert_eq!(TokenPool::new().last(&array![[1u8, 2], [3, 4]].view())?, array![3u8, 4].into_dyn());
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokenPool<'a> {
    mask: Option<ArrayViewD<'a, bool>>,
}

impl<'a> TokenPool<'a> {
    /// Pools all tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which tokens take part, `(N, L)`, or what broadcasts to it. Others are never looked at.
    #[must_use]
    pub fn mask<D: Dimension>(mut self, mask: &ArrayView<'a, bool, D>) -> Self {
        self.mask = Some(mask.clone().into_dyn());
        self
    }

    /// The shape of the result for tokens of the given shape.
    ///
    /// # Errors
    /// [`PoolError::Value`](crate::PoolError::Value) if `x` has another number of axes or no token.
    pub fn output_shape(&self, x: &[usize]) -> Result<Vec<usize>> {
        Ok(Self::solve(x)?.1)
    }

    fn solve(x: &[usize]) -> Result<(Samples, Vec<usize>)> {
        let samples = Samples::new(x)?;
        Ok((samples, samples.result(&samples.shape[2..])?))
    }

    /// The largest value of each channel, in the type of the tokens: [`TokenMode::Max`].
    ///
    /// # Errors
    /// As [`TokenPool::output_shape`]; [`PoolError::Value`](crate::PoolError::Value) if the mask has another shape.
    pub fn max<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        if self.mask.is_some() {
            return self.any(x, TokenMode::Max);
        }
        // A maximum like others, where nobody asks which token it was.
        self.output_shape(x.shape())?;
        let axis = x.ndim() - 2;
        Ok(Pool::global(1).axes(&[axis]).max(x)?.index_axis_move(Axis(axis), 0))
    }

    /// The first token, in the type of the tokens: [`TokenMode::Cls`].
    ///
    /// # Errors
    /// As [`TokenPool::max`].
    pub fn cls<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        self.any(x, TokenMode::Cls)
    }

    /// The last token, in the type of the tokens: [`TokenMode::Last`].
    ///
    /// # Errors
    /// As [`TokenPool::max`].
    pub fn last<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        self.any(x, TokenMode::Last)
    }

    /// Any mode, in floats: floats keep their type, integers give `f64`. Sums are in `f64`.
    ///
    /// # Errors
    /// As [`TokenPool::max`].
    pub fn pool<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>, mode: TokenMode) -> Result<ArrayD<T::Mean>> {
        self.any(x, mode)
    }

    fn any<T: Element, Y: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>, mode: TokenMode) -> Result<ArrayD<Y>> {
        let (samples, shape) = Self::solve(x.shape())?;
        mode.expect_few(&samples)?;
        let (valid, mut y) = (samples.valid(self.mask.as_ref())?, zeros(&shape)?);
        let (x, place, parallel) = (View::from(x), ViewMut::from(&mut y), Parallel::default());
        let from = (x.raw(), samples.layout(x.strides()));
        let map = TokenMap::new(mode, from, valid.as_deref(), &parallel)?;
        map.run(from, valid.as_deref(), (place.raw(), with_samples(place.strides())), &parallel)?;
        Ok(y)
    }

    /// The gradient of a mode in `x`, from the cotangent of its result. Only floats have one.
    ///
    /// # Errors
    /// As [`TokenPool::max`]; [`PoolError::Value`](crate::PoolError::Value) if `dy` has not the shape of the result.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{TokenMode, TokenPool};
    ///
    /// let x = array![[1.0, 6.0], [3.0, 2.0]];
    /// let dx = TokenPool::new().gradient(&x.view(), TokenMode::Max, &array![1.0, 10.0].view())?;
    /// assert_eq!(dx, array![[0.0, 10.0], [1.0, 0.0]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn gradient<T: Element<Mean = T>, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        mode: TokenMode,
        dy: &ArrayView<'_, T, E>,
    ) -> Result<ArrayD<T>> {
        let (samples, shape) = Self::solve(x.shape())?;
        expect_shape("dy", dy.shape(), &shape)?;
        mode.expect_few(&samples)?;
        let (valid, dy, mut dx) = (samples.valid(self.mask.as_ref())?, numbers(dy)?, zeros(x.shape())?);
        let (x, place, parallel) = (View::from(x), ViewMut::from(&mut dx), Parallel::default());
        let (from, to) = ((x.raw(), samples.layout(x.strides())), (&place.raw() as _, with_samples(place.strides())));
        let map = TokenMap::new(mode, from, valid.as_deref(), &parallel)?;
        with_real!(is_wide::<T>(), C => map.pull(&Tokens::<C>::new(from), valid.as_deref(), &dy, to, &parallel)?);
        Ok(dx)
    }

    /// The tangent of the result of a mode, from that of `x`. Only floats have one.
    ///
    /// # Errors
    /// As [`TokenPool::max`]; [`PoolError::Value`](crate::PoolError::Value) if `dx` has not the shape of `x`.
    pub fn tangent<T: Element<Mean = T>, D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        mode: TokenMode,
        dx: &ArrayView<'_, T, E>,
    ) -> Result<ArrayD<T>> {
        let (samples, shape) = Self::solve(x.shape())?;
        expect_shape("dx", dx.shape(), x.shape())?;
        mode.expect_few(&samples)?;
        let (valid, mut dy) = (samples.valid(self.mask.as_ref())?, zeros(&shape)?);
        let (x, dx, place, parallel) = (View::from(x), View::from(dx), ViewMut::from(&mut dy), Parallel::default());
        let [from, d_from] = [&x, &dx].map(|array| (array.raw(), samples.layout(array.strides())));
        let to = (place.raw(), with_samples(place.strides()));
        let map = TokenMap::new(mode, from, valid.as_deref(), &parallel)?;
        with_real!(is_wide::<T>(), C => map.push(&Tokens::<C>::new(from), valid.as_deref(), d_from, to, &parallel)?);
        Ok(dy)
    }
}

/// What a call has found out about its tokens: from that follow its result and its derivative.
pub(crate) enum TokenMap {
    /// Nothing of a call without numbers.
    Empty,
    Chosen(Chosen),
    Average(Average),
    Deviation(Deviation),
}

impl TokenMap {
    pub fn new<T: Element>(
        mode: TokenMode,
        x: (Raw<T>, Layout),
        mask: Option<&[bool]>,
        parallel: &Parallel<'_>,
    ) -> Result<Self> {
        let choose = |choose| Chosen::new(x, mask, choose, parallel).map(Self::Chosen);
        match mode {
            _ if x.1.shape.contains(&0) => Ok(Self::Empty),
            TokenMode::Mean => Ok(Self::Average(Average::Mean)),
            TokenMode::WeightedMean => Ok(Self::Average(Average::Weighted)),
            TokenMode::MeanSqrtLen => Ok(Self::Average(Average::SquareRoot)),
            TokenMode::Max => choose(Choose::Max),
            TokenMode::Cls => choose(Choose::First),
            TokenMode::Last => choose(Choose::Last),
            TokenMode::Std => with_real!(is_wide::<T>(), C => {
                Deviation::new(&Tokens::<C>::new(x), mask, parallel).map(Self::Deviation)
            }),
        }
    }

    /// Writes the result, `(N, D)`.
    pub fn run<T: Element, Y: Element>(
        &self,
        x: (Raw<T>, Layout),
        mask: Option<&[bool]>,
        y: (Raw<Y>, [isize; 2]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        match self {
            Self::Empty => {}
            Self::Chosen(chosen) => chosen.take(x, y, parallel)?,
            Self::Average(average) => with_real!(is_wide::<T>(), C => {
                average.run(&Tokens::<C>::new(x), mask, (&y.0, y.1), parallel)?;
            }),
            Self::Deviation(deviation) => deviation.write((&y.0, y.1)),
        }
        Ok(())
    }

    /// Writes the cotangent of the tokens, from that of the result, `(N, D)` in C order.
    pub fn pull<C: Real>(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        dy: &[f64],
        dx: To<'_, f64>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        match self {
            Self::Empty => Ok(()),
            Self::Chosen(chosen) => chosen.pull(dy, dx, parallel),
            Self::Average(average) => average.pull(tokens.layout.shape, mask, dy, dx, parallel),
            Self::Deviation(deviation) => deviation.pull(tokens, mask, dy, dx, parallel),
        }
    }

    /// Writes the tangent of the result, from that of the tokens.
    pub fn push<C: Real, T: Element>(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        dx: (Raw<T>, Layout),
        dy: (Raw<T>, [isize; 2]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        match self {
            Self::Deviation(deviation) => deviation.push(tokens, mask, &Tokens::new(dx), (&dy.0, dy.1), parallel),
            // The others are linear in the tokens, given which are chosen.
            _ => self.run(dx, mask, dy, parallel),
        }
    }
}
