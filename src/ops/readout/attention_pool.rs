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
        let scale = sizes.scale(self.scale)?;
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

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, array};

    use super::*;

    /// Numbers between -1 and 1, times a factor.
    fn drawn(len: usize, seed: u64, factor: f32) -> impl Iterator<Item = f32> {
        let mut k = seed;
        (0..len).map(move |_| {
            k = k.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((k >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32 * factor
        })
    }

    fn matrix(rows: usize, columns: usize, seed: u64, factor: f32) -> Array2<f32> {
        Array2::from_shape_vec((rows, columns), drawn(rows * columns, seed, factor).collect()).unwrap()
    }

    fn wide<D: Dimension>(array: &ndarray::Array<f32, D>) -> ndarray::Array<f64, D> {
        array.mapv(f64::from)
    }

    /// Compares with `f64`, relative to the largest number.
    fn assert_close(got: &ArrayD<f32>, want: &ArrayD<f64>) {
        let most = want.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        for (&got, want) in got.iter().zip(want) {
            assert!((f64::from(got) - want).abs() <= 2e-4 * most, "{got} is not {want}");
        }
    }

    /// Scores of which many are no `f32`, beside ordinary ones, give what they give in `f64`.
    #[test]
    fn scores_of_any_size_are_those_of_f64() {
        let sizes = [(1.0, 1.0, 1.0), (1e20, 1e20, 1e-8), (1e30, 1e25, 1e3), (1e-3, 1e3, 1e34), (1e38, 1.0, 1e-8)];
        for ((q, w, t), queries) in sizes.into_iter().flat_map(|sizes| [(sizes, 1), (sizes, 5)]) {
            let mut query = matrix(queries, 6, 1, q);
            query.row_mut(queries / 2).mapv_inplace(|x| if queries > 1 { x / q } else { x });
            let (key, value) = (matrix(8, 6, 2, w), matrix(8, 4, 3, 1.0));
            let x = Array3::from_shape_vec((3, 7, 8), drawn(3 * 7 * 8, 4, t).collect()).unwrap();
            let dy = Array3::from_shape_vec((3, queries, 4), drawn(3 * queries * 4, 5, 1.0).collect()).unwrap();
            let (query64, key64, value64) = (wide(&query), wide(&key), wide(&value));
            let (query, key, value) = (query.view(), key.view(), value.view());
            let pool = AttentionPool::new(&query).key_weight(&key).value_weight(&value).num_heads(2);
            let (query64, key64, value64) = (query64.view(), key64.view(), value64.view());
            let pool64 = AttentionPool::new(&query64).key_weight(&key64).value_weight(&value64).num_heads(2);
            let x64 = wide(&x);
            assert_close(&pool.pool(&x.view()).unwrap(), &pool64.pool(&x64.view()).unwrap());
            let got = pool.gradient(&x.view(), &dy.view()).unwrap();
            let want = pool64.gradient(&x64.view(), &wide(&dy).view()).unwrap();
            assert_close(&got.x, &want.x);
            assert_close(&got.query, &want.query);
            assert_close(&got.key_weight.unwrap(), &want.key_weight.unwrap());
            assert_close(&got.value_weight.unwrap(), &want.value_weight.unwrap());
            let tangent = AttentionGradient {
                x: x.mapv(|x| 1.0 - x / t).into_dyn(),
                query: query.mapv(|x| 2.0 + x / q).into_dyn(),
                key_weight: Some(key.mapv(|x| 1.0 + x / w).into_dyn()),
                value_weight: Some(value.to_owned().into_dyn()),
            };
            let tangent64 = AttentionGradient {
                x: wide(&tangent.x),
                query: wide(&tangent.query),
                key_weight: tangent.key_weight.as_ref().map(wide),
                value_weight: tangent.value_weight.as_ref().map(wide),
            };
            let got = pool.tangent(&x.view(), &tangent).unwrap();
            assert_close(&got, &pool64.tangent(&x64.view(), &tangent64).unwrap());
        }
    }

    /// A token that takes all has the whole cotangent, and scores have none, near the limits of either type.
    #[test]
    fn the_largest_token_takes_all() {
        fn check<P: Element<Mean = P> + PartialEq>(x: f64, query: f64, key: f64, scale: f64) {
            let number = P::from_f64;
            let tokens = array![[number(x), number(0.0)], [number(2.0 * x), number(1.0)], [number(-x), number(2.0)]];
            let (query, key) = (array![[number(query)]], array![[number(key)], [number(0.0)]]);
            let (query, key) = (query.view(), key.view());
            let pool = AttentionPool::new(&query).key_weight(&key).scale(scale);
            let winner = if scale > 0.0 { 1 } else { 2 };
            assert_eq!(
                pool.pool(&tokens.view()).unwrap().index_axis(ndarray::Axis(0), 0),
                tokens.row(winner).into_dyn()
            );
            let ones = Array2::from_elem((1, 2), number(1.0));
            let gradient = pool.gradient(&tokens.view(), &ones.view()).unwrap();
            for (token, dx) in gradient.x.axis_iter(ndarray::Axis(0)).enumerate() {
                assert!(dx.iter().all(|dx| dx.to_f64() == f64::from(u8::from(token == winner))));
            }
            assert!(gradient.query.iter().chain(&gradient.key_weight.unwrap()).all(|d| d.to_f64() == 0.0));
            let tangents = AttentionGradient {
                x: Array2::from_elem((3, 2), number(1.0)).into_dyn(),
                query: query.to_owned().into_dyn(),
                key_weight: Some(key.to_owned().into_dyn()),
                value_weight: None,
            };
            assert_eq!(pool.tangent(&tokens.view(), &tangents).unwrap(), ones.into_dyn());
        }
        check::<f32>(1e-10, 1e20, 1e20, 1.0);
        check::<f32>(1e-20, 1.0, 1.0, 1e300);
        check::<f32>(1e38, 1e20, 1e-20, -1e30);
        check::<f64>(1e-280, 1e200, 1e200, 1.0);
        check::<f64>(1e300, 1e10, 1e-3, 1.0);
        check::<f64>(1e-100, 1e-10, 1e-10, 1e300);
    }

    /// Scores that are ordinary, of rows that are not.
    #[test]
    fn small_differences_are_kept_where_rows_overflow() {
        let (x, query, key) = (array![[3e-38f32], [2e-38], [1.5e-38]], array![[2e19f32], [1e19]], array![[2e19f32]]);
        let (x64, query64, key64) = (wide(&x), wide(&query), wide(&key));
        let pool = AttentionPool::new(&query.view()).key_weight(&key.view());
        let pool64 = AttentionPool::new(&query64.view()).key_weight(&key64.view());
        let (got, want) = (pool.pool_with_weights(&x.view()).unwrap(), pool64.pool_with_weights(&x64.view()).unwrap());
        assert_close(&got.0, &want.0);
        assert_close(&got.1, &want.1);
        let dy = Array2::from_elem((2, 1), 1e30f32);
        let (got, want) = (pool.gradient(&x.view(), &dy.view()), pool64.gradient(&x64.view(), &wide(&dy).view()));
        assert_close(&got.unwrap().x, &want.unwrap().x);
    }
}
