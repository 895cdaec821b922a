//! [`AttentionPool`]: attention pooling of views.

use ndarray::{ArrayD, ArrayView, ArrayView2, ArrayViewD, Dimension};

use super::attention::{Attention, AttentionSizes, Parameters};
use super::call::{Call, numbers};
use super::samples::{Samples, with_samples};
use crate::element::{Element, Real, is_wide, with_real};
use crate::error::Result;
use crate::ops::solved::zeros;
use crate::parallel::Parallel;
use crate::strided::{View, ViewMut};

/// Attention pooling: each query takes the mean of the tokens of a sample, weighted by how well they answer it.
///
/// With keys `k = x key_weight` and values `v = x value_weight`, the result of a head is `softmax(scale query k') v`
/// (Vaswani et al., "Attention is all you need", 2017); learned queries that pool are those of Lee et al., "Set
/// Transformer", 2019. Projections of queries and of the result are left to the caller.
///
/// Tokens `x` have shape `(N, L, D)`, or `(L, D)` for one sample, and any element type whose mean is a `P`, the type of
/// all other arrays: that is `P` itself, and where it is `f64` integers and `Bool` too. Products are in `f64` if `P` is
/// that, else in `f32`. A sample in which no token takes part gives zeros.
///
/// ```
/// use ndarray::array;
/// use ndpool::AttentionPool;
///
/// let x = array![[[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]];
/// let (query, mask) = (array![[0.0, 2.0]], array![[true, true, false]]);
/// let pool = AttentionPool::new(&query.view()).mask(&mask.view());
/// let (y, weights) = pool.pool_with_weights(&x.view())?;
/// let share = 1.0 / (1.0 + f64::exp(2.0 / f64::sqrt(2.0)));
/// assert!((&y - &array![[[share, 1.0 - share]]]).iter().all(|difference| difference.abs() < 1e-15));
/// assert_eq!(weights.shape(), [1, 1, 1, 3]);
/// assert_eq!(weights[[0, 0, 0, 2]], 0.0);
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AttentionPool<'a, P> {
    parameters: Parameters<ArrayViewD<'a, P>>,
    num_heads: usize,
    scale: Option<f64>,
    mask: Option<ArrayViewD<'a, bool>>,
}

/// What [`AttentionPool::gradient`] gives, and [`AttentionPool::tangent`] takes: an array of the shape of each
/// argument.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionGradient<P> {
    /// Of the tokens.
    pub x: ArrayD<P>,
    /// Of the queries.
    pub query: ArrayD<P>,
    /// Of the weight of keys, if there is one.
    pub key_weight: Option<ArrayD<P>>,
    /// Of the weight of values, if there is one.
    pub value_weight: Option<ArrayD<P>>,
}

impl<'a, P: Element<Mean = P>> AttentionPool<'a, P> {
    /// Pools by queries `(Q, E)`, or `(N, Q, E)` for queries of each sample's own. Keys and values are the tokens
    /// themselves, so that `E` is `D`, until weights are given.
    #[must_use]
    pub fn new<D: Dimension>(query: &ArrayView<'a, P, D>) -> Self {
        let parameters = Parameters { query: query.clone().into_dyn(), key_weight: None, value_weight: None };
        Self { parameters, num_heads: 1, scale: None, mask: None }
    }

    /// Sets the weight that makes keys of tokens, `(D, E)`.
    #[must_use]
    pub fn key_weight(mut self, weight: &ArrayView2<'a, P>) -> Self {
        self.parameters.key_weight = Some(weight.into_dyn());
        self
    }

    /// Sets the weight that makes values of tokens, `(D, F)`.
    #[must_use]
    pub fn value_weight(mut self, weight: &ArrayView2<'a, P>) -> Self {
        self.parameters.value_weight = Some(weight.into_dyn());
        self
    }

    /// Splits query, keys and values along their last axis into so many equal parts, each an attention of its own.
    #[must_use]
    pub fn num_heads(mut self, heads: usize) -> Self {
        self.num_heads = heads;
        self
    }

    /// Sets what the products of query and keys are multiplied with; `1 / sqrt(E / num_heads)` otherwise.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Sets which tokens take part, `(N, L)`, or what broadcasts to it. Others are never looked at.
    #[must_use]
    pub fn mask<D: Dimension>(mut self, mask: &ArrayView<'a, bool, D>) -> Self {
        self.mask = Some(mask.clone().into_dyn());
        self
    }

    fn sizes(&self, x: &Samples) -> Result<AttentionSizes> {
        let shapes = self.parameters.list().into_iter().map(ArrayViewD::shape).collect();
        AttentionSizes::new(x, &self.parameters.like(shapes), self.num_heads)
    }

    fn call<'x, C: Real, T: Element, D: Dimension>(
        &self,
        x: &'x ArrayView<'_, T, D>,
    ) -> Result<Call<'x, T, Attention<C>>> {
        let samples = Samples::new(x.shape())?;
        let sizes = self.sizes(&samples)?;
        let scale = C::from_f64(sizes.scale(self.scale)?);
        let parameters = self.parameters.list().into_iter().map(numbers).collect::<Result<_>>()?;
        let attention = Attention { sizes, scale, parameters: self.parameters.like(parameters) };
        Call::new(attention, samples, View::from(x), self.mask.as_ref())
    }

    /// The shape of the result, `(N, Q, F)` or `(Q, F)`, for tokens of the given shape.
    ///
    /// # Errors
    /// [`PoolError::Value`](crate::PoolError::Value) if `x` has another number of axes, no token or no channel, the
    /// shape of another array does not fit, or the number of heads is 0 or does not divide the channels of queries and
    /// values.
    pub fn output_shape(&self, x: &[usize]) -> Result<Vec<usize>> {
        let samples = Samples::new(x)?;
        samples.result(&self.sizes(&samples)?.of_sample())
    }

    /// The values that the queries take.
    ///
    /// # Errors
    /// As [`AttentionPool::output_shape`]; [`PoolError::Value`](crate::PoolError::Value) if the scale is not finite or
    /// the mask has another shape.
    pub fn pool<T: Element<Mean = P>, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<P>> {
        with_real!(is_wide::<P>(), C => self.call::<C, T, D>(x)?.run())
    }

    /// The values, and the weights of tokens, `(N, num_heads, Q, L)`: those of a query sum to 1, or are zeros if no
    /// token takes part.
    ///
    /// # Errors
    /// As [`AttentionPool::pool`].
    pub fn pool_with_weights<T: Element<Mean = P>, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
    ) -> Result<(ArrayD<P>, ArrayD<P>)> {
        with_real!(is_wide::<P>(), C => {
            let call = self.call::<C, T, D>(x)?;
            let sizes = &call.readout.sizes;
            let mut y = zeros(&call.samples.result(&sizes.of_sample())?)?;
            let mut weights = zeros(&call.samples.result(&sizes.weights_of_sample())?)?;
            if !y.is_empty() {
                let (y, weights) = (ViewMut::from(&mut y), ViewMut::from(&mut weights));
                let to = (&y.raw() as _, with_samples(y.strides()));
                let weights = Some((&weights.raw() as _, with_samples(weights.strides())));
                call.readout.run_with_weights(&call.tokens(), call.valid(), to, weights, &Parallel::default())?;
            }
            Ok((y, weights))
        })
    }

    /// The cotangents of all arguments, from that of the result.
    ///
    /// # Errors
    /// As [`AttentionPool::pool`]; [`PoolError::Value`](crate::PoolError::Value) if `dy` has not the shape of the
    /// result.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::AttentionPool;
    ///
    /// let (x, query) = (array![[2.0], [4.0]], array![[0.0]]);
    /// let gradient = AttentionPool::new(&query.view()).gradient(&x.view(), &array![[1.0]].view())?;
    /// assert_eq!(gradient.x, array![[0.5], [0.5]].into_dyn());
    /// assert_eq!(gradient.query, array![[1.0]].into_dyn());
    /// assert!(gradient.key_weight.is_none());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn gradient<D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, P, D>,
        dy: &ArrayView<'_, P, E>,
    ) -> Result<AttentionGradient<P>> {
        let parameters = self.parameters.list();
        let (x, others) = with_real!(is_wide::<P>(), C => self.call::<C, P, D>(x)?.pull(dy, &parameters)?);
        let Parameters { query, key_weight, value_weight } = self.parameters.like(others);
        Ok(AttentionGradient { x, query, key_weight, value_weight })
    }

    /// The tangent of the result, from those of all arguments. A weight without a tangent stands still.
    ///
    /// # Errors
    /// As [`AttentionPool::pool`]; [`PoolError::Value`](crate::PoolError::Value) if a tangent has not the shape of its
    /// argument.
    pub fn tangent<D: Dimension>(&self, x: &ArrayView<'_, P, D>, tangents: &AttentionGradient<P>) -> Result<ArrayD<P>> {
        let Parameters { query, key_weight, value_weight } = &self.parameters;
        let others = [
            ("dquery", Some(query), Some(&tangents.query)),
            ("dkey_weight", key_weight.as_ref(), tangents.key_weight.as_ref()),
            ("dvalue_weight", value_weight.as_ref(), tangents.value_weight.as_ref()),
        ];
        with_real!(is_wide::<P>(), C => self.call::<C, P, D>(x)?.push(&tangents.x, &others))
    }
}
