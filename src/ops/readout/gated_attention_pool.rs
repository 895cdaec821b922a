//! [`GatedAttentionPool`]: gated attention pooling of views.

use ndarray::{ArrayD, ArrayView, ArrayView2, ArrayViewD, Dimension};

use super::call::{Call, numbers};
use super::gated::{GatedAttention, GatedSizes};
use super::samples::Samples;
use crate::element::{Element, Real, is_wide, with_real};
use crate::error::Result;
use crate::strided::View;

/// Gated attention pooling: a small network scores each token of a sample, as in multiple-instance learning.
///
/// The result is the mean of the tokens weighted by `softmax((tanh(x v) * sigmoid(x u)) w)` (Ilse, Tomczak and Welling,
/// "Attention-based deep multiple instance learning", 2018, equation 9; their `V` and `U` are the transposes of `v` and
/// `u`).
///
/// Tokens and element types are those of [`AttentionPool`](crate::AttentionPool).
///
/// ```
/// use ndarray::array;
/// use ndpool::GatedAttentionPool;
///
/// let x = array![[1.0, 0.0], [0.0, 1.0]];
/// let (v, u, w) = (array![[2.0], [0.0]], array![[0.0], [0.0]], array![3.0]);
/// let y = GatedAttentionPool::new(&v.view(), &u.view(), &w.view()).pool(&x.view())?;
/// let odds = f64::exp(3.0 * f64::tanh(2.0) / 2.0);
/// assert!((y[0] - odds / (odds + 1.0)).abs() < 1e-15);
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GatedAttentionPool<'a, P> {
    weights: [ArrayViewD<'a, P>; 3],
    mask: Option<ArrayViewD<'a, bool>>,
}

/// What [`GatedAttentionPool::gradient`] gives, and [`GatedAttentionPool::tangent`] takes: an array of the shape of
/// each argument.
#[derive(Clone, Debug, PartialEq)]
pub struct GatedAttentionGradient<P> {
    /// Of the tokens.
    pub x: ArrayD<P>,
    /// Of the weights of the hidden layer.
    pub v: ArrayD<P>,
    /// Of the weights of its gates.
    pub u: ArrayD<P>,
    /// Of the weights of the scores.
    pub w: ArrayD<P>,
}

impl<'a, P: Element<Mean = P>> GatedAttentionPool<'a, P> {
    /// Scores tokens by a network of `M` hidden units: `v` and `u` are `(D, M)`, and `w` is `(M,)`; or `(M, K)` for `K`
    /// scores of each token, each of which pools all tokens.
    #[must_use]
    pub fn new<D: Dimension>(v: &ArrayView2<'a, P>, u: &ArrayView2<'a, P>, w: &ArrayView<'a, P, D>) -> Self {
        Self { weights: [v.into_dyn(), u.into_dyn(), w.clone().into_dyn()], mask: None }
    }

    /// Sets which tokens take part, `(N, L)`, or what broadcasts to it. Others are never looked at.
    #[must_use]
    pub fn mask<D: Dimension>(mut self, mask: &ArrayView<'a, bool, D>) -> Self {
        self.mask = Some(mask.clone().into_dyn());
        self
    }

    fn sizes(&self, x: &Samples) -> Result<GatedSizes> {
        GatedSizes::new(x, self.weights.each_ref().map(ArrayViewD::shape))
    }

    fn call<'x, C: Real, T: Element, D: Dimension>(
        &self,
        x: &'x ArrayView<'_, T, D>,
    ) -> Result<Call<'x, T, GatedAttention<C>>> {
        let samples = Samples::new(x.shape())?;
        let sizes = self.sizes(&samples)?;
        let [v, u, w] = &self.weights;
        let gated = GatedAttention { sizes, weights: [numbers(v)?, numbers(u)?, numbers(w)?] };
        Call::new(gated, samples, View::from(x), self.mask.as_ref())
    }

    /// The shape of the result, `(N, D)`, or `(N, K, D)` where `w` has two axes, for tokens of the given shape; without
    /// the axis of samples if there is none.
    ///
    /// # Errors
    /// [`PoolError::Value`](crate::PoolError::Value) if `x` has another number of axes, no token or no channel, or the
    /// shape of a weight does not fit.
    pub fn output_shape(&self, x: &[usize]) -> Result<Vec<usize>> {
        let samples = Samples::new(x)?;
        samples.result(&self.sizes(&samples)?.of_sample())
    }

    /// The pooled tokens.
    ///
    /// # Errors
    /// As [`GatedAttentionPool::output_shape`]; [`PoolError::Value`](crate::PoolError::Value) if the mask has another
    /// shape.
    pub fn pool<T: Element<Mean = P>, D: Dimension>(&self, x: &ArrayView<'_, T, D>) -> Result<ArrayD<P>> {
        with_real!(is_wide::<P>(), C => self.call::<C, T, D>(x)?.run())
    }

    /// The cotangents of all arguments, from that of the result.
    ///
    /// # Errors
    /// As [`GatedAttentionPool::pool`]; [`PoolError::Value`](crate::PoolError::Value) if `dy` has not the shape of the
    /// result.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::GatedAttentionPool;
    ///
    /// let (x, one) = (array![[2.0], [4.0]], array![[1.0]]);
    /// let w = array![0.0];
    /// let pool = GatedAttentionPool::new(&one.view(), &one.view(), &w.view());
    /// let gradient = pool.gradient(&x.view(), &array![1.0].view())?;
    /// assert_eq!(gradient.x, array![[0.5], [0.5]].into_dyn());
    /// assert_eq!(gradient.v, array![[0.0]].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn gradient<D: Dimension, E: Dimension>(
        &self,
        x: &ArrayView<'_, P, D>,
        dy: &ArrayView<'_, P, E>,
    ) -> Result<GatedAttentionGradient<P>> {
        let weights = self.weights.each_ref();
        let (x, weights) = with_real!(is_wide::<P>(), C => self.call::<C, P, D>(x)?.pull(dy, &weights)?);
        let mut weights = weights.into_iter();
        let [v, u, w] = [(); 3].map(|()| weights.next().unwrap_or_default());
        Ok(GatedAttentionGradient { x, v, u, w })
    }

    /// The tangent of the result, from those of all arguments.
    ///
    /// # Errors
    /// As [`GatedAttentionPool::pool`]; [`PoolError::Value`](crate::PoolError::Value) if a tangent has not the shape of
    /// its argument.
    pub fn tangent<D: Dimension>(
        &self,
        x: &ArrayView<'_, P, D>,
        tangents: &GatedAttentionGradient<P>,
    ) -> Result<ArrayD<P>> {
        let [v, u, w] = &self.weights;
        let others = [
            ("dv", Some(v), Some(&tangents.v)),
            ("du", Some(u), Some(&tangents.u)),
            ("dw", Some(w), Some(&tangents.w)),
        ];
        with_real!(is_wide::<P>(), C => self.call::<C, P, D>(x)?.push(&tangents.x, &others))
    }
}
